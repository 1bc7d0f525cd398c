// The lane instructions as machine instructions.
#if LEGATO_HAS_ASMJIT
#include "legato/backends/cpu/jit/emitter.h"
#include "legato/base/error.h"

namespace legato::cpu::jit {
namespace {

using fuse::LaneInstr;
using fuse::LaneOp;

bool is_double(Dtype t) { return t == Dtype::float64; }
bool is_long(Dtype t) { return t == Dtype::int64 || t == Dtype::uint64; }

}  // namespace

void Emitter::operation(int v) {
  const LaneInstr& s = instr(v);
  const bool twice = is_double(s.type);
  switch (s.op) {
    case LaneOp::input:
    case LaneOp::literal:
    case LaneOp::constant:
      return;
    case LaneOp::add:
    case LaneOp::sub:
    case LaneOp::mul:
      return arithmetic();
    case LaneOp::div:
      return binary(twice ? Inst::kIdVdivpd : Inst::kIdVdivps);
    case LaneOp::min:
    case LaneOp::max:
      return min_max();
    case LaneOp::neg:
      return negate();
    case LaneOp::fma:
      return fma();
    case LaneOp::scale:
      LEGATO_CHECK(wide_, "a program was lowered for a level that its code is not for");
      return binary(Inst::kIdVscalefps);
    case LaneOp::sqrt:
      return unary(twice ? Inst::kIdVsqrtpd : Inst::kIdVsqrtps);
    case LaneOp::floor:
    case LaneOp::ceil:
    case LaneOp::trunc:
    case LaneOp::rint: {
      const int mode = s.op == LaneOp::floor   ? 9
                       : s.op == LaneOp::ceil  ? 10
                       : s.op == LaneOp::trunc ? 11
                                               : 8;
      if (wide_) return unary(twice ? Inst::kIdVrndscalepd : Inst::kIdVrndscaleps, mode);
      return unary(twice ? Inst::kIdVroundpd : Inst::kIdVroundps, mode);
    }
    case LaneOp::round_f16:
    case LaneOp::round_bf16:
      return round_half();
    case LaneOp::exp2_near:
    case LaneOp::log2_near:
    case LaneOp::rsqrt_near:
    case LaneOp::divide_near:
    case LaneOp::divide_near16:
    case LaneOp::reciprocal_near16:
      throw InternalError("a program was lowered for a machine that approximates");
    case LaneOp::eq:
    case LaneOp::ne:
    case LaneOp::lt:
    case LaneOp::le:
      return compare();
    case LaneOp::select:
      return select();
    case LaneOp::bit_and:
    case LaneOp::bit_or:
    case LaneOp::bit_xor:
    case LaneOp::bit_not:
      return mask_operation();
    case LaneOp::shl:
    case LaneOp::shr:
      return shift();
    case LaneOp::bitcast:  // of narrow integers: other bits fill the register
    case LaneOp::convert:
      return convert();
    case LaneOp::to_int:
      supported_ &= !is_long(s.type);
      return unary(Inst::kIdVcvttps2dq);
    case LaneOp::to_float:
      supported_ &= !is_double(s.type);
      return unary(Inst::kIdVcvtdq2ps);
    case LaneOp::call:
      return call();
    case LaneOp::rare:
      return rare();
  }
}

// --- by part --------------------------------------------------------------------------------

void Emitter::binary_part(uint32_t id, bool commutes, int part) {
  const LaneInstr& s = instr(now_);
  int left = source(s, 0), right = source(s, 1);
  if (commutes && !in_register(left, part) && in_register(right, part)) std::swap(left, right);
  const x86::Vec x = reg(left, part);
  const Operand y = rm(right, part);
  release(s, part);
  a.emit(id, dest(part), x, y);
}
void Emitter::binary(uint32_t id, bool commutes) {
  for (int part = 0; part < value(now_).parts; ++part) binary_part(id, commutes, part);
}

void Emitter::unary(uint32_t id, int imm) {
  const LaneInstr& s = instr(now_);
  for (int part = 0; part < value(now_).parts; ++part) {
    const Operand x = rm(source(s, 0), part);
    release(s, part);
    if (imm < 0)
      a.emit(id, dest(part), x);
    else
      a.emit(id, dest(part), x, asmjit::imm(imm));
  }
}

void Emitter::extend(const x86::Vec& r, Dtype type) {
  if (type == Dtype::int8 || type == Dtype::int16) {
    const int bits = type == Dtype::int8 ? 24 : 16;
    a.vpslld(r, r, bits);
    a.vpsrad(r, r, bits);
  } else if (type == Dtype::uint8 || type == Dtype::uint16) {
    a.emit(wide_ ? Inst::kIdVpandd : Inst::kIdVpand, r, r,
           constant32(type == Dtype::uint8 ? 0xff : 0xffff));
  }
}

void Emitter::arithmetic() {
  const LaneInstr& s = instr(now_);
  auto pick = [&](uint32_t add, uint32_t sub, uint32_t mul) {
    return s.op == LaneOp::add ? add : s.op == LaneOp::sub ? sub : mul;
  };
  const bool commutes = s.op != LaneOp::sub;
  if (s.type == Dtype::float32)
    return binary(pick(Inst::kIdVaddps, Inst::kIdVsubps, Inst::kIdVmulps), commutes);
  if (is_double(s.type))
    return binary(pick(Inst::kIdVaddpd, Inst::kIdVsubpd, Inst::kIdVmulpd), commutes);
  if (is_long(s.type)) {
    if (s.op == LaneOp::mul && !wide_) return multiply64();
    return binary(pick(Inst::kIdVpaddq, Inst::kIdVpsubq, Inst::kIdVpmullq), commutes);
  }
  binary(pick(Inst::kIdVpaddd, Inst::kIdVpsubd, Inst::kIdVpmulld), commutes);
  extend(reg(now_), s.type);
}

// AVX2 multiplies 32 bits to 64: low * low + ((high * low + low * high) << 32).
void Emitter::multiply64() {
  const LaneInstr& s = instr(now_);
  for (int part = 0; part < 2; ++part) {
    const x86::Vec x = reg(source(s, 0), part), y = reg(source(s, 1), part);
    const x86::Vec d = dest(part), t = temp_vec();
    a.vpsrlq(d, x, 32);
    a.vpmuludq(d, d, y);
    a.vpsrlq(t, y, 32);
    a.vpmuludq(t, t, x);
    a.vpaddq(d, d, t);
    a.vpsllq(d, d, 32);
    a.vpmuludq(t, x, y);
    a.vpaddq(d, d, t);
    release(s, part);
  }
}

void Emitter::negate() {
  const LaneInstr& s = instr(now_);
  const bool floating = is_floating(s.type);
  for (int part = 0; part < value(now_).parts; ++part) {
    if (floating) {
      const x86::Vec x = reg(source(s, 0), part);
      release(s, part);
      const x86::Vec d = dest(part);
      if (is_double(s.type))
        a.vxorpd(d, x, constant(Dtype::uint64, 0x8000000000000000u));
      else
        a.vxorps(d, x, constant32(0x80000000u));
    } else {
      const Operand x = rm(source(s, 0), part);
      const x86::Vec zero = temp_vec();
      a.emit(wide_ ? Inst::kIdVpxord : Inst::kIdVpxor, zero, zero, zero);
      a.emit(is_long(s.type) ? Inst::kIdVpsubq : Inst::kIdVpsubd, zero, zero, x);
      release(s, part);
      const x86::Vec d = dest(part);
      a.vmovaps(d, zero);
      extend(d, s.type);
    }
  }
}

void Emitter::min_max() {
  const LaneInstr& s = instr(now_);
  const bool max = s.op == LaneOp::max;
  if (s.type == Dtype::float32) return binary(max ? Inst::kIdVmaxps : Inst::kIdVminps);
  if (is_double(s.type)) return binary(max ? Inst::kIdVmaxpd : Inst::kIdVminpd);
  const bool is_unsigned = s.type == Dtype::uint32 || s.type == Dtype::uint64;
  if (!is_long(s.type)) {
    if (is_unsigned) return binary(max ? Inst::kIdVpmaxud : Inst::kIdVpminud, true);
    return binary(max ? Inst::kIdVpmaxsd : Inst::kIdVpminsd, true);
  }
  if (wide_) {
    if (is_unsigned) return binary(max ? Inst::kIdVpmaxuq : Inst::kIdVpminuq, true);
    return binary(max ? Inst::kIdVpmaxsq : Inst::kIdVpminsq, true);
  }
  for (int part = 0; part < 2; ++part) {
    const x86::Vec x = reg(source(s, 0), part), y = reg(source(s, 1), part);
    const x86::Vec d = dest(part), t = temp_vec();
    if (is_unsigned) {
      const x86::Mem top = constant(Dtype::uint64, 0x8000000000000000u);
      a.vpxor(d, x, top);
      a.vpxor(t, y, top);
      a.vpcmpgtq(t, d, t);
    } else {
      a.vpcmpgtq(t, x, y);
    }
    a.vblendvpd(d, max ? y : x, max ? x : y, t);
    release(s, part);
  }
}

void Emitter::fma() {
  const LaneInstr& s = instr(now_);
  const bool twice = is_double(s.type);
  const uint32_t id132 = twice ? Inst::kIdVfmadd132pd : Inst::kIdVfmadd132ps;
  const uint32_t id213 = twice ? Inst::kIdVfmadd213pd : Inst::kIdVfmadd213ps;
  const uint32_t id231 = twice ? Inst::kIdVfmadd231pd : Inst::kIdVfmadd231ps;
  for (int part = 0; part < value(now_).parts; ++part) {
    int x = source(s, 0), y = source(s, 1), z = source(s, 2);
    auto dies = [&](int v) { return dies_here(v, part); };
    if (!dies(x) && dies(y)) std::swap(x, y);
    if (dies(z)) {  // z += x * y, the memory operand last
      if (!in_register(x, part)) std::swap(x, y);
      const x86::Vec rx = reg(x, part);
      const Operand ry = rm(y, part);
      const x86::Vec d = take_over(z, part);
      a.emit(id231, d, rx, ry);
    } else if (dies(x)) {
      if (in_register(z, part)) {  // x = x * y + z
        const x86::Vec rz = reg(z, part);
        pin(reg_[static_cast<size_t>(vreg(x, part))], false);
        const Operand ry = rm(y, part);
        const x86::Vec d = take_over(x, part);
        a.emit(id132, d, rz, ry);
      } else {  // x = y * x + z
        pin(reg_[static_cast<size_t>(vreg(x, part))], false);
        const x86::Vec ry = reg(y, part);
        const Operand rz = rm(z, part);
        const x86::Vec d = take_over(x, part);
        a.emit(id213, d, ry, rz);
      }
    } else {
      if (!in_register(x, part)) std::swap(x, y);
      const x86::Vec rx = reg(x, part);
      const Operand ry = rm(y, part);
      const Operand rz = rm(z, part);
      const x86::Vec d = dest(part);
      if (value(z).constant)
        load_constant(d, type(z), instr(z).imm);
      else
        a.emit(Inst::kIdVmovups, d, rz);
      a.emit(id231, d, rx, ry);
    }
    release(s, part);
  }
}

void Emitter::shift() {
  const LaneInstr& s = instr(now_);
  const bool left = s.op == LaneOp::shl, is_signed = is_signed_integer(s.type);
  uint32_t id;
  if (is_long(s.type)) {
    supported_ &= left || !is_signed || wide_;
    id = left ? Inst::kIdVpsllq : is_signed ? Inst::kIdVpsraq : Inst::kIdVpsrlq;
    if (!supported_) return;
  } else {
    id = left ? Inst::kIdVpslld : is_signed ? Inst::kIdVpsrad : Inst::kIdVpsrld;
  }
  for (int part = 0; part < value(now_).parts; ++part) {
    const x86::Vec x = reg(source(s, 0), part);
    release(s, part);
    const x86::Vec d = dest(part);
    a.emit(id, d, x, asmjit::imm(s.imm));
    if (left) extend(d, s.type);
  }
}

// By the low 5 or 6 bits of another value, as the shifts of x86 themselves count.
bool Emitter::shift_by(bool left) {
  const LaneInstr& s = instr(now_);
  const bool quad = is_long(s.type), is_signed = is_signed_integer(s.type);
  if (quad && !left && is_signed && !wide_) return false;
  const uint32_t id = left        ? (quad ? Inst::kIdVpsllvq : Inst::kIdVpsllvd)
                      : is_signed ? (quad ? Inst::kIdVpsravq : Inst::kIdVpsravd)
                                  : (quad ? Inst::kIdVpsrlvq : Inst::kIdVpsrlvd);
  const uint32_t id_and = !wide_ ? Inst::kIdVpand : quad ? Inst::kIdVpandq : Inst::kIdVpandd;
  for (int part = 0; part < value(now_).parts; ++part) {
    const x86::Vec x = reg(source(s, 0), part), n = reg(source(s, 1), part);
    const x86::Vec count = temp_vec();
    a.emit(id_and, count, n, quad ? constant(Dtype::uint64, 63) : constant32(31));
    release(s, part);
    const x86::Vec d = dest(part);
    a.emit(id, d, x, count);
    extend(d, s.type);
  }
  return true;
}

void Emitter::round_half() {
  const LaneInstr& s = instr(now_);
  const x86::Vec x = reg(source(s, 0));
  const x86::Vec d = dest();
  if (s.op == LaneOp::round_f16) {
    a.vcvtps2ph(half(d), x, 0);
    a.vcvtph2ps(d, half(d));
  } else {
    bf16_bits(d, x);
    a.vpslld(d, d, 16);
  }
  release(s, 0);
}

// --- masks ----------------------------------------------------------------------------------

void Emitter::mask_operation() {
  const LaneInstr& s = instr(now_);
  const bool is_mask = s.type == Dtype::bool_, is_not = s.op == LaneOp::bit_not;
  if (value(now_).mask) {
    const x86::KReg x = mask_reg(source(s, 0));
    const x86::KReg y = is_not ? x : mask_reg(source(s, 1));
    release(s, 0);
    const x86::KReg d = mask_dest();
    if (is_not)
      a.knotw(d, x);
    else if (s.op == LaneOp::bit_and)
      a.kandw(d, x, y);
    else if (s.op == LaneOp::bit_or)
      a.korw(d, x, y);
    else
      a.kxorw(d, x, y);
    return;
  }
  if (is_mask && !is_not && value(now_).parts == 1 &&
      (value(source(s, 0)).parts == 2 || value(source(s, 1)).parts == 2)) {
    const x86::Vec x = lanes32(source(s, 0)), y = lanes32(source(s, 1));
    release_all(s);
    const uint32_t id = s.op == LaneOp::bit_and  ? Inst::kIdVpand
                        : s.op == LaneOp::bit_or ? Inst::kIdVpor
                                                 : Inst::kIdVpxor;
    a.emit(id, dest(), x, y);
    return;
  }
  const bool quad = wide_ && is_long(s.type);
  const uint32_t id_xor = quad ? Inst::kIdVpxorq : wide_ ? Inst::kIdVpxord : Inst::kIdVpxor;
  if (!is_not) {
    if (s.op == LaneOp::bit_and)
      return binary(quad ? Inst::kIdVpandq : wide_ ? Inst::kIdVpandd : Inst::kIdVpand, true);
    if (s.op == LaneOp::bit_or)
      return binary(quad ? Inst::kIdVporq : wide_ ? Inst::kIdVpord : Inst::kIdVpor, true);
    return binary(id_xor, true);
  }
  for (int part = 0; part < value(now_).parts; ++part) {
    const x86::Vec x = reg(source(s, 0), part);
    release(s, part);
    const x86::Vec d = dest(part);
    a.emit(id_xor, d, x, quad ? constant(Dtype::uint64, ~uint64_t{0}) : constant32(0xffffffffu));
    if (!is_mask) extend(d, s.type);
  }
}

// A mask of AVX2 with lanes of one width or the other.
x86::Vec Emitter::lanes32(int v) {
  if (value(v).parts == 1) return reg(v);
  const x86::Vec low = reg(v, 0), high = reg(v, 1), t = temp_vec();
  narrow_mask(t, low, high);
  return t;
}
x86::Vec Emitter::lanes64(int v, int part) {
  return value(v).parts == 2 ? reg(v, part) : widened(reg(v), part);
}
// The lanes of a mask that belong to a part, as wide as the part's.
x86::Vec Emitter::widened(const x86::Vec& m, int part) {
  const x86::Vec t = temp_vec();
  if (part == 0) {
    a.vpmovsxdq(t, m.xmm());
  } else {
    a.vextracti128(t.xmm(), m, 1);
    a.vpmovsxdq(t, t.xmm());
  }
  return t;
}
x86::KReg Emitter::mask_part(const x86::KReg& m, int part) {
  if (part == 0) return m;
  const x86::KReg t = mask(allocate(true, kTemp));
  a.kshiftrw(t, m, 8);
  return t;
}
// And back.
void Emitter::narrow_mask(const x86::Vec& d, const x86::Vec& low, const x86::Vec& high) {
  a.vshufps(d, low, high, 0x88);
  a.vpermq(d, d, 0xd8);
}

void Emitter::compare() {
  const LaneInstr& s = instr(now_);
  const Dtype t = s.from;
  const bool twice = size_of(t) == 8;
  const bool is_unsigned = t == Dtype::uint32 || t == Dtype::uint64;
  const int l = source(s, 0), r = source(s, 1);
  // Ordered and quiet; != is true for nan.
  const int predicate = s.op == LaneOp::eq   ? 0
                        : s.op == LaneOp::ne ? 4
                        : s.op == LaneOp::lt ? 17
                                             : 18;
  if (wide_) {
    x86::KReg k[2];
    const int integer_predicate = predicate & 15;  // eq 0, lt 1, le 2, ne 4
    for (int part = 0; part < (twice ? 2 : 1); ++part) {
      const x86::Vec x = reg(l, part);
      const Operand y = rm(r, part);
      k[part] = mask(allocate(true, kTemp));
      if (is_floating(t))
        a.emit(twice ? Inst::kIdVcmppd : Inst::kIdVcmpps, k[part], x, y, asmjit::imm(predicate));
      else if (twice)
        a.emit(is_unsigned ? Inst::kIdVpcmpuq : Inst::kIdVpcmpq, k[part], x, y,
               asmjit::imm(integer_predicate));
      else
        a.emit(is_unsigned ? Inst::kIdVpcmpud : Inst::kIdVpcmpd, k[part], x, y,
               asmjit::imm(integer_predicate));
    }
    release_all(s);
    const x86::KReg d = mask_dest();
    if (twice)
      a.kunpckbw(d, k[1], k[0]);
    else
      a.kmovw(d, k[0]);
    return;
  }
  if (t == Dtype::float32) {
    const x86::Vec x = reg(l);
    const Operand y = rm(r);
    release(s, 0);
    a.emit(Inst::kIdVcmpps, dest(), x, y, asmjit::imm(predicate));
    return;
  }
  for (int part = 0; part < (twice ? 2 : 1); ++part) {
    x86::Vec x = reg(l, part), y = reg(r, part);
    const x86::Vec m = dest(part);
    if (is_double(t)) {
      a.vcmppd(m, x, y, predicate);
      continue;
    }
    if (is_unsigned && s.op == LaneOp::lt) {  // as signed numbers, from the least on
      const x86::Mem top = twice ? constant(t, 0x8000000000000000u) : constant32(0x80000000u);
      const x86::Vec other = temp_vec();
      a.vpxor(m, x, top);
      a.vpxor(other, y, top);
      x = m;
      y = other;
    }
    if (s.op == LaneOp::lt)
      a.emit(twice ? Inst::kIdVpcmpgtq : Inst::kIdVpcmpgtd, m, y, x);
    else
      a.emit(twice ? Inst::kIdVpcmpeqq : Inst::kIdVpcmpeqd, m, x, y);
    if (s.op == LaneOp::ne) a.vpxor(m, m, constant32(0xffffffffu));
  }
  release_all(s);
}

void Emitter::select() {
  const LaneInstr& s = instr(now_);
  const int m = source(s, 0), yes = source(s, 1), no = source(s, 2);
  const bool twice = value(now_).parts == 2;
  if (wide_) {
    const x86::KReg k = mask_reg(m);
    for (int part = 0; part < value(now_).parts; ++part) {
      const x86::KReg lanes = mask_part(k, part);
      const x86::Vec y = reg(no, part);
      const Operand x = rm(yes, part);
      const x86::Vec d = dest(part);
      a.setExtraReg(lanes);
      a.emit(twice ? Inst::kIdVblendmpd : Inst::kIdVblendmps, d, y, x);
    }
    release_all(s);
    return;
  }
  if (!twice) {
    const x86::Vec lanes = lanes32(m), y = reg(no);
    const Operand x = rm(yes);
    release_all(s);
    a.emit(Inst::kIdVblendvps, dest(), y, x, lanes);
    return;
  }
  for (int part = 0; part < 2; ++part) {
    const x86::Vec w = lanes64(m, part), y = reg(no, part);
    const Operand x = rm(yes, part);
    a.emit(Inst::kIdVblendvpd, dest(part), y, x, w);
  }
  release_all(s);
}

// --- conversions ----------------------------------------------------------------------------

void Emitter::convert() {
  const LaneInstr& s = instr(now_);
  const Dtype from = s.from, to = s.type;
  if (from == Dtype::bool_) return convert_from_mask();
  const bool small_from = is_integer(from) && size_of(from) < 8;
  const bool small_to = is_integer(to) && size_of(to) < 8;
  if (small_from && small_to) {
    const x86::Vec x = reg(source(s, 0));
    const x86::Vec d = dest();
    a.vmovaps(d, x);
    extend(d, to);
    return release(s, 0);
  }
  if (small_from && to == Dtype::float32) {
    if (from != Dtype::uint32) return unary(Inst::kIdVcvtdq2ps);
    if (wide_) return unary(Inst::kIdVcvtudq2ps);
  }
  if (is_floating(from) && is_integer(to)) return float_to_int();
  if (is_long(from) && is_double(to)) return long_to_double();
  if (convert_wide()) return;
  call_loop(loops_.cast[static_cast<int>(from)][static_cast<int>(to)], from, to);
}

// Between one vector and two.
bool Emitter::convert_wide() {
  const LaneInstr& s = instr(now_);
  const Dtype from = s.from, to = s.type;
  const bool small_from = is_integer(from) && size_of(from) < 8;
  const int v = source(s, 0);
  uint32_t grow = 0;
  if (from == Dtype::float32 && is_double(to)) grow = Inst::kIdVcvtps2pd;
  if (small_from && is_double(to) && from != Dtype::uint32) grow = Inst::kIdVcvtdq2pd;
  if (wide_ && is_double(to) && from == Dtype::uint32) grow = Inst::kIdVcvtudq2pd;
  if (small_from && is_long(to))
    grow = from == Dtype::uint32 ? Inst::kIdVpmovzxdq : Inst::kIdVpmovsxdq;
  if (grow) {
    const x86::Vec x = reg(v);
    const x86::Vec low = dest(0), high = dest(1);
    a.emit(grow, low, half(x));
    if (wide_)
      a.vextracti32x8(high.ymm(), x, 1);
    else
      a.vextracti128(high.xmm(), x, 1);
    a.emit(grow, high, half(high));
    release(s, 0);
    return true;
  }
  if (from == Dtype::uint32 && is_floating(to)) {  // the bits behind those of 2^52
    const x86::Mem exponent = constant(Dtype::uint64, 0x4330000000000000u);
    const x86::Vec x = reg(v);
    const bool single = to == Dtype::float32;
    const x86::Vec low = dest(0), high = single ? temp_vec() : dest(1);
    a.vextracti128(high.xmm(), x, 1);
    a.vpmovzxdq(high, high.xmm());
    a.vpmovzxdq(low, x.xmm());
    for (const x86::Vec& half_of : {low, high}) {
      a.vpor(half_of, half_of, exponent);
      a.vsubpd(half_of, half_of, exponent);
    }
    if (single) {
      a.vcvtpd2ps(low.xmm(), low.ymm());
      a.vcvtpd2ps(high.xmm(), high.ymm());
      a.vinserti128(low, low, high.xmm(), 1);
    }
    release(s, 0);
    return true;
  }
  const uint32_t halving = is_double(from)        ? Inst::kIdVcvtpd2ps
                           : from == Dtype::int64 ? Inst::kIdVcvtqq2ps
                                                  : Inst::kIdVcvtuqq2ps;
  const bool halve = to == Dtype::float32 && (is_double(from) || (wide_ && is_long(from)));
  const bool cut = is_long(from) && is_integer(to) && size_of(to) < 8;
  if (!halve && !cut) return false;
  const x86::Vec low = reg(v, 0), high = reg(v, 1);
  const x86::Vec d = dest();
  if (cut && !wide_) {
    narrow_mask(d, low, high);
  } else {
    const x86::Vec t = temp_vec();
    a.emit(halve ? halving : Inst::kIdVpmovqd, half(d), low);
    a.emit(halve ? halving : Inst::kIdVpmovqd, half(t), high);
    if (wide_)
      a.vinserti32x8(d, d, half(t), 1);
    else
      a.vinserti128(d, d, half(t), 1);
  }
  if (cut) extend(d, to);
  release_all(s);
  return true;
}

void Emitter::convert_from_mask() {
  const LaneInstr& s = instr(now_);
  const Dtype to = s.type;
  const bool twice = size_of(to) == 8;
  const uint64_t one = to == Dtype::float32 ? 0x3f800000u : is_double(to) ? 0x3ff0000000000000u : 1;
  const int m = source(s, 0);
  for (int part = 0; part < value(now_).parts; ++part) {
    const x86::Mem ones = constant(twice ? Dtype::uint64 : Dtype::uint32, one);
    if (wide_) {
      const x86::KReg k = mask_part(mask_reg(m), part);
      const x86::Vec d = dest(part);
      x86::Mem from = ones;
      from.resetBroadcast();
      a.setExtraReg(k);
      a.addInstOptions(asmjit::InstOptions::kX86_ZMask);
      a.emit(twice ? Inst::kIdVbroadcastsd : Inst::kIdVbroadcastss, d, from);
    } else {
      const x86::Vec lanes = twice ? lanes64(m, part) : lanes32(m);
      a.vpand(dest(part), lanes, ones);
    }
  }
  release_all(s);
}

// AVX2 has no such conversion. The halves of the integer stand behind the bits of 2^84 and 2^52, of
// which the first is taken off exactly; the sum rounds once.
void Emitter::long_to_double() {
  const LaneInstr& s = instr(now_);
  const bool is_signed = s.from == Dtype::int64;
  if (wide_) return unary(is_signed ? Inst::kIdVcvtqq2pd : Inst::kIdVcvtuqq2pd);
  const uint64_t top = is_signed ? 0x80000000u : 0;
  for (int part = 0; part < 2; ++part) {
    const x86::Vec x = reg(source(s, 0), part);
    const x86::Vec high = temp_vec(), d = dest(part);
    a.vpsrlq(high, x, 32);
    a.vpxor(high, high, constant(Dtype::uint64, 0x4530000000000000u | top));
    a.vsubpd(high, high, constant(Dtype::uint64, 0x4530000000100000u + top));
    a.vpblendd(d, x, constant(Dtype::uint64, 0x4330000000000000u), 0xaa);
    a.vaddpd(d, d, high);
    release(s, part);
  }
}

// Truncates; what does not fit int32, which the instruction says by the least integer, is cast by
// the loop of the interpreter.
void Emitter::float_to_int() {
  const LaneInstr& s = instr(now_);
  const int v = source(s, 0);
  Cold c;
  c.loop = loops_.cast[static_cast<int>(s.from)][static_cast<int>(s.type)];
  c.argument = s.from;
  c.result = s.type;
  c.n_args = 1;
  x86::Vec x[2];
  for (int part = 0; part < value(v).parts; ++part) c.args[0][part] = x[part] = reg(v, part);
  for (int part = 0; part < value(now_).parts; ++part) c.to[part] = dest(part);
  const x86::Vec d = c.to[0], t = temp_vec();
  if (is_double(s.from)) {
    a.vcvttpd2dq(half(d), x[0]);
    a.vcvttpd2dq(half(t), x[1]);
    if (wide_)
      a.vinserti32x8(d, d, half(t), 1);
    else
      a.vinserti128(d, d, half(t), 1);
  } else {
    a.vcvttps2dq(d, x[0]);
  }
  if (wide_) {
    const x86::KReg k = mask(allocate(true, kTemp));
    a.vpcmpeqd(k, d, constant32(0x80000000u));
    a.kmovw(x86::eax, k);
  } else {
    a.vpcmpeqd(t, d, constant32(0x80000000u));
    a.vmovmskps(x86::eax, t.ymm());
  }
  if (is_long(s.type)) {
    if (wide_)
      a.vextracti32x8(c.to[1].ymm(), d, 1);
    else
      a.vextracti128(c.to[1].xmm(), d, 1);
    a.vpmovsxdq(c.to[1], half(c.to[1]));
    a.vpmovsxdq(d, half(d));
  } else {
    extend(d, s.type);
  }
  release_all(s);
  leave_if_any(std::move(c));
}

// --- out of line ----------------------------------------------------------------------------

// Jumps to code behind the loop if eax is not 0.
void Emitter::leave_if_any(Cold c) {
  for (int m = 0; m < 2; ++m)
    for (int r = 0; r < 32; ++r)
      if (owner_[m][r] >= 0) c.live[m] |= 1u << r;
  for (const x86::Vec& to : c.to)
    if (to.isValid()) c.live[0] &= ~(1u << to.id());
  c.in = a.newLabel();
  c.back = a.newLabel();
  a.test(x86::eax, x86::eax);
  a.jnz(c.in);
  a.bind(c.back);
  cold_.push_back(std::move(c));
}

void Emitter::rare() {
  const LaneInstr& s = instr(now_);
  const int m = source(s, 0), v = source(s, 1);
  Cold c;
  c.instr = &s;
  c.argument = c.result = s.type;
  c.n_args = s.n_src - 2;
  bool is_argument = false;
  for (int k = 0; k < c.n_args; ++k) {
    const int from = source(s, k + 2);
    is_argument |= from == v;
    for (int part = 0; part < value(from).parts; ++part) c.args[k][part] = rm(from, part);
  }
  for (int part = 0; part < value(now_).parts; ++part) {
    if (!is_argument && dies_here(v, part)) {
      c.to[part] = take_over(v, part);
    } else {
      const x86::Vec x = reg(v, part);
      c.to[part] = dest(part);
      a.vmovaps(c.to[part], x);
    }
  }
  if (wide_)
    a.kmovw(x86::eax, mask_reg(m));
  else
    a.vmovmskps(x86::eax, lanes32(m).ymm());
  release_all(s);
  leave_if_any(std::move(c));
}

void Emitter::call() {
  const LaneInstr& s = instr(now_);
  const auto id = static_cast<pointwise::Id>(s.fn);
  if ((id == pointwise::Id::LeftShift || id == pointwise::Id::RightShift) &&
      shift_by(id == pointwise::Id::LeftShift))
    return;
  call_loop(loops_.fn[s.fn][static_cast<int>(s.from)], s.from, s.type);
}

void Emitter::call_loop(pointwise::Loop loop, Dtype argument, Dtype result) {
  const LaneInstr& s = instr(now_);
  if (!loop || size_of(result) > 8) {
    supported_ = false;
    return;
  }
  for (int k = 0; k < s.n_src; ++k)
    store(argument, source(s, k), frame(area_ + (k + 1) * 8 * step_), false);
  release_all(s);
  flush();
  a.vzeroupper();
  a.lea(x86::rdi, frame(area_));
  a.lea(x86::rsi, frame(pointers_));
  a.mov(x86::edx, step_);
  a.mov(x86::rax, reinterpret_cast<uint64_t>(loop));
  a.call(x86::rax);
  load_pointers();
  if (value(now_).mask) return load_mask(mask_dest(), frame(area_));
  x86::Vec to[2];
  for (int part = 0; part < value(now_).parts; ++part) to[part] = dest(part);
  load(result, to, frame(area_));
}

}  // namespace legato::cpu::jit
#endif
