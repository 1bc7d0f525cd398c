// Stands in for asmjit's globals.cpp, so that the linker leaves that object of libasmjit.a out.
//
// Distributions build the archive for programs (-fPIE), not for shared libraries. All of it can be
// linked into one nevertheless, since --exclude-libs hides its symbols and thereby settles their
// addresses; save this one object, which prints to `stderr`, a variable of another library, by an
// address that has to be known when linking.
#if LEGATO_HAS_ASMJIT
#include <asmjit/core.h>

#include <cstdio>
#include <cstdlib>

ASMJIT_BEGIN_NAMESPACE

namespace DebugUtils {

const char* errorAsString(Error error) noexcept {
  return error == kErrorOk ? "no error" : "error of the assembler, see asmjit::ErrorCode";
}

void debugOutput(const char* text) noexcept { std::fputs(text, stderr); }

// Reached only by a call of asmjit that breaks its contract; it cannot continue and may not throw.
void assertionFailed(const char* file, int line, const char* message) noexcept {
  std::fprintf(stderr, "legato: assertion of asmjit failed: %s:%d: %s\n", file, line, message);
  std::abort();
}

}  // namespace DebugUtils

ASMJIT_END_NAMESPACE
#endif
