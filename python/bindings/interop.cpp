// Memory shared with other libraries: the buffer protocol and NumPy.
#include <cstring>

#include "legato/runtime/memory.h"
#include "python/bindings/array_type.h"
#include "python/bindings/convert.h"
#include "python/bindings/dtypes.h"

namespace legato::python {
namespace {

const char* format_of(Dtype t) {
  static constexpr const char* formats[] = {"?", "B", "H",     "I", "Q", "b",  "h", "i",
                                            "q", "e", nullptr, "f", "d", "Zf", "Zd"};
  return formats[static_cast<int>(t)];
}

DeviceStorage& storage_of(const Value& v) { return static_cast<DeviceStorage&>(*v.storage); }

// No two elements share an address.
bool is_injective(const Value& v) {
  for (size_t i = 0; i < v.shape.size(); ++i)
    if (v.shape[i] > 1 && v.layout.strides[i] == 0) return false;
  return true;
}

// Where only the host has the value, exports are writable. A slice or broadcast is a value of its
// own: before its memory goes out, an array that shares it with others gets a copy, and so does one
// from which values are yet to be computed (Note [Values that wait], runtime/waiting.cpp). The
// export then holds the array, which keeps the storage from being reused. Where a GPU has the value
// too, exports are read-only: to read on the host must neither cost the GPU its copy nor leave it
// an old one.
bool is_writable(const Array& a) { return storage_of(a.value()).is_only_on(Device{}); }

bool is_needed_later(const Array& a) {
  return a.node()->needed_later.load(std::memory_order_relaxed);
}

Array& exportable(PyObject* self) {
  Array& a = array_of(self);
  evaluate(a);
  const Value& v = a.value();
  if (is_writable(a) && (!v.storage->sole_owner() || !is_injective(v) || is_needed_later(a))) {
    const void* from = host_element(a);
    Dims byte_strides = v.layout.strides;
    for (auto& s : byte_strides) s *= size_of(v.dtype);
    void* host = nullptr;
    auto storage = runtime_hooks().allocate(v.size * size_of(v.dtype), &host);
    if (v.size > 0) copy_strided(host, from, v.shape, byte_strides, size_of(v.dtype));
    a = from_storage(std::move(storage), v.shape, {row_major_strides(v.shape), 0}, v.dtype);
  }
  return a;
}

struct Export {
  Array array;
  bool writable;
  std::vector<Py_ssize_t> shape, strides;

  Export(const Array& a, bool writable) : array(a), writable(writable) {
    if (writable) storage_of(a.value()).share();
  }
  ~Export() {
    if (writable) storage_of(array.value()).unshare();
  }
  Export(const Export&) = delete;
};

}  // namespace

int array_getbuffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  int status = guarded(-1, [&] {
    Array& a = exportable(self);
    const char* format = format_of(a.dtype());
    if (!format && (flags & PyBUF_FORMAT)) {
      PyErr_SetString(
          PyExc_BufferError,
          "the buffer protocol has no format for bfloat16; use astype(legato.float32), or "
          "view(legato.uint16) for the bits");
      return -1;
    }
    const bool writable = is_writable(a);
    if (!writable && (flags & PyBUF_WRITABLE) == PyBUF_WRITABLE) {
      PyErr_SetString(PyExc_BufferError,
                      "a GPU has the array too, so its memory on the host can only be read");
      return -1;
    }
    Array plain = a;
    if (!a.value().row_major && (flags & PyBUF_STRIDES) != PyBUF_STRIDES) {
      plain = row_major(a);
      if (writable) a = plain;
    }
    const Value& value = plain.value();
    auto exported = std::make_unique<Export>(plain, writable);
    for (size_t i = 0; i < value.shape.size(); ++i) {
      exported->shape.push_back(value.shape[i]);
      exported->strides.push_back(value.layout.strides[i] * size_of(value.dtype));
    }
    view->buf = const_cast<void*>(host_element(plain));
    view->len = plain.nbytes();
    view->readonly = !writable;
    view->itemsize = size_of(value.dtype);
    view->format = flags & PyBUF_FORMAT ? const_cast<char*>(format) : nullptr;
    view->ndim = static_cast<int>(value.shape.size());
    view->shape = flags & PyBUF_ND ? exported->shape.data() : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? exported->strides.data() : nullptr;
    view->suboffsets = nullptr;
    view->internal = exported.release();
    return 0;
  });
  if (status == 0) view->obj = Py_NewRef(self);
  return status;
}

void array_releasebuffer(PyObject*, Py_buffer* view) {
  delete static_cast<Export*>(view->internal);
}

PyObject* array_numpy(PyObject* self, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"dtype", "copy", nullptr};
    PyObject *dtype = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO:__array__", const_cast<char**>(names),
                                     &dtype, &copy))
      return nullptr;
    Owned numpy = checked(PyImport_ImportModule("numpy"));
    Owned made;
    bool is_bfloat16 = array_of(self).dtype() == Dtype::bfloat16;
    if (is_bfloat16) {  // the bits, read as the type that the ml_dtypes package gives to NumPy
      Owned ml_dtypes = Owned::steal(PyImport_ImportModule("ml_dtypes"));
      if (!ml_dtypes) {
        PyErr_Clear();
        throw TypeError(
            "array: NumPy has no bfloat16; use astype(legato.float32) first, or install ml_dtypes");
      }
      Owned type = checked(PyObject_GetAttrString(ml_dtypes.get(), "bfloat16"));
      const Array& a = exportable(self);
      Array bits = from_storage(a.value().storage, a.shape(), a.value().layout, Dtype::uint16);
      Owned as_bits = Owned::steal(wrap(std::move(bits)));
      Owned plain = checked(PyObject_CallMethod(numpy.get(), "array", "O", as_bits.get()));
      made = checked(PyObject_CallMethod(plain.get(), "view", "O", type.get()));
    } else {
      Owned view = checked(PyMemoryView_FromObject(self));
      made = checked(PyObject_CallMethod(numpy.get(), "asarray", "O", view.get()));
    }
    if (dtype != Py_None) {
      Owned from = checked(PyObject_GetAttrString(made.get(), "dtype"));
      int same = PyObject_RichCompareBool(from.get(), dtype, Py_EQ);
      if (same < 0) throw PythonError();
      if (!same) {
        if (copy == Py_False)
          throw ValueError("array: this dtype needs a copy, which copy=False forbids");
        return PyObject_CallMethod(made.get(), "astype", "O", dtype);
      }
    }
    if (copy == Py_True && !is_bfloat16) return PyObject_CallMethod(made.get(), "copy", nullptr);
    return made.release();
  });
}

}  // namespace legato::python
