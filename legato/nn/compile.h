// Functions that use a module, and whole training steps, compiled: traced once for each combination
// of shapes and dtypes, and then run without building a graph.
//
//   auto step = optim::compile_step(model, optimizer, [&](const Array& x, const Array& y) {
//     return nn::losses::mse_loss(model(x), y);
//   });
//   for (...) {
//     Array loss = step(x, y);
//     nn::evaluate({model.parameters(), optimizer.state()});
//   }
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "legato/nn/optim.h"

namespace legato::nn {

/// The traces of one function of arrays that uses a module and, if there is one, makes a step of an
/// optimizer. What belongs to the module, the optimizer and this thread's random state goes in and
/// out with each call; it may be changed in between. A change of shapes, dtypes, freezing or
/// training mode makes a new trace; the 16 last used are kept.
class LEGATO_API Traces {
 public:
  Traces(Module& module, optim::Optimizer* optimizer);
  ~Traces();
  Traces(Traces&&) noexcept;
  Traces& operator=(Traces&&) noexcept;

  /// Results of `f` for `inputs`; `f` runs only if there is no trace for them. The module and the
  /// optimizer are as before if it throws.
  std::vector<Array> run(FunctionRef<std::vector<Array>(std::span<const Array>)> f,
                         std::span<const Array> inputs);

 private:
  struct Trace;
  Trace traced(FunctionRef<std::vector<Array>(std::span<const Array>)> f,
               std::span<const Array> inputs);
  std::string key(std::span<const Array> inputs) const;
  std::vector<Array> state() const;
  void put_state(std::span<const Array> values);

  Module* module_;
  optim::Optimizer* optimizer_;
  std::vector<Trace> traces_;  // the last used one at the end
};

namespace detail {

template <class F>
auto compiled(Traces traces, F f) {
  return [traces = std::move(traces), f = std::move(f)](const auto&... args) mutable {
    using Result = std::remove_cvref_t<decltype(f(args...))>;
    auto run = [&](std::span<const Array> in) {
      return [&]<size_t... I>(std::index_sequence<I...>) {
        return results_of(f(in[I]...));
      }(std::make_index_sequence<sizeof...(args)>{});
    };
    return results_as<Result>(traces.run(run, std::vector<Array>{args...}));
  };
}

}  // namespace detail

/// Makes a function from Arrays to what `f(arrays...)` returns: an Array, or a tuple, pair or
/// std::vector of them. Arrays that `f` captures otherwise are constants. Inside `f` there are no
/// values to read: TransformError. The module must outlive the function, which has one user at a
/// time. LEGATO_DISABLE_COMPILE=1 in the environment runs `f` each time.
template <class F>
auto compile(Module& module, F f) {
  return detail::compiled(Traces(module, nullptr), std::move(f));
}

}  // namespace legato::nn

namespace legato::optim {

/// Makes a function from Arrays to what `loss(arrays...)` returns, a scalar Array or a tuple, pair
/// or std::vector that begins with one, which makes a step of the optimizer with its gradients. As
/// nn::compile otherwise; the optimizer, too, must outlive it.
template <class F>
auto compile_step(nn::Module& model, Optimizer& optimizer, F loss) {
  return nn::detail::compiled(nn::Traces(model, &optimizer), std::move(loss));
}

}  // namespace legato::optim
