#include "legato/backends/cuda/dnn.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>

#include "legato/backends/cuda/library_places.h"
#include "legato/backends/cuda/nvrtc.h"

namespace legato::cuda::dnn {
namespace {

Library* load() {
  auto* l = new Library;
  // Its engines that are compiled at run time open NVRTC by its bare name, which finds one that is
  // open already.
  nvrtc_problem();
  // It is a stub that opens its parts from beside itself when they are first used.
  void* handle =
      open_library(library_places("LEGATO_CUDNN", {"cudnn/lib/libcudnn.so.9"}, {"libcudnn.so.9"}));
  if (!handle) {
    l->problem =
        "cuDNN 9 was not found; convolutions use Legato's own, slower kernels. Install it with: "
        "pip install nvidia-cudnn-cu13";
    return l;
  }
#define LEGATO_DNN_LOAD(name)                                          \
  l->name = reinterpret_cast<decltype(l->name)>(dlsym(handle, #name)); \
  if (!l->name) {                                                      \
    l->problem = "cuDNN has no function " #name ".";                   \
    return l;                                                          \
  }
  LEGATO_DNN_LOAD(cudnnGetVersion)
  LEGATO_DNN_LOAD(cudnnGetErrorString)
  LEGATO_DNN_LOAD(cudnnGetLastErrorString)
  LEGATO_DNN_LOAD(cudnnCreate)
  LEGATO_DNN_LOAD(cudnnSetStream)
  LEGATO_DNN_LOAD(cudnnBackendCreateDescriptor)
  LEGATO_DNN_LOAD(cudnnBackendDestroyDescriptor)
  LEGATO_DNN_LOAD(cudnnBackendFinalize)
  LEGATO_DNN_LOAD(cudnnBackendSetAttribute)
  LEGATO_DNN_LOAD(cudnnBackendGetAttribute)
  LEGATO_DNN_LOAD(cudnnBackendExecute)
#undef LEGATO_DNN_LOAD
  if (const size_t v = l->cudnnGetVersion(); v < 90000)
    l->problem = cat("cuDNN is of version ", v, " as it counts; Legato needs 9.0 or newer.");
  return l;
}

[[noreturn]] void refused(int status, const std::string& what) {
  char words[1024] = "";
  library().cudnnGetLastErrorString(words, sizeof words);
  words[sizeof words - 1] = 0;
  throw Failure(cat("cuDNN refused ", what, ": ", library().cudnnGetErrorString(status),
                    words[0] ? ": " : "", words));
}

void check(int status, const char* what, int which) {
  if (status != 0) [[unlikely]]
    refused(status, cat(what, " ", which));
}

// A device's handle. It serves one thread at a time: the lock is held for each call that takes it.
struct Session {
  std::mutex lock;
  Handle handle = nullptr;   // guarded by lock
  CUstream queue = nullptr;  // to which it is bound; guarded by lock
  std::string problem;       // why it could not be made
};

// The session of a device, with its handle if that can be made. Sessions are never destroyed, as
// arrays may outlive static destructors.
Session& session_of(GpuDevice& device) {
  static std::mutex lock;
  static auto& all = *new std::unordered_map<int, std::unique_ptr<Session>>;
  std::lock_guard guard(lock);
  auto& session = all[device.index()];
  if (session) return *session;
  session = std::make_unique<Session>();
  Library& l = library();
  if (!l.problem.empty()) {
    session->problem = l.problem;
    return *session;
  }
  try {
    check(l.cudnnCreate(&session->handle), "a handle for device", device.index());
  } catch (const Failure& e) {
    session->handle = nullptr;
    session->problem = e.what();
  }
  return *session;
}

// Whether `engine` carries one of the notes in `set`.
bool has_note(const Descriptor& engine, Attribute attribute, Type type, uint32_t set) {
  if (!set) return false;
  int notes[32];
  const int64_t n = engine.get(attribute, type, 32, notes);
  for (int64_t i = 0; i < n && i < 32; ++i)
    if (notes[i] >= 0 && notes[i] < 32 && (set >> notes[i] & 1u)) return true;
  return false;
}

// Adds plans of the engines that `mode` names, in its order. Engines that cuDNN or the rules refuse
// are passed over; `reason` is then what cuDNN said last.
void add_plans(std::vector<std::unique_ptr<Plan>>& plans, Handle handle, const Descriptor& graph,
               HeuristicMode mode, const PlanRules& rules, std::string& reason) try {
  Descriptor heuristic(Kind::heuristic);
  heuristic.set(Attribute::heuristic_graph, graph).set(Attribute::heuristic_mode, mode).finalize();
  // Each engine that is named costs a tenth of a millisecond, and the first one is nearly always
  // taken, so the others are only asked for where it is not.
  constexpr int64_t kMost = 32;
  int64_t seen = 0;
  for (const int64_t ask : {int64_t{rules.count}, kMost}) {
    if (plans.size() >= static_cast<size_t>(rules.count) || seen >= std::min(ask, kMost)) return;
    std::vector<Descriptor> configs;
    std::vector<RawDescriptor> raw;
    for (int64_t i = 0; i < std::min(ask, kMost); ++i)
      raw.push_back(configs.emplace_back(Kind::engine_config).raw());
    const auto room = static_cast<int64_t>(raw.size());
    const int64_t n = std::min(
        room, heuristic.get(Attribute::heuristic_results, Type::descriptor, room, raw.data()));
    for (; seen < n && plans.size() < static_cast<size_t>(rules.count); ++seen) try {
        Descriptor& config = configs[static_cast<size_t>(seen)];
        Descriptor engine(Kind::engine);
        RawDescriptor at = engine.raw();
        config.get(Attribute::config_engine, Type::descriptor, 1, &at);
        if (has_note(engine, Attribute::engine_numerics, Type::numerics, rules.without_numerics) ||
            has_note(engine, Attribute::engine_behavior, Type::behavior, rules.without_behavior))
          continue;
        Descriptor plan(Kind::plan);
        plan.set(Attribute::plan_handle, handle).set(Attribute::plan_config, config).finalize();
        auto made = std::make_unique<Plan>(std::move(config), std::move(plan));
        if (made->workspace_bytes() <= rules.most_workspace) plans.push_back(std::move(made));
      } catch (const Failure& e) {
        reason = e.what();
      }
  }
} catch (const Failure& e) {
  reason = e.what();
}

}  // namespace

Library& library() {
  static Library& l = *load();
  return l;
}

std::string version() {
  Library& l = library();
  if (!l.problem.empty()) return l.problem;
  const size_t v = l.cudnnGetVersion();
  return cat(v / 10000, ".", v / 100 % 100, ".", v % 100);
}

Descriptor::Descriptor(Kind kind) {
  check(library().cudnnBackendCreateDescriptor(static_cast<int>(kind), &raw_),
        "to make a descriptor of kind", static_cast<int>(kind));
}
Descriptor::~Descriptor() {
  if (raw_) library().cudnnBackendDestroyDescriptor(raw_);
}
Descriptor& Descriptor::set(Attribute attribute, Type type, int64_t count, const void* values) {
  check(library().cudnnBackendSetAttribute(raw_, static_cast<int>(attribute),
                                           static_cast<int>(type), count, values),
        "attribute", static_cast<int>(attribute));
  return *this;
}
Descriptor& Descriptor::set(Attribute attribute, std::span<const Descriptor> values) {
  std::vector<RawDescriptor> raw;
  for (const Descriptor& d : values) raw.push_back(d.raw_);
  return set(attribute, Type::descriptor, static_cast<int64_t>(raw.size()), raw.data());
}
Descriptor& Descriptor::finalize() {
  if (const int status = library().cudnnBackendFinalize(raw_); status != 0) [[unlikely]]
    refused(status, "a descriptor");
  return *this;
}
int64_t Descriptor::get(Attribute attribute, Type type, int64_t count, void* values) const {
  int64_t found = 0;
  check(library().cudnnBackendGetAttribute(raw_, static_cast<int>(attribute),
                                           static_cast<int>(type), count, &found, values),
        "to tell attribute", static_cast<int>(attribute));
  return found;
}

Descriptor describe(const Tensor& t) {
  Descriptor d(Kind::tensor);
  d.set(Attribute::tensor_type, t.type)
      .set(Attribute::tensor_sizes, t.sizes)
      .set(Attribute::tensor_strides, t.strides)
      .set(Attribute::tensor_id, t.id)
      .set(Attribute::tensor_alignment, t.alignment);
  if (t.is_virtual) d.set(Attribute::tensor_virtual, true);
  d.finalize();
  return d;
}

bool data_type(Dtype dtype, DataType& type) {
  if (dtype == Dtype::float32)
    type = DataType::f32;
  else if (dtype == Dtype::float64)
    type = DataType::f64;
  else if (dtype == Dtype::float16)
    type = DataType::f16;
  else if (dtype == Dtype::bfloat16)
    type = DataType::bf16;
  else
    return false;
  return true;
}

Plan::Plan(Descriptor config, Descriptor plan) {
  auto made = std::make_shared<Descriptors>(std::move(config), std::move(plan));
  made->plan.get(Attribute::plan_workspace, Type::int64, 1, &made->workspace);
  descriptors_ = std::move(made);
}

class RunOfPlan final : public LibraryCall {
 public:
  RunOfPlan(const Plan& plan, GpuDevice& device, std::span<const int64_t> ids,
            std::span<void* const> data, void* workspace)
      : plan_(plan.descriptors_), device_(device), n_(ids.size()) {
    if (n_ > kMost) throw Failure(cat("cuDNN: more than ", kMost, " operands"));
    key_.plan = plan_.get();  // alive as long as the key is
    key_.workspace = workspace;
    std::copy(ids.begin(), ids.end(), key_.ids);
    std::copy(data.begin(), data.end(), key_.data);
  }
  std::string_view key() const override {
    return {reinterpret_cast<const char*>(&key_), sizeof key_};
  }
  uint64_t form() const override { return reinterpret_cast<uintptr_t>(plan_.get()); }
  std::unique_ptr<LibraryCall> copy() const override { return std::make_unique<RunOfPlan>(*this); }

  void run(CUstream stream) const override {
    Descriptor pack(Kind::variant_pack);
    pack.set(Attribute::pack_ids, std::span(key_.ids, n_))
        .set(Attribute::pack_pointers, Type::pointer, static_cast<int64_t>(n_), key_.data)
        .set(Attribute::pack_workspace, Type::pointer, 1, &key_.workspace)
        .finalize();
    Session& session = session_of(device_);
    std::lock_guard guard(session.lock);
    if (session.queue != stream) {
      check(library().cudnnSetStream(session.handle, stream), "the queue of device",
            device_.index());
      session.queue = stream;
    }
    if (const int status =
            library().cudnnBackendExecute(session.handle, plan_->plan.raw(), pack.raw());
        status != 0) [[unlikely]]
      refused(status, "to run a plan");
  }

 private:
  static constexpr size_t kMost = 16;
  struct Key {
    const void* plan = nullptr;
    void* workspace = nullptr;
    int64_t ids[kMost] = {};
    void* data[kMost] = {};
  };
  std::shared_ptr<const Plan::Descriptors> plan_;
  GpuDevice& device_;
  size_t n_;
  Key key_;
};

void Plan::run(GpuDevice& device, std::span<const int64_t> ids, std::span<void* const> data,
               void* workspace) const {
  device.launch(RunOfPlan(*this, device, ids, data, workspace));
}

std::vector<std::unique_ptr<Plan>> make_plans(GpuDevice& device,
                                              std::span<const Descriptor> operations,
                                              const PlanRules& rules, std::string* why) {
  std::vector<std::unique_ptr<Plan>> plans;
  const auto wanted = static_cast<size_t>(rules.count);
  std::string reason = "no engine fits";
  try {
    Session& session = session_of(device);
    std::lock_guard guard(session.lock);
    if (!session.handle) throw Failure(session.problem);
    Descriptor graph(Kind::graph);
    graph.set(Attribute::graph_handle, session.handle)
        .set(Attribute::graph_operations, operations)
        .finalize();
    for (HeuristicMode mode : {HeuristicMode::a, HeuristicMode::fallback})
      if (plans.size() < wanted) add_plans(plans, session.handle, graph, mode, rules, reason);
  } catch (const Failure& e) {
    reason = e.what();
  }
  if (why) *why = plans.empty() ? reason : "";
  return plans;
}

}  // namespace legato::cuda::dnn
