// Ranges of an index space shared among threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "legato/base/thread_pool.h"

namespace legato::cpu {

/// Calls body(begin, end) for ranges that together are [0, n): one in the calling thread up to
/// `grain`, else several of at least about `grain`, in parallel and in any order.
inline void for_ranges(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  int64_t chunks = n <= grain ? 1 : std::min<int64_t>((n + grain - 1) / grain, 4 * num_threads());
  if (chunks == 1) return body(0, n);
  int64_t each = n / chunks, more = n % chunks;  // the first `more` chunks have one more
  parallel_for(chunks, [&](int64_t c) {
    int64_t begin = c * each + std::min(c, more);
    body(begin, begin + each + (c < more));
  });
}

}  // namespace legato::cpu
