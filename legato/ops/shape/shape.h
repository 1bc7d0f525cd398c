// Shapes and views: functions that rearrange an array without computing anything.
//
// Each is a layout over the memory of its input where a layout can say it (reshape of a contiguous
// array, transpose, broadcast, slice, ...), else one copy. All dtypes; differentiable; axes may be
// negative.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "legato/array/operand.h"

namespace legato {

/// The elements of `a` in row-major order in another shape. One entry may be -1: it is computed.
/// Throws ValueError if the numbers of elements differ.
LEGATO_API Array reshape(const Array& a, const Shape& shape);

/// Merges the axes from `start_axis` to `end_axis`, both included, into one. A 0-d array becomes
/// (1,).
LEGATO_API Array flatten(const Array& a, int64_t start_axis = 0, int64_t end_axis = -1);

/// Splits `axis` into axes of the sizes in `shape`, one of which may be -1.
LEGATO_API Array unflatten(const Array& a, int64_t axis, const Shape& shape);

/// Axes of size 1 at the positions `axis` of the result.
LEGATO_API Array expand_dims(const Array& a, const Dims& axis);

/// Drops the given axes, which must have size 1 (ValueError otherwise); by default all of size 1.
LEGATO_API Array squeeze(const Array& a, const Axes& axis = {});

/// Axis i of the result is axis axes[i] of `a`; by default the axes are reversed.
LEGATO_API Array transpose(const Array& a, const Axes& axes = {});

/// Exchanges two axes.
LEGATO_API Array swapaxes(const Array& a, int64_t axis1, int64_t axis2);

/// Moves axes from `source` to `destination`; the others keep their order.
LEGATO_API Array moveaxis(const Array& a, const Dims& source, const Dims& destination);

/// Exchanges the last two axes. Throws ValueError below two dimensions.
LEGATO_API Array matrix_transpose(const Array& a);

/// `a` repeated along new leading axes and axes of size 1, without memory.
LEGATO_API Array broadcast_to(const Operand& a, const Shape& shape);

/// All arrays in their common broadcast shape.
LEGATO_API std::vector<Array> broadcast_arrays(std::span<const Array> arrays);

/// At least one, two, three dimensions, by leading axes of size 1 (3: (n,) becomes (1, n, 1),
/// (m, n) becomes (m, n, 1)).
LEGATO_API Array atleast_1d(const Array& a);
LEGATO_API Array atleast_2d(const Array& a);
LEGATO_API Array atleast_3d(const Array& a);

/// A window on the elements of `a` in row-major order: element (i, j, ...) of the result is element
/// offset + i * strides[0] + j * strides[1] + ... By default `a`'s shape, and row-major strides.
/// Throws ValueError if an element would lie outside `a`.
LEGATO_API Array as_strided(const Array& a, const Axes& shape = {}, const Axes& strides = {},
                            int64_t offset = 0);

/// The bytes of `a` read as another dtype; the last axis shrinks or grows with the element size.
/// Not differentiable. Throws ValueError where the bytes of the last axis don't divide.
LEGATO_API Array view(const Operand& a, Dtype dtype);

/// `a` with its elements in row-major order in memory (or column-major, if allowed and already so).
LEGATO_API Array contiguous(const Array& a, bool allow_col_major = false);

/// The same values in memory of their own.
LEGATO_API Array copy(const Array& a);

/// The diagonals of the planes of `axis1` and `axis2` as the last axis; `offset` > 0 lies above the
/// main diagonal.
LEGATO_API Array diagonal(const Array& a, int64_t offset = 0, int64_t axis1 = 0, int64_t axis2 = 1);

/// A square matrix with `a` (1-d) on its k-th diagonal, or the k-th diagonal of a 2-d array.
LEGATO_API Array diag(const Array& a, int64_t k = 0);

/// `x` with zeros above (tril) or below (triu) the k-th diagonal of its last two axes.
LEGATO_API Array tril(const Array& x, int64_t k = 0);
LEGATO_API Array triu(const Array& x, int64_t k = 0);

/// Elements moved by `shift` places along `axis`, those beyond the end coming back at the start.
/// Without axes the flattened array is rolled by the sum of `shift`.
LEGATO_API Array roll(const Array& a, const Dims& shift, const Axes& axis = {});

/// Reverses the order along the given axes, by default all.
LEGATO_API Array flip(const Array& a, const Axes& axis = {});

/// Coordinate grids of 1-d arrays. indexing "xy" exchanges the first two axes, "ij" does not;
/// sparse grids keep size 1 on all axes but their own.
LEGATO_API std::vector<Array> meshgrid(std::span<const Array> arrays, bool sparse = false,
                                       const std::string& indexing = "xy");

/// The structural op behind copy(): values in memory of their own, whatever layout they had.
LEGATO_API extern const Op copy_op;

/// Strides that show row-major runs of `from` laid out as `in` in the shape `to`; false if no
/// strides can. The numbers of elements must agree.
LEGATO_API bool reshape_layout(const Shape& from, const Layout& in, const Shape& to, Layout& out);

}  // namespace legato
