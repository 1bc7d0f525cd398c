#include "legato/nn/optim.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "legato/ops/create/create.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"

namespace legato::optim {
namespace {

void check(const char* optimizer, const char* name, double value, bool ok, const char* expected) {
  if (!ok)
    throw ValueError(cat(optimizer, ": ", name, " is ", value, "; expected ", expected, "."));
}

Array rms(const Array& x) { return sqrt(mean(square(x))); }

}  // namespace

// --- the base class
// --------------------------------------------------------------------------------

Array& ParameterState::operator[](std::string_view name) {
  for (auto& [key, array] : arrays_)
    if (key == name) return array;
  return arrays_.emplace_back(std::string(name), Array()).second;
}

const Array& ParameterState::at(std::string_view name) const {
  std::string names;
  for (const auto& [key, array] : arrays_) {
    if (key == name && array) return array;
    names += (names.empty() ? "" : ", ") + key;
  }
  throw ValueError(cat("the optimizer's state of a parameter has no '", name, "' but ",
                       names.empty() ? std::string("nothing") : names,
                       "; was it that of another optimizer?"));
}

Optimizer::Optimizer(std::optional<Rate> learning_rate) : step_(legato::Scalar(0), Dtype::uint64) {
  if (!learning_rate) return;
  schedule_ = learning_rate->schedule();
  learning_rate_ =
      schedule_ ? schedule_(step_) : Array(legato::Scalar(learning_rate->value()), Dtype::float32);
}
Optimizer::~Optimizer() = default;

void Optimizer::update(nn::Module& model, const NamedArrays& gradients) {
  model.update(apply_gradients(gradients, model.parameters()));
}

void Optimizer::init(const NamedArrays& parameters) {
  std::unordered_map<std::string_view, bool> known;
  for (const auto& [name, state] : states_) known[name] = true;
  std::vector<std::pair<std::string, ParameterState>> added;
  for (const auto& [name, array] : parameters)
    if (!known[name]) init_single(array, added.emplace_back(name, ParameterState()).second);
  states_.insert(states_.end(), added.begin(), added.end());
}

NamedArrays Optimizer::apply_gradients(const NamedArrays& gradients,
                                       const NamedArrays& parameters) {
  init(gradients);
  std::unordered_map<std::string_view, const Array*> values;
  for (const auto& [name, array] : parameters) values[name] = &array;
  for (const auto& [name, gradient] : gradients) {
    const auto found = values.find(name);
    if (found == values.end())
      throw ValueError(cat("apply_gradients: there is a gradient of '", name,
                           "', which is not among the parameters."));
    if (found->second->shape() != gradient.shape())
      throw ValueError(cat("apply_gradients: the parameter '", name, "' has shape ",
                           found->second->shape(), ", but its gradient has ", gradient.shape(),
                           "."));
  }
  std::unordered_map<std::string_view, ParameterState*> states;
  for (auto& [name, state] : states_) states[name] = &state;

  if (schedule_) learning_rate_ = schedule_(step_);
  step_ = step_ + 1;
  scalars_.clear();
  NamedArrays out;
  out.reserve(gradients.size());
  for (const auto& [name, gradient] : gradients)
    out.emplace_back(name, apply_single(gradient, *values[name], *states[name]));
  scalars_.clear();
  return out;
}

NamedArrays Optimizer::state() const {
  NamedArrays out{{"step", step_}};
  if (learning_rate_) out.emplace_back("learning_rate", learning_rate_);
  for (const auto& [parameter, state] : states_)
    for (const auto& [name, array] : state.arrays())
      out.emplace_back(cat(parameter, ".", name), array);
  return out;
}

void Optimizer::set_state(const NamedArrays& state) {
  std::vector<std::pair<std::string, ParameterState>> states;
  std::unordered_map<std::string, size_t> places;
  Array step, learning_rate;
  for (const auto& [path, array] : state) {
    const size_t dot = path.rfind('.');
    if (path == "step") {
      step = array;
    } else if (path == "learning_rate") {
      learning_rate = array;
    } else if (dot == std::string::npos) {
      throw ValueError(cat("set_state: '", path,
                           "' is neither step, learning_rate nor the name of a parameter with "
                           "that of its state."));
    } else {
      const auto [place, is_new] = places.try_emplace(path.substr(0, dot), states.size());
      if (is_new) states.emplace_back(place->first, ParameterState());
      states[place->second].second[path.substr(dot + 1)] = array;
    }
  }
  if (!step) throw ValueError("set_state: the state has no 'step'.");
  step_ = step;
  learning_rate_ = learning_rate;
  states_ = std::move(states);
}

void Optimizer::visit_state(FunctionRef<void(Array&)> f) {
  f(step_);
  if (learning_rate_) f(learning_rate_);
  for (auto& [parameter, state] : states_)
    for (auto& [name, array] : state.arrays()) f(array);
}

Array Optimizer::learning_rate() const {
  if (!learning_rate_) throw ValueError("learning_rate: this optimizer has none of its own.");
  return learning_rate_;
}
void Optimizer::set_learning_rate(double learning_rate) {
  learning_rate_ = Array(legato::Scalar(learning_rate), Dtype::float32);
}

Array Optimizer::scalar(const char* name, const Array& like, FunctionRef<Array()> make) const {
  for (const Scalar& s : scalars_)
    if (s.name == name && s.dtype == like.dtype()) return s.value;
  const Array value = make();
  return scalars_.emplace_back(name, like.dtype(), astype(value, like.dtype())).value;
}
Array Optimizer::rate(const Array& like) const {
  return scalar("rate", like, [&] { return learning_rate(); });
}
Array Optimizer::decayed(const Array& parameter, double weight_decay) const {
  if (weight_decay == 0) return parameter;
  return parameter * scalar("decay", parameter, [&] { return 1 - learning_rate() * weight_decay; });
}

// --- the rules
// -------------------------------------------------------------------------------------

SGD::SGD(Rate learning_rate, const SGDOptions& o) : Optimizer(std::move(learning_rate)), o_(o) {
  if (o.nesterov && (o.momentum <= 0 || o.dampening != 0))
    throw ValueError(
        cat("SGD: Nesterov momentum requires a momentum and no dampening, but these "
            "are ",
            o.momentum, " and ", o.dampening, "."));
}
void SGD::init_single(const Array& w, ParameterState& state) const { state["v"] = zeros_like(w); }
Array SGD::apply_single(const Array& gradient, const Array& w, ParameterState& state) const {
  const Array g = o_.weight_decay != 0 ? gradient + o_.weight_decay * w : gradient;
  if (o_.momentum <= 0) return w - rate(g) * g;
  const Array v = o_.momentum * state.at("v") + (1 - o_.dampening) * g;
  state["v"] = v;
  return w - rate(g) * (o_.nesterov ? g + o_.momentum * v : v);
}

RMSprop::RMSprop(Rate learning_rate, const RMSpropOptions& o)
    : Optimizer(std::move(learning_rate)), o_(o) {
  check("RMSprop", "alpha", o.alpha, o.alpha >= 0, "0 or more");
  check("RMSprop", "eps", o.eps, o.eps >= 0, "0 or more");
}
void RMSprop::init_single(const Array& w, ParameterState& state) const {
  state["v"] = zeros_like(w);
}
Array RMSprop::apply_single(const Array& g, const Array& w, ParameterState& state) const {
  const Array v = o_.alpha * state.at("v") + (1 - o_.alpha) * square(g);
  state["v"] = v;
  return w - rate(g) * g / (sqrt(v) + o_.eps);
}

Adagrad::Adagrad(Rate learning_rate, double eps) : Optimizer(std::move(learning_rate)), eps_(eps) {
  check("Adagrad", "eps", eps, eps >= 0, "0 or more");
}
void Adagrad::init_single(const Array& w, ParameterState& state) const {
  state["v"] = zeros_like(w);
}
Array Adagrad::apply_single(const Array& g, const Array& w, ParameterState& state) const {
  const Array v = state.at("v") + square(g);
  state["v"] = v;
  return w - rate(g) * g / (sqrt(v) + eps_);
}

AdaDelta::AdaDelta(Rate learning_rate, const AdaDeltaOptions& o)
    : Optimizer(std::move(learning_rate)), o_(o) {
  check("AdaDelta", "rho", o.rho, o.rho >= 0, "0 or more");
  check("AdaDelta", "eps", o.eps, o.eps >= 0, "0 or more");
}
void AdaDelta::init_single(const Array& w, ParameterState& state) const {
  state["v"] = zeros_like(w);
  state["u"] = zeros_like(w);
}
Array AdaDelta::apply_single(const Array& g, const Array& w, ParameterState& state) const {
  const Array u = state.at("u"), v = o_.rho * state.at("v") + (1 - o_.rho) * square(g);
  const Array delta = g * sqrt(u + o_.eps) / sqrt(v + o_.eps);
  state["v"] = v;
  state["u"] = o_.rho * u + (1 - o_.rho) * square(delta);
  return w - rate(g) * delta;
}

Adam::Adam(Rate learning_rate, const AdamOptions& o) : Adam("Adam", std::move(learning_rate), o) {}
Adam::Adam(const char* name, Rate learning_rate, const AdamOptions& o)
    : Optimizer(std::move(learning_rate)), o_(o) {
  check(name, "beta1", o.beta1, o.beta1 >= 0 && o.beta1 < 1, "a number in [0, 1)");
  check(name, "beta2", o.beta2, o.beta2 >= 0 && o.beta2 < 1, "a number in [0, 1)");
  check(name, "eps", o.eps, o.eps >= 0, "0 or more");
}
void Adam::init_single(const Array& w, ParameterState& state) const {
  state["m"] = zeros_like(w);
  state["v"] = zeros_like(w);
}
Array Adam::apply_single(const Array& g, const Array& w, ParameterState& state) const {
  const Array m = o_.beta1 * state.at("m") + (1 - o_.beta1) * g;
  const Array v = o_.beta2 * state.at("v") + (1 - o_.beta2) * square(g);
  state["m"] = m;
  state["v"] = v;
  if (!o_.bias_correction) return w - rate(g) * m / (sqrt(v) + o_.eps);
  // The share of all steps so far in a running mean that began at 0.
  auto of_steps = [&](double beta) { return 1 - power(beta, astype(step(), Dtype::float32)); };
  const Array corrected =
      scalar("corrected", m, [&] { return learning_rate() / of_steps(o_.beta1); });
  const Array widen = scalar("widen", v, [&] { return rsqrt(of_steps(o_.beta2)); });
  return w - corrected * m / (sqrt(v) * widen + o_.eps);
}

AdamW::AdamW(Rate learning_rate, const AdamWOptions& o)
    : Adam("AdamW", std::move(learning_rate), {o.beta1, o.beta2, o.eps, o.bias_correction}),
      weight_decay_(o.weight_decay) {}
Array AdamW::apply_single(const Array& g, const Array& w, ParameterState& state) const {
  return Adam::apply_single(g, decayed(w, weight_decay_), state);
}

Adamax::Adamax(Rate learning_rate, const AdamaxOptions& o)
    : Adam("Adamax", std::move(learning_rate), {o.beta1, o.beta2, o.eps, false}) {}
Array Adamax::apply_single(const Array& g, const Array& w, ParameterState& state) const {
  const Array m = o_.beta1 * state.at("m") + (1 - o_.beta1) * g;
  const Array v = maximum(o_.beta2 * state.at("v"), abs(g));
  state["m"] = m;
  state["v"] = v;
  return w - rate(g) * m / (v + o_.eps);
}

Lion::Lion(Rate learning_rate, const LionOptions& o) : Optimizer(std::move(learning_rate)), o_(o) {}
void Lion::init_single(const Array& w, ParameterState& state) const { state["m"] = zeros_like(w); }
Array Lion::apply_single(const Array& g, const Array& w, ParameterState& state) const {
  const Array m = state.at("m");
  state["m"] = o_.beta2 * m + (1 - o_.beta2) * g;
  return decayed(w, o_.weight_decay) - rate(g) * sign(o_.beta1 * m + (1 - o_.beta1) * g);
}

Adafactor::Adafactor(std::optional<Rate> learning_rate, const AdafactorOptions& o)
    : Optimizer(learning_rate), o_(o) {
  if (!learning_rate && !o.relative_step)
    throw ValueError("Adafactor: give a learning rate, or let relative_step be true.");
}
void Adafactor::init_single(const Array& w, ParameterState& state) const {
  if (w.ndim() >= 2) {
    Shape row = w.shape(), col = w.shape();
    row.erase(row.size() - 1);
    col.erase(col.size() - 2);
    state["exp_avg_sq_row"] = zeros(row, w.dtype());
    state["exp_avg_sq_col"] = zeros(col, w.dtype());
  } else {
    state["exp_avg_sq"] = zeros_like(w);
  }
  if (o_.beta1) state["exp_avg"] = zeros_like(w);
}
Array Adafactor::apply_single(const Array& g, const Array& parameter, ParameterState& state) const {
  auto steps = [&] { return astype(step(), Dtype::float32); };
  Array size = scalar("relative", parameter, [&] {
    if (!o_.relative_step) return learning_rate();
    return o_.warmup_init ? minimum(1e-6 * steps(), rsqrt(steps())) : minimum(1e-2, rsqrt(steps()));
  });
  if (o_.scale_parameter) size = maximum(o_.eps_scale, rms(parameter)) * size;
  // The share of what is new in the means.
  const Array fresh = scalar("fresh", g, [&] { return power(steps(), o_.decay_rate); });
  const Array squared = square(g) + o_.eps_square;
  Array change;
  if (g.ndim() >= 2) {
    const Array row = (1 - fresh) * state.at("exp_avg_sq_row") + fresh * mean(squared, Dims{-1});
    const Array col = (1 - fresh) * state.at("exp_avg_sq_col") + fresh * mean(squared, Dims{-2});
    state["exp_avg_sq_row"] = row;
    state["exp_avg_sq_col"] = col;
    // The square is about row * col / mean(row).
    const Array row_root = rsqrt(row / mean(row, Dims{-1}, true));
    change = g * expand_dims(row_root, {-1}) * expand_dims(rsqrt(col), {-2});
  } else {
    const Array mean_square = (1 - fresh) * state.at("exp_avg_sq") + fresh * squared;
    state["exp_avg_sq"] = mean_square;
    change = g * rsqrt(mean_square);
  }
  change = size * change / maximum(1.0, rms(change) / o_.clip_threshold);
  if (o_.beta1) {
    change = *o_.beta1 * state.at("exp_avg") + (1 - *o_.beta1) * change;
    state["exp_avg"] = change;
  }
  const Array w = o_.weight_decay != 0 ? parameter * (1 - size * o_.weight_decay) : parameter;
  return w - change;
}

Muon::Muon(Rate learning_rate, const MuonOptions& o) : Optimizer(std::move(learning_rate)), o_(o) {}
void Muon::init_single(const Array& w, ParameterState& state) const { state["v"] = zeros_like(w); }

namespace {

/// A matrix (R, C) with the singular vectors of x and singular values near 1.
Array orthogonalized(const Array& matrix, int steps) {
  // The polynomial a σ + b σ³ + c σ⁵ takes all of (0, 1] to about [0.7, 1.2] in five turns.
  const double a = 3.4445, b = -4.7750, c = 2.0315;
  const bool tall = matrix.shape(0) > matrix.shape(1);
  Array x = tall ? transpose(matrix) : matrix;
  x = x / (sqrt(sum(square(x))) + 1e-7);
  for (int i = 0; i < steps; ++i) {
    const Array gram = matmul(x, transpose(x));
    x = a * x + matmul(b * gram + c * matmul(gram, gram), x);
  }
  return tall ? transpose(x) : x;
}

}  // namespace

Array Muon::apply_single(const Array& gradient, const Array& w, ParameterState& state) const {
  const double keep = o_.momentum;
  const Array g = o_.weight_decay != 0 ? gradient + o_.weight_decay * w : gradient;
  const Array v = keep * state.at("v") + (1 - keep) * g;
  state["v"] = v;
  Array change = o_.nesterov ? (1 - keep) * g + keep * v : v;
  if (change.ndim() >= 2) {
    const Array matrix = orthogonalized(reshape(change, {change.shape(0), -1}), o_.ns_steps);
    const double ratio =
        static_cast<double>(matrix.shape(0)) / static_cast<double>(matrix.shape(1));
    change = reshape(matrix, change.shape()) * std::sqrt(std::max(1.0, ratio));
  }
  return w - rate(g) * change;
}

// --- several
// ---------------------------------------------------------------------------------------

MultiOptimizer::MultiOptimizer() : Optimizer(std::nullopt) {}

MultiOptimizer& MultiOptimizer::append(std::unique_ptr<Optimizer> optimizer, Filter filter) {
  if (!filters_.empty() && !filters_.back())
    throw ValueError("MultiOptimizer: the optimizer before this one has no filter and takes all.");
  optimizers_.push_back(std::move(optimizer));
  filters_.push_back(std::move(filter));
  return *this;
}

const Optimizer& MultiOptimizer::first() const {
  if (optimizers_.empty()) throw ValueError("MultiOptimizer: it has no optimizers; add() some.");
  return *optimizers_[0];
}

std::vector<NamedArrays> MultiOptimizer::divided(const NamedArrays& arrays) const {
  first();
  std::vector<NamedArrays> parts(optimizers_.size());
  for (const auto& [name, array] : arrays) {
    size_t owner = 0;
    while (owner + 1 < parts.size() && filters_[owner] && !filters_[owner](name, array)) ++owner;
    parts[owner].emplace_back(name, array);
  }
  return parts;
}

void MultiOptimizer::init(const NamedArrays& parameters) {
  std::vector<NamedArrays> parts = divided(parameters);
  for (size_t i = 0; i < parts.size(); ++i) optimizers_[i]->init(parts[i]);
}

NamedArrays MultiOptimizer::apply_gradients(const NamedArrays& gradients,
                                            const NamedArrays& parameters) {
  std::vector<NamedArrays> parts = divided(gradients);
  std::unordered_map<std::string, Array> updated;
  for (size_t i = 0; i < parts.size(); ++i)
    for (auto& [name, array] : optimizers_[i]->apply_gradients(parts[i], parameters))
      updated[name] = array;
  NamedArrays out;
  for (const auto& [name, gradient] : gradients) out.emplace_back(name, updated[name]);
  return out;
}

NamedArrays MultiOptimizer::state() const {
  NamedArrays out;
  for (size_t i = 0; i < optimizers_.size(); ++i)
    for (auto& [name, array] : optimizers_[i]->state())
      out.emplace_back(cat("states.", i, ".", name), array);
  return out;
}

void MultiOptimizer::set_state(const NamedArrays& state) {
  std::vector<NamedArrays> parts(optimizers_.size());
  for (const auto& [name, array] : state) {
    size_t owner = 0;
    std::string prefix;
    for (; owner < parts.size(); ++owner) {
      prefix = cat("states.", owner, ".");
      if (name.compare(0, prefix.size(), prefix) == 0) break;
    }
    if (owner == parts.size())
      throw ValueError(cat("MultiOptimizer: '", name, "' belongs to none of the ", parts.size(),
                           " optimizers; names begin with states.0., states.1., ..."));
    parts[owner].emplace_back(name.substr(prefix.size()), array);
  }
  for (size_t i = 0; i < parts.size(); ++i) optimizers_[i]->set_state(parts[i]);
}

void MultiOptimizer::visit_state(FunctionRef<void(Array&)> f) {
  for (auto& optimizer : optimizers_) optimizer->visit_state(f);
}

Array MultiOptimizer::step() const { return first().step(); }
Array MultiOptimizer::learning_rate() const { return first().learning_rate(); }
void MultiOptimizer::set_learning_rate(double learning_rate) {
  for (auto& optimizer : optimizers_) optimizer->set_learning_rate(learning_rate);
}

std::pair<NamedArrays, Array> clip_grad_norm(const NamedArrays& gradients, double max_norm) {
  Array total(legato::Scalar(0.0));
  for (const auto& [name, g] : gradients) total += sum(square(astype(g, Dtype::float32)));
  const Array norm = sqrt(total);
  const Array factor = minimum(max_norm / (norm + 1e-6), 1.0);
  NamedArrays out;
  for (const auto& [name, g] : gradients) out.emplace_back(name, g * astype(factor, g.dtype()));
  return {std::move(out), norm};
}

}  // namespace legato::optim
