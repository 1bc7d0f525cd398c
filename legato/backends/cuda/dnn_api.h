// What is used of cuDNN 9, declared by hand as in blas.h, because its header comes only with
// gigabytes of library; a test compares with the header where there is one.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace legato::cuda::dnn {

using Handle = struct DnnContext*;
using RawDescriptor = void*;

// cudnnDataType_t and the other enumerations, by their numbers.
enum class DataType : int {
  f32 = 0,
  f64 = 1,
  f16 = 2,
  i8 = 3,
  i32 = 4,
  u8 = 6,
  bf16 = 9,
  i64 = 10,
  boolean = 11,
};
enum class Kind : int {  // of a descriptor
  pointwise = 0,
  convolution = 1,
  engine = 2,
  engine_config = 3,
  heuristic = 4,
  plan = 5,
  conv_forward = 10,
  conv_weight_gradient = 11,
  conv_input_gradient = 12,
  pointwise_operation = 13,
  graph = 15,
  variant_pack = 16,
  tensor = 17,
};
enum class Attribute : int {
  pointwise_mode = 0,
  pointwise_precision = 1,
  conv_compute = 100,
  conv_mode = 101,
  conv_dilations = 102,
  conv_strides = 103,
  conv_post_paddings = 104,
  conv_pre_paddings = 105,
  conv_spatial_dims = 106,
  heuristic_mode = 200,
  heuristic_graph = 201,
  heuristic_results = 202,
  config_engine = 300,
  plan_handle = 400,
  plan_config = 401,
  plan_workspace = 402,
  forward_alpha = 700,
  forward_beta = 701,
  forward_conv = 702,
  forward_w = 703,
  forward_x = 704,
  forward_y = 705,
  input_alpha = 706,
  input_beta = 707,
  input_conv = 708,
  input_w = 709,
  input_dx = 710,
  input_dy = 711,
  weight_alpha = 712,
  weight_beta = 713,
  weight_conv = 714,
  weight_dw = 715,
  weight_x = 716,
  weight_dy = 717,
  pointwise_descriptor = 750,
  pointwise_x = 751,
  pointwise_b = 752,
  pointwise_y = 753,
  graph_handle = 800,
  graph_operations = 801,
  tensor_alignment = 900,
  tensor_type = 901,
  tensor_sizes = 902,
  tensor_strides = 903,
  tensor_id = 906,
  tensor_virtual = 907,
  tensor_by_value = 908,
  pack_ids = 1000,
  pack_pointers = 1001,
  pack_workspace = 1003,
  engine_numerics = 1303,
  engine_behavior = 1305,
};
enum class Type : int {  // of an attribute's value
  handle = 0,
  data_type = 1,
  boolean = 2,
  int64 = 3,
  f32 = 4,
  f64 = 5,
  pointer = 6,
  convolution_mode = 7,
  heuristic_mode = 8,
  numerics = 11,
  pointwise_mode = 14,
  descriptor = 15,
  behavior = 19,
};
enum class ConvMode : int { convolution = 0, correlation = 1 };
enum class HeuristicMode : int { b = 1, fallback = 2, a = 3 };
enum class PointwiseMode : int {
  add = 0,
  mul = 1,
  min = 2,
  max = 3,
  sqrt = 4,
  div = 6,
  sub = 9,
  abs = 10,
  exp = 13,
  log = 15,
  neg = 16,
  rsqrt = 17,
  erf = 20,
  identity = 21,
  reciprocal = 22,
  relu = 100,
  tanh = 101,
  sigmoid = 102,
  gelu = 104,
  softplus = 105,
  swish = 106,
  gelu_tanh = 107,
};
/// What an engine does to numbers; as bits of a set: 1 << note.
enum class Numerics : int {
  tensor_core = 0,
  down_converts = 1,
  reduced_sums = 2,
  fft = 3,
  nondeterministic = 4,
  winograd = 5,
  winograd_4x4 = 6,
  winograd_6x6 = 7,
  winograd_13x13 = 8,
};
enum class Behavior : int { runtime_compiled = 0 };

struct Library {
  size_t (*cudnnGetVersion)() = nullptr;
  const char* (*cudnnGetErrorString)(int) = nullptr;
  void (*cudnnGetLastErrorString)(char*, size_t) = nullptr;
  int (*cudnnCreate)(Handle*) = nullptr;
  int (*cudnnSetStream)(Handle, CUstream) = nullptr;
  int (*cudnnBackendCreateDescriptor)(int kind, RawDescriptor*) = nullptr;
  int (*cudnnBackendDestroyDescriptor)(RawDescriptor) = nullptr;
  int (*cudnnBackendFinalize)(RawDescriptor) = nullptr;
  int (*cudnnBackendSetAttribute)(RawDescriptor, int attribute, int type, int64_t count,
                                  const void*) = nullptr;
  int (*cudnnBackendGetAttribute)(RawDescriptor, int attribute, int type, int64_t asked,
                                  int64_t* found, void*) = nullptr;
  int (*cudnnBackendExecute)(Handle, RawDescriptor plan, RawDescriptor pack) = nullptr;
  std::string problem;  // why it can't be used; empty if it can
};
/// Opens cuDNN at the first call: what LEGATO_CUDNN names, else PyPI's beside Legato, else the
/// system's.
Library& library();
/// "9.19.0", or why there is none; for people.
std::string version();

}  // namespace legato::cuda::dnn
