// The public functions of the shape family: signatures and documentation.
#include "legato/op/registry.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

ArrayTuple broadcast_tuple(std::span<const Array> arrays) { return {broadcast_arrays(arrays)}; }

ArrayTuple meshgrid_tuple(std::span<const Array> arrays, bool sparse, const std::string& indexing) {
  return {meshgrid(arrays, sparse, indexing)};
}

template <Array (*f)(const Array&)>
OneOrList each(std::span<const Array> arrays) {
  OneOrList out;
  for (const Array& a : arrays) out.arrays.push_back(f(a));
  return out;
}

constexpr Function kFunctions[] = {
    function<&reshape>("reshape", "a, /, shape",
                       R"(The elements of `a` in row-major order in another shape.

One size may be -1: it is computed from the others. Without a copy where the layout of `a` allows it.

Raises:
    ValueError: if `shape` does not hold as many elements as `a`.

>>> reshape(array([1, 2, 3, 4]), (2, -1))
array([[1, 2],
       [3, 4]], dtype=int32))"),
    function<&flatten>("flatten", "a, /, start_axis=0, end_axis=-1",
                       R"(Merges the axes from `start_axis` to `end_axis`, both included, into one.

A 0-d array becomes one of shape (1,).

>>> flatten(array([[1, 2], [3, 4]]))
array([1, 2, 3, 4], dtype=int32))"),
    function<&unflatten>("unflatten", "a, /, axis, shape",
                         R"(Splits `axis` into axes of the sizes in `shape`, one of which may be -1.

Raises:
    ValueError: if the sizes do not multiply to the size of `axis`.

>>> unflatten(array([1, 2, 3, 4]), 0, (2, -1))
array([[1, 2],
       [3, 4]], dtype=int32))"),
    function<&expand_dims>(
        "expand_dims", "a, /, axis",
        R"(Inserts axes of size 1 at the positions `axis` (an int or several) of the result.

>>> expand_dims(array([1, 2]), 0)
array([[1, 2]], dtype=int32))"),
    function<&squeeze>("squeeze", "a, /, axis=None",
                       R"(Drops axes of size 1: those named by `axis`, by default all.

Raises:
    ValueError: if a named axis has another size.

>>> squeeze(array([[1, 2]]))
array([1, 2], dtype=int32))"),
    function<&transpose>(
        "transpose", "a, /, axes=None",
        R"(Permutes the axes: axis i of the result is axis axes[i] of `a`; by default they are reversed.

Never copies.

>>> transpose(array([[1, 2], [3, 4]]))
array([[1, 3],
       [2, 4]], dtype=int32))"),
    function<&transpose>("permute_dims", "a, /, axes=None",
                         R"(Permutes the axes; another name of `transpose`.

>>> permute_dims(array([[1, 2], [3, 4]]), (1, 0))
array([[1, 3],
       [2, 4]], dtype=int32))"),
    function<&swapaxes>("swapaxes", "a, /, axis1, axis2", R"(Exchanges two axes.

>>> swapaxes(array([[1, 2], [3, 4]]), 0, 1)
array([[1, 3],
       [2, 4]], dtype=int32))"),
    function<&moveaxis>(
        "moveaxis", "a, /, source, destination",
        R"(Moves axes from `source` to `destination` (an int or several each); the others keep their order.

>>> moveaxis(zeros((2, 3, 4)), 0, -1).shape
(3, 4, 2))"),
    function<&matrix_transpose>("matrix_transpose", "a, /", R"(Exchanges the last two axes.

Raises:
    ValueError: if `a` has fewer than two dimensions.

>>> matrix_transpose(array([[1, 2], [3, 4]]))
array([[1, 3],
       [2, 4]], dtype=int32))"),
    function<&broadcast_to>(
        "broadcast_to", "a, /, shape",
        R"(`a` repeated along new leading axes and along axes of size 1, without using memory.

Raises:
    ValueError: if a size of `a` is neither 1 nor that of `shape`, counted from the last axis.

>>> broadcast_to(array([1, 2]), (2, 2))
array([[1, 2],
       [1, 2]], dtype=int32))"),
    function<&broadcast_tuple>("broadcast_arrays", "*arrays",
                               R"(All arrays in their common broadcast shape.

>>> [b.shape for b in broadcast_arrays(array([1, 2]), array([[1], [2], [3]]))]
[(3, 2), (3, 2)])"),
    function<&each<atleast_1d>>(
        "atleast_1d", "*arys",
        R"(Each array with at least one dimension; a list unless there is one array.

>>> atleast_1d(array(1))
array([1], dtype=int32))"),
    function<&each<atleast_2d>>(
        "atleast_2d", "*arys",
        R"(Each array with at least two dimensions, new ones in front; a list unless there is one array.

>>> atleast_2d(array([1, 2]))
array([[1, 2]], dtype=int32))"),
    function<&each<atleast_3d>>(
        "atleast_3d", "*arys",
        R"(Each array with at least three dimensions: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1).

A list unless there is one array.

>>> atleast_3d(array([1, 2])).shape
(1, 2, 1))"),
    function<&as_strided>("as_strided", "a, /, shape=None, strides=None, offset=0",
                          R"(A window on the elements of `a` in row-major order.

Element (i, j, ...) of the result is element offset + i * strides[0] + j * strides[1] + ... of the flattened array;
strides count elements and may be negative or 0. Defaults: the shape of `a`, row-major strides.

Raises:
    ValueError: if an element would lie outside `a`.

>>> as_strided(array([1, 2, 3, 4]), (3, 2), (1, 1))
array([[1, 2],
       [2, 3],
       [3, 4]], dtype=int32))"),
    function<&view>("view", "a, /, dtype",
                    R"(The bytes of `a` read as another dtype.

The last axis shrinks or grows with the size of an element. Not differentiable.

Raises:
    ValueError: if the bytes of the last axis are no multiple of the new element's size.

>>> view(array([1.0]), uint32)
array([1065353216], dtype=uint32))"),
    function<&contiguous>(
        "contiguous", "a, /, allow_col_major=False",
        R"(`a` with its elements in row-major order in memory; a copy only if they are not.

With `allow_col_major` a column-major array is left as it is.

>>> contiguous(transpose(array([[1, 2], [3, 4]])))
array([[1, 3],
       [2, 4]], dtype=int32))"),
    function<&diagonal>(
        "diagonal", "a, offset=0, axis1=0, axis2=1",
        R"(The diagonals of the planes of `axis1` and `axis2`, as the last axis of the result.

`offset` > 0 selects a diagonal above the main one, < 0 one below. Never copies.

>>> diagonal(array([[1, 2], [3, 4]]))
array([1, 4], dtype=int32))"),
    function<&diag>(
        "diag", "a, /, k=0",
        R"(A square matrix with the 1-d `a` on its k-th diagonal, or the k-th diagonal of a 2-d `a`.

Raises:
    ValueError: if `a` has another number of dimensions.

>>> diag(array([1, 2]))
array([[1, 0],
       [0, 2]], dtype=int32))"),
    function<&tril>("tril", "x, k=0",
                    R"(`x` with zeros above the k-th diagonal of its last two axes.

>>> tril(array([[1, 2], [3, 4]]))
array([[1, 0],
       [3, 4]], dtype=int32))"),
    function<&triu>("triu", "x, k=0",
                    R"(`x` with zeros below the k-th diagonal of its last two axes.

>>> triu(array([[1, 2], [3, 4]]))
array([[1, 2],
       [0, 4]], dtype=int32))"),
    function<&roll>(
        "roll", "a, /, shift, axis=None",
        R"(Moves elements by `shift` places along `axis`; those beyond the end come back at the start.

`shift` and `axis` are ints or sequences of the same length (one of them may be a single int). Without an axis the
flattened array is rolled.

>>> roll(array([1, 2, 3]), 1)
array([3, 1, 2], dtype=int32))"),
    function<&flip>(
        "flip", "a, /, axis=None",
        R"(Reverses the order of the elements along the given axes, by default all. Never copies.

>>> flip(array([1, 2, 3]))
array([3, 2, 1], dtype=int32))"),
    function<&meshgrid_tuple>("meshgrid", "*arrays, sparse=False, indexing='xy'",
                              R"(Coordinate grids of 1-d arrays.

Args:
    indexing: "ij": axis i of each grid belongs to the i-th array. "xy": the first two axes are exchanged.
    sparse: keep size 1 on all axes but the grid's own.

>>> x, y = meshgrid(array([1, 2]), array([3, 4]))
>>> x
array([[1, 2],
       [1, 2]], dtype=int32))"),
};

}  // namespace

void register_shape_functions(Registry& registry) {
  for (const Function& f : kFunctions) registry.add(f);
}

}  // namespace legato
