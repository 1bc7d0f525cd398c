// Products of halves on Hopper, for what follows a product that cuBLASLt cannot apply: gates
// (GEGLU, SwiGLU) and activations.
//
// A block walks over tiles of 128 x 256 results. One warp keeps copying what is multiplied to
// shared memory; two warpgroups take 64 rows each. They run half a tile apart, so that the tensor
// cores work for one while the other applies its activation (Note [Apart]). Two blocks, a cluster,
// take tiles below each other: each reads half of b's columns for both.
#ifndef LEGATO_EMULATED

#include "legato/backends/cuda/mma.cuh"
#include "legato/backends/cuda/wgmma.cuh"
#include "legato/ops/matmul/matmul.cuh"

namespace legato::cuda {

struct HopperProductShared {
  char a[kHopperStages][kHopperRows * 128], b[kHopperStages][kHopperCols * 128];
  char d[2][64 * 256];
  Barrier full[kHopperStages], free[kHopperStages], under_way;
};
static_assert(sizeof(HopperProductShared) == kHopperSharedBytes);

LEGATO_INLINE float reciprocal_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Activations for results that are rounded to a half type: within 2^-13 of their value.
inline constexpr float kLog2OfE = 1.4426950408889634f;

LEGATO_INLINE float sigmoid_fast(float x) {
  return reciprocal_fast(1.f + exp2_fast(-kLog2OfE * x));
}
/// x (1 - q) or, for negative x, x q, where q is the normal distribution's tail beyond |x|:
/// exp(-x^2 / 2) by a polynomial in 1 / (1 + p |x|), fitted to relative error 6.4e-5.
LEGATO_INLINE float gelu_fast(float x) {
  const float size = ::fabsf(x);
  const float t = reciprocal_fast(::fmaf(size, 0.388908730f, 1.f));  // 0.55 / sqrt 2
  float q = ::fmaf(t, -0.08676385f, 0.16609443f);
  q = ::fmaf(q, t, 0.10749967f);
  q = ::fmaf(q, t, 0.15812129f);
  q = ::fmaf(q, t, 0.15503690f);
  q = q * t * exp2_fast(x * x * (-0.5f * kLog2OfE));
  return ::fmaf(-size, q, ::fmaxf(x, 0.f));
}
LEGATO_INLINE float gelu_tanh_fast(float x) {
  const float inner = x * ::fmaf(0.044715f * x, x, 1.f);
  return x * sigmoid_fast(1.5957691216057308f * inner);  // 2 sqrt(2 / pi)
}

template <ProductAct act>
LEGATO_INLINE float activate(float x) {
  if constexpr (act == ProductAct::relu) return ::fmaxf(x, 0.f);
  if constexpr (act == ProductAct::gelu_tanh) return gelu_tanh_fast(x);
  if constexpr (act == ProductAct::gelu_erf) return gelu_fast(x);
  if constexpr (act == ProductAct::silu) return x * sigmoid_fast(x);
  if constexpr (act == ProductAct::sigmoid) return sigmoid_fast(x);
  if constexpr (act == ProductAct::tanh) return ::fmaf(2.f, sigmoid_fast(2.f * x), -1.f);
  return x;
}

struct HopperTile {
  int row, col;  // of d
};
/// `pair`: of tiles below each other.
template <bool gated>
LEGATO_INLINE HopperTile hopper_tile(const HopperProductParams& p, int pair) {
  const int columns = gated ? kHopperCols / 2 : kHopperCols;
  return {(2 * (pair / p.tiles_n) + block_in_cluster()) * kHopperRows, pair % p.tiles_n * columns};
}
LEGATO_INLINE int first_pair() { return static_cast<int>(blockIdx.x) / 2; }
LEGATO_INLINE int next_pair(int pair) { return pair + static_cast<int>(gridDim.x) / 2; }

template <bool gated>
LEGATO_INLINE void copy_operands(const HopperProductParams& p, HopperProductShared& s) {
  const int half = block_in_cluster();  // of b's columns
  Turn<kHopperStages> turn;
  for (int pair = first_pair(); pair < p.pairs; pair = next_pair(pair)) {
    const HopperTile at = hopper_tile<gated>(p, pair);
    const int column = half == 0 ? at.col : at.col + (gated ? p.n : 128);
    for (int k = 0; k < p.k; k += kHopperDepth, turn.next()) {
      const int stage = turn.stage;
      s.free[stage].wait(turn.parity ^ 1);
      s.full[stage].arrive_and_expect((kHopperRows + kHopperCols) * 128);
      copy_box(s.a[stage], p.a, s.full[stage], k, at.row, 0, 0);
      copy_box_to_all(s.b[stage] + half * 128 * 128, p.b, s.full[stage], 3, k, column, 0, 0);
    }
  }
}

// Two numbers of a bias from an even column on; `present`: whether they exist, zeros if not.
template <class T>
LEGATO_INLINE void load_bias(const void* bias, int column, bool present, float (&to)[2]) {
  const auto* from = reinterpret_cast<const unsigned*>(static_cast<const T*>(bias) + column);
  const unsigned both = present ? __ldg(from) : 0;
  to[0] = to_float(T{static_cast<uint16_t>(both)});
  to[1] = to_float(T{static_cast<uint16_t>(both >> 16)});
}

// Writes 64 x 128 results of a warpgroup through shared memory: two panels of 64 columns.
template <class T>
LEGATO_INLINE void put_pair(char* panels, int row, int j, int t, float x, float y) {
  const int chunk = j % 8;
  *reinterpret_cast<uint32_t*>(panels + j / 8 * 64 * 128 + row * 128 + ((chunk ^ (row % 8)) * 16) +
                               t * 4) = pack_halves<T>(x, y);
}

LEGATO_INLINE void group_barrier(int group) {
  asm volatile("bar.sync %0, 128;" ::"r"(group + 1) : "memory");
}

template <class T, bool gated, ProductAct act, bool first_is_gate>
LEGATO_INLINE void store_tile(const HopperProductParams& p, HopperProductShared& s,
                              const HopperTile& at, int group, float (&first)[64],
                              float (&second)[64]) {
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32, t = lane % 4;
  const int row = thread / 32 * 16 + lane / 4;  // and row + 8
  const int biased = p.bias ? p.n : 0;          // columns
  char* panels = s.d[group];
  auto write = [&](int column) {
    publish_shared();
    group_barrier(group);
    if (thread == 0) {
      for (int i = 0; i < 2; ++i)
        if (column + i * 64 < p.n)
          store_box(p.d, panels + i * 64 * 128, column + i * 64, at.row + group * 64, 0, 0);
      commit_stores();
    }
  };
  auto wait_until_free = [&] {
    if (thread == 0) wait_stores_read();
    group_barrier(group);
  };
  wait_until_free();
#pragma unroll
  for (int j = 0; j < 16; ++j) {
    const int column = at.col + j * 8 + 2 * t;
    float bias[2];
    load_bias<T>(p.bias, column, column < biased, bias);
    if constexpr (gated) {
      float gate_bias[2], y[4];
      load_bias<T>(p.bias, column + p.n, column < biased, gate_bias);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float one = first[4 * j + i] + bias[i % 2],
                    two = second[4 * j + i] + gate_bias[i % 2];
        y[i] = first_is_gate ? activate<act>(one) * two : one * activate<act>(two);
      }
      put_pair<T>(panels, row, j, t, y[0], y[1]);
      put_pair<T>(panels, row + 8, j, t, y[2], y[3]);
    } else {
      put_pair<T>(panels, row, j, t, activate<act>(first[4 * j] + bias[0]),
                  activate<act>(first[4 * j + 1] + bias[1]));
      put_pair<T>(panels, row + 8, j, t, activate<act>(first[4 * j + 2] + bias[0]),
                  activate<act>(first[4 * j + 3] + bias[1]));
    }
  }
  write(at.col);
  if constexpr (!gated) {
    if (at.col + 128 >= p.n) return;
    wait_until_free();
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const int column = at.col + 128 + j * 8 + 2 * t;
      float bias[2];
      load_bias<T>(p.bias, column, column < biased, bias);
      put_pair<T>(panels, row, j, t, activate<act>(second[4 * j] + bias[0]),
                  activate<act>(second[4 * j + 1] + bias[1]));
      put_pair<T>(panels, row + 8, j, t, activate<act>(second[4 * j + 2] + bias[0]),
                  activate<act>(second[4 * j + 3] + bias[1]));
    }
    write(at.col + 128);
  }
}

// Note [Apart]: a tile's products and its activation take about equally long where the summed axis
// is short. The second warpgroup starts when the first is half through its first tile; as both wait
// for the same copies, each for its turn, they stay apart from then on, by at most the stages that
// are in flight.
template <class T, bool gated, ProductAct act, bool first_is_gate>
LEGATO_INLINE void multiply_tiles(const HopperProductParams& p, HopperProductShared& s) {
  const int group = static_cast<int>(threadIdx.x) / 128;
  const bool leader = threadIdx.x % 128 == 0;
  const int steps = (p.k + kHopperDepth - 1) / kHopperDepth;
  const int lead = steps / 2 < kHopperStages - 1 ? steps / 2 : kHopperStages - 1;
  Turn<kHopperStages> turn;
  if (group == 1) s.under_way.wait(0);
  bool first_tile = group == 0;
  auto release = [&](int used) {
    if (!leader) return;
    s.free[used].arrive_at(0);
    s.free[used].arrive_at(1);
  };
  for (int pair = first_pair(); pair < p.pairs; pair = next_pair(pair)) {
    float first[64] = {}, second[64] = {};
    int before = 0;
    for (int step = 0; step < steps; ++step, turn.next()) {
      const int stage = turn.stage;
      s.full[stage].wait(turn.parity);
      const uint32_t a = shared_address(s.a[stage]) + static_cast<uint32_t>(group * 64 * 128),
                     b = shared_address(s.b[stage]);
      pin(first);
      pin(second);
      begin_products();
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint64_t left = swizzled_matrix(a + i * 32);
        Warpgroup<T, 128>::add(first, left, swizzled_matrix(b + i * 32));
        Warpgroup<T, 128>::add(second, left, swizzled_matrix(b + 128 * 128 + i * 32));
      }
      commit_products();
      if (step > 0) {
        wait_products<1>();
        release(before);
      }
      if (first_tile && step == lead && leader) s.under_way.arrive();
      before = stage;
    }
    wait_products<0>();
    pin(first);
    pin(second);
    release(before);
    first_tile = false;
    store_tile<T, gated, act, first_is_gate>(p, s, hopper_tile<gated>(p, pair), group, first,
                                             second);
  }
  if (leader) wait_stores_read();
}

template <class T, bool gated, ProductAct act, bool first_is_gate>
LEGATO_INLINE void multiply_hopper(const HopperProductParams& p) {
  LEGATO_DYNAMIC_SHARED(memory);
  HopperProductShared& s = *reinterpret_cast<HopperProductShared*>(memory);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kHopperStages; ++i) {
      s.full[i].init(1);
      s.free[i].init(4);  // the warpgroups of both blocks
    }
    s.under_way.init(1);
    publish_barriers();
  }
  sync_cluster();
  if (threadIdx.x >= 256) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x == 256) copy_operands<gated>(p, s);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    multiply_tiles<T, gated, act, first_is_gate>(p, s);
  }
  sync_cluster();  // nobody copies to this block, or arrives at its barriers, any more
}

#define LEGATO_HOPPER_PRODUCT(T, act)                                                       \
  extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(kHopperThreads, 1) \
      product_##T##_##act(const __grid_constant__ HopperProductParams p) {                  \
    multiply_hopper<T, false, ProductAct::act, false>(p);                                   \
  }
#define LEGATO_HOPPER_GATED(T, act)                                                         \
  extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(kHopperThreads, 1) \
      gated_##T##_##act(const __grid_constant__ HopperProductParams p) {                    \
    multiply_hopper<T, true, ProductAct::act, false>(p);                                    \
  }                                                                                         \
  extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(kHopperThreads, 1) \
      gate_first_##T##_##act(const __grid_constant__ HopperProductParams p) {               \
    multiply_hopper<T, true, ProductAct::act, true>(p);                                     \
  }
// What cuBLASLt's epilogues lack, and every gate.
#define LEGATO_HOPPER_ALL(T)         \
  LEGATO_HOPPER_PRODUCT(T, gelu_erf) \
  LEGATO_HOPPER_PRODUCT(T, silu)     \
  LEGATO_HOPPER_PRODUCT(T, sigmoid)  \
  LEGATO_HOPPER_PRODUCT(T, tanh)     \
  LEGATO_HOPPER_GATED(T, relu)       \
  LEGATO_HOPPER_GATED(T, gelu_tanh)  \
  LEGATO_HOPPER_GATED(T, gelu_erf)   \
  LEGATO_HOPPER_GATED(T, silu)       \
  LEGATO_HOPPER_GATED(T, sigmoid)    \
  LEGATO_HOPPER_GATED(T, tanh)
LEGATO_HOPPER_ALL(f16)
LEGATO_HOPPER_ALL(bf16)

}  // namespace legato::cuda

#endif
