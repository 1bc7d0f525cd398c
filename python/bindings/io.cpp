// Loading and saving. Names of files, extensions and file objects are settled in Python, see
// legato/core/_io.py; here a target is a path or, for None, bytes.
#include "legato/io/io.h"

#include "python/bindings/convert.h"

namespace legato::python {
namespace {

// FileError as OSError, of which Python makes FileNotFoundError, PermissionError, ...
template <class F>
PyObject* guarded_io(F&& f) noexcept {
  return guarded([&]() -> PyObject* {
    try {
      return f();
    } catch (const io::FileError& e) {
      Owned args = checked(Py_BuildValue("(iss)", e.error(), e.what(), e.path().c_str()));
      PyErr_SetObject(PyExc_OSError, args.get());
      return nullptr;
    }
  });
}

class BufferOf {
 public:
  explicit BufferOf(PyObject* o) { checked(PyObject_GetBuffer(o, &view_, PyBUF_SIMPLE)); }
  ~BufferOf() { PyBuffer_Release(&view_); }
  BufferOf(const BufferOf&) = delete;
  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(view_.buf), static_cast<size_t>(view_.len)};
  }

 private:
  Py_buffer view_;
};

std::string utf8(PyObject* o) {
  Py_ssize_t n;
  const char* text = PyUnicode_AsUTF8AndSize(o, &n);
  if (!text) throw PythonError();
  return {text, static_cast<size_t>(n)};
}

Owned dict_of(const NamedArrays& arrays) {
  Owned dict = checked(PyDict_New());
  for (const auto& [name, a] : arrays) {
    Owned key =
        checked(PyUnicode_DecodeUTF8(name.data(), static_cast<Py_ssize_t>(name.size()), "replace"));
    checked(PyDict_SetItem(dict.get(), key.get(), checked(wrap(a)).get()));
  }
  return dict;
}

NamedArrays named_arrays(const char* function, PyObject* dict) {
  NamedArrays arrays;
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (PyDict_Next(dict, &at, &key, &value)) {
    if (!PyUnicode_Check(key))
      throw TypeError(cat(function, ": names of arrays must be str, found ", type_name(key)));
    Array a = read_array(value, Accept::anything);
    if (!a)
      throw TypeError(
          cat(function, ": '", utf8(key), "' must be an array, found ", type_name(value)));
    arrays.emplace_back(utf8(key), std::move(a));
  }
  return arrays;
}

// Into the file called `target`, or, for None, into bytes that are returned.
template <class Save>
PyObject* save_to(PyObject* target, const Save& save) {
  if (target == Py_None) {
    io::StringSink sink;
    {
      ReleaseGil release;
      save(sink);
    }
    return PyBytes_FromStringAndSize(sink.bytes.data(), static_cast<Py_ssize_t>(sink.bytes.size()));
  }
  std::string path = utf8(target);
  {
    ReleaseGil release;
    io::FileSink sink(path);
    save(sink);
    sink.commit();
  }
  Py_RETURN_NONE;
}

// _load(path or bytes, name, format) -> array, or (dict, metadata dict or None)
PyObject* load(PyObject*, PyObject* args) {
  return guarded_io([&]() -> PyObject* {
    PyObject* from;
    const char *name, *format_text;
    if (!PyArg_ParseTuple(args, "Oss:_load", &from, &name, &format_text)) return nullptr;
    std::string_view format = format_text;
    std::unique_ptr<BufferOf> buffer;
    std::unique_ptr<io::Source> source;
    if (PyUnicode_Check(from)) {
      source = io::open_file(utf8(from));
    } else {
      buffer = std::make_unique<BufferOf>(from);
      source = io::open_bytes(buffer->bytes(), name);
    }
    if (format == "npy") {
      Array a;
      {
        ReleaseGil release;
        a = load_npy(*source);
      }
      return wrap(std::move(a));
    }
    if (format == "npz") {
      NamedArrays arrays;
      {
        ReleaseGil release;
        arrays = load_npz(*source);
      }
      return Py_BuildValue("(NO)", dict_of(arrays).release(), Py_None);
    }
    SafeTensors tensors;
    {
      ReleaseGil release;
      tensors = load_safetensors(*source);
    }
    Owned metadata = checked(PyDict_New());
    for (const auto& [key, value] : tensors.metadata)
      checked(PyDict_SetItemString(metadata.get(), key.c_str(),
                                   checked(PyUnicode_FromString(value.c_str())).get()));
    return Py_BuildValue("(NN)", dict_of(tensors.arrays).release(), metadata.release());
  });
}

PyObject* py_save_npy(PyObject*, PyObject* args) {
  return guarded_io([&]() -> PyObject* {
    PyObject *target, *value;
    if (!PyArg_ParseTuple(args, "OO:_save_npy", &target, &value)) return nullptr;
    Array a = read_array(value, Accept::anything);
    if (!a) throw TypeError(cat("save: `arr` must be an array, found ", type_name(value)));
    evaluate(a);
    return save_to(target, [&](io::Sink& sink) { save_npy(sink, a); });
  });
}

PyObject* py_save_npz(PyObject*, PyObject* args) {
  return guarded_io([&]() -> PyObject* {
    PyObject *target, *dict;
    int compress;
    if (!PyArg_ParseTuple(args, "OO!p:_save_npz", &target, &PyDict_Type, &dict, &compress))
      return nullptr;
    NamedArrays arrays = named_arrays("savez", dict);
    return save_to(target, [&](io::Sink& sink) { save_npz(sink, arrays, compress != 0); });
  });
}

PyObject* py_save_safetensors(PyObject*, PyObject* args) {
  return guarded_io([&]() -> PyObject* {
    PyObject *target, *dict, *extra;
    if (!PyArg_ParseTuple(args, "OO!O:_save_safetensors", &target, &PyDict_Type, &dict, &extra))
      return nullptr;
    NamedArrays arrays = named_arrays("save_safetensors", dict);
    Metadata metadata;
    if (extra != Py_None) {
      PyObject *key, *value;
      Py_ssize_t at = 0;
      if (!PyDict_Check(extra))
        throw TypeError(
            cat("save_safetensors: `metadata` must be a dict of str, found ", type_name(extra)));
      while (PyDict_Next(extra, &at, &key, &value)) {
        if (!PyUnicode_Check(key) || !PyUnicode_Check(value))
          throw TypeError(cat("save_safetensors: `metadata` must map str to str, found ",
                              type_name(key), " to ", type_name(value)));
        metadata.emplace_back(utf8(key), utf8(value));
      }
    }
    return save_to(target, [&](io::Sink& sink) { save_safetensors(sink, arrays, metadata); });
  });
}

PyMethodDef functions[] = {
    {"_load", load, METH_VARARGS, nullptr},
    {"_save_npy", py_save_npy, METH_VARARGS, nullptr},
    {"_save_npz", py_save_npz, METH_VARARGS, nullptr},
    {"_save_safetensors", py_save_safetensors, METH_VARARGS, nullptr},
    {},
};

}  // namespace

void init_io(PyObject* module) { checked(PyModule_AddFunctions(module, functions)); }

}  // namespace legato::python
