#include "legato/backends/cpu/gemm_tiles.h"

namespace legato::cpu::LEGATO_LEVEL {

void fill_tiles_other(GemmKernels& table) {
  fill_table<double, 1, true>(table.f64);
  // Integers come with full tiles only: fewer kernels to compile; callers repeat a row where rows
  // are missing.
  fill_table<uint32_t, kTileRows, false>(table.u32);
  fill_table<uint64_t, kTileRows, false>(table.u64);
}

}  // namespace legato::cpu::LEGATO_LEVEL
