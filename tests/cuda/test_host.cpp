// The parts of the CUDA backend that need no device: how calls are laid out for kernels, the source
// that is printed for them, the cache on disk; and that NVRTC compiles every function for every
// dtype. NVRTC needs no GPU; LEGATO_NVRTC says where it is.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "legato/backends/cpu/loops.h"
#include "legato/backends/cuda/blas.h"
#include "legato/backends/cuda/driver.h"
#include "legato/backends/cuda/kit.h"
#include "legato/backends/cuda/nvrtc.h"
#include "legato/backends/cuda/program.h"
#include "legato/base/cpu_info.h"
#include "legato/base/error.h"
#include "legato/ops/pointwise/scalar.h"

#if __has_include(<cublasLt.h>) && __has_include(<cuda_runtime_api.h>)
#include <cublasLt.h>
#define LEGATO_TEST_HAS_CUBLASLT 1
#endif

using namespace legato;
using namespace legato::cuda;

#ifdef LEGATO_TEST_HAS_CUBLASLT
// What blas.h declares is what the library's header says.
static_assert(blas::kCompute32 == static_cast<int>(CUBLAS_COMPUTE_32F) &&
              blas::kCompute64 == static_cast<int>(CUBLAS_COMPUTE_64F) &&
              blas::kComputeTf32 == static_cast<int>(CUBLAS_COMPUTE_32F_FAST_TF32));
static_assert(blas::kR32 == static_cast<int>(CUDA_R_32F) &&
              blas::kR64 == static_cast<int>(CUDA_R_64F) &&
              blas::kR16 == static_cast<int>(CUDA_R_16F) &&
              blas::kRB16 == static_cast<int>(CUDA_R_16BF) &&
              blas::kC32 == static_cast<int>(CUDA_C_32F) &&
              blas::kC64 == static_cast<int>(CUDA_C_64F));
static_assert(
    blas::kTransA == static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSA) &&
    blas::kTransB == static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSB) &&
    blas::kBatchCount == static_cast<int>(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) &&
    blas::kBatchStride == static_cast<int>(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) &&
    blas::kMaxWorkspace == static_cast<int>(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) &&
    blas::kReductionMask == static_cast<int>(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) &&
    blas::kMinAlignmentA == static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) &&
    blas::kMinAlignmentD == static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) &&
    blas::kInComputeType == static_cast<int>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
static_assert(blas::kEpilogue == static_cast<int>(CUBLASLT_MATMUL_DESC_EPILOGUE) &&
              blas::kBiasPointer == static_cast<int>(CUBLASLT_MATMUL_DESC_BIAS_POINTER) &&
              blas::kPlain == static_cast<int>(CUBLASLT_EPILOGUE_DEFAULT) &&
              blas::kRelu == static_cast<int>(CUBLASLT_EPILOGUE_RELU) &&
              blas::kBias == static_cast<int>(CUBLASLT_EPILOGUE_BIAS) &&
              blas::kGelu == static_cast<int>(CUBLASLT_EPILOGUE_GELU) &&
              (blas::kBias | blas::kGelu) == static_cast<int>(CUBLASLT_EPILOGUE_GELU_BIAS));
static_assert(sizeof(blas::Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t) &&
              sizeof(blas::Algo) == sizeof(cublasLtMatmulAlgo_t));
#endif

namespace {

// x + y, or whatever `fn` is, of inputs of these dtypes.
std::unique_ptr<fuse::Program> program(const char* fn, std::vector<Dtype> inputs, Dtype out) {
  auto p = std::make_unique<fuse::Program>();
  fuse::Instr instr;
  instr.fn = fuse::find_fn(fn);
  instr.compute = instr.dtype = compute_dtype(out);
  for (size_t i = 0; i < inputs.size(); ++i) instr.src[i] = static_cast<uint16_t>(i);
  instr.n_src = static_cast<uint8_t>(inputs.size());
  p->inputs = std::move(inputs);
  p->instrs.push_back(instr);
  p->outputs = {static_cast<uint16_t>(p->inputs.size())};
  return p;
}

struct Laid {
  fuse::ProgramCall call;
  std::vector<fuse::BoundInput> inputs;
  void* out = reinterpret_cast<void*>(0x1000);

  Laid(const fuse::Program& p, Shape shape, std::vector<Strides> strides,
       uintptr_t address = 0x1000) {
    for (auto& s : strides) inputs.push_back({reinterpret_cast<void*>(address), s});
    call.program = &p;
    call.shape = std::move(shape);
    call.inputs = inputs;
    call.outputs = {&out, 1};
  }
};

Walk walk_of(const Laid& c) {
  Walk w;
  plan_walk(c.call, w);
  return w;
}
std::string access_of(const Laid& c) {
  return walk_of(c).variant.text(static_cast<int>(c.inputs.size()));
}

}  // namespace

TEST_CASE("operands of a program are read as their strides allow") {
  auto add = program("add", {Dtype::float32, Dtype::float32}, Dtype::float32);
  SUBCASE("dense ones in packs, whatever the shape") {
    Laid c(*add, {6, 4, 5}, {{20, 5, 1}, {20, 5, 1}});
    CHECK(access_of(c) == "DD 4");
    CHECK(walk_of(c).axes == 0);
    CHECK(walk_of(c).n == 120);
    CHECK(access_of(Laid(*add, {7}, {{1}, {1}})) == "DD 4");
  }
  SUBCASE("a row along the inner axis, one of it repeated, a single element") {
    CHECK(access_of(Laid(*add, {6, 8}, {{8, 1}, {0, 1}})) == "DR 4");
    CHECK(access_of(Laid(*add, {6, 8}, {{8, 1}, {1, 0}})) == "DB 4");
    CHECK(access_of(Laid(*add, {6, 8}, {{8, 1}, {0, 0}})) == "DS 4");
    CHECK(access_of(Laid(*add, {6, 8}, {{8, 1}, {1, 6}})) == "DG 4");
  }
  SUBCASE("single elements where the inner axis or an address allows no packs") {
    CHECK(access_of(Laid(*add, {6, 6}, {{6, 1}, {0, 1}})) == "DG 1");
    CHECK(access_of(Laid(*add, {6, 7}, {{7, 1}, {1, 0}})) == "DG 1");
    CHECK(access_of(Laid(*add, {64}, {{1}, {1}}, 0x1004)) == "DD 1");
    CHECK(access_of(Laid(*add, {64}, {{1}, {1}}, 0x1010)) == "DD 4");
  }
  SUBCASE("axes merge where all operands step through them as one") {
    const Walk w = walk_of(Laid(*add, {2, 3, 4, 8}, {{96, 32, 8, 1}, {0, 32, 8, 1}}));
    CHECK(w.axes == 2);
    CHECK(w.size[0] == 96);
    CHECK(w.size[1] == 2);
    CHECK(w.stride[1][1] == 0);
    const Walk ones = walk_of(Laid(*add, {1, 5, 1}, {{7, 1, 3}, {9, 2, 2}}));
    CHECK(ones.axes == 1);
    CHECK(ones.n == 5);
    CHECK(walk_of(Laid(*add, {}, {{}, {}})).n == 1);
  }
  SUBCASE("axes beyond those that a kernel walks are left to the host") {
    Shape shape;
    Strides dense, odd;
    for (int i = 0; i < 11; ++i) {
      shape.push_back(2);
      dense.push_back(int64_t{1} << (10 - i));
      odd.push_back(int64_t{3} << (2 * (10 - i)));
    }
    const Walk w = walk_of(Laid(*add, shape, {dense, odd}));
    CHECK(w.axes == kProgramAxes);
    CHECK(w.outer == 3);
    CHECK(w.n == 256);
  }
  SUBCASE("operands that lie across go through tiles where there is much to read") {
    const Laid c(*add, {300, 260}, {{1, 300}, {260, 1}});
    CHECK(access_of(c) == "TG 1 tiled");
    const Walk w = walk_of(c);
    CHECK(tiles_of(w) == 5 * 5);
    CHECK(w.out_stride[0] == 1);
    CHECK(w.out_stride[1] == 260);
    // Five elements are no line.
    const Laid deep(*add, {70, 7, 130, 5}, {{1, 70, 490, 63700}, {4550, 650, 5, 1}});
    CHECK_FALSE(walk_of(deep).variant.tiled);
    const Walk outer = walk_of(Laid(*add, {130, 9, 70}, {{1, 130, 1170}, {630, 70, 1}}));
    CHECK(outer.variant.tiled);
    CHECK(outer.size[1] == 130);
    CHECK(outer.out_stride[1] == 630);
    CHECK(tiles_of(outer) == 2 * 3 * 9);
    CHECK(access_of(Laid(*add, {30, 26}, {{1, 30}, {26, 1}})) == "GD 1");
    CHECK(access_of(Laid(*add, {300, 260}, {{1, 300}, {0, 0}})) == "TS 1 tiled");
  }
  SUBCASE("positions widen where 32 bits do not reach") {
    CHECK_FALSE(walk_of(Laid(*add, {1 << 20}, {{1}, {1}})).variant.wide);
    CHECK(walk_of(Laid(*add, {int64_t{1} << 31}, {{1}, {1}})).variant.wide);
    CHECK(walk_of(Laid(*add, {4, 2}, {{2, 1}, {int64_t{1} << 30, 1}})).variant.wide);
    CHECK(walk_of(Laid(*add, {4, 2}, {{2, 1}, {-(int64_t{1} << 30), 1}})).variant.wide);
  }
  SUBCASE("half types move eight at a time, mixed ones as the wider allows") {
    auto half = program("add", {Dtype::float16, Dtype::float16}, Dtype::float16);
    half->instrs[0].dtype = Dtype::float16;
    CHECK(access_of(Laid(*half, {64}, {{1}, {1}})) == "DD 8");
    auto mixed = program("add", {Dtype::float16, Dtype::float64}, Dtype::float64);
    CHECK(access_of(Laid(*mixed, {64}, {{1}, {1}})) == "DD 2");
  }
}

TEST_CASE("division by a product and a shift is exact") {
  for (uint32_t d :
       {1u, 2u, 3u, 5u, 7u, 64u, 641u, 999u, 65535u, 65537u, (1u << 30) + 1, 0x7fffffffu})
    for (uint32_t n : {0u, 1u, d - 1, d, d + 1, 3 * d % 0x7fffffffu, 0x7ffffffeu, 0x7fffffffu}) {
      const Magic m = division_by(d);
      if (n >> 31) continue;
      const uint32_t q = (static_cast<uint32_t>((uint64_t{n} * m.magic) >> 32) + n) >> m.shift;
      CHECK(q == n / d);
    }
}

TEST_CASE("axes of copies merge") {
  const Strides a{12, 4, 1}, b{1, 2, 6};
  const Strides* both[] = {&a, &a};
  CHECK(merge_axes({2, 3, 4}, both).n == 1);
  const Strides* differ[] = {&a, &b};
  CHECK(merge_axes({2, 3, 4}, differ).n == 3);
  CHECK(merge_axes({2, 3, 4}, differ).count == 24);
  CHECK(merge_axes({}, {}).count == 1);
}

TEST_CASE("the cache on disk gives back what was put there, or nothing") {
  char name[] = "/tmp/legato-cuda-test-XXXXXX";
  const std::string folder = std::string(mkdtemp(name)) + "/a/b";
  CHECK(read_cached(folder, "key").empty());
  const std::string data("code\0with\nbytes", 15);
  write_cached(folder, "key", data);
  CHECK(read_cached(folder, "key") == data);
  CHECK(read_cached(folder, "another key").empty());
  write_cached(folder, "key", "new");
  CHECK(read_cached(folder, "key") == "new");
  CHECK(read_cached("", "key").empty());
  write_cached("", "key", data);
  write_cached("/proc/nowhere", "key", data);
  CHECK(read_cached("/proc/nowhere", "key").empty());
}

TEST_CASE("a driver that is not there is a sentence") {
  Driver d;
  CHECK(load_driver(d, "/nowhere/libcuda.so").find("could not be loaded") != std::string::npos);
  CHECK(load_driver(d, "libm.so.6").find("it has no cuInit") != std::string::npos);
}

namespace {

template <class... Fs>
std::vector<int> arities(pointwise::List<Fs...>) {
  return {Fs::arity...};
}

void compiles(const fuse::Program& p, std::string_view access, int pack, bool wide) {
  Variant v;
  for (size_t i = 0; i < access.size(); ++i)
    v.access[i] = static_cast<Access>(std::string_view("SDRBG").find(access[i]));
  v.pack = pack;
  v.wide = wide;
  const Source source = print_program(p, v);
  CHECK_NOTHROW(compile_source(cat(prelude(source.language), source.text), 90));
}

}  // namespace

TEST_CASE("NVRTC compiles every function and every cast for every dtype") {
  if (!nvrtc_problem().empty()) {
    MESSAGE(nvrtc_problem());
    return;
  }
  setenv("LEGATO_CACHE_DIR", "", 1);
  const auto& loops = pointwise::loop_table(simd_level());
  const std::vector<int> arity = arities(pointwise::AllFunctions{});
  for (int t = 0; t < kDtypeCount; ++t) {
    const Dtype dtype = static_cast<Dtype>(t);
    CAPTURE(dtype);
    fuse::Program all;  // an output for each function and each cast
    all.inputs = {dtype, dtype, dtype};
    auto put = [&](fuse::FnId fn, int n_src, Dtype result) {
      fuse::Instr instr;
      instr.fn = fn;
      instr.compute = compute_dtype(dtype);
      instr.dtype = result;
      for (int i = 0; i < n_src; ++i) instr.src[i] = static_cast<uint16_t>(i);
      instr.n_src = static_cast<uint8_t>(n_src);
      all.outputs.push_back(static_cast<uint16_t>(3 + all.instrs.size()));
      all.instrs.push_back(instr);
    };
    for (fuse::FnId fn = 1; fn < fuse::fn_count(); ++fn)
      if (!is_half(dtype) && loops.fn[fn][t])
        put(fn, arity[fn], fn == fuse::find_fn("make_complex") ? to_complex(dtype) : dtype);
    for (int to = 0; to < kDtypeCount; ++to) put(fuse::kCastFn, 1, static_cast<Dtype>(to));
    compiles(all, "DDD", 1, false);
    if (dtype == Dtype::int16) {  // every access, in packs and one by one
      compiles(all, "GRB", 2, true);
      compiles(all, "SGB", 1, false);
      compiles(all, "DSD", 4, true);
    }
  }
}
