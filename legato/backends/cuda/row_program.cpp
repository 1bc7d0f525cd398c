#include "legato/backends/cuda/row_program.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "legato/backends/cuda/kernels.h"
#include "legato/backends/cuda/print_rows.h"
#include "legato/backends/cuda/program.h"
#include "legato/backends/cuda/reduction.h"
#include "legato/base/error.h"

namespace legato::cuda {

namespace {

constexpr int kGoodPacks = 8, kMostPacks = 16;  // of a thread
constexpr int kGoodElements = 32;    // likewise: a half, too, becomes a register of its own
constexpr int kMostRegisters = 192;  // that hold rows

// How rows lie in a block.
struct Layout {
  RowForm form;
  int group = 0;
};

const ReducerOf& reducer_of(const RowStep& step) {
  return *static_cast<const ReducerOf*>(step.kernel->own);
}

bool lay_out(const GpuDevice& device, const RowCall& call, Layout& l) {
  const RowStep* first = nullptr;
  for (const RowStep& step : call.steps) {
    if (step.program || step.picks()) continue;
    l.form.whole_rows |= reducer_of(step).whole_rows;
    if (!first) first = &step;
    // Loads of one size for all, and one way to walk.
    if (size_of(call.values[step.in[0]].dtype) != size_of(call.values[first->in[0]].dtype) ||
        reducer_of(step).walk != reducer_of(*first).walk)
      return false;
  }
  if (!first) return false;
  const Dtype dtype = call.values[first->in[0]].dtype;
  if (size_of(dtype) > 8) return false;
  const int64_t pack = 16 / size_of(dtype);
  if (call.n % pack != 0) return false;
  l.group = reducer_of(*first).walk(device, dtype, call.rows, call.n).group;
  if (l.group == 0) return false;
  l.form.pack = static_cast<int>(pack);
  const int64_t own = (call.n / pack + l.group - 1) / l.group;  // packs of a thread of the group
  int64_t widest = 4;
  for (const RowValue& v : call.values)
    if (v.wide) widest = std::max(widest, size_of(v.dtype));
  const int64_t live = live_rows(call) * pack * widest / 4;  // registers for one pack of each
  const int64_t run = pack > 8 ? 2 : 4, good = std::min<int64_t>(kGoodPacks, kGoodElements / pack);
  for (int splits = 1;; splits *= 2) {
    // Each number of packs is another kernel, so those of long rows go in pairs.
    int64_t packs = own <= good ? own : (own + 1) / 2 * 2;
    if (splits > 1) packs = ((own + run - 1) / run + splits - 1) / splits * run;
    l.form.packs = static_cast<int>(packs);
    l.form.splits = splits;
    l.form.in_warp = l.group * splits <= 32;
    l.form.full = call.n == packs * pack * l.group * splits;
    if (packs <= good && live * packs <= kMostRegisters) return true;
    const bool more =
        l.group <= 32 && l.group * splits < kReduceThreads && packs > run && !l.form.whole_rows;
    if (!more) return packs <= kMostPacks && live * packs <= kMostRegisters;
  }
}

bool aligned(const RowCall& call, int64_t pack) {
  for (const RowValue& v : call.values) {
    if (!v.wide || v.made) continue;
    const auto bytes = static_cast<uintptr_t>(std::min<int64_t>(16, pack * size_of(v.dtype)));
    if (reinterpret_cast<uintptr_t>(v.data) % bytes || v.row_stride % pack) return false;
  }
  return true;
}

// All that the text of the kernel depends on.
std::string key_of(const RowCall& call, const RowForm& form) {
  std::string key;
  auto add = [&](uint64_t word) { key.append(reinterpret_cast<const char*>(&word), sizeof word); };
  add(static_cast<uint64_t>(form.pack) << 32 | static_cast<uint64_t>(form.packs) << 16 |
      static_cast<uint64_t>(form.splits) << 2 | uint64_t{form.in_warp} << 1 | uint64_t{form.full});
  add(call.values.size());
  for (const RowValue& v : call.values)
    add(static_cast<uint64_t>(v.dtype) << 8 | uint64_t{v.wide} | uint64_t{v.made} << 1 |
        uint64_t{v.stored} << 2 | uint64_t{v.row_stride == 0} << 3);
  size_t reduction = 0;
  for (const RowStep& step : call.steps) {
    add(step.program ? structure_hash(*step.program) : 0);
    add(uint64_t{step.wide} << 32 | step.in.size() << 16 | step.out.size());
    for (uint32_t v : step.in) add(v);
    for (uint32_t v : step.out) add(v);
    if (step.picks())
      key += "pick";
    else if (!step.program)
      key += form.reducers[reduction++];
  }
  return key;
}

}  // namespace

bool run_rows(GpuDevice& device, const RowCall& call) {
  Layout l;
  if (!compiles(device) || !lay_out(device, call, l)) return false;
  if (call.asked) return true;
  std::vector<Reducer> reducers;
  for (const RowStep& step : call.steps) {
    if (step.program || step.picks()) continue;
    const ReducerOf& own = reducer_of(step);
    const Reducer& r = reducers.emplace_back(
        own.describe(step.attrs, call.values[step.in[0]].dtype, static_cast<double>(call.n)));
    l.form.reducers.push_back(own.whole_rows
                                  ? r.call.type
                                  : cat("Flagged<cuda::", r.call.type, ", ", r.params.flag, ">"));
  }
  if (!aligned(call, l.form.pack)) return false;
  const ProgramKernel* kernel =
      find_rows(device, key_of(call, l.form), [&] { return print_rows(call, l.form); });
  if (!kernel || !can_launch(device, *kernel)) return false;

  // Note [Parameters of a row program]
  std::vector<uint64_t> words = {static_cast<uint64_t>(call.rows),
                                 static_cast<uint64_t>(call.n / l.form.pack),
                                 static_cast<uint64_t>(l.group)};
  for (const RowValue& v : call.values)
    if (!v.made) words.push_back(reinterpret_cast<uint64_t>(v.data));
  for (const RowValue& v : call.values)
    if (!v.made) words.push_back(static_cast<uint64_t>(v.row_stride));
  for (const RowValue& v : call.values)
    if (v.stored) words.push_back(reinterpret_cast<uint64_t>(v.data));
  for (const RowStep& step : call.steps)
    for (const fuse::LiteralValue& literal : step.literals) {
      uint64_t both[2];
      std::memcpy(both, literal.bytes, sizeof both);
      words.insert(words.end(), both, both + 2);
    }
  for (const Reducer& r : reducers) {
    words.push_back(std::bit_cast<uint64_t>(r.params.divisor));
    words.push_back(r.params.mask);
    words.push_back(static_cast<uint64_t>(r.params.flag));
  }
  for (const RowStep& step : call.steps) {
    if (!step.picks()) continue;
    const auto& own = *static_cast<const PickOf*>(step.kernel->own);
    GpuDevice::Report report = device.report(own.op, own.describe);
    words.push_back(reinterpret_cast<uint64_t>(report.where));
    words.push_back(static_cast<uint64_t>(own.axis(step.attrs)));
    call.checks->push_back(std::move(report.check));
  }
  const int64_t per_block = kReduceThreads / (l.group * l.form.splits);
  device.launch(kernel->function(), (call.rows + per_block - 1) / per_block, kReduceThreads,
                words.data(), words.size() * sizeof(uint64_t), "a row program", 0);
  return true;
}

}  // namespace legato::cuda
