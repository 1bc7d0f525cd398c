// Functions of halves (Note [Functions of halves]): every half of both types against the C library.
// What a GPU approximates is exact here; the limit leaves room for it. tests/cuda/half_functions.py
// asks a GPU the same.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "legato/array/dtype.h"
#include "legato/fuse/lane_program.h"
#include "legato/ops/pointwise/scalar_half.h"

namespace {

using namespace legato;
using namespace legato::pointwise;

double sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

/// The distance of two halves near x, which may be subnormal.
template <class H>
double unit_at(double x) {
  const bool wide = std::is_same_v<H, bfloat16_t>;
  int e;
  std::frexp(x, &e);
  return std::ldexp(1.0, std::max(e, wide ? -125 : -13) - (wide ? 8 : 11));
}

/// The largest error before rounding, in units of the result's last place.
template <class F, class Form, class H>
double worst(double (*exact)(double)) {
  double most = 0;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float x = static_cast<float>(std::bit_cast<H>(static_cast<uint16_t>(bits)));
    const float got = Form::apply(Lane<float>(x)).value;
    const double want = exact(static_cast<double>(x));
    CAPTURE(x);
    CAPTURE(got);
    CAPTURE(want);
    if (std::isnan(want)) {
      REQUIRE(std::isnan(got));
      continue;
    }
    if (want == 0 && x == 0) REQUIRE(std::signbit(got) == std::signbit(want));
    const double rounded = static_cast<double>(static_cast<float>(H(static_cast<float>(want))));
    if (std::isinf(rounded) || std::isinf(got)) {
      REQUIRE(static_cast<float>(H(got)) == static_cast<float>(rounded));
      continue;
    }
    most = std::max(most, std::abs(static_cast<double>(got) - want) / unit_at<H>(want));
  }
  return most;
}

}  // namespace

TEST_CASE("functions of halves are right before they are rounded") {
  auto check = [&]<class F>(F, double (*exact)(double)) {
    CAPTURE(std::string(IdOf<F>::text));
    CHECK(worst<F, Float16Form<F>, float16_t>(exact) < 0x1p-6);
    if constexpr (HalfForm<F>::exists) CHECK(worst<F, HalfForm<F>, bfloat16_t>(exact) < 0x1p-6);
  };
  check(Exp{}, [](double x) { return std::exp(x); });
  check(Exp2{}, [](double x) { return std::exp2(x); });
  check(Expm1{}, [](double x) { return std::expm1(x); });
  check(Log{}, [](double x) { return std::log(x); });
  check(Log2{}, [](double x) { return std::log2(x); });
  check(Log10{}, [](double x) { return std::log10(x); });
  check(Log1p{}, [](double x) { return std::log1p(x); });
  check(Sigmoid{}, sigmoid);
  check(Tanh{}, [](double x) { return std::tanh(x); });
  check(Erf{}, [](double x) { return std::erf(x); });
  check(Rsqrt{}, [](double x) { return 1 / std::sqrt(x); });
  check(Reciprocal{}, [](double x) { return 1 / x; });
}

TEST_CASE("gelu by erf keeps its digits where it is small") {
  double most = 0;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float x = static_cast<float>(std::bit_cast<float16_t>(static_cast<uint16_t>(bits)));
    if (!(x > -4) || !(x < 10)) continue;
    const float erf = HalfForm<Erf>::apply(Lane<float>(x * 0.70710678f)).value;
    const double got = static_cast<double>(x * (1 + erf) * 0.5f),
                 want =
                     0.5 * static_cast<double>(x) * std::erfc(-static_cast<double>(x) * M_SQRT1_2);
    most = std::max(most, std::abs(got - want) / unit_at<float16_t>(want));
  }
  CHECK(most < 1);  // at -4, where 1 + erf has 10 bits of float32 left
}

TEST_CASE("which functions have a form for halves") {
  auto form = [](const char* fn, Dtype t) { return fuse::half_form(fuse::find_fn(fn), t); };
  CHECK(form("exp", Dtype::float16) == Dtype::float16);
  CHECK(form("exp", Dtype::bfloat16) == Dtype::float16);
  CHECK(form("exp", Dtype::float32) == Dtype::float32);
  CHECK(form("divide", Dtype::float16) == Dtype::float16);
  CHECK(form("divide", Dtype::bfloat16) == Dtype::bfloat16);
  CHECK(form("log2", Dtype::float16) == Dtype::float16);
  CHECK(form("log2", Dtype::bfloat16) == Dtype::float32);
  CHECK(form("add", Dtype::float16) == Dtype::float32);
  CHECK(form("equal", Dtype::float16) == Dtype::float32);
  CHECK(fuse::half_form(fuse::kCastFn, Dtype::float16) == Dtype::float32);
}

TEST_CASE("only machines that approximate compute halves otherwise") {
  fuse::Program p;  // sigmoid of a float16, and the same as a part of a longer program
  p.inputs = {Dtype::float16};
  fuse::Instr s;
  s.fn = fuse::find_fn("sigmoid");
  s.dtype = Dtype::float16;
  s.n_src = 1;
  p.instrs = {s};
  p.outputs = {1};
  auto approximates = [&](fuse::LaneMachine machine) {
    return fuse::lower(p, machine)->to_string().find("exp2_near") != std::string::npos;
  };
  CHECK(approximates({.approximates = true}));
  CHECK_FALSE(approximates({}));
  p.instrs[0].dtype = Dtype::float32;
  CHECK_FALSE(approximates({.approximates = true}));
  p.instrs[0].form = Dtype::float16;
  CHECK(approximates({.approximates = true}));
}
