#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "legato/base/cpu_info.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

using legato::num_threads;
using legato::parallel_for;
using legato::set_num_threads;
using legato::ValueError;

namespace {

struct ScopedThreads {  // restores the number of threads
  explicit ScopedThreads(int n) : before(num_threads()) { set_num_threads(n); }
  ~ScopedThreads() { set_num_threads(before); }
  int before;
};

// Each chunk exactly once.
void check_region(int64_t chunks) {
  std::vector<std::atomic<int>> hits(static_cast<size_t>(chunks));
  parallel_for(chunks, [&](int64_t i) { hits[static_cast<size_t>(i)].fetch_add(1); });
  int64_t wrong = 0;
  for (auto& h : hits) wrong += h.load() != 1;
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("parallel_for runs each chunk once, for any number of threads") {
  for (int threads : {1, 2, 3, 8}) {
    ScopedThreads scope(threads);
    CHECK(num_threads() == threads);
    for (int64_t chunks : {0, 1, 2, 3, 7, 64, 1000}) check_region(chunks);
  }
}

TEST_CASE("many regions of changing size never run a chunk of another region") {
  ScopedThreads scope(4);
  for (int round = 0; round < 20000; ++round) {
    const int64_t chunks = 2 + round % 11;
    std::atomic<int64_t> sum{0};
    parallel_for(chunks, [&](int64_t i) { sum.fetch_add(i < chunks ? i + 1 : 1000000); });
    REQUIRE(sum.load() == chunks * (chunks + 1) / 2);
  }
}

TEST_CASE("a worker that slept is woken, and the region after it too") {
  ScopedThreads scope(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    check_region(16);
  }
}

TEST_CASE("a nested parallel_for runs in the calling thread") {
  ScopedThreads scope(4);
  std::atomic<int> calls{0}, moved{0};
  parallel_for(8, [&](int64_t) {
    const auto outer = std::this_thread::get_id();
    parallel_for(8, [&](int64_t) {
      calls.fetch_add(1);
      if (std::this_thread::get_id() != outer) moved.fetch_add(1);
    });
  });
  CHECK(calls.load() == 64);
  CHECK(moved.load() == 0);
}

TEST_CASE("several threads may call parallel_for at once") {
  ScopedThreads scope(3);
  std::atomic<int64_t> total{0};
  std::vector<std::thread> users;
  for (int u = 0; u < 4; ++u) {
    users.emplace_back([&] {
      for (int round = 0; round < 500; ++round)
        parallel_for(5, [&](int64_t) { total.fetch_add(1); });
    });
  }
  for (int n = 1; n <= 6; ++n) set_num_threads(n);  // waits for regions, disturbs none
  for (auto& user : users) user.join();
  CHECK(total.load() == 4 * 500 * 5);
}

TEST_CASE("an exception in a body reaches the caller and the pool stays usable") {
  for (int threads : {1, 4}) {
    ScopedThreads scope(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> running{0};
      CHECK_THROWS_WITH_AS(parallel_for(16,
                                        [&](int64_t i) {
                                          running.fetch_add(1);
                                          if (i == 3) {
                                            running.fetch_sub(1);
                                            throw std::runtime_error("chunk 3");
                                          }
                                          running.fetch_sub(1);
                                        }),
                           "chunk 3", std::runtime_error);
      CHECK(running.load() == 0);  // the region had ended
    }
    check_region(100);
  }
}

TEST_CASE("set_num_threads refuses what it cannot do, in words") {
  CHECK_THROWS_WITH_AS(set_num_threads(0), "set_num_threads: n is 0, expected 1 to 1024.",
                       ValueError);
  CHECK_THROWS_AS(set_num_threads(-3), ValueError);
  CHECK_THROWS_AS(set_num_threads(1 << 20), ValueError);
  ScopedThreads scope(2);
  CHECK_THROWS_AS(parallel_for(2, [](int64_t) { set_num_threads(1); }), ValueError);
  CHECK(num_threads() == 2);
}

TEST_CASE("chunks see what was written before, the caller sees what they wrote") {
  ScopedThreads scope(4);
  std::vector<int64_t> plain(256);
  for (int64_t round = 1; round <= 200; ++round) {
    for (auto& x : plain) x = round;
    parallel_for(64, [&](int64_t i) {
      for (size_t j = 0; j < 4; ++j) plain[static_cast<size_t>(i) * 4 + j] += i;
    });
    int64_t sum = 0;
    for (auto x : plain) sum += x;
    REQUIRE(sum == round * 256 + 4 * 63 * 32);
  }
}

// ThreadSanitizer does not support threads started after a fork of a process with threads.
#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a child after fork has a pool of the same size") {
  ScopedThreads scope(3);
  check_region(10);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::atomic<int> calls{0};
    if (num_threads() == 3) parallel_for(100, [&](int64_t) { calls.fetch_add(1); });
    _exit(calls.load() == 100 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  check_region(10);
}
#endif

TEST_CASE("processor facts are plausible and levels have names") {
  using legato::SimdLevel;
  const auto& info = legato::cpu_info();
  CHECK(info.l1d_bytes >= 8 << 10);
  CHECK(info.l2_bytes >= info.l1d_bytes);
  CHECK(legato::available_cores() >= 1);
  CHECK(legato::available_cpus() >= legato::available_cores());
  CHECK(legato::simd_level() <= info.level);
  for (SimdLevel level : {SimdLevel::base, SimdLevel::avx2, SimdLevel::avx512}) {
    CHECK(legato::parse_simd_level(legato::name(level)) == level);
  }
  CHECK_THROWS_WITH_AS(legato::parse_simd_level("sse9"),
                       "SIMD level \"sse9\" is unknown, expected base, avx2 or avx512.",
                       ValueError);
}
