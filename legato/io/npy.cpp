// NumPy's .npy: a magic string, a version, a header that is a Python dict, the elements.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include <algorithm>
#include <charconv>
#include <cstring>

#include "legato/io/io.h"

namespace legato {
namespace {

constexpr int64_t kMaxHeader = 1 << 20;
constexpr char kMagic[] = "\x93NUMPY";

struct Header {
  std::string descr;
  bool fortran = false;
  Shape shape;
  bool has_descr = false, has_order = false, has_shape = false;
};

// Reads the dict literal of the header. It has three known keys and nothing nested but the shape.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Header parse() {
    Header h;
    expect('{');
    while (!take('}')) {
      std::string key = quoted();
      expect(':');
      if (key == "descr" && !h.has_descr) {
        skip();
        if (at_ < text_.size() && text_[at_] == '[') fail("structured dtypes are not supported");
        h.descr = quoted();
        h.has_descr = true;
      } else if (key == "fortran_order" && !h.has_order) {
        h.fortran = boolean();
        h.has_order = true;
      } else if (key == "shape" && !h.has_shape) {
        h.shape = tuple();
        h.has_shape = true;
      } else {
        fail(cat("unexpected or repeated key '", key, "'"));
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    if (!h.has_descr || !h.has_order || !h.has_shape)
      fail("descr, fortran_order or shape is missing");
    return h;
  }

 private:
  [[noreturn]] void fail(const std::string& what) {
    throw ValueError(cat(file_, ": the .npy header is corrupt: ", what));
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(cat("expected '", c, "' at byte ", static_cast<int64_t>(at_)));
  }
  std::string quoted() {
    skip();
    if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail("expected a string");
    size_t end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos) fail("a string has no end");
    std::string s(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return s;
  }
  bool boolean() {
    skip();
    for (std::string_view word : {"True", "False"}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail("fortran_order is neither True nor False");
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!take(')')) {
      skip();
      int64_t v;
      auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), v);
      if (error != std::errc() || v < 0) fail("a size is no number");
      at_ = static_cast<size_t>(end - text_.data());
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // written by Python 2
      shape.push_back(v);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
};

constexpr const char* kDescr[kDtypeCount] = {"|b1", "|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4",
                                             "<i8", "<f2", "<V2", "<f4", "<f8", "<c8", "<c16"};

Dtype dtype_of_descr(const std::string& descr, const std::string& file) {
  if (descr.size() >= 3 &&
      (descr[0] == '<' || descr[0] == '|' || descr[0] == '=' || descr[0] == '>')) {
    for (int i = 0; i < kDtypeCount; ++i)
      if (descr.substr(1) == kDescr[i] + 1) return static_cast<Dtype>(i);
  }
  throw ValueError(cat(file, ": no dtype for NumPy's '", descr, "'",
                       descr.find('O') != std::string::npos
                           ? " (Python objects are pickled, and unpickling can run any code)"
                           : ""));
}

// Big-endian elements, in place.
void swap_bytes(void* data, int64_t bytes, int64_t size) {
  auto* p = static_cast<char*>(data);
  for (int64_t i = 0; i + size <= bytes; i += size) std::reverse(p + i, p + i + size);
}

}  // namespace

Array load_npy(const io::Source& source) {
  char start[8];
  source.read(0, start, 8);
  if (std::memcmp(start, kMagic, 6) != 0)
    throw ValueError(cat(source.name(), " is no .npy file: it does not begin with \\x93NUMPY"));
  int64_t length_bytes = start[6] == 1 ? 2 : 4;
  if (start[6] < 1 || start[6] > 3)
    throw ValueError(cat(source.name(), ": unknown .npy version ", static_cast<int>(start[6])));
  uint32_t length = 0;
  source.read(8, &length, length_bytes);
  if (length > kMaxHeader)
    throw ValueError(
        cat(source.name(), ": the .npy header of ", length, " bytes is longer than ", kMaxHeader));
  int64_t data = 8 + length_bytes + length;
  std::string text = source.read_text(8 + length_bytes, length);
  Header h = HeaderParser(text, source.name()).parse();
  Dtype dtype = dtype_of_descr(h.descr, source.name());
  // Column-major data is row-major data of the reversed shape.
  Shape stored = h.shape;
  if (h.fortran) std::reverse(stored.begin(), stored.end());
  Array a = io::read_elements(source.name().c_str(), stored, dtype, source, data);
  if (h.descr[0] == '>') {
    int64_t part = is_complex(dtype) ? size_of(dtype) / 2 : size_of(dtype);
    swap_bytes(const_cast<void*>(a.host_data()), a.nbytes(), part);
  }
  if (!h.fortran || h.shape.size() < 2) return a;
  Strides strides = row_major_strides(stored);
  std::reverse(strides.begin(), strides.end());
  return from_storage(a.value().storage, h.shape, {strides, 0}, dtype);
}

void save_npy(io::Sink& sink, const Array& a) {
  std::string header = cat("{'descr': '", kDescr[static_cast<int>(a.dtype())],
                           "', 'fortran_order': False, 'shape': ", a.shape(), ", }");
  // The elements begin at a multiple of 64 bytes.
  bool large = header.size() + 1 + 10 > 65535;
  size_t prefix = large ? 12 : 10;
  size_t total = (prefix + header.size() + 1 + 63) / 64 * 64;
  header.append(total - prefix - header.size() - 1, ' ');
  header += '\n';
  auto length = static_cast<uint32_t>(header.size());
  sink.write(kMagic, 6);
  sink.write(large ? std::string_view("\2\0", 2) : std::string_view("\1\0", 2));
  sink.write(&length, large ? 4 : 2);
  sink.write(header);
  io::write_elements(a, sink);
}

Array load_npy(const std::string& path) { return load_npy(*io::open_file(path)); }
void save_npy(const std::string& path, const Array& a) {
  a.eval();
  io::FileSink sink(path);
  save_npy(sink, a);
  sink.commit();
}

}  // namespace legato
