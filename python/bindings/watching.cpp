// What legato/core/_watching.py builds on: log levels, recordings, the search for nan, graphs.
#include <Python.h>
#include <frameobject.h>

#include <cstring>

#include "legato/op/draw.h"
#include "legato/op/origin.h"
#include "legato/op/registry.h"
#include "legato/runtime/backend.h"
#include "legato/runtime/watch.h"
#include "python/bindings/convert.h"
#include "python/bindings/tree.h"

namespace legato::python {
namespace {

// The innermost line that is not Legato's own. Threads without the interpreter have none.
std::string running_line() {
  if (!PyGILState_Check()) return {};
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  std::string line;
  while (frame) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    const char* file = PyUnicode_AsUTF8(code->co_filename);
    if (file && !std::strstr(file, "/legato/core/") && !std::strstr(file, "/legato/nn/") &&
        !std::strstr(file, "/legato/optimizers/")) {
      const char* slash = std::strrchr(file, '/');
      line = cat(slash ? slash + 1 : file, ":", PyFrame_GetLineNumber(frame));
      Py_DECREF(code);
      break;
    }
    Py_DECREF(code);
    PyFrameObject* back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  Py_XDECREF(frame);
  PyErr_Clear();
  return line;
}

// _set_log(text) -> what was set
PyObject* set_log(PyObject*, PyObject* text) {
  return guarded([&]() -> PyObject* {
    if (!PyUnicode_Check(text))
      throw TypeError(cat("logging: `areas` must be a str, found ", type_name(text)));
    const LogLevels before = set_log_levels(parse_log_levels(PyUnicode_AsUTF8(text)));
    return PyUnicode_FromString(
        cat("eval:", before.eval, ",fuse:", before.fuse, ",mem:", before.mem).c_str());
  });
}

// _set_log_file(file or None): an object with write(), such as a text file.
PyObject* log_file = nullptr;

void write_to_file(std::string_view line) {
  AcquireGil gil;
  if (!log_file) return;
  Owned file = Owned::borrow(log_file);
  Owned done = Owned::steal(
      PyObject_CallMethod(file.get(), "write", "s", (std::string(line) + "\n").c_str()));
  if (!done) PyErr_WriteUnraisable(file.get());
}

PyObject* set_log_file(PyObject*, PyObject* file) {
  return guarded([&]() -> PyObject* {
    Owned before = log_file ? Owned::steal(log_file) : Owned::borrow(Py_None);
    log_file = file == Py_None ? nullptr : Py_NewRef(file);
    set_log_sink(log_file ? write_to_file : nullptr);
    return before.release();
  });
}

PyObject* py_set_debug_nans(PyObject*, PyObject* on) {
  return guarded([&] { return PyBool_FromLong(set_debug_nans(on == Py_True)); });
}

PyObject* py_start_recording(PyObject*, PyObject*) {
  return guarded([&]() -> PyObject* {
    start_recording();
    Py_RETURN_NONE;
  });
}

// _stop_recording() -> [{"name": ..., ...}, ...]
PyObject* py_stop_recording(PyObject*, PyObject*) {
  return guarded([&]() -> PyObject* {
    Owned list = checked(PyList_New(0));
    for (const StepRecord& r : stop_recording()) {
      Owned item = checked(Py_BuildValue(
          "{sssssssssssisLsLsLsLsLsLsLsLsLsLsK}", "name", r.name.c_str(), "operands",
          r.operands.c_str(), "origin", r.origin.c_str(), "device", r.device.c_str(), "kind",
          r.kind, "nodes", r.n_nodes, "bytes_read", static_cast<long long>(r.bytes_read),
          "bytes_written", static_cast<long long>(r.bytes_written), "copies",
          static_cast<long long>(r.copies), "moved", static_cast<long long>(r.moved), "spilled",
          static_cast<long long>(r.spilled), "dropped", static_cast<long long>(r.dropped),
          "returned", static_cast<long long>(r.returned), "reused",
          static_cast<long long>(r.reused), "begin_ns", static_cast<long long>(r.begin_ns),
          "end_ns", static_cast<long long>(r.end_ns), "thread",
          static_cast<unsigned long long>(r.thread)));
      checked(PyList_Append(list.get(), item.get()));
    }
    return list.release();
  });
}

// _draw_graph(tree, format, names) -> text; names: {name: array}
PyObject* py_draw_graph(PyObject*, PyObject* args) {
  return guarded([&]() -> PyObject* {
    PyObject *tree, *names;
    const char* format;
    if (!PyArg_ParseTuple(args, "OsO:graph", &tree, &format, &names)) return nullptr;
    std::vector<Array> roots;
    collect_arrays(tree, roots);
    std::vector<std::pair<Array, std::string>> named;
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(names, &at, &key, &value);) {
      if (!PyUnicode_Check(key) || !is_array(value))
        throw TypeError("graph: names must be given as name=array");
      named.emplace_back(array_of(value), PyUnicode_AsUTF8(key));
    }
    const bool dot = std::strcmp(format, "dot") == 0;
    if (!dot && std::strcmp(format, "text") != 0)
      throw ValueError(cat("graph: format is \"", format, "\"; expected \"text\" or \"dot\""));
    return PyUnicode_FromString(
        draw_graph(roots, dot ? GraphFormat::dot : GraphFormat::text, named).c_str());
  });
}

// _coverage() -> [(op, how, {device: [dtypes with a kernel]}), ...]
PyObject* py_coverage(PyObject*, PyObject*) {
  return guarded([&]() -> PyObject* {
    Owned list = checked(PyList_New(0));
    for (const Op* op : registry().ops()) {
      const char* how = op->pointwise.fn ? "pointwise"
                        : op->view       ? "view"
                        : op->expand     ? "expands"
                                         : "kernel";
      Owned devices = checked(PyDict_New());
      for (DeviceType type : {DeviceType::cpu, DeviceType::gpu}) {
        if (!has_device(Device{type, 0})) continue;
        Owned dtypes = checked(PyList_New(0));
        for (int t = 0; t < kDtypeCount; ++t)
          if (backend_of(Device{type, 0}).find_kernel(*op, static_cast<Dtype>(t))) {
            Owned name = checked(PyUnicode_FromString(name_of(static_cast<Dtype>(t))));
            checked(PyList_Append(dtypes.get(), name.get()));
          }
        checked(PyDict_SetItemString(devices.get(), type == DeviceType::cpu ? "cpu" : "gpu",
                                     dtypes.get()));
      }
      Owned item = checked(Py_BuildValue("(ssO)", op->name, how, devices.get()));
      checked(PyList_Append(list.get(), item.get()));
    }
    return list.release();
  });
}

PyMethodDef functions[] = {
    {"_coverage", py_coverage, METH_NOARGS, nullptr},
    {"_set_log", set_log, METH_O, nullptr},
    {"_set_log_file", set_log_file, METH_O, nullptr},
    {"_set_debug_nans", py_set_debug_nans, METH_O, nullptr},
    {"_start_recording", py_start_recording, METH_NOARGS, nullptr},
    {"_stop_recording", py_stop_recording, METH_NOARGS, nullptr},
    {"_draw_graph", py_draw_graph, METH_VARARGS, nullptr},
    {},
};

}  // namespace

void init_watching(PyObject* module) {
  set_origin_source(running_line);
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace legato::python
