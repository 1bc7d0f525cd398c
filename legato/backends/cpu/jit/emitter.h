// Emitter: a lane program as one loop of AVX2 or AVX-512 instructions. See docs/design/codegen.md.
//
// A step of the loop takes as many elements as a register has 32-bit lanes. A value is therefore
// one vector, or two parts where its type has 64 bits; narrow integers are extended to 32 bits. A
// mask is a mask register for AVX-512; for AVX2 a vector of 32-bit lanes, or two of 64-bit lanes if
// it comes from comparisons of such values alone.
//
// Registers are given out in one pass over the straight-line body: the value that is needed last
// makes room. Constants, literals, scalar inputs and what follows from them alone are computed
// before the loop. Those that are read most stay in the registers that the body leaves over; the
// others are memory operands.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <utility>
#include <vector>

#include "legato/backends/cpu/jit/code.h"
#include "legato/backends/cpu/loops.h"

namespace legato::cpu::jit {

namespace x86 = asmjit::x86;
using asmjit::Label;
using asmjit::Operand;
namespace Inst = x86::Inst;

class Emitter {
 public:
  Emitter(const fuse::LaneProgram& program, const Variant& variant, SimdLevel level,
          asmjit::CodeHolder& holder);
  /// False if the program holds something that is not supported.
  bool emit();
  int step() const { return step_; }

 private:
  using LaneInstr = fuse::LaneInstr;
  using LaneOp = fuse::LaneOp;

  // --- emitter.cpp: values and registers
  struct Value {
    int parts = 1;
    bool mask = false;     // lives in a mask register (AVX-512)
    bool uniform = false;  // the same for all elements
    bool constant = false;
    int root = 0;   // the value of the same bits that it is an alias of
    int first = 0;  // its first virtual register: then part by part, copy by copy
    int uses = 0;   // how often the loop reads it
    int last_use = -1;
  };
  static constexpr int kNone = -1, kTemp = -2;
  static constexpr int kOutputs = 1 << 30;  // position of the stores at the end of the body

  void analyse();
  int choose_unroll();  // copies of the body in a turn of the loop
  void choose_residents();
  void load_residents();
  void body(int copies);
  void prologue();
  void epilogue();
  void load_pointers();
  void finish_cold();
  void finish_pool();

  const LaneInstr& instr(int v) const { return p_.instrs[static_cast<size_t>(v)]; }
  Value& value(int v) { return values_[static_cast<size_t>(v)]; }
  int source(const LaneInstr& s, int k) { return value(s.src[k]).root; }
  int vreg(int v, int part) {
    return value(v).first + (value(v).uniform ? part : copy_ * value(v).parts + part);
  }
  Dtype type(int v) const { return instr(v).type; }

  x86::Vec vec(int r) const {
    return wide_ ? x86::Vec(x86::Zmm(static_cast<uint32_t>(r)))
                 : x86::Vec(x86::Ymm(static_cast<uint32_t>(r)));
  }
  static x86::Vec half(const x86::Vec& v) {
    return v.isZmm() ? x86::Vec(v.ymm()) : x86::Vec(v.xmm());
  }
  static x86::KReg mask(int r) { return x86::KReg(static_cast<uint32_t>(r)); }

  int allocate(bool mask, int owner);
  void evict(int r, bool mask);
  void free_register(int v, int part);
  /// Frees the registers of the operands that are read here for the last time.
  void release(const LaneInstr& s, int part);
  void release_all(const LaneInstr& s);
  void pin(int r, bool mask) { pinned_[mask] |= 1u << r; }
  int temp();
  x86::Vec temp_vec() { return vec(temp()); }
  void end_instruction();
  /// The register of a value's part; loads it if it is in memory.
  x86::Vec reg(int v, int part = 0);
  x86::KReg mask_reg(int v);
  /// A register or a memory operand.
  Operand rm(int v, int part = 0);
  bool in_register(int v, int part) { return reg_[static_cast<size_t>(vreg(v, part))] >= 0; }
  bool is_resident(int v, int part) {
    return in_register(v, part) && reg_[static_cast<size_t>(vreg(v, part))] >= free_registers_;
  }
  /// Whether the value's register is free for the result of this instruction.
  bool dies_here(int v, int part) {
    return in_loop_ && value(v).last_use == now_ && in_register(v, part) && !is_resident(v, part);
  }
  x86::Vec dest(int part = 0);
  x86::KReg mask_dest();
  /// Makes the register of an operand that dies that of the result.
  x86::Vec take_over(int v, int part);
  void flush();

  x86::Mem constant(Dtype type, uint64_t bits);  // as an operand: broadcast on AVX-512
  x86::Mem constant32(uint32_t bits) { return constant(Dtype::uint32, bits); }
  x86::Mem ones16();  // sixteen bytes of 1
  void load_constant(const x86::Vec& to, Dtype type, uint64_t bits);
  int slot(int bytes);
  x86::Mem frame(int offset) const { return x86::ptr(x86::rsp, offset); }
  x86::Mem input_address(int index, int64_t byte);
  x86::Mem output_address(int index, int64_t byte);
  bool foldable_input(int v);
  void load_input(int v);

  // --- emit_ops.cpp
  void operation(int v);
  void binary(uint32_t id, bool commutes = false);
  void binary_part(uint32_t id, bool commutes, int part);
  void unary(uint32_t id, int imm = -1);
  void arithmetic();
  void multiply64();
  void fma();
  void shift();
  bool shift_by(bool left);
  void compare();
  x86::Vec lanes32(int v);
  x86::Vec lanes64(int v, int part);
  x86::Vec widened(const x86::Vec& m, int part);
  x86::KReg mask_part(const x86::KReg& m, int part);
  void narrow_mask(const x86::Vec& d, const x86::Vec& low, const x86::Vec& high);
  void select();
  void mask_operation();
  void negate();
  void min_max();
  void round_half();
  void convert();
  void convert_from_mask();
  bool convert_wide();
  void float_to_int();
  void long_to_double();
  void extend(const x86::Vec& r, Dtype type);
  void call();
  void call_loop(pointwise::Loop loop, Dtype argument, Dtype result);
  void rare();

  // --- emit_memory.cpp
  void load(Dtype stored, const x86::Vec* to, const x86::Mem& from);
  void load_scalar(Dtype stored, const x86::Vec* to, const x86::Mem& from);
  void widen_loaded(Dtype stored, const x86::Vec& to, const Operand& from);
  void load_mask(const x86::KReg& to, const x86::Mem& from);
  void store(Dtype stored, int v, const x86::Mem& to, bool stream);
  void store_vector(Dtype stored, const x86::Vec* from, const x86::Mem& to, bool stream);
  void store_low(const x86::Vec& t, const x86::Mem& to, int bytes);
  void bf16_bits(const x86::Vec& to, const x86::Vec& from);

  /// What runs seldom, behind the loop: a call on arguments in registers or memory.
  struct Cold {
    Label in, back;
    const LaneInstr* instr = nullptr;  // a rare; otherwise a loop over all lanes
    pointwise::Loop loop = nullptr;
    Dtype argument = Dtype::float32, result = Dtype::float32;
    int n_args = 0;
    Operand args[2][2];
    x86::Vec to[2];
    uint32_t live[2] = {0, 0};  // registers to keep, vectors and masks
  };
  void leave_if_any(Cold c);

  const fuse::LaneProgram& p_;
  const Variant variant_;
  const bool wide_;  // AVX-512
  const int bytes_;  // of a vector
  const int step_;   // elements
  const int registers_;
  const pointwise::LoopTable& loops_;  // for what is called
  asmjit::CodeHolder& holder_;
  x86::Assembler a;

  std::vector<Value> values_;
  std::vector<std::vector<int>> uses_;  // positions, by root
  std::vector<int> reg_;                // of each virtual register, kNone: in memory
  std::vector<int> spill_;              // offset in the frame
  std::vector<int> value_of_;           // of each virtual register
  int owner_[2][32];                    // virtual registers, by register
  uint32_t pinned_[2] = {0, 0};
  int now_ = 0;   // the instruction being emitted
  int copy_ = 0;  // the unrolled copy
  bool in_loop_ = false;
  bool supported_ = true;
  int unroll_ = 1;
  int pressure_ = 0;            // registers that one copy of the body wants at once
  int free_registers_ = 0;      // for the body; those behind them hold residents_, in order
  std::vector<int> residents_;  // virtual registers

  int input_pointer_[fuse::kMaxInputs],
      output_pointer_[fuse::kMaxOutputs];  // numbers of Gp, or kNone
  int frame_bytes_ = 0;
  size_t frame_patch_ = 0;  // where the size of the frame stands in the code
  int area_ = kNone, save_ = kNone, pointers_ = kNone;
  std::vector<Cold> cold_;
  struct PoolEntry {
    Label label;
    uint64_t bits;
    int size;  // 4, 8: splatted; 1: sixteen bytes
  };
  std::vector<PoolEntry> pool_;
};

}  // namespace legato::cpu::jit
