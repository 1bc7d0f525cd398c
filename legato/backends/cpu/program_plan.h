// The plan of a program for the tile interpreter: each instruction as a step over slots.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "legato/backends/cpu/jit/variants.h"
#include "legato/backends/cpu/loops.h"
#include "legato/fuse/program.h"

namespace legato::cpu {

inline constexpr int kMaxSlots = 256;

// Slots: inputs, then literals, then outputs, then temporaries.
struct Step {
  pointwise::Loop loop;
  uint16_t dst;
  uint16_t src[3];
};

struct Plan final : fuse::CompiledProgram {
  struct Input {
    Dtype stored, reg;                    // as in memory; as in a tile
    pointwise::Loop convert;              // null where they are the same
    int first_read = -1, last_read = -1;  // steps
  };
  struct Output {
    int64_t size;      // bytes of an element
    int written = -1;  // step
  };
  int n_in, n_lit, n_out, n_slots;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<Step> steps;
  std::vector<int64_t> literal_size;
  std::vector<uint8_t> temp_size;  // bytes of an element of each temporary
  int64_t tile_bytes = 0;          // bytes an element takes over all slots
  bool single = false;             // one step whose operands are inputs
  mutable jit::Variants compiled;  // machine code, once it pays

  int lit_slot(int i) const { return n_in + i; }
  int out_slot(int i) const { return n_in + n_lit + i; }
  int temp_slot(int i) const { return n_in + n_lit + n_out + i; }
};

/// The plan, made at the first call. Belongs to the program.
const Plan& plan_of(const fuse::Program& program);

}  // namespace legato::cpu
