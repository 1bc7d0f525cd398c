// Where file formats read from and write to. Formats are parsers of untrusted input: they read only
// through Source, which checks every range.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "legato/array/array.h"
#include "legato/base/error.h"
#include "legato/base/export.h"

namespace legato::io {

/// The system refused to open, read or write a file. Python: OSError of the same errno.
class LEGATO_API FileError : public Error {
 public:
  FileError(const char* what, std::string path, int error);
  ~FileError() override;
  const std::string& path() const { return path_; }
  int error() const { return error_; }

 private:
  std::string path_;
  int error_;
};

/// Bytes with random access.
class LEGATO_API Source {
 public:
  virtual ~Source();
  /// What messages call it: the path.
  const std::string& name() const { return name_; }
  int64_t size() const { return size_; }
  /// Copies `n` bytes from `offset` on. Throws ValueError, which names the file and says that it is
  /// truncated, if they are not all there.
  void read(int64_t offset, void* to, int64_t n) const;
  std::string read_text(int64_t offset, int64_t n) const;

 protected:
  Source(std::string name, int64_t size) : name_(std::move(name)), size_(size) {}
  virtual void read_inside(int64_t offset, void* to, int64_t n) const = 0;

 private:
  std::string name_;
  int64_t size_;
};

/// A regular file. Throws FileError.
LEGATO_API std::unique_ptr<Source> open_file(const std::string& path);
/// Bytes in memory, which must outlive the source. `name` stands in messages.
LEGATO_API std::unique_ptr<Source> open_bytes(std::span<const std::byte> bytes, std::string name);

/// Takes bytes in order.
class LEGATO_API Sink {
 public:
  virtual ~Sink();
  virtual void write(const void* data, int64_t n) = 0;
  void write(std::string_view text) { write(text.data(), static_cast<int64_t>(text.size())); }
};

/// Collects the bytes in a string.
class LEGATO_API StringSink final : public Sink {
 public:
  using Sink::write;
  void write(const void* data, int64_t n) override {
    bytes.append(static_cast<const char*>(data), static_cast<size_t>(n));
  }
  std::string bytes;
};

/// Writes a file that appears under its name whole or not at all: into a temporary file beside it,
/// which commit() makes durable and renames. Without commit() nothing changes.
class LEGATO_API FileSink final : public Sink {
 public:
  /// Throws FileError if the folder cannot be written.
  explicit FileSink(const std::string& path);
  ~FileSink() override;
  using Sink::write;
  void write(const void* data, int64_t n) override;
  void commit();

 private:
  std::string path_, temporary_;
  int file_ = -1;
};

/// Writes the elements of an evaluated array in row-major order.
LEGATO_API void write_elements(const Array& a, Sink& sink);

/// A new array of `shape`, filled by fill(host memory, bytes). ValueError naming `what` if the size
/// overflows.
LEGATO_API Array read_elements(const char* what, const Shape& shape, Dtype dtype,
                               const Source& source, int64_t offset);

/// `a * b`, `a + b` of sizes that a file states; ValueError naming `what` on overflow or if
/// negative.
LEGATO_API int64_t checked_product(const char* what, int64_t a, int64_t b);
LEGATO_API int64_t checked_sum(const char* what, int64_t a, int64_t b);
/// Bytes of an array; ValueError naming `what` if a size is negative or the product overflows.
LEGATO_API int64_t checked_bytes(const char* what, const Shape& shape, Dtype dtype);

}  // namespace legato::io
