// Note [State of a thread]: the next random key is state of the thread, which functions advance on
// the way. When a function that is being transformed throws, the transform puts the state back, as
// if it had never been called.
#pragma once

#include <cstdint>

#include "legato/array/array.h"

namespace legato {

/// What the family `random` keeps for each thread: two words, or an array in their place.
struct ThreadState {
  uint64_t words = 0;
  Array array;
};

/// Installed by the family when it is registered.
struct ThreadStateHooks {
  ThreadState (*get)() = nullptr;
  void (*set)(const ThreadState& state) = nullptr;
};
LEGATO_API ThreadStateHooks& thread_state_hooks();

/// Puts this thread's state back at the end of the scope if an exception ends it.
class LEGATO_API RestoreOnException {
 public:
  RestoreOnException();
  ~RestoreOnException();
  RestoreOnException(const RestoreOnException&) = delete;
  RestoreOnException& operator=(const RestoreOnException&) = delete;

 private:
  int exceptions_;
  ThreadState before_;
};

}  // namespace legato
