// What the kernels of gather and of scatter have in common on the host.
#pragma once

#include <span>

#include "legato/ops/index/gather.h"
#include "legato/ops/index/index.cuh"

namespace legato {
class Launch;
struct View;
}  // namespace legato

namespace legato::cuda {

/// The places of `a` that gather's, or take_along_axis', indices name.
PlacesParams gather_places(Launch& l, const View& a, std::span<const View> indices,
                           const GatherAttrs& attrs);
PlacesParams along_places(Launch& l, const View& a, const View& indices, int64_t axis);
/// Lets kernels divide by multiplying, where numbers are small enough.
void set_dividers(PlacesParams& p);
/// Has indices out of range fail the launch.
void report_to(Launch& l, PlacesParams& p);
/// The output begins as a copy of the first input, unless it has its buffer.
void start_from_input(Launch& l);

}  // namespace legato::cuda
