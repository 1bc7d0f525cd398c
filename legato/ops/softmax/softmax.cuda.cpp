#include "legato/ops/softmax/softmax.cuh"

#include <algorithm>
#include <bit>

#include "legato/backends/cuda/kit.h"
#include "legato/backends/cuda/print.h"
#include "legato/backends/cuda/reduction.h"
#include "legato/backends/cuda/row_split.h"
#include "legato/base/error.h"
#include "legato/ops/softmax/ops.h"

namespace legato::cuda {
namespace {

#define X(wide, packs, most) {wide, packs, most},
constexpr RowInstance kHalf[] = {LEGATO_SOFTMAX_HALF(X)}, kSingle[] = {LEGATO_SOFTMAX_SINGLE(X)},
                      kDouble[] = {LEGATO_SOFTMAX_DOUBLE(X)}, kOdd[] = {LEGATO_SOFTMAX_ODD(X)},
                      kOddVjp[] = {LEGATO_SOFTMAX_VJP_ODD(X)},
                      kHalfVjp[] = {LEGATO_SOFTMAX_VJP_HALF(X)},
                      kSingleVjp[] = {LEGATO_SOFTMAX_VJP_SINGLE(X)},
                      kDoubleVjp[] = {LEGATO_SOFTMAX_VJP_DOUBLE(X)};
#undef X
constexpr RowInstances kForward{kHalf, kSingle, kDouble, kOdd},
    kBackward{kHalfVjp, kSingleVjp, kDoubleVjp, kOddVjp};

struct Operands {
  const void *x, *g;
  void* y;
  int kind;
  TargetParams target{};
};

void run_rows(Launch& l, const Operands& o, const char* vjp, int64_t rows, int64_t n) {
  const Dtype dtype = l.in[0].dtype;
  const bool one = o.kind >= kLogSumExp;  // result a row
  const void *y = one ? nullptr : o.y, *g = *vjp ? o.g : nullptr;
  const RowSplit split = split_row(*vjp ? kBackward : kForward, dtype, n, {o.x, g, y});
  if (split.group) {
    const SoftmaxRowParams p{o.x, o.g, o.y, rows, n, o.target, o.kind, split.group};
    launch_blocks("softmax",
                  cat("softmax", split.odd ? "_odd" : "", vjp, split.ending(), suffix(dtype)),
                  split.blocks(rows), split.threads, p);
    return;
  }
  const RowParts parts = cut_rows(rows, n, current().multiprocessors());
  SoftmaxLongParams p{o.x,         o.g,        o.y,      nullptr, rows, n,
                      parts.count, parts.size, o.target, o.kind,  0};
  const int wide = load_width(dtype, n, {o.x, g, y});
  const std::string name = cat("softmax_long", vjp, "_w", wide, suffix(dtype));
  if (p.parts > 1) {
    p.tallies = l.workspace(rows * p.parts * 16);
    p.pass = 1;
    launch_blocks("softmax", name, rows * p.parts, kLongThreads, p);
    p.pass = 2;
  }
  launch_blocks("softmax", name, rows * p.parts, kLongThreads, p);
}

void run_columns(Launch& l, const Operands& o, const char* vjp, int64_t outer, int64_t n,
                 int64_t inner) {
  constexpr int64_t kPacks = 4;  // of a thread's, as in softmax_columns.cu
  const Dtype dtype = l.in[0].dtype;
  const int wide = load_width(dtype, inner, {o.x, o.g, o.y});
  const int64_t columns = outer * (inner / wide);
  // Eight threads beside each other read whole cache lines; the others share the columns.
  const int64_t few = std::min<int64_t>(
      wide > 1 ? 8 : 32, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(columns))));
  SoftmaxColumnParams p{o.x, o.g, o.y, outer, n, inner, o.kind, 0, 0};
  p.lines = static_cast<int>(std::clamp<int64_t>(
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>((n + kPacks - 1) / kPacks))), 1,
      kColumnThreads / few));
  p.across = kColumnThreads / p.lines;
  launch_blocks("softmax_columns", cat("softmax_columns", vjp, "_w", wide, suffix(dtype)),
                (columns + p.across - 1) / p.across, kColumnThreads, p);
}

template <int kind, bool vjp>
void run(Launch& l) {
  const View& x = l.in[0];
  const size_t axis =
      static_cast<size_t>(normalize_axis(l.op->name, l.attrs<SoftmaxAttrs>().axis, x.ndim()));
  if (x.size == 0) return;
  const Operands o{x.data, vjp ? l.in[1].data : nullptr, l.out[0].data, kind, {}};
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= x.dim(i);
  for (size_t i = axis + 1; i < x.ndim(); ++i) inner *= x.dim(i);
  if (inner == 1)
    run_rows(l, o, vjp ? "_vjp" : "", outer, x.dim(axis));
  else
    run_columns(l, o, vjp ? "_vjp" : "", outer, x.dim(axis), inner);
}

std::exception_ptr no_class(const char* op, const ValueReport& r) {
  const std::string value =
      r.place ? cat(static_cast<uint64_t>(r.value)) : cat(static_cast<int64_t>(r.value));
  return std::make_exception_ptr(
      IndexError(cat(op, ": target ", value, " is out of range for ", static_cast<int64_t>(r.bound),
                     " classes, the last axis of logits.")));
}

template <int kind>
void run_cross_entropy(Launch& l) {
  const View &x = l.in[0], &targets = l.in[1];
  if (x.size == 0) return;
  auto report = current().report("cross_entropy", no_class);
  const TargetParams target{targets.data, report.where, targets.dtype == Dtype::uint64};
  l.fail_unless(std::move(report.check));
  run_rows(l,
           {x.data, kind == kCrossEntropyVjp ? l.in[2].data : nullptr, l.out[0].data, kind, target},
           "", targets.size, x.shape->back());
}

// In row programs, where rows lie as they do in run_rows.
Reducer log_sum_exp(const void*, Dtype dtype, double) {
  return {{.image = "softmax", .type = cat("LogSumExp<", device_type(dtype), ">")}};
}
RowsWalk walk_softmax(const GpuDevice&, Dtype dtype, int64_t, int64_t n) {
  const RowSplit split = split_row(kForward, dtype, n, {});
  const bool fits = split.group && split.group <= kReduceThreads && split.instance.wide > 1;
  return {fits && !split.odd ? split.group : 0};
}
constexpr ReducerOf kLogSumExpOf{log_sum_exp, walk_softmax, true};
int last_axis(const void* attrs, size_t rank) {
  const int64_t axis =
      normalize_axis("logsumexp", static_cast<const SoftmaxAttrs*>(attrs)->axis, rank);
  return axis + 1 == static_cast<int64_t>(rank);
}

}  // namespace

void register_softmax_kernels(KernelTable& table) {
  auto add = [&](const char* name, void (*run)(Launch&), int8_t reuses) {
    add_kernels(table, op_named(name), FloatTypes{},
                [=](auto) { return Kernel{run, AcceptLayout::row_major, reuses}; });
  };
  add("softmax", run<kSoftmax, false>, 0);
  add("log_softmax", run<kLogSoftmax, false>, 0);
  add_kernels(table, op_named("logsumexp"), FloatTypes{}, [](auto) {
    return Kernel{.run = run<kLogSumExp, false>, .row_axes = last_axis, .own = &kLogSumExpOf};
  });
  add("softmax_vjp", run<kSoftmax, true>, 1);
  add("log_softmax_vjp", run<kLogSoftmax, true>, 1);
  add("cross_entropy", run_cross_entropy<kCrossEntropy>, -1);
  add("cross_entropy_vjp", run_cross_entropy<kCrossEntropyVjp>, -1);
}

}  // namespace legato::cuda
