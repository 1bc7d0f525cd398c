// Products of halves by Hopper's tensor cores, with activations and gates that cuBLASLt does not
// know (matmul_sm90a.cu).
#pragma once

#include "legato/array/dtype.h"

namespace legato::cuda {

/// d (m, n) = act(a (m, k) b (k, n) + bias); gated: d (m, n / 2), see HopperProductParams. Rows of
/// a and columns of b are dense, so is d.
struct HopperProduct {
  Dtype dtype = Dtype::float16;                            // of all
  const void *a = nullptr, *b = nullptr, *bias = nullptr;  // bias: (n), or null
  void* d = nullptr;
  int64_t m = 0, n = 0, k = 0;
  int64_t a_row = 0, b_col = 0;  // elements from row to row, and from column to column
  const char* act = "";          // as the kernels are named: "gelu_erf"
  bool gated = false, first_is_gate = false;
};

/// Whether the machine's GPUs are Hopper.
bool hopper_present();
/// Launches it on the current device; false, having done nothing, if it is no Hopper, if the
/// product is too small to fill it, or if its tensor copies cannot describe the sizes or addresses.
bool hopper_multiply(const HopperProduct& p);

}  // namespace legato::cuda
