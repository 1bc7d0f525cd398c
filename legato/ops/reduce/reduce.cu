// The instances of reductions that are compiled with the library.
#include "legato/ops/reduce/reducers.cuh"

namespace legato::cuda {

#define LEGATO_ARITH(end, ...) LEGATO_REDUCTION(arith_##end, Arith<__VA_ARGS__>)
LEGATO_ARITH(u8, uint8_t, uint32_t)
LEGATO_ARITH(i8, int8_t, int32_t)
LEGATO_ARITH(u16, uint16_t, uint32_t)
LEGATO_ARITH(i16, int16_t, int32_t)
LEGATO_ARITH(u32, uint32_t, uint32_t)
LEGATO_ARITH(u64, uint64_t, uint64_t)
LEGATO_ARITH(f16, f16, f16)
LEGATO_ARITH(bf16, bf16, bf16)
LEGATO_ARITH(f32, float, float)
LEGATO_ARITH(f64, double, double)
LEGATO_ARITH(c64, c64, c64)
LEGATO_ARITH(c128, c128, c128)

LEGATO_REDUCTION(extreme_u8, Extreme<uint8_t>)
LEGATO_REDUCTION(extreme_u16, Extreme<uint16_t>)
LEGATO_REDUCTION(extreme_u32, Extreme<uint32_t>)
LEGATO_REDUCTION(extreme_u64, Extreme<uint64_t>)
LEGATO_REDUCTION(extreme_i8, Extreme<int8_t>)
LEGATO_REDUCTION(extreme_i16, Extreme<int16_t>)
LEGATO_REDUCTION(extreme_i32, Extreme<int32_t>)
LEGATO_REDUCTION(extreme_i64, Extreme<int64_t>)
LEGATO_REDUCTION(extreme_f16, Extreme<f16>)
LEGATO_REDUCTION(extreme_bf16, Extreme<bf16>)
LEGATO_REDUCTION(extreme_f32, Extreme<float>)
LEGATO_REDUCTION(extreme_f64, Extreme<double>)
LEGATO_REDUCTION(extreme_c64, Extreme<c64>)
LEGATO_REDUCTION(extreme_c128, Extreme<c128>)

LEGATO_REDUCTION(any_1, Any<uint8_t>)
LEGATO_REDUCTION(any_2, Any<uint16_t>)
LEGATO_REDUCTION(any_4, Any<uint32_t>)
LEGATO_REDUCTION(any_8, Any<uint64_t>)
LEGATO_REDUCTION(any_16, Any<Sixteen>)

LEGATO_REDUCTION(variance_f16, Variance<f16>)
LEGATO_REDUCTION(variance_bf16, Variance<bf16>)
LEGATO_REDUCTION(variance_f32, Variance<float>)
LEGATO_REDUCTION(variance_f64, Variance<double>)

}  // namespace legato::cuda
