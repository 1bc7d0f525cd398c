// Arrays from memory that other libraries own: the buffer protocol and NumPy. Always by copy, as
// arrays never change.
#include <cstring>

#include "python/bindings/convert.h"

namespace legato::python {
namespace {

class Buffer {
 public:
  explicit Buffer(PyObject* o) : ok_(PyObject_GetBuffer(o, &view_, PyBUF_FULL_RO) == 0) {}
  ~Buffer() {
    if (ok_) PyBuffer_Release(&view_);
  }
  Buffer(const Buffer&) = delete;
  bool ok() const { return ok_; }
  const Py_buffer& view() const { return view_; }

 private:
  Py_buffer view_ = {};
  bool ok_;
};

// The dtype of a struct-module format; false if there is none.
bool dtype_of_format(const char* format, int64_t itemsize, Dtype& out) {
  if (!format) format = "B";
  if (*format == '>' || *format == '!')
    throw ValueError(
        "array: the data is big-endian; convert it first, such as with "
        "x.astype(x.dtype.newbyteorder('='))");
  if (*format == '@' || *format == '=' || *format == '<') ++format;
  bool is_complex = *format == 'Z';
  if (is_complex) ++format;
  if (!*format || format[1]) return false;
  auto pick = [&](Dtype b1, Dtype b2, Dtype b4, Dtype b8) {
    out = itemsize == 1 ? b1 : itemsize == 2 ? b2 : itemsize == 4 ? b4 : b8;
    return itemsize == size_of(out);
  };
  switch (*format) {
    case '?':
      out = Dtype::bool_;
      return itemsize == 1;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
    case 'n':
      return pick(Dtype::int8, Dtype::int16, Dtype::int32, Dtype::int64);
    case 'c':
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q':
    case 'N':
      return pick(Dtype::uint8, Dtype::uint16, Dtype::uint32, Dtype::uint64);
    case 'e':
      out = Dtype::float16;
      return itemsize == 2;
    case 'f':
      out = is_complex ? Dtype::complex64 : Dtype::float32;
      return itemsize == size_of(out);
    case 'd':
      out = is_complex ? Dtype::complex128 : Dtype::float64;
      return itemsize == size_of(out);
    default:
      return false;
  }
}

template <class Copy>
void walk(std::byte*& to, const std::byte* from, const Shape& shape, const Dims& strides,
          size_t axis, const Copy& copy) {
  if (axis + 1 >= shape.size()) {
    bool scalar = shape.empty();
    copy(to, from, scalar ? 1 : shape[axis], scalar ? 0 : strides[axis]);
    return;
  }
  for (int64_t i = 0; i < shape[axis]; ++i)
    walk(to, from + i * strides[axis], shape, strides, axis + 1, copy);
}

template <size_t kBytes>
void copy_run(std::byte*& to, const std::byte* from, int64_t n, int64_t stride) {
  if (stride == static_cast<int64_t>(kBytes)) {
    std::memcpy(to, from, static_cast<size_t>(n) * kBytes);
  } else {
    for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * kBytes, from + i * stride, kBytes);
  }
  to += n * kBytes;
}

// Doubles to floats, `parts` of them an element (2 for complex numbers).
void narrow(void* to, const void* from, const Shape& shape, const Dims& strides, int parts) {
  auto* out = static_cast<std::byte*>(to);
  walk(out, static_cast<const std::byte*>(from), shape, strides, 0,
       [parts](std::byte*& out, const std::byte* from, int64_t n, int64_t stride) {
         for (int64_t i = 0; i < n; ++i) {
           for (int p = 0; p < parts; ++p) {
             double wide;
             std::memcpy(&wide, from + i * stride + p * 8, 8);
             float v = static_cast<float>(wide);
             std::memcpy(out, &v, 4);
             out += 4;
           }
         }
       });
}

Array array_of_view(const Py_buffer& view, Dtype from, std::optional<Dtype> wanted) {
  // What NumPy makes by default is narrowed, as array() of Python floats is.
  Dtype to = from;
  if (from == Dtype::float64)
    to = wanted.value_or(Dtype::float32) == Dtype::float32 ? Dtype::float32 : from;
  if (from == Dtype::complex128)
    to = wanted.value_or(Dtype::complex64) == Dtype::complex64 ? Dtype::complex64 : from;
  Shape shape;
  Dims strides;
  for (int i = 0; i < view.ndim; ++i) {
    shape.push_back(view.shape[i]);
    strides.push_back(view.strides[i]);
  }
  void* host = nullptr;
  auto storage = runtime_hooks().allocate(element_count(shape) * size_of(to), &host);
  if (element_count(shape) > 0) {
    if (from == to)
      copy_strided(host, view.buf, shape, strides, size_of(to));
    else
      narrow(host, view.buf, shape, strides, from == Dtype::complex128 ? 2 : 1);
  }
  Array a = from_storage(std::move(storage), shape, {row_major_strides(shape), 0}, to);
  return wanted ? cast(a, *wanted) : a;
}

// bfloat16 of the ml_dtypes package has no buffer format; its bits travel as uint16.
Array array_of_bfloat16(PyObject* o, std::optional<Dtype> wanted) {
  Owned dtype = Owned::steal(PyObject_GetAttrString(o, "dtype"));
  Owned name = dtype ? Owned::steal(PyObject_GetAttrString(dtype.get(), "name")) : Owned();
  if (!name || !PyUnicode_Check(name.get()) ||
      PyUnicode_CompareWithASCIIString(name.get(), "bfloat16") != 0) {
    PyErr_Clear();
    return {};
  }
  Owned bits = checked(PyObject_CallMethod(o, "view", "s", "uint16"));
  Buffer buffer(bits.get());
  if (!buffer.ok()) throw PythonError();
  Array a = array_of_view(buffer.view(), Dtype::bfloat16, std::nullopt);
  return wanted ? cast(a, *wanted) : a;
}

}  // namespace

void copy_strided(void* to, const void* from, const Shape& shape, const Dims& byte_strides,
                  int64_t itemsize) {
  auto* out = static_cast<std::byte*>(to);
  auto* in = static_cast<const std::byte*>(from);
  switch (itemsize) {
    case 1:
      return walk(out, in, shape, byte_strides, 0, copy_run<1>);
    case 2:
      return walk(out, in, shape, byte_strides, 0, copy_run<2>);
    case 4:
      return walk(out, in, shape, byte_strides, 0, copy_run<4>);
    case 8:
      return walk(out, in, shape, byte_strides, 0, copy_run<8>);
    default:
      return walk(out, in, shape, byte_strides, 0, copy_run<16>);
  }
}

Array array_from_buffer(PyObject* o, std::optional<Dtype> dtype) {
  Buffer buffer(o);
  if (!buffer.ok()) {
    PyErr_Clear();
    return array_of_bfloat16(o, dtype);
  }
  const Py_buffer& view = buffer.view();
  Dtype from;
  if (!dtype_of_format(view.format, view.itemsize, from))
    throw ValueError(cat("array: no dtype for elements of format '",
                         view.format ? view.format : "B", "' and ",
                         static_cast<int64_t>(view.itemsize), " bytes"));
  return array_of_view(view, from, dtype);
}

}  // namespace legato::python
