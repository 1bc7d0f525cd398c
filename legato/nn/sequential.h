// Sequential: layers called one after the other; AnyLayer, which holds one of any type.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "legato/nn/module.h"

namespace legato::nn {

/// A layer or function from Array to Array, held by value: copying copies the layer.
class LEGATO_API AnyLayer {
 public:
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, AnyLayer> &&
             std::is_invocable_r_v<Array, std::decay_t<T>&, const Array&>)
  AnyLayer(T&& layer)  // NOLINT: implicit, so that a list of layers can be written down
      : held_(std::make_unique<Holder<std::decay_t<T>>>(std::forward<T>(layer))) {}
  AnyLayer(const AnyLayer& o) : held_(o.held_ ? o.held_->clone() : nullptr) {}
  AnyLayer(AnyLayer&&) noexcept = default;
  AnyLayer& operator=(const AnyLayer& o) {
    held_ = o.held_ ? o.held_->clone() : nullptr;
    return *this;
  }
  AnyLayer& operator=(AnyLayer&&) noexcept = default;

  Array operator()(const Array& x) { return held_->call(x); }
  /// The layer as a module; null for a function.
  Module* module() { return held_ ? held_->module() : nullptr; }
  /// The layer if it is a T, else null.
  template <class T>
  T* as() {
    auto* holder = dynamic_cast<Holder<T>*>(held_.get());
    return holder ? &holder->layer : nullptr;
  }

 private:
  struct Held {
    virtual ~Held() = default;
    virtual std::unique_ptr<Held> clone() const = 0;
    virtual Array call(const Array& x) = 0;
    virtual Module* module() = 0;
  };
  template <class T>
  struct Holder final : Held {
    template <class U>
    explicit Holder(U&& l) : layer(std::forward<U>(l)) {}
    std::unique_ptr<Held> clone() const override { return std::make_unique<Holder>(layer); }
    Array call(const Array& x) override { return layer(x); }
    Module* module() override {
      if constexpr (std::is_base_of_v<Module, T>)
        return &layer;
      else
        return nullptr;
    }
    T layer;
  };
  std::unique_ptr<Held> held_;
};

/// Calls each layer with the result of the one before. Plain functions may be among them.
///
///   nn::Sequential model{nn::Linear(64, 128), nn::ReLU(), nn::Linear(128, 10)};
///
/// Write braces: C++ then makes the layers in the order in which they stand, so that a seed gives
/// the same weights with every compiler; between parentheses the order is the compiler's choice.
struct LEGATO_API Sequential : Module {
  std::vector<AnyLayer> layers;

  Sequential() = default;
  template <class... Layers>
    requires(sizeof...(Layers) > 0 &&
             (!std::is_base_of_v<Sequential, std::remove_cvref_t<Layers>> || ...))
  explicit Sequential(Layers&&... parts) {
    layers.reserve(sizeof...(parts));
    (layers.emplace_back(std::forward<Layers>(parts)), ...);
  }
  LEGATO_MEMBERS(layers)
  Array operator()(const Array& x);
  /// The layer at `index`, which must be a T; ValueError otherwise.
  template <class T>
  T& at(size_t index) {
    T* layer = index < layers.size() ? layers[index].as<T>() : nullptr;
    if (!layer) wrong_layer(index);
    return *layer;
  }

 private:
  [[noreturn]] void wrong_layer(size_t index) const;
};

}  // namespace legato::nn
