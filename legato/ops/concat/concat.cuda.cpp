#include "legato/ops/concat/concat.cuh"

#include "legato/backends/cuda/kit.h"
#include "legato/ops/concat/records.h"

namespace legato::cuda {
namespace {

// All parts in one launch, where they lie without gaps and in whole packs. False: they do not.
bool concatenate_packs(const Launch& l, size_t axis) {
  constexpr int64_t kPack = 16;
  const View& out = l.out[0];
  const int64_t bytes = out.size * size_of(out.dtype);
  if (l.in.size() < 2 || l.in.size() > kConcatParts || bytes == 0 || bytes / kPack > INT32_MAX)
    return false;
  int64_t inner = size_of(out.dtype);  // bytes of an index of the axis
  for (size_t i = axis + 1; i < out.ndim(); ++i) inner *= out.dim(i);
  ConcatParams p{};
  p.to = out.data;
  auto bits = reinterpret_cast<uintptr_t>(out.data);
  for (const View& part : l.in) {
    const int64_t width = part.dim(axis) * inner;
    if (!part.row_major || width % kPack) return false;
    bits |= reinterpret_cast<uintptr_t>(part.data);
    p.from[p.parts] = part.data;
    p.first[p.parts] = p.row_packs;
    p.width[p.parts++] = static_cast<unsigned>(width / kPack);
    p.row_packs += static_cast<unsigned>(width / kPack);
  }
  if (bits % kPack) return false;
  p.n = static_cast<unsigned>(bytes / kPack);
  p.row = divider_of(p.row_packs);
  launch_blocks("concat", "concat_packs", (int64_t{p.n} + kThreads - 1) / kThreads, kThreads, p);
  return true;
}

void run_concatenate(Launch& l) {
  const size_t axis = static_cast<size_t>(l.attrs<ConcatAttrs>().axis);
  const View& out = l.out[0];
  if (concatenate_packs(l, axis)) return;
  const int64_t size = size_of(out.dtype);
  int64_t begin = 0;
  for (const View& part : l.in) {
    char* to = out.as<char>() + begin * (*out.strides)[axis] * size;
    copy_elements(to, *out.strides, part.data, *part.strides, *part.shape, size);
    begin += part.dim(axis);
  }
}

}  // namespace

void register_concat_kernels(KernelTable& table) {
  add_kernels(table, op_named("concatenate"), AllTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{.run = run_concatenate, .accepts = AcceptLayout::any};
  });
}

}  // namespace legato::cuda
