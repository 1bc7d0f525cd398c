// cat(a, b, ...): one std::string from strings, numbers and whatever has an
// `append_text(std::string&, const T&)`.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "legato/base/export.h"

namespace legato {

LEGATO_API void append_text(std::string& out, int64_t value);
LEGATO_API void append_text(std::string& out, uint64_t value);
LEGATO_API void append_text(std::string& out,
                            double value);  // shortest text that reads back the same
inline void append_text(std::string& out, std::string_view value) { out += value; }
inline void append_text(std::string& out, const char* value) { out += value; }
inline void append_text(std::string& out, char value) { out += value; }
inline void append_text(std::string& out, bool value) { out += value ? "true" : "false"; }
template <std::signed_integral T>
  requires(!std::same_as<T, int64_t> && !std::same_as<T, char>)
void append_text(std::string& out, T value) {
  append_text(out, static_cast<int64_t>(value));
}
template <std::unsigned_integral T>
  requires(!std::same_as<T, uint64_t> && !std::same_as<T, bool>)
void append_text(std::string& out, T value) {
  append_text(out, static_cast<uint64_t>(value));
}

template <class... Args>
std::string cat(const Args&... args) {
  std::string out;
  (append_text(out, args), ...);
  return out;
}

}  // namespace legato
