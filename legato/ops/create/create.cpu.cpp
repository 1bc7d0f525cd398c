#include <cmath>

#include "legato/backends/cpu/ranges.h"
#include "legato/ops/create/records.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

constexpr int64_t kGrain = 16384;  // elements

template <class T>
T from_double(double v) {
  if constexpr (std::is_integral_v<T>) {  // as astype: truncated, wrapped; 0 beyond 64 bits
    if (std::is_same_v<T, uint64_t> && v >= 0x1p63 && v < 0x1p64)
      return static_cast<T>(static_cast<uint64_t>(v));
    return v >= -0x1p63 && v < 0x1p63 ? static_cast<T>(static_cast<int64_t>(v)) : T{0};
  } else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, complex128_t>) {
    return T(v);
  } else {
    return T(static_cast<float>(v));
  }
}

template <class T>
T from_integer(uint64_t v) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(v);
  else
    return from_double<T>(static_cast<double>(static_cast<int64_t>(v)));
}

template <class T>
void run_arange(Launch& l) {
  auto& a = l.attrs<ArangeAttrs>();
  T* out = l.out[0].as<T>();
  bool real = a.start.kind == Scalar::Kind::real;
  for_ranges(a.size, kGrain, [&](int64_t begin, int64_t end) {
    if (real) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = from_double<T>(a.start.re + static_cast<double>(i) * a.step.re);
    } else {
      for (int64_t i = begin; i < end; ++i)
        out[i] = from_integer<T>(a.start.u + static_cast<uint64_t>(i) * a.step.u);
    }
  });
}

template <class T>
void run_linspace(Launch& l) {
  auto& a = l.attrs<LinspaceAttrs>();
  T* out = l.out[0].as<T>();
  int64_t steps = a.endpoint ? a.num - 1 : a.num;
  double step = steps > 0 ? (a.stop - a.start) / static_cast<double>(steps) : 0;
  for_ranges(a.num, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      out[i] = from_double<T>(a.start + static_cast<double>(i) * step);
  });
  if (a.endpoint && a.num > 1) out[a.num - 1] = from_double<T>(a.stop);
}

using NumberTypes = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t,
                          float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;

}  // namespace

void register_create_kernels(KernelTable& table) {
  add_kernels(table, arange_op, NumberTypes{},
              []<class T>(TypeTag<T>) { return Kernel{.run = run_arange<T>}; });
  add_kernels(table, linspace_op, NumberTypes{},
              []<class T>(TypeTag<T>) { return Kernel{.run = run_linspace<T>}; });
}

}  // namespace legato::cpu
