// Lowering to lane instructions: each function of each dtype, evaluated lane by lane, equals the
// tile interpreter to the bit.
#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "lane_cases.h"
#include "legato/fuse/lane_program.h"

namespace {

using namespace legato;
using namespace legato::lane_cases;
using fuse::LaneInstr;
using fuse::LaneOp;
using fuse::LaneProgram;
using fuse::Program;

/// One element of a lane program's outputs, as stored.
void evaluate(const LaneProgram& p, const Operands& in, const std::vector<uint64_t>& literals,
              size_t element, std::vector<std::vector<char>>& out) {
  std::vector<uint64_t> v(p.instrs.size());
  for (size_t i = 0; i < p.instrs.size(); ++i) {
    const LaneInstr& s = p.instrs[i];
    uint64_t operands[4] = {};
    for (int k = 0; k < s.n_src; ++k) operands[k] = v[static_cast<size_t>(s.src[k])];
    if (s.op == LaneOp::input)
      v[i] = load(in[s.imm].dtype, in[s.imm].data.data(), element);
    else if (s.op == LaneOp::literal)
      v[i] = literals[s.imm];
    else if (s.op == LaneOp::constant)
      v[i] = s.imm;
    else if (s.op == LaneOp::call)
      v[i] = fuse::call_function(s.fn, s.from)(operands);
    else if (s.op == LaneOp::rare)
      v[i] = operands[0]
                 ? fuse::rare_function(static_cast<fuse::RareFn>(s.fn), s.type)(operands + 2)
                 : operands[1];
    else
      v[i] = fuse::evaluate_lane(s, operands);
  }
  for (size_t o = 0; o < p.outputs.size(); ++o)
    store(p.outputs[o].stored, v[static_cast<size_t>(p.outputs[o].value)], out[o].data(), element);
}

void check(const Program& program, const Operands& in, const std::vector<uint64_t>& literals) {
  auto lanes = fuse::lower(program);
  REQUIRE(lanes != nullptr);
  const size_t n = in.empty() ? 8 : in[0].count();
  std::vector<std::vector<char>> out, expected = interpreted(program, in, literals, n);
  for (auto& e : expected) out.emplace_back(e.size());
  for (size_t i = 0; i < n; ++i) evaluate(*lanes, in, literals, i, out);
  for (size_t o = 0; o < out.size(); ++o) {
    const size_t wrong = first_difference(lanes->outputs[o].stored, out[o], expected[o]);
    if (wrong < n)
      FAIL_CHECK("element ", wrong, " of output ", o, " differs in\n", program.to_string(),
                 lanes->to_string());
  }
}

}  // namespace

TEST_CASE("each function of each dtype, in lane instructions") {
  int checked = 0;
  for_each_function([&](const Program& p) {
    check(p, random_operands(p, 300, 7), {});
    ++checked;
  });
  CHECK(checked > 600);
}

TEST_CASE("casts between all dtypes, in lane instructions") {
  for (Dtype from : kRealDtypes) {
    for (Dtype to : kRealDtypes) {
      Program p;
      p.inputs = {from};
      p.instrs = {instr("cast", compute_dtype(from), to, {0})};
      p.outputs = {1};
      check(p, random_operands(p, 400, 3), {});
    }
  }
}

TEST_CASE("chains of mixed dtypes, in lane instructions") {
  for_each_chain([&](const Program& p, const std::vector<uint64_t>& literals) {
    check(p, random_operands(p, 500, 11), literals);
  });
}

TEST_CASE("lowering simplifies") {
  auto count = [](const LaneProgram& p, LaneOp op) {
    int n = 0;
    for (const LaneInstr& s : p.instrs) n += s.op == op;
    return n;
  };
  Program p;  // max(x, y), twice; a difference nobody reads
  p.inputs = {Dtype::float32, Dtype::float32};
  p.instrs = {instr("maximum", Dtype::float32, Dtype::float32, {0, 1}),
              instr("maximum", Dtype::float32, Dtype::float32, {0, 1}),
              instr("subtract", Dtype::float32, Dtype::float32, {0, 1}),
              instr("add", Dtype::float32, Dtype::float32, {2, 3})};
  p.outputs = {5};
  auto lanes = fuse::lower(p);
  REQUIRE(lanes);
  CHECK(lanes->to_string() ==
        "%0 = input 0 : float32\n%1 = input 1 : float32\n%2 = max %0, %1 : float32\n"
        "%3 = ne %0, %0 : bool from float32\n%4 = select %3, %0, %2 : float32\n"
        "%5 = add %4, %4 : float32\nstore %5 as float32\n");

  Program sine;
  sine.inputs = {Dtype::float32};
  sine.instrs = {instr("sin", Dtype::float32, Dtype::float32, {0})};
  sine.outputs = {1};
  lanes = fuse::lower(sine);
  CHECK(count(*lanes, LaneOp::rare) == 1);
  CHECK(count(*lanes, LaneOp::call) == 0);

  Program complex;
  complex.inputs = {Dtype::complex64};
  complex.instrs = {instr("exp", Dtype::complex64, Dtype::complex64, {0})};
  complex.outputs = {1};
  CHECK(fuse::lower(complex) == nullptr);
}
