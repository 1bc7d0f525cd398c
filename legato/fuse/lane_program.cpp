// What a lane instruction computes, on one lane; and programs as text.
#include "legato/fuse/lane_program.h"

#include <cmath>
#include <cstring>
#include <type_traits>

#include "legato/base/error.h"
#include "legato/fuse/lane_convert.h"

namespace legato::fuse {
namespace {

using pointwise::Lane;

constexpr const char* kNames[] = {"input",
                                  "literal",
                                  "constant",
                                  "add",
                                  "sub",
                                  "mul",
                                  "div",
                                  "min",
                                  "max",
                                  "neg",
                                  "fma",
                                  "scale",
                                  "sqrt",
                                  "floor",
                                  "ceil",
                                  "trunc",
                                  "rint",
                                  "round_f16",
                                  "round_bf16",
                                  "exp2_near",
                                  "log2_near",
                                  "rsqrt_near",
                                  "divide_near",
                                  "divide_near16",
                                  "reciprocal_near16",
                                  "eq",
                                  "ne",
                                  "lt",
                                  "le",
                                  "select",
                                  "bit_and",
                                  "bit_or",
                                  "bit_xor",
                                  "bit_not",
                                  "shl",
                                  "shr",
                                  "bitcast",
                                  "to_int",
                                  "to_float",
                                  "convert",
                                  "call",
                                  "rare"};
static_assert(std::size(kNames) == kLaneOpCount);

template <class T>
T value_of(uint64_t bits) {
  T v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
template <class T>
uint64_t bits_of(T v) {
  uint64_t bits = 0;
  std::memcpy(&bits, &v, sizeof v);
  return bits;
}

template <class T>
uint64_t floating(const LaneInstr& s, Lane<T> a, Lane<T> b, Lane<T> c) {
  auto put = [](auto lane) { return bits_of(lane.value); };
  switch (s.op) {
    case LaneOp::div:
      return put(a / b);
    case LaneOp::fma:
      return put(fma(a, b, c));
    case LaneOp::scale:
      return bits_of(std::isnan(b.value) ? b.value
                                         : std::ldexp(a.value, static_cast<int>(b.value)));
    case LaneOp::sqrt:
      return put(sqrt(a));
    case LaneOp::floor:
      return put(floor(a));
    case LaneOp::ceil:
      return put(ceil(a));
    case LaneOp::trunc:
      return put(trunc(a));
    case LaneOp::rint:
      return put(rint(a));
    case LaneOp::to_int:
      return put(to_int(a));
    case LaneOp::round_f16:
      return bits_of(static_cast<float>(float16_t(static_cast<float>(a.value))));
    case LaneOp::round_bf16:
      return bits_of(static_cast<float>(bfloat16_t(static_cast<float>(a.value))));
    default:
      break;
  }
  if constexpr (std::is_same_v<T, float>) {
    switch (s.op) {
      case LaneOp::exp2_near:
        return put(exp2_near(a));
      case LaneOp::log2_near:
        return put(log2_near(a));
      case LaneOp::rsqrt_near:
        return put(rsqrt_near(a));
      case LaneOp::divide_near:
        return put(divide_near(a, b));
      case LaneOp::divide_near16:
        return put(divide_near16(a, b));
      case LaneOp::reciprocal_near16:
        return put(reciprocal_near16(a));
      default:
        break;
    }
  }
  throw InternalError(cat("lane instruction ", name_of(s.op), " is not for ", s.from));
}

template <class T>
uint64_t integral(const LaneInstr& s, Lane<T> a, Lane<T> b) {
  const int count = static_cast<int>(s.imm);
  auto put = [](auto lane) { return bits_of(lane.value); };
  switch (s.op) {
    case LaneOp::bit_and:
      return put(a & b);
    case LaneOp::bit_or:
      return put(a | b);
    case LaneOp::bit_xor:
      return put(a ^ b);
    case LaneOp::bit_not:
      return put(~a);
    case LaneOp::shl:
      return put(a << count);
    case LaneOp::shr:
      return put(a >> count);
    case LaneOp::to_float:
      if constexpr (std::is_same_v<T, int32_t> || std::is_same_v<T, int64_t>)
        return put(to_float(a));
      [[fallthrough]];
    default:
      throw InternalError(cat("lane instruction ", name_of(s.op), " is not for ", s.from));
  }
}

template <class T>
uint64_t evaluate(const LaneInstr& s, const uint64_t* o) {
  const Lane<T> a(value_of<T>(o[0])), b(value_of<T>(s.n_src > 1 ? o[1] : 0));
  auto put = [](auto lane) { return bits_of(lane.value); };
  switch (s.op) {
    case LaneOp::add:
      return put(a + b);
    case LaneOp::sub:
      return put(a - b);
    case LaneOp::mul:
      return put(a * b);
    case LaneOp::neg:
      return put(-a);
    case LaneOp::min:
      return (a < b).value ? o[0] : o[1];
    case LaneOp::max:
      return (a > b).value ? o[0] : o[1];
    case LaneOp::eq:
      return (a == b).value;
    case LaneOp::ne:
      return (a != b).value;
    case LaneOp::lt:
      return (a < b).value;
    case LaneOp::le:
      return (a <= b).value;
    case LaneOp::select:
      return o[0] ? o[1] : o[2];
    case LaneOp::bitcast:
      return o[0];
    case LaneOp::convert:
      return visit_dtype(s.type, [&]<class Tag>(Tag) -> uint64_t {
        using R = typename Tag::type;
        if constexpr (std::is_arithmetic_v<R>)
          return bits_of(pointwise::convert<R>(a.value));
        else
          throw InternalError("lanes hold no halves and no complex values");
      });
    default:
      if constexpr (std::is_floating_point_v<T>)
        return floating(s, a, b, Lane<T>(value_of<T>(s.n_src > 2 ? o[2] : 0)));
      else
        return integral(s, a, b);
  }
}

}  // namespace

const char* name_of(LaneOp op) { return kNames[static_cast<int>(op)]; }

uint64_t evaluate_lane(const LaneInstr& s, const uint64_t* operands) {
  return visit_dtype(s.from, [&]<class Tag>(Tag) -> uint64_t {
    using T = typename Tag::type;
    if constexpr (std::is_arithmetic_v<T>)
      return evaluate<T>(s, operands);
    else
      throw InternalError("lanes hold no halves and no complex values");
  });
}

std::string LaneProgram::to_string() const {
  std::string out;
  for (size_t v = 0; v < instrs.size(); ++v) {
    const LaneInstr& s = instrs[v];
    out += cat("%", v, " = ", name_of(s.op));
    if (s.op == LaneOp::call) out += cat(" ", fn_name(s.fn));
    if (s.op == LaneOp::rare) out += cat(" ", s.fn);
    for (int i = 0; i < s.n_src; ++i) out += cat(i ? ", %" : " %", s.src[i]);
    if (s.op == LaneOp::constant && s.type == Dtype::float32)
      out += cat(" ", static_cast<double>(value_of<float>(s.imm)));
    else if (s.op == LaneOp::constant && s.type == Dtype::float64)
      out += cat(" ", value_of<double>(s.imm));
    else if (s.op <= LaneOp::constant || s.op == LaneOp::shl || s.op == LaneOp::shr)
      out += cat(" ", s.imm);
    out += cat(" : ", s.type);
    if (s.from != s.type) out += cat(" from ", s.from);
    out += '\n';
  }
  for (const Output& o : outputs) out += cat("store %", o.value, " as ", o.stored, "\n");
  return out;
}

}  // namespace legato::fuse
