// The machine code of one program: when it is compiled, and how it is run.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "legato/backends/cpu/jit/code.h"
#include "legato/base/export.h"
#include "legato/fuse/program.h"

namespace legato::cpu::jit {

/// never: interpret. when_it_pays: compile once interpreting a program has cost as much as
/// compiling it. always: compile at its first run.
enum class Mode : uint8_t { never, when_it_pays, always };

/// Settled at first use by the environment variable LEGATO_JIT: 0 means never, "always" always.
LEGATO_API Mode mode();
LEGATO_API void set_mode(Mode mode);

/// How many programs have been compiled, for tests.
LEGATO_API int64_t compiled_count();

/// Owns the code of a program, one piece for each variant that was met.
class Variants {
 public:
  Variants() = default;
  ~Variants();
  Variants(const Variants&) = delete;
  Variants& operator=(const Variants&) = delete;

  /// The code, or null: it does not exist (yet), and the call is to be interpreted, at a cost of
  /// about `interpret_ns`.
  const Code* find(const fuse::Program& program, const Variant& variant, int64_t interpret_ns);

 private:
  struct Entry {
    Variant variant;
    std::unique_ptr<Code> code;  // null: cannot be compiled
    Entry* next;
  };
  const Code* compile(const fuse::Program& program, const Variant& variant);

  std::atomic<Entry*> first_{nullptr};
  std::atomic<int64_t> interpreted_ns_{0};
  std::mutex mutex_;  // guards additions
  int count_ = 0;
};

/// The operands of one run: addresses of the first element (of scalars: of the element), bytes of
/// an element as stored.
struct Operands {
  int n_in = 0, n_out = 0;
  const char* in[fuse::kMaxInputs];
  char* out[fuse::kMaxOutputs];
  int8_t in_size[fuse::kMaxInputs];  // 0: a scalar
  int8_t out_size[fuse::kMaxOutputs];
};

/// Computes elements [0, n). Nothing past the ends of the operands is touched.
void run(const Code& code, const Operands& operands, int64_t n, const fuse::LiteralValue* literals);

}  // namespace legato::cpu::jit
