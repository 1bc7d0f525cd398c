#include "legato/backends/cpu/scratch.h"

#include <cstdlib>

#include "legato/base/error.h"

namespace legato::cpu {
namespace {

// Buffers above this size are given back before a smaller one is used, so that one large call does
// not hold its memory for the life of the thread.
constexpr size_t kKeepBytes = size_t{64} << 20;

struct Buffers {
  struct Buffer {
    void* memory = nullptr;
    size_t bytes = 0;
  } buffers[static_cast<int>(Scratch::count)];
  ~Buffers() {
    for (auto& b : buffers) std::free(b.memory);
  }
};

thread_local Buffers thread_buffers;

}  // namespace

void* scratch(Scratch use, size_t bytes) {
  auto& buffer = thread_buffers.buffers[static_cast<int>(use)];
  const bool wasteful = buffer.bytes > kKeepBytes && bytes < buffer.bytes / 2;
  if (bytes <= buffer.bytes && buffer.memory != nullptr && !wasteful) return buffer.memory;
  std::free(buffer.memory);
  const size_t rounded = ((bytes + bytes / 4) | 4095) + 1;
  buffer.memory = std::aligned_alloc(4096, rounded);
  buffer.bytes = buffer.memory == nullptr ? 0 : rounded;
  if (buffer.memory == nullptr) {
    throw MemoryError(
        cat("No memory for a working buffer of ", rounded, " bytes of a CPU kernel."));
  }
  return buffer.memory;
}

}  // namespace legato::cpu
