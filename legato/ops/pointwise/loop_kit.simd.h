// How a function of the scalar language becomes tile loops. For loops_*.simd.cpp only.
#pragma once

#include <type_traits>

#include "legato/backends/cpu/loops.h"
#include "legato/backends/cpu/simd.h"
#include "legato/ops/pointwise/scalar.h"

#if defined(__clang__)
#define LEGATO_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define LEGATO_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

// --- vectors: float32 and float64 ---

template <class T>
LEGATO_INLINE void put(void* dst, int64_t i, Vec<T> v) {
  store(static_cast<T*>(dst) + i, v);
}
template <int b>
LEGATO_INLINE void put(void* dst, int64_t i, Mask<b> m) {
  store_mask(static_cast<bool*>(dst) + i, m);
}
template <class T>
LEGATO_INLINE void put_part(void* dst, int64_t i, Vec<T> v, int64_t n) {
  store_part(static_cast<T*>(dst) + i, v, n);
}
template <int b>
LEGATO_INLINE void put_part(void* dst, int64_t i, Mask<b> m, int64_t n) {
  store_mask_part(static_cast<bool*>(dst) + i, m, n);
}

/// Operand k of F: the condition of Where is a mask.
template <class F, class T, int k>
LEGATO_INLINE auto get(const void* const* src, int64_t i) {
  if constexpr (std::is_same_v<F, Where> && k == 0)
    return load_mask<sizeof(T)>(static_cast<const bool*>(src[0]) + i);
  else
    return load(static_cast<const T*>(src[k]) + i);
}
template <class F, class T, int k>
LEGATO_INLINE auto get_part(const void* const* src, int64_t i, int64_t n) {
  if constexpr (std::is_same_v<F, Where> && k == 0)
    return load_mask_part<sizeof(T)>(static_cast<const bool*>(src[0]) + i, n);
  else
    return load_part(static_cast<const T*>(src[k]) + i, n);
}
template <class F, class T>
LEGATO_INLINE auto apply_at(const void* const* src, int64_t i) {
  if constexpr (F::arity == 1)
    return F::apply(get<F, T, 0>(src, i));
  else if constexpr (F::arity == 2)
    return F::apply(get<F, T, 0>(src, i), get<F, T, 1>(src, i));
  else
    return F::apply(get<F, T, 0>(src, i), get<F, T, 1>(src, i), get<F, T, 2>(src, i));
}

template <class F, class T>
void vector_loop(void* dst, const void* const* sources, int64_t n) {
  constexpr int64_t w = Vec<T>::kLanes;
  const void* src[3];
  for (int k = 0; k < F::arity; ++k) src[k] = sources[k];
  int64_t i = 0;
  if constexpr (!F::heavy) {
    for (; i + 4 * w <= n; i += 4 * w) {
      auto a = apply_at<F, T>(src, i), b = apply_at<F, T>(src, i + w),
           c = apply_at<F, T>(src, i + 2 * w), d = apply_at<F, T>(src, i + 3 * w);
      put(dst, i, a);
      put(dst, i + w, b);
      put(dst, i + 2 * w, c);
      put(dst, i + 3 * w, d);
    }
  }
  for (; i + w <= n; i += w) put(dst, i, apply_at<F, T>(src, i));
  if (i < n) {
    const int64_t m = n - i;
    if constexpr (F::arity == 1)
      put_part(dst, i, F::apply(get_part<F, T, 0>(src, i, m)), m);
    else if constexpr (F::arity == 2)
      put_part(dst, i, F::apply(get_part<F, T, 0>(src, i, m), get_part<F, T, 1>(src, i, m)), m);
    else
      put_part(dst, i,
               F::apply(get_part<F, T, 0>(src, i, m), get_part<F, T, 1>(src, i, m),
                        get_part<F, T, 2>(src, i, m)),
               m);
  }
}

// --- one element at a time, for the compiler to vectorise where it can: integers, bool, complex,
// calls ---

template <class T>
struct Complex {  // as stored
  T re, im;
};

template <class T>
LEGATO_INLINE Lane<T> lane_of(T v) {
  return Lane<T>(v);
}
template <class T>
LEGATO_INLINE Cx<Lane<T>> lane_of(Complex<T> v) {
  return {Lane<T>(v.re), Lane<T>(v.im)};
}
template <class T>
LEGATO_INLINE T stored(Lane<T> v) {
  return v.value;
}
LEGATO_INLINE bool stored(LaneMask m) { return m.value; }
template <class T>
LEGATO_INLINE Complex<T> stored(Cx<Lane<T>> v) {
  return {v.re.value, v.im.value};
}

template <class F, class T>
void lane_loop(void* dst, const void* const* src, int64_t n) {
  if constexpr (std::is_same_v<F, Where>) {
    T* d = static_cast<T*>(dst);
    const bool* m = static_cast<const bool*>(src[0]);
    const T *a = static_cast<const T*>(src[1]), *b = static_cast<const T*>(src[2]);
    LEGATO_INDEPENDENT
    for (int64_t i = 0; i < n; ++i)
      d[i] = stored(F::apply(LaneMask{m[i]}, lane_of(a[i]), lane_of(b[i])));
  } else if constexpr (F::arity == 1) {
    using R = decltype(stored(F::apply(lane_of(T()))));
    R* d = static_cast<R*>(dst);
    const T* a = static_cast<const T*>(src[0]);
    LEGATO_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) d[i] = stored(F::apply(lane_of(a[i])));
  } else if constexpr (F::arity == 2) {
    using R = decltype(stored(F::apply(lane_of(T()), lane_of(T()))));
    R* d = static_cast<R*>(dst);
    const T *a = static_cast<const T*>(src[0]), *b = static_cast<const T*>(src[1]);
    LEGATO_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) d[i] = stored(F::apply(lane_of(a[i]), lane_of(b[i])));
  } else {
    T* d = static_cast<T*>(dst);
    const T *a = static_cast<const T*>(src[0]), *b = static_cast<const T*>(src[1]),
            *c = static_cast<const T*>(src[2]);
    LEGATO_INDEPENDENT
    for (int64_t i = 0; i < n; ++i)
      d[i] = stored(F::apply(lane_of(a[i]), lane_of(b[i]), lane_of(c[i])));
  }
}

// --- filling the table ---

template <class F, class T>
constexpr TypeSet kind_bit() {
  if constexpr (std::is_same_v<T, bool>)
    return kBool;
  else if constexpr (std::is_same_v<T, float>)
    return kF32;
  else if constexpr (std::is_same_v<T, double>)
    return kF64;
  else if constexpr (std::is_integral_v<T>)
    return std::is_signed_v<T> ? kSigned : kUnsigned;
  else
    return kComplex;
}

template <class F, class T>
void add_loop(LoopTable& table, Dtype dtype) {
  if constexpr ((F::types & kind_bit<F, T>()) != 0) {
    Loop& slot = table.fn[static_cast<int>(IdOf<F>::value)][static_cast<int>(dtype)];
    if constexpr (std::is_floating_point_v<T> && (F::lanewise & kind_bit<F, T>()) == 0)
      slot = vector_loop<F, T>;
    else
      slot = lane_loop<F, T>;
  }
}

template <class... Fs>
void add_float_loops(LoopTable& table, List<Fs...>) {
  (add_loop<Fs, float>(table, Dtype::float32), ...);
  (add_loop<Fs, double>(table, Dtype::float64), ...);
}
template <class... Fs>
void add_complex_loops(LoopTable& table, List<Fs...>) {
  (add_loop<Fs, Complex<float>>(table, Dtype::complex64), ...);
  (add_loop<Fs, Complex<double>>(table, Dtype::complex128), ...);
}
template <class F>
void add_integer_loops(LoopTable& table) {
  add_loop<F, bool>(table, Dtype::bool_);
  add_loop<F, uint8_t>(table, Dtype::uint8);
  add_loop<F, uint16_t>(table, Dtype::uint16);
  add_loop<F, uint32_t>(table, Dtype::uint32);
  add_loop<F, uint64_t>(table, Dtype::uint64);
  add_loop<F, int8_t>(table, Dtype::int8);
  add_loop<F, int16_t>(table, Dtype::int16);
  add_loop<F, int32_t>(table, Dtype::int32);
  add_loop<F, int64_t>(table, Dtype::int64);
}
/// For functions that treat signed and unsigned values of a width alike.
template <class F>
void add_signless_loops(LoopTable& table) {
  add_loop<F, bool>(table, Dtype::bool_);
  for (Dtype t : {Dtype::uint8, Dtype::int8}) add_loop<F, uint8_t>(table, t);
  for (Dtype t : {Dtype::uint16, Dtype::int16}) add_loop<F, uint16_t>(table, t);
  for (Dtype t : {Dtype::uint32, Dtype::int32}) add_loop<F, uint32_t>(table, t);
  for (Dtype t : {Dtype::uint64, Dtype::int64}) add_loop<F, uint64_t>(table, t);
}
template <class... Fs>
void add_integer_loops(LoopTable& table, List<Fs...>) {
  (add_integer_loops<Fs>(table), ...);
}
template <class... Fs>
void add_signless_loops(LoopTable& table, List<Fs...>) {
  (add_signless_loops<Fs>(table), ...);
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
