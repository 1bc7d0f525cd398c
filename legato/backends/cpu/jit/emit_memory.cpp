// Loads and stores, which convert between memory and registers.
#if LEGATO_HAS_ASMJIT
#include "legato/backends/cpu/jit/emitter.h"

namespace legato::cpu::jit {

void Emitter::load(Dtype stored, const x86::Vec* to, const x86::Mem& from) {
  if (size_of(stored) == 8) {
    a.vmovups(to[0], from);
    a.vmovups(to[1], from.cloneAdjusted(bytes_));
  } else if (size_of(stored) == 4) {
    a.vmovups(to[0], from);
  } else {
    widen_loaded(stored, to[0], from);
  }
}

void Emitter::load_scalar(Dtype stored, const x86::Vec* to, const x86::Mem& from) {
  if (size_of(stored) == 8) {
    a.vbroadcastsd(to[0], from);
    a.vmovaps(to[1], to[0]);
  } else if (size_of(stored) == 4) {
    a.vbroadcastss(to[0], from);
  } else if (size_of(stored) == 2) {
    a.vpbroadcastw(half(to[0]), from);
    widen_loaded(stored, to[0], half(to[0]));
  } else {
    a.vpbroadcastb(to[0].xmm(), from);
    widen_loaded(stored, to[0], to[0].xmm());
  }
}

/// From memory or from the low end of a register.
void Emitter::widen_loaded(Dtype stored, const x86::Vec& to, const Operand& from) {
  if (stored == Dtype::float16) {
    a.emit(Inst::kIdVcvtph2ps, to, from);
    return;
  }
  const bool byte = size_of(stored) == 1, is_signed = is_signed_integer(stored);
  if (byte)
    a.emit(is_signed ? Inst::kIdVpmovsxbd : Inst::kIdVpmovzxbd, to, from);
  else
    a.emit(is_signed ? Inst::kIdVpmovsxwd : Inst::kIdVpmovzxwd, to, from);
  if (stored == Dtype::bfloat16) a.vpslld(to, to, 16);
  if (stored == Dtype::bool_) a.vpcmpgtd(to, to, constant32(0));
}

void Emitter::load_mask(const x86::KReg& to, const x86::Mem& from) {
  const x86::Vec t = temp_vec();
  a.vpmovzxbd(t, from);
  a.vptestmd(to, t, t);
}

void Emitter::store(Dtype stored, int v, const x86::Mem& to, bool stream) {
  if (stored != Dtype::bool_) {
    x86::Vec from[2];
    for (int part = 0; part < value(v).parts; ++part) from[part] = reg(v, part);
    store_vector(stored, from, to, stream);
  } else if (wide_) {
    const x86::KReg m = mask_reg(v);
    const x86::Vec t = temp_vec();
    a.setExtraReg(m);
    a.addInstOptions(asmjit::InstOptions::kX86_ZMask);
    a.emit(Inst::kIdVmovdqu8, t.xmm(), ones16());
    a.vmovups(to, t.xmm());
  } else {
    const x86::Vec m = lanes32(v), t = temp_vec();
    a.vextracti128(t.xmm(), m, 1);
    a.vpackssdw(t.xmm(), m.xmm(), t.xmm());
    a.vpacksswb(t.xmm(), t.xmm(), t.xmm());
    a.vpand(t.xmm(), t.xmm(), ones16());
    a.vmovq(to, t.xmm());
  }
}

void Emitter::store_vector(Dtype stored, const x86::Vec* from, const x86::Mem& to, bool stream) {
  const int64_t size = size_of(stored);
  if (size >= 4) {
    for (int part = 0; part < (size == 8 ? 2 : 1); ++part) {
      const x86::Mem at = to.cloneAdjusted(part * bytes_);
      if (stream)
        a.vmovntps(at, from[part]);
      else
        a.vmovups(at, from[part]);
    }
  } else if (stored == Dtype::float16) {
    a.vcvtps2ph(to, from[0], 0);
  } else if (stored == Dtype::bfloat16) {
    const x86::Vec t = temp_vec();
    bf16_bits(t, from[0]);
    store_low(t, to, 2);
  } else {
    const x86::Vec t = temp_vec();
    a.emit(wide_ ? Inst::kIdVpandd : Inst::kIdVpand, t, from[0],
           constant32(size == 1 ? 0xff : 0xffff));
    store_low(t, to, static_cast<int>(size));
  }
}

/// The low 8 or 16 bits of each lane; the other bits are 0. Spoils `t`.
void Emitter::store_low(const x86::Vec& t, const x86::Mem& to, int bytes) {
  if (wide_) {
    if (bytes == 1)
      a.vpmovdb(to, t);
    else
      a.vpmovdw(to, t);
    return;
  }
  const x86::Vec high = temp_vec();
  a.vextracti128(high.xmm(), t, 1);
  a.vpackusdw(t.xmm(), t.xmm(), high.xmm());
  if (bytes == 1) {
    a.vpackuswb(t.xmm(), t.xmm(), t.xmm());
    a.vmovq(to, t.xmm());
  } else {
    a.vmovups(to, t.xmm());
  }
}

/// The bits of `from` as bfloat16 in the low half of each lane: rounded to even, nan kept.
void Emitter::bf16_bits(const x86::Vec& to, const x86::Vec& from) {
  const uint32_t id_and = wide_ ? Inst::kIdVpandd : Inst::kIdVpand;
  a.vpsrld(to, from, 16);
  a.emit(id_and, to, to, constant32(1));
  a.vpaddd(to, to, constant32(0x7fff));
  a.vpaddd(to, to, from);
  a.vpsrld(to, to, 16);
  const x86::Vec quiet = temp_vec();
  a.vpsrld(quiet, from, 16);
  a.emit(wide_ ? Inst::kIdVpord : Inst::kIdVpor, quiet, quiet, constant32(0x40));
  if (wide_) {
    const x86::KReg k = mask(allocate(true, kTemp));
    a.vcmpps(k, from, from, 3);
    a.setExtraReg(k);
    a.emit(Inst::kIdVmovdqa32, to, quiet);
  } else {
    const x86::Vec m = temp_vec();
    a.vcmpps(m, from, from, 3);
    a.vblendvps(to, to, quiet, m);
  }
}

}  // namespace legato::cpu::jit
#endif
