#include "legato/op/composed.h"

#include "legato/base/error.h"

namespace legato {
namespace {

bool& flag() {
  thread_local bool on = false;
  return on;
}

struct ComposedAttrs {
  const char* name = "";
  uint16_t n_out = 1;
  std::shared_ptr<const Composition> what;
  static constexpr auto fields() { return std::tuple(field("what", &ComposedAttrs::what)); }
};

std::vector<Array> run(const ComposedAttrs& attrs, Inputs in) {
  ShapelessScope off(false);
  auto out = attrs.what->run(in);
  if (out.size() != attrs.n_out)
    throw ValueError(cat(attrs.name, ": has ", out.size(), " results for these shapes, but had ",
                         attrs.n_out, " when the shapeless function was traced"));
  return out;
}

constinit const Op composed_op{
    .name = "composed",
    .attrs = &attrs_type<ComposedAttrs>,
    .count_outputs =
        [](Inputs, const void* attrs) {
          return static_cast<int>(static_cast<const ComposedAttrs*>(attrs)->n_out);
        },
    .infer =
        [](Inference& in) {
          auto out = run(in.attrs<ComposedAttrs>(), in.inputs());
          for (size_t i = 0; i < out.size(); ++i)
            in.result(out[i].shape(), out[i].dtype(), static_cast<int>(i));
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          auto results = run(c.attrs<ComposedAttrs>(), c.inputs());
          std::move(results.begin(), results.end(), out.begin());
        },
    .derive = ThroughExpand(),
    .transient = true,
};

}  // namespace

bool tracing_shapeless() { return flag(); }

ShapelessScope::ShapelessScope(bool on) : previous_(std::exchange(flag(), on)) {}
ShapelessScope::~ShapelessScope() { flag() = previous_; }

std::vector<Array> bind_composed(const char* name, Inputs in,
                                 std::shared_ptr<const Composition> what) {
  ComposedAttrs attrs{name, 0, std::move(what)};
  {
    ShapelessScope off(false);
    size_t n = attrs.what->run(in).size();
    if (n == 0) return {};
    if (n > UINT16_MAX)
      throw ValueError(cat(name, ": ", n, " results are more than a node has, ", UINT16_MAX));
    attrs.n_out = static_cast<uint16_t>(n);
  }
  return bind_all(composed_op, in, &attrs);
}

std::shared_ptr<const void> keep_attrs(const Op& op, const void* attrs) {
  if (!op.attrs) return nullptr;
  void* room = ::operator new(op.attrs->bytes, std::align_val_t{16});
  op.attrs->copy(room, attrs);
  return {room, [type = op.attrs](void* p) {
            if (!type->trivial) type->destroy(p);
            ::operator delete(p, std::align_val_t{16});
          }};
}

std::vector<Array> bind_again(const Node& node, Inputs in) {
  if (node.op == &composed_op && !tracing_shapeless())
    return run(*static_cast<const ComposedAttrs*>(node.attrs), in);
  return bind_all(*node.op, in, node.attrs);
}

}  // namespace legato
