// Public header: The scalar language: every pointwise function of Legato, once, generic over the
// value type (see lane.h).
//
// A function is a struct with `arity`, `types` (the kinds of compute dtypes it takes) and
// `apply(V...)`, whose return type says the result's dtype: V the same, a mask bool, V from complex
// its real part. To add one: write the struct in the scalar_*.h of its theme and its line in
// functions.h.
#pragma once

#include "legato/fuse/functions.h"
#include "legato/ops/pointwise/scalar_arith.h"
#include "legato/ops/pointwise/scalar_transcend.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

template <class... Fs>
struct List {};

/// Converts between dtypes; its loops are written apart (loops_cast.simd.cpp).
struct Cast : Light<1> {
  static constexpr TypeSet types = 0;
};

template <class F>
struct IdOf;
#define LEGATO_POINTWISE_ID(type, name)        \
  template <>                                  \
  struct IdOf<type> {                          \
    static constexpr Id value = Id::type;      \
    static constexpr const char* text = #name; \
  };
LEGATO_POINTWISE_FUNCTIONS(LEGATO_POINTWISE_ID)
#undef LEGATO_POINTWISE_ID

/// All functions in the order of their numbers.
#define LEGATO_POINTWISE_TYPE(type, name) , type
template <class First, class... Fs>
using ListAfter = List<Fs...>;
using AllFunctions = ListAfter<void LEGATO_POINTWISE_FUNCTIONS(LEGATO_POINTWISE_TYPE)>;
#undef LEGATO_POINTWISE_TYPE

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
