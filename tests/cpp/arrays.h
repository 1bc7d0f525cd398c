// Helpers of the C++ tests: arrays of counted numbers, and their values read back.
#pragma once

#include <cstdint>
#include <vector>

#include "legato/array/array.h"
#include "legato/op/op.h"
#include "legato/ops/create/create.h"
#include "legato/ops/shape/shape.h"
#include "legato/transform/transform.h"

namespace legato::testing {

/// 0, 1, 2, ... in `shape`.
inline Array counted(const Shape& shape, Dtype dtype = Dtype::float32) {
  return reshape(arange(Scalar(element_count(shape)), {}, {}, dtype), shape);
}

inline Array ints(const std::vector<int32_t>& values, Shape shape = {}) {
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  return Array::from<int32_t>(values, shape);
}

inline Array floats(const std::vector<float>& values, Shape shape = {}) {
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  return Array::from<float>(values, shape);
}

inline Array bools(const std::vector<int>& values, Shape shape = {}) {
  std::vector<uint8_t> bytes(values.begin(), values.end());
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  return Array::from_data(bytes.data(), shape, Dtype::bool_);
}

/// The elements in row-major order, as doubles.
inline std::vector<double> values(const Array& a) {
  Array dense = contiguous(astype(a, Dtype::float64));
  const double* p = dense.data<double>();
  return {p, p + a.size()};
}

using Values = std::vector<double>;

/// Cotangents of the inputs of f where those of its output are 1, 2, 3, ...
inline std::vector<Array> pulled_back(const ArrayFn& f, const std::vector<Array>& primals) {
  Array out = f(primals)[0];
  Array ramp = reshape(arange(Scalar(1), Scalar(out.size() + 1), {}, out.dtype()), out.shape());
  std::vector<Array> ct{ramp};
  return vjp(f, primals, ct).second;
}

}  // namespace legato::testing
