// depends: arrays that wait for others.
#include <algorithm>

#include "legato/op/algebra.h"
#include "legato/op/op.h"
#include "legato/transform/transform.h"

namespace legato {
namespace {

// The first input; the others are computed before whoever reads it.
constinit const Op depends_op{
    .name = "depends",
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .view =
        [](const void*, const Shape&, const Layout& in, const Shape&, int, Layout& out) {
          out = in;
          return true;
        },
    .expand = [](const Call& c, std::span<Array> out) { out[0] = c.in(); },
    .derive = Linear(1, [](const Call&, int, const Array& cotangent) { return cotangent; }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          std::vector<Array> in(c.in.begin(), c.in.end());
          in[0] = c.with_axis(0);
          out[0] = bind(c.op, std::span<const Array>(in));
        },
    .transient = true,
};

}  // namespace

std::vector<Array> depends(std::span<const Array> inputs, std::span<const Array> dependencies) {
  std::vector<Array> out, in(dependencies.size() + 1);
  std::copy(dependencies.begin(), dependencies.end(), in.begin() + 1);
  for (const Array& a : inputs) {
    in[0] = a;
    out.push_back(bind(depends_op, std::span<const Array>(in)));
  }
  return out;
}

}  // namespace legato
