// GEMM throughput. Prints one line a case: name, microseconds (fastest call), GFLOP/s.
// usage: bench_gemm [threads [text]]    only cases whose name contains the text
// benchmarks/kernels_against_torch.py runs it beside torch.
#include "legato/backends/cpu/gemm.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "legato/base/thread_pool.h"
#include "timing.h"

namespace {

using legato::Dtype;

const char* only = "";

// nn: both row-major. nt: b is the transpose of a row-major matrix (x w'). tn: a is (weight
// gradients).
void bench(Dtype dtype, const char* layout, int64_t m, int64_t n, int64_t k, int64_t batch = 1) {
  char name[96];
  std::snprintf(name, sizeof name, "%s_%s_%ldx%ldx%ldx%ld", legato::name_of(dtype), layout, batch,
                m, n, k);
  if (std::strstr(name, only) == nullptr) return;
  const size_t size = static_cast<size_t>(legato::size_of(dtype));
  const auto filled = [&](int64_t count) {  // halves of small numbers: no denormals, no overflow
    std::vector<char> bytes(static_cast<size_t>(count) * size);
    for (int64_t i = 0; i < count; ++i) {
      legato::store_scalar(static_cast<double>(i * 7919 % 31 - 15) / 16, dtype,
                           bytes.data() + static_cast<size_t>(i) * size);
    }
    return bytes;
  };
  const auto a = filled(batch * m * k), b = filled(batch * k * n);
  std::vector<char> d(static_cast<size_t>(batch * m * n) * size);
  legato::cpu::Gemm g;
  g.dtype = dtype;
  g.m = m, g.n = n, g.k = k;
  g.a = a.data(), g.b = b.data(), g.d = d.data();
  const bool ta = layout[0] == 't', tb = layout[1] == 't';
  g.a_row = ta ? 1 : k, g.a_col = ta ? m : 1;
  g.b_row = tb ? 1 : n, g.b_col = tb ? k : 1;
  g.d_row = n, g.d_col = 1;
  const int64_t sa = m * k, sb = k * n, sd = m * n;
  g.batch_rank = 1;
  g.batch_sizes = &batch, g.a_batch = &sa, g.b_batch = &sb, g.d_batch = &sd;
  const double t = best_seconds([&] { legato::cpu::gemm(g); }, legato::num_threads());
  std::printf("%s %.2f %.2f\n", name, t * 1e6,
              2e-9 * static_cast<double>(batch * m) * static_cast<double>(n * k) / t);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) legato::set_num_threads(std::atoi(argv[1]));
  if (argc > 2) only = argv[2];
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    for (int64_t n : {32, 64, 128, 256, 512, 1024, 2048}) bench(dtype, "nn", n, n, n);
    for (int64_t n : {64, 128, 512, 1024}) bench(dtype, "nt", n, n, n);
    for (int64_t m : {1, 4, 8, 16, 32, 128}) bench(dtype, "nt", m, 2048, 2048);
    bench(dtype, "nn", 1, 2048, 2048);
    bench(dtype, "nn", 1, 4096, 1024);  // the shapes of benchmarks/rows/matmul.py
    for (int64_t m : {8, 16, 32}) bench(dtype, "nn", m, 1024, 1024);
    bench(dtype, "nn", 256, 1024, 64);
    bench(dtype, "nn", 128, 256, 784);
    bench(dtype, "nn", 64, 64, 64, 64);
  }
  for (Dtype dtype : {Dtype::float32}) {
    bench(dtype, "tn", 512, 512, 512);
    for (int64_t n : {16, 64, 128, 512}) {  // layers of a small network: batch 128
      bench(dtype, "nt", 128, n, 64);
      bench(dtype, "nn", 128, 64, n);
      bench(dtype, "tn", n, 64, 128);
    }
    bench(dtype, "nt", 64, 64, 32, 64);  // attention: scores, 64 heads of 64 positions
    bench(dtype, "nn", 64, 32, 64, 64);  // and values
    bench(dtype, "nn", 8192, 16, 144);
    bench(dtype, "nn", 8192, 64, 64);
  }
  for (Dtype dtype : {Dtype::float64, Dtype::float16, Dtype::complex64, Dtype::int32})
    bench(dtype, "nn", 512, 512, 512);
}
