#include "tests/cuda/emulator/launch.h"

#include <sys/mman.h>

#include <mutex>
#include <vector>

#include "tests/cuda/emulator/device.h"

thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

// Saves the registers that a function must keep, and goes on where `to` stopped.
extern "C" void legato_fiber_switch(void** from, void* to);
asm(R"(
.text
.globl legato_fiber_switch
.hidden legato_fiber_switch
legato_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace legato::emulator {
namespace {

constexpr size_t kStack = 256 << 10;
constexpr int kMaxThreads = 1024;

enum class State : uint8_t { ready, at_block_barrier, at_warp_barrier, done };

struct Copy {
  void* to;
  const void* from;
  int bytes;
};
struct Fiber {
  void* stack_pointer = nullptr;
  State state = State::ready;
  std::vector<Copy> copies;     // begun, in order
  std::vector<size_t> commits;  // how many of them each commit ended with
};

struct Machine {
  char* stacks = nullptr;
  Fiber fibers[kMaxThreads];
  char slots[kMaxThreads][32];
  void* scheduler = nullptr;
  int current = 0;
  unsigned threads = 0;
  KernelFn kernel = nullptr;
  void** arguments = nullptr;
  struct alignas(16) Words {
    uint64_t words[2];
  };
  std::vector<Words> shared;  // the block's, of the size given at the launch
};
Machine machine;  // guarded by running: one kernel at a time
std::mutex running;

void yield(State state) {
  Fiber& f = machine.fibers[machine.current];
  f.state = state;
  legato_fiber_switch(&f.stack_pointer, machine.scheduler);
}

void fiber_main() {
  machine.kernel(machine.arguments);
  yield(State::done);
  __builtin_trap();
}

void prepare(int i) {
  // The stack as legato_fiber_switch expects it: six registers, then where to go on. At the entry
  // of a function the stack pointer is 8 off a multiple of 16.
  char* top = machine.stacks + kStack * static_cast<size_t>(i + 1) - 64;
  auto* words = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t{15});
  *--words = nullptr;
  *--words = reinterpret_cast<void*>(&fiber_main);
  for (int r = 0; r < 6; ++r) *--words = nullptr;
  Fiber& f = machine.fibers[i];
  f.stack_pointer = words;
  f.state = State::ready;
  f.copies.clear();
  f.commits.clear();
}

bool run_block() {
  const int n = static_cast<int>(machine.threads);
  for (int i = 0; i < n; ++i) prepare(i);
  for (;;) {
    bool ran = false, all_done = true;
    for (int i = 0; i < n; ++i) {
      Fiber& f = machine.fibers[i];
      if (f.state != State::ready) {
        all_done &= f.state == State::done;
        continue;
      }
      machine.current = i;
      const unsigned at = static_cast<unsigned>(i), row = at / blockDim.x;
      threadIdx = {at % blockDim.x, row % blockDim.y, row / blockDim.y};
      legato_fiber_switch(&machine.scheduler, f.stack_pointer);
      ran = true;
      all_done &= f.state == State::done;
    }
    if (all_done) return true;
    bool released = false, all_at_barrier = true;
    for (int i = 0; i < n; ++i) {
      const State s = machine.fibers[i].state;
      all_at_barrier &= s == State::at_block_barrier || s == State::done;
    }
    if (all_at_barrier) {
      for (int i = 0; i < n; ++i)
        if (machine.fibers[i].state == State::at_block_barrier)
          machine.fibers[i].state = State::ready;
      released = true;
    }
    for (int warp = 0; warp < n; warp += 32) {
      const int end = warp + 32 < n ? warp + 32 : n;
      bool complete = true, any = false;
      for (int i = warp; i < end; ++i) {
        const State s = machine.fibers[i].state;
        complete &= s == State::at_warp_barrier || s == State::done;
        any |= s == State::at_warp_barrier;
      }
      if (!complete || !any) continue;
      for (int i = warp; i < end; ++i)
        if (machine.fibers[i].state == State::at_warp_barrier)
          machine.fibers[i].state = State::ready;
      released = true;
    }
    if (!ran && !released) return false;
  }
}

}  // namespace

void block_barrier() { yield(State::at_block_barrier); }
int lane() { return machine.current % 32; }
void exchange(const void* mine, void* theirs, int bytes, int from) {
  const int me = machine.current, warp = me / 32 * 32;
  std::memcpy(machine.slots[me], mine, static_cast<size_t>(bytes));
  yield(State::at_warp_barrier);
  std::memcpy(theirs, machine.slots[warp + from], static_cast<size_t>(bytes));
  yield(State::at_warp_barrier);
}
void gather(const void* mine, int bytes, void* all) {
  const int me = machine.current, warp = me / 32 * 32;
  std::memcpy(machine.slots[me], mine, static_cast<size_t>(bytes));
  yield(State::at_warp_barrier);
  for (int i = 0; i < 32; ++i)
    std::memcpy(static_cast<char*>(all) + i * bytes, machine.slots[warp + i],
                static_cast<size_t>(bytes));
  yield(State::at_warp_barrier);
}
unsigned ballot(bool mine) {
  const int me = machine.current, warp = me / 32 * 32;
  machine.slots[me][0] = mine;
  yield(State::at_warp_barrier);
  unsigned votes = 0;
  for (int i = 0; i < 32 && warp + i < static_cast<int>(machine.threads); ++i)
    if (machine.fibers[warp + i].state != State::done && machine.slots[warp + i][0])
      votes |= 1u << i;
  yield(State::at_warp_barrier);
  return votes;
}

void* dynamic_shared() { return machine.shared.data(); }

void begin_copy(void* to, const void* from, int bytes) {
  std::memset(to, 0xcd, static_cast<size_t>(bytes));
  machine.fibers[machine.current].copies.push_back({to, from, bytes});
}
void commit_copies() {
  Fiber& f = machine.fibers[machine.current];
  f.commits.push_back(f.copies.size());
}
void wait_copies(int n) {
  Fiber& f = machine.fibers[machine.current];
  if (f.commits.size() <= static_cast<size_t>(n)) return;
  const size_t groups = f.commits.size() - static_cast<size_t>(n), done = f.commits[groups - 1];
  for (size_t i = 0; i < done; ++i) {
    const Copy& c = f.copies[i];
    if (c.from)
      std::memcpy(c.to, c.from, static_cast<size_t>(c.bytes));
    else
      std::memset(c.to, 0, static_cast<size_t>(c.bytes));
  }
  f.copies.erase(f.copies.begin(), f.copies.begin() + static_cast<std::ptrdiff_t>(done));
  f.commits.erase(f.commits.begin(), f.commits.begin() + static_cast<std::ptrdiff_t>(groups));
  for (size_t& end : f.commits) end -= done;
}

std::string launch(KernelFn kernel, const unsigned (&blocks)[3], const unsigned (&threads)[3],
                   unsigned shared, void** arguments) {
  std::lock_guard lock(running);
  machine.threads = threads[0] * threads[1] * threads[2];
  if (machine.threads == 0 || machine.threads > kMaxThreads)
    return "a block of more than 1024 threads";
  if (!machine.stacks) {
    void* p = mmap(nullptr, kStack * kMaxThreads, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return "no memory for the stacks of emulated threads";
    machine.stacks = static_cast<char*>(p);
  }
  machine.kernel = kernel;
  machine.arguments = arguments;
  blockDim = {threads[0], threads[1], threads[2]};
  gridDim = {blocks[0], blocks[1], blocks[2]};
  for (unsigned z = 0; z < blocks[2]; ++z)
    for (unsigned y = 0; y < blocks[1]; ++y)
      for (unsigned x = 0; x < blocks[0]; ++x) {
        blockIdx = {x, y, z};
        machine.shared.assign(shared / 16 + 1, {0xcdcdcdcdcdcdcdcdu, 0xcdcdcdcdcdcdcdcdu});
        if (!run_block()) return "a barrier that not all threads of the block, or warp, reach";
      }
  return "";
}

}  // namespace legato::emulator
