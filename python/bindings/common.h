// What every file of the bindings needs: owning references to Python objects, the layout of the
// Python array, and the border between C++ exceptions and Python's.
//
// The hot paths (array type, trampoline, trees) use the C API of Python; nanobind serves the module
// itself and the small classes. A function named py_* returns a new reference, or null with an
// error set; all others throw.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "legato/array/array.h"
#include "legato/base/error.h"
#include "legato/base/text.h"

namespace legato::python {

/// An owning reference to a Python object, or null. Needs the GIL.
class Owned {
 public:
  Owned() = default;
  static Owned steal(PyObject* o) {
    Owned r;
    r.object_ = o;
    return r;
  }
  static Owned borrow(PyObject* o) {
    Py_XINCREF(o);
    return steal(o);
  }
  Owned(const Owned& o) : object_(o.object_) { Py_XINCREF(object_); }
  Owned(Owned&& o) noexcept : object_(std::exchange(o.object_, nullptr)) {}
  Owned& operator=(Owned o) noexcept {
    std::swap(object_, o.object_);
    return *this;
  }
  ~Owned() { Py_XDECREF(object_); }
  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

/// Thrown in C++ while a Python exception is set; the border hands that exception on unchanged.
/// Carries the exception itself when it has to cross frames that may clear the error state.
class PythonError : public std::exception {
 public:
  /// Takes the exception that is set.
  PythonError();
  PythonError(const PythonError&) = default;
  ~PythonError() override;
  const char* what() const noexcept override;
  /// Sets the exception again. Needs the GIL.
  void restore() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// `o` as an owner; throws the Python error that is set if it is null.
inline Owned checked(PyObject* o) {
  if (!o) throw PythonError();
  return Owned::steal(o);
}
inline void checked(int status) {
  if (status < 0) throw PythonError();
}

/// Sets the Python exception that belongs to the C++ exception being handled. Only inside `catch`.
void set_python_error() noexcept;

/// Runs `f`; its C++ exceptions become the Python error and the result `failed`.
template <class R, class F>
R guarded(R failed, F&& f) noexcept {
  try {
    return f();
  } catch (...) {
    set_python_error();
    return failed;
  }
}
template <class F>
PyObject* guarded(F&& f) noexcept {
  return guarded<PyObject*>(nullptr, std::forward<F>(f));
}

/// A Python object that C++ closures hold. It may be dropped by any thread, with or without the
/// GIL: without, it waits in a queue that the main thread empties.
using Held = std::shared_ptr<PyObject>;
Held hold(PyObject* borrowed);

/// PyEval_RestoreThread and PyGILState_Ensure for threads that are still there when Python ends: it
/// would unwind them, which C++ frames do not survive, so they wait for the end of the process.
void restore_thread(PyThreadState* state) noexcept;
PyGILState_STATE ensure_gil() noexcept;

/// Lets other Python threads run while this one waits.
class ReleaseGil {
 public:
  ReleaseGil() : state_(PyEval_SaveThread()) {}
  ~ReleaseGil() { restore_thread(state_); }
  ReleaseGil(const ReleaseGil&) = delete;

 private:
  PyThreadState* state_;
};

/// Takes the GIL, whether or not this thread has it.
class AcquireGil {
 public:
  AcquireGil() : state_(ensure_gil()) {}
  ~AcquireGil() { PyGILState_Release(state_); }
  AcquireGil(const AcquireGil&) = delete;

 private:
  PyGILState_STATE state_;
};

// --- the array object ----------------------------------------------------------------------------

struct PyArray {
  PyObject_HEAD Array value;  // never null
  PyObject* weakrefs;
};

extern PyTypeObject ArrayType;

inline bool is_array(PyObject* o) {
  return Py_TYPE(o) == &ArrayType || PyType_IsSubtype(Py_TYPE(o), &ArrayType);
}
inline Array& array_of(PyObject* o) { return reinterpret_cast<PyArray*>(o)->value; }

/// A new Python array of this value.
PyObject* wrap(Array&& value);
inline PyObject* wrap(const Array& value) { return wrap(Array(value)); }

/// Computes arrays; without the GIL while it waits.
void evaluate(const Array& a);
void evaluate(std::span<const Array> arrays, bool wait = true);
/// Address of element (0, ..., 0) in host memory; `a` is evaluated first. The layout is
/// a.value().layout.
const void* host_element(const Array& a);
/// `a` or an equal array whose elements lie row-major without gaps, evaluated.
Array row_major(const Array& a);

// --- exception types -----------------------------------------------------------------------------

extern PyObject* axis_error_type;       // legato.AxisError(ValueError, IndexError)
extern PyObject* transform_error_type;  // legato.TransformError(ValueError)
extern PyObject* internal_error_type;   // legato.InternalError(RuntimeError)

/// "int", "numpy.ndarray", ...: the type of `o` as messages name it.
std::string type_name(PyObject* o);

// --- parts of the module, each in its file -------------------------------------------------------

/// Each adds its types and functions to the module; called once, in this order.
void init_errors(PyObject* module);
void init_dtypes(PyObject* module);
void init_devices(PyObject* module);
void init_arrays(PyObject* module);
void init_indexing(PyObject* module);
void init_functions(PyObject* module);
void init_transforms(PyObject* module);
void init_io(PyObject* module);
void init_random_state(PyObject* module);
void init_by_hand(PyObject* module);
void init_watching(PyObject* module);
void init_custom_kernels(PyObject* module);

}  // namespace legato::python
