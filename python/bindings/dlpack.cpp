// DLPack: memory shared with other libraries, on the host and on GPUs. What it means stands in
// runtime/dlpack.h; here are the protocol's methods and its capsules.
#include "legato/runtime/dlpack.h"

#include "python/bindings/array_type.h"
#include "python/bindings/convert.h"

namespace legato::python {
namespace {

template <class Managed>
constexpr const char* kCapsule = "dltensor";
template <>
constexpr const char* kCapsule<dlpack::DLManagedTensorVersioned> = "dltensor_versioned";
template <class Managed>
constexpr const char* kUsed = "used_dltensor";
template <>
constexpr const char* kUsed<dlpack::DLManagedTensorVersioned> = "used_dltensor_versioned";

template <class Managed>
PyObject* capsule_of(Managed* tensor) {
  PyObject* capsule = PyCapsule_New(tensor, kCapsule<Managed>, [](PyObject* c) {
    // One that nobody consumed still owns its tensor.
    if (!PyCapsule_IsValid(c, kCapsule<Managed>)) return;
    auto* m = static_cast<Managed*>(PyCapsule_GetPointer(c, kCapsule<Managed>));
    if (m->deleter) m->deleter(m);
  });
  if (!capsule) tensor->deleter(tensor);
  return capsule;
}

// The deleters of some libraries take the GIL, so they run where a Python object is dropped: in the
// main thread's queue if this thread has no GIL. The capsule, renamed, is that object.
class CapsuleOwner final : public MemoryOwner {
 public:
  explicit CapsuleOwner(PyObject* owner) : object_(hold(owner)) {}

 private:
  Held object_;
};

template <class Managed>
bool consume(PyObject* capsule, bool copy, Array& out) {
  if (!PyCapsule_IsValid(capsule, kCapsule<Managed>)) return false;
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, kCapsule<Managed>));
  if constexpr (requires { m->major; })
    if (m->major != 1)
      throw ValueError(cat("from_dlpack: DLPack version ", m->major, ".", m->minor,
                           " is unknown; version 1 is the newest"));
  Owned owner = checked(PyCapsule_New(m, "legato_dltensor", [](PyObject* c) {
    auto* tensor = static_cast<Managed*>(PyCapsule_GetPointer(c, "legato_dltensor"));
    if (tensor && tensor->deleter) tensor->deleter(tensor);
  }));
  checked(PyCapsule_SetName(capsule, kUsed<Managed>));
  out = dlpack::from_dlpack(m->tensor, std::make_unique<CapsuleOwner>(owner.get()), copy);
  return true;
}

dlpack::DLDevice place_of_capsule(PyObject* c) {
  using dlpack::DLManagedTensor, dlpack::DLManagedTensorVersioned;
  if (PyCapsule_IsValid(c, kCapsule<DLManagedTensorVersioned>))
    return static_cast<DLManagedTensorVersioned*>(
               PyCapsule_GetPointer(c, kCapsule<DLManagedTensorVersioned>))
        ->tensor.device;
  if (PyCapsule_IsValid(c, kCapsule<DLManagedTensor>))
    return static_cast<DLManagedTensor*>(PyCapsule_GetPointer(c, kCapsule<DLManagedTensor>))
        ->tensor.device;
  return {dlpack::kCpu, 0};
}

Array consume(PyObject* capsule, bool copy) {
  Array a;
  if (!consume<dlpack::DLManagedTensorVersioned>(capsule, copy, a) &&
      !consume<dlpack::DLManagedTensor>(capsule, copy, a))
    throw TypeError(cat("from_dlpack: expected a DLPack capsule that was not used yet, found ",
                        type_name(capsule)));
  return a;
}

// Calls `__dlpack__` with these keywords. An exporter from before version 1 does not know the newer
// ones and is asked again without them.
Owned capsule_from(PyObject* method, PyObject* keywords) {
  Owned none = checked(PyTuple_New(0));
  for (const char* newer : {"max_version", "dl_device"}) {
    Owned capsule = Owned::steal(PyObject_Call(method, none.get(), keywords));
    if (capsule) return capsule;
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw PythonError();
    PyErr_Clear();
    if (PyDict_GetItemString(keywords, newer)) checked(PyDict_DelItemString(keywords, newer));
  }
  return checked(PyObject_Call(method, none.get(), keywords));
}

bool read_pair(PyObject* o, int& first, int& second) {
  if (PyTuple_Check(o) && PyTuple_GET_SIZE(o) == 2) {
    first = static_cast<int>(PyLong_AsLong(PyTuple_GET_ITEM(o, 0)));  // also members of an enum
    if (!PyErr_Occurred()) second = static_cast<int>(PyLong_AsLong(PyTuple_GET_ITEM(o, 1)));
    if (!PyErr_Occurred()) return true;
    PyErr_Clear();
  }
  return false;
}

// What `__dlpack__(stream=...)` says for memory on a GPU.
std::optional<int64_t> consumer_stream(PyObject* o) {
  if (o == Py_None) return 1;  // by the standard: the default stream
  int64_t stream;
  if (!read_integer(o, stream) || stream < -1 || stream == 0)
    throw ValueError(
        "__dlpack__: `stream` must be None, -1 (do not wait), 1 (the default stream), 2 (that of "
        "each "
        "thread) or the address of a CUDA stream; 0 is ambiguous");
  if (stream == -1) return std::nullopt;
  return stream;
}

}  // namespace

PyObject* array_dlpack(PyObject* self, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"stream", "max_version", "dl_device", "copy", nullptr};
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$OOOO:__dlpack__", const_cast<char**>(names),
                                     &stream, &version, &device, &copy))
      return nullptr;
    Array a = array_of(self);
    dlpack::Export wanted{.device = dlpack::place_of(a),
                          .copy = copy == Py_True,
                          .may_copy = copy != Py_False,
                          .stream = {}};
    int major = 0, minor = 0, type = 0, id = 0;
    if (version != Py_None && !read_pair(version, major, minor))
      throw TypeError("__dlpack__: `max_version` must be None or a tuple of two ints");
    if (device != Py_None) {
      if (!read_pair(device, type, id))
        throw TypeError("__dlpack__: `dl_device` must be None or a tuple of two ints");
      const Device asked{type == dlpack::kCuda ? DeviceType::gpu : DeviceType::cpu, id};
      if ((type != dlpack::kCpu && type != dlpack::kCuda) || !has_device(asked)) {
        PyErr_Format(
            PyExc_BufferError,
            "__dlpack__: the array cannot be exported to DLPack device (%d, %d): it is not "
            "among Legato's devices",
            type, id);
        return nullptr;
      }
      wanted.device = asked;
    }
    if (wanted.device.type == DeviceType::gpu)
      wanted.stream = consumer_stream(stream);
    else if (stream != Py_None)
      throw ValueError("__dlpack__: `stream` must be None for data in host memory");
    dlpack::DLManagedTensorVersioned* versioned = nullptr;
    dlpack::DLManagedTensor* plain = nullptr;
    try {
      ReleaseGil release;
      if (major >= 1)
        versioned = dlpack::to_dlpack(a, wanted);
      else
        plain = dlpack::to_dlpack_unversioned(a, wanted);
    } catch (const ValueError& e) {
      if (wanted.may_copy) throw;
      PyErr_SetString(PyExc_BufferError, e.what());
      return nullptr;
    }
    if (!a.same(array_of(self))) array_of(self) = a;  // it has memory of its own now
    return versioned ? capsule_of(versioned) : capsule_of(plain);
  });
}

PyObject* array_dlpack_device(PyObject* self, PyObject*) {
  return guarded([&] {
    const dlpack::DLDevice d = dlpack::device_number(dlpack::place_of(array_of(self)));
    return Py_BuildValue("(ii)", d.type, d.id);
  });
}

Array array_from_dlpack(PyObject* exporter, bool copy) {
  if (PyCapsule_CheckExact(exporter)) {  // nobody has said where the values are being computed
    const dlpack::DLDevice from = place_of_capsule(exporter);
    const Device device{DeviceType::gpu, from.id};
    if (from.type == dlpack::kCuda && has_device(device)) backend_of(device).follow_all(from.id);
    return consume(exporter, copy);
  }
  Owned method = Owned::steal(PyObject_GetAttrString(exporter, "__dlpack__"));
  if (!method) {
    PyErr_Clear();
    throw TypeError(cat("from_dlpack: ", type_name(exporter), " has no __dlpack__ method"));
  }
  dlpack::DLDevice place{dlpack::kCpu, 0};
  Owned pair = Owned::steal(PyObject_CallMethod(exporter, "__dlpack_device__", nullptr));
  if (!pair)
    PyErr_Clear();
  else if (!read_pair(pair.get(), place.type, place.id))
    throw TypeError(cat("from_dlpack: __dlpack_device__ of ", type_name(exporter),
                        " gave no tuple of two ints"));
  Owned keywords = checked(Py_BuildValue("{s:(ii)}", "max_version", 1, 0));
  const bool on_gpu = place.type == dlpack::kCuda || place.type == dlpack::kCudaManaged;
  if (on_gpu && has_device({DeviceType::gpu, place.id})) {
    const Device device{DeviceType::gpu, place.id};
    Owned stream = checked(PyLong_FromLongLong(backend_of(device).exchange_stream(device.index)));
    checked(PyDict_SetItemString(keywords.get(), "stream", stream.get()));
  } else if (place.type != dlpack::kCpu) {  // the producer may know how to bring it to the host
    Owned host = checked(Py_BuildValue("(ii)", dlpack::kCpu, 0));
    checked(PyDict_SetItemString(keywords.get(), "dl_device", host.get()));
  }
  return consume(capsule_from(method.get(), keywords.get()).get(), copy);
}

PyObject* from_dlpack(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"", "copy", nullptr};
    PyObject *x, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O:from_dlpack", const_cast<char**>(names),
                                     &x, &copy))
      return nullptr;
    Array a = array_from_dlpack(x, copy == Py_True);
    if (copy == Py_False && dlpack::place_of(a).type == DeviceType::cpu)
      throw ValueError(
          "from_dlpack: arrays never change, so host memory, to which others may write, is always "
          "copied; leave copy=False out");
    return wrap(std::move(a));
  });
}

}  // namespace legato::python
