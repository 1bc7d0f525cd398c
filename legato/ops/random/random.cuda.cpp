#include "legato/ops/random/random.cuh"

#include "legato/backends/cuda/kit.h"
#include "legato/ops/random/ops.h"

namespace legato::cuda {
namespace {

void run(Launch& l) {
  const auto& attrs = l.attrs<RandomBitsAttrs>();
  RandomParams p{};
  p.keys = l.in.empty() ? nullptr : l.in[0].as<unsigned>();
  p.key0 = attrs.key0;
  p.key1 = attrs.key1;
  p.n_keys = l.in.empty() ? 1 : l.in[0].size / 2;
  p.bytes = p.n_keys ? l.out[0].size / p.n_keys * attrs.width : 0;
  p.words = (p.bytes + 3) / 4;
  p.to = l.out[0].data;
  if (p.words) launch_over("random", "random_bits", p.n_keys * ((p.words + 1) / 2), p);
}

}  // namespace

void register_random_kernels(KernelTable& table) {
  add_kernels(table, op_named("random_bits"), Types<uint8_t, uint16_t, uint32_t, uint64_t>{},
              [](auto) { return Kernel{run, AcceptLayout::row_major}; });
}

}  // namespace legato::cuda
