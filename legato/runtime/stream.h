// Streams: where operations run. A stream belongs to a device; operations of one stream run in
// order. Streams are process-wide: any thread may use any stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "legato/base/export.h"
#include "legato/runtime/backend.h"

namespace legato {

/// A stream by its number; a copyable value.
struct Stream {
  Device device;
  uint16_t index = 0;
  friend bool operator==(const Stream&, const Stream&) = default;
};

/// Where the work of a stream goes: all of one device's streams go to queues of it, the default one
/// to queue 0.
struct Place {
  Device device;
  int queue = 0;
  friend bool operator==(const Place&, const Place&) = default;
};
/// Of a stream that exists.
Place place_of_stream(uint16_t index);

/// Enters queues of devices for this thread, and goes back to where it was.
class EnteredQueue {
 public:
  EnteredQueue() = default;
  ~EnteredQueue();
  EnteredQueue(const EnteredQueue&) = delete;
  EnteredQueue& operator=(const EnteredQueue&) = delete;
  void enter(const Place& place);

 private:
  std::vector<Place> before_;  // of each device entered
};

/// The device on which operations run unless told otherwise, in all threads. Until it is set it is
/// what LEGATO_DEVICE names (cpu, gpu, gpu:1), else the first GPU, else the CPU; that is settled
/// when it is first asked for or the first operation is made. Throws ValueError if LEGATO_DEVICE
/// names what is not there.
LEGATO_API Device default_device();
/// Half a sentence: why that is the default.
LEGATO_API std::string why_default_device();
/// Throws ValueError if no backend serves the device.
LEGATO_API void set_default_device(Device device);
/// The default stream of a device; it always exists. ValueError if no backend serves the device.
LEGATO_API Stream default_stream(Device device);
LEGATO_API void set_default_stream(Stream stream);
LEGATO_API Stream new_stream(Device device);
/// The stream with this number. Throws ValueError if there is none.
LEGATO_API Stream stream_at(uint16_t index);
/// The stream of what this thread computes next.
LEGATO_API uint16_t stream_of_new_nodes();
/// Waits until everything posted to the stream has run, on its device too.
LEGATO_API void synchronize(Stream stream);

/// Makes new nodes of this thread use `stream` until the scope ends.
class LEGATO_API StreamScope {
 public:
  explicit StreamScope(Stream stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  uint16_t previous_;
};

/// Something to run on a stream's thread.
struct Task {
  virtual ~Task() = default;
  virtual void run() noexcept = 0;
};
/// Runs `task` after everything posted to the stream before, on the stream's own thread.
void post(uint16_t stream, std::unique_ptr<Task> task);
/// Whether nothing is posted or running on the stream.
bool is_idle(uint16_t stream);

}  // namespace legato
