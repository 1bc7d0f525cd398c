#include "legato/backends/cpu/gemm_tiles.h"

namespace legato::cpu::LEGATO_LEVEL {

void fill_tiles_float(GemmKernels& table) { fill_table<float, 1, true>(table.f32); }

}  // namespace legato::cpu::LEGATO_LEVEL
