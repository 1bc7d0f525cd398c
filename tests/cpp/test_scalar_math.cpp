// The functions of the scalar language against the C library in higher precision, at every vector
// level of this CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "legato/backends/cpu/loops.h"
#include "legato/fuse/program.h"

namespace {

using namespace legato;
using pointwise::Loop;
using pointwise::loop_table;

std::vector<SimdLevel> levels() {
  std::vector<SimdLevel> r;
  for (SimdLevel l : {SimdLevel::base, SimdLevel::avx2, SimdLevel::avx512})
    if (l <= cpu_info().level) r.push_back(l);
  return r;
}

Loop loop_of(const char* fn, Dtype t, SimdLevel level) {
  return loop_table(level).fn[fuse::find_fn(fn)][static_cast<int>(t)];
}

bool full() {
  const char* e = std::getenv("LEGATO_TEST_FULL");
  return e && std::strcmp(e, "1") == 0;
}

/// Distance of `got` from the exact value in units of the last place of T near it.
template <class T>
double ulps(T got, long double exact) {
  const T want = static_cast<T>(exact);
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  if (std::isinf(want) || std::isinf(got)) {
    if (want == got) return 0;
    // One is infinite: half an ULP beyond the largest number counts as that number's neighbour.
    const T big = std::numeric_limits<T>::max();
    return std::fabs(std::isinf(got) ? want : got) == big ? 1 : 1e30;
  }
  int e;
  std::frexp(std::fabs(static_cast<double>(exact)), &e);
  e = std::max(e, std::numeric_limits<T>::min_exponent);
  const long double unit = std::ldexp(1.0L, e - std::numeric_limits<T>::digits);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - exact) / unit);
}

using Ref = std::function<double(double)>;
struct Unary {
  std::string name;
  Ref ref;
  double limit = 4;  // ULP
};

double ref_digamma(double x) {
  if (x == 0) return std::copysign(INFINITY, -x);
  if (x < 0) {
    if (std::floor(x) == x) return NAN;
    return ref_digamma(1 - x) - M_PI / std::tan(M_PI * (x - std::floor(x)));
  }
  long double s = 0, y = x;
  while (y < 40) {
    s -= 1 / y;
    y += 1;
  }
  long double t = 1 / (y * y);
  return static_cast<double>(s + std::log(y) - 0.5L / y -
                             t * (1 / 12.0L - t * (1 / 120.0L - t * (1 / 252.0L - t / 240.0L))));
}

double ref_erfinv(double x) {
  if (!(std::fabs(x) <= 1)) return NAN;
  if (std::fabs(x) == 1) return std::copysign(INFINITY, x);
  double a = std::fabs(x), lo = 0, hi = 10;
  if (a < 1e-9) return x * 0.886226925452758013649;
  for (int i = 0; i < 200; ++i) {
    double mid = 0.5 * (lo + hi);
    (a < 0.5 ? std::erf(mid) < a : std::erfc(mid) > 1 - a) ? lo = mid : hi = mid;
  }
  return std::copysign(0.5 * (lo + hi), x);
}

double sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

const std::vector<Unary>& unary_functions() {
  static const std::vector<Unary> list = {
      {"exp", [](double x) { return std::exp(x); }},
      {"exp2", [](double x) { return std::exp2(x); }},
      {"expm1", [](double x) { return std::expm1(x); }},
      {"log", [](double x) { return std::log(x); }},
      {"log2", [](double x) { return std::log2(x); }},
      {"log10", [](double x) { return std::log10(x); }},
      {"log1p", [](double x) { return std::log1p(x); }},
      {"sin", [](double x) { return std::sin(x); }},
      {"cos", [](double x) { return std::cos(x); }},
      {"tan", [](double x) { return std::tan(x); }},
      {"arcsin", [](double x) { return std::asin(x); }},
      {"arccos", [](double x) { return std::acos(x); }},
      {"arctan", [](double x) { return std::atan(x); }},
      {"sinh", [](double x) { return std::sinh(x); }},
      {"cosh", [](double x) { return std::cosh(x); }},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"arcsinh", [](double x) { return std::asinh(x); }},
      {"arccosh", [](double x) { return std::acosh(x); }},
      {"arctanh", [](double x) { return std::atanh(x); }},
      {"erf", [](double x) { return std::erf(x); }},
      {"erfc", [](double x) { return std::erfc(x); }},
      {"erfinv", ref_erfinv},
      {"sigmoid", sigmoid},
      {"lgamma", [](double x) { return std::lgamma(x); }},
      {"cbrt", [](double x) { return std::cbrt(x); }},
      {"sqrt", [](double x) { return std::sqrt(x); }, 0.51},
      {"rsqrt", [](double x) { return 1 / std::sqrt(x); }},
      {"reciprocal", [](double x) { return 1 / x; }, 0.51},
      {"square", [](double x) { return x * x; }, 0.51},
      {"negative", [](double x) { return -x; }, 0},
      {"abs", [](double x) { return std::fabs(x); }, 0},
      {"sign", [](double x) { return x > 0   ? 1.0
                                     : x < 0 ? -1.0
                                             : 0.0; }, 0},
      {"floor", [](double x) { return std::floor(x); }, 0},
      {"ceil", [](double x) { return std::ceil(x); }, 0},
      {"trunc", [](double x) { return std::trunc(x); }, 0},
      {"round", [](double x) { return std::nearbyint(x); }, 0},
  };
  return list;
}

/// A set of float32 bit patterns: all of them, or every 4099th and the neighbourhood of special
/// values.
template <class F>
void sweep_float32(F&& f) {
  std::vector<float> x;
  auto flush = [&] {
    f(x);
    x.clear();
  };
  auto add = [&](uint32_t bits) {
    float v;
    std::memcpy(&v, &bits, 4);
    x.push_back(v);
    if (x.size() == 1 << 16) flush();
  };
  for (uint32_t special :
       {0u, 0x00800000u, 0x3f000000u, 0x3f800000u, 0x40000000u, 0x42b00000u, 0x42b17218u,
        0x42cff1b5u, 0x7f7fffffu, 0x7f800000u, 0x3f490fdbu, 0x3fc90fdbu, 0x4788b800u, 0x7fc00000u})
    for (uint32_t d = 0; d < 64; ++d)
      for (uint32_t sign : {0u, 0x80000000u}) add((special - 32 + d) ^ sign);
  const uint32_t step = full() ? 1 : 4099;
  for (uint64_t b = 0; b <= 0xffffffffu; b += step) add(static_cast<uint32_t>(b));
  flush();
}

template <class T>
std::vector<T> run(Loop loop, const std::vector<T>& a) {
  std::vector<T> r(a.size());
  const void* src[3] = {a.data(), a.data(), a.data()};
  loop(r.data(), src, static_cast<int64_t>(a.size()));
  return r;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && !(a[i] != a[i] && b[i] != b[i])) {
      MESSAGE("lane ", i, ": ", a[i], " and ", b[i]);
      return false;
    }
  return true;
}

}  // namespace

TEST_CASE(
    "float32 functions are within 4 ULP over all of float32 and agree to the bit at all levels") {
  for (const Unary& u : unary_functions()) {
    double worst = 0;
    float at = 0, gave = 0;
    bool zero_signs = true;
    std::string disagreement;
    sweep_float32([&](const std::vector<float>& x) {
      std::vector<float> y;
      for (SimdLevel level : levels()) {
        Loop loop = loop_of(u.name.c_str(), Dtype::float32, level);
        REQUIRE(static_cast<bool>(loop));
        std::vector<float> r = run(loop, x);
        if (y.empty())
          y = r;
        else if (!same_bits(y, r))
          disagreement = std::string(name(level));
      }
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = u.ref(static_cast<double>(x[i]));
        const double e = ulps(y[i], want);
        if (e > worst) {
          worst = e;
          at = x[i];
          gave = y[i];
        }
        if (want == 0 && std::signbit(want) != std::signbit(y[i]) && u.name != "sign")
          zero_signs = false;
      }
    });
    INFO(u.name, ": ", worst, " ULP at ", at, ", gave ", gave, " for ",
         u.ref(static_cast<double>(at)));
    CHECK(worst <= u.limit);
    INFO("level ", disagreement);
    CHECK(disagreement.empty());
    CHECK_MESSAGE(zero_signs, "the sign of zero of ", u.name);
    if (std::getenv("LEGATO_TEST_VERBOSE")) MESSAGE(u.name, " ", worst, " ULP at ", at);
  }
}

TEST_CASE("float64 functions are within 4 ULP") {
  std::mt19937_64 rng(7);
  std::vector<double> x = {0.0, -0.0,   1,       -1,    0.5,    -0.5,  INFINITY, -INFINITY,
                           NAN, 5e-324, -5e-324, 1e308, -1e308, 709.7, -745.0};
  std::uniform_real_distribution<double> small(-3, 3), large(-700, 700);
  for (int i = 0; i < 3001; ++i) {
    x.push_back(small(rng));
    x.push_back(large(rng));
    uint64_t bits = rng();
    double v;
    std::memcpy(&v, &bits, 8);
    x.push_back(v);
  }
  for (const Unary& u : unary_functions()) {
    std::vector<double> first;
    for (SimdLevel level : levels()) {
      Loop loop = loop_of(u.name.c_str(), Dtype::float64, level);
      REQUIRE(static_cast<bool>(loop));
      std::vector<double> y = run(loop, x);
      if (first.empty()) first = y;
      CHECK_MESSAGE(same_bits(first, y), u.name, " at level ", name(level));
    }
    double worst = 0, at = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double e = ulps(first[i], u.ref(x[i]));
      if (e > worst) worst = e, at = x[i];
    }
    INFO(u.name, ": ", worst, " ULP at ", at);
    CHECK(worst <= 4);
  }
}

TEST_CASE("functions of two float32 operands are within 4 ULP and agree to the bit at all levels") {
  struct Binary {
    std::string name;
    std::function<double(double, double)> ref;
    double limit = 4;
  };
  auto python_mod = [](double a, double b) {
    double r = std::fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r == 0 ? std::copysign(0.0, b) : r;
  };
  const Binary list[] = {
      {"add", [](double a, double b) { return a + b; }, 0.51},
      {"subtract", [](double a, double b) { return a - b; }, 0.51},
      {"multiply", [](double a, double b) { return a * b; }, 0.51},
      {"divide", [](double a, double b) { return a / b; }, 0.51},
      {"power", [](double a, double b) { return std::pow(a, b); }},
      {"arctan2", [](double a, double b) { return std::atan2(a, b); }},
      {"hypot", [](double a, double b) { return std::hypot(a, b); }},
      {"fmod", [](double a, double b) { return std::fmod(a, b); }, 0},
      {"remainder", python_mod, 0.51},
      {"copysign", [](double a, double b) { return std::copysign(a, b); }, 0},
      {"nextafter",
       [](double a, double b) {
         return std::nextafterf(static_cast<float>(a), static_cast<float>(b));
       },
       0},
      {"maximum", [](double a, double b) { return a != a   ? a
                                                  : b != b ? b
                                                  : a > b  ? a
                                                           : b; }, 0},
      {"minimum", [](double a, double b) { return a != a   ? a
                                                  : b != b ? b
                                                  : a < b  ? a
                                                           : b; }, 0},
      {"logaddexp",
       [](double a, double b) {
         const double high = std::max(a, b);
         if (a == b) return a + std::log(2.0);
         const double rest = std::log1p(std::exp(-std::fabs(a - b)));
         // Not compared where the terms cancel.
         return high < 0 && rest > 0.25 * -high && rest < 2 * -high ? NAN : high + rest;
       },
       64},  // b - a is rounded, which moves e^(b - a) by up to |b - a| / 2 ULP; it matters where a
             // is tiny
  };
  std::mt19937 rng(3);
  std::vector<float> a, b;
  const float special[] = {0.f,       -0.f, 1.f,    -1.f,    2.f,   -2.f,   0.5f, 3.f,  INFINITY,
                           -INFINITY, NAN,  1e-45f, -1e-45f, 3e38f, 1e-38f, 7.f,  -7.f, 0.1f};
  for (float x : special)
    for (float y : special) a.push_back(x), b.push_back(y);
  std::uniform_real_distribution<float> small(-5, 5), positive(0, 50), exponent(-30, 30);
  const int n = full() ? 4000000 : 200001;
  for (int i = 0; i < n; ++i) {
    uint32_t p = static_cast<uint32_t>(rng()), q = static_cast<uint32_t>(rng());
    float x, y;
    std::memcpy(&x, &p, 4);
    std::memcpy(&y, &q, 4);
    a.push_back(x), b.push_back(y);
    a.push_back(small(rng)), b.push_back(small(rng));
    a.push_back(positive(rng)), b.push_back(exponent(rng));
    a.push_back(1 + small(rng) * 1e-3f), b.push_back(exponent(rng) * 1e3f);
    a.push_back(std::round(small(rng))), b.push_back(std::round(exponent(rng)));
  }
  for (const Binary& f : list) {
    std::vector<float> first(a.size()), r(a.size());
    const void* src[3] = {a.data(), b.data(), nullptr};
    for (SimdLevel level : levels()) {
      Loop loop = loop_of(f.name.c_str(), Dtype::float32, level);
      loop(r.data(), src, static_cast<int64_t>(a.size()));
      if (level == SimdLevel::base) first = r;
      CHECK_MESSAGE(same_bits(first, r), f.name, " at level ", name(level));
    }
    double worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double want = f.ref(a[i], b[i]);
      if (f.name == "logaddexp" && std::isnan(want) && !std::isnan(a[i] + b[i])) continue;
      const double e = ulps(first[i], want);
      if (e > worst) worst = e, at = i;
    }
    INFO(f.name, ": ", worst, " ULP at ", a[at], ", ", b[at], ": gave ", first[at], " for ",
         f.ref(a[at], b[at]));
    CHECK(worst <= f.limit);
    if (std::getenv("LEGATO_TEST_VERBOSE"))
      MESSAGE(f.name, " ", worst, " ULP at ", a[at], ", ", b[at]);
  }
}
