// The few operations that rules of every op and the transforms need, found in the registry by name,
// so that neither op/ nor transform/ depends on a family.
#pragma once

#include <string_view>
#include <vector>

#include "legato/op/function.h"
#include "legato/op/op.h"

namespace legato {

/// Calls the public function `name` ("sum", "fast.layer_norm") with converted arguments; missing
/// ones get no default, so all must be given.
LEGATO_API std::vector<Array> call_function(std::string_view name, std::vector<Arg> args);

namespace algebra {

LEGATO_API Array add(const Array& a, const Array& b);
LEGATO_API Array multiply(const Array& a, const Array& b);
LEGATO_API Array conjugate(const Array& a);
LEGATO_API Array astype(const Array& a, Dtype dtype);
LEGATO_API Array reshape(const Array& a, const Shape& shape);
LEGATO_API Array broadcast_to(const Array& a, const Shape& shape);
LEGATO_API Array moveaxis(const Array& a, int from, int to);
/// Zeros of this shape, without memory.
LEGATO_API Array zeros(const Shape& shape, Dtype dtype);
LEGATO_API Array zeros_like(const Array& a);
/// The sum of `a` over the axes along which `shape` was broadcast to a's shape.
LEGATO_API Array sum_to_shape(const Array& a, const Shape& shape);

}  // namespace algebra
}  // namespace legato
