// The tile interpreter. A program is planned once: each instruction becomes a step, a tile loop
// with the slots of its operands and its result. A call binds slots to memory (a tile of scratch,
// or the caller's array itself where its layout and dtype allow) and runs all steps on one tile of
// elements after another, so that intermediate values stay in L1.
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
#include "legato/base/cpu_info.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"
#include "legato/fuse/functions.h"

namespace legato::cpu {
namespace {

using fuse::Instr;
using fuse::kCastFn;
using fuse::Program;
using pointwise::Id;
using pointwise::Loop;
using pointwise::LoopTable;

constexpr int64_t kTile = 1024;  // elements; halved while the tiles in use exceed kTileBytes
constexpr int64_t kMinTile = 256;
constexpr int64_t kTileBytes = 32 << 10;     // L1
constexpr int64_t kMinChunk = 16 << 10;      // elements a thread takes at least
constexpr int64_t kMaxGathered = 256 << 10;  // elements of a transposed operand brought in at once

constexpr int kMaxSlots = 256;

int index(Dtype t) { return static_cast<int>(t); }

/// The intermediate dtype on the way of a cast for which there is no loop.
Dtype cast_via(const LoopTable& table, Dtype from, Dtype to) {
  if (table.cast[index(from)][index(to)]) return to;
  if (is_half(from)) return Dtype::float32;
  if (is_complex(from)) return real_part(from);
  if (is_complex(to)) return real_part(to);
  return Dtype::float32;
}

void copy1(void* d, const void* const* s, int64_t n) {
  std::memcpy(d, s[0], static_cast<size_t>(n));
}
void copy2(void* d, const void* const* s, int64_t n) {
  std::memcpy(d, s[0], static_cast<size_t>(n) * 2);
}
void copy4(void* d, const void* const* s, int64_t n) {
  std::memcpy(d, s[0], static_cast<size_t>(n) * 4);
}
void copy8(void* d, const void* const* s, int64_t n) {
  std::memcpy(d, s[0], static_cast<size_t>(n) * 8);
}
void copy16(void* d, const void* const* s, int64_t n) {
  std::memcpy(d, s[0], static_cast<size_t>(n) * 16);
}
Loop copy_loop(int64_t size) {
  return size == 1 ? copy1 : size == 2 ? copy2 : size == 4 ? copy4 : size == 8 ? copy8 : copy16;
}

/// Repeats the element at `p` over n elements.
void splat(char* p, int64_t size, int64_t n) {
  const size_t total = static_cast<size_t>(size * n);
  for (size_t filled = static_cast<size_t>(size); filled < total; filled *= 2)
    std::memcpy(p + filled, p, std::min(filled, total - filled));
}

// Slots: inputs, then literals, then outputs, then temporaries.
struct Step {
  Loop loop;
  uint16_t dst;
  uint16_t src[3];
};

struct Plan final : fuse::CompiledProgram {
  struct Input {
    Dtype stored, reg;                    // as in memory; as in a tile
    Loop convert;                         // null where they are the same
    int first_read = -1, last_read = -1;  // steps
  };
  struct Output {
    int64_t size;      // bytes of an element
    int written = -1;  // step
  };
  int n_in, n_lit, n_out, n_slots;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<Step> steps;
  std::vector<int64_t> literal_size;
  std::vector<uint8_t> temp_size;  // bytes of an element of each temporary
  int64_t tile_bytes = 0;          // bytes an element takes over all slots
  bool single = false;             // one step whose operands are inputs

  int lit_slot(int i) const { return n_in + i; }
  int out_slot(int i) const { return n_in + n_lit + i; }
  int temp_slot(int i) const { return n_in + n_lit + n_out + i; }
};

/// Turns a program into steps over values, then places the values in slots.
class Planner {
 public:
  explicit Planner(const Program& program)
      : p_(program), table_(pointwise::loop_table(simd_level())) {}

  std::unique_ptr<Plan> plan() {
    auto plan = std::make_unique<Plan>();
    plan->n_in = static_cast<int>(p_.inputs.size());
    plan->n_lit = static_cast<int>(p_.literals.size());
    plan->n_out = static_cast<int>(p_.outputs.size());
    for (Dtype t : p_.inputs) {
      Dtype reg = compute_dtype(t);
      values_.push_back({reg, false});
      plan->inputs.push_back({t, reg, reg == t ? nullptr : table_.cast[index(t)][index(reg)]});
    }
    for (Dtype t : p_.literals) {
      values_.push_back({compute_dtype(t), false});
      plan->literal_size.push_back(size_of(compute_dtype(t)));
    }
    for (int v = 0; v < static_cast<int>(values_.size()); ++v) value_of_.push_back(v);
    for (const Instr& s : p_.instrs) value_of_.push_back(lower(s));
    join_multiply_add();
    place_outputs(*plan);
    place(*plan);
    return plan;
  }

 private:
  struct Value {
    Dtype dtype;   // in its register
    bool rounded;  // holds a value of a half type
  };
  struct Op {
    Loop loop;
    int dst;
    int src[3];
    int n_src;
    bool multiply, add, gone;
    Dtype compute;
  };

  int emit(Loop loop, Dtype result, std::initializer_list<int> src) {
    Op op{};
    op.loop = loop;
    op.dst = static_cast<int>(values_.size());
    for (int v : src) op.src[op.n_src++] = v;
    values_.push_back({result, false});
    ops_.push_back(op);
    return op.dst;
  }
  int convert(int v, Dtype to) {
    while (values_[v].dtype != to) {
      Dtype from = values_[v].dtype, next = cast_via(table_, from, to);
      Loop loop = table_.cast[index(from)][index(next)];
      LEGATO_CHECK(loop != nullptr, "no cast loop");
      v = emit(loop, next, {v});
    }
    return v;
  }
  static Dtype natural_result(Id fn, Dtype compute) {
    switch (fn) {
      case Id::Equal:
      case Id::NotEqual:
      case Id::Less:
      case Id::LessEqual:
      case Id::Greater:
      case Id::GreaterEqual:
      case Id::IsNan:
      case Id::IsInf:
      case Id::IsFinite:
      case Id::IsNegInf:
      case Id::IsPosInf:
      case Id::Signbit:
      case Id::LogicalAnd:
      case Id::LogicalOr:
      case Id::LogicalXor:
      case Id::LogicalNot:
        return Dtype::bool_;
      case Id::Abs:
      case Id::Real:
      case Id::Imag:
      case Id::Arg:
        return real_part(compute);
      case Id::MakeComplex:
        return to_complex(compute);
      default:
        return compute;
    }
  }
  bool is_computed(int value) const {
    const int first = static_cast<int>(p_.inputs.size() + p_.literals.size());
    return value >= first && p_.instrs[static_cast<size_t>(value - first)].fn != kCastFn;
  }
  int lower(const Instr& s) {
    const Dtype to = compute_dtype(s.dtype);
    int v;
    if (s.fn == kCastFn) {
      v = convert(value_of_[s.src[0]], to);
      // What another function computed is not rounded yet, even if its dtype is this half.
      if (is_half(s.dtype) && (p_.dtype_of_value(s.src[0]) != s.dtype || is_computed(s.src[0])))
        v = emit(table_.round_half[s.dtype == Dtype::bfloat16], Dtype::float32, {v});
      return v;
    }
    const Id fn = static_cast<Id>(s.fn);
    LEGATO_CHECK(s.fn < pointwise::kFunctionCount, "pointwise function number out of range");
    Loop loop = table_.fn[s.fn][index(s.compute)];
    if (!loop)
      throw InternalError(
          cat("the pointwise function ", fuse::fn_name(s.fn), " has no CPU loop for ", s.compute));
    int src[3] = {0, 0, 0};
    for (int i = 0; i < s.n_src; ++i)
      src[i] = convert(value_of_[s.src[i]], fn == Id::Where && i == 0 ? Dtype::bool_ : s.compute);
    const Dtype result = natural_result(fn, s.compute);
    if (s.n_src == 1)
      v = emit(loop, result, {src[0]});
    else if (s.n_src == 2)
      v = emit(loop, result, {src[0], src[1]});
    else
      v = emit(loop, result, {src[0], src[1], src[2]});
    ops_.back().multiply = fn == Id::Multiply;
    ops_.back().add = fn == Id::Add;
    ops_.back().compute = s.compute;
    return convert(v, to);
  }

  // a * b + c in one loop, with both roundings: one pass over the tile less.
  void join_multiply_add() {
    std::vector<int> uses(values_.size()), made_by(values_.size(), -1);
    for (const Op& op : ops_)
      for (int i = 0; i < op.n_src; ++i) ++uses[op.src[i]];
    for (uint16_t o : p_.outputs) ++uses[value_of_[o]];
    for (size_t k = 0; k < ops_.size(); ++k) {
      Op& op = ops_[k];
      made_by[op.dst] = static_cast<int>(k);
      Loop joined =
          op.add ? table_.fn[static_cast<int>(Id::MultiplyAdd)][index(op.compute)] : nullptr;
      if (!joined) continue;
      for (int side = 0; side < 2; ++side) {
        const int m = made_by[op.src[side]];
        if (m < 0 || !ops_[m].multiply || uses[op.src[side]] != 1 || op.src[0] == op.src[1])
          continue;
        const int other = op.src[1 - side];
        ops_[m].gone = true;
        op.loop = joined;
        op.src[0] = ops_[m].src[0];
        op.src[1] = ops_[m].src[1];
        op.src[2] = other;
        op.n_src = 3;
        break;
      }
    }
    std::erase_if(ops_, [](const Op& op) { return op.gone; });
  }

  // The step that makes an output writes it to its memory, if it makes it as it is stored.
  void place_outputs(Plan& plan) {
    slot_.assign(values_.size(), -1);
    for (int i = 0; i < plan.n_in + plan.n_lit; ++i) slot_[i] = i;
    for (int o = 0; o < plan.n_out; ++o) {
      const int v = value_of_[p_.outputs[o]];
      const Dtype stored = p_.dtype_of_value(p_.outputs[o]);
      plan.outputs.push_back({size_of(stored)});
      int made = v;
      if (stored != values_[v].dtype) {
        made = emit(table_.cast[index(values_[v].dtype)][index(stored)], stored, {v});
        slot_.push_back(-1);
      } else if (slot_[v] >= 0) {
        made = emit(copy_loop(size_of(stored)), stored, {v});
        slot_.push_back(-1);
      }
      slot_[made] = plan.out_slot(o);
    }
  }

  void place(Plan& plan) {
    const int n_values = static_cast<int>(values_.size());
    std::vector<int> last_use(n_values, -1);
    for (size_t k = 0; k < ops_.size(); ++k)
      for (int i = 0; i < ops_[k].n_src; ++i) last_use[ops_[k].src[i]] = static_cast<int>(k);
    std::vector<int> free_temps;
    for (size_t k = 0; k < ops_.size(); ++k) {
      const Op& op = ops_[k];
      const int step = static_cast<int>(k);
      Step s{op.loop, 0, {0, 0, 0}};
      for (int i = 0; i < op.n_src; ++i) {
        const int slot = slot_[op.src[i]];
        s.src[i] = static_cast<uint16_t>(slot);
        if (slot < plan.n_in) {
          if (plan.inputs[slot].first_read < 0) plan.inputs[slot].first_read = step;
          plan.inputs[slot].last_read = step;
        }
      }
      const uint8_t size = static_cast<uint8_t>(size_of(values_[op.dst].dtype));
      // A temporary may take the place of an operand that dies here: loops allow it for elements of
      // one size.
      for (int i = 0; i < op.n_src; ++i) {
        const int v = op.src[i], temp = slot_[v] - plan.temp_slot(0);
        if (temp >= 0 && last_use[v] == step &&
            std::find(free_temps.begin(), free_temps.end(), temp) == free_temps.end())
          free_temps.push_back(temp);
      }
      if (slot_[op.dst] < 0) {
        auto found = std::find_if(free_temps.rbegin(), free_temps.rend(),
                                  [&](int t) { return plan.temp_size[t] == size; });
        int temp;
        if (found != free_temps.rend()) {
          temp = *found;
          free_temps.erase(std::next(found).base());
        } else {
          temp = static_cast<int>(plan.temp_size.size());
          plan.temp_size.push_back(size);
        }
        slot_[op.dst] = plan.temp_slot(temp);
        if (last_use[op.dst] < 0) free_temps.push_back(temp);  // nobody reads it
      } else {
        plan.outputs[slot_[op.dst] - plan.out_slot(0)].written = step;
      }
      s.dst = static_cast<uint16_t>(slot_[op.dst]);
      plan.steps.push_back(s);
    }
    plan.n_slots = plan.temp_slot(static_cast<int>(plan.temp_size.size()));
    LEGATO_CHECK(plan.n_slots <= kMaxSlots, "a pointwise program needs too many registers");
    for (const auto& in : plan.inputs) plan.tile_bytes += size_of(in.reg);
    for (const auto& out : plan.outputs) plan.tile_bytes += out.size;
    for (int64_t size : plan.literal_size) plan.tile_bytes += size;
    for (int64_t size : plan.temp_size) plan.tile_bytes += size;
    plan.single = plan.steps.size() == 1 && plan.n_lit == 0;
  }

  const Program& p_;
  const LoopTable& table_;
  std::vector<Value> values_;
  std::vector<int> value_of_;  // from the program's value numbers
  std::vector<Op> ops_;
  std::vector<int> slot_;
};

const Plan& plan_of(const Program& program) {
  auto& slot = const_cast<Program&>(program).compiled[0];
  fuse::CompiledProgram* known = slot.load(std::memory_order_acquire);
  if (!known) {
    std::unique_ptr<Plan> made = Planner(program).plan();
    if (slot.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel))
      known = made.release();
  }
  return *static_cast<const Plan*>(known);
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
  StridedSource source[fuse::kMaxInputs];  // of gathered inputs
  bool whole_rows[fuse::kMaxInputs];       // gathered a chunk at a time, in blocks of rows
  bool streamed[fuse::kMaxOutputs];        // written past the caches
  bool plain = true;                       // no slot needs scratch
  bool prefetch = false;                   // operands come from beyond the second-level cache

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
    b.whole_rows[i] = false;
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

}  // namespace

void run_program(const fuse::ProgramCall& call) {
  const Plan& plan = plan_of(*call.program);
  Bound b(plan, call);
  b.total = 1;
  for (int64_t n : call.shape) b.total *= n;
  if (b.total == 0) return;
  bind_inputs(b);

  // Outputs that the caches cannot hold go past them, which saves reading their lines first.
  static const int64_t kStreamBytes = cpu_info().l3_bytes;
  int64_t out_bytes = 0;
  for (int o = 0; o < plan.n_out; ++o) out_bytes += b.total * plan.outputs[o].size;
  const bool stream = out_bytes > kStreamBytes;
  static const int64_t kPrefetchBytes = cpu_info().l2_bytes;
  int64_t in_bytes = 0;
  for (int i = 0; i < plan.n_in; ++i)
    if (b.load[i] == Load::direct) in_bytes += b.total * size_of(plan.inputs[i].stored);
  b.prefetch = in_bytes > kPrefetchBytes;
  for (int o = 0; o < plan.n_out; ++o)
    b.streamed[o] = stream && reinterpret_cast<uintptr_t>(call.outputs[o]) % 64 == 0;
  const bool single = plan.single && b.plain && !stream;

  while (b.tile > kMinTile && b.tile * plan.tile_bytes > kTileBytes) b.tile /= 2;

  if (b.total < 2 * kMinChunk) {
    if (single) return run_single(b, 0, b.total);
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
  const int64_t chunks = (b.total + chunk - 1) / chunk;
  parallel_for(chunks, [&](int64_t c) {
    const int64_t begin = c * chunk, end = std::min(b.total, begin + chunk);
    if (single)
      run_single(b, begin, end);
    else
      run_range(b, begin, end);
  });
}

}  // namespace legato::cpu
