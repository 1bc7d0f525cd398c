#include "legato/ops/attention/attention.cuh"

#include <algorithm>
#include <climits>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/attention/attention_sm90a.cuda.h"
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

template <class Tiling, size_t n>
const Tiling& tiling_for(const Tiling (&all)[n], const AttentionParams& p) {
  for (const Tiling& t : all)
    if (p.width <= t.width && p.value_width <= t.width) return t;
  throw InternalError("attention on the GPU was given heads wider than any kernel takes");
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

AttentionParams params_of(const Launch& l) {
  const View &q = l.in[0], &k = l.in[1], &v = l.in[2];
  const auto& attrs = l.attrs<AttentionAttrs>();
  if (q.dim(2) > INT_MAX / 2 || k.dim(2) > INT_MAX / 2)
    throw ValueError(cat("scaled_dot_product_attention: ", q.dim(2), " queries and ", k.dim(2),
                         " keys; the GPU takes at most ", INT_MAX / 2, " of each"));
  AttentionParams p{};
  p.q = q.data;
  p.k = k.data;
  p.v = v.data;
  p.q_strides = head_strides(q);
  p.k_strides = head_strides(k);
  p.v_strides = head_strides(v);
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
  return p;
}
void set_result(AttentionParams& p, const View& out) {
  p.out = out.data;
  p.out_strides = head_strides(out);
}

// The maximum of scaled scores is that of scores, scaled, only for a positive scale.
bool is_general(const AttentionParams& p) { return p.mask || p.sinks || !(p.scale > 0); }

void attend(Launch& l, AttentionParams& p) {
  const bool general = is_general(p);
  if (attend_on_hopper(l, p, general)) return;
  const Tiles& tiles = tiling_for(kTilings, p);
  p.query_tiles = (p.queries + tiles.queries(general) - 1) / tiles.queries(general);
  launch_shared(
      "attention",
      cat(general ? "attention_general" : "attention", suffix(l.in[0].dtype), "_", tiles.width),
      int64_t{p.query_tiles} * p.heads * l.in[0].dim(0), 128, tiles.shared_bytes(general), p);
}

void run(Launch& l) {
  if (l.out[0].size == 0) return;
  AttentionParams p = params_of(l);
  set_result(p, l.out[0]);
  if (l.attrs<AttentionAttrs>().keeps_sums) p.sums = l.out[1].as<RowSums>();
  attend(l, p);
}

// --- derivative

/// The tilings that attention_grad.cu compiles. split: dk and dv by a kernel each, for want of
/// registers.
struct GradTiles {
  int width, walked, stages;
  bool split;
  int shared_bytes() const {
    return 4 * (64 + stages * walked) * (width + 8) + 12 * std::max(64, stages * walked);
  }
};
constexpr GradTiles kGradTilings[] = {{64, 64, 2, false}, {128, 32, 2, false}, {256, 16, 1, true}};

// What the forward pass knew: from its outputs, or from the pass once more.
void set_known(Launch& l, AttentionGradParams& s) {
  AttentionParams& p = s.attention;
  const size_t n = l.in.size();
  const int64_t rows = int64_t{s.planes} * p.queries;
  if (l.attrs<AttentionAttrs>().keeps_sums && p.value_width > 0) {
    const View &result = l.in[n - 3], &sums = l.in[n - 2];
    s.result = result.data;
    s.result_strides = head_strides(result);
    p.packed = p.packed && packed(result);
    const int64_t batch = sums.dim(0), heads = sums.dim(1), queries = sums.dim(2);
    const Strides dense{heads * queries * 2, queries * 2, 2, 1};
    if (*sums.strides == dense) {
      p.sums = static_cast<RowSums*>(sums.data);
    } else {
      p.sums = static_cast<RowSums*>(l.workspace(rows * static_cast<int64_t>(sizeof(RowSums))));
      copy_elements(p.sums, dense, sums.data, *sums.strides, Shape{batch, heads, queries, 2}, 4);
    }
    return;
  }
  p.out = l.workspace(rows * p.value_width * 2);
  p.out_strides = {int64_t{p.heads} * p.queries * p.value_width, int64_t{p.queries} * p.value_width,
                   p.value_width};
  p.sums = static_cast<RowSums*>(l.workspace(rows * static_cast<int64_t>(sizeof(RowSums))));
  attend(l, p);
  s.result = p.out;
  s.result_strides = p.out_strides;
}

void run_vjp(Launch& l) {
  const int64_t batch = l.in[0].dim(0);
  AttentionGradParams s{};
  AttentionParams& p = s.attention;
  p = params_of(l);
  const View& g = l.in.back();
  p.packed = p.packed && packed(g);
  s.cotangent = g.data;
  s.cotangent_strides = head_strides(g);
  s.planes = static_cast<int>(batch * p.heads);
  s.dq = l.out[0].data;
  s.dk = l.out[1].data;
  s.dv = l.out[2].data;
  const int64_t rows = int64_t{s.planes} * p.queries;
  if (rows > 0) {
    set_known(l, s);
    if (pull_back_on_hopper(l, s)) return;
    s.inner = static_cast<float*>(l.workspace(rows * 4));
    launch_blocks("attention_grad", cat("attention_grad_inner", suffix(l.in[0].dtype)),
                  (rows + 3) / 4, 128, s);
  }
  const GradTiles& tiles = tiling_for(kGradTilings, p);
  auto launch = [&](const char* what, int owned, int64_t planes) {
    s.tiles = (owned + 63) / 64;
    launch_shared("attention_grad",
                  cat("attention_grad_", what, is_general(p) ? "_general" : "",
                      suffix(l.in[0].dtype), "_", tiles.width),
                  s.tiles * planes, 128, tiles.shared_bytes(), s);
  };
  const int64_t kv_planes = batch * (p.heads / p.group);
  launch("keys", p.keys, kv_planes);
  if (tiles.split) launch("values", p.keys, kv_planes);
  launch("queries", p.queries, s.planes);
}

// --- where a head fits shared memory

void launch_small(const Launch& l, const char* name, const SmallAttentionParams& params,
                  int64_t numbers) {
  GpuDevice& d = current();
  SmallAttentionParams copy = params;
  d.launch(d.kernel("attention_small", cat(name, suffix(l.in[0].dtype)), 4 * kMostSmallNumbers),
           l.in[1].dim(0) * l.in[1].dim(1), 128, &copy, "attention", static_cast<int>(4 * numbers));
}

void run_small(Launch& l) {
  if (l.out[0].size == 0) return;
  SmallAttentionParams s{};
  AttentionParams& p = s.attention;
  p = params_of(l);
  set_result(p, l.out[0]);
  launch_small(l, "small_attention", s,
               int64_t{p.keys} * (p.width + p.value_width + 2) +
                   int64_t{p.queries} * (p.width + p.keys + 2));
}

void run_small_vjp(Launch& l) {
  SmallAttentionParams s{};
  const AttentionParams& p = s.attention = params_of(l);
  const View& g = l.in.back();
  s.cotangent = g.data;
  s.cotangent_strides = head_strides(g);
  s.dq = l.out[0].data;
  s.dk = l.out[1].data;
  s.dv = l.out[2].data;
  launch_small(l, "small_attention_vjp", s,
               small_numbers(p.queries, p.keys, p.width, p.value_width));
}

}  // namespace

void register_attention_kernels(KernelTable& table) {
  add_kernels(table, op_named("attention"), Types<float16_t, bfloat16_t>{}, [](auto) {
    Kernel kernel{run, AcceptLayout::inner_dense, -1};
    kernel.ordered_like = 0;
    return kernel;
  });
  add_kernels(table, op_named("attention_vjp"), Types<float16_t, bfloat16_t>{},
              [](auto) { return Kernel{run_vjp, AcceptLayout::inner_dense, -1}; });
  using Computed = Types<float16_t, bfloat16_t, float>;
  add_kernels(table, op_named("small_attention"), Computed{}, [](auto) {
    Kernel kernel{run_small, AcceptLayout::inner_dense, -1};
    kernel.ordered_like = 0;
    return kernel;
  });
  add_kernels(table, op_named("small_attention_vjp"), Computed{},
              [](auto) { return Kernel{run_small_vjp, AcceptLayout::inner_dense, -1}; });
}

}  // namespace legato::cuda
