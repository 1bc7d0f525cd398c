// What happens to one element, as CUDA source.
#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <vector>

#include "legato/backends/cuda/print.h"
#include "legato/base/error.h"
#include "legato/fuse/functions.h"
#include "legato/fuse/lane_program.h"

namespace legato::cuda {

namespace {

using fuse::Instr;
using fuse::LaneInstr;
using fuse::LaneOp;
using fuse::LaneProgram;
using fuse::Program;
using fuse::RareFn;

#define LEGATO_STRUCT_NAME(type, name) #type,
constexpr const char* kStructs[] = {LEGATO_POINTWISE_FUNCTIONS(LEGATO_STRUCT_NAME)};
#undef LEGATO_STRUCT_NAME

// The unsigned type in which integers wrap.
const char* wide_type(Dtype t) { return size_of(t) < 8 ? "uint32_t" : "uint64_t"; }

// --- one element, from lane instructions

// Straight C for the instructions of a lane program: no templates, so that NVRTC is done at once.
class LanePrinter {
 public:
  LanePrinter(const LaneProgram& p, std::string& out, int first_literal)
      : p_(p), out_(out), first_literal_(first_literal) {
    for (const LaneInstr& s : p.instrs) ranges_.push_back(as_float(range_of(s)));
  }

  bool calls() const {
    return std::any_of(p_.instrs.begin(), p_.instrs.end(),
                       [](const LaneInstr& s) { return s.op == LaneOp::call; });
  }
  int cost() const {
    int cost = 0;
    for (const LaneInstr& s : p_.instrs) cost += cost_of(s);
    return cost;
  }
  /// Bits of rare_functions().
  uint32_t rare() const {
    uint32_t which = 0;
    for (const LaneInstr& s : p_.instrs)
      if (s.op == LaneOp::rare) which |= 1u << (2 * s.fn + (s.type == Dtype::float64));
    return which;
  }
  /// Reads x0, x1, ... as stored, and writes o0, o1, ... as stored or (`registers`) as registers
  /// hold them: halves unrounded.
  void print_body(bool registers) {
    for (size_t v = 0; v < p_.instrs.size(); ++v) print(v, p_.instrs[v]);
    for (size_t o = 0; o < p_.outputs.size(); ++o) {
      const Dtype t = registers ? Dtype::float32 : p_.outputs[o].stored;
      out_ += cat("  o", o, " = ", rounded(t, cat("v", p_.outputs[o].value)), ";\n");
    }
  }

 private:
  static int cost_of(const LaneInstr& s) {
    switch (s.op) {
      case LaneOp::input:
      case LaneOp::literal:
      case LaneOp::constant:
      case LaneOp::bitcast:
        return 0;
      case LaneOp::div:
      case LaneOp::sqrt:
        return s.type == Dtype::float64 ? 40 : s.imm ? 8 : 12;
      case LaneOp::divide_near:
        return 12;
      case LaneOp::scale:
      case LaneOp::divide_near16:
        return 6;
      case LaneOp::call:
        return 100;
      case LaneOp::convert:
        return 3;
      default:
        return s.type == Dtype::float64 ? 2 : 1;
    }
  }

  // Note [Ranges]: what is known about a float32 value that is no nan. exp and its kin clamp their
  // argument before they round it, and within 2^22 rounding is an addition, which leaves the
  // integer in its low bits; the GPU's own instructions for both run at an eighth of the speed.
  static constexpr double kRoundedBySum = 0x1p22;
  struct Range {
    double low = -INFINITY, high = INFINITY;
    bool within(double bound) const { return low >= -bound && high <= bound; }
  };
  struct Clamp {
    int value = -1;  // that is clamped; -1: the instruction clamps nothing
    int limit = 0;   // a constant
    bool from_above = false;
  };
  const LaneInstr& at(int v) const { return p_.instrs[static_cast<size_t>(v)]; }
  /// limit < x ? limit : x and limit > x ? limit : x, which are x where that is a nan.
  Clamp clamp_of(const LaneInstr& s) const {
    if ((s.op != LaneOp::min && s.op != LaneOp::max) || s.type != Dtype::float32) return {};
    const LaneInstr& limit = at(s.src[0]);
    if (limit.op != LaneOp::constant) return {};
    const float bound = std::bit_cast<float>(static_cast<uint32_t>(limit.imm));
    if (!(bound < 0 || bound > 0)) return {};
    return {s.src[1], s.src[0], s.op == LaneOp::min};
  }
  static constexpr uint64_t kSign = 0x80000000u;
  /// The float32 of whose bits `s` keeps those of `mask`; -1: it is no such thing.
  int bits_of(const LaneInstr& s, uint64_t mask) const {
    if (s.op != LaneOp::bit_and) return -1;
    const LaneInstr &value = at(s.src[0]), &kept = at(s.src[1]);
    return value.op == LaneOp::bitcast && value.from == Dtype::float32 &&
                   kept.op == LaneOp::constant && static_cast<uint32_t>(kept.imm) == mask
               ? value.src[0]
               : -1;
  }
  /// The value of which `s`, bits without their sign, is the absolute value; -1: it is none.
  int abs_of(const LaneInstr& s) const {
    if (s.op != LaneOp::bitcast || s.type != Dtype::float32) return -1;
    return bits_of(at(s.src[0]), kSign - 1);
  }
  /// The magnitude of one value with the sign of another, -1: it is none.
  struct Signed {
    int magnitude = -1, sign = -1;
  };
  Signed signed_of(const LaneInstr& s) const {
    if (s.op != LaneOp::bitcast || s.type != Dtype::float32) return {};
    const LaneInstr& both = at(s.src[0]);
    if (both.op != LaneOp::bit_or) return {};
    for (int i = 0; i < 2; ++i) {
      const int magnitude = bits_of(at(both.src[i]), kSign - 1),
                sign = bits_of(at(both.src[1 - i]), kSign);
      if (magnitude >= 0 && sign >= 0) return {magnitude, sign};
    }
    return {};
  }
  static constexpr double kSlack = 1e-6;  // ranges know nothing of roundings
  /// Whether a value stays as it is where it is clamped.
  bool within(const Clamp& c) const {
    const Range &r = ranges_[static_cast<size_t>(c.value)],
                &limit = ranges_[static_cast<size_t>(c.limit)];
    const double slack = kSlack * std::abs(limit.low);
    return c.from_above ? r.high <= limit.low - slack : r.low >= limit.low + slack;
  }
  /// Whether `s` compares a value for equality with a constant beyond its range.
  bool never_equal(const LaneInstr& s) const {
    if (s.op != LaneOp::eq || s.from != Dtype::float32) return false;
    for (int i = 0; i < 2; ++i) {
      const LaneInstr& c = at(s.src[1 - i]);
      if (c.op != LaneOp::constant) continue;
      const double v = std::bit_cast<float>(static_cast<uint32_t>(c.imm));
      const Range& r = ranges_[static_cast<size_t>(s.src[i])];
      if (std::isinf(v) ? std::isfinite(v > 0 ? r.high : r.low)
                        : r.high < v - kSlack * std::abs(v) || r.low > v + kSlack * std::abs(v))
        return true;
    }
    return false;
  }
  /// The larger, or the smaller, of two values, the first one if that is a nan: the instruction
  /// that it is made of; null if it is something else.
  const LaneInstr* extreme_of(const LaneInstr& s) const {
    if (s.op != LaneOp::select || !is_floating(s.type)) return nullptr;
    const LaneInstr &nan = at(s.src[0]), &extreme = at(s.src[2]);
    const bool first = nan.op == LaneOp::ne && nan.src[0] == nan.src[1] && nan.src[0] == s.src[1] &&
                       extreme.src[0] == s.src[1];
    return first && (extreme.op == LaneOp::max || extreme.op == LaneOp::min) ? &extreme : nullptr;
  }
  /// An expression whose low bits hold the whole number v: the sum that rounded it, if one did.
  std::string with_low_bits(int v) const {
    const LaneInstr& s = at(v);
    const bool rounded =
        s.op == LaneOp::rint && ranges_[static_cast<size_t>(s.src[0])].within(kRoundedBySum);
    return cat("(v", rounded ? s.src[0] : v, " + 0x1.8p23f)");
  }
  /// The range of what float32 makes of it: infinities, and zeros.
  static Range as_float(Range r) {
    constexpr double most = 0x1p127, least = 0x1p-126;
    if (r.high > most) r.high = INFINITY;
    if (r.low < -most) r.low = -INFINITY;
    if (r.low > 0 && r.low < least) r.low = 0;
    if (r.high < 0 && r.high > -least) r.high = 0;
    return r;
  }
  Range range_of(const LaneInstr& s) const {
    if (s.type != Dtype::float32) return {};
    auto src = [&](int i) { return ranges_[static_cast<size_t>(s.src[i])]; };
    auto known = [](const Range& r) { return std::isfinite(r.low) && std::isfinite(r.high); };
    switch (s.op) {
      case LaneOp::constant: {
        const float v = std::bit_cast<float>(static_cast<uint32_t>(s.imm));
        return std::isfinite(v) ? Range{v, v} : Range{};
      }
      case LaneOp::bitcast:
        return abs_of(s) >= 0 ? Range{0, INFINITY} : Range{};
      case LaneOp::add:
        return {src(0).low + src(1).low, src(0).high + src(1).high};
      case LaneOp::mul: {
        const Range a = src(0), b = src(1);
        if (!known(a) || !known(b)) return {};
        const auto [low, high] =
            std::minmax({a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high});
        return {low, high};
      }
      case LaneOp::min:
      case LaneOp::max: {
        const Clamp c = clamp_of(s);
        if (c.value < 0) return {};
        Range r = ranges_[static_cast<size_t>(c.value)];
        const double limit = ranges_[static_cast<size_t>(c.limit)].low;
        (c.from_above ? r.high : r.low) = limit;
        return r;
      }
      case LaneOp::rint:
        return {std::rint(src(0).low), std::rint(src(0).high)};
      case LaneOp::neg:
        return {-src(0).high, -src(0).low};
      case LaneOp::scale:  // of what is near 1
        return known(src(1)) ? Range{std::exp2(src(1).low - 1), std::exp2(src(1).high + 1)}
                             : Range{};
      default:
        return {};
    }
  }

  static std::string constant(Dtype t, uint64_t bits) {
    if (t == Dtype::bool_) return bits ? "true" : "false";
    if (t == Dtype::float32)
      return cat("__builtin_bit_cast(float, ", static_cast<uint32_t>(bits), "u)");
    if (t == Dtype::float64) return cat("__builtin_bit_cast(double, ", bits, "ull)");
    return cat("(", device_type(t), ")", bits, "ull");
  }

  // A cast, as fuse/lane_convert.h defines it.
  static std::string converted(const std::string& a, Dtype from, Dtype to) {
    const char* t = device_type(to);
    if (to == Dtype::bool_) return cat(a, " != 0");
    if (is_integer(to) && is_floating(from)) {
      const char* end = from == Dtype::float32 ? "f" : "";
      std::string in_range = cat(a, " >= -0x1p63", end, " && ", a, " < 0x1p63", end, " ? (", t,
                                 ")(int64_t)", a, " : (", t, ")0");
      if (to == Dtype::uint64)
        return cat(a, " >= 0x1p63", end, " && ", a, " < 0x1p64", end, " ? (uint64_t)", a, " : ",
                   in_range);
      return in_range;
    }
    return cat("(", t, ")", a);
  }

  void print(size_t v, const LaneInstr& s) {
    const char* t = device_type(s.type);
    auto src = [&](int i) { return cat("v", s.src[i]); };
    const bool single = s.type == Dtype::float32;
    // Integers wrap in an unsigned type, and are cut to their own width.
    auto wrapped = [&](const char* sign) {
      if (is_floating(s.type)) return cat(src(0), sign, src(1));
      const char* w = wide_type(s.type);
      const std::string sum = cat("(", w, ")", src(0), sign, "(", w, ")", src(1));
      return s.type == Dtype::bool_ ? cat("(", sum, ") != 0") : cat("(", t, ")(", sum, ")");
    };
    auto compared = [&](const char* sign) { return cat(src(0), sign, src(1)); };
    auto bitwise = [&](const char* sign) { return cat("(", t, ")(", src(0), sign, src(1), ")"); };
    auto function = [&](const char* name) { return cat("::", name, single ? "f" : "", "("); };
    std::string value;
    switch (s.op) {
      case LaneOp::input: {
        const std::string x = cat("x", s.imm);
        value = is_half(p_.inputs[s.imm]) ? cat("to_float(", x, ")") : x;
        break;
      }
      case LaneOp::literal:
        value = cat("*reinterpret_cast<const ", t, "*>(p.lit[",
                    s.imm + static_cast<uint64_t>(first_literal_), "])");
        break;
      case LaneOp::constant:
        value = constant(s.type, s.imm);
        break;
      case LaneOp::add:
        value = wrapped(" + ");
        break;
      case LaneOp::sub:
        value = wrapped(" - ");
        break;
      case LaneOp::mul:
        value = wrapped(" * ");
        break;
      case LaneOp::div:
        value =
            single && s.imm ? cat("divide_normal(", src(0), ", ", src(1), ")") : compared(" / ");
        break;
      case LaneOp::min:
      case LaneOp::max:
        if (const Clamp c = clamp_of(s); c.value >= 0)
          value = within(c) ? cat("v", c.value)
                            : cat(c.from_above ? "at_most(v" : "at_least(v", c.value, ", v",
                                  c.limit, ")");
        else
          value = cat(src(0), s.op == LaneOp::min ? " < " : " > ", src(1), " ? ", src(0), " : ",
                      src(1));
        break;
      case LaneOp::neg:
        value = is_floating(s.type)      ? cat("-", src(0))
                : s.type == Dtype::bool_ ? src(0)
                                         : cat("(", t, ")((", wide_type(s.type), ")0 - (",
                                               wide_type(s.type), ")", src(0), ")");
        break;
      case LaneOp::fma:
        value = cat(function("fma"), src(0), ", ", src(1), ", ", src(2), ")");
        break;
      case LaneOp::scale:
        LEGATO_CHECK(ranges_[static_cast<size_t>(s.src[1])].within(0x1p20),
                     "an exponent of unknown range");
        value = cat("scale(", src(0), ", ", with_low_bits(s.src[1]), ")");
        break;
      case LaneOp::exp2_near:
      case LaneOp::log2_near:
      case LaneOp::rsqrt_near:
      case LaneOp::reciprocal_near16:
        value = cat(fuse::name_of(s.op), "(", src(0), ")");
        break;
      case LaneOp::divide_near:
      case LaneOp::divide_near16:
        value = cat(fuse::name_of(s.op), "(", src(0), ", ", src(1), ")");
        break;
      case LaneOp::sqrt:
        value = cat(function("sqrt"), src(0), ")");
        break;
      case LaneOp::floor:
        value = cat(function("floor"), src(0), ")");
        break;
      case LaneOp::ceil:
        value = cat(function("ceil"), src(0), ")");
        break;
      case LaneOp::trunc:
        value = cat(function("trunc"), src(0), ")");
        break;
      case LaneOp::rint: {
        const Range& r = ranges_[static_cast<size_t>(s.src[0])];
        const std::string sum = cat("(", src(0), " + 0x1.8p23f) - 0x1.8p23f");
        value = !single || !r.within(kRoundedBySum) ? cat(function("rint"), src(0), ")")
                : r.low >= 0                        ? sum
                                                    : cat("::copysignf(", sum, ", ", src(0), ")");
        break;
      }
      case LaneOp::round_f16:
        value = cat("to_float(to_f16(", src(0), "))");
        break;
      case LaneOp::round_bf16:
        value = cat("to_float(to_bf16(", src(0), "))");
        break;
      case LaneOp::eq:
        value = compared(" == ");
        break;
      case LaneOp::ne:
        value = compared(" != ");
        break;
      case LaneOp::lt:
        value = compared(" < ");
        break;
      case LaneOp::le:
        value = compared(" <= ");
        break;
      case LaneOp::select:
        if (const LaneInstr* e = extreme_of(s))
          value = cat("(!(", src(1), e->op == LaneOp::max ? " <= v" : " >= v", e->src[1], ") && v",
                      e->src[1], " == v", e->src[1], ") ? ", src(1), " : v", e->src[1]);
        else if (never_equal(at(s.src[0])))
          value = src(2);
        else
          value = cat(src(0), " ? ", src(1), " : ", src(2));
        break;
      case LaneOp::bit_and:
        value = bitwise(" & ");
        break;
      case LaneOp::bit_or:
        value = bitwise(" | ");
        break;
      case LaneOp::bit_xor:
        value = bitwise(" ^ ");
        break;
      case LaneOp::bit_not:
        value = s.type == Dtype::bool_ ? cat("!", src(0)) : cat("(", t, ")~", src(0));
        break;
      case LaneOp::shl:
        value = cat("(", t, ")((", wide_type(s.type), ")", src(0), " << ", s.imm, ")");
        break;
      case LaneOp::shr:
        value = cat("(", t, ")(", src(0), " >> ", s.imm, ")");
        break;
      case LaneOp::bitcast:
        if (const Signed both = signed_of(s); both.sign >= 0)
          value = cat("::copysignf(v", both.magnitude, ", v", both.sign, ")");
        else
          value = abs_of(s) >= 0 ? cat("::fabsf(v", abs_of(s), ")")
                                 : cat("__builtin_bit_cast(", t, ", ", src(0), ")");
        break;
      case LaneOp::to_int: {
        const bool narrow = s.from == Dtype::float32;
        const char *most = narrow ? "0x1p31f" : "0x1p63",
                   *least = narrow ? "INT32_MIN" : "INT64_MIN";
        const Range& r = ranges_[static_cast<size_t>(s.src[0])];
        if (narrow && r.within(kRoundedBySum) && at(s.src[0]).op == LaneOp::rint)
          value = cat("__builtin_bit_cast(int32_t, ", with_low_bits(s.src[0]), ") - 0x4b400000");
        else if (narrow && r.within(0x1p30))
          value = cat("(", t, ")", src(0));
        else
          value = cat(src(0), " > -", most, " && ", src(0), " < ", most, " ? (", t, ")", src(0),
                      " : ", least);
        break;
      }
      case LaneOp::to_float:
        value = cat("(", t, ")", src(0));
        break;
      case LaneOp::convert:
        value = converted(src(0), s.from, s.type);
        break;
      case LaneOp::call:
        value = cat("pointwise::", kStructs[s.fn], "::apply(");
        for (int i = 0; i < s.n_src; ++i)
          value += cat(i ? ", " : "", "pointwise::Lane<", device_type(s.from), ">(", src(i), ")");
        value += ").value";
        break;
      case LaneOp::rare:
        out_ += cat("  ", t, " v", v, " = ", src(1), ";\n  if (", src(0), ") v", v, " = rare", s.fn,
                    "(");
        for (int i = 2; i < s.n_src; ++i) out_ += cat(i > 2 ? ", " : "", src(i));
        out_ += ");\n";
        return;
    }
    out_ += cat("  const ", t, " v", v, " = ", value, ";\n");
  }

  const LaneProgram& p_;
  std::string& out_;
  int first_literal_;
  std::vector<Range> ranges_;  // of each instruction
};

// --- one element, from the scalar language itself: programs that hold complex values, or that are
// too long to be spelled out

class LanguagePrinter {
 public:
  LanguagePrinter(const Program& p, std::string& out, int first_literal)
      : p_(p), out_(out), first_literal_(first_literal) {}

  void print_body(bool registers) {
    const int n_in = static_cast<int>(p_.inputs.size());
    int v = 0;
    for (; v < n_in; ++v) out_ += cat("  const auto v", v, " = load(x", v, ");\n");
    for (size_t l = 0; l < p_.literals.size(); ++l)
      out_ += cat("  const auto v", v++, " = load(*reinterpret_cast<const ",
                  device_type(compute_dtype(p_.literals[l])), "*>(p.lit[",
                  l + static_cast<size_t>(first_literal_), "]));\n");
    for (const Instr& s : p_.instrs) {
      out_ += cat("  const auto v", v++, " = ");
      if (s.fn == fuse::kCastFn) {
        out_ +=
            cat(is_half(s.dtype) ? "cast<" : "as<", device_type(s.dtype), ">(v", s.src[0], ");\n");
        continue;
      }
      const std::string name = kStructs[s.fn];
      out_ += cat("as<", device_type(s.dtype), ">(pointwise::", name, "::apply(");
      for (int i = 0; i < s.n_src; ++i) {
        if (i) out_ += ", ";
        if (name == "Where" && i == 0)
          out_ += cat("as_mask(as<bool>(v", s.src[0], "))");
        else
          out_ += cat("as<", device_type(s.compute), ">(v", s.src[i], ")");
      }
      out_ += "));\n";
    }
    for (size_t o = 0; o < p_.outputs.size(); ++o) {
      const Dtype stored = p_.dtype_of_value(p_.outputs[o]);
      const char* t = device_type(stored);
      out_ += registers && is_half(stored)
                  ? cat("  o", o, " = as<", t, ">(v", p_.outputs[o], ").value;\n")
                  : cat("  o", o, " = store<", t, ">(v", p_.outputs[o], ");\n");
    }
  }

 private:
  const Program& p_;
  std::string& out_;
  int first_literal_;
};

}  // namespace

// What element_math.cuh has.
constexpr fuse::LaneMachine kGpu = {.scales = true, .approximates = true};

Element print_element(const Program& p, const char* name, int first_literal, const char* params,
                      bool registers) {
  Element e;
  const std::unique_ptr<LaneProgram> lanes = fuse::lower(p, kGpu);
  e.text = cat("LEGATO_INLINE void ", name, "(const ", params, "& p");
  for (size_t i = 0; i < p.inputs.size(); ++i)
    e.text += cat(", const ", device_type(p.inputs[i]), "& x", i);
  for (size_t o = 0; o < p.outputs.size(); ++o) {
    const Dtype t = p.dtype_of_value(p.outputs[o]);
    e.text += cat(", ", device_type(registers ? compute_dtype(t) : t), "& o", o);
  }
  e.text += ") {\n";
  if (lanes) {
    LanePrinter lane(*lanes, e.text, first_literal);
    e.language = lane.calls();
    e.cost = lane.cost();
    e.rare = lane.rare();
    lane.print_body(registers);
  } else {
    e.language = true;
    e.cost = 100 * static_cast<int>(p.instrs.size());
    LanguagePrinter(p, e.text, first_literal).print_body(registers);
  }
  e.text += "}\n";
  return e;
}

bool is_lowered(const Program& p) { return fuse::lower(p, kGpu) != nullptr; }

// What the C library is asked for where the short way is not exact, out of line.
std::string rare_functions(uint32_t which) {
  static_assert(fuse::kRareFnCount == 5);
  constexpr const char* names[] = {"sin", "cos", "tan", "pow", "fmod"};
  std::string out;
  for (uint32_t bit = 0; bit < 2 * fuse::kRareFnCount; ++bit) {
    if (!(which >> bit & 1)) continue;
    const auto fn = static_cast<RareFn>(bit / 2);
    const bool two = fn == RareFn::pow || fn == RareFn::fmod, wide = bit & 1;
    const char* t = wide ? "double" : "float";
    out += cat("LEGATO_NOINLINE ", t, " rare", bit / 2, "(", t, " x", two ? cat(", ", t, " y") : "",
               ") { return ");
    if (fn == RareFn::fmod)
      out += wide ? "::fmod(x, y)" : "::fmodf(x, y)";
    else
      out += cat("(", t, ")::", names[bit / 2], two ? "((double)x, (double)y)" : "((double)x)");
    out += "; }\n";
  }
  return out;
}

}  // namespace legato::cuda
