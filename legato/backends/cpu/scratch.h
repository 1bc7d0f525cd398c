// Working memory of kernels: one growing buffer per thread and use, kept between calls.
#pragma once
#include <cstddef>

namespace legato::cpu {

/// Who uses a buffer. Uses that can be alive at once in a thread are different.
enum class Scratch {
  gemm_a,
  gemm_b,
  gemm_stage,
  gemm_vector,
  conv_weights,
  conv_input,
  conv_columns,
  conv_sums,
  rows,
  row_program,
  sort,
  count
};

/// At least `bytes` bytes, aligned to 64, uninitialised. Valid in this thread until its next call
/// for the same use, or its end. Another thread may read and write it in between. Throws
/// MemoryError if there is no memory.
void* scratch(Scratch use, size_t bytes);

template <class T>
T* scratch(Scratch use, size_t count) {
  return static_cast<T*>(scratch(use, count * sizeof(T)));
}

}  // namespace legato::cpu
