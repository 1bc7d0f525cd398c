// Module, the base class of layers and models: a value whose arrays and parts have names.
//
//   struct Mlp : nn::Module {
//     nn::Linear in{64, 128}, out{128, 10};
//     LEGATO_MEMBERS(in, out)
//     Array operator()(const Array& x) { return out(nn::relu(in(x))); }
//   };
//
// Note [Members are listed by a function]: a module keeps no list of its parts. `members()` shows
// them to a visitor each time somebody asks, so there are no pointers that a copy or a move could
// leave behind: a module is a value like the arrays in it. `Mlp best = model;` is a snapshot,
// which costs one handle a parameter.
//
// A module may be used by one thread at a time while it changes, by several while none changes it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "legato/base/function_ref.h"
#include "legato/io/io.h"
#include "legato/transform/transform.h"

namespace legato::nn {

class Module;

/// Visits the members of one module. A list, std::optional or pointer of members is visited entry
/// by entry, the entries of a list under the names "<name>.0", "<name>.1", ...; empty ones, and an
/// Array that holds nothing, are passed over.
class LEGATO_API Members {
 public:
  virtual ~Members();
  /// A parameter.
  void operator()(std::string_view name, Array& parameter) {
    if (parameter) array(name, parameter, true);
  }
  /// A part.
  void operator()(std::string_view name, Module& part) { module(name, part); }
  template <class T>
  void operator()(std::string_view name, std::vector<T>& list) {
    for (size_t i = 0; i < list.size(); ++i) (*this)(cat(name, ".", i), list[i]);
  }
  template <class T>
  void operator()(std::string_view name, std::optional<T>& part) {
    if (part) (*this)(name, *part);
  }
  template <class T>
  void operator()(std::string_view name, std::unique_ptr<T>& part) {
    if (part) (*this)(name, *part);
  }
  template <class T>
  void operator()(std::string_view name, std::shared_ptr<T>& part) {
    if (part) (*this)(name, *part);
  }
  /// A part held by something else, such as AnyLayer, whose module() may be null.
  template <class T>
    requires requires(T& t) { static_cast<Module*>(t.module()); }
  void operator()(std::string_view name, T& holder) {
    if (Module* part = holder.module()) module(name, *part);
  }
  /// An array that belongs to the parameters in files and updates, but is never trained.
  void buffer(std::string_view name, Array& value) {
    if (value) array(name, value, false);
  }
  /// Members with their names in one text: "weight, bias".
  template <class... Ts>
  void list([[maybe_unused]] std::string_view names, Ts&... members) {
    ((*this)(next_name(names), members), ...);
  }

 private:
  static std::string_view next_name(std::string_view& names);
  virtual void array(std::string_view name, Array& value, bool trained) = 0;
  virtual void module(std::string_view name, Module& part) = 0;
};

/// Defines `members()` with the members listed, under their own names. A class that derives from
/// another module, or wants other names, writes the function itself.
#define LEGATO_MEMBERS(...)                                              \
  void members([[maybe_unused]] ::legato::nn::Members& visit) override { \
    visit.list(#__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__);                 \
  }

/// A layer or model. Arrays have dotted names, "layers.0.weight", the same as in Python, so that
/// files of weights are exchanged freely.
class LEGATO_API Module {
 public:
  virtual ~Module();
  /// Shows every parameter, buffer and part to `visit`, in the order in which they are to appear.
  virtual void members(Members& visit) = 0;

  /// All parameters and buffers, frozen or not, in order.
  NamedArrays parameters() const;
  /// The parameters that are not frozen: those that have gradients and that optimizers change.
  NamedArrays trainable_parameters() const;
  /// Number of elements of all parameters and buffers together.
  int64_t num_parameters() const;
  /// This module (name "") and all below it, parents first. Valid until one of them is moved.
  std::vector<std::pair<std::string, Module*>> named_modules();
  /// One line a parameter: name, shape, dtype, and whether it is frozen; then the number of
  /// elements.
  std::string summary() const;

  /// Replaces parameters by those given, which may be a part of them. Shapes are not checked.
  /// Throws ValueError if `strict` and a name is unknown; nothing is changed then.
  void update(const NamedArrays& parameters, bool strict = true);
  /// Replaces each parameter and buffer by `f` of it.
  void apply(FunctionRef<Array(const Array&)> f);
  /// Casts the floating parameters and buffers.
  void set_dtype(Dtype dtype);

  /// Training mode for this module and all below, or evaluation mode; dropout and batch
  /// normalization depend on it. New modules are in training mode.
  void train(bool mode = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  /// Excludes from training the members named in `keys`, by default all parameters; in this module
  /// and, if `recurse`, in all below that have such a member. Throws ValueError if `strict` and no
  /// module concerned has it.
  void freeze(const std::vector<std::string>& keys = {}, bool recurse = true, bool strict = false);
  /// Undoes freeze, with the same arguments; by default for everything.
  void unfreeze(const std::vector<std::string>& keys = {}, bool recurse = true,
                bool strict = false);

  /// Writes all parameters to a file, whose name ends in .safetensors or .npz; ValueError
  /// otherwise.
  void save_weights(const std::string& path) const;
  /// Sets the parameters from such a file, or from a list. If `strict`, names and shapes must be
  /// exactly the module's: otherwise a ValueError lists all that is missing, unknown or of another
  /// shape, and nothing is changed. Without `strict`, names that the module lacks are ignored.
  void load_weights(const std::string& path, bool strict = true);
  void load_weights(const NamedArrays& weights, bool strict = true);

 protected:
  Module() = default;
  Module(const Module&) = default;  // protected, so that no module is sliced
  Module& operator=(const Module&) = default;
  Module(Module&&) = default;
  Module& operator=(Module&&) = default;

 private:
  friend class Walk;
  void set_frozen(const std::vector<std::string>& keys, bool recurse, bool strict, bool frozen);

  bool training_ = true;
  std::vector<std::string> frozen_;  // names of members, sorted
};

/// The arrays alone: `eval(arrays_of(model.parameters()))`.
LEGATO_API std::vector<Array> arrays_of(const NamedArrays& named);
/// The array of this name. Throws ValueError if there is none.
LEGATO_API const Array& array_named(const NamedArrays& named, std::string_view name);
/// Computes all arrays in one evaluation, and waits: `evaluate({model.parameters(),
/// optimizer.state()})` after a training step.
LEGATO_API void evaluate(std::initializer_list<NamedArrays> lists);

// --- gradients with respect to a module
// ------------------------------------------------------------

/// Runs `f`, which uses `module`, and differentiates the first of its results, a scalar, with
/// respect to the trainable parameters: (results, gradients). The module has its own parameters
/// again afterwards, also after an exception. ValueError if there is no scalar.
LEGATO_API std::pair<std::vector<Array>, NamedArrays> run_with_gradients(
    Module& module, FunctionRef<std::vector<Array>()> f);
/// Runs `f`, which uses `module` and its argument, so that gradients compute it again instead of
/// keeping what it computed. Gradients reach `inputs` and the trainable parameters.
LEGATO_API std::vector<Array> run_checkpointed(
    Module& module, FunctionRef<std::vector<Array>(std::span<const Array>)> f,
    std::span<const Array> inputs);

namespace detail {

inline std::vector<Array> results_of(Array a) { return {std::move(a)}; }
inline std::vector<Array> results_of(std::vector<Array> list) { return list; }
template <class Tuple>
std::vector<Array> results_of(Tuple t) {
  return std::apply([](auto&... a) { return std::vector<Array>{std::move(a)...}; }, t);
}

template <class Result>
Result results_as(std::vector<Array> list) {
  if constexpr (std::is_same_v<Result, Array>) {
    return std::move(list[0]);
  } else if constexpr (std::is_same_v<Result, std::vector<Array>>) {
    return list;
  } else {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return Result{std::move(list[I])...};
    }(std::make_index_sequence<std::tuple_size_v<Result>>{});
  }
}

}  // namespace detail

/// Makes a function with the arguments of `f` that returns (what f returns, gradients).
///
/// `f` uses the module (captured by reference) and returns a scalar Array, or a tuple, pair or
/// std::vector of Arrays that begins with one. Gradients have the names of
/// `module.trainable_parameters()`. The module must outlive the function.
///
///   auto step = nn::value_and_grad(model, [&](const Array& x, const Array& y) {
///     return nn::losses::cross_entropy(model(x), y, {.reduction = nn::Reduction::mean});
///   });
///   auto [loss, gradients] = step(x, y);
template <class F>
auto value_and_grad(Module& module, F f) {
  return [&module, f = std::move(f)](auto&&... args) mutable {
    using Result = std::remove_cvref_t<decltype(f(args...))>;
    auto run = [&] { return detail::results_of(f(args...)); };
    auto [results, gradients] = run_with_gradients(module, run);
    return std::pair<Result, NamedArrays>(detail::results_as<Result>(std::move(results)),
                                          std::move(gradients));
  };
}

/// Makes a function from Arrays to what `f(arrays...)` returns (an Array, or a tuple, pair or
/// std::vector of them), whose gradients compute `f` again instead of keeping its intermediate
/// values: less memory for more time. The module must outlive the function.
template <class F>
auto checkpoint(Module& module, F f) {
  return [&module, f = std::move(f)](const auto&... args) mutable {
    using Result = std::remove_cvref_t<decltype(f(args...))>;
    auto run = [&](std::span<const Array> in) {
      return [&]<size_t... I>(std::index_sequence<I...>) {
        return detail::results_of(f(in[I]...));
      }(std::make_index_sequence<sizeof...(args)>{});
    };
    return detail::results_as<Result>(run_checkpointed(module, run, std::vector<Array>{args...}));
  };
}

}  // namespace legato::nn
