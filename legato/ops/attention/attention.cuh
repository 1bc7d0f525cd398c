// Parameters of the attention kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Distances in elements between batches, heads and rows; elements of a row are neighbours.
struct HeadStrides {
  long long batch, head, row;
};

/// What a mask's elements are; no other dtype is added to scores.
enum class MaskKind : int { none, boolean, f16, bf16, f32 };

/// Of a row of scores: weights are exp(score - max) * scale.
struct RowSums {
  float max, scale;
};

/// q (batch, heads, queries, width), k (batch, heads / group, keys, width), v (..., value_width).
struct AttentionParams {
  const void *q, *k, *v, *mask;
  const float* sinks;  // (1 or batch, heads), or null
  void* out;           // (batch, heads, queries, value_width) in any order of its axes
  RowSums* sums;       // (batch, heads, queries), or null
  HeadStrides q_strides, k_strides, v_strides, out_strides, mask_strides;
  long long mask_column, sinks_batch;  // distances between columns of the mask, batches of sinks
  int heads, group, queries, keys, width, value_width;
  int query_tiles;
  float scale;
  MaskKind mask_kind;
  bool causal;
  bool packed;  // rows of q, k and v begin at multiples of 16 bytes
};

/// The derivative: `sums` of `attention` are those of the forward pass, read. The cotangents of q,
/// k and v are row-major.
struct AttentionGradParams {
  AttentionParams attention;
  const void* cotangent;
  HeadStrides cotangent_strides;
  const void* result;  // of the forward pass
  HeadStrides result_strides;
  float* inner;  // (batch, heads, queries): cotangent times result, summed over a row
  void *dq, *dk, *dv;
  int planes;  // batch times heads
  int tiles;   // of what a kernel's blocks own
};

/// Where a plane fits shared memory: `attention` and, of its derivative, the cotangents, which are
/// row-major but for that of the result.
struct SmallAttentionParams {
  AttentionParams attention;
  const void* cotangent;
  HeadStrides cotangent_strides;
  void *dq, *dk, *dv;
};

/// A mask in memory for the kernels of Hopper, bool or of the dtype of q: copied in boxes of 128
/// bytes of a row. What queries, heads or batches share is there once.
struct HopperMask {
  TensorMap map;
  MaskKind kind;
  bool each_row, each_head, each_batch;
};

/// As AttentionParams; q, k and v as (batch, heads, rows, columns), copied in boxes of 64 columns.
struct HopperAttentionParams {
  TensorMap q, k, v;
  HopperMask mask;  // for the general kernels, as are sinks
  void* out;
  RowSums* sums;
  HeadStrides out_strides;
  int heads, group, queries, keys, value_width;
  int query_tiles;
  int walkers;  // where one tile holds all keys: blocks that share the queries of a head
  float scale;  // positive, but for the general kernels
  bool causal;
  const float* sinks;
  long long sinks_batch;
};

/// The derivative on Hopper. Rows of queries are known by `log_sums`, with which a weight is
/// 2^(score * scale * log2(e) - log_sum), and `inner`, the sum of cotangent times result: both
/// (batch, heads, row_pitch), and infinite and zero behind the last query. With a mask, a log_sum
/// of minus infinity says that the row's weights are to be made from `sums`.
struct HopperGradParams {
  TensorMap q, k, v, cotangent;  // in boxes of as many rows as a kernel owns or walks over
  HopperMask mask;               // for the masked kernels, as are sums
  const RowSums* sums;           // (batch, heads, queries)
  const float *log_sums, *inner;
  void *dq, *dk, *dv;
  HeadStrides dq_strides, dk_strides, dv_strides;
  int heads, group, queries, keys, width, value_width;
  int row_pitch;
  int tiles;  // of what a kernel's blocks own
  float scale;
  bool causal;
};

/// What a kernel makes HopperGradParams' rows from.
struct AttentionRowParams {
  const void *result, *cotangent;
  HeadStrides result_strides, cotangent_strides;
  const RowSums* sums;  // (batch, heads, queries)
  float *log_sums, *inner;
  int planes, heads, queries, value_width, row_pitch;
  bool masked;
};

}  // namespace legato::cuda
