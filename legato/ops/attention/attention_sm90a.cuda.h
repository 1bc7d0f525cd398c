// Attention on Hopper: launches the kernels of attention_sm90a.cu and attention_grad_sm90a.cu where
// they fit.
#pragma once

#include <cstdint>

#include "legato/ops/attention/attention.cuh"

namespace legato {
class Launch;
struct View;
}  // namespace legato

namespace legato::cuda {

HeadStrides head_strides(const View& v);

/// How a mask of elements of `bytes` bytes lies for tensor copies: as it is, if its rows are packed
/// and begin at multiples of 16 bytes, else in a copy that does. What is shared is there once.
struct MaskLayout {
  int64_t sizes[4];    // batch, heads, queries, keys
  int64_t strides[3];  // in elements
  bool as_it_lies;
};
MaskLayout mask_layout(const AttentionParams& p, int64_t batch, int64_t bytes);

/// Launches the forward kernel if this is such a device and the arrays lie as it needs them.
/// general: any mask, sign of scale, sinks.
bool attend_on_hopper(Launch& l, const AttentionParams& p, bool general);

/// The same for the derivative. Of `s`, all that is given to kernels is known but for `inner`.
bool pull_back_on_hopper(Launch& l, const AttentionGradParams& s);

}  // namespace legato::cuda
