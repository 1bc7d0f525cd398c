// The op records of the family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

struct ScanAttrs {
  int64_t axis = 0;
  bool reverse = false, inclusive = true;
  static constexpr auto fields() {
    return std::tuple(field("axis", &ScanAttrs::axis), field("reverse", &ScanAttrs::reverse),
                      field("inclusive", &ScanAttrs::inclusive));
  }
};

extern const Op cumsum_op, cumprod_op, cummax_op, cummin_op, logcumsumexp_op;
/// exp_scan(v, a, b)[j] = exp(b[j]) * sum over the scan of v[i] exp(a[i]).
extern const Op exp_scan_op;

}  // namespace legato
