// Programs on the CPU: layouts, dtypes, chains, splits; against plain loops over the same index
// space.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "legato/backends/cpu/copy.h"
#include "legato/backends/cpu/program.h"
#include "legato/base/thread_pool.h"
#include "legato/fuse/program.h"

namespace {

using namespace legato;
using fuse::BoundInput;
using fuse::find_fn;
using fuse::Instr;
using fuse::LiteralValue;
using fuse::Program;

Instr instr(const char* fn, Dtype compute, Dtype dtype, std::initializer_list<int> src) {
  Instr s;
  s.fn = find_fn(fn);
  s.compute = compute;
  s.dtype = dtype;
  for (int v : src) s.src[s.n_src++] = static_cast<uint16_t>(v);
  return s;
}

template <class T>
LiteralValue literal(T v) {
  LiteralValue l{};
  std::memcpy(l.bytes, &v, sizeof v);
  return l;
}

void run(const Program& p, const Shape& shape, std::vector<BoundInput> in, std::vector<void*> out,
         std::vector<LiteralValue> lit = {}) {
  fuse::ProgramCall call;
  call.program = &p;
  call.shape = shape;
  call.inputs = in;
  call.literals = lit;
  call.outputs = out;
  cpu::run_program(call);
}

/// A program of one function.
void single(Program& p, const char* fn, std::vector<Dtype> in, Dtype compute, Dtype out) {
  p.inputs = in;
  Instr s = instr(fn, compute, out, {});
  for (size_t i = 0; i < in.size(); ++i) s.src[s.n_src++] = static_cast<uint16_t>(i);
  p.instrs = {s};
  p.outputs = {static_cast<uint16_t>(in.size())};
}

template <class T, class F>
std::vector<T> filled(int64_t n, F f) {
  std::vector<T> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i)] = f(i);
  return v;
}

/// Visits the offset of each element of a layout in row-major order.
std::vector<int64_t> offsets(const Shape& shape, const Strides& strides) {
  std::vector<int64_t> r;
  int64_t n = element_count(shape);
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i, at = 0;
    for (size_t d = shape.size(); d-- > 0;) {
      at += rest % shape[d] * strides[d];
      rest /= shape[d];
    }
    r.push_back(at);
  }
  return r;
}

}  // namespace

TEST_CASE("names and numbers of pointwise functions") {
  CHECK(find_fn("cast") == fuse::kCastFn);
  for (int i = 0; i < fuse::fn_count(); ++i)
    CHECK(find_fn(fuse::fn_name(static_cast<fuse::FnId>(i))) == i);
  CHECK_THROWS(find_fn("no such function"));
}

TEST_CASE("a program as text") {
  Program p;
  single(p, "add", {Dtype::float32, Dtype::float32}, Dtype::float32, Dtype::float32);
  CHECK(p.to_string() ==
        "%0 = input float32\n%1 = input float32\n%2 = add %0, %1 : float32\nstore %2\n");
}

TEST_CASE("one function over every kind of layout") {
  Program p;
  single(p, "add", {Dtype::float32, Dtype::float32}, Dtype::float32, Dtype::float32);
  struct Case {
    Shape shape;
    Strides a, b;
    int64_t a_offset = 0, b_offset = 0;
  };
  const Case cases[] = {
      {{}, {}, {}},
      {{0, 3}, {3, 1}, {0, 1}},
      {{4}, {1}, {1}},
      {{5}, {0}, {1}},
      {{7}, {2}, {-1}, 0, 6},
      {{3000}, {1}, {0}},
      {{100, 30}, {30, 1}, {0, 1}},      // bias
      {{100, 30}, {30, 1}, {1, 0}},      // column
      {{2000, 3}, {3, 1}, {0, 1}},       // small bias
      {{50, 64}, {1, 50}, {64, 1}},      // transposed
      {{300, 211}, {1, 300}, {211, 1}},  // transposed, several chunks
      {{17, 5, 9}, {45, 1, 5}, {9, 0, 1}},
      {{2, 60, 70, 8}, {33600, 70, 1, 4200}, {0, 0, 0, 1}},
      {{1000, 100}, {100, 1}, {-100, -1}, 0, 99999},
      {{40000, 1}, {1, 7}, {1, 0}},
      {{400, 400}, {400, 1}, {1, 400}},
      {{3, 70000}, {70000, 1}, {1, 3}},
      {{2, 3, 4, 5, 6, 7}, {2520, 840, 210, 42, 7, 1}, {1, 2, 6, 24, 120, 720}},
  };
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    for (const Case& c : cases) {
      const int64_t n = element_count(c.shape);
      auto a =
          filled<float>(100000 + n * 3, [](int64_t i) { return static_cast<float>(i % 1001); });
      auto b = filled<float>(100000 + n * 3,
                             [](int64_t i) { return static_cast<float>(i % 777) * 0.5f; });
      std::vector<float> out(static_cast<size_t>(n) + 16, -1.f);
      run(p, c.shape, {{a.data() + c.a_offset, c.a}, {b.data() + c.b_offset, c.b}}, {out.data()});
      auto oa = offsets(c.shape, c.a), ob = offsets(c.shape, c.b);
      bool right = true;
      for (int64_t i = 0; i < n; ++i)
        right &= out[i] == a[c.a_offset + oa[i]] + b[c.b_offset + ob[i]];
      CHECK_MESSAGE(right, "shape ", c.shape.size(), "-d of ", n, " elements");
      for (int i = 0; i < 16; ++i) CHECK(out[n + i] == -1.f);
    }
  }
}

TEST_CASE("half operands load as float32 and results round to nearest") {
  for (Dtype t : {Dtype::float16, Dtype::bfloat16}) {
    Program p;
    single(p, "multiply", {t, t}, Dtype::float32, t);
    for (int64_t n : {1, 5, 100, 5000}) {
      visit_dtype(t, [&]<class T>(TypeTag<T>) {
        if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
          auto a = filled<T>(n, [](int64_t i) { return T(static_cast<float>(i) * 0.37f - 20); });
          auto b = filled<T>(n, [](int64_t i) { return T(1.f / static_cast<float>(i + 1)); });
          std::vector<T> out(static_cast<size_t>(n));
          for (bool broadcast : {false, true}) {
            run(p, {n}, {{a.data(), {1}}, {b.data(), {broadcast ? 0 : 1}}}, {out.data()});
            bool right = true;
            for (int64_t i = 0; i < n; ++i)
              right &= out[i].bits ==
                       T(static_cast<float>(a[i]) * static_cast<float>(b[broadcast ? 0 : i])).bits;
            CHECK(right);
          }
        }
      });
    }
  }
}

TEST_CASE("all halves convert as array/dtype.h says") {
  for (Dtype t : {Dtype::float16, Dtype::bfloat16}) {
    visit_dtype(t, [&]<class T>(TypeTag<T>) {
      if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
        Program up, down;
        single(up, "cast", {t}, Dtype::float32, Dtype::float32);
        single(down, "cast", {Dtype::float32}, Dtype::float32, t);
        auto all = filled<T>(65536, [](int64_t i) {
          T h;
          h.bits = static_cast<uint16_t>(i);
          return h;
        });
        std::vector<float> wide(65536);
        run(up, {65536}, {{all.data(), {1}}}, {wide.data()});
        bool right = true;
        for (int i = 0; i < 65536; ++i) {
          float want = static_cast<float>(all[i]);
          right &= std::memcmp(&want, &wide[i], 4) == 0;
        }
        CHECK(right);
        std::mt19937 rng(1);
        auto x = filled<float>(300000, [&](int64_t i) {
          uint32_t u =
              i % 2 ? static_cast<uint32_t>(rng())
                    : (0x33000000u + static_cast<uint32_t>(i) * 997u) ^ (i % 4 ? 0x80000000u : 0);
          float f;
          std::memcpy(&f, &u, 4);
          return f;
        });
        std::vector<T> narrow(x.size());
        run(down, {static_cast<int64_t>(x.size())}, {{x.data(), {1}}}, {narrow.data()});
        right = true;
        for (size_t i = 0; i < x.size(); ++i) right &= narrow[i].bits == T(x[i]).bits;
        CHECK(right);
      }
    });
  }
}

namespace {

template <class T>
double as_double(T v) {
  if constexpr (std::is_same_v<T, complex64_t> || std::is_same_v<T, complex128_t>)
    return static_cast<double>(v.real());
  else if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
    return static_cast<double>(static_cast<float>(v));
  else
    return static_cast<double>(v);
}
template <class T>
T from_double(double v) {
  if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
    return T(static_cast<float>(v));
  else if constexpr (std::is_same_v<T, bool>)
    return v != 0;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<int64_t>(v));
  else
    return T(v);
}

}  // namespace

TEST_CASE("casts between all pairs of dtypes") {
  for (int f = 0; f < kDtypeCount; ++f)
    for (int t = 0; t < kDtypeCount; ++t) {
      const Dtype from = static_cast<Dtype>(f), to = static_cast<Dtype>(t);
      visit_dtype(from, [&]<class S>(TypeTag<S>) {
        visit_dtype(to, [&]<class T>(TypeTag<T>) {
          Program p;
          single(p, "cast", {from}, compute_dtype(from), to);
          const double values[] = {0, 1, 2, 100, 127, -1, -100, 255, 1.5, -1.5};
          S src[10];
          T dst[10];
          for (int i = 0; i < 10; ++i) src[i] = from_double<S>(values[i]);
          run(p, {10}, {{src, {1}}}, {dst});
          for (int i = 0; i < 10; ++i) {
            const double x = as_double(src[i]);
            T want = from_double<T>(x);
            if constexpr (std::is_integral_v<S> && std::is_integral_v<T>)
              want = static_cast<T>(src[i]);
            INFO(std::string(name_of(from)), " to ", std::string(name_of(to)), " of ", x);
            CHECK(as_double(dst[i]) == as_double(want));
          }
        });
      });
    }
  Program p;
  single(p, "cast", {Dtype::float32}, Dtype::float32, Dtype::int32);
  std::vector<float> x = {NAN, INFINITY, -INFINITY, 1e10f, 3e9f, -3e9f, 1e20f, -0.9f};
  for (int64_t n : {8, 80}) {
    auto src = filled<float>(n, [&](int64_t i) { return x[i % 8]; });
    std::vector<int32_t> y(static_cast<size_t>(n));
    run(p, {n}, {{src.data(), {1}}}, {y.data()});
    const int32_t want[] = {0, 0, 0, 1410065408, -1294967296, 1294967296, 0, 0};
    for (int64_t i = 0; i < n; ++i) CHECK(y[i] == want[i % 8]);
  }
}

namespace {

template <class T>
void check_integers() {
  const Dtype t = dtype_of<T>;
  using L = std::numeric_limits<T>;
  std::vector<T> a, b;
  const T special[] = {0,
                       1,
                       2,
                       3,
                       7,
                       L::max(),
                       L::min(),
                       static_cast<T>(L::max() - 1),
                       static_cast<T>(-1),
                       static_cast<T>(-2),
                       static_cast<T>(-7),
                       100};
  for (T x : special)
    for (T y : special) a.push_back(x), b.push_back(y);
  const int64_t n = static_cast<int64_t>(a.size());
  std::vector<T> r(a.size());
  auto check = [&](const char* fn, auto want) {
    Program p;
    single(p, fn, {t, t}, t, t);
    run(p, {n}, {{a.data(), {1}}, {b.data(), {1}}}, {r.data()});
    for (int64_t i = 0; i < n; ++i) {
      const T w = want(a[i], b[i]);
      INFO(std::string(fn), " of ", std::string(name_of(t)), " ", +a[i], ", ", +b[i]);
      CHECK(+r[i] == +w);
    }
  };
  using Wide = __int128;
  auto cut = [](Wide w) { return static_cast<T>(w); };
  auto floor_div = [](Wide x, Wide y) -> Wide {
    if (y == 0) return 0;
    Wide q = x / y;
    return x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q;
  };
  check("add", [&](T x, T y) { return cut(Wide(x) + y); });
  check("subtract", [&](T x, T y) { return cut(Wide(x) - y); });
  check("multiply", [&](T x, T y) {
    return static_cast<T>(static_cast<unsigned __int128>(x) * static_cast<unsigned __int128>(y));
  });
  check("floor_divide", [&](T x, T y) { return cut(floor_div(x, y)); });
  check("remainder", [&](T x, T y) { return y == 0 ? x : cut(Wide(x) - floor_div(x, y) * y); });
  check("fmod", [&](T x, T y) { return y == 0 ? x : cut(Wide(x) % y); });
  check("maximum", [](T x, T y) { return x > y ? x : y; });
  check("minimum", [](T x, T y) { return x < y ? x : y; });
  check("bitwise_and", [](T x, T y) { return static_cast<T>(x & y); });
  check("bitwise_or", [](T x, T y) { return static_cast<T>(x | y); });
  check("bitwise_xor", [](T x, T y) { return static_cast<T>(x ^ y); });
  check("left_shift", [](T x, T y) {
    const int c = static_cast<int>(y) & (sizeof(T) == 8 ? 63 : 31);
    return static_cast<T>(static_cast<uint64_t>(x) << c);
  });
  check("right_shift", [](T x, T y) {
    const int c = static_cast<int>(y) & (sizeof(T) == 8 ? 63 : 31);
    return static_cast<T>(
        static_cast<std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>(x) >> c);
  });
  check("power", [](T x, T y) {
    if (y < 0) return T(0);
    uint64_t base = static_cast<uint64_t>(x), result = 1;
    for (uint64_t e = static_cast<uint64_t>(y); e; e >>= 1, base *= base)
      if (e & 1) result *= base;
    return static_cast<T>(result);
  });
  check("abs", [](T x, T) { return x < 0 ? static_cast<T>(0 - static_cast<uint64_t>(x)) : x; });
  check("negative", [](T x, T) { return static_cast<T>(0 - static_cast<uint64_t>(x)); });
  check("sign", [](T x, T) { return static_cast<T>(x > 0 ? 1 : x < 0 ? -1 : 0); });
  check("square",
        [](T x, T) { return static_cast<T>(static_cast<uint64_t>(x) * static_cast<uint64_t>(x)); });
  check("bitwise_invert", [](T x, T) { return static_cast<T>(~x); });
  auto compare = [&](const char* fn, auto want) {
    Program p;
    single(p, fn, {t, t}, t, Dtype::bool_);
    std::vector<uint8_t> m(a.size());
    run(p, {n}, {{a.data(), {1}}, {b.data(), {1}}}, {m.data()});
    for (int64_t i = 0; i < n; ++i)
      CHECK_MESSAGE(m[i] == static_cast<uint8_t>(want(a[i], b[i])), std::string(fn), " of ",
                    std::string(name_of(t)));
  };
  compare("less", [](T x, T y) { return x < y; });
  compare("greater_equal", [](T x, T y) { return x >= y; });
  compare("equal", [](T x, T y) { return x == y; });
  compare("not_equal", [](T x, T y) { return x != y; });
  compare("logical_and", [](T x, T y) { return x && y; });
  compare("logical_xor", [](T x, T y) { return !x != !y; });
}

}  // namespace

TEST_CASE("integers divide as in Python, wrap, and nothing traps") {
  check_integers<int8_t>();
  check_integers<int16_t>();
  check_integers<int32_t>();
  check_integers<int64_t>();
  check_integers<uint8_t>();
  check_integers<uint16_t>();
  check_integers<uint32_t>();
  check_integers<uint64_t>();
}

TEST_CASE("comparisons, where and nan") {
  const int64_t n = 1003;
  std::mt19937 rng(5);
  auto a =
      filled<float>(n, [&](int64_t i) { return i % 7 == 0 ? NAN : static_cast<float>(rng() % 5); });
  auto b = filled<float>(
      n, [&](int64_t i) { return i % 11 == 0 ? NAN : static_cast<float>(rng() % 5); });
  std::vector<uint8_t> m(n);
  auto check = [&](const char* fn, auto want) {
    Program p;
    single(p, fn, {Dtype::float32, Dtype::float32}, Dtype::float32, Dtype::bool_);
    run(p, {n}, {{a.data(), {1}}, {b.data(), {1}}}, {m.data()});
    for (int64_t i = 0; i < n; ++i) CHECK(m[i] == static_cast<uint8_t>(want(a[i], b[i])));
  };
  check("less", [](float x, float y) { return x < y; });
  check("less_equal", [](float x, float y) { return x <= y; });
  check("greater", [](float x, float y) { return x > y; });
  check("equal", [](float x, float y) { return x == y; });
  check("not_equal", [](float x, float y) { return x != y; });
  check("logical_or", [](float x, float y) { return x != 0 || y != 0; });

  // where(a < b, a, 2) as a chain with a mask in a register
  Program p;
  p.inputs = {Dtype::float32, Dtype::float32};
  p.literals = {Dtype::float32};
  p.instrs = {instr("less", Dtype::float32, Dtype::bool_, {0, 1}),
              instr("where", Dtype::float32, Dtype::float32, {3, 0, 2})};
  p.outputs = {4, 3};
  std::vector<float> r(n);
  run(p, {n}, {{a.data(), {1}}, {b.data(), {1}}}, {r.data(), m.data()}, {literal(2.f)});
  for (int64_t i = 0; i < n; ++i) {
    CHECK(r[i] == (a[i] < b[i] ? a[i] : 2.f));
    CHECK(m[i] == static_cast<uint8_t>(a[i] < b[i]));
  }
}

TEST_CASE("complex arithmetic") {
  const int64_t n = 37;
  std::mt19937 rng(5);
  std::normal_distribution<double> normal;
  auto check = [&]<class C>(C, double tolerance) {
    const Dtype t = dtype_of<C>;
    auto a = filled<C>(n, [&](int64_t) { return C(normal(rng), normal(rng)); });
    auto b = filled<C>(n, [&](int64_t) { return C(normal(rng), normal(rng)); });
    std::vector<C> r(n);
    auto binary = [&](const char* fn, auto want) {
      Program p;
      single(p, fn, {t, t}, t, t);
      run(p, {n}, {{a.data(), {1}}, {b.data(), {1}}}, {r.data()});
      for (int64_t i = 0; i < n; ++i) {
        C w = want(a[i], b[i]);
        INFO(std::string(fn), " ", r[i].real(), "+", r[i].imag(), "j against ", w.real(), "+",
             w.imag(), "j");
        CHECK(std::abs(r[i] - w) <= tolerance * (1 + std::abs(w)));
      }
    };
    auto unary = [&](const char* fn, auto want) {
      Program p;
      single(p, fn, {t}, t, t);
      run(p, {n}, {{a.data(), {1}}}, {r.data()});
      for (int64_t i = 0; i < n; ++i) {
        C w = want(a[i]);
        INFO(std::string(fn), " ", r[i].real(), "+", r[i].imag(), "j against ", w.real(), "+",
             w.imag(), "j");
        CHECK(std::abs(r[i] - w) <= tolerance * (1 + std::abs(w)));
      }
    };
    binary("add", [](C x, C y) { return x + y; });
    binary("multiply", [](C x, C y) { return x * y; });
    binary("divide", [](C x, C y) { return x / y; });
    binary("power", [](C x, C y) { return std::pow(x, y); });
    unary("exp", [](C x) { return std::exp(x); });
    unary("exp2", [](C x) { return std::pow(C(2), x); });
    unary("expm1", [](C x) { return std::exp(x) - C(1); });
    unary("log", [](C x) { return std::log(x); });
    unary("log1p", [](C x) { return std::log(x + C(1)); });
    unary("log10", [](C x) { return std::log10(x); });
    unary("sqrt", [](C x) { return std::sqrt(x); });
    unary("rsqrt", [](C x) { return C(1) / std::sqrt(x); });
    unary("sigmoid", [](C x) { return C(1) / (C(1) + std::exp(-x)); });
    unary("sin", [](C x) { return std::sin(x); });
    unary("tanh", [](C x) { return std::tanh(x); });
    unary("arccos", [](C x) { return std::acos(x); });
    unary("conj", [](C x) { return std::conj(x); });
    unary("sign", [](C x) { return x / std::abs(x); });
  };
  check(complex64_t{}, 4e-6);
  check(complex128_t{}, 1e-13);
}

TEST_CASE("a fused chain equals its steps run one by one, to the bit") {
  // y = x * a + b; t = tanh(0.79 * (y + 0.04 y^3)); out = 0.5 y (1 + t), and y itself
  const Dtype f = Dtype::float32;
  Program fused;
  fused.inputs = {f, f, f};
  fused.literals = {f, f, f, f};
  auto add_instrs = [&](std::vector<Instr>& v) {
    v = {instr("multiply", f, f, {0, 1}),  instr("add", f, f, {7, 2}),
         instr("multiply", f, f, {8, 8}),  instr("multiply", f, f, {9, 8}),
         instr("multiply", f, f, {10, 3}), instr("add", f, f, {11, 8}),
         instr("multiply", f, f, {12, 4}), instr("tanh", f, f, {13}),
         instr("add", f, f, {14, 5}),      instr("multiply", f, f, {8, 6}),
         instr("multiply", f, f, {16, 15})};
  };
  add_instrs(fused.instrs);
  fused.outputs = {17, 8};
  for (int64_t n : {1, 3, 1000, 1024, 1025, 70001}) {
    std::mt19937 rng(9);
    std::normal_distribution<float> normal;
    auto gen = [&](int64_t) { return normal(rng); };
    auto x = filled<float>(n, gen), a = filled<float>(n, gen), b = filled<float>(n, gen);
    std::vector<std::vector<float>> value = {x, a, b};
    const float lits[] = {0.044715f, 0.79788456f, 1.f, 0.5f};
    for (float l : lits) value.push_back(std::vector<float>(static_cast<size_t>(n), l));
    for (const Instr& s : fused.instrs) {
      Program one;
      one.inputs.assign(s.n_src, f);
      Instr step = s;
      for (int i = 0; i < s.n_src; ++i) step.src[i] = static_cast<uint16_t>(i);
      one.instrs = {step};
      one.outputs = {s.n_src};
      std::vector<BoundInput> in;
      for (int i = 0; i < s.n_src; ++i) in.push_back({value[s.src[i]].data(), {1}});
      std::vector<float> r(static_cast<size_t>(n));
      run(one, {n}, in, {r.data()});
      value.push_back(r);
    }
    std::vector<float> out(static_cast<size_t>(n)), y(static_cast<size_t>(n));
    std::vector<LiteralValue> literals;
    for (float l : lits) literals.push_back(literal(l));
    run(fused, {n}, {{x.data(), {1}}, {a.data(), {1}}, {b.data(), {1}}}, {out.data(), y.data()},
        literals);
    CHECK(std::memcmp(out.data(), value[17].data(), out.size() * 4) == 0);
    CHECK(std::memcmp(y.data(), value[8].data(), y.size() * 4) == 0);
    // Into the memory of dying operands: x becomes y although it is read before, a becomes the
    // result.
    run(fused, {n}, {{x.data(), {1}}, {a.data(), {1}}, {b.data(), {1}}}, {x.data(), a.data()},
        literals);
    CHECK(std::memcmp(x.data(), out.data(), out.size() * 4) == 0);
    CHECK(std::memcmp(a.data(), y.data(), y.size() * 4) == 0);
  }
}

TEST_CASE("an output written early does not destroy an input that is read later") {
  const Dtype f = Dtype::float32;
  Program p;  // u = a + b; v = a * u
  p.inputs = {f, f};
  p.instrs = {instr("add", f, f, {0, 1}), instr("multiply", f, f, {0, 2})};
  p.outputs = {2, 3};
  for (int64_t n : {5, 100000}) {
    auto a = filled<float>(n, [](int64_t i) { return static_cast<float>(i); }),
         b = filled<float>(n, [](int64_t) { return 2.f; });
    run(p, {n}, {{a.data(), {1}}, {b.data(), {1}}}, {a.data(), b.data()});
    bool right = true;
    for (int64_t i = 0; i < n; ++i) {
      const float x = static_cast<float>(i);
      right &= a[i] == x + 2 && b[i] == x * (x + 2);
    }
    CHECK(right);
  }
}

TEST_CASE("literals, inputs and doubled values as outputs; a program without inputs") {
  const Dtype f = Dtype::float32;
  Program p;
  p.inputs = {Dtype::float16};
  p.literals = {f};
  p.instrs = {instr("add", f, f, {0, 1})};
  p.outputs = {2, 2, 0, 1};
  const int64_t n = 2000;
  auto a = filled<float16_t>(n, [](int64_t i) { return float16_t(static_cast<float>(i)); });
  std::vector<float> r(n), r2(n), l(n);
  std::vector<float16_t> same(n);
  run(p, {n}, {{a.data(), {1}}}, {r.data(), r2.data(), same.data(), l.data()}, {literal(3.f)});
  for (int64_t i = 0; i < n; ++i) {
    CHECK(r[i] == static_cast<float>(i) + 3);
    CHECK(r2[i] == r[i]);
    CHECK(same[i].bits == a[i].bits);
    CHECK(l[i] == 3.f);
  }
  Program none;
  none.literals = {f};
  none.outputs = {0};
  run(none, {n}, {}, {l.data()}, {literal(4.f)});
  CHECK(l[n - 1] == 4.f);
}

TEST_CASE("strided copies of all element sizes") {
  struct Case {
    Shape shape;
    Strides dst, src;
    int64_t dst_offset = 0, src_offset = 0;
  };
  const Case cases[] = {
      {{}, {}, {}},
      {{3, 0}, {0, 1}, {0, 1}},
      {{100}, {1}, {-1}, 0, 99},
      {{100}, {-2}, {3}, 198, 0},
      {{40, 50}, {50, 1}, {1, 40}},
      {{403, 517}, {517, 1}, {1, 403}},
      {{403, 517}, {1, 403}, {517, 1}},
      {{300, 200}, {400, 2}, {1, 300}},
      {{8, 3, 20, 30}, {1800, 1, 90, 3}, {1800, 600, 30, 1}},
      {{8, 20, 30, 3}, {1800, 90, 3, 1}, {1800, 30, 1, 600}},
      {{5, 6, 7, 8}, {1, 5, 30, 210}, {336, 56, 8, 1}},
      {{64, 128}, {128, 1}, {0, 1}},
      {{64, 128}, {128, 1}, {1, 0}},
      {{2000, 100}, {128, 1}, {100, 1}},
  };
  auto check = [&]<class T>(T) {
    for (const Case& c : cases) {
      auto od = offsets(c.shape, c.dst), os = offsets(c.shape, c.src);
      std::vector<T> src(300000), dst(300000, T{}), want(300000, T{});
      unsigned char k = 1;
      for (T& v : src)
        std::memset(static_cast<void*>(&v), k = static_cast<unsigned char>(k * 5 + 3), sizeof v);
      for (size_t i = 0; i < od.size(); ++i) want[c.dst_offset + od[i]] = src[c.src_offset + os[i]];
      cpu::copy_strided(dst.data() + c.dst_offset, c.dst, src.data() + c.src_offset, c.src, c.shape,
                        sizeof(T));
      CHECK(std::memcmp(dst.data(), want.data(), dst.size() * sizeof(T)) == 0);
    }
  };
  check(uint8_t{});
  check(uint16_t{});
  check(uint32_t{});
  check(uint64_t{});
  check(std::complex<double>{});
}
