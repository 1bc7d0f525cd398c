// Attention without its matrix of scores (FlashAttention-2: Dao, 2023): a block owns some queries
// and walks over the keys, tile by tile, with the maximum, the sum and the result of each row
// rescaled as the maximum grows (online softmax: Milakov & Gimelshein, 2018).
//
// Scores live in registers as mma.sync leaves them, which is how it takes the weights for the
// second product. Keys and values of the next tile arrive while this one is computed.
#include "legato/ops/attention/attention_tiles.cuh"

namespace legato::cuda {

/// T: of q, k, v. Tile sizes: `width_` columns of q, k and v, at least as many as they have, and
/// `keys_` rows of k and v. A warp takes 16 * `rows_` queries. general: any mask, sign of scale,
/// sinks.
template <class T_, int width_, int warps_, int rows_, int keys_, bool general_>
struct Tiling {
  using T = T_;
  static constexpr int width = width_, warps = warps_, rows = rows_, keys = keys_;
  static constexpr bool general = general_;
  static constexpr int threads = 32 * warps, queries = 16 * rows * warps;
  static constexpr int pitch = kPitch<width>;
  static constexpr bool q_stays = width * rows <= 128;  // in registers
};

/// The maximum, the sum of exponentials and the factor for what was summed before, of the rows that
/// a lane holds parts of: 2 for each 16 rows. Scores count in units of which `unit` is log2(e) of
/// the natural ones.
template <class C>
struct Rows {
  static constexpr int n = 2 * C::rows;
  float max[n], sum[n], before[n];
};

template <class C>
LEGATO_INLINE void attend(const AttentionParams& p) {
  using T = typename C::T;
  constexpr int kSteps = C::width / 16, kColumns = C::keys / 8, kOut = C::width / 8;
  LEGATO_DYNAMIC_SHARED(shared);
  T* q_tile = reinterpret_cast<T*>(shared);
  T* k_tiles = q_tile + C::queries * C::pitch;    // two of them
  T* v_tiles = k_tiles + 2 * C::keys * C::pitch;  // two of them
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4, t = lane % 4;

  // The last queries of a causal mask see the most keys: they begin first.
  const int tile = static_cast<int>(blockIdx.x) % p.query_tiles,
            plane = static_cast<int>(blockIdx.x) / p.query_tiles;
  const int query_tile = p.causal ? p.query_tiles - 1 - tile : tile;
  const int head = plane % p.heads, kv_head = head / p.group;
  const long long batch = plane / p.heads;
  const int first_query = query_tile * C::queries, shift = p.keys - p.queries;
  const T* k = static_cast<const T*>(p.k) + batch * p.k_strides.batch + kv_head * p.k_strides.head;
  const T* v = static_cast<const T*>(p.v) + batch * p.v_strides.batch + kv_head * p.v_strides.head;

  // Rows that a causal mask leaves no key attend to all alike.
  int seen = p.keys;
  if (p.causal && first_query + shift >= 0 && first_query + C::queries + shift < seen)
    seen = first_query + C::queries + shift;
  const int tiles = (seen + C::keys - 1) / C::keys;

  fetch_rows<T, C::width, C::threads, C::queries>(
      q_tile, static_cast<const T*>(p.q) + batch * p.q_strides.batch + head * p.q_strides.head,
      p.q_strides.row, first_query, p.queries, p.width, p.packed);
  auto fetch = [&](int i) {
    const int at = (i & 1) * C::keys * C::pitch;
    fetch_rows<T, C::width, C::threads, C::keys>(k_tiles + at, k, p.k_strides.row, i * C::keys,
                                                 p.keys, p.width, p.packed);
    fetch_rows<T, C::width, C::threads, C::keys>(v_tiles + at, v, p.v_strides.row, i * C::keys,
                                                 p.keys, p.value_width, p.packed);
    commit_copies();
  };
  if (tiles > 0) fetch(0);

  Rows<C> rows;
  float out[C::rows][kOut][4];
  const float unit = C::general ? kLog2E : p.scale * kLog2E;
#pragma unroll
  for (int r = 0; r < C::rows; ++r)
#pragma unroll
    for (int j = 0; j < kOut; ++j) out[r][j][0] = out[r][j][1] = out[r][j][2] = out[r][j][3] = 0;
#pragma unroll
  for (int i = 0; i < Rows<C>::n; ++i) {
    rows.max[i] = -INFINITY;
    rows.sum[i] = 0;
    if (C::general && p.sinks) {
      rows.max[i] = p.sinks[batch * p.sinks_batch + head];
      rows.sum[i] = t == 0 ? 1.f : 0.f;  // lanes add up theirs at the end
    }
  }

  const T* q_row = left_rows<T, C::width>(q_tile + warp * C::rows * 16 * C::pitch);
  uint32_t q_kept[C::q_stays ? C::rows : 1][C::q_stays ? kSteps : 1][4];
  auto query_of = [&](int i) {  // the row of rows.max[i]
    return first_query + (warp * C::rows + i / 2) * 16 + i % 2 * 8 + g;
  };

  for (int i = 0; i < tiles; ++i) {
    if (i + 1 < tiles)
      fetch(i + 1);
    else
      commit_copies();
    wait_copies<1>();
    __syncthreads();
    const T* k_tile = k_tiles + (i & 1) * C::keys * C::pitch;
    const T* v_tile = v_tiles + (i & 1) * C::keys * C::pitch;
    if (C::q_stays && i == 0) {
#pragma unroll
      for (int r = 0; r < (C::q_stays ? C::rows : 0); ++r)
#pragma unroll
        for (int s = 0; s < kSteps; ++s)
          load_matrices<false>(q_kept[r][s], q_row + r * 16 * C::pitch + s * 16);
    }

    // scores = q k^T
    float score[C::rows][kColumns][4];
#pragma unroll
    for (int r = 0; r < C::rows; ++r)
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        score[r][j][0] = score[r][j][1] = score[r][j][2] = score[r][j][3] = 0;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      uint32_t q[C::rows][4];
#pragma unroll
      for (int r = 0; r < C::rows; ++r) {
        if constexpr (C::q_stays) {
#pragma unroll
          for (int e = 0; e < 4; ++e) q[r][e] = q_kept[r][s][e];
        } else {
          load_matrices<false>(q[r], q_row + r * 16 * C::pitch + s * 16);
        }
      }
#pragma unroll
      for (int j = 0; j < kColumns; j += 2) {
        uint32_t b[4];
        load_matrices<false>(b, transposed_rows<T, C::width>(k_tile) + j * 8 * C::pitch + s * 16);
#pragma unroll
        for (int r = 0; r < C::rows; ++r) {
          multiply_tile<T>(score[r][j], q[r], b[0], b[1]);
          multiply_tile<T>(score[r][j + 1], q[r], b[2], b[3]);
        }
      }
    }

    // scale and mask
    const int first_key = i * C::keys;
    const bool whole = first_key + C::keys <= p.keys &&
                       (!p.causal || first_key + C::keys <= first_query + shift + 1);
    auto each_score = [&](auto change) {
#pragma unroll
      for (int row = 0; row < Rows<C>::n; ++row)
#pragma unroll
        for (int j = 0; j < 2 * kColumns; ++j)
          change(score[row / 2][j / 2][row % 2 * 2 + j % 2], query_of(row),
                 first_key + j / 2 * 8 + 2 * t + j % 2);
    };
    if constexpr (C::general) {
      apply_mask(p, mask_start(p, batch, head), each_score);
      if (!whole)
        each_score([&](float& x, int query, int key) {
          if (p.causal && key > query + shift) x = kLowest;
          if (key >= p.keys) x = -INFINITY;
        });
    } else if (!whole) {
      each_score([&](float& x, int query, int key) {
        const int bound = p.causal ? query + shift + 1 : p.keys;
        if (bound <= 0) x = 0;
        if (key >= p.keys || (bound > 0 && key >= bound)) x = -INFINITY;
      });
    }

    // weights = exp(scores - max)
#pragma unroll
    for (int row = 0; row < Rows<C>::n; ++row) {
      float most = rows.max[row];
#pragma unroll
      for (int j = 0; j < 2 * kColumns; ++j) {
        const float x = score[row / 2][j / 2][row % 2 * 2 + j % 2];
        most = x > most ? x : most;
      }
#pragma unroll
      for (int by = 1; by <= 2; by *= 2) {
        const float theirs = __shfl_xor_sync(~0u, most, by);
        most = theirs > most ? theirs : most;
      }
      const float base = most == -INFINITY ? 0.f : most;
      const float offset = base * unit;
      rows.before[row] = C::general ? exp2_fast((rows.max[row] - base) * unit)
                                    : exp2_fast(::fmaf(rows.max[row], unit, -offset));
      rows.max[row] = most;
      float sum = 0;
#pragma unroll
      for (int j = 0; j < 2 * kColumns; ++j) {
        float& x = score[row / 2][j / 2][row % 2 * 2 + j % 2];
        x = C::general ? exp2_fast((x - base) * unit) : exp2_fast(::fmaf(x, unit, -offset));
        sum += x;
      }
      rows.sum[row] = ::fmaf(rows.sum[row], rows.before[row], sum);
    }

    // out = out * before + weights v
#pragma unroll
    for (int r = 0; r < C::rows; ++r)
#pragma unroll
      for (int j = 0; j < kOut; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) out[r][j][e] *= rows.before[2 * r + e / 2];
#pragma unroll
    for (int s = 0; s < C::keys / 16; ++s) {
      uint32_t weights[C::rows][4];
#pragma unroll
      for (int r = 0; r < C::rows; ++r)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float* from = &score[r][2 * s + e / 2][e % 2 * 2];
          weights[r][e] = pack_halves<T>(from[0], from[1]);
        }
#pragma unroll
      for (int j = 0; j < kOut; j += 2) {
        uint32_t b[4];
        load_matrices<true>(b, left_rows<T, C::width>(v_tile) + s * 16 * C::pitch + j * 8);
#pragma unroll
        for (int r = 0; r < C::rows; ++r) {
          multiply_tile<T>(out[r][j], weights[r], b[0], b[1]);
          multiply_tile<T>(out[r][j + 1], weights[r], b[2], b[3]);
        }
      }
    }
    __syncthreads();  // the tile may be overwritten
  }

  // Results of a row are in four lanes: 4 bytes each of every 16.
#pragma unroll
  for (int row = 0; row < Rows<C>::n; ++row) {
    float sum = rows.sum[row];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float scale = p.keys > 0 ? 1.f / sum : 0.f;
    const int query = query_of(row);
    if (query >= p.queries) continue;
    T* to = static_cast<T*>(p.out) + batch * p.out_strides.batch + head * p.out_strides.head +
            query * p.out_strides.row;
#pragma unroll
    for (int j = 0; j < kOut; ++j) {
      const int column = j * 8 + 2 * t;
      const uint32_t pair = pack_halves<T>(out[row / 2][j][row % 2 * 2] * scale,
                                           out[row / 2][j][row % 2 * 2 + 1] * scale);
      if (p.value_width % 2 == 0) {
        if (column < p.value_width) *reinterpret_cast<uint32_t*>(to + column) = pair;
      } else {
        if (column < p.value_width) to[column] = T{static_cast<uint16_t>(pair)};
        if (column + 1 < p.value_width) to[column + 1] = T{static_cast<uint16_t>(pair >> 16)};
      }
    }
    if (p.sums && t == 0)
      p.sums[static_cast<long long>(plane) * p.queries + query] = {
          C::general ? rows.max[row] : rows.max[row] * p.scale, scale};
  }
}

// Shared memory of a tiling is (queries + 4 keys) (width + 8) 2 bytes; attention.cuda.cpp knows it.
// A mask needs registers: its warps take 16 queries.
#define LEGATO_ATTENTION(T, width, rows, keys)                           \
  LEGATO_KERNEL(attention_##T##_##width, AttentionParams, 128) {         \
    attend<Tiling<T, width, 4, rows, keys, false>>(p);                   \
  }                                                                      \
  LEGATO_KERNEL(attention_general_##T##_##width, AttentionParams, 128) { \
    attend<Tiling<T, width, 4, 1, keys, true>>(p);                       \
  }
#define LEGATO_ATTENTION_WIDTHS(T) \
  LEGATO_ATTENTION(T, 32, 2, 64)   \
  LEGATO_ATTENTION(T, 48, 2, 64)   \
  LEGATO_ATTENTION(T, 64, 2, 64)   \
  LEGATO_ATTENTION(T, 96, 1, 64)   \
  LEGATO_ATTENTION(T, 128, 1, 64)  \
  LEGATO_ATTENTION(T, 256, 1, 32)
LEGATO_ATTENTION_WIDTHS(f16)
LEGATO_ATTENTION_WIDTHS(bf16)

}  // namespace legato::cuda
