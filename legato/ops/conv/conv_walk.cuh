// What the convolution kernels share: walks over positions and taps, and what a block does.
#pragma once

#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/conv/conv.cuh"

namespace legato::cuda {

template <class A>
LEGATO_INLINE A add_product(A sum, A x, A y) {
  if constexpr (std::is_same_v<A, float>)
    return ::fmaf(x, y, sum);
  else
    return ::fma(x, y, sum);
}

struct alignas(16) Four {
  float v[4];
};
LEGATO_INLINE Four four_at(const float* p) { return *reinterpret_cast<const Four*>(p); }

LEGATO_INLINE Four plus(Four a, Four b) {
  for (int j = 0; j < 4; ++j) a.v[j] += b.v[j];
  return a;
}

/// A walk over positions or taps, last axis fastest.
struct Walker {
  int at[3];
  LEGATO_INLINE void start(long long index, const int* sizes) {
    for (int d = 2; d > 0; --d) {
      at[d] = static_cast<int>(index % sizes[d]);
      index /= sizes[d];
    }
    at[0] = static_cast<int>(index);  // runs past its size where the walk is over
  }
  LEGATO_INLINE void next(const int* sizes) {
    if (++at[2] < sizes[2]) return;
    at[2] = 0;
    if (++at[1] < sizes[1]) return;
    at[1] = 0;
    ++at[0];
  }
};
/// Which tap, and which channel of it, a term of the sum is.
struct Term {
  Walker tap;
  int channel;
  LEGATO_INLINE void start(long long index, const ConvParams& p) {
    channel = static_cast<int>(index % p.gathered_channels);
    tap.start(index / p.gathered_channels, p.kernel);
  }
  LEGATO_INLINE void advance(int by, const ConvParams& p) {
    for (channel += by; channel >= p.gathered_channels; channel -= p.gathered_channels)
      tap.next(p.kernel);
  }
};
LEGATO_INLINE int taps_of(const ConvParams& p) { return p.kernel[0] * p.kernel[1] * p.kernel[2]; }

/// Where the walk at `base` meets the gathered tensor through `tap`; -1: nowhere. In positions of a
/// sample.
LEGATO_INLINE long long meeting(const ConvParams& p, const int* base, const int* tap) {
  long long at = 0;
  bool inside = tap[0] < p.kernel[0];
  for (int d = 0; d < 3; ++d) {
    int u = base[d] + tap[d] * p.meet.step[d];
    if (p.meet.div[d] != 1) {
      inside = inside && u % p.meet.div[d] == 0;
      u /= p.meet.div[d];
    }
    inside = inside && u >= 0 && u < p.meet.size[d];
    at = at * p.meet.size[d] + u;
  }
  return inside ? at : -1;
}
/// Takes an index of positions of samples apart; returns the sample.
LEGATO_INLINE unsigned take_apart(unsigned index, const int* sizes, int* at) {
  for (int d = 2; d >= 0; --d) {
    const unsigned next = index / static_cast<unsigned>(sizes[d]);
    at[d] = static_cast<int>(index - next * static_cast<unsigned>(sizes[d]));
    index = next;
  }
  return index;
}
/// As meeting(), in 32 bits. `plain`: nothing is divided.
LEGATO_INLINE int meeting_narrow(const ConvParams& p, bool plain, const int* base, const int* tap) {
  int at = 0;
  bool inside = tap[0] < p.kernel[0];
  if (plain) {
#pragma unroll
    for (int d = 0; d < 3; ++d) {
      const int u = base[d] + tap[d] * p.meet.step[d];
      inside = inside && static_cast<unsigned>(u) < static_cast<unsigned>(p.meet.size[d]);
      at = at * p.meet.size[d] + u;
    }
    return inside ? at : -1;
  }
  return static_cast<int>(meeting(p, base, tap));
}
LEGATO_INLINE bool is_plain(const ConvParams& p) {
  return p.meet.div[0] == 1 && p.meet.div[1] == 1 && p.meet.div[2] == 1;
}
LEGATO_INLINE void base_of(const ConvParams& p, const int* position, int* base) {
  for (int d = 0; d < 3; ++d) base[d] = position[d] * p.meet.mul[d] + p.meet.add[d];
}
LEGATO_INLINE long long positions_of(const int* sizes) {
  return static_cast<long long>(sizes[0]) * sizes[1] * sizes[2];
}

/// Which tile, group and split a block does.
struct Job {
  long long row0, split, terms_from, terms_to;
  int col0, group;
};
template <int tile_rows, int tile_cols>
LEGATO_INLINE Job job_of(const ConvParams& p, long long rows, long long cols, long long terms) {
  const long long tiles_n = (cols + tile_cols - 1) / tile_cols,
                  tiles_m = (rows + tile_rows - 1) / tile_rows;
  long long block = blockIdx.x;
  Job job;
  job.col0 = static_cast<int>(block % tiles_n) * tile_cols;
  block /= tiles_n;
  job.row0 = block % tiles_m * tile_rows;
  block /= tiles_m;
  job.group = static_cast<int>(block % p.groups);
  job.split = block / p.groups;
  job.terms_from = job.split * p.per_split;
  job.terms_to = job.terms_from + p.per_split < terms ? job.terms_from + p.per_split : terms;
  return job;
}
template <class T>
LEGATO_INLINE void put(const ConvParams& p, const Job& job, long long total, long long at,
                       Compute<T> v) {
  if (p.partial)
    static_cast<Compute<T>*>(p.partial)[job.split * total + at] = v;
  else
    static_cast<T*>(p.to)[at] = written<T>(v);
}

}  // namespace legato::cuda
