// The registry: all ops and public functions, filled once by the families' register_<family>() in a
// fixed order.
#pragma once

#include <span>
#include <string_view>

#include "legato/op/function.h"
#include "legato/op/op.h"

namespace legato {

class LEGATO_API Registry {
 public:
  /// Gives the op its dense id. Throws InternalError if the name is taken or the record is
  /// incomplete.
  void add(const Op& op);
  /// Makes `f` callable from Python as core.<name> (core.<module>.<name> if `module` is given).
  void add(const Function& f);

  std::span<const Op* const> ops() const;
  std::span<const Function* const> functions() const;
  const Op* find_op(std::string_view name) const;              // null if there is none
  const Function* find_function(std::string_view name) const;  // "sum", "fast.rms_norm"
};

/// The one registry. The first call fills it.
LEGATO_API Registry& registry();

}  // namespace legato
