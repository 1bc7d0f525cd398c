// Legato's own convolutions, for what cuDNN does not take and for where there is none: any floating
// dtype, any attributes. A result and an input's gradient are products of the weights with what the
// kernel's taps meet; a weight's gradient is the product of both tensors. A block does 64 x 64
// elements of such a product, a thread 4 x 4 of them; long sums are split over blocks and added up
// in a fixed order. Few channels in a group leave such a tile empty: then a thread, or for a
// weight's gradient a block, does one element.
#include "legato/ops/conv/conv_walk.cuh"

namespace legato::cuda {

inline constexpr int kEach = kConvTile / 16;  // rows and columns of a thread

template <class A>
struct ConvTiles {
  A a[kConvDepth][kConvTile + 4], b[kConvDepth][kConvTile + 4];
};

template <class A>
LEGATO_INLINE void multiply_tiles(const ConvTiles<A>& tiles, A (*sums)[kEach]) {
  const int x = static_cast<int>(threadIdx.x) % 16 * kEach,
            y = static_cast<int>(threadIdx.x) / 16 * kEach;
  for (int k = 0; k < kConvDepth; ++k) {
    A u[kEach], v[kEach];
    for (int i = 0; i < kEach; ++i) u[i] = tiles.a[k][y + i];
    for (int i = 0; i < kEach; ++i) v[i] = tiles.b[k][x + i];
    for (int i = 0; i < kEach; ++i)
      for (int j = 0; j < kEach; ++j) sums[i][j] = add_product(sums[i][j], u[i], v[j]);
  }
}

// --- the result, and the gradient of the input ---

// Rows are positions of the result, columns its channels, the sum goes over taps and gathered
// channels.
template <class T>
LEGATO_INLINE void conv_gather(const ConvParams& p, ConvTiles<Compute<T>>& tiles) {
  using A = Compute<T>;
  const long long each_sample = positions_of(p.positions), rows = p.samples * each_sample,
                  terms = static_cast<long long>(taps_of(p)) * p.gathered_channels,
                  all_channels = static_cast<long long>(p.groups) * p.gathered_channels;
  const Job job = job_of<kConvTile, kConvTile>(p, rows, p.result_channels, terms);
  const int thread = static_cast<int>(threadIdx.x), k_mine = thread % kConvDepth;
  // What this thread gathers: one term of each tile, for four rows.
  int base[kEach][3];
  const T* from[kEach];
  for (int i = 0; i < kEach; ++i) {
    const long long row = job.row0 + thread / kConvDepth + i * 16;
    from[i] = nullptr;
    if (row >= rows) continue;
    Walker position;
    position.start(row % each_sample, p.positions);
    base_of(p, position.at, base[i]);
    from[i] = static_cast<const T*>(p.gathered) +
              row / each_sample * positions_of(p.meet.size) * all_channels +
              static_cast<long long>(job.group) * p.gathered_channels;
  }
  Term term;
  term.start(job.terms_from + k_mine, p);
  const T* w = static_cast<const T*>(p.other) + job.group * p.w_group;
  const bool along_result = p.w_result == 1;
  A sums[kEach][kEach] = {};
  for (long long k0 = job.terms_from; k0 < job.terms_to; k0 += kConvDepth) {
    for (int i = 0; i < kEach; ++i) {
      A v = 0;
      if (from[i] && k0 + k_mine < job.terms_to) {
        const long long at = meeting(p, base[i], term.tap.at);
        if (at >= 0) v = read(from[i][at * all_channels + term.channel]);
      }
      tiles.a[k_mine][thread / kConvDepth + i * 16] = v;
    }
    for (int i = 0; i < kEach; ++i) {  // neighbouring threads read along the weights' fast axis
      const int e = thread + i * kConvThreads, k = along_result ? e / kConvTile : e % kConvDepth,
                col = along_result ? e % kConvTile : e / kConvDepth;
      A v = 0;
      if (k0 + k < job.terms_to && job.col0 + col < p.result_channels) {
        const int at = static_cast<int>(k0) + k, c = at % p.gathered_channels;
        int tap = at / p.gathered_channels;
        if (p.flip) tap = taps_of(p) - 1 - tap;
        v = read(w[tap * p.w_tap + c * p.w_gathered + (job.col0 + col) * p.w_result]);
      }
      tiles.b[k][col] = v;
    }
    __syncthreads();
    multiply_tiles(tiles, sums);
    __syncthreads();
    term.advance(kConvDepth, p);
  }
  const long long width = static_cast<long long>(p.groups) * p.result_channels;
  for (int i = 0; i < kEach; ++i)
    for (int j = 0; j < kEach; ++j) {
      const long long row = job.row0 + thread / 16 * kEach + i;
      const int col = job.col0 + thread % 16 * kEach + j;
      if (row < rows && col < p.result_channels)
        put<T>(p, job, rows * width,
               row * width + static_cast<long long>(job.group) * p.result_channels + col,
               sums[i][j]);
    }
}

template <class T>
LEGATO_INLINE void conv_gather_one(const ConvParams& p) {
  using A = Compute<T>;
  const long long each_sample = positions_of(p.positions),
                  width = static_cast<long long>(p.groups) * p.result_channels,
                  all_channels = static_cast<long long>(p.groups) * p.gathered_channels,
                  n = p.samples * each_sample * width,
                  step = static_cast<long long>(gridDim.x) * blockDim.x;
  const int taps = taps_of(p);
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    const int channel = static_cast<int>(e % width), group = channel / p.result_channels;
    const long long row = e / width;
    Walker position, tap;
    int base[3];
    position.start(row % each_sample, p.positions);
    base_of(p, position.at, base);
    const T* from = static_cast<const T*>(p.gathered) +
                    row / each_sample * positions_of(p.meet.size) * all_channels +
                    static_cast<long long>(group) * p.gathered_channels;
    const T* w = static_cast<const T*>(p.other) + group * p.w_group +
                 channel % p.result_channels * p.w_result;
    A sum = 0;
    tap.start(0, p.kernel);
    for (int t = 0; t < taps; ++t, tap.next(p.kernel)) {
      const long long at = meeting(p, base, tap.at);
      if (at < 0) continue;
      const T* wt = w + (p.flip ? taps - 1 - t : t) * p.w_tap;
      for (int c = 0; c < p.gathered_channels; ++c)
        sum = add_product(sum, read(from[at * all_channels + c]), read(wt[c * p.w_gathered]));
    }
    static_cast<T*>(p.to)[e] = written<T>(sum);
  }
}

// --- the gradient of the weights ---

// Rows are the channels of the walked tensor, columns taps and gathered channels, the sum goes over
// samples and positions.
template <class T>
LEGATO_INLINE void conv_weight(const ConvParams& p, ConvTiles<Compute<T>>& tiles) {
  using A = Compute<T>;
  const long long each_sample = positions_of(p.positions), terms = p.samples * each_sample,
                  gathered_all = static_cast<long long>(p.groups) * p.gathered_channels,
                  walked_all = static_cast<long long>(p.groups) * p.result_channels;
  const int taps = taps_of(p), cols = taps * p.gathered_channels;
  const Job job = job_of<kConvTile, kConvTile>(p, p.result_channels, cols, terms);
  const int thread = static_cast<int>(threadIdx.x);
  // What this thread reads: one row and one column of each tile, for four terms.
  const int mine = thread % kConvTile, k_mine = thread / kConvTile,
            row = static_cast<int>(job.row0) + mine, col = job.col0 + mine;
  Term term{};
  if (col < cols) term.start(col, p);
  const T* walked =
      static_cast<const T*>(p.other) + static_cast<long long>(job.group) * p.result_channels + row;
  const T* gathered = static_cast<const T*>(p.gathered) +
                      static_cast<long long>(job.group) * p.gathered_channels + term.channel;
  const long long sample_elements = positions_of(p.meet.size) * gathered_all;
  A sums[kEach][kEach] = {};
  for (long long k0 = job.terms_from; k0 < job.terms_to; k0 += kConvDepth) {
    for (int i = 0; i < kEach; ++i) {
      const int k = k_mine + i * (kConvThreads / kConvTile);
      const long long at = k0 + k;
      A u = 0, v = 0;
      if (at < job.terms_to) {
        if (row < p.result_channels) u = read(walked[at * walked_all]);
        if (col < cols) {
          Walker position;
          int base[3];
          position.start(at % each_sample, p.positions);
          base_of(p, position.at, base);
          const long long met = meeting(p, base, term.tap.at);
          if (met >= 0) v = read(gathered[at / each_sample * sample_elements + met * gathered_all]);
        }
      }
      tiles.a[k][mine] = u;
      tiles.b[k][mine] = v;
    }
    __syncthreads();
    multiply_tiles(tiles, sums);
    __syncthreads();
  }
  const long long total = walked_all * cols;
  for (int i = 0; i < kEach; ++i)
    for (int j = 0; j < kEach; ++j) {
      const int r = static_cast<int>(job.row0) + thread / 16 * kEach + i;
      int c = job.col0 + thread % 16 * kEach + j;
      if (r >= p.result_channels || c >= cols) continue;
      if (p.flip)
        c = (taps - 1 - c / p.gathered_channels) * p.gathered_channels + c % p.gathered_channels;
      put<T>(p, job, total, (static_cast<long long>(job.group) * p.result_channels + r) * cols + c,
             sums[i][j]);
    }
}

// A block does one element of the gradient.
template <class T>
LEGATO_INLINE void conv_weight_one(const ConvParams& p, Compute<T>* shared) {
  using A = Compute<T>;
  const long long each_sample = positions_of(p.positions), terms = p.samples * each_sample,
                  gathered_all = static_cast<long long>(p.groups) * p.gathered_channels,
                  walked_all = static_cast<long long>(p.groups) * p.result_channels;
  const int taps = taps_of(p);
  long long rest = blockIdx.x;
  const int c = static_cast<int>(rest % p.gathered_channels);
  rest /= p.gathered_channels;
  const int t = static_cast<int>(rest % taps);
  const long long channel = rest / taps, group = channel / p.result_channels;
  Walker tap;
  tap.start(p.flip ? taps - 1 - t : t, p.kernel);
  const T* walked = static_cast<const T*>(p.other) + channel;
  const T* gathered = static_cast<const T*>(p.gathered) + group * p.gathered_channels + c;
  A sum = 0;
  for (long long at = threadIdx.x; at < terms; at += kRowThreads) {
    Walker position;
    int base[3];
    position.start(at % each_sample, p.positions);
    base_of(p, position.at, base);
    const long long met = meeting(p, base, tap.at);
    if (met >= 0)
      sum = add_product(
          sum, read(walked[at * walked_all]),
          read(gathered[(at / each_sample * positions_of(p.meet.size) + met) * gathered_all]));
  }
  sum = over_group(sum, kRowThreads, shared, Plus{});
  if (threadIdx.x == 0) static_cast<T*>(p.to)[blockIdx.x] = written<T>(sum);
}

template <class T>
LEGATO_INLINE void conv_sum(const ConvSumParams& p) {
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.n;
       e += step) {
    Compute<T> sum = 0;
    for (int s = 0; s < p.splits; ++s)
      sum += static_cast<const Compute<T>*>(p.partial)[s * p.n + e];
    static_cast<T*>(p.to)[e] = written<T>(sum);
  }
}

#define LEGATO_CONV(end, T)                                                        \
  LEGATO_KERNEL(conv_gather_##end, ConvParams, kConvThreads) {                     \
    __shared__ ConvTiles<Compute<T>> tiles;                                        \
    conv_gather<T>(p, tiles);                                                      \
  }                                                                                \
  LEGATO_KERNEL(conv_gather_one_##end, ConvParams, 256) { conv_gather_one<T>(p); } \
  LEGATO_KERNEL(conv_weight_##end, ConvParams, kConvThreads) {                     \
    __shared__ ConvTiles<Compute<T>> tiles;                                        \
    conv_weight<T>(p, tiles);                                                      \
  }                                                                                \
  LEGATO_KERNEL(conv_weight_one_##end, ConvParams, kRowThreads) {                  \
    __shared__ Compute<T> shared[kRowThreads / 32];                                \
    conv_weight_one<T>(p, shared);                                                 \
  }                                                                                \
  LEGATO_KERNEL(conv_sum_##end, ConvSumParams, 256) { conv_sum<T>(p); }
LEGATO_CONV(f16, f16)
LEGATO_CONV(bf16, bf16)
LEGATO_CONV(f32, float)
LEGATO_CONV(f64, double)

}  // namespace legato::cuda
