#include "legato/backends/cuda/blas.h"

#include <dlfcn.h>

#include <complex>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "legato/backends/cuda/library_places.h"
#include "legato/base/error.h"
#include "legato/op/attrs.h"

namespace legato::cuda {
namespace blas {
namespace {

Library* load() {
  auto* l = new Library;
  void* handle = open_library(library_places(
      "LEGATO_CUBLASLT", {"cu13/lib/libcublasLt.so.13", "cublas/lib/libcublasLt.so.12"},
      {"libcublasLt.so.13", "libcublasLt.so.12"}));
  if (!handle) {
    l->problem =
        "cuBLASLt was not found; matrix products use Legato's own, slower kernel. Install it with: "
        "pip install nvidia-cublas";
    return l;
  }
#define LEGATO_BLAS_LOAD(name)                                         \
  l->name = reinterpret_cast<decltype(l->name)>(dlsym(handle, #name)); \
  if (!l->name) {                                                      \
    l->problem = "cuBLASLt has no function " #name ".";                \
    return l;                                                          \
  }
  LEGATO_BLAS_LOAD(cublasLtCreate)
  LEGATO_BLAS_LOAD(cublasLtMatmulDescCreate)
  LEGATO_BLAS_LOAD(cublasLtMatmulDescDestroy)
  LEGATO_BLAS_LOAD(cublasLtMatmulDescSetAttribute)
  LEGATO_BLAS_LOAD(cublasLtMatrixLayoutCreate)
  LEGATO_BLAS_LOAD(cublasLtMatrixLayoutDestroy)
  LEGATO_BLAS_LOAD(cublasLtMatrixLayoutSetAttribute)
  LEGATO_BLAS_LOAD(cublasLtMatmulPreferenceCreate)
  LEGATO_BLAS_LOAD(cublasLtMatmulPreferenceDestroy)
  LEGATO_BLAS_LOAD(cublasLtMatmulPreferenceSetAttribute)
  LEGATO_BLAS_LOAD(cublasLtMatmulAlgoGetHeuristic)
  LEGATO_BLAS_LOAD(cublasLtMatmul)
#undef LEGATO_BLAS_LOAD
  return l;
}

}  // namespace

Library& library() {
  static Library& l = *load();
  return l;
}

}  // namespace blas

namespace {

using namespace blas;

// Hopper's kernels split k into parts that lie in the workspace; with 4 MiB some skinny products
// take 1.7 to 3.6 times as long (4096 x 16 x 4096 float32: 91 us, with 64 MiB 53).
constexpr size_t kWorkspaceBytes = size_t{64} << 20;
constexpr size_t kMaxPlans = 4096;

// What cuBLASLt chose for a product. Not usable: it found nothing.
struct Plan {
  BlasProduct product;
  MatmulDesc desc = nullptr;
  Layout a = nullptr, b = nullptr, c = nullptr, d = nullptr;
  Algo algo{};
  size_t workspace_bytes = 0;
  bool usable = false;
  std::mutex bias_lock;  // the pointer to the bias is a part of `desc`
  ~Plan() {
    Library& l = library();
    if (desc) l.cublasLtMatmulDescDestroy(desc);
    for (Layout layout : {a, b, c, d})
      if (layout) l.cublasLtMatrixLayoutDestroy(layout);
  }
};

bool ok(int status) { return status == 0; }

struct DataTypes {
  DataType in, out, scale;
  ComputeType compute;
};

bool data_type(Dtype t, DataType& to) {
  constexpr struct {
    Dtype dtype;
    DataType type;
  } known[] = {{Dtype::float16, kR16}, {Dtype::bfloat16, kRB16}, {Dtype::float32, kR32},
               {Dtype::float64, kR64}, {Dtype::complex64, kC32}, {Dtype::complex128, kC64}};
  for (auto& k : known)
    if (k.dtype == t) {
      to = k.type;
      return true;
    }
  return false;
}

bool types_of(const BlasProduct& p, DataTypes& t) {
  if (!data_type(p.in, t.in) || !data_type(p.out, t.out)) return false;
  const bool wide = p.in == Dtype::float64 || p.in == Dtype::complex128;
  t.scale = is_half(p.in) ? kR32 : t.in;
  t.compute = wide ? kCompute64 : p.tf32 ? kComputeTf32 : kCompute32;
  return true;
}

// Asks for one algorithm. On an H100 the first was within 5 % of the best of eight in 30 of 36
// products, and three of the other six take no longer than their launch. What is left (bf16
// 4096 x 16 x 4096: 12.1 us against 8.7; float32 batches of 128 x 128 x 128: 68 against 59) would
// need trials with waits between them, which nothing but a read may do here.
bool choose(Handle handle, Plan& plan) {
  Library& l = library();
  const BlasProduct& p = plan.product;
  DataTypes t;
  if (!types_of(p, t) || !ok(l.cublasLtMatmulDescCreate(&plan.desc, t.compute, t.scale)))
    return false;
  auto describe = [&](int attribute, const auto& value) {
    return ok(l.cublasLtMatmulDescSetAttribute(plan.desc, attribute, &value, sizeof value));
  };
  const int32_t trans_a = p.a.transposed != 0, trans_b = p.b.transposed != 0;
  if (!describe(kTransA, trans_a) || !describe(kTransB, trans_b)) return false;
  if (p.epilogue != kPlain && !describe(kEpilogue, p.epilogue)) return false;
  const void* some = reinterpret_cast<const void*>(uintptr_t{4096});  // the real one comes later
  if ((p.epilogue & kBias) && !describe(kBiasPointer, some)) return false;

  auto layout = [&](Layout& to, DataType type, int64_t rows, int64_t cols, const BlasOperand& o) {
    if (o.transposed) std::swap(rows, cols);
    const int32_t count = static_cast<int32_t>(p.batch);
    return ok(l.cublasLtMatrixLayoutCreate(&to, type, static_cast<uint64_t>(rows),
                                           static_cast<uint64_t>(cols), o.ld)) &&
           ok(l.cublasLtMatrixLayoutSetAttribute(to, kBatchCount, &count, sizeof count)) &&
           ok(l.cublasLtMatrixLayoutSetAttribute(to, kBatchStride, &o.batch_stride,
                                                 sizeof o.batch_stride));
  };
  if (!layout(plan.a, t.in, p.m, p.k, p.a) || !layout(plan.b, t.in, p.k, p.n, p.b) ||
      !layout(plan.c, t.out, p.m, p.n, p.c) || !layout(plan.d, t.out, p.m, p.n, p.d))
    return false;

  Preference preference = nullptr;
  if (!ok(l.cublasLtMatmulPreferenceCreate(&preference))) return false;
  auto prefer = [&](int attribute, const auto& value) {
    return ok(l.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
  };
  const uint32_t mask = kInComputeType, alignment = p.alignment;
  bool set = prefer(kMaxWorkspace, kWorkspaceBytes);
  if (is_half(p.out)) set = set && prefer(kReductionMask, mask);
  for (int which : {kMinAlignmentA, kMinAlignmentB, kMinAlignmentC, kMinAlignmentD})
    set = set && prefer(which, alignment);
  Heuristic best{};
  int found = 0;
  const bool chosen =
      set && ok(l.cublasLtMatmulAlgoGetHeuristic(handle, plan.desc, plan.a, plan.b, plan.c, plan.d,
                                                 preference, 1, &best, &found));
  l.cublasLtMatmulPreferenceDestroy(preference);
  if (!chosen || found < 1 || best.state != 0) return false;
  plan.algo = best.algo;
  plan.workspace_bytes = best.workspace_bytes;
  return true;
}

uint64_t hash(const BlasProduct& p) { return attrs_detail::hash_bytes(&p, sizeof p, 1); }
bool same(const BlasProduct& x, const BlasProduct& y) { return std::memcmp(&x, &y, sizeof x) == 0; }

// All plans, and a handle for each device.
class Plans {
 public:
  Handle handle(int device) {
    std::lock_guard lock(lock_);
    return handle_of(device);
  }
  // Null if cuBLASLt cannot be used at all.
  std::shared_ptr<Plan> get(const BlasProduct& p, uint64_t h) {
    std::lock_guard lock(lock_);
    auto [from, to] = known_.equal_range(h);
    for (auto it = from; it != to; ++it)
      if (same(it->second->product, p)) return it->second;
    Handle handle = handle_of(p.device);
    if (!handle) return nullptr;
    // A new start when it is full; plans in use live on with those who use them.
    if (known_.size() >= kMaxPlans) known_.clear();
    auto plan = std::make_shared<Plan>();
    plan->product = p;
    plan->usable = choose(handle, *plan);
    known_.emplace(h, plan);
    return plan;
  }

 private:
  Handle handle_of(int device) {
    Handle& h = handles_[device];
    if (!h && !ok(library().cublasLtCreate(&h))) h = nullptr;
    return h;
  }
  std::mutex lock_;
  std::unordered_map<int, Handle> handles_;
  std::unordered_multimap<uint64_t, std::shared_ptr<Plan>> known_;
};

Plans& plans() {
  static Plans& p = *new Plans;
  return p;
}

// All that a call depends on, of fields without gaps.
struct BlasKey {
  const Plan* plan;
  Handle handle;
  BlasArguments arguments;
  void* workspace;
};
static_assert(sizeof(BlasKey) == 3 * sizeof(void*) + sizeof(BlasArguments));

class BlasCall final : public LibraryCall {
 public:
  BlasCall(const std::shared_ptr<Plan>& plan, Handle handle, const BlasArguments& arguments,
           void* workspace, uint64_t form)
      : plan_(plan), form_(form), key_{plan.get(), handle, arguments, workspace} {}
  std::string_view key() const override {
    return {reinterpret_cast<const char*>(&key_), sizeof key_};
  }
  uint64_t form() const override { return form_; }
  std::unique_ptr<LibraryCall> copy() const override { return std::make_unique<BlasCall>(*this); }

  void run(CUstream stream) const override {
    Library& l = library();
    Plan& plan = *plan_;
    const BlasProduct& product = plan.product;
    const BlasArguments& args = key_.arguments;
    // The factors in the type that goes with the computation.
    const std::complex<float> alpha32(static_cast<float>(args.alpha)),
        beta32(static_cast<float>(args.beta));
    const std::complex<double> alpha64(args.alpha), beta64(args.beta);
    const bool wide = product.in == Dtype::float64 || product.in == Dtype::complex128;
    const void* alpha = wide ? static_cast<const void*>(&alpha64) : &alpha32;
    const void* beta = wide ? static_cast<const void*>(&beta64) : &beta32;
    std::unique_lock<std::mutex> lock;
    int status = 0;
    if (product.epilogue & kBias) {
      lock = std::unique_lock(plan.bias_lock);
      status =
          l.cublasLtMatmulDescSetAttribute(plan.desc, kBiasPointer, &args.bias, sizeof args.bias);
    }
    if (ok(status))
      status = l.cublasLtMatmul(key_.handle, plan.desc, alpha, args.a, plan.a, args.b, plan.b, beta,
                                args.c, plan.c, args.d, plan.d, &plan.algo, key_.workspace,
                                plan.workspace_bytes, stream);
    if (!ok(status))
      throw EvalError(cat("GPU: a matrix product of ", product.n, " x ", product.k, " by ",
                          product.k, " x ", product.m, " failed (cuBLASLt gave ", status, ")"));
  }

 private:
  std::shared_ptr<Plan> plan_;  // so that no other one gets its address, which is in the key
  uint64_t form_;
  BlasKey key_;
};

// What a thread used last is found without a lock.
struct Recent {
  static constexpr size_t kSlots = 64;
  std::shared_ptr<Plan> plan[kSlots];
  Handle handle[kSlots] = {};
};

}  // namespace

bool blas_multiply(GpuDevice& device, Launch& launch, const BlasProduct& given,
                   const BlasArguments& args) {
  Library& l = library();
  if (!l.problem.empty()) return false;
  if (given.m > INT32_MAX || given.n > INT32_MAX || given.k > INT32_MAX || given.batch > INT32_MAX)
    return false;
  BlasProduct product = given;
  product.device = device.index();
  uintptr_t addresses = reinterpret_cast<uintptr_t>(args.a) | reinterpret_cast<uintptr_t>(args.b) |
                        reinterpret_cast<uintptr_t>(args.c) | reinterpret_cast<uintptr_t>(args.d) |
                        16;
  product.alignment = static_cast<uint8_t>(addresses & -addresses);

  thread_local const auto memory = std::make_unique<Recent>();
  Recent& recent = *memory;
  const uint64_t h = hash(product);
  const size_t slot = h % Recent::kSlots;
  if (!recent.plan[slot] || !same(recent.plan[slot]->product, product)) {
    recent.plan[slot] = plans().get(product, h);
    if (!recent.plan[slot]) return false;
    recent.handle[slot] = plans().handle(product.device);
  }
  const std::shared_ptr<Plan>& plan = recent.plan[slot];
  if (!plan->usable) return false;
  void* workspace = plan->workspace_bytes
                        ? launch.workspace(static_cast<int64_t>(plan->workspace_bytes))
                        : nullptr;
  device.launch(BlasCall(plan, recent.handle[slot], args, workspace, h));
  return true;
}

}  // namespace legato::cuda
