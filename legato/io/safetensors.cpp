// .safetensors: the length of a JSON header, the header, the elements of all tensors.
// https://github.com/huggingface/safetensors#format
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "legato/io/io.h"

namespace legato {
namespace {

constexpr int64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation

struct DtypeName {
  const char* name;
  Dtype dtype;
};
constexpr DtypeName kNames[] = {
    {"BOOL", Dtype::bool_},    {"U8", Dtype::uint8},      {"U16", Dtype::uint16},
    {"U32", Dtype::uint32},    {"U64", Dtype::uint64},    {"I8", Dtype::int8},
    {"I16", Dtype::int16},     {"I32", Dtype::int32},     {"I64", Dtype::int64},
    {"F16", Dtype::float16},   {"BF16", Dtype::bfloat16}, {"F32", Dtype::float32},
    {"F64", Dtype::float64},   {"C64", Dtype::complex64}, {"F8_E4M3", Dtype::uint8},
    {"F8_E5M2", Dtype::uint8},
};

struct Tensor {
  std::string name, dtype;
  Shape shape;
  std::vector<int64_t> offsets;
  bool has_dtype = false, has_shape = false;
};

// Reads the header event by event: no tree is built, nesting is bounded by what the format has, and
// a name that occurs twice is seen.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<Tensor> tensors;
  Metadata metadata;
  std::string error;

  bool start_object(size_t) override {
    if (depth_ == 0) return ++depth_, true;
    if (depth_ != 1 || in_array_) return fail("an object where none is expected");
    ++depth_;
    in_metadata_ = key_ == "__metadata__";
    if (!in_metadata_) {
      tensors.emplace_back();
      tensors.back().name = key_;
    }
    return true;
  }
  bool end_object() override {
    --depth_;
    if (depth_ == 1 && !in_metadata_) {
      const Tensor& t = tensors.back();
      if (!t.has_dtype || !t.has_shape || t.offsets.size() != 2)
        return fail(cat("tensor '", t.name, "' lacks dtype, shape or two data_offsets"));
    }
    if (depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool key(string_t& k) override {
    key_ = k;
    return true;
  }
  bool string(string_t& v) override {
    if (depth_ == 2 && in_metadata_) {
      metadata.emplace_back(key_, v);
    } else if (depth_ == 2 && key_ == "dtype" && !in_array_) {
      tensors.back().dtype = v;
      tensors.back().has_dtype = true;
    } else {
      return fail("a string where none is expected");
    }
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || (key_ != "shape" && key_ != "data_offsets"))
      return fail("a list where none is expected");
    in_array_ = true;
    Tensor& t = tensors.back();
    if (key_ == "shape") {
      t.has_shape = true;
      t.shape.clear();
    } else {
      t.offsets.clear();
    }
    return true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t v) override {
    if (!in_array_) return fail("a number where none is expected");
    if (v > static_cast<uint64_t>(INT64_MAX)) return fail("a number is beyond any file");
    if (key_ == "shape")
      tensors.back().shape.push_back(static_cast<int64_t>(v));
    else
      tensors.back().offsets.push_back(static_cast<int64_t>(v));
    return true;
  }
  bool number_integer(number_integer_t) override { return fail("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return fail("a fractional number");
  }
  bool boolean(bool) override { return fail("true or false where none is expected"); }
  bool null() override { return fail("null where none is expected"); }
  bool binary(binary_t&) override { return fail("binary data"); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return fail(cat("no JSON at byte ", position));
  }

 private:
  bool fail(std::string what) {
    if (error.empty()) error = std::move(what);
    return false;
  }
  int depth_ = 0;
  bool in_metadata_ = false, in_array_ = false;
  std::string key_;
};

const char* name_in_format(Dtype t) {
  for (const DtypeName& n : kNames)
    if (n.dtype == t) return n.name;
  throw ValueError(cat("save_safetensors: the format has no ", t, "; cast the array first"));
}

std::string quoted(const std::string& s) {
  try {
    return nlohmann::json(s).dump();
  } catch (const nlohmann::json::exception&) {
    throw ValueError("save_safetensors: a name or a metadata text is not valid UTF-8");
  }
}

}  // namespace

SafeTensors load_safetensors(const io::Source& source) {
  uint64_t length;
  source.read(0, &length, 8);
  int64_t room = source.size() - 8;
  if (length > static_cast<uint64_t>(std::min(room, kMaxHeader)))
    throw ValueError(
        cat(source.name(), " is no .safetensors file, or is truncated: it states a header of ",
            length, " bytes, but ", room, " follow (at most ", kMaxHeader, " are read)"));
  auto header_size = static_cast<int64_t>(length);
  std::string header = source.read_text(8, header_size);
  HeaderReader reader;
  bool ok = nlohmann::json::sax_parse(header, &reader);
  if (!ok || !reader.error.empty())
    throw ValueError(cat(source.name(), ": the .safetensors header is corrupt: ", reader.error));

  // Every byte belongs to at most one tensor.
  int64_t data = 8 + header_size, data_size = source.size() - data;
  std::vector<const Tensor*> order;
  std::vector<std::string> names;
  for (const Tensor& t : reader.tensors) {
    order.push_back(&t);
    names.push_back(t.name);
  }
  std::sort(names.begin(), names.end());
  if (auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    throw ValueError(cat(source.name(), ": the .safetensors header is corrupt: the name '", *twice,
                         "' occurs twice"));
  std::sort(order.begin(), order.end(),
            [](const Tensor* a, const Tensor* b) { return a->offsets < b->offsets; });
  int64_t end = 0;
  for (const Tensor* t : order) {
    if (t->offsets[0] < end || t->offsets[1] < t->offsets[0] || t->offsets[1] > data_size)
      throw ValueError(cat(source.name(), ": tensor '", t->name, "' claims bytes ", t->offsets[0],
                           " to ", t->offsets[1], " of ", data_size,
                           ", or overlaps another; the file is truncated or corrupt"));
    end = t->offsets[1];
  }

  SafeTensors result;
  result.metadata = std::move(reader.metadata);
  for (const Tensor& t : reader.tensors) {
    std::string what = cat(source.name(), ", tensor '", t.name, "'");
    auto* name = std::find_if(std::begin(kNames), std::end(kNames),
                              [&](const DtypeName& n) { return t.dtype == n.name; });
    if (name == std::end(kNames)) throw ValueError(cat(what, ": unknown dtype '", t.dtype, "'"));
    int64_t bytes = io::checked_bytes(what.c_str(), t.shape, name->dtype);
    if (bytes != t.offsets[1] - t.offsets[0])
      throw ValueError(cat(what, ": shape ", t.shape, " of ", t.dtype, " needs ", bytes,
                           " bytes, but has ", t.offsets[1] - t.offsets[0]));
    result.arrays.emplace_back(
        t.name, io::read_elements(what.c_str(), t.shape, name->dtype, source, data + t.offsets[0]));
  }
  return result;
}

void save_safetensors(io::Sink& sink, const NamedArrays& arrays, const Metadata& metadata) {
  // Wide elements first, so that each tensor is aligned for its dtype.
  std::vector<const std::pair<std::string, Array>*> order;
  for (const auto& entry : arrays) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });
  std::string header = "{";
  const char* comma = "";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      header += cat(comma, quoted(key), ":", quoted(value));
      comma = ",";
    }
    header += "}";
  }
  int64_t at = 0;
  for (auto* entry : order) {
    const Array& a = entry->second;
    if (entry->first == "__metadata__")
      throw ValueError("save_safetensors: no array may be called __metadata__");
    std::string shape;
    for (int64_t n : a.shape()) shape += cat(shape.empty() ? "" : ",", n);
    header += cat(comma, quoted(entry->first), ":{\"dtype\":\"", name_in_format(a.dtype()),
                  "\",\"shape\":[", shape, "],\"data_offsets\":[", at, ",", at + a.nbytes(), "]}");
    comma = ",";
    at += a.nbytes();
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');
  auto length = static_cast<uint64_t>(header.size());
  sink.write(&length, 8);
  sink.write(header);
  for (auto* entry : order) io::write_elements(entry->second, sink);
}

SafeTensors load_safetensors(const std::string& path) {
  return load_safetensors(*io::open_file(path));
}
void save_safetensors(const std::string& path, const NamedArrays& arrays,
                      const Metadata& metadata) {
  for (const auto& [name, a] : arrays) a.eval();
  io::FileSink sink(path);
  save_safetensors(sink, arrays, metadata);
  sink.commit();
}

}  // namespace legato
