// Many calls of one program in one launch: an optimizer's update of each of its parameters. Note
// [Many calls] in print.h is the form of the kernel.
#include <algorithm>
#include <cstring>
#include <vector>

#include "legato/backends/cuda/kernels.h"
#include "legato/backends/cuda/nvrtc.h"
#include "legato/backends/cuda/program.h"
#include "legato/base/error.h"

namespace legato::cuda {
namespace {

using fuse::Program;
using fuse::ProgramCall;

// Outside of a recording, where a kernel more is to be compiled for them.
constexpr size_t kFewest = 4;

bool same_literals(std::span<const ProgramCall> calls, std::span<const uint32_t> which) {
  const auto& first = calls[which[0]].literals;
  return !first.empty() && std::all_of(which.begin(), which.end(), [&](uint32_t c) {
    return std::memcmp(calls[c].literals.data(), first.data(), first.size_bytes()) == 0;
  });
}

/// The calls sorted by how they can be launched: `one(call)` or `many(calls, variant)`.
class Sorted {
 public:
  explicit Sorted(std::span<const ProgramCall> calls) : calls_(calls), walks_(calls.size()) {
    for (size_t c = 0; c < calls.size(); ++c) plan_walk(calls[c], walks_[c]);
  }
  const Walk& walk(uint32_t call) const { return walks_[call]; }

  template <class One, class Many>
  void each(size_t fewest, One one, Many many) {
    const Program& program = *calls_[0].program;
    const int n_in = static_cast<int>(program.inputs.size());
    std::vector<uint32_t> left, alike, others;
    for (uint32_t c = 0; c < calls_.size(); ++c) {
      if (walks_[c].outer)
        one(c);
      else if (walks_[c].n > 0)
        left.push_back(c);
    }
    // Single elements are read like whatever they come with, so they are looked at last.
    std::stable_partition(left.begin(), left.end(), [&](uint32_t c) { return walks_[c].n > 1; });
    for (; !left.empty(); left.swap(others)) {
      const Walk& like = walks_[left[0]];
      const uint64_t key = like.variant.key(n_in);
      alike.clear();
      others.clear();
      for (uint32_t c : left) {
        Walk& w = walks_[c];
        if (w.n == 1 && like.axes == 0) w.variant = like.variant;
        (w.variant.key(n_in) == key ? alike : others).push_back(c);
      }
      for (std::span<const uint32_t> rest = alike; !rest.empty();) {
        Variant variant = like.variant;
        const size_t taken = rest.size() < fewest ? 0 : choose_room(program, rest, variant);
        if (taken < 2) {
          for (uint32_t c : rest) one(c);
          break;
        }
        many(rest.first(taken), variant);
        rest = rest.subspan(taken);
      }
    }
  }

 private:
  // For as many calls as fit. Returns how many they are.
  size_t choose_room(const Program& program, std::span<const uint32_t> which, Variant& v) const {
    if (v.tiled) return 0;  // its blocks are tiles of one result
    v.same_literals = same_literals(calls_, which);
    const int most = most_parameter_bytes();
    size_t calls = 0;
    for (int room = 0; room < kRoomCount && kRooms[room] <= most && calls < which.size(); ++room) {
      v.room = room;
      calls = static_cast<size_t>(std::max(layout_of_many(program, v).calls, 0));
    }
    return std::min(calls, which.size());
  }

  std::span<const ProgramCall> calls_;
  std::vector<Walk> walks_;
};

void launch(GpuDevice& device, std::span<const ProgramCall> calls, Sorted& sorted,
            std::span<const uint32_t> which, const Variant& variant, const ProgramKernel& kernel) {
  const ProgramCall& first = calls[which[0]];
  const ManyLayout layout = layout_of_many(*first.program, variant);
  alignas(16) uint64_t words[kRooms[kRoomCount - 1] / 8 + 1];
  words[0] = which.size();
  if (variant.same_literals)
    std::memcpy(words + 1, first.literals.data(), first.literals.size_bytes());
  uint64_t* to = words + layout.first_call;
  auto* block = reinterpret_cast<uint32_t*>(to + layout.calls * layout.call_words);
  const int64_t per_block = int64_t{kProgramThreads} * kernel.packs();
  int64_t blocks = 0;
  for (uint32_t c : which) {
    Walk w = sorted.walk(c);
    w.variant = variant;
    const int written = fill_params(calls[c], w, to);
    LEGATO_CHECK(written == layout.call_words,
                 "a program's parameters are not as they are printed");
    to += written;
    *block++ = static_cast<uint32_t>(blocks);
    const int64_t items = (w.n + variant.pack - 1) / variant.pack;
    blocks += (items + per_block - 1) / per_block;
  }
  device.launch(kernel.function(), blocks, kProgramThreads, words,
                static_cast<size_t>(kRooms[variant.room]), "launching programs", 0);
}

}  // namespace

void run_programs(GpuDevice& device, std::span<const ProgramCall> calls) {
  const Compile mode = compile_mode(device);
  Sorted sorted(calls);
  auto one = [&](uint32_t c) { run_program(device, calls[c]); };
  auto many = [&](std::span<const uint32_t> which, const Variant& variant) {
    const ProgramKernel* kernel =
        mode == Compile::never ? nullptr : find_kernel(device, *calls[0].program, variant);
    if (kernel && kernel->state() != ProgramKernel::State::ready && mode == Compile::wait) try {
        kernel->wait();
      } catch (const EvalError&) {  // each alone will do
      }
    if (!kernel || kernel->state() != ProgramKernel::State::ready)
      for (uint32_t c : which) one(c);
    else
      launch(device, calls, sorted, which, variant, *kernel);
  };
  sorted.each(device.recording() ? 2 : kFewest, one, many);
}

void prepare_programs(GpuDevice& device, std::span<const ProgramCall> calls) {
  if (compile_mode(device) == Compile::never) return;
  Sorted sorted(calls);
  auto one = [&](uint32_t c) { prepare_program(device, calls[c]); };
  auto many = [&](std::span<const uint32_t> which, const Variant& variant) {
    one(which[0]);  // by which they run until then
    find_kernel(device, *calls[0].program, variant);
  };
  sorted.each(kFewest, one, many);
}

}  // namespace legato::cuda
