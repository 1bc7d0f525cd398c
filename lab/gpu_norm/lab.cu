// Measures the row kernels (ops/softmax, ops/norm) with every split of a row over threads, and the
// variants of group norm. Prints microseconds and the share of the speed at which the card copies.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "lab/gpu_norm/group_cluster.cuh"
#include "legato/ops/norm/norm.cu"
#include "legato/ops/softmax/softmax.cu"

using namespace legato;
using namespace legato::cuda;

#define CHECK(x)                                                                    \
  do {                                                                              \
    cudaError_t e = (x);                                                            \
    if (e != cudaSuccess) {                                                         \
      std::printf("%s:%d %s: %s\n", __FILE__, __LINE__, #x, cudaGetErrorString(e)); \
      std::exit(1);                                                                 \
    }                                                                               \
  } while (0)

static const int64_t kMost = 100'000'000;
static char *A, *B, *C, *D;  // device memory of 4 * kMost bytes each

// The median of some launches, each with a cold cache of outputs: buffers are far larger than L2.
static double micros(const std::function<void()>& f, int repeats = 7) {
  cudaEvent_t a, b;
  CHECK(cudaEventCreate(&a));
  CHECK(cudaEventCreate(&b));
  f();
  CHECK(cudaGetLastError());
  std::vector<float> t;
  for (int i = 0; i < repeats; ++i) {
    CHECK(cudaEventRecord(a));
    f();
    CHECK(cudaEventRecord(b));
    CHECK(cudaEventSynchronize(b));
    float ms;
    CHECK(cudaEventElapsedTime(&ms, a, b));
    t.push_back(ms * 1000);
  }
  std::sort(t.begin(), t.end());
  CHECK(cudaEventDestroy(a));
  CHECK(cudaEventDestroy(b));
  return t[t.size() / 2];
}

__global__ void null_kernel() {}
__global__ void copy16(const uint4* a, uint4* b, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) b[i] = a[i];
}
__global__ void fill(void* p, int64_t n, int bytes) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    uint32_t h = static_cast<uint32_t>(i) * 2654435761u;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    const float v = (static_cast<float>(h >> 8) / 16777216.0f - 0.5f) * 6 + 1;
    if (bytes == 2)
      static_cast<f16*>(p)[i] = to_f16(v);
    else
      static_cast<float*>(p)[i] = v;
  }
}

static double copy_speed;  // bytes a microsecond

template <class P>
struct Variant {
  const char* name;
  void (*kernel)(P);
  int wide, k, most;
};
#define V2(n, w, k, e, most) {#n "_w" #w "_k" #k "_" #e, n##_w##w##_k##k##_##e, w, k, most}
#define V_(n, w, k, e, most) V2(n, w, k, e, most)

template <class P>
static void sweep(const char* title, std::vector<Variant<P>> variants, int bytes, int arrays,
                  bool sums) {
  std::printf("\n%s\n", title);
  for (int n : {64, 128, 320, 640, 768, 1001, 1280, 2048, 4096, 8192, 16384, 32768}) {
    const int64_t rows = kMost / n;
    const double least = static_cast<double>(arrays) * rows * n * bytes / copy_speed;
    struct R {
      double t;
      std::string text;
    };
    std::vector<R> results;
    for (auto& v : variants) {
      const bool odd = std::string(v.name).find("odd") != std::string::npos;
      if (odd != (v.wide > 1 && n % v.wide != 0)) continue;
      if (v.wide == 1 && n % (16 / bytes) == 0 && n != 1280) continue;
      for (int group = 4; group <= 1024; group *= 2) {
        if (int64_t{group} * v.wide * v.k < n) continue;
        if (group > 4 && int64_t{group} / 2 * v.wide * v.k >= n) continue;
        for (int block : {128, 256}) {
          const int threads = std::max(block, group);
          if (block == 256 && group >= 256) continue;
          if (threads > v.most) continue;
          P p{};
          p.x = A;
          p.g = B;
          p.y = C;
          p.rows = rows;
          p.n = n;
          p.group = group;
          const int per = threads / group;
          int64_t blocks = (rows + per - 1) / per;
          if constexpr (std::is_same_v<P, RowNormParams>) {
            p.weight = D;
            p.eps = 1e-5;
            p.bias = D;
            if (sums) {
              p.sums = D + (1 << 20);
              int at_once = 0;
              CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&at_once, v.kernel, threads, 0));
              for (int times : {1, 2}) {
                int64_t b = std::min<int64_t>(blocks, int64_t{132} * at_once * times);
                const double t =
                    micros([&] { v.kernel<<<static_cast<unsigned>(b), threads>>>(p); });
                char s[96];
                std::snprintf(s, sizeof s, "w%d k%d group %d block %d grid x%d", v.wide, v.k, group,
                              threads, times);
                results.push_back({t, s});
              }
              continue;
            }
          }
          const double t = micros([&] { v.kernel<<<static_cast<unsigned>(blocks), threads>>>(p); });
          char s[96];
          std::snprintf(s, sizeof s, "w%d k%d group %d block %d", v.wide, v.k, group, threads);
          results.push_back({t, s});
        }
      }
    }
    std::sort(results.begin(), results.end(), [](auto& a, auto& b) { return a.t < b.t; });
    std::printf("n %5d |", n);
    for (size_t i = 0; i < results.size() && i < 4; ++i)
      std::printf(" %.0f us %.0f%% (%s) |", results[i].t, 100 * least / results[i].t,
                  results[i].text.c_str());
    if (results.size() > 6)
      std::printf(" worst %.0f%% (%s)", 100 * least / results.back().t,
                  results.back().text.c_str());
    std::printf("\n");
  }
}

// --- group norm

static void group(int samples, int positions, int channels, int groups) {
  const int64_t n = int64_t{samples} * positions * channels;
  const double least = 4.0 * n / copy_speed;
  std::printf("\ngroup norm + silu f16 %dx%dx%d, %d groups: at copy speed %.1f us\n", samples,
              positions, channels, groups, least);
  std::vector<uint16_t> hx(n), hy(n), hw(channels);
  CHECK(cudaMemcpy(hx.data(), A, n * 2, cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(hw.data(), D, channels * 2, cudaMemcpyDeviceToHost));
  auto f = [](uint16_t h) {
    _Float16 v;
    std::memcpy(&v, &h, 2);
    return static_cast<double>(v);
  };
  auto check = [&](const char* what) {
    CHECK(cudaMemcpy(hy.data(), C, n * 2, cudaMemcpyDeviceToHost));
    const int gc = channels / groups;
    double worst = 0;
    for (int s : {0, samples - 1})
      for (int g : {0, 1, groups - 1}) {
        double sum = 0, sq = 0;
        const uint16_t* x = hx.data() + int64_t{s} * positions * channels;
        for (int q = 0; q < positions; ++q)
          for (int c = g * gc; c < g * gc + gc; ++c) sum += f(x[int64_t{q} * channels + c]);
        const double mean = sum / positions / gc;
        for (int q = 0; q < positions; ++q)
          for (int c = g * gc; c < g * gc + gc; ++c) {
            double d = f(x[int64_t{q} * channels + c]) - mean;
            sq += d * d;
          }
        const double scale = 1 / std::sqrt(sq / positions / gc + 1e-5);
        for (int q = 0; q < positions; ++q)
          for (int c = g * gc; c < g * gc + gc; ++c) {
            double v = (f(x[int64_t{q} * channels + c]) - mean) * scale * f(hw[c]) + f(hw[c]);
            v = v / (1 + std::exp(-v));
            worst = std::max(
                worst,
                std::fabs(v -
                          f(hy[int64_t{s} * positions * channels + int64_t{q} * channels + c])) /
                    (1e-3 + std::fabs(v)));
          }
      }
    if (worst > 2e-3) std::printf("   WRONG %s: %g\n", what, worst);
  };
  struct Result {
    double t;
    std::string text;
  };
  std::vector<Result> results;
  auto params = [&](int across_most, int threads, int tiles) {
    GroupNormParams p{};
    p.x = A;
    p.weight = D;
    p.bias = D;
    p.y = C;
    p.moments = D + (1 << 20);
    p.samples = samples;
    p.positions = positions;
    p.channels = channels;
    p.groups = groups;
    p.group_channels = channels / groups;
    p.eps = 1e-5;
    p.cuts = 1;
    p.tiles = tiles;
    p.across = channels / 8 / tiles;
    if (channels % (8 * tiles) || (p.across * 8) % p.group_channels || p.across > across_most)
      p.across = 0;
    else
      p.lines = threads / p.across;
    return p;
  };
  struct S {
    int k;
    void (*moments)(GroupNormParams);
    void (*apply)(GroupNormParams);
    void (*silu)(GroupNormParams);
  };
  for (S s : {S{4, group_moments_w8_k4_f16, group_apply_w8_k4_f16, group_apply_silu_w8_k4_f16},
              S{8, moments_k8, apply_k8, silu_k8}})
    for (int most : {160, 256, 320, 512})
      for (int per_sm : {1, 2, 3, 4, 6, 8}) {
        GroupNormParams p = params(most, most, 1);
        if (!p.across) continue;
        int64_t want = std::max<int64_t>(1, int64_t{132} * per_sm / samples);
        p.chunk = static_cast<int>((positions + want - 1) / want);
        p.chunk = (p.chunk + p.lines - 1) / p.lines * p.lines;
        p.chunks = (positions + p.chunk - 1) / p.chunk;
        const int threads = (p.across * p.lines + 31) / 32 * 32;
        const unsigned blocks = static_cast<unsigned>(samples * p.chunks * p.tiles);
        CHECK(cudaMemset(C, 0, n * 2));
        const double both = micros(
            [&] {
              s.moments<<<blocks, threads>>>(p);
              s.silu<<<blocks, threads>>>(p);
            },
            15);
        check("split");
        const double m = micros([&] { s.moments<<<blocks, threads>>>(p); }, 9);
        const double plain = micros(
            [&] {
              s.moments<<<blocks, threads>>>(p);
              s.apply<<<blocks, threads>>>(p);
            },
            9);
        char text[200];
        std::snprintf(text, sizeof text,
                      "split k%d threads %d (%d lines) blocks %u chunk %d: %.1f us (%.0f%%), "
                      "moments alone %.1f, without silu %.1f",
                      s.k, threads, p.lines, blocks, p.chunk, both, 100 * least / both, m, plain);
        results.push_back({both, text});
      }
  for (int ranks : {1, 2, 4, 8, 16})
    for (int tiles : {1, 2, 4, 5, 8, 10, 16, 20})
      for (int k : {8, 10, 16}) {
        auto kernel = k == 8 ? cluster_k8 : k == 10 ? cluster_k10 : cluster_k16;
        GroupNormParams p = params(512, 512, tiles);
        if (!p.across) continue;
        p.chunks = ranks;
        p.chunk = (positions + ranks - 1) / ranks;
        p.lines = (p.chunk + k - 1) / k;
        const int threads = (p.across * p.lines + 31) / 32 * 32;
        if (threads > 512 || threads < 64) continue;
        CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
        cudaLaunchConfig_t config{};
        config.gridDim = dim3(static_cast<unsigned>(samples * tiles * ranks));
        config.blockDim = dim3(threads);
        cudaLaunchAttribute attr{};
        attr.id = cudaLaunchAttributeClusterDimension;
        attr.val.clusterDim.x = ranks;
        attr.val.clusterDim.y = 1;
        attr.val.clusterDim.z = 1;
        config.attrs = &attr;
        config.numAttrs = 1;
        CHECK(cudaMemset(C, 0, n * 2));
        const double t = micros([&] { CHECK(cudaLaunchKernelEx(&config, kernel, p)); }, 15);
        check("cluster");
        char text[200];
        std::snprintf(text, sizeof text,
                      "cluster of %d, tiles %d, k %d, threads %d, blocks %u: %.1f us (%.0f%%)",
                      ranks, tiles, k, threads, config.gridDim.x, t, 100 * least / t);
        results.push_back({t, text});
      }
  std::sort(results.begin(), results.end(), [](auto& a, auto& b) { return a.t < b.t; });
  int split = 0, cluster = 0;
  for (auto& r : results)
    if ((r.text[0] == 's' ? split : cluster)++ < 8) std::printf("  %s\n", r.text.c_str());
}

int main() {
  CHECK(cudaMalloc(&A, 4 * kMost + 65536));
  CHECK(cudaMalloc(&B, 4 * kMost + 65536));
  CHECK(cudaMalloc(&C, 4 * kMost + 65536));
  CHECK(cudaMalloc(&D, 256 << 20));
  const unsigned copies = static_cast<unsigned>(kMost / 4 / 256 + 1);
  const double t = micros([&] { copy16<<<copies, 256>>>((uint4*)A, (uint4*)C, kMost / 4); }, 15);
  copy_speed = 8.0 * kMost / t;
  const double t2 =
      micros([&] { CHECK(cudaMemcpyAsync(C, A, 4 * kMost, cudaMemcpyDeviceToDevice)); }, 15);
  copy_speed = std::max(copy_speed, 8.0 * kMost / t2);
  cudaDeviceProp prop;
  CHECK(cudaGetDeviceProperties(&prop, 0));
  std::printf("%s: copy 1e8 f32 own %.1f us, cudaMemcpy %.1f us: %.0f GB/s\n", prop.name, t, t2,
              copy_speed / 1e3);

  fill<<<1024, 256>>>(A, kMost, 2);
  fill<<<1024, 256>>>(D, 1 << 16, 2);
  group(16, 4096, 320, 32);
  group(1, 4096, 320, 32);
  group(16, 1024, 640, 32);
  group(1, 1024, 640, 32);
  group(2, 256, 1280, 32);
  null_kernel<<<1, 32>>>();
  std::printf("an empty kernel: %.1f us, two %.1f us\n",
              micros([] { null_kernel<<<1, 32>>>(); }, 15),
              micros(
                  [] {
                    null_kernel<<<1, 32>>>();
                    null_kernel<<<1, 32>>>();
                  },
                  15));
  fill<<<1024, 256>>>(A, kMost, 2);
  fill<<<1024, 256>>>(B, kMost, 2);
#define H(w, k, most) V_(NAME, w, k, f16, most),
#define S(w, k, most) V_(NAME, w, k, f32, most),
#define NAME softmax
  sweep<SoftmaxRowParams>("softmax f16", {LEGATO_SOFTMAX_HALF(H)}, 2, 2, false);
#undef NAME
#define NAME softmax_odd
  sweep<SoftmaxRowParams>("softmax f16, odd rows", {LEGATO_SOFTMAX_ODD(H)}, 2, 2, false);
#undef NAME
#define NAME softmax_vjp
  sweep<SoftmaxRowParams>("softmax_vjp f16", {LEGATO_SOFTMAX_VJP_HALF(H)}, 2, 3, false);
#undef NAME
#define NAME softmax_odd_vjp
  sweep<SoftmaxRowParams>("softmax_vjp f16, odd rows", {LEGATO_SOFTMAX_VJP_ODD(H)}, 2, 3, false);
#undef NAME
#define NAME norm
  sweep<RowNormParams>("layer_norm f16", {LEGATO_NORM_HALF(H)}, 2, 2, false);
#undef NAME
#define NAME norm_odd
  sweep<RowNormParams>("layer_norm f16, odd rows", {LEGATO_NORM_ODD(H)}, 2, 2, false);
#undef NAME
#define NAME norm_vjp
  sweep<RowNormParams>("layer_norm_vjp f16", {LEGATO_NORM_VJP_HALF(H)}, 2, 3, true);
#undef NAME
  for (void* p : {A, B}) fill<<<1024, 256>>>(p, kMost, 4);
  fill<<<1024, 256>>>(D, 1 << 16, 4);
#define NAME softmax
  sweep<SoftmaxRowParams>("softmax f32", {LEGATO_SOFTMAX_SINGLE(S)}, 4, 2, false);
#undef NAME
#define NAME softmax_vjp
  sweep<SoftmaxRowParams>("softmax_vjp f32", {LEGATO_SOFTMAX_VJP_SINGLE(S)}, 4, 3, false);
#undef NAME
#define NAME norm
  sweep<RowNormParams>("layer_norm f32", {LEGATO_NORM_SINGLE(S)}, 4, 2, false);
#undef NAME
#define NAME norm_vjp
  sweep<RowNormParams>("layer_norm_vjp f32", {LEGATO_NORM_VJP_SINGLE(S)}, 4, 3, true);
#undef NAME
  CHECK(cudaDeviceSynchronize());
  return 0;
}
