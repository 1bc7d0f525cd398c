// cuBLASLt without a GPU: plain loops over the layouts that the caller describes, queued behind
// what was launched before. LEGATO_CUBLASLT names this library.
#include "legato/backends/cuda/blas.h"

#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <functional>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace legato::emulator {
void enqueue(CUstream queue, std::function<void()> work);
}

namespace {

struct Layout {
  int type;
  int64_t rows, cols, ld;
  int32_t batch = 1;
  int64_t batch_stride = 0;
};
struct Desc {
  int compute, scale;
  int32_t trans[2] = {0, 0};
  int32_t epilogue = 1;
  const void* bias = nullptr;
};
struct Preference {
  uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c, d
};

float half_to_float(uint16_t h) { return static_cast<float>(__builtin_bit_cast(_Float16, h)); }
std::complex<double> read(const void* p, int64_t i, int type) {
  switch (type) {
    case 0:
      return static_cast<const float*>(p)[i];
    case 1:
      return static_cast<const double*>(p)[i];
    case 2:
      return half_to_float(static_cast<const uint16_t*>(p)[i]);
    case 14:
      return __builtin_bit_cast(float, static_cast<uint32_t>(static_cast<const uint16_t*>(p)[i])
                                           << 16);
    case 4:
      return static_cast<std::complex<double>>(static_cast<const std::complex<float>*>(p)[i]);
    default:
      return static_cast<const std::complex<double>*>(p)[i];
  }
}
void write(void* p, int64_t i, int type, std::complex<double> v) {
  const float f = static_cast<float>(v.real());
  const uint32_t u = __builtin_bit_cast(uint32_t, f);
  switch (type) {
    case 0:
      static_cast<float*>(p)[i] = f;
      break;
    case 1:
      static_cast<double*>(p)[i] = v.real();
      break;
    case 2:
      static_cast<uint16_t*>(p)[i] = __builtin_bit_cast(uint16_t, static_cast<_Float16>(f));
      break;
    case 14:
      static_cast<uint16_t*>(p)[i] = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
      break;
    case 4:
      static_cast<std::complex<float>*>(p)[i] = static_cast<std::complex<float>>(v);
      break;
    default:
      static_cast<std::complex<double>*>(p)[i] = v;
  }
}

}  // namespace

EXPORT int cublasLtCreate(void** h) {
  *h = reinterpret_cast<void*>(0x50);
  return 0;
}
EXPORT int cublasLtMatmulDescCreate(Desc** d, int compute, int scale) {
  *d = new Desc{compute, scale};
  return 0;
}
EXPORT int cublasLtMatmulDescDestroy(Desc* d) {
  delete d;
  return 0;
}
EXPORT int cublasLtMatmulDescSetAttribute(Desc* d, int attribute, const void* v, size_t n) {
  if ((attribute == 3 || attribute == 4) && n == 4)
    std::memcpy(&d->trans[attribute - 3], v, 4);
  else if (attribute == 7 && n == 4)
    std::memcpy(&d->epilogue, v, 4);
  else if (attribute == 8 && n == 8)
    std::memcpy(&d->bias, v, 8);
  else
    return 7;
  return 0;
}
EXPORT int cublasLtMatrixLayoutCreate(Layout** l, int type, uint64_t rows, uint64_t cols,
                                      int64_t ld) {
  if (ld < static_cast<int64_t>(rows)) return 7;  // CUBLAS_STATUS_INVALID_VALUE
  *l = new Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(cols), ld};
  return 0;
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout* l) {
  delete l;
  return 0;
}
EXPORT int cublasLtMatrixLayoutSetAttribute(Layout* l, int attribute, const void* v, size_t n) {
  if (attribute == 5 && n == 4)
    std::memcpy(&l->batch, v, 4);
  else if (attribute == 6 && n == 8)
    std::memcpy(&l->batch_stride, v, 8);
  else
    return 7;
  return 0;
}
EXPORT int cublasLtMatmulPreferenceCreate(Preference** p) {
  *p = new Preference;
  return 0;
}
EXPORT int cublasLtMatmulPreferenceDestroy(Preference* p) {
  delete p;
  return 0;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* v,
                                                size_t n) {
  if (attribute >= 5 && attribute <= 8) {
    if (n != 4) return 7;
    std::memcpy(&p->alignment[attribute - 5], v, 4);
  }
  return 0;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, Desc* desc, Layout* a, Layout* b, Layout* c,
                                          Layout* d, Preference* preference, int,
                                          legato::cuda::blas::Heuristic* out, int* found) {
  const int64_t m = desc->trans[0] ? a->cols : a->rows, k = desc->trans[0] ? a->rows : a->cols;
  const int64_t k2 = desc->trans[1] ? b->cols : b->rows, n = desc->trans[1] ? b->rows : b->cols;
  if (k != k2 || d->rows != m || d->cols != n || c->rows != m || c->cols != n) return 7;
  if (a->type != b->type || c->type != d->type) return 7;
  const bool half = a->type == 2 || a->type == 14;
  if (d->type != a->type && !(half && d->type == 0)) return 7;
  if (desc->epilogue != 1 && !half && a->type != 0) return 7;
  *out = {};
  for (int i = 0; i < 4; ++i) out->algo.data[i] = preference->alignment[i];
  *found = 1;
  return 0;
}
EXPORT int cublasLtMatmul(void*, Desc* desc, const void* alpha, const void* a, Layout* la,
                          const void* b, Layout* lb, const void* beta, const void* c, Layout* lc,
                          void* d, Layout* ld, const uint64_t* algo, void*, size_t,
                          CUstream queue) {
  const void* const given[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (reinterpret_cast<uintptr_t>(given[i]) % algo[i]) return 15;  // NOT_SUPPORTED
  if ((desc->epilogue & 4) && reinterpret_cast<uintptr_t>(desc->bias) % 16) return 15;
  const auto factor = [&](const void* p) { return read(p, 0, desc->scale); };
  legato::emulator::enqueue(queue, [=, x = *la, y = *lb, w = *lc, z = *ld, t = *desc,
                                    alpha = factor(alpha), beta = factor(beta)] {
    const int64_t k = t.trans[0] ? x.rows : x.cols;
    for (int64_t batch = 0; batch < z.batch; ++batch)
      for (int64_t j = 0; j < z.cols; ++j)
        for (int64_t i = 0; i < z.rows; ++i) {
          std::complex<double> sum = 0;
          for (int64_t p = 0; p < k; ++p) {
            const int64_t at = t.trans[0] ? p + i * x.ld : i + p * x.ld,
                          bt = t.trans[1] ? j + p * y.ld : p + j * y.ld;
            sum += read(a, batch * x.batch_stride + at, x.type) *
                   read(b, batch * y.batch_stride + bt, y.type);
          }
          sum *= alpha;
          if (beta != std::complex<double>(0))
            sum += beta * read(c, batch * w.batch_stride + i + j * w.ld, w.type);
          if (t.epilogue & 4) sum += read(t.bias, i, z.type);
          const double v = sum.real();
          if (t.epilogue & 2) sum = v < 0 ? 0 : v;  // a nan stays one
          if (t.epilogue & 32)
            sum = v / 2 * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
          write(d, batch * z.batch_stride + i + j * z.ld, z.type, sum);
        }
  });
  return 0;
}
