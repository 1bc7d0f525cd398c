// Reading and writing places that index arrays name.
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/report.cuh"
#include "legato/ops/index/index.cuh"

namespace legato::cuda {

struct alignas(16) Sixteen {
  uint64_t half[2];
};

LEGATO_INLINE long long walk(long long index, int axes, const long long* size,
                             const long long* stride) {
  long long offset = 0;
  for (int axis = axes - 1; axis > 0; --axis) {
    const long long next = index / size[axis];
    offset += (index - next * size[axis]) * stride[axis];
    index = next;
  }
  return axes > 0 ? offset + index * stride[0] : 0;
}

LEGATO_INLINE long long read_index(const void* p, int bytes, long long i) {
  switch (bytes) {
    case -1:
      return static_cast<const int8_t*>(p)[i];
    case -2:
      return static_cast<const int16_t*>(p)[i];
    case -4:
      return static_cast<const int32_t*>(p)[i];
    case -8:
      return static_cast<const int64_t*>(p)[i];
    case 1:
      return static_cast<const uint8_t*>(p)[i];
    case 2:
      return static_cast<const uint16_t*>(p)[i];
    case 4:
      return static_cast<const uint32_t*>(p)[i];
    default:
      return static_cast<long long>(static_cast<const uint64_t*>(p)[i]);
  }
}

/// The offset of an index place. An index out of range is reported, and gives false: nothing is to
/// be read or written there.
LEGATO_INLINE bool index_offset(const PlacesParams& p, long long i, long long& offset) {
  offset = walk(i, p.index_axes, p.index_size, p.index_stride);
  for (int k = 0; k < p.terms; ++k) {
    const long long v = read_index(p.term_data[k], p.term_bytes[k], i);
    const bool huge = p.term_bytes[k] == 8 && v < 0;  // unsigned, beyond int64
    const long long at = v < 0 && !huge ? v + p.term_size[k] : v;
    if (huge || at < 0 || at >= p.term_size[k]) {
      report_value(p.report, huge ? ~p.term_axis[k] : p.term_axis[k], v, p.term_size[k]);
      return false;
    }
    offset += at * p.term_stride[k];
  }
  return true;
}

template <class T>
LEGATO_INLINE void gather(const GatherParams& g) {
  const PlacesParams& p = g.places;
  const long long n = p.n_outer * p.n_index * p.n_inner;
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    const long long row = e / p.n_inner, j = e - row * p.n_inner;
    const long long o = row / p.n_index, i = row - o * p.n_index;
    long long offset;
    if (!index_offset(p, i, offset)) continue;
    offset += walk(o, p.outer_axes, p.outer_size, p.outer_stride) +
              walk(j, p.inner_axes, p.inner_size, p.inner_stride);
    static_cast<T*>(g.to)[e] = static_cast<const T*>(g.from)[offset];
  }
}
LEGATO_KERNEL(gather_1, GatherParams, 256) { gather<uint8_t>(p); }
LEGATO_KERNEL(gather_2, GatherParams, 256) { gather<uint16_t>(p); }
LEGATO_KERNEL(gather_4, GatherParams, 256) { gather<uint32_t>(p); }
LEGATO_KERNEL(gather_8, GatherParams, 256) { gather<uint64_t>(p); }
LEGATO_KERNEL(gather_16, GatherParams, 256) { gather<Sixteen>(p); }

LEGATO_KERNEL(index_offsets, OffsetsParams, 256) {
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < p.places.n_index; i += step) {
    long long offset;
    p.offsets[i] = index_offset(p.places, i, offset) ? offset : -1;
  }
}

enum Mode { kSet, kAdd, kMultiply, kDivide, kMaximum, kMinimum };

template <class T>
LEGATO_INLINE bool less(T a, T b) {
  if constexpr (std::is_same_v<T, c64> || std::is_same_v<T, c128>)
    return a.re < b.re || (a.re == b.re && a.im < b.im);
  else
    return a < b;
}
template <class T>
LEGATO_INLINE bool is_nan(T a) {
  if constexpr (std::is_same_v<T, c64> || std::is_same_v<T, c128>)
    return a.re != a.re || a.im != a.im;
  else
    return a != a;
}
template <class T>
LEGATO_INLINE Complex<T> divide(Complex<T> a, Complex<T> b) {  // Smith
  const T are = a.re, aim = a.im;
  const bool wide = (b.re < 0 ? -b.re : b.re) >= (b.im < 0 ? -b.im : b.im);
  const T p = wide ? b.re : b.im, q = wide ? b.im : b.re;
  const T r = p == 0 ? T(0) : q / p, d = p + q * r;
  return {(wide ? are + aim * r : are * r + aim) / d, (wide ? aim - are * r : aim * r - are) / d};
}

template <class T>
LEGATO_INLINE T combine(int mode, T a, T u) {
  if (mode == kSet) return u;
  if constexpr (std::is_same_v<T, f16>) {
    return to_f16(combine<float>(mode, to_float(a), to_float(u)));
  } else if constexpr (std::is_same_v<T, bf16>) {
    return to_bf16(combine<float>(mode, to_float(a), to_float(u)));
  } else {
    if (mode == kMaximum) return less(u, a) || is_nan(a) ? a : u;
    if (mode == kMinimum) return less(a, u) || is_nan(a) ? a : u;
    if constexpr (std::is_same_v<T, bool>) {
      return mode == kAdd ? a || u : a && u;
    } else if constexpr (std::is_integral_v<T>) {
      using U = std::conditional_t<(sizeof(T) < 8), uint32_t, uint64_t>;
      if (mode == kAdd) return static_cast<T>(static_cast<U>(a) + static_cast<U>(u));
      if (mode == kMultiply) return static_cast<T>(static_cast<U>(a) * static_cast<U>(u));
      if (u == 0) return 0;
      if constexpr (std::is_signed_v<T>)
        if (u == T(-1)) return static_cast<T>(U{0} - static_cast<U>(a));
      return static_cast<T>(a / u);
    } else if constexpr (std::is_same_v<T, c64> || std::is_same_v<T, c128>) {
      if (mode == kAdd) return {a.re + u.re, a.im + u.im};
      if (mode == kMultiply) return {a.re * u.re - a.im * u.im, a.re * u.im + a.im * u.re};
      return divide(a, u);
    } else {
      return mode == kAdd ? a + u : mode == kMultiply ? a * u : a / u;
    }
  }
}

/// See ScatterParams. `mine` collects, in order, which of a chunk of places belong to the block.
template <class T>
LEGATO_INLINE void scatter(const ScatterParams& s, int* mine, int* counts) {
  const PlacesParams& p = s.places;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int range = static_cast<int>(blockIdx.x) % s.ranges,
            piece = static_cast<int>(blockIdx.x) / s.ranges;
  const long long first = s.range / s.ranges * range,
                  last = range == s.ranges - 1 ? s.range : first + s.range / s.ranges;
  const long long columns = p.n_outer * p.n_inner;
  const long long per_piece = (columns + s.pieces - 1) / s.pieces;
  const long long begin = per_piece * piece,
                  end = begin + per_piece < columns ? begin + per_piece : columns;
  for (long long chunk = 0; chunk < p.n_index; chunk += kScatterThreads) {
    const long long i = chunk + thread;
    bool owned = false;
    if (i < p.n_index) {
      const long long at = s.offsets[i];
      owned = at >= first && at < last;
    }
    const unsigned votes = __ballot_sync(~0u, owned);
    if (lane == 0) counts[warp] = __popc(votes);
    __syncthreads();
    int before = 0, total = 0;
    for (int w = 0; w < kScatterThreads / 32; ++w) {
      if (w < warp) before += counts[w];
      total += counts[w];
    }
    if (owned) mine[before + __popc(votes & ((1u << lane) - 1))] = thread;
    __syncthreads();
    // A thread keeps to its columns, so that the updates of one element come in order.
    for (long long column = begin + thread; column < end && total > 0; column += kScatterThreads) {
      const long long o = column / p.n_inner, j = column - o * p.n_inner;
      T* to = static_cast<T*>(s.to) + walk(o, p.outer_axes, p.outer_size, p.outer_stride) +
              walk(j, p.inner_axes, p.inner_size, p.inner_stride);
      for (int k = 0; k < total; ++k) {
        const long long place = chunk + mine[k];
        const T u = static_cast<const T*>(
            s.updates)[s.single ? 0 : (o * p.n_index + place) * p.n_inner + j];
        T& v = to[s.offsets[place]];
        v = combine<T>(s.mode, v, u);
      }
    }
    __syncthreads();
  }
}

#define LEGATO_SCATTER(end, T)                                   \
  LEGATO_KERNEL(scatter_##end, ScatterParams, kScatterThreads) { \
    __shared__ int mine[kScatterThreads];                        \
    __shared__ int counts[kScatterThreads / 32];                 \
    scatter<T>(p, mine, counts);                                 \
  }
LEGATO_SCATTER(bool, bool)
LEGATO_SCATTER(u8, uint8_t)
LEGATO_SCATTER(u16, uint16_t)
LEGATO_SCATTER(u32, uint32_t)
LEGATO_SCATTER(u64, uint64_t)
LEGATO_SCATTER(i8, int8_t)
LEGATO_SCATTER(i16, int16_t)
LEGATO_SCATTER(i32, int32_t)
LEGATO_SCATTER(i64, int64_t)
LEGATO_SCATTER(f16, f16)
LEGATO_SCATTER(bf16, bf16)
LEGATO_SCATTER(f32, float)
LEGATO_SCATTER(f64, double)
LEGATO_SCATTER(c64, c64)
LEGATO_SCATTER(c128, c128)

}  // namespace legato::cuda
