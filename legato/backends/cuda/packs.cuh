// Rows in registers, for kernels that read each element once: loads of up to 16 bytes, and sums
// over the threads that share a row. A row belongs to a group of threads: part of a warp, a warp,
// or a whole block. Group and block sizes are powers of two, so the order of a sum is fixed.
#pragma once

#include "legato/backends/cuda/rows.cuh"

namespace legato::cuda {

/// Elements of a 16-byte load.
template <class T>
inline constexpr int kWide = 16 / static_cast<int>(sizeof(T));

/// W consecutive elements, as they are stored.
template <class T, int W>
struct Stored {
  T at[W];
};
template <class T, int W>
  requires(W > 1)
struct Stored<T, W> {
  static_assert(sizeof(T) * W == 16);
  struct alignas(16) {
    uint32_t at[4];
  } words;
};

template <class T, int W>
LEGATO_INLINE Stored<T, W> load(const T* p) {
  if constexpr (W == 1)
    return {{*p}};
  else
    return *reinterpret_cast<const Stored<T, W>*>(p);
}

/// Values in the type in which they are computed.
template <class T, int W>
LEGATO_INLINE void unpack(const Stored<T, W>& s, Compute<T>* v) {
  if constexpr (W == 1) {
    v[0] = read(s.at[0]);
  } else if constexpr (std::is_same_v<T, bf16>) {
    for (int i = 0; i < 4; ++i) {
      v[2 * i] = __builtin_bit_cast(float, s.words.at[i] << 16);
      v[2 * i + 1] = __builtin_bit_cast(float, s.words.at[i] & 0xffff0000u);
    }
  } else {
    struct Elements {
      T at[W];
    } const e = __builtin_bit_cast(Elements, s.words);
    for (int i = 0; i < W; ++i) v[i] = read(e.at[i]);
  }
}

/// Rounds values to how they are stored.
template <class T, int W>
LEGATO_INLINE Stored<T, W> pack(const Compute<T>* v) {
  Stored<T, W> s;
  if constexpr (W == 1) {
    s.at[0] = written<T>(v[0]);
  } else if constexpr (sizeof(T) == 2) {
    for (int i = 0; i < 4; ++i) s.words.at[i] = two_halves(T{}, v[2 * i], v[2 * i + 1]);
  } else {
    struct Elements {
      T at[W];
    } e;
    for (int i = 0; i < W; ++i) e.at[i] = v[i];
    s.words = __builtin_bit_cast(decltype(s.words), e);
  }
  return s;
}
template <class T, int W>
LEGATO_INLINE void store(T* p, const Compute<T>* v) {
  if constexpr (W == 1)
    *p = written<T>(v[0]);
  else
    *reinterpret_cast<Stored<T, W>*>(p) = pack<T, W>(v);
}

/// As store, and lets what else is in the cache stay there.
template <class T, int W>
LEGATO_INLINE void store_once(T* p, const Compute<T>* v) {
#ifndef LEGATO_EMULATED
  if constexpr (W > 1) {
    const auto words = pack<T, W>(v).words;
    asm volatile("st.global.cs.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(words.at[0]),
                 "r"(words.at[1]), "r"(words.at[2]), "r"(words.at[3])
                 : "memory");
    return;
  }
#endif
  store<T, W>(p, v);
}

// Note [Odd rows]: rows whose length is no multiple of a pack begin anywhere within 16 bytes. Their
// packs lie where memory is aligned, so that all loads and stores but those at the two ends take 16
// bytes: the first pack may begin before the row, the last one end behind it.

/// full: every thread of the block has K whole packs, so that nothing is asked. odd: Note [Odd
/// rows].
enum class Rows { any, full, odd };

/// A thread's packs in its row of n elements: pack k has elements at(k) to at(k) + W. `shift`: how
/// many elements of the first pack lie before the row.
template <int W, Rows rows>
struct RowPlace {
  static constexpr bool odd = rows == Rows::odd;
  int group, lane, n, shift;

  LEGATO_INLINE int at(int k) const { return (k * group + lane) * W - (odd ? shift : 0); }
  LEGATO_INLINE bool has(int k) const {
    return rows == Rows::full || (at(k) < n && (!odd || n > 0));
  }
  /// Whether element j of pack k, which the row has, lies in it.
  LEGATO_INLINE bool inside(int k, int j) const {
    return !odd || static_cast<unsigned>(at(k) + j) < static_cast<unsigned>(n);
  }
  LEGATO_INLINE bool whole(int k) const { return !odd || (at(k) >= 0 && at(k) + W <= n); }
  template <class T>
  LEGATO_INLINE Stored<T, W> load(const T* row, int k) const {
    if (whole(k)) return cuda::load<T, W>(row + at(k));
    Stored<T, W> s{};
    if constexpr (odd) {
      struct Elements {
        T at[W];
      } e{};
      for (int j = 0; j < W; ++j)
        if (inside(k, j)) e.at[j] = row[at(k) + j];
      s.words = __builtin_bit_cast(decltype(s.words), e);
    }
    return s;
  }
  /// Elements of another row, such as weights, which begins at a multiple of 16 bytes.
  template <class T>
  LEGATO_INLINE void load_values(const T* row, int k, Compute<T>* v) const {
    if constexpr (odd) {
      for (int j = 0; j < W; ++j) v[j] = inside(k, j) ? read(row[at(k) + j]) : Compute<T>(0);
    } else {
      unpack<T, W>(cuda::load<T, W>(row + at(k)), v);
    }
  }
  template <class T>
  LEGATO_INLINE void store(T* row, int k, const Compute<T>* v) const {
    if (whole(k))
      cuda::store<T, W>(row + at(k), v);
    else
      for (int j = 0; j < W; ++j)
        if (inside(k, j)) row[at(k) + j] = written<T>(v[j]);
  }
};
/// An address that is computed once and kept; else each predicated load computes it anew.
template <class T>
LEGATO_INLINE T* kept(T* p) {
#ifndef LEGATO_EMULATED
  asm volatile("" : "+l"(p));
#endif
  return p;
}

/// log2 of a power of two.
LEGATO_INLINE int log_of_power(int v) { return 31 - __clz(v); }

/// The number of this thread's row, over the grid.
LEGATO_INLINE long long row_number(int group) {
  const int log = log_of_power(group);
  return static_cast<long long>(blockIdx.x) * (blockDim.x >> log) + (threadIdx.x >> log);
}
template <int W, Rows kind>
LEGATO_INLINE RowPlace<W, kind> row_place(int group, long long rows, long long length,
                                          long long row) {
  return {group, static_cast<int>(threadIdx.x) & (group - 1),
          row < rows ? static_cast<int>(length) : 0, static_cast<int>(row * length & (W - 1))};
}
/// Whether the rows of the block are all there, with K whole packs for each thread.
template <int W, int K>
LEGATO_INLINE bool full_rows(int group, long long rows, long long length) {
  return length == static_cast<long long>(group) * (K * W) &&
         (static_cast<long long>(blockIdx.x) + 1) * (blockDim.x >> log_of_power(group)) <= rows;
}

#ifndef LEGATO_EMULATED
/// 2^x to 22 bits; denormal results are 0.
LEGATO_INLINE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// 1 / x to 23 bits; of denormals, infinity.
LEGATO_INLINE float reciprocal_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
LEGATO_INLINE float exp2_fast(float x) { return ::exp2f(x); }
LEGATO_INLINE float reciprocal_fast(float x) { return 1 / x; }
#endif

LEGATO_INLINE float max_of(float a, float b) { return ::fmaxf(a, b); }
LEGATO_INLINE double max_of(double a, double b) { return ::fmax(a, b); }

/// What the threads of a group have, combined and given to all of them. Groups of more than a warp
/// need `shared`, 32 values, and all threads of the block; a kernel's next call takes another
/// array.
template <class V, class F>
LEGATO_INLINE V over_threads(V v, int group, V* shared, F combine) {
  for (int by = (group < 32 ? group : 32) / 2; by > 0; by /= 2)
    v = combine(v, __shfl_xor_sync(~0u, v, by));
  if (group <= 32) return v;
  const int thread = static_cast<int>(threadIdx.x), warps = group / 32;
  if (thread % 32 == 0) shared[thread / 32] = v;
  __syncthreads();
  v = shared[(thread >> log_of_power(group)) * warps + (thread & (warps - 1))];
  for (int by = warps / 2; by > 0; by /= 2) v = combine(v, __shfl_xor_sync(~0u, v, by));
  return v;
}

/// Two sums at once.
template <class V>
LEGATO_INLINE void add_two(V& a, V& b, int group, V (*shared)[32]) {
  for (int by = (group < 32 ? group : 32) / 2; by > 0; by /= 2) {
    a += __shfl_xor_sync(~0u, a, by);
    b += __shfl_xor_sync(~0u, b, by);
  }
  if (group <= 32) return;
  const int thread = static_cast<int>(threadIdx.x), warps = group / 32,
            at = (thread >> log_of_power(group)) * warps + (thread & (warps - 1));
  if (thread % 32 == 0) shared[0][thread / 32] = a, shared[1][thread / 32] = b;
  __syncthreads();
  a = shared[0][at];
  b = shared[1][at];
  for (int by = warps / 2; by > 0; by /= 2) {
    a += __shfl_xor_sync(~0u, a, by);
    b += __shfl_xor_sync(~0u, b, by);
  }
}

/// Mean and sum of squared differences from it of all values of a group, from those of its threads,
/// each of which has `count` values. One pass over the threads, and nothing cancels.
template <class V>
LEGATO_INLINE void add_moments(V& mean, V& squares, V count, int group, V (*shared)[32]) {
  const auto merge = [&](V other_mean, V other_squares) {
    const V d = other_mean - mean;
    mean = (mean + other_mean) * V(0.5);
    squares = (squares + other_squares) + d * d * (count * V(0.5));
    count *= V(2);
  };
  for (int by = (group < 32 ? group : 32) / 2; by > 0; by /= 2)
    merge(__shfl_xor_sync(~0u, mean, by), __shfl_xor_sync(~0u, squares, by));
  if (group <= 32) return;
  const int thread = static_cast<int>(threadIdx.x), warps = group / 32,
            at = (thread >> log_of_power(group)) * warps + (thread & (warps - 1));
  if (thread % 32 == 0) shared[0][thread / 32] = mean, shared[1][thread / 32] = squares;
  __syncthreads();
  mean = shared[0][at];
  squares = shared[1][at];
  for (int by = warps / 2; by > 0; by /= 2)
    merge(__shfl_xor_sync(~0u, mean, by), __shfl_xor_sync(~0u, squares, by));
}

// --- rows that do not fit

inline constexpr int kLongThreads = 512;

/// Calls f(position, pack) for each pack of [first, last) in turn, several loads at once.
template <class T, int W, class F>
LEGATO_INLINE void each_pack(const T* x, long long first, long long last, F f) {
  constexpr int kAtOnce = 4;
  const long long step = static_cast<long long>(kLongThreads) * W;
  for (long long at = first + static_cast<long long>(threadIdx.x) * W; at < last;
       at += kAtOnce * step) {
    Stored<T, W> stored[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k)
      if (at + k * step < last) stored[k] = load<T, W>(x + at + k * step);
    for (int k = 0; k < kAtOnce; ++k)
      if (at + k * step < last) f(at + k * step, stored[k]);
  }
}

}  // namespace legato::cuda
