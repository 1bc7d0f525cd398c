#include "legato/backends/cpu/loops.h"

namespace legato::pointwise {

#define LEGATO_DECLARE_LOOPS(level)     \
  namespace level {                     \
  void add_arith_loops(LoopTable&);     \
  void add_transcend_loops(LoopTable&); \
  void add_special_loops(LoopTable&);   \
  void add_complex_loops(LoopTable&);   \
  void add_integer_loops(LoopTable&);   \
  void add_cast_loops(LoopTable&);      \
  }                                     \
  static LoopTable level##_table() {    \
    LoopTable t;                        \
    level::add_arith_loops(t);          \
    level::add_transcend_loops(t);      \
    level::add_special_loops(t);        \
    level::add_complex_loops(t);        \
    level::add_integer_loops(t);        \
    level::add_cast_loops(t);           \
    return t;                           \
  }
LEGATO_DECLARE_LOOPS(base)
#if LEGATO_HAS_X86_LEVELS
LEGATO_DECLARE_LOOPS(avx2)
LEGATO_DECLARE_LOOPS(avx512)
#endif
#undef LEGATO_DECLARE_LOOPS

const LoopTable& loop_table(SimdLevel level) {
#if LEGATO_HAS_X86_LEVELS
  if (level == SimdLevel::avx512) {
    static const LoopTable table = avx512_table();
    return table;
  }
  if (level == SimdLevel::avx2) {
    static const LoopTable table = avx2_table();
    return table;
  }
#endif
  static_cast<void>(level);
  static const LoopTable table = base_table();
  return table;
}

}  // namespace legato::pointwise
