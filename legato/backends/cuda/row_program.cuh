// Rows that stay in registers through several steps, for generated kernels (print_rows.cpp). What
// reduces them combines in the order of reduction.cuh's kernels, so that the bits are theirs.
//
// Note [Threads of a row]: there, a group of threads takes packs in turns, and each thread a run of
// four of them at a time, one run after the other. Here a row that gives a thread more than it can
// hold is shared by several such groups, `splits` of them, which take runs in turns. What each run
// gives goes through shared memory, and is combined in the order in which one thread would have
// come to it.
#pragma once

#include "legato/backends/cuda/reduction.cuh"

namespace legato::cuda {

/// Registers as they are stored: halves are rounded in pairs.
template <class T, class R, int n>
LEGATO_INLINE Pack<T, n> as_stored(const R (&r)[n]) {
  constexpr bool half = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;
  if constexpr (half && n % 2 == 0) {
    struct {
      uint32_t at[n / 2];
    } pairs;
#pragma unroll
    for (int i = 0; i < n / 2; ++i) pairs.at[i] = two_halves(T{}, r[2 * i], r[2 * i + 1]);
    return __builtin_bit_cast(Pack<T, n>, pairs);
  } else {
    Pack<T, n> p;
#pragma unroll
    for (int i = 0; i < n; ++i)
      if constexpr (half)
        p.at[i] = store<T>(Reg<T>(r[i]));
      else
        p.at[i] = r[i];
    return p;
  }
}

/// n / power, which is a power of two: the compiler does not know that the parameters are.
LEGATO_INLINE int over(int n, int power) { return n >> (31 - __clz(power)); }

/// Packs of V elements that are reduced at once, as in walk_packs.
template <int V>
inline constexpr int kRun = V > 8 ? 2 : 4;

/// full: every thread has as many packs as it has room for.
template <bool is_split, bool full>
struct RowThread {
  static constexpr bool kSplit = is_split;
  int group, k;  // threads of a group, and which of them this is
  int splits, split;
  int packs;  // of the row; 0: there is none

  /// The row in which this thread of the block works.
  static LEGATO_INLINE RowThread of(int group, int splits) {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (is_split)
      return {group, thread & (group - 1), splits, over(thread, group) & (splits - 1), 0};
    else
      return {group, thread & (group - 1), 1, 0, 0};
  }
  /// Whether the row is there and has that pack.
  LEGATO_INLINE bool has(int pack) const { return full ? packs > 0 : pack < packs; }
  /// The same, of a row that is there.
  LEGATO_INLINE bool reaches(int pack) const { return full || pack < packs; }
  /// That pack, or one that every row has.
  LEGATO_INLINE int within(int pack) const { return reaches(pack) ? pack : 0; }
  LEGATO_INLINE int threads() const { return is_split ? group * splits : group; }
  /// Which pack of the row is the thread's u-th.
  template <int V>
  LEGATO_INLINE int pack(int u) const {
    constexpr int U = kRun<V>;
    return is_split ? ((u / U * splits + split) * U + u % U) * group + k : u * group + k;
  }
  /// Runs of the row.
  template <int V>
  LEGATO_INLINE int runs() const {
    return over(packs + kRun<V> * group - 1, kRun<V> * group);
  }
};

/// What a reducer reads, for each reduction of a kernel.
struct RowReduction {
  double divisor;
  unsigned long long mask, flag;
};
template <class F>
LEGATO_INLINE F row_reducer(const RowReduction& r) {
  ReduceParams p;
  p.divisor = r.divisor;
  p.mask = r.mask;
  p.flag = static_cast<int>(r.flag);
  return F(p);
}

/// Combines what the threads of a group within a warp have, as over_rows does, for all of them.
template <class F>
LEGATO_INLINE typename F::A over_lanes(const F& f, typename F::A acc, int group) {
  for (int by = group < 32 ? group / 2 : 16; by > 0; by /= 2)
    acc = f.combine(acc, shuffle_down(acc, by));
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return shuffle_from(acc, group < 32 ? lane & ~(group - 1) : 0);
}

/// Adds one run of packs, from the thread's `first` on.
template <class F, int V, int K>
LEGATO_INLINE void take_run(const F& f, typename F::A& acc, const Pack<typename F::T, V> (&v)[K],
                            int first, int number, int group) {
  using T = typename F::T;
  constexpr int U = kRun<V>;
  T all[U * V];
#pragma unroll
  for (int e = 0; e < U * V; ++e)
    if (first + e / V < K) all[e] = v[first + e / V].at[e % V];
  f.template take<U * V, V>(acc, all, static_cast<uint32_t>(number * V),
                            static_cast<uint32_t>(group * V));
}

template <class F, int V, int K, class Thread>
LEGATO_INLINE typename F::A reduce_whole(const F& f, const Pack<typename F::T, V> (&v)[K],
                                         const Thread& t, typename F::A* shared) {
  constexpr int U = kRun<V>;
  typename F::A acc = f.none();
#pragma unroll
  for (int first = 0; first < K; first += U) {
    const int j = t.k + first * t.group;
    if (first + U <= K && t.reaches(j + (U - 1) * t.group)) {
      take_run<F, V, K>(f, acc, v, first, j, t.group);
    } else {
#pragma unroll
      for (int u = 0; u < U - 1; ++u)
        if (first + u < K && t.reaches(j + u * t.group))
          f.template take<V, V>(acc, v[first + u].at, static_cast<uint32_t>((j + u * t.group) * V),
                                0);
    }
  }
  acc = over_lanes(f, acc, t.group);
  if (t.group <= 32) return acc;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % 32 == 0) shared[thread / 32] = acc;
  __syncthreads();
  acc = shared[0];
  for (int warp = 1; warp < kReduceThreads / 32; ++warp) acc = f.combine(acc, shared[warp]);
  return acc;
}

template <class F, int V, int K, class Thread>
LEGATO_INLINE typename F::A reduce_split(const F& f, const Pack<typename F::T, V> (&v)[K],
                                         const Thread& t, typename F::A* shared) {
  constexpr int U = kRun<V>, most = 3;  // packs of a last run that is in part there
  static_assert(K % U == 0);
  const int runs = t.template runs<V>();
  // Of this row, [run][k].
  typename F::A* given =
      shared + over(static_cast<int>(threadIdx.x), t.threads()) * (runs + most - 1) * t.group + t.k;
#pragma unroll
  for (int first = 0; first < K; first += U) {
    const int run = first / U * t.splits + t.split, j = run * U * t.group + t.k;
    if (run >= runs) continue;
    typename F::A part[most];
#pragma unroll
    for (int u = 0; u < most; ++u) part[u] = f.none();
    if (t.reaches(j + (U - 1) * t.group)) {
      take_run<F, V, K>(f, part[0], v, first, j, t.group);
    } else {
#pragma unroll
      for (int u = 0; u < U - 1; ++u)
        if (t.reaches(j + u * t.group))
          f.template take<V, V>(part[u], v[first + u].at,
                                static_cast<uint32_t>((j + u * t.group) * V), 0);
    }
    given[run * t.group] = part[0];
    if (run == runs - 1)
#pragma unroll
      for (int u = 1; u < most; ++u) given[(run + u) * t.group] = part[u];
  }
  __syncthreads();
  typename F::A acc = f.none();
  if (runs > 0)
    for (int run = 0; run < runs + most - 1; ++run) acc = f.combine(acc, given[run * t.group]);
  return over_lanes(f, acc, t.group);
}

template <class F>
inline constexpr bool goes_by_rows = requires { F::kWholeRow; };
/// Bytes of shared memory that a reduction needs.
template <class F, int V, int K, bool is_split>
constexpr int row_memory() {
  if constexpr (goes_by_rows<F>)
    return 2 * 32 * 8;
  else
    return (is_split ? kReduceThreads * (K / kRun<V> + 1) : kReduceThreads / 32) *
           static_cast<int>(sizeof(typename F::A));
}

/// The result for a row, for all of its threads. A reducer that goes by whole rows says how itself.
template <class F, int V, int K, class Thread>
LEGATO_INLINE typename F::R reduce_row(const RowReduction& r, const Pack<typename F::T, V> (&v)[K],
                                       const Thread& t, unsigned char* memory) {
  if constexpr (goes_by_rows<F>) {
    return F::template reduce<V, K>(v, t, memory);
  } else {
    const F f = row_reducer<F>(r);
    auto* shared = reinterpret_cast<typename F::A*>(memory);
    if constexpr (Thread::kSplit)
      return f.finish(reduce_split<F, V, K>(f, v, t, shared));
    else
      return f.finish(reduce_whole<F, V, K>(f, v, t, shared));
  }
}

}  // namespace legato::cuda
