// What the processor under us can do, found out at run time.
#pragma once
#include <cstdint>
#include <string_view>

#include "legato/base/export.h"

namespace legato {

/// Vector levels that kernels are compiled for, in rising order.
/// base: what every x86-64 (or other) machine has. avx2: AVX2, FMA, F16C, BMI2. avx512: F, BW, VL,
/// DQ on top of that.
enum class SimdLevel { base, avx2, avx512 };

/// "base", "avx2" or "avx512".
LEGATO_API std::string_view name(SimdLevel level);

/// The level of that name. Throws ValueError, which lists the names, for any other text.
LEGATO_API SimdLevel parse_simd_level(std::string_view text);

/// Facts about the processor; features count only if the operating system saves their registers.
struct CpuInfo {
  SimdLevel level = SimdLevel::base;  ///< Highest level of this machine.
  bool avx512_bf16 = false;           ///< VDPBF16PS and conversions to bfloat16.
  bool avx512_vnni = false;
  bool amx_bf16 = false;
  int64_t l1d_bytes = 32 << 10;  ///< First-level data cache of one core.
  int64_t l2_bytes = 256 << 10;  ///< Second-level cache of one core.
  int64_t l3_bytes = 4 << 20;    ///< Third-level cache that a core can use, shared with others.
};

/// The facts, found out once. Not affected by the environment.
LEGATO_API const CpuInfo& cpu_info();

/// The level that kernels are to use: that of the machine, or a lower one named by the environment
/// variable LEGATO_SIMD (read once). Throws ValueError if LEGATO_SIMD names no level, or
/// one that this machine lacks.
LEGATO_API SimdLevel simd_level();

/// Whether kernels may use VDPBF16PS: the machine has it and simd_level() is avx512.
LEGATO_API bool use_avx512_bf16();

/// CPUs in the affinity mask, limited by the cgroup's quota (v1 or v2, rounded up); at least 1.
LEGATO_API int available_cpus();

/// As available_cpus(), but two hardware threads of one core count once.
LEGATO_API int available_cores();

/// Bytes of memory that the process may use: the machine's, or less by a limit of its cgroup.
LEGATO_API int64_t usable_memory();

}  // namespace legato
