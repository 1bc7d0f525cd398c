// Writing updates to the places that index arrays name, so that the result does not depend on
// timing.
//
// - set: of the updates of a place the last one wins. Updates compete by their number first
//   (scatter_compete), then winners write.
// - where the order of updates does not matter (integers; largest and smallest): atomically.
// - else: places are sorted, with the order of their updates kept.
//
// Note [Runs]: a group of threads goes along kRun sorted places, columns side by side, and combines
// the updates of equal ones. A run that begins and ends there is applied. Of one that goes on, the
// part is kept (partial 1 of the group of places); the parts of one that began before as well
// (partial 0). Then, for each run that goes on, one group combines the parts in order. So a place
// that thousands of updates name takes no longer than many that few do.
#include "legato/backends/cuda/at_once.cuh"
#include "legato/backends/cuda/extremes.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/index/places.cuh"
#include "legato/ops/index/scatter.cuh"

namespace legato::cuda {

enum Mode { kSet, kAdd, kMultiply, kDivide, kMaximum, kMinimum };

LEGATO_INLINE long long far(long long index, int axes, const long long* size,
                            const long long* stride) {
  return axes == 0 ? 0 : axes == 1 ? index * stride[0] : walk_far(index, axes, size, stride);
}

/// A column: where it lies in the target, and where its updates begin.
struct Column {
  long long to, from, step;  // step: from one index place to the next
};
LEGATO_INLINE Column column_of(const ScatterParams& s, long long column) {
  const long long o = s.n_outer == 1 ? 0 : column / s.n_inner, j = column - o * s.n_inner;
  Column c{};
  c.to = s.n_inner * s.n_outer == 1 ? 0
                                    : far(o, s.outer_axes, s.outer_size, s.outer_stride) +
                                          far(j, s.inner_axes, s.inner_size, s.inner_stride);
  if (s.single) return c;
  c.from = o * s.n_index * s.n_inner + j;
  c.step = s.n_inner;
  return c;
}

// --- what a place becomes

template <class T>
LEGATO_INLINE Complex<T> divide(Complex<T> a, Complex<T> b) {  // Smith
  const T are = a.re, aim = a.im;
  const bool wide = (b.re < 0 ? -b.re : b.re) >= (b.im < 0 ? -b.im : b.im);
  const T p = wide ? b.re : b.im, q = wide ? b.im : b.re;
  const T r = p == 0 ? T(0) : q / p, d = p + q * r;
  return {(wide ? are + aim * r : are * r + aim) / d, (wide ? aim - are * r : aim * r - are) / d};
}

template <class V>
LEGATO_INLINE V combine(int mode, V a, V u) {
  if (mode == kSet) return u;
  if (mode == kMaximum) return less(u, a) || is_nan(a) ? a : u;
  if (mode == kMinimum) return less(a, u) || is_nan(a) ? a : u;
  if constexpr (std::is_same_v<V, bool>) {
    return mode == kAdd ? a || u : a && u;
  } else if constexpr (std::is_integral_v<V>) {
    using U = std::conditional_t<(sizeof(V) < 8), uint32_t, uint64_t>;
    if (mode == kAdd) return static_cast<V>(static_cast<U>(a) + static_cast<U>(u));
    if (mode == kMultiply) return static_cast<V>(static_cast<U>(a) * static_cast<U>(u));
    if (u == 0) return 0;
    if constexpr (std::is_signed_v<V>)
      if (u == V(-1)) return static_cast<V>(U{0} - static_cast<U>(a));
    return static_cast<V>(a / u);
  } else if constexpr (is_complex_value<V>) {
    if (mode == kAdd) return {a.re + u.re, a.im + u.im};
    if (mode == kMultiply) return {a.re * u.re - a.im * u.im, a.re * u.im + a.im * u.re};
    return divide(a, u);
  } else {
    return mode == kAdd ? a + u : mode == kMultiply ? a * u : a / u;
  }
}

// --- set

LEGATO_KERNEL(scatter_compete, ScatterParams, 256) {
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < p.n_index;
       i += step)
    if (p.keys[i] != p.none) atomicMax(&p.winners[p.keys[i]], static_cast<unsigned>(i + 1));
}
struct alignas(16) Sixteen {
  uint64_t half[2];
};
template <class T>
LEGATO_INLINE void set(const ScatterParams& s) {
  const long long n = s.n_outer * s.n_index * s.n_inner;
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    const long long row = s.n_inner == 1 ? e : e / s.n_inner;
    const long long o = s.n_outer == 1 ? 0 : row / s.n_index, i = row - o * s.n_index;
    const unsigned key = s.keys[i];
    if (key == s.none || s.winners[key] != static_cast<unsigned>(i + 1)) continue;
    const Column c = column_of(s, o * s.n_inner + e - row * s.n_inner);
    static_cast<T*>(s.to)[c.to + static_cast<long long>(key) * s.unit] =
        static_cast<const T*>(s.updates)[c.from + i * c.step];
  }
}
LEGATO_KERNEL(scatter_set_1, ScatterParams, 256) { set<uint8_t>(p); }
LEGATO_KERNEL(scatter_set_2, ScatterParams, 256) { set<uint16_t>(p); }
LEGATO_KERNEL(scatter_set_4, ScatterParams, 256) { set<uint32_t>(p); }
LEGATO_KERNEL(scatter_set_8, ScatterParams, 256) { set<uint64_t>(p); }
LEGATO_KERNEL(scatter_set_16, ScatterParams, 256) { set<Sixteen>(p); }

// --- in any order

template <class T>
LEGATO_INLINE void apply_atomically(T* to, T u, int mode) {
  if constexpr (std::is_integral_v<T> && sizeof(T) >= 4) {
    if (mode == kAdd) {
      using U = std::conditional_t<sizeof(T) == 4, unsigned, unsigned long long>;
      atomicAdd(reinterpret_cast<U*>(to), static_cast<U>(u));
      return;
    }
  }
  // Elements of less than a word change the word around them.
  using W = std::conditional_t<sizeof(T) == 8, unsigned long long, unsigned>;
  const auto address = reinterpret_cast<uintptr_t>(to);
  W* word = reinterpret_cast<W*>(address & ~uintptr_t{sizeof(W) - 1});
  const int shift = static_cast<int>(address & (sizeof(W) - 1)) * 8;
  constexpr W mask = sizeof(T) == sizeof(W) ? ~W{0} : (W{1} << (8 * sizeof(T) % 64)) - 1;
  W old = *reinterpret_cast<volatile W*>(word);
  for (;;) {
    T before;
    const W part = old >> shift & mask;
    memcpy(&before, &part, sizeof before);
    const T after = written<T>(combine(mode, read(before), read(u)));
    W bits = 0;
    memcpy(&bits, &after, sizeof after);
    const W next = (old & ~(mask << shift)) | bits << shift;
    if (next == old) return;
    const W seen = atomicCAS(word, old, next);
    if (seen == old) return;
    old = seen;
  }
}
template <class T>
LEGATO_INLINE void scatter_atomically(const AnyOrderParams& p) {
  constexpr int ahead = 4;
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  const T* updates = static_cast<const T*>(p.updates);
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.count;
       e += ahead * step) {
    long long at[ahead];
    T v[ahead];
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const long long i = e + u * step;
      at[u] = -1;
      if (i >= p.count) continue;
      v[u] = updates[p.single ? 0 : i];
      long long offset;
      if (source_of(p.places, i, offset)) at[u] = offset;
    }
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (at[u] >= 0) apply_atomically(static_cast<T*>(p.to) + at[u], v[u], p.mode);
  }
}

// --- in order, one update after the other: for quotients, which do not combine

template <class T>
LEGATO_INLINE void scatter_in_order(const ScatterParams& s) {
  const long long columns = s.n_outer * s.n_inner, n = s.n_index * columns;
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    long long i = e / columns;
    const unsigned key = s.keys[i];
    if (key == s.none || (i > 0 && s.keys[i - 1] == key)) continue;  // not the first of its place
    const Column c = column_of(s, e - i * columns);
    T* to = static_cast<T*>(s.to) + c.to + static_cast<long long>(key) * s.unit;
    T v = *to;
    for (; i < s.n_index && s.keys[i] == key; ++i)
      v = written<T>(combine(s.mode, read(v),
                             read(static_cast<const T*>(s.updates)[c.from + s.order[i] * c.step])));
    *to = v;
  }
}

// --- sums and products, in order

/// Combines what a place had with what its updates come to.
template <class T, int V>
LEGATO_INLINE void apply_run(const ScatterParams& s, long long offset, const Compute<T> (&acc)[V]) {
  Pack<T, V> v = load_pack<T, V>(static_cast<const T*>(s.base) + offset);
#pragma unroll
  for (int e = 0; e < V; ++e) v.at[e] = written<T>(combine(s.mode, read(v.at[e]), acc[e]));
  store_pack<T, V>(static_cast<T*>(s.to) + offset, v);
}

/// Rows of the target that no index names are those of the base.
LEGATO_KERNEL(scatter_rest, ScatterParams, kScatterThreads) {
  constexpr int ahead = 4;
  const int thread = static_cast<int>(threadIdx.x), per_block = kScatterThreads / p.group;
  const long long row = static_cast<long long>(blockIdx.x) * per_block + thread / p.group,
                  packs = p.n_inner;  // of 16 bytes
  if (row >= p.none || p.named[row]) return;
  const Sixteen* from = static_cast<const Sixteen*>(p.base) + row * packs;
  Sixteen* to = static_cast<Sixteen*>(p.to) + row * packs;
  for (long long i = thread % p.group; i < packs; i += ahead * p.group) {
    Sixteen v[ahead];
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (i + u * p.group < packs) v[u] = from[i + u * p.group];
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (i + u * p.group < packs) to[i + u * p.group] = v[u];
  }
}

/// Accumulators side by side, which lie at multiples of 16 bytes if they fill as many.
template <class A, int V>
LEGATO_INLINE Pack<A, V> load_part(const A* from) {
  if constexpr (sizeof(A) * V == 16) {
    return load_pack<A, V>(from);
  } else {
    Pack<A, V> v;
#pragma unroll
    for (int e = 0; e < V; ++e) v.at[e] = from[e];
    return v;
  }
}
template <class A, int V>
LEGATO_INLINE void store_part(A* to, const A (&acc)[V]) {
  Pack<A, V> v;
#pragma unroll
  for (int e = 0; e < V; ++e) v.at[e] = acc[e];
  if constexpr (sizeof(A) * V == 16)
    store_pack<A, V>(to, v);
  else
#pragma unroll
    for (int e = 0; e < V; ++e) to[e] = acc[e];
}

template <class T, int V>
LEGATO_INLINE void scatter_runs_in(const ScatterParams& s) {
  using A = Compute<T>;
  constexpr int ahead = 8;  // updates on the way at once
  const long long columns = s.n_outer * s.n_inner, blocks = (s.n_index + kRun - 1) / kRun;
  const int thread = static_cast<int>(threadIdx.x), per_block = kScatterThreads / s.group;
  const long long b = static_cast<long long>(blockIdx.x) * per_block + thread / s.group;
  if (b >= blocks) return;
  const long long begin = b * kRun, end = begin + kRun < s.n_index ? begin + kRun : s.n_index;
  const unsigned before = begin > 0 ? s.keys[begin - 1] : s.none,
                 behind = end < s.n_index ? s.keys[end] : s.none;
  for (long long column = thread % s.group * V; column < columns; column += s.group * V) {
    const Column c = column_of(s, column);
    const T* updates = static_cast<const T*>(s.updates) + c.from;
    A acc[V];
    unsigned key = s.none;
    bool continued = false;  // whether the run began before
    auto end_run = [&](bool goes_on) {
      if (key == s.none) return;
      if (continued || goes_on) {
        store_part<A, V>(static_cast<A*>(s.partial) + (2 * b + !continued) * columns + column, acc);
      } else {
        apply_run<T, V>(s, c.to + static_cast<long long>(key) * s.unit, acc);
      }
    };
    for (long long first = begin; first < end; first += ahead) {
      unsigned keys[ahead], order[ahead];
      Pack<T, V> u[ahead];
#pragma unroll
      for (int j = 0; j < ahead; ++j) {
        keys[j] = first + j < end ? s.keys[first + j] : s.none;
        order[j] = first + j < end ? s.order[first + j] : 0;
      }
      if (s.single) {
#pragma unroll
        for (int j = 0; j < ahead; ++j)
#pragma unroll
          for (int e = 0; e < V; ++e) u[j].at[e] = updates[0];
      } else {
#pragma unroll
        for (int j = 0; j < ahead; ++j)  // also of places out of range: the update exists
          u[j] = load_pack<T, V>(updates + order[j] * c.step);
      }
#pragma unroll
      for (int j = 0; j < ahead; ++j) {
        if (first + j >= end) break;
        if (keys[j] != key || first + j == begin) {
          if (first + j > begin) end_run(false);
          key = keys[j];
          continued = first + j == begin && key == before;
#pragma unroll
          for (int e = 0; e < V; ++e) acc[e] = key == s.none ? A{} : A(read(u[j].at[e]));
        } else if (key != s.none) {
#pragma unroll
          for (int e = 0; e < V; ++e) acc[e] = combine(s.mode, acc[e], A(read(u[j].at[e])));
        }
      }
    }
    end_run(key == behind);
  }
}

/// The run that begins in a group of places and goes on behind it.
template <class T, int V>
LEGATO_INLINE void scatter_joins_in(const ScatterParams& s) {
  using A = Compute<T>;
  const long long columns = s.n_outer * s.n_inner, blocks = (s.n_index + kRun - 1) / kRun;
  const int thread = static_cast<int>(threadIdx.x), per_block = kScatterThreads / s.group;
  const long long b = static_cast<long long>(blockIdx.x) * per_block + thread / s.group;
  if (b + 1 >= blocks) return;
  const long long begin = b * kRun, end = begin + kRun;
  const unsigned key = s.keys[end];
  if (key == s.none || s.keys[end - 1] != key) return;                        // none goes on
  if (begin > 0 && s.keys[begin] == key && s.keys[begin - 1] == key) return;  // it began before
  // The last group of places that has a part of it: one of the next few, as a rule, which are asked
  // at once.
  constexpr int near = 8;
  bool reaches[near];
#pragma unroll
  for (int j = 0; j < near; ++j)
    reaches[j] = b + 2 + j < blocks && s.keys[(b + 2 + j) * kRun] == key;
  long long low = b + 1;
#pragma unroll
  for (int j = 0; j < near; ++j)
    if (reaches[j]) low = b + 2 + j;
  long long high = low == b + 1 + near ? blocks - 1 : low;
  while (low < high) {
    const long long half = (low + high + 1) / 2;
    if (s.keys[half * kRun] == key)
      low = half;
    else
      high = half - 1;
  }
  for (long long column = thread % s.group * V; column < columns; column += s.group * V) {
    const A* part = static_cast<const A*>(s.partial) + column;
    const Pack<A, V> own = load_part<A, V>(part + (2 * b + 1) * columns);
    A acc[V];
#pragma unroll
    for (int e = 0; e < V; ++e) acc[e] = own.at[e];
    constexpr int ahead = 4;
    for (long long i = b + 1; i <= low; i += ahead) {
      Pack<A, V> parts[ahead];
#pragma unroll
      for (int j = 0; j < ahead; ++j)
        if (i + j <= low) parts[j] = load_part<A, V>(part + 2 * (i + j) * columns);
#pragma unroll
      for (int j = 0; j < ahead; ++j)
#pragma unroll
        for (int e = 0; e < V; ++e)
          if (i + j <= low) acc[e] = combine(s.mode, acc[e], parts[j].at[e]);
    }
    apply_run<T, V>(s, column_of(s, column).to + static_cast<long long>(key) * s.unit, acc);
  }
}

template <class T>
LEGATO_INLINE void scatter_runs(const ScatterParams& s) {
  constexpr int V = 16 / sizeof(T);
  if (V > 1 && s.packed)
    scatter_runs_in<T, V>(s);
  else
    scatter_runs_in<T, 1>(s);
}
template <class T>
LEGATO_INLINE void scatter_joins(const ScatterParams& s) {
  constexpr int V = 16 / sizeof(T);
  if (V > 1 && s.packed)
    scatter_joins_in<T, V>(s);
  else
    scatter_joins_in<T, 1>(s);
}

#define LEGATO_SCATTER_REAL(end, T) \
  LEGATO_KERNEL(scatter_atomic_##end, AnyOrderParams, 256) { scatter_atomically<T>(p); }
#define LEGATO_SCATTER_ORDER(end, T) \
  LEGATO_KERNEL(scatter_order_##end, ScatterParams, 256) { scatter_in_order<T>(p); }
/// Joins are short, and wait for one load after another: many at once.
template <class T>
inline constexpr int kJoinsAtOnce = std::is_same_v<T, float> ? 3 : 2;
#define LEGATO_SCATTER_RUNS(end, T)                                                             \
  LEGATO_KERNEL(scatter_runs_##end, ScatterParams, kScatterThreads) { scatter_runs<T>(p); }     \
  LEGATO_KERNEL_AT_ONCE(scatter_joins_##end, ScatterParams, kScatterThreads, kJoinsAtOnce<T>) { \
    scatter_joins<T>(p);                                                                        \
  }
#define LEGATO_EACH_REAL(X) \
  X(bool, bool)             \
  X(u8, uint8_t)            \
  X(u16, uint16_t)          \
  X(u32, uint32_t)          \
  X(u64, uint64_t)          \
  X(i8, int8_t)             \
  X(i16, int16_t)           \
  X(i32, int32_t)           \
  X(i64, int64_t)           \
  X(f16, f16)               \
  X(bf16, bf16)             \
  X(f32, float)             \
  X(f64, double)
LEGATO_EACH_REAL(LEGATO_SCATTER_REAL)
LEGATO_EACH_REAL(LEGATO_SCATTER_ORDER)
LEGATO_SCATTER_ORDER(c64, c64)
LEGATO_SCATTER_ORDER(c128, c128)
LEGATO_SCATTER_RUNS(f16, f16)
LEGATO_SCATTER_RUNS(bf16, bf16)
LEGATO_SCATTER_RUNS(f32, float)
LEGATO_SCATTER_RUNS(f64, double)
LEGATO_SCATTER_RUNS(c64, c64)
LEGATO_SCATTER_RUNS(c128, c128)

}  // namespace legato::cuda
