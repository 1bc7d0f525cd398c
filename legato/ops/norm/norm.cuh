// Parameters of the normalisation kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

// Instances of the row kernels: X(W, K, the most threads a block may have). Odd: Note [Odd rows].
#define LEGATO_NORM_HALF(X) \
  X(8, 1, 512)              \
  X(8, 2, 512) X(8, 3, 512) X(8, 4, 1024) X(8, 5, 512) X(1, 8, 256) X(1, 16, 1024)
#define LEGATO_NORM_ODD(X) X(8, 2, 256) X(8, 4, 1024)
#define LEGATO_NORM_SINGLE(X) \
  X(4, 1, 256)                \
  X(4, 2, 256) X(4, 3, 512) X(4, 4, 512) X(4, 5, 256) X(4, 8, 1024) X(1, 8, 256) X(1, 16, 1024)
#define LEGATO_NORM_DOUBLE(X) X(2, 4, 512) X(1, 8, 512)
#define LEGATO_NORM_VJP_HALF(X) X(8, 1, 512) X(8, 2, 512) X(8, 3, 384) X(1, 8, 512)
#define LEGATO_NORM_VJP_SINGLE(X) \
  X(4, 1, 512) X(4, 2, 512) X(4, 3, 512) X(4, 4, 512) X(4, 5, 384) X(1, 8, 512)
#define LEGATO_NORM_VJP_DOUBLE(X) X(2, 2, 256) X(1, 4, 256)

/// Rows of n elements, one behind the other. weight and bias: n elements, or null.
struct RowNormParams {
  const void *x, *weight, *bias;
  const void* g;  // of a derivative: the cotangent
  void* y;        // of a derivative: the cotangent of x
  /// Of a derivative: sums over the rows of a block, (2, blocks, n): of g * xhat, then of g. Or
  /// null.
  void* sums;
  long long rows, n;
  double eps;
  int group, rms;  // group: threads that share a row
};

/// Rows that do not fit the registers of a block, cut into `parts` of `part` elements (a multiple
/// of 16 bytes). One part: a block does all (pass 0). Else pass 1 writes the moments of the parts,
/// (rows, parts) triples of numbers, and pass 2 uses them.
struct LongNormParams {
  const void *x, *weight, *bias, *g;
  void* y;
  /// Moments; of a derivative (always one part): mean and scale of each row, for norm_columns.
  void* moments;
  long long rows, n, parts, part;
  double eps;
  int pass, rms;
};

/// The sums that weight and bias need, from mean and scale of each row; see RowNormParams::sums. A
/// block takes kNormColumns packs and one of `parts` ranges of rows.
struct NormColumnParams {
  const void *x, *g, *moments;
  void* sums;
  long long rows, n, parts;
};
inline constexpr int kNormColumns = 32, kNormColumnThreads = 256;

/// Sums of `parts` rows of n values, in order, two arrays of them: `sums` is (2, parts, n), each
/// result has n elements or is not wanted (null).
struct ColumnSumParams {
  const void* sums;
  void *first, *second;
  long long parts, n;
};

/// x as (samples, positions, channels); the channels of a group are neighbours. A block takes a
/// tile of channels, `across` packs wide, and a chunk of positions, `lines` at a time. A tile
/// consists of whole groups, or a group of whole tiles: `cuts` of them.
struct GroupNormParams {
  const void *x, *weight, *bias;
  const void* g;  // of a derivative: the cotangent
  void* y;        // of a derivative: the cotangent of x
  void* moments;  // (samples, groups, cuts, chunks) of mean and sum of squared differences
  // Of a derivative:
  // (the whole of a sample by one block needs only `sums`)
  void* channel_sums;  // (samples, chunks, channels) of sum of g, and of g * (x - the chunk's mean)
  void* group_sums;    // (samples, groups) of mean, scale, mean of w g, mean of w g xhat
  void* sums;          // (2, samples, channels): of g * xhat, then of g
  long long samples, positions, channels;
  double eps;
  int groups, group_channels, across, lines, tiles, cuts;
  int chunk, chunks;  // positions in a chunk; the last one may have fewer
};
inline constexpr int kGroupThreads = 512, kGroupVjpThreads = 256;
/// Groups of a tile that a block does whole, at most.
inline constexpr int kWholeGroups = 64;

}  // namespace legato::cuda
