#include "legato/backends/cpu/jit/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <utility>

namespace legato::cpu::jit {
namespace {

std::atomic<bool> refused{false};

}  // namespace

ExecutableMemory::ExecutableMemory(ExecutableMemory&& other) noexcept
    : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

ExecutableMemory& ExecutableMemory::operator=(ExecutableMemory&& other) noexcept {
  std::swap(at_, other.at_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

ExecutableMemory::~ExecutableMemory() {
  if (at_) munmap(at_, bytes_);
}

bool ExecutableMemory::reserve(size_t bytes) {
  static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t whole = (bytes + page - 1) / page * page;
  void* p = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  at_ = p;
  bytes_ = whole;
  return true;
}

bool ExecutableMemory::seal() {
  return !refused.load(std::memory_order_relaxed) &&
         mprotect(at_, bytes_, PROT_READ | PROT_EXEC) == 0;
}

void refuse_executable_memory(bool refuse) { refused = refuse; }

}  // namespace legato::cpu::jit
