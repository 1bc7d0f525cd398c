// Runs a kernel's blocks one after the other, and the threads of a block as fibers.
#pragma once

#include <string>

namespace legato::emulator {

using KernelFn = void (*)(void** arguments);

/// Empty, or what went wrong: a barrier that not all threads of a block reach. `shared` bytes of
/// memory are the block's.
std::string launch(KernelFn kernel, const unsigned (&blocks)[3], const unsigned (&threads)[3],
                   unsigned shared, void** arguments);

}  // namespace legato::emulator
