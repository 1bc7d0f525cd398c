#include "legato/backends/cuda/print.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "legato/backends/cuda/print_tiles.h"
#include "legato/base/error.h"
#include "legato/fuse/functions.h"
#include "legato/fuse/lane_program.h"

namespace legato::cuda {

// Both are written by cmake/Cuda.cmake: element.cuh, and all of the scalar language behind it.
extern const char kElementText[];
extern const char kScalarLanguage[];

namespace {

using fuse::Instr;
using fuse::LaneInstr;
using fuse::LaneOp;
using fuse::LaneProgram;
using fuse::Program;
using fuse::RareFn;

// Note [Bytes in flight]: a thread that has 16 bytes of its widest operand in flight, in blocks
// that cover the work exactly, reaches the bandwidth of a copy; more is no better. On an H100, 4e8
// bytes to 4e8 bytes: one pack of 16 bytes 0.271 ms, four of them 0.274, grid-stride loops
// 0.279-0.292, a copy 0.274; single float32 0.363, four of them 0.276; single halves 0.588, eight
// of them 0.281.
constexpr int64_t kFlightBytes = 16;
constexpr int kMostPacks = 8;
constexpr int kBodyBudget = 512;  // instructions, so that the kernel compiles fast

#define LEGATO_STRUCT_NAME(type, name) #type,
constexpr const char* kStructs[] = {LEGATO_POINTWISE_FUNCTIONS(LEGATO_STRUCT_NAME)};
#undef LEGATO_STRUCT_NAME

// The unsigned type in which integers wrap.
const char* wide_type(Dtype t) { return size_of(t) < 8 ? "uint32_t" : "uint64_t"; }

// --- one element, from lane instructions

// Straight C for the instructions of a lane program: no templates, so that NVRTC is done at once.
class LanePrinter {
 public:
  LanePrinter(const LaneProgram& p, std::string& out) : p_(p), out_(out) {
    for (const LaneInstr& s : p.instrs) ranges_.push_back(range_of(s));
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
  /// What the C library is asked for where the short way is not exact, out of line.
  void print_rare_functions() {
    bool done[fuse::kRareFnCount][2] = {};
    for (const LaneInstr& s : p_.instrs) {
      if (s.op != LaneOp::rare) continue;
      const bool wide = s.type == Dtype::float64;
      if (std::exchange(done[s.fn][wide], true)) continue;
      static_assert(fuse::kRareFnCount == 5);
      switch (static_cast<RareFn>(s.fn)) {
        case RareFn::sin:
          out_ += "LEGATO_NOINLINE float rare0(float x) { return (float)::sin((double)x); }\n";
          break;
        case RareFn::cos:
          out_ += "LEGATO_NOINLINE float rare1(float x) { return (float)::cos((double)x); }\n";
          break;
        case RareFn::tan:
          out_ += "LEGATO_NOINLINE float rare2(float x) { return (float)::tan((double)x); }\n";
          break;
        case RareFn::pow:
          out_ +=
              "LEGATO_NOINLINE float rare3(float x, float y) { return (float)::pow((double)x, "
              "(double)y); }\n";
          break;
        case RareFn::fmod:
          out_ += wide ? "LEGATO_NOINLINE double rare4(double x, double y) { return ::fmod(x, y); "
                         "}\n"
                       : "LEGATO_NOINLINE float rare4(float x, float y) { return ::fmodf(x, y); "
                         "}\n";
          break;
      }
    }
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
        return s.type == Dtype::float64 ? 40 : 12;
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
  Range range_of(const LaneInstr& s) const {
    if (s.type != Dtype::float32) return {};
    auto src = [&](int i) { return ranges_[static_cast<size_t>(s.src[i])]; };
    auto known = [](const Range& r) { return std::isfinite(r.low) && std::isfinite(r.high); };
    switch (s.op) {
      case LaneOp::constant: {
        const float v = std::bit_cast<float>(static_cast<uint32_t>(s.imm));
        return std::isfinite(v) ? Range{v, v} : Range{};
      }
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
        value = cat("*reinterpret_cast<const ", t, "*>(p.lit[", s.imm, "])");
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
        value = compared(" / ");
        break;
      case LaneOp::min:
      case LaneOp::max:
        if (const Clamp c = clamp_of(s); c.value >= 0)
          value = cat(c.from_above ? "at_most(v" : "at_least(v", c.value, ", v", c.limit, ")");
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
        throw InternalError("print_program: the program was lowered for another machine");
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
      case LaneOp::rint:
        value = single && ranges_[static_cast<size_t>(s.src[0])].within(kRoundedBySum)
                    ? cat("::copysignf((", src(0), " + 0x1.8p23f) - 0x1.8p23f, ", src(0), ")")
                    : cat(function("rint"), src(0), ")");
        break;
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
        value = cat("__builtin_bit_cast(", t, ", ", src(0), ")");
        break;
      case LaneOp::to_int: {
        const bool narrow = s.from == Dtype::float32;
        const char *most = narrow ? "0x1p31f" : "0x1p63",
                   *least = narrow ? "INT32_MIN" : "INT64_MIN";
        const bool known = narrow && ranges_[static_cast<size_t>(s.src[0])].within(0x1p30);
        const std::string fits = known ? cat(src(0), " == ", src(0))
                                       : cat(src(0), " > -", most, " && ", src(0), " < ", most);
        // The integer stands in the low bits of the sum that rounded.
        const LaneInstr& rounded = at(s.src[0]);
        const bool summed = narrow && rounded.op == LaneOp::rint &&
                            ranges_[static_cast<size_t>(rounded.src[0])].within(kRoundedBySum);
        value = cat(fits, " ? ",
                    summed ? cat("__builtin_bit_cast(int32_t, v", rounded.src[0],
                                 " + 0x1.8p23f) - 0x4b400000")
                           : cat("(", t, ")", src(0)),
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
  std::vector<Range> ranges_;  // of each instruction
};

// --- one element, from the scalar language itself: programs that hold complex values, or that are
// too long to be spelled out

class LanguagePrinter {
 public:
  LanguagePrinter(const Program& p, std::string& out) : p_(p), out_(out) {}

  void print_body(bool registers) {
    const int n_in = static_cast<int>(p_.inputs.size());
    int v = 0;
    for (; v < n_in; ++v) out_ += cat("  const auto v", v, " = load(x", v, ");\n");
    for (size_t l = 0; l < p_.literals.size(); ++l)
      out_ += cat("  const auto v", v++, " = load(*reinterpret_cast<const ",
                  device_type(compute_dtype(p_.literals[l])), "*>(p.lit[", l, "]));\n");
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
};

// --- the kernel around it

class KernelPrinter {
 public:
  KernelPrinter(const Program& program, const Variant& variant, const char* name)
      : p_(program), v_(variant), name_(name) {}

  Source print() {
    const int cost = print_element();
    if (v_.tiled) return {language_, out_ + tile_kernel(p_, v_, name_, cost) + "}\n", 1};
    packs_ = kMostPacks;
    while (packs_ > 1 && packs_ * v_.pack * widest() > kFlightBytes) packs_ /= 2;
    while (packs_ > 1 && packs_ * v_.pack * cost > kBodyBudget) packs_ /= 2;
    print_kernel();
    out_ += "}\n";
    return {language_, std::move(out_), packs_};
  }

 private:
  // The parameter, and the function that computes one element. Returns how long that is.
  int print_element() {
    const std::unique_ptr<LaneProgram> lanes = fuse::lower(p_);
    int cost = 0;
    std::string element =
        cat("LEGATO_INLINE void element(const ", v_.same_literals ? "Literals" : "Params", "& p");
    for (int i = 0; i < n_in(); ++i) element += cat(", const ", in_type(i), "& x", i);
    for (int o = 0; o < n_out(); ++o) element += cat(", ", register_type(o), "& o", o);
    element += ") {\n";
    language_ = !lanes;
    if (lanes) {
      LanePrinter lane(*lanes, out_);
      language_ = lane.calls();
      cost = lane.cost();
      open();
      lane.print_rare_functions();
      out_ += element;
      lane.print_body(true);
    } else {
      cost = 100 * static_cast<int>(p_.instrs.size());
      open();
      out_ += element;
      LanguagePrinter(p_, out_).print_body(true);
    }
    out_ += "}\n";
    return cost;
  }

  int n_in() const { return static_cast<int>(p_.inputs.size()); }
  int n_out() const { return static_cast<int>(p_.outputs.size()); }
  Dtype in_dtype(int i) const { return p_.inputs[static_cast<size_t>(i)]; }
  Dtype out_dtype(int o) const { return p_.dtype_of_value(p_.outputs[static_cast<size_t>(o)]); }
  const char* in_type(int i) const { return device_type(in_dtype(i)); }
  const char* out_type(int o) const { return device_type(out_dtype(o)); }
  const char* register_type(int o) const { return device_type(compute_dtype(out_dtype(o))); }
  bool dense() const { return !v_.strided(n_in()); }
  int64_t widest() const {
    int64_t bytes = 1;
    for (Dtype t : p_.inputs) bytes = std::max(bytes, size_of(t));
    for (int o = 0; o < n_out(); ++o) bytes = std::max(bytes, size_of(out_dtype(o)));
    return bytes;
  }

  void open() {
    out_ = cat("namespace legato::", name_, "_ {\n");
    print_params();
  }

  // Note [Parameters of a program]
  void print_params() {
    const auto n_strided = std::count_if(v_.access, v_.access + n_in(), is_strided);
    out_ += "struct Params {\n";
    if (n_in()) out_ += cat("  const void* in[", n_in(), "];\n");
    out_ += cat("  void* out[", n_out(), "];\n");
    const std::string lit =
        p_.literals.empty() ? "" : cat("  uint64_t lit[", p_.literals.size(), "][2];\n");
    if (!v_.same_literals) out_ += lit;
    if (v_.tiled) {
      out_ += cat(tile_fields(static_cast<int>(n_strided)), "};\n");
      return;
    }
    out_ += "  uint64_t n;\n";
    if (n_strided && v_.wide)
      out_ += cat("  int64_t axes;\n  uint64_t size[8];\n  int64_t stride[", n_strided, "][8];\n");
    else if (n_strided)
      out_ += cat("  int64_t axes;\n  uint32_t size[8], magic[8], shift[8];\n  int32_t stride[",
                  n_strided, "][8];\n");
    out_ += "};\n";
    static_assert(kProgramAxes == 8);
    if (v_.room < 0) return;
    if (v_.same_literals) out_ += cat("struct Literals {\n", lit, "};\n");
    const int calls = layout_of_many(p_, v_).calls;
    out_ +=
        cat("struct Many {\n  uint64_t count;\n", v_.same_literals ? "  Literals literals;\n" : "",
            "  Params call[", calls, "];\n  uint32_t first[", calls, "];\n};\n");
  }

  std::string pointer(int i) const { return cat("((const ", in_type(i), "*)p.in[", i, "])"); }

  // How a pack goes to and from memory: by one instruction.
  void print_pack_type(const char* name, int k, Dtype t, bool pairs = false) {
    const int64_t bytes = std::min<int64_t>(16, size_of(t) * v_.pack);
    out_ += cat("struct alignas(", bytes, ") ", name, k, " { ", pairs ? "uint32_t" : device_type(t),
                " at[", pairs ? v_.pack / 2 : v_.pack, "]; };\n");
  }
  std::string word(Dtype t) const {
    const int64_t bytes = size_of(t) * v_.pack;
    return v_.pack == 1  ? ""
           : bytes == 16 ? "uint4"
           : bytes == 8  ? "uint2"
           : bytes == 4  ? "uint32_t"
           : bytes == 2  ? "uint16_t"
                         : "";
  }
  std::string loaded(int i, const std::string& at) const {
    const std::string w = word(in_dtype(i));
    if (w.empty()) return cat("*(const X", i, "*)(", pointer(i), " + ", at, ")");
    return cat("LEGATO_LOAD(X", i, ", ", w, ", ", pointer(i), " + ", at, ")");
  }

  void print_input_types() {
    for (int i = 0; i < n_in(); ++i)
      if (v_.access[i] != Access::scalar && v_.access[i] != Access::splat)
        print_pack_type("X", i, in_dtype(i));
  }
  void print_index_types() {
    out_ += v_.wide ? "  using Index = uint64_t;\n" : "  using Index = uint32_t;\n";
    if (!dense()) out_ += v_.wide ? "  using Offset = int64_t;\n" : "  using Offset = int32_t;\n";
  }

  void print_kernel() {
    print_input_types();
    for (int o = 0; o < n_out(); ++o)
      print_pack_type("Y", o, out_dtype(o), is_half(out_dtype(o)) && v_.pack > 1);
    const bool many = v_.room >= 0;
    out_ +=
        cat("LEGATO_KERNEL(", name_, many ? ", Many, " : ", Params, ", kProgramThreads, ") {\n");
    if (many) print_choice();
    print_index_types();
    out_ += cat("  const Index n = (Index)p.n, items = (n + ", v_.pack - 1, ") / ", v_.pack,
                ", first = (Index)", many ? "(blockIdx.x - many.first[low])" : "blockIdx.x", " * ",
                kProgramThreads * packs_, " + threadIdx.x;\n");
    print_inputs();
    if (n_in()) {
      open_loop();
      print_offsets();
      print_loads();
      out_ += "  }\n";
    }
    open_loop();
    print_compute();
    out_ += many ? "  }\n  }\n}\n" : "  }\n}\n";
  }

  // Which call this block belongs to: the last one whose first block is not behind it.
  void print_choice() {
    out_ +=
        "  const Many& many = p;\n  unsigned low = 0, high = (unsigned)p.count;\n"
        "  while (high - low > 1) {\n    const unsigned middle = (low + high) / 2;\n"
        "    if (p.first[middle] <= blockIdx.x) low = middle; else high = middle;\n  }\n"
        "  {\n  const Params& p = many.call[low];\n";
  }

  void print_inputs() {
    for (int i = 0; i < n_in(); ++i) {
      if (v_.access[i] == Access::scalar)
        out_ += cat("  const ", in_type(i), " x", i, " = *", pointer(i), ";\n");
      else if (v_.access[i] == Access::splat)
        out_ += cat("  ", in_type(i), " x", i, "[", packs_, "];\n");
      else
        out_ += cat("  X", i, " x", i, "[", packs_, "];\n");
    }
  }
  void print_operands() {
    for (int i = 0; i < n_in(); ++i)
      out_ += v_.access[i] == Access::scalar  ? cat(", x", i)
              : v_.access[i] == Access::splat ? cat(", x", i, "[u]")
                                              : cat(", x", i, "[u].at[j]");
  }

  void open_loop() {
    if (packs_ > 1) out_ += "#pragma unroll\n";
    out_ += cat("  for (int u = 0; u < ", packs_, "; ++u) {\n    const Index item = first + u * ",
                kProgramThreads, ", at = item * ", v_.pack, ";\n    if (item >= items) ",
                packs_ > 1 ? "continue" : "return", ";\n");
  }

  void print_offsets() {
    std::string declared, step, last;
    int k = 0;
    for (int i = 0; i < n_in(); ++i) {
      if (!is_strided(v_.access[i])) continue;
      declared += cat(declared.empty() ? "    Offset a" : ", a", i, " = 0");
      step += cat(" a", i, " += (Offset)x * (Offset)p.stride[", k, "][k];");
      last += cat(" a", i, " += (Offset)rest * (Offset)p.stride[", k, "][k];");
      ++k;
    }
    if (declared.empty()) return;
    out_ += cat(declared, ";\n    Index rest = at;\n    int k = 0;\n#pragma unroll 1\n",
                "    for (; k + 1 < (int)p.axes; ++k) {\n      const Index next = ",
                v_.wide ? "rest / p.size[k]"
                        : "((Index)(((uint64_t)rest * p.magic[k]) >> 32) + rest) >> p.shift[k]",
                ", x = rest - next * (Index)p.size[k];\n      rest = next;", step, "\n    }\n   ",
                last, "\n");
  }

  // The last pack of a dense program may be shorter than the others: it goes element by element.
  bool partial() const { return v_.pack > 1 && dense(); }

  void print_loads() {
    std::string whole;
    int k = 0;
    for (int i = 0; i < n_in(); ++i) {
      switch (v_.access[i]) {
        case Access::scalar:
        case Access::turned:  // of tiles
          break;
        case Access::dense:
          whole += cat("      x", i, "[u] = ", loaded(i, "at"), ";\n");
          break;
        case Access::row:
          whole += cat("      x", i, "[u] = ", loaded(i, cat("a", i)), ";\n");
          break;
        case Access::splat:
          whole += cat("      x", i, "[u] = ", pointer(i), "[a", i, "];\n");
          break;
        case Access::gather:
          if (v_.pack == 1)
            whole += cat("      x", i, "[u].at[0] = ", pointer(i), "[a", i, "];\n");
          else
            whole +=
                cat("#pragma unroll\n      for (int j = 0; j < ", v_.pack, "; ++j) x", i,
                    "[u].at[j] = ", pointer(i), "[a", i, " + j * (Offset)p.stride[", k, "][0]];\n");
          break;
      }
      if (is_strided(v_.access[i])) ++k;
    }
    if (whole.empty()) return;
    out_ += partial() ? cat("    if (at + ", v_.pack, " <= n) {\n", whole, "    }\n") : whole;
  }

  std::string target(int o) const { return cat("((", out_type(o), "*)p.out[", o, "])"); }

  void print_compute() {
    if (partial()) out_ += cat("    if (at + ", v_.pack, " <= n) {\n");
    for (int o = 0; o < n_out(); ++o)
      out_ += cat("    ", register_type(o), " y", o, "[", v_.pack, "];\n");
    if (v_.pack > 1) out_ += "#pragma unroll\n";
    out_ += cat("    for (int j = 0; j < ", v_.pack, "; ++j) element(",
                v_.same_literals ? "many.literals" : "p");
    print_operands();
    for (int o = 0; o < n_out(); ++o) out_ += cat(", y", o, "[j]");
    out_ += ");\n";
    for (int o = 0; o < n_out(); ++o) print_store(o);
    if (!partial()) return;
    out_ += "    } else {\n#pragma unroll 1\n      for (Index j = at; j < n; ++j) {\n";
    for (int o = 0; o < n_out(); ++o) out_ += cat("        ", register_type(o), " y", o, ";\n");
    out_ += cat("        element(", v_.same_literals ? "many.literals" : "p");
    for (int i = 0; i < n_in(); ++i)
      out_ += v_.access[i] == Access::scalar ? cat(", x", i) : cat(", ", pointer(i), "[j]");
    for (int o = 0; o < n_out(); ++o) out_ += cat(", y", o);
    out_ += ");\n";
    for (int o = 0; o < n_out(); ++o)
      out_ += cat("        ", target(o), "[j] = ", rounded(out_dtype(o), cat("y", o)), ";\n");
    out_ += "      }\n    }\n";
  }
  // Halves are rounded in pairs.
  void print_store(int o) {
    const std::string w = word(out_dtype(o)), to = cat(target(o), " + at");
    if (is_half(out_dtype(o)) && v_.pack > 1)
      out_ += cat("    Y", o, " z", o, ";\n#pragma unroll\n    for (int j = 0; j < ", v_.pack / 2,
                  "; ++j) z", o, ".at[j] = two_halves(", out_type(o), "{}, y", o, "[2 * j], y", o,
                  "[2 * j + 1]);\n");
    else
      out_ += cat("    Y", o, " z", o, ";\n", v_.pack > 1 ? "#pragma unroll\n" : "",
                  "    for (int j = 0; j < ", v_.pack, "; ++j) z", o,
                  ".at[j] = ", rounded(out_dtype(o), cat("y", o, "[j]")), ";\n");
    out_ += w.empty() ? cat("    *(Y", o, "*)(", to, ") = z", o, ";\n")
                      : cat("    LEGATO_STORE(Y", o, ", ", w, ", ", to, ", z", o, ");\n");
  }

  const Program& p_;
  const Variant& v_;
  const char* name_;
  int packs_ = 1;
  bool language_ = false;  // it calls functions of the scalar language
  std::string out_;
};

}  // namespace

const char* device_type(Dtype t) {
  constexpr const char* names[kDtypeCount] = {
      "bool",    "uint8_t", "uint16_t", "uint32_t", "uint64_t", "int8_t", "int16_t", "int32_t",
      "int64_t", "f16",     "bf16",     "float",    "double",   "c64",    "c128"};
  return names[static_cast<int>(t)];
}

std::string rounded(Dtype stored, const std::string& value) {
  return stored == Dtype::float16    ? cat("to_f16(", value, ")")
         : stored == Dtype::bfloat16 ? cat("to_bf16(", value, ")")
                                     : value;
}

bool Variant::strided(int n_in) const { return std::any_of(access, access + n_in, is_strided); }

uint64_t Variant::key(int n_in) const {
  uint64_t k = 0;
  for (int i = 0; i < n_in; ++i) k |= static_cast<uint64_t>(access[i]) << (3 * i);
  static_assert(3 * fuse::kMaxInputs <= 48);
  return k | static_cast<uint64_t>(pack) << 48 | uint64_t{wide} << 56 |
         static_cast<uint64_t>(room + 1) << 57 | uint64_t{same_literals} << 60 |
         uint64_t{tiled} << 61;
}

std::string Variant::text(int n_in) const {
  std::string s;
  for (int i = 0; i < n_in; ++i) s += "SDRBGT"[static_cast<int>(access[i])];
  return cat(s, " ", pack, wide ? " wide" : "", room >= 0 ? " many" : tiled ? " tiled" : "");
}

ManyLayout layout_of_many(const Program& program, const Variant& v) {
  const auto n_in = static_cast<int>(program.inputs.size()),
             n_out = static_cast<int>(program.outputs.size()),
             literals = 2 * static_cast<int>(program.literals.size());
  const auto strided = static_cast<int>(std::count_if(v.access, v.access + n_in, is_strided));
  ManyLayout m;
  m.call_words = n_in + n_out + (v.same_literals ? 0 : literals) + 1;
  if (strided && v.wide) m.call_words += 1 + kProgramAxes + strided * kProgramAxes;
  if (strided && !v.wide) m.call_words += 1 + 3 * kProgramAxes / 2 + strided * kProgramAxes / 2;
  m.first_call = 1 + (v.same_literals ? literals : 0);
  // `first` follows the calls; the whole is a multiple of 8 bytes.
  m.calls = (kRooms[v.room] - 8 * m.first_call - 4) / (8 * m.call_words + 4);
  return m;
}

Magic division_by(uint32_t d) {
  const auto shift = static_cast<uint32_t>(std::bit_width(d - 1));
  const uint64_t over = (uint64_t{1} << shift) - d;
  return {static_cast<uint32_t>((over << 32) / d + 1), shift};
}

Variant Variant::general(int n_in) {
  Variant v;
  v.wide = true;
  std::fill_n(v.access, n_in, Access::gather);
  return v;
}

Source print_program(const Program& program, const Variant& variant, const char* name) {
  return KernelPrinter(program, variant, name).print();
}

std::unique_ptr<Program> single_program(fuse::FnId fn, Dtype compute, Dtype result,
                                        std::span<const Dtype> inputs) {
  auto p = std::make_unique<Program>();
  p->inputs.assign(inputs.begin(), inputs.end());
  Instr s;
  s.fn = fn;
  s.compute = compute;
  s.dtype = result;
  for (; s.n_src < inputs.size(); ++s.n_src) s.src[s.n_src] = s.n_src;
  p->instrs.push_back(s);
  p->outputs = {static_cast<uint16_t>(inputs.size())};
  return p;
}

const char* prelude(bool language) { return language ? kScalarLanguage : kElementText; }

uint64_t structure_hash(const Program& p) {
  uint64_t h = 0xcbf29ce484222325ull;
  auto add = [&](uint64_t v) {
    h = (h ^ v) * 0xff51afd7ed558ccdull;
    h ^= h >> 32;
  };
  add(p.inputs.size());
  for (Dtype t : p.inputs) add(static_cast<uint64_t>(t));
  add(p.literals.size());
  for (Dtype t : p.literals) add(static_cast<uint64_t>(t));
  for (const Instr& s : p.instrs) {
    add(uint64_t{s.fn} << 24 | static_cast<uint64_t>(s.compute) << 16 |
        static_cast<uint64_t>(s.dtype) << 8 | s.n_src);
    for (int i = 0; i < s.n_src; ++i) add(s.src[i]);
  }
  for (uint16_t o : p.outputs) add(uint64_t{o} << 32);
  return h;
}

}  // namespace legato::cuda
