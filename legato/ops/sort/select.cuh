// Parameters of selecting the largest elements of long rows, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/order_form.h"

namespace legato::cuda {

inline constexpr int kSelectBits = 11, kSelectBins = 1 << kSelectBits;  // of a digit
inline constexpr int kSelectRounds = 6;                                 // of a key of 64 bits

/// What is known of a row that blocks share; zeroed before.
struct SelectRow {
  unsigned chosen;  // elements that are certainly among the largest
  // Before each round but the first: how many are wanted of those that are left, how many are left,
  // and the digits that they have.
  unsigned wanted[kSelectRounds + 1], left[kSelectRounds + 1];
  unsigned long long smallest[kSelectRounds + 1];
};

/// See Note [Selection] in select.cu.
struct SelectParams {
  const void* x;     // rows of n elements, one behind the other
  void* left[2];     // keys that rounds leave in turns, [row][n]
  void* chosen;      // [row][k]
  SelectRow* state;  // of shared rows
  unsigned* counts;  // of shared rows, [round][row][digit], zeroed
  KeyForm form;
  long long rows, n, k;
  long long span, spans;  // of shared rows: elements of a block; blocks of a row
  int round;
  int rounds, shift[kSelectRounds + 1];  // digits begin at these bits
};

inline constexpr int kSelectThreads = 256, kSelectItems = 16;
inline constexpr int kSelectChunk = kSelectThreads * kSelectItems;
inline constexpr int kSelectCopies = 4;  // of counts

}  // namespace legato::cuda
