// The code generator: what it costs to compile a chain, and what an element costs interpreted and
// compiled, on one thread, interleaved, the least of many rounds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "legato/backends/cpu/jit/variants.h"
#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "tests/cpp/lane_cases.h"

namespace {

using namespace legato;
using namespace legato::lane_cases;
using cpu::jit::Mode;

template <class F>
double nanoseconds(F f) {
  auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main() {
  set_num_threads(1);
  int chain = 0;
  for_each_chain([&](const fuse::Program& p, const std::vector<uint64_t>& literals) {
    double lower = 1e9, compile = 1e9;
    int64_t bytes = 0;
    size_t lanes_count = 0;
    for (int round = 0; round < 50; ++round) {
      std::unique_ptr<fuse::LaneProgram> lanes;
      lower = std::min(lower, nanoseconds([&] { lanes = fuse::lower(p); }));
      std::unique_ptr<cpu::jit::Code> code;
      compile = std::min(compile,
                         nanoseconds([&] { code = cpu::jit::compile(*lanes, {}, simd_level()); }));
      bytes = code ? code->bytes : 0;
      lanes_count = lanes->instrs.size();
    }
    std::printf(
        "chain %d: %zu functions, %zu lane instructions, %lld bytes; lower %.1f us, "
        "compile %.1f us\n",
        chain++, p.instrs.size(), lanes_count, static_cast<long long>(bytes), lower / 1e3,
        compile / 1e3);
    for (size_t n : {100, 10'000, 1'000'000}) {
      Operands in;
      for (Dtype t : p.inputs) {  // ordinary numbers: no slow lanes
        in.push_back({t, std::vector<char>(n * static_cast<size_t>(size_of(t)))});
        for (size_t i = 0; i < n; ++i)
          store(t,
                t == Dtype::float64 ? 0x3fe0000000000000u
                : is_floating(t)    ? float_bits(0.5f + static_cast<float>(i % 97) * 0.01f)
                                    : i % 2,
                in.back().data.data(), i);
      }
      std::vector<std::vector<char>> out;
      std::vector<void*> to;
      std::vector<fuse::BoundInput> from;
      for (uint16_t o : p.outputs)
        out.emplace_back(n * static_cast<size_t>(size_of(p.dtype_of_value(o))));
      for (auto& o : out) to.push_back(o.data());
      for (const Operand& o : in) from.push_back({o.data.data(), {1}});
      double best[2] = {1e18, 1e18};
      for (int round = 0; round < 40; ++round) {
        for (int compiled : {0, 1}) {
          ScopedMode guard(compiled ? Mode::always : Mode::never);
          const int repeat = static_cast<int>(std::max<size_t>(1, 20'000 / n));
          best[compiled] =
              std::min(best[compiled], nanoseconds([&] {
                                         for (int r = 0; r < repeat; ++r)
                                           run(p, from, literals, to, {static_cast<int64_t>(n)});
                                       }) / repeat);
        }
      }
      std::printf("  n %8zu: interpreted %10.0f ns, compiled %10.0f ns (%.2f x), %.3f ns each\n", n,
                  best[0], best[1], best[0] / best[1], best[1] / static_cast<double>(n));
    }
  });
}
