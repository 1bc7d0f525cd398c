#include "legato/backends/cpu/jit/variants.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "legato/base/cpu_info.h"
#include "legato/fuse/functions.h"

namespace legato::cpu::jit {
namespace {

// Who waits until renting has cost as much as buying never pays more than twice the least.
constexpr int64_t kCompileNs = 60'000;
constexpr int kMaxVariants = 8;
constexpr int kInstrsPerCall = 8;  // beside each call, to be worth compiling

std::atomic<int64_t> compiled{0};

/// Whether code can be faster than the interpreter's loops: not where most of the time goes into
/// calls of the C library, nor on narrow integers alone, of which those loops take more at once.
bool worthwhile(const fuse::LaneProgram& p) {
  int calls = 0, rest = 0;
  bool narrow = false, full = false;
  for (const fuse::LaneInstr& s : p.instrs) {
    if (s.op == fuse::LaneOp::constant) continue;
    const auto id = static_cast<pointwise::Id>(s.fn);
    if (s.op == fuse::LaneOp::call && id != pointwise::Id::LeftShift &&
        id != pointwise::Id::RightShift)
      ++calls;
    else if (s.op != fuse::LaneOp::input && s.op != fuse::LaneOp::literal)
      ++rest;
    narrow |= is_integer(s.type) && size_of(s.type) < 4;
    full |= size_of(s.type) >= 4;
  }
  return rest >= kInstrsPerCall * calls && !(narrow && !full);
}

std::atomic<Mode>& mode_flag() {
  static std::atomic<Mode> flag = [] {
    const char* text = std::getenv("LEGATO_JIT");
    if (text && std::strcmp(text, "0") == 0) return Mode::never;
    if (text && std::strcmp(text, "always") == 0) return Mode::always;
    return Mode::when_it_pays;
  }();
  return flag;
}

}  // namespace

Mode mode() { return mode_flag().load(std::memory_order_relaxed); }
void set_mode(Mode m) { mode_flag().store(m, std::memory_order_relaxed); }
int64_t compiled_count() { return compiled.load(); }

Variants::~Variants() {
  for (Entry* e = first_.load(); e;) delete std::exchange(e, e->next);
}

const Code* Variants::find(const fuse::Program& program, const Variant& variant,
                           int64_t interpret_ns) {
  const Mode now = mode();
  if (now == Mode::never || !available()) return nullptr;
  for (const Entry* e = first_.load(std::memory_order_acquire); e; e = e->next)
    if (e->variant == variant) return e->code.get();
  if (now == Mode::when_it_pays &&
      interpreted_ns_.fetch_add(interpret_ns, std::memory_order_relaxed) + interpret_ns <
          kCompileNs)
    return nullptr;
  return compile(program, variant);
}

const Code* Variants::compile(const fuse::Program& program, const Variant& variant) {
  std::lock_guard lock(mutex_);
  for (const Entry* e = first_.load(std::memory_order_acquire); e; e = e->next)
    if (e->variant == variant) return e->code.get();
  if (count_ == kMaxVariants) return nullptr;
  auto entry = std::make_unique<Entry>();
  entry->variant = variant;
  auto lanes = fuse::lower(program, {.scales = simd_level() == SimdLevel::avx512});
  if (lanes && (mode() == Mode::always || worthwhile(*lanes)))
    entry->code = jit::compile(*lanes, variant, simd_level());
  if (entry->code) ++compiled;
  entry->next = first_.load();
  ++count_;
  const Code* code = entry->code.get();
  first_.store(entry.release(), std::memory_order_release);
  return code;
}

void run(const Code& code, const Operands& o, int64_t n, const fuse::LiteralValue* literals) {
  const int64_t rest = n % code.step, whole = n - rest;
  Block blocks[2];
  for (int i = 0; i < o.n_in; ++i) blocks[0].in[i] = o.in[i];
  for (int i = 0; i < o.n_out; ++i) blocks[0].out[i] = o.out[i];
  blocks[0].n = whole;
  blocks[0].more = rest > 0;
  if (rest == 0) return code.entry(blocks, literals);

  // The last elements: a step that computes some of those before it once more,
  bool again = whole > 0 && !code.streams;
  for (int i = 0; i < o.n_in; ++i)
    for (int k = 0; k < o.n_out; ++k) again &= o.in_size[i] == 0 || o.in[i] != o.out[k];
  if (again) {
    const int64_t first = n - code.step;
    for (int i = 0; i < o.n_in; ++i) blocks[1].in[i] = o.in[i] + first * o.in_size[i];
    for (int i = 0; i < o.n_out; ++i) blocks[1].out[i] = o.out[i] + first * o.out_size[i];
    blocks[1].n = code.step;
    blocks[1].more = 0;
    return code.entry(blocks, literals);
  }

  // or one that goes through buffers, where an output has the memory of an input or is written past
  // the caches. The inputs' elements are copied first: such an output has not reached them.
  constexpr int64_t kStepBytes = 16 * 8;
  alignas(64) char buffer[fuse::kMaxInputs + fuse::kMaxOutputs][kStepBytes];
  for (int i = 0; i < o.n_in; ++i) {
    blocks[1].in[i] = o.in[i];
    const int64_t size = o.in_size[i];
    if (size == 0) continue;
    std::memcpy(buffer[i], o.in[i] + whole * size, static_cast<size_t>(rest * size));
    std::memset(buffer[i] + rest * size, 0, static_cast<size_t>((code.step - rest) * size));
    blocks[1].in[i] = buffer[i];
  }
  for (int i = 0; i < o.n_out; ++i) blocks[1].out[i] = buffer[fuse::kMaxInputs + i];
  blocks[1].n = code.step;
  blocks[1].more = 0;
  code.entry(blocks, literals);
  for (int i = 0; i < o.n_out; ++i)
    std::memcpy(o.out[i] + whole * o.out_size[i], buffer[fuse::kMaxInputs + i],
                static_cast<size_t>(rest * o.out_size[i]));
}

}  // namespace legato::cpu::jit
