#include "legato/io/bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace legato::io {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path) {
  throw FileError(what, path, errno);
}

class FileSource final : public Source {
 public:
  FileSource(const std::string& path, int file, int64_t size) : Source(path, size), file_(file) {}
  ~FileSource() override { ::close(file_); }

 protected:
  void read_inside(int64_t offset, void* to, int64_t n) const override {
    auto* out = static_cast<char*>(to);
    while (n > 0) {
      ssize_t got = ::pread(file_, out, static_cast<size_t>(n), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("cannot read", name());
      if (got == 0)  // shorter than when it was opened
        throw ValueError(
            cat(name(), " is truncated: it ended at byte ", offset, " while it was read"));
      out += got;
      offset += got;
      n -= got;
    }
  }

 private:
  int file_;
};

class MemorySource final : public Source {
 public:
  MemorySource(std::span<const std::byte> bytes, std::string name)
      : Source(std::move(name), static_cast<int64_t>(bytes.size())), bytes_(bytes) {}

 protected:
  void read_inside(int64_t offset, void* to, int64_t n) const override {
    std::memcpy(to, bytes_.data() + offset, static_cast<size_t>(n));
  }

 private:
  std::span<const std::byte> bytes_;
};

// What a chain of links leads to, so that saving replaces the file and not the link.
std::string resolve(const std::string& path) {
  char buffer[PATH_MAX];
  return ::realpath(path.c_str(), buffer) ? std::string(buffer) : path;
}

std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

void write_axis(const std::byte* base, const Value& v, size_t axis, Sink& sink) {
  int64_t size = size_of(v.dtype);
  if (axis == v.shape.size()) return sink.write(base, size);
  int64_t n = v.shape[axis], step = v.layout.strides[axis] * size;
  if (axis + 1 < v.shape.size() || step == size) {
    if (axis + 1 == v.shape.size()) return sink.write(base, n * size);
    for (int64_t i = 0; i < n; ++i) write_axis(base + i * step, v, axis + 1, sink);
    return;
  }
  std::string row(static_cast<size_t>(n * size), '\0');
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(row.data() + i * size, base + i * step, static_cast<size_t>(size));
  sink.write(row);
}

}  // namespace

FileError::FileError(const char* what, std::string path, int error)
    : Error(cat(what, " ", path, ": ", std::strerror(error))),
      path_(std::move(path)),
      error_(error) {}
FileError::~FileError() = default;

Source::~Source() = default;
Sink::~Sink() = default;

void Source::read(int64_t offset, void* to, int64_t n) const {
  if (offset < 0 || n < 0 || offset > size_ || n > size_ - offset)
    throw ValueError(cat(name_, " is truncated or corrupt: bytes ", offset, " to ",
                         static_cast<uint64_t>(offset) + static_cast<uint64_t>(n),
                         " are needed, but it has ", size_));
  if (n > 0) read_inside(offset, to, n);
}

std::string Source::read_text(int64_t offset, int64_t n) const {
  if (n < 0 || n > size_) read(offset, nullptr, n);  // throws before anything is allocated
  std::string text(static_cast<size_t>(n), '\0');
  read(offset, text.data(), n);
  return text;
}

std::unique_ptr<Source> open_file(const std::string& path) {
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail("cannot open", path);
  struct stat info = {};
  if (::fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(file);
    throw FileError("cannot open", path, S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
  }
  return std::make_unique<FileSource>(path, file, info.st_size);
}

std::unique_ptr<Source> open_bytes(std::span<const std::byte> bytes, std::string name) {
  return std::make_unique<MemorySource>(bytes, std::move(name));
}

FileSink::FileSink(const std::string& path) : path_(resolve(path)) {
  temporary_ = path_ + ".XXXXXX";
  file_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (file_ < 0) fail("cannot write", path);
  // mkstemp makes files for their owner alone: give it the rights of the file it replaces, or those
  // of any new file.
  struct stat old;
  mode_t mode;
  if (::stat(path_.c_str(), &old) == 0) {
    mode = old.st_mode & 07777;
  } else {
    mode_t mask = ::umask(0);
    ::umask(mask);
    mode = 0666 & ~mask;
  }
  (void)!::fchmod(file_, mode);  // not every file system has rights
}

FileSink::~FileSink() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(temporary_.c_str());
}

void FileSink::write(const void* data, int64_t n) {
  auto* from = static_cast<const char*>(data);
  while (n > 0) {
    ssize_t done = ::write(file_, from, static_cast<size_t>(n));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("cannot write", path_);
    from += done;
    n -= done;
  }
}

void FileSink::commit() {
  if (::fsync(file_) != 0) fail("cannot write", path_);
  int closed = ::close(file_);
  file_ = -1;
  if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    int reason = errno;
    ::unlink(temporary_.c_str());
    errno = reason;
    fail("cannot write", path_);
  }
  // The name itself is durable once the folder is. Some file systems refuse; the file is whole
  // anyway.
  int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

void write_elements(const Array& a, Sink& sink) {
  a.eval();
  const Value& v = a.value();
  if (v.size == 0) return;
  auto* base = static_cast<const std::byte*>(runtime_hooks().read(*v.storage)) +
               v.layout.offset * size_of(v.dtype);
  if (v.row_major) return sink.write(base, a.nbytes());
  write_axis(base, v, 0, sink);
}

Array read_elements(const char* what, const Shape& shape, Dtype dtype, const Source& source,
                    int64_t offset) {
  int64_t bytes = checked_bytes(what, shape, dtype);
  if (offset < 0 || offset > source.size() || bytes > source.size() - offset)
    source.read(offset, nullptr, bytes);  // throws before anything is allocated
  void* host = nullptr;
  auto storage = runtime_hooks().allocate(bytes, &host);
  source.read(offset, host, bytes);
  if (dtype == Dtype::bool_) {  // a bool in memory is 0 or 1, whatever the file says
    auto* b = static_cast<uint8_t*>(host);
    for (int64_t i = 0; i < bytes; ++i) b[i] = b[i] != 0;
  }
  return from_storage(std::move(storage), shape, {row_major_strides(shape), 0}, dtype);
}

int64_t checked_product(const char* what, int64_t a, int64_t b) {
  int64_t r;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &r))
    throw ValueError(cat(what, ": the sizes ", a, " and ", b, " are beyond any file"));
  return r;
}

int64_t checked_sum(const char* what, int64_t a, int64_t b) {
  int64_t r;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &r))
    throw ValueError(cat(what, ": the sizes ", a, " and ", b, " are beyond any file"));
  return r;
}

int64_t checked_bytes(const char* what, const Shape& shape, Dtype dtype) {
  int64_t n = 1;
  for (int64_t s : shape) {
    if (s < 0) throw ValueError(cat(what, ": negative size in shape ", shape));
    if (s == 0) return 0;
  }
  for (int64_t s : shape) n = checked_product(what, n, s);
  return checked_product(what, n, size_of(dtype));
}

}  // namespace legato::io
