// What making and dropping arrays keeps for each thread.
#pragma once

#include <cstdint>

namespace legato {

struct Node;
class CaptureMark;

/// One object a thread. Of trivial types only, so that no access has to ask whether it has been
/// initialised.
struct ThreadState {
  Node* free_nodes = nullptr;      // making a node costs no lock and no malloc in the steady state
  Node* dead_nodes = nullptr;      // wait for their inputs to be released
  CaptureMark* capture = nullptr;  // the innermost open capture; held by who opened it
  int32_t n_free = 0;
  bool burying = false;  // somebody up the stack works through dead_nodes
  bool frees_at_exit = false;
  uint16_t stream = 0;  // of new nodes
};

extern constinit thread_local ThreadState thread_state;

}  // namespace legato
