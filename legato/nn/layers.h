// Layers: linear, convolution, embedding, dropout, normalization, pooling, resizing, positions.
//
// Arrays are channels last, as everywhere in Legato: images are (N, H, W, C). Parameters have the
// names, shapes and first values of Python's layers. Constructors throw ValueError for sizes that
// are not positive or do not fit each other, calls for inputs that do not fit.
#pragma once

#include <initializer_list>
#include <optional>

#include "legato/array/operand.h"
#include "legato/nn/module.h"

namespace legato::nn {

/// A size for each spatial axis, or one for all: 3, {3, 5}.
struct LEGATO_API Sizes : Dims {
  Sizes(int64_t all) : Dims{all} {}
  Sizes(std::initializer_list<int64_t> each) : Dims(each) {}
};

/// Returns its input.
struct LEGATO_API Identity : Module {
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const { return x; }
};

/// y = x Wᵀ + b, from (..., input_dims) to (..., output_dims). Parameters: `weight` (output_dims,
/// input_dims) and `bias` (output_dims,), at first uniform in ±1/√input_dims.
struct LEGATO_API Linear : Module {
  Array weight, bias;
  Linear(int64_t input_dims, int64_t output_dims, bool bias = true);
  LEGATO_MEMBERS(weight, bias)
  Array operator()(const Array& x) const;
};

/// yₖ = x1ᵀ Wₖ x2 + bₖ. Parameters: `weight` (output_dims, input2_dims, input1_dims) and `bias`
/// (output_dims,), at first uniform in ±1/√input1_dims.
struct LEGATO_API Bilinear : Module {
  Array weight, bias;
  Bilinear(int64_t input1_dims, int64_t input2_dims, int64_t output_dims, bool bias = true);
  LEGATO_MEMBERS(weight, bias)
  Array operator()(const Array& x1, const Array& x2) const;
};

/// Maps integer indices (...) to rows (..., dims) of a learned table. Parameter: `weight`
/// (num_embeddings, dims), at first normal with standard deviation 1/√dims.
struct LEGATO_API Embedding : Module {
  Array weight;
  Embedding(int64_t num_embeddings, int64_t dims);
  LEGATO_MEMBERS(weight)
  Array operator()(const Array& indices) const;
  /// The products of x (..., dims) with all rows: an output layer that shares the table.
  Array as_linear(const Array& x) const;
};

// --- convolution
// -----------------------------------------------------------------------------------

struct ConvOptions {
  Sizes stride = 1;
  Sizes padding = 0;   // zeros on both sides
  Sizes dilation = 1;  // distance between elements of the kernel
  int64_t groups = 1;  // parts of the channels that do not see each other
  bool bias = true;
};
/// What the convolutions share: (N, spatial..., C) to (N, spatial..., O). Parameters: `weight` (O,
/// kernel..., C / groups), at first uniform in ±1/√(C · kernel positions), and `bias` (O,), at
/// first 0.
struct LEGATO_API Conv : Module {
  Array weight, bias;
  ConvOptions options;
  LEGATO_MEMBERS(weight, bias)
  Array operator()(const Array& x) const;

 protected:
  Conv(int axes, int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
       const ConvOptions& options);
};
struct LEGATO_API Conv1d : Conv {
  Conv1d(int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
         const ConvOptions& options = {})
      : Conv(1, in_channels, out_channels, kernel_size, options) {}
};
struct LEGATO_API Conv2d : Conv {
  Conv2d(int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
         const ConvOptions& options = {})
      : Conv(2, in_channels, out_channels, kernel_size, options) {}
};
struct LEGATO_API Conv3d : Conv {
  Conv3d(int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
         const ConvOptions& options = {})
      : Conv(3, in_channels, out_channels, kernel_size, options) {}
};

struct ConvTransposeOptions {
  Sizes stride = 1;          // distance that neighbouring inputs have in the output
  Sizes padding = 0;         // how much to cut off on both sides
  Sizes dilation = 1;        // distance between elements of the kernel
  Sizes output_padding = 0;  // how much to add at the end
  bool bias = true;
};
/// What the transposed convolutions share: they enlarge. Parameters as for Conv.
struct LEGATO_API ConvTranspose : Module {
  Array weight, bias;
  ConvTransposeOptions options;
  LEGATO_MEMBERS(weight, bias)
  Array operator()(const Array& x) const;

 protected:
  ConvTranspose(int axes, int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
                const ConvTransposeOptions& options);
};
struct LEGATO_API ConvTranspose1d : ConvTranspose {
  ConvTranspose1d(int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
                  const ConvTransposeOptions& options = {})
      : ConvTranspose(1, in_channels, out_channels, kernel_size, options) {}
};
struct LEGATO_API ConvTranspose2d : ConvTranspose {
  ConvTranspose2d(int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
                  const ConvTransposeOptions& options = {})
      : ConvTranspose(2, in_channels, out_channels, kernel_size, options) {}
};
struct LEGATO_API ConvTranspose3d : ConvTranspose {
  ConvTranspose3d(int64_t in_channels, int64_t out_channels, const Sizes& kernel_size,
                  const ConvTransposeOptions& options = {})
      : ConvTranspose(3, in_channels, out_channels, kernel_size, options) {}
};

// --- dropout
// ---------------------------------------------------------------------------------------

/// Zeroes each value with probability p, in [0, 1), and divides the others by 1 - p; the identity
/// in evaluation mode.
struct LEGATO_API Dropout : Module {
  double p;
  explicit Dropout(double p = 0.5) : Dropout(p, 0) {}
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const;

 protected:
  /// `spatial`: how many axes before the channels are dropped together.
  Dropout(double p, int spatial);
  int spatial_;
};
/// Zeroes whole channels of images (N, H, W, C) or (H, W, C), and of volumes.
struct LEGATO_API Dropout2d : Dropout {
  explicit Dropout2d(double p = 0.5) : Dropout(p, 2) {}
};
struct LEGATO_API Dropout3d : Dropout {
  explicit Dropout3d(double p = 0.5) : Dropout(p, 3) {}
};

// --- normalization: parameters `weight`, at first 1, and `bias`, at first 0, of shape (dims,)
// -----

struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true;  // whether there are weight and bias
  bool bias = true;    // whether there is a bias, if affine
};
/// (x - mean) / √(var + eps) · weight + bias over the last axis.
struct LEGATO_API LayerNorm : Module {
  Array weight, bias;
  int64_t dims;
  double eps;
  explicit LayerNorm(int64_t dims, const LayerNormOptions& options = {});
  LEGATO_MEMBERS(weight, bias)
  Array operator()(const Array& x) const;
};

/// x / √(mean(x²) + eps) · weight over the last axis.
struct LEGATO_API RMSNorm : Module {
  Array weight;
  double eps;
  explicit RMSNorm(int64_t dims, double eps = 1e-5);
  LEGATO_MEMBERS(weight)
  Array operator()(const Array& x) const;
};

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;
  bool pytorch_compatible = false;  // neighbouring channels make a group; otherwise channel c
                                    // belongs to group c mod num_groups, as in MLX
};
/// As LayerNorm, but over a group of channels and the spatial axes of each sample.
struct LEGATO_API GroupNorm : Module {
  Array weight, bias;
  int64_t num_groups, dims;
  GroupNormOptions options;
  GroupNorm(int64_t num_groups, int64_t dims, const GroupNormOptions& options = {});
  LEGATO_MEMBERS(bias, weight)
  Array operator()(const Array& x) const;
};

struct InstanceNormOptions {
  double eps = 1e-5;
  bool affine = false;
};
/// As GroupNorm, with a group for each channel.
struct LEGATO_API InstanceNorm : Module {
  Array weight, bias;
  int64_t dims;
  double eps;
  explicit InstanceNorm(int64_t dims, const InstanceNormOptions& options = {});
  LEGATO_MEMBERS(weight, bias)
  Array operator()(const Array& x) const;
};

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // share of each batch in the running averages
  bool affine = true;
  bool track_running_stats = true;  // otherwise the batch's mean and variance are always used
};
/// Normalizes each channel over all other axes: by the batch's mean and variance while training, of
/// which the buffers `running_mean` and `running_var` keep running averages; by these in evaluation
/// mode.
struct LEGATO_API BatchNorm : Module {
  Array weight, bias, running_mean, running_var;
  int64_t num_features;
  BatchNormOptions options;
  explicit BatchNorm(int64_t num_features, const BatchNormOptions& options = {});
  void members(Members& visit) override;
  Array operator()(const Array& x);

 private:
  void track(const Array& mean, const Array& var, int64_t count);
};

// --- pooling
// ---------------------------------------------------------------------------------------

struct PoolOptions {
  std::optional<Sizes> stride = {};  // the size of the windows by default
  Sizes padding = 0;  // on both sides: of -inf for a maximum, of zeros, which count, for a mean
};
/// What the pools share: from (N, spatial..., C), one value for each window.
struct LEGATO_API Pool : Module {
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const;

 protected:
  Pool(int axes, bool maximum, const Sizes& kernel_size, const PoolOptions& options);

 private:
  Dims kernel_, stride_, padding_;
  bool maximum_;
};
#define LEGATO_POOL(Name, axes, maximum)                                     \
  struct LEGATO_API Name : Pool {                                            \
    explicit Name(const Sizes& kernel_size, const PoolOptions& options = {}) \
        : Pool(axes, maximum, kernel_size, options) {}                       \
  };
LEGATO_POOL(MaxPool1d, 1, true)
LEGATO_POOL(MaxPool2d, 2, true)
LEGATO_POOL(MaxPool3d, 3, true)
LEGATO_POOL(AvgPool1d, 1, false)
LEGATO_POOL(AvgPool2d, 2, false)
LEGATO_POOL(AvgPool3d, 3, false)
#undef LEGATO_POOL

// --- resizing
// --------------------------------------------------------------------------------------

struct UpsampleOptions {
  enum class Mode : uint8_t { nearest, linear, cubic };
  Mode mode = Mode::nearest;
  bool align_corners = false;  // whether the centres of the corners stay in place (linear, cubic)
  bool antialias = false;      // whether to widen the filter where sizes shrink (linear, cubic)
};
/// Resizes the spatial axes of x (N, spatial..., C) to ⌊scale · size⌋. One scale for all axes, or
/// one each.
LEGATO_API Array upsample(const Array& x, const std::vector<double>& scale_factor,
                          const UpsampleOptions& options = {});
struct LEGATO_API Upsample : Module {
  std::vector<double> scale_factor;
  UpsampleOptions options;
  explicit Upsample(double scale_factor, const UpsampleOptions& options = {})
      : scale_factor{scale_factor}, options(options) {}
  explicit Upsample(std::vector<double> scale_factor, const UpsampleOptions& options = {})
      : scale_factor(std::move(scale_factor)), options(options) {}
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const { return upsample(x, scale_factor, options); }
};

// --- positions
// -------------------------------------------------------------------------------------

struct RoPEOptions {
  bool traditional = false;  // whether neighbours make a pair; otherwise i and i + dims / 2
  double base = 10000;
  double scale = 1;
};
/// Rotates pairs of the first `dims` features of x (..., L, D) by angles proportional to the
/// position, which begins at `offset` (Su et al., 2021).
struct LEGATO_API RoPE : Module {
  int64_t dims;
  RoPEOptions options;
  explicit RoPE(int64_t dims, const RoPEOptions& options = {}) : dims(dims), options(options) {}
  LEGATO_MEMBERS()
  Array operator()(const Array& x, const Operand& offset = 0) const;
};

struct SinusoidalOptions {
  double min_freq = 0.0001;  // in radians a position
  double max_freq = 1;
  std::optional<double> scale = {};  // factor of the result; √(2 / dims) by default
  bool cos_first = false;
  bool full_turns = false;  // whether frequencies are in turns a position
};
/// Encodes positions (...) by sines and cosines (..., dims) of frequencies in geometric progression
/// (Vaswani et al., 2017).
struct LEGATO_API SinusoidalPositionalEncoding : Module {
  explicit SinusoidalPositionalEncoding(int64_t dims, const SinusoidalOptions& options = {});
  LEGATO_MEMBERS()
  Array operator()(const Array& x) const;

 private:
  Array frequencies_;
  double scale_;
  bool cos_first_;
};

/// Adds to attention scores (B, heads, L, S) a penalty proportional to the distance (Press et al.,
/// 2021). Queries begin at position `offset`.
struct LEGATO_API ALiBi : Module {
  LEGATO_MEMBERS()
  Array operator()(const Array& attention_scores, int64_t offset = 0, const Array& mask = {}) const;
  /// The penalties (1, heads, q_length - offset, k_length).
  static Array create_alibi_matrix(int64_t q_length, int64_t k_length, int64_t num_heads,
                                   int64_t offset = 0, Dtype dtype = Dtype::float32);
  /// The slopes of the heads, (heads, 1, 1).
  static Array create_alibi_slope(int64_t num_heads, Dtype dtype = Dtype::float32);
};

}  // namespace legato::nn
