// Methods of `array` that lead to Python values: item, tolist, bool, iteration, repr, format, copy,
// pickle; and evaluation of arrays from Python.
#include <cstring>

#include "legato/io/print.h"
#include "legato/op/composed.h"
#include "legato/runtime/backend.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/memory.h"
#include "python/bindings/array_type.h"
#include "python/bindings/convert.h"
#include "python/bindings/dtypes.h"
#include "python/bindings/function.h"

namespace legato::python {
namespace {

// The element at `at` as a Python number; half types give floats.
PyObject* element(const std::byte* at, Dtype t) {
  return visit_dtype(t, [&]<class T>(TypeTag<T>) -> PyObject* {
    T v;
    std::memcpy(&v, at, sizeof v);
    if constexpr (std::is_same_v<T, bool>) {
      return PyBool_FromLong(v);
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      return PyLong_FromLongLong(v);
    } else if constexpr (std::is_integral_v<T>) {
      return PyLong_FromUnsignedLongLong(v);
    } else if constexpr (std::is_same_v<T, complex64_t> || std::is_same_v<T, complex128_t>) {
      return PyComplex_FromDoubles(v.real(), v.imag());
    } else if constexpr (std::is_same_v<T, double>) {
      return PyFloat_FromDouble(v);
    } else {
      return PyFloat_FromDouble(static_cast<float>(v));
    }
  });
}

Owned only_element(const Array& a, const char* function) {
  if (a.size() != 1)
    throw ValueError(cat(function, ": needs an array of exactly one element, but the shape is ",
                         a.shape(), " (", a.size(), " elements)"));
  return checked(element(static_cast<const std::byte*>(host_element(a)), a.dtype()));
}

Owned nested_list(const std::byte* at, const Value& v, size_t axis) {
  if (axis == v.shape.size()) return checked(element(at, v.dtype));
  Owned list = checked(PyList_New(v.shape[axis]));
  int64_t step = v.layout.strides[axis] * size_of(v.dtype);
  for (int64_t i = 0; i < v.shape[axis]; ++i)
    PyList_SET_ITEM(list.get(), i, nested_list(at + i * step, v, axis + 1).release());
  return list;
}

PyObject* item(PyObject* self, PyObject*) {
  return guarded([&] { return only_element(array_of(self), "item").release(); });
}

PyObject* tolist(PyObject* self, PyObject*) {
  return guarded([&] {
    Array a = array_of(self);
    auto* at = static_cast<const std::byte*>(host_element(a));
    return nested_list(at, a.value(), 0).release();
  });
}

PyObject* format(PyObject* self, PyObject* spec) {
  return guarded([&]() -> PyObject* {
    const Array& a = array_of(self);
    if (a.ndim() == 0) return PyObject_Format(only_element(a, "format").get(), spec);
    if (PyUnicode_GetLength(spec) > 0)
      throw TypeError(cat("format: a format such as '", PyUnicode_AsUTF8(spec),
                          "' needs an array without axes, but the shape is ", a.shape()));
    return array_repr(self);
  });
}

PyObject* to_complex(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    Owned v = only_element(array_of(self), "complex");
    if (PyComplex_Check(v.get())) return v.release();
    return PyComplex_FromDoubles(PyFloat_AsDouble(v.get()), 0);
  });
}

PyObject* to_bytes(PyObject* self, PyObject*) {
  return guarded([&] {
    Array a = row_major(array_of(self));
    return PyBytes_FromStringAndSize(static_cast<const char*>(host_element(a)), a.nbytes());
  });
}

PyObject* copy(PyObject* self, PyObject*) { return wrap(array_of(self)); }

// Pickle: the elements as bytes, the shape, the dtype's name.
PyObject* getstate(PyObject* self, PyObject*) {
  return guarded([&] {
    const Array& a = array_of(self);
    Owned bytes = checked(to_bytes(self, nullptr));
    Owned shape = checked(py_dims(a.shape()));
    return Py_BuildValue("(OOs)", bytes.get(), shape.get(), name_of(a.dtype()));
  });
}

PyObject* setstate(PyObject* self, PyObject* state) {
  return guarded([&]() -> PyObject* {
    PyObject *bytes, *dims;
    const char* name;
    if (!PyTuple_Check(state))
      throw TypeError(
          cat("array.__setstate__: the state must be a tuple, found ", type_name(state)));
    if (!PyArg_ParseTuple(state, "SOs:__setstate__", &bytes, &dims, &name)) return nullptr;
    Dims shape;
    Dtype dtype;
    if (!read_dims(dims, shape) || !dtype_of_name(name, dtype))
      throw ValueError("array.__setstate__: the state is not one that __getstate__ gives");
    for (int64_t n : shape)
      if (n < 0) throw ValueError(cat("array.__setstate__: negative size in shape ", shape));
    int64_t expected;
    if (__builtin_mul_overflow(element_count(shape), size_of(dtype), &expected) ||
        expected != PyBytes_GET_SIZE(bytes))
      throw ValueError(cat("array.__setstate__: ", static_cast<int64_t>(PyBytes_GET_SIZE(bytes)),
                           " bytes do not fill shape ", shape, " of ", dtype));
    array_of(self) = Array::from_data(PyBytes_AS_STRING(bytes), shape, dtype);
    Py_RETURN_NONE;
  });
}

PyObject* reduce(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    Owned state = checked(getstate(self, nullptr));
    static PyObject* maker = nullptr;
    if (!maker) {
      Owned copyreg = checked(PyImport_ImportModule("copyreg"));
      maker = checked(PyObject_GetAttrString(copyreg.get(), "__newobj__")).release();
    }
    return Py_BuildValue("(O(O)O)", maker, Py_TYPE(self), state.get());
  });
}

PyObject* array_namespace(PyObject*, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"api_version", nullptr};
  PyObject* version = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:__array_namespace__",
                                   const_cast<char**>(names), &version))
    return nullptr;
  return PyImport_ImportModule("legato.core");
}

// --- iteration -----------------------------------------------------------------------------------

struct PyArrayIterator {
  PyObject_HEAD Array value;
  int64_t next;
};

PyObject* iterator_next(PyObject* self) {
  auto* it = reinterpret_cast<PyArrayIterator*>(self);
  if (it->next >= it->value.shape()[0]) return nullptr;
  return guarded([&] { return wrap(array_row(it->value, it->next++)); });
}
void iterator_dealloc(PyObject* self) {
  reinterpret_cast<PyArrayIterator*>(self)->value.~Array();
  PyObject_Free(self);
}

PyTypeObject ArrayIteratorType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.ArrayIterator",
    .tp_basicsize = sizeof(PyArrayIterator),
    .tp_dealloc = iterator_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = iterator_next,
};

template <class F>
PyCFunction method(F f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

PyObject* set_printoptions(PyObject*, PyObject* precision) {
  long p = PyLong_AsLong(precision);
  if (p == -1 && PyErr_Occurred()) return nullptr;
  if (p > 100) {
    PyErr_SetString(PyExc_ValueError, "printoptions: precision must be at most 100");
    return nullptr;
  }
  set_print_options({static_cast<int>(p < 0 ? -1 : p)});
  Py_RETURN_NONE;
}
PyObject* get_print_precision(PyObject*, PyObject*) {
  return PyLong_FromLong(print_options().precision);
}

PyMethodDef functions[] = {
    {"_set_print_precision", set_printoptions, METH_O, nullptr},
    {"_get_print_precision", get_print_precision, METH_NOARGS, nullptr},
    {"from_dlpack", method(from_dlpack), METH_VARARGS | METH_KEYWORDS,
     "from_dlpack(x, /, *, copy=None)\n--\n\n"
     "An array of the values behind a DLPack exporter (NumPy, PyTorch, CuPy, JAX, ...).\n\n"
     "Host memory is copied, because others may write to it and arrays never change. Memory on a "
     "GPU is shared,\nunless `copy` is True, and nobody waits: Legato's stream comes after the "
     "exporter's. Do not write to it while\nthe array is in use."},
    {},
};

}  // namespace

PyMethodDef array_methods[] = {
    {"item", item, METH_NOARGS,
     "item($self)\n--\n\nThe only element as a Python number. ValueError unless there is exactly "
     "one."},
    {"tolist", tolist, METH_NOARGS,
     "tolist($self)\n--\n\nThe elements as nested lists; a Python number if there are no axes."},
    {"__format__", format, METH_O, nullptr},
    {"__complex__", to_complex, METH_NOARGS, nullptr},
    {"__bytes__", to_bytes, METH_NOARGS, nullptr},
    {"__copy__", copy, METH_NOARGS, nullptr},
    {"__deepcopy__", copy, METH_O, nullptr},
    {"__getstate__", getstate, METH_NOARGS, nullptr},
    {"__setstate__", setstate, METH_O, nullptr},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {"__array__", method(array_numpy), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"__array_namespace__", method(array_namespace), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"__dlpack__", method(array_dlpack), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"__dlpack_device__", array_dlpack_device, METH_NOARGS, nullptr},
    {},
};

int array_bool(PyObject* self) {
  return guarded(-1, [&] { return PyObject_IsTrue(only_element(array_of(self), "bool").get()); });
}
PyObject* array_int(PyObject* self) {
  return guarded([&] { return PyNumber_Long(only_element(array_of(self), "int").get()); });
}
PyObject* array_float(PyObject* self) {
  return guarded([&] { return PyNumber_Float(only_element(array_of(self), "float").get()); });
}
PyObject* array_index(PyObject* self) {
  return guarded([&] {
    const Array& a = array_of(self);
    if (a.ndim() != 0 || !is_integer(a.dtype()))
      throw TypeError(cat("only an integer array without axes can be an index; this one is ",
                          a.dtype(), " of shape ", a.shape()));
    return only_element(a, "index").release();
  });
}

Py_ssize_t array_length(PyObject* self) {
  const Array& a = array_of(self);
  if (a.ndim() > 0) {
    return guarded(Py_ssize_t{-1}, [&]() -> Py_ssize_t {
      note_sizes_read(a);
      return a.shape()[0];
    });
  }
  PyErr_SetString(PyExc_TypeError, "len: the array has no axes");
  return -1;
}

PyObject* array_iter(PyObject* self) {
  const Array& a = array_of(self);
  if (a.ndim() == 0) {
    PyErr_SetString(PyExc_TypeError, "iter: the array has no axes");
    return nullptr;
  }
  if (guarded(-1, [&] { return note_sizes_read(a), 0; }) != 0) return nullptr;
  auto* it = PyObject_New(PyArrayIterator, &ArrayIteratorType);
  if (!it) return nullptr;
  new (&it->value) Array(a);
  it->next = 0;
  return reinterpret_cast<PyObject*>(it);
}

PyObject* array_repr(PyObject* self) {
  return guarded([&] {
    Array a = array_of(self);
    evaluate(a);
    return PyUnicode_FromString(to_string(a).c_str());
  });
}

void evaluate(std::span<const Array> arrays, bool wait) {
  bool done = true;
  for (const Array& a : arrays) done &= a.node()->is_done();
  // What is done for the host may still be computed by a GPU.
  if (!done || (wait && any_asynchronous_backend())) runtime_hooks().evaluate(arrays, wait);
}
void evaluate(const Array& a) { evaluate({&a, 1}); }

const void* host_element(const Array& a) {
  evaluate(a);
  const Value& v = a.value();
  LEGATO_CHECK(v.storage, "a computed value has no storage");
  return static_cast<const std::byte*>(runtime_hooks().read(*v.storage)) +
         v.layout.offset * size_of(v.dtype);
}

Array row_major(const Array& a) {
  const void* from = host_element(a);
  const Value& v = a.value();
  if (v.row_major) return a;
  Dims byte_strides = v.layout.strides;
  for (auto& s : byte_strides) s *= size_of(v.dtype);
  void* host = nullptr;
  auto storage = runtime_hooks().allocate(v.size * size_of(v.dtype), &host);
  if (v.size > 0) copy_strided(host, from, v.shape, byte_strides, size_of(v.dtype));
  return from_storage(std::move(storage), v.shape, {row_major_strides(v.shape), 0}, v.dtype);
}

namespace {

RuntimeHooks runtime;  // the library's own

// Every wait lets other Python threads run, also one inside a function that reads values to know
// its shape. What is done before another thread could have begun is no wait.
void evaluate_without_gil(std::span<const Array> roots, bool wait) {
  if (wait && roots.size() == 1 && evaluate_at_once(roots[0])) return;
  if (!PyGILState_Check()) return runtime.evaluate(roots, wait);
  ReleaseGil release;
  runtime.evaluate(roots, wait);
}

// So does a copy from another device; what is on the host already costs no switch.
const void* read_without_gil(Storage& storage) {
  if (static_cast<DeviceStorage&>(storage).is_on(Device{}) || !PyGILState_Check())
    return runtime.read(storage);
  ReleaseGil release;
  return runtime.read(storage);
}

}  // namespace

void init_array_methods(PyObject* module) {
  runtime = runtime_hooks();
  runtime_hooks().evaluate = evaluate_without_gil;
  runtime_hooks().read = read_without_gil;
  checked(PyType_Ready(&ArrayIteratorType));
  checked(PyModule_AddObjectRef(module, "ArrayIterator",
                                reinterpret_cast<PyObject*>(&ArrayIteratorType)));
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace legato::python
