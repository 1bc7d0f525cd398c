#include "legato/op/algebra.h"

#include "legato/base/error.h"
#include "legato/op/composed.h"
#include "legato/op/registry.h"

namespace legato {
namespace {

const Op& op_named(const char* name) {
  const Op* op = registry().find_op(name);
  LEGATO_CHECK(op, name);
  return *op;
}

Array call_one(std::string_view name, std::vector<Arg> args) {
  return call_function(name, std::move(args))[0];
}

}  // namespace

std::vector<Array> call_function(std::string_view name, std::vector<Arg> args) {
  const Function* f = registry().find_function(name);
  if (!f) throw InternalError(cat("no function is called ", name));
  if (args.size() != f->types.size())
    throw InternalError(
        cat(name, " takes ", f->types.size(), " arguments, ", args.size(), " were given"));
  std::vector<Array> out;
  f->call(args, out);
  return out;
}

namespace algebra {

Array add(const Array& a, const Array& b) {
  static const Op& op = op_named("add");
  return bind(op, {a, b});
}

Array multiply(const Array& a, const Array& b) {
  static const Op& op = op_named("multiply");
  return bind(op, {a, b});
}

Array conjugate(const Array& a) { return is_complex(a.dtype()) ? call_one("conjugate", {a}) : a; }

Array astype(const Array& a, Dtype dtype) {
  return a.dtype() == dtype ? a : call_one("astype", {a, dtype});
}

Array reshape(const Array& a, const Shape& shape) {
  return a.shape() == shape ? a : call_one("reshape", {a, shape});
}

Array broadcast_to(const Array& a, const Shape& shape) {
  return a.shape() == shape ? a : call_one("broadcast_to", {a, shape});
}

Array moveaxis(const Array& a, int from, int to) {
  return from == to ? a : call_one("moveaxis", {a, Dims{from}, Dims{to}});
}

Array zeros(const Shape& shape, Dtype dtype) {
  return broadcast_to(literal(Scalar(0), dtype), shape);
}

Array zeros_like(const Array& a) {
  if (tracing_shapeless())
    return composed("zeros_like", {a}, [](Inputs in) { return zeros_like(in[0]); });
  return zeros(a.shape(), a.dtype());
}

Array sum_to_shape(const Array& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  static const Function* sum = registry().find_function("sum");
  LEGATO_CHECK(sum, "no function is called sum");
  size_t lead = a.ndim() - shape.size();
  Dims axes;
  for (size_t i = 0; i < a.ndim(); ++i)
    if (i < lead || (shape[i - lead] == 1 && a.shape()[i] != 1))
      axes.push_back(static_cast<int64_t>(i));
  std::vector<Arg> args{a, axes, true};
  args.resize(sum->types.size());
  std::vector<Array> out;
  sum->call(args, out);
  // Sums of narrow integers widen; a cotangent keeps its dtype.
  return reshape(astype(out[0], a.dtype()), shape);
}

}  // namespace algebra
}  // namespace legato
