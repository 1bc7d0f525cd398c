// Memory shared with other libraries: the buffer protocol, NumPy, DLPack.
#include <cstring>

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

// No two elements share an address.
bool is_injective(const Value& v) {
  for (size_t i = 0; i < v.shape.size(); ++i)
    if (v.shape[i] > 1 && v.layout.strides[i] == 0) return false;
  return true;
}

// Exports are writable, and a slice or broadcast is a value of its own: before its memory goes out,
// an array that shares it with others gets a copy. The export then holds the array, which keeps the
// storage from being reused.
Array& exportable(PyObject* self) {
  Array& a = array_of(self);
  evaluate(a);
  const Value& v = a.value();
  if (!v.storage->sole_owner() || !is_injective(v)) {
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
  std::vector<Py_ssize_t> shape, strides;
};

// --- DLPack, https://dmlc.github.io/dlpack: the C structures of its header, versions 0 and 1
// ------

struct DLDevice {
  int32_t type;
  int32_t id;
};
struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};
constexpr int32_t kDLCpu = 1;
constexpr uint8_t kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLComplex = 5, kDLBool = 6;
constexpr uint64_t kDLIsCopied = 2;

DLDataType dl_type(Dtype t) {
  auto bits = static_cast<uint8_t>(size_of(t) * 8);
  if (t == Dtype::bfloat16) return {kDLBfloat, bits, 1};
  switch (kind_of(t)) {
    case DtypeKind::boolean:
      return {kDLBool, bits, 1};
    case DtypeKind::unsigned_integer:
      return {kDLUInt, bits, 1};
    case DtypeKind::signed_integer:
      return {kDLInt, bits, 1};
    case DtypeKind::floating:
      return {kDLFloat, bits, 1};
    case DtypeKind::complex_floating:
      break;
  }
  return {kDLComplex, bits, 1};
}

Dtype dtype_of_dl(DLDataType t) {
  for (int i = 0; i < kDtypeCount; ++i) {
    DLDataType ours = dl_type(static_cast<Dtype>(i));
    if (ours.code == t.code && ours.bits == t.bits && t.lanes == 1) return static_cast<Dtype>(i);
  }
  throw ValueError(cat("from_dlpack: no dtype for elements of DLPack code ", t.code, ", ", t.bits,
                       " bits, ", t.lanes, " lanes"));
}

template <class Managed>
struct Tensor {
  Managed managed{};
  Array array;
  Dims shape, strides;

  explicit Tensor(const Array& a) : array(a), shape(a.shape()), strides(a.value().layout.strides) {
    managed.context = this;
    managed.deleter = [](Managed* m) { delete static_cast<Tensor*>(m->context); };
    managed.tensor = {const_cast<void*>(host_element(a)),
                      {kDLCpu, 0},
                      static_cast<int32_t>(shape.size()),
                      dl_type(a.dtype()),
                      shape.data(),
                      strides.data(),
                      0};
  }
};

// A capsule that nobody consumed still owns its tensor.
template <class Managed>
void destroy_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
  if (m->deleter) m->deleter(m);
}

Array copy_of(const DLTensor& t) {
  if (t.device.type != kDLCpu)
    throw ValueError(cat("from_dlpack: the data is on DLPack device type ", t.device.type,
                         ", only host memory (type 1) can be read; move it to the CPU first"));
  if (t.ndim < 0) throw ValueError("from_dlpack: a negative number of axes");
  Dtype dtype = dtype_of_dl(t.dtype);
  Shape shape(std::span<const int64_t>(t.shape, static_cast<size_t>(t.ndim)));
  for (int64_t n : shape)
    if (n < 0) throw ValueError(cat("from_dlpack: negative size in shape ", shape));
  Dims strides = t.strides ? Dims(std::span<const int64_t>(t.strides, static_cast<size_t>(t.ndim)))
                           : row_major_strides(shape);
  for (auto& s : strides) s *= size_of(dtype);
  int64_t bytes;
  if (__builtin_mul_overflow(element_count(shape), size_of(dtype), &bytes))
    throw ValueError(cat("from_dlpack: shape ", shape, " is beyond any memory"));
  void* host = nullptr;
  auto storage = runtime_hooks().allocate(bytes, &host);
  if (bytes > 0)
    copy_strided(host, static_cast<const std::byte*>(t.data) + t.byte_offset, shape, strides,
                 size_of(dtype));
  return from_storage(std::move(storage), shape, {row_major_strides(shape), 0}, dtype);
}

Array consume(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    auto* m =
        static_cast<DLManagedTensorVersioned*>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
    if (m->major > 1)
      throw ValueError(
          cat("from_dlpack: DLPack version ", m->major, " is unknown; version 1 is the newest"));
    Array a = copy_of(m->tensor);
    checked(PyCapsule_SetName(capsule, "used_dltensor_versioned"));
    if (m->deleter) m->deleter(m);
    return a;
  }
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    Array a = copy_of(m->tensor);
    checked(PyCapsule_SetName(capsule, "used_dltensor"));
    if (m->deleter) m->deleter(m);
    return a;
  }
  throw TypeError(cat("from_dlpack: expected a DLPack capsule that was not used yet, found ",
                      type_name(capsule)));
}

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
    const Value& v = a.value();
    if (!v.row_major && (flags & PyBUF_STRIDES) != PyBUF_STRIDES) a = row_major(a);
    const Value& value = a.value();
    auto exported = std::make_unique<Export>();
    exported->array = a;
    for (size_t i = 0; i < value.shape.size(); ++i) {
      exported->shape.push_back(value.shape[i]);
      exported->strides.push_back(value.layout.strides[i] * size_of(value.dtype));
    }
    view->buf = const_cast<void*>(host_element(a));
    view->len = a.nbytes();
    view->readonly = 0;
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

PyObject* array_dlpack(PyObject* self, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"stream", "max_version", "dl_device", "copy", nullptr};
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$OOOO:__dlpack__", const_cast<char**>(names),
                                     &stream, &version, &device, &copy))
      return nullptr;
    if (stream != Py_None)
      throw ValueError("__dlpack__: `stream` must be None for data in host memory");
    if (device != Py_None) {
      int type, id;
      if (!PyTuple_Check(device) || !PyArg_ParseTuple(device, "ii", &type, &id)) {
        PyErr_Clear();
        throw TypeError("__dlpack__: `dl_device` must be None or a tuple of two ints");
      }
      if (type != kDLCpu) {
        PyErr_Format(PyExc_BufferError,
                     "__dlpack__: the data is exported from host memory, not to device type %d",
                     type);
        return nullptr;
      }
    }
    int major = 0;
    if (version != Py_None) {
      Owned first = checked(PySequence_GetItem(version, 0));
      major = static_cast<int>(PyLong_AsLong(first.get()));
      if (PyErr_Occurred()) return nullptr;
    }
    Array a = exportable(self);
    if (copy == Py_True) {
      Array source = row_major(a);
      a = Array::from_data(host_element(source), a.shape(), a.dtype());
    }
    if (major >= 1) {
      auto tensor = std::make_unique<Tensor<DLManagedTensorVersioned>>(a);
      tensor->managed.major = 1;
      tensor->managed.flags = copy == Py_True ? kDLIsCopied : 0;
      PyObject* capsule = PyCapsule_New(&tensor->managed, "dltensor_versioned", [](PyObject* c) {
        destroy_capsule<DLManagedTensorVersioned>(c, "dltensor_versioned");
      });
      if (capsule) tensor.release();
      return capsule;
    }
    auto tensor = std::make_unique<Tensor<DLManagedTensor>>(a);
    PyObject* capsule = PyCapsule_New(&tensor->managed, "dltensor", [](PyObject* c) {
      destroy_capsule<DLManagedTensor>(c, "dltensor");
    });
    if (capsule) tensor.release();
    return capsule;
  });
}

PyObject* array_dlpack_device(PyObject*, PyObject*) { return Py_BuildValue("(ii)", kDLCpu, 0); }

Array array_from_dlpack(PyObject* exporter) {
  if (PyCapsule_CheckExact(exporter)) return consume(exporter);
  Owned method = Owned::steal(PyObject_GetAttrString(exporter, "__dlpack__"));
  if (!method) {
    PyErr_Clear();
    throw TypeError(cat("from_dlpack: ", type_name(exporter), " has no __dlpack__ method"));
  }
  Owned none = checked(PyTuple_New(0));
  Owned keywords = checked(Py_BuildValue("{s:(ii)}", "max_version", 1, 0));
  Owned capsule = Owned::steal(PyObject_Call(method.get(), none.get(), keywords.get()));
  if (!capsule) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw PythonError();
    PyErr_Clear();  // an exporter from before version 1 does not know the keyword
    capsule = checked(PyObject_CallNoArgs(method.get()));
  }
  return consume(capsule.get());
}

PyObject* from_dlpack(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"", "copy", nullptr};
    PyObject *x, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O:from_dlpack", const_cast<char**>(names),
                                     &x, &copy))
      return nullptr;
    if (copy == Py_False)
      throw ValueError(
          "from_dlpack: arrays never change, so memory that others may write is always copied; "
          "leave copy=False out");
    return wrap(array_from_dlpack(x));
  });
}

}  // namespace legato::python
