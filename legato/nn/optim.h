// Optimizers: rules that turn parameters and their gradients into new parameters.
//
//   optim::Adam optimizer(1e-3);
//   auto step = nn::value_and_grad(model, loss);
//   for (...) {
//     auto [value, gradients] = step(x, y);
//     optimizer.update(model, gradients);
//     nn::evaluate({model.parameters(), optimizer.state()});
//   }
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "legato/nn/module.h"
#include "legato/nn/schedules.h"

namespace legato::optim {

/// What an optimizer keeps for one parameter: a few arrays by name.
class LEGATO_API ParameterState {
 public:
  /// To be written; made if it is not there.
  Array& operator[](std::string_view name);
  /// To be read. Throws ValueError if it is not there, as after set_state() with the state of
  /// another optimizer.
  const Array& at(std::string_view name) const;
  NamedArrays& arrays() { return arrays_; }
  const NamedArrays& arrays() const { return arrays_; }
  bool empty() const { return arrays_.empty(); }

 private:
  NamedArrays arrays_;
};

/// The base class of optimizers. To write one, define `init_single` and `apply_single`.
///
/// The state is the same as in Python: `step`, a uint64 scalar; `learning_rate`, a float32 scalar;
/// and under the name of each parameter its own arrays, "layers.0.weight.m". A parameter's state is
/// made when its first gradient comes, or by init().
class LEGATO_API Optimizer {
 public:
  virtual ~Optimizer();

  /// Makes one step: replaces the parameters of a model that have gradients.
  void update(nn::Module& model, const NamedArrays& gradients);
  /// Makes the state for parameters that have none.
  virtual void init(const NamedArrays& parameters);
  /// Makes one step: the new values of the parameters that have gradients. ValueError if
  /// `parameters` lacks one.
  virtual NamedArrays apply_gradients(const NamedArrays& gradients, const NamedArrays& parameters);

  /// The state, flat; to be saved, and set again. set_state throws ValueError for a list without
  /// `step`.
  virtual NamedArrays state() const;
  virtual void set_state(const NamedArrays& state);
  /// Shows each array of the state, in the order of state(), to be read or replaced.
  virtual void visit_state(FunctionRef<void(Array&)> f);
  /// How many steps have been made, a uint64 scalar.
  virtual Array step() const { return step_; }
  /// The learning rate, a float32 scalar. A schedule sets it again before each step. ValueError if
  /// the optimizer has none.
  virtual Array learning_rate() const;
  virtual void set_learning_rate(double learning_rate);

 protected:
  explicit Optimizer(std::optional<Rate> learning_rate);
  Optimizer(const Optimizer&) = default;
  Optimizer& operator=(const Optimizer&) = default;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  /// Puts the first state of one parameter into `state`, which is empty.
  virtual void init_single(const Array& parameter, ParameterState& state) const = 0;
  /// The new value of one parameter; updates its state.
  virtual Array apply_single(const Array& gradient, const Array& parameter,
                             ParameterState& state) const = 0;

  /// A scalar of float32 that depends on the step only, in the dtype of `like`: made once for all
  /// parameters of a step. `name` tells several apart.
  Array scalar(const char* name, const Array& like, FunctionRef<Array()> make) const;
  /// The learning rate in the dtype of `like`.
  Array rate(const Array& like) const;
  /// The parameter after weight decay that is apart from the gradient (Loshchilov, Hutter, 2019).
  Array decayed(const Array& parameter, double weight_decay) const;

 private:
  Array step_, learning_rate_;
  Schedule schedule_;
  std::vector<std::pair<std::string, ParameterState>> states_;  // in the order of first gradients
  struct Scalar {
    const char* name;
    Dtype dtype;
    Array value;
  };
  mutable std::vector<Scalar> scalars_;  // of the step that is being made
};

struct SGDOptions {
  double momentum = 0;
  double weight_decay = 0;  // factor of the parameters added to gradients
  double dampening = 0;     // how much to reduce new gradients in v
  bool nesterov = false;    // whether to step by g + momentum * v
};
/// g = ∇ + weight_decay · w, v = momentum · v + (1 - dampening) g, w = w - lr · v. ValueError if
/// nesterov comes without momentum or with dampening.
class LEGATO_API SGD : public Optimizer {
 public:
  explicit SGD(Rate learning_rate, const SGDOptions& options = {});

 private:
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  SGDOptions o_;
};

struct RMSpropOptions {
  double alpha = 0.99;
  double eps = 1e-8;
};
/// v = α v + (1 - α) g², w = w - lr · g / (√v + eps) (Tieleman and Hinton, 2012).
class LEGATO_API RMSprop : public Optimizer {
 public:
  explicit RMSprop(Rate learning_rate, const RMSpropOptions& options = {});

 private:
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  RMSpropOptions o_;
};

/// v = v + g², w = w - lr · g / (√v + eps) (Duchi et al., 2011).
class LEGATO_API Adagrad : public Optimizer {
 public:
  explicit Adagrad(Rate learning_rate, double eps = 1e-8);

 private:
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  double eps_;
};

struct AdaDeltaOptions {
  double rho = 0.9;
  double eps = 1e-6;
};
/// v = ρ v + (1 - ρ) g², Δ = g · √(u + eps) / √(v + eps), u = ρ u + (1 - ρ) Δ², w = w - lr · Δ
/// (Zeiler, 2012).
class LEGATO_API AdaDelta : public Optimizer {
 public:
  explicit AdaDelta(Rate learning_rate, const AdaDeltaOptions& options = {});

 private:
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  AdaDeltaOptions o_;
};

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999;  // shares of the old means, each in [0, 1)
  double eps = 1e-8;
  bool bias_correction = false;  // whether to divide the means by 1 - β^t, for beginning at 0
};
/// m = β₁ m + (1 - β₁) g, v = β₂ v + (1 - β₂) g², w = w - lr · m / (√v + eps) (Kingma and Ba,
/// 2015).
class LEGATO_API Adam : public Optimizer {
 public:
  explicit Adam(Rate learning_rate, const AdamOptions& options = {});

 protected:
  Adam(const char* name, Rate learning_rate, const AdamOptions& options);
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  AdamOptions o_;
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  bool bias_correction = false;
};
/// w = w (1 - lr · weight_decay), then a step of Adam (Loshchilov and Hutter, 2019).
class LEGATO_API AdamW : public Adam {
 public:
  explicit AdamW(Rate learning_rate, const AdamWOptions& options = {});

 private:
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  double weight_decay_;
};

struct AdamaxOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
};
/// m as in Adam, v = max(β₂ v, |g|), w = w - lr · m / (v + eps).
class LEGATO_API Adamax : public Adam {
 public:
  explicit Adamax(Rate learning_rate, const AdamaxOptions& options = {});

 private:
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
};

struct LionOptions {
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;
};
/// w = w (1 - lr · weight_decay) - lr · sign(β₁ m + (1 - β₁) g), m = β₂ m + (1 - β₂) g (Chen et
/// al., 2023). Wants a learning rate 3 to 10 times smaller than Adam's.
class LEGATO_API Lion : public Optimizer {
 public:
  explicit Lion(Rate learning_rate, const LionOptions& options = {});

 private:
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  LionOptions o_;
};

struct AdafactorOptions {
  double eps_square = 1e-30;         // added to squared gradients
  double eps_scale = 1e-3;           // least scale of a parameter
  double clip_threshold = 1;         // steps are scaled down to this root mean square
  double decay_rate = -0.8;          // the share of the old means in step t is 1 - t^decay_rate
  std::optional<double> beta1 = {};  // share of the old mean of steps, if there is to be one
  double weight_decay = 0;
  bool scale_parameter = true;  // whether the rate is multiplied by the parameter's rms
  bool relative_step = true;    // whether the rate is min(0.01, 1/√t) instead of learning_rate
  bool warmup_init = false;     // whether this begins with 1e-6 · t instead of 0.01
};
/// Divides by a root mean square that is kept as means of rows and columns (Shazeer and Stern,
/// 2018). ValueError if there is neither a learning rate nor relative_step.
class LEGATO_API Adafactor : public Optimizer {
 public:
  explicit Adafactor(std::optional<Rate> learning_rate = {}, const AdafactorOptions& options = {});

 private:
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  AdafactorOptions o_;
};

struct MuonOptions {
  double momentum = 0.95;
  double weight_decay = 0.01;  // factor of the parameters added to gradients
  bool nesterov = true;
  int ns_steps = 5;  // Newton-Schulz iterations
};
/// Steps by the momentum with all singular values made about 1 (Jordan et al., 2024). Made for
/// weights of hidden layers, of 2 or more dimensions; others make a plain step with momentum.
class LEGATO_API Muon : public Optimizer {
 public:
  explicit Muon(Rate learning_rate, const MuonOptions& options = {});

 private:
  void init_single(const Array& parameter, ParameterState& state) const override;
  Array apply_single(const Array& g, const Array& w, ParameterState& state) const override;
  MuonOptions o_;
};

/// Divides the parameters among several optimizers: each but the last comes with a filter, and a
/// parameter goes to the first that takes it, else to the last.
///
///   optim::MultiOptimizer optimizer;
///   optimizer.add(optim::Muon(0.02), [](const std::string&, const Array& w) {
///     return w.ndim() == 2;
///   });
///   optimizer.add(optim::AdamW(1e-3));
class LEGATO_API MultiOptimizer : public Optimizer {
 public:
  /// Of a parameter's name and its value or gradient.
  using Filter = std::function<bool(const std::string& name, const Array& parameter)>;
  MultiOptimizer();
  /// An empty filter takes everything. ValueError after such a one: nothing would be left.
  template <std::derived_from<Optimizer> O>
  MultiOptimizer& add(O optimizer, Filter filter = {}) {
    return append(std::make_unique<O>(std::move(optimizer)), std::move(filter));
  }

  void init(const NamedArrays& parameters) override;
  NamedArrays apply_gradients(const NamedArrays& gradients, const NamedArrays& parameters) override;
  /// The states under "states.0.", "states.1.", ...
  NamedArrays state() const override;
  void set_state(const NamedArrays& state) override;
  void visit_state(FunctionRef<void(Array&)> f) override;
  Array step() const override;
  /// That of the first optimizer; setting it sets that of all.
  Array learning_rate() const override;
  void set_learning_rate(double learning_rate) override;

 private:
  void init_single(const Array&, ParameterState&) const override {}
  Array apply_single(const Array&, const Array& w, ParameterState&) const override { return w; }
  MultiOptimizer& append(std::unique_ptr<Optimizer> optimizer, Filter filter);
  std::vector<NamedArrays> divided(const NamedArrays& arrays) const;
  const Optimizer& first() const;

  std::vector<std::unique_ptr<Optimizer>> optimizers_;
  std::vector<Filter> filters_;
};

/// Scales gradients down so that the norm of all together is at most `max_norm`: (gradients, the
/// norm that they had, a float32 scalar).
LEGATO_API std::pair<NamedArrays, Array> clip_grad_norm(const NamedArrays& gradients,
                                                        double max_norm);

}  // namespace legato::optim
