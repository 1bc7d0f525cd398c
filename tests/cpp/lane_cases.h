// Programs and operands for the tests of code generators: every function of every real dtype,
// casts, chains; values that include the special ones; the tile interpreter's answers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <random>
#include <vector>

#include "legato/backends/cpu/jit/variants.h"
#include "legato/backends/cpu/loops.h"
#include "legato/backends/cpu/program.h"
#include "legato/fuse/functions.h"
#include "legato/fuse/program.h"

namespace legato::lane_cases {

inline constexpr Dtype kRealDtypes[] = {
    Dtype::bool_,    Dtype::uint8,   Dtype::uint16, Dtype::uint32, Dtype::uint64,
    Dtype::int8,     Dtype::int16,   Dtype::int32,  Dtype::int64,  Dtype::float16,
    Dtype::bfloat16, Dtype::float32, Dtype::float64};

inline fuse::Instr instr(const char* fn, Dtype compute, Dtype dtype,
                         std::initializer_list<int> src) {
  fuse::Instr s;
  s.fn = fuse::find_fn(fn);
  s.compute = compute;
  s.dtype = dtype;
  for (int v : src) s.src[s.n_src++] = static_cast<uint16_t>(v);
  return s;
}

struct Operand {
  Dtype dtype;
  std::vector<char> data;
  size_t count() const { return data.size() / static_cast<size_t>(size_of(dtype)); }
};
using Operands = std::vector<Operand>;

/// Element i as the bits that a register holds, and back: halves are float32 there.
inline uint64_t load(Dtype t, const char* data, size_t i) {
  uint64_t bits = 0;
  const size_t size = static_cast<size_t>(size_of(t));
  std::memcpy(&bits, data + i * size, size);
  if (!is_half(t)) return bits;
  float16_t h;
  bfloat16_t b;
  h.bits = b.bits = static_cast<uint16_t>(bits);
  const float f = t == Dtype::float16 ? static_cast<float>(h) : static_cast<float>(b);
  bits = 0;
  std::memcpy(&bits, &f, sizeof f);
  return bits;
}
inline void store(Dtype t, uint64_t bits, char* data, size_t i) {
  const size_t size = static_cast<size_t>(size_of(t));
  if (is_half(t)) {
    float f;
    std::memcpy(&f, &bits, sizeof f);
    bits = t == Dtype::float16 ? float16_t(f).bits : bfloat16_t(f).bits;
  }
  std::memcpy(data + i * size, &bits, size);
}

/// Values of all magnitudes and the special ones.
inline Operand random_operand(Dtype t, size_t n, unsigned seed) {
  std::mt19937_64 rng(seed);
  Operand o{t, std::vector<char>(n * static_cast<size_t>(size_of(t)))};
  constexpr double inf = std::numeric_limits<double>::infinity();
  const double special[] = {
      0.0,          -0.0,  1.0,    -1.0,         0.5,           2.0,     inf,     -inf,
      std::nan(""), 1e-40, -1e-40, 1e38,         -1e38,         3e9,     -3e9,    7e4,
      1e6,          -1e8,  1e19,   1e20,         88.5,          -104.0,  1e-8,    0.9999,
      1e-300,       1e300, 127.5,  2147483648.0, -2147483648.0, 65504.0, 65520.0, 6e-8};
  for (size_t i = 0; i < n; ++i) {
    const uint64_t r = rng();
    uint64_t bits;
    if (t == Dtype::bool_) {
      bits = r & 1;
    } else if (is_integer(t)) {
      bits = r >> (r % 63);  // all magnitudes
      if (r & 64) bits = ~bits;
      if (i % 7 == 0) bits = (r >> 7) % 5 - 2;
    } else {
      const double u = static_cast<double>(r >> 11) * 0x1p-53;
      double x = i % 3 == 0   ? special[(r >> 5) % std::size(special)]
                 : i % 3 == 1 ? 8 * u - 4
                              : (u - 0.5) * std::exp2(static_cast<double>(r % 120) - 60);
      bits = 0;
      if (t == Dtype::float64) {
        std::memcpy(&bits, &x, sizeof x);
      } else {
        const float f = static_cast<float>(x);
        std::memcpy(&bits, &f, sizeof f);
      }
    }
    store(t, bits, o.data.data(), i);
  }
  return o;
}
inline Operands random_operands(const fuse::Program& p, size_t n, unsigned seed) {
  Operands r;
  for (Dtype t : p.inputs) r.push_back(random_operand(t, n, seed += 101));
  return r;
}

inline bool is_nan(Dtype t, uint64_t bits) {
  if (t == Dtype::float16) return (bits & 0x7fff) > 0x7c00;
  if (t == Dtype::bfloat16) return (bits & 0x7fff) > 0x7f80;
  if (t == Dtype::float32) return (bits & 0x7fffffff) > 0x7f800000;
  return t == Dtype::float64 && (bits & 0x7fffffffffffffff) > 0x7ff0000000000000;
}
/// The first element in which two arrays differ, or their number. A nan equals every nan.
inline size_t first_difference(Dtype t, const std::vector<char>& a, const std::vector<char>& b) {
  const size_t size = static_cast<size_t>(size_of(t)), n = a.size() / size;
  for (size_t i = 0; i < n; ++i) {
    uint64_t x = 0, y = 0;
    std::memcpy(&x, a.data() + i * size, size);
    std::memcpy(&y, b.data() + i * size, size);
    if (x != y && !(is_nan(t, x) && is_nan(t, y))) return i;
  }
  return n;
}

inline std::vector<fuse::LiteralValue> literal_values(const std::vector<uint64_t>& literals) {
  std::vector<fuse::LiteralValue> lit(literals.size());
  for (size_t i = 0; i < literals.size(); ++i)
    std::memcpy(lit[i].bytes, &literals[i], sizeof literals[i]);
  return lit;
}

/// Sets when programs are compiled, and sets it back.
class ScopedMode {
 public:
  explicit ScopedMode(cpu::jit::Mode mode) : before_(cpu::jit::mode()) { cpu::jit::set_mode(mode); }
  ~ScopedMode() { cpu::jit::set_mode(before_); }
  ScopedMode(const ScopedMode&) = delete;
  ScopedMode& operator=(const ScopedMode&) = delete;

 private:
  cpu::jit::Mode before_;
};

/// Runs the program on elements [0, n) of arrays, whose layouts are given or dense.
inline void run(const fuse::Program& p, const std::vector<fuse::BoundInput>& in,
                const std::vector<uint64_t>& literals, const std::vector<void*>& out,
                const Shape& shape) {
  auto lit = literal_values(literals);
  fuse::ProgramCall call;
  call.program = &p;
  call.shape = shape;
  call.inputs = in;
  call.literals = lit;
  call.outputs = out;
  cpu::run_program(call);
}

/// The outputs of n elements by the tile interpreter.
inline std::vector<std::vector<char>> interpreted(const fuse::Program& p, const Operands& in,
                                                  const std::vector<uint64_t>& literals, size_t n) {
  ScopedMode guard(cpu::jit::Mode::never);
  std::vector<std::vector<char>> out;
  std::vector<void*> to;
  for (uint16_t o : p.outputs)
    out.emplace_back(n * static_cast<size_t>(size_of(p.dtype_of_value(o))));
  for (auto& o : out) to.push_back(o.data());
  std::vector<fuse::BoundInput> from;
  for (const Operand& o : in) from.push_back({o.data.data(), {1}});
  run(p, from, literals, to, {static_cast<int64_t>(n)});
  return out;
}

/// What instructions of a function look like.
struct Signature {
  int arity = 1;
  bool test = false;  // gives a bool
};
inline Signature signature(pointwise::Id id) {
  using Id = pointwise::Id;
  Signature s;
  s.test = (id >= Id::Equal && id <= Id::GreaterEqual) || (id >= Id::IsNan && id <= Id::LogicalNot);
  if (id == Id::Where || id == Id::Fma || id == Id::MultiplyAdd)
    s.arity = 3;
  else if ((id >= Id::Add && id <= Id::Minimum) || id == Id::Hypot || id == Id::Copysign ||
           id == Id::Nextafter || (id >= Id::Equal && id <= Id::GreaterEqual) ||
           (id >= Id::LogicalAnd && id <= Id::LogicalXor) ||
           (id >= Id::BitwiseAnd && id <= Id::BitwiseXor) || id == Id::LeftShift ||
           id == Id::RightShift || id == Id::LogAddExp || id == Id::Xlogy || id == Id::Arctan2 ||
           id == Id::Polygamma)
    s.arity = 2;
  return s;
}

/// Calls f(program) with a program of one instruction for each function and dtype that has a loop.
template <class F>
void for_each_function(F f) {
  const auto& table = pointwise::loop_table(simd_level());
  for (int fn = 1; fn < pointwise::kFunctionCount; ++fn) {
    const auto id = static_cast<pointwise::Id>(fn);
    if (id == pointwise::Id::MakeComplex) continue;
    const Signature has = signature(id);
    for (Dtype stored : kRealDtypes) {
      const Dtype compute = compute_dtype(stored);
      if (!table.fn[fn][static_cast<int>(compute)]) continue;
      fuse::Program p;
      fuse::Instr s = instr("add", compute, has.test ? Dtype::bool_ : stored, {});
      s.fn = static_cast<fuse::FnId>(fn);
      for (int i = 0; i < has.arity; ++i) {
        p.inputs.push_back(id == pointwise::Id::Where && i == 0 ? Dtype::bool_ : stored);
        s.src[s.n_src++] = static_cast<uint16_t>(i);
      }
      p.instrs = {s};
      p.outputs = {static_cast<uint16_t>(has.arity)};
      f(static_cast<const fuse::Program&>(p));
    }
  }
}

inline uint64_t float_bits(float f) {
  uint64_t bits = 0;
  std::memcpy(&bits, &f, sizeof f);
  return bits;
}

/// Calls f(program, literals) with programs of random functions, dtypes and edges: more values at
/// once than registers, and conversions of all kinds.
template <class F>
void for_each_random_program(int count, F f) {
  using Id = pointwise::Id;
  const auto& table = pointwise::loop_table(simd_level());
  for (int seed = 0; seed < count; ++seed) {
    std::mt19937 rng(static_cast<unsigned>(seed));
    auto below = [&](size_t n) { return static_cast<size_t>(rng() % n); };
    // Half of the programs keep to the dtypes that live in one register.
    const size_t dtypes = std::size(kRealDtypes) - (seed % 2 ? 0 : 1);
    auto dtype = [&] { return kRealDtypes[seed % 4 == 2 ? 11 : below(dtypes)]; };
    fuse::Program p;
    std::vector<uint64_t> literals;
    for (size_t i = 1 + below(seed % 3 ? 5 : fuse::kMaxInputs); i > 0; --i)
      p.inputs.push_back(dtype());
    for (size_t i = below(5); i > 0; --i) {
      p.literals.push_back(dtype());
      Operand one = random_operand(compute_dtype(p.literals.back()), 1, rng());
      literals.push_back(load(one.dtype, one.data.data(), 0));
    }
    const size_t length = 1 + below(40);
    while (p.instrs.size() < length) {
      const size_t values = static_cast<size_t>(p.n_values());
      const auto id = static_cast<Id>(below(pointwise::kFunctionCount));
      // The sign of a nan is nobody's promise; polygamma is slow for large arguments.
      if (id == Id::MakeComplex || id == Id::Signbit || id == Id::Copysign || id == Id::Polygamma)
        continue;
      const Dtype stored = dtype(), compute = compute_dtype(stored);
      if (id != Id::Cast && !table.fn[static_cast<int>(id)][static_cast<int>(compute)]) continue;
      const Signature has = signature(id);
      fuse::Instr s = instr("add", compute, has.test ? Dtype::bool_ : stored, {});
      s.fn = static_cast<fuse::FnId>(id);
      for (int i = 0; i < has.arity; ++i)  // near ones and far ones
        s.src[s.n_src++] = static_cast<uint16_t>(
            rng() % 2 ? below(values) : values - 1 - below(std::min<size_t>(values, 4)));
      if (id == Id::Cast) s.compute = compute_dtype(p.dtype_of_value(s.src[0]));
      p.instrs.push_back(s);
    }
    for (size_t i = 1 + below(fuse::kMaxOutputs); i > 0; --i)
      p.outputs.push_back(static_cast<uint16_t>(i == 1 ? static_cast<size_t>(p.n_values()) - 1
                                                       : below(static_cast<size_t>(p.n_values()))));
    f(static_cast<const fuse::Program&>(p), literals);
  }
}

/// Calls f(program, literals) with chains as graphs make them.
template <class F>
void for_each_chain(F f) {
  constexpr Dtype f32 = Dtype::float32, f16 = Dtype::float16, bf16 = Dtype::bfloat16,
                  f64 = Dtype::float64, i32 = Dtype::int32, i8 = Dtype::int8, i64 = Dtype::int64,
                  u8 = Dtype::uint8, boolean = Dtype::bool_;
  {
    fuse::Program p;  // gelu(x * a + b), tanh form; literals: .5, .7978845608, .044715, 1
    p.inputs = {f32, f32, f32};
    p.literals = {f32, f32, f32, f32};
    auto op = [&](const char* fn, int a, int b = -1) {
      p.instrs.push_back(b < 0 ? instr(fn, f32, f32, {a}) : instr(fn, f32, f32, {a, b}));
      return 6 + static_cast<int>(p.instrs.size());
    };
    int y = op("add", op("multiply", 0, 1), 2);
    int cube = op("multiply", op("multiply", op("multiply", y, y), y), 5);
    int t = op("tanh", op("multiply", op("add", y, cube), 4));
    int out = op("multiply", op("multiply", y, 3), op("add", t, 6));
    p.outputs = {static_cast<uint16_t>(out)};
    f(static_cast<const fuse::Program&>(p),
      {float_bits(.5f), float_bits(.7978845608f), float_bits(.044715f), float_bits(1.f)});
  }
  {
    fuse::Program p;  // Adam: p, g, m, v -> p, m, v; literals .9, .1, .999, .001, 1e-3, 1e-8
    p.inputs = {f32, f32, f32, f32};
    p.literals = {f32, f32, f32, f32, f32, f32};
    auto op = [&](const char* fn, int a, int b = -1) {
      p.instrs.push_back(b < 0 ? instr(fn, f32, f32, {a}) : instr(fn, f32, f32, {a, b}));
      return 9 + static_cast<int>(p.instrs.size());
    };
    int m = op("add", op("multiply", 2, 4), op("multiply", 1, 5));
    int v = op("add", op("multiply", 3, 6), op("multiply", op("square", 1), 7));
    int step = op("divide", op("multiply", m, 8), op("add", op("sqrt", v), 9));
    int out = op("subtract", 0, step);
    p.outputs = {static_cast<uint16_t>(out), static_cast<uint16_t>(m), static_cast<uint16_t>(v)};
    f(static_cast<const fuse::Program&>(p),
      {float_bits(.9f), float_bits(.1f), float_bits(.999f), float_bits(.001f), float_bits(1e-3f),
       float_bits(1e-8f)});
  }
  for (Dtype half : {f16, bf16}) {
    fuse::Program p;  // half arithmetic, rounded by casts and not between functions; two outputs
    p.inputs = {half, f32};
    p.literals = {half};
    p.instrs = {instr("multiply", f32, half, {0, 2}), instr("add", f32, half, {3, 3}),
                instr("cast", f32, half, {4}), instr("multiply", f32, f32, {5, 1}),
                instr("cast", f32, half, {6})};
    p.outputs = {7, 4, 5};
    f(static_cast<const fuse::Program&>(p), {float_bits(1.5f)});
  }
  {
    fuse::Program p;  // comparisons, masks, where, bool to numbers, integers of many widths
    p.inputs = {f32, i8, i32, f64, i64, u8, boolean};
    p.instrs = {instr("less", f32, boolean, {0, 2}),              // 7: f32 < i32
                instr("add", i32, i32, {1, 2}),                   // 8: i8 + i32
                instr("where", i32, i32, {7, 8, 5}),              // 9
                instr("multiply", f64, f64, {3, 9}),              // 10
                instr("greater", f64, boolean, {10, 3}),          // 11
                instr("logical_and", boolean, boolean, {11, 6}),  // 12
                instr("where", f32, f32, {12, 0, 1}),             // 13
                instr("add", i64, i64, {4, 7}),                   // 14: i64 + bool
                instr("multiply", i8, i8, {1, 1}),                // 15: wraps
                instr("less", i8, boolean, {15, 1}),              // 16
                instr("where", f64, f64, {16, 3, 0}),             // 17
                instr("bitwise_xor", i32, i32, {9, 15}),          // 18
                instr("cast", f32, u8, {13})};                    // 19
    p.outputs = {9, 10, 12, 13, 14, 17, 18, 19};
    f(static_cast<const fuse::Program&>(p), {});
  }
  {
    fuse::Program p;  // an input and a literal as outputs
    p.inputs = {f32, f16};
    p.literals = {f32};
    p.instrs = {instr("sin", f32, f32, {0})};
    p.outputs = {3, 0, 1, 2};
    f(static_cast<const fuse::Program&>(p), {float_bits(2.5f)});
  }
}

}  // namespace legato::lane_cases
