#include "legato/backends/cpu/lanes.h"
#include "legato/ops/norm/kernels.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

template <class A>
LEGATO_INLINE A inverse_root(A x) {
  if constexpr (sizeof(A) == 4)
    return 1.0f / __builtin_sqrtf(x);
  else
    return 1.0 / __builtin_sqrt(x);
}

// T: the elements in memory. A: what they are computed in.
template <class T, class A>
struct Rows {
  static A row_sum(const T* x, int64_t n) {
    return reduce_row<SumOp, A>(
        n, [x](int64_t i, auto m) LEGATO_LAMBDA_INLINE { return load<A, T>(x + i, m); });
  }
  struct Moments {
    A mean, scale;  // scale = 1 / sqrt(var + eps)
  };
  static Moments moments(const T* x, int64_t n, A eps) {
    const A mean = row_sum(x, n) / static_cast<A>(n);
    const V<A> shift = splat(mean);
    const A squares = reduce_row<SumOp, A>(n, [x, shift](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
      V<A> d = load<A, T>(x + i, m) - shift;
      return d * d;
    });
    return {mean, inverse_root(squares / static_cast<A>(n) + eps)};
  }
  static A rms_scale(const T* x, int64_t n, A eps) {
    const A squares = reduce_row<SumOp, A>(n, [x](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
      V<A> v = load<A, T>(x + i, m);
      return v * v;
    });
    return inverse_root(squares / static_cast<A>(n) + eps);
  }

  template <bool has_w, bool has_b>
  static void normalize(const T* x, const T* w, const T* b, T* y, int64_t n, A mean, A scale) {
    const V<A> shift = splat(mean), factor = splat(scale);
    for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
      V<A> v = (load<A, T>(x + i, m) - shift) * factor;
      if constexpr (has_w) v = v * load<A, T>(w + i, m);
      if constexpr (has_b) v = v + load<A, T>(b + i, m);
      store<T, A>(y + i, v, m);
    });
  }
  static void layer_norm(const void* x_, const void* w_, const void* b_, void* y_, int64_t n,
                         int64_t rows, double eps) {
    const T *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_),
            *b = static_cast<const T*>(b_);
    T* y = static_cast<T*>(y_);
    for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
      Moments s = moments(x, n, static_cast<A>(eps));
      if (w && b)
        normalize<true, true>(x, w, b, y, n, s.mean, s.scale);
      else if (w)
        normalize<true, false>(x, w, b, y, n, s.mean, s.scale);
      else if (b)
        normalize<false, true>(x, w, b, y, n, s.mean, s.scale);
      else
        normalize<false, false>(x, w, b, y, n, s.mean, s.scale);
    }
  }
  static void rms_norm(const void* x_, const void* w_, void* y_, int64_t n, int64_t rows,
                       double eps) {
    const T *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_);
    T* y = static_cast<T*>(y_);
    for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
      const A scale = rms_scale(x, n, static_cast<A>(eps));
      if (w)
        normalize<true, false>(x, w, nullptr, y, n, A(0), scale);
      else
        normalize<false, false>(x, w, nullptr, y, n, A(0), scale);
    }
  }

  /// g times the weight, if there is one.
  template <class N>
  LEGATO_INLINE static V<A> weighted(const T* g, const T* w, int64_t i, N m) {
    V<A> v = load<A, T>(g + i, m);
    return w ? v * load<A, T>(w + i, m) : v;
  }
  template <class N>
  LEGATO_INLINE static void accumulate(A* acc, int64_t i, V<A> v, bool first, N m) {
    store<A, A>(acc + i, first ? v : load<A, A>(acc + i, m) + v, m);
  }
  // dx = scale (wg - mean(wg) - xhat mean(wg xhat)), xhat = (x - mean) scale
  static void layer_norm_vjp(const void* x_, const void* w_, const void* g_, void* dx_, void* dw_,
                             void* db_, int64_t n, int64_t rows, double eps) {
    const T *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_),
            *g = static_cast<const T*>(g_);
    T* dx = static_cast<T*>(dx_);
    A *dw = static_cast<A*>(dw_), *db = static_cast<A*>(db_);
    for (int64_t r = 0; r < rows; ++r, x += n, g += n, dx += n) {
      const A count = static_cast<A>(n);
      const V<A> shift = splat(row_sum(x, n) / count);
      // Sums of squares of d = x - mean, of wg, and of wg d, in one pass.
      const Sums<A, 3> s = sum_row<A, 3>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
        V<A> d = load<A, T>(x + i, m) - shift, wg = weighted(g, w, i, m);
        return Many<A, 3>{{d * d, wg, wg * d}};
      });
      const A inverse = inverse_root(s.v[0] / count + static_cast<A>(eps));
      const V<A> scale = splat(inverse), c1 = splat(s.v[1] / count),
                 c2 = splat(s.v[2] * inverse / count);
      for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
        V<A> xhat = (load<A, T>(x + i, m) - shift) * scale, cotangent = load<A, T>(g + i, m);
        if (dw) accumulate(dw, i, cotangent * xhat, r == 0, m);
        if (db) accumulate(db, i, cotangent, r == 0, m);
        V<A> wg = w ? cotangent * load<A, T>(w + i, m) : cotangent;
        store<T, A>(dx + i, scale * (wg - c1 - xhat * c2), m);
      });
    }
  }
  static void rms_norm_vjp(const void* x_, const void* w_, const void* g_, void* dx_, void* dw_,
                           int64_t n, int64_t rows, double eps) {
    const T *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_),
            *g = static_cast<const T*>(g_);
    T* dx = static_cast<T*>(dx_);
    A* dw = static_cast<A*>(dw_);
    for (int64_t r = 0; r < rows; ++r, x += n, g += n, dx += n) {
      const A count = static_cast<A>(n);
      const Sums<A, 2> s = sum_row<A, 2>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
        V<A> v = load<A, T>(x + i, m);
        return Many<A, 2>{{v * v, weighted(g, w, i, m) * v}};
      });
      const A inverse = inverse_root(s.v[0] / count + static_cast<A>(eps));
      const V<A> scale = splat(inverse), c2 = splat(s.v[1] * inverse / count);
      for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
        V<A> xhat = load<A, T>(x + i, m) * scale, cotangent = load<A, T>(g + i, m);
        if (dw) accumulate(dw, i, cotangent * xhat, r == 0, m);
        V<A> wg = w ? cotangent * load<A, T>(w + i, m) : cotangent;
        store<T, A>(dx + i, scale * (wg - xhat * c2), m);
      });
    }
  }

  // --- groups of channels
  // -------------------------------------------------------------------------

  // K sums over the positions for each channel: of get(position's offset, channel, lanes), into
  // sum + k * cols. Runs of kBlockSteps positions in order, then the runs; `run` has room for K *
  // cols.
  template <int K, class Get>
  LEGATO_INLINE static void channel_sums(const GroupBlock& k, A* sum, A* run, Get get) {
    constexpr int U = K == 1 ? 4 : 2,
                  W = kWidth<A>;  // vectors at once, to hide the latency of an add
    for (int64_t begin = 0; begin < k.rows; begin += kBlockSteps) {
      const int64_t end = begin + kBlockSteps < k.rows ? begin + kBlockSteps : k.rows;
      A* into = begin == 0 ? sum : run;
      int64_t c = 0;
      for (; c + U * W <= k.cols; c += U * W) {
        Many<A, K> total[U];
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u) total[u] = get(begin * k.stride, c + u * W, Full{});
        for (int64_t r = begin + 1; r < end; ++r) {
#pragma GCC unroll 4
          for (int u = 0; u < U; ++u) {
            Many<A, K> x = get(r * k.stride, c + u * W, Full{});
#pragma GCC unroll 4
            for (int j = 0; j < K; ++j) total[u].v[j] = total[u].v[j] + x.v[j];
          }
        }
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u)
#pragma GCC unroll 4
          for (int j = 0; j < K; ++j) store<A, A>(into + j * k.cols + c + u * W, total[u].v[j]);
      }
      for_vectors<A>(k.cols - c, [&](int64_t rest, auto m) LEGATO_LAMBDA_INLINE {
        Many<A, K> total = get(begin * k.stride, c + rest, m);
        for (int64_t r = begin + 1; r < end; ++r) {
          Many<A, K> x = get(r * k.stride, c + rest, m);
          for (int j = 0; j < K; ++j) total.v[j] = total.v[j] + x.v[j];
        }
        for (int j = 0; j < K; ++j) store<A, A>(into + j * k.cols + c + rest, total.v[j], m);
      });
      if (begin > 0) add(sum, run, K * k.cols);
    }
  }
  /// Replaces each channel's entry by finish(sum over its group).
  template <class Finish>
  LEGATO_INLINE static void group_totals(const GroupBlock& k, A* values, Finish finish) {
    for (int64_t c = 0; c < k.cols; c += k.group) {
      double total = 0;
      for (int64_t j = 0; j < k.group; ++j) total += static_cast<double>(values[c + j]);
      const A value = finish(total);
      for (int64_t j = 0; j < k.group; ++j) values[c + j] = value;
    }
  }
  static void group_means(const T* x, const GroupBlock& k, A* mean, A* run) {
    const double count = static_cast<double>(k.rows * k.group);
    channel_sums<1>(k, mean, run, [x](int64_t at, int64_t c, auto m) LEGATO_LAMBDA_INLINE {
      return Many<A, 1>{{load<A, T>(x + at + c, m)}};
    });
    group_totals(k, mean, [=](double total) { return static_cast<A>(total / count); });
  }
  /// 1 / sqrt(var + eps) from the sums of squared deviations.
  static void group_scales(const GroupBlock& k, A* squares) {
    const double count = static_cast<double>(k.rows * k.group), eps = k.eps;
    group_totals(k, squares, [=](double total) {
      return static_cast<A>(1.0 / __builtin_sqrt(total / count + eps));
    });
  }
  static void group_norm(const void* x_, const void* w_, const void* b_, void* y_,
                         const GroupBlock& k, void* scratch) {
    const T *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_),
            *b = static_cast<const T*>(b_);
    T* y = static_cast<T*>(y_);
    A *mean = static_cast<A*>(scratch), *scale = mean + k.cols, *shift = scale + k.cols,
      *run = shift + k.cols;
    group_means(x, k, mean, run);
    channel_sums<1>(k, scale, run, [x, mean](int64_t at, int64_t c, auto m) LEGATO_LAMBDA_INLINE {
      V<A> d = load<A, T>(x + at + c, m) - load<A, A>(mean + c, m);
      return Many<A, 1>{{d * d}};
    });
    group_scales(k, scale);
    for_vectors<A>(k.cols, [=](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
      if (w) store<A, A>(scale + c, load<A, A>(scale + c, m) * load<A, T>(w + c, m), m);
      store<A, A>(shift + c, b ? load<A, T>(b + c, m) : V<A>{}, m);
    });
    for (int64_t r = 0; r < k.rows; ++r, x += k.stride, y += k.stride)
      for_vectors<A>(k.cols, [=](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
        V<A> v = (load<A, T>(x + c, m) - load<A, A>(mean + c, m)) * load<A, A>(scale + c, m);
        store<T, A>(y + c, v + load<A, A>(shift + c, m), m);
      });
  }
  static void group_norm_vjp(const void* x_, const void* w_, const void* g_, void* dx_, void* dw_,
                             void* db_, const GroupBlock& k, void* scratch) {
    const T *x = static_cast<const T*>(x_), *w = static_cast<const T*>(w_),
            *g = static_cast<const T*>(g_);
    T* dx = static_cast<T*>(dx_);
    A *dw = static_cast<A*>(dw_), *db = static_cast<A*>(db_);
    // Sums a channel: of squares of d = x - mean, of g, and of g d, one behind the other.
    A *mean = static_cast<A*>(scratch), *scale = mean + k.cols, *c1 = scale + k.cols,
      *c2 = c1 + k.cols;
    A* run = c2 + k.cols;
    group_means(x, k, mean, run);
    channel_sums<3>(k, scale, run, [=](int64_t at, int64_t c, auto m) LEGATO_LAMBDA_INLINE {
      V<A> d = load<A, T>(x + at + c, m) - load<A, A>(mean + c, m),
           cotangent = load<A, T>(g + at + c, m);
      return Many<A, 3>{{d * d, cotangent, cotangent * d}};
    });
    group_scales(k, scale);
    for_vectors<A>(k.cols, [=](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
      store<A, A>(db + c, load<A, A>(c1 + c, m), m);
      store<A, A>(dw + c, load<A, A>(c2 + c, m) * load<A, A>(scale + c, m), m);
    });
    for_vectors<A>(k.cols, [=](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
      V<A> weight = w ? load<A, T>(w + c, m) : splat(A(1));
      store<A, A>(c1 + c, load<A, A>(db + c, m) * weight, m);
      store<A, A>(c2 + c, load<A, A>(dw + c, m) * weight, m);
    });
    const double count = static_cast<double>(k.rows * k.group);
    group_totals(k, c1, [=](double total) { return static_cast<A>(total / count); });
    group_totals(k, c2, [=](double total) { return static_cast<A>(total / count); });
    for (int64_t r = 0; r < k.rows; ++r, x += k.stride, g += k.stride, dx += k.stride)
      for_vectors<A>(k.cols, [=](int64_t c, auto m) LEGATO_LAMBDA_INLINE {
        V<A> s = load<A, A>(scale + c, m),
             xhat = (load<A, T>(x + c, m) - load<A, A>(mean + c, m)) * s;
        V<A> wg = weighted(g, w, c, m);
        store<T, A>(dx + c, s * (wg - load<A, A>(c1 + c, m) - xhat * load<A, A>(c2 + c, m)), m);
      });
  }

  static void add(void* a_, const void* b_, int64_t n) {
    A* a = static_cast<A*>(a_);
    const A* b = static_cast<const A*>(b_);
    for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
      store<A, A>(a + i, load<A, A>(a + i, m) + load<A, A>(b + i, m), m);
    });
  }
  static void finish(const void* acc, void* out, int64_t n) {
    const A* a = static_cast<const A*>(acc);
    T* o = static_cast<T*>(out);
    for_vectors<A>(n, [=](int64_t i, auto m)
                          LEGATO_LAMBDA_INLINE { store<T, A>(o + i, load<A, A>(a + i, m), m); });
  }
  static constexpr NormLoops loops{sizeof(A),      layer_norm,   rms_norm,
                                   layer_norm_vjp, rms_norm_vjp, group_norm,
                                   group_norm_vjp, add,          finish};
};

}  // namespace

const NormLoops& norm_loops(Dtype dtype) {
  return dtype == Dtype::float16    ? Rows<float16_t, float>::loops
         : dtype == Dtype::bfloat16 ? Rows<bfloat16_t, float>::loops
         : dtype == Dtype::float64  ? Rows<double, double>::loops
                                    : Rows<float, float>::loops;
}

}  // namespace legato::cpu::LEGATO_LEVEL
