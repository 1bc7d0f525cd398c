// Which unsigned integers stand for the values of a data type when they are compared, for both
// sides.
#pragma once

namespace legato::cuda {

/// How an element's bits become an unsigned key in the order of the values; see order_keys.cuh.
struct KeyForm {
  enum Kind : int { unsigned_, signed_, floating, complex64, complex128, real128, imag128 };
  int kind;
  int zeros_equal;              // whether -0.0 and 0.0 have one key
  unsigned long long infinity;  // of a float, as bits; what is above it is nan
  unsigned long long nan;       // what a nan's key turns back into
};

}  // namespace legato::cuda
