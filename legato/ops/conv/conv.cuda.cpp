#include "legato/ops/conv/conv.cuh"

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/conv/conv_dnn.h"
#include "legato/ops/conv/ops.h"

namespace legato::cuda {
namespace {

// What the three ops share: spatial axes, leading ones of size 1.
struct Sizes {
  int x[3], y[3], kernel[3], stride[3], low[3], dilation[3], spread[3];
};
Sizes sizes_of(const ConvAttrs& a, const Shape& x, const Shape& w, const Shape& y) {
  Sizes s;
  const size_t n = a.stride.size();
  for (size_t d = 0; d < 3; ++d) {
    const bool real = d + n >= 3;
    const size_t i = d + n - 3;
    s.x[d] = real ? static_cast<int>(x[i + 1]) : 1;
    s.y[d] = real ? static_cast<int>(y[i + 1]) : 1;
    s.kernel[d] = real ? static_cast<int>(w[i + 1]) : 1;
    s.stride[d] = real ? static_cast<int>(a.stride[i]) : 1;
    s.low[d] = real ? static_cast<int>(a.pad_low[i]) : 0;
    s.dilation[d] = real ? static_cast<int>(a.kernel_dilation[i]) : 1;
    s.spread[d] = real ? static_cast<int>(a.input_dilation[i]) : 1;
  }
  return s;
}

// Positions of y meet those of x, or the other way around.
void meet(ConvParams& p, const Sizes& s, bool from_y) {
  for (int d = 0; d < 3; ++d) {
    p.meet.mul[d] = from_y ? s.stride[d] : s.spread[d];
    p.meet.add[d] = from_y ? -s.low[d] : s.low[d];
    p.meet.step[d] = from_y ? s.dilation[d] : -s.dilation[d];
    p.meet.div[d] = from_y ? s.spread[d] : s.stride[d];
    p.meet.size[d] = from_y ? s.x[d] : s.y[d];
    p.positions[d] = from_y ? s.y[d] : s.x[d];
    p.kernel[d] = s.kernel[d];
  }
}

int64_t parts(int64_t n, int64_t of) { return (n + of - 1) / of; }

/// A kernel that does a product in tiles.
struct Tiled {
  const char *image, *name;
  int rows, cols;
  bool wide = false;  // of conv_wide.cu: float32 in fours
};

// Adds up the splits, and what comes behind.
void add_splits(const View& out, const ConvParams& p) {
  if (out.dtype == Dtype::float32 && out.size % 4 == 0 && out.size < INT32_MAX &&
      reinterpret_cast<uintptr_t>(out.data) % 16 == 0) {
    ConvWideSumParams sum{};
    sum.partial = static_cast<const float*>(p.partial);
    sum.bias = p.bias;
    sum.residual = p.residual;
    sum.to = out.as<float>();
    sum.fours = static_cast<int>(out.size / 4);
    sum.channels = p.groups * p.result_channels;
    sum.splits = p.splits;
    sum.lines = p.splits >= 32 ? 16 : p.splits >= 8 ? 4 : 1;
    launch_blocks("conv_wide", "conv_sum_wide", parts(sum.fours, 256 / sum.lines), 256, sum);
    return;
  }
  const ConvSumParams sum{p.partial, out.data, out.size, p.splits};
  launch_over("conv", cat("conv_sum", suffix(out.dtype)), out.size, sum);
}

// `rows` x `cols` results with `terms` in each sum. Few tiles with long sums are split, so that the
// device is busy.
void launch_tiles(Launch& l, const Tiled& kernel, ConvParams& p, int64_t rows, int64_t cols,
                  int64_t terms) {
  const View& out = l.out[0];
  const int64_t tiles = parts(rows, kernel.rows) * parts(cols, kernel.cols) * p.groups,
                wide = out.dtype == Dtype::float64 ? 8 : 4;
  const int64_t kLeastTerms = (kernel.wide ? 8 : 16) * kConvDepth;
  constexpr int64_t kMostPartial = int64_t{256} << 20;
  int64_t splits = std::min({current().multiprocessors() * 2 / tiles, terms / kLeastTerms,
                             kMostPartial / (out.size * wide)});
  p.per_split =
      std::max<int64_t>(parts(parts(terms, std::max<int64_t>(splits, 1)), kConvDepth), 1) *
      kConvDepth;
  splits = std::max<int64_t>(parts(terms, p.per_split), 1);
  p.splits = static_cast<int>(splits);
  if (splits > 1) p.partial = l.workspace(splits * out.size * wide);
  launch_blocks(kernel.image, cat(kernel.name, kernel.wide ? "" : suffix(out.dtype)),
                tiles * splits, kConvThreads, p);
  if (splits == 1) return;
  add_splits(out, p);
}
constexpr Tiled kGather{"conv", "conv_gather", kConvTile, kConvTile};
constexpr Tiled kWeight{"conv", "conv_weight", kConvTile, kConvTile};
constexpr Tiled kWideGather[] = {{"conv_wide", "conv_gather_wide_128x32", 128, 32, true},
                                 {"conv_wide", "conv_gather_wide_128x64", 128, 64, true},
                                 {"conv_wide", "conv_gather_wide_128x128", 128, 128, true}};
constexpr Tiled kLowGather{"conv_wide", "conv_gather_wide_64x64", 64, 64, true};
constexpr Tiled kWideWeight[] = {{"conv_wide", "conv_weight_wide_32x128", 32, 128, true},
                                 {"conv_wide", "conv_weight_wide_64x128", 64, 128, true},
                                 {"conv_wide", "conv_weight_wide_128x128", 128, 128, true}};

bool in_words(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 0;
  for (const void* p : pointers) bits |= reinterpret_cast<uintptr_t>(p);
  return bits % 16 == 0;
}
const Tiled& wide_enough(const Tiled (&kernels)[3], int64_t channels) {
  return kernels[channels <= 32 ? 0 : channels <= 64 ? 1 : 2];
}
// Low tiles where the high ones would leave multiprocessors without work.
const Tiled& gather_tiles(int64_t places, int64_t channels) {
  const Tiled& wide = wide_enough(kWideGather, channels);
  const int64_t tiles = parts(places, wide.rows) * parts(channels, wide.cols);
  return channels > 32 && tiles < current().multiprocessors() ? kLowGather : wide;
}

// The gradient of weights of which one side has few channels: about as many blocks as the device
// holds at once, each with a part of the positions.
void launch_thin_weight(Launch& l, ConvParams& p, int64_t places) {
  const View& out = l.out[0];
  const int64_t blocks = parts(out.size, kConvThreads),
                threads = parts(parts(out.size, blocks), 32) * 32,
                wide = out.dtype == Dtype::float64 ? 8 : 4;
  constexpr int64_t kLeastTerms = 32;
  const int64_t wanted = std::min(current().multiprocessors() * 4 / blocks, places / kLeastTerms);
  p.per_split = parts(places, std::max<int64_t>(wanted, 1));
  p.splits = static_cast<int>(parts(places, p.per_split));
  if (p.splits > 1) p.partial = l.workspace(p.splits * out.size * wide);
  launch_blocks("conv_thin", cat("conv_weight_thin", suffix(out.dtype)), blocks * p.splits,
                static_cast<int>(threads), p);
  if (p.splits > 1) add_splits(out, p);
}

// A group with fewer channels than this leaves tiles mostly empty.
constexpr int kFewChannels = 8;

// Returns false, with nothing done, if no kernel adds what is to be added to the result.
bool run_own(Launch& l, ConvRole role, const ConvAddends& added) {
  const View &a = l.in[0], &b = l.in[1], &out = l.out[0];
  const auto& attrs = l.attrs<ConvAttrs>();
  const Shape& x = role == ConvRole::input_gradient ? *out.shape : *a.shape;
  const Shape& w = role == ConvRole::weight_gradient ? *out.shape : *b.shape;
  const Shape& y = role == ConvRole::forward          ? *out.shape
                   : role == ConvRole::input_gradient ? *a.shape
                                                      : *b.shape;
  const auto groups = static_cast<int>(attrs.groups), in_channels = static_cast<int>(w.back()),
             out_channels = static_cast<int>(w[0]) / groups;
  ConvParams p{};
  p.gathered = a.data;
  p.other = b.data;
  p.to = out.data;
  p.bias = static_cast<const float*>(added.bias);
  p.residual = static_cast<const float*>(added.residual);
  p.samples = static_cast<int>(x[0]);
  p.groups = groups;
  p.flip = attrs.flip;
  meet(p, sizes_of(attrs, x, w, y), role != ConvRole::input_gradient);
  const int64_t taps = int64_t{p.kernel[0]} * p.kernel[1] * p.kernel[2],
                places = int64_t{p.positions[0]} * p.positions[1] * p.positions[2] * p.samples;
  const bool few = std::min(in_channels, out_channels) < kFewChannels,
             single = out.dtype == Dtype::float32,
             small = std::max({a.size, b.size, out.size}) < INT32_MAX;  // for 32-bit indices
  if (role == ConvRole::weight_gradient) {
    p.gathered_channels = in_channels;
    p.result_channels = out_channels;
    const bool fours = single && small && in_channels % 4 == 0 && out_channels % 4 == 0 &&
                       in_words({a.data, b.data, out.data});
    if (few && groups > 1)
      launch_blocks("conv", cat("conv_weight_one", suffix(out.dtype)), out.size, kConvThreads, p);
    else if (few && small)
      launch_thin_weight(l, p, places);
    else
      launch_tiles(l, fours ? wide_enough(kWideWeight, out_channels) : kWeight, p, out_channels,
                   taps * in_channels, places);
    return true;
  }
  const bool forward = role == ConvRole::forward;
  p.gathered_channels = forward ? in_channels : out_channels;
  p.result_channels = forward ? out_channels : in_channels;
  p.w_gathered = forward ? 1 : taps * in_channels;
  p.w_result = forward ? taps * in_channels : 1;
  p.w_tap = in_channels;
  p.w_group = out_channels * taps * in_channels;
  const bool results_in_fours = single && small && p.result_channels % 4 == 0 &&
                                in_words({b.data, out.data, p.bias, p.residual});
  if (results_in_fours && p.gathered_channels < kFewChannels) {
    launch_blocks("conv_thin", "conv_gather_thin", parts(out.size / 4, kConvThreads), kConvThreads,
                  p);
  } else if (single && small && p.result_channels < kFewChannels && p.gathered_channels % 4 == 0 &&
             in_words({a.data})) {
    launch_blocks("conv_thin", "conv_gather_shared", parts(out.size * 8, kConvThreads),
                  kConvThreads, p);
  } else if (results_in_fours && p.gathered_channels % 4 == 0 && in_words({a.data})) {
    launch_tiles(l, gather_tiles(places, p.result_channels), p, places, p.result_channels,
                 taps * p.gathered_channels);
  } else if (added.bias || added.residual) {
    return false;
  } else if (p.result_channels < kFewChannels) {
    launch_over("conv", cat("conv_gather_one", suffix(out.dtype)), out.size, p);
  } else {
    launch_tiles(l, kGather, p, places, p.result_channels, taps * p.gathered_channels);
  }
  return true;
}

// cuDNN's kernels for float32 that keep float32 pay off where there is much to compute: on an H100
// they are behind Legato's below some 10^10 operations, and their first call takes 20 ms.
bool better_without_dnn(const Launch& l, ConvRole role) {
  if (l.out[0].dtype != Dtype::float32 || l.allow_tf32) return false;
  const View& w = role == ConvRole::weight_gradient ? l.out[0] : l.in[1];
  const View& y = role == ConvRole::forward ? l.out[0] : l.in[role == ConvRole::weight_gradient];
  return 2.0 * static_cast<double>(w.size) * static_cast<double>(y.size / y.shape->back()) < 1e10;
}

template <ConvRole role>
void run(Launch& l) {
  if (l.out[0].size == 0) return;
  if (role == ConvRole::forward && convolve_few(l)) return;
  const bool own = better_without_dnn(l, role);
  if (!l.epilogue) {
    if (own || !convolve_by_dnn(l, role)) run_own(l, role, {});
  } else if (is_half(l.out[0].dtype)) {
    l.declined = !convolve_by_dnn(l, role);
  } else {
    const std::optional<ConvAddends> added = own ? read_addends(l) : std::nullopt;
    l.declined = !added || !run_own(l, role, *added);
  }
}

}  // namespace

void register_conv_kernels(KernelTable& table) {
  auto add = [&](const char* name, const Kernel& kernel) {
    add_kernels(table, op_named(name), FloatTypes{}, [=](auto) { return kernel; });
  };
  add("conv", {.run = run<ConvRole::forward>, .takes = conv_takes});
  add("conv_input_gradient", {.run = run<ConvRole::input_gradient>});
  add("conv_weight_gradient", {.run = run<ConvRole::weight_gradient>});
}

}  // namespace legato::cuda
