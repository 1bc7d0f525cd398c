// What making and dropping arrays keeps for each thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace legato {

struct Node;
class CaptureMark;

/// Stands for the default stream of the default device, whichever that is when a node is made.
inline constexpr uint16_t kDefaultStream = 0xffff;

/// The index of that stream; negative until somebody needs it. runtime/ settles it then, which may
/// load the backend of GPUs.
struct DefaultStream {
  std::atomic<int32_t> index{-1};
  uint16_t (*settle)() = nullptr;
  uint16_t get() {
    const int32_t known = index.load(std::memory_order_relaxed);
    return known >= 0 ? static_cast<uint16_t>(known) : settle();
  }
};
extern constinit DefaultStream process_default_stream;

/// One object a thread. Of trivial types only, so that no access has to ask whether it has been
/// initialised.
struct ThreadState {
  Node* free_nodes = nullptr;      // making a node costs no lock and no malloc in the steady state
  Node* dead_nodes = nullptr;      // wait for their inputs to be released
  CaptureMark* capture = nullptr;  // the innermost open capture; held by who opened it
  int32_t n_free = 0;
  bool burying = false;  // somebody up the stack works through dead_nodes
  bool frees_at_exit = false;
  uint16_t stream = kDefaultStream;  // of new nodes
  bool allow_tf32 = false;           // likewise, see array/precision.h
};

extern constinit thread_local ThreadState thread_state;

}  // namespace legato
