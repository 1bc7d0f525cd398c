#include "legato/backends/cpu/lanes.h"
#include "legato/ops/arg_reduce/kernels.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

/// Index of the first element of [begin, end) that equals `value`, or is nan if `value` is.
template <class T, class A>
int64_t find(const T* x, int64_t begin, int64_t end, A value) {
  constexpr int W = kWidth<A>;
  const V<A> wanted = splat(value);
  const bool nan = value != value;
  int64_t i = begin;
  for (; i + W <= end; i += W) {
    V<A> v = load<A, T>(x + i);
    pointwise::Mask<sizeof(A)> hit;
    hit.raw = reinterpret_cast<decltype(hit.raw)>(nan ? v != v : v == wanted);
    if (pointwise::any(hit)) break;
  }
  for (; i < end; ++i) {
    A v = load<A, T>(x + i, 1)[0];
    if (nan ? v != v : v == value) return i;
  }
  return begin;
}

/// Remembers whether a nan was among the vectors that it was shown.
template <class A>
class NanSeen {
 public:
  LEGATO_INLINE void show(V<A> a, V<A> b) {  // one comparison for both
    if constexpr (!std::is_floating_point_v<A>) return;
#if defined(LEGATO_LEVEL_AVX512)
    if constexpr (std::is_same_v<A, float>)
      mask_ |= _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_UNORD_Q);
    else if constexpr (std::is_same_v<A, double>)
      mask_ |= _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_UNORD_Q);
#else
    lanes_ |= (a != a) | (b != b);
#endif
  }
  LEGATO_INLINE bool any() const {
#if defined(LEGATO_LEVEL_AVX512)
    return mask_ != 0;
#else
    pointwise::Mask<sizeof(A)> hit;
    hit.raw = reinterpret_cast<decltype(hit.raw)>(lanes_);
    return pointwise::any(hit);
#endif
  }

 private:
#if defined(LEGATO_LEVEL_AVX512)
  unsigned mask_ = 0;
#else
  decltype(V<A>{} != V<A>{}) lanes_ = {};
#endif
};

/// `x` where it is beyond `a`, else `a`; what it gives for nans does not matter.
template <class Op, class A>
LEGATO_INLINE V<A> beyond(V<A> a, V<A> x) {
  constexpr bool largest = std::is_same_v<Op, MaxOp>;
#if defined(LEGATO_LEVEL_AVX512)
  if constexpr (std::is_same_v<A, float>)
    return (V<A>)(largest ? _mm512_max_ps((__m512)x, (__m512)a)
                          : _mm512_min_ps((__m512)x, (__m512)a));
  else if constexpr (std::is_same_v<A, double>)
    return (V<A>)(largest ? _mm512_max_pd((__m512d)x, (__m512d)a)
                          : _mm512_min_pd((__m512d)x, (__m512d)a));
#elif defined(LEGATO_LEVEL_AVX2)
  if constexpr (std::is_same_v<A, float>)
    return (V<A>)(largest ? _mm256_max_ps((__m256)x, (__m256)a)
                          : _mm256_min_ps((__m256)x, (__m256)a));
  else if constexpr (std::is_same_v<A, double>)
    return (V<A>)(largest ? _mm256_max_pd((__m256d)x, (__m256d)a)
                          : _mm256_min_pd((__m256d)x, (__m256d)a));
#endif
  return (largest ? x > a : x < a) ? x : a;
}

/// The extreme of elements [begin, end), or nan if there is one. Unlike a reduction it has no order
/// to keep: four vectors run side by side.
template <class Op, class T, class A>
A extreme_of(const T* x, int64_t begin, int64_t end) {
  constexpr int W = kWidth<A>;
  const V<A> identity = splat<A>(Op::template identity<A>());
  V<A> a = identity, b = identity, c = identity, d = identity;
  NanSeen<A> nan;
  int64_t i = begin;
  for (; i + 4 * W <= end; i += 4 * W) {
    const V<A> p = load<A, T>(x + i), q = load<A, T>(x + i + W);
    const V<A> r = load<A, T>(x + i + 2 * W), s = load<A, T>(x + i + 3 * W);
    a = beyond<Op, A>(a, p);
    b = beyond<Op, A>(b, q);
    c = beyond<Op, A>(c, r);
    d = beyond<Op, A>(d, s);
    nan.show(p, q);
    nan.show(r, s);
  }
  for (; i + W <= end; i += W) {
    const V<A> p = load<A, T>(x + i);
    a = beyond<Op, A>(a, p);
    nan.show(p, p);
  }
  if (i < end) {
    const int rest = static_cast<int>(end - i);
    const V<A> p = keep_lanes<A>(load<A, T>(x + i, rest), identity, rest);
    b = beyond<Op, A>(b, p);
    nan.show(p, p);
  }
  if constexpr (std::is_floating_point_v<A>)
    if (nan.any()) return static_cast<A>(__builtin_nan(""));
  V<A> v = beyond<Op, A>(beyond<Op, A>(a, b), beyond<Op, A>(c, d));
  using Index = pointwise::int_of<A>;
#pragma GCC unroll 8
  for (int half = W / 2; half >= 1; half /= 2)
    v = beyond<Op, A>(v, __builtin_shuffle(v, iota<Index>() ^ static_cast<Index>(half)));
  return v[0];
}

// The extreme of a block says whether it beats what was before; its place is looked for at the end,
// in the block that has won.
template <class Op, class T, class A>
void rows_of(const void* from, uint32_t* out, int64_t n, int64_t rows) {
  constexpr int64_t kPiece = 4 * kBlock<A>;
  const T* x = static_cast<const T*>(from);
  for (int64_t r = 0; r < rows; ++r, x += n) {
    A best = Op::template identity<A>();
    int64_t winner = -1;  // none: all are as little beyond it as can be, and the first one is first
    for (int64_t begin = 0; begin < n; begin += kPiece) {
      const A value = extreme_of<Op, T, A>(x, begin, n - begin < kPiece ? n : begin + kPiece);
      const bool better = std::is_same_v<Op, MaxOp> ? value > best : value < best;
      if (!better && value == value) continue;
      best = value;
      winner = begin;
      if (value != value) break;
    }
    if (winner >= 0)
      winner = find<T, A>(x, winner, n - winner < kPiece ? n : winner + kPiece, best);
    out[r] = static_cast<uint32_t>(winner < 0 ? 0 : winner);
  }
}

template <class Op>
ArgLoop choose(Dtype dtype) {
  static constexpr ArgLoop table[kDtypeCount] = {rows_of<Op, uint8_t, uint8_t>,
                                                 rows_of<Op, uint8_t, uint8_t>,
                                                 rows_of<Op, uint16_t, uint16_t>,
                                                 rows_of<Op, uint32_t, uint32_t>,
                                                 rows_of<Op, uint64_t, uint64_t>,
                                                 rows_of<Op, int8_t, int8_t>,
                                                 rows_of<Op, int16_t, int16_t>,
                                                 rows_of<Op, int32_t, int32_t>,
                                                 rows_of<Op, int64_t, int64_t>,
                                                 rows_of<Op, float16_t, float>,
                                                 rows_of<Op, bfloat16_t, float>,
                                                 rows_of<Op, float, float>,
                                                 rows_of<Op, double, double>,
                                                 nullptr,
                                                 nullptr};
  return table[static_cast<int>(dtype)];
}

}  // namespace

ArgLoop arg_loop(bool largest, Dtype dtype) {
  return largest ? choose<MaxOp>(dtype) : choose<MinOp>(dtype);
}

}  // namespace legato::cpu::LEGATO_LEVEL
