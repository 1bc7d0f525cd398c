// Numbers, sizes, nested lists and NumPy objects as arrays.
#include "python/bindings/convert.h"

#include <cstring>

#include "legato/op/registry.h"
#include "python/bindings/dtypes.h"
#include "python/bindings/function.h"

namespace legato::python {
namespace {

constexpr int kMaxDepth = 64;  // of nested lists

// NumPy's types, if the program has imported it: an object can be NumPy's only then.
struct NumPy {
  PyObject* array = nullptr;
  PyObject* generic = nullptr;
};
const NumPy* numpy() {
  static NumPy types;
  if (types.array) return &types;
  static PyObject* name = PyUnicode_InternFromString("numpy");
  Owned module = Owned::steal(PyImport_GetModule(name));
  if (!module) {
    PyErr_Clear();
    return nullptr;
  }
  Owned array = Owned::steal(PyObject_GetAttrString(module.get(), "ndarray"));
  Owned generic = Owned::steal(PyObject_GetAttrString(module.get(), "generic"));
  if (!array || !generic || !PyType_Check(array.get()) || !PyType_Check(generic.get())) {
    PyErr_Clear();  // half imported
    return nullptr;
  }
  types = {array.release(), generic.release()};
  return &types;
}

bool is_instance(PyObject* o, PyObject* type) {
  return PyType_IsSubtype(Py_TYPE(o), reinterpret_cast<PyTypeObject*>(type));
}
bool is_numpy_array(PyObject* o) {
  const NumPy* n = numpy();
  return n && is_instance(o, n->array);
}
bool is_numpy_scalar(PyObject* o) {
  const NumPy* n = numpy();
  return n && is_instance(o, n->generic);
}

void read_long(PyObject* o, Scalar& out) {
  int overflow;
  long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (overflow == 0) {
    if (v == -1 && PyErr_Occurred()) throw PythonError();
    out = Scalar(static_cast<int64_t>(v));
    return;
  }
  if (overflow > 0) {
    unsigned long long u = PyLong_AsUnsignedLongLong(o);
    if (!(u == ~0ull && PyErr_Occurred())) {
      out = Scalar(static_cast<uint64_t>(u));
      return;
    }
    PyErr_Clear();
  }
  throw ValueError("an int does not fit 64 bits; arrays hold -2**63 to 2**64 - 1");
}

// The Python number inside a NumPy scalar; null if it holds none (a string, a date).
Owned numpy_item(PyObject* o) {
  Owned item = checked(PyObject_CallMethod(o, "item", nullptr));
  if (is_numpy_scalar(item.get())) {  // types that NumPy itself does not know, such as bfloat16
    item = Owned::steal(PyNumber_Float(o));
    if (!item) PyErr_Clear();
  }
  return item;
}

// --- nested lists --------------------------------------------------------------------------------

bool is_nest(PyObject* o) { return PyList_Check(o) || PyTuple_Check(o) || PyRange_Check(o); }

[[noreturn]] void refuse_inside(PyObject* o) {
  throw ValueError(cat("array: found ", type_name(o),
                       " among the elements; they may be numbers, arrays and lists of those"));
}

// First pass over nested lists: shape, the widest kind of number, whether arrays are among them.
struct Nest {
  Shape shape;
  bool any = false;  // a number was seen
  Scalar::Kind kind = Scalar::Kind::boolean;
  bool wide = false;      // an integer beyond int32
  bool negative = false;  // an integer below 0
  bool has_arrays = false;
  bool leaf_depth_known = false;

  void number(const Scalar& s) {
    any = true;
    if (s.kind == Scalar::Kind::integer) {
      wide |= s.i != static_cast<int32_t>(s.i);
      negative |= s.i < 0;
    }
    if (s.kind > kind) kind = s.kind;
  }
  Dtype dtype() const {
    if (!any) return Dtype::float32;
    switch (kind) {
      case Scalar::Kind::boolean:
        return Dtype::bool_;
      case Scalar::Kind::integer:
        return wide ? Dtype::int64 : Dtype::int32;
      case Scalar::Kind::unsigned_integer:
        if (negative)
          throw ValueError(
              "array: no integer dtype holds both a negative int and one beyond 2**63 - 1");
        return Dtype::uint64;
      case Scalar::Kind::real:
        return Dtype::float32;
      case Scalar::Kind::complex:
        break;
    }
    return Dtype::complex64;
  }
};

Owned items_of(PyObject* nest) {
  return checked(PySequence_Fast(nest, "array: expected a list"));  // the object itself for lists
}

void survey(PyObject* nest, size_t depth, Nest& info) {
  if (depth >= kMaxDepth)
    throw ValueError(cat("array: lists are nested deeper than ", kMaxDepth, " levels"));
  Owned items = items_of(nest);
  Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
  if (info.shape.size() == depth) {
    if (info.leaf_depth_known)
      throw ValueError("array: numbers and lists stand side by side; all rows must have one shape");
    info.shape.push_back(n);
  } else if (info.shape[depth] != n) {
    throw ValueError(cat("array: the rows at depth ", depth, " have lengths ", info.shape[depth],
                         " and ", static_cast<int64_t>(n), "; all rows must have one length"));
  }
  if (n == 0) info.leaf_depth_known = true;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    Scalar s;
    if (PyFloat_CheckExact(item)) {
      s = Scalar(PyFloat_AS_DOUBLE(item));
    } else if (is_nest(item)) {
      survey(item, depth + 1, info);
      if (info.has_arrays) return;
      continue;
    } else if (is_array(item) || is_array_like(item)) {
      info.has_arrays = true;
      return;
    } else if (!read_scalar(item, s)) {
      refuse_inside(item);
    }
    if (info.shape.size() != depth + 1)
      throw ValueError("array: numbers and lists stand side by side; all rows must have one shape");
    info.leaf_depth_known = true;
    info.number(s);
  }
}

// Second pass: the numbers, row-major, as elements of `t`.
void fill(PyObject* nest, size_t depth, const Shape& shape, Dtype t, int64_t size, std::byte*& to) {
  Owned items = items_of(nest);
  if (PySequence_Fast_GET_SIZE(items.get()) != shape[depth])
    throw ValueError("array: a list changed while it was read");
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    if (depth + 1 < shape.size()) {
      if (!is_nest(item)) throw ValueError("array: a list changed while it was read");
      fill(item, depth + 1, shape, t, size, to);
      continue;
    }
    if (t == Dtype::float32 && PyFloat_CheckExact(item)) {
      float v = static_cast<float>(PyFloat_AS_DOUBLE(item));
      std::memcpy(to, &v, sizeof v);
    } else {
      Scalar s;
      if (!read_scalar(item, s)) refuse_inside(item);
      store_wrapped(s, t, to);
    }
    to += size;
  }
}

Array array_from_nest(PyObject* nest, std::optional<Dtype> dtype, size_t depth) {
  Nest info;
  survey(nest, 0, info);
  if (!info.has_arrays) {
    Dtype t = dtype.value_or(info.dtype());
    void* host = nullptr;
    auto storage = runtime_hooks().allocate(element_count(info.shape) * size_of(t), &host);
    auto* to = static_cast<std::byte*>(host);
    fill(nest, 0, info.shape, t, size_of(t), to);
    return from_storage(std::move(storage), info.shape, {row_major_strides(info.shape), 0}, t);
  }
  if (depth >= kMaxDepth)
    throw ValueError(cat("array: lists are nested deeper than ", kMaxDepth, " levels"));
  Owned items = items_of(nest);
  std::vector<Array> rows;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    Array row = is_nest(item) ? array_from_nest(item, dtype, depth + 1)
                              : read_array(item, Accept::operand, dtype);
    if (!row) refuse_inside(item);
    rows.push_back(std::move(row));
  }
  return call_function("stack", {Arg(std::move(rows)), Arg(int64_t{0})});
}

Array from_protocol(PyObject* o, std::optional<Dtype> dtype) {
  static PyObject* name = PyUnicode_InternFromString("__mlx_array__");
  Owned method = Owned::steal(PyObject_GetAttr(o, name));
  if (!method) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) throw PythonError();
    PyErr_Clear();
    return {};
  }
  Owned result = checked(PyObject_CallNoArgs(method.get()));
  if (!is_array(result.get()))
    throw TypeError(cat("array: __mlx_array__ of ", type_name(o), " gave ", type_name(result.get()),
                        ", not an array"));
  return dtype ? cast(array_of(result.get()), *dtype) : array_of(result.get());
}

// Types that certainly have none of the array protocols: settled without attribute look-ups.
bool is_plain(PyObject* o) {
  return o == Py_None || PyUnicode_CheckExact(o) || PyDict_CheckExact(o) || PyLong_CheckExact(o) ||
         PyFloat_CheckExact(o) || PyList_CheckExact(o) || PyTuple_CheckExact(o) || is_dtype(o) ||
         PyType_Check(o);
}

bool has_attribute(PyObject* o, const char* name) {
  return PyObject_HasAttrString(reinterpret_cast<PyObject*>(Py_TYPE(o)), name);
}

}  // namespace

bool read_scalar(PyObject* o, Scalar& out) {
  if (PyFloat_Check(o)) {
    out = Scalar(PyFloat_AS_DOUBLE(o));
  } else if (PyBool_Check(o)) {
    out = Scalar(o == Py_True);
  } else if (PyLong_Check(o)) {
    read_long(o, out);
  } else if (PyComplex_Check(o)) {
    Py_complex c = PyComplex_AsCComplex(o);
    out = Scalar(std::complex<double>(c.real, c.imag));
  } else if (!is_plain(o) && is_numpy_scalar(o)) {
    Owned item = numpy_item(o);
    return item && !is_numpy_scalar(item.get()) && read_scalar(item.get(), out);
  } else {
    return false;
  }
  return true;
}

bool read_integer(PyObject* o, int64_t& out) {
  if (!PyLong_Check(o)) {
    if (!PyIndex_Check(o) || PyFloat_Check(o)) return false;
    Owned index = Owned::steal(PyNumber_Index(o));
    if (!index) {
      if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw PythonError();
      PyErr_Clear();
      return false;
    }
    return read_integer(index.get(), out);
  }
  int overflow;
  out = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (overflow) throw ValueError("an int does not fit 64 bits");
  return true;
}

bool read_dims(PyObject* o, Dims& out) {
  out.clear();
  int64_t v;
  if (PyLong_Check(o) || !(PyList_Check(o) || PyTuple_Check(o))) {
    if (read_integer(o, v)) {
      out.push_back(v);
      return true;
    }
    if (!PyRange_Check(o) && !PySequence_Check(o)) return false;
    if (PyUnicode_Check(o) || PyBytes_Check(o) || is_array(o)) return false;
  }
  Owned items = Owned::steal(PySequence_Fast(o, ""));
  if (!items) {
    PyErr_Clear();
    return false;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    if (!read_integer(PySequence_Fast_GET_ITEM(items.get(), i), v)) return false;
    out.push_back(v);
  }
  return true;
}

PyObject* py_scalar(const Scalar& s) {
  switch (s.kind) {
    case Scalar::Kind::boolean:
      return PyBool_FromLong(s.i != 0);
    case Scalar::Kind::integer:
      return PyLong_FromLongLong(s.i);
    case Scalar::Kind::unsigned_integer:
      return PyLong_FromUnsignedLongLong(s.u);
    case Scalar::Kind::real:
      return PyFloat_FromDouble(s.re);
    case Scalar::Kind::complex:
      break;
  }
  return PyComplex_FromDoubles(s.re, s.im);
}

PyObject* py_dims(const Dims& dims) {
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(dims.size()));
  if (!tuple) return nullptr;
  for (size_t i = 0; i < dims.size(); ++i) {
    PyObject* v = PyLong_FromLongLong(dims[i]);
    if (!v) {
      Py_DECREF(tuple);
      return nullptr;
    }
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), v);
  }
  return tuple;
}

bool is_array_like(PyObject* o) {
  if (is_plain(o)) return false;
  return is_numpy_array(o) || has_attribute(o, "__mlx_array__");
}

Array read_array(PyObject* o, Accept accept, std::optional<Dtype> dtype) {
  if (is_array(o)) return dtype ? cast(array_of(o), *dtype) : array_of(o);
  if (accept == Accept::anything && !is_plain(o) && is_numpy_scalar(o)) {  // keeps its dtype
    if (Array a = array_from_buffer(o, dtype)) return a;
  }
  Scalar s;
  if (read_scalar(o, s)) {
    Dtype t = dtype.value_or(default_dtype(s));
    alignas(16) unsigned char element[16];
    store_wrapped(s, t, element);
    return Array::from_data(element, {}, t);
  }
  if (accept == Accept::anything && is_nest(o)) return array_from_nest(o, dtype, 0);
  if (is_plain(o)) return {};
  if (is_numpy_array(o)) {
    Array a = array_from_buffer(o, dtype);
    if (!a) throw TypeError("array: a NumPy array of this dtype has no counterpart");
    return a;
  }
  if (Array a = from_protocol(o, dtype)) return a;
  if (accept == Accept::operand) return {};
  if (PyObject_CheckBuffer(o)) {
    if (Array a = array_from_buffer(o, dtype)) return a;
  }
  if (has_attribute(o, "__dlpack__")) {
    Array a = array_from_dlpack(o, true);
    return dtype ? cast(a, *dtype) : a;
  }
  if (has_attribute(o, "__array__")) {
    Owned made = checked(PyObject_CallMethod(o, "__array__", nullptr));
    if (is_numpy_array(made.get())) return array_from_buffer(made.get(), dtype);
  }
  return {};
}

Array cast(const Array& a, Dtype t) {
  if (a.dtype() == t) return a;
  return call_function("astype", {Arg(a), Arg(t)});
}

void store_wrapped(const Scalar& s, Dtype t, void* to) {
  bool whole = s.kind == Scalar::Kind::integer || s.kind == Scalar::Kind::unsigned_integer;
  if (whole && is_integer(t))
    std::memcpy(to, &s.u, static_cast<size_t>(size_of(t)));  // little-endian: the low bytes
  else
    store_scalar(s, t, to);
}

}  // namespace legato::python
