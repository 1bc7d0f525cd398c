// How the tiles of long scans lie: a warp has consecutive packs of 16 bytes of a tile, 32 at a
// time. A block takes the tile that its ticket names.
//
// Blocks that stay, take the next tile's number early and bring it while they wait (by cp.async)
// were slower, 718 us instead of 462 for 10^8 float32: tiles that wait for each other come to the
// same block.
#pragma once

#include "legato/ops/scan/relay.cuh"

namespace legato::cuda {

/// A thread's place in a tile.
struct TilePlace {
  long long row, t;  // scan, and tile of it
  long long begin;   // of the thread's first pack
};

template <class S>
struct LongTiles {
  using T = typename S::T;
  using Raw = typename S::Raw;
  static constexpr int P = long_pack<sizeof(T)>, N = long_packs<sizeof(T), sizeof(typename S::A)>;
  static constexpr int apart = P * 32;  // from a thread's pack to its next one

  static LEGATO_INLINE TilePlace place(const ScanParams& p, long long ticket) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
    const long long row = ticket / p.tiles, t = ticket - row * p.tiles;
    return {row, t, (t * blockDim.x + thread - lane) * (N * P) + lane * P};
  }
  /// Elements in the order of the scan.
  static LEGATO_INLINE void read(const S& s, const ScanParams& p, const TilePlace& at,
                                 Raw (&raw)[N][P]) {
    const long long start = at.row * p.n;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const long long i = at.begin + j * apart;
      if constexpr (std::is_same_v<Raw, T>) {
        if (p.packs) {
          if (i >= p.n) continue;
          const auto v =
              load_pack<T, P>(static_cast<const T*>(p.x) + start + (p.reverse ? p.n - P - i : i));
#pragma unroll
          for (int k = 0; k < P; ++k) raw[j][k] = p.reverse ? v.at[P - 1 - k] : v.at[k];
          continue;
        }
      }
#pragma unroll
      for (int k = 0; k < P; ++k) {  // behind the end: the last one, in vain
        const long long last = i + k < p.n ? i + k : p.n - 1;
        raw[j][k] = s.raw(p, start + (p.reverse ? p.n - 1 - last : last));
      }
    }
  }
};

}  // namespace legato::cuda
