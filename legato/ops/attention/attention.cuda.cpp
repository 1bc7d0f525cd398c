#include "legato/ops/attention/attention.cuh"

#include <climits>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/attention/ops.h"

namespace legato::cuda {
namespace {

/// The tilings that attention.cu compiles; widths for heads up to `width`.
struct Tiles {
  int width, warps, rows, keys;
  int queries() const { return 16 * rows * warps; }
  int shared_bytes() const { return (queries() + 4 * keys) * (width + 8) * 2; }
};
constexpr Tiles kTilings[] = {{32, 4, 2, 64}, {48, 4, 2, 64},  {64, 4, 2, 64},
                              {96, 4, 1, 64}, {128, 4, 1, 64}, {256, 4, 1, 32}};

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
  const Tiles& tiles = tiling_for(std::max(p.width, p.value_width));
  p.query_tiles = (p.queries + tiles.queries() - 1) / tiles.queries();
  launch_shared("attention",
                cat(general ? "attention_general_" : "attention_",
                    q.dtype == Dtype::float16 ? "f16_" : "bf16_", tiles.width),
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
