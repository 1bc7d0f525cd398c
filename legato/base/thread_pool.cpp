#include "legato/base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "legato/base/cpu_info.h"
#include "legato/base/error.h"

namespace legato {
namespace {

constexpr int kMaxThreads = 1024;

// A worker that finds nothing to do looks for work this long before it sleeps: longer than the gap
// between two kernels of one evaluation, short against what a wake-up costs anybody (2-4 us).
constexpr std::chrono::microseconds kSpin{20};
// A caller whose workers have still a chunk each waits for them this long before it sleeps: a
// thread that is woken may find itself on the CPU of the one that wakes it, which goes on running
// there.
constexpr std::chrono::microseconds kCallerSpin{200};

thread_local bool in_region = false;  // this thread is running a body

struct InRegion {  // restores the flag, also on exceptions
  InRegion() { in_region = true; }
  ~InRegion() { in_region = false; }
  InRegion(const InRegion&) = delete;
  InRegion& operator=(const InRegion&) = delete;
};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins until `ready` or until `most` has passed; says which.
template <class Ready>
bool spin_until(bool may_spin, std::chrono::microseconds most, Ready ready) {
  if (ready()) return true;
  if (!may_spin) return false;
  const auto until = std::chrono::steady_clock::now() + most;
  do {
    for (int i = 0; i < 32; ++i) {
      pause();
      if (ready()) return true;
    }
  } while (std::chrono::steady_clock::now() < until);
  return false;
}

// Where a worker may run.
//
// Where the system believes that no two CPUs share a cache, and takes one that is halted for one
// that is busy, as in many virtual machines, it wakes a thread on the waker's CPU, or where it last
// ran, busy or not. A worker that comes to the caller's CPU waits there until the caller has done
// all the work, and may sleep there again: one in ten convolutions of 1.1 ms took 2.0, products of
// two 256x256 matrices 310 us instead of 175. So workers are kept from the CPU of the thread that
// wakes them, until it wakes them from another.
class Place {
 public:
  int barred() const { return barred_; }
  /// Does nothing if the system refuses, or if the thread may run nowhere else.
  void keep_from(pthread_t thread, int cpu) {
    cpu_set_t now;
    if (pthread_getaffinity_np(thread, sizeof now, &now) != 0) return;
    cpu_set_t ours = allowed_;
    if (barred_ >= 0) CPU_CLR(barred_, &ours);
    if (barred_ < 0 || !CPU_EQUAL(&now, &ours)) allowed_ = now;  // at first, or others changed it
    cpu_set_t others = allowed_;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) == 0 || pthread_setaffinity_np(thread, sizeof others, &others) != 0)
      return;
    barred_ = cpu;
  }

 private:
  cpu_set_t allowed_{};  // but for barred_
  int barred_ = -1;
};

// The caller waits for chunks, not for workers: one that wakes late finds nothing to claim, and
// costs nothing.
//
// Note [Home ranges]: each thread begins with chunks of its own, one range of them, always the same
// for as many chunks, and takes from others' ranges when that is done. What it has in its caches
// after one region is then what it reads in the next, and memory is walked in one line. Two cores
// of a Zen 4, chunks handed out in turn -> from home ranges, the same operation again and again:
// sums of 10^7 float32 500 -> 280 us, softmax over rows of 10^6 210 -> 163 and of 10^7 2850 ->
// 1800.
class Pool {
 public:
  int size() const { return size_.load(std::memory_order_relaxed); }

  void resize(int threads) {
    std::lock_guard<std::mutex> lock(region_);
    stop_workers();
    n_ranges_ = threads < kMaxRanges ? threads : kMaxRanges;
    size_.store(threads, std::memory_order_relaxed);
  }

  // False if another thread's region has the pool: nothing was run then.
  bool try_run(uint32_t chunks, FunctionRef<void(int64_t)> body) {
    std::unique_lock<std::mutex> lock(region_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    start_workers();
    body_ = &body;
    chunks_ = chunks;
    error_ = nullptr;
    failed_.store(false, std::memory_order_relaxed);
    unfinished_.store(chunks, std::memory_order_relaxed);
    const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
    for (int r = 0; r < n_ranges_; ++r)
      claims_[r].left.store(uint64_t{generation} << 32 | (begin_of(r + 1) - begin_of(r)),
                            std::memory_order_release);
    generation_.store(generation, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) != 0) wake();
    take(generation, 0);
    const auto done = [&] { return unfinished_.load(std::memory_order_acquire) == 0; };
    if (!spin_until(may_spin_, kCallerSpin, done)) {
      // A worker holds a chunk and may have lost its core: sleep rather than take one from it.
      for (uint32_t left; (left = unfinished_.load(std::memory_order_acquire)) != 0;)
        unfinished_.wait(left);
    }
    body_ = nullptr;
    const std::exception_ptr error = std::move(error_);
    error_ = nullptr;
    lock.unlock();
    if (error) std::rethrow_exception(error);
    return true;
  }

 private:
  struct Worker {
    std::thread thread;
    Place place;
    std::atomic<bool> asleep{false};
  };

  void wake() {
    const int here = may_spin_ ? sched_getcpu() : -1;  // with more threads than CPUs all are shared
    int moved = 0;                                     // at a time; the next region moves others
    for (size_t i = 0; here >= 0 && i < workers_.size() && moved < 8; ++i) {
      Worker& worker = *workers_[i];
      if (worker.place.barred() == here || !worker.asleep.load(std::memory_order_relaxed)) continue;
      worker.place.keep_from(worker.thread.native_handle(), here);
      ++moved;
    }
    generation_.notify_all();
  }

  void start_workers() {
    if (static_cast<int>(workers_.size()) == size() - 1) return;
    may_spin_ = size() <= available_cpus();
    sigset_t all, before;  // signals are for the user's threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      workers_.reserve(static_cast<size_t>(size() - 1));
      while (static_cast<int>(workers_.size()) < size() - 1) {
        auto made = std::make_unique<Worker>();
        const int home = static_cast<int>(workers_.size() + 1) % n_ranges_;
        made->thread = std::thread(
            [this, &worker = *made, seen = generation_.load(), home] { work(worker, seen, home); });
        if (const int here = sched_getcpu(); here >= 0 && may_spin_)
          made->place.keep_from(made->thread.native_handle(), here);
        workers_.push_back(std::move(made));
        char name[16];
        std::snprintf(name, sizeof name, "legato-%d", static_cast<int>(workers_.size()) % 10000);
        pthread_setname_np(workers_.back()->thread.native_handle(), name);
      }
    } catch (
        const std::exception&) {  // the system has no more threads: go on with those that are there
      size_.store(static_cast<int>(workers_.size()) + 1, std::memory_order_relaxed);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void stop_workers() {
    stop_.store(true);
    generation_.fetch_add(1);
    generation_.notify_all();
    for (auto& worker : workers_) worker->thread.join();
    workers_.clear();
    stop_.store(false);
  }

  // The first chunk of a range.
  uint32_t begin_of(int range) const {
    return static_cast<uint32_t>(uint64_t{chunks_} * static_cast<uint32_t>(range) /
                                 static_cast<uint32_t>(n_ranges_));
  }

  // Runs chunks of region `generation` until none is left to claim, those of range `home` first.
  void take(uint32_t generation, int home) {
    InRegion mark;
    for (int i = 0; i < n_ranges_; ++i) {
      const int range = home + i < n_ranges_ ? home + i : home + i - n_ranges_;
      if (!take_range(generation, range)) return;
    }
  }

  // False if another region has begun.
  bool take_range(uint32_t generation, int range) {
    for (;;) {
      std::atomic<uint64_t>& left = claims_[range].left;
      uint64_t claim = left.load(std::memory_order_acquire);
      do {
        // The count of chunks left is in the claim itself, so that a worker which is late by a
        // region cannot mix the old claim with the new region's number of chunks.
        if (static_cast<uint32_t>(claim >> 32) != generation) return false;
        if (static_cast<uint32_t>(claim) == 0) return true;
      } while (!left.compare_exchange_weak(claim, claim - 1, std::memory_order_acq_rel,
                                           std::memory_order_acquire));
      // This claim keeps the region open, so its body and count are ours to read.
      const int64_t chunk = int64_t{begin_of(range + 1)} - static_cast<uint32_t>(claim);
      if (!failed_.load(std::memory_order_relaxed)) {
        try {
          (*body_)(chunk);
        } catch (...) {
          if (!failed_.exchange(true)) error_ = std::current_exception();
        }
      }
      if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
    }
  }

  void work(Worker& self, uint32_t seen, int home) {
    for (;;) {
      const auto news = [&] { return generation_.load(std::memory_order_acquire) != seen; };
      if (!spin_until(may_spin_, kSpin, news)) {
        self.asleep.store(true, std::memory_order_relaxed);
        asleep_.fetch_add(1, std::memory_order_seq_cst);
        generation_.wait(seen, std::memory_order_seq_cst);
        asleep_.fetch_sub(1, std::memory_order_seq_cst);
        self.asleep.store(false, std::memory_order_relaxed);
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stop_.load()) return;
      take(seen, home);
    }
  }

  std::mutex region_;  // held while a region runs and while the pool is rebuilt
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<int> size_{1};
  bool may_spin_ = false;  // written before the first worker starts

  // The region that runs. Each claim holds its generation and the number of chunks of a range that
  // nobody has taken.
  const FunctionRef<void(int64_t)>* body_ = nullptr;
  uint32_t chunks_ = 0;
  std::exception_ptr error_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<uint32_t> generation_{0};
  static constexpr int kMaxRanges = 16;  // each costs the caller a line of the cache
  struct alignas(64) Claim {
    std::atomic<uint64_t> left{0};
  };
  Claim claims_[kMaxRanges];
  int n_ranges_ = 1;  // written while no worker runs
  alignas(64) std::atomic<uint32_t> unfinished_{0};
  alignas(64) std::atomic<int> asleep_{0};
};

int default_num_threads() {
  if (const char* text = std::getenv("LEGATO_NUM_THREADS"); text != nullptr && *text != '\0') {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    if (*end == '\0' && n >= 1) return static_cast<int>(n < kMaxThreads ? n : kMaxThreads);
    std::fprintf(stderr,
                 "legato: LEGATO_NUM_THREADS=%s is not a whole number >= 1 and is ignored\n", text);
  }
  const int cores = available_cores();
  return cores < kMaxThreads ? cores : kMaxThreads;
}

// Never destroyed: workers may sleep in it while the process exits. After fork the child has none
// of the workers, so it forgets the pool (its memory stays, like that of every thread the child
// lost) and makes a new one of that size.
std::atomic<Pool*> pool_pointer{nullptr};
std::atomic<int> wanted_threads{0};  // 0: not settled yet

Pool& pool() {
  if (Pool* p = pool_pointer.load(std::memory_order_acquire)) return *p;
  static const int registered = pthread_atfork(
      nullptr, nullptr, [] { pool_pointer.store(nullptr, std::memory_order_relaxed); });
  static_cast<void>(registered);
  int threads = wanted_threads.load();
  if (threads == 0) {
    const int settled = default_num_threads();
    threads =
        wanted_threads.compare_exchange_strong(threads, settled) ? settled : wanted_threads.load();
  }
  Pool* made = new Pool;
  made->resize(threads);
  Pool* other = nullptr;
  if (pool_pointer.compare_exchange_strong(other, made, std::memory_order_acq_rel)) return *made;
  delete made;
  return *other;
}

}  // namespace

int num_threads() { return pool().size(); }

void set_num_threads(int n) {
  if (n < 1 || n > kMaxThreads) {
    throw ValueError("set_num_threads: n is " + std::to_string(n) + ", expected 1 to " +
                     std::to_string(kMaxThreads) + ".");
  }
  if (in_region) {
    throw ValueError(
        "set_num_threads: called from inside a parallel_for, whose threads it would have to wait "
        "for. Call it before "
        "the parallel work starts.");
  }
  wanted_threads.store(n);
  pool().resize(n);
}

void parallel_for(int64_t chunks, FunctionRef<void(int64_t chunk)> body) {
  if (chunks > 1 && !in_region) {
    Pool& p = pool();
    if (p.size() > 1) {
      constexpr int64_t kMaxClaims = int64_t{1} << 30;
      if (chunks <= kMaxClaims) {
        if (p.try_run(static_cast<uint32_t>(chunks), body)) return;
      } else {  // more chunks than a claim can count: hand them out in runs
        const int64_t run = (chunks + kMaxClaims - 1) / kMaxClaims;
        const auto body_of_run = [&](int64_t r) {
          const int64_t end = (r + 1) * run < chunks ? (r + 1) * run : chunks;
          for (int64_t chunk = r * run; chunk < end; ++chunk) body(chunk);
        };
        if (p.try_run(static_cast<uint32_t>((chunks + run - 1) / run), body_of_run)) return;
      }
    }
  }
  for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
}

}  // namespace legato
