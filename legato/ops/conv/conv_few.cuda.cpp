#include "legato/ops/conv/conv_few.cuh"

#include <algorithm>
#include <cstdint>

#include "legato/backends/cuda/blas.h"
#include "legato/backends/cuda/kit.h"
#include "legato/ops/conv/conv_dnn.h"
#include "legato/ops/conv/ops.h"

namespace legato::cuda {
namespace {

// Note [Few output channels]: tiles of an implicit product are 64 or more channels wide, and stay
// mostly empty where there are four. Weights as they lie, (O, taps, C), are a matrix of O * taps
// rows, so one product of all positions with all taps reads the input once and needs no other
// layout; what it computes for a tap lies at the position which the tap meets. A second kernel sums
// taps where they belong. The products are kept in float32: 36 of them a position for 3 x 3 x 4,
// most of which the second-level cache still holds.
constexpr int64_t kMostColumns = 64, kLeastChannels = 64, kLeastPositions = 8192;
constexpr int64_t kMostProducts = int64_t{256} << 20;  // bytes

bool all_ones(const Dims& d) {
  return std::all_of(d.begin(), d.end(), [](int64_t v) { return v == 1; });
}
bool in_words(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

bool convolve_few(Launch& l) {
  const View &x = l.in[0], &w = l.in[1], &y = l.out[0];
  const auto& attrs = l.attrs<ConvAttrs>();
  if (x.size == 0 || w.size == 0 || attrs.groups != 1) return false;
  const int64_t depth = x.shape->back(), channels = w.dim(0), taps = w.size / (channels * depth),
                columns = channels * taps, each = (columns + 3) / 4 * 4, positions = x.size / depth;
  if (!is_half(y.dtype) || taps == 1 || columns > kMostColumns || depth < kLeastChannels ||
      depth % 8 || positions < kLeastPositions || positions * each * 4 > kMostProducts ||
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
  float* products = static_cast<float*>(l.workspace(positions * each * 4));
  BlasProduct product;  // by columns: (columns, positions) = w' x
  product.in = y.dtype;
  product.out = Dtype::float32;
  product.m = columns;
  product.n = positions;
  product.k = depth;
  product.a = {1, depth, 0};
  product.b = {0, depth, 0};
  product.d.ld = each;
  product.c = product.d;
  if (!blas_multiply(current(), l, product, {w.data, x.data, products, nullptr, products}))
    return false;
  p.products = products;
  p.to = y.data;
  p.n = y.size;
  p.each = each;
  p.channels = static_cast<int>(channels);
  p.taps = static_cast<int>(taps);
  p.flip = attrs.flip;
  const size_t axes = attrs.stride.size();
  for (size_t d = 0; d < 3; ++d) {
    const bool real = d + axes >= 3;
    const size_t i = d + axes - 3;
    p.x[d] = real ? static_cast<int>(x.dim(i + 1)) : 1;
    p.y[d] = real ? static_cast<int>(y.dim(i + 1)) : 1;
    p.kernel[d] = real ? static_cast<int>(w.dim(i + 1)) : 1;
    p.low[d] = real ? static_cast<int>(attrs.pad_low[i]) : 0;
    p.dilation[d] = real ? static_cast<int>(attrs.kernel_dilation[i]) : 1;
  }
  launch_blocks("conv_few", cat("conv_few", suffix(y.dtype)), (p.n + kThreads - 1) / kThreads,
                kThreads, p);
  return true;
}

}  // namespace legato::cuda
