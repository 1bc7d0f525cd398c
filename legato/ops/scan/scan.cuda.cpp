#include "legato/ops/scan/scan.cuh"

#include <algorithm>
#include <string_view>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/scan/ops.h"

namespace legato::cuda {
namespace {

constexpr int64_t kLine = 32;         // scans side by side from which on they are read together
constexpr int64_t kEnough = 1 << 15;  // threads that keep the memory busy, each along its scan
constexpr int64_t kWarpRow = 8192;    // the longest row that is a warp's

/// Workspace of zeros: a ticket, and `words` of 64 bits.
unsigned long long* take_zeros(Launch& l, ScanParams& p, int64_t words) {
  const int64_t bytes = (words + 1) * 8;
  void* memory = l.workspace(bytes);
  check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(memory), 0,
                                 static_cast<size_t>(bytes), current().queue()),
        "clearing flags");
  p.ticket = static_cast<unsigned*>(memory);
  return static_cast<unsigned long long*>(memory) + 1;
}

/// What the tiles of long scans tell each other: Note [Relays].
void take_relays(Launch& l, ScanParams& p, int64_t accumulator) {
  const int64_t words = (accumulator + 3) / 4, tiles = p.scans * p.tiles * words,
                groups = p.scans * ((p.tiles + 31) / 32) * words,
                thousands = p.scans * ((p.tiles + 1023) / 1024) * words;
  p.tile_totals = take_zeros(l, p, tiles + groups + thousands);
  p.group_totals = p.tile_totals + tiles;
  p.sums_up_to = p.group_totals + groups;
}

void set_packs(const Launch& l, ScanParams& p) {
  const auto addresses = reinterpret_cast<uintptr_t>(p.x) | reinterpret_cast<uintptr_t>(p.y);
  p.packs = p.n % (16 / size_of(l.in[0].dtype)) == 0 && addresses % 16 == 0;
}

void launch_tiles(const char* kind, const std::string& scanner, int64_t blocks, int bytes,
                  const ScanParams& p) {
  GpuDevice& d = current();
  const CUfunction f =
      d.kernel("scan_tiles", cat("scan_", kind, '_', scanner), tile_bytes(kMostLogPacks, 1));
  d.launch(f, blocks, kTileThreads, &p, "scan_tiles", bytes);
}

/// Few long scans. `accumulator`: its bytes.
void launch_long(Launch& l, ScanParams& p, const std::string& scanner, int64_t accumulator) {
  const int64_t bytes = size_of(l.in[0].dtype), pack = 16 / bytes;
  set_packs(l, p);
  if (l.op->name == std::string_view("exp_scan")) {
    const int64_t tile = kLongThreads * pack * (bytes == 2 ? long_packs<2, 16> : long_packs<4, 16>);
    p.tiles = (p.n + tile - 1) / tile;
    take_relays(l, p, accumulator);
    return launch_blocks("scan_long", cat("scan_long_", scanner), p.scans * p.tiles, kLongThreads,
                         p);
  }
  // Large tiles have less to tell each other, where there are enough of them.
  for (p.log_packs = kMostLogPacks;; --p.log_packs) {
    const int64_t tile = (kTileThreads * pack) << p.log_packs;
    p.tiles = (p.n + tile - 1) / tile;
    const int64_t at_once = int64_t{current().multiprocessors()} * 3
                            << (kMostLogPacks - p.log_packs);
    if (p.scans * p.tiles >= at_once || p.log_packs == 2) break;
  }
  take_relays(l, p, accumulator);
  launch_tiles("tiles", scanner, p.scans * p.tiles, tile_bytes(p.log_packs, 1), p);
}

/// Many rows, each a warp's.
void launch_warps(const Launch& l, ScanParams& p, const std::string& scanner) {
  const int64_t pack = 16 / size_of(l.in[0].dtype);
  while (p.log_packs < kMostLogPacks && (32 * pack) << p.log_packs < p.n) ++p.log_packs;
  // Rows of 4 KB or more are on the way at once.
  p.rows_at_once = p.log_packs < 3 ? 8 >> p.log_packs : 1;
  const int64_t rows = kTileWarps * p.rows_at_once;
  launch_tiles("warps", scanner, (p.scans + rows - 1) / rows,
               tile_bytes(p.log_packs, p.rows_at_once), p);
}

void launch_rows(Launch& l, ScanParams& p, const std::string& scanner, int64_t accumulator) {
  p.scans = p.outer;
  const int64_t items = accumulator > 8 ? scan_items<16> : scan_items<8>,
                blocks = int64_t{current().multiprocessors()} * 4;
  set_packs(l, p);
  // Short rows as they lie, where packs of 16 bytes would not do.
  const bool rows = l.op->name != std::string_view("exp_scan"), few = p.n <= 32 * items;
  if (rows && (few ? p.packs : p.n <= kWarpRow && p.scans >= kTileWarps * blocks))
    return launch_warps(l, p, scanner);
  if (few) {
    p.group = 1;
    while (p.group * items < p.n) p.group *= 2;
    p.used = static_cast<int>((p.n + p.group - 1) / p.group);
    const int64_t each = kScanThreads / p.group;
    return launch_blocks("scan", cat("scan_rows_", scanner), (p.scans + each - 1) / each,
                         kScanThreads, p);
  }
  p.tiles = (p.n + items * kScanThreads - 1) / (items * kScanThreads);
  // A block for each scan, where there are enough of them.
  if (p.tiles > 1 && p.scans < blocks) return launch_long(l, p, scanner, accumulator);
  const auto addresses = reinterpret_cast<uintptr_t>(p.x) | reinterpret_cast<uintptr_t>(p.a) |
                         reinterpret_cast<uintptr_t>(p.b) | reinterpret_cast<uintptr_t>(p.y);
  p.packs = !p.reverse && p.n % kScanPack == 0 && addresses % 16 == 0;
  launch_blocks("scan", cat("scan_rows_", scanner), p.scans, kScanThreads, p);
}

void launch_columns(Launch& l, ScanParams& p, const std::string& scanner, int64_t accumulator) {
  p.scans = p.outer * p.inner;
  p.tiles = 1;
  p.chunk = p.n;
  const int64_t depth = accumulator > 8 ? scan_depth<16> : scan_depth<8>;
  auto blocks = [&] { return (p.scans * p.tiles + kScanThreads - 1) / kScanThreads; };
  if (p.scans < kEnough && p.n > 4 * depth) {
    const int64_t wanted =
                      std::min<int64_t>(current().multiprocessors() * 4096 / p.scans + 1, 2048),
                  steps = (p.n + wanted * depth - 1) / (wanted * depth);
    p.chunk = std::max<int64_t>(steps, 2) * depth;
    p.tiles = (p.n + p.chunk - 1) / p.chunk;
    p.totals = l.workspace(p.tiles * p.scans * accumulator);
    p.count_only = 1;
    launch_blocks("scan", cat("scan_columns_", scanner), blocks(), kScanThreads, p);
    launch_blocks("scan", cat("scan_chunks_", scanner), (p.scans + 31) / 32, kChunkThreads, p);
    p.count_only = 0;
  }
  launch_blocks("scan", cat("scan_columns_", scanner), blocks(), kScanThreads, p);
}

/// Scans `in` to the output; the first of them to p.x, then p.a and p.b.
void scan(Launch& l, ScanParams p, const std::string& scanner, int64_t accumulator) {
  const View &x = l.in[0], &out = l.out[0];
  if (x.size == 0) return;
  const auto& attrs = l.attrs<ScanAttrs>();
  const size_t axis = static_cast<size_t>(normalize_axis(l.op->name, attrs.axis, x.ndim()));
  p.outer = p.inner = 1;
  p.n = x.dim(axis);
  for (size_t i = 0; i < axis; ++i) p.outer *= x.dim(i);
  for (size_t i = axis + 1; i < x.ndim(); ++i) p.inner *= x.dim(i);
  p.reverse = attrs.reverse;
  p.inclusive = attrs.inclusive;
  const void** inputs[] = {&p.x, &p.a, &p.b};
  for (size_t i = 0; i < l.in.size(); ++i) *inputs[i] = l.in[i].data;
  p.y = out.data;
  if (p.inner == 1 && p.n > kLine) return launch_rows(l, p, scanner, accumulator);
  if (p.inner == 1 || p.inner >= kLine || p.n <= kLine)
    return launch_columns(l, p, scanner, accumulator);
  // Few scans side by side: turned round, so that neighbours are of one scan.
  const Shape turned{p.outer, p.inner, p.n};
  const Strides rows{p.n * p.inner, p.n, 1}, columns{p.n * p.inner, 1, p.inner};
  const int64_t bytes = size_of(x.dtype);
  for (size_t i = 0; i < l.in.size(); ++i) {
    void* memory = l.workspace(x.size * bytes);
    copy_elements(memory, rows, l.in[i].data, columns, turned, bytes);
    *inputs[i] = memory;
  }
  p.y = l.workspace(x.size * bytes);
  p.outer *= p.inner;
  p.inner = 1;
  launch_rows(l, p, scanner, accumulator);
  copy_elements(out.data, columns, p.y, rows, turned, bytes);
}

template <bool product>
void run_arith(Launch& l) {
  const Dtype t = l.in[0].dtype;
  ScanParams p{};
  p.flag = product;
  const int64_t bytes = size_of(t);
  const std::string end = is_signed_integer(t) ? cat("_u", 8 * bytes) : std::string(suffix(t));
  scan(l, p, cat("arith", end), is_complex(t) ? 16 : t == Dtype::float32 ? 8 : bytes < 8 ? 4 : 8);
}

template <bool largest>
void run_extreme(Launch& l) {
  const Dtype t = l.in[0].dtype;
  const int64_t bytes = size_of(t);
  ScanParams p{};
  p.flag = largest;
  if (is_complex(t)) return scan(l, p, cat("extreme", suffix(t)), bytes);
  p.form = key_form(t, false);
  if (is_floating(t)) {  // the key of an infinity, turned over for the smallest
    const auto top = uint64_t{1} << (8 * bytes - 1);
    p.none = ~(p.form.infinity | top) & (top | (top - 1));
  }
  scan(l, p, cat("extreme_", bytes), bytes);
}

void run_logcumsumexp(Launch& l) { scan(l, {}, cat("logsumexp", suffix(l.in[0].dtype)), 16); }
void run_exp_scan(Launch& l) { scan(l, {}, cat("exp", suffix(l.in[0].dtype)), 16); }

}  // namespace

void register_scan_kernels(KernelTable& table) {
  auto add = [&](const char* name, auto types, void (*run)(Launch&)) {
    add_kernels(table, op_named(name), types,
                [=](auto) { return Kernel{run, AcceptLayout::row_major}; });
  };
  add("cumsum", AllTypes{}, run_arith<false>);
  add("cumprod", AllTypes{}, run_arith<true>);
  add("cummax", AllTypes{}, run_extreme<true>);
  add("cummin", AllTypes{}, run_extreme<false>);
  add("logcumsumexp", FloatTypes{}, run_logcumsumexp);
  add("exp_scan", FloatTypes{}, run_exp_scan);
}

}  // namespace legato::cuda
