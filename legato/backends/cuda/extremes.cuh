// Comparing values of all data types as every device does: nan counts as the extreme, complex
// numbers go by their real, then by their imaginary part.
#pragma once

#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

template <class V>
inline constexpr bool is_complex_value = std::is_same_v<V, c64> || std::is_same_v<V, c128>;

template <class V>
LEGATO_INLINE bool is_nan(V v) {
  if constexpr (is_complex_value<V>)
    return v.re != v.re || v.im != v.im;
  else
    return v != v;
}
template <class V>
LEGATO_INLINE bool less(V a, V b) {
  if constexpr (is_complex_value<V>)
    return a.re < b.re || (a.re == b.re && a.im < b.im);
  else
    return a < b;
}
/// What no value is above, or below.
template <class V>
LEGATO_INLINE V end_of_range(bool top) {
  if constexpr (is_complex_value<V>) {
    const auto end = end_of_range<decltype(V::re)>(top);
    return {end, end};
  } else if constexpr (std::is_same_v<V, float>) {
    return __builtin_bit_cast(float, top ? 0x7f800000u : 0xff800000u);
  } else if constexpr (std::is_same_v<V, double>) {
    return __builtin_bit_cast(double, top ? 0x7ff0000000000000ull : 0xfff0000000000000ull);
  } else if constexpr (std::is_same_v<V, bool>) {
    return top;
  } else if constexpr (V(-1) < V(0)) {
    using U = std::conditional_t<(sizeof(V) < 8), uint32_t, uint64_t>;
    const U lowest = U{1} << (8 * sizeof(V) - 1);
    return static_cast<V>(top ? lowest - 1 : U{0} - lowest);
  } else {
    return top ? static_cast<V>(~V(0)) : V(0);
  }
}
/// The larger or the smaller; nan if one is.
template <class V>
LEGATO_INLINE V extreme(V a, V b, bool largest) {
#ifndef LEGATO_EMULATED
  if constexpr (std::is_same_v<V, float>) {
    float m;
    if (largest)
      asm("max.NaN.f32 %0, %1, %2;" : "=f"(m) : "f"(a), "f"(b));
    else
      asm("min.NaN.f32 %0, %1, %2;" : "=f"(m) : "f"(a), "f"(b));
    return m;
  }
#endif
  if (is_nan(a)) return a;
  return is_nan(b) || (largest ? less(a, b) : less(b, a)) ? b : a;
}

// --- values as unsigned numbers in the same order

struct KeyPair {
  uint64_t high, low;
  friend LEGATO_INLINE bool operator>(KeyPair a, KeyPair b) {
    return a.high > b.high || (a.high == b.high && a.low > b.low);
  }
  friend LEGATO_INLINE bool operator==(KeyPair a, KeyPair b) {
    return a.high == b.high && a.low == b.low;
  }
};
template <class V>
LEGATO_INLINE auto ordered(V v) {
  if constexpr (std::is_same_v<V, c64>) {
    return static_cast<uint64_t>(ordered(v.re)) << 32 | ordered(v.im);
  } else if constexpr (std::is_same_v<V, c128>) {
    return KeyPair{ordered(v.re), ordered(v.im)};
  } else {
    using K = std::conditional_t<(sizeof(V) < 8), uint32_t, uint64_t>;
    constexpr K top = K{1} << (8 * sizeof(K) - 1);
    if constexpr (std::is_floating_point_v<V>) {
      const K bits = __builtin_bit_cast(K, v + V(0));  // zeros are equal
      return bits & top ? static_cast<K>(~bits) : static_cast<K>(bits | top);
    } else if constexpr (V(-1) < V(0)) {
      return static_cast<K>(static_cast<K>(v) + top);
    } else {
      return static_cast<K>(v);
    }
  }
}
LEGATO_INLINE KeyPair opposite(KeyPair k) { return {~k.high, ~k.low}; }
template <class K>
LEGATO_INLINE K opposite(K k) {
  return static_cast<K>(~k);
}

}  // namespace legato::cuda
