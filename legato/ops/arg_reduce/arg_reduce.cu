// The instances of argmax and argmin that are compiled with the library.
#include "legato/ops/arg_reduce/arg_extreme.cuh"

namespace legato::cuda {

LEGATO_REDUCTION(arg_u8, ArgExtreme<uint8_t>)
LEGATO_REDUCTION(arg_u16, ArgExtreme<uint16_t>)
LEGATO_REDUCTION(arg_u32, ArgExtreme<uint32_t>)
LEGATO_REDUCTION(arg_u64, ArgExtreme<uint64_t>)
LEGATO_REDUCTION(arg_i8, ArgExtreme<int8_t>)
LEGATO_REDUCTION(arg_i16, ArgExtreme<int16_t>)
LEGATO_REDUCTION(arg_i32, ArgExtreme<int32_t>)
LEGATO_REDUCTION(arg_i64, ArgExtreme<int64_t>)
LEGATO_REDUCTION(arg_f16, ArgExtreme<f16>)
LEGATO_REDUCTION(arg_bf16, ArgExtreme<bf16>)
LEGATO_REDUCTION(arg_f32, ArgExtreme<float>)
LEGATO_REDUCTION(arg_f64, ArgExtreme<double>)
LEGATO_REDUCTION(arg_c64, ArgExtreme<c64>)
LEGATO_REDUCTION(arg_c128, ArgExtreme<c128>)

}  // namespace legato::cuda
