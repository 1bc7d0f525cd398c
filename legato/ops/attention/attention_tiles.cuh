// What the attention kernels with mma.sync share: tiles of rows in shared memory, and masks.
#pragma once

#include "legato/backends/cuda/mma.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/attention/attention.cuh"

namespace legato::cuda {

inline constexpr float kLog2E = 1.4426950408889634f;
inline constexpr float kLowest = -3.40282347e38f;  // as the op's meaning excludes a key

/// Distance of rows of `width` columns in shared memory, so that ldmatrix meets no conflicts.
template <int width>
inline constexpr int kPitch = width + 8;

/// Copies rows first .. first + n of a (limit, columns) matrix to a tile; zeros elsewhere. Done
/// after commit_copies(), wait_copies() and __syncthreads().
template <class T, int width, int threads, int n>
LEGATO_INLINE void fetch_rows(T* tile, const void* from, long long pitch, int first, int limit,
                              int columns, bool packed) {
  const T* base = static_cast<const T*>(from);
  constexpr int pieces = width / 8;  // of 16 bytes
  for (int i = static_cast<int>(threadIdx.x); i < n * pieces; i += threads) {
    const int r = i / pieces, c = i % pieces * 8;
    T* to = tile + r * kPitch<width> + c;
    const bool inside = first + r < limit;
    const T* at = base + (first + r) * pitch + c;
    if (packed) {
      const bool valid = inside && c < columns;
      copy_16(to, valid ? at : base, valid);
    } else {
      for (int e = 0; e < 8; ++e) to[e] = inside && c + e < columns ? at[e] : T{0};
    }
  }
}

/// The rows of a (16, width) tile that a lane names for the a of a product; add s * 16 for column
/// 16 s.
template <class T, int width>
LEGATO_INLINE const T* left_rows(const T* tile) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return tile + lane % 16 * kPitch<width> + lane / 16 * 8;
}
/// Those for the b of a product with the transposed tile: add j * 8 pitches for its rows 8 j.
template <class T, int width>
LEGATO_INLINE const T* transposed_rows(const T* tile) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return tile + (lane / 16 * 8 + lane % 8) * kPitch<width> + lane / 8 % 2 * 8;
}

/// Where the mask of a head of queries begins.
LEGATO_INLINE long long mask_start(const AttentionParams& p, long long batch, int head) {
  return batch * p.mask_strides.batch + head * p.mask_strides.head;
}

/// Makes scores of products: scales, and adds or applies the mask; kLowest where it excludes.
/// `each` calls its argument with (score, query, key) for each product of a tile; those beyond the
/// last query or key are left alone, or become any number.
template <class Each>
LEGATO_INLINE void apply_mask(const AttentionParams& p, long long start, Each each) {
  auto place = [&](int query, int key) {
    return start + query * p.mask_strides.row + key * p.mask_column;
  };
  auto inside = [&](int query, int key) { return query < p.queries && key < p.keys; };
  auto add_mask = [&](auto* mask) {
    each([&](float& x, int query, int key) {
      x *= p.scale;
      if (inside(query, key)) x += read(mask[place(query, key)]);
    });
  };
  switch (p.mask_kind) {
    case MaskKind::none:
      each([&](float& x, int, int) { x *= p.scale; });
      break;
    case MaskKind::boolean:
      each([&](float& x, int query, int key) {
        const bool* mask = static_cast<const bool*>(p.mask);
        x = inside(query, key) && mask[place(query, key)] ? x * p.scale : kLowest;
      });
      break;
    case MaskKind::f16:
      add_mask(static_cast<const f16*>(p.mask));
      break;
    case MaskKind::bf16:
      add_mask(static_cast<const bf16*>(p.mask));
      break;
    case MaskKind::f32:
      add_mask(static_cast<const float*>(p.mask));
      break;
  }
}

}  // namespace legato::cuda
