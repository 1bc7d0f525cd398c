// What the tiles of a scan tell each other, for kernels that read and write each element once.
//
// Note [Relays]: a tile publishes its total, waits for what comes before it, and writes.
// Single-pass scans (Merrill and Garland, "Single-pass parallel prefix scan with decoupled
// look-back", NVIDIA technical report 2016) add up whatever totals and sums are there, so that
// floats come out differently from run to run. Here what is combined with what is fixed: the tiles
// before this one in its group of 32, the groups before that one in its own group of 32, and all
// that comes before that. The last tile of a group publishes the group's total, and the last one of
// 32 groups what comes up to there; only these wait for each other in a chain, once in a thousand
// tiles.
//
// A value is published in words of 64 bits, half of which is data and half says that the data is
// there: no order between stores is needed, and one read brings both.
#pragma once

#include "legato/ops/scan/scanners.cuh"

namespace legato::cuda {

/// The number of this block's tile. Blocks with smaller numbers have started, so that waiting for
/// them ends.
LEGATO_INLINE long long take_ticket(unsigned* ticket, unsigned* shared) {
  if (threadIdx.x == 0) *shared = atomicAdd(ticket, 1u);
  __syncthreads();
  const long long mine = *shared;
  __syncthreads();
  return mine;
}

LEGATO_INLINE void put_word(unsigned long long* to, unsigned long long word) {
  *reinterpret_cast<volatile unsigned long long*>(to) = word;
}
LEGATO_INLINE unsigned long long word_at(const unsigned long long* from) {
  return *reinterpret_cast<const volatile unsigned long long*>(from);
}

/// Published values, zeroed before the launch.
template <class A>
struct Published {
  static constexpr int words = (sizeof(A) + 3) / 4;
  unsigned long long* at;
  LEGATO_INLINE void tell(long long i, const A& v) const {
    uint32_t half[words] = {};
    memcpy(half, &v, sizeof v);
#pragma unroll
    for (int w = 0; w < words; ++w) put_word(at + i * words + w, half[w] | 1ull << 32);
  }
  LEGATO_INLINE A hear(long long i) const {
    uint32_t half[words];
    bool there;
    do {
      there = true;
#pragma unroll
      for (int w = 0; w < words; ++w) {
        const unsigned long long word = word_at(at + i * words + w);
        half[w] = static_cast<uint32_t>(word);
        there = there && word >> 32;
      }
    } while (!there);
    A v;
    memcpy(&v, half, sizeof v);
    return v;
  }
};

/// What the 32 lanes have, in order; the first one gets it.
template <class S>
LEGATO_INLINE typename S::A combine_lanes(const S& s, typename S::A acc) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const typename S::A other = shuffle_down(acc, by);
    if (lane % (2 * by) == 0) acc = s.combine(acc, other);
  }
  return acc;
}

/// A block's place in the relay; in shared memory.
template <class S>
struct Relay {
  using A = typename S::A;
  A parts[3];
  A total;

  /// What comes before tile `t` of scan `row`. `mine`: the tile's total, which threads of warp 0
  /// have. By all threads of a block of three warps or more.
  LEGATO_INLINE A before(const S& s, const ScanParams& p, long long row, long long t, A mine) {
    const long long group = t / 32, thousand = t / 1024;
    const long long groups = (p.tiles + 31) / 32, thousands = (p.tiles + 1023) / 1024;
    const Published<A> tiles{p.tile_totals + row * p.tiles * Published<A>::words},
        of_groups{p.group_totals + row * groups * Published<A>::words},
        up_to{p.sums_up_to + row * thousands * Published<A>::words};
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    if (warp == 0) {
      if (lane == 0) tiles.tell(t, mine);
      const long long other = group * 32 + lane;
      A acc = s.none();
      if (other < t) acc = tiles.hear(other);
      __syncwarp();
      acc = combine_lanes(s, acc);
      if (lane == 0) {
        parts[0] = acc;
        total = mine;
        if (t % 32 == 31) of_groups.tell(group, s.combine(acc, mine));
      }
    } else if (warp == 1) {
      const long long other = thousand * 32 + lane;
      A acc = s.none();
      if (other < group) acc = of_groups.hear(other);
      __syncwarp();
      acc = combine_lanes(s, acc);
      if (lane == 0) parts[1] = acc;
    } else if (warp == 2 && lane == 0) {
      parts[2] = thousand > 0 ? up_to.hear(thousand - 1) : s.none();
    }
    __syncthreads();
    if (threadIdx.x == 0 && t % 1024 == 1023)
      up_to.tell(thousand, s.combine(parts[2], s.combine(parts[1], s.combine(parts[0], total))));
    return s.combine(parts[2], s.combine(parts[1], parts[0]));
  }
};

}  // namespace legato::cuda
