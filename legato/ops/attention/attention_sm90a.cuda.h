// Attention on Hopper: launches the kernels of attention_sm90a.cu and attention_grad_sm90a.cu where
// they fit.
#pragma once

#include "legato/ops/attention/attention.cuh"

namespace legato {
class Launch;
struct View;
}  // namespace legato

namespace legato::cuda {

HeadStrides head_strides(const View& v);

/// Launches the forward kernel if this is such a device and the arrays lie as it needs them.
/// general: any mask, sign of scale, sinks.
bool attend_on_hopper(const Launch& l, const AttentionParams& p, bool general);

/// The same for the derivative. Of `s`, all that is given to kernels is known but for `inner`.
bool pull_back_on_hopper(Launch& l, const AttentionGradParams& s);

}  // namespace legato::cuda
