#include "legato/ops/norm/norm.cuh"

#include <algorithm>
#include <numeric>
#include <span>

#include "legato/backends/cuda/kit.h"
#include "legato/backends/cuda/row_split.h"
#include "legato/base/error.h"
#include "legato/ops/norm/ops.h"

namespace legato::cuda {
namespace {

#define X(wide, packs, most) {wide, packs, most},
constexpr RowInstance kHalf[] = {LEGATO_NORM_HALF(X)}, kSingle[] = {LEGATO_NORM_SINGLE(X)},
                      kDouble[] = {LEGATO_NORM_DOUBLE(X)}, kOdd[] = {LEGATO_NORM_ODD(X)},
                      kHalfVjp[] = {LEGATO_NORM_VJP_HALF(X)},
                      kSingleVjp[] = {LEGATO_NORM_VJP_SINGLE(X)},
                      kDoubleVjp[] = {LEGATO_NORM_VJP_DOUBLE(X)};
#undef X
constexpr RowInstances kForward{kHalf, kSingle, kDouble, kOdd},
    kBackward{kHalfVjp, kSingleVjp, kDoubleVjp, {}};

int64_t compute_bytes(Dtype dtype) { return dtype == Dtype::float64 ? 8 : 4; }

struct Operands {
  const void *x, *weight = nullptr, *bias = nullptr, *g = nullptr;
  void *y, *dw = nullptr, *db = nullptr;
};
Operands operands(const Launch& l, bool vjp) {
  const auto& attrs = l.attrs<NormAttrs>();
  size_t in = 0, out = 0;
  Operands o{.x = l.in[in++].data, .y = l.out[out++].data};
  if (attrs.has_weight) o.weight = l.in[in++].data;
  if (vjp) {
    o.g = l.in[in].data;
    if (attrs.has_weight) o.dw = l.out[out++].data;
    if (attrs.has_bias) o.db = l.out[out].data;
  } else if (attrs.has_bias) {
    o.bias = l.in[in].data;
  }
  return o;
}

bool is_rms(const Launch& l) { return l.op->name[0] == 'r'; }

// --- rows

void run_rows(Launch& l) {
  const View& x = l.in[0];
  if (x.size == 0) return;
  const Operands o = operands(l, false);
  const int64_t n = x.shape->back(), rows = x.size / n;
  const double eps = l.attrs<NormAttrs>().eps;
  const RowSplit split = split_row(kForward, x.dtype, n, {o.x, o.weight, o.bias, o.y});
  if (split.group) {
    const RowNormParams p{o.x,  o.weight, o.bias, nullptr,     o.y,      nullptr,
                          rows, n,        eps,    split.group, is_rms(l)};
    launch_blocks("norm", cat(split.odd ? "norm_odd" : "norm", split.ending(), suffix(x.dtype)),
                  split.blocks(rows), split.threads, p);
    return;
  }
  const int wide = load_width(x.dtype, n, {o.x, o.weight, o.bias, o.y});
  const RowParts parts = cut_rows(rows, n, current().multiprocessors());
  LongNormParams p{o.x, o.weight,    o.bias,     nullptr, o.y, nullptr,  rows,
                   n,   parts.count, parts.size, eps,     0,   is_rms(l)};
  const std::string name = cat("norm_long_w", wide, suffix(x.dtype));
  if (p.parts > 1) {
    p.moments = l.workspace(rows * p.parts * 3 * compute_bytes(x.dtype));
    p.pass = 1;
    launch_blocks("norm_long", name, rows * p.parts, kLongThreads, p);
    p.pass = 2;
  }
  launch_blocks("norm_long", name, rows * p.parts, kLongThreads, p);
}

/// dw and db from (2, parts, n) sums.
void finish_sums(const Operands& o, Dtype dtype, const void* sums, int64_t parts, int64_t n) {
  const ColumnSumParams p{sums, o.dw, o.db, parts, n};
  launch_blocks("norm", cat("column_sums", suffix(dtype)), (n + 31) / 32 * 2, 1024, p);
}
bool empty(const Operands& o, const View& x) {
  if (x.size) return false;
  const int64_t n = x.shape->back();
  for (void* p : {o.dw, o.db})
    if (p && n)
      check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(p), 0,
                                     static_cast<size_t>(n * size_of(x.dtype)), current().queue()),
            "clearing sums over no rows");
  return true;
}

void run_rows_vjp(Launch& l) {
  const View& x = l.in[0];
  const Operands o = operands(l, true);
  if (empty(o, x)) return;
  const int64_t n = x.shape->back(), rows = x.size / n, bytes = compute_bytes(x.dtype);
  const double eps = l.attrs<NormAttrs>().eps;
  const int wide = load_width(x.dtype, n, {o.x, o.weight, o.g, o.y});
  const RowSplit split = split_row(kBackward, x.dtype, n, {o.x, o.weight, o.g, o.y});
  const int64_t sms = current().multiprocessors();
  int64_t parts = 0;
  void* sums = nullptr;
  if (split.group) {
    // One wave: `most` threads are what the registers of a multiprocessor are shared among.
    parts = std::min<int64_t>(split.blocks(rows),
                              sms * std::max(1, split.instance.most / split.threads));
    if (o.dw || o.db) sums = l.workspace(2 * parts * n * bytes);
    const RowNormParams p{o.x,  o.weight, nullptr, o.g,         o.y,      sums,
                          rows, n,        eps,     split.group, is_rms(l)};
    launch_blocks("norm", cat("norm_vjp", split.ending(), suffix(x.dtype)), parts, split.threads,
                  p);
  } else {
    void* moments = o.dw || o.db ? l.workspace(2 * rows * bytes) : nullptr;
    const LongNormParams p{o.x, o.weight, nullptr, o.g, o.y, moments,  rows,
                           n,   1,        n,       eps, 0,   is_rms(l)};
    launch_blocks("norm_long", cat("norm_long_vjp_w", wide, suffix(x.dtype)), rows, kLongThreads,
                  p);
    if (!moments) return;
    const int64_t tiles = (n + kNormColumns * wide - 1) / (kNormColumns * wide);
    parts = std::clamp<int64_t>(sms * 8 / tiles, 1, (rows + 63) / 64);
    sums = l.workspace(2 * parts * n * bytes);
    const NormColumnParams c{o.x, o.g, moments, sums, rows, n, parts};
    launch_blocks("norm_long", cat("norm_columns_w", wide, suffix(x.dtype)), tiles * parts,
                  kNormColumnThreads, c);
  }
  if (sums) finish_sums(o, x.dtype, sums, parts, n);
}

// --- groups

/// Cuts channels into tiles of whole groups, or groups into whole tiles, of at most `most` packs.
/// Returns false if packs of `wide` channels do not allow it.
bool cut_channels(GroupNormParams& p, int wide, int most) {
  if (p.channels % wide) return false;
  const int64_t packs = p.channels / wide;
  for (int64_t tiles = (packs + most - 1) / most; tiles <= packs; ++tiles) {
    if (packs % tiles) continue;
    const int64_t width = packs / tiles * wide;
    if (width % p.group_channels && p.group_channels % width) continue;
    p.tiles = static_cast<int>(tiles);
    p.across = static_cast<int>(packs / tiles);
    p.cuts = static_cast<int>(std::max<int64_t>(1, p.group_channels / width));
    return true;
  }
  return false;
}

struct GroupCut {
  int wide, threads;
  int64_t blocks;
  /// The ending of an instance's name.
  std::string ending(Dtype dtype) const {
    return cat("_w", wide, wide > 1 ? "_k4" : "_k8", suffix(dtype));
  }
};

/// Cuts the array into blocks of about `threads`, enough to fill the device.
GroupCut cut_groups(GroupNormParams& p, int wide, int threads) {
  constexpr int kBlocksEach = 2;  // of a multiprocessor; fewer cuts leave less to add up
  if (!cut_channels(p, wide, threads)) {
    wide = 1;
    LEGATO_CHECK(cut_channels(p, 1, threads), "the channels of a group norm cannot be cut");
  }
  p.lines = static_cast<int>(std::min<int64_t>(std::max(1, threads / p.across), p.positions));
  const int64_t wanted = int64_t{current().multiprocessors()} * kBlocksEach,
                parts = std::max<int64_t>(1, wanted / (p.samples * p.tiles)),
                once = int64_t{p.lines} * (wide > 1 ? 4 : 8);  // positions in flight
  int64_t chunk = std::max<int64_t>((p.positions + parts - 1) / parts, once);
  chunk = std::min<int64_t>((chunk + p.lines - 1) / p.lines, int64_t{1 << 30} / p.lines) * p.lines;
  p.chunk = static_cast<int>(chunk);
  p.chunks = static_cast<int>((p.positions + chunk - 1) / chunk);
  return {wide, (p.across * p.lines + 31) / 32 * 32, p.samples * p.chunks * p.tiles};
}

GroupNormParams group_params(const Launch& l, const Operands& o) {
  const View& x = l.in[0];
  const auto& attrs = l.attrs<NormAttrs>();
  GroupNormParams p{};
  p.x = o.x;
  p.weight = o.weight;
  p.bias = o.bias;
  p.g = o.g;
  p.y = o.y;
  p.samples = x.dim(0);
  p.channels = x.shape->back();
  p.positions = x.size / p.samples / p.channels;
  p.eps = attrs.eps;
  p.groups = static_cast<int>(attrs.groups);
  p.group_channels = static_cast<int>(p.channels / attrs.groups);
  return p;
}

/// Cuts small samples so that a block of at most `threads` holds all positions of a tile, with one
/// of `loads` packs a thread. Returns which, the K of the kernel; 0: they are too large, or so few
/// that cutting positions uses more of the device. A tile is the narrowest there is or, where there
/// are blocks enough, as many of those side by side as make 128 threads: neighbouring channels are
/// read together.
int cut_whole(GroupNormParams& p, Dtype dtype, int wide, std::span<const int> loads, int threads) {
  if (wide == 1 || dtype == Dtype::float64) return 0;
  const int64_t multiprocessors = current().multiprocessors(),
                narrow = std::lcm(p.group_channels, wide), tiles = p.channels / narrow;
  for (int packs : loads) {
    const int64_t lines = (p.positions + packs - 1) / packs;
    if (narrow / wide * lines > threads) continue;
    const int64_t bytes = p.positions * narrow * size_of(dtype);
    if (bytes > 32 << 10 && p.samples * tiles * 8 < multiprocessors) return 0;
    int64_t together = 1;
    for (int64_t more = 2; more <= tiles; ++more)
      if (tiles % more == 0 && more * narrow / wide * lines <= std::min(threads, 128) &&
          more * (narrow / p.group_channels) <= kWholeGroups &&
          p.samples * (tiles / more) >= 2 * multiprocessors)
        together = more;
    p.across = static_cast<int>(together * narrow / wide);
    p.tiles = static_cast<int>(tiles / together);
    p.cuts = p.chunks = 1;
    p.lines = static_cast<int>(lines);
    p.chunk = static_cast<int>(p.positions);
    return packs;
  }
  return 0;
}

void run_group(Launch& l) {
  const View& x = l.in[0];
  if (x.size == 0) return;
  const Operands o = operands(l, false);
  GroupNormParams p = group_params(l, o);
  const char* silu = l.epilogue ? "_silu" : "";
  const int wide = load_width(x.dtype, p.channels, {o.x, o.weight, o.bias, o.y});
  constexpr int kLoads[] = {4, 16};
  if (const int packs = cut_whole(p, x.dtype, wide, kLoads, kGroupThreads)) {
    launch_blocks("group_norm", cat("group_whole", silu, "_w", wide, "_k", packs, suffix(x.dtype)),
                  p.samples * p.tiles, (p.across * p.lines + 31) / 32 * 32, p);
    return;
  }
  const GroupCut cut = cut_groups(p, wide, 320);
  p.moments = l.workspace(p.samples * p.groups * p.cuts * p.chunks * 2 * compute_bytes(x.dtype));
  launch_blocks("group_norm", cat("group_moments", cut.ending(x.dtype)), cut.blocks, cut.threads,
                p);
  launch_blocks("group_norm", cat("group_apply", silu, cut.ending(x.dtype)), cut.blocks,
                cut.threads, p);
}

/// Whether the program is x * sigmoid(x), what usually follows a group norm.
bool takes_silu(const void*, const Epilogue& e) {
  const fuse::Program& p = *e.program;
  static const fuse::FnId sigmoid = fuse::find_fn("sigmoid"), multiply = fuse::find_fn("multiply");
  return p.inputs.size() == 1 && p.literals.empty() && p.instrs.size() == 2 &&
         p.instrs[0].fn == sigmoid && p.instrs[1].fn == multiply &&
         p.instrs[1].src[0] + p.instrs[1].src[1] == 1 && p.outputs.size() == 1 &&
         p.outputs[0] == 2 && p.dtype_of_value(1) == p.inputs[0] &&
         p.dtype_of_value(2) == p.inputs[0];
}

void run_group_vjp(Launch& l) {
  const View& x = l.in[0];
  const Operands o = operands(l, true);
  if (empty(o, x)) return;
  GroupNormParams p = group_params(l, o);
  const int64_t bytes = compute_bytes(x.dtype);
  const int wide = load_width(x.dtype, p.channels, {o.x, o.weight, o.g, o.y});
  constexpr int kLoads[] = {4, 8};
  const std::span<const int> loads(kLoads, size_of(x.dtype) == 4 ? 2 : 1);
  if (const int packs = cut_whole(p, x.dtype, wide, loads, kGroupVjpThreads)) {
    if (o.dw || o.db) p.sums = l.workspace(2 * p.samples * p.channels * bytes);
    launch_blocks("group_norm_vjp_whole",
                  cat("group_vjp_whole_w", wide, "_k", packs, suffix(x.dtype)), p.samples * p.tiles,
                  (p.across * p.lines + 31) / 32 * 32, p);
    if (p.sums) finish_sums(o, x.dtype, p.sums, p.samples, p.channels);
    return;
  }
  const GroupCut cut = cut_groups(p, wide, kGroupVjpThreads);
  p.moments = l.workspace(p.samples * p.groups * p.cuts * p.chunks * 2 * bytes);
  p.channel_sums = l.workspace(p.samples * p.chunks * p.channels * 2 * bytes);
  p.group_sums = l.workspace(p.samples * p.groups * 4 * bytes);
  if (o.dw || o.db) p.sums = l.workspace(2 * p.samples * p.channels * bytes);
  const auto launch = [&](const char* part, int64_t blocks, int threads) {
    launch_blocks("group_norm_vjp", cat("group_vjp_", part, cut.ending(x.dtype)), blocks, threads,
                  p);
  };
  launch("moments", cut.blocks, cut.threads);
  launch("finish", p.samples * p.groups, kGroupVjpThreads);
  launch("apply", cut.blocks, cut.threads);
  if (p.sums) finish_sums(o, x.dtype, p.sums, p.samples, p.channels);
}

}  // namespace

void register_norm_kernels(KernelTable& table) {
  auto add = [&](const char* name, void (*run)(Launch&), int8_t reuses,
                 bool (*takes)(const void*, const Epilogue&) = nullptr) {
    add_kernels(table, op_named(name), FloatTypes{}, [=](auto) {
      return Kernel{
          .run = run, .accepts = AcceptLayout::row_major, .reuses = reuses, .takes = takes};
    });
  };
  add("layer_norm", run_rows, 0);
  add("rms_norm", run_rows, 0);
  add("group_norm", run_group, 0, takes_silu);
  add("layer_norm_vjp", run_rows_vjp, -1);
  add("rms_norm_vjp", run_rows_vjp, -1);
  add("group_norm_vjp", run_group_vjp, -1);
}

}  // namespace legato::cuda
