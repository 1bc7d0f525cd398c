#include "legato/ops/attention/attention.cuh"

#include <climits>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/attention/ops.h"

namespace legato::cuda {
namespace {

/// The tilings that attention.cu compiles for heads up to `width`: each of 4 warps takes 16 *
/// `rows` queries, or 16 if there is more to do than multiply.
struct Tiles {
  int width, rows, keys;
  int queries(bool general) const { return 64 * (general ? 1 : rows); }
  int shared_bytes(bool general) const { return (queries(general) + 4 * keys) * (width + 8) * 2; }
};
constexpr Tiles kTilings[] = {{32, 2, 64}, {48, 2, 64},  {64, 2, 64},
                              {96, 1, 64}, {128, 1, 64}, {256, 1, 32}};

const Tiles& tiling_for(int64_t width) {
  for (const Tiles& t : kTilings)
    if (width <= t.width) return t;
  throw InternalError("attention on the GPU was given heads wider than any kernel takes");
}

HeadStrides head_strides(const View& v) {
  return {(*v.strides)[0], (*v.strides)[1], (*v.strides)[2]};
}

// Whether every row begins at a multiple of 16 bytes and is a number of them long.
bool packed(const View& v) {
  bool whole = reinterpret_cast<uintptr_t>(v.data) % 16 == 0 && v.dim(3) % 8 == 0;
  for (size_t axis = 0; axis < 3; ++axis) whole &= v.dim(axis) <= 1 || (*v.strides)[axis] % 8 == 0;
  return whole;
}

MaskKind mask_kind(Dtype t) {
  return is_bool(t)             ? MaskKind::boolean
         : t == Dtype::float16  ? MaskKind::f16
         : t == Dtype::bfloat16 ? MaskKind::bf16
                                : MaskKind::f32;
}

// Strides of a mask that broadcasts to (batch, heads, queries, keys).
void set_mask(AttentionParams& p, const View& m) {
  p.mask = m.data;
  p.mask_kind = mask_kind(m.dtype);
  int64_t strides[4] = {};
  const size_t rank = m.ndim();
  for (size_t axis = 0; axis < rank; ++axis)
    if (m.dim(axis) != 1) strides[4 - rank + axis] = (*m.strides)[axis];
  p.mask_strides = {strides[0], strides[1], strides[2]};
  p.mask_column = strides[3];
}

// --- Hopper

/// The tilings that attention_sm90a.cu compiles for heads up to `width` and values up to
/// `value_width`.
struct HopperTiles {
  int width, value_width, groups, keys, stages;
  int queries() const { return 64 * groups; }
  int shared_bytes() const {
    return ((width + 63) / 64 * 128) * (queries() + 2 * stages * keys) + 8 * (1 + 4 * stages);
  }
};
constexpr HopperTiles kHopperTilings[] = {
    {48, 40, 3, 128, 2},
    {64, 64, 3, 128, 2},
    {128, 128, 2, 128, 2},
};

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

const HopperTiles* hopper_tiling(const AttentionParams& p) {
  for (const HopperTiles& t : kHopperTilings)
    if (p.width <= t.width && p.value_width <= t.value_width) return &t;
  return nullptr;
}

// Launches the kernel of Hopper if this is such a device and the arrays lie as it needs them.
bool run_on_hopper(Launch& l, const AttentionParams& p) {
  if (current().capability() != 90 || !p.packed || p.width == 0 || p.keys == 0) return false;
  const HopperTiles* tiles = hopper_tiling(p);
  if (!tiles) return false;
  HopperAttentionParams h{};
  if (!describe(h.q, l.in[0], tiles->queries()) || !describe(h.k, l.in[1], tiles->keys) ||
      !describe(h.v, l.in[2], tiles->keys))
    return false;
  h.out = p.out;
  h.out_strides = p.out_strides;
  h.heads = p.heads;
  h.group = p.group;
  h.queries = p.queries;
  h.keys = p.keys;
  h.value_width = p.value_width;
  h.query_tiles = (p.queries + tiles->queries() - 1) / tiles->queries();
  h.scale = p.scale;
  h.causal = p.causal;
  launch_shared("attention_sm90a",
                cat("attention", suffix(l.in[0].dtype), "_", tiles->width, "_", tiles->groups, "_",
                    tiles->keys),
                int64_t{h.query_tiles} * p.heads * l.in[0].dim(0), 128 * (tiles->groups + 1),
                tiles->shared_bytes(), h);
  return true;
}

void run(Launch& l) {
  const View &q = l.in[0], &k = l.in[1], &v = l.in[2], &out = l.out[0];
  if (out.size == 0) return;
  const auto& attrs = l.attrs<AttentionAttrs>();
  if (q.dim(2) > INT_MAX / 2 || k.dim(2) > INT_MAX / 2)
    throw ValueError(cat("scaled_dot_product_attention: ", q.dim(2), " queries and ", k.dim(2),
                         " keys; the GPU takes at most ", INT_MAX / 2, " of each"));
  AttentionParams p{};
  p.q = q.data;
  p.k = k.data;
  p.v = v.data;
  p.out = out.data;
  p.q_strides = head_strides(q);
  p.k_strides = head_strides(k);
  p.v_strides = head_strides(v);
  p.out_strides = head_strides(out);
  p.heads = static_cast<int>(q.dim(1));
  p.group = static_cast<int>(q.dim(1) / k.dim(1));
  p.queries = static_cast<int>(q.dim(2));
  p.keys = static_cast<int>(k.dim(2));
  p.width = static_cast<int>(q.dim(3));
  p.value_width = static_cast<int>(v.dim(3));
  p.scale = static_cast<float>(attrs.scale);
  p.causal = attrs.causal;
  p.packed = packed(q) && packed(k) && packed(v);
  if (attrs.has_mask) set_mask(p, l.in[3]);
  if (attrs.has_sinks) {
    const View& sinks = l.in[attrs.has_mask ? 4 : 3];
    p.sinks = sinks.as<const float>();
    p.sinks_batch = sinks.dim(0) == 1 ? 0 : (*sinks.strides)[0];
  }
  // The maximum of scaled scores is that of scores, scaled, only for a positive scale.
  const bool general = attrs.has_mask || attrs.has_sinks || !(p.scale > 0);
  if (!general && run_on_hopper(l, p)) return;
  const Tiles& tiles = tiling_for(std::max(p.width, p.value_width));
  p.query_tiles = (p.queries + tiles.queries(general) - 1) / tiles.queries(general);
  launch_shared("attention",
                cat(general ? "attention_general" : "attention", suffix(q.dtype), "_", tiles.width),
                int64_t{p.query_tiles} * p.heads * q.dim(0), 32 * tiles.warps, tiles.shared_bytes(),
                p);
}

}  // namespace

void register_attention_kernels(KernelTable& table) {
  add_kernels(table, op_named("attention"), Types<float16_t, bfloat16_t>{}, [](auto) {
    Kernel kernel{run, AcceptLayout::inner_dense, -1};
    kernel.ordered_like = 0;
    return kernel;
  });
}

}  // namespace legato::cuda
