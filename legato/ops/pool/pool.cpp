#include "legato/ops/pool/pool.h"

#include <limits>

#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/pool/ops.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

// --- shapes
// ---------------------------------------------------------------------------------------

Shape pooled_shape(const char* op, const Shape& x, const PoolAttrs& attrs) {
  const size_t n = attrs.kernel.size();
  if (x.size() != n + 2)
    throw ValueError(cat(op, ": x has shape ", x, "; expected (N, ", n, " spatial sizes, C)."));
  Shape out = x;
  for (size_t d = 0; d < n; ++d) {
    const int64_t padded = x[d + 1] + attrs.low[d] + attrs.high[d];
    if (padded < attrs.kernel[d])
      throw ValueError(cat(op, ": a window of ", attrs.kernel[d], " does not fit into dimension ",
                           d + 1, " of ", x, ", which has ", padded, " with its padding."));
    out[d + 1] = (padded - attrs.kernel[d]) / attrs.stride[d] + 1;
  }
  return out;
}

void infer_max(Inference& in) {
  if (is_complex(in.dtype()))
    throw ValueError(cat(in.name(), ": the dtype is ", in.dtype(), "; expected a real one."));
  in.result(pooled_shape(in.name(), in.shape(), in.attrs<PoolAttrs>()), in.dtype());
}
void infer_avg(Inference& in) {
  if (!is_inexact(in.dtype()))
    throw ValueError(
        cat(in.name(), ": the dtype is ", in.dtype(), "; expected a floating or complex one."));
  in.result(pooled_shape(in.name(), in.shape(), in.attrs<PoolAttrs>()), in.dtype());
}
void infer_like_first(Inference& in) { in.result(in.shape(), in.dtype()); }
void infer_transpose(Inference& in) {
  Shape out = in.shape();
  const Dims& size = in.attrs<PoolAttrs>().size;
  for (size_t d = 0; d < size.size(); ++d) out[d + 1] = size[d];
  in.result(out, in.dtype());
}

// --- meaning: a window is a sum, or maximum, over slices of the padded input
// ------------------------

/// Calls f(slice of the padded input that holds element `offset` of every window), for each offset.
template <class F>
void for_offsets(const PoolAttrs& attrs, const Shape& out, F f) {
  const size_t n = attrs.kernel.size();
  Dims offset = Dims::filled(n, 0);
  while (true) {
    SliceAttrs part = full_slice(n + 2);
    for (size_t d = 0; d < n; ++d) {
      part.start[d + 1] = offset[d];
      part.stop[d + 1] = offset[d] + (out[d + 1] - 1) * attrs.stride[d] + 1;
      part.step[d + 1] = attrs.stride[d];
    }
    f(part);
    size_t d = n;
    while (d-- > 0) {
      if (++offset[d] < attrs.kernel[d]) break;
      offset[d] = 0;
      if (d == 0) return;
    }
  }
}

Array padded(const Array& x, const PoolAttrs& attrs, const Scalar& value) {
  std::vector<Dims> widths{Dims{0, 0}};
  bool any = false;
  for (size_t d = 0; d < attrs.kernel.size(); ++d) {
    widths.push_back(Dims{attrs.low[d], attrs.high[d]});
    any = any || attrs.low[d] || attrs.high[d];
  }
  widths.push_back(Dims{0, 0});
  return any ? pad(x, widths, "constant", value) : x;
}

Scalar lowest(Dtype dtype) {
  if (is_floating(dtype)) return Scalar(-std::numeric_limits<double>::infinity());
  if (is_bool(dtype)) return Scalar(false);
  if (is_unsigned_integer(dtype)) return Scalar(0);
  return Scalar(std::numeric_limits<int64_t>::min() >> (64 - 8 * size_of(dtype)));
}

void expand_max(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<PoolAttrs>();
  Array x = padded(c.in(), attrs, lowest(c.in().dtype())), top;
  for_offsets(attrs, pooled_shape("max_pool", c.in().shape(), attrs), [&](const SliceAttrs& part) {
    Array here = slice(x, part);
    top = top ? maximum(top, here) : here;
  });
  out[0] = top;
}

int64_t window_size(const PoolAttrs& attrs) { return element_count(attrs.kernel); }

void expand_avg(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<PoolAttrs>();
  Array x = padded(astype(c.in(), compute_dtype(c.in().dtype())), attrs, Scalar(0)), total;
  for_offsets(attrs, pooled_shape("avg_pool", c.in().shape(), attrs), [&](const SliceAttrs& part) {
    Array here = slice(x, part);
    total = total ? add(total, here) : here;
  });
  out[0] = astype(multiply(total, 1.0 / static_cast<double>(window_size(attrs))), c.in().dtype());
}

/// A padded array of zeros, to which parts are added, and its inside.
class Spread {
 public:
  Spread(const Shape& x, const PoolAttrs& attrs, Dtype dtype) : inside_(full_slice(x.size())) {
    Shape all = x;
    for (size_t d = 0; d < attrs.kernel.size(); ++d) {
      all[d + 1] += attrs.low[d] + attrs.high[d];
      inside_.start[d + 1] = attrs.low[d];
      inside_.stop[d + 1] = attrs.low[d] + x[d + 1];
    }
    sums_ = zeros(all, dtype);
  }
  void add_to(const SliceAttrs& part, const Array& value) {
    sums_ = slice_update(sums_, add(slice(sums_, part), value), part);
  }
  Array result(Dtype dtype) const { return astype(slice(sums_, inside_), dtype); }

 private:
  SliceAttrs inside_;
  Array sums_;
};

void expand_max_vjp(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<PoolAttrs>();
  const Dtype dtype = c.in().dtype(), compute = compute_dtype(to_inexact(dtype));
  const Array &y = c.in(1), x = padded(c.in(0), attrs, lowest(dtype));
  Array count;
  for_offsets(attrs, y.shape(), [&](const SliceAttrs& part) {
    Array hit = astype(equal(slice(x, part), y), compute);
    count = count ? add(count, hit) : hit;
  });
  Array share = divide(astype(c.in(2), compute), count);
  Spread dx(c.in(0).shape(), attrs, compute);
  for_offsets(attrs, y.shape(), [&](const SliceAttrs& part) {
    dx.add_to(part, where(equal(slice(x, part), y), share, 0));
  });
  out[0] = dx.result(dtype);
}
void expand_transpose(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<PoolAttrs>();
  const Array& g = c.in();
  const Dtype compute = compute_dtype(g.dtype());
  Shape shape = g.shape();
  for (size_t d = 0; d < attrs.size.size(); ++d) shape[d + 1] = attrs.size[d];
  Array share = multiply(astype(g, compute), 1.0 / static_cast<double>(window_size(attrs)));
  Spread dx(shape, attrs, compute);
  for_offsets(attrs, g.shape(), [&](const SliceAttrs& part) { dx.add_to(part, share); });
  out[0] = dx.result(g.dtype());
}

// --- rules
// ----------------------------------------------------------------------------------------

// A batch axis joins the samples.
void batch(const BatchedCall& c, std::span<Array> out) {
  Array in[3];
  for (size_t i = 0; i < c.in.size(); ++i) in[i] = flatten(c.with_axis(static_cast<int>(i)), 0, 1);
  Array y = bind(c.op, std::span<const Array>(in, c.in.size()), c.raw_attrs);
  out[0] = unflatten(y, 0, Shape{c.size, -1});
}

void vjp_max(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  result[0] = bind(max_pool_vjp_op, {c.in(), c.out(), cotangents[0]}, c.attrs<PoolAttrs>());
}
Array transpose_avg(const Call& c, int, const Array& cotangent) {
  PoolAttrs attrs = c.attrs<PoolAttrs>();
  attrs.size.clear();
  for (size_t d = 0; d < attrs.kernel.size(); ++d) attrs.size.push_back(c.in().shape()[d + 1]);
  return bind(avg_pool_transpose_op, {cotangent}, attrs);
}
Array transpose_back(const Call& c, int, const Array& cotangent) {
  PoolAttrs attrs = c.attrs<PoolAttrs>();
  attrs.size.clear();
  return bind(avg_pool_op, {cotangent}, attrs);
}

}  // namespace

constinit const Op max_pool_op{
    .name = "max_pool",
    .attrs = &attrs_type<PoolAttrs>,
    .infer = infer_max,
    .expand = expand_max,
    .derive = Vjp(vjp_max),
    .batch = batch,
};
constinit const Op avg_pool_op{
    .name = "avg_pool",
    .attrs = &attrs_type<PoolAttrs>,
    .infer = infer_avg,
    .expand = expand_avg,
    .derive = Linear(1, transpose_avg),
    .batch = batch,
};
constinit const Op max_pool_vjp_op{
    .name = "max_pool_vjp",
    .attrs = &attrs_type<PoolAttrs>,
    .infer = infer_like_first,
    .expand = expand_max_vjp,
    .derive = ThroughExpand(),
    .batch = batch,
};
constinit const Op avg_pool_transpose_op{
    .name = "avg_pool_transpose",
    .attrs = &attrs_type<PoolAttrs>,
    .infer = infer_transpose,
    .expand = expand_transpose,
    .derive = Linear(1, transpose_back),
    .batch = batch,
};

namespace {

Dims for_each_dimension(const char* op, const char* what, const Dims& given, size_t n,
                        int64_t least) {
  Dims all = given.size() == 1 ? Dims::filled(n, given[0]) : given;
  if (all.size() != n)
    throw ValueError(cat(op, ": ", what, " is ", given, "; expected 1 or ", n,
                         " numbers, one a spatial dimension."));
  for (int64_t v : all)
    if (v < least)
      throw ValueError(cat(op, ": ", what, " is ", given, "; expected at least ", least, "."));
  return all;
}

PoolAttrs pool_attrs(const char* op, const Array& x, const Dims& kernel_size, const Axes& stride,
                     const NestedInts& padding) {
  if (x.ndim() < 3 || x.ndim() > 5)
    throw ValueError(cat(op, ": x has shape ", x.shape(),
                         "; expected (N, spatial..., C) with 1 to 3 spatial dimensions."));
  const size_t n = x.ndim() - 2;
  PoolAttrs attrs;
  attrs.kernel = for_each_dimension(op, "kernel_size", kernel_size, n, 1);
  attrs.stride = for_each_dimension(op, "stride", stride ? *stride : attrs.kernel, n, 1);
  if (padding.kind != NestedInts::Kind::nested) {
    attrs.low = for_each_dimension(op, "padding",
                                   padding.values.empty() ? Dims{0} : padding.values[0], n, 0);
    attrs.high = attrs.low;
  } else {
    if (padding.values.size() != n)
      throw ValueError(
          cat(op, ": padding has ", padding.values.size(), " entries; expected ", n, "."));
    for (const Dims& d : padding.values) {
      if (d.size() < 1 || d.size() > 2)
        throw ValueError(
            cat(op, ": padding has an entry ", d, "; expected a number or a pair (low, high)."));
      attrs.low.push_back(d[0]);
      attrs.high.push_back(d.back());
    }
    for_each_dimension(op, "padding", attrs.low, n, 0);
    for_each_dimension(op, "padding", attrs.high, n, 0);
  }
  for (size_t d = 0; d < n; ++d)  // a window of padding alone has no largest element
    if (attrs.low[d] >= attrs.kernel[d] || attrs.high[d] >= attrs.kernel[d])
      throw ValueError(cat(op, ": padding of ", attrs.low[d], " and ", attrs.high[d],
                           " in dimension ", d + 1, "; expected less than the kernel's size, ",
                           attrs.kernel[d], "."));
  return attrs;
}

}  // namespace

Array max_pool(const Array& x, const Dims& kernel_size, const Axes& stride,
               const NestedInts& padding) {
  return bind(max_pool_op, {x}, pool_attrs("max_pool", x, kernel_size, stride, padding));
}
Array avg_pool(const Array& x, const Dims& kernel_size, const Axes& stride,
               const NestedInts& padding) {
  return bind(avg_pool_op, {x}, pool_attrs("avg_pool", x, kernel_size, stride, padding));
}

namespace {

constinit const Function max_pool_function =
    function<&max_pool>("max_pool", "x, kernel_size, stride=None, padding=0",
                        R"(Largest element of each window of positions, channel by channel.

Args:
    x: Array of shape (N, spatial..., C), one to three spatial dimensions, channels last.
    kernel_size: Size of the window: a number, or one for each dimension.
    stride: Distance of windows; kernel_size if None.
    padding: A number, one for each dimension, or a pair (low, high) for each. Padding never wins.

Returns:
    Array of shape (N, windows..., C), with (size + low + high - kernel) // stride + 1 windows.
    Differentiable; equal largest elements share the derivative.

Raises:
    ValueError: if a window does not fit, or a padding is not smaller than the kernel.

>>> fast.max_pool(array([[[1.0], [3.0], [2.0], [0.0]]]), 2)
array([[[3],
        [2]]], dtype=float32)
)",
                        "fast");
constinit const Function avg_pool_function = function<&avg_pool>(
    "avg_pool", "x, kernel_size, stride=None, padding=0",
    R"(Mean of each window of positions, channel by channel; padding counts as zeros.

Args as for `max_pool`; x is floating or complex. Half types add up in float32. Differentiable.

>>> fast.avg_pool(array([[[1.0], [3.0], [2.0], [0.0]]]), 2)
array([[[2],
        [1]]], dtype=float32)
)",
    "fast");

}  // namespace

void register_pool(Registry& r) {
  for (const Op* op : {&max_pool_op, &avg_pool_op, &max_pool_vjp_op, &avg_pool_transpose_op})
    r.add(*op);
  for (const Function* f : {&max_pool_function, &avg_pool_function}) r.add(*f);
}

}  // namespace legato
