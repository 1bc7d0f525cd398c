// Convolution throughput, forward and both gradients. Prints one line a case: name, microseconds
// (fastest call), GFLOP/s of the definition (products with padding counted). usage: bench_conv
// [threads [text]]    only cases whose name contains the text benchmarks/kernels_against_torch.py
// runs it beside torch.
#include "legato/backends/cpu/conv.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "legato/base/thread_pool.h"
#include "timing.h"

namespace {

using legato::Dtype;

const char* only = "";

void bench(Dtype dtype, int64_t n, int64_t hw, int64_t ci, int64_t co, int64_t k, int64_t s,
           int64_t groups = 1) {
  legato::cpu::Conv c;
  c.dtype = dtype;
  c.batch = n, c.in_channels = ci, c.out_channels = co, c.groups = groups;
  for (int i = 1; i < 3; ++i) {
    c.in[i] = hw, c.kernel[i] = k, c.stride[i] = s, c.pad_low[i] = k / 2;
    c.out[i] = legato::cpu::conv_out_size(hw, k, s, k / 2, k / 2, 1, 1);
  }
  const size_t size = static_cast<size_t>(legato::size_of(dtype));
  const auto filled = [&](int64_t count) {
    std::vector<char> bytes(static_cast<size_t>(count) * size);
    for (int64_t i = 0; i < count; ++i) {
      legato::store_scalar(static_cast<double>(i * 7919 % 31 - 15) / 16, dtype,
                           bytes.data() + static_cast<size_t>(i) * size);
    }
    return bytes;
  };
  auto x = filled(n * hw * hw * ci), w = filled(co * k * k * ci / groups),
       y = filled(n * c.out[1] * c.out[2] * co);
  auto dx = x, dw = w, out = y;
  const double flops = 2e-9 * static_cast<double>(n * c.out[1] * c.out[2]) *
                       static_cast<double>(co * k * k * ci / groups);
  for (const char* what : {"forward", "input", "weight"}) {
    char name[128];
    std::snprintf(name, sizeof name, "%s_%s_n%ld_hw%ld_c%ld-%ld_k%ld_s%ld_p%ld_g%ld",
                  legato::name_of(dtype), what, n, hw, ci, co, k, s, k / 2, groups);
    if (std::strstr(name, only) == nullptr) continue;
    const double t = best_seconds(
        [&] {
          if (what[0] == 'f') legato::cpu::conv_forward(c, x.data(), w.data(), out.data());
          if (what[0] == 'i') legato::cpu::conv_input_gradient(c, y.data(), w.data(), dx.data());
          if (what[0] == 'w') legato::cpu::conv_weight_gradient(c, x.data(), y.data(), dw.data());
        },
        legato::num_threads());
    std::printf("%s %.2f %.2f\n", name, t * 1e6, flops / t);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) legato::set_num_threads(std::atoi(argv[1]));
  if (argc > 2) only = argv[2];
  // A U-Net for 8 x 8 digits, training.
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    bench(dtype, 128, 8, 1, 16, 3, 1);
    bench(dtype, 128, 8, 16, 16, 3, 1);
    bench(dtype, 128, 8, 16, 32, 3, 1);
    bench(dtype, 128, 8, 32, 32, 3, 1);
    bench(dtype, 128, 8, 32, 32, 3, 2);
    bench(dtype, 128, 4, 32, 64, 3, 1);
    bench(dtype, 128, 4, 64, 64, 3, 1);
    bench(dtype, 128, 2, 64, 128, 3, 1);
    bench(dtype, 128, 2, 128, 128, 3, 1);
    bench(dtype, 128, 8, 64, 32, 1, 1);
    bench(dtype, 128, 8, 16, 1, 3, 1);
  }
  // ResNet-50 and a latent-diffusion U-Net.
  bench(Dtype::float32, 1, 224, 3, 64, 7, 2);
  bench(Dtype::float32, 1, 56, 64, 64, 3, 1);
  bench(Dtype::float32, 1, 56, 64, 256, 1, 1);
  bench(Dtype::float32, 1, 28, 128, 128, 3, 1);
  bench(Dtype::float32, 1, 14, 256, 256, 3, 1);
  bench(Dtype::float32, 1, 7, 512, 512, 3, 1);
  bench(Dtype::float32, 8, 14, 256, 256, 3, 1);
  bench(Dtype::float32, 1, 64, 320, 320, 3, 1);
  bench(Dtype::float32, 1, 16, 1280, 1280, 3, 1);
  bench(Dtype::bfloat16, 1, 56, 64, 64, 3, 1);
  // MobileNet's depthwise layers.
  bench(Dtype::float32, 1, 56, 128, 128, 3, 1, 128);
  bench(Dtype::float32, 1, 14, 512, 512, 3, 1, 512);
}
