// Arrays as text.
#pragma once

#include <string>

#include "legato/array/array.h"
#include "legato/base/export.h"

namespace legato {

/// How to_string writes numbers: `precision` digits behind the point, or, if negative, six
/// significant ones.
struct PrintOptions {
  int precision = -1;
};

/// The options used where none are given; one for the process.
LEGATO_API PrintOptions print_options();
LEGATO_API void set_print_options(PrintOptions options);

/// "array([[1, 2],\n       [3, 4]], dtype=int32)". An axis longer than six shows its first and last
/// three entries. Evaluates `a`.
LEGATO_API std::string to_string(const Array& a, PrintOptions options);
inline std::string to_string(const Array& a) { return to_string(a, print_options()); }

}  // namespace legato
