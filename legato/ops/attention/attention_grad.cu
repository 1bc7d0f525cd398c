// The derivative of attention from its inputs, the sums of its rows and the cotangent g of its
// result (FlashAttention-2: Dao, 2023): weights are computed again, tile by tile. With x = q k^T,
// scaled and masked, w = softmax(x) and y = g v^T:
//
//   d = w (y - inner),  dv = w^T g,  dk = scale d^T q,  dq = scale d k
//
// where `inner` is the sum of w y over a row, which is that of g times the result. A block owns 64
// keys, and walks over the queries of all heads that share them, or owns 64 queries and walks over
// keys: nothing is summed by several blocks, so that results do not depend on their order.
#include "legato/ops/attention/attention_tiles.cuh"

namespace legato::cuda {

inline constexpr int kOwned = 64;  // rows of a block, 16 of each warp
inline constexpr int kGradThreads = 128;

/// T: of q, k, v and g. `width_`: columns of tiles. `walked_`: rows of a tile that is walked over,
/// of which `stages_` are in flight. of_keys: owns keys and gives dk (first) and dv (second); else
/// owns queries and gives dq (first).
template <class T_, int width_, int walked_, int stages_, bool of_keys_, bool first_, bool second_,
          bool general_>
struct GradTiling {
  using T = T_;
  static constexpr int width = width_, walked = walked_, stages = stages_;
  static constexpr bool of_keys = of_keys_, first = first_, second = second_, general = general_;
  static constexpr int pitch = kPitch<width>;
};

/// What is known of a query: its row of weights is exp(score - max) * scale.
struct QueryRow {
  float max, scale, inner;
};

/// acc (16, width) += a (16, rows) b (rows, width), a as products leave it, b a tile.
template <class C>
LEGATO_INLINE void add_product(float (&acc)[C::width / 8][4], const float (&a)[C::walked / 8][4],
                               const typename C::T* tile) {
  using T = typename C::T;
#pragma unroll
  for (int s = 0; s < C::walked / 16; ++s) {
    uint32_t left[4];
#pragma unroll
    for (int e = 0; e < 4; ++e)
      left[e] = pack_halves<T>(a[2 * s + e / 2][e % 2 * 2], a[2 * s + e / 2][e % 2 * 2 + 1]);
#pragma unroll
    for (int j = 0; j < C::width / 8; j += 2) {
      uint32_t b[4];
      load_matrices<true>(b, left_rows<T, C::width>(tile) + s * 16 * C::pitch + j * 8);
      multiply_tile<T>(acc[j], left, b[0], b[1]);
      multiply_tile<T>(acc[j + 1], left, b[2], b[3]);
    }
  }
}
/// The product of a warp's 16 owned rows with the transposed tile.
template <class C>
LEGATO_INLINE void product(float (&x)[C::walked / 8][4], const typename C::T* own,
                           const typename C::T* tile) {
  using T = typename C::T;
#pragma unroll
  for (int j = 0; j < C::walked / 8; ++j) x[j][0] = x[j][1] = x[j][2] = x[j][3] = 0;
#pragma unroll
  for (int s = 0; s < C::width / 16; ++s) {
    uint32_t a[4];
    load_matrices<false>(a, left_rows<T, C::width>(own) + s * 16);
#pragma unroll
    for (int j = 0; j < C::walked / 8; j += 2) {
      uint32_t b[4];
      load_matrices<false>(b, transposed_rows<T, C::width>(tile) + j * 8 * C::pitch + s * 16);
      multiply_tile<T>(x[j], a, b[0], b[1]);
      multiply_tile<T>(x[j + 1], a, b[2], b[3]);
    }
  }
}
/// Writes a warp's 16 rows times `scale`.
template <class C>
LEGATO_INLINE void write_rows(void* to, const float (&acc)[C::width / 8][4], float scale,
                              long long first, int limit, int columns) {
  using T = typename C::T;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const long long row = first + lane / 4 + 8 * half;
    if (row >= limit) continue;
    T* at = static_cast<T*>(to) + row * columns;
#pragma unroll
    for (int j = 0; j < C::width / 8; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int column = j * 8 + lane % 4 * 2 + e;
        if (column < columns) at[column] = written<T>(acc[j][2 * half + e] * scale);
      }
  }
}

template <class C>
LEGATO_INLINE void pull_back(const AttentionGradParams& s) {
  using T = typename C::T;
  const AttentionParams& p = s.attention;
  constexpr int kColumns = C::walked / 8, kTile = C::walked * C::pitch;
  LEGATO_DYNAMIC_SHARED(shared);
  T* own_first = reinterpret_cast<T*>(shared);     // keys, or queries
  T* own_second = own_first + kOwned * C::pitch;   // values, or cotangents
  T* walk_first = own_second + kOwned * C::pitch;  // of the other kind, in stages
  T* walk_second = walk_first + C::stages * kTile;
  QueryRow* rows = reinterpret_cast<QueryRow*>(walk_second + C::stages * kTile);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int g = lane / 4, t = lane % 4;

  const int own_heads = C::of_keys ? p.heads / p.group : p.heads;
  const int first_own = static_cast<int>(blockIdx.x) % s.tiles * kOwned;
  const int plane = static_cast<int>(blockIdx.x) / s.tiles;
  const int own_head = plane % own_heads;
  const long long batch = plane / own_heads;
  const int shift = p.keys - p.queries;

  auto start = [&](const void* x, const HeadStrides& strides, int head) {
    return static_cast<const T*>(x) + batch * strides.batch + head * strides.head;
  };
  auto fetch = [&]<int n>(T* first, T* second, bool keys, int head, int from,
                          std::integral_constant<int, n>) {
    const int limit = keys ? p.keys : p.queries;
    const HeadStrides &a = keys ? p.k_strides : p.q_strides,
                      &b = keys ? p.v_strides : s.cotangent_strides;
    fetch_rows<T, C::width, kGradThreads, n>(first, start(keys ? p.k : p.q, a, head), a.row, from,
                                             limit, p.width, p.packed);
    fetch_rows<T, C::width, kGradThreads, n>(second, start(keys ? p.v : s.cotangent, b, head),
                                             b.row, from, limit, p.value_width, p.packed);
  };
  auto fetch_sums = [&](QueryRow* to, int n, int head, int from) {
    for (int i = thread; i < n; i += kGradThreads) {
      const bool inside = from + i < p.queries;
      const long long at = (batch * p.heads + head) * p.queries + (inside ? from + i : 0);
      to[i] = inside ? QueryRow{p.sums[at].max, p.sums[at].scale, s.inner[at]} : QueryRow{};
    }
  };

  // What is walked over: queries from the first one that sees an owned key, or keys up to the last
  // one that an owned query sees. Queries that a causal mask leaves no key attend to all alike.
  const int walked_rows = C::of_keys ? p.queries : p.keys;
  int begin = 0, end = walked_rows;
  if (C::of_keys && p.causal && shift >= 0 && first_own > shift) begin = first_own - shift;
  if (!C::of_keys && p.causal && first_own + shift >= 0 && first_own + kOwned + shift < end)
    end = first_own + kOwned + shift;
  const int first_tile = begin / C::walked,
            tiles = begin < end ? (end + C::walked - 1) / C::walked - first_tile : 0;
  const int total = C::of_keys ? tiles * p.group : tiles;
  auto walk_head = [&](int i) {
    return C::of_keys ? own_head * p.group + i / tiles : own_head / p.group;
  };
  auto fetch_walk = [&](int i) {
    const int stage = i % C::stages, from = (first_tile + i % tiles) * C::walked;
    fetch(walk_first + stage * kTile, walk_second + stage * kTile, !C::of_keys, walk_head(i), from,
          std::integral_constant<int, C::walked>{});
    if (C::of_keys) fetch_sums(rows + stage * C::walked, C::walked, walk_head(i), from);
    commit_copies();
  };

  fetch(own_first, own_second, C::of_keys, own_head, first_own,
        std::integral_constant<int, kOwned>{});
  if (!C::of_keys) fetch_sums(rows, kOwned, own_head, first_own);
  if (C::stages > 1 && total > 0) fetch_walk(0);

  float first[C::first ? C::width / 8 : 1][4] = {}, second[C::second ? C::width / 8 : 1][4] = {};
  const T *my_first = own_first + warp * 16 * C::pitch,
          *my_second = own_second + warp * 16 * C::pitch;
  for (int i = 0; i < total; ++i) {
    const int ahead = C::stages > 1 ? i + 1 : i;
    if (ahead < total)
      fetch_walk(ahead);
    else
      commit_copies();
    wait_copies<C::stages - 1>();
    __syncthreads();
    const int stage = i % C::stages;
    const T *tile_first = walk_first + stage * kTile, *tile_second = walk_second + stage * kTile;
    const int from = (first_tile + i % tiles) * C::walked;
    const int head = C::of_keys ? walk_head(i) : own_head;

    float w[kColumns][4];
    product<C>(w, my_first, tile_first);
    auto each = [&](auto change) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int own = first_own + warp * 16 + g + e / 2 * 8,
                    walked = from + j * 8 + 2 * t + e % 2;
          change(w[j][e], C::of_keys ? walked : own, C::of_keys ? own : walked);
        }
    };
    if constexpr (C::general)
      apply_mask(p, mask_start(p, batch, head), each);
    else
      each([&](float& x, int, int) { x *= p.scale; });
    // Weights; a bit says that the score does not depend on q and k.
    uint32_t fixed = 0;
    static_assert(kColumns * 4 <= 32);
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int own_row = warp * 16 + g + e / 2 * 8, walk_row = j * 8 + 2 * t + e % 2;
        const QueryRow& row = rows[C::of_keys ? stage * C::walked + walk_row : own_row];
        const int own = first_own + own_row, walked = from + walk_row;
        const int query = C::of_keys ? walked : own, key = C::of_keys ? own : walked;
        float x = w[j][e];
        bool is_fixed = C::general && x == kLowest;
        if (p.causal && key > query + shift) {
          // As the forward pass: hidden, or in a row of hidden keys alike.
          x = C::general ? kLowest : query + shift < 0 ? 0.f : -INFINITY;
          is_fixed = true;
        }
        const bool inside = query < p.queries && key < p.keys;
        w[j][e] = inside ? exp2_fast((x - row.max) * kLog2E) * row.scale : 0.f;
        fixed |= static_cast<uint32_t>(is_fixed) << (4 * j + e);
      }
    if constexpr (C::second) add_product<C>(second, w, tile_second);
    if constexpr (C::first) {
      float d[kColumns][4];
      product<C>(d, my_second, tile_second);
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row =
              C::of_keys ? stage * C::walked + j * 8 + 2 * t + e % 2 : warp * 16 + g + e / 2 * 8;
          const bool is_fixed = fixed >> (4 * j + e) & 1;
          d[j][e] = is_fixed ? 0.f : w[j][e] * (d[j][e] - rows[row].inner);
        }
      add_product<C>(first, d, tile_first);
    }
    __syncthreads();  // the tile may be overwritten
  }

  const long long own_rows = C::of_keys ? p.keys : p.queries;
  const int from = first_own + warp * 16;
  if constexpr (C::first)
    write_rows<C>(static_cast<T*>(C::of_keys ? s.dk : s.dq) + plane * own_rows * p.width, first,
                  p.scale, from, static_cast<int>(own_rows), p.width);
  if constexpr (C::second)
    write_rows<C>(static_cast<T*>(s.dv) + plane * own_rows * p.value_width, second, 1.f, from,
                  static_cast<int>(own_rows), p.value_width);
}

/// inner = the sum of g times the result, a warp for each row.
template <class T>
LEGATO_INLINE void sum_inner(const AttentionGradParams& s) {
  const AttentionParams& p = s.attention;
  const int warps = kGradThreads / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const long long row =
      static_cast<long long>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / 32;
  const long long plane = row / p.queries;
  if (plane >= s.planes) return;
  const T* g = static_cast<const T*>(s.cotangent) + plane / p.heads * s.cotangent_strides.batch +
               plane % p.heads * s.cotangent_strides.head +
               row % p.queries * s.cotangent_strides.row;
  const T* y = static_cast<const T*>(s.result) + plane / p.heads * s.result_strides.batch +
               plane % p.heads * s.result_strides.head + row % p.queries * s.result_strides.row;
  float sum = 0;
  for (int c = lane; c < p.value_width; c += 32) sum = ::fmaf(read(g[c]), read(y[c]), sum);
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
  if (lane == 0) s.inner[row] = sum;
}

// Shared memory of a tiling is 2 (64 + stages walked) (width + 8) 2 bytes, and 12 for each row of
// queries; attention.cuda.cpp knows it.
#define LEGATO_GRAD_KERNEL(name, T, width, walked, stages, of_keys, first, second)     \
  LEGATO_KERNEL(name##_##T##_##width, AttentionGradParams, kGradThreads) {             \
    pull_back<GradTiling<T, width, walked, stages, of_keys, first, second, false>>(p); \
  }                                                                                    \
  LEGATO_KERNEL(name##_general_##T##_##width, AttentionGradParams, kGradThreads) {     \
    pull_back<GradTiling<T, width, walked, stages, of_keys, first, second, true>>(p);  \
  }
#define LEGATO_GRADS(T)                                                         \
  LEGATO_GRAD_KERNEL(attention_grad_keys, T, 64, 64, 2, true, true, true)       \
  LEGATO_GRAD_KERNEL(attention_grad_queries, T, 64, 64, 2, false, true, false)  \
  LEGATO_GRAD_KERNEL(attention_grad_keys, T, 128, 32, 2, true, true, true)      \
  LEGATO_GRAD_KERNEL(attention_grad_queries, T, 128, 32, 2, false, true, false) \
  LEGATO_GRAD_KERNEL(attention_grad_keys, T, 256, 16, 1, true, true, false)     \
  LEGATO_GRAD_KERNEL(attention_grad_values, T, 256, 16, 1, true, false, true)   \
  LEGATO_GRAD_KERNEL(attention_grad_queries, T, 256, 16, 1, false, true, false) \
  LEGATO_KERNEL(attention_grad_inner_##T, AttentionGradParams, kGradThreads) { sum_inner<T>(p); }
LEGATO_GRADS(f16)
LEGATO_GRADS(bf16)

}  // namespace legato::cuda
