#include "legato/nn/module.h"

#include <algorithm>
#include <unordered_map>

#include "legato/nn/walk.h"
#include "legato/ops/create/create.h"

namespace legato::nn {

Members::~Members() = default;
Module::~Module() = default;

std::string_view Members::next_name(std::string_view& names) {
  const size_t comma = std::min(names.find(','), names.size());
  std::string_view name = names.substr(0, comma);
  names.remove_prefix(std::min(comma + 1, names.size()));
  while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
  while (!name.empty() && name.back() == ' ') name.remove_suffix(1);
  return name;
}

namespace {

NamedArrays collect(const Module& module, bool trained_only) {
  NamedArrays out;
  Walk::arrays(module, [&](const Walk::Slot& slot) {
    if (slot.trained || !trained_only) out.emplace_back(slot.path, slot.array);
  });
  return out;
}

/// Puts `values`, as many as there are trainable parameters, in their place.
void put_trainable(Module& module, std::span<const Array> values) {
  size_t next = 0;
  Walk::arrays(module, [&](const Walk::Slot& slot) {
    if (slot.trained && next < values.size()) slot.array = values[next++];
  });
}

/// Gives a module its trainable parameters back when the scope ends: otherwise it would go on
/// holding the arrays of a transform, and with them its graph.
class Restore {
 public:
  Restore(Module& module, std::span<const Array> before) : module_(module), before_(before) {}
  ~Restore() { put_trainable(module_, before_); }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  Module& module_;
  std::span<const Array> before_;
};

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

// --- walking
// ---------------------------------------------------------------------------------------

NamedArrays Module::parameters() const { return collect(*this, false); }
NamedArrays Module::trainable_parameters() const { return collect(*this, true); }

int64_t Module::num_parameters() const {
  int64_t count = 0;
  Walk::arrays(*this, [&](const Walk::Slot& slot) { count += slot.array.size(); });
  return count;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> out;
  Walk::modules(*this, [&](const std::string& path, Module& m) { out.emplace_back(path, &m); });
  return out;
}

std::string Module::summary() const {
  std::string out;
  int64_t count = 0, trained = 0;
  Walk::arrays(*this, [&](const Walk::Slot& slot) {
    out += cat(slot.path, " ", slot.array.shape(), " ", slot.array.dtype(),
               slot.trained ? "\n" : " frozen\n");
    count += slot.array.size();
    if (slot.trained) trained += slot.array.size();
  });
  return out + cat(count, " parameters, ", trained, " trainable");
}

// --- changing
// --------------------------------------------------------------------------------------

void Module::update(const NamedArrays& parameters, bool strict) {
  std::unordered_map<std::string_view, const Array*> left;
  for (const auto& [name, array] : parameters) left[name] = &array;
  if (strict) {
    std::unordered_map<std::string_view, const Array*> unknown = left;
    Walk::arrays(*this, [&](const Walk::Slot& slot) { unknown.erase(slot.path); });
    std::vector<std::string> names;
    for (const auto& [name, array] : parameters)
      if (unknown.count(name)) names.push_back(name);
    if (!names.empty())
      throw ValueError(cat("Module::update: the module has no parameters ", joined(names), "."));
  }
  Walk::arrays(*this, [&](const Walk::Slot& slot) {
    auto found = left.find(slot.path);
    if (found != left.end() && *found->second) slot.array = *found->second;
  });
}

void Module::apply(FunctionRef<Array(const Array&)> f) {
  NamedArrays changed = parameters();
  for (auto& [name, array] : changed) array = f(array);
  update(changed);
}

void Module::set_dtype(Dtype dtype) {
  apply([&](const Array& a) { return is_floating(a.dtype()) ? astype(a, dtype) : a; });
}

// --- modes
// -----------------------------------------------------------------------------------------

void Module::train(bool mode) {
  Walk::modules(*this, [&](const std::string&, Module& m) { m.training_ = mode; });
}

void Module::freeze(const std::vector<std::string>& keys, bool recurse, bool strict) {
  set_frozen(keys, recurse, strict, true);
}
void Module::unfreeze(const std::vector<std::string>& keys, bool recurse, bool strict) {
  set_frozen(keys, recurse, strict, false);
}

namespace {

/// The names of a module's own members.
struct OwnNames final : Members {
  std::vector<std::string> parameters, all;
  void array(std::string_view name, Array&, bool) override {
    parameters.emplace_back(name);
    all.emplace_back(name);
  }
  void module(std::string_view name, Module&) override { all.emplace_back(name); }
};

bool names_member(const std::string& key, const std::vector<std::string>& members) {
  return std::any_of(members.begin(), members.end(), [&](const std::string& name) {
    return name == key || (name.size() > key.size() && name[key.size()] == '.' &&
                           name.compare(0, key.size(), key) == 0);
  });
}

}  // namespace

void Module::set_frozen(const std::vector<std::string>& keys, bool recurse, bool strict,
                        bool frozen) {
  std::vector<Module*> concerned{this};
  if (recurse) {
    concerned.clear();
    for (auto& [path, module] : named_modules()) concerned.push_back(module);
  }
  std::vector<OwnNames> own(concerned.size());
  for (size_t i = 0; i < concerned.size(); ++i) concerned[i]->members(own[i]);
  if (strict)
    for (const std::string& key : keys)
      if (std::none_of(own.begin(), own.end(),
                       [&](const OwnNames& names) { return names_member(key, names.all); }))
        throw ValueError(cat(frozen ? "freeze" : "unfreeze", ": no module has a member '", key,
                             "'; this one has ", joined(own[0].all), "."));
  for (size_t i = 0; i < concerned.size(); ++i) {
    std::vector<std::string>& names = concerned[i]->frozen_;
    if (keys.empty() && !frozen) names.clear();
    for (const std::string& key : keys.empty() && frozen ? own[i].parameters : keys) {
      auto place = std::lower_bound(names.begin(), names.end(), key);
      const bool there = place != names.end() && *place == key;
      if (frozen && !there && names_member(key, own[i].all)) names.insert(place, key);
      if (!frozen && there) names.erase(place);
    }
  }
}

// --- files
// -----------------------------------------------------------------------------------------

void Module::save_weights(const std::string& path) const {
  if (ends_with(path, ".npz")) return save_npz(path, parameters());
  if (ends_with(path, ".safetensors")) return save_safetensors(path, parameters());
  throw ValueError(cat("save_weights: the name ", path, " ends in neither .safetensors nor .npz."));
}

void Module::load_weights(const std::string& path, bool strict) {
  if (ends_with(path, ".npz")) return load_weights(load_npz(path), strict);
  if (ends_with(path, ".safetensors")) return load_weights(load_safetensors(path).arrays, strict);
  throw ValueError(cat("load_weights: the name ", path, " ends in neither .safetensors nor .npz."));
}

void Module::load_weights(const NamedArrays& weights, bool strict) {
  if (strict) {
    std::unordered_map<std::string_view, const Array*> given;
    for (const auto& [name, array] : weights) given[name] = &array;
    std::vector<std::string> missing, reshaped, unknown;
    Walk::arrays(*this, [&](const Walk::Slot& slot) {
      auto found = given.find(slot.path);
      if (found == given.end()) {
        missing.push_back(slot.path);
        return;
      }
      const Array& a = *found->second;
      if (!a || a.shape() != slot.array.shape())
        reshaped.push_back(cat(slot.path, " (expected ", slot.array.shape(), ", found ",
                               a ? a.shape() : Shape{}, ")"));
      given.erase(found);
    });
    for (const auto& [name, array] : weights)
      if (given.count(name)) unknown.push_back(name);
    std::string faults;
    if (!missing.empty()) faults += cat(" Missing: ", joined(missing), ".");
    if (!unknown.empty()) faults += cat(" Not in the module: ", joined(unknown), ".");
    if (!reshaped.empty()) faults += cat(" Of another shape: ", joined(reshaped), ".");
    if (!faults.empty())
      throw ValueError(cat("load_weights: the weights do not fit the module.", faults));
  }
  update(weights, false);
}

// --- arrays by name
// --------------------------------------------------------------------------------

std::vector<Array> arrays_of(const NamedArrays& named) {
  std::vector<Array> out;
  out.reserve(named.size());
  for (const auto& [name, array] : named) out.push_back(array);
  return out;
}

const Array& array_named(const NamedArrays& named, std::string_view name) {
  for (const auto& [key, array] : named)
    if (key == name) return array;
  std::vector<std::string> names;
  for (const auto& [key, array] : named) names.push_back(key);
  throw ValueError(cat("array_named: there is no '", name, "' among ", joined(names), "."));
}

void evaluate(std::initializer_list<NamedArrays> lists) {
  std::vector<Array> roots;
  for (const NamedArrays& list : lists)
    for (const auto& [name, array] : list) roots.push_back(array);
  if (!roots.empty()) runtime_hooks().evaluate(roots, true);
}

// --- gradients
// -------------------------------------------------------------------------------------

std::pair<std::vector<Array>, NamedArrays> run_with_gradients(Module& module,
                                                              FunctionRef<std::vector<Array>()> f) {
  NamedArrays gradients = module.trainable_parameters();
  const std::vector<Array> before = arrays_of(gradients);
  std::vector<int> wanted(before.size());
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = static_cast<int>(i);
  std::vector<Array> results;
  Restore restore(module, before);
  // Only the loss is an output of the transform; what comes with it has no cotangent.
  auto [loss, cotangents] = vjp_with(
      [&](std::span<const Array> parameters) {
        put_trainable(module, parameters);
        results = f();
        if (results.empty()) throw ValueError("value_and_grad: the function returned no array.");
        if (results[0].ndim() != 0 || !is_floating(results[0].dtype()))
          throw ValueError(cat("value_and_grad: the first result has shape ", results[0].shape(),
                               " and dtype ", results[0].dtype(),
                               "; expected a floating scalar, such as a loss reduced by mean()."));
        return std::vector<Array>{results[0]};
      },
      before, [](std::span<const Array> out) { return std::vector<Array>{ones_like(out[0])}; },
      wanted, "value_and_grad");
  results[0] = std::move(loss[0]);
  for (size_t i = 0; i < gradients.size(); ++i) gradients[i].second = std::move(cotangents[i]);
  return {std::move(results), std::move(gradients)};
}

std::vector<Array> run_checkpointed(Module& module,
                                    FunctionRef<std::vector<Array>(std::span<const Array>)> f,
                                    std::span<const Array> inputs) {
  const std::vector<Array> before = arrays_of(module.trainable_parameters());
  std::vector<Array> all = before;
  all.insert(all.end(), inputs.begin(), inputs.end());
  Restore restore(module, before);
  return legato::checkpoint([&](std::span<const Array> in) {
    put_trainable(module, in.first(before.size()));
    return f(in.subspan(before.size()));
  })(all);
}

}  // namespace legato::nn
