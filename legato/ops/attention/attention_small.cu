// Attention and its derivative where all that concerns one head of the keys fits shared memory: a
// block takes such a head and, one after the other, the heads of queries that share it. Everything
// is float32 there; nothing is summed by several blocks.
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/attention/attention.cuh"

namespace legato::cuda {

inline constexpr int kSmallThreads = 128;
inline constexpr float kLowest = -3.40282347e38f;  // as the op's meaning excludes a key

/// A matrix in shared memory, with a pitch that spreads columns over banks.
struct Tile {
  float* at;
  int rows, columns;
  LEGATO_INLINE int pitch() const { return columns + 1; }
  LEGATO_INLINE float& operator()(int r, int c) const { return at[r * pitch() + c]; }
  LEGATO_INLINE int size() const { return rows * columns; }
};
LEGATO_INLINE Tile take_tile(float*& memory, int rows, int columns) {
  const Tile t{memory, rows, columns};
  memory += rows * t.pitch();
  return t;
}

/// Calls f(row, column) for all elements, shared out to the block's threads.
template <class F>
LEGATO_INLINE void each_element(const Tile& t, F f) {
  for (int i = static_cast<int>(threadIdx.x); i < t.size(); i += kSmallThreads)
    f(i / t.columns, i % t.columns);
}
template <class T>
LEGATO_INLINE void read_tile(const Tile& t, const void* from, const HeadStrides& s, long long batch,
                             int head, float factor) {
  const T* base = static_cast<const T*>(from) + batch * s.batch + head * s.head;
  each_element(t, [&](int r, int c) { t(r, c) = read(base[r * s.row + c]) * factor; });
}

LEGATO_INLINE float mask_number(const AttentionParams& p, long long at) {
  switch (p.mask_kind) {
    case MaskKind::f16:
      return read(static_cast<const f16*>(p.mask)[at]);
    case MaskKind::bf16:
      return read(static_cast<const bf16*>(p.mask)[at]);
    default:
      return static_cast<const float*>(p.mask)[at];
  }
}

/// Whether the mask leaves this score as it is, or added to.
LEGATO_INLINE bool is_kept(const AttentionParams& p, long long mask, int query, int key) {
  if (p.causal && key > query + p.keys - p.queries) return false;
  return p.mask_kind != MaskKind::boolean ||
         static_cast<const bool*>(p.mask)[mask + query * p.mask_strides.row + key * p.mask_column];
}

/// weights = softmax(q k^T + mask), for queries that are scaled already.
LEGATO_INLINE void weigh_tile(const AttentionParams& p, const Tile& q, const Tile& k,
                              const Tile& weights, long long batch, int head) {
  const long long mask = batch * p.mask_strides.batch + head * p.mask_strides.head;
  each_element(weights, [&](int i, int j) {
    float x = 0;
    for (int d = 0; d < q.columns; ++d) x = ::fmaf(q(i, d), k(j, d), x);
    if (!is_kept(p, mask, i, j))
      x = kLowest;
    else if (p.mask_kind != MaskKind::none && p.mask_kind != MaskKind::boolean)
      x += mask_number(p, mask + i * p.mask_strides.row + j * p.mask_column);
    weights(i, j) = x;
  });
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = warp; i < weights.rows; i += kSmallThreads / 32) {
    const float sink = p.sinks ? p.sinks[batch * p.sinks_batch + head] : -INFINITY;
    float most = sink;
    for (int j = lane; j < weights.columns; j += 32) most = ::fmaxf(most, weights(i, j));
    for (int by = 16; by > 0; by /= 2) most = ::fmaxf(most, __shfl_xor_sync(~0u, most, by));
    float sum = 0;
    for (int j = lane; j < weights.columns; j += 32)
      sum += weights(i, j) = ::expf(weights(i, j) - most);
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
    if (p.sinks) sum += ::expf(sink - most);
    for (int j = lane; j < weights.columns; j += 32) weights(i, j) /= sum;
  }
  __syncthreads();
}

template <class T>
LEGATO_INLINE void attend_small(const AttentionParams& p) {
  LEGATO_DYNAMIC_SHARED(shared);
  float* memory = reinterpret_cast<float*>(shared);
  const Tile k = take_tile(memory, p.keys, p.width), v = take_tile(memory, p.keys, p.value_width),
             q = take_tile(memory, p.queries, p.width),
             weights = take_tile(memory, p.queries, p.keys);
  const int kv_heads = p.heads / p.group, kv_head = static_cast<int>(blockIdx.x) % kv_heads;
  const long long batch = static_cast<int>(blockIdx.x) / kv_heads;
  read_tile<T>(k, p.k, p.k_strides, batch, kv_head, 1);
  read_tile<T>(v, p.v, p.v_strides, batch, kv_head, 1);
  for (int head = kv_head * p.group; head < (kv_head + 1) * p.group; ++head) {
    read_tile<T>(q, p.q, p.q_strides, batch, head, p.scale);
    __syncthreads();
    weigh_tile(p, q, k, weights, batch, head);
    T* out = static_cast<T*>(p.out) + batch * p.out_strides.batch + head * p.out_strides.head;
    each_element({nullptr, p.queries, p.value_width}, [&](int i, int d) {
      float x = 0;
      for (int j = 0; j < p.keys; ++j) x = ::fmaf(weights(i, j), v(j, d), x);
      out[i * p.out_strides.row + d] = written<T>(x);
    });
    __syncthreads();  // q and the weights may be overwritten
  }
}

template <class T>
LEGATO_INLINE void pull_back_small(const SmallAttentionParams& s) {
  const AttentionParams& p = s.attention;
  LEGATO_DYNAMIC_SHARED(shared);
  float* memory = reinterpret_cast<float*>(shared);
  const Tile k = take_tile(memory, p.keys, p.width), v = take_tile(memory, p.keys, p.value_width),
             dk = take_tile(memory, p.keys, p.width), dv = take_tile(memory, p.keys, p.value_width),
             q = take_tile(memory, p.queries, p.width),
             g = take_tile(memory, p.queries, p.value_width),
             weights = take_tile(memory, p.queries, p.keys),
             d = take_tile(memory, p.queries, p.keys);
  const int kv_heads = p.heads / p.group, kv_head = static_cast<int>(blockIdx.x) % kv_heads;
  const long long batch = static_cast<int>(blockIdx.x) / kv_heads;
  read_tile<T>(k, p.k, p.k_strides, batch, kv_head, 1);
  read_tile<T>(v, p.v, p.v_strides, batch, kv_head, 1);
  each_element(dk, [&](int j, int c) { dk(j, c) = 0; });
  each_element(dv, [&](int j, int c) { dv(j, c) = 0; });
  for (int head = kv_head * p.group; head < (kv_head + 1) * p.group; ++head) {
    read_tile<T>(q, p.q, p.q_strides, batch, head, p.scale);
    read_tile<T>(g, s.cotangent, s.cotangent_strides, batch, head, 1);
    __syncthreads();
    weigh_tile(p, q, k, weights, batch, head);
    // d: first of the weights, then of the scores
    each_element(d, [&](int i, int j) {
      float x = 0;
      for (int c = 0; c < p.value_width; ++c) x = ::fmaf(g(i, c), v(j, c), x);
      d(i, j) = x;
    });
    each_element(dv, [&](int j, int c) {
      float x = dv(j, c);
      for (int i = 0; i < p.queries; ++i) x = ::fmaf(weights(i, j), g(i, c), x);
      dv(j, c) = x;
    });
    __syncthreads();
    const long long mask = batch * p.mask_strides.batch + head * p.mask_strides.head;
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    for (int i = warp; i < p.queries; i += kSmallThreads / 32) {
      float sum = 0;
      for (int j = lane; j < p.keys; j += 32) sum += weights(i, j) * d(i, j);
      for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
      for (int j = lane; j < p.keys; j += 32)
        d(i, j) = is_kept(p, mask, i, j) ? weights(i, j) * (d(i, j) - sum) : 0.f;
    }
    __syncthreads();
    T* dq = static_cast<T*>(s.dq) + (batch * p.heads + head) * p.queries * p.width;
    each_element(q, [&](int i, int c) {
      float x = 0;
      for (int j = 0; j < p.keys; ++j) x = ::fmaf(d(i, j), k(j, c), x);
      dq[i * p.width + c] = written<T>(x * p.scale);
    });
    each_element(dk, [&](int j, int c) {
      float x = dk(j, c);
      for (int i = 0; i < p.queries; ++i) x = ::fmaf(d(i, j), q(i, c), x);
      dk(j, c) = x;
    });
    __syncthreads();
  }
  const long long plane = batch * kv_heads + kv_head;
  T* to_k = static_cast<T*>(s.dk) + plane * p.keys * p.width;
  T* to_v = static_cast<T*>(s.dv) + plane * p.keys * p.value_width;
  each_element(dk, [&](int j, int c) { to_k[j * p.width + c] = written<T>(dk(j, c)); });
  each_element(dv, [&](int j, int c) { to_v[j * p.value_width + c] = written<T>(dv(j, c)); });
}

#define LEGATO_SMALL_ATTENTION(T, suffix)                                            \
  LEGATO_KERNEL(small_attention_##suffix, SmallAttentionParams, kSmallThreads) {     \
    attend_small<T>(p.attention);                                                    \
  }                                                                                  \
  LEGATO_KERNEL(small_attention_vjp_##suffix, SmallAttentionParams, kSmallThreads) { \
    pull_back_small<T>(p);                                                           \
  }
LEGATO_SMALL_ATTENTION(f16, f16)
LEGATO_SMALL_ATTENTION(bf16, bf16)
LEGATO_SMALL_ATTENTION(float, f32)

}  // namespace legato::cuda
