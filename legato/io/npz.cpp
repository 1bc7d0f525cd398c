// .npz: a zip file of .npy files. Entries are stored or deflated, zip64 where sizes need it.
// The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "legato/io/io.h"

namespace legato {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50,
                   kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr uint64_t k32 = 0xffffffffu;
// deflate gains at most 1032 : 1; a file that claims more is made to exhaust memory.
constexpr int64_t kMaxRatio = 1032;

struct Entry {
  std::string name;
  uint16_t method = 0;
  uint32_t crc = 0;
  uint64_t compressed = 0, size = 0, offset = 0;
};

// Little-endian fields of a piece of text.
class Fields {
 public:
  Fields(std::string_view text, const std::string& file) : text_(text), file_(file) {}
  template <class T>
  T get() {
    T v;
    std::string_view s = take(sizeof v);
    std::memcpy(&v, s.data(), sizeof v);
    return v;
  }
  std::string_view take(size_t n) {
    if (n > text_.size())
      throw ValueError(cat(file_, ": the directory of the zip file is corrupt"));
    std::string_view s = text_.substr(0, n);
    text_.remove_prefix(n);
    return s;
  }
  size_t left() const { return text_.size(); }

 private:
  std::string_view text_;
  const std::string& file_;
};

[[noreturn]] void corrupt(const io::Source& source, const std::string& what) {
  throw ValueError(cat(source.name(), ": the zip file is corrupt: ", what));
}

// Offset, size and number of entries of the central directory.
struct Directory {
  uint64_t offset, size, count;
};
Directory find_directory(const io::Source& source) {
  constexpr int64_t kEndSize = 22;
  if (source.size() < kEndSize)
    throw ValueError(cat(source.name(), " is no .npz file: it is too short"));
  int64_t tail_size = std::min<int64_t>(source.size(), kEndSize + 65535);
  int64_t tail_start = source.size() - tail_size;
  std::string tail = source.read_text(tail_start, tail_size);
  for (int64_t at = tail_size - kEndSize; at >= 0; --at) {
    uint32_t signature;
    std::memcpy(&signature, tail.data() + at, 4);
    if (signature != kEnd) continue;
    Fields f(std::string_view(tail).substr(static_cast<size_t>(at) + 4), source.name());
    f.take(6);
    Directory d{0, 0, f.get<uint16_t>()};
    d.size = f.get<uint32_t>();
    d.offset = f.get<uint32_t>();
    if (d.count == 0xffff || d.size == k32 || d.offset == k32) {
      int64_t locator_at = tail_start + at - 20;
      if (locator_at < 0) return d;
      std::string text = source.read_text(locator_at, 20);
      Fields locator(text, source.name());
      if (locator.get<uint32_t>() != kEnd64Locator) return d;
      locator.take(4);
      auto end64_at = locator.get<uint64_t>();
      if (end64_at > static_cast<uint64_t>(source.size()))
        corrupt(source, "the zip64 directory lies outside");
      std::string end64 = source.read_text(static_cast<int64_t>(end64_at), 56);
      Fields e(end64, source.name());
      if (e.get<uint32_t>() != kEnd64) corrupt(source, "the zip64 directory is missing");
      e.take(28);
      d.count = e.get<uint64_t>();
      d.size = e.get<uint64_t>();
      d.offset = e.get<uint64_t>();
    }
    return d;
  }
  throw ValueError(
      cat(source.name(), " is no .npz file, or is truncated: it has no directory of a zip file"));
}

std::vector<Entry> read_directory(const io::Source& source) {
  Directory d = find_directory(source);
  auto total = static_cast<uint64_t>(source.size());
  if (d.offset > total || d.size > total - d.offset) corrupt(source, "the directory lies outside");
  std::string text = source.read_text(static_cast<int64_t>(d.offset), static_cast<int64_t>(d.size));
  Fields f(text, source.name());
  std::vector<Entry> entries;
  for (uint64_t i = 0; i < d.count; ++i) {
    if (f.get<uint32_t>() != kCentralHeader)
      corrupt(source, cat("entry ", i, " of the directory is damaged"));
    Entry e;
    f.take(4);
    auto flags = f.get<uint16_t>();
    e.method = f.get<uint16_t>();
    f.take(4);
    e.crc = f.get<uint32_t>();
    e.compressed = f.get<uint32_t>();
    e.size = f.get<uint32_t>();
    auto name_size = f.get<uint16_t>(), extra_size = f.get<uint16_t>(),
         comment_size = f.get<uint16_t>();
    f.take(8);
    e.offset = f.get<uint32_t>();
    e.name = f.take(name_size);
    Fields extra(f.take(extra_size), source.name());
    f.take(comment_size);
    if (flags & 1) throw ValueError(cat(source.name(), ": entry '", e.name, "' is encrypted"));
    while (extra.left() >= 4) {
      auto id = extra.get<uint16_t>(), size = extra.get<uint16_t>();
      Fields field(extra.take(size), source.name());
      if (id != 1) continue;  // 1: the 64-bit values of those fields that are all ones
      if (e.size == k32) e.size = field.get<uint64_t>();
      if (e.compressed == k32) e.compressed = field.get<uint64_t>();
      if (e.offset == k32) e.offset = field.get<uint64_t>();
    }
    entries.push_back(std::move(e));
  }
  return entries;
}

// Where the entry's bytes begin: behind its local header, whose length the directory does not say.
int64_t data_offset(const io::Source& source, const Entry& e) {
  auto total = static_cast<uint64_t>(source.size());
  if (e.offset > total) corrupt(source, cat("entry '", e.name, "' lies outside"));
  std::string header = source.read_text(static_cast<int64_t>(e.offset), 30);
  Fields f(header, source.name());
  if (f.get<uint32_t>() != kLocalHeader) corrupt(source, cat("entry '", e.name, "' has no header"));
  f.take(22);
  auto name_size = f.get<uint16_t>(), extra_size = f.get<uint16_t>();
  uint64_t at = e.offset + 30 + name_size + extra_size;
  if (at > total || e.compressed > total - at)
    corrupt(source, cat("entry '", e.name, "' lies outside"));
  return static_cast<int64_t>(at);
}

std::string read_entry(const io::Source& source, const Entry& e) {
  int64_t at = data_offset(source, e);
  std::string packed = source.read_text(at, static_cast<int64_t>(e.compressed));
  std::string bytes;
  if (e.method == 0) {
    if (e.size != e.compressed) corrupt(source, cat("the sizes of entry '", e.name, "' disagree"));
    bytes = std::move(packed);
  } else if (e.method == 8) {
    if (e.size / kMaxRatio > e.compressed + 1)
      corrupt(source, cat("entry '", e.name, "' claims ", e.size, " bytes from ", e.compressed,
                          " compressed ones"));
    bytes.resize(e.size);
    z_stream z{};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) throw MemoryError("npz: no memory to decompress");
    size_t in_left = packed.size(), out_left = bytes.size();
    auto* in = reinterpret_cast<Bytef*>(packed.data());
    auto* out = reinterpret_cast<Bytef*>(bytes.data());
    int status = Z_OK;
    while (status == Z_OK) {  // zlib counts in 32 bits
      if (z.avail_in == 0) {
        z.next_in = in;
        z.avail_in = static_cast<uInt>(std::min<size_t>(in_left, 1u << 30));
        in += z.avail_in;
        in_left -= z.avail_in;
      }
      if (z.avail_out == 0) {
        z.next_out = out;
        z.avail_out = static_cast<uInt>(std::min<size_t>(out_left, 1u << 30));
        out += z.avail_out;
        out_left -= z.avail_out;
      }
      status = inflate(&z, Z_NO_FLUSH);
    }
    bool complete = status == Z_STREAM_END && out_left == 0 && z.avail_out == 0;
    inflateEnd(&z);
    if (!complete)
      corrupt(source, cat("entry '", e.name, "' cannot be decompressed to ", e.size, " bytes"));
  } else {
    throw ValueError(cat(source.name(), ": entry '", e.name, "' is compressed by method ", e.method,
                         "; only stored and deflated ones can be read"));
  }
  uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  if (crc != e.crc) corrupt(source, cat("the checksum of entry '", e.name, "' is wrong"));
  return bytes;
}

template <class T>
void put(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

std::string deflated(const std::string& bytes) {
  z_stream z{};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    throw MemoryError("npz: no memory to compress");
  std::string out;
  std::string chunk(1 << 18, '\0');
  size_t left = bytes.size();
  auto* in = reinterpret_cast<const Bytef*>(bytes.data());
  int status = Z_OK;
  while (status == Z_OK || status == Z_BUF_ERROR) {
    if (z.avail_in == 0) {
      z.next_in = const_cast<Bytef*>(in);
      z.avail_in = static_cast<uInt>(std::min<size_t>(left, 1u << 30));
      in += z.avail_in;
      left -= z.avail_in;
    }
    z.next_out = reinterpret_cast<Bytef*>(chunk.data());
    z.avail_out = static_cast<uInt>(chunk.size());
    status = deflate(&z, left == 0 ? Z_FINISH : Z_NO_FLUSH);
    out.append(chunk.data(), chunk.size() - z.avail_out);
  }
  deflateEnd(&z);
  return out;
}

// The part that local and central header share, from the version on.
void put_common(std::string& out, const Entry& e) {
  put<uint16_t>(out, 45);        // version: zip64
  put<uint16_t>(out, 1u << 11);  // names are UTF-8
  put<uint16_t>(out, e.method);
  put<uint16_t>(out, 0);  // time and date: 1980-01-01, so that equal arrays give equal files
  put<uint16_t>(out, 33);
  put<uint32_t>(out, e.crc);
  put<uint32_t>(out, static_cast<uint32_t>(k32));  // the sizes stand in the zip64 field
  put<uint32_t>(out, static_cast<uint32_t>(k32));
  put<uint16_t>(out, static_cast<uint16_t>(e.name.size()));
}

}  // namespace

NamedArrays load_npz(const io::Source& source) {
  NamedArrays arrays;
  for (const Entry& e : read_directory(source)) {
    if (!e.name.empty() && e.name.back() == '/') continue;
    std::string bytes = read_entry(source, e);
    std::string name = e.name.ends_with(".npy") ? e.name.substr(0, e.name.size() - 4) : e.name;
    auto inside = io::open_bytes(std::as_bytes(std::span(bytes)),
                                 cat(source.name(), ", entry '", e.name, "'"));
    arrays.emplace_back(std::move(name), load_npy(*inside));
  }
  return arrays;
}

void save_npz(io::Sink& sink, const NamedArrays& arrays, bool compress) {
  uint64_t at = 0;
  std::vector<Entry> entries;
  for (const auto& [name, a] : arrays) {
    Entry e;
    e.name = name + ".npy";
    if (e.name.size() > 65535)
      throw ValueError(cat("savez: a name of ", name.size(), " bytes is too long"));
    for (const Entry& other : entries)
      if (other.name == e.name) throw ValueError(cat("savez: two arrays are called '", name, "'"));
    io::StringSink npy;
    save_npy(npy, a);
    e.crc = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(npy.bytes.data()), npy.bytes.size()));
    e.size = npy.bytes.size();
    if (compress) {
      e.method = 8;
      npy.bytes = deflated(npy.bytes);
    }
    e.compressed = npy.bytes.size();
    e.offset = at;
    std::string header;
    put(header, kLocalHeader);
    put_common(header, e);
    put<uint16_t>(header, 20);
    header += e.name;
    put<uint16_t>(header, 1);
    put<uint16_t>(header, 16);
    put(header, e.size);
    put(header, e.compressed);
    sink.write(header);
    sink.write(npy.bytes);
    at += header.size() + npy.bytes.size();
    entries.push_back(std::move(e));
  }
  std::string directory;
  for (const Entry& e : entries) {
    put(directory, kCentralHeader);
    put<uint16_t>(directory, 45);
    put_common(directory, e);
    put<uint16_t>(directory, 28);
    put<uint16_t>(directory, 0);
    put<uint16_t>(directory, 0);
    put<uint16_t>(directory, 0);
    put<uint32_t>(directory, 0600u << 16);
    put<uint32_t>(directory, static_cast<uint32_t>(k32));
    directory += e.name;
    put<uint16_t>(directory, 1);
    put<uint16_t>(directory, 24);
    put(directory, e.size);
    put(directory, e.compressed);
    put(directory, e.offset);
  }
  std::string end;
  auto count = static_cast<uint64_t>(entries.size());
  put(end, kEnd64);
  put<uint64_t>(end, 44);
  put<uint16_t>(end, 45);
  put<uint16_t>(end, 45);
  put<uint32_t>(end, 0);
  put<uint32_t>(end, 0);
  put(end, count);
  put(end, count);
  put<uint64_t>(end, directory.size());
  put(end, at);
  put(end, kEnd64Locator);
  put<uint32_t>(end, 0);
  put<uint64_t>(end, at + directory.size());
  put<uint32_t>(end, 1);
  put(end, kEnd);
  put<uint32_t>(end, 0);
  put<uint16_t>(end, 0xffff);
  put<uint16_t>(end, 0xffff);
  put<uint32_t>(end, static_cast<uint32_t>(k32));
  put<uint32_t>(end, static_cast<uint32_t>(k32));
  put<uint16_t>(end, 0);
  sink.write(directory);
  sink.write(end);
}

NamedArrays load_npz(const std::string& path) { return load_npz(*io::open_file(path)); }
void save_npz(const std::string& path, const NamedArrays& arrays, bool compress) {
  for (const auto& [name, a] : arrays) a.eval();
  io::FileSink sink(path);
  save_npz(sink, arrays, compress);
  sink.commit();
}

}  // namespace legato
