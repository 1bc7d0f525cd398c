// Arrays made from nothing but numbers, and astype.
#pragma once

#include <optional>

#include "legato/array/operand.h"

namespace legato {

/// `shape` filled with one value, without memory until somebody needs it laid out. Throws
/// ValueError for a negative size.
LEGATO_API Array zeros(const Shape& shape, std::optional<Dtype> dtype = Dtype::float32);
LEGATO_API Array ones(const Shape& shape, std::optional<Dtype> dtype = Dtype::float32);

/// `vals`, a number or an array that broadcasts to `shape`; by default in its own dtype.
LEGATO_API Array full(const Shape& shape, const Operand& vals, std::optional<Dtype> dtype = {});

/// The shape, and by default the dtype, of `a`.
LEGATO_API Array zeros_like(const Array& a, std::optional<Dtype> dtype = {});
LEGATO_API Array ones_like(const Array& a, std::optional<Dtype> dtype = {});
LEGATO_API Array full_like(const Array& a, const Operand& vals, std::optional<Dtype> dtype = {});

/// start, start + step, ... up to but without `stop`; arange(n) counts from 0 to n - 1. int32
/// (int64 where needed) for integers, else float32. Throws ValueError for step 0, bool or
/// non-finite arguments.
LEGATO_API Array arange(const std::optional<Scalar>& start, const std::optional<Scalar>& stop = {},
                        const std::optional<Scalar>& step = {}, std::optional<Dtype> dtype = {});
/// Whether the array was made as 0, 1, ..., n - 1; its value is not asked for.
bool is_arange(const Array& a, int64_t n);

/// `num` numbers in equal steps from `start` to `stop`, with the last one or without.
LEGATO_API Array linspace(const Scalar& start, const Scalar& stop, std::optional<int64_t> num = 50,
                          bool endpoint = true, std::optional<Dtype> dtype = Dtype::float32);

/// n rows and m columns (default n) with ones on the k-th diagonal.
LEGATO_API Array eye(int64_t n, std::optional<int64_t> m = {}, int64_t k = 0,
                     std::optional<Dtype> dtype = Dtype::float32);
LEGATO_API Array identity(int64_t n, std::optional<Dtype> dtype = Dtype::float32);

/// n rows and m columns (default n) with ones on and below the k-th diagonal.
LEGATO_API Array tri(int64_t n, std::optional<int64_t> m = {}, int64_t k = 0,
                     std::optional<Dtype> dtype = Dtype::float32);

/// Windows of length M in float32, symmetric.
LEGATO_API Array hanning(int64_t M);
LEGATO_API Array hamming(int64_t M);
LEGATO_API Array blackman(int64_t M);
LEGATO_API Array bartlett(int64_t M);

/// `a` in another dtype. Floats are truncated to integers, which wrap to their width; nan and what
/// exceeds 64 bits give 0; complex numbers lose their imaginary part. The gradient passes through.
LEGATO_API Array astype(const Array& a, Dtype dtype);

}  // namespace legato
