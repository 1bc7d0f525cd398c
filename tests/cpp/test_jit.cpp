// Machine code against the tile interpreter, to the bit: each function of each dtype, chains,
// sizes, layouts, aliasing; what happens where memory may not be executed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "lane_cases.h"
#include "legato/backends/cpu/jit/variants.h"
#include "legato/base/thread_pool.h"

namespace {

using namespace legato;
using namespace legato::lane_cases;
using cpu::jit::Mode;
using fuse::BoundInput;
using fuse::Program;

constexpr char kGuard = 0x5a;
constexpr size_t kGuardBytes = 64;
constexpr size_t kSizes[] = {0, 1, 7, 8, 9, 15, 17, 1023, 1024, 1025, 4099};

bool can_compile() { return cpu::jit::available(); }

/// Runs the program compiled and interpreted on the first n elements; true if equal and nothing was
/// written behind the outputs.
bool agrees(const Program& p, const Operands& in, const std::vector<uint64_t>& literals, size_t n) {
  auto expected = interpreted(p, in, literals, n);
  ScopedMode guard(Mode::always);
  std::vector<std::vector<char>> out;
  std::vector<void*> to;
  for (const auto& e : expected) out.emplace_back(e.size() + kGuardBytes, kGuard);
  for (auto& o : out) to.push_back(o.data());
  std::vector<BoundInput> from;
  // Copies that end where the elements end, so that a sanitizer sees reads past them.
  Operands exact;
  for (const Operand& o : in)
    exact.push_back(
        {o.dtype, {o.data.begin(), o.data.begin() + static_cast<long>(n) * size_of(o.dtype)}});
  for (const Operand& o : exact) from.push_back({o.data.data(), {1}});
  run(p, from, literals, to, {static_cast<int64_t>(n)});
  for (size_t o = 0; o < out.size(); ++o) {
    if (std::any_of(out[o].end() - kGuardBytes, out[o].end(), [](char c) { return c != kGuard; }))
      return false;
    out[o].resize(expected[o].size());
    if (first_difference(p.dtype_of_value(p.outputs[o]), out[o], expected[o]) < n) return false;
  }
  return true;
}

template <class F>
void for_each_cast(F f) {
  for (Dtype from : kRealDtypes) {
    for (Dtype to : kRealDtypes) {
      Program p;
      p.inputs = {from};
      p.instrs = {instr("cast", compute_dtype(from), to, {0})};
      p.outputs = {1};
      f(static_cast<const Program&>(p));
    }
  }
}

}  // namespace

TEST_CASE("machine code of each function of each dtype") {
  int interpreted_only = 0, checked = 0;
  for_each_function([&](const Program& p) {
    const int64_t before = cpu::jit::compiled_count();
    CHECK_MESSAGE(agrees(p, random_operands(p, 4099, 5), {}, 4099), p.to_string());
    ++checked;
    if (can_compile() && cpu::jit::compiled_count() == before) {
      ++interpreted_only;
      MESSAGE("not compiled: ", p.to_string());
    }
  });
  CHECK(checked > 600);
  CHECK(interpreted_only == 0);
}

TEST_CASE("machine code of casts") {
  for_each_cast([&](const Program& p) {
    const int64_t before = cpu::jit::compiled_count();
    CHECK_MESSAGE(agrees(p, random_operands(p, 4099, 3), {}, 4099), p.to_string());
    CHECK(cpu::jit::compiled_count() == before + can_compile());
  });
}

TEST_CASE("machine code of chains at every size") {
  for_each_chain([&](const Program& p, const std::vector<uint64_t>& literals) {
    for (size_t n : kSizes)
      CHECK_MESSAGE(agrees(p, random_operands(p, n, 11), literals, n), n, " of ", p.to_string());
  });
}

TEST_CASE("machine code of functions at every size") {
  for_each_function([&](const Program& p) {
    for (Dtype t : p.inputs)
      if (t != Dtype::float32 && t != Dtype::bool_ && t != Dtype::float16 && t != Dtype::int64)
        return;
    for (size_t n : kSizes)
      if (n < 100) CHECK_MESSAGE(agrees(p, random_operands(p, n, 23), {}, n), n, p.to_string());
  });
}

TEST_CASE("machine code of chains over threads, past the caches") {
  for_each_chain([&](const Program& p, const std::vector<uint64_t>& literals) {
    const int before = num_threads();
    for (int threads : {1, 3}) {
      set_num_threads(threads);
      CHECK_MESSAGE(agrees(p, random_operands(p, 100001, 31), literals, 100001), p.to_string());
    }
    set_num_threads(before);
  });
}

TEST_CASE("machine code of random programs") {
  const int64_t before = cpu::jit::compiled_count();
  for_each_random_program(400, [&](const Program& p, const std::vector<uint64_t>& literals) {
    CHECK_MESSAGE(agrees(p, random_operands(p, 93, 19), literals, 93), p.to_string());
  });
  if (can_compile()) CHECK(cpu::jit::compiled_count() == before + 400);
}

TEST_CASE("machine code writes over its inputs") {
  for_each_chain([&](const Program& p, const std::vector<uint64_t>& literals) {
    const size_t n = 5003;
    auto in = random_operands(p, n, 41);
    auto expected = interpreted(p, in, literals, n);
    ScopedMode guard(Mode::always);
    // Each output takes the memory of an input of its size, while there are any.
    std::vector<std::vector<char>> fresh(p.outputs.size());
    std::vector<void*> to(p.outputs.size(), nullptr);
    std::vector<bool> taken(in.size());
    for (size_t o = 0; o < to.size(); ++o) {
      for (size_t i = 0; i < in.size() && !to[o]; ++i) {
        if (taken[i] || in[i].data.size() != expected[o].size()) continue;
        taken[i] = true;
        to[o] = in[i].data.data();
      }
      if (to[o]) continue;
      fresh[o].resize(expected[o].size());
      to[o] = fresh[o].data();
    }
    std::vector<BoundInput> from;
    for (const Operand& o : in) from.push_back({o.data.data(), {1}});
    run(p, from, literals, to, {static_cast<int64_t>(n)});
    for (size_t o = 0; o < to.size(); ++o) {
      std::vector<char> out(expected[o].size());
      std::memcpy(out.data(), to[o], out.size());
      CHECK_MESSAGE(first_difference(p.dtype_of_value(p.outputs[o]), out, expected[o]) == n,
                    "output ", o, " of ", p.to_string());
    }
  });
}

TEST_CASE("machine code over every kind of layout") {
  struct Layout {
    Shape shape;
    Strides strides[3];
  };
  const Layout layouts[] = {
      {{3000}, {{1}, {0}, {2}}},
      {{100, 30}, {{30, 1}, {0, 1}, {1, 0}}},
      {{30, 1000}, {{1000, 1}, {0, 1}, {1, 0}}},
      {{50, 700}, {{0, 1}, {700, 1}, {0, 1}}},
      {{7, 300, 20}, {{6000, 20, 1}, {0, 20, 1}, {0, 0, 1}}},
      {{300, 211}, {{211, 1}, {1, 300}, {0, 0}}},
      {{17, 5, 9}, {{45, 1, 5}, {9, 0, 1}, {45, 9, 1}}},
      {{2, 60, 70, 8}, {{33600, 70, 1, 4200}, {0, 0, 0, 1}, {33600, 560, 8, 1}}},
      {{1000, 100}, {{100, 1}, {0, 0}, {0, 1}}},
      {{40, 3, 500}, {{0, 500, 1}, {500, 0, 1}, {0, 0, 1}}},
  };
  auto check = [&](const Program& p, const std::vector<uint64_t>& literals) {
    auto in = random_operands(p, 100000, 77);
    for (const Layout& l : layouts) {
      const size_t n = static_cast<size_t>(element_count(l.shape));
      std::vector<BoundInput> from;
      for (size_t i = 0; i < in.size(); ++i) from.push_back({in[i].data.data(), l.strides[i % 3]});
      std::vector<std::vector<char>> out[2];
      for (int compiled : {0, 1}) {
        ScopedMode guard(compiled ? Mode::always : Mode::never);
        std::vector<void*> to;
        for (uint16_t o : p.outputs)
          out[compiled].emplace_back(n * static_cast<size_t>(size_of(p.dtype_of_value(o))), '\x33');
        for (auto& o : out[compiled]) to.push_back(o.data());
        run(p, from, literals, to, l.shape);
      }
      for (size_t o = 0; o < p.outputs.size(); ++o)
        CHECK_MESSAGE(first_difference(p.dtype_of_value(p.outputs[o]), out[0][o], out[1][o]) == n,
                      l.shape.size(), "-d, output ", o, " of ", p.to_string());
    }
  };
  for_each_chain(check);
}

TEST_CASE("a program is compiled once interpreting it has cost as much") {
  if (!can_compile()) return;
  ScopedMode guard(Mode::when_it_pays);
  Program p;
  p.inputs = {Dtype::float32};
  p.literals = {Dtype::float32};
  p.instrs = {instr("add", Dtype::float32, Dtype::float32, {0, 1}),
              instr("exp", Dtype::float32, Dtype::float32, {2})};
  p.outputs = {3};
  std::vector<float> x(100000, 1.f), y(x.size());
  const int64_t before = cpu::jit::compiled_count();
  run(p, {{x.data(), {1}}}, {float_bits(2.f)}, {y.data()}, {10});
  CHECK(cpu::jit::compiled_count() == before);
  run(p, {{x.data(), {1}}}, {float_bits(2.f)}, {y.data()}, {100000});
  run(p, {{x.data(), {1}}}, {float_bits(3.f)}, {y.data()}, {100000});
  run(p, {{x.data(), {1}}}, {float_bits(4.f)}, {y.data()}, {100000});
  run(p, {{x.data(), {1}}}, {float_bits(5.f)}, {y.data()}, {100000});
  CHECK(cpu::jit::compiled_count() == before + 1);  // for all literals
  CHECK(y[99999] == doctest::Approx(std::exp(6.0)));
}

TEST_CASE("where memory may not be executed, programs are interpreted") {
  if (!can_compile()) return;
  cpu::jit::refuse_executable_memory(true);
  const int64_t before = cpu::jit::compiled_count();
  for_each_chain([&](const Program& p, const std::vector<uint64_t>& literals) {
    CHECK(agrees(p, random_operands(p, 1000, 3), literals, 1000));
  });
  CHECK(cpu::jit::compiled_count() == before);
  cpu::jit::refuse_executable_memory(false);
  for_each_chain([&](const Program& p, const std::vector<uint64_t>& literals) {
    CHECK(agrees(p, random_operands(p, 1000, 3), literals, 1000));
  });
  CHECK(cpu::jit::compiled_count() > before);
}

/// Runs code of a level on n elements; true if it equals the interpreter.
bool code_agrees(const Program& p, const std::vector<uint64_t>& literals, SimdLevel level) {
  const int64_t n = 1003;
  auto in = random_operands(p, n, 61);
  auto expected = interpreted(p, in, literals, n);
  auto code = cpu::jit::compile(*fuse::lower(p, {.scales = level == SimdLevel::avx512}), {}, level);
  if (!code) return false;
  cpu::jit::Operands o;
  for (const Operand& x : in) {
    o.in_size[o.n_in] = static_cast<int8_t>(size_of(x.dtype));
    o.in[o.n_in++] = x.data.data();
  }
  std::vector<std::vector<char>> out;
  for (const auto& e : expected) out.emplace_back(e.size());
  for (size_t i = 0; i < out.size(); ++i) {
    o.out_size[i] = static_cast<int8_t>(size_of(p.dtype_of_value(p.outputs[i])));
    o.out[i] = out[i].data();
  }
  o.n_out = static_cast<int>(out.size());
  cpu::jit::run(*code, o, n, literal_values(literals).data());
  for (size_t i = 0; i < out.size(); ++i)
    if (first_difference(p.dtype_of_value(p.outputs[i]), out[i], expected[i]) <
        static_cast<size_t>(n))
      return false;
  return true;
}

TEST_CASE("code of every vector level of this machine gives the same bits") {
  for (SimdLevel level : {SimdLevel::avx2, SimdLevel::avx512}) {
    if (!can_compile() || level > cpu_info().level) {
      MESSAGE("skipped, this machine lacks ", std::string(name(level)));
      continue;
    }
    for_each_function(
        [&](const Program& p) { CHECK_MESSAGE(code_agrees(p, {}, level), p.to_string()); });
    for_each_cast(
        [&](const Program& p) { CHECK_MESSAGE(code_agrees(p, {}, level), p.to_string()); });
    for_each_chain([&](const Program& p, const std::vector<uint64_t>& literals) {
      CHECK_MESSAGE(code_agrees(p, literals, level), p.to_string());
    });
  }
}

TEST_CASE("AVX-512 code is assembled for every function") {
  int failed = 0;
  auto assemble = [&](const Program& p) {
    auto lanes = fuse::lower(p, {.scales = true});
    REQUIRE(lanes);
    for (uint32_t scalars : {0u, 1u}) {
      cpu::jit::Variant v;
      v.scalars = scalars;
      if (!can_compile()) continue;
      if (cpu::jit::compile(*lanes, v, SimdLevel::avx512)) continue;
      ++failed;
      MESSAGE("not assembled: ", p.to_string());
    }
  };
  for_each_function(assemble);
  for_each_cast(assemble);
  for_each_chain([&](const Program& p, const std::vector<uint64_t>&) { assemble(p); });
  CHECK(failed == 0);
}
