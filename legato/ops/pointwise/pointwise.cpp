#include "legato/ops/pointwise/pointwise.h"

#include "legato/op/registry.h"

namespace legato {

void register_arith(Registry&);
void register_compare(Registry&);
void register_bit(Registry&);
void register_transcend(Registry&);
void register_special(Registry&);

void register_pointwise(Registry& r) {
  register_arith(r);
  register_compare(r);
  register_bit(r);
  register_transcend(r);
  register_special(r);
}

}  // namespace legato
