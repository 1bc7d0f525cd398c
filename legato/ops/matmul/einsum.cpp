// einsum in terms of matrix products, products and sums of permuted views.
#include "legato/ops/matmul/einsum.h"

#include <algorithm>

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

using namespace einsum_detail;

struct Labelled {
  Array array;
  Labels labels;  // each once
};

int64_t place_of(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) - labels.begin();
}
bool contains(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

/// A label that occurs twice is read along the diagonal of its axes.
Labelled without_repeats(Array a, Labels labels) {
  for (size_t i = 0; i < labels.size(); ++i)
    for (size_t k = i + 1; k < labels.size(); ++k) {
      if (labels[k] != labels[i]) continue;
      const int label = labels[i];
      a = diagonal(a, 0, static_cast<int64_t>(i), static_cast<int64_t>(k));  // it comes last
      labels.erase(labels.begin() + static_cast<int64_t>(k));
      labels.erase(labels.begin() + static_cast<int64_t>(i));
      labels.push_back(label);
      --i;
      break;
    }
  return {std::move(a), std::move(labels)};
}

/// Sums over the labels that nobody needs any more.
void sum_away(Labelled& x, const LabelSet& needed) {
  Dims axes;
  Labels rest;
  for (size_t i = 0; i < x.labels.size(); ++i) {
    if (needed[static_cast<size_t>(x.labels[i])])
      rest.push_back(x.labels[i]);
    else
      axes.push_back(static_cast<int64_t>(i));
  }
  if (axes.empty()) return;
  x.array = sum(x.array, axes);
  x.labels = std::move(rest);
}

Array in_order(const Labelled& x, const Labels& order) {
  Dims axes;
  bool same = true;
  for (int label : order) {
    axes.push_back(place_of(x.labels, label));
    same &= axes.back() == static_cast<int64_t>(axes.size()) - 1;
  }
  return same ? x.array : transpose(x.array, Axes(axes));
}

Labels joined(std::initializer_list<const Labels*> parts) {
  Labels all;
  for (const Labels* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

/// (batch..., rows, columns), the axes of `rows` and of `columns` merged.
Array as_matrices(const Labelled& x, const Labels& batch, const Labels& rows, const Labels& columns,
                  const Subscripts& s) {
  Array a = in_order(x, joined({&batch, &rows, &columns}));
  Shape shape;
  int64_t m = 1, n = 1;
  for (int l : batch) shape.push_back(s.sizes[static_cast<size_t>(l)]);
  for (int l : rows) m *= s.sizes[static_cast<size_t>(l)];
  for (int l : columns) n *= s.sizes[static_cast<size_t>(l)];
  shape.push_back(m);
  shape.push_back(n);
  return reshape(a, shape);
}

/// The product, axis by axis, with size 1 where an operand lacks a label.
Array aligned(const Labelled& x, const Labels& order) {
  Labels own;
  Dims missing;
  for (size_t i = 0; i < order.size(); ++i) {
    if (contains(x.labels, order[i]))
      own.push_back(order[i]);
    else
      missing.push_back(static_cast<int64_t>(i));
  }
  Array a = in_order(x, own);
  return missing.empty() ? a : expand_dims(a, missing);
}

Labelled contract(Labelled a, Labelled b, const LabelSet& needed, const Subscripts& s) {
  sum_away(a, needed | set_of(b.labels));
  sum_away(b, needed | set_of(a.labels));
  Labels batch, left, right, summed;
  for (int l : a.labels) {
    if (!contains(b.labels, l))
      left.push_back(l);
    else
      (needed[static_cast<size_t>(l)] ? batch : summed).push_back(l);
  }
  for (int l : b.labels)
    if (!contains(a.labels, l)) right.push_back(l);
  Labelled out{{}, joined({&batch, &left, &right})};
  if (summed.empty()) {
    out.array = multiply(aligned(a, out.labels), aligned(b, out.labels));
    return out;
  }
  // An axis of size 1 stands for one of the label's size.
  auto widened = [&](Labelled& x) {
    Shape shape;
    for (int l : x.labels) shape.push_back(s.sizes[static_cast<size_t>(l)]);
    x.array = broadcast_to(x.array, shape);
  };
  widened(a);
  widened(b);
  Array product =
      matmul(as_matrices(a, batch, left, summed, s), as_matrices(b, batch, summed, right, s));
  Shape shape;
  for (int l : out.labels) shape.push_back(s.sizes[static_cast<size_t>(l)]);
  out.array = reshape(product, shape);
  return out;
}

}  // namespace

Array einsum(const std::string& subscripts, std::span<const Array> operands) {
  if (tracing_shapeless())
    return composed("einsum", operands, [subscripts](Inputs in) { return einsum(subscripts, in); });
  std::vector<Shape> shapes;
  for (const Array& a : operands) shapes.push_back(a.shape());
  const Subscripts s = parse(subscripts, shapes);

  Dtype dtype = operands[0].dtype();
  for (const Array& a : operands) dtype = promote(dtype, a.dtype());
  // Integers are summed as sum() does: narrow ones in 32 bits.
  if (s.sums && !is_inexact(dtype) && size_of(dtype) < 4)
    dtype = is_bool(dtype) || is_signed_integer(dtype) ? Dtype::int32 : Dtype::uint32;

  std::vector<Labelled> list;
  for (size_t i = 0; i < operands.size(); ++i)
    list.push_back(without_repeats(astype(operands[i], dtype), s.inputs[i]));
  const LabelSet output = set_of(s.output);
  for (const Dims& places : find_path(s)) {
    if (places.size() < 2) break;
    Labelled b = std::move(list[static_cast<size_t>(places[1])]),
             a = std::move(list[static_cast<size_t>(places[0])]);
    list.erase(list.begin() + places[1]);
    list.erase(list.begin() + places[0]);
    LabelSet needed = output;
    for (const Labelled& rest : list) needed |= set_of(rest.labels);
    list.push_back(contract(std::move(a), std::move(b), needed, s));
  }
  sum_away(list[0], output);
  return in_order(list[0], s.output);
}

namespace {

constinit const Function einsum_function =
    function<&einsum>("einsum", "subscripts, *operands",
                      R"(Sums of products over named axes, in Einstein's notation.

Args:
    subscripts: A term of letters for each operand, one letter an axis, separated by commas, then
        "->" and the letters of the result. Letters that are not in the result are summed over; one
        that is repeated in a term is read along the diagonal. "..." stands for the axes without a
        letter, which broadcast. Without "->" the result has these, then the letters that occur once,
        in alphabetical order.
    operands: Arrays that meet in one dtype. An axis of size 1 broadcasts. Differentiable.

Returns:
    Array with the axes of the result. The order of contractions is that of `einsum_path`. Where an
    index is summed, bool and narrow integers give 32 bits, as in `sum`; half types are summed in
    float32 and rounded after each contraction.

Raises:
    ValueError: if the subscripts cannot be read, or do not match the operands.

>>> einsum("ij,jk->ik", array([[1.0, 2.0]]), array([[3.0], [4.0]]))
array([[11]], dtype=float32)
>>> einsum("ii", array([[1, 2], [3, 4]]))
array(5, dtype=int32)
)");

}  // namespace

void register_einsum(Registry& registry) { registry.add(einsum_function); }

}  // namespace legato
