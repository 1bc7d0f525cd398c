#include "legato/op/composed.h"

#include "legato/base/error.h"

namespace legato {
namespace {

bool& flag() {
  thread_local bool on = false;
  return on;
}

SizeReads*& reads() {
  thread_local SizeReads* innermost = nullptr;
  return innermost;
}

struct ComposedAttrs {
  std::shared_ptr<const Composition> what;
  static constexpr auto fields() { return std::tuple(field("what", &ComposedAttrs::what)); }
};

std::vector<Array> run(const Composition& what, Inputs in) {
  ShapelessScope off(false);
  auto out = what.run(in);
  if (out.size() != what.n_out)
    throw ValueError(cat(what.name, ": has ", out.size(), " results for these shapes, but had ",
                         what.n_out, " when the shapeless function was traced"));
  return out;
}

constinit const Op composed_op{
    .name = "composed",
    .attrs = &attrs_type<ComposedAttrs>,
    .count_outputs =
        [](Inputs, const void* attrs) {
          return static_cast<int>(static_cast<const ComposedAttrs*>(attrs)->what->n_out);
        },
    .infer =
        [](Inference& in) {
          auto out = run(*in.attrs<ComposedAttrs>().what, in.inputs());
          for (size_t i = 0; i < out.size(); ++i)
            in.result(out[i].shape(), out[i].dtype(), static_cast<int>(i));
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          auto results = run(*c.attrs<ComposedAttrs>().what, c.inputs());
          std::move(results.begin(), results.end(), out.begin());
        },
    .derive = ThroughExpand(),
    .transient = true,
};

}  // namespace

bool tracing_shapeless() { return flag(); }

ShapelessScope::ShapelessScope(bool on) : previous_(std::exchange(flag(), on)) {}
ShapelessScope::~ShapelessScope() { flag() = previous_; }

SizeReads::SizeReads() : outer_(std::exchange(reads(), this)) {}
SizeReads::~SizeReads() { reads() = outer_; }

void note_sizes_read(const Array& a) {
  if (!tracing_shapeless() || !reads()) return;
  auto& arrays = reads()->arrays_;
  for (const Array& known : arrays)
    if (known.same(a)) return;
  arrays.push_back(a);
}

std::vector<Array> bind_composed(const char* name, Inputs in, std::shared_ptr<Composition> what) {
  {
    ShapelessScope off(false);
    what->name = name;
    what->n_out = what->run(in).size();
  }
  if (what->n_out == 0) return {};
  if (what->n_out > UINT16_MAX)
    throw ValueError(
        cat(name, ": ", what->n_out, " results are more than a node has, ", UINT16_MAX));
  ComposedAttrs attrs{std::move(what)};
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
    return run(*static_cast<const ComposedAttrs*>(node.attrs)->what, in);
  return bind_all(*node.op, in, node.attrs);
}

}  // namespace legato
