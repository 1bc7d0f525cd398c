#include "legato/ops/index/scatter.cuh"

#include <algorithm>
#include <bit>
#include <numeric>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/index/index.cuda.h"
#include "legato/ops/sort/sort.cuda.h"

namespace legato::cuda {
namespace {

/// Places by number, in steps of what divides all offsets.
KeysParams number_places(Launch& l, const PlacesParams& places) {
  int64_t last = 0, unit = 0;
  auto axis = [&](int64_t size, int64_t stride) {
    if (size < 2) return;
    last += (size - 1) * stride;
    unit = std::gcd(unit, stride);
  };
  for (int i = 0; i < places.index_axes; ++i) axis(places.index_size[i], places.index_stride[i]);
  for (int k = 0; k < places.terms; ++k) axis(places.term_size[k], places.term_stride[k]);
  unit = std::max<int64_t>(unit, 1);
  if (last / unit >= int64_t{UINT32_MAX} - 1 || unit > int64_t{UINT32_MAX} ||
      places.n_index >= int64_t{UINT32_MAX})
    throw ValueError(cat(l.op->name, ": ", std::max<int64_t>(last / unit + 1, places.n_index),
                         " places; a GPU scatters over up to 4294967293. Scatter on the CPU "
                         "(stream=cpu)."));
  return {places, static_cast<unsigned*>(l.workspace(places.n_index * 4)),
          static_cast<unsigned>(unit), static_cast<unsigned>(last / unit + 1), nullptr};
}

void clear(void* memory, int64_t bytes) {
  check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(memory), 0,
                                 static_cast<size_t>(bytes), current().queue()),
        "clearing marks");
}

/// Updates in row-major order, or a single element for all places.
void give_updates(Launch& l, ScatterParams& s) {
  const View& given = l.in[1];
  s.updates = given.data;
  if (given.row_major) return;
  bool one = true;
  for (size_t i = 0; i < given.ndim(); ++i) one &= (*given.strides)[i] == 0 || given.dim(i) == 1;
  s.single = one;
  if (one) return;
  void* dense = l.workspace(given.size * size_of(given.dtype));
  copy_elements(dense, row_major_strides(*given.shape), given.data, *given.strides, *given.shape,
                size_of(given.dtype));
  s.updates = dense;
}

/// Whether columns go in packs of 16 bytes, in the target and in the updates.
bool packs(const ScatterParams& s, int64_t bytes) {
  const int64_t pack = 16 / bytes;
  const int last = s.inner_axes - 1;
  auto whole = [&](int64_t stride) { return stride % pack == 0; };
  if (last < 0 || s.inner_stride[last] != 1 || !whole(s.inner_size[last]) || !whole(s.unit))
    return false;
  for (const void* data : {static_cast<const void*>(s.to), s.updates})
    if (!(s.single && data == s.updates) && reinterpret_cast<uintptr_t>(data) % 16) return false;
  return std::all_of(s.inner_stride, s.inner_stride + last, whole) &&
         std::all_of(s.outer_stride, s.outer_stride + s.outer_axes, whole);
}

void sort_places(Launch& l, ScatterParams& s) {
  const SortedKeys sorted =
      sort_keys(l, s.keys, s.n_index, static_cast<int>(std::bit_width(s.none)));
  s.keys = sorted.keys;
  s.order = sorted.order;
}

/// Whether the places are rows of the input, one behind the other and all of them, in packs of 16
/// bytes: then rows that get updates need not be copied to the output first.
bool whole_rows(const Launch& l, const ScatterParams& s) {
  const View &a = l.in[0], &out = l.out[0];
  return a.row_major && out.row_major && s.packed && s.n_outer == 1 && s.inner_axes == 1 &&
         s.unit == s.n_inner && s.none * s.n_inner == out.size &&
         reinterpret_cast<uintptr_t>(a.data) % 16 == 0;
}

void write_places(Launch& l, PlacesParams places, UpdateMode mode) {
  const int64_t columns = places.n_outer * places.n_inner, updates = columns * places.n_index;
  if (updates == 0) return start_from_input(l);
  report_to(l, places);
  set_dividers(places);
  const Dtype t = l.out[0].dtype;
  const int64_t bytes = size_of(t);
  ScatterParams s{};
  s.to = l.out[0].data;
  s.mode = static_cast<int>(mode);
  s.n_index = places.n_index;
  s.n_outer = places.n_outer;
  s.n_inner = places.n_inner;
  s.outer_axes = places.outer_axes;
  s.inner_axes = places.inner_axes;
  std::copy_n(places.outer_size, kMaxAxes, s.outer_size);
  std::copy_n(places.outer_stride, kMaxAxes, s.outer_stride);
  std::copy_n(places.inner_size, kMaxAxes, s.inner_size);
  std::copy_n(places.inner_stride, kMaxAxes, s.inner_stride);
  give_updates(l, s);

  const bool extreme = mode == UpdateMode::maximum || mode == UpdateMode::minimum,
             one_by_one = mode == UpdateMode::set || mode == UpdateMode::divide;
  if (!one_by_one && (!is_inexact(t) || (is_floating(t) && extreme))) {
    start_from_input(l);
    launch_over("scatter", cat("scatter_atomic", suffix(t)), updates,
                AnyOrderParams{places, s.updates, s.to, updates, s.single, s.mode});
    return;
  }
  if (mode == UpdateMode::add && add_exactly(l, places, s.updates, s.single)) return;

  KeysParams keys = number_places(l, places);
  s.keys = keys.keys;
  s.none = keys.none;
  s.unit = keys.unit;
  s.packed = packs(s, bytes);
  s.base = s.to;
  if (!one_by_one && l.in[0].data != s.to && whole_rows(l, s)) {
    s.base = l.in[0].data;
    keys.named = static_cast<unsigned char*>(l.workspace(s.none));
    clear(keys.named, s.none);
    s.named = keys.named;
  } else {
    start_from_input(l);
  }
  launch_over("index", "index_keys", places.n_index, keys);
  if (mode == UpdateMode::set && s.none <= 4 * s.n_index + (1 << 16)) {
    const int64_t size = int64_t{s.none} * 4;
    s.winners = static_cast<unsigned*>(l.workspace(size));
    clear(s.winners, size);
    launch_over("scatter", "scatter_compete", s.n_index, s);
    launch_over("scatter", cat("scatter_set_", bytes), updates, s);
    return;
  }
  sort_places(l, s);
  if (one_by_one) {
    launch_over("scatter", cat("scatter_order", suffix(t)), updates, s);
    return;
  }
  const int64_t loads = s.packed ? columns * bytes / 16 : columns;
  s.group = 1;
  while (s.group < loads && s.group < kScatterThreads) s.group *= 2;
  if (s.named) {
    ScatterParams rest = s;
    rest.n_inner = loads;
    rest.group = std::min(s.group, 64);  // several packs of a thread are on their way at once
    const int64_t rows = kScatterThreads / rest.group;
    launch_blocks("scatter", "scatter_rest", (s.none + rows - 1) / rows, kScatterThreads, rest);
  }
  const int64_t runs = (s.n_index + kRun - 1) / kRun, each = kScatterThreads / s.group;
  s.partial = l.workspace(runs * 2 * columns * std::max<int64_t>(bytes, 4));
  launch_blocks("scatter", cat("scatter_runs", suffix(t)), (runs + each - 1) / each,
                kScatterThreads, s);
  launch_blocks("scatter", cat("scatter_joins", suffix(t)), (runs + each - 1) / each,
                kScatterThreads, s);
}

void run_scatter(Launch& l) {
  auto& attrs = l.attrs<GatherAttrs>();
  write_places(l, gather_places(l, l.out[0], l.in.subspan(2), attrs), attrs.mode);
}
void run_put_along_axis(Launch& l) {
  auto& attrs = l.attrs<AlongAttrs>();
  write_places(l, along_places(l, l.out[0], l.in[2], attrs.axis), attrs.mode);
}

}  // namespace

void register_scatter_kernels(KernelTable& table) {
  add_kernels(table, op_named("scatter"), AllTypes{}, [](auto) {
    return Kernel{.run = run_scatter, .accepts = AcceptLayout::any, .reuses = 0};
  });
  add_kernels(table, op_named("put_along_axis"), AllTypes{}, [](auto) {
    return Kernel{.run = run_put_along_axis, .accepts = AcceptLayout::any, .reuses = 0};
  });
}

}  // namespace legato::cuda
