// Values that a device has no room for (Note [Spilling] in runtime/residents.h), on the simulated
// device.
#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "arrays.h"
#include "legato/base/error.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/runtime/memory.h"
#include "legato/runtime/stream.h"
#include "simulated_device.h"

using namespace legato;
using legato::testing::simulated;

namespace {

constexpr Device kThere{DeviceType::simulated, 0};
constexpr int64_t kElements = 1 << 16, kBytes = kElements * 4;
constexpr int64_t kSlack = 4096;  // for what is read from them

/// The device has room for this many values of kBytes, besides what it holds already.
class Room {
 public:
  explicit Room(int64_t values) {
    simulated();
    clear_memory_cache();
    before_ = set_memory_limit(memory_stats(kThere).active + values * kBytes + kSlack);
  }
  ~Room() { set_memory_limit(before_); }

 private:
  int64_t before_;
};

/// k, k + 1, ... on the device.
Array made_there(int k) {
  Array x = add(arange(Scalar(kElements), {}, {}, Dtype::float32), Scalar(k));
  x.eval();
  return x;
}
double total_of(int k) { return kElements * (kElements - 1.0) / 2 + double{kElements} * k; }
double total(const Array& x) { return legato::testing::values(sum(astype(x, Dtype::float64)))[0]; }
double first(const Array& x) { return legato::testing::values(slice(x, {0}, {1}))[0]; }
DeviceStorage& storage_of(const Array& x) {
  return static_cast<DeviceStorage&>(*x.value().storage);
}

}  // namespace

TEST_CASE("values beyond a device's memory go to the host and come back") {
  StreamScope scope(default_stream((simulated(), kThere)));
  Room room(6);
  const SpillStats before = spill_stats(kThere);
  std::vector<Array> xs;
  for (int k = 0; k < 18; ++k) xs.push_back(made_there(k));
  const SpillStats full = spill_stats(kThere);
  CHECK(full.spills - before.spills >= 12);
  CHECK(full.in_host >= 12 * kBytes);
  CHECK(memory_stats(kThere).active <= memory_limit(kThere));
  for (int round = 0; round < 2; ++round)
    for (int k = 0; k < 18; ++k) CHECK(first(xs[static_cast<size_t>(k)]) == k);
  CHECK(spill_stats(kThere).returns > full.returns);
  Array y = xs[0];
  for (int k = 1; k < 18; ++k) y = add(multiply(y, Scalar(0.5f)), xs[static_cast<size_t>(k)]);
  double want = 0;
  for (int k = 1; k < 18; ++k) want = want * 0.5 + k;
  CHECK(first(y) == doctest::Approx(want));
  xs.clear();
  y = Array();
  CHECK(spill_stats(kThere).in_host == before.in_host);
}

TEST_CASE("a spilled value that was not changed is not copied again") {
  StreamScope scope(default_stream((simulated(), kThere)));
  Room room(3);
  Array x = made_there(1);
  std::vector<Array> others{made_there(2), made_there(3), made_there(4)};
  CHECK(!storage_of(x).is_on(kThere));
  CHECK(first(x) == 1);  // comes back
  const SpillStats before = spill_stats(kThere);
  CHECK(storage_of(x).is_on(kThere));
  const int out = simulated().copies_out;
  for (int k = 0; k < 4; ++k) others.push_back(made_there(k));
  CHECK(!storage_of(x).is_on(kThere));
  CHECK(spill_stats(kThere).drops > before.drops);
  CHECK(simulated().copies_out - out == spill_stats(kThere).spills - before.spills);
}

TEST_CASE("what another device has too goes first, and nothing is copied") {
  StreamScope scope(default_stream((simulated(), kThere)));
  Room room(3);
  Array sole = made_there(1), both = made_there(2);  // the sole one is the older
  storage_of(both).on(Device{});
  const SpillStats before = spill_stats(kThere);
  Array other = made_there(3), more = made_there(4);
  const SpillStats after = spill_stats(kThere);
  CHECK(after.drops - before.drops >= 1);
  CHECK(!storage_of(both).is_on(kThere));
  CHECK(first(both) == 2);
  CHECK(first(sole) == 1);
}

TEST_CASE("a pinned value stays, and what a step reads stays while it runs") {
  StreamScope scope(default_stream((simulated(), kThere)));
  Room room(3);
  Array pinned = made_there(1);
  DeviceStorage& storage = storage_of(pinned);
  storage.pin();
  void* where = storage.on(kThere);
  Array a = made_there(2), b = made_there(3), c = made_there(4);
  CHECK(storage.is_on(kThere));
  CHECK(storage.on(kThere) == where);
  CHECK_THROWS_AS(add(a, b).eval(), MemoryError);  // needs three places, and there are two
  storage.unpin();
  Array d = add(a, b);
  d.eval();
  CHECK(!storage.is_on(kThere));
  CHECK(first(d) == 5);
  CHECK(first(pinned) == 1);
}

TEST_CASE("out of memory beyond all still raises, and the next operation works") {
  StreamScope scope(default_stream((simulated(), kThere)));
  Room room(2);
  Array a = made_there(1), b = made_there(2);
  const int64_t spills = spill_stats(kThere).spills;
  Array large = arange(Scalar(kElements * 8), {}, {}, Dtype::float32);
  CHECK_THROWS_AS(large.eval(), MemoryError);
  CHECK(spill_stats(kThere).spills == spills);  // what would not help is not done
  CHECK(first(a) == 1);
  {
    const int64_t limit = set_spill_limit(0);
    Array c = arange(Scalar(kElements), {}, {}, Dtype::float32);
    CHECK_THROWS_WITH_AS(c.eval(), doctest::Contains("spilled to host memory"), MemoryError);
    set_spill_limit(limit);
    CHECK(first(c) == 0);
  }
  CHECK(first(b) == 2);
}

TEST_CASE("a copy to the host that fails leaves the value where it is") {
  StreamScope scope(default_stream((simulated(), kThere)));
  Room room(3);
  Array a = made_there(1), b = made_there(2), c = made_there(3);
  simulated().copies_out_that_fail = 1;
  Array d = made_there(4);  // another one goes
  CHECK(storage_of(a).is_on(kThere));
  for (const Array& x : {a, b, c, d}) CHECK(total(x) == total_of(static_cast<int>(first(x))));
  a = b = c = d = Array();
  a = made_there(1), b = made_there(2), c = made_there(3);
  simulated().copies_out_that_fail = 100;
  Array e = arange(Scalar(3 * kElements), {}, {}, Dtype::float32);
  CHECK_THROWS_AS(e.eval(), MemoryError);
  simulated().copies_out_that_fail = 0;
  e.eval();
  CHECK(first(a) == 1);
}

TEST_CASE("several threads compute on a device that is too small for them") {
  simulated();
  Room room(12);
  std::vector<std::thread> threads;
  std::vector<int> right(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&right, t] {
      StreamScope scope(default_stream(kThere));
      std::vector<Array> xs;
      for (int k = 0; k < 8; ++k) xs.push_back(made_there(10 * t + k));
      for (int round = 0; round < 10; ++round)
        for (int k = 0; k < 8; ++k) {
          Array y = add(xs[static_cast<size_t>(k)], xs[static_cast<size_t>((k + 3) % 8)]);
          right[static_cast<size_t>(t)] += first(y) == 20 * t + k + (k + 3) % 8;
        }
    });
  for (auto& thread : threads) thread.join();
  for (int n : right) CHECK(n == 80);
}
