#include "legato/backends/cuda/kernels.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "legato/backends/cuda/nvrtc.h"
#include "legato/backends/cuda/parts.h"
#include "legato/backends/cuda/print_reduction.h"
#include "legato/base/error.h"

namespace legato::cuda {

/// Threads that compile. Few: NVRTC takes turns inside (on 16 cores, 16 programs on as many threads
/// took 193 ms, one after the other 112).
class Builders {
 public:
  static Builders& get() {
    static Builders& b = *[] {  // never destroyed
      nvrtc_problem();
      auto* fresh = new Builders;
      made_.store(fresh, std::memory_order_release);
      fresh->stop_at_exit();
      return fresh;
    }();
    return b;
  }
  static Builders* made() { return made_.load(std::memory_order_acquire); }
  void stop() {
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(lock_);
      stopped_ = true;
      threads.swap(threads_);
    }
    ready_.notify_all();
    for (auto& t : threads) t.join();
  }

  void submit(const ProgramKernel& kernel) {
    std::lock_guard lock(lock_);
    if (stopped_) return;
    kernel.refs_.fetch_add(1, std::memory_order_relaxed);
    queue_.push_back(&kernel);
    if (idle_ < queue_.size() && threads_.size() < most_) try {
        threads_.emplace_back([this] { work(); });
      } catch (const std::system_error&) {  // no more threads here: those who wait build
        most_ = threads_.size();
      }
    ready_.notify_one();
  }

  static void release(const ProgramKernel* kernel) {
    if (kernel->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete kernel;
  }

 private:
  void work() {
    std::unique_lock lock(lock_);
    for (;;) {
      ++idle_;
      ready_.wait(lock, [&] { return stopped_ || !queue_.empty(); });
      --idle_;
      if (stopped_) return;
      const ProgramKernel* kernel = queue_.front();
      queue_.pop_front();
      lock.unlock();
      if (kernel->claim()) kernel->build();
      release(kernel);
      stop_at_exit();
      lock.lock();
    }
  }
  // exit() calls what was registered last first, and the compiler registers the destruction of its
  // own objects while it compiles: threads have to stop before that. Python's end does not rely on
  // this (stop_backend_threads).
  void stop_at_exit() {
    if (registered_.fetch_add(1, std::memory_order_relaxed) < 32) std::atexit([] { get().stop(); });
  }

  static inline std::atomic<Builders*> made_{nullptr};
  std::atomic<int> registered_{0};
  std::mutex lock_;
  std::condition_variable ready_;
  std::deque<const ProgramKernel*> queue_;  // guarded by lock_, as all that follows
  std::vector<std::thread> threads_;
  size_t idle_ = 0, most_ = 2;
  bool stopped_ = false;
};

ProgramKernel::~ProgramKernel() {
  if (!module_) return;
  try {
    GpuDevice& d = device(device_.index());
    d.forget(function_);
    d.synchronize();
    driver().cuModuleUnload(module_);
  } catch (const Error&) {  // the device is lost, and the module with it
  }
}

bool ProgramKernel::claim() const {
  State queued = State::queued;
  return state_.compare_exchange_strong(queued, State::building, std::memory_order_acq_rel);
}

void ProgramKernel::build() const noexcept {
  State reached = State::failed;
  try {
    const std::string code = compile_source(source_, device_.capability());
    device(device_.index());  // this thread may be in no context yet
    check(driver().cuModuleLoadData(&module_, code.data()), "loading a compiled program");
    check(driver().cuModuleGetFunction(&function_, module_, "program"),
          "finding a compiled program");
    std::string().swap(source_.text);
    reached = State::ready;
  } catch (const std::exception& e) {
    try {
      error_ = e.what();
    } catch (...) {  // no memory for the words
    }
  }
  state_.store(reached, std::memory_order_release);
  state_.notify_all();
}

void ProgramKernel::wait() const {
  for (;;) {
    const State now = state();
    if (now == State::ready) return;
    if (now == State::building) {
      state_.wait(now, std::memory_order_acquire);
    } else if (now == State::queued) {
      if (claim()) build();
    } else {
      State failed = State::failed;
      const std::string why = error_;
      state_.compare_exchange_strong(failed, State::queued, std::memory_order_acq_rel);
      throw EvalError(why);
    }
  }
}

/// The kernels of one program: a list that only grows, so that reading it takes no lock.
class ProgramKernels final : public fuse::CompiledProgram {
 public:
  explicit ProgramKernels(const fuse::Program& program)
      : program_(program), hash_(structure_hash(program)) {}
  ~ProgramKernels() override {
    for (ProgramKernel* k = first_.load(std::memory_order_acquire); k;)
      Builders::release(std::exchange(k, k->next_));
  }
  const ProgramKernel* find(GpuDevice& d, const Variant& variant, bool compile) {
    const ProgramKernel::Key key{variant.key(static_cast<int>(program_.inputs.size())),
                                 static_cast<uint32_t>(d.index())};
    if (const ProgramKernel* known = search(key)) return known;
    std::lock_guard lock(lock_);
    if (const ProgramKernel* known = search(key)) return known;
    if (const Precompiled* p = find_precompiled(hash_, key.variant)) {
      CUfunction f = d.kernel(p->image, cat("program", p->number));
      return add(new ProgramKernel(d, key, f, p->packs));
    }
    if (!compile || !nvrtc_problem().empty()) return nullptr;
    return submit(new ProgramKernel(d, key, print_program(program_, variant)));
  }
  const ProgramKernel* find(GpuDevice& d, const Variant& variant, const ReductionForm& form) {
    const ProgramKernel::Key key{variant.key(static_cast<int>(program_.inputs.size())),
                                 static_cast<uint32_t>(d.index()), form.key()};
    if (const ProgramKernel* known = search(key)) return known;
    std::lock_guard lock(lock_);
    if (const ProgramKernel* known = search(key)) return known;
    if (!nvrtc_problem().empty()) return nullptr;
    auto* made = new ProgramKernel(d, key, print_reduction(program_, variant, form));
    if (!made->source_.text.empty()) return submit(made);
    made->error_ = "the kernel would be too long";
    made->state_.store(ProgramKernel::State::failed, std::memory_order_release);
    return add(made);
  }
  const Parts* parts() {
    std::call_once(taken_apart_, [&] { parts_ = take_apart(program_); });
    return parts_.get();
  }

 private:
  const ProgramKernel* search(const ProgramKernel::Key& key) const {
    const ProgramKernel* k = first_.load(std::memory_order_acquire);
    while (k && !(k->key_ == key)) k = k->next_;
    return k;
  }
  const ProgramKernel* submit(ProgramKernel* made) {
    Builders::get().submit(*made);
    return add(made);
  }
  const ProgramKernel* add(ProgramKernel* made) {
    made->next_ = first_.load(std::memory_order_relaxed);
    first_.store(made, std::memory_order_release);
    return made;
  }

  const fuse::Program& program_;
  const uint64_t hash_;
  std::mutex lock_;
  std::atomic<ProgramKernel*> first_{nullptr};  // changed under lock_
  std::once_flag taken_apart_;
  std::unique_ptr<const Parts> parts_;
};

/// Kernels of row programs, which belong to no program: kept for ever, up to a number.
class RowKernels {
 public:
  static RowKernels& get() {
    static RowKernels& all = *new RowKernels;
    return all;
  }
  const ProgramKernel* find(GpuDevice& d, const std::string& key, FunctionRef<Source()> print) {
    std::lock_guard lock(lock_);
    const std::string own = cat(d.index(), " ", key);
    if (auto known = kernels_.find(own); known != kernels_.end()) return known->second;
    if (kernels_.size() >= kMost || !nvrtc_problem().empty()) return nullptr;
    auto* made = new ProgramKernel(d, {0, static_cast<uint32_t>(d.index()), {}}, print());
    kernels_.emplace(own, made);
    if (made->source_.text.empty()) {
      made->error_ = "the kernel would be too long";
      made->state_.store(ProgramKernel::State::failed, std::memory_order_release);
    } else {
      Builders::get().submit(*made);
    }
    return made;
  }

 private:
  static constexpr size_t kMost = 1024;
  std::mutex lock_;
  std::unordered_map<std::string, const ProgramKernel*> kernels_;  // guarded by lock_
};

namespace {

ProgramKernels& kernels_of(const fuse::Program& program) {
  auto& slot = const_cast<fuse::Program&>(program).compiled[fuse::kKernelsOfGpu];
  fuse::CompiledProgram* known = slot.load(std::memory_order_acquire);
  if (!known) {
    auto made = std::make_unique<ProgramKernels>(program);
    if (slot.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel))
      known = made.release();
  }
  return *static_cast<ProgramKernels*>(known);
}

}  // namespace

const ProgramKernel* find_kernel(GpuDevice& device, const fuse::Program& program,
                                 const Variant& variant) {
  return kernels_of(program).find(device, variant, true);
}
const ProgramKernel* find_reduction(GpuDevice& device, const fuse::Program& program,
                                    const Variant& variant, const ReductionForm& form) {
  return kernels_of(program).find(device, variant, form);
}
const ProgramKernel* find_rows(GpuDevice& device, const std::string& key,
                               FunctionRef<Source()> print) {
  return RowKernels::get().find(device, key, print);
}
void stop_builders() noexcept {
  if (Builders* b = Builders::made()) b->stop();
}
const ProgramKernel* find_precompiled_kernel(GpuDevice& device, const fuse::Program& program,
                                             const Variant& variant) {
  // What is being compiled stands in the same list.
  const ProgramKernel* k = kernels_of(program).find(device, variant, false);
  return k && k->state() == ProgramKernel::State::ready ? k : nullptr;
}
const Parts* parts_of(const fuse::Program& program) { return kernels_of(program).parts(); }

}  // namespace legato::cuda
