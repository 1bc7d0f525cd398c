#include "legato/ops/matmul/matmul.h"

#include <algorithm>

#include "legato/op/algebra.h"
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/create/create.h"
#include "legato/ops/matmul/ops.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

Shape product_shape(const char* op, const Shape& a, const Shape& b) {
  size_t ra = a.size(), rb = b.size();
  if (a[ra - 1] != b[rb - 2])
    throw ValueError(cat(op, ": inner sizes differ: a has shape ", a, " (last axis ", a[ra - 1],
                         "), b has shape ", b, " (axis -2 is ", b[rb - 2],
                         "). Transpose b with swapaxes(b, -1, -2) if its rows are the outputs."));
  Shape lead_a(std::span(a.begin(), ra - 2)), lead_b(std::span(b.begin(), rb - 2));
  Shape out = broadcast_shapes(op, lead_a, lead_b);
  out.push_back(a[ra - 2]);
  out.push_back(b[rb - 1]);
  return out;
}

void check_dtype(const char* op, Dtype t) {
  if (is_bool(t))
    throw ValueError(cat(op, ": takes numbers, not bool. Convert with astype(...) first."));
}

void infer_matmul(Inference& in) {
  in.result(product_shape(in.name(), in.shape(0), in.shape(1)), in.dtype());
}

Array swapped(const Array& a) { return swapaxes(a, -1, -2); }

bool is_plain_matrix(const Array& a) { return a.ndim() == 2; }

// Rows of a (..., m, k) as one matrix (..., k).
Array as_rows(const Array& a) {
  return reshape(a, {a.size() / std::max<int64_t>(a.shape().back(), 1), a.shape().back()});
}

// Cotangents of a and b of the product a @ b.
Array pull_back(const Array& a, const Array& b, int i, const Array& ct) {
  if (i == 0) return algebra::sum_to_shape(matmul(ct, swapped(algebra::conjugate(b))), a.shape());
  // One matrix used for a whole batch: its gradient is one product over all rows, not a sum of
  // products.
  if (is_plain_matrix(b) && a.ndim() > 2 && a.size() && ct.size())
    return matmul(swapped(as_rows(algebra::conjugate(a))), as_rows(ct));
  return algebra::sum_to_shape(matmul(swapped(algebra::conjugate(a)), ct), b.shape());
}

// Leading axes of matmul broadcast, so a batch axis is one more of them, in line with the other
// operand's.
Array aligned(const BatchedCall& c, int i, size_t rank) {
  Array a = c.in[static_cast<size_t>(i)];
  if (!c.batched[static_cast<size_t>(i)]) return a;
  Shape s = a.shape();
  for (size_t own = c.rank(i); own < rank; ++own) s.insert(1, 1);
  return reshape(a, s);
}

void batch_matmul(const BatchedCall& c, std::span<Array> out) {
  size_t rank = std::max(c.rank(0), c.rank(1));
  out[0] = bind(c.op, {aligned(c, 0, rank), aligned(c, 1, rank)});
}

void batch_addmm(const BatchedCall& c, std::span<Array> out) {
  size_t rank = std::max({c.rank(0), c.rank(1), c.rank(2)});
  Array in[] = {aligned(c, 0, rank), aligned(c, 1, rank), aligned(c, 2, rank)};
  // c broadcasts to the product, not the product to c: where c alone is batched, a takes its axis.
  if (!c.batched[0] && !c.batched[1]) {
    Array a = c.with_axis(0);
    Shape s = a.shape();
    for (size_t own = c.rank(0); own < rank; ++own) s.insert(1, 1);
    in[0] = reshape(a, s);
  }
  out[0] = bind(c.op, in, c.raw_attrs);
}

}  // namespace

constinit const Op matmul_op{
    .name = "matmul",
    .infer = infer_matmul,
    .derive = Linear(3, [](const Call& c, int i,
                           const Array& ct) { return pull_back(c.in(0), c.in(1), i, ct); }),
    .batch = batch_matmul,
};

constinit const Op addmm_op{
    .name = "addmm",
    .attrs = &attrs_type<AddmmAttrs>,
    .infer =
        [](Inference& in) {
          Shape product = product_shape(in.name(), in.shape(0), in.shape(1));
          if (broadcast_shapes(in.name(), product, in.shape(2)) != product)
            throw ValueError(cat("addmm: c has shape ", in.shape(2),
                                 ", which does not broadcast to the product's shape ", product));
          in.result(product, in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          auto& attrs = c.attrs<AddmmAttrs>();
          out[0] = multiply(matmul(c.in(0), c.in(1)), attrs.alpha) + multiply(c.in(2), attrs.beta);
        },
    .derive = Vjp([](const Call& c, std::span<const Array> cts, std::span<Array> result) {
      auto& attrs = c.attrs<AddmmAttrs>();
      Array scaled = attrs.alpha == 1 ? cts[0] : multiply(cts[0], attrs.alpha);
      for (int i = 0; i < 2; ++i)
        if (c.wanted(i)) result[static_cast<size_t>(i)] = pull_back(c.in(0), c.in(1), i, scaled);
      if (c.wanted(2))
        result[2] = algebra::sum_to_shape(attrs.beta == 1 ? cts[0] : multiply(cts[0], attrs.beta),
                                          c.in(2).shape());
    }),
    .batch = batch_addmm,
};

// --- the public functions
// --------------------------------------------------------------------------------------------

namespace {

struct Operands {
  Array a, b;
  bool row = false, column = false;  // an axis was added to a, to b
};

Operands prepare(const char* op, const Array& a, const Array& b) {
  if (a.ndim() == 0 || b.ndim() == 0)
    throw ValueError(cat(op, ": operands need at least 1 dimension, got shapes ", a.shape(),
                         " and ", b.shape(), "; use multiply for scalars"));
  Dtype t = promote(a.dtype(), b.dtype());
  check_dtype(op, t);
  Operands o{astype(a, t), astype(b, t)};
  if (a.ndim() == 1) {
    o.a = expand_dims(o.a, {0});
    o.row = true;
  }
  if (b.ndim() == 1) {
    o.b = expand_dims(o.b, {1});
    o.column = true;
  }
  return o;
}

Array drop_added(const Operands& o, Array product) {
  Dims axes;
  if (o.row) axes.push_back(-2);
  if (o.column) axes.push_back(-1);
  return axes.empty() ? product : squeeze(product, axes);
}

}  // namespace

Array matmul(const Array& a, const Array& b) {
  Operands o = prepare("matmul", a, b);
  return drop_added(o, bind(matmul_op, {o.a, o.b}));
}

Array addmm(const Array& c, const Array& a, const Array& b, double alpha, double beta) {
  Operands o = prepare("addmm", a, b);
  Dtype t = promote(o.a.dtype(), c.dtype());
  if (o.row || o.column)  // c aligns with the product whose added axes are gone
    return add(multiply(drop_added(o, bind(matmul_op, {o.a, o.b})), alpha),
               multiply(astype(c, t), beta));
  return bind(addmm_op, {astype(o.a, t), astype(o.b, t), astype(c, t)}, AddmmAttrs{alpha, beta});
}

Array tensordot(const Array& a, const Array& b, const NestedInts& axes) {
  if (tracing_shapeless())
    return composed("tensordot", {a, b},
                    [axes](Inputs in) { return tensordot(in[0], in[1], axes); });
  Dims of_a, of_b;
  if (axes.kind == NestedInts::Kind::number) {
    int64_t n = axes.values[0][0];
    if (n < 0 || n > static_cast<int64_t>(std::min(a.ndim(), b.ndim())))
      throw ValueError(
          cat("tensordot: axes must be a count from 0 to the smaller rank or a pair of lists of "
              "axes; the "
              "operands have shapes ",
              a.shape(), " and ", b.shape()));
    for (int64_t i = 0; i < n; ++i) {
      of_a.push_back(static_cast<int64_t>(a.ndim()) - n + i);
      of_b.push_back(i);
    }
  } else {
    std::vector<Dims> pair = axes.values;
    if (axes.kind == NestedInts::Kind::list && pair[0].size() == 2)
      pair = {Dims{pair[0][0]}, Dims{pair[0][1]}};
    if (pair.size() != 2 || pair[0].size() != pair[1].size())
      throw ValueError(
          "tensordot: axes must be two lists of equal length, the axes of a and those of b");
    of_a = rules::normalize_axes("tensordot", pair[0], a.ndim());
    of_b = rules::normalize_axes("tensordot", pair[1], b.ndim());
  }
  int64_t k = 1;
  for (size_t i = 0; i < of_a.size(); ++i) {
    int64_t x = a.shape()[static_cast<size_t>(of_a[i])],
            y = b.shape()[static_cast<size_t>(of_b[i])];
    if (x != y)
      throw ValueError(cat("tensordot: axis ", of_a[i], " of a has size ", x, ", axis ", of_b[i],
                           " of b has size ", y, "; they must be equal"));
    k *= x;
  }
  // The summed axes go last in a and first in b; then it is one matrix product.
  auto others = [](const Array& x, const Dims& used) {
    Dims rest;
    for (int64_t i = 0; i < static_cast<int64_t>(x.ndim()); ++i)
      if (std::find(used.begin(), used.end(), i) == used.end()) rest.push_back(i);
    return rest;
  };
  Dims rest_a = others(a, of_a), rest_b = others(b, of_b), order_a = rest_a, order_b = of_b;
  for (int64_t x : of_a) order_a.push_back(x);
  for (int64_t x : rest_b) order_b.push_back(x);
  Shape out;
  int64_t m = 1, n = 1;
  for (int64_t x : rest_a) {
    out.push_back(a.shape()[static_cast<size_t>(x)]);
    m *= out.back();
  }
  for (int64_t x : rest_b) {
    out.push_back(b.shape()[static_cast<size_t>(x)]);
    n *= out.back();
  }
  Array left = reshape(transpose(a, Axes(order_a)), {m, k}),
        right = reshape(transpose(b, Axes(order_b)), {k, n});
  return reshape(matmul(left, right), out);
}

Array inner(const Array& a, const Array& b) {
  if (a.ndim() == 0 || b.ndim() == 0) return multiply(a, b);
  if (a.shape().back() != b.shape().back())
    throw ValueError(cat("inner: the last axes must have one size, but the shapes are ", a.shape(),
                         " and ", b.shape()));
  int64_t last_a = static_cast<int64_t>(a.ndim()) - 1, last_b = static_cast<int64_t>(b.ndim()) - 1;
  return tensordot(a, b, {NestedInts::Kind::nested, {Dims{last_a}, Dims{last_b}}});
}

Array outer(const Array& a, const Array& b) {
  if (tracing_shapeless())
    return composed("outer", {a, b}, [](Inputs in) { return outer(in[0], in[1]); });
  return multiply(reshape(a, {a.size(), 1}), reshape(b, {1, b.size()}));
}

Array vecdot(const Array& a, const Array& b, int64_t axis) {
  return sum(multiply(algebra::conjugate(a), b), Axes(Dims{axis}));
}

Array kron(const Array& a, const Array& b) {
  if (tracing_shapeless())
    return composed("kron", {a, b}, [](Inputs in) { return kron(in[0], in[1]); });
  size_t rank = std::max(a.ndim(), b.ndim());
  Shape sa, sb, out;
  for (size_t i = 0; i < rank; ++i) {
    int64_t x = i + a.ndim() < rank ? 1 : a.shape()[i + a.ndim() - rank];
    int64_t y = i + b.ndim() < rank ? 1 : b.shape()[i + b.ndim() - rank];
    sa.push_back(x);
    sa.push_back(1);
    sb.push_back(1);
    sb.push_back(y);
    out.push_back(x * y);
  }
  return reshape(multiply(reshape(a, sa), reshape(b, sb)), out);
}

namespace {

constinit const Function matmul_function = function<&matmul>("matmul", "a, b, /", R"(Matrix product.

Args:
    a: Array of shape (..., m, k), or (k,), of any dtype but bool. Differentiable.
    b: Array of shape (..., k, n), or (k,). Differentiable.

Returns:
    Array of shape (..., m, n), the leading axes broadcast; an axis added to a 1-d operand is
    dropped. Half types are summed in float32; integers wrap.

Raises:
    ValueError: if the inner sizes differ, an operand is 0-d or bool.

>>> matmul(array([[1.0, 2.0]]), array([[3.0], [4.0]]))
array([[11]], dtype=float32)
)");
constinit const Function addmm_function = function<&addmm>(
    "addmm", "c, a, b, /, alpha=1.0, beta=1.0", R"(alpha * (a @ b) + beta * c, in one pass.

Args:
    c: Array that broadcasts to the shape of a @ b. Differentiable.
    a, b: As for `matmul`. Differentiable.
    alpha, beta: Numbers.

>>> addmm(array([1.0]), array([[1.0, 2.0]]), array([[3.0], [4.0]]))
array([[12]], dtype=float32)
)");
constinit const Function inner_function =
    function<&inner>("inner", "a, b, /", R"(Sum of products over the last axes.

Args:
    a: Array of shape (..., k). Differentiable.
    b: Array of shape (___, k). Differentiable.

Returns:
    Array of shape (..., ___).

>>> inner(array([1.0, 2.0]), array([3.0, 4.0]))
array(11, dtype=float32)
)");
constinit const Function outer_function =
    function<&outer>("outer", "a, b, /", R"(Products of each element of a with each of b.

Args:
    a, b: Arrays of any shape; they are flattened. Differentiable.

Returns:
    Array of shape (a.size, b.size).

>>> outer(array([1, 2]), array([3, 4]))
array([[3, 4],
       [6, 8]], dtype=int32)
)");
constinit const Function tensordot_function = function<&tensordot>(
    "tensordot", "a, b, /, axes=2", R"(Sum of products over chosen axes of both operands.

Args:
    a, b: Arrays. Differentiable.
    axes: A count n, for the last n axes of a and the first n of b; or a pair of lists, the axes of
        a and those of b.

Returns:
    Array with the other axes of a, then those of b.

>>> tensordot(array([[1.0, 2.0]]), array([3.0, 4.0]), axes=1)
array([11], dtype=float32)
)");
constinit const Function vecdot_function = function<&vecdot>(
    "vecdot", "a, b, /, axis=-1", R"(Sum of conj(a) * b over one axis; the other axes broadcast.

>>> vecdot(array([1, 2]), array([3, 4]))
array(11, dtype=int32)
)");
constinit const Function kron_function = function<&kron>("kron", "a, b", R"(Kronecker product.

>>> kron(array([1, 2]), array([1, 10]))
array([1, 10, 2, 20], dtype=int32)
)");

}  // namespace

void register_einsum(Registry& registry);
void register_chosen_mm(Registry& registry);

void register_matmul(Registry& registry) {
  register_einsum(registry);
  register_chosen_mm(registry);
  registry.add(matmul_op);
  registry.add(addmm_op);
  for (const Function* f : {&matmul_function, &addmm_function, &inner_function, &outer_function,
                            &tensordot_function, &vecdot_function, &kron_function})
    registry.add(*f);
}

}  // namespace legato
