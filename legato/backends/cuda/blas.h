// cuBLASLt, opened when a matrix product first asks for it. Its header comes only with the library
// (half a gigabyte), so what is used of it is declared here; a test compares with the header where
// there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "legato/backends/cuda/device.h"

namespace legato::cuda {

namespace blas {

using Handle = struct HandleOpaque*;
using MatmulDesc = struct MatmulDescOpaque*;
using Layout = struct LayoutOpaque*;
using Preference = struct PreferenceOpaque*;
struct Algo {
  uint64_t data[8];
};
struct Heuristic {
  Algo algo;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

// cudaDataType, cublasComputeType_t and the attributes, by their numbers.
enum DataType : int { kR32 = 0, kR64 = 1, kR16 = 2, kC32 = 4, kC64 = 5, kRB16 = 14 };
enum ComputeType : int { kCompute32 = 68, kCompute64 = 70, kComputeTf32 = 77 };
enum DescAttribute : int { kTransA = 3, kTransB = 4 };
enum LayoutAttribute : int { kBatchCount = 5, kBatchStride = 6 };
enum PreferenceAttribute : int { kMaxWorkspace = 1 };

struct Library {
  int (*cublasLtCreate)(Handle*) = nullptr;
  int (*cublasLtMatmulDescCreate)(MatmulDesc*, int compute, int scale) = nullptr;
  int (*cublasLtMatmulDescDestroy)(MatmulDesc) = nullptr;
  int (*cublasLtMatmulDescSetAttribute)(MatmulDesc, int attribute, const void*, size_t) = nullptr;
  int (*cublasLtMatrixLayoutCreate)(Layout*, int type, uint64_t rows, uint64_t cols,
                                    int64_t ld) = nullptr;
  int (*cublasLtMatrixLayoutDestroy)(Layout) = nullptr;
  int (*cublasLtMatrixLayoutSetAttribute)(Layout, int attribute, const void*, size_t) = nullptr;
  int (*cublasLtMatmulPreferenceCreate)(Preference*) = nullptr;
  int (*cublasLtMatmulPreferenceSetAttribute)(Preference, int attribute, const void*,
                                              size_t) = nullptr;
  int (*cublasLtMatmulAlgoGetHeuristic)(Handle, MatmulDesc, Layout a, Layout b, Layout c, Layout d,
                                        Preference, int requested, Heuristic*,
                                        int* found) = nullptr;
  int (*cublasLtMatmul)(Handle, MatmulDesc, const void* alpha, const void* a, Layout, const void* b,
                        Layout, const void* beta, const void* c, Layout, void* d, Layout,
                        const Algo*, void* workspace, size_t workspace_bytes, CUstream) = nullptr;
  std::string problem;  // why it can't be used; empty if it can
};
Library& library();

}  // namespace blas

/// A matrix as cuBLAS sees it: columns one after the other, `ld` elements apart; transposed or not.
struct BlasOperand {
  bool transposed = false;
  int64_t ld = 1, batch_stride = 0;
};

/// d = alpha op(a) op(b) + beta d, by columns: d is m x n.
struct BlasProduct {
  Dtype dtype;
  int64_t m, n, k, batch = 1;
  BlasOperand a, b, d;
  friend bool operator==(const BlasProduct& x, const BlasProduct& y);
};

/// Runs it on the device's queue. False, with nothing done, if cuBLASLt is not there, doesn't take
/// the dtype or finds no algorithm; the caller has a kernel of its own then.
bool blas_multiply(GpuDevice& device, const BlasProduct& product, const void* a, const void* b,
                   void* d, double alpha, double beta);

}  // namespace legato::cuda
