// DLPack (https://dmlc.github.io/dlpack): memory shared with other libraries of this process, on
// the host and on GPUs, without a copy where that is safe. Public header.
//
// Note [Shared memory]: an array that is exported shares its memory with whoever imports it, who
// may write to it; the array then shows what was written. It is the only array to do so: one that
// shares its storage with others (a slice, a broadcast) gets memory of its own first. Copies on
// other devices are not written to: an export from a device where the value was not made is
// read-only, and those that exist are copied anew while the export lives (DeviceStorage::share).
//
// On a GPU nobody waits on the host. Who takes memory over says on which stream it will use it, and
// that stream is made to wait; who gives memory back does so in the order of its own stream, so the
// other side's next work waits for all that was given to the device (Backend::lead_all,
// follow_all).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "legato/array/array.h"
#include "legato/runtime/backend.h"
#include "legato/runtime/memory.h"

namespace legato::dlpack {

// The C structures of DLPack's header, versions 0 and 1.
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
inline constexpr int32_t kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13;
inline constexpr uint64_t kReadOnly = 1, kIsCopied = 2;

/// How DLPack names a device of ours.
LEGATO_API DLDevice device_number(Device device);
/// Which of our devices reads memory there in place. ValueError if none does.
LEGATO_API Device device_of(DLDevice device);

/// The device from which `a` is exported unless somebody asks for another: that which computed it
/// or is going to. Evaluates nothing.
LEGATO_API Device place_of(const Array& a);

struct Export {
  Device device;         // see place_of
  bool copy = false;     // the consumer gets memory of its own
  bool may_copy = true;  // else ValueError where a copy is needed
  std::optional<int64_t>
      stream;  // of the consumer, by DLPack's number; makes it wait for the values
};
/// Computes `a` and exports it. `a` becomes the array over the memory that is exported, see Note
/// [Shared memory]. The consumer calls the tensor's deleter, from any thread.
LEGATO_API DLManagedTensorVersioned* to_dlpack(Array& a, const Export& wanted);
/// The same in the form from before version 1, which cannot say that memory is read-only: it is
/// copied then.
LEGATO_API DLManagedTensor* to_dlpack_unversioned(Array& a, const Export& wanted);

/// An array of the tensor's values. Host memory is copied, because others may write to it and
/// arrays never change. Memory on a GPU is shared unless `copy`: whoever writes to it later changes
/// what the array shows, or not, as the other devices' copies are older. The producer has made
/// exchange_stream(device) of the backend wait for the values. `owner` keeps the tensor alive and
/// is destroyed, on any thread, when nobody needs it any more, also if this throws. ValueError for
/// element types and devices that Legato does not have.
LEGATO_API Array from_dlpack(const DLTensor& tensor, std::unique_ptr<MemoryOwner> owner,
                             bool copy = false);
/// As above; the owner calls the tensor's deleter.
LEGATO_API Array from_dlpack(DLManagedTensorVersioned* tensor, bool copy = false);
LEGATO_API Array from_dlpack(DLManagedTensor* tensor, bool copy = false);

}  // namespace legato::dlpack
