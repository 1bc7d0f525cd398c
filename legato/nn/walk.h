// The one way through a tree of modules.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "legato/nn/module.h"

namespace legato::nn {

/// Goes through a module and all below it, and calls back for every array and every module.
class Walk final : public Members {
 public:
  struct Slot {
    const std::string& path;
    Array& array;
    bool trained;  // neither a buffer nor frozen
  };
  using OnArray = FunctionRef<void(const Slot&)>;
  using OnModule = FunctionRef<void(const std::string& path, Module&)>;

  static void arrays(const Module& root, OnArray f) {
    Walk walk(&f, nullptr);
    walk.enter(const_cast<Module&>(root));  // the walk itself changes nothing
  }
  static void modules(Module& root, OnModule f) {
    Walk walk(nullptr, &f);
    walk.enter(root);
  }
  /// Whether a member of `module` is excluded from training: by its name, or, for an entry of a
  /// list, by the name of the list.
  static bool is_frozen(const Module& module, std::string_view name) {
    auto has = [&](std::string_view key) {
      return std::binary_search(module.frozen_.begin(), module.frozen_.end(), key);
    };
    return !module.frozen_.empty() && (has(name) || has(name.substr(0, name.find('.'))));
  }

 private:
  Walk(OnArray* on_array, OnModule* on_module) : on_array_(on_array), on_module_(on_module) {}

  void enter(Module& module) {
    if (on_module_) (*on_module_)(path_, module);
    Module* outer = std::exchange(current_, &module);
    module.members(*this);
    current_ = outer;
  }
  void array(std::string_view name, Array& value, bool trained) override {
    if (!on_array_) return;
    const size_t length = descend(name);
    (*on_array_)({path_, value, trained && !frozen_ && !is_frozen(*current_, name)});
    path_.resize(length);
  }
  void module(std::string_view name, Module& part) override {
    const size_t length = descend(name);
    const bool frozen = std::exchange(frozen_, frozen_ || is_frozen(*current_, name));
    enter(part);
    frozen_ = frozen;
    path_.resize(length);
  }
  size_t descend(std::string_view name) {
    const size_t length = path_.size();
    if (length > 0) path_ += '.';
    path_ += name;
    return length;
  }

  OnArray* on_array_;
  OnModule* on_module_;
  std::string path_;
  Module* current_ = nullptr;
  bool frozen_ = false;  // a module on the path is a frozen member of its parent
};

}  // namespace legato::nn
