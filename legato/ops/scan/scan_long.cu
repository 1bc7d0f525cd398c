// Long scans of neighbours that have several operands, where there are few of them: each tile is a
// block's, which reads and writes its elements once (Note [Relays]). Elements stay in registers as
// they are stored, and are made accumulators once more when they are written.
#include "legato/backends/cuda/at_once.cuh"
#include "legato/ops/scan/long_tiles.cuh"

namespace legato::cuda {

/// Makes the compiler take it for another value, so that what was made of it is not kept.
template <class R>
LEGATO_INLINE void forget(R& raw) {
#ifndef LEGATO_EMULATED
  if constexpr (sizeof(R) == 4)
    asm volatile("" : "+r"(reinterpret_cast<uint32_t&>(raw)));
  else if constexpr (sizeof(R) == 2)
    asm volatile("" : "+h"(reinterpret_cast<uint16_t&>(raw)));
  else if constexpr (sizeof(R) == 8)
    asm volatile("" : "+l"(reinterpret_cast<uint64_t&>(raw)));
#endif
}

template <class S>
struct LongMemory {
  unsigned ticket;
  typename S::A totals[kLongWarps];
  Relay<S> relay;
};

template <class S>
LEGATO_INLINE void scan_long(const ScanParams& p, LongMemory<S>& m) {
  using A = typename S::A;
  using Tiles = LongTiles<S>;
  constexpr int P = Tiles::P, N = Tiles::N;
  const S s(p);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const TilePlace at = Tiles::place(p, take_ticket(p.ticket, &m.ticket));
  typename S::Raw raw[N][P];
  Tiles::read(s, p, at, raw);
  auto made = [&](int j, int k) {
    return at.begin + j * Tiles::apart + k < p.n ? s.make(p, raw[j][k]) : s.none();
  };
  A upto[N];  // each pack, and those before it in its 32
#pragma unroll
  for (int j = 0; j < N; ++j) {
    A v = made(j, 0);
#pragma unroll
    for (int k = 1; k < P; ++k) v = s.combine(v, made(j, k));
    upto[j] = scan_warp(s, v);
  }
  A before[N], carry = s.none();  // what comes before each pack in the warp's part
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const A lanes = shuffle_up(upto[j], 1);
    before[j] = lane == 0 ? carry : s.combine(carry, lanes);
    carry = s.combine(carry, shuffle_from(upto[j], 31));
  }
  if (lane == 0) m.totals[warp] = carry;
  __syncthreads();
  A total = m.totals[0];
  if (warp == 0)
    for (int w = 1; w < kLongWarps; ++w) total = s.combine(total, m.totals[w]);
  A acc = m.relay.before(s, p, at.row, at.t, total);
  for (int w = 0; w < warp; ++w) acc = s.combine(acc, m.totals[w]);
#pragma unroll
  for (int j = 0; j < N; ++j)
#pragma unroll
    for (int k = 0; k < P; ++k) forget(raw[j][k]);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    A run = s.combine(acc, before[j]), to[P];
#pragma unroll
    for (int k = 0; k < P; ++k) {
      const A next = s.combine(run, made(j, k));
      to[k] = p.inclusive ? next : run;
      run = next;
    }
    write_neighbours<S, P>(s, p, at.row, at.begin + j * Tiles::apart, to);
  }
}

template <class A>
inline constexpr int kAtOnce = sizeof(A) <= 8 ? 2 : 1;

#define LEGATO_SCAN_LONG(name, ...)                                 \
  LEGATO_KERNEL_AT_ONCE(scan_long_##name, ScanParams, kLongThreads, \
                        kAtOnce<typename __VA_ARGS__::A>) {         \
    __shared__ LongMemory<__VA_ARGS__> memory;                      \
    scan_long<__VA_ARGS__>(p, memory);                              \
  }
LEGATO_SCAN_LONG(exp_f16, ExpScan<f16>)
LEGATO_SCAN_LONG(exp_bf16, ExpScan<bf16>)
LEGATO_SCAN_LONG(exp_f32, ExpScan<float>)
LEGATO_SCAN_LONG(exp_f64, ExpScan<double>)

}  // namespace legato::cuda
