#include "legato/fuse/lane_builder.h"

#include <algorithm>
#include <cstring>

#include "legato/base/error.h"

namespace legato::fuse {
namespace {

constexpr uint64_t kTrue = 1;

bool commutes(LaneOp op) {
  switch (op) {
    case LaneOp::add:
    case LaneOp::mul:
    case LaneOp::eq:
    case LaneOp::ne:
    case LaneOp::bit_and:
    case LaneOp::bit_or:
    case LaneOp::bit_xor:
      return true;
    default:
      return false;
  }
}

bool same(const LaneInstr& a, const LaneInstr& b) {
  return a.op == b.op && a.type == b.type && a.from == b.from && a.n_src == b.n_src &&
         a.fn == b.fn && a.imm == b.imm && std::equal(a.src, a.src + a.n_src, b.src);
}

size_t hash(const LaneInstr& s) {
  uint64_t h = (static_cast<uint64_t>(s.op) << 24 | static_cast<uint64_t>(s.type) << 16 |
                static_cast<uint64_t>(s.from) << 8 | s.fn) ^
               s.imm;
  for (int i = 0; i < s.n_src; ++i)
    h = (h ^ static_cast<uint16_t>(s.src[i])) * 0x9e3779b97f4a7c15ull;
  h *= 0x9e3779b97f4a7c15ull;
  return static_cast<size_t>(h >> 20);
}

}  // namespace

LaneBuilder::LaneBuilder(std::span<const Dtype> inputs, std::span<const Dtype> literals)
    : inputs_(inputs.begin(), inputs.end()) {
  for (Dtype t : literals) literals_.push_back(compute_dtype(t));
  instrs_.reserve(128);
  slots_.assign(512, -1);
}

int LaneBuilder::append(const LaneInstr& instr) {
  size_t at = hash(instr) & (slots_.size() - 1);
  for (; slots_[at] >= 0; at = (at + 1) & (slots_.size() - 1))
    if (same(instrs_[static_cast<size_t>(slots_[at])], instr)) return slots_[at];
  const int value = size();
  LEGATO_CHECK(value < INT16_MAX, "a pointwise program is too long to lower");
  instrs_.push_back(instr);
  slots_[at] = value;
  if (2 * instrs_.size() > slots_.size()) {
    slots_.assign(2 * slots_.size(), -1);
    for (int v = 0; v <= value; ++v) {
      at = hash(instrs_[static_cast<size_t>(v)]) & (slots_.size() - 1);
      while (slots_[at] >= 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = v;
    }
  }
  return value;
}

int LaneBuilder::make(LaneOp op, Dtype type, Dtype from, std::span<const int> src, uint64_t imm) {
  LaneInstr s;
  s.op = op;
  s.type = type;
  s.from = from;
  s.imm = imm;
  bool constants = !src.empty();
  for (int v : src) {
    s.src[s.n_src++] = static_cast<int16_t>(v);
    constants &= is_constant(v);
  }
  if (constants) {
    uint64_t operands[4];
    for (int i = 0; i < s.n_src; ++i) operands[i] = at(s.src[i]).imm;
    return constant(type, evaluate_lane(s, operands));
  }
  // Constants to the right, so that equal sums meet and generators find them in one place.
  if (commutes(op) && (is_constant(s.src[0]) || (!is_constant(s.src[1]) && s.src[0] > s.src[1])))
    std::swap(s.src[0], s.src[1]);
  return append(s);
}

int LaneBuilder::input(int index) {
  LaneInstr s;
  s.op = LaneOp::input;
  s.imm = static_cast<uint64_t>(index);
  s.from = inputs_[static_cast<size_t>(index)];
  s.type = compute_dtype(s.from);
  return append(s);
}

int LaneBuilder::literal(int index) {
  LaneInstr s;
  s.op = LaneOp::literal;
  s.imm = static_cast<uint64_t>(index);
  s.type = s.from = literals_[static_cast<size_t>(index)];
  return append(s);
}

int LaneBuilder::constant(Dtype type, uint64_t bits) {
  LaneInstr s;
  s.op = LaneOp::constant;
  s.type = s.from = type;
  s.imm = bits;
  return append(s);
}

bool LaneBuilder::is_one(int value) const {
  const Dtype t = at(value).type;
  if (t == Dtype::float32) return is_constant(value, 0x3f800000u);
  if (t == Dtype::float64) return is_constant(value, 0x3ff0000000000000u);
  return is_constant(value, 1);
}

// Arithmetic of bool: its numbers are 0 and 1, and wrap to "not 0".
int LaneBuilder::mask_arith(LaneOp op, int a, int b) {
  switch (op) {
    case LaneOp::add:
    case LaneOp::max:
      op = LaneOp::bit_or;
      break;
    case LaneOp::mul:
    case LaneOp::min:
      op = LaneOp::bit_and;
      break;
    case LaneOp::sub:
      op = LaneOp::bit_xor;
      break;
    default:
      break;
  }
  if (op == LaneOp::bit_not) {
    if (at(a).op == LaneOp::bit_not) return at(a).src[0];
    if (at(a).op == LaneOp::eq) return compare(LaneOp::ne, at(a).src[0], at(a).src[1]);
    if (at(a).op == LaneOp::ne) return compare(LaneOp::eq, at(a).src[0], at(a).src[1]);
    return make(op, Dtype::bool_, Dtype::bool_, std::array{a});
  }
  if (is_constant(a)) std::swap(a, b);
  if (is_constant(b)) {
    const bool set = at(b).imm == kTrue;
    if (op == LaneOp::bit_and) return set ? a : b;
    if (op == LaneOp::bit_or) return set ? b : a;
    return set ? mask_arith(LaneOp::bit_not, a, -1) : a;
  }
  if (a == b) return op == LaneOp::bit_xor ? constant(Dtype::bool_, 0) : a;
  return make(op, Dtype::bool_, Dtype::bool_, std::array{a, b});
}

int LaneBuilder::arith(LaneOp op, int a, int b, int c) {
  const Dtype type = type_of(a);
  if (type == Dtype::bool_) return mask_arith(op, a, b);
  const bool integer = is_integer(type);
  if ((op == LaneOp::neg || op == LaneOp::bit_not) && at(a).op == op) return at(a).src[0];
  if (op == LaneOp::mul && is_one(a)) return b;
  if ((op == LaneOp::mul || op == LaneOp::div) && is_one(b)) return a;
  if (integer && (op == LaneOp::add || op == LaneOp::bit_or || op == LaneOp::bit_xor) &&
      is_constant(a, 0))
    return b;
  if (is_constant(b < 0 ? a : b, 0) && b >= 0 &&
      (op == LaneOp::sub ||  // x - +0 is x, also for -0
       (integer && (op == LaneOp::add || op == LaneOp::bit_or || op == LaneOp::bit_xor))))
    return a;
  if (c >= 0) return make(op, type, type, std::array{a, b, c});
  if (b >= 0) return make(op, type, type, std::array{a, b});
  return make(op, type, type, std::array{a});
}

int LaneBuilder::divide_normal(int a, int b) {
  return make(LaneOp::div, type_of(a), type_of(a), std::array{a, b}, 1);
}

int LaneBuilder::compare(LaneOp op, int a, int b) {
  const Dtype from = type_of(a);
  if (from == Dtype::bool_) {
    auto inverse = [&](int v) { return mask_arith(LaneOp::bit_not, v, -1); };
    if (op == LaneOp::ne) return mask_arith(LaneOp::bit_xor, a, b);
    if (op == LaneOp::eq) return inverse(mask_arith(LaneOp::bit_xor, a, b));
    if (op == LaneOp::lt) return mask_arith(LaneOp::bit_and, inverse(a), b);
    return mask_arith(LaneOp::bit_or, inverse(a), b);
  }
  if (is_integer(from) && op == LaneOp::le)  // generators have one comparison less to know
    return mask_arith(LaneOp::bit_not, compare(LaneOp::lt, b, a), -1);
  return make(op, Dtype::bool_, from, std::array{a, b});
}

int LaneBuilder::select(int mask, int a, int b) {
  if (a == b) return a;
  if (is_constant(mask)) return at(mask).imm == kTrue ? a : b;
  if (at(mask).op == LaneOp::bit_not) return select(at(mask).src[0], b, a);
  const Dtype type = type_of(a);
  if (type == Dtype::bool_)
    return mask_arith(LaneOp::bit_or, mask_arith(LaneOp::bit_and, mask, a),
                      mask_arith(LaneOp::bit_and, mask_arith(LaneOp::bit_not, mask, -1), b));
  if (at(mask).op == LaneOp::lt) {
    const int p = at(mask).src[0], q = at(mask).src[1];
    if (p == a && q == b) return arith(LaneOp::min, a, b);
    if (p == b && q == a) return arith(LaneOp::max, a, b);  // a > b, written b < a
  }
  return make(LaneOp::select, type, type, std::array{mask, a, b});
}

int LaneBuilder::shift(LaneOp op, int a, int count) {
  const Dtype type = type_of(a);
  if (count == 0) return a;
  return make(op, type, type, std::array{a}, static_cast<uint64_t>(count));
}

int LaneBuilder::bitcast(int a, Dtype to) {
  const Dtype from = type_of(a);
  if (from == to) return a;
  if (at(a).op == LaneOp::bitcast) return bitcast(at(a).src[0], to);
  return make(LaneOp::bitcast, to, from, std::array{a});
}

int LaneBuilder::number(LaneOp op, int a, Dtype to) {
  return make(op, to, type_of(a), std::array{a});
}

int LaneBuilder::convert(int a, Dtype to) {
  const Dtype from = type_of(a);
  if (from == to) return a;
  if (to == Dtype::bool_) return compare(LaneOp::ne, a, constant(from, 0));
  if (is_integer(from) && is_integer(to) && size_of(from) == size_of(to)) return bitcast(a, to);
  return make(LaneOp::convert, to, from, std::array{a});
}

int LaneBuilder::call(FnId fn, Dtype compute, Dtype result, std::span<const int> operands) {
  LaneInstr s;
  s.op = LaneOp::call;
  s.type = result;
  s.from = compute;
  s.fn = fn;
  for (int v : operands) s.src[s.n_src++] = static_cast<int16_t>(v);
  return append(s);
}

int LaneBuilder::rare(RareFn fn, int mask, int value, std::span<const int> operands) {
  if (is_constant(mask) && at(mask).imm != kTrue) return value;
  LaneInstr s;
  s.op = LaneOp::rare;
  s.type = s.from = type_of(value);
  s.fn = static_cast<uint16_t>(fn);
  s.src[s.n_src++] = static_cast<int16_t>(mask);
  s.src[s.n_src++] = static_cast<int16_t>(value);
  for (int v : operands) s.src[s.n_src++] = static_cast<int16_t>(v);
  return append(s);
}

std::unique_ptr<LaneProgram> LaneBuilder::finish(std::vector<LaneProgram::Output> outputs) {
  std::vector<int16_t> number(instrs_.size(), -1);
  for (const auto& out : outputs) number[static_cast<size_t>(out.value)] = 0;
  for (size_t v = instrs_.size(); v-- > 0;) {
    if (number[v] < 0) continue;
    for (int i = 0; i < instrs_[v].n_src; ++i) number[static_cast<size_t>(instrs_[v].src[i])] = 0;
  }
  auto p = std::make_unique<LaneProgram>();
  p->inputs = inputs_;
  p->literals = literals_;
  for (size_t v = 0; v < instrs_.size(); ++v) {
    if (number[v] < 0) continue;
    number[v] = static_cast<int16_t>(p->instrs.size());
    LaneInstr s = instrs_[v];
    for (int i = 0; i < s.n_src; ++i) s.src[i] = number[static_cast<size_t>(s.src[i])];
    p->instrs.push_back(s);
  }
  for (auto& out : outputs) out.value = number[static_cast<size_t>(out.value)];
  p->outputs = std::move(outputs);
  return p;
}

}  // namespace legato::fuse
