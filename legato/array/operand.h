// Types of arguments and results in public functions.
#pragma once

#include <complex>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

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

/// A number, a sequence of numbers, or a sequence whose entries are numbers or sequences: pad
/// widths, places to cut.
struct NestedInts {
  enum class Kind : uint8_t { number, list, nested };
  Kind kind = Kind::number;
  std::vector<Dims>
      values;  // one entry for a number or a list; for nested, one for each of its own
};

/// An array, or a word that stands for one: the mask "causal". The word is empty if an array is
/// given.
struct ArrayOrText {
  Array array;
  std::string text;
};

/// Results of a function whose number is not known beforehand, as a tuple (std::vector: as a list).
struct ArrayTuple {
  std::vector<Array> arrays;
};
/// A bare array if there is one, else a list.
struct OneOrList {
  std::vector<Array> arrays;
};

}  // namespace legato
