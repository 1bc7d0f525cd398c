// The evaluator: from lazy arrays to values. See Note [Life of a node] in array/array.h.
#pragma once

#include <span>

#include "legato/array/array.h"
#include "legato/base/export.h"

namespace legato {

/// Computes `roots` and waits. Throws what a kernel threw, TransformError for values that exist
/// only inside a transform.
LEGATO_API void eval(std::span<const Array> roots);
/// Computes `root` if that takes hardly longer than to let another thread run: one pointwise
/// operation or reduction on the CPU, on some thousand elements that exist. Waits for nobody.
/// False, with the value still to be asked for, if it is not that simple, if it has not come
/// before, if it fails, or if somebody else is looking at the graph just now.
LEGATO_API bool evaluate_at_once(const Array& root);
/// Starts computing `roots` on their stream's thread and returns. Errors surface where the values
/// are read.
LEGATO_API void async_eval(std::span<const Array> roots);

/// As eval, but a device that computes in the background has only been given what it needs: the
/// values are those of whoever comes after it in the device's order.
LEGATO_API void launch(std::span<const Array> roots);

/// Whether pointwise nodes are fused into programs (environment: LEGATO_FUSION=0 turns it off).
/// Returns the old setting.
LEGATO_API bool set_fusion(bool on);

/// How much work evaluations have done in this process: what tests assert about fusion and
/// laziness.
struct EvalCounts {
  int64_t evaluations = 0;
  int64_t programs = 0;  // fused programs run
  int64_t kernels = 0;
  int64_t layout_copies = 0;   // inputs copied because a kernel or view could not take their layout
  int64_t reused_buffers = 0;  // outputs written over a dying input
  int64_t epilogues = 0;       // programs that a kernel applied as it stored its result
  int64_t prologues = 0;       // programs that a kernel computed as it read its input
  int64_t row_programs = 0;    // kernels that were programs and reductions over the same rows
  int64_t recordings = 0;      // runs of compiled functions that a device recorded
  int64_t replays = 0;         // runs of compiled functions that were such a recording
};
LEGATO_API EvalCounts eval_counts();

}  // namespace legato
