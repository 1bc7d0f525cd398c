// diff: the differences of neighbours, which cumsum adds up again.
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/scan/scan.h"
#include "legato/ops/shape/shape.h"

namespace legato {

Array diff(const Array& a, int n, int axis, const std::optional<Array>& prepend,
           const std::optional<Array>& append) {
  if (n < 0) throw ValueError(cat("diff: n is ", n, "; expected 0 or more"));
  const int at = normalize_axis("diff", axis, a.ndim());
  if (tracing_shapeless()) {
    std::vector<Array> in{a};
    if (prepend) in.push_back(*prepend);
    if (append) in.push_back(*append);
    return composed("diff", in, [=, first = !!prepend, last = !!append](Inputs in) {
      return diff(in[0], n, axis, first ? std::optional(in[1]) : std::nullopt,
                  last ? std::optional(in.back()) : std::nullopt);
    });
  }
  if (n == 0) return a;
  Array x = a;
  if (prepend || append) {
    // A number stands for one entry along the axis.
    auto fitted = [&](const Array& end) {
      if (end.ndim() > 0) return end;
      Shape s = a.shape();
      s[static_cast<size_t>(at)] = 1;
      return broadcast_to(end, s);
    };
    std::vector<Array> parts;
    if (prepend) parts.push_back(fitted(*prepend));
    parts.push_back(a);
    if (append) parts.push_back(fitted(*append));
    x = concatenate(parts, at);
  }
  SliceAttrs later = full_slice(x.ndim()), earlier = later;
  later.start[static_cast<size_t>(at)] = 1;
  earlier.stop[static_cast<size_t>(at)] = -1;
  for (int i = 0; i < n && x.shape(at) > 0; ++i) {
    const Array here = slice(x, later), before = slice(x, earlier);
    x = is_bool(x.dtype()) ? not_equal(here, before) : subtract(here, before);
  }
  return x;
}

namespace {

constinit const Function diff_function =
    function<&diff>("diff", "a, /, n=1, axis=-1, *, prepend=None, append=None",
                    R"(Differences of neighbours along `axis`, `n` times over.

Args:
    a: Array. Differentiable.
    n: How often; 0 gives `a`.
    axis: The axis, which gets shorter by `n`.
    prepend, append: Arrays that are put in front of and behind `a` first, or 0-d ones for one entry.

Returns:
    Array in the dtype of `a`; for bool, whether neighbours differ.

Raises:
    ValueError: if n is negative.

>>> diff(array([1, 4, 9, 16]))
array([3, 5, 7], dtype=int32)
)");

}  // namespace

void register_diff(Registry& registry) { registry.add(diff_function); }

}  // namespace legato
