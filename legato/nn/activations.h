// Activation functions, and the modules that hold them.
//
// Every function works elementwise on arrays of any shape unless it has an `axis`, keeps floating
// dtypes, and is differentiable. They are made of elementary operations: the evaluator fuses each
// into one pass.
#pragma once

#include <string>

#include "legato/nn/module.h"
#include "legato/ops/pointwise/pointwise.h"

namespace legato::nn {

using legato::sigmoid;
using legato::tanh;
/// max(x, 0), its square, and min(max(x, 0), 6).
LEGATO_API Array relu(const Array& x);
LEGATO_API Array relu2(const Array& x);
LEGATO_API Array relu6(const Array& x);
/// x if x > 0, else negative_slope * x.
LEGATO_API Array leaky_relu(const Array& x, double negative_slope = 0.01);
/// Over one axis: exp(x) / sum(exp(x)), the same of -x, and the logarithm.
LEGATO_API Array softmax(const Array& x, int axis = -1);
LEGATO_API Array softmin(const Array& x, int axis = -1);
LEGATO_API Array log_softmax(const Array& x, int axis = -1);
/// x if x > 0, else alpha * (exp(x) - 1).
LEGATO_API Array elu(const Array& x, double alpha = 1.0);
/// max(x, 0) + min(0, alpha * (exp(x / alpha) - 1)).
LEGATO_API Array celu(const Array& x, double alpha = 1.0);
/// The scaled ELU with the constants that keep mean 0 and variance 1 (Klambauer et al., 2017).
LEGATO_API Array selu(const Array& x);
/// log(1 + exp(x)), and x / (1 + |x|).
LEGATO_API Array softplus(const Array& x);
LEGATO_API Array softsign(const Array& x);
/// Moves x towards zero by `lambd`; zeroes x where |x| <= lambd.
LEGATO_API Array softshrink(const Array& x, double lambd = 0.5);
LEGATO_API Array hard_shrink(const Array& x, double lambd = 0.5);
/// x * sigmoid(x).
LEGATO_API Array silu(const Array& x);
/// -log(1 + exp(-x)).
LEGATO_API Array log_sigmoid(const Array& x);
/// x * Phi(x), with the distribution function Phi of the normal distribution; its approximations by
/// tanh, and by sigmoid(1.702 x), which is off by 0.02 at most.
LEGATO_API Array gelu(const Array& x);
LEGATO_API Array gelu_approx(const Array& x);
LEGATO_API Array gelu_fast_approx(const Array& x);
/// a * sigmoid(b) for the halves a and b of x along `axis`. ValueError if its size is odd.
LEGATO_API Array glu(const Array& x, int axis = -1);
/// 1 if x >= threshold, else 0, as int32.
LEGATO_API Array step(const Array& x, double threshold = 0.0);
/// max(x, 0) + alpha * min(x, 0), with slopes alpha of shape (C,) or (1,).
LEGATO_API Array prelu(const Array& x, const Array& alpha);
/// x * tanh(softplus(x)) (Misra, 2019).
LEGATO_API Array mish(const Array& x);
/// x * min(max(x + 3, 0), 6) / 6.
LEGATO_API Array hardswish(const Array& x);
/// min(max(x, min_val), max_val).
LEGATO_API Array hard_tanh(const Array& x, double min_val = -1.0, double max_val = 1.0);

/// The module of a function of one array.
template <Array (*function)(const Array&)>
struct Activation : Module {
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const { return function(x); }
};
using Sigmoid = Activation<&legato::sigmoid>;
using Tanh = Activation<&legato::tanh>;
using ReLU = Activation<&relu>;
using ReLU2 = Activation<&relu2>;
using ReLU6 = Activation<&relu6>;
using SELU = Activation<&selu>;
using Softplus = Activation<&softplus>;
using Softsign = Activation<&softsign>;
using SiLU = Activation<&silu>;
using LogSigmoid = Activation<&log_sigmoid>;
using Mish = Activation<&mish>;
using Hardswish = Activation<&hardswish>;

/// The module of a function of an array and one more argument, which is fixed.
template <class Argument, Array (*function)(const Array&, Argument)>
struct ActivationWith : Module {
  Argument argument;
  explicit ActivationWith(Argument value) : argument(value) {}
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const { return function(x, argument); }
};
struct LeakyReLU : ActivationWith<double, &leaky_relu> {
  explicit LeakyReLU(double negative_slope = 0.01) : ActivationWith(negative_slope) {}
};
struct ELU : ActivationWith<double, &elu> {
  explicit ELU(double alpha = 1.0) : ActivationWith(alpha) {}
};
struct CELU : ActivationWith<double, &celu> {
  explicit CELU(double alpha = 1.0) : ActivationWith(alpha) {}
};
struct Softshrink : ActivationWith<double, &softshrink> {
  explicit Softshrink(double lambd = 0.5) : ActivationWith(lambd) {}
};
struct HardShrink : ActivationWith<double, &hard_shrink> {
  explicit HardShrink(double lambd = 0.5) : ActivationWith(lambd) {}
};
struct Step : ActivationWith<double, &step> {
  explicit Step(double threshold = 0.0) : ActivationWith(threshold) {}
};
struct GLU : ActivationWith<int, &glu> {
  explicit GLU(int axis = -1) : ActivationWith(axis) {}
};
struct Softmax : ActivationWith<int, &softmax> {
  explicit Softmax(int axis = -1) : ActivationWith(axis) {}
};
struct Softmin : ActivationWith<int, &softmin> {
  explicit Softmin(int axis = -1) : ActivationWith(axis) {}
};
struct LogSoftmax : ActivationWith<int, &log_softmax> {
  explicit LogSoftmax(int axis = -1) : ActivationWith(axis) {}
};

/// The module of hard_tanh between -1 and 1.
struct LEGATO_API HardTanh : Module {
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const { return hard_tanh(x); }
};

/// `approx`: "none" for gelu, "precise" or "tanh" for gelu_approx, "fast" for gelu_fast_approx;
/// ValueError for anything else.
struct LEGATO_API GELU : Module {
  explicit GELU(const std::string& approx = "none");
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const { return function_(x); }

 private:
  Array (*function_)(const Array&);
};

/// The rectifier with learned slopes on the negative side. Parameter: `weight` (num_parameters,),
/// one slope, or one for each entry of the input's last axis.
struct LEGATO_API PReLU : Module {
  Array weight;
  explicit PReLU(int64_t num_parameters = 1, double init = 0.25);
  LEGATO_MEMBERS(weight)
  Array operator()(const Array& x) const { return prelu(x, weight); }
};

}  // namespace legato::nn
