// Joining, splitting and repeating arrays, and padding.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "legato/array/operand.h"

namespace legato {

/// The arrays one after another along `axis`, in their common dtype; flattened first without an
/// axis. Throws ValueError where other axes differ or no array is given.
LEGATO_API Array concatenate(std::span<const Array> arrays, std::optional<int64_t> axis = 0);

/// The arrays, all of one shape, along a new axis; flattened first without an axis.
LEGATO_API Array stack(std::span<const Array> arrays, std::optional<int64_t> axis = 0);

/// Parts of `a` along `axis`, without copies: one number asks for that many equal parts (ValueError
/// if the size does not divide), several are the places to cut, with Python's rules for slices.
LEGATO_API std::vector<Array> split(const Array& a, int64_t sections, int64_t axis = 0);
LEGATO_API std::vector<Array> split_at(const Array& a, const Dims& indices, int64_t axis = 0);

/// The arrays along `axis`, each without it.
LEGATO_API std::vector<Array> unstack(const Array& a, int64_t axis = 0);

/// `a` repeated reps[i] times along axis i; the shorter of shape and reps is extended in front
/// by 1.
LEGATO_API Array tile(const Array& a, const Dims& reps);

/// Each element `repeats` times in a row along `axis` (one number, or one for each element); of the
/// flattened array without an axis.
LEGATO_API Array repeat(const Array& array, const Dims& repeats, std::optional<int64_t> axis = {});

/// `a` with elements added at both ends of its axes. `pad_width`: one (n) or (before, after) for
/// all axes, or one for each axis. Modes: "constant" (constant_values), "edge" (the last element),
/// "reflect" (mirrored without the edge), "symmetric" (mirrored with it), "wrap" (from the other
/// end).
LEGATO_API Array pad(const Array& a, const std::vector<Dims>& pad_width,
                     const std::string& mode = "constant", const Operand& constant_values = 0);

}  // namespace legato
