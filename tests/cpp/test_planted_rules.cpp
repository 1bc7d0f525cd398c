// The check of rules catches wrong ones: each test plants an op record with one wrong rule and sees
// what is said of it; its twin with the right rule is not complained about. What the engine of
// tests/engine catches is tested there; equality of attributes that ignores a field, in
// tests/layers.
#include <string>

#include "legato/op/algebra.h"
#include "legato/op/rules.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/numerics.h"

namespace legato::numerics {
namespace {

void same_dtype_f64(const char*, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  operands[0] = out = in[0];
}

// sin with a derivative of the test's choice.
constexpr Op sine_with(PartialFn partial) {
  return {.name = "planted_sin",
          .infer = infer_pointwise,
          .pointwise = {.fn = "sin", .dtypes = same_dtype_f64},
          .derive = Partials(partial),
          .batch = batch_pointwise};
}

// Sum over the last axis, with rules of the test's choice.
constexpr Op sum_with(Derive derive, BatchFn batch) {
  return {.name = "planted_sum",
          .infer =
              [](Inference& in) {
                Shape s = in.shape();
                s.erase(s.size() - 1);
                in.result(s, in.dtype());
              },
          .expand = [](const Call& c, std::span<Array> out) { out[0] = sum(c.in(), Dims{-1}); },
          .derive = derive,
          .batch = batch};
}

Array spread(const Call& c, int, const Array& ct) {
  return broadcast_to(expand_dims(ct, Dims{-1}), c.in().shape());
}

// a @ b of matrices, with rules of the test's choice.
constexpr Op product_with(Derive derive, BatchFn batch = nullptr) {
  return {
      .name = "planted_product",
      .infer = [](Inference& in) { in.result(Shape{in.shape(0)[0], in.shape(1)[1]}, in.dtype()); },
      .expand = [](const Call& c, std::span<Array> out) { out[0] = matmul(c.in(0), c.in(1)); },
      .derive = derive,
      .batch = batch};
}

/// What is said of an op on inputs of these shapes.
std::string said(const Op& op, const std::vector<Shape>& shapes) {
  std::vector<Array> inputs;
  for (const Shape& s : shapes) inputs.push_back(normals(s, static_cast<uint32_t>(inputs.size())));
  std::string all;
  for (const std::string& fault :
       rule_faults([&](std::span<const Array> in) { return std::vector{bind(op, in)}; }, inputs))
    all += fault + "\n";
  return all;
}

bool starts(const std::string& text, const char* with) { return text.rfind(with, 0) == 0; }

TEST_CASE("a right partial is not complained about, wrong ones are") {
  static constinit const Op right = sine_with([](const Call& c, int) { return cos(c.in()); });
  static constinit const Op sign =
      sine_with([](const Call& c, int) { return negative(cos(c.in())); });
  static constinit const Op slightly =
      sine_with([](const Call& c, int) { return multiply(cos(c.in()), 1.0001); });
  static constinit const Op none = sine_with([](const Call&, int) { return Array(); });
  CHECK(said(right, {{3, 4}}) == "");
  for (const Op* wrong : {&sign, &slightly, &none}) CHECK(starts(said(*wrong, {{3, 4}}), "vjp: "));
}

TEST_CASE("a transpose that is none is caught") {
  static constinit const Op right = sum_with(Linear(1, spread), rules::batch_unchanged);
  static constinit const Op wrong = sum_with(
      Linear(1, [](const Call& c, int i, const Array& ct) { return spread(c, i, ct) * 0.5; }),
      rules::batch_unchanged);
  CHECK(said(right, {{3, 4}}) == "");
  CHECK(starts(said(wrong, {{3, 4}}), "vjp: "));
}

TEST_CASE("a jvp that does not belong to the vjp is caught") {
  constexpr VjpFn back = [](const Call& c, std::span<const Array> cts, std::span<Array> result) {
    result[0] = spread(c, 0, cts[0]);
  };
  static constinit const Op right =
      sum_with(Vjp(back, [](const Call&, std::span<const Array> t,
                            std::span<Array> out) { out[0] = sum(t[0], Dims{-1}); }),
               rules::batch_unchanged);
  static constinit const Op wrong =
      sum_with(Vjp(back, [](const Call&, std::span<const Array> t,
                            std::span<Array> out) { out[0] = mean(t[0], Dims{-1}); }),
               rules::batch_unchanged);
  CHECK(said(right, {{3, 4}}) == "");
  CHECK(starts(said(wrong, {{3, 4}}), "jvp: "));
}

TEST_CASE("an op that is called linear in an input in which it is not is caught") {
  static constinit const Op jointly =
      product_with(LinearJointly(3, [](const Call& c, int i, const Array& ct) {
        return i == 0 ? matmul(ct, transpose(c.in(1))) : matmul(transpose(c.in(0)), ct);
      }));
  static constinit const Op each =
      product_with(Linear(3, [](const Call& c, int i, const Array& ct) {
        return i == 0 ? matmul(ct, transpose(c.in(1))) : matmul(transpose(c.in(0)), ct);
      }));
  static constinit const Op first_only = product_with(Linear(
      1, [](const Call& c, int, const Array& ct) { return matmul(ct, transpose(c.in(1))); }));
  CHECK(said(each, {{3, 4}, {4, 2}}) == "");
  CHECK(starts(said(jointly, {{3, 4}, {4, 2}}), "jvp: "));
  CHECK(starts(said(first_only, {{3, 4}, {4, 2}}), "vjp: "));
}

TEST_CASE("a wrong batching rule is caught although its shapes are right") {
  static constinit const Op wrong =
      sum_with(Linear(1, spread),
               [](const BatchedCall& c, std::span<Array> out) { out[0] = sum(c.in[0], Dims{1}); });
  CHECK(starts(said(wrong, {{3, 3}}), "vmap over all inputs: "));
}

TEST_CASE("a batching rule that forgets which input is batched is caught") {
  // Takes the first input for batched, whichever it is; with three rows the shapes are right.
  static constinit const Op wrong =
      product_with(ThroughExpand(), [](const BatchedCall& c, std::span<Array> out) {
        Array b = c.with_axis(1);
        Array a = c.batched[0] ? c.in[0] : transpose(c.with_axis(0), Dims{1, 0, 2});
        out[0] = matmul(a, b);
      });
  CHECK(starts(said(wrong, {{3, 3}, {3, 2}}), "vmap over one input: "));
}

}  // namespace
}  // namespace legato::numerics
