// Types of arguments in public functions: Operand (an array or a number) and Axes.
#pragma once

#include <complex>
#include <optional>
#include <type_traits>

#include "legato/array/array.h"

namespace legato {

/// Axes as the caller wrote them: nothing for "all", else a list that may hold negative axes.
using Axes = std::optional<Dims>;

/// An argument of a pointwise function: an array, or a number that takes the dtype of the arrays
/// beside it.
class LEGATO_API Operand {
 public:
  Operand(const Array& a) : array_(&a) {}
  Operand(const Scalar& s) : scalar_(s) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Operand(T v) : scalar_(v) {}
  Operand(std::complex<double> v) : scalar_(v) {}
  bool is_array() const { return array_ != nullptr; }
  const Array& array() const { return *array_; }
  const Scalar& scalar() const { return scalar_; }

 private:
  const Array* array_ = nullptr;
  Scalar scalar_;
};

}  // namespace legato
