#include "legato/ops/conv/conv_dnn.h"

#include <algorithm>
#include <bit>

#include "legato/backends/cuda/dnn.h"
#include "legato/backends/cuda/kit.h"
#include "legato/ops/conv/ops.h"
#include "legato/runtime/epilogue_form.h"

namespace legato::cuda {
namespace {

constexpr size_t kMostPlans = 1024;  // of a device

/// A convolution as cuDNN knows them: no dilation of the input, no flip. Sizes in Legato's order,
/// channels last.
struct Normal {
  ConvRole role;
  Shape x, w, y;
  const View *x_view = nullptr, *w_view = nullptr, *y_view = nullptr;
  Dims stride, low, high, dilation;
  int64_t groups = 1;
  // How the caller's weights become cuDNN's: turned around, and with their two channels exchanged.
  bool flip = false, exchange = false;
  ConvAddends added;
};

// Note [One convolution is another]: where the input is dilated and the stride is 1, each of the
// three ops is another one of them over the exchanged roles of x and y, with the dilation as the
// stride. From i * input_dilation + low = o + k * dilation follows, with k' = K - 1 - k,
// o = i * input_dilation + k' * dilation - ((K - 1) * dilation - low): o walks what was x.
bool exchange_roles(Normal& n, const Dims& input_dilation) {
  for (int64_t s : n.stride)
    if (s != 1) return false;
  if (n.role == ConvRole::forward)
    n.role = ConvRole::input_gradient;
  else if (n.role == ConvRole::input_gradient)
    n.role = ConvRole::forward;
  std::swap(n.x, n.y);
  std::swap(n.x_view, n.y_view);
  n.stride = input_dilation;
  n.flip = !n.flip;
  n.exchange = true;
  for (size_t i = 0; i < n.low.size(); ++i) {
    const int64_t reach = (n.w[i + 1] - 1) * n.dilation[i];
    n.low[i] = reach - n.low[i];
    // The least high padding at which every output position exists; one more than a stride would
    // make another.
    const int64_t needs = (n.y[i + 1] - 1) * n.stride[i] + reach + 1 - n.x[i + 1] - n.low[i];
    n.high[i] = std::max<int64_t>(needs, 0);
    if (n.high[i] - needs >= n.stride[i]) return false;
  }
  n.w.back() = n.w[0] / n.groups;
  n.w[0] = n.y.back();
  return true;
}

bool normalise(const Launch& l, ConvRole role, Normal& n) {
  const auto& a = l.attrs<ConvAttrs>();
  n.role = role;
  n.x_view = role == ConvRole::input_gradient ? &l.out[0] : &l.in[0];
  n.w_view = role == ConvRole::weight_gradient ? &l.out[0] : &l.in[1];
  n.y_view = role == ConvRole::forward ? &l.out[0] : &l.in[role == ConvRole::weight_gradient];
  n.x = *n.x_view->shape;
  n.w = *n.w_view->shape;
  n.y = *n.y_view->shape;
  n.stride = a.stride;
  n.low = a.pad_low;
  n.high = a.pad_high;
  n.dilation = a.kernel_dilation;
  n.groups = a.groups;
  n.flip = a.flip;
  for (int64_t d : a.input_dilation)
    if (d != 1 && !exchange_roles(n, a.input_dilation))
      return false;
    else if (d != 1)
      break;
  for (size_t i = 0; i < n.low.size(); ++i)
    if (n.low[i] < 0 || n.high[i] < 0) return false;
  return n.x_view->size && n.w_view->size && n.y_view->size;
}

// Note [What cuDNN adds]: its compiled engines add an array like the result and then a bias, in
// this order. For other programs it compiles engines at run time, for half a second, which on an
// H100 took 272 us where the convolution alone takes 172 and a program behind it 31.

// (N, spatial..., C) in memory as cuDNN's (N, C, spatial...); one spatial axis becomes two.
dnn::Descriptor tensor(int64_t id, const Shape& shape, dnn::DataType type, int64_t alignment,
                       bool is_virtual = false) {
  dnn::Tensor t{.id = id,
                .type = type,
                .sizes = {},
                .strides = {},
                .is_virtual = is_virtual,
                .alignment = alignment};
  Shape full = shape;
  if (full.size() == 3) full.insert(1, 1);
  const Strides dense = row_major_strides(full);
  for (size_t i = 0; i < full.size(); ++i) {
    const size_t from = i == 0 ? 0 : i == 1 ? full.size() - 1 : i - 1;
    t.sizes.push_back(full[from]);
    t.strides.push_back(dense[from]);
  }
  return dnn::describe(t);
}

enum Id : int64_t { kX = 1, kW, kY, kBias, kResidual, kConvolved, kWithResidual };

dnn::Descriptor addition(const dnn::Descriptor& a, const dnn::Descriptor& b,
                         const dnn::Descriptor& sum) {
  dnn::Descriptor add(dnn::Kind::pointwise), operation(dnn::Kind::pointwise_operation);
  add.set(dnn::Attribute::pointwise_mode, dnn::PointwiseMode::add)
      .set(dnn::Attribute::pointwise_precision, dnn::DataType::f32)
      .finalize();
  operation.set(dnn::Attribute::pointwise_descriptor, add)
      .set(dnn::Attribute::pointwise_x, a)
      .set(dnn::Attribute::pointwise_b, b)
      .set(dnn::Attribute::pointwise_y, sum)
      .finalize();
  return operation;
}

std::shared_ptr<dnn::Plan> make_plan(GpuDevice& device, const Normal& n, Dtype dtype,
                                     int64_t alignment, bool allow_tf32) try {
  dnn::DataType type;
  if (!dnn::data_type(dtype, type)) return nullptr;
  const bool wide = dtype == Dtype::float64;
  auto filled = [](Dims d, int64_t value) {
    if (d.size() == 1) d.insert(0, value);
    return d;
  };
  const Dims strides = filled(n.stride, 1);
  dnn::Descriptor conv(dnn::Kind::convolution);
  conv.set(dnn::Attribute::conv_compute, wide ? dnn::DataType::f64 : dnn::DataType::f32)
      .set(dnn::Attribute::conv_mode, dnn::ConvMode::correlation)
      .set(dnn::Attribute::conv_spatial_dims, static_cast<int64_t>(strides.size()))
      .set(dnn::Attribute::conv_strides, strides)
      .set(dnn::Attribute::conv_dilations, filled(n.dilation, 1))
      .set(dnn::Attribute::conv_pre_paddings, filled(n.low, 0))
      .set(dnn::Attribute::conv_post_paddings, filled(n.high, 0))
      .finalize();
  const dnn::Descriptor x = tensor(kX, n.x, type, alignment), w = tensor(kW, n.w, type, alignment),
                        y = tensor(kY, n.y, type, alignment);
  struct Names {
    dnn::Kind kind;
    dnn::Attribute conv, x, w, y, alpha, beta;
  };
  using enum dnn::Attribute;
  constexpr Names kNames[] = {
      {dnn::Kind::conv_forward, forward_conv, forward_x, forward_w, forward_y, forward_alpha,
       forward_beta},
      {dnn::Kind::conv_input_gradient, input_conv, input_dx, input_w, input_dy, input_alpha,
       input_beta},
      {dnn::Kind::conv_weight_gradient, weight_conv, weight_x, weight_dw, weight_dy, weight_alpha,
       weight_beta},
  };
  const Names& names = kNames[static_cast<int>(n.role)];
  std::vector<dnn::Descriptor> operations;
  dnn::Descriptor& operation = operations.emplace_back(names.kind);
  operation.set(names.conv, conv).set(names.x, x).set(names.w, w);
  const auto between = [&](Id id) { return tensor(id, n.y, dnn::DataType::f32, 16, true); };
  if (n.added.bias)
    operation.set(names.y, between(kConvolved));
  else
    operation.set(names.y, y);
  if (wide)
    operation.set(names.alpha, 1.0).set(names.beta, 0.0);
  else
    operation.set(names.alpha, 1.0f).set(names.beta, 0.0f);
  operation.finalize();
  dnn::PlanRules rules;
  if (n.added.bias) {
    rules.without_behavior = 1u << static_cast<int>(dnn::Behavior::runtime_compiled);
    Shape channels = Shape::filled(n.y.size(), 1);
    channels.back() = n.y.back();
    if (n.added.residual)
      operations.push_back(addition(between(kConvolved), tensor(kResidual, n.y, type, alignment),
                                    between(kWithResidual)));
    operations.push_back(addition(between(n.added.residual ? kWithResidual : kConvolved),
                                  tensor(kBias, channels, type, alignment), y));
  }
  // A tensor core takes float32 only after rounding it.
  if (dtype == Dtype::float32 && !allow_tf32)
    rules.without_numerics |= 1u << static_cast<int>(dnn::Numerics::tensor_core) |
                              1u << static_cast<int>(dnn::Numerics::down_converts);
  auto plans = dnn::make_plans(device, operations, rules);
  return plans.empty() ? nullptr : std::shared_ptr<dnn::Plan>(std::move(plans[0]));
} catch (const dnn::Failure&) {
  return nullptr;
}

dnn::Cache<dnn::Plan>& plans_of(int device) {
  static std::mutex lock;
  static auto& all = *new std::unordered_map<int, std::unique_ptr<dnn::Cache<dnn::Plan>>>;
  std::lock_guard guard(lock);
  auto& plans = all[device];
  if (!plans) plans = std::make_unique<dnn::Cache<dnn::Plan>>(kMostPlans);
  return *plans;
}

/// All that a plan depends on, as numbers in a row.
class Key {
 public:
  void add(int64_t v) {
    if (n_ < kMost) values_[n_++] = v;
  }
  void add(const Dims& d) {
    for (int64_t v : d) add(v);
  }
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(values_), n_ * sizeof(int64_t)};
  }

 private:
  static constexpr size_t kMost = 40;  // 6 + 3 * 5 + 4 * 3 are in use
  int64_t values_[kMost];
  size_t n_ = 0;
};

// Copies weights between the caller's layout and cuDNN's, turned and exchanged; either way.
void copy_weights(void* to, const void* from, const Shape& to_shape, const Normal& n, Dtype dtype) {
  Shape shape = to_shape;  // (G O, kernel..., C) -> (G, O, kernel..., C)
  shape[0] /= n.groups;
  shape.insert(0, n.groups);
  Shape other = shape;
  if (n.exchange) std::swap(other[1], other.back());
  Strides strides = row_major_strides(other);
  if (n.exchange) std::swap(strides[1], strides.back());
  int64_t offset = 0;
  for (size_t i = 2; n.flip && i + 1 < shape.size(); ++i) {
    offset += (shape[i] - 1) * strides[i];
    strides[i] = -strides[i];
  }
  const int64_t bytes = size_of(dtype);
  copy_elements(to, row_major_strides(shape), static_cast<const char*>(from) + offset * bytes,
                strides, shape, bytes);
}

int64_t alignment_of(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 16;
  for (const void* p : pointers) bits |= reinterpret_cast<uintptr_t>(p);
  return int64_t{1} << std::countr_zero(bits);
}

}  // namespace

std::optional<ConvAddends> read_addends(const Launch& l) {
  const View& y = l.out[0];
  const std::optional<EpilogueForm> form = read_epilogue(*l.epilogue);
  if (!form) return std::nullopt;
  Strides across = Strides::filled(y.ndim(), 0);
  across.back() = 1;
  ConvAddends added;
  for (int i = 0; i < form->n_addends; ++i) {
    const auto input = static_cast<size_t>(form->addends[i].input);
    const fuse::BoundInput& in = l.epilogue->inputs[input];
    if (l.epilogue->program->inputs[input] != y.dtype) return std::nullopt;
    if (in.strides == across && !added.bias)
      added.bias = in.data;
    else if (in.strides == row_major_strides(*y.shape) && !added.residual)
      added.residual = in.data;
    else
      return std::nullopt;
  }
  if (!added.bias) return std::nullopt;
  return added;
}

bool convolve_by_dnn(Launch& l, ConvRole role) {
  Normal n;
  if (!dnn::library().problem.empty() || !normalise(l, role, n)) return false;
  const Dtype dtype = l.out[0].dtype;
  const bool moved = n.flip || n.exchange;
  if (l.epilogue) {
    const std::optional<ConvAddends> added = read_addends(l);
    if (moved || !added) return false;
    n.added = *added;
    // Behind 1 x 1 convolutions a residual is no gain.
    if (n.added.residual && n.w_view->size == n.w[0] * n.w.back()) return false;
  }
  const int64_t alignment = alignment_of({n.x_view->data, moved ? nullptr : n.w_view->data,
                                          n.y_view->data, n.added.bias, n.added.residual});
  Key key;
  for (int64_t v : {static_cast<int64_t>(n.role), static_cast<int64_t>(dtype), alignment,
                    static_cast<int64_t>(n.x.size()), int64_t{l.allow_tf32},
                    int64_t{n.added.bias != nullptr} + int64_t{n.added.residual != nullptr}})
    key.add(v);
  for (const Dims* d : {&n.x, &n.w, &n.y, &n.stride, &n.low, &n.high, &n.dilation}) key.add(*d);
  GpuDevice& device = current();
  const std::shared_ptr<dnn::Plan> plan = plans_of(device.index()).get(key.bytes(), [&] {
    return make_plan(device, n, dtype, alignment, l.allow_tf32);
  });
  if (!plan) return false;
  void* weights = n.w_view->data;
  if (moved) weights = l.workspace(n.w_view->size * size_of(dtype));
  if (moved && role != ConvRole::weight_gradient)
    copy_weights(weights, n.w_view->data, n.w, n, dtype);
  void* const workspace = plan->workspace_bytes() ? l.workspace(plan->workspace_bytes()) : nullptr;
  const int64_t ids[] = {kX, kW, kY, kBias, kResidual};
  void* const data[] = {n.x_view->data, weights, n.y_view->data, const_cast<void*>(n.added.bias),
                        const_cast<void*>(n.added.residual)};
  const size_t operands = n.added.residual ? 5 : n.added.bias ? 4 : 3;
  try {
    plan->run(device, std::span(ids, operands), std::span(data, operands), workspace);
  } catch (const dnn::Failure&) {
    return false;
  }
  if (moved && role == ConvRole::weight_gradient)
    copy_weights(n.w_view->data, weights, *n.w_view->shape, n, dtype);
  return true;
}

// Those of halves are cuDNN's, those of float32 Legato's own.
bool conv_takes(const void*, const Epilogue& e) {
  const std::optional<EpilogueForm> form = read_epilogue(e);
  const Dtype dtype = e.program->inputs[static_cast<size_t>(e.input)];
  if (!form || !(is_half(dtype) || dtype == Dtype::float32) || form->out != dtype ||
      form->act != EpilogueForm::Act::none || form->scale != 1 || form->constant != 0 ||
      form->n_addends < 1 || form->n_addends > 2)
    return false;
  for (int i = 0; i < form->n_addends; ++i)
    if (form->addends[i].coef != 1) return false;
  return true;
}

}  // namespace legato::cuda
