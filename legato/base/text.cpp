#include "legato/base/text.h"

#include <charconv>

namespace legato {
namespace {

template <class T>
void append_number(std::string& out, T value) {
  char buffer[40];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, end);
}

}  // namespace

void append_text(std::string& out, int64_t value) { append_number(out, value); }
void append_text(std::string& out, uint64_t value) { append_number(out, value); }
void append_text(std::string& out, double value) { append_number(out, value); }

}  // namespace legato
