#include "legato/backends/cuda/blas.h"

#include <dlfcn.h>

#include <complex>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "legato/base/error.h"

namespace legato::cuda {
namespace blas {
namespace {

Library* load() {
  auto* l = new Library;
  std::vector<std::string> places;
  if (const char* given = std::getenv("LEGATO_CUBLASLT"); given && *given) {
    places.push_back(given);
  } else {
    Dl_info info;
    if (dladdr(reinterpret_cast<const void*>(&load), &info) && info.dli_fname) {
      std::string here = info.dli_fname;  // .../site-packages/legato/lib/liblegato_cuda.so
      for (int up = 0; up < 3; ++up) here = here.substr(0, here.rfind('/'));
      places.push_back(here + "/nvidia/cu13/lib/libcublasLt.so.13");
      places.push_back(here + "/nvidia/cublas/lib/libcublasLt.so.12");
    }
    places.push_back("libcublasLt.so.13");
    places.push_back("libcublasLt.so.12");
  }
  void* handle = nullptr;
  for (const std::string& place : places)
    if ((handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL))) break;
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

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr size_t kMaxPlans = 4096;

// What cuBLASLt chose for a product; null: it found nothing.
struct Plan {
  MatmulDesc desc = nullptr;
  Layout a = nullptr, b = nullptr, d = nullptr;
  Algo algo{};
  size_t workspace_bytes = 0;
  ~Plan() {
    Library& l = library();
    if (desc) l.cublasLtMatmulDescDestroy(desc);
    for (Layout layout : {a, b, d})
      if (layout) l.cublasLtMatrixLayoutDestroy(layout);
  }
};

struct HashProduct {
  size_t operator()(const BlasProduct& p) const {
    uint64_t h = static_cast<uint64_t>(p.dtype);
    for (int64_t v : {p.m, p.n, p.k, p.batch, p.a.ld, p.b.ld, p.d.ld, p.a.batch_stride,
                      p.b.batch_stride, int64_t{p.a.transposed}, int64_t{p.b.transposed}})
      h = (h ^ static_cast<uint64_t>(v)) * 0x9e3779b97f4a7c15ull;
    return static_cast<size_t>(h ^ (h >> 32));
  }
};

// The plans of one device. Handles of cuBLASLt hold no queue, but a device's workspace serves one
// product after the other, which its queue sees to.
struct Plans {
  std::mutex lock;
  Handle handle = nullptr;
  Preference preference = nullptr;
  void* workspace = nullptr;
  std::unordered_map<BlasProduct, std::unique_ptr<Plan>, HashProduct> known;
};

Plans& plans_of(int device) {
  static std::mutex lock;
  static auto& all = *new std::unordered_map<int, std::unique_ptr<Plans>>;
  std::lock_guard guard(lock);
  auto& plans = all[device];
  if (!plans) plans = std::make_unique<Plans>();
  return *plans;
}

bool types_of(Dtype t, DataType& data, DataType& scale, ComputeType& compute) {
  compute = kCompute32;
  scale = kR32;
  if (t == Dtype::float32) {
    data = kR32;
  } else if (t == Dtype::float16) {
    data = kR16;
  } else if (t == Dtype::bfloat16) {
    data = kRB16;
  } else if (t == Dtype::float64) {
    data = scale = kR64;
    compute = kCompute64;
  } else if (t == Dtype::complex64) {
    data = scale = kC32;
  } else if (t == Dtype::complex128) {
    data = scale = kC64;
    compute = kCompute64;
  } else {
    return false;
  }
  return true;
}

bool ok(int status) { return status == 0; }

std::unique_ptr<Plan> make_plan(Plans& plans, const BlasProduct& p) {
  Library& l = library();
  DataType data, scale;
  ComputeType compute;
  auto plan = std::make_unique<Plan>();
  if (!types_of(p.dtype, data, scale, compute)) return nullptr;
  if (!ok(l.cublasLtMatmulDescCreate(&plan->desc, compute, scale))) return nullptr;
  const int32_t trans_a = p.a.transposed, trans_b = p.b.transposed;
  auto layout = [&](Layout& to, int64_t rows, int64_t cols, const BlasOperand& o, bool turned) {
    if (turned) std::swap(rows, cols);
    const int32_t count = static_cast<int32_t>(p.batch);
    return ok(l.cublasLtMatrixLayoutCreate(&to, data, static_cast<uint64_t>(rows),
                                           static_cast<uint64_t>(cols), o.ld)) &&
           ok(l.cublasLtMatrixLayoutSetAttribute(to, kBatchCount, &count, sizeof count)) &&
           ok(l.cublasLtMatrixLayoutSetAttribute(to, kBatchStride, &o.batch_stride,
                                                 sizeof o.batch_stride));
  };
  Heuristic best{};
  int found = 0;
  if (!ok(l.cublasLtMatmulDescSetAttribute(plan->desc, kTransA, &trans_a, sizeof trans_a)) ||
      !ok(l.cublasLtMatmulDescSetAttribute(plan->desc, kTransB, &trans_b, sizeof trans_b)) ||
      !layout(plan->a, p.m, p.k, p.a, p.a.transposed) ||
      !layout(plan->b, p.k, p.n, p.b, p.b.transposed) || !layout(plan->d, p.m, p.n, p.d, false) ||
      !ok(l.cublasLtMatmulAlgoGetHeuristic(plans.handle, plan->desc, plan->a, plan->b, plan->d,
                                           plan->d, plans.preference, 1, &best, &found)) ||
      found < 1 || best.state != 0)
    return nullptr;
  plan->algo = best.algo;
  plan->workspace_bytes = best.workspace_bytes;
  return plan;
}

}  // namespace

bool operator==(const BlasProduct& x, const BlasProduct& y) {
  auto same = [](const BlasOperand& p, const BlasOperand& q) {
    return p.transposed == q.transposed && p.ld == q.ld && p.batch_stride == q.batch_stride;
  };
  return x.dtype == y.dtype && x.m == y.m && x.n == y.n && x.k == y.k && x.batch == y.batch &&
         same(x.a, y.a) && same(x.b, y.b) && same(x.d, y.d);
}

bool blas_multiply(GpuDevice& device, const BlasProduct& product, const void* a, const void* b,
                   void* d, double alpha, double beta) {
  Library& l = library();
  if (!l.problem.empty()) return false;
  if (product.m > INT32_MAX || product.n > INT32_MAX || product.k > INT32_MAX ||
      product.batch > INT32_MAX)
    return false;
  Plans& plans = plans_of(device.index());
  std::lock_guard lock(plans.lock);
  if (!plans.handle) {
    if (!ok(l.cublasLtCreate(&plans.handle)) ||
        !ok(l.cublasLtMatmulPreferenceCreate(&plans.preference)) ||
        !ok(l.cublasLtMatmulPreferenceSetAttribute(plans.preference, kMaxWorkspace,
                                                   &kWorkspaceBytes, sizeof kWorkspaceBytes)))
      return false;
    plans.workspace = device.allocate(static_cast<int64_t>(kWorkspaceBytes));
  }
  auto found = plans.known.find(product);
  if (found == plans.known.end()) {
    if (plans.known.size() >= kMaxPlans) plans.known.clear();
    found = plans.known.emplace(product, make_plan(plans, product)).first;
  }
  const Plan* plan = found->second.get();
  if (!plan) return false;
  // The factors in the type that goes with the computation.
  const std::complex<float> alpha32(static_cast<float>(alpha)), beta32(static_cast<float>(beta));
  const std::complex<double> alpha64(alpha), beta64(beta);
  const bool wide = product.dtype == Dtype::float64 || product.dtype == Dtype::complex128;
  const void* alpha_at = wide ? static_cast<const void*>(&alpha64) : &alpha32;
  const void* beta_at = wide ? static_cast<const void*>(&beta64) : &beta32;
  const int status = l.cublasLtMatmul(plans.handle, plan->desc, alpha_at, a, plan->a, b, plan->b,
                                      beta_at, d, plan->d, d, plan->d, &plan->algo, plans.workspace,
                                      kWorkspaceBytes, device.queue());
  if (!ok(status))
    throw EvalError(cat("GPU: a matrix product failed (cuBLASLt gave ", status, ")"));
  return true;
}

}  // namespace legato::cuda
