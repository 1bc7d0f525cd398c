#if LEGATO_HAS_ASMJIT
#include "legato/backends/cpu/jit/emitter.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace legato::cpu::jit {
namespace {

using fuse::LaneInstr;
using fuse::LaneOp;

// rbx: the block; r12: element; r13: their number; rax: scratch; the rest hold addresses of
// operands.
constexpr x86::Gp kBlock = x86::rbx, kIndex = x86::r12, kCount = x86::r13;
constexpr int kPointerIds[] = {1, 2, 6, 7, 8, 9, 10, 11, 14, 15};  // rcx rdx rsi rdi r8-r11 r14 r15
constexpr int kMaxCopies = 4;
constexpr int kUnrollBelow = 40;  // instructions; longer bodies overlap by themselves
constexpr int kUnrollTwiceBelow = 8;
constexpr int kTemporaries = 3;  // registers that an instruction may want for itself

}  // namespace

Emitter::Emitter(const fuse::LaneProgram& program, const Variant& variant, SimdLevel level,
                 asmjit::CodeHolder& holder)
    : p_(program),
      variant_(variant),
      wide_(level == SimdLevel::avx512),
      bytes_(wide_ ? 64 : 32),
      step_(wide_ ? 16 : 8),
      registers_(wide_ ? 32 : 16),
      loops_(pointwise::loop_table(std::min(level, cpu_info().level))),
      holder_(holder),
      a(&holder) {}

// --- values ---------------------------------------------------------------------------------

void Emitter::analyse() {
  const int n = static_cast<int>(p_.instrs.size());
  values_.resize(static_cast<size_t>(n));
  uses_.resize(static_cast<size_t>(n));
  int registers = 0;
  for (int v = 0; v < n; ++v) {
    const LaneInstr& s = instr(v);
    Value& x = value(v);
    x.root = v;
    x.parts = size_of(s.type) == 8 ? 2 : 1;
    x.mask = wide_ && s.type == Dtype::bool_;
    // Of AVX2: as wide as what was compared, and combined as such.
    if (s.type == Dtype::bool_ && !wide_ && s.n_src > 0 && s.op != LaneOp::call) {
      bool pairs = true;
      for (int k = 0; k < s.n_src; ++k) pairs &= value(s.src[k]).parts == 2;
      if (pairs) x.parts = 2;
    }
    x.constant = s.op == LaneOp::constant;
    x.uniform = s.op == LaneOp::literal || x.constant ||
                (s.op == LaneOp::input && (variant_.scalars >> s.imm & 1));
    if (s.n_src > 0) {
      x.uniform = true;
      for (int k = 0; k < s.n_src; ++k) x.uniform &= value(s.src[k]).uniform;
    }
    // Bits that look the same in a register.
    const bool wide_int = size_of(s.type) >= 4 && size_of(s.from) >= 4;
    if ((s.op == LaneOp::bitcast && wide_int) ||
        (s.op == LaneOp::convert && is_integer(s.from) && size_of(s.from) < 8 &&
         is_integer(s.type) && size_of(s.type) == 4))
      x.root = value(s.src[0]).root;
    if (x.root != v) continue;
    x.first = registers;
    registers += x.parts * (x.uniform ? 1 : kMaxCopies);
    for (int i = 0; i < registers - x.first; ++i) value_of_.push_back(v);
  }
  for (int v = 0; v < n; ++v) {
    if (value(v).root != v || value(v).uniform) continue;
    for (int k = 0; k < instr(v).n_src; ++k) {
      const int from = source(instr(v), k);
      uses_[static_cast<size_t>(from)].push_back(v);
      ++value(from).uses;
      value(from).last_use = v;
    }
  }
  for (const auto& out : p_.outputs) {
    const int from = value(out.value).root;
    uses_[static_cast<size_t>(from)].push_back(kOutputs);
    ++value(from).uses;
    value(from).last_use = kOutputs;
  }
  reg_.assign(static_cast<size_t>(registers), kNone);
  spill_.assign(static_cast<size_t>(registers), kNone);
  for (auto& file : owner_) std::fill(std::begin(file), std::end(file), kNone);
}

// Two copies of a short body share the loop's own work; of a long one they would only take each
// other's registers. Stores past the caches of AVX2 want two copies: a line is 64 bytes, and lines
// of several outputs that are written by halves, in turn, leave the processor's buffers unfinished.
int Emitter::choose_unroll() {
  int length = 0, live = 0, most = 0;
  bool leaves = false;
  for (int v = 0; v < static_cast<int>(p_.instrs.size()); ++v) {
    const Value& x = value(v);
    if (x.uniform || x.root != v) continue;
    const LaneOp op = instr(v).op;
    leaves |= op == LaneOp::call || op == LaneOp::rare;
    ++length;
    most = std::max(most, live += x.parts);
    for (int k = 0; k < instr(v).n_src; ++k) {
      const Value& from = value(source(instr(v), k));
      if (!from.uniform && from.last_use == v && (k == 0 || instr(v).src[0] != instr(v).src[k]))
        live -= from.parts;
    }
  }
  pressure_ = most;
  if (leaves) return 1;
  if (length < kUnrollTwiceBelow && 4 * most + kTemporaries <= registers_) return 4;
  if (variant_.streamed && !wide_) return 2;
  return length < kUnrollBelow && 2 * most + kTemporaries <= registers_ ? 2 : 1;
}

// What is the same for all elements and read most often, as far as there are registers that the
// body does not want. A call would lose them.
void Emitter::choose_residents() {
  free_registers_ = registers_;
  for (const LaneInstr& s : p_.instrs)
    if (s.op == LaneOp::call) return;
  const int spare = registers_ - unroll_ * pressure_ - kTemporaries;
  std::vector<int> candidates;
  for (int v = 0; v < static_cast<int>(p_.instrs.size()); ++v) {
    const Value& x = value(v);
    if (x.uniform && x.root == v && !x.mask && x.uses > 0) candidates.push_back(v);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](int a, int b) { return value(a).uses > value(b).uses; });
  for (int v : candidates) {
    if (static_cast<int>(residents_.size()) + value(v).parts > spare) break;
    for (int part = 0; part < value(v).parts; ++part) residents_.push_back(vreg(v, part));
  }
  free_registers_ -= static_cast<int>(residents_.size());
}

void Emitter::load_residents() {
  for (size_t i = 0; i < residents_.size(); ++i) {
    const size_t r = static_cast<size_t>(residents_[i]);
    const int v = value_of_[r];
    const x86::Vec to = vec(free_registers_ + static_cast<int>(i));
    if (value(v).constant)
      load_constant(to, type(v), instr(v).imm);
    else
      a.vmovups(to, frame(spill_[r]));
  }
}

// --- registers ------------------------------------------------------------------------------

void Emitter::evict(int r, bool mask) {
  int& owner = owner_[mask][r];
  if (owner >= 0) {
    const int v = value_of_[static_cast<size_t>(owner)];
    // An input can be read again, until outputs that may have its memory are written.
    const bool reloads = instr(v).op == LaneOp::input && !value(v).uniform && now_ != kOutputs;
    if (spill_[static_cast<size_t>(owner)] == kNone && !reloads && !value(v).constant) {
      const int at = spill_[static_cast<size_t>(owner)] = slot(mask ? 8 : bytes_);
      if (mask)
        a.kmovw(x86::word_ptr(x86::rsp, at), this->mask(r));
      else
        a.vmovups(frame(at), vec(r));
    }
    reg_[static_cast<size_t>(owner)] = kNone;
  }
  owner = kNone;
}

int Emitter::allocate(bool mask, int owner) {
  const int first = mask ? 1 : 0;
  const int end = mask ? 8 : in_loop_ ? free_registers_ : registers_;
  int chosen = kNone, furthest = -1;
  for (int r = first; r < end; ++r) {
    if (pinned_[mask] >> r & 1) continue;
    const int held = owner_[mask][r];
    if (held == kNone) {
      chosen = r;
      break;
    }
    if (held == kTemp) continue;
    // The value that is needed last; memory operands before what would have to be stored.
    const int v = value_of_[static_cast<size_t>(held)];
    int next = kOutputs;
    if (in_loop_)
      for (int use : uses_[static_cast<size_t>(v)])
        if (use >= now_) {
          next = use;
          break;
        }
    if (next > furthest) {
      furthest = next;
      chosen = r;
    }
  }
  if (chosen == kNone) {  // more operands at once than registers
    supported_ = false;
    return first;
  }
  if (owner_[mask][chosen] != kNone) evict(chosen, mask);
  owner_[mask][chosen] = owner;
  if (owner >= 0) reg_[static_cast<size_t>(owner)] = chosen;
  pin(chosen, mask);
  return chosen;
}

void Emitter::free_register(int v, int part) {
  const size_t virtual_register = static_cast<size_t>(vreg(v, part));
  const int r = reg_[virtual_register];
  if (r < 0) return;
  owner_[value(v).mask][r] = kNone;
  pinned_[value(v).mask] &= ~(1u << r);
  reg_[virtual_register] = kNone;
}

void Emitter::release(const LaneInstr& s, int part) {
  if (!in_loop_) return;
  for (int k = 0; k < s.n_src; ++k) {
    const int v = source(s, k);
    if (value(v).last_use == now_ && part < value(v).parts && !is_resident(v, part))
      free_register(v, part);
  }
}
void Emitter::release_all(const LaneInstr& s) {
  release(s, 0);
  release(s, 1);
}

int Emitter::temp() { return allocate(false, kTemp); }

void Emitter::end_instruction() {
  for (int m = 0; m < 2; ++m)
    for (int& owner : owner_[m])
      if (owner == kTemp) owner = kNone;
  pinned_[0] = pinned_[1] = 0;
}

x86::Vec Emitter::reg(int v, int part) {
  const size_t virtual_register = static_cast<size_t>(vreg(v, part));
  if (reg_[virtual_register] >= 0) {
    pin(reg_[virtual_register], false);
    return vec(reg_[virtual_register]);
  }
  const LaneInstr& s = instr(v);
  if (spill_[virtual_register] == kNone && s.op == LaneOp::input && !value(v).uniform) {
    load_input(v);
    pin(reg_[virtual_register], false);
    return vec(reg_[virtual_register]);
  }
  const x86::Vec to = vec(allocate(false, static_cast<int>(virtual_register)));
  if (value(v).constant)
    load_constant(to, s.type, s.imm);
  else
    a.vmovups(to, frame(spill_[virtual_register]));
  return to;
}

x86::KReg Emitter::mask_reg(int v) {
  const size_t virtual_register = static_cast<size_t>(vreg(v, 0));
  if (reg_[virtual_register] >= 0) {
    pin(reg_[virtual_register], true);
    return mask(reg_[virtual_register]);
  }
  if (spill_[virtual_register] == kNone && instr(v).op == LaneOp::input && !value(v).uniform) {
    load_input(v);
    return mask(reg_[virtual_register]);
  }
  const x86::KReg to = mask(allocate(true, static_cast<int>(virtual_register)));
  if (!value(v).constant)
    a.kmovw(to, x86::word_ptr(x86::rsp, spill_[virtual_register]));
  else if (instr(v).imm)
    a.kxnorw(to, to, to);
  else
    a.kxorw(to, to, to);
  return to;
}

bool Emitter::foldable_input(int v) {
  const LaneInstr& s = instr(v);
  return s.op == LaneOp::input && !value(v).uniform && value(v).uses == 1 && !is_half(s.from) &&
         size_of(s.from) >= 4 && input_pointer_[s.imm] != kNone;
}

Operand Emitter::rm(int v, int part) {
  const size_t virtual_register = static_cast<size_t>(vreg(v, part));
  if (reg_[virtual_register] >= 0) return reg(v, part);
  if (value(v).constant) return constant(instr(v).type, instr(v).imm);
  if (spill_[virtual_register] != kNone) return frame(spill_[virtual_register]);
  if (foldable_input(v))
    return input_address(static_cast<int>(instr(v).imm),
                         int64_t{copy_} * step_ * size_of(type(v)) + part * bytes_);
  return reg(v, part);
}

x86::Vec Emitter::dest(int part) { return vec(allocate(false, vreg(now_, part))); }
x86::KReg Emitter::mask_dest() { return mask(allocate(true, vreg(now_, 0))); }

x86::Vec Emitter::take_over(int v, int part) {
  const size_t from = static_cast<size_t>(vreg(v, part));
  const int r = reg_[from];
  reg_[from] = kNone;
  owner_[0][r] = vreg(now_, part);
  reg_[static_cast<size_t>(vreg(now_, part))] = r;
  pin(r, false);
  return vec(r);
}

void Emitter::flush() {
  for (int m = 0; m < 2; ++m)
    for (int r = 0; r < 32; ++r)
      if (owner_[m][r] >= 0) evict(r, m);
}

// --- memory ---------------------------------------------------------------------------------

int Emitter::slot(int bytes) {
  const int at = frame_bytes_;
  frame_bytes_ += (bytes + 63) / 64 * 64;
  return at;
}

x86::Mem Emitter::constant(Dtype type, uint64_t bits) {
  int size = size_of(type) == 8 ? 8 : 4;
  // Narrow integers are extended as everywhere in registers; a true mask is all ones.
  if (type == Dtype::int8) bits = static_cast<uint32_t>(static_cast<int8_t>(bits));
  if (type == Dtype::int16) bits = static_cast<uint32_t>(static_cast<int16_t>(bits));
  if (type == Dtype::bool_) bits = bits ? 0xffffffffu : 0;
  Label label;
  for (const PoolEntry& e : pool_)
    if (e.bits == bits && e.size == size) label = e.label;
  if (!label.isValid()) {
    label = a.newLabel();
    pool_.push_back({label, bits, size});
  }
  const x86::Mem at = x86::ptr(label);
  return !wide_ ? at : size == 8 ? at._1to8() : at._1to16();
}

x86::Mem Emitter::ones16() {
  for (const PoolEntry& e : pool_)
    if (e.size == 1) return x86::ptr(e.label);
  pool_.push_back({a.newLabel(), 1, 1});
  return x86::ptr(pool_.back().label);
}

void Emitter::load_constant(const x86::Vec& to, Dtype type, uint64_t bits) {
  x86::Mem from = constant(type, bits);
  if (!wide_) {
    a.vmovaps(to, from);
  } else {
    from.resetBroadcast();
    if (size_of(type) == 8)
      a.vbroadcastsd(to, from);
    else
      a.vbroadcastss(to, from);
  }
}

x86::Mem Emitter::input_address(int index, int64_t byte) {
  x86::Gp base = x86::rax;
  if (input_pointer_[index] != kNone)
    base = x86::gpq(static_cast<uint32_t>(input_pointer_[index]));
  else
    a.mov(base, x86::ptr(kBlock, static_cast<int>(offsetof(Block, in)) + 8 * index));
  const int64_t size = size_of(p_.inputs[static_cast<size_t>(index)]);
  const uint32_t shift = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
  return x86::ptr(base, kIndex, shift, static_cast<int32_t>(byte));
}

x86::Mem Emitter::output_address(int index, int64_t byte) {
  x86::Gp base = x86::rax;
  if (output_pointer_[index] != kNone)
    base = x86::gpq(static_cast<uint32_t>(output_pointer_[index]));
  else
    a.mov(base, x86::ptr(kBlock, static_cast<int>(offsetof(Block, out)) + 8 * index));
  const int64_t size = size_of(p_.outputs[static_cast<size_t>(index)].stored);
  const uint32_t shift = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
  return x86::ptr(base, kIndex, shift, static_cast<int32_t>(byte));
}

void Emitter::load_input(int v) {
  const LaneInstr& s = instr(v);
  const int index = static_cast<int>(s.imm);
  const x86::Mem from = input_address(index, int64_t{copy_} * step_ * size_of(s.from));
  if (value(v).mask) return load_mask(mask(allocate(true, vreg(v, 0))), from);
  x86::Vec to[2];
  for (int part = 0; part < value(v).parts; ++part) to[part] = vec(allocate(false, vreg(v, part)));
  load(s.from, to, from);
}

// --- the code -------------------------------------------------------------------------------

void Emitter::load_pointers() {
  auto load = [&](int id, size_t offset) {
    if (id != kNone)
      a.mov(x86::gpq(static_cast<uint32_t>(id)), x86::ptr(kBlock, static_cast<int>(offset)));
  };
  for (size_t i = 0; i < p_.inputs.size(); ++i)
    load(input_pointer_[i], offsetof(Block, in) + 8 * i);
  for (size_t o = 0; o < p_.outputs.size(); ++o)
    load(output_pointer_[o], offsetof(Block, out) + 8 * o);
}

void Emitter::prologue() {
  a.push(x86::rbp);
  a.mov(x86::rbp, x86::rsp);
  for (const x86::Gp& r : {x86::rbx, x86::r12, x86::r13, x86::r14, x86::r15}) a.push(r);
  a.sub(x86::rsp, 0x12345678);
  frame_patch_ = a.offset() - 4;
  a.and_(x86::rsp, -64);
  a.mov(kBlock, x86::rdi);

  for (int& p : input_pointer_) p = kNone;
  for (int& p : output_pointer_) p = kNone;
  size_t next = 0;
  for (int v = 0; v < static_cast<int>(p_.instrs.size()); ++v)
    if (instr(v).op == LaneOp::input && !value(v).uniform && next < std::size(kPointerIds))
      input_pointer_[instr(v).imm] = kPointerIds[next++];
  for (size_t o = 0; o < p_.outputs.size() && next < std::size(kPointerIds); ++o)
    output_pointer_[o] = kPointerIds[next++];

  bool calls = false;
  for (const LaneInstr& s : p_.instrs)
    calls |= s.op == LaneOp::call || s.op == LaneOp::rare || s.op == LaneOp::convert;
  if (calls) {  // a result and three arguments, of up to eight bytes an element
    area_ = slot(4 * 8 * step_);
    save_ = slot(registers_ * bytes_ + 64);
    pointers_ = slot(24);
    for (int k = 0; k < 3; ++k) {
      a.lea(x86::rax, frame(area_ + (k + 1) * 8 * step_));
      a.mov(frame(pointers_ + 8 * k), x86::rax);
    }
  }

  // What is the same for all elements, into the frame. rsi holds the literals; calls lose it.
  const int literals = slot(8);
  a.mov(frame(literals), x86::rsi);
  in_loop_ = false;
  for (int v = 0; v < static_cast<int>(p_.instrs.size()); ++v) {
    const Value& x = value(v);
    if (!x.uniform || x.constant || x.root != v) continue;
    now_ = v;
    const LaneInstr& s = instr(v);
    if (s.op == LaneOp::input || s.op == LaneOp::literal) {
      if (s.op == LaneOp::input)
        a.mov(x86::rax, x86::ptr(kBlock, static_cast<int>(offsetof(Block, in) + 8 * s.imm)));
      else
        a.mov(x86::rax, frame(literals));
      const int at =
          s.op == LaneOp::input ? 0 : static_cast<int>(s.imm * sizeof(fuse::LiteralValue));
      if (x.mask) {
        const x86::KReg k = mask_dest();
        a.movzx(x86::eax, x86::byte_ptr(x86::rax, at));
        a.neg(x86::eax);
        a.kmovw(k, x86::eax);
      } else {
        x86::Vec to[2];
        for (int part = 0; part < x.parts; ++part) to[part] = dest(part);
        load_scalar(s.from, to, x86::ptr(x86::rax, at));
      }
    } else {
      operation(v);
    }
    end_instruction();
    for (int part = 0; part < x.parts && x.uses > 0; ++part) {
      const size_t r = static_cast<size_t>(vreg(v, part));
      if (spill_[r] != kNone) continue;
      spill_[r] = slot(x.mask ? 8 : bytes_);
      if (x.mask)
        a.kmovw(x86::word_ptr(x86::rsp, spill_[r]), mask(reg_[r]));
      else
        a.vmovups(frame(spill_[r]), vec(reg_[r]));
    }
  }
}

void Emitter::body(int copies) {
  std::fill(reg_.begin(), reg_.end(), kNone);
  for (size_t r = 0; r < spill_.size(); ++r)
    if (!value(value_of_[r]).uniform) spill_[r] = kNone;
  for (auto& file : owner_) std::fill(std::begin(file), std::end(file), kNone);
  in_loop_ = true;
  for (size_t i = 0; i < residents_.size(); ++i) {
    const int r = free_registers_ + static_cast<int>(i);
    reg_[static_cast<size_t>(residents_[i])] = r;
    owner_[0][r] = residents_[i];
  }
  for (int v = 0; v < static_cast<int>(p_.instrs.size()) && supported_; ++v) {
    const Value& x = value(v);
    if (x.uniform || x.root != v || instr(v).op == LaneOp::input) continue;
    for (copy_ = 0; copy_ < copies; ++copy_) {
      now_ = v;
      operation(v);
      end_instruction();
    }
  }
  // Behind all loads, so that an output may have the memory of an input.
  now_ = kOutputs;
  for (size_t o = 0; o < p_.outputs.size(); ++o) {
    const int v = value(p_.outputs[o].value).root;
    if (instr(v).op != LaneOp::input || value(v).uniform) continue;
    for (copy_ = 0; copy_ < copies; ++copy_) {
      if (value(v).mask)
        mask_reg(v);
      else
        for (int part = 0; part < value(v).parts; ++part) reg(v, part);
      end_instruction();
    }
  }
  for (size_t o = 0; o < p_.outputs.size(); ++o) {
    const Dtype stored = p_.outputs[o].stored;
    const int v = value(p_.outputs[o].value).root;
    for (copy_ = 0; copy_ < copies; ++copy_) {
      if (value(v).mask)
        mask_reg(v);
      else
        for (int part = 0; part < value(v).parts; ++part) reg(v, part);
      const x86::Mem to =
          output_address(static_cast<int>(o), int64_t{copy_} * step_ * size_of(stored));
      store(stored, v, to, variant_.streamed >> o & 1);
      end_instruction();
    }
  }
  copy_ = 0;
}

void Emitter::epilogue() {
  if (variant_.streamed) a.sfence();
  a.vzeroupper();
  a.lea(x86::rsp, x86::ptr(x86::rbp, -40));
  for (const x86::Gp& r : {x86::r15, x86::r14, x86::r13, x86::r12, x86::rbx}) a.pop(r);
  a.pop(x86::rbp);
  a.ret();
}

namespace {

/// f of the lanes whose bit is set, into the results at `base`; arguments stand behind them.
void rare_lanes(char* base, uint64_t lanes, fuse::LaneFunction f, int64_t elem_size,
                int64_t arg_bytes) {
  for (; lanes; lanes &= lanes - 1) {
    const int64_t at = __builtin_ctzll(lanes) * elem_size;
    uint64_t operands[2] = {0, 0};
    for (int k = 0; k < 2; ++k)
      std::memcpy(&operands[k], base + (k + 1) * arg_bytes + at, static_cast<size_t>(elem_size));
    const uint64_t result = f(operands);
    std::memcpy(base + at, &result, static_cast<size_t>(elem_size));
  }
}

}  // namespace

void Emitter::finish_cold() {
  const int area = 8 * step_;
  for (const Cold& c : cold_) {
    a.bind(c.in);
    for (int r = 0; r < registers_; ++r)
      if (c.live[0] >> r & 1) a.vmovups(frame(save_ + r * bytes_), vec(r));
    for (int r = 1; r < 8; ++r)
      if (c.live[1] >> r & 1)
        a.kmovw(x86::word_ptr(x86::rsp, save_ + registers_ * bytes_ + 8 * r), mask(r));
    const int parts = size_of(c.argument) == 8 ? 2 : 1;
    if (c.instr)
      for (int part = 0; part < parts; ++part) a.vmovups(frame(area_ + part * bytes_), c.to[part]);
    for (bool from_memory : {false, true}) {
      for (int k = 0; k < c.n_args; ++k) {
        for (int part = 0; part < parts; ++part) {
          const Operand& arg = c.args[k][part];
          if (arg.isMem() != from_memory) continue;
          x86::Vec r = vec(0);
          if (!from_memory)
            r = arg.as<x86::Vec>();
          else if (x86::Mem m = arg.as<x86::Mem>(); m.hasBroadcast()) {
            m.resetBroadcast();
            if (parts == 2)
              a.vbroadcastsd(r, m);
            else
              a.vbroadcastss(r, m);
          } else {
            a.vmovups(r, m);
          }
          a.vmovups(frame(area_ + (k + 1) * area + part * bytes_), r);
        }
      }
    }
    a.vzeroupper();
    a.lea(x86::rdi, frame(area_));
    if (c.instr) {
      a.mov(x86::esi, x86::eax);
      a.mov(x86::rdx, reinterpret_cast<uint64_t>(
                          fuse::rare_function(static_cast<fuse::RareFn>(c.instr->fn), c.argument)));
      a.mov(x86::ecx, static_cast<int>(size_of(c.argument)));
      a.mov(x86::r8d, area);
      a.mov(x86::rax, reinterpret_cast<uint64_t>(&rare_lanes));
    } else {
      a.lea(x86::rsi, frame(pointers_));
      a.mov(x86::edx, step_);
      a.mov(x86::rax, reinterpret_cast<uint64_t>(c.loop));
    }
    a.call(x86::rax);
    for (int r = 0; r < registers_; ++r)
      if (c.live[0] >> r & 1) a.vmovups(vec(r), frame(save_ + r * bytes_));
    for (int r = 1; r < 8; ++r)
      if (c.live[1] >> r & 1)
        a.kmovw(mask(r), x86::word_ptr(x86::rsp, save_ + registers_ * bytes_ + 8 * r));
    load(c.result, c.to, frame(area_));
    load_pointers();
    a.jmp(c.back);
  }
}

void Emitter::finish_pool() {
  if (pool_.empty()) return;
  a.align(asmjit::AlignMode::kData, 64);
  for (int size : {8, 4, 1}) {
    for (const PoolEntry& e : pool_) {
      if (e.size != size) continue;
      a.bind(e.label);
      const int repeat = size == 1 ? 16 : wide_ ? 1 : bytes_ / size;
      for (int i = 0; i < repeat; ++i) a.embed(&e.bits, static_cast<size_t>(size));
    }
    if (size == 4) a.align(asmjit::AlignMode::kData, 16);
  }
}

bool Emitter::emit() {
  analyse();
  unroll_ = choose_unroll();
  choose_residents();
  prologue();
  load_residents();
  const Label restart = a.newLabel(), single = a.newLabel(), loop = a.newLabel(),
              done = a.newLabel(), end = a.newLabel();
  a.bind(restart);
  a.xor_(x86::r12d, x86::r12d);
  a.mov(kCount, x86::ptr(kBlock, static_cast<int>(offsetof(Block, n))));
  load_pointers();
  if (unroll_ > 1) {
    const Label unrolled = a.newLabel();
    a.sub(kCount, unroll_ * step_);
    a.jl(single);
    a.align(asmjit::AlignMode::kCode, 32);
    a.bind(unrolled);
    body(unroll_);
    a.add(kIndex, unroll_ * step_);
    a.cmp(kIndex, kCount);
    a.jle(unrolled);
    a.bind(single);
    a.add(kCount, unroll_ * step_);
  }
  a.cmp(kIndex, kCount);
  a.jge(done);
  a.align(asmjit::AlignMode::kCode, 32);
  a.bind(loop);
  body(1);
  a.add(kIndex, step_);
  a.cmp(kIndex, kCount);
  a.jl(loop);
  a.bind(done);
  a.cmp(x86::qword_ptr(kBlock, static_cast<int>(offsetof(Block, more))), 0);
  a.je(end);
  a.add(kBlock, static_cast<int>(sizeof(Block)));
  a.jmp(restart);
  a.bind(end);
  epilogue();
  finish_cold();
  finish_pool();
  if (!supported_) return false;
  const int32_t bytes = frame_bytes_ + 64;
  std::memcpy(holder_.textSection()->buffer().data() + frame_patch_, &bytes, sizeof bytes);
  return true;
}

}  // namespace legato::cpu::jit
#endif
