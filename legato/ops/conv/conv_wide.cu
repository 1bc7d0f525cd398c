// Convolutions in float32 whose channels come in fours: the products of conv.cu with larger tiles,
// memory moved four values at a time, and the next part of both operands on its way while one is
// multiplied. No tensor core: those would round the operands.
#include "legato/ops/conv/conv_walk.cuh"

namespace legato::cuda {

/// A tile of `rows` x `cols`, done by kConvThreads threads. A thread has one or two groups of four
/// rows, half a tile apart, and of four columns likewise. A warp is four threads high and eight
/// wide, so that what it reads of either operand is one line of shared memory.
template <int rows, int cols>
struct alignas(16) Wide {
  static constexpr int row_groups = rows == 128 && cols > 32 ? 2 : 1,
                       col_groups = cols == 128 && rows > 32 ? 2 : 1,
                       across = cols / (4 * col_groups);  // threads along a row
  static_assert(across * (rows / (4 * row_groups)) == kConvThreads && across % 8 == 0);
  static constexpr int a_each = rows * kConvDepth / 4 / kConvThreads,
                       b_each = cols * kConvDepth / 4 / kConvThreads;  // 0: some threads load one

  float a[2][kConvDepth][rows + 4], b[2][kConvDepth][cols + 4];

  LEGATO_INLINE static int row_of(int group) {
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
    return (warp / (across / 8) * 4 + thread % 32 / 8) * 4 + group * (rows / 2);
  }
  LEGATO_INLINE static int col_of(int group) {
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
    return (warp % (across / 8) * 8 + thread % 8) * 4 + group * (cols / 2);
  }
  struct Sums {
    float v[4 * row_groups][4 * col_groups];
  };
  LEGATO_INLINE void multiply(int stage, Sums& sums) const {
#pragma unroll
    for (int k = 0; k < kConvDepth; ++k) {
      Four u[row_groups], v[col_groups];
      for (int g = 0; g < row_groups; ++g) u[g] = four_at(&a[stage][k][row_of(g)]);
      for (int g = 0; g < col_groups; ++g) v[g] = four_at(&b[stage][k][col_of(g)]);
      for (int i = 0; i < 4 * row_groups; ++i)
        for (int j = 0; j < 4 * col_groups; ++j)
          sums.v[i][j] = ::fmaf(u[i / 4].v[i % 4], v[j / 4].v[j % 4], sums.v[i][j]);
    }
  }
  /// Gives f each (row, first column, four sums) of this thread.
  template <class F>
  LEGATO_INLINE static void each(const Sums& sums, F f) {
    for (int i = 0; i < 4 * row_groups; ++i)
      for (int g = 0; g < col_groups; ++g) {
        const float* v = &sums.v[i][4 * g];
        f(row_of(i / 4) + i % 4, col_of(g), Four{{v[0], v[1], v[2], v[3]}});
      }
  }
};

// Positions, terms and blocks are below 2^31 here, so that they are taken apart in 32 bits.

template <int tile_rows, int tile_cols>
LEGATO_INLINE Job wide_job(const ConvParams& p, unsigned rows, unsigned cols, unsigned terms) {
  const unsigned tiles_n = (cols + tile_cols - 1) / tile_cols,
                 tiles_m = (rows + tile_rows - 1) / tile_rows,
                 groups = static_cast<unsigned>(p.groups);
  const unsigned in_column = blockIdx.x / tiles_n, in_group = in_column / tiles_m,
                 split = in_group / groups;
  Job job;
  job.col0 = static_cast<int>((blockIdx.x - in_column * tiles_n) * tile_cols);
  job.row0 = (in_column - in_group * tiles_m) * tile_rows;
  job.group = static_cast<int>(in_group - split * groups);
  job.split = split;
  job.terms_from = split * p.per_split;
  job.terms_to = job.terms_from + p.per_split < terms ? job.terms_from + p.per_split : terms;
  return job;
}
/// Four results at `at`, of the channels from `channel` on.
LEGATO_INLINE void put_four(const ConvParams& p, const Job& job, long long total, long long at,
                            int channel, Four v) {
  if (p.partial) {
    *reinterpret_cast<Four*>(static_cast<float*>(p.partial) + job.split * total + at) = v;
    return;
  }
  if (p.bias) v = plus(v, four_at(p.bias + channel));
  if (p.residual) v = plus(v, four_at(p.residual + at));
  *reinterpret_cast<Four*>(static_cast<float*>(p.to) + at) = v;
}

/// The sum over a split: `load(k0)` brings the terms from k0 on into registers, `store(stage)` from
/// there to shared memory.
template <class Tile, class Load, class Store>
LEGATO_INLINE void sum_terms(Tile& tile, const Job& job, typename Tile::Sums& sums, Load load,
                             Store store) {
  if (job.terms_from >= job.terms_to) return;
  int stage = 0;
  load(job.terms_from);
  store(0);
  __syncthreads();
  for (long long k0 = job.terms_from;; k0 += kConvDepth) {
    const bool more = k0 + kConvDepth < job.terms_to;
    if (more) load(k0 + kConvDepth);
    tile.multiply(stage, sums);
    if (!more) return;
    store(stage ^= 1);
    __syncthreads();
  }
}

inline constexpr int kFours = kConvDepth / 4;  // groups of four terms

// As conv_gather in conv.cu. A thread brings four terms of a row, and of the weights four terms of
// a column or, where result channels are their fast axis, four columns of a term. Where its rows
// meet the gathered tensor is looked up when the tap changes, not at each step.
template <int rows, int cols>
LEGATO_INLINE void conv_gather_wide(const ConvParams& p, Wide<rows, cols>& tile) {
  using Tile = Wide<rows, cols>;
  constexpr int a_step = kConvThreads / kFours, b_each = Tile::b_each ? Tile::b_each : 1;
  const unsigned n_rows = static_cast<unsigned>(p.samples * positions_of(p.positions)),
                 terms = static_cast<unsigned>(taps_of(p) * p.gathered_channels);
  const int all_channels = p.groups * p.gathered_channels, channels = p.gathered_channels;
  const Job job = wide_job<rows, cols>(p, n_rows, static_cast<unsigned>(p.result_channels), terms);
  const int thread = static_cast<int>(threadIdx.x), k_mine = thread % kFours * 4,
            first = static_cast<int>(job.terms_from);
  const bool plain = is_plain(p);
  int base[Tile::a_each][3];
  const float *from[Tile::a_each], *here[Tile::a_each];
  for (int i = 0; i < Tile::a_each; ++i) {
    const unsigned row =
        static_cast<unsigned>(job.row0) + static_cast<unsigned>(thread / kFours + i * a_step);
    int position[3];
    const unsigned sample = take_apart(row, p.positions, position);
    base_of(p, position, base[i]);
    from[i] = row < n_rows
                  ? static_cast<const float*>(p.gathered) +
                        sample * positions_of(p.meet.size) * all_channels + job.group * channels
                  : nullptr;
  }
  Walker tap;
  int channel = (first + k_mine) % channels;
  take_apart(static_cast<unsigned>((first + k_mine) / channels), p.kernel, tap.at);
  if (first + k_mine >= static_cast<int>(terms)) tap.at[0] = p.kernel[0];
  const auto look = [&] {
    for (int i = 0; i < Tile::a_each; ++i) {
      const int at = meeting_narrow(p, plain, base[i], tap.at);
      here[i] = from[i] && at >= 0 ? from[i] + static_cast<long long>(at) * all_channels : nullptr;
    }
  };
  look();
  const bool along_result = p.w_result == 1, loads_b = Tile::b_each > 0 || thread < cols * kFours;
  const int w_tap = static_cast<int>(p.w_tap), w_gathered = static_cast<int>(p.w_gathered),
            last_tap = taps_of(p) - 1;
  // Where this thread's part of the weights is within a tile.
  const auto b_term = [&](int i) {
    const int e = thread + i * kConvThreads;
    return along_result ? e / (cols / 4) : e % kFours * 4;
  };
  const auto b_col = [&](int i) {
    const int e = thread + i * kConvThreads;
    return along_result ? e % (cols / 4) * 4 : e / kFours;
  };
  const float* w[b_each];  // null: no column of the weights
  int w_channel[b_each], w_at[b_each];
  for (int i = 0; i < b_each; ++i) {
    const int col = job.col0 + b_col(i);
    w[i] = loads_b && col < p.result_channels
               ? static_cast<const float*>(p.other) + job.group * p.w_group + col * p.w_result
               : nullptr;
    w_at[i] = (first + b_term(i)) / channels;
    w_channel[i] = first + b_term(i) - w_at[i] * channels;
  }
  Four a[Tile::a_each], b[b_each];
  typename Tile::Sums sums{};
  sum_terms(
      tile, job, sums,
      [&](long long k0) {
        const int k = static_cast<int>(k0), end = static_cast<int>(job.terms_to);
        for (int i = 0; i < Tile::a_each; ++i)
          a[i] = here[i] && k + k_mine < end ? four_at(here[i] + channel) : Four{};
        channel += kConvDepth;
        if (channel >= channels) {
          do {
            channel -= channels;
            tap.next(p.kernel);
          } while (channel >= channels);
          look();
        }
        for (int i = 0; i < b_each; ++i) {
          b[i] = w[i] && k + b_term(i) < end
                     ? four_at(w[i] + (p.flip ? last_tap - w_at[i] : w_at[i]) * w_tap +
                               w_channel[i] * w_gathered)
                     : Four{};
          for (w_channel[i] += kConvDepth; w_channel[i] >= channels; ++w_at[i])
            w_channel[i] -= channels;
        }
      },
      [&](int stage) {
        for (int i = 0; i < Tile::a_each; ++i)
          for (int e = 0; e < 4; ++e)
            tile.a[stage][k_mine + e][thread / kFours + i * a_step] = a[i].v[e];
        for (int i = 0; loads_b && i < b_each; ++i) {
          if (along_result)
            *reinterpret_cast<Four*>(&tile.b[stage][b_term(i)][b_col(i)]) = b[i];
          else
            for (int e = 0; e < 4; ++e) tile.b[stage][b_term(i) + e][b_col(i)] = b[i].v[e];
        }
      });
  const long long width = static_cast<long long>(p.groups) * p.result_channels;
  Tile::each(sums, [&](int r, int c, Four v) {
    const long long row = job.row0 + r;
    const int col = job.col0 + c, result = job.group * p.result_channels + col;
    if (row < n_rows && col < p.result_channels)
      put_four(p, job, n_rows * width, row * width + result, result, v);
  });
}

/// A walk over the positions of all samples.
struct SampleWalker {
  unsigned sample;
  Walker position;
  LEGATO_INLINE void advance(int by, const int* sizes) {
    int* at = position.at;
    for (at[2] += by; at[2] >= sizes[2];) {
      at[2] -= sizes[2];
      if (++at[1] < sizes[1]) continue;
      at[1] = 0;
      if (++at[0] < sizes[0]) continue;
      at[0] = 0;
      ++sample;
    }
  }
};

// As conv_weight in conv.cu.
template <int rows, int cols>
LEGATO_INLINE void conv_weight_wide(const ConvParams& p, Wide<rows, cols>& tile) {
  using Tile = Wide<rows, cols>;
  constexpr int a_each = Tile::a_each ? Tile::a_each : 1, b_each = Tile::b_each,
                a_step = kConvThreads / (rows / 4), b_step = kConvThreads / (cols / 4);
  const unsigned terms = static_cast<unsigned>(p.samples * positions_of(p.positions));
  const long long gathered_all = static_cast<long long>(p.groups) * p.gathered_channels,
                  walked_all = static_cast<long long>(p.groups) * p.result_channels,
                  sample_elements = positions_of(p.meet.size) * gathered_all;
  const int taps = taps_of(p), n_cols = taps * p.gathered_channels;
  const Job job = wide_job<rows, cols>(p, static_cast<unsigned>(p.result_channels),
                                       static_cast<unsigned>(n_cols), terms);
  const int thread = static_cast<int>(threadIdx.x), a_row = thread % (rows / 4) * 4,
            a_term = thread / (rows / 4), b_col = thread % (cols / 4) * 4,
            b_term = thread / (cols / 4), end = static_cast<int>(job.terms_to);
  const bool plain = is_plain(p), loads_a = a_term < kConvDepth;
  const bool row_inside = job.row0 + a_row < p.result_channels && loads_a,
             col_inside = job.col0 + b_col < n_cols;
  Walker tap{};
  int channel = 0;
  if (col_inside) {
    const int col = job.col0 + b_col, at = col / p.gathered_channels;
    channel = col - at * p.gathered_channels;
    take_apart(static_cast<unsigned>(at), p.kernel, tap.at);
  }
  const float* walked = static_cast<const float*>(p.other) +
                        static_cast<long long>(job.group) * p.result_channels + job.row0 + a_row;
  const float* gathered = static_cast<const float*>(p.gathered) +
                          static_cast<long long>(job.group) * p.gathered_channels + channel;
  SampleWalker walk;
  walk.sample = take_apart(static_cast<unsigned>(job.terms_from) + static_cast<unsigned>(b_term),
                           p.positions, walk.position.at);
  Four a[a_each], b[b_each];
  typename Tile::Sums sums{};
  sum_terms(
      tile, job, sums,
      [&](long long k0) {
        const int k = static_cast<int>(k0);
        for (int i = 0; i < a_each; ++i) {
          const int at = k + a_term + i * a_step;
          a[i] = row_inside && at < end ? four_at(walked + at * walked_all) : Four{};
        }
        for (int i = 0; i < b_each; ++i) {
          b[i] = Four{};
          if (col_inside && k + b_term + i * b_step < end) {
            int base[3];
            base_of(p, walk.position.at, base);
            const int met = meeting_narrow(p, plain, base, tap.at);
            if (met >= 0)
              b[i] = four_at(gathered + walk.sample * sample_elements + met * gathered_all);
          }
          walk.advance(b_step, p.positions);
        }
      },
      [&](int stage) {
        for (int i = 0; loads_a && i < a_each; ++i)
          *reinterpret_cast<Four*>(&tile.a[stage][a_term + i * a_step][a_row]) = a[i];
        for (int i = 0; i < b_each; ++i)
          *reinterpret_cast<Four*>(&tile.b[stage][b_term + i * b_step][b_col]) = b[i];
      });
  const long long total = walked_all * n_cols;
  Tile::each(sums, [&](int r, int c, Four v) {
    const long long row = job.row0 + r;
    int col = job.col0 + c;
    if (row >= p.result_channels || col >= n_cols) return;
    if (p.flip) {
      const int at = col / p.gathered_channels;
      col += (taps - 1 - 2 * at) * p.gathered_channels;
    }
    put_four(p, job, total,
             (static_cast<long long>(job.group) * p.result_channels + row) * n_cols + col, 0, v);
  });
}

// Partial results, four at a time. Where splits are many, threads share those of a result, each
// takes every `lines`-th, and what they have is added up in order.
LEGATO_INLINE void sum_wide(const ConvWideSumParams& p, Four* shared) {
  const int thread = static_cast<int>(threadIdx.x), across = 256 / p.lines, line = thread / across,
            e = static_cast<int>(blockIdx.x) * across + thread % across;
  Four sum{};
  if (e < p.fours) {
    const float* from = p.partial + 4ll * e;
    const long long step = 4ll * p.fours;
#pragma unroll 4
    for (int s = line; s < p.splits; s += p.lines) sum = plus(sum, four_at(from + s * step));
  }
  if (p.lines > 1) {
    shared[thread] = sum;
    __syncthreads();
    for (int l = 1; line == 0 && l < p.lines; ++l) sum = plus(sum, shared[l * across + thread]);
  }
  if (line > 0 || e >= p.fours) return;
  if (p.bias) sum = plus(sum, four_at(p.bias + 4ll * e % p.channels));
  if (p.residual) sum = plus(sum, four_at(p.residual + 4ll * e));
  *reinterpret_cast<Four*>(p.to + 4ll * e) = sum;
}
LEGATO_KERNEL(conv_sum_wide, ConvWideSumParams, 256) {
  __shared__ Four shared[256];
  sum_wide(p, shared);
}

#define LEGATO_CONV_WIDE(what, rows, cols)                                      \
  LEGATO_KERNEL(conv_##what##_wide_##rows##x##cols, ConvParams, kConvThreads) { \
    __shared__ Wide<rows, cols> tile;                                           \
    conv_##what##_wide<rows, cols>(p, tile);                                    \
  }
LEGATO_CONV_WIDE(gather, 128, 128)
LEGATO_CONV_WIDE(gather, 128, 64)
LEGATO_CONV_WIDE(gather, 128, 32)
LEGATO_CONV_WIDE(weight, 128, 128)
LEGATO_CONV_WIDE(weight, 64, 128)
LEGATO_CONV_WIDE(weight, 32, 128)

// Bound to three blocks on a multiprocessor the low tiles take 24.8 us instead of 27.6 (64 to 64
// channels on 512 pictures of 4 x 4, H100); the others do not gain.
#define LEGATO_THREE_BLOCKS kConvThreads, 3
LEGATO_KERNEL(conv_gather_wide_64x64, ConvParams, LEGATO_THREE_BLOCKS) {
  __shared__ Wide<64, 64> tile;
  conv_gather_wide<64, 64>(p, tile);
}

}  // namespace legato::cuda
