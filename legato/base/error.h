// The exceptions of Legato. Each has one Python counterpart; messages are the same in both
// languages and say what was asked, what was found and what to do.
#pragma once

#include <exception>
#include <string>

#include "legato/base/export.h"
#include "legato/base/text.h"

namespace legato {

/// Base of all exceptions thrown by Legato.
class LEGATO_API Error : public std::exception {
 public:
  explicit Error(std::string message) : message_(std::move(message)) {}
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;
  ~Error() override;
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

/// A wrong shape, dtype or argument value. Python: ValueError.
class LEGATO_API ValueError : public Error {
 public:
  using Error::Error;
  ~ValueError() override;
};

/// An argument of the wrong type, or an unknown keyword. Python: TypeError.
class LEGATO_API TypeError : public Error {
 public:
  using Error::Error;
  ~TypeError() override;
};

/// An index outside the array. Python: IndexError.
class LEGATO_API IndexError : public Error {
 public:
  using Error::Error;
  ~IndexError() override;
};

/// An axis outside the array's rank. Python: AxisError, which is a ValueError and an IndexError as
/// NumPy's is.
class LEGATO_API AxisError : public Error {
 public:
  using Error::Error;
  ~AxisError() override;
};

/// No memory left on a device, or a limit set by the caller reached. Python: MemoryError.
class LEGATO_API MemoryError : public Error {
 public:
  using Error::Error;
  ~MemoryError() override;
};

/// A failure while computing: a kernel failed, a device was lost. Python: RuntimeError.
class LEGATO_API EvalError : public Error {
 public:
  using Error::Error;
  ~EvalError() override;
};

/// A value was read where it does not exist: inside vmap or compile. Python: a subclass of
/// ValueError.
class LEGATO_API TransformError : public ValueError {
 public:
  using ValueError::ValueError;
  ~TransformError() override;
};

/// A bug in Legato itself. Python: a subclass of RuntimeError.
class LEGATO_API InternalError : public Error {
 public:
  using Error::Error;
  ~InternalError() override;
};

[[noreturn]] LEGATO_API void throw_internal(const char* file, int line, const char* condition,
                                            const char* message);

}  // namespace legato

/// Checks an invariant of Legato; a violation is our bug and throws InternalError.
#define LEGATO_CHECK(condition, message)                                 \
  do {                                                                   \
    if (!(condition)) [[unlikely]]                                       \
      ::legato::throw_internal(__FILE__, __LINE__, #condition, message); \
  } while (false)
