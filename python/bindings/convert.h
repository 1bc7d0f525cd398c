// From Python objects to the arguments of functions: numbers, sizes, arrays.
#pragma once

#include <optional>
#include <vector>

#include "legato/array/dtype.h"
#include "python/bindings/common.h"

namespace legato::python {

/// Reads a Python or NumPy number. False if `o` is none; ValueError if an int exceeds 64 bits.
bool read_scalar(PyObject* o, Scalar& out);

/// Reads an int, or what has __index__. False if `o` is no integer; ValueError beyond 64 bits.
bool read_integer(PyObject* o, int64_t& out);

/// Reads an int or a sequence of ints. False if `o` is neither.
bool read_dims(PyObject* o, Dims& out);

/// A Python number of the C++ one.
PyObject* py_scalar(const Scalar& s);
PyObject* py_dims(const Dims& dims);  // a tuple of ints

/// What may stand for an array, apart from an array itself.
enum class Accept {
  operand,   // numbers, NumPy arrays and what has __mlx_array__: the operands of + and the like
  anything,  // lists and other buffers as well: whatever array() takes
};

/// Whether the type of `o` is one that read_array takes with Accept::operand, numbers excluded.
bool is_array_like(PyObject* o);

/// The array that `array(o, dtype)` makes. Null handle if the type of `o` is not accepted; throws
/// if the type is but the contents are not (ragged lists, strings inside). Does not evaluate
/// anything.
Array read_array(PyObject* o, Accept accept, std::optional<Dtype> dtype = std::nullopt);

/// The array over a buffer (bytes, memoryview, NumPy), copied. Null handle if `o` has no buffer.
Array array_from_buffer(PyObject* o, std::optional<Dtype> dtype);

/// The array over a DLPack exporter's CPU memory, copied. See dlpack.cpp.
Array array_from_dlpack(PyObject* exporter, bool copy);

/// Copies elements of `itemsize` bytes from a strided block (strides in bytes) to a row-major one.
void copy_strided(void* to, const void* from, const Shape& shape, const Dims& byte_strides,
                  int64_t itemsize);

/// `a` as `t`: `a` itself if it is one already.
Array cast(const Array& a, Dtype t);

/// Writes `s` as an element of `t`; an integer that does not fit wraps, as in `array(300, int8)`.
void store_wrapped(const Scalar& s, Dtype t, void* to);

}  // namespace legato::python
