#include <doctest/doctest.h>

#include "legato/ops/arg_reduce/arg_reduce.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/sort/sort.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using namespace legato::numerics;

namespace {

std::vector<uint32_t> words(const Array& a) {
  const uint32_t* p = a.data<uint32_t>();
  return {p, p + a.size()};
}

/// Mean and variance of 100,000 draws, within five standard errors.
void check_moments(const Array& draws, double mean_expected, double variance) {
  const double n = static_cast<double>(draws.size());
  CHECK(std::abs(mean(astype(draws, Dtype::float64)).item<double>() - mean_expected) <
        5 * std::sqrt(variance / n));
  CHECK(std::abs(var(astype(draws, Dtype::float64)).item<double>() / variance - 1) < 0.05);
}

}  // namespace

TEST_CASE("keys and bits are those of threefry as JAX and MLX lay it out") {
  CHECK(words(random::key(0)) == std::vector<uint32_t>{0, 0});
  CHECK(words(random::key((int64_t{5} << 32) + 7)) == std::vector<uint32_t>{5, 7});
  CHECK(words(random::split(random::key(0))) ==
        std::vector<uint32_t>{4146024105u, 967050713u, 2718843009u, 1272950319u});
  CHECK(words(random::split(random::key(0), 3)) == std::vector<uint32_t>{2467461003u, 428148500u,
                                                                         3186719485u, 3840466878u,
                                                                         2562233961u, 1946702221u});
}

TEST_CASE("long streams, odd lengths and narrow widths read the same words") {
  const Array key = random::key(42);
  for (int64_t n : {1, 2, 5, 33, 64, 999, 100001}) {
    const auto w = words(random::bits({n}, 4, key));
    const Array bytes = random::bits({4 * n}, 1, key).eval();
    CHECK(std::memcmp(bytes.host_data(), w.data(), w.size() * 4) == 0);
  }
  // 3 bytes of one word
  CHECK(random::bits({3}, 1, key).data<uint8_t>()[0] ==
        (words(random::bits({1}, 4, key))[0] & 255));
}

TEST_CASE("a batch of keys hashes each by itself") {
  const Array keys = random::split(random::key(3), 4);
  const Array all = random::bits({5}, 4, keys);
  CHECK(all.shape() == Shape{4, 5});
  const auto each =
      vmap([](std::span<const Array> k) { return std::vector{random::bits({5}, 4, k[0])}; },
           std::vector<Array>{keys}, std::vector<std::optional<int>>{0},
           [](size_t) { return std::vector<std::optional<int>>{0}; });
  CHECK(words(each[0]) == words(all));
}

TEST_CASE("pinned numbers") {
  const Array key = random::key(0);
  check_close(random::uniform(0, 1, {3}, Dtype::float32, key), {0.96532148, 0.31468171, 0.63303},
              1e-6);
  check_close(random::normal({3}, Dtype::float32, {}, {}, key),
              {1.8160871, -0.48262301, 0.33988926}, 1e-6);
}

TEST_CASE("the state of a thread follows its seed") {
  random::seed(9);
  const Array first = random::uniform(0, 1, {4}), second = random::uniform(0, 1, {4});
  random::seed(9);
  CHECK(same_bits(random::uniform(0, 1, {4}), first));
  const Array state = random::state();
  CHECK(same_bits(random::uniform(0, 1, {4}), second));
  random::set_state(state);
  CHECK(same_bits(random::uniform(0, 1, {4}), second));
  // (state, used) = split(state), also where the state is an array that is not computed yet
  random::set_state(random::split(random::key(1), 1).shape() == Shape{1, 2}
                        ? squeeze(random::split(random::key(1), 1), Dims{0})
                        : random::key(1));
  const Array lazy = random::uniform(0, 1, {4});
  random::set_state(squeeze(random::split(random::key(1), 1), Dims{0}).eval());
  CHECK(same_bits(random::uniform(0, 1, {4}), lazy));
  CHECK_FALSE(same_bits(first, second));
}

TEST_CASE("moments of the distributions") {
  const Shape n{100000};
  for (Dtype t : {Dtype::float32, Dtype::float64, Dtype::float16}) {
    check_moments(random::uniform(-1, 3, n, t, random::key(1)), 1, 16.0 / 12);
    check_moments(random::normal(n, t, 2.0, 3.0, random::key(2)), 2, 9);
    check_moments(random::laplace(n, t, 1, 2, random::key(3)), 1, 8);
    check_moments(random::gumbel(n, t, random::key(4)), 0.5772156649, M_PI * M_PI / 6);
  }
  check_moments(random::bernoulli(0.3, n, random::key(5)), 0.3, 0.21);
  check_moments(random::randint(-3, 4, n, Dtype::int32, random::key(6)), 0, 4);
  check_moments(random::randint(0, int64_t{1} << 40, n, Dtype::int64, random::key(6)), 0x1p39,
                0x1p80 / 12);
  check_moments(random::truncated_normal(-1.0, 1.0, n, Dtype::float32, random::key(7)), 0, 0.29112);
}

TEST_CASE("ranges are kept") {
  const Array u = random::uniform(0, 1, {200000}, Dtype::float16, random::key(1));
  CHECK(max(u).item<float>() < 1);
  CHECK(min(u).item<float>() >= 0);
  const Array r = random::randint(2, 5, {10000}, Dtype::uint8, random::key(1));
  CHECK(min(r).item<int32_t>() == 2);
  CHECK(max(r).item<int32_t>() == 4);
  CHECK(all(random::bernoulli(1.0, Dims{100000}, random::key(2))).item<bool>());
  CHECK_FALSE(any(random::bernoulli(0.0, Dims{100000}, random::key(2))).item<bool>());
  const Array t = random::truncated_normal(0.5, 0.75, Dims{10000}, Dtype::float32, random::key(3));
  CHECK(min(t).item<float>() >= 0.5);
  CHECK(max(t).item<float>() <= 0.75);
  CHECK(
      all(isfinite(random::normal({200000}, Dtype::float32, {}, {}, random::key(8)))).item<bool>());
}

TEST_CASE("categorical draws follow the logits") {
  const Array logits = array_of({0, std::log(3.0)}, {}, Dtype::float32);
  check_moments(random::categorical(logits, -1, {}, 100000, random::key(1)), 0.75, 0.1875);
  const Array two = array_of({0, std::log(3.0), -1000, 0}, {2, 2}, Dtype::float32);
  const Array draws = random::categorical(two, -1, {}, 20000, random::key(2));
  CHECK(draws.shape() == Shape{2, 20000});
  CHECK(draws.dtype() == Dtype::uint32);
  const auto means = values(mean(draws, Dims{1}));
  CHECK(means[0] == doctest::Approx(0.75).epsilon(0.03));
  CHECK(means[1] == 1);
  CHECK(random::categorical(two, 0).shape() == Shape{2});
  CHECK(random::categorical(two, 1, Dims{5, 2}).shape() == Shape{5, 2});
  CHECK_THROWS_AS(random::categorical(two, -1, Dims{2}, 3), ValueError);
  CHECK_THROWS_AS(random::categorical(two, -1, Dims{3}), ValueError);
}

TEST_CASE("permutations") {
  const Array p = random::permutation(1000, 0, random::key(1));
  CHECK(array_equal(sort(p), arange(Scalar(1000), {}, {}, Dtype::uint32)).item<bool>());
  CHECK_FALSE(array_equal(p, arange(Scalar(1000), {}, {}, Dtype::uint32)).item<bool>());
  const Array rows =
      random::permutation(reshape(arange(Scalar(6)), Shape{3, 2}), 0, random::key(2));
  CHECK(rows.shape() == Shape{3, 2});
  CHECK(values(sum(rows, Dims{0})) == std::vector<double>{6, 9});
}

TEST_CASE("what random functions refuse") {
  CHECK_THROWS_AS(random::split(zeros({2})), ValueError);
  CHECK_THROWS_AS(random::uniform(0, 1, {2}, Dtype::float32, zeros({3}, Dtype::uint32)),
                  ValueError);
  CHECK_THROWS_AS(random::uniform(0, 1, {2}, Dtype::int32), ValueError);
  CHECK_THROWS_AS(random::uniform(zeros({3}), 1, {2}), ValueError);
  CHECK_THROWS_AS(random::normal({-1}), ValueError);
  CHECK_THROWS_AS(random::permutation(-1), ValueError);
  CHECK_THROWS_AS(random::set_state(zeros({2})), ValueError);
}

TEST_CASE("numbers are differentiable in their parameters") {
  const Array key = random::key(5);
  check_rules(
      [&](std::span<const Array> x) {
        return std::vector{
            random::normal({2, 3}, Dtype::float64, Operand(x[0]), Operand(x[1]), key)};
      },
      {normals({3}, 1), normals({2, 1}, 2)});
}
