// Exceptions between C++ and Python, and the queue of Python objects that C++ dropped without the
// GIL.
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <new>
#include <vector>

#include "python/bindings/common.h"

namespace legato::python {

PyObject* axis_error_type = nullptr;
PyObject* transform_error_type = nullptr;
PyObject* internal_error_type = nullptr;

namespace {

// Objects dropped without the GIL. The main thread is asked to release them at its next byte code.
struct DropQueue {
  std::mutex lock;
  std::vector<PyObject*> objects;
  bool scheduled = false;
};
DropQueue& drop_queue() {
  static auto* queue = new DropQueue;  // never destroyed: threads may drop objects at exit
  return *queue;
}

int drain(void*) {
  std::vector<PyObject*> objects;
  {
    DropQueue& queue = drop_queue();
    std::lock_guard guard(queue.lock);
    objects.swap(queue.objects);
    queue.scheduled = false;
  }
  for (PyObject* o : objects) Py_DECREF(o);
  return 0;
}

void drop(PyObject* o) {
  if (!o || !Py_IsInitialized()) return;
  if (PyGILState_Check()) {
    Py_DECREF(o);
    return;
  }
  DropQueue& queue = drop_queue();
  bool schedule;
  {
    std::lock_guard guard(queue.lock);
    queue.objects.push_back(o);
    schedule = !std::exchange(queue.scheduled, true);
  }
  if (schedule && Py_AddPendingCall(drain, nullptr) != 0) {
    std::lock_guard guard(queue.lock);  // the interpreter's own queue is full: ask again next time
    queue.scheduled = false;
  }
}

PyObject* type_of(const Error& e) {
  if (dynamic_cast<const TransformError*>(&e)) return transform_error_type;
  if (dynamic_cast<const ValueError*>(&e)) return PyExc_ValueError;
  if (dynamic_cast<const TypeError*>(&e)) return PyExc_TypeError;
  if (dynamic_cast<const AxisError*>(&e)) return axis_error_type;
  if (dynamic_cast<const IndexError*>(&e)) return PyExc_IndexError;
  if (dynamic_cast<const MemoryError*>(&e)) return PyExc_MemoryError;
  if (dynamic_cast<const InternalError*>(&e)) return internal_error_type;
  return PyExc_RuntimeError;
}

PyObject* new_exception(PyObject* module, const char* name, const char* doc, PyObject* bases) {
  Owned full = checked(PyUnicode_FromFormat("legato.%s", name));
  PyObject* type =
      checked(PyErr_NewExceptionWithDoc(PyUnicode_AsUTF8(full.get()), doc, bases, nullptr))
          .release();
  checked(PyModule_AddObjectRef(module, name, type));
  return type;
}

}  // namespace

struct PythonError::State {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  State() { PyErr_Fetch(&type, &value, &traceback); }
  ~State() {
    drop(type);
    drop(value);
    drop(traceback);
  }
};

PythonError::PythonError() : state_(std::make_shared<State>()) {}
PythonError::~PythonError() = default;
const char* PythonError::what() const noexcept { return "an exception was raised in Python code"; }

void PythonError::restore() const {
  Py_XINCREF(state_->type);
  Py_XINCREF(state_->value);
  Py_XINCREF(state_->traceback);
  PyErr_Restore(state_->type, state_->value, state_->traceback);
}

void set_python_error() noexcept {
  try {
    throw;
  } catch (const PythonError& e) {
    e.restore();
  } catch (const Error& e) {
    PyErr_SetString(type_of(e), e.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(internal_error_type, "an exception of unknown type was thrown");
  }
}

Held hold(PyObject* borrowed) {
  Py_XINCREF(borrowed);
  return Held(borrowed, drop);
}

namespace {
[[noreturn]] void wait_for_the_end() noexcept {
  for (;;) pause();
}
}  // namespace

void restore_thread(PyThreadState* state) noexcept {
  try {
    PyEval_RestoreThread(state);
  } catch (...) {  // pthread_exit unwinds; it must not get further than this
    wait_for_the_end();
  }
}
PyGILState_STATE ensure_gil() noexcept {
  try {
    return PyGILState_Ensure();
  } catch (...) {
    wait_for_the_end();
  }
}

std::string type_name(PyObject* o) {
  if (o == Py_None) return "None";
  PyTypeObject* type = Py_TYPE(o);
  std::string name = type->tp_name;
  if (name.find('.') != std::string::npos || !(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) return name;
  Owned module =
      Owned::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__module__"));
  if (!module) PyErr_Clear();
  const char* text = module && PyUnicode_Check(module.get()) ? PyUnicode_AsUTF8(module.get()) : "";
  if (!text) PyErr_Clear();
  return text && *text && std::string_view(text) != "builtins" ? cat(text, ".", name) : name;
}

void init_errors(PyObject* module) {
  Owned both = checked(PyTuple_Pack(2, PyExc_ValueError, PyExc_IndexError));
  axis_error_type =
      new_exception(module, "AxisError", "An axis outside the array's rank.", both.get());
  transform_error_type = new_exception(module, "TransformError",
                                       "A value was read where it does not exist: inside vmap or "
                                       "compile.",
                                       PyExc_ValueError);
  internal_error_type = new_exception(
      module, "InternalError", "A bug in Legato itself; please report it.", PyExc_RuntimeError);
}

}  // namespace legato::python
