// Attributes and records of the ops that create numbers, for their kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

struct ArangeAttrs {
  Scalar start, step;  // both integers, or both real
  int64_t size;
  Dtype dtype;
  static constexpr auto fields() {
    return std::tuple(field("start", &ArangeAttrs::start), field("step", &ArangeAttrs::step),
                      field("size", &ArangeAttrs::size), field("dtype", &ArangeAttrs::dtype));
  }
};
struct LinspaceAttrs {
  double start, stop;
  int64_t num;
  bool endpoint;
  Dtype dtype;
  static constexpr auto fields() {
    return std::tuple(field("start", &LinspaceAttrs::start), field("stop", &LinspaceAttrs::stop),
                      field("num", &LinspaceAttrs::num),
                      field("endpoint", &LinspaceAttrs::endpoint),
                      field("dtype", &LinspaceAttrs::dtype));
  }
};
/// start + i * step, and the equal steps of linspace.
extern const Op arange_op, linspace_op;

}  // namespace legato
