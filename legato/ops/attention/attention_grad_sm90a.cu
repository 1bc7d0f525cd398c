// The derivative of attention on Hopper, from its inputs, the sums of its rows and the cotangent g
// of its result. With x = q k^T, w = softmax(scale x) and y = g v^T:
//
//   d = w (y - inner),  dv = w^T g,  dk = scale d^T q,  dq = scale d k
//
// where `inner` is the sum of w y over a row, which is that of g times the result. One kernel owns
// keys and walks over the queries of all heads that share them, one owns queries and walks over
// keys. Weights are computed in both, which is two products of seven more than if a block that owns
// keys added to dq too; but nothing is summed by several blocks, and weights go from the registers
// that a product leaves them in straight into the next product (lab/gpu_attention).
#ifndef LEGATO_EMULATED

#include "legato/ops/attention/attention_hopper.cuh"

namespace legato::cuda {

/// q, k, v and g have up to `width_` columns. `groups_` warpgroups own 64 rows each and share tiles
/// of `walked_` rows, of which `stages_` are in flight. kept: how many of the two tiles that are
/// owned stay in registers. of_keys: owns keys; else queries. masked: by a mask in memory.
template <class T_, int width_, int walked_, int groups_, int stages_, int kept_, bool of_keys_,
          bool masked_ = false>
struct HopperGradTiling {
  using T = T_;
  static constexpr int width = width_, walked = walked_, groups = groups_, stages = stages_;
  static constexpr int kept = kept_;
  static constexpr bool of_keys = of_keys_, masked = masked_;
  static constexpr int depth = (width + 15) / 16 * 16;  // of columns, as they are summed over
  static constexpr int threads = 128 * (groups + 1), owned = 64 * groups;
  static constexpr int panels = (width + 63) / 64;  // of 64 columns
  static constexpr int owned_bytes = owned * 128 * panels, walked_bytes = walked * 128 * panels;
  using Registers = SharedRegisters<groups, 1>;
  using Tile = std::conditional_t<of_keys, MaskTile<walked, owned>, MaskTile<owned, walked>>;
  using Mask = std::conditional_t<masked, Tile, NoMaskTile>;
};

template <class C>
struct HopperGradShared : MaskRoom<typename C::Mask, C::stages> {
  char own_first[C::owned_bytes], own_second[C::owned_bytes];  // keys and values, or q and g
  char walk_first[C::stages][C::walked_bytes], walk_second[C::stages][C::walked_bytes];
  float log_sums[C::stages][C::of_keys ? C::walked : 4],
      inner[C::stages][C::of_keys ? C::walked : 4];
  Barrier own_full, full[C::stages], free[C::stages];
};

/// What a block works on: rows from `first` on, and the tiles `begin` to `end` of each of `heads`
/// heads from `walked_head` on.
struct GradWork {
  int first, head, batch, walked_head, heads, begin, end;
};
template <class C>
LEGATO_INLINE GradWork grad_work(const HopperGradParams& p) {
  GradWork w;
  const int owning_heads = C::of_keys ? p.heads / p.group : p.heads;
  const int tile = static_cast<int>(blockIdx.x) % p.tiles,
            plane = static_cast<int>(blockIdx.x) / p.tiles;
  w.head = plane % owning_heads;
  w.batch = plane / owning_heads;
  w.walked_head = C::of_keys ? w.head * p.group : w.head / p.group;
  w.heads = C::of_keys ? p.group : 1;
  // With a causal mask the first keys and the last queries see most: they begin first. Queries that
  // it leaves no key attend to all alike.
  const int shift = p.keys - p.queries;
  int begin = 0, end = C::of_keys ? p.queries : p.keys;
  if (C::of_keys) {
    w.first = tile * C::owned;
    if (p.causal && shift >= 0 && w.first > shift) begin = w.first - shift;
  } else {
    w.first = (p.causal ? p.tiles - 1 - tile : tile) * C::owned;
    if (p.causal && w.first + shift >= 0 && w.first + C::owned + shift < end)
      end = w.first + C::owned + shift;
  }
  w.begin = begin / C::walked;
  w.end = begin < end ? (end + C::walked - 1) / C::walked : w.begin;
  return w;
}

template <class C>
LEGATO_INLINE void copy_grad_tiles(const HopperGradParams& p, HopperGradShared<C>& s,
                                   const GradWork& w) {
  const TensorMap &own_first = C::of_keys ? p.k : p.q, &own_second = C::of_keys ? p.v : p.cotangent,
                  &walk_first = C::of_keys ? p.q : p.k,
                  &walk_second = C::of_keys ? p.cotangent : p.v;
  s.own_full.arrive_and_expect(2 * C::owned_bytes);
  for (int i = 0; i < C::panels; ++i) {
    copy_box(s.own_first + i * C::owned * 128, own_first, s.own_full, i * 64, w.first, w.head,
             w.batch);
    copy_box(s.own_second + i * C::owned * 128, own_second, s.own_full, i * 64, w.first, w.head,
             w.batch);
  }
  Turn<C::stages> turn;
  for (int head = w.walked_head; head < w.walked_head + w.heads; ++head)
    for (int tile = w.begin; tile < w.end; ++tile, turn.next()) {
      const int at = turn.stage, from = tile * C::walked;
      Barrier& full = s.full[at];
      s.free[at].wait(turn.parity ^ 1);
      int bytes = 2 * C::walked_bytes + (C::of_keys ? 2 * C::walked * 4 : 0);
      if constexpr (C::masked) bytes += mask_bytes<typename C::Mask>(p.mask);
      full.arrive_and_expect(bytes);
      if (C::of_keys) {
        const long long row =
            (static_cast<long long>(w.batch) * p.heads + head) * p.row_pitch + from;
        copy_bytes(s.log_sums[at], p.log_sums + row, C::walked * 4, full);
        copy_bytes(s.inner[at], p.inner + row, C::walked * 4, full);
      }
      for (int i = 0; i < C::panels; ++i)
        copy_box(s.walk_first[at] + i * C::walked * 128, walk_first, full, i * 64, from, head,
                 w.batch);
      for (int i = 0; i < C::panels; ++i)
        copy_box(s.walk_second[at] + i * C::walked * 128, walk_second, full, i * 64, from, head,
                 w.batch);
      if constexpr (C::masked)
        copy_mask<typename C::Mask>(s.mask[at], p.mask, full, C::of_keys ? w.first : from,
                                    C::of_keys ? from : w.first, C::of_keys ? head : w.head,
                                    w.batch);
    }
}

/// 64 rows that a warpgroup owns, as the left side of products.
template <class C, bool in_registers>
struct OwnedRows {
  uint32_t address;
  uint32_t kept[in_registers ? C::depth / 16 : 1][4];

  LEGATO_INLINE explicit OwnedRows(const char* tile)
      : address(shared_address(tile) + threadIdx.x / 128 * 64 * 128) {
    if constexpr (in_registers) {
      const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 +
                      static_cast<int>(threadIdx.x) % 16,
                half = static_cast<int>(threadIdx.x) % 32 / 16;
#pragma unroll
      for (int i = 0; i < C::depth / 16; ++i) {
        const int piece = (i % 4 * 2 + half) ^ (row & 7);
        load_matrices<false>(kept[i], tile + threadIdx.x / 128 * 64 * 128 + i / 4 * C::owned * 128 +
                                          row * 128 + piece * 16);
      }
    }
  }
  /// To be called behind the loop that multiplies. ptxas 13.0 forgets that registers which a
  /// product reads again in the next turn of a loop are in use; a use behind the loop, which never
  /// happens, reminds it.
  LEGATO_INLINE void keep(char* to, bool never) const {
    if constexpr (in_registers)
      if (never)
#pragma unroll
        for (int i = 0; i < C::depth / 16; ++i)
          *reinterpret_cast<uint4*>(to + 16 * i) =
              uint4{kept[i][0], kept[i][1], kept[i][2], kept[i][3]};
  }
  /// x (64, walked) = the rows times those of a tile, transposed.
  LEGATO_INLINE void multiply(float (&x)[C::walked / 2], uint32_t tile) const {
    const uint64_t first = swizzled_matrix(tile);
    begin_products();
#pragma unroll
    for (int i = 0; i < C::depth / 16; ++i) {
      const uint64_t b = moved_matrix(first, i / 4 * C::walked * 128 + i % 4 * 32);
      using Products = Warpgroup<typename C::T, C::walked>;
      auto product = [&](const auto& a) {
        if (i == 0)
          Products::begin(x, a, b);
        else
          Products::add(x, a, b);
      };
      if constexpr (in_registers)
        product(kept[i]);
      else
        product(moved_matrix(swizzled_matrix(address), i / 4 * C::owned * 128 + i % 4 * 32));
    }
    commit_products();
  }
};

/// sum (64, width) += x (64, walked) tile (walked, width).
template <class C>
LEGATO_INLINE void add_products(float (&sum)[C::width / 2], const uint32_t (&x)[C::walked / 4],
                                uint32_t tile) {
  pin(sum);
  const uint64_t first = swizzled_matrix(tile, C::walked * 128);
  begin_products();
#pragma unroll
  for (int i = 0; i < C::walked / 16; ++i)
    Warpgroup<typename C::T, C::width>::add_rows(sum, x + 4 * i, moved_matrix(first, i * 16 * 128));
  commit_products();
}

template <class C>
LEGATO_INLINE void pack_scores(uint32_t (&to)[C::walked / 4], const float (&x)[C::walked / 2]) {
#pragma unroll
  for (int i = 0; i < C::walked / 4; ++i)
    to[i] = pack_halves<typename C::T>(x[2 * i], x[2 * i + 1]);
}

/// Writes 64 rows of `columns` numbers times `scale`.
template <class C>
LEGATO_INLINE void store_owned(void* at, const HeadStrides& strides, const float (&x)[C::width / 2],
                               float scale, const GradWork& w, int limit, int columns) {
  using T = typename C::T;
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = w.first + thread / 32 * 16 + thread % 32 / 4 + 8 * r;
    store_row(
        static_cast<T*>(at) + w.batch * strides.batch + w.head * strides.head + row * strides.row,
        x, r, scale, row < limit, columns);
  }
}

/// A warpgroup's tile of scores: what becomes of them.
template <class C>
struct ScoreTile {
  int first_own, first_walked;  // rows of the lane's first score, columns of the tile's

  LEGATO_INLINE int own(int i) const { return first_own + i / 2 % 2 * 8; }
  LEGATO_INLINE int walked(int i) const {
    return first_walked + i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
  }
  LEGATO_INLINE int query(int i) const { return C::of_keys ? walked(i) : own(i); }
  LEGATO_INLINE int key(int i) const { return C::of_keys ? own(i) : walked(i); }

  /// What a mask hides, and keys behind the last one, weigh nothing; queries that it leaves no key
  /// are alike to all.
  LEGATO_INLINE void mask(const HopperGradParams& p, float (&x)[C::walked / 2], int first) const {
    const int shift = p.keys - p.queries;
    const int keys_end = C::of_keys ? first + 64 : first_walked + C::walked;
    const int first_query = C::of_keys ? first_walked : first;
    if ((C::of_keys || keys_end <= p.keys) && (!p.causal || keys_end <= first_query + shift + 1))
      return;
#pragma unroll
    for (int i = 0; i < C::walked / 2; ++i) {
      const int bound = p.causal ? query(i) + shift + 1 : p.keys;
      if (bound <= 0) x[i] = 0;
      if ((!C::of_keys && key(i) >= p.keys) || (bound > 0 && key(i) >= bound)) x[i] = -INFINITY;
    }
  }
  /// Nor do such queries depend on their scores.
  LEGATO_INLINE void mask_derivative(const HopperGradParams& p, float (&d)[C::walked / 2],
                                     int first) const {
    const int first_query = C::of_keys ? first_walked : first;
    if (!p.causal || first_query + p.keys - p.queries >= 0) return;
#pragma unroll
    for (int i = 0; i < C::walked / 2; ++i)
      if (query(i) + p.keys - p.queries < 0) d[i] = 0;
  }
};

template <class C>
LEGATO_INLINE void pull_back_hopper(const HopperGradParams& p, HopperGradShared<C>& s,
                                    const GradWork& w) {
  const int thread = static_cast<int>(threadIdx.x), t = thread % 4;
  const int first = w.first + thread / 128 * 64;  // of the warpgroup's rows
  const int own = w.first + thread / 32 * 16 + thread % 32 / 4;
  const bool counts = C::masked && counts_scores(p.mask, p.scale);
  const float unit = counts ? kLog2E : p.scale * kLog2E;
  const int tiles = w.end - w.begin, total = tiles * w.heads;

  float log_sum[2] = {}, inner[2] = {};  // of the owned queries
  if constexpr (!C::of_keys) {
    const long long row = (static_cast<long long>(w.batch) * p.heads + w.head) * p.row_pitch + own;
#pragma unroll
    for (int r = 0; r < 2; ++r)
      if (own + 8 * r < p.queries) {
        log_sum[r] = p.log_sums[row + 8 * r];
        inner[r] = p.inner[row + 8 * r];
      }
  }
  // first: dk or dq; second: dv.
  float sum_first[C::width / 2], sum_second[C::of_keys ? C::width / 2 : 1];
#pragma unroll
  for (int i = 0; i < C::width / 2; ++i) sum_first[i] = 0;
  if constexpr (C::of_keys)
#pragma unroll
    for (int i = 0; i < C::width / 2; ++i) sum_second[i] = 0;

  s.own_full.wait(0);
  const OwnedRows<C, (C::kept > 0)> own_first(s.own_first);
  const OwnedRows<C, (C::kept > 1)> own_second(s.own_second);
  float x[C::walked / 2], y[C::walked / 2];
  uint32_t weights[C::of_keys ? C::walked / 4 : 1], d[C::walked / 4];
  Turn<C::stages> turn;
  pin(sum_first);
  if constexpr (C::of_keys) pin(sum_second);
  int tile = w.begin, head = w.walked_head, used = 0;

  // Whether weights of the tile at this stage are to be made from `sums` (Note [Scores far down]).
  auto is_far = [&](int at) {
    bool far = false;
    if constexpr (C::of_keys)
      for (int i = thread % 32; i < C::walked; i += 32) far |= s.log_sums[at][i] == -INFINITY;
    else
      far = log_sum[0] == -INFINITY || log_sum[1] == -INFINITY;
    return C::masked && __any_sync(~0u, far);
  };
  auto sums_of = [&](int query) {
    const int of = C::of_keys ? head : w.head;
    return query < p.queries
               ? p.sums[(static_cast<long long>(w.batch) * p.heads + of) * p.queries + query]
               : RowSums{};
  };
  bool far = false;

  // Products of the tile at this stage become weights.
  auto weigh = [&](const ScoreTile<C>& scores, int at) {
    if constexpr (C::masked) {
      apply_mask<typename C::T, typename C::Mask, C::of_keys>(p.mask, p.scale, x, s.mask[at]);
      far = is_far(at);
    }
    scores.mask(p, x, first);
    if (far) {
#pragma unroll
      for (int i = 0; i < C::walked / 2; ++i) {
        const RowSums row = sums_of(scores.query(i));
        const float score = counts || x[i] == kLowest ? x[i] : x[i] * p.scale;
        x[i] = exp2_fast((score - row.max) * kLog2E) * row.scale;
      }
      pin(x);
      return;
    }
#pragma unroll
    for (int j = 0; j < C::walked / 8; ++j) {
      float2 by{};
      if constexpr (C::of_keys)
        by = *reinterpret_cast<const float2*>(s.log_sums[at] + 8 * j + 2 * t);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float offset = C::of_keys ? (e % 2 ? by.y : by.x) : log_sum[e / 2];
        x[4 * j + e] = exp2_fast(::fmaf(x[4 * j + e], unit, -offset));
      }
    }
    pin(x);
  };
  // y, the products of cotangents and values, become derivatives.
  auto derive = [&](const ScoreTile<C>& scores, int at) {
    pin(y);
#pragma unroll
    for (int j = 0; j < C::walked / 8; ++j) {
      float2 by{};
      if constexpr (C::of_keys) by = *reinterpret_cast<const float2*>(s.inner[at] + 8 * j + 2 * t);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float offset = C::of_keys ? (e % 2 ? by.y : by.x) : inner[e / 2];
        y[4 * j + e] = x[4 * j + e] * (y[4 * j + e] - offset);
      }
    }
    scores.mask_derivative(p, y, first);
    if (far && p.mask.kind == MaskKind::boolean)
#pragma unroll
      for (int i = 0; i < C::walked / 2; ++i)
        if (sums_of(scores.query(i)).max == kLowest) y[i] = 0;
  };
  // Nothing may be under way: ptxas would wait for it.
  auto add = [&](int at) {
    pack_scores<C>(d, y);
    if constexpr (C::of_keys)
      add_products<C>(sum_second, weights, shared_address(s.walk_second[at]));
    add_products<C>(sum_first, d, shared_address(s.walk_first[at]));
  };
  auto release = [&](int at) {
    if (thread % 32 == 0) s.free[at].arrive();
  };
  auto next_tile = [&] {
    const ScoreTile<C> scores{own, tile * C::walked};
    ++tile;
    return scores;
  };

  for (int i = 0; i < total; ++i) {
    const ScoreTile<C> scores = next_tile();
    const int at = turn.stage;
    s.full[at].wait(turn.parity);
    turn.next();
    own_first.multiply(x, shared_address(s.walk_first[at]));
    own_second.multiply(y, shared_address(s.walk_second[at]));
    wait_products<1>();
    pin(x);
    if (i > 0) release(used);
    used = at;
    weigh(scores, at);
    if constexpr (C::of_keys) pack_scores<C>(weights, x);
    // This wait, a loop, keeps the compiler from waiting for the second product any earlier.
    if (i + 1 < total) s.full[turn.stage].wait(turn.parity);
    wait_products<0>();
    derive(scores, at);
    add(at);
    if (tile == w.end) {
      tile = w.begin;
      ++head;
    }
  }
  wait_products<0>();
  pin(sum_first);
  if constexpr (C::of_keys) pin(sum_second);
  own_first.keep(s.own_first, p.heads < 0);
  own_second.keep(s.own_second, p.heads < 0);

  store_owned<C>(C::of_keys ? p.dk : p.dq, C::of_keys ? p.dk_strides : p.dq_strides, sum_first,
                 p.scale, w, C::of_keys ? p.keys : p.queries, p.width);
  if constexpr (C::of_keys)
    store_owned<C>(p.dv, p.dv_strides, sum_second, 1.f, w, p.keys, p.value_width);
}

template <class C>
LEGATO_INLINE void attention_grad_hopper(const HopperGradParams& p) {
  LEGATO_DYNAMIC_SHARED(memory);
  HopperGradShared<C>& s = *reinterpret_cast<HopperGradShared<C>*>(memory);
  if (threadIdx.x == 0) {
    s.own_full.init(1);
    for (int i = 0; i < C::stages; ++i) {
      s.full[i].init(1);
      s.free[i].init(4 * C::groups);
    }
    publish_barriers();
  }
  __syncthreads();
  const GradWork w = grad_work<C>(p);
  if (threadIdx.x >= 128 * C::groups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(C::Registers::copying));
    if (threadIdx.x == 128 * C::groups) copy_grad_tiles<C>(p, s, w);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(C::Registers::multiplying));
    pull_back_hopper<C>(p, s, w);
  }
}

/// What is known of the rows of queries: 8 columns a lane, `lanes` lanes a row.
template <class T, int lanes>
LEGATO_INLINE void know_rows(const AttentionRowParams& p) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % lanes;
  const long long at = (static_cast<long long>(blockIdx.x) * blockDim.x + thread) / lanes;
  const long long plane = at / p.row_pitch;
  if (plane >= p.planes) return;
  const int row = static_cast<int>(at % p.row_pitch), head = static_cast<int>(plane % p.heads);
  const long long batch = plane / p.heads;
  float sum = 0;
  if (row < p.queries) {
    const T* g = static_cast<const T*>(p.cotangent) + batch * p.cotangent_strides.batch +
                 head * p.cotangent_strides.head + row * p.cotangent_strides.row;
    const T* y = static_cast<const T*>(p.result) + batch * p.result_strides.batch +
                 head * p.result_strides.head + row * p.result_strides.row;
    for (int c = lane * 8; c < p.value_width; c += lanes * 8) {
      const uint4 a = *reinterpret_cast<const uint4*>(g + c),
                  b = *reinterpret_cast<const uint4*>(y + c);
      const uint32_t left[4] = {a.x, a.y, a.z, a.w}, right[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int e = 0; e < 8; ++e)
        sum = ::fmaf(read(T{static_cast<uint16_t>(left[e / 2] >> (e % 2 * 16))}),
                     read(T{static_cast<uint16_t>(right[e / 2] >> (e % 2 * 16))}), sum);
    }
  }
#pragma unroll
  for (int by = lanes / 2; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by, lanes);
  if (lane != 0) return;
  p.inner[at] = sum;
  if (row < p.queries) {
    const RowSums r = p.sums[plane * p.queries + row];
    const bool far = p.masked && !(r.max * kLog2E > -kFar);
    p.log_sums[at] = far ? -INFINITY : ::fmaf(r.max, kLog2E, -::log2f(r.scale));
  } else {
    p.log_sums[at] = INFINITY;
  }
}

// Named after T and width; attention_sm90a.cuda.cpp knows the tilings. Those for masks have room
// for their tiles.
#define LEGATO_HOPPER_GRAD(T, width, name, ...)                                                  \
  extern "C" __global__ void __launch_bounds__(HopperGradTiling<T, width, __VA_ARGS__>::threads, \
                                               1)                                                \
      attention_grad_##name##_##T##_##width(const __grid_constant__ HopperGradParams p) {        \
    attention_grad_hopper<HopperGradTiling<T, width, __VA_ARGS__>>(p);                           \
  }
#define LEGATO_HOPPER_ROWS(T, lanes)                                          \
  LEGATO_KERNEL(attention_grad_rows_##T##_##lanes, AttentionRowParams, 256) { \
    know_rows<T, lanes>(p);                                                   \
  }
#define LEGATO_HOPPER_GRADS(T)                                        \
  LEGATO_HOPPER_ROWS(T, 8)                                            \
  LEGATO_HOPPER_ROWS(T, 16)                                           \
  LEGATO_HOPPER_GRAD(T, 40, keys, 64, 2, 4, 2, true)                  \
  LEGATO_HOPPER_GRAD(T, 64, keys, 64, 2, 3, 2, true)                  \
  LEGATO_HOPPER_GRAD(T, 80, keys, 80, 2, 3, 0, true)                  \
  LEGATO_HOPPER_GRAD(T, 128, keys, 48, 2, 3, 0, true)                 \
  LEGATO_HOPPER_GRAD(T, 160, keys, 32, 2, 3, 0, true)                 \
  LEGATO_HOPPER_GRAD(T, 40, queries, 64, 3, 3, 2, false)              \
  LEGATO_HOPPER_GRAD(T, 64, queries, 64, 3, 3, 1, false)              \
  LEGATO_HOPPER_GRAD(T, 80, queries, 96, 2, 3, 0, false)              \
  LEGATO_HOPPER_GRAD(T, 128, queries, 80, 2, 3, 0, false)             \
  LEGATO_HOPPER_GRAD(T, 160, queries, 48, 2, 3, 0, false)             \
  LEGATO_HOPPER_GRAD(T, 64, masked_keys, 64, 2, 3, 2, true, true)     \
  LEGATO_HOPPER_GRAD(T, 128, masked_keys, 48, 2, 3, 0, true, true)    \
  LEGATO_HOPPER_GRAD(T, 64, masked_queries, 64, 3, 3, 1, false, true) \
  LEGATO_HOPPER_GRAD(T, 128, masked_queries, 64, 2, 3, 0, false, true)
LEGATO_HOPPER_GRADS(f16)
LEGATO_HOPPER_GRADS(bf16)

}  // namespace legato::cuda

#endif
