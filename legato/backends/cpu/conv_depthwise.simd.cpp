// Depthwise convolution: every channel by itself, vectors over channels.
#include "legato/backends/cpu/gemm_kernels.h"
#include "legato/backends/cpu/gemm_vector.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

// `n` elements, the rest of the vector zero.
template <class T>
LEGATO_INLINE Vector<T> load_some(const T* p, int64_t n) {
  T values[kLanes<T>] = {};
  for (int64_t i = 0; i < n; ++i) values[i] = p[i];
  return load<T>(values);
}
template <class T>
LEGATO_INLINE void store_some(T* p, Vector<T> v, int64_t n) {
  T values[kLanes<T>];
  store<T>(values, v);
  for (int64_t i = 0; i < n; ++i) p[i] = values[i];
}

// R positions, V vectors of channels from channel c on.
template <class T, int R, int V>
LEGATO_INLINE void block(const T* const* x, T* const* y, const Span* taps, int64_t tap_count,
                         const T* w, int64_t w_row, int64_t c) {
  constexpr int L = kLanes<T>;
  Vector<T> acc[R][V] = {};
  for (const Span* t = taps; t != taps + tap_count; ++t) {
    Vector<T> wv[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) wv[v] = load<T>(w + t->b * w_row + c + v * L);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        acc[r][v] = multiply_add<T>(load<T>(x[r] + t->a + c + v * L), wv[v], acc[r][v]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store<T>(y[r] + c + v * L, acc[r][v]);
  }
}

template <class T, int R>
LEGATO_INLINE void positions(const T* const* x, T* const* y, const Span* taps, int64_t tap_count,
                             const T* w, int64_t w_row, int64_t channels) {
  constexpr int L = kLanes<T>;
  int64_t c = 0;
  for (; c + 2 * L <= channels; c += 2 * L) block<T, R, 2>(x, y, taps, tap_count, w, w_row, c);
  for (; c + L <= channels; c += L) block<T, R, 1>(x, y, taps, tap_count, w, w_row, c);
  if (c == channels) return;
  for (int r = 0; r < R; ++r) {
    Vector<T> acc = {};
    for (const Span* t = taps; t != taps + tap_count; ++t) {
      const Vector<T> xv = load_some<T>(x[r] + t->a + c, channels - c);
      acc = multiply_add<T>(xv, load_some<T>(w + t->b * w_row + c, channels - c), acc);
    }
    store_some<T>(y[r] + c, acc, channels - c);
  }
}

template <class T>
void forward(const T* const* x, T* const* y, int64_t count, const Span* taps, int64_t tap_count,
             const T* w, int64_t w_row, int64_t channels) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) positions<T, 4>(x + i, y + i, taps, tap_count, w, w_row, channels);
  for (; i < count; ++i) positions<T, 1>(x + i, y + i, taps, tap_count, w, w_row, channels);
}

template <class T, int V>
LEGATO_INLINE void weight_block(const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                                const Span* spans, int64_t span_count, T* d, bool add) {
  constexpr int L = kLanes<T>;
  Vector<T> acc[V] = {};
  for (const Span* s = spans; s != spans + span_count; ++s) {
    const T *ak = a + s->a, *bk = b + s->b;
    for (int64_t k = 0; k < s->count; ++k, ak += a_stride, bk += b_stride) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        acc[v] = multiply_add<T>(load<T>(ak + v * L), load<T>(bk + v * L), acc[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) store<T>(d + v * L, add ? load<T>(d + v * L) + acc[v] : acc[v]);
}

template <class T>
void weight(const T* a, int64_t a_stride, const T* b, int64_t b_stride, const Span* spans,
            int64_t span_count, T* d, bool add, int64_t channels) {
  constexpr int L = kLanes<T>;
  int64_t c = 0;
  for (; c + 4 * L <= channels; c += 4 * L)
    weight_block<T, 4>(a + c, a_stride, b + c, b_stride, spans, span_count, d + c, add);
  for (; c + L <= channels; c += L)
    weight_block<T, 1>(a + c, a_stride, b + c, b_stride, spans, span_count, d + c, add);
  if (c == channels) return;
  const int64_t n = channels - c;
  Vector<T> acc = {};
  for (const Span* s = spans; s != spans + span_count; ++s) {
    for (int64_t k = 0; k < s->count; ++k) {
      const Vector<T> av = load_some<T>(a + s->a + k * a_stride + c, n);
      acc = multiply_add<T>(av, load_some<T>(b + s->b + k * b_stride + c, n), acc);
    }
  }
  store_some<T>(d + c, add ? load_some<T>(d + c, n) + acc : acc, n);
}

}  // namespace

void fill_depthwise(GemmKernels& table) {
  table.depthwise_f32 = {forward<float>, weight<float>};
  table.depthwise_f64 = {forward<double>, weight<double>};
}

}  // namespace legato::cpu::LEGATO_LEVEL
