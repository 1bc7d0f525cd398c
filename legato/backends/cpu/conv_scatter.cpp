// A vector of the implicit GEMM (conv.cpp) holds channels of x, and those of an image fill three of
// sixteen lanes. Here a vector holds taps and channels: a product of dy with the weights gives what
// each output position adds to each of its taps, and these are added up in x. The taps of a row of
// the kernel and their channels lie side by side in both.
//
// A task owns some rows of dx, as many for each shape whatever the number of threads, and takes the
// output positions in order, so that each element of dx is the same sum in the same order.
#include "legato/backends/cpu/conv_scatter.h"

#include <algorithm>

#include "legato/backends/cpu/gemm.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

constexpr int64_t kMaxChannels = 4;
constexpr int64_t kMinFeatures = 16;          // that the product sums over
constexpr int64_t kProductBytes = 256 << 10;  // at a time, to stay in the second-level cache
constexpr int64_t kMinBand = 16;              // rows of dx of a task
constexpr double kParallelWork = 250e3;       // products below which a thread is not worth waking

constexpr int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

template <class T>
class Scatter {
 public:
  Scatter(const Conv& c, SimdLevel level) : c_(c), level_(level) {
    row_taps_ = c.kernel[2] * c.in_channels;
    columns_ = c.kernel[1] * row_taps_;
    product_row_ = (columns_ + 15) / 16 * 16;
    rows_at_once_ = std::max<int64_t>(
        1, kProductBytes / (c.out[2] * product_row_ * static_cast<int64_t>(sizeof(T))));
    // Output rows on both sides of a border are multiplied for both bands.
    const int64_t reach = (c.kernel[1] - 1) * c.kernel_dilation[1];
    bands_ = std::max<int64_t>(1, c.in[1] / std::max(kMinBand, 8 * reach));
    band_ = (c.in[1] + bands_ - 1) / bands_;
  }

  void run(const T* dy, const T* w, T* dx) const {
    const auto part = [&](int64_t task) {
      const int64_t image = task / bands_, first = task % bands_ * band_;
      const int64_t end = std::min(c_.in[1], first + band_);
      if (first >= end) return;
      const int64_t in_row = c_.in[2] * c_.in_channels, out_row = c_.out[2] * c_.out_channels;
      band(dy + image * c_.out[1] * out_row, w, dx + image * c_.in[1] * in_row, first, end);
    };
    const double outputs = static_cast<double>(c_.batch * c_.out[1] * c_.out[2]);
    if (outputs * static_cast<double>(c_.out_channels * columns_) >= kParallelWork)
      return parallel_for(c_.batch * bands_, part);
    for (int64_t task = 0; task < c_.batch * bands_; ++task) part(task);
  }

 private:
  // Rows [first, end) of the image dx.
  void band(const T* dy, const T* w, T* dx, int64_t first, int64_t end) const {
    const int64_t in_row = c_.in[2] * c_.in_channels, reach = c_.kernel[1] - 1;
    std::fill(dx + first * in_row, dx + end * in_row, T(0));
    const int64_t low = first + c_.pad_low[1] - reach * c_.kernel_dilation[1];
    const int64_t from = std::max<int64_t>(0, -floor_div(-low, c_.stride[1]));
    const int64_t to = std::min(c_.out[1], floor_div(end - 1 + c_.pad_low[1], c_.stride[1]) + 1);
    T* product = scratch<T>(Scratch::conv_columns,
                            static_cast<size_t>(rows_at_once_ * c_.out[2] * product_row_));
    for (int64_t o = from; o < to; o += rows_at_once_) {
      const int64_t rows = std::min(rows_at_once_, to - o);
      Gemm g;
      g.dtype = c_.dtype;
      g.m = rows * c_.out[2], g.k = c_.out_channels, g.n = columns_;
      g.a = dy + o * c_.out[2] * c_.out_channels, g.a_row = g.k, g.a_col = 1;
      g.b = w, g.b_row = columns_, g.b_col = 1;
      g.d = product, g.d_row = product_row_, g.d_col = 1;
      gemm(g, level_);
      for (int64_t r = 0; r < rows; ++r) {
        const T* row = product + r * c_.out[2] * product_row_;
        for (int64_t u = 0; u < c_.kernel[1]; ++u) {
          const int64_t i = (o + r) * c_.stride[1] + u * c_.kernel_dilation[1] - c_.pad_low[1];
          if (i >= first && i < end) add_row(row + u * row_taps_, dx + i * in_row);
        }
      }
    }
  }

  // What a row of output positions adds to a row of dx through one row of the kernel.
  void add_row(const T* product, T* dx) const {
    const int64_t in_row = c_.in[2] * c_.in_channels;
    for (int64_t o = 0; o < c_.out[2]; ++o, product += product_row_) {
      const int64_t at = (o * c_.stride[2] - c_.pad_low[2]) * c_.in_channels;
      const int64_t skip = std::max<int64_t>(0, -at), n = std::min(row_taps_, in_row - at);
      for (int64_t j = skip; j < n; ++j) dx[at + j] += product[j];
    }
  }

  const Conv& c_;
  SimdLevel level_;
  int64_t row_taps_, columns_, product_row_, rows_at_once_, bands_, band_;
};

}  // namespace

bool scatters_input_gradient(const Conv& c) {
  if (c.dtype != Dtype::float32 && c.dtype != Dtype::float64) return false;
  if (c.groups != 1 || c.flip || c.in_channels > kMaxChannels || c.out_channels < kMinFeatures)
    return false;
  if (c.in[0] != 1 || c.out[0] != 1 || c.kernel[0] != 1 || c.pad_low[0] != 0) return false;
  for (int64_t dilation : c.input_dilation)
    if (dilation != 1) return false;
  if (c.out[1] < 1 || c.out[2] < 1 || c.kernel_dilation[2] != 1) return false;
  return c.kernel[1] * c.kernel[2] * c.in_channels >= 16;
}

void scatter_input_gradient(const Conv& c, const void* dy, const void* w, void* dx,
                            SimdLevel level) {
  if (c.dtype == Dtype::float32)
    Scatter<float>(c, level).run(static_cast<const float*>(dy), static_cast<const float*>(w),
                                 static_cast<float*>(dx));
  else
    Scatter<double>(c, level).run(static_cast<const double*>(dy), static_cast<const double*>(w),
                                  static_cast<double*>(dx));
}

}  // namespace legato::cpu
