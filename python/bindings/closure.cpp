#include "python/bindings/closure.h"

#include <structmember.h>

#include <cstddef>

namespace legato::python {
namespace {

struct PyClosure {
  PyObject_HEAD vectorcallfunc vectorcall;
  Callable* impl;
  PyObject* objects;
  PyObject* dict;
  PyObject* weakrefs;
};
PyClosure* as_closure(PyObject* o) { return reinterpret_cast<PyClosure*>(o); }

PyObject* call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  return guarded([&] {
    Owned objects = Owned::borrow(as_closure(self)->objects);
    if (!objects) throw ValueError("the function was already destroyed");
    return as_closure(self)
        ->impl->call(objects.get(), args, PyVectorcall_NARGS(nargsf), keywords)
        .release();
  });
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  PyClosure* c = as_closure(self);
  Py_VISIT(c->objects);
  Py_VISIT(c->dict);
  return c->impl->traverse(visit, arg);
}
int clear(PyObject* self) {
  PyClosure* c = as_closure(self);
  Py_CLEAR(c->objects);
  Py_CLEAR(c->dict);
  c->impl->clear();
  return 0;
}
void dealloc(PyObject* self) {
  PyClosure* c = as_closure(self);
  PyObject_GC_UnTrack(self);
  if (c->weakrefs) PyObject_ClearWeakRefs(self);
  clear(self);
  delete c->impl;
  PyObject_GC_Del(self);
}

PyObject* bind(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

PyObject* repr(PyObject* self) {
  PyObject* f =
      as_closure(self)->objects ? PyTuple_GET_ITEM(as_closure(self)->objects, 0) : Py_None;
  return PyUnicode_FromFormat("<transformed %R>", f);
}

PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(PyClosure, dict), READONLY, nullptr},
    {},
};
PyGetSetDef properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr}, {}};

PyTypeObject ClosureType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.TransformedFunction",
    .tp_basicsize = sizeof(PyClosure),
    .tp_dealloc = dealloc,
    .tp_vectorcall_offset = offsetof(PyClosure, vectorcall),
    .tp_repr = repr,
    .tp_call = PyVectorcall_Call,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_HAVE_GC |
                Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_weaklistoffset = offsetof(PyClosure, weakrefs),
    .tp_members = members,
    .tp_getset = properties,
    .tp_descr_get = bind,
    .tp_dictoffset = offsetof(PyClosure, dict),
};

}  // namespace

PyObject* new_closure(std::unique_ptr<Callable> impl, PyObject* objects) {
  PyObject* f = PyTuple_GET_ITEM(objects, 0);
  Owned dict = checked(PyDict_New());
  for (const char* name : {"__name__", "__qualname__", "__doc__", "__module__"}) {
    Owned value = Owned::steal(PyObject_GetAttrString(f, name));
    if (value)
      checked(PyDict_SetItemString(dict.get(), name, value.get()));
    else
      PyErr_Clear();
  }
  checked(PyDict_SetItemString(dict.get(), "__wrapped__", f));
  PyClosure* c = PyObject_GC_New(PyClosure, &ClosureType);
  if (!c) throw PythonError();
  c->vectorcall = call;
  c->impl = impl.release();
  c->objects = Py_NewRef(objects);
  c->dict = dict.release();
  c->weakrefs = nullptr;
  PyObject_GC_Track(c);
  return reinterpret_cast<PyObject*>(c);
}

void init_closures() { checked(PyType_Ready(&ClosureType)); }

Owned tuple_of(PyObject* const* args, Py_ssize_t n) {
  Owned tuple = checked(PyTuple_New(n));
  for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(args[i]));
  return tuple;
}

Owned dict_of(PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  if (!keywords || PyTuple_GET_SIZE(keywords) == 0) return {};
  Owned dict = checked(PyDict_New());
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i)
    checked(PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(keywords, i), args[n + i]));
  return dict;
}

}  // namespace legato::python
