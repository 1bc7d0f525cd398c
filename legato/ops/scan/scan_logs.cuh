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

#include "legato/ops/scan/long_tiles.cuh"

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
  float top[kLogsWarps], low[kLogsWarps];
  double sums[kLogsWarps];
  A totals[kLogsWarps];
  Relay<LogSumExpScan<T>> relay;
};

/// A tile by the way of all scans: elements are read again for each use.
template <class T>
struct AnyLogsTile {
  using S = LogSumExpScan<T>;
  using A = typename S::A;
  using Tiles = LongTiles<S>;
  static constexpr int P = Tiles::P, N = Tiles::N, apart = Tiles::apart;
  const ScanParams& p;
  const S& s;
  TilePlace at;

  LEGATO_INLINE long long address(long long i) const {
    return at.row * p.n + (p.reverse ? p.n - 1 - i : i);
  }
  LEGATO_INLINE A pack_total(long long i) const {
    A v = s.none();
#pragma unroll 1
    for (int k = 0; k < P; ++k)
      if (i + k < p.n) v = s.combine(v, s.make(p, s.raw(p, address(i + k))));
    return v;
  }
  LEGATO_APART A total(const AnyLogsTile& t) {
    A carry = t.s.none();
#pragma unroll 1
    for (int j = 0; j < N; ++j) {
      const A upto = scan_warp(t.s, t.pack_total(t.at.begin + j * apart));
      carry = t.s.combine(carry, shuffle_from(upto, 31));
    }
    return carry;
  }
  LEGATO_APART void write(const AnyLogsTile& t, A acc) {
#pragma unroll 1
    for (int j = 0; j < N; ++j) {
      const long long i = t.at.begin + j * apart;
      const A upto = scan_warp(t.s, t.pack_total(i)), lanes = shuffle_up(upto, 1);
      A run = threadIdx.x % 32 == 0 ? acc : t.s.combine(acc, lanes);
#pragma unroll 1
      for (int k = 0; k < P; ++k) {
        if (i + k >= t.p.n) break;
        const A next = t.s.combine(run, t.s.make(t.p, t.s.raw(t.p, t.address(i + k))));
        t.s.store(t.p, t.address(i + k), t.p.inclusive ? next : run);
        run = next;
      }
      acc = t.s.combine(acc, shuffle_from(upto, 31));
    }
  }
};

template <class T>
LEGATO_INLINE void scan_logs(const ScanParams& p, LogsMemory<T>& m) {
  using Any = AnyLogsTile<T>;
  using Tiles = typename Any::Tiles;
  using A = typename Any::A;
  constexpr int P = Tiles::P, N = Tiles::N;
  const LogSumExpScan<T> s(p);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const float none = static_cast<float>(no_top());
  const TilePlace at = Tiles::place(p, take_ticket(p.ticket, &m.ticket));
  const Any any{p, s, at};
  T raw[N][P];
  Tiles::read(s, p, at, raw);
  float x[N][P], top = none, low = -none;
#pragma unroll
  for (int j = 0; j < N; ++j)
#pragma unroll
    for (int k = 0; k < P; ++k) {
      const float v = at.begin + j * Tiles::apart + k < p.n ? read(raw[j][k]) : none;
      x[j][k] = v;
      top = extreme(top, v, true);
      low = v < low && v != none ? v : low;
    }
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
  top = m.top[lane % kLogsWarps];
  low = m.low[lane % kLogsWarps];
  over_threads(top, low, kLogsWarps);
  // Not with nan or infinity, or where nothing is finite.
  const bool near = low <= top && top - low < kTileReach;
  double sums[N][P], before[N];
  A total = s.none();
  if (near) {
    double upto[N], carry = 0;
#pragma unroll
    for (int j = 0; j < N; ++j) {
#pragma unroll
      for (int k = 0; k < P; ++k) {
        sums[j][k] = exp_from(x[j][k], top);
        if (k > 0) sums[j][k] += sums[j][k - 1];
      }
      upto[j] = sums[j][P - 1];
#pragma unroll
      for (int by = 1; by < 32; by *= 2) {
        const double other = shuffle_up(upto[j], by);
        if (lane >= by) upto[j] += other;
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const double lanes = shuffle_up(upto[j], 1);
      before[j] = lane == 0 ? carry : carry + lanes;
      carry += shuffle_from(upto[j], 31);
    }
    if (lane == 0) m.sums[warp] = carry;
  } else {
    total = Any::total(any);
    if (lane == 0) m.totals[warp] = total;
  }
  __syncthreads();
  if (warp == 0) {
    if (near) {
      double sum = m.sums[0];
      for (int w = 1; w < kLogsWarps; ++w) sum += m.sums[w];
      total = {static_cast<double>(top), sum};
    } else {
      total = m.totals[0];
      for (int w = 1; w < kLogsWarps; ++w) total = s.combine(total, m.totals[w]);
    }
  }
  A acc = m.relay.before(s, p, at.row, at.t, total);
  if (!near) {
    for (int w = 0; w < warp; ++w) acc = s.combine(acc, m.totals[w]);
    Any::write(any, acc);
    return;
  }
  // What came before, relative to m, beside which this tile may weigh nothing.
  const double apart = acc.top - static_cast<double>(top);
  const bool alone = !(apart < kTileReach);  // also nan
  const float onto = alone ? static_cast<float>(acc.top) : top;
  const double weight = alone ? 0 : 1;
  const bool finite = onto - onto == 0;
  double start = alone ? acc.sum : apart > -700 ? acc.sum * exp_of(apart) : 0;
  for (int w = 0; w < warp; ++w) start += weight * m.sums[w];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const double from = start + weight * before[j];
    T to[P];
#pragma unroll
    for (int k = 0; k < P; ++k) {
      double sum = from;
      if (p.inclusive)
        sum += weight * sums[j][k];
      else if (k > 0)
        sum += weight * sums[j][k - 1];
      to[k] = written<T>(sum == 0 ? none : finite ? log_onto(sum, onto) : onto);
    }
    write_results<T, P>(p, at.row, at.begin + j * Tiles::apart, to);
  }
}

}  // namespace legato::cuda
