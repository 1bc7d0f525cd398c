#include "legato/base/error.h"

#include <cstring>

namespace legato {

// Out of line, so that each type has one home for its run-time type information and can be caught
// across libraries.
Error::~Error() = default;
ValueError::~ValueError() = default;
TypeError::~TypeError() = default;
IndexError::~IndexError() = default;
AxisError::~AxisError() = default;
MemoryError::~MemoryError() = default;
EvalError::~EvalError() = default;
TransformError::~TransformError() = default;
InternalError::~InternalError() = default;

void throw_internal(const char* file, int line, const char* condition, const char* message) {
  const char* tail = std::strstr(file, "legato/");
  throw InternalError(cat("internal error: ", message, " (", condition, " failed at ",
                          tail ? tail : file, ":", line,
                          "). This is a bug in Legato; please report it."));
}

}  // namespace legato
