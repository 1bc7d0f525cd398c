// Parameters of the softmax kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

// Instances of the row kernels: X(W, K, the most threads a block may have). Odd: Note [Odd rows].
#define LEGATO_SOFTMAX_HALF(X) \
  X(8, 1, 512)                 \
  X(8, 2, 512) X(8, 3, 512) X(8, 4, 1024) X(8, 5, 512) X(8, 8, 1024) X(1, 8, 256) X(1, 16, 1024)
#define LEGATO_SOFTMAX_ODD(X) X(8, 2, 256) X(8, 4, 512) X(8, 8, 512)
#define LEGATO_SOFTMAX_VJP_ODD(X) X(8, 2, 256) X(8, 4, 1024)
#define LEGATO_SOFTMAX_SINGLE(X) \
  X(4, 1, 256) X(4, 2, 256) X(4, 4, 512) X(4, 8, 1024) X(1, 8, 256) X(1, 16, 1024)
#define LEGATO_SOFTMAX_DOUBLE(X) X(2, 4, 512) X(1, 8, 512)
#define LEGATO_SOFTMAX_VJP_HALF(X) X(8, 1, 512) X(8, 2, 512) X(8, 4, 1024) X(1, 8, 1024)
#define LEGATO_SOFTMAX_VJP_SINGLE(X) X(4, 1, 256) X(4, 2, 256) X(4, 4, 1024) X(1, 8, 1024)
#define LEGATO_SOFTMAX_VJP_DOUBLE(X) X(2, 4, 512) X(1, 8, 512)

inline constexpr int kColumnThreads = 256;

/// The results of the last two are one a row.
enum SoftmaxKind { kSoftmax, kCrossEntropyVjp, kLogSoftmax, kLogSumExp, kCrossEntropy };

/// Of the kinds that have targets: the class of each row.
struct TargetParams {
  const void* targets;  // 64-bit integers
  ValueReport* report;
  int is_unsigned;  // else negative ones count from the end
};

/// Rows of n elements, one behind the other.
struct SoftmaxRowParams {
  const void* x;  // of a derivative: the output
  const void* g;  // of a derivative: the cotangent; of kCrossEntropyVjp: one a row
  void* y;
  long long rows, n;
  TargetParams target;
  int kind, group;  // group: threads that share a row
};

/// Rows that do not fit the registers of a block, cut into `parts` of `part` elements (a multiple
/// of 16 bytes). One part: a block does all (pass 0). Else pass 1 writes (rows, parts) tallies, a
/// pair of numbers each, and pass 2 uses them.
struct SoftmaxLongParams {
  const void *x, *g;
  void *y, *tallies;
  long long rows, n, parts, part;
  TargetParams target;
  int kind, pass;
};

/// An array seen as (outer, n, inner), row-major; a row runs along n. A block takes `across` packs
/// along (outer, inner); `lines` threads share a row, which is read once if it has at most K *
/// lines elements.
struct SoftmaxColumnParams {
  const void *x, *g;
  void* y;
  long long outer, n, inner;
  int kind, across, lines;
};

}  // namespace legato::cuda
