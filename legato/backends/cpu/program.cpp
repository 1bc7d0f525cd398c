// The tile interpreter. A program is planned once (program_plan.h): each instruction becomes a
// step, a tile loop with the slots of its operands and its result. A call binds slots to memory (a
// tile of scratch, or the caller's array itself where its layout and dtype allow) and runs all
// steps on one tile of elements after another, so that intermediate values stay in L1.
//
// Tiles are ranges of the flat, row-major index space of the outputs; operands of other layouts are
// gathered into a tile.
#include "legato/backends/cpu/program.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "legato/backends/cpu/copy.h"
#include "legato/backends/cpu/loops.h"
#include "legato/backends/cpu/program_plan.h"
#include "legato/base/cpu_info.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

using pointwise::LoopTable;

constexpr int64_t kTile = 1024;  // elements; halved while the tiles in use exceed kTileBytes
constexpr int64_t kMinTile = 256;
constexpr int64_t kTileBytes = 32 << 10;     // L1
constexpr int64_t kMinChunk = 16 << 10;      // elements a thread takes at least
constexpr int64_t kMinRow = 256;             // elements of a row that code runs along by itself
constexpr int64_t kMaxGathered = 256 << 10;  // elements of a transposed operand brought in at once

/// Repeats the element at `p` over n elements.
void splat(char* p, int64_t size, int64_t n) {
  const size_t total = static_cast<size_t>(size * n);
  for (size_t filled = static_cast<size_t>(size); filled < total; filled *= 2)
    std::memcpy(p + filled, p, std::min(filled, total - filled));
}

/// Memory of a thread for its tiles.
class Scratch {
 public:
  ~Scratch() { std::free(p_); }
  char* get(int64_t bytes) {
    if (bytes > size_) {
      std::free(p_);
      size_ = (bytes + 0xffff) & ~int64_t{0xffff};
      p_ = static_cast<char*>(std::aligned_alloc(64, static_cast<size_t>(size_)));
      if (!p_) {
        size_ = 0;
        throw MemoryError(cat("no memory for ", bytes, " bytes of tiles"));
      }
    }
    return p_;
  }

 private:
  char* p_ = nullptr;
  int64_t size_ = 0;
};
thread_local Scratch tile_scratch;
thread_local Scratch gather_scratch;

/// How an input comes into its slot.
enum class Load : uint8_t {
  direct,      // the array itself
  contiguous,  // copied or converted from consecutive elements, tile by tile
  scalar,      // one element, repeated once
  gather,      // any layout
};

struct Bound {
  const Plan& plan;
  const fuse::ProgramCall& call;
  int64_t total = 0, tile = kTile;
  Load load[fuse::kMaxInputs];
  StridedSource source[fuse::kMaxInputs];  // of inputs that are not row-major
  bool whole_rows[fuse::kMaxInputs];       // gathered a chunk at a time, in blocks of rows
  bool long_runs[fuse::kMaxInputs];  // gathered, unless code takes it for a scalar of each row
  bool streamed[fuse::kMaxOutputs];  // written past the caches
  bool plain = true;                 // no slot needs scratch
  bool in_one_go = true;             // nothing is gathered
  bool prefetch = false;             // operands come from beyond the second-level cache

  Bound(const Plan& p, const fuse::ProgramCall& c) : plan(p), call(c) {}
};

int64_t align64(int64_t n) { return (n + 63) & ~int64_t{63}; }

/// Asks for the lines of share `step` of the steps' shares of direct inputs, `n` elements from
/// `ahead` on.
void prefetch_share(const Bound& b, char* const* base, const int64_t* advance, int64_t ahead,
                    int64_t n, int64_t step) {
  const int64_t steps = static_cast<int64_t>(b.plan.steps.size());
  for (int i = 0; i < b.plan.n_in; ++i) {
    if (b.load[i] != Load::direct) continue;
    const int64_t lines = (n * advance[i] + 63) / 64;
    const char* p = base[i] + ahead * advance[i];
    for (int64_t l = lines * step / steps; l < lines * (step + 1) / steps; ++l)
      __builtin_prefetch(p + l * 64, 0, 2);
  }
}

/// Computes elements [begin, end).
void run_range(const Bound& b, int64_t begin, int64_t end) {
  const Plan& plan = b.plan;
  char* base[kMaxSlots];       // of element `begin`, or of the tile
  int64_t advance[kMaxSlots];  // bytes per element that the slot moves on; 0 for tiles
  const int64_t tile = std::min(b.tile, end - begin);

  int64_t scratch_bytes = 0;
  auto reserve = [&](int slot, int64_t size) {
    base[slot] = reinterpret_cast<char*>(scratch_bytes);
    advance[slot] = 0;
    scratch_bytes += align64(size * tile);
  };
  int64_t raw_bytes = 0;  // elements as stored, before their conversion
  const char* gathered[fuse::kMaxInputs] = {};
  int64_t gathered_bytes = 0;
  for (int i = 0; i < plan.n_in; ++i) {
    const int64_t stored_size = size_of(plan.inputs[i].stored);
    if (b.load[i] == Load::direct) {
      base[i] =
          const_cast<char*>(static_cast<const char*>(b.call.inputs[i].data)) + begin * stored_size;
      advance[i] = stored_size;
    } else {
      reserve(i, size_of(plan.inputs[i].reg));
      if (plan.inputs[i].convert && b.load[i] != Load::contiguous)
        raw_bytes = std::max(raw_bytes, align64(stored_size * tile));
      if (b.load[i] == Load::gather && b.whole_rows[i])
        gathered_bytes += align64(stored_size * (end - begin));
    }
  }
  for (int i = 0; i < plan.n_lit; ++i) reserve(plan.lit_slot(i), plan.literal_size[i]);
  for (int i = 0; i < plan.n_out; ++i) {
    if (b.streamed[i]) {
      reserve(plan.out_slot(i), plan.outputs[i].size);
    } else {
      base[plan.out_slot(i)] = static_cast<char*>(b.call.outputs[i]) + begin * plan.outputs[i].size;
      advance[plan.out_slot(i)] = plan.outputs[i].size;
    }
  }
  for (size_t i = 0; i < plan.temp_size.size(); ++i)
    reserve(plan.temp_slot(static_cast<int>(i)), plan.temp_size[i]);

  char* raw = nullptr;
  if (scratch_bytes + raw_bytes > 0) {
    char* scratch = tile_scratch.get(scratch_bytes + raw_bytes);
    raw = scratch + scratch_bytes;
    for (int s = 0; s < plan.n_slots; ++s)
      if (advance[s] == 0) base[s] = scratch + reinterpret_cast<int64_t>(base[s]);
  }
  if (gathered_bytes > 0) {
    char* at = gather_scratch.get(gathered_bytes);
    for (int i = 0; i < plan.n_in; ++i) {
      if (b.load[i] != Load::gather || !b.whole_rows[i]) continue;
      const int64_t size = size_of(plan.inputs[i].stored);
      b.source[i].gather(at, begin, end - begin);
      gathered[i] = at;
      at += align64(size * (end - begin));
      if (!plan.inputs[i].convert) {  // its tiles are parts of it
        base[i] = const_cast<char*>(gathered[i]);
        advance[i] = size;
      }
    }
  }
  for (int i = 0; i < plan.n_in; ++i) {
    if (b.load[i] != Load::scalar) continue;
    const void* data = b.call.inputs[i].data;
    const int64_t size = size_of(plan.inputs[i].reg);
    if (plan.inputs[i].convert)
      plan.inputs[i].convert(base[i], &data, 1);
    else
      std::memcpy(base[i], data, static_cast<size_t>(size));
    splat(base[i], size, tile);
  }
  for (int i = 0; i < plan.n_lit; ++i) {
    char* p = base[plan.lit_slot(i)];
    std::memcpy(p, b.call.literals[i].bytes, static_cast<size_t>(plan.literal_size[i]));
    splat(p, plan.literal_size[i], tile);
  }

  int64_t phase[fuse::kMaxInputs];  // of the repeated row that the tile holds
  for (int i = 0; i < plan.n_in; ++i) phase[i] = -1;
  const LoopTable& table = pointwise::loop_table(simd_level());
  for (int64_t at = begin; at < end; at += tile) {
    const int64_t n = std::min(tile, end - at), moved = at - begin;
    for (int i = 0; i < plan.n_in; ++i) {
      const Plan::Input& in = plan.inputs[i];
      const int64_t size = size_of(in.stored);
      if (b.load[i] == Load::contiguous) {
        const void* from = static_cast<const char*>(b.call.inputs[i].data) + at * size;
        if (in.convert)
          in.convert(base[i], &from, n);
        else
          std::memcpy(base[i], from, static_cast<size_t>(n * size));
      } else if (b.load[i] == Load::gather && !(gathered[i] && !in.convert)) {
        if (int64_t period = b.source[i].period(); period && !gathered[i]) {
          if (phase[i] == at % period) continue;  // tiles never grow
          phase[i] = at % period;
        }
        const void* from = gathered[i] ? gathered[i] + moved * size : raw;
        if (!gathered[i]) b.source[i].gather(in.convert ? raw : base[i], at, n);
        if (in.convert) in.convert(base[i], &from, n);
      }
    }
    // The next tile's operands come from memory while this one is computed, a share with each step.
    const int64_t ahead = b.prefetch && at + tile < end ? moved + n : -1;
    const int64_t next = std::min(tile, end - at - n);
    int64_t step = 0;
    for (const Step& s : plan.steps) {
      if (ahead >= 0) prefetch_share(b, base, advance, ahead, next, step++);
      const void* src[3] = {base[s.src[0]] + advance[s.src[0]] * moved,
                            base[s.src[1]] + advance[s.src[1]] * moved,
                            base[s.src[2]] + advance[s.src[2]] * moved};
      s.loop(base[s.dst] + advance[s.dst] * moved, src, n);
    }
    for (int o = 0; o < plan.n_out; ++o) {
      if (!b.streamed[o]) continue;
      const int64_t bytes = n * plan.outputs[o].size, whole = bytes & ~int64_t{63};
      char* to = static_cast<char*>(b.call.outputs[o]) + at * plan.outputs[o].size;
      table.stream(to, base[plan.out_slot(o)], whole);
      std::memcpy(to + whole, base[plan.out_slot(o)] + whole, static_cast<size_t>(bytes - whole));
    }
  }
}

/// The same by machine code, which converts operands itself and needs only other layouts gathered.
void run_compiled(const Bound& b, const jit::Code& code, int64_t begin, int64_t end) {
  const Plan& plan = b.plan;
  jit::Operands o;
  o.n_in = plan.n_in;
  o.n_out = plan.n_out;
  int64_t gathered_bytes = 0;
  int64_t tile = end - begin;
  for (int i = 0; i < plan.n_in; ++i) {
    const int64_t size = size_of(plan.inputs[i].stored);
    o.in_size[i] = static_cast<int8_t>(b.load[i] == Load::scalar || b.long_runs[i] ? 0 : size);
    o.in[i] = static_cast<const char*>(b.call.inputs[i].data) + begin * o.in_size[i];
    if (b.load[i] != Load::gather || b.long_runs[i]) continue;
    if (b.whole_rows[i]) {
      gathered_bytes += align64(size * (end - begin));
    } else if (b.source[i].period() < kMinRow) {
      gathered_bytes += align64(size * kTile);
      tile = std::min(tile, kTile);
    }
  }
  for (int i = 0; i < plan.n_out; ++i) {
    o.out_size[i] = static_cast<int8_t>(plan.outputs[i].size);
    o.out[i] = static_cast<char*>(b.call.outputs[i]) + begin * plan.outputs[i].size;
  }
  if (b.in_one_go) return jit::run(code, o, end - begin, b.call.literals.data());
  // Whole periods of a short row, so that its tile is filled once.
  char* buffer[fuse::kMaxInputs];
  int64_t phase[fuse::kMaxInputs], filled[fuse::kMaxInputs];
  for (int i = 0; i < plan.n_in; ++i) buffer[i] = nullptr;
  if (gathered_bytes > 0) {
    char* at = gather_scratch.get(gathered_bytes);
    for (int i = 0; i < plan.n_in; ++i) {
      if (b.load[i] != Load::gather || b.long_runs[i]) continue;
      const int64_t size = size_of(plan.inputs[i].stored), period = b.source[i].period();
      phase[i] = -1;
      if (b.whole_rows[i]) {
        b.source[i].gather(at, begin, end - begin);
        o.in[i] = at;
        at += align64(size * (end - begin));
      } else if (period < kMinRow) {
        if (period > 0 && tile > period) tile = tile / period * period;
        buffer[i] = at;
        at += align64(size * kTile);
      }
    }
  }
  jit::Operands now = o;
  for (int64_t at = begin; at < end;) {
    int64_t n = std::min(tile, end - at);
    for (int i = 0; i < plan.n_in; ++i) {
      if (b.load[i] != Load::gather || b.whole_rows[i] || buffer[i]) continue;
      const int64_t row = b.long_runs[i] ? b.source[i].run() : b.source[i].period();
      n = std::min(n, row - at % row);  // a long row that repeats, or all of whose elements are one
    }
    for (int i = 0; i < plan.n_in; ++i) {
      const int64_t period = b.load[i] == Load::gather ? b.source[i].period() : 0;
      if (b.load[i] != Load::gather || b.whole_rows[i]) {
        now.in[i] = o.in[i] + (at - begin) * o.in_size[i];
      } else if (b.long_runs[i]) {
        now.in[i] = b.source[i].run_element(at);
      } else if (!buffer[i]) {
        now.in[i] = static_cast<const char*>(b.source[i].data()) + at % period * o.in_size[i];
      } else {
        now.in[i] = buffer[i];
        if (period > 0 && phase[i] == at % period && n <= filled[i]) continue;
        b.source[i].gather(buffer[i], at, n);
        if (period > 0) phase[i] = at % period;
        filled[i] = n;
      }
    }
    for (int i = 0; i < plan.n_out; ++i) now.out[i] = o.out[i] + (at - begin) * o.out_size[i];
    jit::run(code, now, n, b.call.literals.data());
    at += n;
  }
}

/// Elements [begin, end) of a program of one step on arrays that need no scratch.
void run_single(const Bound& b, int64_t begin, int64_t end) {
  const Plan& plan = b.plan;
  const Step& s = plan.steps[0];
  const void* src[3];
  for (int i = 0; i < 3; ++i) {
    const int in = s.src[i];  // unused operands name slot 0, which exists
    src[i] = plan.n_in ? static_cast<const char*>(b.call.inputs[in].data) +
                             begin * size_of(plan.inputs[in].stored)
                       : nullptr;
  }
  s.loop(static_cast<char*>(b.call.outputs[0]) + begin * plan.outputs[0].size, src, end - begin);
}

bool overlap(const void* a, int64_t a_bytes, const void* b, int64_t b_bytes) {
  const char *x = static_cast<const char*>(a), *y = static_cast<const char*>(b);
  return x < y + b_bytes && y < x + a_bytes;
}

void bind_inputs(Bound& b) {
  const Plan& plan = b.plan;
  for (int i = 0; i < plan.n_in; ++i) {
    const fuse::BoundInput& in = b.call.inputs[i];
    const Plan::Input& planned = plan.inputs[i];
    b.whole_rows[i] = b.long_runs[i] = false;
    bool dense = is_row_major(b.call.shape, in.strides);
    if (!dense) {
      LEGATO_CHECK(b.source[i].init(in.data, b.call.shape, in.strides, size_of(planned.stored)),
                   "an operand of a pointwise program has more than 16 axes that cannot be merged");
      if (b.source[i].scalar()) {
        b.load[i] = Load::scalar;
        b.plain = false;
        continue;
      }
      dense = b.source[i].contiguous();
    }
    if (!dense) {
      b.load[i] = Load::gather;
      b.in_one_go = false;
      b.long_runs[i] = b.source[i].run() >= kMinRow;
      b.plain = false;
      continue;
    }
    b.load[i] = planned.convert ? Load::contiguous : Load::direct;
    // Where an output that is written before this input's last use has its memory, the input is
    // copied first.
    if (!planned.convert) {
      const int64_t size = size_of(planned.stored);
      for (int o = 0; o < plan.n_out; ++o) {
        const Plan::Output& out = plan.outputs[o];
        const bool later = planned.last_read > out.written ||
                           (planned.last_read == out.written && size != out.size);
        if (later && overlap(in.data, b.total * size, b.call.outputs[o], b.total * out.size))
          b.load[i] = Load::contiguous;
      }
    }
    if (b.load[i] != Load::direct) b.plain = false;
  }
}

/// Machine code for the call, or null. Its steps read all their operands before they write, so an
/// input may have the memory of an output if elements meet, and not otherwise.
const jit::Code* find_code(const Bound& b) {
  const Plan& plan = b.plan;
  jit::Variant variant;
  bool splits = false;  // stretches that are no whole number of vectors
  for (int i = 0; i < plan.n_in; ++i) {
    if (b.load[i] == Load::scalar || b.long_runs[i]) variant.scalars |= 1u << i;
    if (b.load[i] == Load::gather) splits |= b.source[i].period() > 0 || b.long_runs[i];
    if (b.load[i] != Load::direct && b.load[i] != Load::contiguous) continue;
    const int64_t size = size_of(plan.inputs[i].stored);
    for (int o = 0; o < plan.n_out; ++o) {
      const bool same = b.call.inputs[i].data == b.call.outputs[o] && size == plan.outputs[o].size;
      if (!same && overlap(b.call.inputs[i].data, b.total * size, b.call.outputs[o],
                           b.total * plan.outputs[o].size))
        return nullptr;
    }
  }
  for (int o = 0; o < plan.n_out; ++o)
    if (b.streamed[o] && !splits && plan.outputs[o].size >= 4 && plan.outputs[o].size <= 8)
      variant.streamed |= 1u << o;
  const int64_t steps = static_cast<int64_t>(plan.steps.size());
  return plan.compiled.find(*b.call.program, variant, steps * (16 + b.total / 8));
}

/// A program of one step on short arrays that lie along one axis, without binding anything.
bool run_directly(const Plan& plan, const fuse::ProgramCall& call) {
  if (!plan.single || call.shape.size() != 1 || call.shape[0] >= 2 * kMinChunk ||
      jit::mode() == jit::Mode::always)
    return false;
  const Step& s = plan.steps[0];
  const int64_t n = call.shape[0];
  const void* src[3] = {};
  for (int i = 0; i < plan.n_in; ++i) {
    const Plan::Input& in = plan.inputs[static_cast<size_t>(i)];
    if (in.convert || (n > 1 && call.inputs[static_cast<size_t>(i)].strides[0] != 1)) return false;
    // An input may have the memory of the output, if their elements meet.
    if (size_of(in.stored) != plan.outputs[0].size &&
        overlap(call.inputs[static_cast<size_t>(i)].data, n * size_of(in.stored), call.outputs[0],
                n * plan.outputs[0].size))
      return false;
  }
  for (int i = 0; i < 3 && plan.n_in; ++i) src[i] = call.inputs[s.src[i]].data;
  s.loop(call.outputs[0], src, n);
  return true;
}

}  // namespace

void run_program(const fuse::ProgramCall& call) {
  const Plan& plan = plan_of(*call.program);
  if (run_directly(plan, call)) return;
  Bound b(plan, call);
  b.total = 1;
  for (int64_t n : call.shape) b.total *= n;
  if (b.total == 0) return;
  bind_inputs(b);

  static const int64_t kPrefetchBytes = cpu_info().l2_bytes;
  int64_t in_bytes = 0;
  for (int i = 0; i < plan.n_in; ++i)
    if (b.load[i] == Load::direct) in_bytes += b.total * size_of(plan.inputs[i].stored);
  b.prefetch = in_bytes > kPrefetchBytes;
  // Outputs that the caches cannot hold beside the inputs go past them, which saves reading their
  // lines first, and pushes no inputs out.
  static const int64_t kCacheBytes = cpu_info().l3_bytes;
  int64_t out_bytes = 0;
  for (int o = 0; o < plan.n_out; ++o) out_bytes += b.total * plan.outputs[o].size;
  const bool stream = out_bytes > kCacheBytes ||
                      (out_bytes > kCacheBytes / 4 && in_bytes + out_bytes > kCacheBytes / 4 * 3);
  for (int o = 0; o < plan.n_out; ++o)
    b.streamed[o] = stream && reinterpret_cast<uintptr_t>(call.outputs[o]) % 64 == 0;
  // A precompiled loop over arrays as they are is machine code already.
  const bool single = plan.single && b.plain && !stream && jit::mode() != jit::Mode::always;

  while (b.tile > kMinTile && b.tile * plan.tile_bytes > kTileBytes) b.tile /= 2;

  if (b.total < 2 * kMinChunk) {
    if (single) return run_single(b, 0, b.total);
    if (const jit::Code* code = find_code(b)) return run_compiled(b, *code, 0, b.total);
    return run_range(b, 0, b.total);
  }
  // Chunks of whole tiles; with a transposed operand of whole rows, enough of them to use its cache
  // lines fully.
  const int64_t threads = num_threads();
  int64_t chunk = std::max(kMinChunk, (b.total + 4 * threads - 1) / (4 * threads));
  for (int i = 0; i < plan.n_in; ++i) {
    if (b.load[i] != Load::gather || !b.source[i].transposed()) continue;
    const int64_t row = b.source[i].row_length();
    if (row * 16 > kMaxGathered) continue;
    const int64_t rows = std::clamp<int64_t>(chunk / row / 16 * 16, 16,
                                             std::max<int64_t>(16, kMinChunk * 4 / row / 16 * 16));
    chunk = rows * row;
    b.whole_rows[i] = true;
    for (int o = 0; o < plan.n_out; ++o) b.streamed[o] &= chunk * plan.outputs[o].size % 64 == 0;
  }
  if (std::none_of(b.whole_rows, b.whole_rows + plan.n_in, [](bool w) { return w; }))
    chunk = (chunk + kTile - 1) / kTile * kTile;
  const jit::Code* code = single ? nullptr : find_code(b);
  const int64_t chunks = (b.total + chunk - 1) / chunk;
  parallel_for(chunks, [&](int64_t c) {
    const int64_t begin = c * chunk, end = std::min(b.total, begin + chunk);
    if (single)
      run_single(b, begin, end);
    else if (code)
      run_compiled(b, *code, begin, end);
    else
      run_range(b, begin, end);
  });
}

}  // namespace legato::cpu
