#include "legato/ops/attention/attention_sm90a.cuda.h"

#include <algorithm>

#include "legato/backends/cuda/kit.h"

namespace legato::cuda {
namespace {

// Bytes that 64 columns more or less take in a row of a tile.
constexpr int row_bytes(int width) { return (width + 63) / 64 * 128; }

// Bytes of a tile of a mask, as MaskTile lays it out.
constexpr int mask_tile_bytes(int queries, int keys) { return row_bytes(keys) * queries; }

/// The tilings that attention_sm90a.cu compiles for heads up to `width` and values up to
/// `value_width`.
struct ForwardTiles {
  int width, value_width, groups, keys, stages;
  int queries() const { return 64 * groups; }
  int shared_bytes(bool general) const {
    return row_bytes(width) * (queries() + 2 * stages * keys) + 8 * (1 + 4 * stages) +
           (general ? stages * mask_tile_bytes(queries(), keys) : 0);
  }
};
constexpr ForwardTiles kForwardTilings[] = {
    {48, 40, 4, 80, 3},    {64, 64, 3, 128, 2},  {80, 80, 2, 128, 2}, {96, 96, 2, 128, 2},
    {128, 128, 2, 128, 2}, {160, 160, 2, 96, 2}, {256, 256, 2, 64, 2}};
constexpr ForwardTiles kGeneralTilings[] = {
    {64, 64, 3, 128, 2}, {128, 128, 2, 128, 2}, {256, 256, 2, 64, 2}};
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
  int shared_bytes(bool of_keys, bool masked) const {
    const int mask = of_keys ? mask_tile_bytes(walked, owned()) : mask_tile_bytes(owned(), walked);
    return 2 * row_bytes(width) * (owned() + stages * walked) +
           2 * stages * (of_keys ? walked : 4) * 4 + 8 * (1 + 2 * stages) +
           (masked ? stages * mask : 0);
  }
};
constexpr GradTiles kKeysTilings[] = {
    {40, 2, 64, 4}, {64, 2, 64, 3}, {80, 2, 80, 3}, {128, 2, 48, 3}, {160, 2, 32, 3}};
constexpr GradTiles kQueriesTilings[] = {
    {40, 3, 64, 3}, {64, 3, 64, 3}, {80, 2, 96, 3}, {128, 2, 80, 3}, {160, 2, 48, 3}};
constexpr GradTiles kMaskedKeysTilings[] = {{64, 2, 64, 3}, {128, 2, 48, 3}};
constexpr GradTiles kMaskedQueriesTilings[] = {{64, 3, 64, 3}, {128, 2, 64, 3}};

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

// Boxes of `columns` columns and `rows` rows of an array of 4 axes; sizes and strides (in bytes)
// are innermost first. Whether the driver can describe it.
bool encode(TensorMap& map, CUtensorMapDataType type, void* data, const cuuint64_t (&sizes)[4],
            const cuuint64_t (&strides)[3], int columns, int rows) {
  const cuuint32_t box[4] = {static_cast<cuuint32_t>(columns), static_cast<cuuint32_t>(rows), 1, 1},
                   step[4] = {1, 1, 1, 1};
  static_assert(sizeof(CUtensorMap) == sizeof(TensorMap) && alignof(TensorMap) >= 64);
  return driver().cuTensorMapEncodeTiled(
             reinterpret_cast<CUtensorMap*>(&map), type, 4, data, sizes, strides, box, step,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// Boxes of 64 columns and `rows` rows of a (batch, heads, rows, columns) view.
bool describe(TensorMap& map, const View& v, int rows) {
  cuuint64_t sizes[4], strides[3];
  for (size_t i = 0; i < 4; ++i) sizes[i] = static_cast<cuuint64_t>(v.dim(3 - i));
  for (size_t i = 0; i < 3; ++i) {
    const int64_t stride = v.dim(2 - i) > 1 ? (*v.strides)[2 - i] : 8;
    if (stride <= 0) return false;
    strides[i] = static_cast<cuuint64_t>(stride) * 2;
  }
  return encode(map,
                v.dtype == Dtype::float16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                          : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                v.data, sizes, strides, 64, rows);
}

bool fits_hopper(const AttentionParams& p, Dtype t) {
  // A mask of another dtype was made from integers.
  const MaskKind own = t == Dtype::float16 ? MaskKind::f16 : MaskKind::bf16;
  const bool mask_fits =
      p.mask_kind == MaskKind::none || p.mask_kind == MaskKind::boolean || p.mask_kind == own;
  return current().capability() == 90 && mask_fits && p.packed && p.width > 0 &&
         p.value_width > 0 && p.keys > 0;
}

// A mask where tensor copies can read it: as it lies, or a copy that lives as long as the launch.
struct PlacedMask {
  MaskKind kind;
  void* data;
  int64_t bytes;  // of an element
  MaskLayout layout;
};
PlacedMask place_mask(Launch& l, const AttentionParams& p) {
  PlacedMask m{
      p.mask_kind, const_cast<void*>(p.mask), p.mask_kind == MaskKind::boolean ? 1 : 2, {}};
  if (!p.mask) return m;
  const MaskLayout& to = m.layout = mask_layout(p, l.in[0].dim(0), m.bytes);
  if (to.as_it_lies) return m;
  m.data = l.workspace(to.strides[0] * to.sizes[0] * m.bytes);
  copy_elements(
      m.data, Strides{to.strides[0], to.strides[1], to.strides[2], 1}, p.mask,
      Strides{p.mask_strides.batch, p.mask_strides.head, p.mask_strides.row, p.mask_column},
      Shape{to.sizes[0], to.sizes[1], to.sizes[2], to.sizes[3]}, m.bytes);
  return m;
}

// Boxes of 128 bytes and `rows` rows of it, or of the one row that all queries share.
bool describe(HopperMask& to, const PlacedMask& m, int rows) {
  to.kind = m.kind;
  if (m.kind == MaskKind::none) return true;
  to.each_batch = m.layout.sizes[0] > 1;
  to.each_head = m.layout.sizes[1] > 1;
  to.each_row = m.layout.sizes[2] > 1;
  cuuint64_t sizes[4], strides[3];
  for (int i = 0; i < 4; ++i) sizes[i] = static_cast<cuuint64_t>(m.layout.sizes[3 - i]);
  for (int i = 0; i < 3; ++i)
    strides[i] = static_cast<cuuint64_t>(m.layout.strides[2 - i] * m.bytes);
  const CUtensorMapDataType type =
      m.bytes == 1 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_UINT16;
  return encode(to.map, type, m.data, sizes, strides, static_cast<int>(128 / m.bytes),
                to.each_row ? rows : 1);
}

}  // namespace

HeadStrides head_strides(const View& v) {
  return {(*v.strides)[0], (*v.strides)[1], (*v.strides)[2]};
}

MaskLayout mask_layout(const AttentionParams& p, int64_t batch, int64_t bytes) {
  const HeadStrides& s = p.mask_strides;
  MaskLayout r{};
  r.sizes[0] = s.batch ? batch : 1;
  r.sizes[1] = s.head ? p.heads : 1;
  r.sizes[2] = s.row ? p.queries : 1;
  r.sizes[3] = p.keys;
  const int64_t whole = 16 / bytes, strides[3] = {s.batch, s.head, s.row};
  r.as_it_lies = p.mask_column == 1 && reinterpret_cast<uintptr_t>(p.mask) % 16 == 0;
  for (int64_t stride : strides) r.as_it_lies &= stride >= 0 && stride % whole == 0;
  r.strides[2] = (r.sizes[3] + whole - 1) / whole * whole;
  r.strides[1] = r.strides[2] * r.sizes[2];
  r.strides[0] = r.strides[1] * r.sizes[1];
  if (r.as_it_lies)
    for (int i = 0; i < 3; ++i)
      if (r.sizes[i] > 1) r.strides[i] = strides[i];
  return r;
}

bool attend_on_hopper(Launch& l, const AttentionParams& p, bool general) {
  if (!fits_hopper(p, l.in[0].dtype)) return false;
  const FewKeysTiles* few = general ? nullptr : fitting(kFewKeysTilings, p);
  if (few && p.keys > few->keys) few = nullptr;
  const ForwardTiles* tiles = general ? fitting(kGeneralTilings, p) : fitting(kForwardTilings, p);
  if (!few && !tiles) return false;
  const int queries = few ? 64 : tiles->queries(), keys = few ? few->keys : tiles->keys;
  HopperAttentionParams h{};
  if (!describe(h.q, l.in[0], queries) || !describe(h.k, l.in[1], keys) ||
      !describe(h.v, l.in[2], keys) || !describe(h.mask, place_mask(l, p), queries))
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
                  planes * h.query_tiles, 128 * (tiles->groups + 1), tiles->shared_bytes(general),
                  h);
  }
  return true;
}

bool pull_back_on_hopper(Launch& l, const AttentionGradParams& s) {
  const AttentionParams& p = s.attention;
  const bool masked = p.mask;
  const GradTiles* keys = masked ? fitting(kMaskedKeysTilings, p) : fitting(kKeysTilings, p);
  const GradTiles* queries =
      masked ? fitting(kMaskedQueriesTilings, p) : fitting(kQueriesTilings, p);
  // A query that a causal mask leaves no key but a sink has no weights.
  if (!fits_hopper(p, l.in[0].dtype) || !keys || !queries || !(p.scale > 0) ||
      (p.sinks && p.causal && p.keys < p.queries))
    return false;
  const View &q = l.in[0], &k = l.in[1], &v = l.in[2], &g = l.in.back();
  const PlacedMask mask = place_mask(l, p);
  HopperGradParams of_keys{}, of_queries{};
  if (!describe(of_keys.q, q, keys->walked) || !describe(of_keys.cotangent, g, keys->walked) ||
      !describe(of_keys.k, k, keys->owned()) || !describe(of_keys.v, v, keys->owned()) ||
      !describe(of_queries.q, q, queries->owned()) ||
      !describe(of_queries.cotangent, g, queries->owned()) ||
      !describe(of_queries.k, k, queries->walked) || !describe(of_queries.v, v, queries->walked) ||
      !describe(of_keys.mask, mask, keys->walked) ||
      !describe(of_queries.mask, mask, queries->owned()))
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
  rows.masked = masked;
  rows.row_pitch = (p.queries + keys->walked - 1) / keys->walked * keys->walked;
  const int64_t n = int64_t{s.planes} * rows.row_pitch;
  rows.log_sums = static_cast<float*>(l.workspace(n * 4));
  rows.inner = static_cast<float*>(l.workspace(n * 4));
  const char* dtype = suffix(q.dtype);
  const int lanes = p.value_width <= 64 ? 8 : 16;
  launch_blocks("attention_grad_sm90a", cat("attention_grad_rows", dtype, "_", lanes),
                (n * lanes + 255) / 256, 256, rows);

  auto launch = [&](HopperGradParams& h, const GradTiles& t, bool is_of_keys) {
    h.sums = p.sums;
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
    launch_shared("attention_grad_sm90a",
                  cat("attention_grad_", masked ? "masked_" : "", is_of_keys ? "keys" : "queries",
                      dtype, "_", t.width),
                  h.tiles * planes, 128 * (t.groups + 1), t.shared_bytes(is_of_keys, masked), h);
  };
  launch(of_keys, *keys, true);
  launch(of_queries, *queries, false);
  return true;
}

}  // namespace legato::cuda
