#include <algorithm>
#include <cstring>
#include <vector>

#include "legato/backends/cpu/axis_rows.h"
#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/arg_reduce/kernels.h"
#include "legato/ops/arg_reduce/ops.h"

namespace legato::cpu {
namespace {

template <class C, bool largest>
void complex_rows(const void* from, uint32_t* out, int64_t n, int64_t rows) {
  const C* x = static_cast<const C*>(from);
  auto is_nan = [](C z) { return z.real() != z.real() || z.imag() != z.imag(); };
  auto less = [](C a, C b) {
    return a.real() < b.real() || (a.real() == b.real() && a.imag() < b.imag());
  };
  for (int64_t r = 0; r < rows; ++r, x += n) {
    int64_t at = 0;
    for (int64_t i = 1; i < n && !is_nan(x[at]); ++i)
      if (is_nan(x[i]) || (largest ? less(x[at], x[i]) : less(x[i], x[at]))) at = i;
    out[r] = static_cast<uint32_t>(at);
  }
}

template <bool largest>
ArgLoop loop_of(Dtype dtype) {
  if (dtype == Dtype::complex64) return complex_rows<complex64_t, largest>;
  if (dtype == Dtype::complex128) return complex_rows<complex128_t, largest>;
#if LEGATO_HAS_X86_LEVELS
  if (simd_level() == SimdLevel::avx512) return avx512::arg_loop(largest, dtype);
  if (simd_level() == SimdLevel::avx2) return avx2::arg_loop(largest, dtype);
#endif
  return base::arg_loop(largest, dtype);
}

// One row, cut into pieces that threads share: the place in each, then the place among the best of
// each. Of equal elements, and of several nans, the first wins both times.
void long_row(const View& x, uint32_t* out, ArgLoop loop) {
  constexpr int64_t kPiece = 16 << 10;
  const char* from = x.as<char>();
  const int64_t size = size_of(x.dtype), pieces = (x.size + kPiece - 1) / kPiece;
  std::vector<uint32_t> places(static_cast<size_t>(pieces));
  std::vector<char> best(static_cast<size_t>(pieces * size));
  const int64_t tasks = std::min<int64_t>(pieces, 4 * num_threads());
  parallel_for(tasks, [&](int64_t task) {
    for (int64_t p = pieces * task / tasks; p < pieces * (task + 1) / tasks; ++p) {
      const char* piece = from + p * kPiece * size;
      uint32_t* place = &places[static_cast<size_t>(p)];
      loop(piece, place, std::min(kPiece, x.size - p * kPiece), 1);
      std::memcpy(&best[static_cast<size_t>(p * size)], piece + *place * size,
                  static_cast<size_t>(size));
    }
  });
  uint32_t winner = 0;
  loop(best.data(), &winner, pieces, 1);
  *out = static_cast<uint32_t>(winner * kPiece) + places[winner];
}

// Rows are looked through one by one along the last axis, or all of them as one.
int row_axes(const void* attrs, size_t rank) {
  const auto& axis = static_cast<const ArgReduceAttrs*>(attrs)->axis;
  if (!axis) return static_cast<int>(rank);
  return normalize_axis("argmax", *axis, rank) + 1 == static_cast<int>(rank) ? 1 : 0;
}

template <bool largest>
void run(Launch& l) {
  constexpr int64_t kLong = 64 << 10;   // elements: with fewer, waking a thread costs more
  constexpr int64_t kShort = 16 << 10;  // elements: shared out they would take longer
  const View& x = l.in[0];
  const auto& attrs = l.attrs<ArgReduceAttrs>();
  const ArgLoop loop = loop_of<largest>(x.dtype);
  const size_t rows_axes = static_cast<size_t>(row_axes(l.raw_attrs, x.ndim()));
  if (x.size > 0 && x.size <= kShort && rows_axes > 0) {
    const int64_t n = rows_axes == x.ndim() ? x.size : x.shape->back();
    return loop(x.data, l.out[0].as<uint32_t>(), n, x.size / n);
  }
  const AxisSplit s = attrs.axis
                          ? split_axis(*x.shape, normalize_axis(l.op->name, *attrs.axis, x.ndim()))
                          : AxisSplit{1, x.size, 1};
  const RowOperand operands[] = {row_operand(x, s.n), row_operand(l.out[0], 1)};
  if (s.n == x.size && x.size >= kLong && num_threads() > 1)
    return long_row(x, l.out[0].as<uint32_t>(), loop);
  for_axis_rows(operands, 1, s, 0.1, [&](void* const* p, int64_t rows) {
    loop(p[0], static_cast<uint32_t*>(p[1]), s.n, rows);
  });
}

template <bool largest>
constexpr Kernel kernel{
    .run = run<largest>, .accepts = AcceptLayout::row_major, .row_axes = row_axes};

}  // namespace

void register_arg_reduce_kernels(KernelTable& table) {
  add_kernels(table, argmax_op, AllTypes{}, [](auto) { return kernel<true>; });
  add_kernels(table, argmin_op, AllTypes{}, [](auto) { return kernel<false>; });
}

}  // namespace legato::cpu
