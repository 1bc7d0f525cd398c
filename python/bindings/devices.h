// Streams and devices as arguments.
#pragma once

#include <cstdint>

#include "legato/runtime/stream.h"
#include "python/bindings/common.h"

namespace legato::python {

/// Reads what `stream=` takes: Stream, ThreadLocalStream, Device, DeviceType. TypeError naming
/// `function` for anything else.
Stream read_stream(const char* function, PyObject* o);

/// Whether read_stream takes `o`.
bool is_stream(PyObject* o);

/// The `stream=` argument of a function, in force while it runs; None keeps the current stream.
class StreamArgument {
 public:
  StreamArgument(const char* function, PyObject* o);
  ~StreamArgument();
  StreamArgument(const StreamArgument&) = delete;

 private:
  uint16_t previous_;
};

}  // namespace legato::python
