// Reductions over any axes of any layout.
//
// A group of threads walks one output's elements with four accumulators a thread, which are
// combined in a fixed order: the result does not depend on timing. Where outputs are few, each is
// cut into parts; the block that arrives last combines them, in order.
#include "legato/backends/cuda/lane.cuh"
#include "legato/ops/reduce/reduce.cuh"

namespace legato::cuda {

// --- what is accumulated

template <class T>
struct Accumulated {
  using type = T;
};
template <>
struct Accumulated<f16> {
  using type = float;
};
template <>
struct Accumulated<bf16> {
  using type = float;
};
template <class T>
using Acc = typename Accumulated<T>::type;

template <class T>
LEGATO_INLINE Acc<T> up(T v) {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    return to_float(v);
  else
    return v;
}
template <class T>
inline constexpr bool is_cx = std::is_same_v<T, c64> || std::is_same_v<T, c128>;

template <class A>
LEGATO_INLINE A value_of(int v) {
  if constexpr (is_cx<A>)
    return {static_cast<decltype(A::re)>(v), 0};
  else
    return static_cast<A>(v);
}
template <class A, class T>
LEGATO_INLINE A widen(T v) {
  if constexpr (is_cx<A>)
    return v;
  else
    return static_cast<A>(v);
}
template <class T>
LEGATO_INLINE bool is_nan(T v) {
  if constexpr (is_cx<T>)
    return v.re != v.re || v.im != v.im;
  else
    return v != v;
}
template <class T>
LEGATO_INLINE bool less(T a, T b) {
  if constexpr (is_cx<T>)
    return a.re < b.re || (a.re == b.re && a.im < b.im);
  else
    return a < b;
}

// Note [Reducers]: `first` gives an accumulator for one element, `none` the one of no elements.
// Sums of narrow integers accumulate in the result's width and wrap there.
template <class T, class R>
struct Sum {
  using A = std::conditional_t<std::is_integral_v<T>, R, Acc<T>>;
  static LEGATO_INLINE A none() { return value_of<A>(0); }
  static LEGATO_INLINE A first(T v) { return widen<A>(up(v)); }
  static LEGATO_INLINE A combine(A a, A b) {
    if constexpr (is_cx<A>)
      return {a.re + b.re, a.im + b.im};
    else if constexpr (std::is_integral_v<A> && std::is_signed_v<A>)
      return static_cast<A>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    else
      return a + b;
  }
};
template <class T, class R>
struct Prod {
  using A = std::conditional_t<std::is_integral_v<T>, R, Acc<T>>;
  static LEGATO_INLINE A none() { return value_of<A>(1); }
  static LEGATO_INLINE A first(T v) { return widen<A>(up(v)); }
  static LEGATO_INLINE A combine(A a, A b) {
    if constexpr (is_cx<A>)
      return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    else if constexpr (std::is_integral_v<A>)
      return static_cast<A>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    else
      return a * b;
  }
};
// nan if any is. There is no extreme of nothing: `empty` marks it.
template <class T, bool largest>
struct Extreme {
  struct A {
    Acc<T> value;
    bool empty;
  };
  static LEGATO_INLINE A none() { return {value_of<Acc<T>>(0), true}; }
  static LEGATO_INLINE A first(T v) { return {up(v), false}; }
  static LEGATO_INLINE A combine(A a, A b) {
    if (a.empty) return b;
    if (b.empty || is_nan(a.value)) return a;
    if (is_nan(b.value)) return b;
    return (largest ? less(a.value, b.value) : less(b.value, a.value)) ? b : a;
  }
};
template <class T>
LEGATO_INLINE bool is_true(T v) {
  if constexpr (is_cx<T>)
    return v.re != 0 || v.im != 0;
  else
    return v != T(0);
}
template <class T>
struct All {
  using A = bool;
  static LEGATO_INLINE A none() { return true; }
  static LEGATO_INLINE A first(T v) { return is_true(up(v)); }
  static LEGATO_INLINE A combine(A a, A b) { return a && b; }
};
template <class T>
struct Any {
  using A = bool;
  static LEGATO_INLINE A none() { return false; }
  static LEGATO_INLINE A first(T v) { return is_true(up(v)); }
  static LEGATO_INLINE A combine(A a, A b) { return a || b; }
};

template <class R, class A>
LEGATO_INLINE R finish(A a, double divisor) {
  if constexpr (requires { a.empty; }) {
    return finish<R>(a.value, divisor);
  } else if constexpr (is_cx<A>) {
    if (divisor != 1) {
      a.re /= static_cast<decltype(a.re)>(divisor);
      a.im /= static_cast<decltype(a.im)>(divisor);
    }
    return a;
  } else {
    if constexpr (std::is_floating_point_v<A>)
      if (divisor != 1) a /= static_cast<A>(divisor);
    if constexpr (std::is_same_v<R, f16>)
      return to_f16(a);
    else if constexpr (std::is_same_v<R, bf16>)
      return to_bf16(a);
    else
      return static_cast<R>(a);
  }
}

// --- the walk

LEGATO_INLINE long long offset_of(long long index, int axes, const long long* size,
                                  const long long* stride) {
  long long offset = 0;
  for (int axis = axes - 1; axis > 0; --axis) {
    const long long next = index / size[axis];
    offset += (index - next * size[axis]) * stride[axis];
    index = next;
  }
  return offset + index * stride[0];
}

/// The elements [begin, end) of one output, every `step`-th from begin + first on.
template <class F, class T>
LEGATO_INLINE typename F::A walk(const ReduceParams& p, const T* in, long long begin, long long end,
                                 int first, int step) {
  using A = typename F::A;
  A acc[4] = {F::none(), F::none(), F::none(), F::none()};
  if (p.reduced_axes == 1) {
    const long long stride = p.reduced_stride[0];
    long long i = begin + first;
    for (; i + 3ll * step < end; i += 4ll * step) {
      const T a = in[i * stride], b = in[(i + step) * stride], c = in[(i + 2 * step) * stride],
              d = in[(i + 3ll * step) * stride];
      acc[0] = F::combine(acc[0], F::first(a));
      acc[1] = F::combine(acc[1], F::first(b));
      acc[2] = F::combine(acc[2], F::first(c));
      acc[3] = F::combine(acc[3], F::first(d));
    }
    for (int k = 0; i < end; i += step, ++k)
      acc[k & 3] = F::combine(acc[k & 3], F::first(in[i * stride]));
  } else {
    for (long long i = begin + first; i < end; i += step)
      acc[0] = F::combine(
          acc[0], F::first(in[offset_of(i, p.reduced_axes, p.reduced_size, p.reduced_stride)]));
  }
  return F::combine(F::combine(acc[0], acc[1]), F::combine(acc[2], acc[3]));
}

template <class A>
LEGATO_INLINE A shuffle_down(A v, int by) {
  // In words: __shfl takes numbers only.
  constexpr int words = (sizeof(A) + 3) / 4;
  struct Words {
    uint32_t at[words];
  } w{};
  memcpy(&w, &v, sizeof v);
#pragma unroll
  for (int i = 0; i < words; ++i) w.at[i] = __shfl_down_sync(~0u, w.at[i], by);
  memcpy(&v, &w, sizeof v);
  return v;
}

template <class F, class T, class R>
LEGATO_INLINE void reduce(const ReduceParams& p, unsigned char* shared) {
  using A = typename F::A;
  static_assert(sizeof(A) <= kReduceAccumulator);
  A* sums = reinterpret_cast<A*>(shared);  // one a warp
  const int thread = static_cast<int>(threadIdx.x), group = p.group;
  const int per_block = kReduceThreads / group;
  const long long blocks = (p.n_kept + per_block - 1) / per_block;
  for (long long work = blockIdx.x; work < blocks * p.parts; work += gridDim.x) {
    const long long block = work % blocks, part = work / blocks;
    const long long output = block * per_block + thread / group;
    const bool mine = output < p.n_kept;
    A acc = F::none();
    if (mine) {
      const T* in =
          static_cast<const T*>(p.in) + offset_of(output, p.kept_axes, p.kept_size, p.kept_stride);
      const long long begin = part * p.part_size;
      const long long end = begin + p.part_size < p.n_reduced ? begin + p.part_size : p.n_reduced;
      acc = walk<F, T>(p, in, begin, end, thread % group, group);
    }
    if (group > 1) {
      for (int by = 16; by > 0; by /= 2) acc = F::combine(acc, shuffle_down(acc, by));
      if (group > 32) {
        if (thread % 32 == 0) sums[thread / 32] = acc;
        __syncthreads();
        if (thread == 0)
          for (int warp = 1; warp < kReduceThreads / 32; ++warp) acc = F::combine(acc, sums[warp]);
        __syncthreads();
      }
    }
    const bool leader = mine && thread % group == 0;
    R* out = static_cast<R*>(p.out);
    if (p.parts == 1) {
      if (leader) out[output] = finish<R>(acc, p.divisor);
      continue;
    }
    A* partial = static_cast<A*>(p.partial);
    if (leader) partial[part * p.n_kept + output] = acc;
    __threadfence();
    __syncthreads();
    unsigned* last = reinterpret_cast<unsigned*>(shared);
    if (thread == 0) *last = atomicAdd(&p.counters[block], 1u);
    __syncthreads();
    const bool arrived_last = *last == static_cast<unsigned>(p.parts - 1);
    __syncthreads();
    if (arrived_last && leader) {
      __threadfence();
      acc = F::none();
      for (int i = 0; i < p.parts; ++i) acc = F::combine(acc, partial[i * p.n_kept + output]);
      out[output] = finish<R>(acc, p.divisor);
    }
  }
}

template <class T>
struct Wide {  // as sum's shape rule: narrow integers give 32 bits
  using type = std::conditional_t<
      std::is_integral_v<T> && (sizeof(T) < 4),
      std::conditional_t<std::is_signed_v<T> || std::is_same_v<T, bool>, int32_t, uint32_t>, T>;
};

#define LEGATO_REDUCE(name, F, T, R)                                                  \
  LEGATO_KERNEL(name, ReduceParams, kReduceThreads) {                                 \
    __shared__ __attribute__((                                                        \
        aligned(32))) unsigned char shared[kReduceThreads / 32 * kReduceAccumulator]; \
    reduce<F, T, R>(p, shared);                                                       \
  }
#define LEGATO_COMMA ,
#define LEGATO_REDUCE_ALL(end, T)                                                                 \
  LEGATO_REDUCE(sum_##end, Sum<T LEGATO_COMMA typename Wide<T>::type>, T, typename Wide<T>::type) \
  LEGATO_REDUCE(prod_##end, Prod<T LEGATO_COMMA typename Wide<T>::type>, T,                       \
                typename Wide<T>::type)                                                           \
  LEGATO_REDUCE(max_##end, Extreme<T LEGATO_COMMA true>, T, T)                                    \
  LEGATO_REDUCE(min_##end, Extreme<T LEGATO_COMMA false>, T, T)                                   \
  LEGATO_REDUCE(all_##end, All<T>, T, bool)                                                       \
  LEGATO_REDUCE(any_##end, Any<T>, T, bool)
LEGATO_REDUCE_ALL(bool, bool)
LEGATO_REDUCE_ALL(u8, uint8_t)
LEGATO_REDUCE_ALL(u16, uint16_t)
LEGATO_REDUCE_ALL(u32, uint32_t)
LEGATO_REDUCE_ALL(u64, uint64_t)
LEGATO_REDUCE_ALL(i8, int8_t)
LEGATO_REDUCE_ALL(i16, int16_t)
LEGATO_REDUCE_ALL(i32, int32_t)
LEGATO_REDUCE_ALL(i64, int64_t)
LEGATO_REDUCE_ALL(f16, f16)
LEGATO_REDUCE_ALL(bf16, bf16)
LEGATO_REDUCE_ALL(f32, float)
LEGATO_REDUCE_ALL(f64, double)
LEGATO_REDUCE_ALL(c64, c64)
LEGATO_REDUCE_ALL(c128, c128)

}  // namespace legato::cuda
