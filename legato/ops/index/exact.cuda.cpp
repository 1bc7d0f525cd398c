#include "legato/ops/index/exact.cuh"

#include <algorithm>
#include <bit>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/index/index.cuda.h"

namespace legato::cuda {

bool add_exactly(Launch& l, const PlacesParams& places, const void* updates, bool single) {
  const View& out = l.out[0];
  const Dtype t = out.dtype;
  const int64_t count = places.n_outer * places.n_index * places.n_inner,
                columns = places.n_outer * places.n_inner;
  // Rows of updates are sorted by less than a place each; many places cost words.
  constexpr int64_t kColumns = 8;
  if (!out.row_major || columns >= kColumns || count >= INT32_MAX) return false;
  if (t != Dtype::float32 && t != Dtype::float16 && t != Dtype::bfloat16) return false;
  if (out.size > 8 * count + (1 << 20)) return false;
  start_from_input(l);
  const auto addresses =
      reinterpret_cast<uintptr_t>(updates) | reinterpret_cast<uintptr_t>(places.term_data[0]);
  int flat = 0;
  if (!single && places.terms == 1 && places.index_axes == 0 && columns == 1 &&
      addresses % 16 == 0 && (places.term_bytes[0] == -4 || places.term_bytes[0] == -8))
    flat = -places.term_bytes[0];
  if (add_in_buckets(l, places, updates, single, flat)) return true;
  ExactParams p{};
  p.places = places;
  p.updates = updates;
  p.single = single;
  p.to = out.data;
  p.count = count;
  p.size = out.size;
  p.bits = std::min(40, 62 - static_cast<int>(std::bit_width(static_cast<uint64_t>(count))));
  p.flat = flat;
  p.words = static_cast<unsigned long long*>(l.workspace(kExactWords * out.size * 8));
  p.range = static_cast<unsigned*>(l.workspace(8));
  check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(p.range), 0, 8, current().queue()),
        "clearing a range");
  launch_over("exact", cat("exact_range", suffix(t)), single ? 1 : count / 4 + 1, p);
  launch_over("exact", "exact_clear", out.size, p);
  const int in_round = kExactWords * p.bits;
  for (p.round = 0; p.round * in_round < kFloatBits; ++p.round) {
    // Further rounds are seldom needed, and return at once: few blocks.
    const int64_t most =
        p.round == 0 ? INT64_MAX : int64_t{current().multiprocessors()} * 2 * kThreads;
    launch_over("exact", cat("exact_add", suffix(t)), std::min(count, most), p);
    launch_over("exact", cat("exact_finish", suffix(t)), std::min(out.size, most), p);
  }
  return true;
}

}  // namespace legato::cuda
