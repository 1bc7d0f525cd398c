// Tiles of a scan in shared memory: a thread has consecutive packs of 16 bytes of one, in the order
// of the scan. For scanners whose elements become accumulators and results one by one.
//
// Memory is read by asynchronous copies, so that what is on the way takes no registers: a tile is
// held until all before it are read, and what counts then is how much of the array multiprocessors
// hold. Note [Held tiles]: of 10^8 float32 (a copy: 272 us) with 16 elements a thread in registers
// 424 us, in shared memory 383 to 417; with 32 elements 349, with 64, three blocks of 256 threads a
// multiprocessor, 338. Blocks that stay, and tell the next tile's total before they wait for what
// comes before this one: 409 at best.
#pragma once

#include "legato/backends/cuda/mma.cuh"
#include "legato/ops/scan/relay.cuh"

namespace legato::cuda {

/// The part of a tile that a warp has: 32 << log_packs packs, from element `first` of a scan on.
template <class S>
struct WarpTile {
  using T = typename S::T;
  using A = typename S::A;
  static constexpr int P = long_pack<sizeof(T)>;
  using Packed = Pack<T, P>;
  Packed* at;
  int log_packs;
  long long row, first;

  /// Packs of neighbouring threads begin in different banks.
  LEGATO_INLINE int place(int c) const { return log_packs ? c + (c >> log_packs) : c; }
  LEGATO_INLINE int elements() const { return (32 * P) << log_packs; }
  /// How many elements there are of `most`.
  LEGATO_INLINE int have(const ScanParams& p, long long from, int most) const {
    return p.n - from < most ? (p.n > from ? static_cast<int>(p.n - from) : 0) : most;
  }
  LEGATO_INLINE T& element(int e) const { return at[place(e / P)].at[e % P]; }

  /// Begins to read; done after arrive().
  LEGATO_INLINE void bring(const ScanParams& p) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, here = have(p, first, elements());
    const T* from = static_cast<const T*>(p.x) + row * p.n;
    if (p.packs) {
      // In the order of the scan, from this thread's first pack on.
      const T* pack = from + (p.reverse ? p.n - P - first - lane * P : first + lane * P);
      const int step = p.reverse ? -32 * P : 32 * P;
#pragma unroll 4
      for (int c = lane; c * P < here; c += 32, pack += step) copy_16(at + place(c), pack, true);
      return;
    }
    const T* each = from + (p.reverse ? p.n - 1 - first - lane : first + lane);
    const int step = p.reverse ? -32 : 32;
    if constexpr (sizeof(T) == 4 || sizeof(T) == 8) {
#pragma unroll 4
      for (int e = lane; e < here; e += 32, each += step) copy_word<sizeof(T)>(&element(e), each);
    } else {
      constexpr int ahead = 8;
      for (int e = lane; e < here; e += ahead * 32, each += ahead * step) {
        T v[ahead];
#pragma unroll
        for (int u = 0; u < ahead; ++u)
          if (e + u * 32 < here) v[u] = each[u * step];
#pragma unroll
        for (int u = 0; u < ahead; ++u)
          if (e + u * 32 < here) element(e + u * 32) = v[u];
      }
    }
  }
  /// Waits for all that this warp has begun to read.
  static LEGATO_INLINE void arrive() {
    commit_copies();
    wait_copies<0>();
    __syncwarp();
  }
  LEGATO_INLINE void write(const ScanParams& p) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, here = have(p, first, elements());
    T* to = static_cast<T*>(p.y) + row * p.n;
    if (p.packs) {
      T* pack = to + (p.reverse ? p.n - P - first - lane * P : first + lane * P);
      const int step = p.reverse ? -32 * P : 32 * P;
#pragma unroll 4
      for (int c = lane; c * P < here; c += 32, pack += step)
        store_pack<T, P>(pack, load_pack<T, P>(at[place(c)].at));
      return;
    }
    T* each = to + (p.reverse ? p.n - 1 - first - lane : first + lane);
    const int step = p.reverse ? -32 : 32;
#pragma unroll 4
    for (int e = lane; e < here; e += 32, each += step) *each = element(e);
  }

  // Packs lie as in memory, single elements in the order of the scan.
  static LEGATO_INLINE void turn(const ScanParams& p, Packed& v) {
    if (!p.packs || !p.reverse) return;
#pragma unroll
    for (int k = 0; k < P / 2; ++k) {
      const T other = v.at[k];
      v.at[k] = v.at[P - 1 - k];
      v.at[P - 1 - k] = other;
    }
  }
  LEGATO_INLINE int thread_first() const {  // of the warp's elements, the first one of this thread
    return (static_cast<int>(threadIdx.x) % 32 * P) << log_packs;
  }
  /// Calls `f` with each of this thread's elements, in order; what it changes is kept if `keeps`.
  template <bool keeps, class F>
  LEGATO_INLINE void each(const ScanParams& p, const F& f) const {
    Packed* mine = at + place(thread_first() / P);
    const int here = have(p, first + thread_first(), P << log_packs), whole = here / P;
#pragma unroll 2
    for (int j = 0; j < whole; ++j) {
      Packed v = load_pack<T, P>(mine[j].at);
      turn(p, v);
#pragma unroll
      for (int k = 0; k < P; ++k) f(v.at[k]);
      if constexpr (keeps) {
        turn(p, v);
        store_pack<T, P>(mine[j].at, v);
      }
    }
    for (int e = whole * P; e < here; ++e) f(element(thread_first() + e));
  }
  /// What this thread's elements come to.
  LEGATO_INLINE A total(const S& s, const ScanParams& p) const {
    A acc = s.none();
    each<false>(p, [&](const T& v) { acc = s.combine(acc, s.make(p, v)); });
    return acc;
  }
  /// Turns elements into results; `acc`: what comes before those of this thread.
  LEGATO_INLINE void scan(const S& s, const ScanParams& p, A acc) const {
    each<true>(p, [&](T& v) {
      const A next = s.combine(acc, s.make(p, v));
      v = s.result(p, p.inclusive ? next : acc);
      acc = next;
    });
  }
};

/// This warp's part, read, of the tile that the block's ticket names: tile `t` of a scan.
template <class S>
LEGATO_INLINE WarpTile<S> take_tile(const ScanParams& p, char* shared, unsigned* ticket,
                                    long long& t) {
  using Tile = WarpTile<S>;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const long long mine = take_ticket(p.ticket, ticket), row = mine / p.tiles;
  t = mine - row * p.tiles;
  Tile tile{reinterpret_cast<typename Tile::Packed*>(shared), p.log_packs, row, 0};
  tile.at += tile.place(warp * (32 << p.log_packs));
  tile.first = (t * kTileWarps + warp) * tile.elements();
  tile.bring(p);
  tile.arrive();
  return tile;
}

}  // namespace legato::cuda
