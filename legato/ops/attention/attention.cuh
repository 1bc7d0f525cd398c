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

/// q (batch, heads, queries, width), k (batch, heads / group, keys, width), v (..., value_width).
struct AttentionParams {
  const void *q, *k, *v, *mask;
  const float* sinks;  // (1 or batch, heads), or null
  void* out;           // (batch, heads, queries, value_width) in any order of its axes
  float* log_sum;      // (batch, heads, queries): log of the sum of exp(scores), or null
  HeadStrides q_strides, k_strides, v_strides, out_strides, mask_strides;
  long long mask_column, sinks_batch;  // distances between columns of the mask, batches of sinks
  int heads, group, queries, keys, width, value_width;
  int query_tiles;
  float scale;
  MaskKind mask_kind;
  bool causal;
  bool packed;  // rows of q, k and v begin at multiples of 16 bytes
};

/// As AttentionParams; q, k and v as (batch, heads, rows, columns), copied in boxes of 64 columns.
struct HopperAttentionParams {
  TensorMap q, k, v;
  void* out;
  float* log_sum;
  HeadStrides out_strides;
  int heads, group, queries, keys, value_width;
  int query_tiles;
  float scale;  // positive
  bool causal;
};

}  // namespace legato::cuda
