// The part of cuDNN's graph API that Legato uses, without a GPU: descriptors that check what they
// are given, heuristics whose first engines must be passed over, and plans that compute with plain
// loops over the strides that the caller describes, queued behind what was launched before.
// LEGATO_CUDNN names this library. float64 is refused, as an operation that no engine takes.
// LEGATO_EMULATOR_LOG names the engine of each run on the standard error stream.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "legato/backends/cuda/dnn_api.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace legato::cuda::dnn {
struct DnnContext {
  CUstream queue = nullptr;
};
}  // namespace legato::cuda::dnn

namespace legato::emulator {
void enqueue(CUstream queue, std::function<void()> work);
}

namespace {

using namespace legato::cuda::dnn;

constexpr int kBadParam = 2000, kMisaligned = 2003, kNotFinalized = 2004, kNotSupported = 3000;
thread_local char last_error[256] = "";

int fails(int status, const char* why, int number = 0) {
  std::snprintf(last_error, sizeof last_error, "%s (%d)", why, number);
  return status;
}

struct Object;
using Ref = std::shared_ptr<Object>;
struct Value {
  int type = 0;
  std::vector<char> bytes;
  std::vector<Ref> objects;
};
struct Object {
  Kind kind;
  bool final = false;
  std::map<Attribute, Value> values;
  int engine = 0;  // of an engine, a config or a plan

  bool has(Attribute a) const { return values.count(a) != 0; }
  template <class T>
  T get(Attribute a) const {
    T v;
    std::memcpy(&v, values.at(a).bytes.data(), sizeof v);
    return v;
  }
  std::vector<int64_t> list(Attribute a) const {
    const Value& v = values.at(a);
    std::vector<int64_t> out(v.bytes.size() / 8);
    std::memcpy(out.data(), v.bytes.data(), v.bytes.size());
    return out;
  }
  const Ref& object(Attribute a) const { return values.at(a).objects[0]; }
};
struct Holder {  // what a raw descriptor points to
  Ref object;
};

size_t bytes_of(Type t) {
  switch (t) {
    case Type::boolean:
      return 1;
    case Type::handle:
    case Type::int64:
    case Type::f64:
    case Type::pointer:
      return 8;
    default:
      return 4;
  }
}
int64_t bytes_of(DataType t) {
  return t == DataType::f32 || t == DataType::i32    ? 4
         : t == DataType::f64 || t == DataType::i64  ? 8
         : t == DataType::f16 || t == DataType::bf16 ? 2
                                                     : 1;
}

// --- values in memory ---

float rounded_to_tf32(float v) {
  uint32_t u = __builtin_bit_cast(uint32_t, v);
  u = (u + 0xfffu + ((u >> 13) & 1u)) & ~0x1fffu;
  return __builtin_bit_cast(float, u);
}
double load(const void* p, int64_t i, DataType t) {
  switch (t) {
    case DataType::f32:
      return static_cast<const float*>(p)[i];
    case DataType::f16:
      return static_cast<double>(__builtin_bit_cast(_Float16, static_cast<const uint16_t*>(p)[i]));
    default:
      return __builtin_bit_cast(float, static_cast<uint32_t>(static_cast<const uint16_t*>(p)[i])
                                           << 16);
  }
}
void store(void* p, int64_t i, DataType t, double v) {
  const float f = static_cast<float>(v);
  const uint32_t u = __builtin_bit_cast(uint32_t, f);
  switch (t) {
    case DataType::f32:
      static_cast<float*>(p)[i] = f;
      break;
    case DataType::f16:
      static_cast<uint16_t*>(p)[i] = __builtin_bit_cast(uint16_t, static_cast<_Float16>(f));
      break;
    default:
      static_cast<uint16_t*>(p)[i] = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
}

struct Tensor {
  DataType type;
  std::vector<int64_t> sizes, strides;
  int64_t id, alignment;
  bool is_virtual;
  void* data = nullptr;
  std::shared_ptr<std::vector<float>> own;  // of a virtual one: float32, dense

  explicit Tensor(const Object& o)
      : type(o.get<DataType>(Attribute::tensor_type)),
        sizes(o.list(Attribute::tensor_sizes)),
        strides(o.list(Attribute::tensor_strides)),
        id(o.get<int64_t>(Attribute::tensor_id)),
        alignment(o.get<int64_t>(Attribute::tensor_alignment)),
        is_virtual(o.has(Attribute::tensor_virtual) && o.get<bool>(Attribute::tensor_virtual)) {}
  int64_t count() const {
    int64_t n = 1;
    for (int64_t s : sizes) n *= s;
    return n;
  }
  /// `at`: an index; sizes of 1 are stretched.
  int64_t place(const std::vector<int64_t>& at) const {
    int64_t place = 0;
    for (size_t d = 0; d < sizes.size(); ++d) place += (sizes[d] == 1 ? 0 : at[d]) * strides[d];
    return place;
  }
};
// Calls f with each index of these sizes.
template <class F>
void each(const std::vector<int64_t>& sizes, F f) {
  std::vector<int64_t> at(sizes.size());
  for (;;) {
    f(at);
    size_t d = sizes.size();
    while (d > 0 && ++at[d - 1] == sizes[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

struct ConvNames {
  Attribute conv, x, w, y, alpha, beta;
};
ConvNames names_of(Kind kind) {
  using enum Attribute;
  if (kind == Kind::conv_forward)
    return {forward_conv, forward_x, forward_w, forward_y, forward_alpha, forward_beta};
  if (kind == Kind::conv_input_gradient)
    return {input_conv, input_dx, input_w, input_dy, input_alpha, input_beta};
  return {weight_conv, weight_x, weight_dw, weight_dy, weight_alpha, weight_beta};
}
bool is_conv(Kind k) {
  return k == Kind::conv_forward || k == Kind::conv_input_gradient ||
         k == Kind::conv_weight_gradient;
}

// --- what finalize() checks ---

int check_tensor(const Object& o) {
  for (Attribute a : {Attribute::tensor_type, Attribute::tensor_sizes, Attribute::tensor_strides,
                      Attribute::tensor_id, Attribute::tensor_alignment})
    if (!o.has(a)) return fails(kBadParam, "a tensor lacks attribute", static_cast<int>(a));
  const Tensor t(o);
  if (t.sizes.size() != t.strides.size() || t.sizes.size() < 3 || t.sizes.size() > 8)
    return fails(kBadParam, "a tensor's rank", static_cast<int>(t.sizes.size()));
  for (size_t d = 0; d < t.sizes.size(); ++d)
    if (t.sizes[d] <= 0 || t.strides[d] <= 0)
      return fails(kBadParam, "a size or stride is not positive");
  if (t.alignment % bytes_of(t.type)) return fails(kBadParam, "alignment and type do not fit");
  return 0;
}
int check_convolution(const Object& o) {
  using enum Attribute;
  for (Attribute a : {conv_compute, conv_mode, conv_spatial_dims, conv_dilations, conv_strides,
                      conv_pre_paddings, conv_post_paddings})
    if (!o.has(a)) return fails(kBadParam, "a convolution lacks attribute", static_cast<int>(a));
  const auto n = static_cast<size_t>(o.get<int64_t>(conv_spatial_dims));
  for (Attribute a : {conv_dilations, conv_strides, conv_pre_paddings, conv_post_paddings}) {
    const auto list = o.list(a);
    if (list.size() != n) return fails(kBadParam, "a list of a convolution is too short or long");
    for (int64_t v : list)
      if (v < (a == conv_dilations || a == conv_strides))
        return fails(kBadParam, "a number of a convolution is too small");
  }
  if (o.get<ConvMode>(conv_mode) != ConvMode::correlation)
    return fails(kNotSupported, "only correlation");
  return 0;
}
int check_conv_operation(const Object& o) {
  using enum Attribute;
  const ConvNames names = names_of(o.kind);
  for (Attribute a : {names.conv, names.x, names.w, names.y, names.alpha, names.beta})
    if (!o.has(a)) return fails(kBadParam, "an operation lacks attribute", static_cast<int>(a));
  for (Attribute a : {names.conv, names.x, names.w, names.y})
    if (!o.object(a)->final) return fails(kNotFinalized, "an operand", static_cast<int>(a));
  const Object& conv = *o.object(names.conv);
  const Tensor x(*o.object(names.x)), w(*o.object(names.w)), y(*o.object(names.y));
  const auto n = static_cast<size_t>(conv.get<int64_t>(conv_spatial_dims));
  if (x.sizes.size() != n + 2 || w.sizes.size() != n + 2 || y.sizes.size() != n + 2)
    return fails(kBadParam, "ranks do not fit");
  if (x.sizes[0] != y.sizes[0] || y.sizes[1] != w.sizes[0] || x.sizes[1] % w.sizes[1] ||
      y.sizes[1] % (x.sizes[1] / w.sizes[1]))
    return fails(kBadParam, "channels or samples do not fit");
  for (size_t d = 0; d < n; ++d) {
    const int64_t padded = x.sizes[2 + d] + conv.list(conv_pre_paddings)[d] +
                           conv.list(conv_post_paddings)[d],
                  kernel = (w.sizes[2 + d] - 1) * conv.list(conv_dilations)[d] + 1;
    if (y.sizes[2 + d] != (padded - kernel) / conv.list(conv_strides)[d] + 1)
      return fails(kBadParam, "a spatial size does not fit", static_cast<int>(d));
  }
  return x.type == DataType::f64 ? fails(kNotSupported, "float64") : 0;
}

int check_pointwise(const Object& o) {
  using enum Attribute;
  for (Attribute a : {pointwise_descriptor, pointwise_x, pointwise_b, pointwise_y})
    if (!o.has(a)) return fails(kBadParam, "an operation lacks attribute", static_cast<int>(a));
  if (o.object(pointwise_descriptor)->get<PointwiseMode>(pointwise_mode) != PointwiseMode::add)
    return fails(kNotSupported, "only additions");
  const Tensor x(*o.object(pointwise_x)), b(*o.object(pointwise_b)), y(*o.object(pointwise_y));
  if (x.sizes != y.sizes || b.sizes.size() != y.sizes.size())
    return fails(kBadParam, "sizes do not fit");
  for (size_t d = 0; d < b.sizes.size(); ++d)
    if (b.sizes[d] != 1 && b.sizes[d] != y.sizes[d]) return fails(kBadParam, "sizes do not fit");
  return 0;
}

// --- engines ---

// 0 rounds float32 to TF32 and is not for halves, 1 is said to be nondeterministic, 2 cannot be
// finalized, 3 wants much memory, 4 is right, 5 is right and the fallback.
constexpr int kEngines = 5, kFallback = 5;

// Whether an operation of the graph takes halves.
bool takes_halves(const Object& graph) {
  for (const Ref& operation : graph.values.at(Attribute::graph_operations).objects)
    for (const auto& [attribute, value] : operation->values)
      for (const Ref& object : value.objects)
        if (object->kind == Kind::tensor &&
            bytes_of(object->get<DataType>(Attribute::tensor_type)) == 2)
          return true;
  return false;
}

int64_t workspace_of(int engine) { return engine == 3 ? int64_t{1} << 40 : engine == 4 ? 256 : 0; }

void convolve(const Object& o, int engine, std::map<int64_t, Tensor>& tensors) {
  using enum Attribute;
  const ConvNames names = names_of(o.kind);
  const Object& conv = *o.object(names.conv);
  auto tensor = [&](Attribute a) -> Tensor& {
    return tensors.at(o.object(a)->get<int64_t>(tensor_id));
  };
  Tensor &x = tensor(names.x), &w = tensor(names.w), &y = tensor(names.y);
  const auto strides = conv.list(conv_strides), pads = conv.list(conv_pre_paddings),
             dilations = conv.list(conv_dilations);
  Tensor& to = o.kind == Kind::conv_forward ? y : o.kind == Kind::conv_input_gradient ? x : w;
  auto value = [&](const Tensor& t, int64_t place) {
    const double v = load(t.data, place, t.type);
    return engine == 0 && t.type == DataType::f32 ? rounded_to_tf32(static_cast<float>(v)) : v;
  };
  int64_t reach = 0;
  for (size_t d = 0; d < to.sizes.size(); ++d) reach += (to.sizes[d] - 1) * to.strides[d];
  std::vector<double> sums(static_cast<size_t>(reach) + 1);
  const int64_t in_group = w.sizes[1], out_group = y.sizes[1] / (x.sizes[1] / in_group);
  each(y.sizes, [&](const std::vector<int64_t>& at) {
    std::vector<int64_t> taps = w.sizes;
    taps[0] = 1;
    each(taps, [&](std::vector<int64_t> tap) {
      std::vector<int64_t> met = at;
      met[1] = at[1] / out_group * in_group + tap[1];
      for (size_t d = 2; d < at.size(); ++d) {
        met[d] = at[d] * strides[d - 2] - pads[d - 2] + tap[d] * dilations[d - 2];
        if (met[d] < 0 || met[d] >= x.sizes[d]) return;
      }
      tap[0] = at[1];
      const int64_t px = x.place(met), pw = w.place(tap), py = y.place(at);
      if (&to == &y)
        sums[static_cast<size_t>(py)] += value(x, px) * value(w, pw);
      else if (&to == &x)
        sums[static_cast<size_t>(px)] += value(y, py) * value(w, pw);
      else
        sums[static_cast<size_t>(pw)] += value(x, px) * value(y, py);
    });
  });
  each(to.sizes, [&](const std::vector<int64_t>& at) {
    const int64_t place = to.place(at);
    store(to.data, place, to.type, sums[static_cast<size_t>(place)]);
  });
}

void add(const Object& o, std::map<int64_t, Tensor>& tensors) {
  using enum Attribute;
  auto tensor = [&](Attribute a) -> Tensor& {
    return tensors.at(o.object(a)->get<int64_t>(tensor_id));
  };
  Tensor &x = tensor(pointwise_x), &b = tensor(pointwise_b), &y = tensor(pointwise_y);
  each(y.sizes, [&](const std::vector<int64_t>& at) {
    store(y.data, y.place(at), y.type,
          load(x.data, x.place(at), x.type) + load(b.data, b.place(at), b.type));
  });
}

}  // namespace

EXPORT size_t cudnnGetVersion() { return 91900; }
EXPORT const char* cudnnGetErrorString(int status) {
  return status >= kNotSupported ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM";
}
EXPORT void cudnnGetLastErrorString(char* to, size_t n) { std::snprintf(to, n, "%s", last_error); }
EXPORT int cudnnCreate(Handle* h) {
  *h = new DnnContext;
  return 0;
}
EXPORT int cudnnSetStream(Handle h, CUstream queue) {
  h->queue = queue;
  return 0;
}
EXPORT int cudnnBackendCreateDescriptor(int kind, RawDescriptor* d) {
  auto object = std::make_shared<Object>();
  object->kind = static_cast<Kind>(kind);
  *d = new Holder{std::move(object)};
  return 0;
}
EXPORT int cudnnBackendDestroyDescriptor(RawDescriptor d) {
  delete static_cast<Holder*>(d);
  return 0;
}
EXPORT int cudnnBackendSetAttribute(RawDescriptor d, int attribute, int type, int64_t count,
                                    const void* values) {
  Object& o = *static_cast<Holder*>(d)->object;
  if (o.final) return fails(kBadParam, "a finalized descriptor is changed", attribute);
  Value v;
  v.type = type;
  if (static_cast<Type>(type) == Type::descriptor) {
    for (int64_t i = 0; i < count; ++i)
      v.objects.push_back(static_cast<Holder* const*>(values)[i]->object);
  } else {
    const auto* from = static_cast<const char*>(values);
    v.bytes.assign(from, from + static_cast<size_t>(count) * bytes_of(static_cast<Type>(type)));
  }
  o.values[static_cast<Attribute>(attribute)] = std::move(v);
  return 0;
}
EXPORT int cudnnBackendFinalize(RawDescriptor d) {
  Object& o = *static_cast<Holder*>(d)->object;
  int status = 0;
  if (o.kind == Kind::tensor) {
    status = check_tensor(o);
  } else if (o.kind == Kind::convolution) {
    status = check_convolution(o);
  } else if (is_conv(o.kind)) {
    status = check_conv_operation(o);
  } else if (o.kind == Kind::pointwise_operation) {
    status = check_pointwise(o);
  } else if (o.kind == Kind::graph) {
    if (!o.has(Attribute::graph_handle) || !o.has(Attribute::graph_operations))
      return fails(kBadParam, "a graph lacks its handle or operations");
    for (const Ref& operation : o.values[Attribute::graph_operations].objects)
      if (!operation->final) return fails(kNotFinalized, "an operation of a graph");
  } else if (o.kind == Kind::heuristic) {
    if (!o.has(Attribute::heuristic_mode) || !o.has(Attribute::heuristic_graph) ||
        !o.object(Attribute::heuristic_graph)->final)
      return fails(kBadParam, "a heuristic lacks its mode or graph");
  } else if (o.kind == Kind::plan) {
    if (!o.has(Attribute::plan_handle) || !o.has(Attribute::plan_config))
      return fails(kBadParam, "a plan lacks its handle or configuration");
    o.engine = o.object(Attribute::plan_config)->engine;
    if (o.engine == 2) return fails(kNotSupported, "this engine");
  } else if (o.kind == Kind::variant_pack) {
    if (!o.has(Attribute::pack_ids) || !o.has(Attribute::pack_pointers) ||
        !o.has(Attribute::pack_workspace) ||
        o.values[Attribute::pack_ids].bytes.size() !=
            o.values[Attribute::pack_pointers].bytes.size())
      return fails(kBadParam, "a variant pack is not complete");
  }
  if (status == 0) o.final = true;
  return status;
}
EXPORT int cudnnBackendGetAttribute(RawDescriptor d, int attribute, int type, int64_t asked,
                                    int64_t* found, void* values) {
  const Ref& o = static_cast<Holder*>(d)->object;
  if (!o->final) return fails(kNotFinalized, "the descriptor that is asked", attribute);
  auto give = [&](const Ref& object, int64_t i) {
    static_cast<Holder**>(values)[i]->object = object;
  };
  switch (static_cast<Attribute>(attribute)) {
    case Attribute::heuristic_results: {
      const bool fallback =
          o->get<HeuristicMode>(Attribute::heuristic_mode) == HeuristicMode::fallback;
      const int first = fallback                                               ? kFallback
                        : takes_halves(*o->object(Attribute::heuristic_graph)) ? 1
                                                                               : 0;
      *found = fallback ? 1 : kEngines - first;
      for (int64_t i = 0; i < *found && i < asked; ++i) {
        auto config = std::make_shared<Object>();
        config->kind = Kind::engine_config;
        config->final = true;
        config->engine = first + static_cast<int>(i);
        config->values[Attribute::heuristic_graph] = o->values.at(Attribute::heuristic_graph);
        give(config, i);
      }
      return 0;
    }
    case Attribute::config_engine: {
      auto engine = std::make_shared<Object>();
      engine->kind = Kind::engine;
      engine->final = true;
      engine->engine = o->engine;
      give(engine, 0);
      *found = 1;
      return 0;
    }
    case Attribute::engine_numerics:
      *found = o->engine < 2;
      if (*found && asked)
        *static_cast<int*>(values) =
            static_cast<int>(o->engine == 0 ? Numerics::tensor_core : Numerics::nondeterministic);
      return 0;
    case Attribute::engine_behavior:
      *found = 0;
      return 0;
    case Attribute::plan_workspace:
      *static_cast<int64_t*>(values) = workspace_of(o->engine);
      *found = 1;
      return 0;
    default:
      return fails(kBadParam, "this attribute is not known here", type);
  }
}
EXPORT int cudnnBackendExecute(Handle h, RawDescriptor plan, RawDescriptor pack) {
  const Ref p = static_cast<Holder*>(plan)->object, v = static_cast<Holder*>(pack)->object;
  if (!p->final || !v->final) return fails(kNotFinalized, "a plan or variant pack");
  const auto ids = v->list(Attribute::pack_ids), pointers = v->list(Attribute::pack_pointers);
  if (workspace_of(p->engine) && !v->get<void*>(Attribute::pack_workspace))
    return fails(kBadParam, "there is no workspace");
  const Ref graph = p->object(Attribute::plan_config)->object(Attribute::heuristic_graph);
  const std::vector<Ref> operations = graph->values.at(Attribute::graph_operations).objects;
  std::map<int64_t, Tensor> tensors;
  for (const Ref& operation : operations)
    for (const auto& [attribute, value] : operation->values)
      for (const Ref& object : value.objects)
        if (object->kind == Kind::tensor)
          tensors.emplace(object->get<int64_t>(Attribute::tensor_id), Tensor(*object));
  for (auto& [id, tensor] : tensors) {
    if (tensor.is_virtual) continue;
    for (size_t i = 0; i < ids.size(); ++i)
      if (ids[i] == id) tensor.data = reinterpret_cast<void*>(pointers[i]);
    if (!tensor.data) return fails(kBadParam, "a tensor has no pointer", static_cast<int>(id));
    if (reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(tensor.alignment))
      return fails(kMisaligned, "a tensor", static_cast<int>(id));
  }
  if (std::getenv("LEGATO_EMULATOR_LOG")) std::fprintf(stderr, "cuDNN engine %d\n", p->engine);
  if (const auto bytes = static_cast<size_t>(workspace_of(p->engine)))
    legato::emulator::enqueue(h->queue, [at = v->get<void*>(Attribute::pack_workspace), bytes] {
      std::memset(at, 0x5a, bytes);
    });
  legato::emulator::enqueue(h->queue, [operations, tensors, engine = p->engine]() mutable {
    for (auto& [id, tensor] : tensors) {
      if (!tensor.is_virtual) continue;
      tensor.own = std::make_shared<std::vector<float>>(static_cast<size_t>(tensor.count()));
      tensor.data = tensor.own->data();
    }
    for (const Ref& operation : operations)
      if (is_conv(operation->kind))
        convolve(*operation, engine, tensors);
      else
        add(*operation, tensors);
  });
  return 0;
}
