// Attention's kernels for Hopper by themselves: checked against double precision on odd shapes,
// then timed with other tilings. Build and run on such a GPU:
//
//   nvcc -std=c++20 -O3 -fmad=false -gencode=arch=compute_90a,code=sm_90a -I. -o variants
//       lab/gpu_attention/variants.cu
//   ./variants [check | time]
//
// Errors are the largest ones, relative to the root of the mean square of what is right.
#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "legato/ops/attention/attention_grad_sm90a.cu"
#include "legato/ops/attention/attention_sm90a.cu"

using namespace legato;
using namespace legato::cuda;

namespace {

void check(cudaError_t e) {
  if (e == cudaSuccess) return;
  std::printf("%s\n", cudaGetErrorString(e));
  std::exit(1);
}

// What masks are: T is added, or bool keeps; of each query, or one row for all.
enum class Masks { none, added, kept, added_row, kept_row };

// Heads of q are a multiple of those of k; rows lie as (batch, rows, heads, width).
struct Shape {
  int batch, heads, kv_heads, queries, keys, width;
  bool causal;
  Masks masks = Masks::none;
  bool each_row() const { return masks == Masks::added || masks == Masks::kept; }
  bool keeps() const { return masks == Masks::kept || masks == Masks::kept_row; }
};

// --- what is right, in double precision: a thread a row

struct Right {
  const void *q, *k, *v, *g, *mask;
  long long mask_pitch;  // 0: one row
  double *y, *log_sum, *inner, *dq, *dk, *dv;
  Shape s;
  double scale;
};

template <class T>
struct Rows {  // of one head
  const T* at;
  long long pitch;
  int width;
  __device__ double operator()(int row, int column) const { return read(at[row * pitch + column]); }
};
template <class T>
__device__ Rows<T> rows_of(const void* x, int batch, int head, int rows, int heads, int width) {
  return {static_cast<const T*>(x) + (static_cast<long long>(batch) * rows * heads + head) * width,
          static_cast<long long>(heads) * width, width};
}
template <class T>
__device__ double dot(const Rows<T>& a, int i, const Rows<T>& b, int j) {
  double sum = 0;
  for (int c = 0; c < a.width; ++c) sum += a(i, c) * b(j, c);
  return sum;
}

template <class T>
struct Head {
  Rows<T> q, k, v, g;
  int shift;
  bool causal, keeps;
  double scale;
  const void* mask;
  long long mask_pitch;
  __device__ Head(const Right& r, int plane) {
    const Shape& s = r.s;
    const int batch = plane / s.heads, head = plane % s.heads,
              kv_head = head / (s.heads / s.kv_heads);
    q = rows_of<T>(r.q, batch, head, s.queries, s.heads, s.width);
    g = rows_of<T>(r.g, batch, head, s.queries, s.heads, s.width);
    k = rows_of<T>(r.k, batch, kv_head, s.keys, s.kv_heads, s.width);
    v = rows_of<T>(r.v, batch, kv_head, s.keys, s.kv_heads, s.width);
    shift = s.keys - s.queries;
    causal = s.causal;
    scale = r.scale;
    mask = r.mask;
    mask_pitch = r.mask_pitch;
    keeps = s.masks == Masks::kept || s.masks == Masks::kept_row;
  }
  __device__ bool alike(int i) const { return causal && i + shift < 0; }
  __device__ double score(int i, int j) const {
    if (alike(i)) return 0;
    if (causal && j > i + shift) return -INFINITY;
    if (mask && keeps && !static_cast<const bool*>(mask)[i * mask_pitch + j]) return -INFINITY;
    const double x = dot(q, i, k, j) * scale;
    return mask && !keeps ? x + read(static_cast<const T*>(mask)[i * mask_pitch + j]) : x;
  }
};

template <class T>
__global__ void right_of_queries(Right r, int plane) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, width = r.s.width;
  if (i >= r.s.queries) return;
  const Head<T> h(r, plane);
  double most = -INFINITY, sum = 0, inner = 0;
  for (int j = 0; j < r.s.keys; ++j) most = fmax(most, h.score(i, j));
  double* y = r.y + static_cast<long long>(i) * width;
  double* dq = r.dq + static_cast<long long>(i) * width;
  for (int c = 0; c < width; ++c) y[c] = dq[c] = 0;
  for (int j = 0; j < r.s.keys; ++j) {
    const double w = exp(h.score(i, j) - most);
    sum += w;
    for (int c = 0; c < width; ++c) y[c] += w * h.v(j, c);
  }
  for (int c = 0; c < width; ++c) inner += (y[c] /= sum) * h.g(i, c);
  r.log_sum[i] = most + log(sum);
  r.inner[i] = inner;
  for (int j = 0; j < r.s.keys && !h.alike(i); ++j) {
    const double d = exp(h.score(i, j) - r.log_sum[i]) * (dot(h.g, i, h.v, j) - inner);
    for (int c = 0; c < width; ++c) dq[c] += d * h.k(j, c) * r.scale;
  }
}

// Adds what one head of queries gives.
template <class T>
__global__ void right_of_keys(Right r, int plane) {
  const int j = blockIdx.x * blockDim.x + threadIdx.x, width = r.s.width;
  if (j >= r.s.keys) return;
  const Head<T> h(r, plane);
  double* dk = r.dk + static_cast<long long>(j) * width;
  double* dv = r.dv + static_cast<long long>(j) * width;
  for (int i = 0; i < r.s.queries; ++i) {
    const double w = exp(h.score(i, j) - r.log_sum[i]);
    const double d = h.alike(i) ? 0 : w * (dot(h.g, i, h.v, j) - r.inner[i]) * r.scale;
    for (int c = 0; c < width; ++c) {
      dk[c] += d * h.q(i, c);
      dv[c] += w * h.g(i, c);
    }
  }
}

// --- the kernels

template <class C>
__global__ void __launch_bounds__(C::threads, 1)
    forward_kernel(const __grid_constant__ HopperAttentionParams p) {
  attend_hopper<C>(p);
}
template <class C>
__global__ void __launch_bounds__(C::threads, 1)
    grad_kernel(const __grid_constant__ HopperGradParams p) {
  attention_grad_hopper<C>(p);
}
template <class T>
__global__ void __launch_bounds__(256) rows_kernel(const __grid_constant__ AttentionRowParams p) {
  know_rows<T, 16>(p);
}

template <class T>
__global__ void fill(T* x, long long n, unsigned seed) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= n) return;
  unsigned long long h = (i + 1) * 0x9e3779b97f4a7c15ull + seed * 0xc2b2ae3d27d4eb4full;
  h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
  h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ull;
  const float u = ((h & 0xffffff) + 0.5f) / 16777216.f, v = (h >> 24 & 0xffffff) / 16777216.f;
  x[i] = written<T>(sqrtf(-2 * logf(u)) * cospif(2 * v));
}

__global__ void fill_kept(bool* x, long long n) {  // three of four
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i < n) x[i] = ((i + 1) * 0x9e3779b97f4a7c15ull >> 40) % 4 != 0;
}

template <class T>
class Problem {
 public:
  explicit Problem(const Shape& shape)
      : s(shape),
        scale(1 / std::sqrt(static_cast<float>(s.width))),
        pitch((s.queries / 128 + 2) * 128),  // whole tiles of any kernel
        n_q(static_cast<long long>(s.batch) * s.heads * s.queries * s.width),
        n_k(static_cast<long long>(s.batch) * s.kv_heads * s.keys * s.width) {
    unsigned seed = 0;
    for (T** x : {&q, &g, &y, &dq}) *x = some(n_q, ++seed);
    for (T** x : {&k, &v, &dk, &dv}) *x = some(n_k, ++seed);
    const size_t rows = static_cast<size_t>(s.batch) * s.heads * pitch;
    check(cudaMalloc(&sums, rows * sizeof(RowSums)));
    check(cudaMalloc(&log_sums, rows * 4));
    check(cudaMalloc(&inner, rows * 4));
    if (s.masks == Masks::none) return;
    mask_pitch = (s.keys + 15) / 16 * 16;
    const long long n = mask_pitch * (s.each_row() ? s.queries : 1);
    if (!s.keeps()) {
      mask = some(n, 9);
      return;
    }
    check(cudaMalloc(&mask, n));
    fill_kept<<<(n + 255) / 256, 256>>>(static_cast<bool*>(mask), n);
  }
  ~Problem() {
    for (void* x : {static_cast<void*>(q), static_cast<void*>(g), static_cast<void*>(y),
                    static_cast<void*>(dq), static_cast<void*>(k), static_cast<void*>(v),
                    static_cast<void*>(dk), static_cast<void*>(dv), static_cast<void*>(sums),
                    static_cast<void*>(log_sums), static_cast<void*>(inner), mask})
      cudaFree(x);
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  template <class C>
  void forward() {
    HopperAttentionParams p{};
    describe(p.q, q, s.heads, s.queries, C::queries);
    describe(p.k, k, s.kv_heads, s.keys, C::keys);
    describe(p.v, v, s.kv_heads, s.keys, C::keys);
    p.out = y;
    p.sums = sums;
    p.out_strides = strides(s.heads, s.queries);
    p.heads = s.heads;
    p.group = s.heads / s.kv_heads;
    p.queries = s.queries;
    p.keys = s.keys;
    p.value_width = s.width;
    p.query_tiles = (s.queries + C::queries - 1) / C::queries;
    p.scale = scale;
    p.causal = s.causal;
    describe_mask(p.mask, C::queries);
    launch(forward_kernel<C>, s.batch * s.heads * p.query_tiles, C::threads,
           sizeof(HopperShared<C>), p);
  }
  void know() {
    AttentionRowParams p{y,
                         g,
                         strides(s.heads, s.queries),
                         strides(s.heads, s.queries),
                         sums,
                         log_sums,
                         inner,
                         s.batch * s.heads,
                         s.heads,
                         s.queries,
                         s.width,
                         pitch,
                         mask != nullptr};
    launch(rows_kernel<T>, (s.batch * s.heads * pitch + 15) / 16, 256, 0, p);
  }
  template <class C>
  void grad() {
    HopperGradParams p{};
    const int q_rows = C::of_keys ? C::walked : C::owned,
              k_rows = C::of_keys ? C::owned : C::walked;
    describe(p.q, q, s.heads, s.queries, q_rows);
    describe(p.cotangent, g, s.heads, s.queries, q_rows);
    describe(p.k, k, s.kv_heads, s.keys, k_rows);
    describe(p.v, v, s.kv_heads, s.keys, k_rows);
    p.log_sums = log_sums;
    p.inner = inner;
    p.dq = dq;
    p.dk = dk;
    p.dv = dv;
    p.dq_strides = strides(s.heads, s.queries);
    p.dk_strides = p.dv_strides = strides(s.kv_heads, s.keys);
    p.heads = s.heads;
    p.group = s.heads / s.kv_heads;
    p.queries = s.queries;
    p.keys = s.keys;
    p.width = p.value_width = s.width;
    p.row_pitch = pitch;
    p.tiles = ((C::of_keys ? s.keys : s.queries) + C::owned - 1) / C::owned;
    p.scale = scale;
    p.causal = s.causal;
    p.sums = sums;
    describe_mask(p.mask, C::of_keys ? C::walked : C::owned);
    launch(grad_kernel<C>, s.batch * (C::of_keys ? s.kv_heads : s.heads) * p.tiles, C::threads,
           sizeof(HopperGradShared<C>), p);
  }

  // The errors of y, dq, dk and dv in the last head of keys and those of queries that share it.
  void print_errors() const {
    const int group = s.heads / s.kv_heads, last = s.batch * s.kv_heads - 1;
    const long long n = static_cast<long long>(s.queries) * s.width,
                    m = static_cast<long long>(s.keys) * s.width;
    double* right;
    const size_t bytes = (2 * n + 2 * m + 2 * s.queries) * 8;
    check(cudaMalloc(&right, bytes));
    check(cudaMemset(right, 0, bytes));
    Right r{q,
            k,
            v,
            g,
            mask,
            s.each_row() ? mask_pitch : 0,
            right,
            right + 2 * (n + m),
            right + 2 * (n + m) + s.queries,
            right + n,
            right + 2 * n,
            right + 2 * n + m,
            s,
            scale};
    double errors[4] = {};
    for (int head = last * group; head < (last + 1) * group; ++head) {
      right_of_queries<T><<<(s.queries + 31) / 32, 32>>>(r, head);
      right_of_keys<T><<<(s.keys + 31) / 32, 32>>>(r, head);
      errors[0] = std::max(errors[0], error(y, r.y, s.queries, s.heads, head));
      errors[1] = std::max(errors[1], error(dq, r.dq, s.queries, s.heads, head));
    }
    errors[2] = error(dk, r.dk, s.keys, s.kv_heads, last);
    errors[3] = error(dv, r.dv, s.keys, s.kv_heads, last);
    cudaFree(right);
    static constexpr const char* kMasks[] = {"", ", added", ", kept", ", one row added",
                                             ", one row kept"};
    std::printf("%d x %d/%d, %d x %d x %d%s%s: y %.4f, dq %.4f, dk %.4f, dv %.4f\n", s.batch,
                s.heads, s.kv_heads, s.queries, s.keys, s.width, s.causal ? ", causal" : "",
                kMasks[int(s.masks)], errors[0], errors[1], errors[2], errors[3]);
    std::fflush(stdout);
  }

  const Shape s;

 private:
  static T* some(long long n, unsigned seed) {
    T* x;
    check(cudaMalloc(&x, n * 2));
    fill<<<(n + 255) / 256, 256>>>(x, n, seed);
    return x;
  }
  HeadStrides strides(int heads, int rows) const {
    return {static_cast<long long>(rows) * heads * s.width, s.width,
            static_cast<long long>(heads) * s.width};
  }
  void describe(TensorMap& map, T* at, int heads, int rows, int box_rows) const {
    const HeadStrides by = strides(heads, rows);
    const cuuint64_t sizes[4] = {cuuint64_t(s.width), cuuint64_t(rows), cuuint64_t(heads),
                                 cuuint64_t(s.batch)},
                     pitches[3] = {cuuint64_t(by.row) * 2, cuuint64_t(by.head) * 2,
                                   cuuint64_t(by.batch) * 2};
    encode(
        map,
        std::is_same_v<T, f16> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        at, sizes, pitches, 64, box_rows);
  }
  void describe_mask(HopperMask& m, int box_rows) const {
    if (!mask) return;
    const int bytes = s.keeps() ? 1 : 2;
    m.kind = s.keeps()                ? MaskKind::boolean
             : std::is_same_v<T, f16> ? MaskKind::f16
                                      : MaskKind::bf16;
    m.each_row = s.each_row();
    const cuuint64_t sizes[4] = {cuuint64_t(s.keys), cuuint64_t(s.each_row() ? s.queries : 1), 1,
                                 1},
                     pitches[3] = {cuuint64_t(mask_pitch) * bytes, 16, 16};
    encode(m.map, bytes == 1 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_UINT16, mask,
           sizes, pitches, 128 / bytes, s.each_row() ? box_rows : 1);
  }
  static void encode(TensorMap& map, CUtensorMapDataType type, void* at,
                     const cuuint64_t (&sizes)[4], const cuuint64_t (&pitches)[3], int columns,
                     int rows) {
    using Encode = decltype(&cuTensorMapEncodeTiled);
    static const Encode call = [] {
      void* f = nullptr;
      cudaDriverEntryPointQueryResult found;
      check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault,
                                             &found));
      return reinterpret_cast<Encode>(f);
    }();
    const cuuint32_t box[4] = {cuuint32_t(columns), cuuint32_t(rows), 1, 1}, step[4] = {1, 1, 1, 1};
    const CUresult result =
        call(reinterpret_cast<CUtensorMap*>(&map), type, 4, at, sizes, pitches, box, step,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS) std::exit(2);
  }
  template <class Params>
  static void launch(void (*kernel)(Params), int blocks, int threads, size_t shared,
                     const Params& params) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)));
    kernel<<<blocks, threads, shared>>>(params);
    check(cudaGetLastError());
  }
  double error(const T* x, const double* right, int rows, int heads, int plane) const {
    const size_t n = static_cast<size_t>(rows) * s.width;
    std::vector<double> expected(n);
    std::vector<T> got(n * heads);
    check(cudaMemcpy(expected.data(), right, n * 8, cudaMemcpyDeviceToHost));
    check(cudaMemcpy(got.data(), x + plane / heads * n * heads, n * heads * 2,
                     cudaMemcpyDeviceToHost));
    double square = 0, most = 0;
    for (size_t i = 0; i < n; ++i) {
      const size_t row = i / s.width, at = (row * heads + plane % heads) * s.width + i % s.width;
      const double e = std::fabs(number(got[at]) - expected[i]);
      square += expected[i] * expected[i];
      most = e <= most ? most : e;  // nan stays
    }
    return most / std::sqrt(square / n);
  }
  static double number(T x) {
    if constexpr (std::is_same_v<T, f16>) {
      const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
      const double size = exponent == 31 ? NAN
                          : exponent     ? std::ldexp(1024 + fraction, exponent - 25)
                                         : std::ldexp(fraction, -24);
      return x.bits >> 15 ? -size : size;
    } else {
      const uint32_t bits = uint32_t{x.bits} << 16;
      float f;
      std::memcpy(&f, &bits, 4);
      return f;
    }
  }

  float scale;
  int pitch;
  long long n_q, n_k;
  T *q, *k, *v, *g, *y, *dq, *dk, *dv;
  RowSums* sums;
  float *log_sums, *inner;
  void* mask = nullptr;
  long long mask_pitch = 0;
};

// --- the table

template <class T, class Forward, class Keys, class Queries>
void check_shape(const Shape& s) {
  Problem<T> p(s);
  p.template forward<Forward>();
  p.know();
  p.template grad<Keys>();
  p.template grad<Queries>();
  p.print_errors();
}

template <class T, int width, class Forward, class Keys, class Queries>
void check_masks(const char* what) {
  std::printf("%s\n", what);
  for (const Masks masks : {Masks::added, Masks::kept, Masks::added_row, Masks::kept_row})
    for (const Shape& s : {Shape{1, 2, 1, 192, 192, width, false, masks},
                           Shape{2, 2, 2, 333, 257, width, false, masks}})
      check_shape<T, Forward, Keys, Queries>(s);
}

template <class T, int width, class Forward, class Keys, class Queries>
void check_all(const char* what) {
  std::printf("%s\n", what);
  for (const Shape& s :
       {Shape{1, 2, 1, 192, 192, width, false}, Shape{2, 2, 2, 333, 257, width, false},
        Shape{1, 4, 2, 150, 290, width, true}, Shape{1, 2, 2, 290, 150, width, true},
        Shape{1, 1, 1, 70, 77, width, false}})
    check_shape<T, Forward, Keys, Queries>(s);
}

void time(const char* what, double products, const Shape& s, const std::function<void()>& run) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i < 11; ++i) {
    float ms;
    check(cudaEventRecord(begin));
    run();
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    check(cudaEventElapsedTime(&ms, begin, end));
    times.push_back(ms * 1000);
  }
  std::sort(times.begin(), times.end());
  const double operations = 2 * products * s.batch * s.heads * s.queries * double(s.keys) *
                            s.width * (s.causal ? 0.5 : 1);
  std::printf("  %-44s %7.0f us, %4.0f TFLOP/s\n", what, times[5], operations / times[5] * 1e-6);
  std::fflush(stdout);
}

#define FORWARD(...) \
  time("forward " #__VA_ARGS__, 2, p.s, [&] { p.forward<HopperTiling<f16, __VA_ARGS__>>(); });
#define KEYS(...) \
  time("keys " #__VA_ARGS__, 4, p.s, [&] { p.grad<HopperGradTiling<f16, __VA_ARGS__, true>>(); });
#define QUERIES(...)                    \
  time("queries " #__VA_ARGS__, 3, p.s, \
       [&] { p.grad<HopperGradTiling<f16, __VA_ARGS__, false>>(); });
#define MASKED_KEYS(...)                    \
  time("masked keys " #__VA_ARGS__, 4, p.s, \
       [&] { p.grad<HopperGradTiling<f16, __VA_ARGS__, true, true>>(); });
#define MASKED_QUERIES(...)                    \
  time("masked queries " #__VA_ARGS__, 3, p.s, \
       [&] { p.grad<HopperGradTiling<f16, __VA_ARGS__, false, true>>(); });
#define SHAPE(...)                    \
  Problem<f16> p(Shape{__VA_ARGS__}); \
  std::printf("%s\n", #__VA_ARGS__);

}  // namespace

int main(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  if (word != "time") {
    using Few = HopperTiling<f16, 48, 40, 80, 4, 3, 1>;
    check_all<f16, 40, Few, HopperGradTiling<f16, 40, 64, 2, 4, 2, true>,
              HopperGradTiling<f16, 40, 64, 3, 3, 2, false>>("width 40");
    check_all<f16, 64, HopperTiling<f16, 64, 64, 128, 3, 2, 1>,
              HopperGradTiling<f16, 64, 64, 2, 3, 2, true>,
              HopperGradTiling<f16, 64, 64, 3, 3, 1, false>>("width 64");
    check_all<bf16, 64, HopperTiling<bf16, 64, 64, 128, 3, 2, 1>,
              HopperGradTiling<bf16, 64, 64, 2, 3, 2, true>,
              HopperGradTiling<bf16, 64, 64, 3, 3, 1, false>>("width 64, bfloat16");
    check_all<f16, 80, HopperTiling<f16, 80, 80, 128, 2, 2, 1>,
              HopperGradTiling<f16, 80, 80, 2, 3, 0, true>,
              HopperGradTiling<f16, 80, 96, 2, 3, 0, false>>("width 80");
    check_all<f16, 128, HopperTiling<f16, 128, 128, 128, 2, 2, 1>,
              HopperGradTiling<f16, 128, 48, 2, 3, 0, true>,
              HopperGradTiling<f16, 128, 80, 2, 3, 0, false>>("width 128");
    check_all<f16, 160, HopperTiling<f16, 160, 160, 96, 2, 2, 1>,
              HopperGradTiling<f16, 160, 32, 2, 3, 0, true>,
              HopperGradTiling<f16, 160, 48, 2, 3, 0, false>>("width 160");
    check_masks<f16, 64, HopperTiling<f16, 64, 64, 128, 3, 2, 1, true>,
                HopperGradTiling<f16, 64, 64, 2, 3, 2, true, true>,
                HopperGradTiling<f16, 64, 64, 3, 3, 1, false, true>>("width 64");
    check_masks<bf16, 64, HopperTiling<bf16, 64, 64, 128, 3, 2, 1, true>,
                HopperGradTiling<bf16, 64, 64, 2, 3, 2, true, true>,
                HopperGradTiling<bf16, 64, 64, 3, 3, 1, false, true>>("width 64, bfloat16");
    check_masks<f16, 128, HopperTiling<f16, 128, 128, 128, 2, 2, 1, true>,
                HopperGradTiling<f16, 128, 48, 2, 3, 0, true, true>,
                HopperGradTiling<f16, 128, 64, 2, 3, 0, false, true>>("width 128");
  }
  if (word == "check") return 0;
  // Forward: width, value width, keys, warpgroups, stages, blocks a multiprocessor. Derivative:
  // width, rows walked over, warpgroups, stages, owned tiles in registers.
  {
    SHAPE(16, 5, 5, 4096, 4096, 64, false)
    FORWARD(64, 64, 128, 3, 2, 1)
    FORWARD(64, 64, 128, 3, 3, 1)
    p.know();
    KEYS(64, 64, 2, 3, 2)
    KEYS(64, 64, 2, 3, 0)
    QUERIES(64, 64, 3, 3, 1)
    QUERIES(64, 128, 2, 2, 0)
  }
  {
    SHAPE(16, 8, 8, 4096, 4096, 40, false)
    FORWARD(48, 40, 80, 4, 3, 1)
    FORWARD(48, 40, 128, 3, 3, 1)
    p.know();
    KEYS(40, 64, 2, 4, 2)
    QUERIES(40, 64, 3, 3, 2)
  }
  {
    SHAPE(16, 8, 8, 1024, 1024, 80, false)
    FORWARD(80, 80, 128, 2, 2, 1)
    p.know();
    KEYS(80, 80, 2, 3, 0)
    QUERIES(80, 96, 2, 3, 0)
  }
  {
    SHAPE(4, 16, 16, 4096, 4096, 128, false)
    FORWARD(128, 128, 128, 2, 2, 1)
    p.know();
    KEYS(128, 48, 2, 2, 0)
    KEYS(128, 48, 2, 3, 0)
    QUERIES(128, 96, 2, 2, 0)
    QUERIES(128, 80, 2, 3, 0)
  }
  {
    SHAPE(16, 8, 8, 256, 256, 160, false)
    FORWARD(160, 160, 96, 2, 2, 1)
    p.know();
    KEYS(160, 32, 2, 3, 0)
    QUERIES(160, 48, 2, 3, 0)
  }
}
