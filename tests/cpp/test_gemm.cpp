#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "legato/backends/cpu/gemm.h"
#include "legato/base/thread_pool.h"

using namespace legato;
using cpu::Gemm;

namespace {

struct ScopedThreads {  // restores the number of threads
  explicit ScopedThreads(int n) : before(num_threads()) { set_num_threads(n); }
  ~ScopedThreads() { set_num_threads(before); }
  int before;
};

std::vector<SimdLevel> levels() {
  std::vector<SimdLevel> found;
  for (SimdLevel level : {SimdLevel::base, SimdLevel::avx2, SimdLevel::avx512}) {
    if (level <= cpu_info().level) {
      found.push_back(level);
    } else if (static bool said = false; !said) {
      said = true;
      MESSAGE("not tested, this machine lacks it: ", name(level));
    }
  }
  return found;
}

uint32_t random_state = 1;
uint32_t random_bits() {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}

template <class T>
T random_value() {
  const int i = static_cast<int>(random_bits() % 2001) - 1000;
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(random_bits() * 2654435761u ^ random_bits());
  } else if constexpr (std::is_same_v<T, complex64_t> || std::is_same_v<T, complex128_t>) {
    using R = typename T::value_type;
    return T(static_cast<R>(i) / 1000,
             static_cast<R>(static_cast<int>(random_bits() % 2001) - 1000) / 1000);
  } else {
    return T(static_cast<float>(i) / 1000);
  }
}

// What the reference computes in.
template <class T>
struct Wide {
  using type = double;
};
template <class T>
  requires std::is_integral_v<T>
struct Wide<T> {
  using type = uint64_t;
};
template <class R>
struct Wide<std::complex<R>> {
  using type = std::complex<double>;
};

template <class T>
typename Wide<T>::type widen(T x) {
  if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
    return static_cast<double>(static_cast<float>(x));
  } else {
    return static_cast<typename Wide<T>::type>(x);
  }
}

template <class T>
constexpr double unit() {  // half a unit in the last place of 1, of what is stored
  if constexpr (std::is_same_v<T, float16_t>) return 0x1p-11;
  if constexpr (std::is_same_v<T, bfloat16_t>) return 0x1p-8;
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, complex128_t>) return 0x1p-53;
  return 0x1p-24;
}
template <class T>
constexpr double unit_of_sum() {
  return std::is_same_v<T, double> || std::is_same_v<T, complex128_t> ? 0x1p-53 : 0x1p-24;
}

// A matrix inside a larger buffer of which nothing else may be written.
template <class T>
struct Matrix {
  std::vector<T> data;
  int64_t row, col, offset;
  T& at(int64_t i, int64_t j) { return data[static_cast<size_t>(offset + i * row + j * col)]; }
  T* p() { return data.data() + offset; }
};

enum class Layout { row_major, column_major, padded_rows, reversed, strided };

template <class T>
Matrix<T> matrix(int64_t m, int64_t n, Layout layout) {
  Matrix<T> x;
  x.offset = 3;
  switch (layout) {
    case Layout::row_major:
      x.row = n;
      x.col = 1;
      break;
    case Layout::column_major:
      x.row = 1;
      x.col = m;
      break;
    case Layout::padded_rows:
      x.row = n + 5;
      x.col = 1;
      break;
    case Layout::reversed:
      x.row = -n;
      x.col = -1;
      x.offset += m * n;
      break;
    case Layout::strided:
      x.row = 2 * n + 1;
      x.col = 2;
      break;
  }
  x.data.resize(static_cast<size_t>((m + 1) * (2 * n + 6) + 16));
  for (auto& v : x.data) v = random_value<T>();
  return x;
}

struct Shape {
  int64_t m, n, k;
};

template <class T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Runs one product and returns the number of wrong elements, those outside d included.
template <class T>
int64_t wrong_elements(Shape s, Layout la, Layout lb, Layout ld, double alpha, double beta,
                       SimdLevel level) {
  using W = typename Wide<T>::type;
  auto a = matrix<T>(s.m, s.k, la), b = matrix<T>(s.k, s.n, lb), d = matrix<T>(s.m, s.n, ld);
  auto e = matrix<T>(s.m, s.n, Layout::padded_rows);
  if (beta == 0) {  // must not be read
    for (auto& v : d.data) std::memset(static_cast<void*>(&v), 0xff, sizeof v);
  }
  const auto before = d;
  Gemm g;
  g.dtype = dtype_of<T>;
  g.m = s.m;
  g.n = s.n;
  g.k = s.k;
  g.a = a.p();
  g.a_row = a.row;
  g.a_col = a.col;
  g.b = b.p();
  g.b_row = b.row;
  g.b_col = b.col;
  g.d = d.p();
  g.d_row = d.row;
  g.d_col = d.col;
  g.e = beta == 0 ? nullptr : e.p();
  g.e_row = e.row;
  g.e_col = e.col;
  g.alpha = alpha;
  g.beta = beta;
  cpu::gemm(g, level);

  int64_t wrong = 0;
  std::vector<char> inside(d.data.size());
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      inside[static_cast<size_t>(d.offset + i * d.row + j * d.col)] = 1;
      W sum{};
      double size = 0;
      for (int64_t k = 0; k < s.k; ++k) {
        const W x = widen(a.at(i, k)), y = widen(b.at(k, j));
        sum += x * y;
        if constexpr (!std::is_integral_v<T>) size += std::abs(x) * std::abs(y);
      }
      if constexpr (std::is_integral_v<T>) {
        W want = static_cast<W>(static_cast<int64_t>(alpha)) * sum;
        if (beta != 0) want += static_cast<W>(static_cast<int64_t>(beta)) * widen(e.at(i, j));
        wrong += d.at(i, j) != static_cast<T>(want);
      } else {
        W want = alpha * sum;
        size *= std::abs(alpha);
        if (beta != 0) {
          want += beta * widen(e.at(i, j));
          size += std::abs(beta * widen(e.at(i, j)));
        }
        // Each of k + 3 roundings is at most a unit of the running sum, which is at most `size`;
        // sqrt(2) for complex.
        const double bound = 1.5 * static_cast<double>(s.k + 3) * unit_of_sum<T>() * size +
                             unit<T>() * std::abs(want) * 1.01;
        wrong += !(std::abs(widen(d.at(i, j)) - want) <= bound + 1e-7 * (unit<T>() == 0x1p-11));
      }
    }
  }
  for (size_t i = 0; i < inside.size(); ++i)
    wrong += !inside[i] && !same(d.data[i], before.data[i]);
  return wrong;
}

const Shape kShapes[] = {{1, 1, 1},     {1, 17, 5},    {17, 1, 33},   {2, 3, 4},    {5, 7, 9},
                         {6, 16, 8},    {7, 17, 31},   {13, 48, 65},  {3, 100, 70}, {64, 64, 64},
                         {65, 33, 129}, {31, 5, 500},  {97, 130, 40}, {4, 4, 1000}, {1, 300, 800},
                         {300, 1, 70},  {2, 200, 390}, {50, 70, 400}};

template <class T>
void check_all(bool every_layout) {
  for (SimdLevel level : levels()) {
    for (Shape s : kShapes) {
      if (!every_layout && s.m * s.n * s.k > 100000)
        continue;  // the blocking is the same for every type
      for (Layout la : {Layout::row_major, Layout::column_major, Layout::padded_rows,
                        Layout::reversed, Layout::strided}) {
        for (Layout lb : {Layout::row_major, Layout::column_major, Layout::padded_rows,
                          Layout::reversed, Layout::strided}) {
          if (!every_layout && la != lb && la != Layout::row_major) continue;
          for (Layout ld : {Layout::row_major, Layout::column_major, Layout::strided}) {
            if (ld != Layout::row_major && (la != lb || s.m * s.n * s.k > 100000)) continue;
            const int64_t wrong = wrong_elements<T>(s, la, lb, ld, 1, 0, level);
            CHECK_MESSAGE(wrong == 0, name_of(dtype_of<T>), " ", name(level), " m=", s.m,
                          " n=", s.n, " k=", s.k, " a=", int(la), " b=", int(lb), " d=", int(ld));
          }
        }
      }
      const double alpha = std::is_integral_v<T> ? 3 : 0.5,
                   beta = std::is_integral_v<T> ? -2 : -1.25;
      CHECK_MESSAGE(wrong_elements<T>(s, Layout::row_major, Layout::row_major, Layout::row_major,
                                      alpha, beta, level) == 0,
                    name_of(dtype_of<T>), " ", name(level), " m=", s.m, " n=", s.n, " k=", s.k,
                    " with alpha and beta");
      CHECK_MESSAGE(wrong_elements<T>(s, Layout::row_major, Layout::column_major, Layout::strided,
                                      1, beta, level) == 0,
                    name_of(dtype_of<T>), " ", name(level), " m=", s.m, " n=", s.n, " k=", s.k,
                    " with beta, strided");
    }
  }
}

Gemm row_major(const float* a, const float* b, float* d, Shape s) {
  Gemm g;
  g.m = s.m;
  g.n = s.n;
  g.k = s.k;
  g.a = a;
  g.a_row = s.k;
  g.a_col = 1;
  g.b = b;
  g.b_row = s.n;
  g.b_col = 1;
  g.d = d;
  g.d_row = s.n;
  g.d_col = 1;
  return g;
}

std::vector<float> random_floats(int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (auto& v : x) v = random_value<float>();
  return x;
}

}  // namespace

TEST_CASE("gemm float32 in all layouts") { check_all<float>(true); }
TEST_CASE("gemm float64") { check_all<double>(false); }
TEST_CASE("gemm float16 sums in float32 and rounds once") { check_all<float16_t>(false); }
TEST_CASE("gemm bfloat16 sums in float32 and rounds once") { check_all<bfloat16_t>(false); }
TEST_CASE("gemm complex") {
  check_all<complex64_t>(false);
  check_all<complex128_t>(false);
}
TEST_CASE("gemm integers wrap around") {
  check_all<int8_t>(false);
  check_all<uint16_t>(false);
  check_all<int32_t>(false);
  check_all<uint32_t>(false);
  check_all<int64_t>(false);
}

TEST_CASE("gemm of larger matrices, with several blocks of every kind") {
  const SimdLevel level = simd_level();
  for (Shape s :
       {Shape{300, 700, 1100}, Shape{1100, 90, 410}, Shape{40, 2100, 800}, Shape{2100, 40, 1030}}) {
    for (Layout l : {Layout::row_major, Layout::column_major}) {
      CHECK(wrong_elements<float>(s, l, Layout::row_major, Layout::row_major, 1, 0, level) == 0);
      CHECK(wrong_elements<float>(s, Layout::row_major, l, Layout::row_major, 1, 1, level) == 0);
      CHECK(wrong_elements<bfloat16_t>(s, l, l, Layout::row_major, 1, 0, level) == 0);
    }
  }
  // Sums of several blocks of k that meet in a stage, for several blocks of rows and columns.
  for (Shape s : {Shape{1100, 60, 1100}, Shape{60, 1100, 1100}}) {
    CHECK(wrong_elements<float>(s, Layout::row_major, Layout::row_major, Layout::column_major, 0.5,
                                -1.25, level) == 0);
  }
  CHECK(wrong_elements<bfloat16_t>({300, 90, 2300}, Layout::row_major, Layout::row_major,
                                   Layout::row_major, 1, 0, level) == 0);
}

TEST_CASE("gemm with nothing to sum or nothing to write") {
  for (SimdLevel level : levels()) {
    CHECK(wrong_elements<float>({3, 300, 0}, Layout::row_major, Layout::row_major,
                                Layout::row_major, 1, 0, level) == 0);
    CHECK(wrong_elements<float>({3, 5, 0}, Layout::row_major, Layout::row_major, Layout::strided, 1,
                                2, level) == 0);
    CHECK(wrong_elements<float>({0, 5, 4}, Layout::row_major, Layout::row_major, Layout::row_major,
                                1, 0, level) == 0);
    CHECK(wrong_elements<float>({5, 0, 4}, Layout::row_major, Layout::row_major, Layout::row_major,
                                1, 0, level) == 0);
    CHECK(wrong_elements<int32_t>({4, 5, 0}, Layout::row_major, Layout::row_major,
                                  Layout::row_major, 1, 0, level) == 0);
  }
}

TEST_CASE("gemm keeps infinities and NaNs where they belong") {
  const float inf = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  for (SimdLevel level : levels()) {
    for (Shape s : {Shape{1, 20, 9}, Shape{5, 20, 9}, Shape{40, 50, 60}, Shape{20, 1, 9}}) {
      for (bool transposed : {false, true}) {
        std::vector<float> a(static_cast<size_t>(s.m * s.k), 1.f),
            b(static_cast<size_t>(s.k * s.n), 1.f);
        std::vector<float> d(static_cast<size_t>(s.m * s.n));
        a[2] = inf;  // row 0
        const int64_t last = s.n - 1;
        b[static_cast<size_t>(transposed ? last * s.k + 1 : s.n + last)] = nan;  // (1, n - 1)
        auto g = row_major(a.data(), b.data(), d.data(), s);
        if (transposed) {
          g.b_row = 1;
          g.b_col = s.k;
        }
        cpu::gemm(g, level);
        int64_t wrong = 0;
        for (int64_t i = 0; i < s.m; ++i) {
          for (int64_t j = 0; j < s.n; ++j) {
            const float v = d[static_cast<size_t>(i * s.n + j)];
            wrong += !(j == last ? std::isnan(v)
                       : i == 0  ? v == inf
                                 : v == static_cast<float>(s.k));
          }
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("gemm batches: folded, broadcast, strided") {
  for (SimdLevel level : levels()) {
    for (Shape s : {Shape{1, 33, 20}, Shape{9, 20, 31}, Shape{40, 64, 50}}) {
      for (int kind = 0; kind < 4; ++kind) {
        const int64_t sizes[2] = {3, 4};
        const auto a = random_floats(12 * s.m * s.k), b = random_floats(12 * s.k * s.n);
        std::vector<float> d(static_cast<size_t>(12 * s.m * s.n));
        // 0: all own; 1: b shared; 2: a shared along the first axis; 3: b shared along the second
        const int64_t mk = s.m * s.k, kn = s.k * s.n, mn = s.m * s.n;
        const int64_t sa[2] = {kind == 2 ? 0 : 4 * mk, mk}, sd[2] = {4 * mn, mn};
        const int64_t sb[2] = {kind == 1 ? 0 : 4 * kn, kind == 1 || kind == 3 ? 0 : kn};
        auto g = row_major(a.data(), b.data(), d.data(), s);
        g.batch_rank = 2;
        g.batch_sizes = sizes;
        g.a_batch = sa;
        g.b_batch = sb;
        g.d_batch = sd;
        cpu::gemm(g, level);
        int64_t wrong = 0;
        for (int64_t p = 0; p < 3; ++p) {
          for (int64_t q = 0; q < 4; ++q) {
            std::vector<float> one(static_cast<size_t>(mn));
            cpu::gemm(row_major(a.data() + p * sa[0] + q * sa[1], b.data() + p * sb[0] + q * sb[1],
                                one.data(), s),
                      level);
            for (int64_t i = 0; i < mn; ++i) {
              wrong += std::abs(one[static_cast<size_t>(i)] -
                                d[static_cast<size_t>(p * sd[0] + q * sd[1] + i)]) > 1e-5f;
            }
          }
        }
        CHECK_MESSAGE(wrong == 0, "kind ", kind, " m=", s.m);
      }
    }
  }
}

TEST_CASE("gemm adds a bias along n and a hook sees finished rows") {
  const Shape s{37, 50, 500};
  const auto a = random_floats(s.m * s.k), b = random_floats(s.k * s.n), bias = random_floats(s.n);
  for (SimdLevel level : levels()) {
    std::vector<float> plain(static_cast<size_t>(s.m * s.n)), d(plain.size());
    cpu::gemm(row_major(a.data(), b.data(), plain.data(), s), level);
    auto g = row_major(a.data(), b.data(), d.data(), s);
    g.beta = 1;
    g.e = bias.data();
    g.e_row = 0;
    g.e_col = 1;
    int64_t scale = 2;
    g.hook.context = &scale;
    g.hook.call = [](void* context, float* v, int64_t i, int64_t j, int64_t n) {
      for (int64_t c = 0; c < n; ++c) {
        v[c] = static_cast<float>(*static_cast<int64_t*>(context)) * v[c] +
               static_cast<float>(100 * i + j + c);
      }
    };
    cpu::gemm(g, level);
    int64_t wrong = 0;
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        const size_t at = static_cast<size_t>(i * s.n + j);
        const float want =
            2 * (plain[at] + bias[static_cast<size_t>(j)]) + static_cast<float>(100 * i + j);
        wrong += std::abs(d[at] - want) > 1e-6f * std::abs(want);
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("gemm gives the same bits for any number of threads") {
  for (Shape s : {Shape{1, 3000, 1000}, Shape{5, 3000, 300}, Shape{130, 250, 1000},
                  Shape{600, 70, 300}, Shape{300, 700, 1100}}) {
    const auto a = random_floats(s.m * s.k), b = random_floats(s.k * s.n);
    for (bool transposed : {false, true}) {
      std::vector<float> first, d(static_cast<size_t>(s.m * s.n));
      for (int threads : {1, 2, 5}) {
        ScopedThreads scope(threads);
        auto g = row_major(a.data(), b.data(), d.data(), s);
        if (transposed) {
          g.b_row = 1;
          g.b_col = s.k;
        }
        cpu::gemm(g);
        if (first.empty()) first = d;
        CHECK(std::memcmp(first.data(), d.data(), d.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("gemm float32 gives the same bits with avx2 and avx512") {
  if (cpu_info().level < SimdLevel::avx512) {
    MESSAGE("skipped, this machine lacks avx512");
    return;
  }
  for (Shape s : {Shape{1, 300, 1000}, Shape{5, 300, 300}, Shape{130, 250, 1000}}) {
    const auto a = random_floats(s.m * s.k), b = random_floats(s.k * s.n);
    std::vector<float> d2(static_cast<size_t>(s.m * s.n)), d5(d2.size());
    cpu::gemm(row_major(a.data(), b.data(), d2.data(), s), SimdLevel::avx2);
    cpu::gemm(row_major(a.data(), b.data(), d5.data(), s), SimdLevel::avx512);
    CHECK(std::memcmp(d2.data(), d5.data(), d2.size() * sizeof(float)) == 0);
  }
}

// The sums themselves, which rounding to bfloat16 would hide.
TEST_CASE("gemm bfloat16 gives the same sums with avx2, avx512 and VDPBF16PS") {
  if (cpu_info().level < SimdLevel::avx512) {
    MESSAGE("skipped, this machine lacks avx512");
    return;
  }
  if (!cpu_info().avx512_bf16) MESSAGE("without VDPBF16PS, which this machine lacks");
  for (Shape s : {Shape{40, 70, 63}, Shape{130, 250, 1001}, Shape{9, 600, 384}, Shape{1, 70, 65},
                  Shape{7, 33, 200}, Shape{70, 1, 31}}) {
    for (Layout la : {Layout::row_major, Layout::column_major, Layout::strided}) {
      for (Layout lb : {Layout::row_major, Layout::column_major, Layout::strided}) {
        const auto a = matrix<bfloat16_t>(s.m, s.k, la), b = matrix<bfloat16_t>(s.k, s.n, lb);
        struct Sums {
          int64_t columns;
          std::vector<float> of[2];
          int at = 0;
        } sums{s.n, {}, 0};
        std::vector<bfloat16_t> d(static_cast<size_t>(s.m * s.n));
        for (SimdLevel level : {SimdLevel::avx2, SimdLevel::avx512}) {
          sums.at = level == SimdLevel::avx512;
          sums.of[sums.at].resize(d.size());
          Gemm g = row_major(nullptr, nullptr, nullptr, s);
          g.dtype = Dtype::bfloat16;
          g.a = a.data.data() + a.offset;
          g.a_row = a.row;
          g.a_col = a.col;
          g.b = b.data.data() + b.offset;
          g.b_row = b.row;
          g.b_col = b.col;
          g.d = d.data();
          g.hook.context = &sums;
          g.hook.call = [](void* context, float* values, int64_t i, int64_t j, int64_t n) {
            auto& to = *static_cast<Sums*>(context);
            std::memcpy(to.of[to.at].data() + i * to.columns + j, values,
                        static_cast<size_t>(n) * sizeof(float));
          };
          cpu::gemm(g, level);
        }
        CHECK_MESSAGE(
            std::memcmp(sums.of[0].data(), sums.of[1].data(), d.size() * sizeof(float)) == 0,
            "m=", s.m, " n=", s.n, " k=", s.k, " a=", int(la), " b=", int(lb));
      }
    }
  }
}
