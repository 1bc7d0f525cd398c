#include "legato/ops/attention/attention_sm90a.cuda.h"

#include <algorithm>

#include "legato/backends/cuda/kit.h"

namespace legato::cuda {
namespace {

// Bytes that 64 columns more or less take in a row of a tile.
constexpr int row_bytes(int width) { return (width + 63) / 64 * 128; }

/// The tilings that attention_sm90a.cu compiles for heads up to `width` and values up to
/// `value_width`.
struct ForwardTiles {
  int width, value_width, groups, keys, stages;
  int queries() const { return 64 * groups; }
  int shared_bytes() const {
    return row_bytes(width) * (queries() + 2 * stages * keys) + 8 * (1 + 4 * stages);
  }
};
constexpr ForwardTiles kForwardTilings[] = {
    {48, 40, 4, 80, 3},    {64, 64, 3, 128, 2},  {80, 80, 2, 128, 2}, {96, 96, 2, 128, 2},
    {128, 128, 2, 128, 2}, {160, 160, 2, 96, 2}, {256, 256, 2, 64, 2}};
constexpr ForwardTiles kGeneralTilings[] = {
    {64, 64, 2, 128, 2}, {128, 128, 2, 96, 2}, {256, 256, 2, 64, 2}};
/// Those for at most `keys` keys, of which `resident` blocks share a multiprocessor.
struct FewKeysTiles {
  int width, value_width, keys, resident;
  int shared_bytes() const { return row_bytes(width) * (128 + 2 * keys) + 8 * 3; }
};
constexpr FewKeysTiles kFewKeysTilings[] = {
    {48, 40, 80, 4}, {64, 64, 80, 4}, {80, 80, 80, 3}, {128, 128, 80, 2}};

/// The tilings that attention_grad_sm90a.cu compiles for heads and values up to `width`.
struct GradTiles {
  int width, groups, walked, stages;
  int owned() const { return 64 * groups; }
  int shared_bytes(bool of_keys) const {
    return 2 * row_bytes(width) * (owned() + stages * walked) +
           2 * stages * (of_keys ? walked : 4) * 4 + 8 * (1 + 2 * stages);
  }
};
constexpr GradTiles kKeysTilings[] = {
    {40, 2, 64, 4}, {64, 2, 64, 3}, {80, 2, 80, 3}, {128, 2, 48, 3}, {160, 2, 32, 3}};
constexpr GradTiles kQueriesTilings[] = {
    {40, 3, 64, 3}, {64, 3, 64, 3}, {80, 2, 96, 3}, {128, 2, 80, 3}, {160, 2, 48, 3}};

template <class Tiles, size_t n>
const Tiles* fitting(const Tiles (&all)[n], const AttentionParams& p) {
  for (const Tiles& t : all)
    if constexpr (requires { t.value_width; }) {
      if (p.width <= t.width && p.value_width <= t.value_width) return &t;
    } else {
      if (p.width <= t.width && p.value_width <= t.width) return &t;
    }
  return nullptr;
}

// Boxes of 64 columns and `rows` rows of a (batch, heads, rows, columns) view. Whether the driver
// can describe it.
bool describe(TensorMap& map, const View& v, int rows) {
  cuuint64_t sizes[4], strides[3];
  for (size_t i = 0; i < 4; ++i) sizes[i] = static_cast<cuuint64_t>(v.dim(3 - i));
  for (size_t i = 0; i < 3; ++i) {
    const int64_t stride = v.dim(2 - i) > 1 ? (*v.strides)[2 - i] : 8;
    if (stride <= 0) return false;
    strides[i] = static_cast<cuuint64_t>(stride) * 2;
  }
  const cuuint32_t box[4] = {64, static_cast<cuuint32_t>(rows), 1, 1}, step[4] = {1, 1, 1, 1};
  const CUtensorMapDataType type = v.dtype == Dtype::float16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                             : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  static_assert(sizeof(CUtensorMap) == sizeof(TensorMap) && alignof(TensorMap) >= 64);
  return driver().cuTensorMapEncodeTiled(
             reinterpret_cast<CUtensorMap*>(&map), type, 4, v.data, sizes, strides, box, step,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

bool fits_hopper(const AttentionParams& p) {
  return current().capability() == 90 && p.packed && p.width > 0 && p.value_width > 0 && p.keys > 0;
}

// Whether columns 2 i and 2 i + 1 of a mask can be loaded as one.
bool loads_pairs(const AttentionParams& p) {
  const int64_t bytes = p.mask_kind == MaskKind::boolean ? 1 : p.mask_kind == MaskKind::f32 ? 4 : 2;
  const HeadStrides& s = p.mask_strides;
  return p.mask_column == 1 && (s.batch | s.head | s.row) % 2 == 0 &&
         reinterpret_cast<uintptr_t>(p.mask) % static_cast<uintptr_t>(2 * bytes) == 0;
}

}  // namespace

HeadStrides head_strides(const View& v) {
  return {(*v.strides)[0], (*v.strides)[1], (*v.strides)[2]};
}

bool attend_on_hopper(const Launch& l, const AttentionParams& p, bool general) {
  // Masks in memory are for attention.cu (lab/gpu_attention).
  if (!fits_hopper(p) || p.mask) return false;
  const FewKeysTiles* few = general ? nullptr : fitting(kFewKeysTilings, p);
  if (few && p.keys > few->keys) few = nullptr;
  const ForwardTiles* tiles = general ? fitting(kGeneralTilings, p) : fitting(kForwardTilings, p);
  if (!few && !tiles) return false;
  const int queries = few ? 64 : tiles->queries(), keys = few ? few->keys : tiles->keys;
  HopperAttentionParams h{};
  if (!describe(h.q, l.in[0], queries) || !describe(h.k, l.in[1], keys) ||
      !describe(h.v, l.in[2], keys))
    return false;
  h.out = p.out;
  h.sums = p.sums;
  h.out_strides = p.out_strides;
  h.heads = p.heads;
  h.group = p.group;
  h.queries = p.queries;
  h.keys = p.keys;
  h.value_width = p.value_width;
  h.query_tiles = (p.queries + queries - 1) / queries;
  h.scale = p.scale;
  h.causal = p.causal;
  h.mask = p.mask;
  h.mask_kind = p.mask_kind;
  h.mask_strides = p.mask_strides;
  h.mask_column = p.mask_column;
  h.mask_pairs = loads_pairs(p);
  h.sinks = p.sinks;
  h.sinks_batch = p.sinks_batch;
  const char* dtype = suffix(l.in[0].dtype);
  const int64_t planes = int64_t{p.heads} * l.in[0].dim(0);
  if (few) {  // one wave, if there are not too many planes
    const int64_t slots = int64_t{current().multiprocessors()} * few->resident;
    h.walkers = static_cast<int>(std::clamp<int64_t>(slots / planes, 1, h.query_tiles));
    launch_shared("attention_sm90a", cat("attention_few", dtype, "_", few->width),
                  planes * h.walkers, 128, few->shared_bytes(), h);
  } else {
    launch_shared("attention_sm90a",
                  cat(general ? "attention_general" : "attention", dtype, "_", tiles->width),
                  planes * h.query_tiles, 128 * (tiles->groups + 1), tiles->shared_bytes(), h);
  }
  return true;
}

bool pull_back_on_hopper(Launch& l, const AttentionGradParams& s) {
  const AttentionParams& p = s.attention;
  const GradTiles *keys = fitting(kKeysTilings, p), *queries = fitting(kQueriesTilings, p);
  // A query that a causal mask leaves no key but a sink has no weights.
  if (!fits_hopper(p) || !keys || !queries || p.mask || !(p.scale > 0) ||
      (p.sinks && p.causal && p.keys < p.queries))
    return false;
  const View &q = l.in[0], &k = l.in[1], &v = l.in[2], &g = l.in.back();
  HopperGradParams of_keys{}, of_queries{};
  if (!describe(of_keys.q, q, keys->walked) || !describe(of_keys.cotangent, g, keys->walked) ||
      !describe(of_keys.k, k, keys->owned()) || !describe(of_keys.v, v, keys->owned()) ||
      !describe(of_queries.q, q, queries->owned()) ||
      !describe(of_queries.cotangent, g, queries->owned()) ||
      !describe(of_queries.k, k, queries->walked) || !describe(of_queries.v, v, queries->walked))
    return false;

  AttentionRowParams rows{};
  rows.result = s.result;
  rows.cotangent = s.cotangent;
  rows.result_strides = s.result_strides;
  rows.cotangent_strides = s.cotangent_strides;
  rows.sums = p.sums;
  rows.planes = s.planes;
  rows.heads = p.heads;
  rows.queries = p.queries;
  rows.value_width = p.value_width;
  rows.row_pitch = (p.queries + keys->walked - 1) / keys->walked * keys->walked;
  const int64_t n = int64_t{s.planes} * rows.row_pitch;
  rows.log_sums = static_cast<float*>(l.workspace(n * 4));
  rows.inner = static_cast<float*>(l.workspace(n * 4));
  const char* dtype = suffix(q.dtype);
  const int lanes = p.value_width <= 64 ? 8 : 16;
  launch_blocks("attention_grad_sm90a", cat("attention_grad_rows", dtype, "_", lanes),
                (n * lanes + 255) / 256, 256, rows);

  auto launch = [&](HopperGradParams& h, const GradTiles& t, bool is_of_keys) {
    h.log_sums = rows.log_sums;
    h.inner = rows.inner;
    h.row_pitch = rows.row_pitch;
    h.dq = s.dq;
    h.dk = s.dk;
    h.dv = s.dv;
    h.dq_strides = head_strides(l.out[0]);
    h.dk_strides = head_strides(l.out[1]);
    h.dv_strides = head_strides(l.out[2]);
    h.heads = p.heads;
    h.group = p.group;
    h.queries = p.queries;
    h.keys = p.keys;
    h.width = p.width;
    h.value_width = p.value_width;
    h.tiles = ((is_of_keys ? p.keys : p.queries) + t.owned() - 1) / t.owned();
    h.scale = p.scale;
    h.causal = p.causal;
    const int64_t planes = is_of_keys ? s.planes / p.group : s.planes;
    launch_shared(
        "attention_grad_sm90a",
        cat(is_of_keys ? "attention_grad_keys" : "attention_grad_queries", dtype, "_", t.width),
        h.tiles * planes, 128 * (t.groups + 1), t.shared_bytes(is_of_keys), h);
  };
  launch(of_keys, *keys, true);
  launch(of_queries, *queries, false);
  return true;
}

}  // namespace legato::cuda
