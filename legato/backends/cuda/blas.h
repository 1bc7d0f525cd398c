// cuBLASLt, opened when a matrix product first asks for it. Its header comes only with the library
// (half a gigabyte), so what is used of it is declared here; a test compares with the header where
// there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

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
enum DescAttribute : int { kTransA = 3, kTransB = 4, kEpilogue = 7, kBiasPointer = 8 };
enum EpilogueKind : int { kPlain = 1, kRelu = 2, kBias = 4, kGelu = 32 };  // bits, but for kPlain
enum LayoutAttribute : int { kBatchCount = 5, kBatchStride = 6 };
enum PreferenceAttribute : int {
  kMaxWorkspace = 1,
  kReductionMask = 3,
  kMinAlignmentA = 5,
  kMinAlignmentB = 6,
  kMinAlignmentC = 7,
  kMinAlignmentD = 8
};
// How the parts of a sum that was cut along k are added: in the compute type, by way of the
// workspace. Not in the output's, which would round a half at each part.
enum ReductionScheme : int { kInComputeType = 2 };

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
  int (*cublasLtMatmulPreferenceDestroy)(Preference) = nullptr;
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
  int64_t transposed = 0;
  int64_t ld = 1, batch_stride = 0;
};

/// d = act(alpha op(a) op(b) + beta c + bias), by columns: c and d are m x n, the bias has m
/// elements. All that a plan depends on, of fields without gaps: it is compared byte by byte.
struct BlasProduct {
  int32_t device = 0;
  Dtype in = Dtype::float32;   // of a and b
  Dtype out = Dtype::float32;  // of c, d and the bias
  bool tf32 = false;           // float32 operands may be rounded to TF32
  uint8_t alignment = 0;       // of all addresses, in bytes; at most 16
  int32_t epilogue = blas::kPlain;
  int32_t adds = 0;  // beta is not 0
  int64_t m = 0, n = 0, k = 0, batch = 1;
  BlasOperand a, b, c, d;
};
static_assert(std::has_unique_object_representations_v<BlasProduct>);

struct BlasArguments {
  const void *a, *b, *c, *bias;  // c: where nothing is added, d
  void* d;
  double alpha = 1, beta = 0;
};

/// Runs it on the device's queue. False, with nothing done, if cuBLASLt is not there, doesn't take
/// the product or finds no algorithm; the caller has a kernel of its own then. From any thread.
bool blas_multiply(GpuDevice& device, Launch& launch, const BlasProduct& product,
                   const BlasArguments& arguments);

}  // namespace legato::cuda
