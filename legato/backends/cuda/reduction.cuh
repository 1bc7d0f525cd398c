// Reductions over axes, for any reducer. Three kernels, by where the elements of an output lie:
//
// - rows: a group of 1 to 256 threads walks one output's elements, which are neighbours, in packs
//   of 16 bytes, four of them on the way at a time.
// - columns: neighbouring threads do neighbouring outputs, a pack of them each; the threads of a
//   block that have the same outputs take turns along the reduced axes.
// - short: rows of up to 128 bytes are brought to shared memory as they lie, and a thread reduces
//   each alone.
//
// Where outputs are few, each is cut into parts; the block that arrives last combines them. All
// orders are fixed by shape and layout, none by timing.
//
// Elements come from a source S, which is memory or, in generated kernels, a program that computes
// them from its own operands (print_reduction.cpp):
//   S from(offset)             the source whose element 0 is element `offset`
//   T one(at)                  an element
//   Raw<N> fetch<N>(at)        what is read for N of them, at a multiple of N
//   Pack<T, N> make<N>(at, r)  the elements that come of it; they are it if the types are the same
//   int behind<N>(at)          how far an element lies behind such a multiple
//   kWalk, kPacked, kAxes      ReduceParams::walk, ::packed, and whether one axis is reduced (1) or
//                              several (2), where they are known; else -1
//
// A reducer F, made from the parameters, has types T (elements), A (accumulators) and R (results),
//   A none()                                        what no elements give
//   void take<N, V>(A&, const T (&)[N], first, jump)   adds N elements, runs of V neighbours whose
//                     first ones are number first, first + jump, ...
//   A combine(A, A)                                 elements of the first come before the second's
//   R finish(A)
#pragma once

#include "legato/backends/cuda/at_once.cuh"
#include "legato/backends/cuda/divide.cuh"
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/reduction_abi.h"

namespace legato::cuda {

template <class E, int walk, int packed, int axes>
struct FromMemory {
  using T = E;
  static constexpr int kWalk = walk, kPacked = packed, kAxes = axes;
  const T* in;
  LEGATO_INLINE FromMemory from(long long offset) const { return {in + offset}; }
  LEGATO_INLINE T one(long long at) const { return in[at]; }
  template <int N>
  using Raw = Pack<T, N>;
  template <int N>
  LEGATO_INLINE Raw<N> fetch(long long at) const {
    return load_pack<T, N>(in + at);
  }
  template <int N>
  LEGATO_INLINE Pack<T, N> make(long long, const Raw<N>& raw) const {
    return raw;
  }
  template <int N>
  LEGATO_INLINE int behind(long long at) const {
    return static_cast<int>(reinterpret_cast<unsigned long long>(in + at) / sizeof(T)) & (N - 1);
  }
};

/// Brings the packs at place(u) for those u for which there is one. All of them are read before the
/// first one is computed, unless that takes more registers than there are.
template <int N, int U, class S, class Has, class Place>
LEGATO_INLINE void bring(const S& in, Pack<typename S::T, N> (&v)[U], Has has, Place place) {
  using Raw = typename S::template Raw<N>;
  if constexpr (std::is_same_v<Raw, Pack<typename S::T, N>>) {
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (has(u)) v[u] = in.template fetch<N>(place(u));
  } else if constexpr (sizeof(Raw) <= 48) {
    Raw raw[U];
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (has(u)) raw[u] = in.template fetch<N>(place(u));
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (has(u)) v[u] = in.template make<N>(place(u), raw[u]);
  } else {
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (has(u)) v[u] = in.template make<N>(place(u), in.template fetch<N>(place(u)));
  }
}

/// A reducer whose flag (ReduceParams::flag) a generated kernel knows: it does not carry the other
/// way of combining along.
template <class F, int flag>
struct Flagged : F {
  LEGATO_INLINE explicit Flagged(const ReduceParams& p) : F(with_flag(p)) {}
  static LEGATO_INLINE ReduceParams with_flag(const ReduceParams& p) {
    ReduceParams own;
    own.divisor = p.divisor;
    own.mask = p.mask;
    own.flag = flag;
    return own;
  }
};

LEGATO_INLINE long long kept_offset(const ReduceParams& p, long long index) {
  long long offset = 0;
#pragma unroll 1
  for (int axis = p.kept_axes - 1; axis > 0; --axis) {
    const long long next = index / p.kept_size[axis];
    offset += (index - next * p.kept_size[axis]) * p.kept_stride[axis];
    index = next;
  }
  return offset + index * p.kept_stride[0];
}
// By itself: its divisions are long, and rarely needed.
LEGATO_APART long long wide_offset(const ReduceParams& p, long long step) {
  long long offset = 0;
  for (int axis = p.reduced_axes - 1; axis > 0; --axis) {
    const long long next = step / p.reduced_size[axis];
    offset += (step - next * p.reduced_size[axis]) * p.reduced_stride[axis];
    step = next;
  }
  return offset + step * p.reduced_stride[0];
}
LEGATO_INLINE long long reduced_offset(const ReduceParams& p, long long step) {
  if (p.reduced_axes == 1) return step * p.reduced_stride[0];
  if (!p.narrow) return wide_offset(p, step);
  long long offset = 0;
  uint32_t index = static_cast<uint32_t>(step);
#pragma unroll 1
  for (int axis = p.reduced_axes - 1; axis > 0; --axis) {
    const uint32_t next = divide(index, p.reduced_divider[axis]);
    offset += static_cast<long long>(index - next * static_cast<uint32_t>(p.reduced_size[axis])) *
              p.reduced_stride[axis];
    index = next;
  }
  return offset + index * p.reduced_stride[0];
}

/// Combines v[0 .. N) pairwise: few steps wait for each other, and sums lose little.
template <int N, class A, class F>
LEGATO_INLINE A pairwise(A (&v)[N], F combine) {
#pragma unroll
  for (int by = 1; by < N; by *= 2)
#pragma unroll
    for (int i = 0; i + by < N; i += 2 * by) v[i] = combine(v[i], v[i + by]);
  return v[0];
}

/// A value of any type, shuffled in words: __shfl takes numbers only.
template <class A, class F>
LEGATO_INLINE A shuffle_words(A v, F shuffle) {
  constexpr int words = (sizeof(A) + 3) / 4;
  struct Words {
    uint32_t at[words];
  } w{};
  memcpy(&w, &v, sizeof v);
#pragma unroll
  for (int i = 0; i < words; ++i) w.at[i] = shuffle(w.at[i]);
  memcpy(&v, &w, sizeof v);
  return v;
}
template <class A>
LEGATO_INLINE A shuffle_down(A v, int by) {
  return shuffle_words(v, [&](uint32_t word) { return __shfl_down_sync(~0u, word, by); });
}
template <class A>
LEGATO_INLINE A shuffle_up(A v, int by) {
  return shuffle_words(v, [&](uint32_t word) { return __shfl_up_sync(~0u, word, by); });
}
template <class A>
LEGATO_INLINE A shuffle_from(A v, int lane) {
  return shuffle_words(v, [&](uint32_t word) { return __shfl_sync(~0u, word, lane); });
}
/// What another block wrote: not from this multiprocessor's cache.
template <class A>
LEGATO_INLINE A read_fresh(const A* from) {
#ifdef LEGATO_EMULATED
  return *from;
#else
  A v;
  if constexpr (sizeof(A) % 4 == 0) {
    uint32_t w[sizeof(A) / 4];
#pragma unroll
    for (unsigned i = 0; i < sizeof(A) / 4; ++i)
      asm volatile("ld.global.cg.b32 %0, [%1];"
                   : "=r"(w[i])
                   : "l"(reinterpret_cast<const uint32_t*>(from) + i)
                   : "memory");
    memcpy(&v, w, sizeof v);
  } else if constexpr (sizeof(A) == 2) {
    unsigned short w;
    asm volatile("ld.global.cg.b16 %0, [%1];" : "=h"(w) : "l"(from) : "memory");
    memcpy(&v, &w, sizeof v);
  } else {
    unsigned short word;
    asm volatile("ld.global.cg.u8 %0, [%1];" : "=h"(word) : "l"(from) : "memory");
    const unsigned char w = static_cast<unsigned char>(word);
    memcpy(&v, &w, sizeof v);
  }
  return v;
#endif
}
/// Combines partial[i * step + e] into acc[e] for i = first, first + by, ... below n, in this
/// order, several on the way at once.
template <int V, class F>
LEGATO_INLINE void gather_parts(const F& f, typename F::A (&acc)[V], const typename F::A* partial,
                                int first, int n, int by, long long step) {
  constexpr int U = 4;
#pragma unroll
  for (int e = 0; e < V; ++e) acc[e] = f.none();
  for (int i = first; i < n; i += U * by) {
    typename F::A part[U][V];
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int e = 0; e < V; ++e)
        if (i + u * by < n) part[u][e] = read_fresh(partial + (i + u * by) * step + e);
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int e = 0; e < V; ++e)
        if (i + u * by < n) acc[e] = f.combine(acc[e], part[u][e]);
  }
}
/// Whether this block is the last of `parts` to come here, which sets the counter to 0 again; what
/// the others wrote before is visible then. Every thread must take part.
LEGATO_INLINE bool arrives_last(unsigned* counter, int parts, unsigned* shared) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *shared = atomicInc(counter, static_cast<unsigned>(parts - 1));
  __syncthreads();
  const bool last = *shared == static_cast<unsigned>(parts - 1);
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// --- rows

/// Elements [begin, end) of one output, by thread k of `group`, one by one.
template <class F, class S>
LEGATO_INLINE typename F::A walk_elements(const F& f, const ReduceParams& p, const S& in,
                                          long long begin, long long end, int k, int group) {
  using T = typename F::T;
  typename F::A acc = f.none();
  long long i = begin + k;
  for (; i + 3ll * group < end; i += 4ll * group) {
    Pack<T, 1> each[4];
    bring(
        in, each, [](int) { return true; },
        [&](int u) { return reduced_offset(p, i + u * group); });
    const T v[4] = {each[0].at[0], each[1].at[0], each[2].at[0], each[3].at[0]};
    f.template take<4, 1>(acc, v, static_cast<uint32_t>(i), static_cast<uint32_t>(group));
  }
  for (; i < end; i += group) {
    const T v[1] = {in.one(reduced_offset(p, i))};
    f.template take<1, 1>(acc, v, static_cast<uint32_t>(i), 0);
  }
  return acc;
}
/// The same in packs; [begin, end) are packs unless the walk is dense.
template <class F, class S>
LEGATO_INLINE typename F::A walk_packs(const F& f, const ReduceParams& p, const S& in, bool dense,
                                       long long begin, long long end, int k, int group) {
  using T = typename F::T;
  constexpr int V = 16 / sizeof(T);
  typename F::A acc = f.none();
  auto one = [&](long long at) {
    const T v[1] = {in.one(at)};
    f.template take<1, 1>(acc, v, static_cast<uint32_t>(at), 0);
  };
  long long first = begin, packs = end - begin;  // where the walk is in packs
  if (dense) {
    const int odd = in.template behind<V>(begin);
    long long head = odd ? V - odd : 0;  // elements before the first whole pack
    if (head > end - begin) head = end - begin;
    for (long long i = begin + k; i < begin + head; i += group) one(i);
    first = begin + head;
    packs = (end - first) / V;
  }
  auto number = [&](long long j) {
    return static_cast<uint32_t>(dense ? first + j * V : (first + j) * V);
  };
  constexpr int U = V > 8 ? 2 : 4;
  for (long long j = k; j < packs; j += static_cast<long long>(U) * group) {
    Pack<T, V> v[U];
    bring(
        in, v, [&](int u) { return j + u * group < packs; },
        [&](int u) {
          const long long at = j + u * group;
          return dense ? first + at * V : reduced_offset(p, first + at);
        });
    if (j + (U - 1) * group < packs) {
      T all[U * V];
#pragma unroll
      for (int e = 0; e < U * V; ++e) all[e] = v[e / V].at[e % V];
      f.template take<U * V, V>(acc, all, number(j), static_cast<uint32_t>(group * V));
    } else {
#pragma unroll
      for (int u = 0; u < U - 1; ++u)
        if (j + u * group < packs) f.template take<V, V>(acc, v[u].at, number(j + u * group), 0);
    }
  }
  if (dense)
    for (long long i = first + packs * V + k; i < end; i += group) one(i);
  return acc;
}
template <class F, class S>
LEGATO_INLINE typename F::A walk_row(const F& f, const ReduceParams& p, const S& in,
                                     long long begin, long long end, int k, int group) {
  constexpr int elements = static_cast<int>(ReduceWalk::elements);
  if constexpr (sizeof(typename F::T) == 16 || S::kWalk == elements)
    return walk_elements(f, p, in, begin, end, k, group);
  else if constexpr (S::kWalk >= 0)
    return walk_packs(f, p, in, S::kWalk == static_cast<int>(ReduceWalk::dense), begin, end, k,
                      group);
  else
    return p.walk == ReduceWalk::elements
               ? walk_elements(f, p, in, begin, end, k, group)
               : walk_packs(f, p, in, p.walk == ReduceWalk::dense, begin, end, k, group);
}

/// Combines what the threads of a group have; the first of them gets it. `shared`: one a warp.
/// Every thread of the block must take part.
template <class F>
LEGATO_INLINE typename F::A over_rows(const F& f, typename F::A acc, int group,
                                      typename F::A* shared) {
  for (int by = group < 32 ? group / 2 : 16; by > 0; by /= 2)
    acc = f.combine(acc, shuffle_down(acc, by));
  if (group <= 32) return acc;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % 32 == 0) shared[thread / 32] = acc;
  __syncthreads();
  if (thread == 0)
    for (int warp = 1; warp < kReduceThreads / 32; ++warp) acc = f.combine(acc, shared[warp]);
  __syncthreads();
  return acc;
}

template <class F, class S>
LEGATO_INLINE void reduce_rows(const ReduceParams& p, const S& source, unsigned char* memory) {
  using A = typename F::A;
  static_assert(sizeof(A) <= kReduceAccumulator);
  const F f(p);
  A* shared = reinterpret_cast<A*>(memory);
  const int thread = static_cast<int>(threadIdx.x), k = thread % p.group;
  const long long part = blockIdx.x / p.blocks, block = blockIdx.x - part * p.blocks;
  const long long output = block * (kReduceThreads / p.group) + thread / p.group;
  const bool mine = output < p.n_kept;
  A acc = f.none();
  if (mine) {
    const long long begin = part * p.part;
    const long long end = begin + p.part < p.n_steps ? begin + p.part : p.n_steps;
    acc = walk_row(f, p, source.from(kept_offset(p, output)), begin, end, k, p.group);
  }
  acc = over_rows(f, acc, p.group, shared);
  auto* out = static_cast<typename F::R*>(p.out);
  if (p.parts == 1) {
    if (mine && k == 0) out[output] = f.finish(acc);
    return;
  }
  A* partial = static_cast<A*>(p.partial);
  if (mine && k == 0) partial[part * p.n_kept + output] = acc;
  if (!arrives_last(&p.counters[block], p.parts, reinterpret_cast<unsigned*>(memory))) return;
  A all[1] = {f.none()};
  if (mine) gather_parts(f, all, partial + output, k, p.parts, p.group, p.n_kept);
  acc = over_rows(f, all[0], p.group, shared);
  if (mine && k == 0) out[output] = f.finish(acc);
}

inline constexpr int kRowsMemory = kReduceThreads / 32 * kReduceAccumulator;

// --- columns

/// Combines, for each output, what the threads of a block have; those of depth 0 get it. `shared`:
/// V for each thread.
template <int V, class F>
LEGATO_INLINE void over_columns(const F& f, const ReduceParams& p, typename F::A (&acc)[V],
                                typename F::A* shared) {
  const int thread = static_cast<int>(threadIdx.x), y = thread / p.width;
  int half = 1;
  while (half < p.depth) half *= 2;
  for (half /= 2; half > 0; half /= 2) {
#pragma unroll
    for (int e = 0; e < V; ++e) shared[e * kReduceThreads + thread] = acc[e];
    __syncthreads();
    if (y < half && y + half < p.depth)
#pragma unroll
      for (int e = 0; e < V; ++e)
        acc[e] = f.combine(acc[e], shared[e * kReduceThreads + thread + half * p.width]);
    __syncthreads();
  }
}

template <class F, int V, class S>
LEGATO_INLINE void reduce_columns_in(const ReduceParams& p, const S& source,
                                     unsigned char* memory) {
  using T = typename F::T;
  using A = typename F::A;
  constexpr int U = 8;
  const F f(p);
  A* shared = reinterpret_cast<A*>(memory);
  const int thread = static_cast<int>(threadIdx.x), y = thread / p.width, x = thread - y * p.width;
  const long long part = blockIdx.x / p.blocks, block = blockIdx.x - part * p.blocks;
  const long long output = (block * p.width + x) * V;
  const bool mine = output < p.n_kept && y < p.depth;
  A acc[V];
#pragma unroll
  for (int e = 0; e < V; ++e) acc[e] = f.none();
  if (mine) {
    const S in = source.from(kept_offset(p, output));
    const long long begin = part * p.part;
    const long long end = begin + p.part < p.n_steps ? begin + p.part : p.n_steps;
    auto walk = [&](auto offset) {
      long long i = begin + y;
      for (; i + (U - 1) * p.depth < end; i += static_cast<long long>(U) * p.depth) {
        Pack<T, V> v[U];
        bring(in, v, [](int) { return true; }, [&](int u) { return offset(i + u * p.depth); });
#pragma unroll
        for (int e = 0; e < V; ++e) {
          T column[U];
#pragma unroll
          for (int u = 0; u < U; ++u) column[u] = v[u].at[e];
          f.template take<U, 1>(acc[e], column, static_cast<uint32_t>(i),
                                static_cast<uint32_t>(p.depth));
        }
      }
      constexpr int rest = U / 2;  // at a time
      for (; i < end; i += static_cast<long long>(rest) * p.depth) {
        Pack<T, V> v[rest];
        bring(
            in, v, [&](int u) { return i + u * p.depth < end; },
            [&](int u) { return offset(i + u * p.depth); });
#pragma unroll
        for (int u = 0; u < rest; ++u)
#pragma unroll
          for (int e = 0; e < V; ++e)
            if (i + u * p.depth < end) {
              const T column[1] = {v[u].at[e]};
              f.template take<1, 1>(acc[e], column, static_cast<uint32_t>(i + u * p.depth), 0);
            }
      }
    };
    // Along one axis without a loop at each load.
    const long long stride = p.reduced_stride[0];
    auto anywhere = [&](long long step) { return reduced_offset(p, step); };
    auto along = [=](long long step) { return step * stride; };
    if constexpr (S::kAxes == 1)
      walk(along);
    else if constexpr (S::kAxes > 1)
      walk(anywhere);
    else if (p.reduced_axes == 1)
      walk(along);
    else
      walk(anywhere);
  }
  auto* out = static_cast<typename F::R*>(p.out);
  A* partial = static_cast<A*>(p.partial);
  over_columns(f, p, acc, shared);
  const bool last = mine && y == 0;
  if (last) {
#pragma unroll
    for (int e = 0; e < V; ++e)
      if (p.parts == 1)
        out[output + e] = f.finish(acc[e]);
      else
        partial[part * p.n_kept + output + e] = acc[e];
  }
  if (p.parts == 1) return;
  if (!arrives_last(&p.counters[block], p.parts, reinterpret_cast<unsigned*>(memory))) return;
  if (mine) gather_parts(f, acc, partial + output, y, p.parts, p.depth, p.n_kept);
  over_columns(f, p, acc, shared);
  if (last) {
#pragma unroll
    for (int e = 0; e < V; ++e) out[output + e] = f.finish(acc[e]);
  }
}
template <class F, class S>
LEGATO_INLINE void reduce_columns(const ReduceParams& p, const S& source, unsigned char* memory) {
  constexpr int wide = column_pack<sizeof(typename F::T)>;
  if constexpr (S::kPacked >= 0)
    reduce_columns_in<F, S::kPacked ? wide : 1>(p, source, memory);
  else if (p.packed)
    reduce_columns_in<F, wide>(p, source, memory);
  else
    reduce_columns_in<F, 1>(p, source, memory);
}

template <class F>
inline constexpr int kColumnsMemory =
    kReduceThreads * column_pack<sizeof(typename F::T)> * static_cast<int>(sizeof(typename F::A));

// --- short rows, all of them one behind the other

/// Where element i lies in shared memory: 4 bytes are left out after each 128 (or a whole element,
/// if larger), so that rows of 128 bytes do not begin in one bank.
template <class T>
LEGATO_INLINE int short_place(int i) {
  constexpr int line = 128 / sizeof(T), gap = sizeof(T) < 4 ? 4 / sizeof(T) : 1;
  return i + i / line * gap;
}
template <class T>
inline constexpr int kShortMemory =
    kReduceThreads * (kShortRowBytes + (sizeof(T) < 4 ? 4 : sizeof(T)));

template <class F, class S>
LEGATO_INLINE void reduce_short(const ReduceParams& p, const S& source, unsigned char* memory) {
  using T = typename F::T;
  constexpr int V = 16 / sizeof(T);
  const F f(p);
  T* tile = reinterpret_cast<T*>(memory);
  const int thread = static_cast<int>(threadIdx.x), n = static_cast<int>(p.n_reduced);
  const long long first = static_cast<long long>(blockIdx.x) * kReduceThreads;
  const int rows =
      p.n_kept - first < kReduceThreads ? static_cast<int>(p.n_kept - first) : kReduceThreads;
  const S in = source.from(first * n);
  const int count = rows * n;
  int done = 0;
  if (in.template behind<V>(0) == 0) {
    for (int j = thread; j < count / V; j += kReduceThreads) {
      const Pack<T, V> v = in.template make<V>(j * V, in.template fetch<V>(j * V));
#pragma unroll
      for (int e = 0; e < V; ++e) tile[short_place<T>(j * V + e)] = v.at[e];
    }
    done = count / V * V;
  }
  for (int i = done + thread; i < count; i += kReduceThreads) tile[short_place<T>(i)] = in.one(i);
  __syncthreads();
  if (thread >= rows) return;
  typename F::A acc = f.none();
  int i = 0;
  for (; i + 3 < n; i += 4) {
    T v[4];
#pragma unroll
    for (int u = 0; u < 4; ++u) v[u] = tile[short_place<T>(thread * n + i + u)];
    f.template take<4, 4>(acc, v, static_cast<uint32_t>(i), 0);
  }
  for (; i < n; ++i) {
    const T v[1] = {tile[short_place<T>(thread * n + i)]};
    f.template take<1, 1>(acc, v, static_cast<uint32_t>(i), 0);
  }
  static_cast<typename F::R*>(p.out)[first + thread] = f.finish(acc);
}

template <class F, int walk, int packed, int axes>
LEGATO_INLINE auto memory_of(const ReduceParams& p) {
  using T = typename F::T;
  return FromMemory<T, walk, packed, axes>{static_cast<const T*>(p.in)};
}
/// How many blocks a multiprocessor is to hold at once, as far as registers go.
template <class T>
inline constexpr int kDenseRowsAtOnce = std::is_same_v<T, float> ? 4
                                        : sizeof(T) == 4         ? 3
                                                                 : 2;
template <class T>
inline constexpr int kColumnsAtOnce = std::is_same_v<T, float> ? 3
                                      : sizeof(T) > 1          ? 2
                                                               : 1;

/// The kernels of one reducer: those of ReductionKernel, some of which share one.
#define LEGATO_REDUCTION(name, ...)                                                               \
  LEGATO_KERNEL_AT_ONCE(rows_dense_##name, ReduceParams, kReduceThreads,                          \
                        kDenseRowsAtOnce<typename __VA_ARGS__::T>) {                              \
    __shared__ __attribute__((aligned(16))) unsigned char memory[kRowsMemory];                    \
    reduce_rows<__VA_ARGS__>(p, memory_of<__VA_ARGS__, 0, -1, -1>(p), memory);                    \
  }                                                                                               \
  LEGATO_KERNEL(rows_##name, ReduceParams, kReduceThreads) {                                      \
    __shared__ __attribute__((aligned(16))) unsigned char memory[kRowsMemory];                    \
    reduce_rows<__VA_ARGS__>(p, memory_of<__VA_ARGS__, -1, -1, -1>(p), memory);                   \
  }                                                                                               \
  LEGATO_KERNEL_AT_ONCE(columns_packed_##name, ReduceParams, kReduceThreads,                      \
                        kColumnsAtOnce<typename __VA_ARGS__::T>) {                                \
    __shared__ __attribute__((aligned(16))) unsigned char memory[kColumnsMemory<__VA_ARGS__>];    \
    reduce_columns<__VA_ARGS__>(p, memory_of<__VA_ARGS__, -1, 1, 1>(p), memory);                  \
  }                                                                                               \
  LEGATO_KERNEL(columns_##name, ReduceParams, kReduceThreads) {                                   \
    __shared__ __attribute__((aligned(16))) unsigned char memory[kColumnsMemory<__VA_ARGS__>];    \
    reduce_columns<__VA_ARGS__>(p, memory_of<__VA_ARGS__, -1, -1, -1>(p), memory);                \
  }                                                                                               \
  LEGATO_KERNEL(short_##name, ReduceParams, kReduceThreads) {                                     \
    __shared__                                                                                    \
        __attribute__((aligned(16))) unsigned char memory[kShortMemory<typename __VA_ARGS__::T>]; \
    reduce_short<__VA_ARGS__>(p, memory_of<__VA_ARGS__, -1, -1, -1>(p), memory);                  \
  }

}  // namespace legato::cuda
