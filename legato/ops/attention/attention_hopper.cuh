// What the attention kernels for Hopper share: how a block's registers are shared out, masks in
// tiles of shared memory, and how a lane's part of 64 rows is stored. For *_sm90a.cu files only.
#pragma once

#include "legato/backends/cuda/mma.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/backends/cuda/wgmma.cuh"
#include "legato/ops/attention/attention.cuh"

namespace legato::cuda {

inline constexpr float kLog2E = 1.4426950408889634f;
inline constexpr float kLowest = -3.40282347e38f;  // as the op's meaning excludes a key

/// Of a block of `groups` warpgroups that multiply and one that copies, of which `resident` share a
/// multiprocessor: registers that the copying one does without go to the others.
template <int groups, int resident>
struct SharedRegisters {
  static constexpr int threads = 128 * (groups + 1);
  static constexpr int even = 65536 / (threads * resident) / 8 * 8;
  static constexpr int copying = 24;
  static constexpr int spare = (even * threads - copying * 128) / (128 * groups) / 8 * 8;
  static constexpr int multiplying = spare < 240 ? spare : 240;
};

// --- masks

/// A tile of a mask, `rows_` queries by `columns_` keys: panels of 128 bytes of each row, swizzled;
/// of each one row only where all queries share it.
template <int rows_, int columns_>
struct MaskTile {
  static constexpr int rows = rows_, columns = columns_;
  static constexpr int panel_bytes = rows * 128;
  static constexpr int bytes = (columns * 2 + 127) / 128 * panel_bytes;
};
/// Where there is none.
struct NoMaskTile {
  static constexpr int bytes = 0;
};

/// Shared memory for `stages` tiles; without masks it takes none.
template <class Tile, int stages>
struct MaskRoom {
  char mask[stages][Tile::bytes];
};
template <int stages>
struct MaskRoom<NoMaskTile, stages> {};

LEGATO_INLINE int mask_panel_columns(const HopperMask& m) {
  return m.kind == MaskKind::boolean ? 128 : 64;
}
/// The bytes that copy_mask() brings.
template <class Tile>
LEGATO_INLINE int mask_bytes(const HopperMask& m) {
  const int columns = mask_panel_columns(m);
  return (Tile::columns + columns - 1) / columns * (m.each_row ? Tile::rows : 1) * 128;
}
template <class Tile>
LEGATO_INLINE void copy_mask(char* to, const HopperMask& m, Barrier& full, int key, int query,
                             int head, int batch) {
  const int columns = mask_panel_columns(m);
  for (int i = 0; i * columns < Tile::columns; ++i)
    copy_box(to + i * Tile::panel_bytes, m.map, full, key + i * columns, m.each_row ? query : 0,
             m.each_head ? head : 0, m.each_batch ? batch : 0);
}

/// Calls visit(i, m_i, m_i+1) for the lane's part x (n) of a warpgroup's products, in the layout of
/// multiply_tile()'s c. of_keys: rows of the products are the tile's columns. M: bool or a half.
template <class M, class Tile, bool each_row, bool of_keys, int n, class Visit>
LEGATO_INLINE void visit_mask(const char* tile, Visit visit) {
  const int lane = static_cast<int>(threadIdx.x) % 32, t = lane % 4;
  const int first = static_cast<int>(threadIdx.x) / 32 * 16;  // of the warp's rows
  if constexpr (each_row && !std::is_same_v<M, bool>) {
    // A lane names a row of one of four 8 x 8 matrices, and gets two numbers of each.
    const int row = lane % 8, across = lane / 8 % 2, along = lane / 16;
#pragma unroll
    for (int i = 0; i < n; i += 8) {
      const int query = of_keys ? 2 * i + 8 * along + row : first + 8 * across + row;
      const int piece = of_keys ? first / 8 + across : i / 4 + along;
      uint32_t four[4];
      load_matrices<of_keys>(
          four, tile + piece / 8 * Tile::panel_bytes + query * 128 + ((piece % 8) ^ row) * 16);
#pragma unroll
      for (int e = 0; e < 4; ++e)
        visit(i + 2 * e, M{static_cast<uint16_t>(four[e])},
              M{static_cast<uint16_t>(four[e] >> 16)});
    }
  } else {
    auto at = [&](int query, int key) {
      const int byte = key * static_cast<int>(sizeof(M));
      return tile + byte / 128 * Tile::panel_bytes +
             (each_row ? query * 128 + ((byte % 128) ^ (query % 8 << 4)) : byte % 128);
    };
#pragma unroll
    for (int i = 0; i < n; i += 2) {
      const int own = first + lane / 4 + i / 2 % 2 * 8, walked = i / 4 * 8 + 2 * t;
      if constexpr (of_keys) {
        visit(i, *reinterpret_cast<const M*>(at(walked, own)),
              *reinterpret_cast<const M*>(at(walked + 1, own)));
      } else if constexpr (std::is_same_v<M, bool>) {
        const uint16_t two = *reinterpret_cast<const uint16_t*>(at(own, walked));
        visit(i, (two & 0xff) != 0, two > 0xff);
      } else {
        const uint32_t two = *reinterpret_cast<const uint32_t*>(at(own, walked));
        visit(i, M{static_cast<uint16_t>(two)}, M{static_cast<uint16_t>(two >> 16)});
      }
    }
  }
}

/// Whether the largest score is that of the largest product, and can be divided by `scale`.
LEGATO_INLINE bool is_unit(float scale) { return scale > 1e-20f; }
/// What scores count in: themselves where a mask is added, else in units of `scale` if it is one.
LEGATO_INLINE bool counts_scores(const HopperMask& m, float scale) {
  return (m.kind != MaskKind::none && m.kind != MaskKind::boolean) || !is_unit(scale);
}

/// Makes scores of products, as counts_scores() says, by a tile of a mask.
template <class T, class Tile, bool of_keys, int n>
LEGATO_INLINE void apply_mask(const HopperMask& m, float scale, float (&x)[n], const char* tile) {
  if (m.kind == MaskKind::boolean) {
    if (!is_unit(scale))
#pragma unroll
      for (int i = 0; i < n; ++i) x[i] *= scale;
    auto hide = [&](int i, bool first, bool second) {
      x[i] = first ? x[i] : kLowest;
      x[i + 1] = second ? x[i + 1] : kLowest;
    };
    if (m.each_row)
      visit_mask<bool, Tile, true, of_keys, n>(tile, hide);
    else
      visit_mask<bool, Tile, false, of_keys, n>(tile, hide);
  } else {
    auto add = [&](int i, T first, T second) {
      x[i] = ::fmaf(x[i], scale, read(first));
      x[i + 1] = ::fmaf(x[i + 1], scale, read(second));
    };
    if (m.each_row)
      visit_mask<T, Tile, true, of_keys, n>(tile, add);
    else
      visit_mask<T, Tile, false, of_keys, n>(tile, add);
  }
}

// Note [Scores far down]: a weight is 2^(x * unit - offset) in one fma, whose offset is rounded.
// Behind -2^11 the rounding would show, and behind the lowest number divided by log2(e) the product
// is infinite. Rows whose maximum lies there, as those that a mask of large negative numbers leaves
// no key, take 2^((x - maximum) * unit), where equal scores weigh exactly the same.
inline constexpr float kFar = 2048;

// --- stores

/// Writes a lane's part of row g + 8 r, times `scale`, of x in the layout of multiply_tile()'s c:
/// 32 bytes at once by four lanes. All lanes of a warp take part; `inside`: whether theirs is
/// written. `columns` is a multiple of 8.
template <class T, int n>
LEGATO_INLINE void store_row(T* to, const float (&x)[n], int r, float scale, bool inside,
                             int columns) {
  const int t = static_cast<int>(threadIdx.x) % 4;
  uint32_t pair[n / 4];
#pragma unroll
  for (int j = 0; j < n / 4; ++j)
    pair[j] = pack_halves<T>(x[4 * j + 2 * r] * scale, x[4 * j + 2 * r + 1] * scale);
#pragma unroll
  for (int j = 0; j + 1 < n / 4; j += 2) {
    // Lanes 0 and 1 get the four lanes' pairs of j, lanes 2 and 3 those of j + 1.
    uint32_t four[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const uint32_t first = __shfl_sync(~0u, pair[j], 2 * t % 4 + e, 4),
                     second = __shfl_sync(~0u, pair[j + 1], 2 * t % 4 + e, 4);
      four[e] = t < 2 ? first : second;
    }
    const int column = j * 8 + 4 * t;
    if (inside && column < columns)
      *reinterpret_cast<uint2*>(to + column) = uint2{four[0], four[1]};
  }
  if (n % 8 != 0) {
    const int column = n * 2 - 8 + 2 * t;
    if (inside && column < columns) *reinterpret_cast<uint32_t*>(to + column) = pair[n / 4 - 1];
  }
}

}  // namespace legato::cuda
