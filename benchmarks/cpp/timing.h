// Timing for the kernel benchmarks.
#pragma once
#include <time.h>

#include <algorithm>
#include <chrono>

inline double thread_seconds() {  // processor time of this thread
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
inline double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds of the fastest of many calls: other programs on the machine can only add to a time. With
/// one thread it is processor time, which leaves out the time that others had the core.
template <class F>
double best_seconds(F&& f, int threads, double budget_seconds = 0.15) {
  const auto now = threads == 1 ? thread_seconds : wall_seconds;
  f();
  double best = 1e30;
  const double end = wall_seconds() + budget_seconds;
  int calls = 0;
  do {
    const double start = now();
    f();
    best = std::min(best, std::max(now() - start, 1e-9));
  } while (++calls < 2 || (wall_seconds() < end && calls < 2000));
  return best;
}
