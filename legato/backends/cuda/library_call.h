// A call of a library that launches kernels by itself: cuBLASLt, cuDNN.
//
// Note [Captured calls]: such a call takes the host 5 to 15 us, most of it before the driver is
// asked. What it launches is a matter of its arguments, addresses included, and a program that
// repeats itself gets the same few sets of addresses from the pool again and again. So a call that
// comes for the second time is captured, as a small graph, and from then on it is put aside like
// any launch (Note [Put aside]): it becomes a child of the graph of its batch, and where the next
// batch has the same call with other addresses, the child is exchanged for one that has those.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "legato/backends/cuda/driver.h"

namespace legato::cuda {

class LibraryCall {
 public:
  virtual ~LibraryCall() = default;
  /// Bytes of all that the launches depend on.
  virtual std::string_view key() const = 0;
  /// Calls of one form launch the same kernels, on other addresses.
  virtual uint64_t form() const = 0;
  /// Gives the launches to the stream. From any thread. Throws what the library refuses.
  virtual void run(CUstream stream) const = 0;
  /// One that lives on by itself.
  virtual std::unique_ptr<LibraryCall> copy() const = 0;

 protected:
  LibraryCall() = default;
  LibraryCall(const LibraryCall&) = default;
};

}  // namespace legato::cuda
