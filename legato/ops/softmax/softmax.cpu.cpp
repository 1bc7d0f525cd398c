#include "legato/backends/cpu/axis_rows.h"
#include "legato/base/cpu_info.h"
#include "legato/ops/softmax/kernels.h"
#include "legato/ops/softmax/ops.h"

namespace legato::cpu {
namespace {

const SoftmaxLoops& loops(Dtype dtype) {
#if LEGATO_HAS_X86_LEVELS
  if (simd_level() == SimdLevel::avx512) return avx512::softmax_loops(dtype);
  if (simd_level() == SimdLevel::avx2) return avx2::softmax_loops(dtype);
#endif
  return base::softmax_loops(dtype);
}

// One input, one output; `reduced`: the output has one element a row.
template <auto loop, bool reduced = false>
void run_unary(Launch& l) {
  const View &x = l.in[0], &y = l.out[0];
  const AxisSplit s =
      split_axis(*x.shape, normalize_axis(l.op->name, l.attrs<SoftmaxAttrs>().axis, x.ndim()));
  if (s.n == 0) return;
  const RowOperand operands[] = {row_operand(x, s.n), row_operand(y, reduced ? 1 : s.n)};
  const auto run = loops(x.dtype).*loop;
  for_axis_rows(operands, 1, s, 0.8,
                [&](void* const* p, int64_t rows) { run(p[0], p[1], s.n, rows); });
}

template <auto loop>
void run_vjp(Launch& l) {
  const View& y = l.in[0];
  const AxisSplit s =
      split_axis(*y.shape, normalize_axis(l.op->name, l.attrs<SoftmaxAttrs>().axis, y.ndim()));
  if (s.n == 0) return;
  const RowOperand operands[] = {row_operand(y, s.n), row_operand(l.in[1], s.n),
                                 row_operand(l.out[0], s.n)};
  const auto run = loops(y.dtype).*loop;
  for_axis_rows(operands, 2, s, 0.4,
                [&](void* const* p, int64_t rows) { run(p[0], p[1], p[2], s.n, rows); });
}

int row_axes(const void* attrs, size_t rank) {
  const int64_t axis = static_cast<const SoftmaxAttrs*>(attrs)->axis;
  return axis == -1 || axis == static_cast<int64_t>(rank) - 1 ? 1 : 0;
}

}  // namespace

void register_softmax_kernels(KernelTable& table) {
  auto add = [&](const Op& op, void (*run)(Launch&), int8_t reuses) {
    add_kernels(table, op, FloatTypes{},
                [=](auto) { return Kernel{run, AcceptLayout::row_major, reuses, row_axes}; });
  };
  add(softmax_op, run_unary<&SoftmaxLoops::softmax>, 0);
  add(log_softmax_op, run_unary<&SoftmaxLoops::log_softmax>, 0);
  add(logsumexp_op, run_unary<&SoftmaxLoops::logsumexp, true>, -1);
  add(softmax_vjp_op, run_vjp<&SoftmaxLoops::softmax_vjp>, 1);
  add(log_softmax_vjp_op, run_vjp<&SoftmaxLoops::log_softmax_vjp>, 1);
}

}  // namespace legato::cpu
