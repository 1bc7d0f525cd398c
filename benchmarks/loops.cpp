// What a programmer would write by hand for one chain: a single fused loop, for the compiler to
// vectorise. Built by loops.py with -O3 -march=native -ffast-math; memory is the caller's and
// reused.
#include <cmath>
#include <cstddef>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void copy(float* out, const float* x, size_t begin, size_t end) {
  std::memcpy(out + begin, x + begin, (end - begin) * sizeof(float));
}

// out = gelu(x * a + b), in its tanh form.
EXPORT void gelu(float* __restrict out, const float* __restrict x, const float* __restrict a,
                 const float* __restrict b, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    const float y = x[i] * a[i] + b[i];
    out[i] = 0.5f * y * (1.0f + std::tanh(0.7978845608f * (y + 0.044715f * y * y * y)));
  }
}

// One step of Adam on parameter p with gradient g and moments m, v: new values into p1, m1, v1.
EXPORT void adam(float* __restrict p1, float* __restrict m1, float* __restrict v1,
                 const float* __restrict p, const float* __restrict g, const float* __restrict m,
                 const float* __restrict v, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    const float mi = 0.9f * m[i] + 0.1f * g[i];
    const float vi = 0.999f * v[i] + 0.001f * g[i] * g[i];
    m1[i] = mi;
    v1[i] = vi;
    p1[i] = p[i] - 1e-3f * mi / (std::sqrt(vi) + 1e-8f);
  }
}

// Softmax over rows of `columns`; begin and end count rows.
EXPORT void softmax(float* __restrict out, const float* __restrict x, size_t columns, size_t begin,
                    size_t end) {
  for (size_t row = begin; row < end; ++row) {
    const float* in = x + row * columns;
    float* to = out + row * columns;
    float top = in[0];
    for (size_t j = 1; j < columns; ++j) top = in[j] > top ? in[j] : top;
    float total = 0;
    for (size_t j = 0; j < columns; ++j) {
      const float e = std::exp(in[j] - top);
      to[j] = e;
      total += e;
    }
    const float scale = 1.0f / total;
    for (size_t j = 0; j < columns; ++j) to[j] *= scale;
  }
}
