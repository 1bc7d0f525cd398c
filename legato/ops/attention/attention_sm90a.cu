// Attention on Hopper (the plan of FlashAttention-3: Shah et al., 2024): one warp keeps copying
// tiles of keys and values to shared memory, some warpgroups take 64 queries each. While a
// warpgroup turns the scores of a tile into weights, the tensor cores multiply the weights of the
// tile before with its values.
#ifndef LEGATO_EMULATED

#include "legato/ops/attention/attention_hopper.cuh"

namespace legato::cuda {

/// q and k have up to `width_` columns, v up to `value_width_`. `groups_` warpgroups share tiles of
/// `keys_` keys, of which `stages_` are in flight. `resident_` blocks share a multiprocessor.
/// general: any mask, sign of scale, sinks.
template <class T_, int width_, int value_width_, int keys_, int groups_, int stages_,
          int resident_, bool general_ = false>
struct HopperTiling {
  using T = T_;
  static constexpr bool general = general_;
  static constexpr int width = width_, value_width = value_width_, keys = keys_, groups = groups_,
                       stages = stages_, resident = resident_;
  static constexpr int threads = 128 * (groups + 1), queries = 64 * groups;
  static constexpr int panels = (width + 63) / 64;  // of 64 columns
  static constexpr int q_bytes = queries * 128 * panels, kv_bytes = keys * 128 * panels;
  using Registers = SharedRegisters<groups, resident>;
  using Mask = std::conditional_t<general, MaskTile<queries, keys>, NoMaskTile>;
};

template <class C>
struct HopperShared : MaskRoom<typename C::Mask, C::stages> {
  char q[C::q_bytes];
  char k[C::stages][C::kv_bytes], v[C::stages][C::kv_bytes];
  Barrier q_full, k_full[C::stages], k_free[C::stages], v_full[C::stages], v_free[C::stages];
};

/// What a block works on.
struct Work {
  int head, kv_head, batch, plane, first_query, tiles;
};
template <class C>
LEGATO_INLINE Work work_of(const HopperAttentionParams& p) {
  Work w;
  const int tile = static_cast<int>(blockIdx.x) % p.query_tiles;
  w.plane = static_cast<int>(blockIdx.x) / p.query_tiles;
  w.head = w.plane % p.heads;
  w.batch = w.plane / p.heads;
  w.kv_head = w.head / p.group;
  // The last queries of a causal mask see the most keys: they begin first.
  w.first_query = (p.causal ? p.query_tiles - 1 - tile : tile) * C::queries;
  // Rows that a causal mask leaves no key attend to all alike.
  const int shift = p.keys - p.queries;
  int seen = p.keys;
  if (p.causal && w.first_query + shift >= 0 && w.first_query + C::queries + shift < seen)
    seen = w.first_query + C::queries + shift;
  w.tiles = (seen + C::keys - 1) / C::keys;
  return w;
}

template <class C>
LEGATO_INLINE void copy_tiles(const HopperAttentionParams& p, HopperShared<C>& s, const Work& w) {
  s.q_full.arrive_and_expect(C::q_bytes);
  for (int i = 0; i < C::panels; ++i)
    copy_box(s.q + i * C::queries * 128, p.q, s.q_full, i * 64, w.first_query, w.head, w.batch);
  Turn<C::stages> turn;
  for (int tile = w.tiles - 1; tile >= 0; --tile, turn.next()) {
    const int at = turn.stage;
    s.k_free[at].wait(turn.parity ^ 1);
    int bytes = C::kv_bytes;
    if constexpr (C::general)
      if (p.mask.kind != MaskKind::none) bytes += mask_bytes<typename C::Mask>(p.mask);
    s.k_full[at].arrive_and_expect(bytes);
    for (int i = 0; i < C::panels; ++i)
      copy_box(s.k[at] + i * C::keys * 128, p.k, s.k_full[at], i * 64, tile * C::keys, w.kv_head,
               w.batch);
    if constexpr (C::general)
      if (p.mask.kind != MaskKind::none)
        copy_mask<typename C::Mask>(s.mask[at], p.mask, s.k_full[at], tile * C::keys, w.first_query,
                                    w.head, w.batch);
    s.v_free[at].wait(turn.parity ^ 1);
    s.v_full[at].arrive_and_expect(C::kv_bytes);
    for (int i = 0; i < C::panels; ++i)
      copy_box(s.v[at] + i * C::keys * 128, p.v, s.v_full[at], i * 64, tile * C::keys, w.kv_head,
               w.batch);
  }
}

/// A lane's part of 64 rows, in the layout of multiply_tile()'s c: rows g and g + 8 of its
/// warp's 16. Without `general` scores count in units of `scale`.
template <class C>
struct Softmax {
  float max[2], sum[2], before[2];  // `before`: the factor for what was summed before
  float unit;                       // of scores, in powers of two

  LEGATO_INLINE explicit Softmax(const HopperAttentionParams& p, int head, int batch)
      : max{-INFINITY, -INFINITY}, sum{0, 0}, before{0, 0}, unit(p.scale * kLog2E) {
    if constexpr (C::general) {
      const bool counts = counts_scores(p.mask, p.scale);
      if (counts) unit = kLog2E;
      if (p.sinks) {
        const float sink = p.sinks[batch * p.sinks_batch + head];
        max[0] = max[1] = counts ? sink : sink / p.scale;
        sum[0] = sum[1] = threadIdx.x % 4 == 0 ? 1.f : 0.f;  // lanes add up theirs at the end
      }
    }
  }

  /// Of the scores of row g + 8 r themselves.
  LEGATO_INLINE float maximum(const HopperAttentionParams& p, int r) const {
    if (C::general && (counts_scores(p.mask, p.scale) || max[r] == kLowest)) return max[r];
    return max[r] * p.scale;
  }

  /// Scores become weights.
  LEGATO_INLINE void weigh(float (&x)[C::keys / 2]) {
    float a[2] = {::fmaxf(max[0], x[0]), ::fmaxf(max[1], x[2])}, b[2] = {x[1], x[3]};
#pragma unroll
    for (int i = 4; i < C::keys / 2; i += 4) {
      a[0] = ::fmaxf(a[0], x[i]);
      a[1] = ::fmaxf(a[1], x[i + 2]);
      b[0] = ::fmaxf(b[0], x[i + 1]);
      b[1] = ::fmaxf(b[1], x[i + 3]);
    }
    float most[2], base[2], offset[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      most[r] = ::fmaxf(a[r], b[r]);
      most[r] = ::fmaxf(most[r], __shfl_xor_sync(~0u, most[r], 1));
      most[r] = ::fmaxf(most[r], __shfl_xor_sync(~0u, most[r], 2));
      base[r] = most[r] == -INFINITY ? 0.f : most[r];
      offset[r] = -base[r] * unit;
    }
    // See Note [Scores far down].
    if (C::general && __any_sync(~0u, ::fmaxf(offset[0], offset[1]) > kFar))
      weigh_by(x, most, [&](float score, int r) { return exp2_fast((score - base[r]) * unit); });
    else
      weigh_by(x, most,
               [&](float score, int r) { return exp2_fast(::fmaf(score, unit, offset[r])); });
  }

 private:
  template <class Power>
  LEGATO_INLINE void weigh_by(float (&x)[C::keys / 2], const float (&most)[2], Power power) {
    float part[2][2] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      before[r] = power(max[r], r);
      max[r] = most[r];
    }
#pragma unroll
    for (int i = 0; i < C::keys / 2; ++i) {
      const int r = i / 2 % 2;
      x[i] = power(x[i], r);
      part[r][i % 2] += x[i];
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) sum[r] = ::fmaf(sum[r], before[r], part[r][0] + part[r][1]);
  }
};

/// Scales and masks what a mask in memory hides, by its tile at this stage.
template <class C>
LEGATO_INLINE void apply_mask(const HopperAttentionParams& p, float (&x)[C::keys / 2],
                              const HopperShared<C>& s, int stage) {
  if (p.mask.kind != MaskKind::none)
    apply_mask<typename C::T, typename C::Mask, false>(p.mask, p.scale, x, s.mask[stage]);
  else if (counts_scores(p.mask, p.scale))
#pragma unroll
    for (int i = 0; i < C::keys / 2; ++i) x[i] *= p.scale;
}

/// Keys behind the last one, and those that a causal mask hides, get no weight.
template <class C>
LEGATO_INLINE void mask_scores(const HopperAttentionParams& p, float (&x)[C::keys / 2],
                               int first_key, int first_row, int row) {
  const int shift = p.keys - p.queries, end = first_key + C::keys;
  if (end <= p.keys && (!p.causal || end <= first_row + shift + 1)) return;
  const int t = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int i = 0; i < C::keys / 2; ++i) {
    const int key = first_key + i / 4 * 8 + 2 * t + i % 2;
    const int bound = p.causal ? row + i / 2 % 2 * 8 + shift + 1 : p.keys;
    if constexpr (C::general) {
      if (key >= bound) x[i] = kLowest;
      if (key >= p.keys) x[i] = -INFINITY;
    } else {
      if (bound <= 0) x[i] = 0;
      if (key >= p.keys || (bound > 0 && key >= bound)) x[i] = -INFINITY;
    }
  }
}

template <class C>
LEGATO_INLINE void multiply_queries(float (&score)[C::keys / 2], uint32_t q, uint32_t k) {
  const uint64_t first_a = swizzled_matrix(q), first_b = swizzled_matrix(k);
  begin_products();
#pragma unroll
  for (int i = 0; i < C::width / 16; ++i) {
    const uint64_t a = moved_matrix(first_a, i / 4 * C::queries * 128 + i % 4 * 32),
                   b = moved_matrix(first_b, i / 4 * C::keys * 128 + i % 4 * 32);
    if (i == 0)
      Warpgroup<typename C::T, C::keys>::begin(score, a, b);
    else
      Warpgroup<typename C::T, C::keys>::add(score, a, b);
  }
  commit_products();
}
template <class C>
LEGATO_INLINE void multiply_values(float (&out)[C::value_width / 2],
                                   const uint32_t (&weights)[C::keys / 4], uint32_t v) {
  const uint64_t first = swizzled_matrix(v, C::keys * 128);
  pin(out);
  begin_products();
#pragma unroll
  for (int i = 0; i < C::keys / 16; ++i)
    Warpgroup<typename C::T, C::value_width>::add_rows(out, weights + 4 * i,
                                                       moved_matrix(first, i * 16 * 128));
  commit_products();
}

/// Divides by the sums and writes 2 rows of each lane.
template <class C>
LEGATO_INLINE void store_rows(const HopperAttentionParams& p, const Softmax<C>& softmax,
                              const float (&out)[C::value_width / 2], int plane, int head,
                              int batch, int row) {
  using T = typename C::T;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = softmax.sum[r];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float scale = 1.f / sum;
    const int query = row + 8 * r;
    const bool inside = query < p.queries;
    store_row(static_cast<T*>(p.out) + batch * p.out_strides.batch + head * p.out_strides.head +
                  query * p.out_strides.row,
              out, r, scale, inside, p.value_width);
    if (p.sums && inside && threadIdx.x % 4 == 0)
      p.sums[static_cast<long long>(plane) * p.queries + query] = {softmax.maximum(p, r), scale};
  }
}

template <class C>
LEGATO_INLINE void attend_queries(const HopperAttentionParams& p, HopperShared<C>& s,
                                  const Work& w) {
  using T = typename C::T;
  const int thread = static_cast<int>(threadIdx.x), group = thread / 128, lane = thread % 32;
  const bool leader = thread % 128 == 0;
  const int first_row = w.first_query + group * 64;
  const int row = first_row + thread % 128 / 32 * 16 + lane / 4;  // and row + 8
  const uint32_t q = shared_address(s.q) + static_cast<uint32_t>(group * 64 * 128);

  Softmax<C> softmax(p, w.head, w.batch);
  float score[C::keys / 2], out[C::value_width / 2];
  uint32_t weights[C::keys / 4];
#pragma unroll
  for (int i = 0; i < C::value_width / 2; ++i) out[i] = 0;
  auto keep_weights = [&] {
#pragma unroll
    for (int i = 0; i < C::keys / 4; ++i)
      weights[i] = pack_halves<T>(score[2 * i], score[2 * i + 1]);
  };

  // Products with the keys of a stage become scores; its keys, and its mask, are then free.
  auto finish_scores = [&](int stage, int tile) {
    if constexpr (C::general) {
      apply_mask<C>(p, score, s, stage);
      __syncwarp();
      if (lane == 0) s.k_free[stage].arrive();
    } else {
      if (leader) s.k_free[stage].arrive();
    }
    mask_scores<C>(p, score, tile * C::keys, first_row, row);
  };

  s.q_full.wait(0);
  Turn<C::stages> turn, previous;
  s.k_full[0].wait(0);
  multiply_queries<C>(score, q, shared_address(s.k[0]));
  wait_products<0>();
  pin(score);
  finish_scores(0, w.tiles - 1);
  softmax.weigh(score);
  keep_weights();
  turn.next();
  if (w.tiles > 1) s.k_full[turn.stage].wait(turn.parity);
  for (int tile = w.tiles - 2; tile >= 0; --tile) {
    multiply_queries<C>(score, q, shared_address(s.k[turn.stage]));
    s.v_full[previous.stage].wait(previous.parity);
    multiply_values<C>(out, weights, shared_address(s.v[previous.stage]));
    wait_products<1>();
    pin(score);
    finish_scores(turn.stage, tile);
    softmax.weigh(score);
    pin(score);
    const int used = previous.stage;
    previous.next();
    turn.next();
    // This wait, a loop, also keeps the compiler from waiting for the values' product any earlier.
    if (tile > 0) s.k_full[turn.stage].wait(turn.parity);
    wait_products<0>();
    pin(out);
    if (leader) s.v_free[used].arrive();
#pragma unroll
    for (int i = 0; i < C::value_width / 2; ++i) out[i] *= softmax.before[i / 2 % 2];
    keep_weights();
  }
  s.v_full[previous.stage].wait(previous.parity);
  multiply_values<C>(out, weights, shared_address(s.v[previous.stage]));
  wait_products<0>();
  pin(out);

  store_rows<C>(p, softmax, out, w.plane, w.head, w.batch, row);
}

template <class C>
LEGATO_INLINE void attend_hopper(const HopperAttentionParams& p) {
  LEGATO_DYNAMIC_SHARED(memory);
  HopperShared<C>& s = *reinterpret_cast<HopperShared<C>*>(memory);
  if (threadIdx.x == 0) {
    s.q_full.init(1);
    for (int i = 0; i < C::stages; ++i) {
      s.k_full[i].init(1);
      s.v_full[i].init(1);
      s.k_free[i].init(C::general ? 4 * C::groups : C::groups);
      s.v_free[i].init(C::groups);
    }
    publish_barriers();
  }
  __syncthreads();
  const Work w = work_of<C>(p);
  if (threadIdx.x >= 128 * C::groups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(C::Registers::copying));
    if (threadIdx.x == 128 * C::groups) copy_tiles<C>(p, s, w);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(C::Registers::multiplying));
    attend_queries<C>(p, s, w);
  }
}

// --- few keys: one tile holds them all, and a block of one warpgroup walks over queries

template <class C>
struct FewKeysShared {
  char q[2][C::q_bytes];
  char k[C::kv_bytes], v[C::kv_bytes];
  Barrier q_full[2], kv_full;
};

template <class C>
LEGATO_INLINE void attend_few_keys(const HopperAttentionParams& p) {
  static_assert(C::groups == 1);
  LEGATO_DYNAMIC_SHARED(memory);
  FewKeysShared<C>& s = *reinterpret_cast<FewKeysShared<C>*>(memory);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int plane = static_cast<int>(blockIdx.x) / p.walkers,
            first = static_cast<int>(blockIdx.x) % p.walkers;
  const int head = plane % p.heads, batch = plane / p.heads, kv_head = head / p.group;
  auto copy_queries = [&](int tile, int at) {
    s.q_full[at].arrive_and_expect(C::q_bytes);
    for (int i = 0; i < C::panels; ++i)
      copy_box(s.q[at] + i * C::queries * 128, p.q, s.q_full[at], i * 64, tile * 64, head, batch);
  };
  if (thread == 0) {
    s.q_full[0].init(1);
    s.q_full[1].init(1);
    s.kv_full.init(1);
    publish_barriers();
    s.kv_full.arrive_and_expect(2 * C::kv_bytes);
    copy_queries(first, 0);
    for (int i = 0; i < C::panels; ++i) {
      copy_box(s.k + i * C::keys * 128, p.k, s.kv_full, i * 64, 0, kv_head, batch);
      copy_box(s.v + i * C::keys * 128, p.v, s.kv_full, i * 64, 0, kv_head, batch);
    }
    if (first + p.walkers < p.query_tiles) copy_queries(first + p.walkers, 1);
  }
  __syncthreads();
  s.kv_full.wait(0);
  Turn<2> turn;
  for (int tile = first; tile < p.query_tiles; tile += p.walkers, turn.next()) {
    const int row = tile * 64 + thread / 32 * 16 + lane / 4;
    float score[C::keys / 2], out[C::value_width / 2];
    uint32_t weights[C::keys / 4];
    s.q_full[turn.stage].wait(turn.parity);
    multiply_queries<C>(score, shared_address(s.q[turn.stage]), shared_address(s.k));
    wait_products<0>();
    pin(score);
    __syncthreads();  // these queries are no longer needed
    if (thread == 0 && tile + 2 * p.walkers < p.query_tiles)
      copy_queries(tile + 2 * p.walkers, turn.stage);
    mask_scores<C>(p, score, 0, tile * 64, row);
    Softmax<C> softmax(p, head, batch);
    softmax.weigh(score);
#pragma unroll
    for (int i = 0; i < C::keys / 4; ++i)
      weights[i] = pack_halves<typename C::T>(score[2 * i], score[2 * i + 1]);
#pragma unroll
    for (int i = 0; i < C::value_width / 2; ++i) out[i] = 0;
    multiply_values<C>(out, weights, shared_address(s.v));
    wait_products<0>();
    pin(out);
    store_rows<C>(p, softmax, out, plane, head, batch, row);
  }
}

// Named after T and width; attention_sm90a.cuda.cpp knows the tilings.
#define LEGATO_HOPPER(name, T, width, value_width, groups, keys, stages, general)            \
  extern "C" __global__ void __launch_bounds__(128 * (groups + 1), 1)                        \
      name##_##T##_##width(const __grid_constant__ HopperAttentionParams p) {                \
    attend_hopper<HopperTiling<T, width, value_width, keys, groups, stages, 1, general>>(p); \
  }
#define LEGATO_HOPPER_FEW(T, width, value_width, keys, resident)                     \
  extern "C" __global__ void __launch_bounds__(128, resident)                        \
      attention_few_##T##_##width(const __grid_constant__ HopperAttentionParams p) { \
    attend_few_keys<HopperTiling<T, width, value_width, keys, 1, 1, resident>>(p);   \
  }
#define LEGATO_HOPPER_ALL(T)                                     \
  LEGATO_HOPPER(attention, T, 48, 40, 4, 80, 3, false)           \
  LEGATO_HOPPER(attention, T, 64, 64, 3, 128, 2, false)          \
  LEGATO_HOPPER(attention, T, 80, 80, 2, 128, 2, false)          \
  LEGATO_HOPPER(attention, T, 96, 96, 2, 128, 2, false)          \
  LEGATO_HOPPER(attention, T, 128, 128, 2, 128, 2, false)        \
  LEGATO_HOPPER(attention, T, 160, 160, 2, 96, 2, false)         \
  LEGATO_HOPPER(attention, T, 256, 256, 2, 64, 2, false)         \
  LEGATO_HOPPER(attention_general, T, 64, 64, 3, 128, 2, true)   \
  LEGATO_HOPPER(attention_general, T, 128, 128, 2, 128, 2, true) \
  LEGATO_HOPPER(attention_general, T, 256, 256, 2, 64, 2, true)  \
  LEGATO_HOPPER_FEW(T, 48, 40, 80, 4)                            \
  LEGATO_HOPPER_FEW(T, 64, 64, 80, 4)                            \
  LEGATO_HOPPER_FEW(T, 80, 80, 80, 3)                            \
  LEGATO_HOPPER_FEW(T, 128, 128, 80, 2)
LEGATO_HOPPER_ALL(f16)
LEGATO_HOPPER_ALL(bf16)

}  // namespace legato::cuda

#endif
