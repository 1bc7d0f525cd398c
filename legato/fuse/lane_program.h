// LaneProgram: a pointwise program in lane instructions, the form that code generators start from.
//
// It is an SSA in which every function of the scalar language is spelled out: `exp` is some twenty
// instructions, none of which knows what exp is. It says what happens to one element; a generator
// decides how many of them go side by side. Nobody writes lane programs: the functions of
// ops/pointwise/scalar_*.h, run on a value type that records (ops/pointwise/lowering.cpp), append
// them, so that there is no second copy of any formula.
//
// Types are those of registers: float32, float64, the integers, and bool_ for masks. Halves are
// loaded as float32 and rounded where they are stored or by round_f16, round_bf16. Narrow integers
// wrap to their width after each instruction.
//
// Rounding contract: each instruction rounds once, as IEEE 754 says; add and mul are never
// contracted. All generators therefore agree to the bit, but for the sign and payload of a nan, and
// for functions whose result is a half on machines that approximate (Note [Functions of halves] in
// ops/pointwise/scalar_half.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "legato/array/dtype.h"
#include "legato/base/export.h"
#include "legato/fuse/program.h"

namespace legato::fuse {

enum class LaneOp : uint8_t {
  input,     // element of the program's input `imm`; halves as float32
  literal,   // the program's literal `imm`
  constant,  // the value whose bits are `imm`, zero-extended
  // Arithmetic: integers wrap, and have no div. min is a < b ? a : b, max is a > b ? a : b: neither
  // is symmetric in nan and signed zeros.
  add,
  sub,
  mul,
  div,  // imm 1: divide_normal of fuse/lane.h
  min,
  max,
  neg,
  // Floating point only. fma rounds once; rint rounds half to even.
  fma,
  scale,  // src[0] * 2^src[1] of float32, src[1] a whole number; only if LaneMachine::scales
  sqrt,
  floor,
  ceil,
  trunc,
  rint,
  round_f16,   // float32 to the nearest float16, as float32
  round_bf16,  // likewise bfloat16
  // The machine's own approximations in float32, see fuse/lane.h; only if
  // LaneMachine::approximates.
  exp2_near,
  log2_near,
  rsqrt_near,
  divide_near,
  divide_near16,
  reciprocal_near16,
  // Comparisons of two values of type `from`; false for nan but for ne. a > b is recorded as b < a.
  eq,
  ne,
  lt,
  le,
  select,  // src[0] ? src[1] : src[2]; never of masks
  // Integers and masks.
  bit_and,
  bit_or,
  bit_xor,
  bit_not,
  shl,  // integers, by `imm` bits, less than the width
  shr,  // likewise; copies the sign of signed types
  // From type `from`.
  bitcast,   // the same bits
  to_int,    // float to the signed integer of its width, truncated; the least integer if it is nan
             // or does not fit
  to_float,  // and back
  convert,   // a cast, see fuse/lane_convert.h
  // Out of line.
  call,  // the pointwise function `fn` of compute dtype `from`
  rare,  // src[0] ? f(src[2], ...) : src[1] with f the RareFn `fn`; src[0] is seldom true
};
inline constexpr int kLaneOpCount = static_cast<int>(LaneOp::rare) + 1;
LEGATO_API const char* name_of(LaneOp op);

/// What functions fall back to where the short way is not exact (`rare` in fuse/lane.h).
enum class RareFn : uint8_t { sin, cos, tan, pow, fmod };
inline constexpr int kRareFnCount = 5;

struct LaneInstr {
  LaneOp op = LaneOp::constant;
  Dtype type = Dtype::float32;  // of the result
  Dtype from = Dtype::float32;  // of the operands where it is not `type`, else `type`
  uint8_t n_src = 0;
  uint16_t fn = 0;                // call: a FnId; rare: a RareFn
  int16_t src[4] = {0, 0, 0, 0};  // instructions before this one
  uint64_t imm = 0;  // constant, number of the input or literal, shift count; of div, see there
};

struct LaneProgram {
  struct Output {
    int16_t value;
    Dtype stored;  // as in memory
  };
  std::vector<Dtype> inputs;    // as in memory
  std::vector<Dtype> literals;  // as in a register
  std::vector<LaneInstr> instrs;
  std::vector<Output> outputs;

  /// One line an instruction, for logs and tests.
  LEGATO_API std::string to_string() const;
};

/// What a machine has beside the instructions that all have.
struct LaneMachine {
  bool scales = false;        // LaneOp::scale, which is written in other instructions if not
  bool approximates = false;  // exp2_near and so on: functions of halves are made of them then
};

/// The program in lane instructions: converted where dtypes differ, common subexpressions computed
/// once, constants folded, without what no output needs. Null if it holds complex values or is
/// longer than generators should take.
LEGATO_API std::unique_ptr<LaneProgram> lower(const Program& program, LaneMachine machine = {});

/// For which half machines that approximate compute `fn` where its result is a `result`: float16 if
/// it is the same for both, float32 if it is no half, or as short as it can be.
LEGATO_API Dtype half_form(FnId fn, Dtype result);

/// One lane of an instruction that is out of line. Operands (src for a call, the arguments for a
/// rare) and the result are bits, zero-extended.
using LaneFunction = uint64_t (*)(const uint64_t* operands);
/// Null if the function is never recorded as a call for that compute dtype.
LEGATO_API LaneFunction call_function(FnId fn, Dtype compute);
LEGATO_API LaneFunction rare_function(RareFn fn, Dtype type);

/// The result of an instruction on operands given as bits. Inputs, literals, calls and rares are
/// not for it.
LEGATO_API uint64_t evaluate_lane(const LaneInstr& instr, const uint64_t* operands);

}  // namespace legato::fuse
