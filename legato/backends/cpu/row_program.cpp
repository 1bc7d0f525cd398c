// A row program goes through all its steps with a few rows before it takes the next ones: what lies
// between the steps stays in the first-level cache and, if nobody holds it, has no memory beyond
// it. All that a call of a step needs is made ready once, so that a call costs little more than its
// loop; blocks can then be that small.
#include "legato/backends/cpu/row_program.h"

#include <algorithm>
#include <vector>

#include "legato/backends/cpu/program_plan.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

constexpr int64_t kMinBytes = 128 << 10;   // smaller values stay in the cache between steps anyhow
constexpr int64_t kBlockBytes = 20 << 10;  // of the rows of a block: most of L1
constexpr int64_t kMaxRowBytes = 192 << 10;  // longer rows leave L2 between steps
constexpr int64_t kMinRow = 96;  // elements; a call for each shorter row costs more than it saves
constexpr int64_t kMinRows = 8;  // fewer cannot be shared out evenly

bool is_scalar(const RowValue& v) { return !v.wide && !v.made && v.row_stride == 0; }

// A value's place: rows of `row_bytes` from `base` on, or from the block's part of the scratch.
struct Place {
  char* base = nullptr;
  int64_t row_bytes = 0;  // from a row to the next
  int64_t scratch = -1;   // offset in the scratch, of the block's first row
  char* at(char* scratch_base, int64_t row, int64_t in_block) const {
    return scratch < 0 ? base + (row + in_block) * row_bytes
                       : scratch_base + scratch + in_block * row_bytes;
  }
};

struct Part {
  const RowStep* step = nullptr;
  const jit::Code* code = nullptr;
  bool whole = false;  // a block is one run of elements
  jit::Operands operands;
  RowReduction::Loop loop = nullptr;
  double divisor = 1;
};

class RowRun {
 public:
  explicit RowRun(const RowCall& call) : call_(call) {}

  bool prepare() {
    int64_t row_bytes = 0, widest = 0;
    for (const RowValue& v : call_.values) {
      if (!v.wide) continue;
      const int64_t bytes = call_.n * size_of(v.dtype);
      widest = std::max(widest, bytes);
      if (v.made || v.row_stride != 0) row_bytes += bytes;
    }
    if (call_.rows < kMinRows || call_.rows * widest < kMinBytes || row_bytes > kMaxRowBytes)
      return false;
    rows_at_once_ =
        std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(row_bytes, 1), 1, call_.rows);
    parts_.resize(call_.steps.size());
    for (size_t s = 0; s < parts_.size(); ++s) {
      parts_[s].step = &call_.steps[s];
      if (!(call_.steps[s].kernel ? prepare_reduction(parts_[s]) : prepare_program(parts_[s])))
        return false;
    }
    if (!call_.asked) place();
    return true;
  }

  void run() const {
    const int64_t blocks = (call_.rows + rows_at_once_ - 1) / rows_at_once_;
    const int64_t tasks = std::min<int64_t>(blocks, 4 * num_threads());
    parallel_for(tasks, [&](int64_t task) {
      char* memory = scratch<char>(Scratch::row_program, static_cast<size_t>(scratch_bytes_));
      const int64_t begin = blocks * task / tasks, end = blocks * (task + 1) / tasks;
      for (int64_t b = begin; b < end; ++b) {
        const int64_t row = b * rows_at_once_;
        run_block(memory, row, std::min(rows_at_once_, call_.rows - row));
      }
    });
  }

 private:
  const RowValue& value(uint32_t v) const { return call_.values[v]; }

  bool prepare_reduction(Part& part) {
    const auto* own = static_cast<const RowReduction*>(part.step->kernel->own);
    if (!own) return false;
    part.loop = own->loop(value(part.step->in[0]).dtype, call_.n);
    if (own->mean) part.divisor = static_cast<double>(call_.n);
    return part.loop != nullptr;
  }

  bool prepare_program(Part& part) {
    const RowStep& step = *part.step;
    if (step.in.size() > fuse::kMaxInputs || step.out.size() > fuse::kMaxOutputs) return false;
    jit::Operands& o = part.operands;
    o.n_in = static_cast<int>(step.in.size());
    o.n_out = static_cast<int>(step.out.size());
    jit::Variant variant;
    part.whole = true;
    for (size_t i = 0; i < step.in.size(); ++i) {
      const RowValue& v = value(step.in[i]);
      const bool scalar = step.wide ? !v.wide : is_scalar(v);
      o.in_size[i] = static_cast<int8_t>(scalar ? 0 : size_of(v.dtype));
      if (scalar) variant.scalars |= 1u << i;
      if (is_scalar(v)) continue;
      const int64_t stride = v.made ? (v.wide ? call_.n : 1) : v.row_stride;
      if (step.wide)
        part.whole &= v.wide && stride == call_.n;
      else if (stride != 1)
        return false;
    }
    for (size_t i = 0; i < step.out.size(); ++i)
      o.out_size[i] = static_cast<int8_t>(size_of(value(step.out[i]).dtype));
    if (step.wide && !part.whole && call_.n < kMinRow) return false;
    if (call_.asked) return jit::available() && jit::mode() != jit::Mode::never;
    const Plan& plan = plan_of(*step.program);
    // A program over one value a row is compiled for the sake of the whole call.
    const int64_t elements = call_.rows * call_.n;
    const int64_t steps = static_cast<int64_t>(plan.steps.size());
    part.code = plan.compiled.find(*step.program, variant, steps * (16 + elements / 8));
    return part.code != nullptr;
  }

  void place() {
    places_.resize(call_.values.size());
    for (size_t i = 0; i < places_.size(); ++i) {
      const RowValue& v = call_.values[i];
      Place& p = places_[i];
      p.base = static_cast<char*>(v.data);
      const int64_t stride = v.made ? (v.wide ? call_.n : 1) : v.row_stride;
      p.row_bytes = stride * size_of(v.dtype);
      if (!v.made || v.stored) continue;
      p.scratch = scratch_bytes_;
      scratch_bytes_ += (rows_at_once_ * p.row_bytes + 63) / 64 * 64;
    }
  }

  void run_block(char* memory, int64_t row, int64_t rows) const {
    for (const Part& part : parts_) {
      const RowStep& step = *part.step;
      if (part.loop) {
        const RowValue& x = value(step.in[0]);
        part.loop(places_[step.in[0]].at(memory, row, 0), call_.n,
                  places_[step.in[0]].row_bytes / size_of(x.dtype), rows,
                  places_[step.out[0]].at(memory, row, 0), part.divisor);
        continue;
      }
      jit::Operands o = part.operands;
      const int64_t times = step.wide && !part.whole ? rows : 1;
      const int64_t n = !step.wide ? rows : part.whole ? rows * call_.n : call_.n;
      for (int64_t r = 0; r < times; ++r) {
        for (int i = 0; i < o.n_in; ++i)
          o.in[i] = places_[step.in[static_cast<size_t>(i)]].at(memory, row, r);
        for (int i = 0; i < o.n_out; ++i)
          o.out[i] = places_[step.out[static_cast<size_t>(i)]].at(memory, row, r);
        jit::run(*part.code, o, n, step.literals.data());
      }
    }
  }

  const RowCall& call_;
  int64_t rows_at_once_ = 1, scratch_bytes_ = 0;
  std::vector<Part> parts_;
  std::vector<Place> places_;
};

}  // namespace

bool run_rows(const RowCall& call) {
  RowRun run(call);
  if (!run.prepare()) return false;
  if (!call.asked) run.run();
  return true;
}

}  // namespace legato::cpu
