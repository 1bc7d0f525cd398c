// Running sums, products, extremes and logarithms of sums.
//
// What is combined with what does not depend on timing.
//
// Scans of neighbours: a block goes along a scan, tile by tile. Where there are few scans, each
// tile is a block's, and short rows are warps' (scan_tiles.cu, scan_long.cu).
//
// Scans side by side: a thread has its own. Where there are few of them they are cut into chunks,
// whose totals come first: then each element is read twice, and written once.
#include "legato/ops/scan/scanners.cuh"

namespace legato::cuda {

// --- scans of neighbours

/// Where element i of a warp's part of a tile lies in shared memory: a place is left out after each
/// 16, so that lanes that read 16 elements each do not meet in a bank.
LEGATO_INLINE int scan_place(int i) { return i + i / 16; }

template <class S>
struct ScanMemory {
  static constexpr int items = scan_items<sizeof(typename S::A)>;
  typename S::A tile[kScanWarps][34 * items];
  typename S::A totals[kScanWarps];
  typename S::A before;
};

/// Short scans, several of them in a block as they lie; `group` threads take one.
template <class S>
LEGATO_INLINE void scan_short(const S& s, const ScanParams& p, typename S::A* tile) {
  using A = typename S::A;
  constexpr int items = ScanMemory<S>::items;
  const int thread = static_cast<int>(threadIdx.x), n = static_cast<int>(p.n),
            per_block = kScanThreads / p.group;
  const long long first = static_cast<long long>(blockIdx.x) * per_block;
  const int rows = p.scans - first < per_block ? static_cast<int>(p.scans - first) : per_block;
  const int count = rows * n;
  typename S::Raw raw[items];
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const int i = j * kScanThreads + thread;  // behind the end: the last one, in vain
    if (j * kScanThreads < count) raw[j] = s.raw(p, first * n + (i < count ? i : count - 1));
  }
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const int i = j * kScanThreads + thread;
    if (i < count) tile[scan_place(i)] = s.make(p, raw[j]);
  }
  __syncthreads();
  const int row = thread / p.group, k = thread % p.group * p.used;  // of the row, from its start
  auto place = [&](int i) { return scan_place(row * n + (p.reverse ? n - 1 - i : i)); };
  A v[items], acc = s.none();
#pragma unroll
  for (int j = 0; j < items; ++j) {
    if (j >= p.used || row >= rows || k + j >= n) break;
    v[j] = tile[place(k + j)];
    acc = s.combine(acc, v[j]);
  }
  for (int by = 1; by < p.group; by *= 2) {
    const A other = shuffle_up(acc, by);
    if (thread % p.group >= by) acc = s.combine(other, acc);
  }
  A before = shuffle_up(acc, 1);
  if (thread % p.group == 0) before = s.none();
#pragma unroll
  for (int j = 0; j < items; ++j) {
    if (j >= p.used || row >= rows || k + j >= n) break;
    const A next = s.combine(before, v[j]);
    tile[place(k + j)] = p.inclusive ? next : before;
    before = next;
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const int i = j * kScanThreads + thread;
    if (i < count) s.store(p, first * n + i, tile[scan_place(i)]);
  }
}

/// Four neighbours, by one instruction each where p.packs says so: in the order of the scan.
template <class S>
LEGATO_INLINE void raw_pack(const S& s, const ScanParams& p, long long at,
                            typename S::Raw (&raw)[kScanPack]) {
  using T = typename S::T;
  if constexpr (std::is_same_v<typename S::Raw, T>) {
    const Pack<T, kScanPack> v = load_pack<T, kScanPack>(static_cast<const T*>(p.x) + at);
#pragma unroll
    for (int k = 0; k < kScanPack; ++k) raw[k] = v.at[k];
  } else {
#pragma unroll
    for (int k = 0; k < kScanPack; ++k) raw[k] = s.raw(p, at + k);
  }
}

template <class S>
LEGATO_INLINE void write_pack(const S& s, const ScanParams& p, long long at,
                              const typename S::A (&a)[kScanPack]) {
  if constexpr (requires { s.result(p, a[0]); }) {
    using T = typename S::T;
    Pack<T, kScanPack> v;
#pragma unroll
    for (int k = 0; k < kScanPack; ++k) v.at[k] = s.result(p, a[k]);
    store_pack<T, kScanPack>(static_cast<T*>(p.y) + at, v);
  } else {
#pragma unroll
    for (int k = 0; k < kScanPack; ++k) s.store(p, at + k, a[k]);
  }
}

/// A tile of one scan. A warp has consecutive packs of it, 32 at a time: the lanes of a warp scan
/// theirs by shuffles, so that no element goes through shared memory.
template <class S>
struct RowTile {
  using A = typename S::A;
  static constexpr int packs = ScanMemory<S>::items / kScanPack;
  static constexpr int size = packs * kScanPack * kScanThreads;
  A v[packs][kScanPack];  // each pack, scanned by itself
  A before[packs];        // what comes before each pack in the warp's part
  A total;                // of warp 0: of the tile
  long long begin;        // of the thread's first pack

  LEGATO_INLINE long long address(const ScanParams& p, long long row, long long i) const {
    return row * p.n + (p.reverse ? p.n - 1 - i : i);
  }
  LEGATO_INLINE void bring(const S& s, const ScanParams& p, ScanMemory<S>& m, long long row,
                           long long t) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    begin = t * size + warp * packs * kScanPack * 32 + lane * kScanPack;
    typename S::Raw raw[packs][kScanPack];
#pragma unroll
    for (int j = 0; j < packs; ++j) {
      const long long i = begin + j * kScanPack * 32;
      if (p.packs && i < p.n) {
        raw_pack(s, p, row * p.n + i, raw[j]);
      } else {
#pragma unroll
        for (int k = 0; k < kScanPack; ++k)  // behind the end: the last one, in vain
          raw[j][k] = s.raw(p, address(p, row, i + k < p.n ? i + k : p.n - 1));
      }
    }
    A carry = s.none();
#pragma unroll
    for (int j = 0; j < packs; ++j) {
      const long long i = begin + j * kScanPack * 32;
#pragma unroll
      for (int k = 0; k < kScanPack; ++k) {
        const A here = i + k < p.n ? s.make(p, raw[j][k]) : s.none();
        v[j][k] = k == 0 ? here : s.combine(v[j][k - 1], here);
      }
      const A upto = scan_warp(s, v[j][kScanPack - 1]);
      const A lanes = shuffle_up(upto, 1);
      before[j] = lane == 0 ? carry : s.combine(carry, lanes);
      carry = s.combine(carry, shuffle_from(upto, 31));
    }
    if (lane == 0) m.totals[warp] = carry;
    __syncthreads();
    total = m.totals[0];
    if (warp == 0)
      for (int w = 1; w < kScanWarps; ++w) total = s.combine(total, m.totals[w]);
  }
  LEGATO_INLINE void write(const S& s, const ScanParams& p, ScanMemory<S>& m, long long row) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    A acc = m.before;
    for (int w = 0; w < warp; ++w) acc = s.combine(acc, m.totals[w]);
#pragma unroll
    for (int j = 0; j < packs; ++j) {
      const long long i = begin + j * kScanPack * 32;
      const A start = s.combine(acc, before[j]);
      A to[kScanPack];
#pragma unroll
      for (int k = 0; k < kScanPack; ++k)
        to[k] = p.inclusive ? s.combine(start, v[j][k])
                : k == 0    ? start
                            : s.combine(start, v[j][k - 1]);
      if (p.packs && i < p.n) {
        write_pack(s, p, row * p.n + i, to);
      } else {
#pragma unroll
        for (int k = 0; k < kScanPack; ++k)
          if (i + k < p.n) s.store(p, address(p, row, i + k), to[k]);
      }
    }
  }
};

template <class S>
LEGATO_INLINE void scan_rows(const ScanParams& p, ScanMemory<S>& m) {
  using A = typename S::A;
  const S s(p);
  if (p.group > 0) return scan_short(s, p, &m.tile[0][0]);
  const long long row = blockIdx.x;
  RowTile<S> tile;
  A earlier = s.none();  // of warp 0
  for (long long t = 0; t < p.tiles; ++t) {
    tile.bring(s, p, m, row, t);
    if (threadIdx.x == 0) m.before = earlier;
    earlier = s.combine(earlier, tile.total);
    __syncthreads();
    tile.write(s, p, m, row);
    __syncthreads();
  }
}

// --- scans side by side: a thread has its own

template <class S>
LEGATO_INLINE void scan_columns(const ScanParams& p) {
  using A = typename S::A;
  constexpr int depth = scan_depth<sizeof(A)>;
  const S s(p);
  const long long thread = static_cast<long long>(blockIdx.x) * kScanThreads + threadIdx.x,
                  t = p.tiles == 1 ? 0 : thread / p.scans, column = thread - t * p.scans,
                  begin = t * p.chunk, end = begin + p.chunk < p.n ? begin + p.chunk : p.n;
  if (thread >= p.scans * p.tiles) return;
  const long long start = column / p.inner * p.n * p.inner + column % p.inner;
  auto address = [&](long long i) { return start + (p.reverse ? p.n - 1 - i : i) * p.inner; };
  A* const chunk = static_cast<A*>(p.totals) + t * p.scans + column;
  A acc = p.tiles > 1 && !p.count_only ? *chunk : s.none();
  for (long long i = begin; i < end; i += depth) {
    typename S::Raw raw[depth];
#pragma unroll
    for (int j = 0; j < depth; ++j)  // behind the end: in vain
      raw[j] = s.raw(p, address(i + j < end ? i + j : end - 1));
#pragma unroll
    for (int j = 0; j < depth; ++j) {
      const A next = i + j < end ? s.combine(acc, s.make(p, raw[j])) : acc;
      if (!p.count_only && i + j < end) s.store(p, address(i + j), p.inclusive ? next : acc);
      acc = next;
    }
  }
  if (p.count_only) *chunk = acc;
}

/// Turns the totals of chunks into what comes before them: 32 columns a block, warps side by side
/// along them.
template <class S>
LEGATO_INLINE void scan_chunks(const ScanParams& p, typename S::A (*parts)[32]) {
  using A = typename S::A;
  constexpr int ahead = 8;
  const S s(p);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const long long column = static_cast<long long>(blockIdx.x) * 32 + lane,
                  each = (p.tiles + kChunkWarps - 1) / kChunkWarps, begin = warp * each,
                  end = begin + each < p.tiles ? begin + each : p.tiles;
  A* const totals = static_cast<A*>(p.totals) + (column < p.scans ? column : 0);
  A acc = s.none();
  auto walk = [&](bool give) {
    for (long long t = begin; t < end; t += ahead) {
      A v[ahead];
#pragma unroll
      for (int u = 0; u < ahead; ++u) v[u] = totals[(t + u < end ? t + u : end - 1) * p.scans];
#pragma unroll
      for (int u = 0; u < ahead; ++u) {
        if (t + u >= end) break;
        if (give && column < p.scans) totals[(t + u) * p.scans] = acc;
        acc = s.combine(acc, v[u]);
      }
    }
  };
  walk(false);
  parts[warp][lane] = acc;
  __syncthreads();
  acc = s.none();
  for (int w = 0; w < warp; ++w) acc = s.combine(acc, parts[w][lane]);
  walk(true);
}

#define LEGATO_SCAN(name, ...)                                                                   \
  LEGATO_KERNEL(scan_rows_##name, ScanParams, kScanThreads) {                                    \
    __shared__ ScanMemory<__VA_ARGS__> memory;                                                   \
    scan_rows<__VA_ARGS__>(p, memory);                                                           \
  }                                                                                              \
  LEGATO_KERNEL(scan_columns_##name, ScanParams, kScanThreads) { scan_columns<__VA_ARGS__>(p); } \
  LEGATO_KERNEL(scan_chunks_##name, ScanParams, kChunkThreads) {                                 \
    __shared__ typename __VA_ARGS__::A parts[kChunkWarps][32];                                   \
    scan_chunks<__VA_ARGS__>(p, parts);                                                          \
  }
LEGATO_SCAN(arith_bool, ArithScan<bool>)
LEGATO_SCAN(arith_u8, ArithScan<uint8_t>)
LEGATO_SCAN(arith_u16, ArithScan<uint16_t>)
LEGATO_SCAN(arith_u32, ArithScan<uint32_t>)
LEGATO_SCAN(arith_u64, ArithScan<uint64_t>)
LEGATO_SCAN(arith_f16, ArithScan<f16>)
LEGATO_SCAN(arith_bf16, ArithScan<bf16>)
LEGATO_SCAN(arith_f32, ArithScan<float>)
LEGATO_SCAN(arith_f64, ArithScan<double>)
LEGATO_SCAN(arith_c64, ArithScan<c64>)
LEGATO_SCAN(arith_c128, ArithScan<c128>)

LEGATO_SCAN(extreme_1, KeyScan<uint8_t>)
LEGATO_SCAN(extreme_2, KeyScan<uint16_t>)
LEGATO_SCAN(extreme_4, KeyScan<uint32_t>)
LEGATO_SCAN(extreme_8, KeyScan<uint64_t>)
LEGATO_SCAN(extreme_c64, ComplexExtremeScan<c64>)
LEGATO_SCAN(extreme_c128, ComplexExtremeScan<c128>)

LEGATO_SCAN(logsumexp_f16, LogSumExpScan<f16>)
LEGATO_SCAN(logsumexp_bf16, LogSumExpScan<bf16>)
LEGATO_SCAN(logsumexp_f32, LogSumExpScan<float>)
LEGATO_SCAN(logsumexp_f64, LogSumExpScan<double>)
LEGATO_SCAN(exp_f16, ExpScan<f16>)
LEGATO_SCAN(exp_bf16, ExpScan<bf16>)
LEGATO_SCAN(exp_f32, ExpScan<float>)
LEGATO_SCAN(exp_f64, ExpScan<double>)

}  // namespace legato::cuda
