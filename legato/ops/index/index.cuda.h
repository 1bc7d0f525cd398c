// What the kernels of gather and of scatter have in common on the host.
#pragma once

#include <exception>
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
/// Gathers along the last axis through shared memory: elements of each row of `a` that its row of
/// `indices` names or, if `shared`, that all of them do. False if that does not serve here.
bool gather_within_rows(Launch& l, const View& a, const View& indices, bool shared);
/// The input plus updates, one for each place or a single one for all; exact, so that their order
/// does not matter. False if that does not serve here.
bool add_exactly(Launch& l, const PlacesParams& places, const void* updates, bool single);
/// The same for many updates, at the speed of memory; `flat` as in BucketParams. The output has
/// been started from the input.
bool add_in_buckets(Launch& l, const PlacesParams& places, const void* updates, bool single,
                    int flat);
/// The error of an index that was reported.
std::exception_ptr index_out_of_range(const char* op, const ValueReport& r);
/// Lets kernels divide by multiplying, where numbers are small enough.
void set_dividers(PlacesParams& p);
/// Has indices out of range fail the launch.
void report_to(Launch& l, PlacesParams& p);
/// The output begins as a copy of the first input, unless it has its buffer.
void start_from_input(Launch& l);

}  // namespace legato::cuda
