#include "legato/ops/scan/scan.h"

#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/scan/ops.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

void infer(Inference& in) {
  normalize_axis(in.name(), in.attrs<ScanAttrs>().axis, in.shape().size());
  in.result(in.shape(), in.dtype());
}
void infer_logcumsumexp(Inference& in) {
  if (!is_floating(in.dtype()))
    throw ValueError(cat("logcumsumexp: the dtype is ", in.dtype(), "; expected a floating one."));
  infer(in);
}

void batch(const BatchedCall& c, std::span<Array> out) {
  ScanAttrs attrs = c.attrs<ScanAttrs>();
  attrs.axis = normalize_axis(c.op.name, attrs.axis, c.rank()) + 1;
  out[0] = bind(c.op, c.in, &attrs);
}

ScanAttrs reversed(const Call& c) {
  ScanAttrs attrs = c.attrs<ScanAttrs>();
  attrs.reverse = !attrs.reverse;
  return attrs;
}

Array transpose_cumsum(const Call& c, int, const Array& cotangent) {
  return bind(cumsum_op, {cotangent}, reversed(c));
}

// Without zeros the cotangent of x[i] is sum over j >= i of g[j] y[j] / x[i]. At the first zero of
// a scan the same holds with a one in its place; behind it, every product contains that zero.
void vjp_cumprod(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  const auto& attrs = c.attrs<ScanAttrs>();
  auto conj = [](const Array& a) { return is_complex(a.dtype()) ? conjugate(a) : a; };
  const Array& x = c.in();
  Array zero = equal(x, 0);
  Array zeros_so_far =
      bind(cumsum_op, {astype(zero, Dtype::int32)}, ScanAttrs{attrs.axis, attrs.reverse, true});
  Array first = logical_and(zero, equal(zeros_so_far, 1));
  Array filled = where(first, 1, x);
  auto sums = [&](const Array& y) {
    return bind(cumsum_op, {multiply(cotangents[0], conj(y))}, reversed(c));
  };
  Array regular = divide(sums(c.out()), conj(where(zero, 1, x)));
  result[0] = where(first, sums(bind(cumprod_op, {filled}, attrs)), where(zero, 0, regular));
}

/// Which element each output shows: its index along the axis. Where an exclusive scan starts, it
/// shows none, and `shows` is false.
struct Sources {
  Array index, shows;
};
Sources sources(const Call& c) {
  const auto& attrs = c.attrs<ScanAttrs>();
  const bool largest = &c.op() == &cummax_op;
  const Array& x = c.in();
  const auto axis = static_cast<size_t>(normalize_axis(c.op().name, attrs.axis, x.ndim()));
  const int64_t n = x.shape()[axis], start = attrs.reverse ? n - 1 : 0;
  Shape line = Dims::filled(x.ndim(), 1);
  line[axis] = n;
  Array places = reshape(arange(Scalar(int64_t{0}), Scalar(n), {}, Dtype::int32), line);
  Array before = bind(c.op(), {x}, ScanAttrs{attrs.axis, attrs.reverse, false});
  Array at = where(largest ? greater(x, before) : less(x, before), places, start);  // new extremes
  Array index = bind(attrs.reverse ? cummin_op : cummax_op, {at}, attrs);
  if (attrs.inclusive) return {index, literal(true, Dtype::bool_)};
  return {minimum(maximum(index, 0), n - 1), not_equal(places, start)};
}
void vjp_extreme(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  const Sources s = sources(c);
  result[0] = put_along_axis(zeros_like(cotangents[0]), s.index, where(s.shows, cotangents[0], 0),
                             c.attrs<ScanAttrs>().axis, UpdateMode::add);
}
void jvp_extreme(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  const Sources s = sources(c);
  result[0] = where(s.shows, take_along_axis(tangents[0], s.index, c.attrs<ScanAttrs>().axis), 0);
}

// The derivatives of logcumsumexp are scans out[j] = exp(b[j]) * sum over i of v[i] exp(a[i]):
// linear in v, and closed under differentiation.
Array exp_scan(const Array& v, const Array& a, const Array& b, const ScanAttrs& attrs) {
  return bind(exp_scan_op, {v, a, b}, attrs);
}
void vjp_logcumsumexp(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  result[0] = exp_scan(cotangents[0], negative(c.out()), c.in(), reversed(c));
}
void jvp_logcumsumexp(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  result[0] = exp_scan(tangents[0], c.in(), negative(c.out()), c.attrs<ScanAttrs>());
}

void infer_exp_scan(Inference& in) {
  if (!(in.shape(0) == in.shape(1) && in.shape(0) == in.shape(2)) || in.dtype(0) != in.dtype(1) ||
      in.dtype(0) != in.dtype(2))
    throw ValueError("exp_scan: the inputs differ in shape or dtype.");
  infer_logcumsumexp(in);
}
void batch_exp_scan(const BatchedCall& c, std::span<Array> out) {
  ScanAttrs attrs = c.attrs<ScanAttrs>();
  attrs.axis = normalize_axis(c.op.name, attrs.axis, c.rank()) + 1;
  out[0] = bind(c.op, {c.with_axis(0), c.with_axis(1), c.with_axis(2)}, attrs);
}
void vjp_exp_scan(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  const Array& g = cotangents[0];
  result[0] = exp_scan(g, c.in(2), c.in(1), reversed(c));
  result[1] = multiply(c.in(0), result[0]);
  result[2] = multiply(g, c.out());
}
void jvp_exp_scan(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  auto put = [&](const Array& term) { result[0] = result[0] ? add(result[0], term) : term; };
  Array v = tangents[0];
  if (tangents[1]) {
    Array from_a = multiply(c.in(0), tangents[1]);
    v = v ? add(v, from_a) : from_a;
  }
  if (v) put(exp_scan(v, c.in(1), c.in(2), c.attrs<ScanAttrs>()));
  if (tangents[2]) put(multiply(c.out(), tangents[2]));
}

}  // namespace

constinit const Op exp_scan_op{
    .name = "exp_scan",
    .attrs = &attrs_type<ScanAttrs>,
    .infer = infer_exp_scan,
    .derive = Vjp(vjp_exp_scan, jvp_exp_scan),
    .batch = batch_exp_scan,
};
constinit const Op cumsum_op{
    .name = "cumsum",
    .attrs = &attrs_type<ScanAttrs>,
    .infer = infer,
    .derive = Linear(1, transpose_cumsum),
    .batch = batch,
};
constinit const Op cumprod_op{
    .name = "cumprod",
    .attrs = &attrs_type<ScanAttrs>,
    .infer = infer,
    .derive = Vjp(vjp_cumprod),
    .batch = batch,
};
constinit const Op cummax_op{
    .name = "cummax",
    .attrs = &attrs_type<ScanAttrs>,
    .infer = infer,
    .derive = Vjp(vjp_extreme, jvp_extreme),
    .batch = batch,
};
constinit const Op cummin_op{
    .name = "cummin",
    .attrs = &attrs_type<ScanAttrs>,
    .infer = infer,
    .derive = Vjp(vjp_extreme, jvp_extreme),
    .batch = batch,
};
constinit const Op logcumsumexp_op{
    .name = "logcumsumexp",
    .attrs = &attrs_type<ScanAttrs>,
    .infer = infer_logcumsumexp,
    .derive = Vjp(vjp_logcumsumexp, jvp_logcumsumexp),
    .batch = batch,
};

namespace {

Array scan(const Op& op, const Array& a, const std::optional<int>& axis, bool reverse,
           bool inclusive) {
  return axis ? bind(op, {a}, ScanAttrs{*axis, reverse, inclusive})
              : bind(op, {flatten(a)}, ScanAttrs{0, reverse, inclusive});
}

}  // namespace

Array cumsum(const Array& a, const std::optional<int>& axis, bool reverse, bool inclusive,
             const std::optional<Dtype>& dtype) {
  const Dtype t = dtype ? *dtype : is_bool(a.dtype()) ? Dtype::int32 : a.dtype();
  return scan(cumsum_op, astype(a, t), axis, reverse, inclusive);
}
Array cumprod(const Array& a, const std::optional<int>& axis, bool reverse, bool inclusive,
              const std::optional<Dtype>& dtype) {
  return scan(cumprod_op, dtype ? astype(a, *dtype) : a, axis, reverse, inclusive);
}
Array cummax(const Array& a, const std::optional<int>& axis, bool reverse, bool inclusive) {
  return scan(cummax_op, a, axis, reverse, inclusive);
}
Array cummin(const Array& a, const std::optional<int>& axis, bool reverse, bool inclusive) {
  return scan(cummin_op, a, axis, reverse, inclusive);
}
Array logcumsumexp(const Array& a, const std::optional<int>& axis, bool reverse, bool inclusive) {
  return scan(logcumsumexp_op, is_inexact(a.dtype()) ? a : astype(a, Dtype::float32), axis, reverse,
              inclusive);
}

namespace {

#define LEGATO_SCAN_DOC(first)                                                          \
  first                                                                                 \
      "\n\n"                                                                            \
      "Args:\n"                                                                         \
      "    a: Array.\n"                                                                 \
      "    axis: An axis, or None for the flattened array.\n"                           \
      "    reverse: Whether to run from the end to the front.\n"                        \
      "    inclusive: Whether element i of the result includes element i. If not, it\n" \
      "        combines those before it.\n"
constinit const Function cumsum_function = function<&cumsum>(
    "cumsum", "a, /, axis=None, *, reverse=False, inclusive=True, dtype=None",
    LEGATO_SCAN_DOC(
        "Running sum along `axis`.") R"(    dtype: dtype of the result; that of `a` if None (int32 for bool). Integers wrap.

Differentiable. Half types accumulate in float32.

>>> cumsum(array([1, 2, 3]))
array([1, 3, 6], dtype=int32)
)");
constinit const Function cumprod_function = function<&cumprod>(
    "cumprod", "a, /, axis=None, *, reverse=False, inclusive=True, dtype=None",
    LEGATO_SCAN_DOC(
        "Running product along `axis`.") R"(    dtype: dtype of the result; that of `a` if None. Integers wrap.

Differentiable, also where factors are 0. Half types accumulate in float32.

>>> cumprod(array([1, 2, 3]))
array([1, 2, 6], dtype=int32)
)");
constinit const Function cummax_function = function<&cummax>(
    "cummax", "a, /, axis=None, *, reverse=False, inclusive=True",
    LEGATO_SCAN_DOC("Running maximum along `axis`; nan from the first nan on.") R"(
Differentiable; the first of equal elements counts.

>>> cummax(array([1, 3, 2]))
array([1, 3, 3], dtype=int32)
)");
constinit const Function cummin_function = function<&cummin>(
    "cummin", "a, /, axis=None, *, reverse=False, inclusive=True",
    LEGATO_SCAN_DOC("Running minimum along `axis`; nan from the first nan on.") R"(
Differentiable; the first of equal elements counts.

>>> cummin(array([3, 1, 2]))
array([3, 1, 1], dtype=int32)
)");
constinit const Function logcumsumexp_function = function<&logcumsumexp>(
    "logcumsumexp", "a, /, axis=None, *, reverse=False, inclusive=True",
    LEGATO_SCAN_DOC("log(cumsum(exp(a))) along `axis`, without overflow.") R"(
Integers give float32. Differentiable.

>>> logcumsumexp(array([0.0, 0.0]))
array([0, 0.693147], dtype=float32)
)");
#undef LEGATO_SCAN_DOC

// The standard's names.
constinit const Function cumulative_sum_function = function<&cumsum>(
    "cumulative_sum", "a, /, axis=None, *, reverse=False, inclusive=True, dtype=None",
    "Running sum along `axis`; the same as `cumsum`.");
constinit const Function cumulative_prod_function = function<&cumprod>(
    "cumulative_prod", "a, /, axis=None, *, reverse=False, inclusive=True, dtype=None",
    "Running product along `axis`; the same as `cumprod`.");

}  // namespace

void register_diff(Registry& r);

void register_scan(Registry& r) {
  register_diff(r);
  for (const Op* op :
       {&cumsum_op, &cumprod_op, &cummax_op, &cummin_op, &logcumsumexp_op, &exp_scan_op})
    r.add(*op);
  for (const Function* f :
       {&cumsum_function, &cumprod_function, &cummax_function, &cummin_function,
        &logcumsumexp_function, &cumulative_sum_function, &cumulative_prod_function})
    r.add(*f);
}

}  // namespace legato
