#include "legato/nn/layers.h"

#include <cmath>

#include "legato/nn/check.h"
#include "legato/ops/conv/conv.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/norm/norm.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/pool/pool.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"

namespace legato::nn {

void check_sizes(const char* layer, std::initializer_list<std::pair<const char*, int64_t>> sizes) {
  for (auto& [name, size] : sizes)
    if (size < 1) throw ValueError(cat(layer, ": ", name, " is ", size, "; expected 1 or more."));
}

Array linear(const Array& x, const Array& weight, const Array& bias) {
  const Array transposed = transpose(weight);
  return bias ? addmm(bias, x, transposed) : matmul(x, transposed);
}

Array uniform_weight(const Shape& shape, double fan) {
  const double limit = std::sqrt(1 / fan);
  return random::uniform(-limit, limit, shape);
}

namespace {

std::optional<Array> optional(const Array& a) { return a ? std::optional<Array>(a) : std::nullopt; }

void check_channels(const char* layer, const Array& x, int64_t channels) {
  if (x.ndim() == 0 || x.shape().back() != channels)
    throw ValueError(cat(layer, ": the input has shape ", x.shape(), "; expected ", channels,
                         " channels on the last axis."));
}

/// An entry for every axis, each at least `least`.
Dims each(const char* layer, const char* name, const Dims& sizes, int axes, int64_t least) {
  Dims out = sizes.size() == 1 ? Dims::filled(static_cast<size_t>(axes), sizes[0]) : sizes;
  bool fits = out.size() == static_cast<size_t>(axes);
  for (int64_t size : out) fits &= size >= least;
  if (!fits)
    throw ValueError(cat(layer, ": ", name, " is ", sizes, "; expected one size or ", axes,
                         ", at least ", least, "."));
  return out;
}

}  // namespace

// --- linear
// ----------------------------------------------------------------------------------------

Linear::Linear(int64_t input_dims, int64_t output_dims, bool with_bias) {
  check_sizes("Linear", {{"input_dims", input_dims}, {"output_dims", output_dims}});
  weight = uniform_weight({output_dims, input_dims}, static_cast<double>(input_dims));
  if (with_bias) bias = uniform_weight({output_dims}, static_cast<double>(input_dims));
}
Array Linear::operator()(const Array& x) const { return linear(x, weight, bias); }

Bilinear::Bilinear(int64_t input1_dims, int64_t input2_dims, int64_t output_dims, bool with_bias) {
  check_sizes(
      "Bilinear",
      {{"input1_dims", input1_dims}, {"input2_dims", input2_dims}, {"output_dims", output_dims}});
  const double fan = static_cast<double>(input1_dims);
  weight = uniform_weight({output_dims, input2_dims, input1_dims}, fan);
  if (with_bias) bias = uniform_weight({output_dims}, fan);
}

Array Bilinear::operator()(const Array& x1, const Array& x2) const {
  const int64_t outputs = weight.shape(0), dims2 = weight.shape(1), dims1 = weight.shape(2);
  check_channels("Bilinear", x1, dims1);
  check_channels("Bilinear", x2, dims2);
  Shape batch = x1.shape(), batch2 = x2.shape();
  batch.erase(batch.size() - 1);
  batch2.erase(batch2.size() - 1);
  if (batch != batch2)
    throw ValueError(cat("Bilinear: the inputs have shapes ", x1.shape(), " and ", x2.shape(),
                         ", which must agree but for the last axis."));
  // First x1 with all of W in one product, then each row with its own x2.
  Array y = matmul(reshape(x1, {-1, dims1}), transpose(reshape(weight, {outputs * dims2, dims1})));
  y = swapaxes(reshape(y, {-1, outputs, dims2}), -2, -1);
  batch.push_back(outputs);
  y = reshape(matmul(reshape(x2, {-1, 1, dims2}), y), batch);
  return bias ? y + bias : y;
}

Embedding::Embedding(int64_t num_embeddings, int64_t dims) {
  check_sizes("Embedding", {{"num_embeddings", num_embeddings}, {"dims", dims}});
  weight = random::normal({num_embeddings, dims}, Dtype::float32, {},
                          Operand(std::sqrt(1 / static_cast<double>(dims))));
}
Array Embedding::operator()(const Array& indices) const { return take(weight, indices, 0); }
Array Embedding::as_linear(const Array& x) const { return linear(x, weight, {}); }

// --- convolution
// -----------------------------------------------------------------------------------

namespace {

Array conv_weight(const char* layer, int axes, int64_t in, int64_t out, const Dims& kernel_size,
                  int64_t groups) {
  const Dims kernel = each(layer, "kernel_size", kernel_size, axes, 1);
  check_sizes(layer, {{"in_channels", in}, {"out_channels", out}, {"groups", groups}});
  if (in % groups || out % groups)
    throw ValueError(cat(layer, ": ", in, " input and ", out,
                         " output channels can't be divided into ", groups, " groups."));
  double fan = static_cast<double>(in);
  Shape shape{out};
  for (int64_t k : kernel) {
    fan *= static_cast<double>(k);
    shape.push_back(k);
  }
  shape.push_back(in / groups);
  return uniform_weight(shape, fan);
}

constexpr const char* kConvNames[] = {"", "Conv1d", "Conv2d", "Conv3d"};
constexpr const char* kTransposeNames[] = {"", "ConvTranspose1d", "ConvTranspose2d",
                                           "ConvTranspose3d"};
constexpr decltype(&conv1d) kConvs[] = {nullptr, conv1d, conv2d, conv3d};
constexpr decltype(&conv_transpose1d) kTransposes[] = {nullptr, conv_transpose1d, conv_transpose2d,
                                                       conv_transpose3d};

}  // namespace

Conv::Conv(int axes, int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
           const ConvOptions& o)
    : options(o) {
  const char* name = kConvNames[axes];
  weight = conv_weight(name, axes, in_channels, out_channels, kernel_size, o.groups);
  each(name, "stride", o.stride, axes, 1);
  each(name, "padding", o.padding, axes, 0);
  each(name, "dilation", o.dilation, axes, 1);
  if (o.bias) bias = zeros({out_channels});
}
Array Conv::operator()(const Array& x) const {
  const Array y = kConvs[weight.ndim() - 2](x, weight, options.stride, options.padding,
                                            options.dilation, options.groups);
  return bias ? y + bias : y;
}

ConvTranspose::ConvTranspose(int axes, int64_t in_channels, int64_t out_channels,
                             const Sizes& kernel_size, const ConvTransposeOptions& o)
    : options(o) {
  const char* name = kTransposeNames[axes];
  weight = conv_weight(name, axes, in_channels, out_channels, kernel_size, 1);
  each(name, "stride", o.stride, axes, 1);
  each(name, "padding", o.padding, axes, 0);
  each(name, "dilation", o.dilation, axes, 1);
  each(name, "output_padding", o.output_padding, axes, 0);
  if (o.bias) bias = zeros({out_channels});
}
Array ConvTranspose::operator()(const Array& x) const {
  const Array y = kTransposes[weight.ndim() - 2](x, weight, options.stride, options.padding,
                                                 options.dilation, options.output_padding, 1);
  return bias ? y + bias : y;
}

// --- dropout
// ---------------------------------------------------------------------------------------

Dropout::Dropout(double p, int spatial) : p(p), spatial_(spatial) {
  if (!(p >= 0 && p < 1))
    throw ValueError(cat("Dropout: the probability is ", p, "; expected one in [0, 1)."));
}
Array Dropout::operator()(const Array& x) const {
  Shape mask = x.shape();
  if (spatial_) {
    const size_t n = static_cast<size_t>(spatial_);
    if (mask.size() != n + 1 && mask.size() != n + 2)
      throw ValueError(cat("Dropout", spatial_, "d: the input has shape ", x.shape(), "; expected ",
                           n + 1, " or ", n + 2, " dimensions."));
    for (size_t i = 0; i < n; ++i) mask[mask.size() - 2 - i] = 1;
  }
  if (p == 0 || !training()) return x;
  return where(random::bernoulli(1 - p, mask), x * (1 / (1 - p)), 0);
}

// --- normalization
// ---------------------------------------------------------------------------------

LayerNorm::LayerNorm(int64_t dims, const LayerNormOptions& o) : dims(dims), eps(o.eps) {
  check_sizes("LayerNorm", {{"dims", dims}});
  if (o.affine) weight = ones({dims});
  if (o.affine && o.bias) bias = zeros({dims});
}
Array LayerNorm::operator()(const Array& x) const {
  check_channels("LayerNorm", x, dims);
  return layer_norm(x, optional(weight), optional(bias), eps);
}

RMSNorm::RMSNorm(int64_t dims, double eps) : eps(eps) {
  check_sizes("RMSNorm", {{"dims", dims}});
  weight = ones({dims});
}
Array RMSNorm::operator()(const Array& x) const { return rms_norm(x, weight, eps); }

GroupNorm::GroupNorm(int64_t num_groups, int64_t dims, const GroupNormOptions& o)
    : num_groups(num_groups), dims(dims), options(o) {
  if (num_groups < 1 || dims < 1 || dims % num_groups)
    throw ValueError(
        cat("GroupNorm: ", dims, " channels can't be divided into ", num_groups, " groups."));
  if (!o.affine) return;
  bias = zeros({dims});
  weight = ones({dims});
}
Array GroupNorm::operator()(const Array& x) const {
  check_channels("GroupNorm", x, dims);
  const int groups = static_cast<int>(num_groups);
  if (options.pytorch_compatible)
    return group_norm(x, groups, optional(weight), optional(bias), options.eps);
  // With groups of c mod num_groups, the channels of a group are further positions of one channel.
  const Array folded = reshape(x, {x.shape(0), -1, num_groups});
  const Array y = reshape(group_norm(folded, groups, {}, {}, options.eps), x.shape());
  return weight ? weight * y + bias : y;
}

InstanceNorm::InstanceNorm(int64_t dims, const InstanceNormOptions& o) : dims(dims), eps(o.eps) {
  check_sizes("InstanceNorm", {{"dims", dims}});
  if (!o.affine) return;
  weight = ones({dims});
  bias = zeros({dims});
}
Array InstanceNorm::operator()(const Array& x) const {
  if (x.ndim() < 3)
    throw ValueError(
        cat("InstanceNorm: the input has shape ", x.shape(), "; expected (N, spatial..., C)."));
  check_channels("InstanceNorm", x, dims);
  return group_norm(x, static_cast<int>(dims), optional(weight), optional(bias), eps);
}

BatchNorm::BatchNorm(int64_t num_features, const BatchNormOptions& o)
    : num_features(num_features), options(o) {
  check_sizes("BatchNorm", {{"num_features", num_features}});
  if (o.affine) {
    weight = ones({num_features});
    bias = zeros({num_features});
  }
  if (o.track_running_stats) {
    running_mean = zeros({num_features});
    running_var = ones({num_features});
  }
}
void BatchNorm::members(Members& visit) {
  visit("weight", weight);
  visit("bias", bias);
  visit.buffer("running_mean", running_mean);
  visit.buffer("running_var", running_var);
}

Array BatchNorm::operator()(const Array& x) {
  if (x.ndim() < 2)
    throw ValueError(cat("BatchNorm: the input has shape ", x.shape(), "; expected (N, ..., C)."));
  check_channels("BatchNorm", x, num_features);
  Array mean = running_mean, var = running_var;
  const bool of_batch = training() || !running_mean;
  if (of_batch) {
    Dims axes;
    for (size_t i = 0; i + 1 < x.ndim(); ++i) axes.push_back(static_cast<int64_t>(i));
    const Array wide = is_half(x.dtype()) ? astype(x, Dtype::float32) : x;
    mean = legato::mean(wide, axes);
    var = legato::var(wide, axes);
    if (running_mean) track(mean, var, x.size() / num_features);
  }
  Array scale = rsqrt(var + options.eps);
  if (weight) scale *= weight;
  Array y = (x - mean) * scale;
  if (bias) y += bias;
  if (!of_batch || !is_half(x.dtype())) return y;
  return astype(y, bias ? promote(x.dtype(), bias.dtype()) : x.dtype());
}

void BatchNorm::track(const Array& mean, const Array& var, int64_t count) {
  const double share = options.momentum;
  const Array unbiased =
      var * (static_cast<double>(count) / static_cast<double>(std::max<int64_t>(count - 1, 1)));
  auto move = [&](Array& old, const Array& batch) {
    old = astype((1 - share) * old + share * batch, old.dtype());
  };
  move(running_mean, mean);
  move(running_var, unbiased);
}

// --- pooling
// ---------------------------------------------------------------------------------------

Pool::Pool(int axes, bool maximum, const Sizes& kernel_size, const PoolOptions& o)
    : maximum_(maximum) {
  const std::string name = cat(maximum ? "MaxPool" : "AvgPool", axes, "d");
  kernel_ = each(name.c_str(), "kernel_size", kernel_size, axes, 1);
  stride_ = o.stride ? each(name.c_str(), "stride", *o.stride, axes, 1) : kernel_;
  padding_ = each(name.c_str(), "padding", o.padding, axes, 0);
}
Array Pool::operator()(const Array& x) const {
  const NestedInts padding{NestedInts::Kind::list, {padding_}};
  if (maximum_) return max_pool(x, kernel_, stride_, padding);
  return avg_pool(is_inexact(x.dtype()) ? x : astype(x, Dtype::float32), kernel_, stride_, padding);
}

}  // namespace legato::nn
