// Runs a kernel's blocks one after the other, and the threads of a block as fibers.
#pragma once

#include <string>

namespace legato::emulator {

using KernelFn = void (*)(void** arguments);

/// Empty, or what went wrong: a barrier that not all threads of a block reach.
std::string launch(KernelFn kernel, unsigned blocks, unsigned threads, void** arguments);

}  // namespace legato::emulator
