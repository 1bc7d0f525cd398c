// Programs of one pointwise node, kept by what determines them: they are most of what a program in
// Python evaluates, and are found without planning.
#pragma once

#include <cstdint>
#include <memory>

#include "legato/array/array.h"
#include "legato/fuse/program.h"
#include "legato/op/op.h"

namespace legato::fuse {

/// The operands of a node as its program takes them: repeated ones once, numbers by themselves.
struct SingleOperands {
  static constexpr uint32_t kMost = Node::kInlineInputs;
  uint64_t key = 0;  // 0: it is not kept
  uint32_t n_inputs = 0, n_literals = 0;
  uint32_t inputs[kMost], literals[kMost];  // the first of the node's inputs that is it
  uint32_t edges[kMost];                    // of each input: how many of the node's inputs it is
};

/// `is_number(k)`: whether input k is a literal without memory. `same(j, k)`: whether two inputs
/// are one value.
template <class IsNumber, class Same>
SingleOperands single_operands(const Node& n, IsNumber is_number, Same same) {
  SingleOperands found;
  if (n.op->id < 0 || n.n_in > SingleOperands::kMost) return found;
  // The op, and for each operand its dtype, whether it is a literal, and which one it equals.
  uint64_t key = static_cast<uint64_t>(n.op->id + 1) << 32 | static_cast<uint64_t>(n.out[0].dtype)
                                                                 << 24;
  for (uint32_t k = 0; k < n.n_in; ++k) {
    const bool number = is_number(k);
    uint32_t* known = number ? found.literals : found.inputs;
    uint32_t& count = number ? found.n_literals : found.n_inputs;
    uint32_t which = 0;
    while (which < count && !same(known[which], k)) ++which;
    if (which == count) {
      known[count++] = k;
      if (!number) found.edges[which] = 0;
    }
    if (!number) ++found.edges[which];
    key |= (static_cast<uint64_t>(n.in[k].dtype()) | uint64_t{number} << 4 | uint64_t{which} << 5)
           << (8 * k);
  }
  found.key = key;
  return found;
}

/// What this thread has kept under `key`, or null.
const std::shared_ptr<Program>* known_single(uint64_t key);
void keep_single(uint64_t key, const std::shared_ptr<Program>& program);

}  // namespace legato::fuse
