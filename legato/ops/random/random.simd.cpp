#include "legato/backends/cpu/lanes.h"
#include "legato/ops/random/threefry.h"

namespace legato::cpu::LEGATO_LEVEL {

void threefry_fill(uint32_t k0, uint32_t k1, int64_t n, int64_t first, int64_t last,
                   uint32_t* out) {
  using U = V<uint32_t>;
  constexpr int W = kWidth<uint32_t>;
  const int64_t half = n / 2, distance = half + n % 2;
  const int64_t paired = last < half ? last : half;
  int64_t i = first;
  for (; i + 2 * W <= paired; i += 2 * W) {  // two at once hide each other's latency
    const U start = iota<uint32_t>() + static_cast<uint32_t>(i);
    U x0 = start, y0 = start + static_cast<uint32_t>(W);
    U x1 = x0 + static_cast<uint32_t>(distance), y1 = y0 + static_cast<uint32_t>(distance);
    random::threefry(k0, k1, x0, x1);
    random::threefry(k0, k1, y0, y1);
    store<uint32_t, uint32_t>(out + i, x0);
    store<uint32_t, uint32_t>(out + i + W, y0);
    store<uint32_t, uint32_t>(out + i + distance, x1);
    store<uint32_t, uint32_t>(out + i + distance + W, y1);
  }
  for (; i < last; ++i) {
    uint32_t x0 = static_cast<uint32_t>(i), x1 = i < half ? static_cast<uint32_t>(i + distance) : 0;
    random::threefry(k0, k1, x0, x1);
    out[i] = x0;
    if (i < half) out[i + distance] = x1;
  }
}

}  // namespace legato::cpu::LEGATO_LEVEL
