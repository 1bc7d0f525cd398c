// Products of chosen parts: of matrices picked by index, of segments of the summed axis, of blocks
// that a mask keeps.
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/matmul/ops.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

void check_inner(const char* op, const Shape& a, const Shape& b) {
  if (a.back() != b[b.size() - 2])
    throw ValueError(cat(op, ": inner sizes differ: a has shape ", a, " (last axis ", a.back(),
                         "), b has shape ", b, " (axis -2 is ", b[b.size() - 2], ")"));
}
void check_rank(const char* op, const Array& a, const Array& b) {
  if (a.ndim() < 2 || b.ndim() < 2)
    throw ValueError(cat(op, ": operands need at least 2 dimensions, got shapes ", a.shape(),
                         " and ", b.shape()));
}
Dtype product_dtype(const char* op, const Array& a, const Array& b) {
  const Dtype t = promote(a.dtype(), b.dtype());
  if (is_bool(t))
    throw ValueError(cat(op, ": takes numbers, not bool. Convert with astype(...) first."));
  return t;
}
void check_indices(const char* op, const char* what, const Array& indices) {
  if (!is_integer(indices.dtype()))
    throw ValueError(cat(op, ": ", what, " must hold integers, found ", indices.dtype()));
}

// The matrices of `a` one behind the other: (x, m, k).
Array listed(const Array& a) {
  return a.ndim() == 2 ? expand_dims(a, {0}) : a.ndim() == 3 ? a : flatten(a, 0, -3);
}
// Where they are: 0, 1, ... in the shape of the leading axes.
Array all_indices(const Array& a) {
  Shape lead(std::span(a.shape().begin(), a.ndim() - 2));
  return reshape(arange(Scalar(element_count(lead)), {}, {}, Dtype::int64), lead);
}

}  // namespace

constinit const Op gather_mm_op{
    .name = "gather_mm",
    .infer =
        [](Inference& in) {
          check_inner(in.name(), in.shape(0), in.shape(1));
          in.result({in.shape(2)[0], in.shape(0)[1], in.shape(1)[2]}, in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          out[0] = matmul(take(c.in(0), c.in(2), 0), take(c.in(1), c.in(3), 0));
        },
    .derive = ThroughExpand(),
};

constinit const Op segmented_mm_op{
    .name = "segmented_mm",
    .infer =
        [](Inference& in) {
          check_inner(in.name(), in.shape(0), in.shape(1));
          in.result({in.shape(2)[0], in.shape(0)[0], in.shape(1)[1]}, in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          // Columns outside of a segment count as zero.
          const Array& a = c.in(0);
          Array ends = expand_dims(c.in(2), {2});  // (p, 2, 1)
          Array begin = slice(ends, Dims{0, 0, 0}, Dims{c.in(2).shape(0), 1, 1});
          Array end = slice(ends, Dims{0, 1, 0}, Dims{c.in(2).shape(0), 2, 1});
          Array place = arange(Scalar(a.shape(-1)), {}, {}, Dtype::int64);
          Array inside = logical_and(greater_equal(place, begin), less(place, end));  // (p, 1, k)
          out[0] = matmul(where(inside, a, literal(0, a.dtype())), c.in(1));
        },
    .derive = ThroughExpand(),
};

Array gather_mm(const Array& a, const Array& b, const std::optional<Array>& lhs_indices,
                const std::optional<Array>& rhs_indices, bool sorted_indices) {
  const char* op = "gather_mm";
  if (!lhs_indices && !rhs_indices) return matmul(a, b);
  if (tracing_shapeless()) {
    std::vector<Array> in{a, b};
    if (lhs_indices) in.push_back(*lhs_indices);
    if (rhs_indices) in.push_back(*rhs_indices);
    return composed(op, in, [=, left = !!lhs_indices, right = !!rhs_indices](Inputs in) {
      return gather_mm(in[0], in[1], left ? std::optional(in[2]) : std::nullopt,
                       right ? std::optional(in.back()) : std::nullopt, sorted_indices);
    });
  }
  const Dtype t = product_dtype(op, a, b);
  if (a.ndim() == 0 || b.ndim() == 0) check_rank(op, a, b);
  const bool row = a.ndim() == 1, column = b.ndim() == 1;  // vectors, as in matmul
  Array x = astype(row ? expand_dims(a, {0}) : a, t);
  Array y = astype(column ? expand_dims(b, {1}) : b, t);
  check_inner(op, x.shape(), y.shape());
  if (lhs_indices) check_indices(op, "lhs_indices", *lhs_indices);
  if (rhs_indices) check_indices(op, "rhs_indices", *rhs_indices);
  const Array chosen[] = {
      lhs_indices ? astype(*lhs_indices, Dtype::int64) : all_indices(x),
      rhs_indices ? astype(*rhs_indices, Dtype::int64) : all_indices(y),
  };
  const auto at = broadcast_arrays(chosen);
  Shape out = at[0].shape();
  out.push_back(x.shape(-2));
  out.push_back(y.shape(-1));
  Array product =
      reshape(bind(gather_mm_op, {listed(x), listed(y), flatten(at[0]), flatten(at[1])}), out);
  Dims added;
  if (row) added.push_back(-2);
  if (column) added.push_back(-1);
  return added.empty() ? product : squeeze(product, added);
}

Array segmented_mm(const Array& a, const Array& b, const Array& segments) {
  const char* op = "segmented_mm";
  if (tracing_shapeless())
    return composed(op, {a, b, segments},
                    [](Inputs in) { return segmented_mm(in[0], in[1], in[2]); });
  const Dtype t = product_dtype(op, a, b);
  if (a.ndim() != 2 || b.ndim() != 2)
    throw ValueError(cat(op, ": takes two matrices, got shapes ", a.shape(), " and ", b.shape()));
  check_inner(op, a.shape(), b.shape());
  check_indices(op, "segments", segments);
  if (segments.ndim() < 1 || segments.shape(-1) != 2)
    throw ValueError(cat(op, ": segments have shape ", segments.shape(),
                         "; expected (..., 2), the beginning and the end of each"));
  Shape out(std::span(segments.shape().begin(), segments.ndim() - 1));
  out.push_back(a.shape(0));
  out.push_back(b.shape(1));
  Array ends = reshape(astype(segments, Dtype::int64), {segments.size() / 2, 2});
  return reshape(bind(segmented_mm_op, {astype(a, t), astype(b, t), ends}), out);
}

namespace {

/// `x` with each of its blocks multiplied by an element of the mask.
Array masked_blocks(const Array& x, const Array& mask, int64_t block, const char* name) {
  const char* op = "block_masked_mm";
  const int64_t rows = x.shape(-2), columns = x.shape(-1);
  const int64_t down = (rows + block - 1) / block, across = (columns + block - 1) / block;
  if (mask.ndim() < 2 || mask.shape(-2) != down || mask.shape(-1) != across)
    throw ValueError(cat(op, ": ", name, " has shape ", mask.shape(), "; expected (..., ", down,
                         ", ", across, "), the blocks of ", block, " in ", x.shape()));
  Array wide = repeat(repeat(mask, {block}, -2), {block}, -1);
  SliceAttrs part = full_slice(wide.ndim());
  part.stop[wide.ndim() - 2] = rows;
  part.stop[wide.ndim() - 1] = columns;
  wide = slice(wide, part);
  if (is_bool(mask.dtype())) return where(wide, x, literal(0, x.dtype()));
  return multiply(x, astype(wide, x.dtype()));
}

}  // namespace

Array block_masked_mm(const Array& a, const Array& b, int64_t block_size,
                      const std::optional<Array>& mask_out, const std::optional<Array>& mask_lhs,
                      const std::optional<Array>& mask_rhs) {
  const char* op = "block_masked_mm";
  if (tracing_shapeless()) {
    std::vector<Array> in{a, b};
    const std::optional<Array>* masks[] = {&mask_out, &mask_lhs, &mask_rhs};
    bool given[3];
    for (int i = 0; i < 3; ++i) {
      given[i] = masks[i]->has_value();
      if (given[i]) in.push_back(**masks[i]);
    }
    return composed(op, in, [=, out = given[0], lhs = given[1], rhs = given[2]](Inputs in) {
      size_t next = 2;
      std::optional<Array> m[3];
      if (out) m[0] = in[next++];
      if (lhs) m[1] = in[next++];
      if (rhs) m[2] = in[next];
      return block_masked_mm(in[0], in[1], block_size, m[0], m[1], m[2]);
    });
  }
  const Dtype t = product_dtype(op, a, b);
  check_rank(op, a, b);
  check_inner(op, a.shape(), b.shape());
  if (block_size < 1)
    throw ValueError(cat(op, ": block_size is ", block_size, "; expected 1 or more"));
  Array x = astype(a, t), y = astype(b, t);
  if (mask_lhs) x = masked_blocks(x, *mask_lhs, block_size, "mask_lhs");
  if (mask_rhs) y = masked_blocks(y, *mask_rhs, block_size, "mask_rhs");
  Array product = matmul(x, y);
  return mask_out ? masked_blocks(product, *mask_out, block_size, "mask_out") : product;
}

namespace {

constinit const Function gather_mm_function = function<&gather_mm>(
    "gather_mm", "a, b, /, lhs_indices=None, rhs_indices=None, *, sorted_indices=False",
    R"(Products of matrices that are chosen by index, without a copy of them.

Args:
    a: Array of shape (..., m, k); its matrices are counted along the leading axes. Differentiable.
    b: Array of shape (..., k, n). Differentiable.
    lhs_indices, rhs_indices: Integer arrays that broadcast against each other; negative indices count
        from the end. None: all matrices as they lie.
    sorted_indices: Accepted for compatibility; runs of equal indices are found anyway.

Returns:
    Array of the shape of the indices, then (m, n). Half types are summed in float32.

Raises:
    IndexError: for an index out of range, when the result is computed.
    ValueError: if the inner sizes differ, an index is no integer, or an operand is bool.

>>> gather_mm(array([[1.0, 2.0]]), array([[[1.0], [0.0]], [[0.0], [1.0]]]), None, array([1, 0])).tolist()
[[[2.0]], [[1.0]]]
)");
constinit const Function segmented_mm_function = function<&segmented_mm>(
    "segmented_mm", "a, b, /, segments", R"(A product for each segment of the summed axis.

Args:
    a: Array of shape (m, k). Differentiable.
    b: Array of shape (k, n). Differentiable.
    segments: Integer array of shape (..., 2): where each segment of k begins and ends.

Returns:
    Array of shape (..., m, n).

Raises:
    IndexError: for a segment that does not lie inside [0, k], when the result is computed.
    ValueError: if shapes or dtypes do not fit.

>>> segmented_mm(array([[1.0, 2.0, 3.0]]), array([[1.0], [1.0], [1.0]]), array([[0, 2], [2, 3]])).tolist()
[[[3.0]], [[3.0]]]
)");
constinit const Function block_masked_mm_function = function<&block_masked_mm>(
    "block_masked_mm", "a, b, /, block_size=64, mask_out=None, mask_lhs=None, mask_rhs=None",
    R"(Matrix product in which blocks of the operands and of the result are scaled or left out.

Args:
    a: Array of shape (..., m, k). Differentiable.
    b: Array of shape (..., k, n). Differentiable.
    block_size: Rows and columns of a block; the last ones may be smaller.
    mask_out, mask_lhs, mask_rhs: Masks of the result, of a and of b, one element a block: bool keeps
        where true, numbers are factors. Differentiable.

Returns:
    Array of shape (..., m, n).

Raises:
    ValueError: if a mask has not as many rows and columns as there are blocks.

>>> block_masked_mm(array([[1.0, 2.0]]), array([[3.0], [4.0]]), 1, mask_lhs=array([[True, False]]))
array([[3]], dtype=float32)
)");

}  // namespace

void register_chosen_mm(Registry& registry) {
  registry.add(gather_mm_op);
  registry.add(segmented_mm_op);
  for (const Function* f : {&gather_mm_function, &segmented_mm_function, &block_masked_mm_function})
    registry.add(*f);
}

}  // namespace legato
