#include "legato/ops/conv/conv.cuh"

#include <algorithm>

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

int64_t blocks_of(int64_t n) { return (n + kConvTile - 1) / kConvTile; }

// By tiles of a product of `rows` x `cols` with `terms` in each sum. Few tiles with long sums are
// split, so that the device is busy.
void launch_tiles(Launch& l, const char* kernel, ConvParams& p, int64_t rows, int64_t cols,
                  int64_t terms) {
  const View& out = l.out[0];
  const int64_t tiles = blocks_of(rows) * blocks_of(cols) * p.groups,
                wide = out.dtype == Dtype::float64 ? 8 : 4;
  constexpr int64_t kLeastTerms = 16 * kConvDepth, kMostPartial = int64_t{256} << 20;
  int64_t splits = std::min({current().multiprocessors() * 2 / tiles, terms / kLeastTerms,
                             kMostPartial / (out.size * wide)});
  splits = std::max<int64_t>(splits, 1);
  p.per_split = (terms + splits - 1) / splits;
  p.per_split = std::max<int64_t>((p.per_split + kConvDepth - 1) / kConvDepth, 1) * kConvDepth;
  splits = std::max<int64_t>((terms + p.per_split - 1) / p.per_split, 1);
  p.splits = static_cast<int>(splits);
  if (splits > 1) p.partial = l.workspace(splits * out.size * wide);
  launch_blocks("conv", cat(kernel, suffix(out.dtype)), tiles * splits, kConvThreads, p);
  if (splits == 1) return;
  const ConvSumParams sum{p.partial, out.data, out.size, p.splits};
  launch_over("conv", cat("conv_sum", suffix(out.dtype)), out.size, sum);
}

// A group with fewer channels than this leaves tiles mostly empty.
constexpr int kFewChannels = 8;

void run_own(Launch& l, ConvRole role) {
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
  p.samples = static_cast<int>(x[0]);
  p.groups = groups;
  p.flip = attrs.flip;
  meet(p, sizes_of(attrs, x, w, y), role != ConvRole::input_gradient);
  const int64_t taps = int64_t{p.kernel[0]} * p.kernel[1] * p.kernel[2],
                places = int64_t{p.positions[0]} * p.positions[1] * p.positions[2] * p.samples;
  const bool few = std::min(in_channels, out_channels) < kFewChannels && groups > 1;
  if (role == ConvRole::weight_gradient) {
    p.gathered_channels = in_channels;
    p.result_channels = out_channels;
    if (few)
      launch_blocks("conv", cat("conv_weight_one", suffix(out.dtype)), out.size, kConvThreads, p);
    else
      launch_tiles(l, "conv_weight", p, out_channels, taps * in_channels, places);
    return;
  }
  const bool forward = role == ConvRole::forward;
  p.gathered_channels = forward ? in_channels : out_channels;
  p.result_channels = forward ? out_channels : in_channels;
  p.w_gathered = forward ? 1 : taps * in_channels;
  p.w_result = forward ? taps * in_channels : 1;
  p.w_tap = in_channels;
  p.w_group = out_channels * taps * in_channels;
  if (p.result_channels < kFewChannels)
    launch_over("conv", cat("conv_gather_one", suffix(out.dtype)), out.size, p);
  else
    launch_tiles(l, "conv_gather", p, places, p.result_channels, taps * p.gathered_channels);
}

template <ConvRole role>
void run(Launch& l) {
  if (l.out[0].size == 0) return;
  if (!convolve_by_dnn(l, role)) run_own(l, role);
}

}  // namespace

void register_conv_kernels(KernelTable& table) {
  auto add = [&](const char* name, void (*kernel)(Launch&)) {
    add_kernels(table, op_named(name), FloatTypes{}, [=](auto) { return Kernel{.run = kernel}; });
  };
  add("conv", run<ConvRole::forward>);
  add("conv_input_gradient", run<ConvRole::input_gradient>);
  add("conv_weight_gradient", run<ConvRole::weight_gradient>);
}

}  // namespace legato::cuda
