// Vectors, conversions and fixed-tree reductions for the row kernels (reduce, softmax, norm, ...).
// Only for *.simd.cpp: everything lies in the namespace of the vector level, with internal linkage.
//
// Note [Fixed tree]: a row is cut into blocks of kBlockSteps * L elements, where L lanes are 128
// bytes whatever the vector width. In a block, lane j adds x[j], x[j + L], ... in order; blocks are
// added pairwise, lane by lane, in the order of a binary counter; at the end the lanes are folded
// in halves. The order of the additions thus depends on the length of the row alone, not on threads
// or vector width, and the error grows as that of pairwise summation does.
#pragma once

#include <cstdint>
#include <type_traits>

#include "legato/array/dtype.h"
#include "legato/backends/cpu/simd.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

// Lambdas that hand vectors to the loops below must melt into them.
#define LEGATO_LAMBDA_INLINE __attribute__((always_inline))

using pointwise::kVectorBytes;
inline constexpr int kLaneBytes = 128;
inline constexpr int kBlockSteps = 32;
inline constexpr int kChunkBlocks = 64;  // a chunk is what one task of a long row does

template <class A>
using V = pointwise::Raw<A>;
template <class A>
inline constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(A));
template <class A>
inline constexpr int kLanes = kLaneBytes / static_cast<int>(sizeof(A));
template <class A>
inline constexpr int kVectors = kLaneBytes / kVectorBytes;
template <class A>
inline constexpr int64_t kBlock = int64_t{kBlockSteps} * kLanes<A>;
template <class A>
inline constexpr int64_t kChunk = kBlock<A> * kChunkBlocks;

template <class A>
LEGATO_INLINE V<A> splat(A x) {
  return x - V<A>{};
}
template <class I>
LEGATO_INLINE V<I> iota() {
  V<I> v;
  for (int i = 0; i < kWidth<I>; ++i) v[i] = static_cast<I>(i);
  return v;
}

/// How many elements a partial load or store touches: Full{} or an int below the width.
struct Full {};

// --- loads and stores
// ------------------------------------------------------------------------------

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>;

/// The width of A elements of T from p, converted to A.
template <class A, class T>
LEGATO_INLINE V<A> load(const T* p, Full = {}) {
  if constexpr (kIsHalf<T>) {
    static_assert(std::is_same_v<A, float>);
    if constexpr (std::is_same_v<T, float16_t>)
      return pointwise::load_f16(&p->bits).raw;
    else
      return pointwise::load_bf16(&p->bits).raw;
  } else if constexpr (sizeof(T) == sizeof(A)) {
    V<A> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  } else {
    typename pointwise::RawOf<T, kWidth<A>* static_cast<int>(sizeof(T))>::type v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, V<A>);
  }
}
/// The first n lanes from p, the others 0.
template <class A, class T>
LEGATO_INLINE V<A> load(const T* p, int n) {
  if constexpr (std::is_same_v<T, A>) return pointwise::load_part(p, n).raw;
  if (n < 0 || n > kWidth<A>) __builtin_unreachable();
  alignas(16) unsigned char buffer[kWidth<A> * sizeof(T)] = {};
  __builtin_memcpy(buffer, p, static_cast<size_t>(n) * sizeof(T));
  return load<A, T>(reinterpret_cast<const T*>(buffer));
}

template <class T, class A>
LEGATO_INLINE void store(T* p, V<A> v, Full = {}) {
  if constexpr (kIsHalf<T>) {
    if constexpr (std::is_same_v<T, float16_t>)
      pointwise::store_f16(&p->bits, pointwise::Vec<float>::of(v));
    else
      pointwise::store_bf16(&p->bits, pointwise::Vec<float>::of(v));
  } else if constexpr (std::is_same_v<T, A>) {
    __builtin_memcpy(p, &v, sizeof v);
  } else {
    auto w = __builtin_convertvector(
        v, typename pointwise::RawOf<T, kWidth<A>* static_cast<int>(sizeof(T))>::type);
    __builtin_memcpy(p, &w, sizeof w);
  }
}
template <class T, class A>
LEGATO_INLINE void store(T* p, V<A> v, int n) {
  if constexpr (std::is_same_v<T, A>) return pointwise::store_part(p, pointwise::Vec<A>::of(v), n);
  alignas(16) unsigned char buffer[kWidth<A> * sizeof(T)];
  store<T, A>(reinterpret_cast<T*>(buffer), v);
  __builtin_memcpy(static_cast<void*>(p), buffer, static_cast<size_t>(n) * sizeof(T));
}

/// Calls f(i, Full{}) for each whole vector of [0, n) and f(i, rest) for what remains.
template <class A, class F>
LEGATO_INLINE void for_vectors(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth<A> <= n; i += kWidth<A>) f(i, Full{});
  if (i < n) f(i, static_cast<int>(n - i));
}

template <class A>
LEGATO_INLINE V<A> keep_lanes(V<A> v, V<A>, Full) {
  return v;
}
/// Lanes from n on become those of `other`.
template <class A>
LEGATO_INLINE V<A> keep_lanes(V<A> v, V<A> other, int n) {
  using I = pointwise::int_of<A>;
  auto kept = iota<I>() < splat<I>(static_cast<I>(n));
  return kept ? v : other;
}

// --- reductions
// ------------------------------------------------------------------------------------

struct SumOp {
  template <class A>
  static constexpr A identity() {
    return A(0);
  }
  template <class U>
  LEGATO_INLINE static U combine(U a, U b) {
    return a + b;
  }
};

template <class U>
inline constexpr bool is_float_vector =
    std::is_floating_point_v<std::remove_reference_t<decltype(U{}[0])>>;

/// `a`, or `x` where it is beyond `a` or nan: how an extreme goes on. x86 has an instruction that
/// gives its second operand where one is nan; beside it, nans of x are put in by one select, so
/// that an extreme waits for its last value through two instructions.
template <bool largest, class U>
LEGATO_INLINE U extreme(U a, U x) {
#if defined(LEGATO_LEVEL_AVX512)
  if constexpr (sizeof(U) == 64 && sizeof(U{}[0]) == 4) {
    const __m512 v = (__m512)x, w = (__m512)a;
    const __m512 r = largest ? _mm512_max_ps(v, w) : _mm512_min_ps(v, w);
    return (U)_mm512_mask_mov_ps(r, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), v);
  } else if constexpr (sizeof(U) == 64) {
    const __m512d v = (__m512d)x, w = (__m512d)a;
    const __m512d r = largest ? _mm512_max_pd(v, w) : _mm512_min_pd(v, w);
    return (U)_mm512_mask_mov_pd(r, _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q), v);
  }
#elif defined(LEGATO_LEVEL_AVX2)
  if constexpr (sizeof(U) == 32 && sizeof(U{}[0]) == 4) {
    const __m256 v = (__m256)x, w = (__m256)a;
    const __m256 r = largest ? _mm256_max_ps(v, w) : _mm256_min_ps(v, w);
    return (U)_mm256_blendv_ps(r, v, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  } else if constexpr (sizeof(U) == 32) {
    const __m256d v = (__m256d)x, w = (__m256d)a;
    const __m256d r = largest ? _mm256_max_pd(v, w) : _mm256_min_pd(v, w);
    return (U)_mm256_blendv_pd(r, v, _mm256_cmp_pd(v, v, _CMP_UNORD_Q));
  }
#endif
  const auto beyond = largest ? x > a : x < a;
  return (beyond | (x != x)) ? x : a;
}

/// Largest value; nan if there is one.
struct MaxOp {
  template <class A>
  static constexpr A identity() {
    if constexpr (std::is_floating_point_v<A>)
      return -static_cast<A>(__builtin_inf());
    else if constexpr (std::is_signed_v<A>)
      return static_cast<A>(A(1) << (sizeof(A) * 8 - 1));
    else
      return A(0);
  }
  template <class U>
  LEGATO_INLINE static U combine(U a, U b) {
    if constexpr (is_float_vector<U>) return extreme<true>(a, b);
    return b > a ? b : a;
  }
};

/// Smallest value; nan if there is one.
struct MinOp {
  template <class A>
  static constexpr A identity() {
    if constexpr (std::is_floating_point_v<A>)
      return static_cast<A>(__builtin_inf());
    else if constexpr (std::is_signed_v<A>)
      return static_cast<A>(~(A(1) << (sizeof(A) * 8 - 1)));
    else
      return static_cast<A>(~A(0));
  }
  template <class U>
  LEGATO_INLINE static U combine(U a, U b) {
    if constexpr (is_float_vector<U>) return extreme<false>(a, b);
    return b < a ? b : a;
  }
};
/// The 128 bytes of lanes as vectors.
template <class A>
struct Block {
  V<A> v[kVectors<A>];
};

template <class Op, class A>
LEGATO_INLINE void combine_into(Block<A>& a, const Block<A>& b) {
#pragma GCC unroll 8
  for (int i = 0; i < kVectors<A>; ++i) a.v[i] = Op::combine(a.v[i], b.v[i]);
}

/// K vectors: what a row gives at one place if K sums run at once.
template <class A, int K>
struct Many {
  V<A> v[K];
};
template <class A, int K>
struct Blocks {
  Block<A> sum[K];
};

/// Lanes of elements [begin, end) of a row, at most one block, of K reductions at once. get(i,
/// Full{}) gives the K vectors that start at i, get(i, n) their first n lanes.
template <class Op, class A, int K, class Get>
LEGATO_INLINE Blocks<A, K> reduce_block(int64_t begin, int64_t end, Get get) {
  constexpr int W = kWidth<A>, L = kLanes<A>;
  Blocks<A, K> acc;
  const V<A> identity = splat<A>(Op::template identity<A>());
  int64_t i = begin;
  auto take = [&](int v, Many<A, K> x) LEGATO_LAMBDA_INLINE {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) acc.sum[k].v[v] = Op::combine(acc.sum[k].v[v], x.v[k]);
  };
  if (end - begin >= L) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors<A>; ++v) {
      Many<A, K> x = get(i + v * W, Full{});
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) acc.sum[k].v[v] = x.v[k];
    }
    for (i += L; i + L <= end; i += L) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors<A>; ++v) take(v, get(i + v * W, Full{}));
    }
  } else {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors<A>; ++v) acc.sum[k].v[v] = identity;
  }
  if (i < end) {
    const int whole = static_cast<int>(end - i) / W, rest = static_cast<int>(end - i) % W;
    Many<A, K> last;
    for (int k = 0; k < K; ++k) last.v[k] = identity;
    if (rest) {
      last = get(i + whole * W, rest);
      for (int k = 0; k < K; ++k) last.v[k] = keep_lanes<A>(last.v[k], identity, rest);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors<A>; ++v) {
      if (v < whole)
        take(v, get(i + v * W, Full{}));
      else if (v == whole)
        take(v, last);
    }
  }
  return acc;
}

/// Lanes of elements [begin, end) of a row: blocks combined in the order of a binary counter.
template <class Op, class A, int K, class Get>
LEGATO_INLINE Blocks<A, K> reduce_lanes(int64_t begin, int64_t end, Get get) {
  auto combine = [](Blocks<A, K>& a, const Blocks<A, K>& b) LEGATO_LAMBDA_INLINE {
    for (int k = 0; k < K; ++k) combine_into<Op>(a.sum[k], b.sum[k]);
  };
  Blocks<A, K> stack[48];
  int depth = 0;
  uint64_t count = 0;
  for (int64_t i = begin; i < end || count == 0; i += kBlock<A>) {
    int64_t stop = end - i < kBlock<A> ? end : i + kBlock<A>;
    Blocks<A, K> block = reduce_block<Op, A, K>(i, stop, get);
    for (uint64_t c = count++; c & 1; c >>= 1) {
      Blocks<A, K> older = stack[--depth];
      combine(older, block);
      block = older;
    }
    stack[depth++] = block;
  }
  Blocks<A, K> result = stack[--depth];
  while (depth > 0) {
    Blocks<A, K> older = stack[--depth];
    combine(older, result);
    result = older;
  }
  return result;
}

/// Folds the lanes in halves to one value.
template <class Op, class A>
LEGATO_INLINE A fold(Block<A> b) {
#pragma GCC unroll 8
  for (int half = kVectors<A> / 2; half >= 1; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) b.v[i] = Op::combine(b.v[i], b.v[i + half]);
  V<A> v = b.v[0];
  using Index = pointwise::int_of<A>;
#pragma GCC unroll 8
  for (int half = kWidth<A> / 2; half >= 1; half /= 2)
    v = Op::combine(v, __builtin_shuffle(v, iota<Index>() ^ static_cast<Index>(half)));
  return v[0];
}

/// One value from a row of any length; get gives one vector.
template <class Op, class A, class Get>
LEGATO_INLINE A reduce_row(int64_t n, Get get) {
  auto one = [get](int64_t i, auto m) LEGATO_LAMBDA_INLINE { return Many<A, 1>{{get(i, m)}}; };
  return fold<Op, A>(reduce_lanes<Op, A, 1>(0, n, one).sum[0]);
}

/// K sums over a row of any length; get gives Many<A, K>.
template <class A, int K>
struct Sums {
  A v[K];
};
template <class A, int K, class Get>
LEGATO_INLINE Sums<A, K> sum_row(int64_t n, Get get) {
  Blocks<A, K> lanes = reduce_lanes<SumOp, A, K>(0, n, get);
  Sums<A, K> sums;
  for (int k = 0; k < K; ++k) sums.v[k] = fold<SumOp, A>(lanes.sum[k]);
  return sums;
}

}  // namespace
}  // namespace legato::cpu::LEGATO_LEVEL
