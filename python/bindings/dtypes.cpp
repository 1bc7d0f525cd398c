// Dtype objects and the functions on them that need the promotion table.
#include "python/bindings/dtypes.h"

#include <cstring>

namespace legato::python {
namespace {

PyDtype* objects[kDtypeCount];

PyObject* dtype_repr(PyObject* self) {
  return PyUnicode_FromFormat("legato.core.%s", dtype_attribute(dtype_value(self)));
}

Py_hash_t dtype_hash(PyObject* self) { return 0x6c670000 + static_cast<int>(dtype_value(self)); }

PyObject* dtype_compare(PyObject* a, PyObject* b, int op) {
  if ((op != Py_EQ && op != Py_NE) || !is_dtype(b)) Py_RETURN_NOTIMPLEMENTED;
  return PyBool_FromLong((dtype_value(a) == dtype_value(b)) == (op == Py_EQ));
}

PyObject* dtype_size(PyObject* self, void*) {
  return PyLong_FromLongLong(size_of(dtype_value(self)));
}
PyObject* dtype_name(PyObject* self, void*) {
  return PyUnicode_FromString(name_of(dtype_value(self)));
}
PyObject* dtype_kind(PyObject* self, void*) {
  static constexpr const char* names[] = {"bool", "unsignedinteger", "signedinteger", "floating",
                                          "complexfloating"};
  return PyUnicode_FromString(names[static_cast<int>(kind_of(dtype_value(self)))]);
}
// A string names a global of the type's module: pickling and copying give the same object back.
PyObject* dtype_reduce(PyObject* self, PyObject*) {
  return PyUnicode_FromString(dtype_attribute(dtype_value(self)));
}

PyGetSetDef dtype_properties[] = {
    {"size", dtype_size, nullptr, "Bytes of one element.", nullptr},
    {"name", dtype_name, nullptr, "The name, such as 'float32'.", nullptr},
    {"_kind", dtype_kind, nullptr, nullptr, nullptr},
    {},
};
PyMethodDef dtype_methods[] = {{"__reduce__", dtype_reduce, METH_NOARGS, nullptr}, {}};

[[noreturn]] void refuse(const char* function, PyObject* given) {
  throw TypeError(cat(function, ": expected an array or a Dtype, found ", type_name(given)));
}

Dtype array_or_dtype(const char* function, PyObject* o) {
  if (is_dtype(o)) return dtype_value(o);
  if (is_array(o)) return array_of(o).dtype();
  refuse(function, o);
}

PyObject* result_type(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&] {
    if (n == 0) throw ValueError("result_type: needs at least one array or Dtype");
    Dtype t = array_or_dtype("result_type", args[0]);
    for (Py_ssize_t i = 1; i < n; ++i) t = promote(t, array_or_dtype("result_type", args[i]));
    return Py_NewRef(dtype_object(t));
  });
}

PyObject* can_cast(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"from_", "to", nullptr};
    PyObject *from, *to;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:can_cast", const_cast<char**>(names),
                                     &from, &to))
      return nullptr;
    if (!is_dtype(to))
      throw TypeError(cat("can_cast: `to` must be a Dtype, found ", type_name(to)));
    return PyBool_FromLong(promote(array_or_dtype("can_cast", from), dtype_value(to)) ==
                           dtype_value(to));
  });
}

PyMethodDef functions[] = {
    {"result_type", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(result_type)),
     METH_FASTCALL,
     "result_type(*arrays_and_dtypes)\n--\n\n"
     "The dtype in which arrays of these dtypes meet. Arrays count by their dtype alone, 0-d ones "
     "too."},
    {"can_cast", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(can_cast)),
     METH_VARARGS | METH_KEYWORDS,
     "can_cast(from_, to)\n--\n\nWhether `from_`, an array or a Dtype, promotes to `to`."},
    {},
};

}  // namespace

PyTypeObject DtypeType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.Dtype",
    .tp_basicsize = sizeof(PyDtype),
    .tp_repr = dtype_repr,
    .tp_hash = dtype_hash,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A data type, such as `float32`. Compare with ==; not callable.",
    .tp_richcompare = dtype_compare,
    .tp_methods = dtype_methods,
    .tp_getset = dtype_properties,
};

PyObject* dtype_object(Dtype t) {
  return reinterpret_cast<PyObject*>(objects[static_cast<int>(t)]);
}

const char* dtype_attribute(Dtype t) { return t == Dtype::bool_ ? "bool_" : name_of(t); }

bool dtype_of_name(std::string_view name, Dtype& out) {
  for (int i = 0; i < kDtypeCount; ++i) {
    if (name == name_of(static_cast<Dtype>(i)) || name == dtype_attribute(static_cast<Dtype>(i))) {
      out = static_cast<Dtype>(i);
      return true;
    }
  }
  return false;
}

void init_dtypes(PyObject* module) {
  checked(PyType_Ready(&DtypeType));
  checked(PyModule_AddObjectRef(module, "Dtype", reinterpret_cast<PyObject*>(&DtypeType)));
  for (int i = 0; i < kDtypeCount; ++i) {
    objects[i] = PyObject_New(PyDtype, &DtypeType);
    if (!objects[i]) throw PythonError();
    objects[i]->value = static_cast<Dtype>(i);
    checked(PyModule_AddObjectRef(module, dtype_attribute(objects[i]->value),
                                  dtype_object(objects[i]->value)));
  }
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace legato::python
