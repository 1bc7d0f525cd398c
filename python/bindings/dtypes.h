// The Python objects of the data types: one for each, made at import.
#pragma once

#include "legato/array/dtype.h"
#include "python/bindings/common.h"

namespace legato::python {

extern PyTypeObject DtypeType;

struct PyDtype {
  PyObject_HEAD Dtype value;
};

inline bool is_dtype(PyObject* o) { return Py_TYPE(o) == &DtypeType; }
inline Dtype dtype_value(PyObject* o) { return reinterpret_cast<PyDtype*>(o)->value; }
/// The object of `t`, borrowed; it lives as long as the process.
PyObject* dtype_object(Dtype t);
/// "bool_" for bool: the name under which the dtype stands in the module.
const char* dtype_attribute(Dtype t);
/// The dtype called `name` ("float32", "bool" or "bool_"). False if there is none.
bool dtype_of_name(std::string_view name, Dtype& out);

}  // namespace legato::python
