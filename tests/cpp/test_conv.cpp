#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "legato/backends/cpu/conv.h"
#include "legato/base/thread_pool.h"

using namespace legato;
using cpu::Conv;

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

struct Case {
  const char* what;
  Conv c;
  int64_t pad_high[3];
};

Case conv2d(const char* what, int64_t batch, int64_t h, int64_t w, int64_t ci, int64_t co,
            int64_t kh, int64_t kw, int64_t stride = 1, int64_t pad = 0, int64_t dilation = 1,
            int64_t input_dilation = 1, int64_t groups = 1, bool flip = false) {
  Case made{what, {}, {0, pad, pad}};
  Conv& c = made.c;
  c.batch = batch, c.in_channels = ci, c.out_channels = co, c.groups = groups, c.flip = flip;
  c.in[1] = h, c.in[2] = w, c.kernel[1] = kh, c.kernel[2] = kw;
  for (int i = 1; i < 3; ++i) {
    c.stride[i] = stride, c.pad_low[i] = pad, c.kernel_dilation[i] = dilation,
    c.input_dilation[i] = input_dilation;
  }
  return made;
}

void set_out(Case& k) {
  Conv& c = k.c;
  for (int i = 0; i < 3; ++i) {
    c.out[i] = cpu::conv_out_size(c.in[i], c.kernel[i], c.stride[i], c.pad_low[i], k.pad_high[i],
                                  c.kernel_dilation[i], c.input_dilation[i]);
  }
}

std::vector<Case> cases() {
  std::vector<Case> all = {
      conv2d("3x3 same", 3, 8, 8, 16, 16, 3, 3, 1, 1),
      conv2d("3x3 on 4x4", 5, 4, 4, 32, 17, 3, 3, 1, 1),
      conv2d("3x3 on 2x2", 20, 2, 2, 16, 33, 3, 3, 1, 1),
      conv2d("3x3 on 1x1", 7, 1, 1, 16, 16, 3, 3, 1, 1),
      conv2d("stem", 2, 20, 19, 3, 24, 7, 7, 2, 3),
      conv2d("stem in bands", 2, 110, 13, 3, 20, 7, 7, 2, 3),
      conv2d("few channels, wide padding", 1, 40, 9, 2, 16, 5, 5, 1, 7),
      conv2d("few channels, stride beyond kernel", 2, 13, 12, 4, 16, 2, 2, 3, 0),
      conv2d("one channel", 4, 9, 9, 1, 16, 3, 3, 1, 1),
      conv2d("to one feature", 4, 9, 9, 16, 1, 3, 3, 1, 1),
      conv2d("odd everything", 2, 7, 11, 5, 9, 2, 3, 1, 0),
      conv2d("pointwise", 3, 5, 6, 20, 13, 1, 1),
      conv2d("pointwise, wide", 2, 5, 6, 130, 140, 1, 1),
      conv2d("pointwise, strided", 3, 9, 8, 16, 16, 1, 1, 2),
      conv2d("strided", 2, 13, 12, 16, 20, 3, 3, 2, 1),
      conv2d("stride beyond kernel", 2, 13, 12, 6, 16, 2, 2, 3, 0),
      conv2d("dilated kernel", 2, 12, 11, 16, 16, 3, 3, 1, 2, 2),
      conv2d("dilated input", 2, 5, 6, 16, 16, 3, 3, 1, 1, 1, 2),
      conv2d("dilated input, stride 3, kernel dilation 2", 2, 5, 6, 8, 16, 4, 3, 3, 4, 2, 2),
      conv2d("flip", 2, 6, 6, 16, 16, 3, 3, 1, 1, 1, 1, 1, true),
      conv2d("flip, small", 2, 6, 6, 3, 5, 3, 2, 2, 1, 1, 1, 1, true),
      conv2d("groups", 2, 6, 6, 32, 48, 3, 3, 1, 1, 1, 1, 2),
      conv2d("groups, small", 2, 6, 6, 12, 8, 3, 3, 1, 1, 1, 1, 4),
      conv2d("depthwise", 2, 9, 8, 35, 35, 3, 3, 1, 1, 1, 1, 35),
      conv2d("depthwise, strided, flipped", 2, 9, 8, 24, 24, 3, 3, 2, 1, 1, 1, 24, true),
      conv2d("depthwise, two features each", 2, 6, 6, 8, 16, 3, 3, 1, 1, 1, 1, 8),
      conv2d("padding beyond the kernel", 1, 4, 4, 16, 16, 2, 2, 1, 4),
      conv2d("negative padding", 2, 9, 9, 16, 16, 3, 3, 1, -1),
      conv2d("many blocks of taps", 1, 5, 5, 300, 20, 3, 3, 1, 1),
      conv2d("a large image", 1, 40, 50, 16, 16, 3, 3, 1, 1),
      conv2d("kernel larger than the image", 2, 3, 3, 16, 8, 5, 5, 1, 2),
  };
  Case uneven = conv2d("uneven padding", 2, 6, 7, 16, 16, 3, 2, 2, 0);
  uneven.c.pad_low[1] = 2, uneven.pad_high[1] = -1, uneven.c.pad_low[2] = -1,
  uneven.pad_high[2] = 3;
  all.push_back(uneven);
  Case volume = conv2d("volume", 2, 5, 6, 8, 16, 3, 2, 1, 1);
  volume.c.in[0] = 4, volume.c.kernel[0] = 2, volume.c.stride[0] = 2, volume.c.pad_low[0] = 1,
  volume.pad_high[0] = 1;
  all.push_back(volume);
  Case line = conv2d("sequence", 3, 1, 40, 16, 20, 1, 5, 2, 0);
  line.c.pad_low[2] = 2, line.pad_high[2] = 2;
  all.push_back(line);
  for (auto& k : all) set_out(k);
  return all;
}

template <class T>
double value(T x) {
  if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
    return static_cast<double>(static_cast<float>(x));
  } else {
    return static_cast<double>(x);
  }
}

template <class T>
std::vector<T> random_values(int64_t n) {
  static uint32_t state = 7;
  std::vector<T> x(static_cast<size_t>(n));
  for (auto& v : x) {
    state = state * 1664525u + 1013904223u;
    v = T(static_cast<float>(static_cast<int>(state >> 20) - 2048) / 2048);
  }
  return x;
}

struct Tensors {
  std::vector<double> y, dx, dw, y_size, dx_size,
      dw_size;  // _size: the sums of absolute values, for the error bound
};

// Every product of the definition, once.
template <class T>
Tensors reference(const Conv& c, const std::vector<T>& x, const std::vector<T>& w,
                  const std::vector<T>& dy) {
  Tensors r;
  r.y.resize(dy.size()), r.dx.resize(x.size()), r.dw.resize(w.size());
  r.y_size.resize(dy.size()), r.dx_size.resize(x.size()), r.dw_size.resize(w.size());
  const int64_t cg = c.in_channels / c.groups, fg = c.out_channels / c.groups;
  const int64_t outs = c.out[0] * c.out[1] * c.out[2],
                taps = c.kernel[0] * c.kernel[1] * c.kernel[2];
  for (int64_t n = 0; n < c.batch; ++n) {
    for (int64_t o = 0; o < outs; ++o) {
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t os[3] = {o / c.out[2] / c.out[1], o / c.out[2] % c.out[1], o % c.out[2]};
        const int64_t ts[3] = {t / c.kernel[2] / c.kernel[1], t / c.kernel[2] % c.kernel[1],
                               t % c.kernel[2]};
        int64_t at = n;
        bool inside = true;
        for (int i = 0; i < 3; ++i) {
          const int64_t p = os[i] * c.stride[i] + ts[i] * c.kernel_dilation[i] - c.pad_low[i];
          if (p < 0 || p % c.input_dilation[i] != 0 || p / c.input_dilation[i] >= c.in[i])
            inside = false;
          at = at * c.in[i] + p / c.input_dilation[i];
        }
        if (!inside) continue;
        for (int64_t f = 0; f < c.out_channels; ++f) {
          for (int64_t k = 0; k < cg; ++k) {
            const size_t ix = static_cast<size_t>(at * c.in_channels + f / fg * cg + k);
            const size_t iw =
                static_cast<size_t>((f * taps + (c.flip ? taps - 1 - t : t)) * cg + k);
            const size_t iy = static_cast<size_t>((n * outs + o) * c.out_channels + f);
            const double vx = value(x[ix]), vw = value(w[iw]), vy = value(dy[iy]);
            r.y[iy] += vx * vw, r.y_size[iy] += std::abs(vx * vw);
            r.dx[ix] += vy * vw, r.dx_size[ix] += std::abs(vy * vw);
            r.dw[iw] += vx * vy, r.dw_size[iw] += std::abs(vx * vy);
          }
        }
      }
    }
  }
  return r;
}

template <class T>
int64_t wrong(const std::vector<T>& got, const std::vector<double>& want,
              const std::vector<double>& size, double terms) {
  const double sum_unit = std::is_same_v<T, double> ? 0x1p-53 : 0x1p-24;
  const double unit = std::is_same_v<T, float16_t>    ? 0x1p-11
                      : std::is_same_v<T, bfloat16_t> ? 0x1p-8
                                                      : sum_unit;
  int64_t count = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double bound = (terms + 2) * sum_unit * size[i] + 1.01 * unit * std::abs(want[i]) +
                         (unit == 0x1p-11 ? 6e-8 : 0);
    count += !(std::abs(value(got[i]) - want[i]) <= bound);
  }
  return count;
}

template <class T>
void check_all() {
  for (Case k : cases()) {
    Conv& c = k.c;
    c.dtype = dtype_of<T>;
    const int64_t outs = c.out[0] * c.out[1] * c.out[2],
                  taps = c.kernel[0] * c.kernel[1] * c.kernel[2];
    const auto x = random_values<T>(c.batch * c.in[0] * c.in[1] * c.in[2] * c.in_channels);
    const auto w = random_values<T>(c.out_channels * taps * c.in_channels / c.groups);
    const auto dy = random_values<T>(c.batch * outs * c.out_channels);
    const Tensors want = reference(c, x, w, dy);
    for (SimdLevel level : levels()) {
      const std::string where =
          std::string(k.what) + ", " + name_of(c.dtype) + ", " + std::string(name(level));
      std::vector<T> y(dy.size(), T(9.f)), dx(x.size(), T(9.f)), dw(w.size(), T(9.f));
      cpu::conv_forward(c, x.data(), w.data(), y.data(), level);
      CHECK_MESSAGE(wrong(y, want.y, want.y_size, static_cast<double>(taps * c.in_channels)) == 0,
                    "forward ", where);
      cpu::conv_input_gradient(c, dy.data(), w.data(), dx.data(), level);
      CHECK_MESSAGE(
          wrong(dx, want.dx, want.dx_size, static_cast<double>(taps * c.out_channels)) == 0,
          "input gradient ", where);
      cpu::conv_weight_gradient(c, x.data(), dy.data(), dw.data(), level);
      CHECK_MESSAGE(wrong(dw, want.dw, want.dw_size, static_cast<double>(c.batch * outs)) == 0,
                    "weight gradient ", where);
    }
  }
}

}  // namespace

TEST_CASE("convolution and its gradients, float32") { check_all<float>(); }
TEST_CASE("convolution and its gradients, float64") { check_all<double>(); }
TEST_CASE("convolution and its gradients, float16") { check_all<float16_t>(); }
TEST_CASE("convolution and its gradients, bfloat16") { check_all<bfloat16_t>(); }

TEST_CASE("convolution of nothing writes zeros or nothing") {
  Case empty_batch = conv2d("", 0, 4, 4, 16, 16, 3, 3, 1, 1);
  set_out(empty_batch);
  float w[16 * 9 * 16] = {}, dw[16 * 9 * 16];
  for (auto& v : dw) v = 5;
  cpu::conv_forward(empty_batch.c, nullptr, w, nullptr);
  cpu::conv_weight_gradient(empty_batch.c, nullptr, nullptr, dw);
  double sum = 0;
  for (auto v : dw) sum += std::abs(v);
  CHECK(sum == 0);

  Case no_channels = conv2d("", 1, 4, 4, 0, 3, 3, 3, 1, 1);
  set_out(no_channels);
  float y[48];
  for (auto& v : y) v = 5;
  cpu::conv_forward(no_channels.c, nullptr, nullptr, y);
  sum = 0;
  for (auto v : y) sum += std::abs(v);
  CHECK(sum == 0);

  CHECK(cpu::conv_out_size(4, 5, 1, 0, 0, 1, 1) == 0);
  CHECK(cpu::conv_out_size(4, 3, 2, 1, 1, 1, 1) == 2);
  CHECK(cpu::conv_out_size(4, 3, 1, 0, 0, 2, 3) == 6);
}

TEST_CASE("convolution gives the same bits for any number of threads") {
  for (Case k : {conv2d("", 32, 8, 8, 32, 32, 3, 3, 1, 1), conv2d("", 3, 30, 30, 3, 32, 5, 5, 2, 2),
                 conv2d("", 64, 2, 2, 64, 64, 3, 3, 1, 1),
                 conv2d("", 4, 16, 16, 48, 48, 3, 3, 1, 1, 1, 1, 48)}) {
    set_out(k);
    const Conv& c = k.c;
    const auto x = random_values<float>(c.batch * c.in[1] * c.in[2] * c.in_channels);
    const auto w =
        random_values<float>(c.out_channels * c.kernel[1] * c.kernel[2] * c.in_channels / c.groups);
    const auto dy = random_values<float>(c.batch * c.out[1] * c.out[2] * c.out_channels);
    std::vector<float> first;
    for (int threads : {1, 2, 5}) {
      ScopedThreads scope(threads);
      std::vector<float> all(x.size() + w.size() + dy.size());
      cpu::conv_forward(c, x.data(), w.data(), all.data());
      cpu::conv_input_gradient(c, dy.data(), w.data(), all.data() + dy.size());
      cpu::conv_weight_gradient(c, x.data(), dy.data(), all.data() + dy.size() + x.size());
      if (first.empty()) first = all;
      CHECK(std::memcmp(first.data(), all.data(), all.size() * sizeof(float)) == 0);
    }
  }
}
