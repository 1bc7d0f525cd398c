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

// The extreme of a block says whether it beats what was before; only then is its place looked for,
// while the block is in the cache.
template <class Op, class T, class A>
void rows_of(const void* from, uint32_t* out, int64_t n, int64_t rows) {
  const T* x = static_cast<const T*>(from);
  for (int64_t r = 0; r < rows; ++r, x += n) {
    A best = Op::template identity<A>();
    int64_t at = 0;
    for (int64_t begin = 0; begin < n; begin += kBlock<A>) {
      const int64_t end = n - begin < kBlock<A> ? n : begin + kBlock<A>;
      const A value = fold<Op, A>(
          reduce_block<Op, A, 1>(begin, end, [x](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
            return Many<A, 1>{{load<A, T>(x + i, m)}};
          }).sum[0]);
      const bool better = std::is_same_v<Op, MaxOp> ? value > best : value < best;
      if (better || value != value) {
        best = value;
        at = find<T, A>(x, begin, end, value);
        if (value != value) break;
      }
    }
    out[r] = static_cast<uint32_t>(at);
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
