// Running sums, products, extremes and logarithms of sums.
//
// What is combined with what does not depend on timing.
//
// Scans of neighbours: a block goes along a scan, tile by tile. Where there are few scans, each is
// cut into spans: one pass adds up each span, another one writes it, beginning with what the spans
// before it come to. That reads elements twice; passing sums on from tile to tile in a fixed order
// (a chain of groups, or each tile adding up what hundreds before it have) took twice as long.
//
// Scans side by side, of which there are few: a scan is cut into tiles, which blocks take in the
// order in which they start. A block brings its tile to the chip, publishes the tile's total, finds
// what comes before the tile, and writes: each element is read and written once (decoupled
// look-back: Merrill and Garland, "Single-pass parallel prefix scan with decoupled look-back",
// NVIDIA technical report 2016). A tile combines, in order, the sum up to its group, which the last
// tile of the group before publishes, and the totals of the tiles before it in the group.
//
// Sums and products of float32 run in double, as on the CPU.
#include "legato/backends/cuda/extremes.cuh"
#include "legato/backends/cuda/order_keys.cuh"
#include "legato/backends/cuda/reduction.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/scan/scan.cuh"

namespace legato::cuda {

// --- what is scanned. A scanner has types T (elements), A (accumulators) and Raw (what is read for
// one), which make() turns into an accumulator: so that several reads are on the way at once, none
// of them waits for the one before to be turned.

template <class T>
struct WideOf {
  using type = std::conditional_t<std::is_integral_v<T>,
                                  std::conditional_t<(sizeof(T) < 8), uint32_t, uint64_t>, T>;
};
template <>
struct WideOf<float> {
  using type = double;
};
template <>
struct WideOf<f16> {
  using type = float;
};
template <>
struct WideOf<bf16> {
  using type = float;
};
template <>
struct WideOf<c64> {
  using type = c128;
};
template <class T, class A>
LEGATO_INLINE T narrowed(A a) {
  if constexpr (is_complex_value<T>)
    return {static_cast<decltype(T::re)>(a.re), static_cast<decltype(T::re)>(a.im)};
  else if constexpr (std::is_same_v<T, f16>)
    return to_f16(static_cast<float>(a));
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(static_cast<float>(a));
  else if constexpr (std::is_same_v<T, bool>)
    return a != 0;
  else
    return static_cast<T>(a);
}

// Sums (flag 0) and products. Integers wrap, so that their sign does not matter.
template <class E>
struct ArithScan {
  using T = E;
  using A = typename WideOf<T>::type;
  bool product;
  LEGATO_INLINE explicit ArithScan(const ScanParams& p) : product(p.flag) {}
  LEGATO_INLINE A none() const {
    if constexpr (is_complex_value<A>)
      return {static_cast<decltype(A::re)>(product), 0};
    else
      return static_cast<A>(product);
  }
  using Raw = T;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const T*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams&, Raw v) const {
    if constexpr (is_complex_value<T>)
      return {v.re, v.im};
    else
      return static_cast<A>(read(v));
  }
  LEGATO_INLINE A combine(A a, A b) const {
    if constexpr (is_complex_value<A>) {
      if (product) return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
      return {a.re + b.re, a.im + b.im};
    } else {
      return product ? a * b : a + b;
    }
  }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    static_cast<T*>(p.y)[at] = narrowed<T>(a);
  }
  LEGATO_INLINE void store_pack(const ScanParams& p, long long at, const A (&a)[kScanPack]) const {
    Pack<T, kScanPack> v;
#pragma unroll
    for (int k = 0; k < kScanPack; ++k) v.at[k] = narrowed<T>(a[k]);
    legato::store_pack<T, kScanPack>(static_cast<T*>(p.y) + at, v);
  }
};

// Largest (flag 1) and smallest of real values: the largest of keys, which are turned over for the
// smallest.
template <class K>
struct KeyScan {
  using T = K;
  using A = K;
  bool largest, floating;
  K start;
  LEGATO_INLINE explicit KeyScan(const ScanParams& p)
      : largest(p.flag),
        floating(p.form.kind == KeyForm::floating),
        start(static_cast<K>(p.none)) {}
  LEGATO_INLINE K turned(K key) const {
    const bool nan = floating && key == static_cast<K>(~K{0});
    return largest || nan ? key : static_cast<K>(~key);
  }
  LEGATO_INLINE A none() const { return start; }
  using Raw = K;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const K*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams& p, Raw v) const {
    return turned(encode<K>(v, p.form.kind, 0, static_cast<K>(p.form.infinity)));
  }
  LEGATO_INLINE A combine(A a, A b) const { return b > a ? b : a; }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    static_cast<K*>(p.y)[at] = decode<K>(turned(a), p.form);
  }
  LEGATO_INLINE void store_pack(const ScanParams& p, long long at, const A (&a)[kScanPack]) const {
    Pack<K, kScanPack> v;
#pragma unroll
    for (int k = 0; k < kScanPack; ++k) v.at[k] = decode<K>(turned(a[k]), p.form);
    legato::store_pack<K, kScanPack>(static_cast<K*>(p.y) + at, v);
  }
};
template <class E>
struct ComplexExtremeScan {
  using T = E;
  using A = E;
  bool largest;
  LEGATO_INLINE explicit ComplexExtremeScan(const ScanParams& p) : largest(p.flag) {}
  LEGATO_INLINE A none() const { return end_of_range<A>(!largest); }
  using Raw = T;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const T*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams&, Raw v) const { return v; }
  LEGATO_INLINE A combine(A a, A b) const { return extreme(a, b, largest); }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    static_cast<T*>(p.y)[at] = a;
  }
};

// Sums of v * exp(a), relative to the largest a.
struct Scaled {
  double top, sum;
};
// `fast`: e^x in float32, where values are no more precise. Terms with large exponents, whose error
// is larger, weigh little.
template <bool fast>
LEGATO_INLINE double exp_below(double x) {
  return fast ? static_cast<double>(exp_of(static_cast<float>(x))) : exp_of(x);
}
template <bool fast>
LEGATO_INLINE Scaled add_scaled(Scaled a, Scaled b) {
  if (a.top != a.top) return a;
  if (b.top != b.top) return b;
  if (a.top == b.top) return {a.top, a.sum + b.sum};  // infinities too
  if (a.top < b.top) {
    const Scaled c = a;
    a = b;
    b = c;
  }
  return {a.top, b.sum == 0 ? a.sum : a.sum + b.sum * exp_below<fast>(b.top - a.top)};
}
LEGATO_INLINE double no_top() { return end_of_range<double>(false); }

template <class E>
struct LogSumExpScan {
  using T = E;
  using A = Scaled;
  LEGATO_INLINE explicit LogSumExpScan(const ScanParams&) {}
  LEGATO_INLINE A none() const { return {no_top(), 0}; }
  using Raw = T;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const T*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams&, Raw raw) const {
    const double v = static_cast<double>(read(raw));
    return {v, v == no_top() ? 0. : 1.};
  }
  LEGATO_INLINE A combine(A a, A b) const { return add_scaled<!std::is_same_v<E, double>>(a, b); }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    const bool infinite = a.top == no_top() || a.top == -no_top();
    static_cast<T*>(p.y)[at] = narrowed<T>(infinite ? a.top : a.top + log_of(a.sum));
  }
};
template <class E>
struct ExpScan {
  using T = E;
  using A = Scaled;
  LEGATO_INLINE explicit ExpScan(const ScanParams&) {}
  LEGATO_INLINE A none() const { return {no_top(), 0}; }
  struct Raw {
    T v, a;
  };
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return {static_cast<const T*>(p.x)[at], static_cast<const T*>(p.a)[at]};
  }
  LEGATO_INLINE A make(const ScanParams&, Raw raw) const {
    const double a = static_cast<double>(read(raw.a));
    return {a, a == no_top() ? 0. : static_cast<double>(read(raw.v))};
  }
  LEGATO_INLINE A combine(A a, A b) const { return add_scaled<!std::is_same_v<E, double>>(a, b); }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    const double b = static_cast<double>(read(static_cast<const T*>(p.b)[at]));
    static_cast<T*>(p.y)[at] = narrowed<T>(a.sum == 0 ? 0. : a.sum * exp_of(a.top + b));
  }
};

// --- what blocks tell each other

LEGATO_INLINE void publish(unsigned* flag, unsigned value) {
  __threadfence();
  *reinterpret_cast<volatile unsigned*>(flag) = value;
}
LEGATO_INLINE void await(const unsigned* flag, unsigned value) {
  while (*reinterpret_cast<const volatile unsigned*>(flag) < value) {
  }
  __threadfence();
}
/// The number of this block's tile. Blocks with smaller numbers have started, so that waiting for
/// them ends.
LEGATO_INLINE long long take_ticket(unsigned* ticket, unsigned* shared) {
  if (threadIdx.x == 0) *shared = atomicAdd(ticket, 1u);
  __syncthreads();
  const long long mine = *shared;
  __syncthreads();
  return mine;
}

/// What lanes up to this one have.
template <class S>
LEGATO_INLINE typename S::A scan_warp(const S& s, typename S::A v) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const typename S::A other = shuffle_up(v, by);
    if (lane >= by) v = s.combine(other, v);
  }
  return v;
}

// --- scans of neighbours

/// What `count` values come to, in order. By one warp; the result is lane 0's. Which value is
/// combined with which depends on their number alone.
template <class S>
LEGATO_INLINE typename S::A sum_spans(const S& s, const typename S::A* values, long long count) {
  using A = typename S::A;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const long long each = (count + 31) / 32, begin = lane * each,
                  end = begin + each < count ? begin + each : count;
  A acc = s.none();
  for (long long i = begin; i < end; ++i) acc = s.combine(acc, values[i]);
  __syncwarp();
  for (int by = 1; by < 32; by *= 2) {
    const A other = shuffle_down(acc, by);
    if (lane % (2 * by) == 0) acc = s.combine(acc, other);
  }
  return acc;
}

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
  if constexpr (requires { s.store_pack(p, at, a); }) {
    s.store_pack(p, at, a);
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
  const long long row = blockIdx.x / p.spans, span = blockIdx.x - row * p.spans;
  const long long begin = span * p.span, end = begin + p.span < p.tiles ? begin + p.span : p.tiles;
  RowTile<S> tile;
  A earlier = s.none();  // of warp 0
  if (p.phase == ScanParams::write_spans && span > 0 && threadIdx.x < 32)
    earlier = sum_spans(s, static_cast<const A*>(p.totals) + blockIdx.x - span, span);
  for (long long t = begin; t < end; ++t) {
    tile.bring(s, p, m, row, t);
    if (threadIdx.x == 0) m.before = earlier;
    earlier = s.combine(earlier, tile.total);
    __syncthreads();
    if (p.phase == ScanParams::add_spans) continue;
    tile.write(s, p, m, row);
    __syncthreads();
  }
  if (p.phase == ScanParams::add_spans && threadIdx.x == 0)
    static_cast<A*>(p.totals)[blockIdx.x] = earlier;
}

// --- scans side by side: a thread has its own

template <class S>
LEGATO_INLINE void scan_columns(const ScanParams& p, unsigned* shared) {
  using A = typename S::A;
  constexpr int depth = scan_depth<sizeof(A)>;
  const S s(p);
  const long long tile = p.tiles > 1 ? take_ticket(p.ticket, shared) : blockIdx.x;
  const long long t = tile / p.lines, line = tile - t * p.lines;
  const long long column = line * kScanThreads + threadIdx.x;
  const bool mine = column < p.scans;
  const long long start = mine ? column / p.inner * p.n * p.inner + column % p.inner : 0;
  auto address = [&](long long i) { return start + (p.reverse ? p.n - 1 - i : i) * p.inner; };
  A v[depth], acc = s.none();
  auto bring = [&](long long first) {  // behind the end, and without a column: in vain
    typename S::Raw raw[depth];
#pragma unroll
    for (int j = 0; j < depth; ++j)
      raw[j] = s.raw(p, address(first + j < p.n ? first + j : p.n - 1));
#pragma unroll
    for (int j = 0; j < depth; ++j) v[j] = mine && first + j < p.n ? s.make(p, raw[j]) : s.none();
  };
  auto write = [&](long long first) {
#pragma unroll
    for (int j = 0; j < depth; ++j) {
      const A next = s.combine(acc, v[j]);
      if (mine && first + j < p.n) s.store(p, address(first + j), p.inclusive ? next : acc);
      acc = next;
    }
  };
  if (p.tiles == 1) {
    for (long long i = 0; i < p.n; i += depth) {
      bring(i);
      write(i);
    }
    return;
  }
  bring(t * depth);
  A total = v[0];
#pragma unroll
  for (int j = 1; j < depth; ++j) total = s.combine(total, v[j]);
  A *totals = static_cast<A*>(p.totals), *sums = static_cast<A*>(p.sums);
  unsigned* ready = p.ready + line;  // of tile i: ready[i * lines]
  if (mine) totals[t * p.scans + column] = total;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) publish(ready + t * p.lines, 1);
  const long long group = t / kColumnGroup * kColumnGroup;
  if (threadIdx.x < t - group) await(ready + (group + threadIdx.x) * p.lines, 1);
  if (threadIdx.x == kColumnGroup && group > 0) await(ready + (group - 1) * p.lines, 2);
  __syncthreads();
  if (mine) {
    if (group > 0) acc = read_fresh(sums + (group / kColumnGroup - 1) * p.scans + column);
    A part[kColumnGroup];
#pragma unroll
    for (int j = 0; j < kColumnGroup; ++j)
      if (group + j < t) part[j] = read_fresh(totals + (group + j) * p.scans + column);
#pragma unroll
    for (int j = 0; j < kColumnGroup; ++j)
      if (group + j < t) acc = s.combine(acc, part[j]);
  }
  if (t % kColumnGroup == kColumnGroup - 1) {
    if (mine) sums[group / kColumnGroup * p.scans + column] = s.combine(acc, total);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) publish(ready + t * p.lines, 2);
  }
  write(t * depth);
}

#define LEGATO_SCAN(name, ...)                                   \
  LEGATO_KERNEL(scan_rows_##name, ScanParams, kScanThreads) {    \
    __shared__ ScanMemory<__VA_ARGS__> memory;                   \
    scan_rows<__VA_ARGS__>(p, memory);                           \
  }                                                              \
  LEGATO_KERNEL(scan_columns_##name, ScanParams, kScanThreads) { \
    __shared__ unsigned ticket;                                  \
    scan_columns<__VA_ARGS__>(p, &ticket);                       \
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
