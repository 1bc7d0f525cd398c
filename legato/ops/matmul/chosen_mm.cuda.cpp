// Launches of gather_mm and segmented_mm.
#include <initializer_list>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/matmul/matmul.cuda.h"
#include "legato/ops/matmul/matmul.cuh"
#include "legato/ops/matmul/ops.h"

namespace legato::cuda {
namespace {

template <class Params>
void launch_tiles(const char* name, Dtype t, int64_t rows, int64_t cols, int64_t count,
                  const Params& params) {
  constexpr int64_t tile = kMatmulTile;
  const int64_t tiles = ((rows + tile - 1) / tile) * ((cols + tile - 1) / tile) * count;
  launch_blocks("chosen_mm", cat(name, product_suffix(t)), tiles, kMatmulThreads, params);
}

std::exception_ptr wrong_index(const char*, const ValueReport& r) {
  const bool right = r.place < 0;
  return std::make_exception_ptr(IndexError(
      cat("gather_mm: ", right ? "rhs_indices" : "lhs_indices", "[", right ? ~r.place : r.place,
          "] is ", int64_t{r.value}, ", but there are ", int64_t{r.bound}, " matrices")));
}
std::exception_ptr wrong_segment(const char*, const ValueReport& r) {
  return std::make_exception_ptr(
      IndexError(cat("segmented_mm: segment ", r.place, " is from ", int64_t{r.value}, " to ",
                     int64_t{r.bound}, ", which does not lie inside the axis that is summed")));
}

template <class Params>
void put_operands(Params& p, const View& a, const View& b, const View& d) {
  p.a = a.data;
  p.b = b.data;
  p.d = d.data;
  p.m = a.dim(a.ndim() - 2);
  p.k = a.dim(a.ndim() - 1);
  p.n = b.dim(b.ndim() - 1);
  p.a_row = (*a.strides)[a.ndim() - 2];
  p.a_col = (*a.strides)[a.ndim() - 1];
  p.b_row = (*b.strides)[b.ndim() - 2];
  p.b_col = (*b.strides)[b.ndim() - 1];
}

void run_gather(Launch& l) {
  const View &a = l.in[0], &b = l.in[1], &left = l.in[2], &right = l.in[3], &d = l.out[0];
  if (d.size == 0) return;
  GatherMmParams p{};
  put_operands(p, a, b, d);
  p.count = left.size;
  p.n_left = a.dim(0);
  p.n_right = b.dim(0);
  p.a_next = (*a.strides)[0];
  p.b_next = (*b.strides)[0];
  p.left = left.as<long long>();
  p.right = right.as<long long>();
  p.left_step = (*left.strides)[0];
  p.right_step = (*right.strides)[0];
  auto report = current().report("gather_mm", wrong_index);
  p.report = report.where;
  l.fail_unless(std::move(report.check));
  if (is_half(d.dtype)) {
    auto eights = [](const void* data, std::initializer_list<int64_t> steps) {
      bool fit = reinterpret_cast<uintptr_t>(data) % 16 == 0;
      for (int64_t step : steps) fit &= step % 8 == 0;
      return fit;
    };
    p.wide_a = p.a_col == 1 && eights(p.a, {p.a_row, p.a_next, p.k});
    p.wide_b = p.b_col == 1 && eights(p.b, {p.b_row, p.b_next, p.n});
    p.deep_b = p.b_row == 1 && eights(p.b, {p.b_col, p.b_next, p.k});
    const int64_t tiles =
        ((p.count * p.m + kHalfTile - 1) / kHalfTile) * ((p.n + kHalfTile - 1) / kHalfTile);
    launch_shared("chosen_half", cat("gather_half", suffix(d.dtype)), tiles, kHalfThreads,
                  kHalfShared, p);
    return;
  }
  launch_tiles("gather_mm", d.dtype, p.count * p.m, p.n, 1, p);
}

void run_segmented(Launch& l) {
  const View &a = l.in[0], &b = l.in[1], &ends = l.in[2], &d = l.out[0];
  if (d.size == 0) return;
  SegmentedMmParams p{};
  put_operands(p, a, b, d);
  p.count = ends.dim(0);
  p.ends = ends.as<long long>();
  p.ends_step = (*ends.strides)[0];
  p.ends_next = (*ends.strides)[1];
  auto report = current().report("segmented_mm", wrong_segment);
  p.report = report.where;
  l.fail_unless(std::move(report.check));
  launch_tiles("segmented_mm", d.dtype, p.m, p.n, p.count, p);
}

}  // namespace

void register_chosen_mm_kernels(KernelTable& table) {
  using Numbers = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t,
                        float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;
  add_kernels(table, op_named("gather_mm"), Numbers{},
              [](auto) { return Kernel{.run = run_gather, .accepts = AcceptLayout::any}; });
  add_kernels(table, op_named("segmented_mm"), Numbers{},
              [](auto) { return Kernel{.run = run_segmented, .accepts = AcceptLayout::any}; });
}

}  // namespace legato::cuda
