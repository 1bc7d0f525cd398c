// Reductions of everything that compute the program in front of them, on the CPU: which are joined,
// that results have the bits of the steps run apart, and that others see what they should.
#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "legato/ops/create/create.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/runtime/evaluator.h"

using namespace legato;

namespace {

int64_t prologues() { return eval_counts().prologues; }

std::vector<std::byte> bits(const std::vector<Array>& arrays) {
  eval(arrays);
  std::vector<std::byte> out;
  for (const Array& a : arrays) {
    const Array exact = contiguous(astype(a, Dtype::float64));
    const auto* p = reinterpret_cast<const std::byte*>(exact.data<double>());
    out.insert(out.end(), p, p + a.size() * 8);
  }
  return out;
}

// Whether f gives the same with fusion and without, and how many programs were read by kernels.
int64_t joined(const std::function<std::vector<Array>()>& f) {
  const int64_t before = prologues();
  const auto fused = bits(f());
  const int64_t made = prologues() - before;
  const bool on = set_fusion(false);
  const auto apart = bits(f());
  set_fusion(on);
  CHECK(fused == apart);
  return made;
}

Array numbers(Shape shape) {
  Array a = subtract(random::uniform(0.0, 1.0, shape), 0.3);
  eval({&a, 1});
  return a;
}

}  // namespace

TEST_CASE("reductions of everything compute what they reduce") {
  for (int64_t n : {20000, 65536, 300001, 2000000}) {
    CAPTURE(n);
    Array x = numbers({n}), y = numbers({n});
    CHECK(joined([&] { return std::vector<Array>{mean(square(subtract(x, y)))}; }) == 1);
    CHECK(joined([&] { return std::vector<Array>{sum(exp(x)), max(multiply(x, y))}; }) == 2);
    CHECK(joined([&] { return std::vector<Array>{all(less(x, y)), prod(add(x, 0.9))}; }) >= 1);
  }
}

TEST_CASE("small results stay in the cache anyhow") {
  Array x = numbers({100});
  CHECK(joined([&] { return std::vector<Array>{sum(square(x))}; }) == 0);
}

TEST_CASE("operands may be broadcast, and lie in any way") {
  Array x = numbers({300, 700}), row = numbers({700}), column = numbers({300, 1});
  CHECK(joined([&] { return std::vector<Array>{sum(multiply(x, row))}; }) == 1);
  CHECK(joined([&] { return std::vector<Array>{mean(square(subtract(x, column)))}; }) == 1);
  CHECK(joined([&] { return std::vector<Array>{sum(multiply(row, column))}; }) == 1);
  Array cube = numbers({40, 30, 70}), middle = numbers({30, 1});
  CHECK(joined([&] { return std::vector<Array>{sum(exp(add(cube, middle)))}; }) == 1);
  joined([&] { return std::vector<Array>{sum(exp(transpose(x)))}; });
  joined(
      [&] { return std::vector<Array>{sum(square(x), Dims{0}), sum(square(cube), Dims{0, 2})}; });
}

TEST_CASE("what others see is stored on the way") {
  Array x = numbers({400000});
  CHECK(joined([&] {
          Array e = exp(x);
          return std::vector<Array>{sum(e), e};
        }) == 1);
  CHECK(joined([&] {
          Array e = exp(x);
          return std::vector<Array>{divide(e, sum(e))};
        }) == 1);
}

TEST_CASE("half types and integers") {
  Array x = astype(numbers({300000}), Dtype::float16);
  Array i = astype(multiply(numbers({300000}), 100.0), Dtype::int8);
  eval(std::vector<Array>{x, i});
  CHECK(joined([&] { return std::vector<Array>{sum(square(x)), mean(exp(x))}; }) == 2);
  CHECK(joined([&] { return std::vector<Array>{sum(multiply(i, 3)), max(i * i)}; }) == 2);
}
