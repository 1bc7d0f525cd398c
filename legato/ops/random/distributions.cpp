#include <numbers>

#include "legato/op/composed.h"
#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/arg_reduce/arg_reduce.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/random/ops.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/scan/scan.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/softmax.h"
#include "legato/ops/sort/sort.h"

namespace legato::random {
namespace {

constexpr double kSqrt2 = std::numbers::sqrt2;

Dtype floating(const char* op, const std::optional<Dtype>& dtype) {
  Dtype t = dtype.value_or(Dtype::float32);
  if (!is_floating(t)) throw ValueError(cat(op, ": dtype is ", t, "; expected a floating one."));
  return t;
}

Shape shape_of(const Operand& o) { return o.is_array() ? o.array().shape() : Shape(); }
Array as_array(const Operand& o, Dtype dtype) {
  return o.is_array() ? astype(o.array(), dtype) : literal(o.scalar(), dtype);
}

/// `shape`, to which the parameters must broadcast; their common shape if none is given.
Shape drawn_shape(const char* op, const Axes& shape, const Operand& a, const Operand& b) {
  Shape common = broadcast_shapes(op, shape_of(a), shape_of(b));
  if (!shape) return common;
  if (!(broadcast_shapes(op, common, *shape) == *shape))
    throw ValueError(cat(op, ": parameters of shape ", common, " do not broadcast to shape=",
                         *shape, ". Give a shape that contains theirs."));
  return *shape;
}

/// Uniform in [0, 1), of a floating dtype.
Array unit(const Shape& shape, Dtype dtype, const std::optional<Array>& key) {
  if (dtype == Dtype::float64)
    return multiply(astype(right_shift(bits(shape, 8, key), 11), Dtype::float64), 0x1p-53);
  return numbers(shape, dtype, false, key);
}

/// Uniform in (-1, 1), float32 or float64: what the symmetric distributions are made from.
Array symmetric(const Shape& shape, Dtype dtype, const std::optional<Array>& key) {
  return uniform(dtype == Dtype::float64 ? -1 + 0x1p-53 : -1 + 0x1p-24, 1.0, shape, dtype, key);
}

}  // namespace

Array uniform(const Operand& low, const Operand& high, const Dims& shape,
              const std::optional<Dtype>& dtype, const std::optional<Array>& key) {
  const Dtype t = floating("uniform", dtype);
  drawn_shape("uniform", shape, low, high);
  Array u = unit(shape, t, key);
  if (!low.is_array() && !high.is_array() && low.scalar().real() == 0 && high.scalar().real() == 1)
    return u;
  Array a = as_array(low, t), b = as_array(high, t);
  return add(a, multiply(subtract(b, a), u));
}

Array normal(const Dims& shape, const std::optional<Dtype>& dtype,
             const std::optional<Operand>& loc, const std::optional<Operand>& scale,
             const std::optional<Array>& key) {
  const Dtype t = dtype.value_or(Dtype::float32);
  if (!is_inexact(t))
    throw ValueError(cat("normal: dtype is ", t, "; expected a floating or complex one."));
  drawn_shape("normal", shape, loc.value_or(Operand(0)), scale.value_or(Operand(0)));
  Array n;
  if (is_floating(t) && t != Dtype::float64) {
    n = numbers(shape, t, true, key);
  } else {
    Shape parts = shape;
    if (is_complex(t)) parts.push_back(2);
    n = multiply(erfinv(symmetric(parts, real_part(t), key)), is_complex(t) ? 1.0 : kSqrt2);
    if (is_complex(t)) n = squeeze(view(n, t), Dims{-1});
  }
  if (scale) n = multiply(n, as_array(*scale, t));
  if (loc) n = add(n, as_array(*loc, t));
  return n;
}

Array bernoulli(const Operand& p, const Axes& shape, const std::optional<Array>& key) {
  if (!shape && p.is_array() && tracing_shapeless())
    return composed("bernoulli", {p.array(), key ? *key : next_key()},
                    [](Inputs in) { return bernoulli(in[0], {}, in[1]); });
  const Shape drawn = drawn_shape("bernoulli", shape, p, p);
  if (p.is_array() && is_complex(p.array().dtype()))
    throw ValueError(cat("bernoulli: p is ", p.array().dtype(), "; expected real numbers."));
  // Below 2^32, so that a probability of 1 is certain.
  Array u = minimum(astype(bits(drawn, 4, key), Dtype::float32), 0x1.fffffep31);
  return less(u, multiply(as_array(p, Dtype::float32), 0x1p32));
}

Array randint(const Operand& low, const Operand& high, const Dims& shape,
              const std::optional<Dtype>& dtype, const std::optional<Array>& key) {
  const Dtype t = dtype.value_or(Dtype::int32);
  if (!is_integer(t)) throw ValueError(cat("randint: dtype is ", t, "; expected an integer one."));
  drawn_shape("randint", shape, low, high);
  const Dtype wide = size_of(t) == 8 ? Dtype::float64 : Dtype::float32;
  Array a = as_array(low, wide), b = as_array(high, wide);
  Array drawn = floor(add(a, multiply(subtract(b, a), unit(shape, wide, key))));
  return astype(maximum(minimum(drawn, subtract(b, 1.0)), a), t);  // rounding may reach high
}

Array laplace(const Dims& shape, const std::optional<Dtype>& dtype, double loc, double scale,
              const std::optional<Array>& key) {
  const Dtype t = floating("laplace", dtype);
  Array u = symmetric(shape, compute_dtype(t), key);
  Array x = astype(multiply(sign(u), log1p(negative(abs(u)))), t);
  if (scale != 1) x = multiply(x, scale);
  return loc != 0 ? add(x, loc) : x;
}

Array gumbel(const Dims& shape, const std::optional<Dtype>& dtype,
             const std::optional<Array>& key) {
  const Dtype t = floating("gumbel", dtype);
  return astype(negative(log(negative(log(unit(shape, compute_dtype(t), key))))), t);
}

Array truncated_normal(const Operand& lower, const Operand& upper, const Axes& shape,
                       const std::optional<Dtype>& dtype, const std::optional<Array>& key) {
  const Dtype t = floating("truncated_normal", dtype), wide = compute_dtype(t);
  if (!shape && (lower.is_array() || upper.is_array()) && tracing_shapeless())
    return composed(
        "truncated_normal", {as_array(lower, wide), as_array(upper, wide), key ? *key : next_key()},
        [dtype](Inputs in) { return truncated_normal(in[0], in[1], {}, dtype, in[2]); });
  const Shape drawn = drawn_shape("truncated_normal", shape, lower, upper);
  Array a = as_array(lower, wide), b = as_array(upper, wide);
  Array u = uniform(erf(multiply(a, 1 / kSqrt2)), erf(multiply(b, 1 / kSqrt2)), drawn, wide, key);
  return astype(minimum(maximum(multiply(erfinv(u), kSqrt2), a), b), t);
}

Array categorical(const Array& logits, int axis, const Axes& shape,
                  const std::optional<int>& num_samples, const std::optional<Array>& key) {
  if (shape && num_samples)
    throw ValueError(
        "categorical: both shape and num_samples are given; give at most one of them.");
  if (!shape && tracing_shapeless())
    return composed("categorical", {logits, key ? *key : next_key()},
                    [axis, num_samples](Inputs in) {
                      return categorical(in[0], axis, {}, num_samples, in[1]);
                    });
  const int at = normalize_axis("categorical", axis, logits.ndim());
  Array l = is_floating(logits.dtype()) ? logits : astype(logits, Dtype::float32);
  Shape rest = l.shape();
  rest.erase(static_cast<size_t>(at));
  Shape drawn = rest;
  if (num_samples) {
    if (*num_samples < 0)
      throw ValueError(cat("categorical: num_samples is ", *num_samples, "; expected 0 or more."));
    drawn.push_back(*num_samples);
  } else if (shape) {
    drawn = *shape;
    if (!(broadcast_shapes("categorical", rest, drawn) == drawn))
      throw ValueError(cat("categorical: distributions of shape ", rest,
                           " do not broadcast to shape=", drawn, "."));
  }
  const int64_t n = l.shape()[static_cast<size_t>(at)];
  if (n == 0)
    throw ValueError(
        cat("categorical: no categories: axis ", at, " of ", logits.shape(), " is empty."));

  if ((shape || num_samples) && l.size() == n) {  // one distribution, many draws: invert its sum
    Array sums = cumsum(softmax(astype(reshape(l, Shape{n}), Dtype::float32), Dims{0}), 0);
    Array u = multiply(unit(drawn, Dtype::float32, key), max(sums));
    return minimum(searchsorted(sums, u, "right"), literal(n - 1, Dtype::uint32));
  }
  if (num_samples) l = expand_dims(l, Dims{-1});
  const size_t place = static_cast<size_t>(at) + drawn.size() + 1 - l.ndim();
  Shape noise = drawn;
  noise.insert(place, n);
  return argmax(add(l, astype(gumbel(noise, Dtype::float32, key), l.dtype())),
                static_cast<int>(place));
}

Array permutation(const Operand& x, int axis, const std::optional<Array>& key) {
  if (!x.is_array()) {
    const Scalar& s = x.scalar();
    if (s.kind != Scalar::Kind::integer || s.i < 0)
      throw ValueError(cat("permutation: x is ", s, "; expected an array or a length, 0 or more."));
    return argsort(bits(Shape{s.i}, 4, key), 0);
  }
  if (tracing_shapeless())
    return composed("permutation", {x.array(), key ? *key : next_key()},
                    [axis](Inputs in) { return permutation(in[0], axis, in[1]); });
  const int at = normalize_axis("permutation", axis, x.array().ndim());
  return take(x.array(),
              argsort(bits(Shape{x.array().shape()[static_cast<size_t>(at)]}, 4, key), 0), at);
}

namespace {

constinit const Function uniform_function =
    function<&uniform>("uniform", "low=0, high=1, shape=[], dtype=float32, key=None",
                       R"(Uniform numbers in [low, high).

Args:
    low: Number or array.
    high: Number or array.
    shape: Shape of the result, to which low and high must broadcast.
    dtype: A floating dtype. float64 draws 53 bits, the others 32.
    key: uint32 array of shape (2,); the thread's state if None.

Raises:
    ValueError: if the parameters do not broadcast to the shape, or the dtype is not floating.

>>> random.uniform(shape=(3,), key=random.key(0))
array([0.965321, 0.314682, 0.63303], dtype=float32)
)",
                       "random");
constinit const Function normal_function =
    function<&normal>("normal", "shape=[], dtype=float32, loc=None, scale=None, key=None",
                      R"(Normal numbers with mean `loc` (0) and standard deviation `scale` (1).

Args:
    shape: Shape of the result, to which loc and scale must broadcast.
    dtype: A floating dtype or complex64, whose parts share the variance.
    loc: Number or array.
    scale: Number or array.
    key: uint32 array of shape (2,); the thread's state if None.

>>> random.normal(shape=(3,), key=random.key(0))
array([1.81609, -0.482623, 0.339889], dtype=float32)
)",
                      "random");
constinit const Function bernoulli_function =
    function<&bernoulli>("bernoulli", "p=0.5, shape=None, key=None",
                         R"(True with probability `p`.

Args:
    p: Number or array.
    shape: Shape of the result, to which p must broadcast; the shape of p if None.
    key: uint32 array of shape (2,); the thread's state if None.

>>> random.bernoulli(1.0, shape=(2,))
array([True, True], dtype=bool)
)",
                         "random");
constinit const Function randint_function =
    function<&randint>("randint", "low, high, shape=[], dtype=int32, key=None",
                       R"(Integers in [low, high).

Dtypes of 8 bytes draw 53 bits, the others 24.

>>> random.randint(0, 1, shape=(2,))
array([0, 0], dtype=int32)
)",
                       "random");
constinit const Function laplace_function =
    function<&laplace>("laplace", "shape=[], dtype=float32, loc=0.0, scale=1.0, key=None",
                       R"(Laplace numbers with mean `loc` and variance 2 * scale**2.

>>> random.laplace(shape=(2,)).shape
(2,)
)",
                       "random");
constinit const Function gumbel_function =
    function<&gumbel>("gumbel", "shape=[], dtype=float32, key=None",
                      R"(Standard Gumbel numbers: -log(-log(u)) of uniform u.

>>> random.gumbel(shape=(2,)).shape
(2,)
)",
                      "random");
constinit const Function truncated_normal_function = function<&truncated_normal>(
    "truncated_normal", "lower, upper, shape=None, dtype=float32, key=None",
    R"(Standard normal numbers, given that they lie in [lower, upper].

Args:
    lower: Number or array.
    upper: Number or array.
    shape: Shape of the result; that of the bounds if None.

>>> random.truncated_normal(0.5, 0.5)
array(0.5, dtype=float32)
)",
    "random");
constinit const Function categorical_function =
    function<&categorical>("categorical", "logits, axis=-1, shape=None, num_samples=None, key=None",
                           R"(Indices drawn with probability softmax(logits) along `axis`, uint32.

Args:
    logits: Real array.
    axis: The axis of the categories.
    shape: Shape of the result, to which the shape of logits without `axis` must broadcast.
    num_samples: Draws of each distribution, on a new last axis.
    key: uint32 array of shape (2,); the thread's state if None.

Raises:
    ValueError: if both shape and num_samples are given, or there are no categories.

>>> random.categorical(array([0.0, -1000.0]))
array(0, dtype=uint32)
)",
                           "random");
constinit const Function permutation_function = function<&permutation>(
    "permutation", "x, axis=0, key=None",
    R"(A random permutation of 0 ... x - 1, or of the entries of an array along `axis`.

>>> random.permutation(1)
array([0], dtype=uint32)
)",
    "random");

}  // namespace

void register_distributions(Registry& r) {
  for (const Function* f :
       {&uniform_function, &normal_function, &bernoulli_function, &randint_function,
        &laplace_function, &gumbel_function, &truncated_normal_function, &categorical_function,
        &permutation_function})
    r.add(*f);
}

}  // namespace legato::random
