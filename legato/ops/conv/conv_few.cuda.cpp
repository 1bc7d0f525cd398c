#include "legato/ops/conv/conv_few.cuh"

#include <algorithm>
#include <cstdint>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/conv/conv_dnn.h"
#include "legato/ops/conv/ops.h"

namespace legato::cuda {
namespace {

constexpr int64_t kMostColumns = 64, kLeastDepth = 32;
constexpr int kMostShared = 96 << 10;
constexpr int kPositions = 16;  // that a warp multiplies at once

bool all_ones(const Dims& d) {
  return std::all_of(d.begin(), d.end(), [](int64_t v) { return v == 1; });
}
bool in_words(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Tiles of y, the largest first: positions along the last two axes. The larger they are the less
// their patches overlap, the smaller the more multiprocessors have one.
constexpr int kTiles[][2] = {{16, 16}, {8, 16}, {8, 8}, {4, 8}};

/// Cuts y into tiles; the bytes of shared memory that a patch takes. 0: no patch fits.
int choose_tile(ConvFewParams& p, int64_t samples, int line) {
  const int last = static_cast<int>(std::size(kTiles)) - 1;
  for (int i = 0; i <= last; ++i) {
    const bool flat = p.y_size[1] == 1;
    p.tile[0] = 1;
    p.tile[1] = flat ? 1 : kTiles[i][0];
    p.tile[2] = flat ? kTiles[i][0] * kTiles[i][1] : kTiles[i][1];
    int64_t blocks = samples, patch = 1;
    for (int d = 0; d < 3; ++d) {
      p.patch[d] = p.tile[d] + (p.kernel[d] - 1) * p.dilation[d];
      p.tiles[d] = (p.y_size[d] + p.tile[d] - 1) / p.tile[d];
      blocks *= p.tiles[d];
      patch *= p.patch[d];
    }
    const int64_t bytes =
        (patch + kPositions - 1) / kPositions * kPositions * line * int64_t{sizeof(float)};
    if (bytes <= kMostShared && (i == last || blocks >= current().multiprocessors()))
      return static_cast<int>(bytes);
  }
  return 0;
}

}  // namespace

bool convolve_few(Launch& l) {
  const View &x = l.in[0], &w = l.in[1], &y = l.out[0];
  const auto& attrs = l.attrs<ConvAttrs>();
  if (x.size == 0 || w.size == 0 || attrs.groups != 1) return false;
  const int64_t depth = x.shape->back(), channels = w.dim(0), taps = w.size / (channels * depth),
                columns = channels * taps;
  if (!is_half(y.dtype) || taps == 1 || columns > kMostColumns || depth < kLeastDepth ||
      depth % 8 || x.size / x.dim(0) > INT32_MAX || y.size / y.dim(0) > INT32_MAX ||
      !all_ones(attrs.stride) || !all_ones(attrs.input_dilation) || !in_words(x.data) ||
      !in_words(w.data))
    return false;
  ConvFewParams p{};
  if (l.epilogue) {
    const std::optional<ConvAddends> added = read_addends(l);
    if (!added) return false;
    p.bias = added->bias;
    p.residual = added->residual;
  }
  p.x = x.data;
  p.w = w.data;
  p.to = y.data;
  p.depth = static_cast<int>(depth);
  p.channels = static_cast<int>(channels);
  p.taps = static_cast<int>(taps);
  p.flip = attrs.flip;
  const size_t axes = attrs.stride.size();
  for (size_t d = 0; d < 3; ++d) {
    const bool real = d + axes >= 3;
    const size_t i = d + axes - 3;
    p.x_size[d] = real ? static_cast<int>(x.dim(i + 1)) : 1;
    p.y_size[d] = real ? static_cast<int>(y.dim(i + 1)) : 1;
    p.kernel[d] = real ? static_cast<int>(w.dim(i + 1)) : 1;
    p.low[d] = real ? static_cast<int>(attrs.pad_low[i]) : 0;
    p.dilation[d] = real ? static_cast<int>(attrs.kernel_dilation[i]) : 1;
  }
  const int units = *std::find_if(std::begin(kConvFewUnits), std::end(kConvFewUnits),
                                  [&](int u) { return u * 8 >= columns; });
  const int line = units % 4 ? units * 8 : units * 8 + 8;  // kConvFewLine
  const int shared = choose_tile(p, x.dim(0), line);
  if (shared == 0) return false;
  const int64_t blocks = x.dim(0) * p.tiles[0] * p.tiles[1] * p.tiles[2];
  const int patch = p.patch[0] * p.patch[1] * p.patch[2],
            warps = std::min((patch + kPositions - 1) / kPositions, kConvFewThreads / 32);
  GpuDevice& device = current();
  const CUfunction kernel =
      device.kernel("conv_few", cat("conv_few_", units, suffix(y.dtype)), kMostShared);
  device.launch(kernel, blocks, warps * 32, &p, "a convolution", shared);
  return true;
}

}  // namespace legato::cuda
