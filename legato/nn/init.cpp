#include "legato/nn/init.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "legato/ops/create/create.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/random/random.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/sort/sort.h"

namespace legato::nn::init {
namespace {

struct Fans {
  double in, out;
};
Fans fans(const char* name, const Shape& shape) {
  if (shape.size() < 2)
    throw ValueError(
        cat("init::", name, ": the shape is ", shape, "; expected at least 2 dimensions."));
  double positions = 1;
  for (size_t i = 1; i + 1 < shape.size(); ++i) positions *= static_cast<double>(shape[i]);
  return {static_cast<double>(shape.back()) * positions, static_cast<double>(shape[0]) * positions};
}
double fan(const char* name, const Shape& shape, Fan which) {
  const Fans both = fans(name, shape);
  return which == Fan::in ? both.in : both.out;
}
void check_matrix(const char* name, const Shape& shape) {
  if (shape.size() != 2)
    throw ValueError(cat("init::", name, ": the shape is ", shape, "; expected a matrix."));
}

}  // namespace

Array constant(const Shape& shape, double value, Dtype dtype) { return full(shape, value, dtype); }
Array normal(const Shape& shape, double mean, double std, Dtype dtype) {
  return random::normal(shape, dtype, Operand(mean), Operand(std));
}
Array uniform(const Shape& shape, double low, double high, Dtype dtype) {
  return random::uniform(low, high, shape, dtype);
}
Array identity(const Shape& shape, Dtype dtype) {
  check_matrix("identity", shape);
  if (shape[0] != shape[1])
    throw ValueError(cat("init::identity: the shape is ", shape, "; expected a square matrix."));
  return eye(shape[0], {}, 0, dtype);
}
Array glorot_normal(const Shape& shape, double gain, Dtype dtype) {
  const Fans f = fans("glorot_normal", shape);
  return random::normal(shape, dtype, {}, Operand(gain * std::sqrt(2 / (f.in + f.out))));
}
Array glorot_uniform(const Shape& shape, double gain, Dtype dtype) {
  const Fans f = fans("glorot_uniform", shape);
  const double limit = gain * std::sqrt(6 / (f.in + f.out));
  return random::uniform(-limit, limit, shape, dtype);
}
Array he_normal(const Shape& shape, Fan which, double gain, Dtype dtype) {
  return random::normal(shape, dtype, {},
                        Operand(gain / std::sqrt(fan("he_normal", shape, which))));
}
Array he_uniform(const Shape& shape, Fan which, double gain, Dtype dtype) {
  const double limit = gain * std::sqrt(3 / fan("he_uniform", shape, which));
  return random::uniform(-limit, limit, shape, dtype);
}
Array sparse(const Shape& shape, double sparsity, double mean, double std, Dtype dtype) {
  check_matrix("sparse", shape);
  const double zeros = std::ceil(sparsity * static_cast<double>(shape[1]));
  Array ranks = argsort(argsort(random::uniform(0, 1, shape), 1), 1);
  return where(ranks < zeros, 0, normal(shape, mean, std, dtype));
}

Array orthogonal(const Shape& shape, double gain, Dtype dtype) {
  check_matrix("orthogonal", shape);
  const int64_t n = std::max(shape[0], shape[1]), k = std::min(shape[0], shape[1]);
  const Array normals = contiguous(transpose(astype(random::normal({n, k}), Dtype::float64)));
  const double* columns = normals.data<double>();
  std::vector<double> q(columns, columns + n * k);
  // Gram and Schmidt, column by column, which lie one after the other: Q of the decomposition whose
  // R has a positive diagonal. float64 leaves 1e-10 or so, even of square matrices.
  for (int64_t j = 0; j < k; ++j) {
    double* column = q.data() + j * n;
    for (int64_t i = 0; i < j; ++i) {
      const double* earlier = q.data() + i * n;
      double along = 0;
      for (int64_t r = 0; r < n; ++r) along += earlier[r] * column[r];
      for (int64_t r = 0; r < n; ++r) column[r] -= along * earlier[r];
    }
    double square = 0;
    for (int64_t r = 0; r < n; ++r) square += column[r] * column[r];
    const double scale = 1 / std::sqrt(square);
    for (int64_t r = 0; r < n; ++r) column[r] *= scale;
  }
  const Array rows = astype(gain * Array::from<double>(q, {k, n}), dtype);
  return shape[0] >= shape[1] ? transpose(rows) : rows;
}

}  // namespace legato::nn::init
