// Rows that stay in registers through several steps, for generated kernels (print_rows.cpp). What
// reduces them combines in the order of reduction.cuh's kernels, so that the bits are theirs.
//
// Note [Threads of a row]: there, a group of threads takes packs in turns, and each thread a run of
// four of them at a time, one run after the other. Here a row that gives a thread more than it can
// hold is shared by several such groups, `splits` of them, which take runs in turns. What each run
// gives goes to the others by shuffles, or through shared memory where the row has more than a warp
// of threads, and is combined in the order in which one thread would have come to it.
#pragma once

#include "legato/backends/cuda/reduction.cuh"
#include "legato/backends/cuda/report.cuh"

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

/// n_splits: groups that share a row. in_warp: a row's threads are some of a warp. full: every
/// thread has as many packs as it has room for.
template <int n_splits, bool in_warp, bool full>
struct RowThread {
  static constexpr int kSplits = n_splits;
  static constexpr bool kInWarp = in_warp, kFull = full;
  int group, k;  // threads of a group, and which of them this is
  int split;
  int packs;  // of the row; 0: there is none

  /// The row in which this thread of the block works.
  static LEGATO_INLINE RowThread of(int group) {
    const int thread = static_cast<int>(threadIdx.x);
    const int split = n_splits > 1 ? over(thread, group) & (n_splits - 1) : 0;
    return {group, thread & (group - 1), split, 0};
  }
  /// Whether it is the row's first one, and the row is there.
  LEGATO_INLINE bool speaks() const { return packs > 0 && k == 0 && split == 0; }
  /// Whether the row is there and has that pack.
  LEGATO_INLINE bool has(int pack) const { return full ? packs > 0 : pack < packs; }
  /// The same, of a row that is there.
  LEGATO_INLINE bool reaches(int pack) const { return full || pack < packs; }
  /// That pack, or one that every row has.
  LEGATO_INLINE int within(int pack) const { return reaches(pack) ? pack : 0; }
  LEGATO_INLINE int threads() const { return group * n_splits; }
  /// Where a row's threads are of one warp: the lane of thread `of` of one of its groups.
  LEGATO_INLINE int lane_of(int of_split, int of) const {
    return (static_cast<int>(threadIdx.x) % 32 & ~(threads() - 1)) + of_split * group + of;
  }
  /// Which pack of the row is the thread's u-th.
  template <int V>
  LEGATO_INLINE int pack(int u) const {
    constexpr int U = kRun<V>;
    return n_splits > 1 ? ((u / U * n_splits + split) * U + u % U) * group + k : u * group + k;
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
  if constexpr (Thread::kInWarp) return acc;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % 32 == 0) shared[thread / 32] = acc;
  __syncthreads();
  acc = shared[0];
  for (int warp = 1; warp < kReduceThreads / 32; ++warp) acc = f.combine(acc, shared[warp]);
  return acc;
}

/// Where a row is shared: combines what its runs gave. `part`: of the thread's q-th run, which is
/// run q * splits + split of the row; `rest`: the further packs of a last run that is in part
/// there.
template <int Q, int M, class F, class Thread>
LEGATO_INLINE typename F::A over_runs(const F& f, const typename F::A (&part)[Q],
                                      const typename F::A (&rest)[M], int runs, const Thread& t,
                                      typename F::A* shared) {
  using A = typename F::A;
  constexpr int S = Thread::kSplits, most = Thread::kFull ? Q * S : Q * S + M;
  A acc = f.none();
  if constexpr (Thread::kInWarp) {
#pragma unroll
    for (int run = 0; run < Q * S; ++run) {
      const A v = shuffle_from(part[run / S], t.lane_of(run % S, t.k));
      if (Thread::kFull || run < runs) acc = f.combine(acc, v);
    }
    if constexpr (!Thread::kFull)
#pragma unroll
      for (int u = 0; u < M; ++u) {
        const A v = shuffle_from(rest[u], t.lane_of((runs + S - 1) & (S - 1), t.k));
        if (runs > 0) acc = f.combine(acc, v);
      }
  } else {
    // Of this row, [run][k].
    A* given = shared + over(static_cast<int>(threadIdx.x), t.threads()) * most * t.group + t.k;
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      const int run = q * S + t.split;
      if (!Thread::kFull && run >= runs) continue;
      given[run * t.group] = part[q];
      if (!Thread::kFull && run == runs - 1)
#pragma unroll
        for (int u = 0; u < M; ++u) given[(runs + u) * t.group] = rest[u];
    }
    __syncthreads();
    if (Thread::kFull || runs > 0)
#pragma unroll
      for (int run = 0; run < most; ++run)
        if (Thread::kFull || run < runs + M) acc = f.combine(acc, given[run * t.group]);
  }
  return acc;
}

template <class F, int V, int K, class Thread>
LEGATO_INLINE typename F::A reduce_split(const F& f, const Pack<typename F::T, V> (&v)[K],
                                         const Thread& t, typename F::A* shared) {
  constexpr int U = kRun<V>, Q = K / U, M = 2;  // further packs of a last run, at most
  static_assert(K % U == 0 && U - 2 <= M);
  const int runs = t.template runs<V>();
  typename F::A part[Q], rest[M];
#pragma unroll
  for (int u = 0; u < M; ++u) rest[u] = f.none();
#pragma unroll
  for (int q = 0; q < Q; ++q) {
    part[q] = f.none();
    const int run = q * Thread::kSplits + t.split, j = run * U * t.group + t.k, first = q * U;
    if (!Thread::kFull && run >= runs) continue;
    if (t.reaches(j + (U - 1) * t.group)) {
      take_run<F, V, K>(f, part[q], v, first, j, t.group);
    } else {
#pragma unroll
      for (int u = 0; u < U - 1; ++u)
        if (t.reaches(j + u * t.group))
          f.template take<V, V>(u ? rest[u - 1] : part[q], v[first + u].at,
                                static_cast<uint32_t>((j + u * t.group) * V), 0);
    }
  }
  return over_lanes(f, over_runs(f, part, rest, runs, t, shared), t.group);
}

template <class F>
inline constexpr bool goes_by_rows = requires { F::kWholeRow; };
/// Bytes of shared memory that a reduction needs.
template <class F, int V, int K, class Thread>
constexpr int row_memory() {
  constexpr bool through = Thread::kSplits > 1 && !Thread::kInWarp;
  if constexpr (goes_by_rows<F>)
    return 2 * 32 * 8;
  else
    return (through ? kReduceThreads * (K / kRun<V> + 1) : kReduceThreads / 32) *
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
    if constexpr (Thread::kSplits > 1)
      return f.finish(reduce_split<F, V, K>(f, v, t, shared));
    else
      return f.finish(reduce_whole<F, V, K>(f, v, t, shared));
  }
}

/// What picks an element of each row: where it reports an index that is out of range, and which
/// axis that is.
struct RowPick {
  ValueReport* report;
  int64_t axis;
};
/// The place in a row of n elements that an index names; one that is out of range is reported by
/// the thread that speaks for the row, and gives 0.
template <class I>
LEGATO_INLINE int row_place(const RowPick& p, I index, int n, bool speaks) {
  const auto v = static_cast<long long>(index);
  const bool huge = std::is_same_v<I, uint64_t> && v < 0;  // beyond int64
  const long long at = v < 0 && !huge ? v + n : v;
  if (!huge && at >= 0 && at < n) return static_cast<int>(at);
  const int axis = static_cast<int>(p.axis);
  if (speaks) report_value(p.report, huge ? ~axis : axis, v, n);
  return 0;
}
/// Element `at` of a row that is in registers, for all of its threads. `shared`: one for each row
/// of the block.
template <class T, int V, int K, class Thread>
LEGATO_INLINE T pick_of_row(const Pack<T, V> (&v)[K], const Thread& t, int at, T* shared) {
  const int pack = at / V, turn = over(pack, t.group), k = pack & (t.group - 1);
  Pack<T, V> chosen = v[0];
  bool mine = false;
#pragma unroll
  for (int u = 0; u < K; ++u)
    if (t.template pack<V>(u) == pack) {
      chosen = v[u];
      mine = true;
    }
  T x = chosen.at[0];
#pragma unroll
  for (int i = 1; i < V; ++i)
    if (at % V == i) x = chosen.at[i];
  if constexpr (Thread::kInWarp)
    return shuffle_from(x, t.lane_of(turn / kRun<V> & (Thread::kSplits - 1), k));
  shared += over(static_cast<int>(threadIdx.x), t.threads());
  if (mine) *shared = x;
  __syncthreads();
  return *shared;
}

}  // namespace legato::cuda
