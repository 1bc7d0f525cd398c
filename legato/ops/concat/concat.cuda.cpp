#include "legato/ops/concat/concat.cuh"

#include "legato/backends/cuda/kit.h"
#include "legato/ops/concat/records.h"

namespace legato::cuda {
namespace {

constexpr int64_t kPack = 16;

// All parts in one launch, where they lie without gaps and in whole packs. False: they do not.
bool concatenate_packs(const Launch& l, size_t axis) {
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

/// Whether the view is rows, each of which is dense; what lies from one of them to the next, in
/// elements. `axis`: the first one within a row.
bool are_rows(const View& v, size_t axis, int64_t& stride) {
  int64_t dense = 1;
  for (size_t i = v.ndim(); i-- > axis; dense *= v.dim(i))
    if (v.dim(i) > 1 && (*v.strides)[i] != dense) return false;
  stride = 0;
  bool first = true;  // of these axes, from the last one on; its stride may be 0
  for (size_t i = axis; i-- > 0;) {
    if (v.dim(i) == 1) continue;
    if (first)
      stride = (*v.strides)[i];
    else if ((*v.strides)[i] != dense)
      return false;
    first = false;
    dense = (*v.strides)[i] * v.dim(i);
  }
  return true;
}

// All parts in one launch, where the result has rows of whole packs. Rows of parts may begin
// anywhere.
bool concatenate_lines(const Launch& l, size_t axis) {
  const View& out = l.out[0];
  const int64_t size = size_of(out.dtype), bytes = out.size * size;
  int64_t rows = 1;
  for (size_t i = 0; i < axis; ++i) rows *= out.dim(i);
  if (bytes == 0 || size > 8 || bytes / kPack > INT32_MAX || bytes / rows > INT32_MAX ||
      bytes / rows % kPack || !out.row_major || reinterpret_cast<uintptr_t>(out.data) % kPack)
    return false;
  ConcatLinesParams p{};
  int parts = 0;
  unsigned end = 0;
  for (const View& part : l.in) {
    if (part.size == 0) continue;
    int64_t stride = 0;
    const int64_t width = part.size / rows * size;
    if (parts == kConcatParts || !are_rows(part, axis, stride)) return false;
    if (rows > 1 && stride * size < width) return false;
    p.from[parts] = static_cast<const char*>(part.data);
    p.stride[parts] = stride * size;
    p.first[parts++] = end;
    end += static_cast<unsigned>(width);
  }
  if (parts < 2) return false;
  p.first[parts] = end;
  for (int k = parts + 1; k <= kConcatParts; ++k) p.first[k] = UINT32_MAX;
  p.to = out.data;
  p.n = static_cast<unsigned>(bytes / kPack);
  p.row_packs = end / kPack;
  p.rows = static_cast<unsigned>(rows);
  p.row = divider_of(p.row_packs);
  launch_blocks("concat", cat("concat_lines_", size), (int64_t{p.n} + kThreads - 1) / kThreads,
                kThreads, p);
  return true;
}

void run_concatenate(Launch& l) {
  const size_t axis = static_cast<size_t>(l.attrs<ConcatAttrs>().axis);
  const View& out = l.out[0];
  if (concatenate_packs(l, axis) || concatenate_lines(l, axis)) return;
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
