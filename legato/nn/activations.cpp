#include "legato/nn/activations.h"

#include <cmath>
#include <numbers>

#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/softmax/softmax.h"

namespace legato::nn {
namespace {

/// alpha * (exp(x) - 1) where x < 0, else 0; the gradient is finite for large x, too.
Array negative_exponential(const Array& x, double alpha) { return alpha * expm1(minimum(x, 0)); }

}  // namespace

Array relu(const Array& x) { return maximum(x, 0); }
Array relu2(const Array& x) { return square(maximum(x, 0)); }
Array relu6(const Array& x) { return minimum(maximum(x, 0), 6.0); }
Array leaky_relu(const Array& x, double negative_slope) { return maximum(negative_slope * x, x); }

Array softmax(const Array& x, int axis) { return legato::softmax(x, Dims{axis}); }
Array softmin(const Array& x, int axis) { return legato::softmax(-x, Dims{axis}); }
Array log_softmax(const Array& x, int axis) { return legato::log_softmax(x, Dims{axis}); }

Array elu(const Array& x, double alpha) { return where(x > 0, x, negative_exponential(x, alpha)); }
Array celu(const Array& x, double alpha) {
  return maximum(x, 0) + negative_exponential(x / alpha, alpha);
}
Array selu(const Array& x) { return 1.0507009873554805 * elu(x, 1.6732632423543772); }

Array softplus(const Array& x) { return logaddexp(x, 0); }
Array softsign(const Array& x) { return x / (1 + abs(x)); }
Array softshrink(const Array& x, double lambd) {
  return where(abs(x) > lambd, x - sign(x) * lambd, 0);
}
Array hard_shrink(const Array& x, double lambd) { return where(abs(x) > lambd, x, 0); }

Array silu(const Array& x) { return x * sigmoid(x); }
Array log_sigmoid(const Array& x) { return -softplus(-x); }
Array gelu(const Array& x) { return x * (1 + erf(x / std::numbers::sqrt2)) / 2; }
Array gelu_approx(const Array& x) {
  return 0.5 * x * (1 + tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}
Array gelu_fast_approx(const Array& x) { return x * sigmoid(1.702 * x); }

Array glu(const Array& x, int axis) {
  std::vector<Array> halves = legato::split(x, 2, axis);
  return halves[0] * sigmoid(halves[1]);
}
Array step(const Array& x, double threshold) { return where(x >= threshold, 1, 0); }
Array prelu(const Array& x, const Array& alpha) { return maximum(x, 0) + alpha * minimum(x, 0); }
Array mish(const Array& x) { return x * tanh(softplus(x)); }
Array hardswish(const Array& x) { return x * relu6(x + 3) / 6; }
Array hard_tanh(const Array& x, double min_val, double max_val) {
  return minimum(maximum(x, min_val), max_val);
}

GELU::GELU(const std::string& approx) {
  if (approx == "none")
    function_ = gelu;
  else if (approx == "precise" || approx == "tanh")
    function_ = gelu_approx;
  else if (approx == "fast")
    function_ = gelu_fast_approx;
  else
    throw ValueError(cat("GELU: approx is '", approx, "'; expected none, precise, tanh or fast."));
}

PReLU::PReLU(int64_t num_parameters, double init) : weight(full({num_parameters}, init)) {}

}  // namespace legato::nn
