#include "legato/ops/create/create.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/create/records.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

// --- cast ----------------------------------------------------------------------------------------

struct CastAttrs {
  Dtype dtype;
  static constexpr auto fields() { return std::tuple(field("dtype", &CastAttrs::dtype)); }
};

constinit const Op cast_op{
    .name = "cast",
    .attrs = &attrs_type<CastAttrs>,
    .infer = [](Inference& in) { in.result(in.shape(), in.attrs<CastAttrs>().dtype); },
    // The target is the dtype of the node; the operand is read as it is.
    .pointwise = {.fn = "cast",
                  .dtypes = [](const char*, std::span<const Dtype> in, std::span<Dtype> operands,
                               Dtype& out) { operands[0] = out = in[0]; }},
    // Rounding has derivative 0 almost everywhere; here it passes the gradient through, as MLX
    // does.
    .derive = Linear(1, [](const Call& c, int,
                           const Array& cotangent) { return astype(cotangent, c.in().dtype()); }),
    .batch = rules::batch_unchanged,
};

// --- arange, linspace ----------------------------------------------------------------------------

bool is_real_kind(const Scalar& s) { return s.kind == Scalar::Kind::real; }

void check_number(const char* op, const char* name, const Scalar& s) {
  if (s.kind == Scalar::Kind::boolean || s.kind == Scalar::Kind::complex)
    throw ValueError(cat(op, ": ", name, " must be an int or a float, found ",
                         s.kind == Scalar::Kind::boolean ? "the bool " : "the complex ", s));
  if (!std::isfinite(s.real())) throw ValueError(cat(op, ": ", name, " must be finite, found ", s));
}

int64_t integer_of(const char* op, const char* name, const Scalar& s) {
  if (s.kind == Scalar::Kind::unsigned_integer)
    throw ValueError(cat(op, ": ", name, " ", s, " does not fit int64"));
  return s.i;
}

/// Numbers in [start, stop) at distance `step`: exact for any int64.
int64_t count_integers(int64_t start, int64_t stop, int64_t step) {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                               : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  uint64_t n = (distance - 1) / stride + 1;
  if (n > INT64_MAX)
    throw ValueError(cat("arange: from ", start, " to ", stop, " in steps of ", step, " has ", n,
                         " elements, more than a 63-bit count can hold"));
  return static_cast<int64_t>(n);
}

void batch_constant(const BatchedCall& c, std::span<Array> out) {
  out[0] = bind(c.op, c.in, c.raw_attrs);
}

}  // namespace

constinit const Op arange_op{
    .name = "arange",
    .attrs = &attrs_type<ArangeAttrs>,
    .infer =
        [](Inference& in) {
          auto& a = in.attrs<ArangeAttrs>();
          in.result({a.size}, a.dtype);
        },
    .derive = ZeroDerivative(),  // no inputs
    .batch = batch_constant,
};

constinit const Op linspace_op{
    .name = "linspace",
    .attrs = &attrs_type<LinspaceAttrs>,
    .infer =
        [](Inference& in) {
          auto& a = in.attrs<LinspaceAttrs>();
          in.result({a.num}, a.dtype);
        },
    .derive = ZeroDerivative(),  // no inputs
    .batch = batch_constant,
};

Array astype(const Array& a, Dtype dtype) {
  return a.dtype() == dtype ? a : bind(cast_op, {a}, CastAttrs{dtype});
}

Array full(const Shape& shape, const Operand& vals, std::optional<Dtype> dtype) {
  for (int64_t s : shape)
    if (s < 0) throw ValueError(cat("full: shape ", shape, " has a negative size"));
  if (vals.is_array())
    return broadcast_to(dtype ? astype(vals.array(), *dtype) : vals.array(), shape);
  return broadcast_to(literal(vals.scalar(), dtype.value_or(default_dtype(vals.scalar()))), shape);
}

Array zeros(const Shape& shape, std::optional<Dtype> dtype) {
  return full(shape, 0, dtype.value_or(Dtype::float32));
}
Array ones(const Shape& shape, std::optional<Dtype> dtype) {
  return full(shape, 1, dtype.value_or(Dtype::float32));
}
Array zeros_like(const Array& a, std::optional<Dtype> dtype) {
  if (tracing_shapeless())
    return composed("zeros_like", {a}, [dtype](Inputs in) { return zeros_like(in[0], dtype); });
  return full(a.shape(), 0, dtype.value_or(a.dtype()));
}
Array ones_like(const Array& a, std::optional<Dtype> dtype) {
  if (tracing_shapeless())
    return composed("ones_like", {a}, [dtype](Inputs in) { return ones_like(in[0], dtype); });
  return full(a.shape(), 1, dtype.value_or(a.dtype()));
}
Array full_like(const Array& a, const Operand& vals, std::optional<Dtype> dtype) {
  if (tracing_shapeless()) {
    if (vals.is_array())
      return composed("full_like", {a, vals.array()},
                      [dtype](Inputs in) { return full_like(in[0], in[1], dtype); });
    return composed("full_like", {a}, [number = vals.scalar(), dtype](Inputs in) {
      return full_like(in[0], number, dtype);
    });
  }
  return full(a.shape(), vals, dtype.value_or(a.dtype()));
}

Array arange(const std::optional<Scalar>& start, const std::optional<Scalar>& stop,
             const std::optional<Scalar>& step, std::optional<Dtype> dtype) {
  if (!start && !stop) throw TypeError("arange: the argument stop is missing");
  Scalar first = stop && start ? *start : Scalar(0), last = stop ? *stop : *start;
  Scalar by = step.value_or(Scalar(1));
  check_number("arange", "start", first);
  check_number("arange", "stop", last);
  check_number("arange", "step", by);
  if (by.real() == 0) throw ValueError("arange: step must not be 0");
  ArangeAttrs attrs{};
  if (is_real_kind(first) || is_real_kind(last) || is_real_kind(by)) {
    double n = std::ceil((last.real() - first.real()) / by.real());
    if (n >= 0x1p63)
      throw ValueError(cat("arange: from ", first, " to ", last, " in steps of ", by,
                           " has more elements than a 63-bit count can hold"));
    attrs.start = Scalar(first.real());
    attrs.step = Scalar(by.real());
    attrs.size = n > 0 ? static_cast<int64_t>(n) : 0;
    attrs.dtype = dtype.value_or(Dtype::float32);
  } else {
    int64_t from = integer_of("arange", "start", first), to = integer_of("arange", "stop", last);
    int64_t stride = integer_of("arange", "step", by);
    attrs.start = Scalar(from);
    attrs.step = Scalar(stride);
    attrs.size = count_integers(from, to, stride);
    bool small = std::min(from, to) >= INT32_MIN && std::max(from, to) <= INT32_MAX;
    attrs.dtype = dtype.value_or(small ? Dtype::int32 : Dtype::int64);
  }
  if (is_bool(attrs.dtype)) throw ValueError("arange: dtype must be a number type, found bool");
  return bind(arange_op, {}, attrs);
}
bool is_arange(const Array& a, int64_t n) {
  if (a.node()->op != &arange_op) return false;
  const auto& attrs = *static_cast<const ArangeAttrs*>(a.node()->attrs);
  return attrs.size == n && is_integer(attrs.dtype) && attrs.start == Scalar(0) &&
         attrs.step == Scalar(1);
}

Array linspace(const Scalar& start, const Scalar& stop, std::optional<int64_t> num, bool endpoint,
               std::optional<Dtype> dtype) {
  check_number("linspace", "start", start);
  check_number("linspace", "stop", stop);
  int64_t n = num.value_or(50);
  if (n < 0) throw ValueError(cat("linspace: num must not be negative, found ", n));
  return bind(
      linspace_op, {},
      LinspaceAttrs{start.real(), stop.real(), n, endpoint, dtype.value_or(Dtype::float32)});
}

namespace {

/// columns - rows of an n × m matrix.
Array distance_from_diagonal(const char* op, int64_t n, int64_t m) {
  if (n < 0 || m < 0)
    throw ValueError(
        cat(op, ": sizes must not be negative, found ", n, " rows and ", m, " columns"));
  return subtract(arange(Scalar(m)), expand_dims(arange(Scalar(n)), {1}));
}

/// -(M - 1), -(M - 3), ..., M - 1: the places of a symmetric window, times two.
Array window_places(int64_t m) {
  return arange(Scalar(1 - m), Scalar(m), Scalar(2), Dtype::float32);
}

bool window_is_trivial(const char* op, int64_t m) {
  if (m < INT32_MIN / 2 || m > INT32_MAX / 2)
    throw ValueError(cat(op, ": a window of ", m, " places is out of range"));
  return m <= 1;
}
Array trivial_window(int64_t m) { return ones({std::max<int64_t>(m, 0)}); }

/// cos(pi * places * harmonic / (M - 1))
Array window_cosine(int64_t m, double harmonic) {
  return cos(multiply(window_places(m), std::numbers::pi * harmonic / static_cast<double>(m - 1)));
}

}  // namespace

Array eye(int64_t n, std::optional<int64_t> m, int64_t k, std::optional<Dtype> dtype) {
  return astype(equal(distance_from_diagonal("eye", n, m.value_or(n)),
                      Scalar(std::clamp<int64_t>(k, INT32_MIN, INT32_MAX))),
                dtype.value_or(Dtype::float32));
}
Array identity(int64_t n, std::optional<Dtype> dtype) { return eye(n, n, 0, dtype); }

Array tri(int64_t n, std::optional<int64_t> m, int64_t k, std::optional<Dtype> dtype) {
  return astype(less_equal(distance_from_diagonal("tri", n, m.value_or(n)),
                           Scalar(std::clamp<int64_t>(k, INT32_MIN, INT32_MAX))),
                dtype.value_or(Dtype::float32));
}

Array hanning(int64_t M) {
  if (window_is_trivial("hanning", M)) return trivial_window(M);
  return add(multiply(window_cosine(M, 1), 0.5), 0.5);
}

Array hamming(int64_t M) {
  if (window_is_trivial("hamming", M)) return trivial_window(M);
  return add(multiply(window_cosine(M, 1), 0.46), 0.54);
}

Array blackman(int64_t M) {
  if (window_is_trivial("blackman", M)) return trivial_window(M);
  return add(add(multiply(window_cosine(M, 1), 0.5), 0.42), multiply(window_cosine(M, 2), 0.08));
}

Array bartlett(int64_t M) {
  if (window_is_trivial("bartlett", M)) return trivial_window(M);
  return subtract(1.0, multiply(abs(window_places(M)), 1.0 / static_cast<double>(M - 1)));
}

namespace {

constexpr Function kFunctions[] = {
    function<&zeros>("zeros", "shape, dtype=float32",
                     R"(An array filled with zeros; `shape` is an int or a sequence.

>>> zeros(3)
array([0, 0, 0], dtype=float32))"),
    function<&ones>("ones", "shape, dtype=float32",
                    R"(An array filled with ones; `shape` is an int or a sequence.

>>> ones((1, 2))
array([[1, 1]], dtype=float32))"),
    function<&zeros>("empty", "shape, dtype=float32",
                     R"(An array whose content does not matter; it is filled with zeros.

>>> empty((2, 3)).shape
(2, 3))"),
    function<&full>(
        "full", "shape, vals, dtype=None",
        R"(An array filled with `vals`: a number, or an array that broadcasts to `shape`.

The dtype is that of `vals` unless given.

>>> full((2,), 7)
array([7, 7], dtype=int32))"),
    function<&zeros_like>("zeros_like", "a, /, dtype=None",
                          R"(Zeros of the shape, and by default the dtype, of `a`.

>>> zeros_like(array([1, 2]))
array([0, 0], dtype=int32))"),
    function<&ones_like>("ones_like", "a, /, dtype=None",
                         R"(Ones of the shape, and by default the dtype, of `a`.

>>> ones_like(array([1, 2]))
array([1, 1], dtype=int32))"),
    function<&zeros_like>(
        "empty_like", "a, /, dtype=None",
        R"(The shape, and by default the dtype, of `a`; the content does not matter, it is zeros.

>>> empty_like(array([1, 2])).dtype == int32
True)"),
    function<&full_like>("full_like", "a, /, vals, dtype=None",
                         R"(The shape, and by default the dtype, of `a`, filled with `vals`.

>>> full_like(array([1, 2]), 7)
array([7, 7], dtype=int32))"),
    function<&arange>(
        "arange", "start=None, stop=None, step=None, dtype=None",
        R"(Numbers from `start` up to but without `stop`; arange(n) counts from 0 to n - 1.

int32 for integers (int64 where they need it), float32 if any argument is a float, unless `dtype` is given.

Raises:
    ValueError: for a step of 0, bools, nan or infinity.

>>> arange(1, 6, 2)
array([1, 3, 5], dtype=int32))"),
    function<&linspace>(
        "linspace", "start, stop, num=50, endpoint=True, dtype=float32",
        R"(`num` numbers in equal steps from `start` to `stop`, with `stop` itself if `endpoint`.

>>> linspace(0, 1, 3)
array([0, 0.5, 1], dtype=float32))"),
    function<&eye>("eye", "n, m=None, k=0, dtype=float32",
                   R"(A matrix of n rows and m columns (default n) with ones on the k-th diagonal.

>>> eye(2)
array([[1, 0],
       [0, 1]], dtype=float32))"),
    function<&identity>("identity", "n, dtype=float32", R"(The square identity matrix.

>>> identity(2)
array([[1, 0],
       [0, 1]], dtype=float32))"),
    function<&tri>(
        "tri", "n, m=None, k=0, dtype=None",
        R"(A matrix of n rows and m columns (default n) with ones on and below the k-th diagonal, in float32 by default.

>>> tri(2)
array([[1, 0],
       [1, 1]], dtype=float32))"),
    function<&hanning>("hanning", "M", R"(The Hann window, 0.5 - 0.5 cos(2 pi n / (M - 1)), float32.

>>> hanning(3)
array([0, 1, 0], dtype=float32))"),
    function<&hamming>("hamming", "M",
                       R"(The Hamming window, 0.54 - 0.46 cos(2 pi n / (M - 1)), float32.

>>> hamming(3).shape
(3,))"),
    function<&blackman>(
        "blackman", "M",
        R"(The Blackman window, 0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1)), float32.

>>> blackman(3).shape
(3,))"),
    function<&bartlett>("bartlett", "M", R"(The triangular window that is 0 at both ends, float32.

>>> bartlett(3)
array([0, 1, 0], dtype=float32))"),
    function<&astype>("astype", "a, /, dtype",
                      R"(`a` in another dtype.

Floats are truncated to integers, which wrap to their width; nan and what exceeds 64 bits give 0. Complex numbers lose
their imaginary part. Bool is "not equal to 0". The gradient passes through unchanged.

>>> astype(array([1.7, -1.7]), int32)
array([1, -1], dtype=int32))"),
};

}  // namespace

void register_create(Registry& registry) {
  for (const Op* op : {&cast_op, &arange_op, &linspace_op}) registry.add(*op);
  for (const Function& f : kFunctions) registry.add(f);
}

}  // namespace legato
