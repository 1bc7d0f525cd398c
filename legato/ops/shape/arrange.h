// Ops that rearrange by slicing, joining and masking; each has its meaning in simpler ops.
#pragma once

namespace legato {

class Registry;

/// tril, triu, diag, roll.
void register_arrange(Registry& registry);

}  // namespace legato
