// Helpers of the C++ tests: what an error says.
#pragma once

#include <string>

#include "legato/base/error.h"

namespace legato::testing {

/// The message of the E that `f` throws, or "nothing was thrown".
template <class E = ValueError, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace legato::testing
