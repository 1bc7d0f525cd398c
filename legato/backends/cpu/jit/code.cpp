#include "legato/backends/cpu/jit/code.h"

#if LEGATO_HAS_ASMJIT
#include "legato/backends/cpu/jit/emitter.h"

namespace legato::cpu::jit {
namespace {

// Instructions that do not exist: a mistake of ours that costs speed only.
struct Errors final : asmjit::ErrorHandler {
  void handleError(asmjit::Error, const char*, asmjit::BaseEmitter*) override { any = true; }
  bool any = false;
};

}  // namespace

bool available() { return simd_level() != SimdLevel::base; }

std::unique_ptr<Code> compile(const fuse::LaneProgram& program, const Variant& variant,
                              SimdLevel level) {
  if (level == SimdLevel::base) return nullptr;
  asmjit::CodeHolder holder;
  if (holder.init(asmjit::Environment::host()) != asmjit::kErrorOk) return nullptr;
  Errors errors;
  holder.setErrorHandler(&errors);
  Emitter emitter(program, variant, level, holder);
  if (!emitter.emit() || errors.any) return nullptr;
  if (holder.flatten() != asmjit::kErrorOk || holder.resolveUnresolvedLinks() != asmjit::kErrorOk)
    return nullptr;
  auto code = std::make_unique<Code>();
  const size_t bytes = holder.codeSize();
  if (!code->memory.reserve(bytes)) return nullptr;
  void* at = code->memory.address();
  if (holder.relocateToBase(reinterpret_cast<uint64_t>(at)) != asmjit::kErrorOk ||
      holder.copyFlattenedData(at, bytes) != asmjit::kErrorOk)
    return nullptr;
  if (!code->memory.seal()) return nullptr;
  code->entry = reinterpret_cast<Code::Entry>(at);
  code->step = emitter.step();
  code->streams = variant.streamed != 0;
  code->bytes = static_cast<int64_t>(bytes);
  return code;
}

}  // namespace legato::cpu::jit
#else
namespace legato::cpu::jit {

bool available() { return false; }

std::unique_ptr<Code> compile(const fuse::LaneProgram&, const Variant&, SimdLevel) {
  return nullptr;
}

}  // namespace legato::cpu::jit
#endif
