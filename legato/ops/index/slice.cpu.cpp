// Kernels of slice_update and of slices whose start is read from an array.
#include "legato/ops/index/slice.h"

#include <cstddef>

#include "legato/backends/cpu/copy.h"
#include "legato/base/error.h"
#include "legato/ops/index/gather.cpu.h"

namespace legato::cpu {
namespace {

/// The output as a copy of the first input, unless it has taken over its memory.
void start_from_input(Launch& l) {
  const View &a = l.in[0], &out = l.out[0];
  if (a.data != out.data)
    copy_strided(out.data, *out.strides, a.data, *a.strides, *a.shape, size_of(a.dtype));
}

void* element(const View& v, int64_t offset) {
  return v.as<std::byte>() + offset * size_of(v.dtype);
}

void run_slice_update(Launch& l) {
  auto& attrs = l.attrs<SliceAttrs>();
  start_from_input(l);
  const View &out = l.out[0], &update = l.in[1];
  if (update.size == 0) return;
  SliceRegion r = resolve_slice(l.op->name, attrs, *out.shape);
  int64_t offset = 0;
  Strides strides;
  for (size_t i = 0; i < out.ndim(); ++i) {
    offset += r.begin[i] * (*out.strides)[i];
    if (attrs.step[i] != 0) strides.push_back(r.step[i] * (*out.strides)[i]);
  }
  copy_strided(element(out, offset), strides, update.data, *update.strides, *update.shape,
               size_of(out.dtype));
}

/// Offset of the part of `size` elements on `axes` that begins at the values of `start`. Returns
/// false after l.fail if it does not lie inside `a`.
bool find_part(Launch& l, const View& a, const View& start, const Dims& axes, const Shape& part,
               int64_t& offset) {
  offset = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t axis = axes[i], n = a.dim(axis);
    int64_t at = visit_dtype(start.dtype, [&]<class T>(TypeTag<T>) -> int64_t {
      if constexpr (std::is_integral_v<T>)
        return static_cast<int64_t>(start.as<T>()[i * (*start.strides)[0]]);
      else
        return 0;  // infer lets integers pass only
    });
    int64_t begin = at < 0 ? at + n : at;
    if (begin < 0 || begin > n - part[axis]) {
      l.fail(std::make_exception_ptr(
          IndexError(cat(l.op->name, ": a part of size ", part[axis], " that begins at ", at,
                         " does not lie inside axis ", axis, " of size ", n))));
      return false;
    }
    offset += begin * (*a.strides)[axis];
  }
  return true;
}

void run_dynamic_slice(Launch& l) {
  const View &a = l.in[0], &out = l.out[0];
  int64_t offset;
  if (!find_part(l, a, l.in[1], l.attrs<DynamicSliceAttrs>().axes, *out.shape, offset)) return;
  if (out.size == 0) return;
  copy_strided(out.data, *out.strides, element(a, offset), *a.strides, *out.shape,
               size_of(out.dtype));
}

void run_dynamic_slice_update(Launch& l) {
  const View &out = l.out[0], &update = l.in[1];
  int64_t offset;
  if (!find_part(l, out, l.in[2], l.attrs<DynamicSliceAttrs>().axes, *update.shape, offset)) return;
  start_from_input(l);
  if (update.size == 0) return;
  copy_strided(element(out, offset), *out.strides, update.data, *update.strides, *update.shape,
               size_of(out.dtype));
}

}  // namespace

void register_slice_kernels(KernelTable& table) {
  auto add = [&](const Op& op, void (*run)(Launch&), int8_t reuses) {
    add_kernels(table, op, AllTypes{}, [&]<class T>(TypeTag<T>) {
      return Kernel{.run = run, .accepts = AcceptLayout::any, .reuses = reuses};
    });
  };
  add(slice_update_op, run_slice_update, 0);
  add(dynamic_slice_op, run_dynamic_slice, -1);
  add(dynamic_slice_update_op, run_dynamic_slice_update, 0);
}

}  // namespace legato::cpu
