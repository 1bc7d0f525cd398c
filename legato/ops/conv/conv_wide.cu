// Convolutions in float32 whose channels come in fours: the products of conv.cu with larger tiles,
// memory moved four values at a time, and the next part of both operands on its way while one is
// multiplied. No tensor core: those would round the operands.
#include "legato/ops/conv/conv_walk.cuh"

namespace legato::cuda {

struct alignas(16) Four {
  float v[4];
};
LEGATO_INLINE Four four_at(const float* p) { return *reinterpret_cast<const Four*>(p); }

/// A tile of `rows` x `cols`, done by kConvThreads threads. A thread has one or two groups of four
/// rows, half a tile apart, and of four columns likewise.
template <int rows, int cols>
struct alignas(16) Wide {
  static constexpr int row_groups = rows == 128 && cols > 32 ? 2 : 1,
                       col_groups = cols == 128 && rows > 32 ? 2 : 1,
                       across = cols / (4 * col_groups);  // threads along a row
  static_assert(across * (rows / (4 * row_groups)) == kConvThreads);
  static constexpr int a_each = rows * kConvDepth / 4 / kConvThreads,
                       b_each = cols * kConvDepth / 4 / kConvThreads;  // 0: some threads load one

  float a[2][kConvDepth][rows + 4], b[2][kConvDepth][cols + 4];

  LEGATO_INLINE static int row_of(int group) {
    return static_cast<int>(threadIdx.x) / across * 4 + group * (rows / 2);
  }
  LEGATO_INLINE static int col_of(int group) {
    return static_cast<int>(threadIdx.x) % across * 4 + group * (cols / 2);
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
  /// Gives f each (row, col, sum) of this thread.
  template <class F>
  LEGATO_INLINE static void each(const Sums& sums, F f) {
    for (int i = 0; i < 4 * row_groups; ++i)
      for (int j = 0; j < 4 * col_groups; ++j)
        f(row_of(i / 4) + i % 4, col_of(j / 4) + j % 4, sums.v[i][j]);
  }
};

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
// a column or, where result channels are their fast axis, four columns of a term.
template <int rows, int cols>
LEGATO_INLINE void conv_gather_wide(const ConvParams& p, Wide<rows, cols>& tile) {
  using Tile = Wide<rows, cols>;
  constexpr int a_step = kConvThreads / kFours, b_each = Tile::b_each ? Tile::b_each : 1;
  const long long each_sample = positions_of(p.positions), n_rows = p.samples * each_sample,
                  terms = static_cast<long long>(taps_of(p)) * p.gathered_channels,
                  all_channels = static_cast<long long>(p.groups) * p.gathered_channels;
  const Job job = job_of<rows, cols>(p, n_rows, p.result_channels, terms);
  const int thread = static_cast<int>(threadIdx.x), k_mine = thread % kFours * 4;
  int base[Tile::a_each][3];
  const float* from[Tile::a_each];
  for (int i = 0; i < Tile::a_each; ++i) {
    const long long row = job.row0 + thread / kFours + i * a_step;
    from[i] = nullptr;
    if (row >= n_rows) continue;
    Walker position;
    position.start(row % each_sample, p.positions);
    base_of(p, position.at, base[i]);
    from[i] = static_cast<const float*>(p.gathered) +
              row / each_sample * positions_of(p.meet.size) * all_channels +
              static_cast<long long>(job.group) * p.gathered_channels;
  }
  Term term;
  term.start(job.terms_from + k_mine, p);
  const float* w = static_cast<const float*>(p.other) + job.group * p.w_group;
  const bool along_result = p.w_result == 1;
  Four a[Tile::a_each], b[b_each];
  // Where this thread's part of the weights is within a tile.
  const auto b_term = [&](int i) {
    const int e = thread + i * kConvThreads;
    return along_result ? e / (cols / 4) : e % kFours * 4;
  };
  const auto b_col = [&](int i) {
    const int e = thread + i * kConvThreads;
    return along_result ? e % (cols / 4) * 4 : e / kFours;
  };
  const bool loads_b = Tile::b_each > 0 || thread < cols * kFours;
  typename Tile::Sums sums{};
  sum_terms(
      tile, job, sums,
      [&](long long k0) {
        for (int i = 0; i < Tile::a_each; ++i) {
          a[i] = Four{};
          if (!from[i] || k0 + k_mine >= job.terms_to) continue;
          const long long at = meeting(p, base[i], term.tap.at);
          if (at >= 0) a[i] = four_at(from[i] + at * all_channels + term.channel);
        }
        term.advance(kConvDepth, p);
        for (int i = 0; i < b_each; ++i) {
          b[i] = Four{};
          const int k = static_cast<int>(k0) + b_term(i), col = job.col0 + b_col(i);
          if (!loads_b || k >= job.terms_to || col >= p.result_channels) continue;
          int tap = k / p.gathered_channels;
          const int c = k - tap * p.gathered_channels;
          if (p.flip) tap = taps_of(p) - 1 - tap;
          b[i] = four_at(w + tap * p.w_tap + c * p.w_gathered + col * p.w_result);
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
  Tile::each(sums, [&](int r, int c, float v) {
    const long long row = job.row0 + r;
    const int col = job.col0 + c;
    if (row < n_rows && col < p.result_channels)
      put<float>(p, job, n_rows * width,
                 row * width + static_cast<long long>(job.group) * p.result_channels + col, v);
  });
}

/// A walk over the positions of all samples.
struct SampleWalker {
  long long sample;
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
  const long long each_sample = positions_of(p.positions), terms = p.samples * each_sample,
                  gathered_all = static_cast<long long>(p.groups) * p.gathered_channels,
                  walked_all = static_cast<long long>(p.groups) * p.result_channels,
                  sample_elements = positions_of(p.meet.size) * gathered_all;
  const int taps = taps_of(p), n_cols = taps * p.gathered_channels;
  const Job job = job_of<rows, cols>(p, p.result_channels, n_cols, terms);
  const int thread = static_cast<int>(threadIdx.x), a_row = thread % (rows / 4) * 4,
            a_term = thread / (rows / 4), b_col = thread % (cols / 4) * 4,
            b_term = thread / (cols / 4);
  const bool loads_a = a_term < kConvDepth;
  const bool row_inside = job.row0 + a_row < p.result_channels && loads_a,
             col_inside = job.col0 + b_col < n_cols;
  Term term{};
  if (col_inside) term.start(job.col0 + b_col, p);
  const float* walked = static_cast<const float*>(p.other) +
                        static_cast<long long>(job.group) * p.result_channels + job.row0 + a_row;
  const float* gathered = static_cast<const float*>(p.gathered) +
                          static_cast<long long>(job.group) * p.gathered_channels + term.channel;
  SampleWalker walk;
  walk.sample = (job.terms_from + b_term) / each_sample;
  walk.position.start((job.terms_from + b_term) % each_sample, p.positions);
  Four a[a_each], b[b_each];
  typename Tile::Sums sums{};
  sum_terms(
      tile, job, sums,
      [&](long long k0) {
        for (int i = 0; i < a_each; ++i) {
          const long long k = k0 + a_term + i * a_step;
          a[i] = row_inside && k < job.terms_to ? four_at(walked + k * walked_all) : Four{};
        }
        for (int i = 0; i < b_each; ++i) {
          b[i] = Four{};
          if (col_inside && k0 + b_term + i * b_step < job.terms_to) {
            int base[3];
            base_of(p, walk.position.at, base);
            const long long met = meeting(p, base, term.tap.at);
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
  Tile::each(sums, [&](int r, int c, float v) {
    const long long row = job.row0 + r;
    int col = job.col0 + c;
    if (row >= p.result_channels || col >= n_cols) return;
    if (p.flip) {
      const int tap = col / p.gathered_channels;
      col += (taps - 1 - 2 * tap) * p.gathered_channels;
    }
    put<float>(p, job, total,
               (static_cast<long long>(job.group) * p.result_channels + row) * n_cols + col, v);
  });
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

}  // namespace legato::cuda
