#include "legato/ops/index/index.cuda.h"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/backends/cuda/row_program.h"
#include "legato/base/error.h"
#include "legato/ops/index/slice.h"

namespace legato::cuda {

std::exception_ptr index_out_of_range(const char* op, const ValueReport& r) {
  const int axis = r.place < 0 ? ~r.place : r.place;
  const std::string value =
      r.place < 0 ? cat(static_cast<uint64_t>(r.value)) : cat(static_cast<int64_t>(r.value));
  return std::make_exception_ptr(IndexError(cat(op, ": index ", value, " is out of range for axis ",
                                                axis, " of size ", static_cast<int64_t>(r.bound))));
}

namespace {

void put_axes(const Shape& shape, const Strides& strides, int& axes, long long* size,
              long long* stride, long long& count) {
  const Strides* operand[] = {&strides};
  const MergedAxes m = merge_axes(shape, operand);
  LEGATO_CHECK(m.n <= kMaxAxes, "an index on the GPU over more axes than a kernel walks");
  axes = m.n;
  count = m.count;
  for (int i = 0; i < m.n; ++i) {
    size[i] = m.size[i];
    stride[i] = m.size[i] > 1 ? m.stride[0][i] : 0;
  }
}

void add_term(Launch& l, PlacesParams& p, const View& indices, int64_t axis, int64_t size,
              int64_t stride) {
  LEGATO_CHECK(p.terms < kMaxTerms, "more index arrays than a GPU kernel takes");
  const int64_t bytes = size_of(indices.dtype);
  const void* data = indices.data;
  if (!indices.row_major) {
    void* dense = l.workspace(indices.size * bytes);
    copy_elements(dense, row_major_strides(*indices.shape), data, *indices.strides, *indices.shape,
                  bytes);
    data = dense;
  }
  const int k = p.terms++;
  p.term_data[k] = data;
  p.term_bytes[k] = static_cast<int>(is_signed_integer(indices.dtype) ? -bytes : bytes);
  p.term_size[k] = size;
  p.term_stride[k] = stride;
  p.term_axis[k] = static_cast<int>(axis);
}

}  // namespace

PlacesParams gather_places(Launch& l, const View& a, std::span<const View> indices,
                           const GatherAttrs& attrs) {
  PlacesParams p{};
  Shape outer, inner;
  Strides outer_strides, inner_strides;
  for (size_t i = 0; i < a.ndim(); ++i) {
    if (std::find(attrs.axes.begin(), attrs.axes.end(), static_cast<int64_t>(i)) !=
        attrs.axes.end())
      continue;
    const bool before = static_cast<int64_t>(outer.size()) < attrs.at;
    (before ? outer : inner).push_back(a.dim(i));
    (before ? outer_strides : inner_strides).push_back((*a.strides)[i]);
  }
  put_axes(outer, outer_strides, p.outer_axes, p.outer_size, p.outer_stride, p.n_outer);
  put_axes(inner, inner_strides, p.inner_axes, p.inner_size, p.inner_stride, p.n_inner);
  p.n_index = indices[0].size;
  for (size_t k = 0; k < indices.size(); ++k) {
    const size_t axis = static_cast<size_t>(attrs.axes[k]);
    add_term(l, p, indices[k], attrs.axes[k], a.dim(axis), (*a.strides)[axis]);
  }
  return p;
}

PlacesParams along_places(Launch& l, const View& a, const View& indices, int64_t axis) {
  PlacesParams p{};
  p.n_outer = p.n_inner = 1;
  Strides others = *a.strides;
  others[static_cast<size_t>(axis)] = 0;
  put_axes(*indices.shape, others, p.index_axes, p.index_size, p.index_stride, p.n_index);
  add_term(l, p, indices, axis, a.dim(static_cast<size_t>(axis)),
           (*a.strides)[static_cast<size_t>(axis)]);
  return p;
}

void set_dividers(PlacesParams& p) {
  p.narrow = p.n_outer * p.n_index * p.n_inner < INT32_MAX;
  if (!p.narrow) return;
  auto set = [](int axes, const long long* size, Divider* divider) {
    for (int i = 1; i < axes; ++i) divider[i] = divider_of(size[i]);
  };
  set(p.outer_axes, p.outer_size, p.outer_divider);
  set(p.index_axes, p.index_size, p.index_divider);
  set(p.inner_axes, p.inner_size, p.inner_divider);
  p.by_inner = divider_of(p.n_inner);
  p.by_index = divider_of(p.n_index);
}

void report_to(Launch& l, PlacesParams& p) {
  auto report = current().report(l.op->name, index_out_of_range);
  p.report = report.where;
  l.fail_unless(std::move(report.check));
}

void start_from_input(Launch& l) {
  const View &a = l.in[0], &out = l.out[0];
  if (a.data != out.data)
    copy_elements(out.data, *out.strides, a.data, *a.strides, *a.shape, size_of(a.dtype));
}

namespace {

/// Moves several neighbouring elements as one where addresses and strides allow.
int64_t widen(PlacesParams& p, const void* from, const void* to, int64_t bytes) {
  while (bytes < 16) {
    auto odd = [](long long v) { return v % 2 != 0; };
    if (p.inner_axes == 0 || p.inner_stride[p.inner_axes - 1] != 1 ||
        odd(p.inner_size[p.inner_axes - 1]))
      break;
    if (reinterpret_cast<uintptr_t>(from) % static_cast<uintptr_t>(2 * bytes) ||
        reinterpret_cast<uintptr_t>(to) % static_cast<uintptr_t>(2 * bytes))
      break;
    if (std::any_of(p.inner_stride, p.inner_stride + p.inner_axes - 1, odd) ||
        std::any_of(p.outer_stride, p.outer_stride + p.outer_axes, odd) ||
        std::any_of(p.index_stride, p.index_stride + p.index_axes, odd) ||
        std::any_of(p.term_stride, p.term_stride + p.terms, odd))
      break;
    for (int i = 0; i < p.inner_axes - 1; ++i) p.inner_stride[i] /= 2;
    p.inner_size[p.inner_axes - 1] /= 2;
    p.n_inner /= 2;
    for (int i = 0; i < p.outer_axes; ++i) p.outer_stride[i] /= 2;
    for (int i = 0; i < p.index_axes; ++i) p.index_stride[i] /= 2;
    for (int i = 0; i < p.terms; ++i) p.term_stride[i] /= 2;
    bytes *= 2;
  }
  return bytes;
}

void read_places(Launch& l, PlacesParams& places) {
  const int64_t n = places.n_outer * places.n_index * places.n_inner;
  if (n == 0) return;
  report_to(l, places);
  GatherParams p{places, l.in[0].data, l.out[0].data, 0, 0, 0};
  const int64_t bytes = widen(p.places, p.from, p.to, size_of(l.in[0].dtype));
  set_dividers(p.places);
  const int64_t rows = places.n_outer * places.n_index, units = p.places.n_inner;
  // Blocks of a few thousand, smaller ones where those would leave multiprocessors idle.
  constexpr int64_t kChunk = 8192, kLeastChunk = kGatherEach * kGatherThreads;
  constexpr int64_t kLarge = 32 << 20;  // bytes: about what the second-level cache holds
  const int64_t wanted = rows * units / (int64_t{current().multiprocessors()} * 8);
  const int64_t chunk = std::clamp(wanted / kLeastChunk * kLeastChunk, kLeastChunk, kChunk);
  p.chunk = static_cast<int>(chunk);
  const bool single = n == places.n_index && units == 1 && places.terms == 1 &&
                      places.index_axes == 0 && rows * bytes > kLarge;
  if (single && (places.term_bytes[0] == -4 || places.term_bytes[0] == -8))
    p.single = -places.term_bytes[0];
  int64_t blocks = (rows * units + chunk - 1) / chunk;
  constexpr int64_t kLongRow = 4096;  // units; longer rows are cut
  if (units > 1 && units <= kLongRow && p.places.inner_axes == 1 && p.places.inner_stride[0] == 1) {
    // About four units a thread, so that as many are on the way.
    p.group = 1;
    while (p.group < 64 && p.group * kGatherEach < units) p.group *= 2;
    const int64_t each = kGatherThreads / p.group;
    blocks = (rows + each - 1) / each;
  }
  launch_blocks("index", cat("gather_", bytes), blocks, kGatherThreads, p);
}

void run_gather(Launch& l) {
  const View& a = l.in[0];
  const auto& attrs = l.attrs<GatherAttrs>();
  const int64_t last = static_cast<int64_t>(a.ndim()) - 1;
  if (l.out[0].size == 0) return;
  if (attrs.axes.size() == 1 && attrs.axes[0] == last && attrs.at == last &&
      gather_within_rows(l, a, l.in[1], true))
    return;
  PlacesParams p = gather_places(l, a, l.in.subspan(1), attrs);
  read_places(l, p);
}
void run_take_along_axis(Launch& l) {
  const View &a = l.in[0], &indices = l.in[1];
  const int64_t axis = l.attrs<AlongAttrs>().axis;
  if (l.out[0].size == 0) return;
  if (axis + 1 == static_cast<int64_t>(a.ndim()) &&
      std::equal(a.shape->begin(), a.shape->end() - 1, indices.shape->begin()) &&
      gather_within_rows(l, a, indices, false))
    return;
  PlacesParams p = along_places(l, a, indices, axis);
  read_places(l, p);
}
// In row programs.
int64_t axis_of(const void* attrs) { return static_cast<const AlongAttrs*>(attrs)->axis; }
int last_axis(const void* attrs, size_t rank) {
  return axis_of(attrs) + 1 == static_cast<int64_t>(rank);
}
constexpr PickOf kTakeAlong{"take_along_axis", index_out_of_range, axis_of};

void run_slice_update(Launch& l) {
  auto& attrs = l.attrs<SliceAttrs>();
  start_from_input(l);
  const View &out = l.out[0], &update = l.in[1];
  if (update.size == 0) return;
  const SliceRegion r = resolve_slice(l.op->name, attrs, *out.shape);
  int64_t offset = 0;
  Strides strides;
  for (size_t i = 0; i < out.ndim(); ++i) {
    offset += r.begin[i] * (*out.strides)[i];
    if (attrs.step[i] != 0) strides.push_back(r.step[i] * (*out.strides)[i]);
  }
  copy_elements(out.as<char>() + offset * size_of(out.dtype), strides, update.data, *update.strides,
                *update.shape, size_of(out.dtype));
}

}  // namespace

void register_masked_kernels(KernelTable& table);
void register_scatter_kernels(KernelTable& table);

void register_index_kernels(KernelTable& table) {
  register_masked_kernels(table);
  register_scatter_kernels(table);
  auto add = [&](const char* name, void (*run)(Launch&), int8_t reuses) {
    add_kernels(table, op_named(name), AllTypes{}, [&]<class T>(TypeTag<T>) {
      return Kernel{.run = run, .accepts = AcceptLayout::any, .reuses = reuses};
    });
  };
  add("gather", run_gather, -1);
  add_kernels(table, op_named("take_along_axis"), AllTypes{}, [](auto) {
    return Kernel{.run = run_take_along_axis,
                  .accepts = AcceptLayout::any,
                  .row_axes = last_axis,
                  .picks = true,
                  .own = &kTakeAlong};
  });
  add("slice_update", run_slice_update, 0);
}

}  // namespace legato::cuda
