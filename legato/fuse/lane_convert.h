// convert<T>(s): what a cast means for one number, the only definition of it. Truncates and wraps
// to the width; nan and what exceeds 64 bits give 0. Halves are converted in array/dtype.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "legato/fuse/lane.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

template <class T, class S>
LEGATO_INLINE T convert(S s) {
  if constexpr (std::is_same_v<T, bool>) {
    return s != S(0);
  } else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<S>) {
    if constexpr (std::is_same_v<T, uint64_t>)
      if (s >= S(0x1p63) && s < S(0x1p64)) return static_cast<uint64_t>(s);
    return s >= S(-0x1p63) && s < S(0x1p63) ? static_cast<T>(static_cast<int64_t>(s)) : T(0);
  } else {
    return static_cast<T>(s);
  }
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
