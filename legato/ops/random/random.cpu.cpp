#include <algorithm>
#include <cstring>

#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/random/ops.h"
#include "legato/ops/random/threefry.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

constexpr int64_t kTaskCounters = 16 << 10;  // about 20 us

ThreefryFill fill() {
#if LEGATO_HAS_X86_LEVELS
  if (simd_level() == SimdLevel::avx512) return avx512::threefry_fill;
  if (simd_level() == SimdLevel::avx2) return avx2::threefry_fill;
#endif
  return base::threefry_fill;
}

void run(Launch& l) {
  const auto& attrs = l.attrs<RandomBitsAttrs>();
  const uint32_t given[2] = {attrs.key0, attrs.key1};
  const uint32_t* keys = l.in.empty() ? given : l.in[0].as<uint32_t>();
  const int64_t n_keys = l.in.empty() ? 1 : l.in[0].size / 2;
  const int64_t bytes = n_keys ? l.out[0].size / n_keys * attrs.width : 0;  // of one key
  const int64_t words = (bytes + 3) / 4, counters = (words + 1) / 2;
  if (words == 0) return;
  const bool whole = bytes % 4 == 0;  // else the last word of a key's stream is cut
  uint32_t* to =
      whole ? l.out[0].as<uint32_t>() : static_cast<uint32_t*>(l.workspace(n_keys * words * 4));
  const ThreefryFill fill_words = fill();
  const int64_t cuts = (counters + kTaskCounters - 1) / kTaskCounters;
  const int64_t join = std::max<int64_t>(1, kTaskCounters / counters);  // keys of a task
  const int64_t blocks = (n_keys + join - 1) / join;
  auto task = [&](int64_t t) {
    const int64_t first = t % cuts * kTaskCounters, block = t / cuts;
    for (int64_t k = block * join; k < std::min(n_keys, (block + 1) * join); ++k)
      fill_words(keys[2 * k], keys[2 * k + 1], words, first,
                 std::min(counters, first + kTaskCounters), to + k * words);
  };
  if (blocks * cuts == 1)
    task(0);
  else
    parallel_for(blocks * cuts, task);
  if (!whole)
    for (int64_t k = 0; k < n_keys; ++k)
      std::memcpy(l.out[0].as<char>() + k * bytes, to + k * words, static_cast<size_t>(bytes));
}

}  // namespace

void register_random_kernels(KernelTable& table) {
  // Filed under the dtype of the key, or of the bits where the key is an attribute.
  add_kernels(table, random_bits_op, Types<uint8_t, uint16_t, uint32_t, uint64_t>{},
              [](auto) { return Kernel{run, AcceptLayout::row_major}; });
}

}  // namespace legato::cpu
