// Closure: what a transform returns, a Python callable around a C++ object.
#pragma once

#include <memory>

#include "python/bindings/common.h"

namespace legato::python {

/// The work of a closure. Python objects it uses belong into `objects` of the closure, where the
/// garbage collector sees them.
class Callable {
 public:
  virtual ~Callable() = default;
  /// A new reference. `objects` is the closure's tuple; the wrapped function is its first.
  virtual Owned call(PyObject* objects, PyObject* const* args, Py_ssize_t n,
                     PyObject* keywords) = 0;
  /// Visits Python objects held elsewhere, as tp_traverse does.
  virtual int traverse(visitproc, void*) { return 0; }
  /// Drops them.
  virtual void clear() {}
};

/// A callable that carries the name and documentation of objects[0] and binds as functions do.
PyObject* new_closure(std::unique_ptr<Callable> impl, PyObject* objects);

void init_closures();

/// Positional arguments as a tuple; keyword arguments as a dict, null if there are none.
Owned tuple_of(PyObject* const* args, Py_ssize_t n);
Owned dict_of(PyObject* const* args, Py_ssize_t n, PyObject* keywords);

}  // namespace legato::python
