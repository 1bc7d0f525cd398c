// Plans programs for the tile interpreter.
#include "legato/backends/cpu/program_plan.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "legato/base/cpu_info.h"
#include "legato/base/error.h"
#include "legato/fuse/functions.h"

namespace legato::cpu {
namespace {

using fuse::Instr;
using fuse::kCastFn;
using fuse::Program;
using pointwise::Id;
using pointwise::Loop;
using pointwise::LoopTable;

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

}  // namespace

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

}  // namespace legato::cpu
