// The one thread pool of the process.
#pragma once
#include <cstdint>

#include "legato/base/export.h"
#include "legato/base/function_ref.h"

namespace legato {

/// Number of threads that share a parallel_for, the calling one included.
///
/// Settled at first use: the environment variable LEGATO_NUM_THREADS if it is a whole number >= 1,
/// else the smallest of the CPUs in the affinity mask, the physical cores behind them and the
/// cgroup's CPU quota (rounded up).
LEGATO_API int num_threads();

/// Sets the number of threads, the calling one included. Waits until no region is running.
/// Throws ValueError if `n` is not in [1, 1024], and when called from
/// inside a parallel_for.
LEGATO_API void set_num_threads(int n);

/// Calls `body(chunk)` for each chunk in [0, chunks), on several threads, and returns when all
/// calls have returned.
///
/// - The chunks run in any order and on any thread; the caller takes part, and no chunk waits for
/// another.
/// - A call from inside a body (nested), or while another thread's region has the pool, runs in the
/// calling thread.
/// - If a body throws, chunks not yet started are skipped and the first exception is rethrown here
/// at the end.
/// - Everything written before the call is visible to the bodies, and what they wrote to the code
/// after it.
LEGATO_API void parallel_for(int64_t chunks, FunctionRef<void(int64_t chunk)> body);

}  // namespace legato
