// The slots and methods of `array` that are written outside array_type.cpp.
#pragma once

#include "python/bindings/common.h"

namespace legato::python {

// array_methods.cpp: conversion to Python values, iteration, printing, copying
int array_bool(PyObject* self);
PyObject* array_int(PyObject* self);
PyObject* array_float(PyObject* self);
PyObject* array_index(PyObject* self);
Py_ssize_t array_length(PyObject* self);
PyObject* array_iter(PyObject* self);
PyObject* array_repr(PyObject* self);
extern PyMethodDef array_methods[];
void init_array_methods(PyObject* module);

// indexing.cpp
PyObject* array_subscript(PyObject* self, PyObject* index);
int array_assign(PyObject* self, PyObject* index, PyObject* value);
PyObject* array_at(PyObject* self, void*);
/// Row `i` of the first axis.
Array array_row(const Array& a, int64_t i);

// interop.cpp: memory shared with other libraries
int array_getbuffer(PyObject* self, Py_buffer* view, int flags);
void array_releasebuffer(PyObject* self, Py_buffer* view);
PyObject* array_numpy(PyObject* self, PyObject* args, PyObject* keywords);  // __array__

// dlpack.cpp
PyObject* array_dlpack(PyObject* self, PyObject* args, PyObject* keywords);  // __dlpack__
PyObject* array_dlpack_device(PyObject* self, PyObject*);                    // __dlpack_device__
PyObject* from_dlpack(PyObject*, PyObject* args, PyObject* keywords);

}  // namespace legato::python
