// Long running logarithms of sums of exponentials, of float32 and halves.
//
// Note [Tiles of exponentials]: combining two sums relative to their largest terms takes an
// exponential, and a scan combines each element several times. If the elements of a tile lie within
// 600 of each other, e^(x - m) for its largest element m is a double that is far from underflow,
// and sums of those are plain sums: one exponential and one logarithm an element. Other tiles
// (infinities, nan) go by the way of all scans. Between tiles sums are relative to their largest
// terms in any case.
//
// Both functions are right to about 2^-23; differences from m, and what is added to it, lose
// nothing.
#pragma once

#include "legato/ops/scan/tiles.cuh"

namespace legato::cuda {

inline constexpr float kTileReach = 600;

/// e^(x - m) for m - kTileReach < x <= m; 0 for -inf.
LEGATO_INLINE double exp_from(float x, float m) {
  const bool nothing = x < m - kTileReach;
  if (nothing) x = m;
  const float high = x - m, back = high + m, low = (x - back) + ((back - high) - m);
  const float n = ::nearbyintf(high * 1.44269504f);
  float r = ::fmaf(n, -0.693359375f, high);  // exact: n has few bits
  r = ::fmaf(n, 2.12194440e-4f, r) + low;
  float e = 1.9875691500e-4f;
  e = ::fmaf(e, r, 1.3981999507e-3f);
  e = ::fmaf(e, r, 8.3334519073e-3f);
  e = ::fmaf(e, r, 4.1665795894e-2f);
  e = ::fmaf(e, r, 1.6666665459e-1f);
  e = ::fmaf(e, r, 5.0000001201e-1f);
  e = ::fmaf(e * r, r, r) + 1.0f;
  // The same number as a double, times 2^n.
  const uint64_t bits = __builtin_bit_cast(uint32_t, e);
  const int64_t scale = static_cast<int64_t>(1023 - 127 + static_cast<int>(n)) << 52;
  const double value = __builtin_bit_cast(double, (bits << 29) + static_cast<uint64_t>(scale));
  return nothing ? 0. : value;
}
/// m + log(s) for a normal s > 0.
LEGATO_INLINE float log_onto(double s, float m) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, s) + (uint64_t{1} << 28);  // rounded below
  // s = f * 2^n, f in [sqrt(1/2), sqrt(2)).
  const auto high = static_cast<uint32_t>(bits >> 29);  // a float's mantissa below the exponent
  const uint32_t from = (high & 0x7fffffu) + (0x3f800000u - 0x3f3504f3u);
  const int n = static_cast<int>(bits >> 52) - 1023 + static_cast<int>(from >> 23);
  const float f = __builtin_bit_cast(float, (from & 0x7fffffu) + 0x3f3504f3u) - 1.0f, z = f * f;
  float y = 7.0376836292e-2f;
  y = ::fmaf(y, f, -1.1514610310e-1f);
  y = ::fmaf(y, f, 1.1676998740e-1f);
  y = ::fmaf(y, f, -1.2420140846e-1f);
  y = ::fmaf(y, f, 1.4249322787e-1f);
  y = ::fmaf(y, f, -1.6668057665e-1f);
  y = ::fmaf(y, f, 2.0000714765e-1f);
  y = ::fmaf(y, f, -2.4999993993e-1f);
  y = ::fmaf(y, f, 3.3333331174e-1f);
  y = ::fmaf(-0.5f, z, y * f * z) + f;
  const float k = static_cast<float>(n), far = k * 0.693359375f;  // exact
  const float sum = m + far, back = sum - m, rest = (m - (sum - back)) + (far - back);
  return sum + (::fmaf(k, -2.12194440e-4f, rest) + y);
}

template <class T>
struct LogsMemory {
  using A = typename LogSumExpScan<T>::A;
  unsigned ticket;
  float top[kTileWarps], low[kTileWarps];
  double sums[kTileWarps];
  A totals[kTileWarps];
  Relay<LogSumExpScan<T>> relay;
};

// The way of all scans; by itself, since it is long and seldom needed.
template <class T>
LEGATO_APART typename LogSumExpScan<T>::A total_of(const WarpTile<LogSumExpScan<T>>& tile,
                                                   const ScanParams& p) {
  const LogSumExpScan<T> s(p);
  return scan_warp(s, tile.total(s, p));
}
template <class T>
LEGATO_APART void scan_any(const WarpTile<LogSumExpScan<T>>& tile, const ScanParams& p,
                           typename LogSumExpScan<T>::A acc) {
  tile.scan(LogSumExpScan<T>(p), p, acc);
}

template <class T>
LEGATO_INLINE void scan_logs(const ScanParams& p, char* shared, LogsMemory<T>& m) {
  using S = LogSumExpScan<T>;
  using A = typename S::A;
  const S s(p);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const float none = static_cast<float>(no_top());
  long long t;
  const WarpTile<S> tile = take_tile<S>(p, shared, &m.ticket, t);
  float top = none, low = -none;
  tile.template each<false>(p, [&](const T& raw) {
    const float v = read(raw);
    top = extreme(top, v, true);
    low = v < low && v != none ? v : low;
  });
  auto over_threads = [](float& a, float& b, int threads) {
    for (int by = threads / 2; by > 0; by /= 2) {
      a = extreme(a, __shfl_xor_sync(~0u, a, by), true);
      b = extreme(b, __shfl_xor_sync(~0u, b, by), false);
    }
  };
  over_threads(top, low, 32);
  if (lane == 0) {
    m.top[warp] = top;
    m.low[warp] = low;
  }
  __syncthreads();
  top = m.top[lane % kTileWarps];
  low = m.low[lane % kTileWarps];
  over_threads(top, low, kTileWarps);
  // Not with nan or infinity, or where nothing is finite.
  const bool near = low <= top && top - low < kTileReach;
  double before = 0;  // near: what this warp's threads before this one come to
  A lanes = s.none(), total = s.none();
  if (near) {
    double sum = 0;
    tile.template each<false>(p, [&](const T& raw) { sum += exp_from(read(raw), top); });
#pragma unroll
    for (int by = 1; by < 32; by *= 2) {
      const double other = shuffle_up(sum, by);
      if (lane >= by) sum += other;
    }
    before = shuffle_up(sum, 1);
    if (lane == 0) before = 0;
    if (lane == 31) m.sums[warp] = sum;
  } else {
    const A upto = total_of<T>(tile, p);
    lanes = shuffle_up(upto, 1);
    if (lane == 31) m.totals[warp] = upto;
  }
  __syncthreads();
  if (warp == 0) {
    if (near) {
      double sum = m.sums[0];
      for (int w = 1; w < kTileWarps; ++w) sum += m.sums[w];
      total = {static_cast<double>(top), sum};
    } else {
      total = m.totals[0];
      for (int w = 1; w < kTileWarps; ++w) total = s.combine(total, m.totals[w]);
    }
  }
  A acc = m.relay.before(s, p, tile.row, t, total);
  if (!near) {
    for (int w = 0; w < warp; ++w) acc = s.combine(acc, m.totals[w]);
    scan_any<T>(tile, p, lane == 0 ? acc : s.combine(acc, lanes));
  } else {
    // What came before, relative to m, beside which this tile may weigh nothing.
    const double apart = acc.top - static_cast<double>(top);
    const bool alone = !(apart < kTileReach);  // also nan
    const float onto = alone ? static_cast<float>(acc.top) : top;
    const double weight = alone ? 0 : 1;
    const bool finite = onto - onto == 0;
    double run = alone ? acc.sum : apart > -700 ? acc.sum * exp_of(apart) : 0;
    for (int w = 0; w < warp; ++w) run += weight * m.sums[w];
    run += weight * before;
    tile.template each<true>(p, [&](T& raw) {
      const double next = run + weight * exp_from(read(raw), top);
      const double sum = p.inclusive ? next : run;
      raw = written<T>(sum == 0 ? none : finite ? log_onto(sum, onto) : onto);
      run = next;
    });
  }
  __syncwarp();
  tile.write(p);
}

}  // namespace legato::cuda
