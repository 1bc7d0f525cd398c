#include "legato/ops/random/random.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/random/ops.h"

namespace legato::cuda {
namespace {

void launch(Launch& l, RandomParams& p, const std::string& name) {
  const View& out = l.out[0];
  p.keys = l.in.empty() ? nullptr : l.in[0].as<unsigned>();
  p.n_keys = l.in.empty() ? 1 : l.in[0].size / 2;
  p.one = 1;
  p.to = out.data;
  if (p.words == 0 || p.n_keys == 0) return;
  const int64_t counters = p.n_keys * ((p.words + 1) / 2),
                threads = p.n_keys == 1 ? (counters + kRandomEach - 1) / kRandomEach : counters;
  // As many blocks as run at once: each goes on until the end.
  const int64_t most = int64_t{current().multiprocessors()} * 8;
  launch_blocks("random", name, std::min(most, (threads + kThreads - 1) / kThreads), kThreads, p);
}

void run_bits(Launch& l) {
  const auto& attrs = l.attrs<RandomBitsAttrs>();
  RandomParams p{};
  p.key0 = attrs.key0;
  p.key1 = attrs.key1;
  const int64_t keys = l.in.empty() ? 1 : l.in[0].size / 2;
  p.bytes = keys ? l.out[0].size / keys * attrs.width : 0;
  p.words = (p.bytes + 3) / 4;
  launch(l, p, "random_bits");
}
void run_numbers(Launch& l) {
  const auto& attrs = l.attrs<RandomNumbersAttrs>();
  RandomParams p{};
  p.key0 = attrs.key0;
  p.key1 = attrs.key1;
  p.below = static_cast<float>(random::below_one(attrs.dtype));
  const int64_t keys = l.in.empty() ? 1 : l.in[0].size / 2;
  p.words = keys ? l.out[0].size / keys : 0;
  p.bytes = p.words * size_of(attrs.dtype);
  launch(l, p, cat(attrs.normal ? "normal" : "uniform", suffix(attrs.dtype)));
}

}  // namespace

void register_random_kernels(KernelTable& table) {
  add_kernels(table, op_named("random_bits"), Types<uint8_t, uint16_t, uint32_t, uint64_t>{},
              [](auto) { return Kernel{run_bits, AcceptLayout::row_major}; });
  add_kernels(table, op_named("random_numbers"),  // uint32: of keys
              Types<uint32_t, float, float16_t, bfloat16_t>{},
              [](auto) { return Kernel{run_numbers, AcceptLayout::row_major}; });
}

}  // namespace legato::cuda
