// What a node costs where there is hardly any arithmetic: nanoseconds of processor time, as JSON.
//   bind        building a + b and dropping it
//   eval_tiny   building a + b and evaluating it, less bind
//   literal     building a * 2 and dropping it
//   chain       one link of a chain of 100 sums, built and evaluated
//   chain_unfused   the same with fusion off
// The chain is a * 1 + 1 * ... with arrays, so that every link is a node of two inputs.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "legato/ops/pointwise/pointwise.h"
#include "legato/runtime/evaluator.h"
#include "timing.h"

namespace {

using namespace legato;

template <class F>
double nanoseconds(int repeats, F&& f) {
  return 1e9 / repeats *
         best_seconds(
             [&] {
               for (int i = 0; i < repeats; ++i) f();
             },
             1, 0.3);
}

}  // namespace

int main() {
  std::vector<float> data(8, 0.5f);
  const Array a = Array::from<float>(data, {8}), b = Array::from<float>(data, {8});
  const double bind = nanoseconds(1000, [&] { Array c = add(a, b); });
  const double literal = nanoseconds(1000, [&] { Array c = multiply(a, 2.0f); });
  const double tiny = nanoseconds(1000, [&] { add(a, b).eval(); });
  auto chain = [&] {
    Array x = a;
    for (int i = 0; i < 50; ++i) x = add(multiply(x, b), b);
    x.eval();
  };
  const double fused = nanoseconds(20, chain) / 100;
  set_fusion(false);
  const double unfused = nanoseconds(20, chain) / 100;
  std::printf(
      "{\"bind\": %.1f, \"eval_tiny\": %.1f, \"literal\": %.1f, \"chain\": %.1f, "
      "\"chain_unfused\": %.1f}\n",
      bind, tiny - bind, literal, fused, unfused);
}
