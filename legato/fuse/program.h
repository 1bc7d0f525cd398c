// Program: what every piece of pointwise work is, single or fused. A small SSA over pointwise
// functions.
//
// Values are numbered: first the inputs, then the literals, then one value an instruction. Each
// value has a dtype; the half types live in registers as float32 and are rounded where they are
// stored, or by a cast.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "legato/array/dtype.h"
#include "legato/array/shape.h"
#include "legato/base/export.h"

namespace legato::fuse {

/// A pointwise function of the scalar language (ops/pointwise/scalar.h), by its dense number there.
using FnId = uint16_t;
inline constexpr FnId kCastFn =
    0;  // converts its one operand to the instruction's dtype; every dtype to every dtype

/// The number of the function called `name`. Throws InternalError if there is none.
LEGATO_API FnId find_fn(const char* name);
LEGATO_API const char* fn_name(FnId fn);
LEGATO_API int fn_count();

struct Instr {
  FnId fn = kCastFn;
  Dtype compute = Dtype::float32;  // dtype of its operands (of the last operand, where they differ:
                                   // `where`); never a half
  Dtype dtype =
      Dtype::float32;  // dtype of its result; may be a half, then the register holds float32
  uint16_t src[3] = {0, 0, 0};  // value numbers, all smaller than this instruction's own
  uint8_t n_src = 0;
  // Where its result is float32, but a half in the program that it is part of: fuse::half_form().
  Dtype form = Dtype::float32;
};

inline constexpr int kMaxInputs = 16;
inline constexpr int kMaxOutputs = 8;
inline constexpr int kMaxInstrs = 64;
inline constexpr int kMaxLiterals = 32;

/// Where a backend keeps what it derives from a program: Program::compiled.
inline constexpr int kKernelsOfGpu = 2;

/// What a backend derives from a program (machine code, a kernel handle). Owned by the program.
struct CompiledProgram {
  virtual ~CompiledProgram() = default;
};

struct LEGATO_API Program {
  std::vector<Dtype> inputs;    // as stored in memory
  std::vector<Dtype> literals;  // dtype of each literal; the values come with the call
  std::vector<Instr> instrs;
  std::vector<uint16_t> outputs;  // value numbers to store, each as its value's dtype

  int n_values() const { return static_cast<int>(inputs.size() + literals.size() + instrs.size()); }
  Dtype dtype_of_value(int v) const;
  /// One line an instruction, for logs and tests.
  std::string to_string() const;

  // What backends derive: the CPU's plan of loops, its machine code, a GPU's kernels.
  std::atomic<CompiledProgram*> compiled[3] = {nullptr, nullptr, nullptr};

  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();
};

/// An input of a call: where element (0, ..., 0) of the program's shape lies, and the stride of
/// each of its axes (0 where the operand is broadcast), in elements.
struct BoundInput {
  const void* data = nullptr;
  Strides strides;
};

union LiteralValue {  // the literal as one element of its compute dtype
  unsigned char bytes[16];
  double align;
};

/// One execution. Outputs are row-major over `shape`. Inputs and outputs may be the same memory
/// only where an input has exactly the output's addresses for each element (the evaluator's reuse
/// of dying buffers).
struct ProgramCall {
  const Program* program = nullptr;
  Shape shape;
  std::span<const BoundInput> inputs;
  std::span<const LiteralValue> literals;
  std::span<void* const> outputs;
};

}  // namespace legato::fuse
