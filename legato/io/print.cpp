#include "legato/io/print.h"

#include <atomic>
#include <cstdio>
#include <cstring>

namespace legato {
namespace {

constexpr int64_t kEdge = 3;  // entries shown at each end of a long axis
std::atomic<int> precision_setting{-1};

void append_real(std::string& out, double v, int precision) {
  char small[64];
  int n = precision < 0 ? std::snprintf(small, sizeof small, "%g", v)
                        : std::snprintf(small, sizeof small, "%.*f", precision, v);
  if (n < static_cast<int>(sizeof small)) {
    if (v != v) return void(out += "nan");  // without the sign that printf may show
    out.append(small, static_cast<size_t>(n));
    return;
  }
  std::string large(static_cast<size_t>(n) + 1, '\0');
  std::snprintf(large.data(), large.size(), "%.*f", precision, v);
  large.pop_back();
  out += large;
}

struct Printer {
  const std::byte* base;
  const Value& value;
  PrintOptions options;
  std::string out;

  void element(const std::byte* at) {
    visit_dtype(value.dtype, [&]<class T>(TypeTag<T>) {
      T v;
      std::memcpy(&v, at, sizeof v);
      if constexpr (std::is_same_v<T, bool>) {
        out += v ? "True" : "False";
      } else if constexpr (std::is_integral_v<T>) {
        append_text(out, v);
      } else if constexpr (std::is_same_v<T, complex64_t> || std::is_same_v<T, complex128_t>) {
        append_real(out, v.real(), options.precision);
        if (!(v.imag() < 0)) out += '+';
        append_real(out, v.imag(), options.precision);
        out += 'j';
      } else if constexpr (std::is_same_v<T, double>) {
        append_real(out, v, options.precision);
      } else {
        append_real(out, static_cast<float>(v), options.precision);
      }
    });
  }

  void axis(size_t depth, int64_t offset) {
    if (depth == value.shape.size()) return element(base + offset * size_of(value.dtype));
    bool last = depth + 1 == value.shape.size();
    int64_t n = value.shape[depth], step = value.layout.strides[depth];
    std::string separator = ", ";
    if (!last) separator = ",\n" + std::string(std::strlen("array(") + depth + 1, ' ');
    out += '[';
    for (int64_t i = 0; i < n; ++i) {
      if (i > 0) out += separator;
      if (n > 2 * kEdge && i == kEdge) {
        out += "...";
        i = n - kEdge - 1;
      } else {
        axis(depth + 1, offset + i * step);
      }
    }
    out += ']';
  }
};

}  // namespace

PrintOptions print_options() { return {precision_setting.load(std::memory_order_relaxed)}; }
void set_print_options(PrintOptions options) {
  precision_setting.store(options.precision, std::memory_order_relaxed);
}

std::string to_string(const Array& a, PrintOptions options) {
  a.eval();
  const Value& v = a.value();
  auto* start = static_cast<const std::byte*>(runtime_hooks().read(*v.storage));
  Printer printer{start + v.layout.offset * size_of(v.dtype), v, options, "array("};
  printer.axis(0, 0);
  return printer.out + ", dtype=" + name_of(v.dtype) + ")";
}

}  // namespace legato
