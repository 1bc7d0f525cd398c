// Transforms of functions on arrays. Each captures the function's graph by running it on fresh
// inputs and then walks that graph looking only at op records, so transforms nest in any order.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "legato/array/array.h"
#include "legato/base/export.h"

namespace legato {

/// A function of arrays. Positional arrays in, arrays out; languages flatten their trees around it.
using ArrayFn = std::function<std::vector<Array>(std::span<const Array>)>;

/// (outputs of f, cotangents of the primals): reverse mode. One cotangent an output, of its shape;
/// ValueError otherwise.
LEGATO_API std::pair<std::vector<Array>, std::vector<Array>> vjp(const ArrayFn& f,
                                                                 std::span<const Array> primals,
                                                                 std::span<const Array> cotangents);

/// As vjp, but the cotangents are made from the outputs once they are known (value_and_grad: a one
/// for the first). `wanted`: indices of the primals whose cotangents are returned.
using CotangentFn = std::function<std::vector<Array>(std::span<const Array> outputs)>;
LEGATO_API std::pair<std::vector<Array>, std::vector<Array>> vjp_with(
    const ArrayFn& f, std::span<const Array> primals, const CotangentFn& cotangents,
    std::span<const int> wanted, const char* name);

/// (outputs of f, their tangents): forward mode. One tangent a primal, of its shape and dtype;
/// ValueError otherwise.
LEGATO_API std::pair<std::vector<Array>, std::vector<Array>> jvp(const ArrayFn& f,
                                                                 std::span<const Array> primals,
                                                                 std::span<const Array> tangents);

/// f mapped over an axis of its inputs. in_axes: one an input, nullopt leaves it unbatched.
/// out_axes is asked for once the number of outputs is known (nullopt: the output must not depend
/// on the batch). Throws ValueError if sizes disagree.
using OutAxesFn = std::function<std::vector<std::optional<int>>(size_t n_outputs)>;
LEGATO_API std::vector<Array> vmap(const ArrayFn& f, std::span<const Array> inputs,
                                   std::span<const std::optional<int>> in_axes,
                                   const OutAxesFn& out_axes);

/// f with its residuals recomputed in the backward pass instead of kept.
LEGATO_API ArrayFn checkpoint(ArrayFn f);

/// The same value, with no derivative.
LEGATO_API Array stop_gradient(const Array& a);

/// `inputs` with the same values, computed after `dependencies`. Differentiable in the inputs.
LEGATO_API std::vector<Array> depends(std::span<const Array> inputs,
                                      std::span<const Array> dependencies);

/// A function with rules of its own; an absent rule falls back to transforming f.
struct CustomRules {
  /// (primals, cotangents, outputs) → cotangents of the primals.
  std::function<std::vector<Array>(std::span<const Array>, std::span<const Array>,
                                   std::span<const Array>)>
      vjp;
  /// (primals, tangents) → tangents of the outputs; a null tangent means untouched.
  std::function<std::vector<Array>(std::span<const Array>, std::span<const Array>)> jvp;
  /// (inputs, axes) → (outputs, axes).
  std::function<std::pair<std::vector<Array>, std::vector<std::optional<int>>>(
      std::span<const Array>, std::span<const std::optional<int>>)>
      vmap;
};
LEGATO_API std::vector<Array> call_custom(const ArrayFn& f, const CustomRules& rules,
                                          std::span<const Array> inputs);

/// A captured function, ready to be run again on other inputs without running f. Obtained by
/// `trace`, once for each combination of shapes and dtypes (the language binding keys its cache by
/// its own trees and constants).
class CompiledFn;
/// Runs f once on unbound inputs of the given shapes and dtypes and keeps what it did. Reading a
/// value inside f throws TransformError. `shapeless`: the result accepts other shapes of the same
/// rank; shapes are inferred anew, and must give the arrays that f told note_sizes_read (op/
/// composed.h) the sizes that they had.
LEGATO_API std::shared_ptr<CompiledFn> trace(const ArrayFn& f, std::span<const Array> like,
                                             bool shapeless);
/// Whether inputs of these shapes, with the rank and dtype of those of the trace, can be given to
/// call_compiled.
LEGATO_API bool accepts(const std::shared_ptr<CompiledFn>& f, std::span<const Array> inputs);
/// Outputs for new inputs: lazy arrays, one compiled node together.
LEGATO_API std::vector<Array> call_compiled(const std::shared_ptr<CompiledFn>& f,
                                            std::span<const Array> inputs);

}  // namespace legato
