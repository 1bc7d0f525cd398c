#include "legato/backends/cpu/lanes.h"
#include "legato/ops/pool/kernels.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

/// The part of a window that lies inside the input: [begin, end) in each dimension.
struct Window {
  int64_t begin[3], end[3];
};
LEGATO_INLINE Window window(const PoolShape& s, const int64_t* at) {
  Window w;
  for (int d = 0; d < 3; ++d) {
    const int64_t start = at[d] * s.stride[d] - s.low[d], stop = start + s.kernel[d];
    w.begin[d] = start > 0 ? start : 0;
    w.end[d] = stop < s.in[d] ? stop : s.in[d];
  }
  return w;
}
/// Calls f(position) for each input position of the window.
template <class F>
LEGATO_INLINE void for_positions(const PoolShape& s, const Window& w, F f) {
  for (int64_t a = w.begin[0]; a < w.end[0]; ++a)
    for (int64_t b = w.begin[1]; b < w.end[1]; ++b)
      for (int64_t c = w.begin[2]; c < w.end[2]; ++c) f((a * s.in[1] + b) * s.in[2] + c);
}
/// Calls f(output position, window) for output rows [first, last).
template <class F>
LEGATO_INLINE void for_outputs(const PoolShape& s, int64_t first, int64_t last, F f) {
  for (int64_t row = first; row < last; ++row)
    for (int64_t c = 0; c < s.out[2]; ++c) {
      const int64_t at[3] = {row / s.out[1], row % s.out[1], c};
      f(row * s.out[2] + c, window(s, at));
    }
}

// T: the elements in memory. A: what they are computed in.
template <class T, class A>
struct Loops {
  static A window_scale(const PoolShape& s) {
    return A(1) / static_cast<A>(s.kernel[0] * s.kernel[1] * s.kernel[2]);
  }

  template <class Op, bool mean>
  static void forward(const void* from, void* to, const PoolShape& s, int64_t first, int64_t last) {
    const T* x = static_cast<const T*>(from);
    T* y = static_cast<T*>(to);
    const V<A> scale = splat(window_scale(s));
    for_outputs(s, first, last, [&](int64_t position, const Window& w) LEGATO_LAMBDA_INLINE {
      for_vectors<A>(s.channels, [&](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
        V<A> acc = splat(Op::template identity<A>());
        for_positions(s, w, [&](int64_t p) LEGATO_LAMBDA_INLINE {
          acc = Op::combine(acc, load<A, T>(x + p * s.pitch + c, m));
        });
        store<T, A>(y + position * s.pitch + c, mean ? acc * scale : acc, m);
      });
    });
  }
  static void max_vjp(const void* x_, const void* y_, const void* g_, void* dx_,
                      const PoolShape& s) {
    const T *x = static_cast<const T*>(x_), *y = static_cast<const T*>(y_),
            *g = static_cast<const T*>(g_);
    A* dx = static_cast<A*>(dx_);
    const V<A> one = splat(A(1)), none = V<A>{};
    for_outputs(s, 0, s.out[0] * s.out[1],
                [&](int64_t position, const Window& w) LEGATO_LAMBDA_INLINE {
                  for_vectors<A>(s.channels, [&](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
                    const V<A> top = load<A, T>(y + position * s.pitch + c, m);
                    V<A> count = none;
                    for_positions(s, w, [&](int64_t p) LEGATO_LAMBDA_INLINE {
                      count = count + (load<A, T>(x + p * s.pitch + c, m) == top ? one : none);
                    });
                    const V<A> share = load<A, T>(g + position * s.pitch + c, m) / count;
                    for_positions(s, w, [&](int64_t p) LEGATO_LAMBDA_INLINE {
                      const V<A> part = load<A, T>(x + p * s.pitch + c, m) == top ? share : none;
                      A* to = dx + p * s.channels + c;
                      store<A, A>(to, load<A, A>(to, m) + part, m);
                    });
                  });
                });
  }
  static void mean_vjp(const void* g_, void* dx_, const PoolShape& s) {
    const T* g = static_cast<const T*>(g_);
    A* dx = static_cast<A*>(dx_);
    const V<A> scale = splat(window_scale(s));
    for_outputs(s, 0, s.out[0] * s.out[1],
                [&](int64_t position, const Window& w) LEGATO_LAMBDA_INLINE {
                  for_vectors<A>(s.channels, [&](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
                    const V<A> share = load<A, T>(g + position * s.pitch + c, m) * scale;
                    for_positions(s, w, [&](int64_t p) LEGATO_LAMBDA_INLINE {
                      A* to = dx + p * s.channels + c;
                      store<A, A>(to, load<A, A>(to, m) + share, m);
                    });
                  });
                });
  }
  static void finish(const void* acc, void* out, int64_t positions, int64_t channels,
                     int64_t pitch) {
    const A* a = static_cast<const A*>(acc);
    T* o = static_cast<T*>(out);
    for (int64_t p = 0; p < positions; ++p, a += channels, o += pitch)
      for_vectors<A>(channels, [=](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
        store<T, A>(o + c, load<A, A>(a + c, m), m);
      });
  }
  static constexpr PoolLoops loops{
      sizeof(A), forward<MaxOp, false>, forward<SumOp, true>, max_vjp, mean_vjp, finish};
};

}  // namespace

const PoolLoops& pool_loops(Dtype dtype) {
  return dtype == Dtype::float16    ? Loops<float16_t, float>::loops
         : dtype == Dtype::bfloat16 ? Loops<bfloat16_t, float>::loops
         : dtype == Dtype::float64  ? Loops<double, double>::loops
                                    : Loops<float, float>::loops;
}

}  // namespace legato::cpu::LEGATO_LEVEL
