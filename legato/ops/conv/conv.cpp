#include "legato/ops/conv/conv.h"

#include "legato/op/algebra.h"
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/ops/conv/ops.h"
#include "legato/ops/create/create.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

int64_t dilated(int64_t n, int64_t dilation) { return n ? (n - 1) * dilation + 1 : 0; }

void check_channels(const char* op, const Shape& input, const Shape& weight, int64_t groups) {
  int64_t channels = input.back();
  if (groups < 1 || channels % groups || weight[0] % groups || weight.back() * groups != channels)
    throw ValueError(cat(op, ": channels do not fit: input has ", channels,
                         ", weight (O, kernel..., C / groups) is ", weight, ", groups is ",
                         groups));
}

void infer_conv(Inference& in) {
  const Shape &x = in.shape(0), &w = in.shape(1);
  auto& a = in.attrs<ConvAttrs>();
  check_channels(in.name(), x, w, a.groups);  // here too: other shapes may come to a shapeless tape
  size_t spatial = a.stride.size();
  Shape out{x[0]};
  for (size_t i = 0; i < spatial; ++i) {
    int64_t padded = dilated(x[1 + i], a.input_dilation[i]) + a.pad_low[i] + a.pad_high[i];
    int64_t kernel = dilated(w[1 + i], a.kernel_dilation[i]);
    if (padded < kernel)
      throw ValueError(cat(in.name(), ": the kernel does not fit: along spatial axis ", i,
                           " the padded input has size ", padded, ", the dilated kernel ", kernel,
                           " (input ", x, ", weight ", w, ")"));
    out.push_back((padded - kernel) / a.stride[i] + 1);
  }
  out.push_back(w[0]);
  in.result(out, in.dtype());
}

void infer_like(Inference& in) { in.result(in.attrs<ConvAttrs>().like, in.dtype()); }

Array forward(const Array& x, const Array& w, ConvAttrs a) {
  a.like = {};
  return bind(conv_op, {x, w}, a);
}
Array input_gradient(const Array& dy, const Array& w, ConvAttrs a, const Shape& like) {
  a.like = like;
  return bind(conv_input_gradient_op, {dy, w}, a);
}
Array weight_gradient(const Array& x, const Array& dy, ConvAttrs a, const Shape& like) {
  a.like = like;
  return bind(conv_weight_gradient_op, {x, dy}, a);
}

// --- batching: a batch of images is one larger batch; a batch of kernels is a grouped convolution
// ---------------------

Array fold_images(const Array& a) {  // (B, N, ...) → (B N, ...)
  Shape s = a.shape();
  s[1] *= s[0];
  s.erase(0);
  return reshape(a, s);
}
Array unfold_images(const Array& a, int64_t batch) {
  Shape s = a.shape();
  s[0] /= batch;
  s.insert(0, batch);
  return reshape(a, s);
}
Array fold_channels(const Array& a) {  // (B, N, ..., C) → (N, ..., B C)
  int last = static_cast<int>(a.ndim()) - 1;
  Array moved = algebra::moveaxis(a, 0, last - 1);
  Shape s = moved.shape();
  s[static_cast<size_t>(last)] *= s[static_cast<size_t>(last) - 1];
  s.erase(static_cast<size_t>(last) - 1);
  return reshape(moved, s);
}
Array unfold_channels(const Array& a, int64_t batch) {
  Shape s = a.shape();
  size_t last = s.size() - 1;
  s[last] /= batch;
  s.insert(last, batch);
  return algebra::moveaxis(reshape(a, s), static_cast<int>(last), 0);
}

void batch_conv(const BatchedCall& c, std::span<Array> out) {
  ConvAttrs a = c.attrs<ConvAttrs>();
  if (!c.batched[1]) {
    out[0] = unfold_images(forward(fold_images(c.in[0]), c.in[1], a), c.size);
    return;
  }
  a.groups *= c.size;
  out[0] = unfold_channels(forward(fold_channels(c.with_axis(0)), fold_images(c.with_axis(1)), a),
                           c.size);
}

void batch_input_gradient(const BatchedCall& c, std::span<Array> out) {
  ConvAttrs a = c.attrs<ConvAttrs>();
  Shape like = a.like;
  if (!c.batched[1]) {
    like[0] *= c.size;
    out[0] = unfold_images(input_gradient(fold_images(c.in[0]), c.in[1], a, like), c.size);
    return;
  }
  a.groups *= c.size;
  like.back() *= c.size;
  out[0] = unfold_channels(
      input_gradient(fold_channels(c.with_axis(0)), fold_images(c.with_axis(1)), a, like), c.size);
}

void batch_weight_gradient(const BatchedCall& c, std::span<Array> out) {
  ConvAttrs a = c.attrs<ConvAttrs>();
  Shape like = a.like;
  a.groups *= c.size;
  like[0] *= c.size;
  out[0] = unfold_images(
      weight_gradient(fold_channels(c.with_axis(0)), fold_channels(c.with_axis(1)), a, like),
      c.size);
}

}  // namespace

// A convolution is linear in each of its two operands, and so are its two gradients; the three are
// each other's transposes.
constinit const Op conv_op{
    .name = "conv",
    .attrs = &attrs_type<ConvAttrs>,
    .infer = infer_conv,
    .derive = Linear(3,
                     [](const Call& c, int i, const Array& ct) {
                       auto& a = c.attrs<ConvAttrs>();
                       return i == 0 ? input_gradient(ct, c.in(1), a, c.in(0).shape())
                                     : weight_gradient(c.in(0), ct, a, c.in(1).shape());
                     }),
    .batch = batch_conv,
};

constinit const Op conv_input_gradient_op{
    .name = "conv_input_gradient",
    .attrs = &attrs_type<ConvAttrs>,
    .infer = infer_like,
    .derive = Linear(3,
                     [](const Call& c, int i, const Array& ct) {
                       auto& a = c.attrs<ConvAttrs>();
                       return i == 0 ? forward(ct, c.in(1), a)
                                     : weight_gradient(ct, c.in(0), a, c.in(1).shape());
                     }),
    .batch = batch_input_gradient,
};

constinit const Op conv_weight_gradient_op{
    .name = "conv_weight_gradient",
    .attrs = &attrs_type<ConvAttrs>,
    .infer = infer_like,
    .derive = Linear(3,
                     [](const Call& c, int i, const Array& ct) {
                       auto& a = c.attrs<ConvAttrs>();
                       return i == 0 ? input_gradient(c.in(1), ct, a, c.in(0).shape())
                                     : forward(c.in(0), ct, a);
                     }),
    .batch = batch_weight_gradient,
};

// --- the public functions
// --------------------------------------------------------------------------------------------

namespace {

Dims for_each_axis(const char* op, const char* what, const Dims& given, size_t spatial,
                   int64_t at_least) {
  if (given.size() != 1 && given.size() != spatial)
    throw ValueError(cat(op, ": ", what, " has ", given.size(), " entries, expected 1 or ", spatial,
                         ", one a spatial axis"));
  Dims out;
  for (size_t i = 0; i < spatial; ++i) {
    out.push_back(given[given.size() == 1 ? 0 : i]);
    if (out.back() < at_least)
      throw ValueError(cat(op, ": ", what, " must be at least ", at_least, ", got ", given));
  }
  return out;
}

Array convolution(const char* op, const Array& input, const Array& weight, size_t spatial,
                  const Dims& stride, const Dims& pad_low, const Dims& pad_high,
                  const Dims& kernel_dilation, const Dims& input_dilation, int64_t groups,
                  bool flip) {
  Dtype t = promote(input.dtype(), weight.dtype());
  if (!is_floating(t))
    throw ValueError(cat(op, ": takes floating dtypes; input is ", input.dtype(), ", weight ",
                         weight.dtype(), ". Convert with astype(...) first."));
  if (input.ndim() != spatial + 2 || weight.ndim() != spatial + 2)
    throw ValueError(
        cat(op, ": expects input (N, spatial..., C) and weight (O, kernel..., C / groups) with ",
            spatial, spatial == 1 ? " spatial axis" : " spatial axes", "; input has shape ",
            input.shape(), ", weight ", weight.shape()));
  check_channels(op, input.shape(), weight.shape(), groups);
  ConvAttrs a{.stride = for_each_axis(op, "stride", stride, spatial, 1),
              .pad_low = pad_low,
              .pad_high = pad_high,
              .kernel_dilation = for_each_axis(op, "dilation", kernel_dilation, spatial, 1),
              .input_dilation = for_each_axis(op, "input_dilation", input_dilation, spatial, 1),
              .groups = groups,
              .flip = flip,
              .like = {}};
  return forward(astype(input, t), astype(weight, t), a);
}

Array plain(const char* op, size_t spatial, const Array& input, const Array& weight,
            const Dims& stride, const Dims& padding, const Dims& dilation, int64_t groups) {
  Dims pad = for_each_axis(op, "padding", padding, spatial, 0);
  return convolution(op, input, weight, spatial, stride, pad, pad, dilation, {1}, groups, false);
}

Array transposed(const char* op, size_t spatial, const Array& input, const Array& weight,
                 const Dims& stride, const Dims& padding, const Dims& dilation,
                 const Dims& output_padding, int64_t groups) {
  if (tracing_shapeless())
    return composed(op, {input, weight}, [=](Inputs in) {
      return transposed(op, spatial, in[0], in[1], stride, padding, dilation, output_padding,
                        groups);
    });
  if (weight.ndim() != spatial + 2)
    throw ValueError(cat(op, ": expects weight (O, kernel..., C / groups) with ", spatial,
                         " spatial axes, got ", weight.shape()));
  Dims pad = for_each_axis(op, "padding", padding, spatial, 0);
  Dims dil = for_each_axis(op, "dilation", dilation, spatial, 1);
  Dims extra = for_each_axis(op, "output_padding", output_padding, spatial, 0);
  Dims low, high;
  for (size_t i = 0; i < spatial; ++i) {
    low.push_back(dil[i] * (weight.shape()[1 + i] - 1) - pad[i]);
    high.push_back(low.back() + extra[i]);
  }
  return convolution(op, input, weight, spatial, {1}, low, high, dil, stride, groups, true);
}

}  // namespace

Array conv1d(const Array& input, const Array& weight, const Dims& stride, const Dims& padding,
             const Dims& dilation, int64_t groups) {
  return plain("conv1d", 1, input, weight, stride, padding, dilation, groups);
}
Array conv2d(const Array& input, const Array& weight, const Dims& stride, const Dims& padding,
             const Dims& dilation, int64_t groups) {
  return plain("conv2d", 2, input, weight, stride, padding, dilation, groups);
}
Array conv3d(const Array& input, const Array& weight, const Dims& stride, const Dims& padding,
             const Dims& dilation, int64_t groups) {
  return plain("conv3d", 3, input, weight, stride, padding, dilation, groups);
}
Array conv_transpose1d(const Array& input, const Array& weight, const Dims& stride,
                       const Dims& padding, const Dims& dilation, const Dims& output_padding,
                       int64_t groups) {
  return transposed("conv_transpose1d", 1, input, weight, stride, padding, dilation, output_padding,
                    groups);
}
Array conv_transpose2d(const Array& input, const Array& weight, const Dims& stride,
                       const Dims& padding, const Dims& dilation, const Dims& output_padding,
                       int64_t groups) {
  return transposed("conv_transpose2d", 2, input, weight, stride, padding, dilation, output_padding,
                    groups);
}
Array conv_transpose3d(const Array& input, const Array& weight, const Dims& stride,
                       const Dims& padding, const Dims& dilation, const Dims& output_padding,
                       int64_t groups) {
  return transposed("conv_transpose3d", 3, input, weight, stride, padding, dilation, output_padding,
                    groups);
}

Array conv_general(const Array& input, const Array& weight, const Dims& stride,
                   const NestedInts& padding, const Dims& kernel_dilation,
                   const Dims& input_dilation, int64_t groups, bool flip) {
  if (input.ndim() < 3 || input.ndim() > 5)
    throw ValueError(
        cat("conv_general: expects input (N, spatial..., C) with 1 to 3 spatial axes, got shape ",
            input.shape()));
  size_t spatial = input.ndim() - 2;
  constexpr int64_t any = INT64_MIN;  // negative padding cuts
  Dims low, high;
  if (padding.kind == NestedInts::Kind::nested) {
    if (padding.values.size() != 2)
      throw ValueError(
          "conv_general: padding must be a number, a list, or a pair of lists (low sides, high "
          "sides)");
    low = for_each_axis("conv_general", "padding", padding.values[0], spatial, any);
    high = for_each_axis("conv_general", "padding", padding.values[1], spatial, any);
  } else {
    low = high = for_each_axis("conv_general", "padding", padding.values[0], spatial, any);
  }
  return convolution("conv_general", input, weight, spatial, stride, low, high, kernel_dilation,
                     input_dilation, groups, flip);
}

Array convolve(const Array& a, const Array& v, const std::string& mode) {
  if (tracing_shapeless())
    return composed("convolve", {a, v}, [mode](Inputs in) { return convolve(in[0], in[1], mode); });
  if (a.ndim() != 1 || v.ndim() != 1 || a.size() == 0 || v.size() == 0)
    throw ValueError(cat("convolve: takes two 1-d arrays that are not empty, got shapes ",
                         a.shape(), " and ", v.shape()));
  if (a.size() < v.size()) return convolve(v, a, mode);
  int64_t m = v.size(), low, high;
  if (mode == "full") {
    low = high = m - 1;
  } else if (mode == "same") {
    low = m - 1 - (m - 1) / 2;
    high = m - 1 - low;
  } else if (mode == "valid") {
    low = high = 0;
  } else {
    throw ValueError(
        cat("convolve: mode is \"", mode, "\", expected \"full\", \"same\" or \"valid\""));
  }
  Array x = reshape(a, {1, a.size(), 1}), w = reshape(v, {1, m, 1});
  Dtype t = to_inexact(promote(a.dtype(), v.dtype()));
  return reshape(
      convolution("convolve", astype(x, t), astype(w, t), 1, {1}, {low}, {high}, {1}, {1}, 1, true),
      {-1});
}

namespace {

constexpr const char* kConvDoc =
    R"(Convolution, channels last, over the spatial axes that the name says.

Args:
    input: Array of shape (N, spatial..., C), floating. Differentiable.
    weight: Array of shape (O, kernel..., C / groups). Differentiable.
    stride, padding, dilation: A number, or one a spatial axis.
    groups: Into how many independent parts the channels are divided.

Returns:
    Array of shape (N, spatial..., O). Half types are summed in float32 and rounded once.

Raises:
    ValueError: if ranks, channels or sizes do not fit, or a dtype is not floating.

>>> conv1d(array([[[1.0], [2.0], [3.0]]]), array([[[1.0], [1.0]]])).tolist()
[[[3.0], [5.0]]]
)";
constexpr const char* kTransposedDoc =
    R"(Transposed convolution, channels last: upsamples by `stride`.

Args:
    input: Array of shape (N, spatial..., C), floating. Differentiable.
    weight: Array of shape (O, kernel..., C / groups). Differentiable.
    stride, padding, dilation: A number, or one a spatial axis.
    output_padding: Positions added at the high side of each axis.
    groups: Into how many independent parts the channels are divided.

Returns:
    Array of shape (N, spatial..., O). Half types are summed in float32 and rounded once.

Raises:
    ValueError: if ranks, channels or sizes do not fit, or a dtype is not floating.
)";

constinit const Function functions[] = {
    function<&conv1d>("conv1d", "input, weight, /, stride=1, padding=0, dilation=1, groups=1",
                      kConvDoc),
    function<&conv2d>("conv2d", "input, weight, /, stride=1, padding=0, dilation=1, groups=1",
                      kConvDoc),
    function<&conv3d>("conv3d", "input, weight, /, stride=1, padding=0, dilation=1, groups=1",
                      kConvDoc),
    function<&conv_transpose1d>(
        "conv_transpose1d",
        "input, weight, /, stride=1, padding=0, dilation=1, output_padding=0, groups=1",
        kTransposedDoc),
    function<&conv_transpose2d>(
        "conv_transpose2d",
        "input, weight, /, stride=1, padding=0, dilation=1, output_padding=0, groups=1",
        kTransposedDoc),
    function<&conv_transpose3d>(
        "conv_transpose3d",
        "input, weight, /, stride=1, padding=0, dilation=1, output_padding=0, groups=1",
        kTransposedDoc),
    function<&conv_general>(
        "conv_general",
        "input, weight, /, stride=1, padding=0, kernel_dilation=1, input_dilation=1, groups=1, "
        "flip=False",
        R"(Convolution in its general form, channels last, over 1 to 3 spatial axes.

Args:
    input: Array of shape (N, spatial..., C), floating. Differentiable.
    weight: Array of shape (O, kernel..., C / groups). Differentiable.
    stride, kernel_dilation, input_dilation: A number, or one a spatial axis.
    padding: A number, one a spatial axis, or a pair of lists (low sides, high sides); negative cuts.
    groups: Into how many independent parts the channels are divided.
    flip: Whether the kernel is turned around.

Returns:
    Array of shape (N, spatial..., O).
)"),
    function<&convolve>("convolve", "a, v, /, mode='full'",
                        R"(Discrete convolution of two 1-d arrays.

Args:
    a, v: 1-d arrays, not empty. Differentiable.
    mode: "full" (every overlap), "same" (the size of the longer one) or "valid" (complete overlaps).

>>> convolve(array([1.0, 2.0, 3.0]), array([1.0, 10.0]))
array([1, 12, 23, 30], dtype=float32)
)"),
};

}  // namespace

void register_conv(Registry& registry) {
  registry.add(conv_op);
  registry.add(conv_input_gradient_op);
  registry.add(conv_weight_gradient_op);
  for (const Function& f : functions) registry.add(f);
}

}  // namespace legato
