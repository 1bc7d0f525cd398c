// Fused pointwise chains: the tile interpreter against a loop fused by hand from the same functions
// at the same vector level (avx2), and against a program for each step. Also the cost of a tiny
// call, and copies.
//   usage: bench_pointwise [threads]
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,fma,f16c,bmi,bmi2")
#pragma GCC optimize("O3")
#define LEGATO_LEVEL bench
#define LEGATO_LEVEL_AVX2 1
#endif
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "legato/backends/cpu/copy.h"
#include "legato/backends/cpu/program.h"
#include "legato/backends/cpu/simd.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/pointwise/scalar.h"
#include "timing.h"

namespace {

using namespace legato;
using V = pointwise::Vec<float>;
namespace pm = pointwise::math;
using pointwise::load;
using pointwise::store;

constexpr Dtype kF = Dtype::float32;

/// Seconds of a call on n elements; short ones are repeated, since reading the clock takes as long.
template <class F>
double seconds_of(int64_t n, F&& f) {
  const int64_t repeats = std::max<int64_t>(1, 20000 / n);
  return best_seconds(
             [&] {
               for (int64_t i = 0; i < repeats; ++i) f();
             },
             num_threads()) /
         static_cast<double>(repeats);
}

using HandFused = void (*)(float* const* a, int64_t begin, int64_t end);

fuse::Instr instr(const char* fn, std::initializer_list<int> src) {
  fuse::Instr s;
  s.fn = fuse::find_fn(fn);
  for (int v : src) s.src[s.n_src++] = static_cast<uint16_t>(v);
  return s;
}

struct Chain {
  const char* name;
  int n_in;
  std::vector<float> literals;
  std::vector<fuse::Instr> instrs;
  std::vector<int> outputs;
  HandFused hand;
};

template <class F>
void loop(int64_t begin, int64_t end, F f) {
  for (int64_t i = begin; i + V::kLanes <= end; i += V::kLanes) f(i);
}

std::vector<Chain> chains() {
  std::vector<Chain> r;
  r.push_back(
      {"add", 2, {}, {instr("add", {0, 1})}, {2}, [](float* const* a, int64_t b, int64_t e) {
         loop(b, e, [=](int64_t i) { store(a[2] + i, load(a[0] + i) + load(a[1] + i)); });
       }});
  // gelu(x a + b): values 0 x, 1 a, 2 b, 3.. literals 0.044715, 0.79788, 1, 0.5
  r.push_back({"gelu",
               3,
               {0.044715f, 0.7978845608f, 1.f, 0.5f},
               {instr("multiply", {0, 1}), instr("add", {7, 2}), instr("multiply", {8, 8}),
                instr("multiply", {9, 8}), instr("multiply", {10, 3}), instr("add", {11, 8}),
                instr("multiply", {12, 4}), instr("tanh", {13}), instr("add", {14, 5}),
                instr("multiply", {8, 6}), instr("multiply", {16, 15})},
               {17},
               [](float* const* a, int64_t b, int64_t e) {
                 loop(b, e, [=](int64_t i) {
                   V y = load(a[0] + i) * load(a[1] + i) + load(a[2] + i);
                   V t = pm::tanh((y * y * y * V(0.044715f) + y) * V(0.7978845608f));
                   store(a[3] + i, y * V(0.5f) * (t + V(1.f)));
                 });
               }});
  r.push_back({"soft",
               1,
               {0.125f, -0.3f, 0.7f},
               {instr("multiply", {0, 1}), instr("add", {4, 2}), instr("exp", {5}),
                instr("multiply", {6, 3})},
               {7},
               [](float* const* a, int64_t b, int64_t e) {
                 loop(b, e, [=](int64_t i) {
                   store(a[1] + i, pm::exp(load(a[0] + i) * V(0.125f) + V(-0.3f)) * V(0.7f));
                 });
               }});
  // adam: 0 p, 1 g, 2 m, 3 v; literals 4 b1, 5 1-b1, 6 b2, 7 1-b2, 8 c2, 9 eps, 10 lr c1
  r.push_back({"adam",
               4,
               {0.9f, 0.1f, 0.999f, 0.001f, 1.1f, 1e-8f, 1.2e-3f},
               {instr("multiply", {2, 4}), instr("multiply", {1, 5}), instr("add", {11, 12}),
                instr("multiply", {3, 6}), instr("multiply", {1, 1}), instr("multiply", {15, 7}),
                instr("add", {14, 16}), instr("multiply", {17, 8}), instr("sqrt", {18}),
                instr("add", {19, 9}), instr("multiply", {13, 10}), instr("divide", {21, 20}),
                instr("subtract", {0, 22})},
               {23, 13, 17},
               [](float* const* a, int64_t b, int64_t e) {
                 loop(b, e, [=](int64_t i) {
                   V p = load(a[0] + i), g = load(a[1] + i), m = load(a[2] + i), v = load(a[3] + i);
                   m = m * V(0.9f) + g * V(0.1f);
                   v = v * V(0.999f) + g * g * V(0.001f);
                   store(a[4] + i, p - m * V(1.2e-3f) / (sqrt(v * V(1.1f)) + V(1e-8f)));
                   store(a[5] + i, m);
                   store(a[6] + i, v);
                 });
               }});
  Chain poly{"poly24", 1, {}, {}, {}, [](float* const* a, int64_t b, int64_t e) {
               loop(b, e, [=](int64_t i) {
                 V x = load(a[0] + i), y = x;
                 for (int j = 0; j < 14; ++j) y = y * x + V(0.01f * static_cast<float>(j + 1));
                 store(a[1] + i, y);
               });
             }};
  constexpr int kTerms = 14;  // as many as a program has literals for
  for (int j = 0; j < kTerms; ++j) {
    poly.literals.push_back(0.01f * static_cast<float>(j + 1));
    poly.instrs.push_back(instr("multiply", {j == 0 ? 0 : kTerms + 2 * j, 0}));
    poly.instrs.push_back(instr("add", {kTerms + 1 + 2 * j, 1 + j}));
  }
  poly.name = "poly14";
  poly.outputs = {kTerms + 2 * kTerms};
  r.push_back(poly);
  return r;
}

struct Arrays {
  std::vector<float*> p;
  int64_t n;
  float* add(float fill) {
    float* a =
        static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>((n * 4 + 63) / 64 * 64)));
    for (int64_t i = 0; i < n; ++i) a[i] = fill + static_cast<float>(i % 97) * 0.01f;
    p.push_back(a);
    return a;
  }
  ~Arrays() {
    for (float* a : p) std::free(a);
  }
};

void run_program(const fuse::Program& p, int64_t n, const std::vector<fuse::BoundInput>& in,
                 const std::vector<fuse::LiteralValue>& literals, const std::vector<void*>& out) {
  fuse::ProgramCall call;
  call.program = &p;
  call.shape = {n};
  call.inputs = in;
  call.literals = literals;
  call.outputs = out;
  cpu::run_program(call);
}

fuse::LiteralValue literal_of(float v) {
  fuse::LiteralValue l{};
  std::memcpy(l.bytes, &v, 4);
  return l;
}

void bench(const Chain& c, int64_t n) {
  Arrays arrays{{}, n};
  fuse::Program fused;
  fused.inputs.assign(static_cast<size_t>(c.n_in), kF);
  fused.literals.assign(c.literals.size(), kF);
  fused.instrs = c.instrs;
  for (int o : c.outputs) fused.outputs.push_back(static_cast<uint16_t>(o));
  std::vector<fuse::BoundInput> in;
  std::vector<fuse::LiteralValue> literals;
  std::vector<void*> out;
  for (int i = 0; i < c.n_in; ++i) in.push_back({arrays.add(0.5f + static_cast<float>(i)), {1}});
  for (float l : c.literals) literals.push_back(literal_of(l));
  for (size_t i = 0; i < c.outputs.size(); ++i) out.push_back(arrays.add(0));
  const double t_fused = seconds_of(n, [&] { run_program(fused, n, in, literals, out); });

  const int64_t chunk = 16 << 10, chunks = (n + chunk - 1) / chunk;
  const double t_hand = seconds_of(n, [&] {
    parallel_for(n < 32 << 10 ? 1 : chunks, [&](int64_t k) {
      if (n < 32 << 10)
        c.hand(arrays.p.data(), 0, n);
      else
        c.hand(arrays.p.data(), k * chunk, std::min(n, (k + 1) * chunk));
    });
  });

  // A program a step, intermediate values in memory that is reused from call to call.
  double t_steps = 0;
  if (c.instrs.size() > 1 && n <= 1'000'000) {
    Arrays values{{}, n};
    std::vector<fuse::Program> steps(c.instrs.size());
    for (size_t k = 0; k < steps.size(); ++k) {
      fuse::Instr s = c.instrs[k];
      uint16_t inputs = 0, lits = 0;
      for (int i = 0; i < s.n_src; ++i)
        (s.src[i] >= c.n_in && s.src[i] < c.n_in + static_cast<int>(c.literals.size()) ? lits
                                                                                       : inputs)++;
      uint16_t in_at = 0, lit_at = inputs;
      for (int i = 0; i < s.n_src; ++i)
        s.src[i] = s.src[i] >= c.n_in && s.src[i] < c.n_in + static_cast<int>(c.literals.size())
                       ? lit_at++
                       : in_at++;
      steps[k].inputs.assign(inputs, kF);
      steps[k].literals.assign(lits, kF);
      steps[k].outputs = {static_cast<uint16_t>(inputs + lits)};
      steps[k].instrs = {s};
      values.add(0);
    }
    t_steps = seconds_of(n, [&] {
      for (size_t k = 0; k < steps.size(); ++k) {
        std::vector<fuse::BoundInput> step_in;
        std::vector<fuse::LiteralValue> step_literals;
        for (int i = 0; i < c.instrs[k].n_src; ++i) {
          const int v = c.instrs[k].src[i];
          if (v < c.n_in)
            step_in.push_back(in[static_cast<size_t>(v)]);
          else if (v < c.n_in + static_cast<int>(c.literals.size()))
            step_literals.push_back(literals[static_cast<size_t>(v - c.n_in)]);
          else
            step_in.push_back({values.p[static_cast<size_t>(v - c.n_in) - c.literals.size()], {1}});
        }
        run_program(steps[k], n, step_in, step_literals, {values.p[k]});
      }
    });
  }
  const double bytes = 4.0 * static_cast<double>(n) * static_cast<double>(in.size() + out.size());
  std::printf(
      "%-7s n=%-9ld %10.2f us  %6.1f GB/s   hand-fused %10.2f us (%.2f)   step by step %10.2f us "
      "(%.2f)\n",
      c.name, n, t_fused * 1e6, bytes / t_fused * 1e-9, t_hand * 1e6, t_fused / t_hand,
      t_steps * 1e6, t_steps / t_fused);
}

void bench_layouts() {
  struct Case {
    const char* name;
    Shape shape;
    Strides b;
  };
  const Case cases[] = {{"x + bias[64]", {16384, 64}, {0, 1}},
                        {"x + bias[3]", {349525, 3}, {0, 1}},
                        {"x + column", {1024, 1024}, {1, 0}},
                        {"x + x.T", {1024, 1024}, {1, 1024}},
                        {"x + nchw->nhwc", {16, 32, 32, 64}, {65536, 32, 1, 1024}},
                        {"x + y[::2]", {1 << 20}, {2}}};
  fuse::Program p;
  p.inputs = {kF, kF};
  p.instrs = {instr("add", {0, 1})};
  p.outputs = {2};
  for (const Case& c : cases) {
    const int64_t n = element_count(c.shape);
    Arrays arrays{{}, 2 * n};
    fuse::ProgramCall call;
    call.program = &p;
    call.shape = c.shape;
    std::vector<fuse::BoundInput> in = {{arrays.add(1), row_major_strides(c.shape)},
                                        {arrays.add(2), c.b}};
    std::vector<void*> out = {arrays.add(0)};
    call.inputs = in;
    call.outputs = out;
    const double t = seconds_of(n, [&] { cpu::run_program(call); });
    std::printf("%-16s n=%-9ld %10.2f us  %6.2f ns an element\n", c.name, n, t * 1e6,
                t / static_cast<double>(n) * 1e9);
  }
  for (int64_t size : {1, 2, 4, 8}) {
    const int64_t m = 2048;
    Arrays arrays{{}, m * m * 2};
    void *src = arrays.add(1), *dst = arrays.add(0);
    const double t =
        seconds_of(m * m, [&] { cpu::copy_strided(dst, {m, 1}, src, {1, m}, {m, m}, size); });
    const double plain =
        seconds_of(m * m, [&] { cpu::copy_strided(dst, {m, 1}, src, {m, 1}, {m, m}, size); });
    std::printf(
        "transpose 2048x2048 of %ld bytes %10.2f us  %6.1f GB/s   straight copy %10.2f us\n", size,
        t * 1e6, 2 * static_cast<double>(m * m * size) / t * 1e-9, plain * 1e6);
  }
}

}  // namespace

int main(int argc, char** argv) {
  set_num_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  std::printf("%d threads\n", num_threads());
  for (int64_t n : {4, 1000, 10'000, 100'000, 1'000'000, 10'000'000})
    for (const Chain& c : chains()) bench(c, n);
  bench_layouts();
}
