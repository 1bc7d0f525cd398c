// LaneBuilder: appends lane instructions, and simplifies as it goes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "legato/fuse/lane_program.h"

namespace legato::fuse {

/// Values are numbers of instructions. An instruction whose operands are constants becomes a
/// constant, one that was appended before is not repeated, and identities that hold to the bit
/// (x * 1, but not x + 0, which loses the sign of -0) vanish.
class LaneBuilder {
 public:
  LaneBuilder(std::span<const Dtype> inputs, std::span<const Dtype> literals);

  int input(int index);
  int literal(int index);
  int constant(Dtype type, uint64_t bits);
  /// Arithmetic, rounding, bits; operands of one type, which is the result's.
  int arith(LaneOp op, int a, int b = -1, int c = -1);
  /// a / b, see fuse/lane.h.
  int divide_normal(int a, int b);
  /// eq, ne, lt, le.
  int compare(LaneOp op, int a, int b);
  int select(int mask, int a, int b);
  int shift(LaneOp op, int a, int count);
  int bitcast(int a, Dtype to);
  /// to_int, to_float.
  int number(LaneOp op, int a, Dtype to);
  int convert(int a, Dtype to);
  int call(FnId fn, Dtype compute, Dtype result, std::span<const int> operands);
  int rare(RareFn fn, int mask, int value, std::span<const int> operands);

  LaneMachine machine;  ///< for which is written

  Dtype type_of(int value) const { return instrs_[static_cast<size_t>(value)].type; }
  int size() const { return static_cast<int>(instrs_.size()); }

  /// What has been appended, less what the outputs don't need.
  std::unique_ptr<LaneProgram> finish(std::vector<LaneProgram::Output> outputs);

 private:
  const LaneInstr& at(int value) const { return instrs_[static_cast<size_t>(value)]; }
  bool is_constant(int value) const { return at(value).op == LaneOp::constant; }
  bool is_constant(int value, uint64_t bits) const {
    return is_constant(value) && at(value).imm == bits;
  }
  bool is_one(int value) const;
  int make(LaneOp op, Dtype type, Dtype from, std::span<const int> src, uint64_t imm = 0);
  int append(const LaneInstr& instr);
  int mask_arith(LaneOp op, int a, int b);

  std::vector<Dtype> inputs_, literals_;
  std::vector<LaneInstr> instrs_;
  std::vector<int> slots_;  // open-addressed table of instructions, -1: free
};

}  // namespace legato::fuse
