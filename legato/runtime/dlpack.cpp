#include "legato/runtime/dlpack.h"

#include <utility>

#include "legato/base/error.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/plan.h"

namespace legato::dlpack {
namespace {

constexpr uint8_t kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6;

DLDataType dl_type(Dtype t) {
  const auto bits = static_cast<uint8_t>(size_of(t) * 8);
  if (t == Dtype::bfloat16) return {kBfloat, bits, 1};
  switch (kind_of(t)) {
    case DtypeKind::boolean:
      return {kBool, bits, 1};
    case DtypeKind::unsigned_integer:
      return {kUInt, bits, 1};
    case DtypeKind::signed_integer:
      return {kInt, bits, 1};
    case DtypeKind::floating:
      return {kFloat, bits, 1};
    case DtypeKind::complex_floating:
      break;
  }
  return {kComplex, bits, 1};
}

Dtype dtype_of_dl(DLDataType t) {
  for (int i = 0; i < kDtypeCount; ++i) {
    const DLDataType ours = dl_type(static_cast<Dtype>(i));
    if (ours.code == t.code && ours.bits == t.bits && t.lanes == 1) return static_cast<Dtype>(i);
  }
  throw ValueError(cat("from_dlpack: no dtype for elements of DLPack code ", t.code, ", ", t.bits,
                       " bits, ", t.lanes, " lanes"));
}

DeviceStorage& storage_of(const Array& a) {
  return static_cast<DeviceStorage&>(*a.value().storage);
}

// No two elements share an address.
bool is_injective(const Value& v) {
  for (size_t i = 0; i < v.shape.size(); ++i)
    if (v.shape[i] > 1 && v.layout.strides[i] == 0) return false;
  return true;
}

Array copy_on(const Array& a, Device device) {
  const Value copy = row_major_copy(a.value(), device);
  return from_storage(copy.storage, copy.shape, copy.layout, copy.dtype);
}

// Keeps an array's values where they are. The array must live as long: to hold the storage would
// make it shared.
class Pinned {
 public:
  Pinned() = default;
  explicit Pinned(const Array& a) : storage_(&storage_of(a)) { storage_->pin(); }
  Pinned(Pinned&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)) {}
  Pinned& operator=(Pinned&& other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~Pinned() {
    if (storage_) storage_->unpin();
  }

 private:
  DeviceStorage* storage_ = nullptr;
};

struct Ready {
  Array array;
  Pinned pinned;
  void* data;  // element (0, ..., 0) on the device of the export
  bool shared = false, read_only = false, copied = false;
};

Ready prepare(Array& a, const Export& wanted, bool can_be_read_only) {
  launch({&a, 1});
  if (storage_of(a).has_checks()) eval({&a, 1});
  const bool in_place = storage_of(a).home() == wanted.device;
  Ready r;
  if (in_place && !wanted.copy) {
    // Note [Values that wait], waiting.cpp.
    const bool needed = a.node()->needed_later.load(std::memory_order_relaxed);
    if (needed || !storage_of(a).sole_owner() || !is_injective(a.value())) {
      if (!wanted.may_copy)
        throw ValueError(
            needed ? "__dlpack__: values that are still held are to be computed from the array, so "
                     "that it must be copied before somebody may write to it, which copy=False "
                     "forbids. Evaluate them, and pass a copy"
                   : "__dlpack__: the array shares its memory with others, so that it must be "
                     "copied before somebody may write to it, which copy=False forbids");
      a = copy_on(a, wanted.device);
    }
    r.array = a;
    r.shared = true;
  } else {
    if (!wanted.copy && !wanted.may_copy)
      throw ValueError(
          "__dlpack__: the array was computed on another device, so that it must be copied, which "
          "copy=False forbids");
    r.read_only = !wanted.copy && can_be_read_only;
    r.copied = true;
    r.array = r.read_only ? a : copy_on(a, wanted.device);
  }
  r.pinned = Pinned(r.array);
  r.data = data_on(r.array.value(), wanted.device);
  Backend& backend = backend_of(wanted.device);
  if (wanted.stream && backend.asynchronous()) backend.lead(wanted.device.index, *wanted.stream);
  return r;
}

template <class Managed>
struct Tensor {
  Managed managed{};
  Array array;
  Pinned pinned;
  Device device;
  bool shared;
  Dims shape, strides;

  Tensor(Ready&& ready, Device on)
      : array(std::move(ready.array)),
        pinned(std::move(ready.pinned)),
        device(on),
        shared(ready.shared),
        shape(array.shape()),
        strides(array.value().layout.strides) {
    managed.context = this;
    managed.deleter = [](Managed* m) { delete static_cast<Tensor*>(m->context); };
    managed.tensor = {ready.data,
                      device_number(device),
                      static_cast<int32_t>(shape.size()),
                      dl_type(array.dtype()),
                      shape.data(),
                      strides.data(),
                      0};
    if (shared) storage_of(array).share();
  }
  ~Tensor() {
    // Who was lent the memory may still be using it; who gets it from us next must come after that.
    if (backend_of(device).asynchronous()) {
      std::lock_guard recording(RecordingMemory::of(device).lock());
      const int64_t work = backend_of(device).follow_all(device.index);
      if (shared) storage_of(array).computed_by(work);
    }
    if (shared) storage_of(array).unshare();
  }
};

// Calls the deleter of what was imported.
template <class Managed>
class Deleter final : public MemoryOwner {
 public:
  explicit Deleter(Managed* m) : managed_(m) {}
  ~Deleter() override {
    if (managed_->deleter) managed_->deleter(managed_);
  }

 private:
  Managed* managed_;
};

Array copy_from_host(const DLTensor& t, const Shape& shape, const Dims& strides, Dtype dtype) {
  Value from, to;
  from.shape = to.shape = shape;
  from.dtype = to.dtype = dtype;
  from.size = to.size = element_count(shape);
  allocate(to, Device{});
  if (to.size > 0) {
    const View source{static_cast<std::byte*>(t.data) + t.byte_offset,
                      &shape,
                      &strides,
                      from.size,
                      dtype,
                      is_row_major(shape, strides)};
    const View target{data_on(to, Device{}), &to.shape, &to.layout.strides, to.size, dtype, true};
    backend_of(Device{}).copy_strided(0, target, source);
  }
  return from_storage(to.storage, to.shape, to.layout, dtype);
}

}  // namespace

DLDevice device_number(Device device) {
  if (device.type == DeviceType::cpu) return {kCpu, 0};
  if (device.type == DeviceType::gpu) return {kCuda, device.index};
  throw ValueError("DLPack has no number for this device");
}

Device device_of(DLDevice d) {
  if (d.type == kCpu || d.type == kCudaHost) return Device{};
  if (d.type != kCuda && d.type != kCudaManaged)
    throw ValueError(cat("from_dlpack: the data is on DLPack device type ", d.type,
                         "; host memory (type 1) and that of NVIDIA GPUs (type 2) can be read. "
                         "Move it to the CPU first"));
  const Device device{DeviceType::gpu, d.id};
  if (!has_device(device))
    throw ValueError(cat("from_dlpack: the data is on GPU ", d.id, ", which Legato does not have. ",
                         why_no_device(DeviceType::gpu), " Move it to the CPU first"));
  return device;
}

Device place_of(const Array& a) {
  const Node& n = *a.node();
  if (n.is_done() && a.value().storage) return storage_of(a).home();
  return device_of_stream(n.stream);
}

DLManagedTensorVersioned* to_dlpack(Array& a, const Export& wanted) {
  Ready ready = prepare(a, wanted, true);
  const uint64_t flags = (ready.read_only ? kReadOnly : 0) | (ready.copied ? kIsCopied : 0);
  auto* tensor = new Tensor<DLManagedTensorVersioned>(std::move(ready), wanted.device);
  tensor->managed.major = 1;
  tensor->managed.flags = flags;
  return &tensor->managed;
}

DLManagedTensor* to_dlpack_unversioned(Array& a, const Export& wanted) {
  return &(new Tensor<DLManagedTensor>(prepare(a, wanted, false), wanted.device))->managed;
}

Array from_dlpack(const DLTensor& t, std::unique_ptr<MemoryOwner> owner, bool copy) {
  const Device device = device_of(t.device);
  if (t.ndim < 0 || (t.ndim > 0 && !t.shape))
    throw ValueError(cat("from_dlpack: a tensor with ", t.ndim, " axes and no shape"));
  const Dtype dtype = dtype_of_dl(t.dtype);
  const Shape shape(std::span<const int64_t>(t.shape, static_cast<size_t>(t.ndim)));
  for (int64_t n : shape)
    if (n < 0) throw ValueError(cat("from_dlpack: negative size in shape ", shape));
  Dims strides = t.strides ? Dims(std::span<const int64_t>(t.strides, static_cast<size_t>(t.ndim)))
                           : row_major_strides(shape);
  // CuPy 14 divides negative strides in bytes as if they were unsigned; this undoes it.
  for (int64_t& s : strides)
    s = static_cast<int64_t>(static_cast<uint64_t>(s) * static_cast<uint64_t>(size_of(dtype))) /
        size_of(dtype);
  int64_t bytes;
  if (__builtin_mul_overflow(element_count(shape), size_of(dtype), &bytes))
    throw ValueError(cat("from_dlpack: shape ", shape, " is beyond any memory"));
  if (bytes > 0 && !t.data) throw ValueError("from_dlpack: a tensor without memory");
  if (bytes == 0 || backend_of(device).host_memory())
    return copy_from_host(t, shape, strides, dtype);

  // The elements from the lowest address to the highest.
  int64_t low = 0, high = 0;
  bool fits = true;
  for (size_t i = 0; i < shape.size(); ++i) {
    int64_t reach, &end = strides[i] < 0 ? low : high;
    fits &= !__builtin_mul_overflow((shape[i] - 1) * size_of(dtype), strides[i], &reach) &&
            !__builtin_add_overflow(end, reach / size_of(dtype), &end);
  }
  if (!fits || high - low > INT64_MAX / size_of(dtype) / 2)
    throw ValueError(cat("from_dlpack: strides ", strides, " reach beyond any memory"));
  auto* start = static_cast<std::byte*>(t.data) + t.byte_offset + low * size_of(dtype);
  if (reinterpret_cast<uintptr_t>(start) % static_cast<uintptr_t>(size_of(dtype)) != 0)
    throw ValueError(cat("from_dlpack: the elements do not lie at multiples of their size, ",
                         size_of(dtype), " bytes; copy the tensor first"));
  auto* foreign =
      new DeviceStorage(device, start, (high - low + 1) * size_of(dtype), std::move(owner));
  auto storage = Ref<Storage>::adopt(foreign);
  foreign->computed_by(backend_of(device).followed(device.index));
  const Array shared = from_storage(std::move(storage), shape, {strides, -low}, dtype);
  return copy ? copy_on(shared, device) : shared;
}

Array from_dlpack(DLManagedTensorVersioned* m, bool copy) {
  auto owner = std::make_unique<Deleter<DLManagedTensorVersioned>>(m);
  if (m->major != 1)
    throw ValueError(cat("from_dlpack: DLPack version ", m->major, ".", m->minor,
                         " is unknown; version 1 is the newest"));
  return from_dlpack(m->tensor, std::move(owner), copy);
}

Array from_dlpack(DLManagedTensor* m, bool copy) {
  return from_dlpack(m->tensor, std::make_unique<Deleter<DLManagedTensor>>(m), copy);
}

}  // namespace legato::dlpack
