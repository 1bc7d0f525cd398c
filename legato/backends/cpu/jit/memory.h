// Memory that holds machine code: written first, then executable, never both.
#pragma once

#include <cstddef>
#include <cstdint>

namespace legato::cpu::jit {

/// Owns pages with code. Each program has its own, private to the process: pages shared between two
/// mappings would also be shared with a child after fork, and its programs would overwrite ours.
class ExecutableMemory {
 public:
  ExecutableMemory() = default;
  ExecutableMemory(ExecutableMemory&& other) noexcept;
  ExecutableMemory& operator=(ExecutableMemory&& other) noexcept;
  ~ExecutableMemory();

  /// `bytes` of memory to write to, at the address where the code will run. False if there is none.
  bool reserve(size_t bytes);
  /// Takes away the right to write, gives that to execute. False if the system refuses it.
  bool seal();
  void* address() const { return at_; }

 private:
  void* at_ = nullptr;
  size_t bytes_ = 0;
};

/// For tests: makes seal() fail as if the system refused.
void refuse_executable_memory(bool refuse);

}  // namespace legato::cpu::jit
