// Machine code of a pointwise program, for x86-64 with AVX2 or AVX-512.
#pragma once

#include <cstdint>
#include <memory>

#include "legato/backends/cpu/jit/memory.h"
#include "legato/base/cpu_info.h"
#include "legato/fuse/lane_program.h"

namespace legato::cpu::jit {

/// Elements [0, n) of one stretch of a call: n is a multiple of Code::step. Blocks of a call stand
/// one behind the other in memory; the code runs them in turn.
struct Block {
  const void* in[fuse::kMaxInputs];  // of an input that is a scalar: the one element
  void* out[fuse::kMaxOutputs];
  int64_t n;
  int64_t more;  // whether another block follows
};

/// What the code is specialised for beside the program.
struct Variant {
  uint32_t scalars = 0;   // inputs, by bit, that are one element
  uint32_t streamed = 0;  // outputs, by bit, written past the caches; their addresses are multiples
                          // of 64, and their elements have 4 or 8 bytes
  friend bool operator==(const Variant&, const Variant&) = default;
};

struct Code {
  using Entry = void (*)(const Block* blocks, const fuse::LiteralValue* literals);
  Entry entry = nullptr;
  int step = 0;          // elements an iteration takes at the least
  int64_t bytes = 0;     // of code and constants
  bool streams = false;  // some outputs are written past the caches
  ExecutableMemory memory;
};

/// Whether this build has a code generator and this machine what its code needs.
bool available();

/// Compiles the program. Null if something in it is not supported, or if the system refuses
/// executable memory. `level` is avx2 or avx512; the code runs only where the CPU has it.
std::unique_ptr<Code> compile(const fuse::LaneProgram& program, const Variant& variant,
                              SimdLevel level);

}  // namespace legato::cpu::jit
