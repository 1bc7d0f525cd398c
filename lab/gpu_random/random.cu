// Variants of the kernel that fills an array with uniform or normal float32 numbers from threefry.
// nvcc -O3 -std=c++20 -arch=sm_90 -fmad=false -cudart static random.cu -o random && ./random
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

struct Params {
  float* to;
  unsigned k0, k1, one;  // one: 1, unknown to the compiler
  long long half, n;     // n even here
};

__device__ __forceinline__ uint32_t rot(uint32_t x, int n) { return __funnelshift_l(x, x, n); }

// add: 0 plain; 1 by multiply-add with a factor of 1 that the compiler does not know, which is
// another unit of the multiprocessor; 2 that, for the keys as well; 3 as 2, but every other
// addition plain; 4 as 1, but every other addition plain. wide: how many of each four rotations go
// through a 64-bit product
template <int add, int wide>
__device__ __forceinline__ void threefry(const Params& p, uint32_t& x0, uint32_t& x1) {
  const uint32_t keys[3] = {p.k0, p.k1, p.k0 ^ p.k1 ^ 0x1BD11BDAu};
  constexpr int r[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  x0 += keys[0];
  x1 += keys[1];
#pragma unroll
  for (int g = 0; g < 5; ++g) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int n = r[g % 2][k];
      if (add == 1 || add == 2 || (add >= 3 && k % 2))
        asm("mad.lo.u32 %0, %1, %2, %0;" : "+r"(x0) : "r"(x1), "r"(p.one));
      else
        x0 += x1;
      if (k < wide) {
        unsigned long long w;
        asm("mul.wide.u32 %0, %1, %2;" : "=l"(w) : "r"(x1), "r"(p.one << n));
        x1 = (static_cast<uint32_t>(w) | static_cast<uint32_t>(w >> 32)) ^ x0;
      } else {
        x1 = rot(x1, n) ^ x0;
      }
    }
    const uint32_t ka = keys[(g + 1) % 3], kb = keys[(g + 2) % 3] + static_cast<uint32_t>(g + 1);
    if (add == 2 || add == 3) {
      asm("mad.lo.u32 %0, %0, %1, %2;" : "+r"(x0) : "r"(p.one), "r"(ka));
      asm("mad.lo.u32 %0, %0, %1, %2;" : "+r"(x1) : "r"(p.one), "r"(kb));
    } else {
      x0 += ka;
      x1 += kb;
    }
  }
}

struct Bits {
  static __device__ __forceinline__ float of(uint32_t w) { return __uint_as_float(w); }
};
struct Uniform {
  static __device__ __forceinline__ float of(uint32_t w) {
    return fminf(static_cast<float>(w) * 0x1p-32f, 1 - 0x1p-24f);
  }
};

__device__ __forceinline__ float poly_near(float t) {
  float p = 4.04623612e-10f;
  for (float c :
       {-8.74874129e-09f, 1.69627636e-08f, 4.65553967e-07f, -3.42877092e-06f, -4.96032999e-06f,
        0.000218269692f, -0.00125274737f, -0.0041773296f, 0.246640295f, 1.50140941f})
    p = fmaf(p, t, c);
  return p;
}
__device__ __forceinline__ float poly_far(float s) {
  float p = 9.36745928e-05f;
  for (float c : {-0.000281783665f, -3.04070782e-05f, 0.00144997588f, -0.00360837346f,
                  0.00570090488f, -0.00763536105f, 0.00944353268f, 1.00167489f, 2.83297682f})
    p = fmaf(p, s, c);
  return p;
}
struct NormalFast {  // the hardware's logarithm; the tail only where a warp has one
  static __device__ __forceinline__ float of(uint32_t w) {
    const float u = Uniform::of(w);
    constexpr float low = -1 + 0x1p-24f;
    const float x = low + (1.f - low) * u;
    const float v = fmaf(-x, x, 1.f);
    float lg;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(lg) : "f"(v));
    const float q = fmaf(lg, -0.693147182f, -2.5f);
    float p = poly_near(q);
    if (q >= 2.5f) {
      const float a = fabsf(x);
      asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(lg) : "f"((1 - a) * (1 + a)));
      p = poly_far(sqrtf(lg * -0.693147182f) - 3.f);
    }
    return x * p * 1.41421356237f;
  }
};
struct NormalTight {  // shorter polynomial in the base 2 logarithm, the factor sqrt(2) in it
  static __device__ __forceinline__ float of(uint32_t w) {
    const float x = fmaf(fminf(static_cast<float>(w), 0x1.fffffep31f), 0x1p-31f, -1 + 0x1p-24f);
    const float v = fmaf(-x, x, 1.f);
    float lg;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(lg) : "f"(v));
    float p = 4.5573556e-10f;
    for (float c : {1.65513558e-08f, 2.13554685e-07f, 6.15844669e-07f, -1.01189298e-05f,
                    -4.16956755e-05f, 0.00109927834f, 0.00784682203f, -0.227433443f, 1.25331414f})
      p = fmaf(p, lg, c);
    if (lg < -7.25f) {
      const float a = fabsf(x);
      asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(lg) : "f"((1 - a) * (1 + a)));
      float s;
      asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(lg * -0.693147182f));
      p = poly_far(s - 3.f) * 1.41421356237f;
    }
    return x * p;
  }
};
struct NormalLog {  // CUDA's logarithm
  static __device__ __forceinline__ float of(uint32_t w) {
    const float u = Uniform::of(w);
    constexpr float low = -1 + 0x1p-24f;
    const float x = low + (1.f - low) * u, a = fabsf(x);
    const float l = -logf((1 - a) * (1 + a));
    float p = poly_near(l - 2.5f);
    if (l >= 5.f) p = poly_far(sqrtf(l) - 3.f);
    return x * p * 1.41421356237f;
  }
};

template <class F, int add, int wide, int per, int stream>
__global__ void __launch_bounds__(256) fill(const __grid_constant__ Params p) {
  const long long step = (long long)gridDim.x * blockDim.x * per;
  for (long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * per; i < p.half;
       i += step) {
    float a[per], b[per];
#pragma unroll
    for (int j = 0; j < per; ++j) {
      uint32_t x0 = (uint32_t)(i + j), x1 = (uint32_t)(i + j + p.half);
      threefry<add, wide>(p, x0, x1);
      a[j] = F::of(x0);
      b[j] = F::of(x1);
    }
#pragma unroll
    for (int j = 0; j < per; j += 4) {
      float4 va = {a[j], a[j + 1], a[j + 2], a[j + 3]}, vb = {b[j], b[j + 1], b[j + 2], b[j + 3]};
      float4 *ta = (float4*)(p.to + i + j), *tb = (float4*)(p.to + p.half + i + j);
      if (stream) {
        __stcs(ta, va);
        __stcs(tb, vb);
      } else {
        *ta = va;
        *tb = vb;
      }
    }
  }
}

static uint32_t h_rot(uint32_t x, int n) { return x << n | x >> (32 - n); }
static void h_threefry(uint32_t k0, uint32_t k1, uint32_t& x0, uint32_t& x1) {
  const uint32_t keys[3] = {k0, k1, k0 ^ k1 ^ 0x1BD11BDAu};
  constexpr int r[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  x0 += keys[0];
  x1 += keys[1];
  for (int g = 0; g < 5; ++g) {
    for (int k = 0; k < 4; ++k) {
      x0 += x1;
      x1 = h_rot(x1, r[g % 2][k]) ^ x0;
    }
    x0 += keys[(g + 1) % 3];
    x1 += keys[(g + 2) % 3] + g + 1;
  }
}
static double h_erfinv(double x) {  // Newton on erf from a start that is near
  double w = -std::log((1 - x) * (1 + x)), y;
  if (std::fabs(x) < 1e-3) {
    y = x * 0.886226925452758;
  } else {
    const double a = 0.147, t = 2 / (M_PI * a) - w / 2;
    y = std::copysign(std::sqrt(std::sqrt(t * t + w / a) - t), x);
  }
  for (int i = 0; i < 6; ++i) {
    const double e =
        std::fabs(x) > 0.5
            ? (std::copysign(1 - std::fabs(x), x) - std::copysign(std::erfc(std::fabs(y)), x)) * -1
            : std::erf(y) - x;
    y -= (std::fabs(x) > 0.5
              ? -(std::copysign(std::erfc(std::fabs(y)), x) - std::copysign(1 - std::fabs(x), x))
              : e) /
         (1.1283791670955126 * std::exp(-y * y));
  }
  return y;
}

static void run(const char* name, void (*k)(Params), Params p, int blocks, int kind) {
  cudaEvent_t e0, e1;
  cudaEventCreate(&e0);
  cudaEventCreate(&e1);
  std::vector<float> t;
  for (int i = 0; i < 15; ++i) {
    cudaEventRecord(e0);
    k<<<blocks, 256>>>(p);
    cudaEventRecord(e1);
    cudaEventSynchronize(e1);
    float ms;
    cudaEventElapsedTime(&ms, e0, e1);
    t.push_back(ms);
  }
  std::sort(t.begin(), t.end());
  double worst = 0;
  std::vector<float> got(4096);
  for (long long at : {0ll, p.half - 4096, p.half, p.n - 4096}) {
    cudaMemcpy(got.data(), p.to + at, 4096 * 4, cudaMemcpyDeviceToHost);
    for (int j = 0; j < 4096; ++j) {
      const long long w = at + j, i = w % p.half;
      uint32_t x0 = (uint32_t)i, x1 = (uint32_t)(i + p.half);
      h_threefry(p.k0, p.k1, x0, x1);
      const uint32_t word = w < p.half ? x0 : x1;
      const float u = std::fmin((float)word * 0x1p-32f, 1 - 0x1p-24f);
      if (kind == 1) worst = std::max(worst, std::fabs((double)u - got[j]));
      if (kind == 2) {
        constexpr float low = -1 + 0x1p-24f;
        volatile float m = (1.f - low) * u;
        const float x = low + m;
        const double want = std::sqrt(2.0) * h_erfinv(x);
        worst = std::max(worst,
                         std::fabs(got[j] - want) /
                             std::max(1e-30, std::fabs((double)std::nextafterf((float)want, 1e30f) -
                                                       (float)want)));
      }
    }
  }
  printf("%-34s blocks %6d  %7.1f us  worst %g%s  %s\n", name, blocks, t[7] * 1000, worst,
         kind == 2 ? " ulp" : "", cudaGetErrorString(cudaGetLastError()));
}

int main() {
  Params p{nullptr, 0x1234567u, 0x89abcdefu, 1, 50000000, 100000000};
  cudaMalloc(&p.to, p.n * 4);
  cudaDeviceProp d;
  cudaGetDeviceProperties(&d, 0);
  const int sm = d.multiProcessorCount;
#define RUN(kind, F, add, wide, per, blocks) \
  run(#F " add" #add " wide" #wide " per" #per, fill<F, add, wide, per, 0>, p, sm* blocks, kind);
#define ALL(kind, F)       \
  RUN(kind, F, 0, 0, 4, 8) \
  RUN(kind, F, 1, 0, 4, 8) \
  RUN(kind, F, 1, 1, 4, 8) \
  RUN(kind, F, 1, 2, 4, 8) \
  RUN(kind, F, 2, 0, 4, 8) \
  RUN(kind, F, 2, 1, 4, 8) \
  RUN(kind, F, 3, 0, 4, 8) \
  RUN(kind, F, 3, 1, 4, 8) \
  RUN(kind, F, 3, 2, 4, 8) RUN(kind, F, 4, 0, 4, 8) RUN(kind, F, 4, 1, 4, 8)
  ALL(1, Uniform)
  ALL(2, NormalTight)
  for (int b : {4, 6, 7, 12, 16})
    run("Uniform add1 wide1 per4", fill<Uniform, 1, 1, 4, 0>, p, sm * b, 1);
  RUN(2, NormalFast, 1, 0, 4, 8)
  for (int b : {4, 6, 7, 12, 16})
    run("NormalTight add1 wide0 per4", fill<NormalTight, 1, 0, 4, 0>, p, sm * b, 2);
  cudaMemset(p.to, 0, p.n * 4);
  cudaEvent_t e0, e1;
  cudaEventCreate(&e0);
  cudaEventCreate(&e1);
  cudaEventRecord(e0);
  for (int i = 0; i < 10; ++i) cudaMemsetAsync(p.to, 0, p.n * 4);
  cudaEventRecord(e1);
  cudaEventSynchronize(e1);
  float ms;
  cudaEventElapsedTime(&ms, e0, e1);
  printf("memset %.1f us\n", ms * 100);
}
