// cuDNN 9 through its graph API, opened when something first asks for it. A computation is a graph
// of operations over tensors; cuDNN names engines for it, and one of them becomes a Plan, which is
// kept and run again.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "legato/array/shape.h"
#include "legato/backends/cuda/device.h"
#include "legato/backends/cuda/dnn_api.h"
#include "legato/base/error.h"

namespace legato::cuda::dnn {

/// A call that cuDNN refused, in its own words. What does not suit cuDNN ends here, so that callers
/// catch it and take another way.
class Failure : public EvalError {
 public:
  using EvalError::EvalError;
};

/// Owns a descriptor. Values are set one by one, then finalize() makes it valid and fixed. Throws
/// Failure. May outlive everything but the library.
class Descriptor {
 public:
  explicit Descriptor(Kind kind);
  Descriptor(Descriptor&& o) noexcept : raw_(o.raw_) { o.raw_ = nullptr; }
  Descriptor& operator=(Descriptor&& o) noexcept {
    std::swap(raw_, o.raw_);
    return *this;
  }
  ~Descriptor();

  Descriptor& set(Attribute, Type, int64_t count, const void* values);
  Descriptor& set(Attribute a, int64_t v) { return set(a, Type::int64, 1, &v); }
  Descriptor& set(Attribute a, std::span<const int64_t> v) {
    return set(a, Type::int64, static_cast<int64_t>(v.size()), v.data());
  }
  Descriptor& set(Attribute a, const Dims& v) {
    return set(a, std::span<const int64_t>(v.data(), v.size()));
  }
  Descriptor& set(Attribute a, bool v) { return set(a, Type::boolean, 1, &v); }
  Descriptor& set(Attribute a, float v) { return set(a, Type::f32, 1, &v); }
  Descriptor& set(Attribute a, double v) { return set(a, Type::f64, 1, &v); }
  Descriptor& set(Attribute a, DataType v) { return set(a, Type::data_type, 1, &v); }
  Descriptor& set(Attribute a, ConvMode v) { return set(a, Type::convolution_mode, 1, &v); }
  Descriptor& set(Attribute a, HeuristicMode v) { return set(a, Type::heuristic_mode, 1, &v); }
  Descriptor& set(Attribute a, PointwiseMode v) { return set(a, Type::pointwise_mode, 1, &v); }
  Descriptor& set(Attribute a, Handle v) { return set(a, Type::handle, 1, &v); }
  Descriptor& set(Attribute a, const Descriptor& v) { return set(a, Type::descriptor, 1, &v.raw_); }
  Descriptor& set(Attribute a, std::span<const Descriptor> v);

  Descriptor& finalize();
  /// Fills `values` with at most `count` of them; returns how many there are.
  int64_t get(Attribute, Type, int64_t count, void* values) const;
  RawDescriptor raw() const { return raw_; }

 private:
  RawDescriptor raw_ = nullptr;
};

/// A tensor of an operation graph. Sizes and strides are in cuDNN's order, (N, C, spatial...) for
/// convolutions, whatever the order in memory. A virtual one exists only between two operations.
struct Tensor {
  int64_t id;
  DataType type;
  Dims sizes, strides;
  bool is_virtual = false;
  int64_t alignment = 16;  // in bytes, of its pointers
};
Descriptor describe(const Tensor& tensor);

/// The type of these elements; false if cuDNN's convolutions and products do not take them.
bool data_type(Dtype dtype, DataType& type);

/// An engine that was chosen for an operation graph, ready to run. Immutable; any thread may run
/// it.
class Plan {
 public:
  Plan(Descriptor config, Descriptor plan);
  /// Memory of the device that each run needs.
  int64_t workspace_bytes() const { return descriptors_->workspace; }
  /// Runs on the device's queue: ids[i] is at data[i]. Throws Failure.
  void run(GpuDevice& device, std::span<const int64_t> ids, std::span<void* const> data,
           void* workspace) const;

 private:
  friend class RunOfPlan;
  struct Descriptors {
    Descriptor config, plan;
    int64_t workspace = 0;
  };
  std::shared_ptr<const Descriptors> descriptors_;  // runs that were captured keep them, too
};

struct PlanRules {
  int64_t most_workspace = int64_t{1} << 30;
  /// Sets of notes, 1 << Numerics or Behavior: engines that have one of them are left out.
  uint32_t without_numerics = 1u << static_cast<int>(Numerics::nondeterministic);
  uint32_t without_behavior = 0;
  int count = 1;  // how many plans are wanted
};

/// Plans for the graph of these finalized operations, the one that cuDNN expects to be fastest
/// first; at most rules.count. None: cuDNN is not there or has no engine that fits the rules; `why`
/// says so. Throws nothing but what memory does.
std::vector<std::unique_ptr<Plan>> make_plans(GpuDevice& device,
                                              std::span<const Descriptor> operations,
                                              const PlanRules& rules, std::string* why = nullptr);

/// Keeps what was made for a key (any bytes), the most recently used ones. Thread-safe. A value in
/// use lives on after it has been dropped.
template <class T>
class Cache {
 public:
  explicit Cache(size_t most) : most_(most) {}

  /// The value of this key, made by `make` at first. Only one thread makes values at a time.
  template <class Make>
  std::shared_ptr<T> get(std::string_view key, Make make) {
    std::lock_guard guard(lock_);
    if (auto found = by_key_.find(key); found != by_key_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->value;
    }
    std::shared_ptr<T> value = make();
    if (entries_.size() >= most_) {
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({std::string(key), value});
    by_key_.emplace(entries_.front().key, entries_.begin());
    return value;
  }
  size_t size() {
    std::lock_guard guard(lock_);
    return entries_.size();
  }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<T> value;
  };
  const size_t most_;
  std::mutex lock_;
  std::list<Entry> entries_;  // most recently used first; guarded by lock_
  std::unordered_map<std::string_view, typename std::list<Entry>::iterator> by_key_;
};

}  // namespace legato::cuda::dnn
