#include "legato/ops/index/masked.h"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/index/masked.cuh"

namespace legato::cuda {
namespace {

std::exception_ptr too_few(const char*, const ValueReport& r) {
  const auto given = static_cast<int64_t>(r.bound);
  return std::make_exception_ptr(ValueError(
      cat("assignment by a mask: the mask selects ", static_cast<int64_t>(r.value),
          " elements, but ", given, given == 1 ? " value was given" : " values were given")));
}

/// A mask of rows, `given` true elements of each of which are moved.
MaskedParams masked(Launch& l, const View& mask, int64_t rows, int64_t given, bool strict) {
  MaskedParams p{};
  p.mask = mask.as<unsigned char>();
  p.rows = rows;
  p.length = rows ? mask.size / rows : 0;
  p.given = given;
  p.chunks = std::max<int64_t>(1, (p.length + kMaskChunk - 1) / kMaskChunk);
  p.packs = reinterpret_cast<uintptr_t>(p.mask) % kMaskItems == 0 &&
            (rows == 1 || p.length % kMaskItems == 0);
  const int64_t bytes = 8 + rows * p.chunks * 8;
  p.ticket = static_cast<unsigned*>(l.workspace(bytes));
  p.reports = reinterpret_cast<unsigned long long*>(p.ticket) + 1;
  check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(p.ticket), 0,
                                 static_cast<size_t>(bytes), current().queue()),
        "clearing reports");
  if (strict) {
    auto report = current().report(l.op->name, too_few);
    p.report = report.where;
    l.fail_unless(std::move(report.check));
  }
  return p;
}

/// The largest unit in which rows of `bytes` bytes can be moved between the addresses.
int64_t unit_of(const void* a, const void* b, int64_t bytes) {
  const auto odd =
      static_cast<int64_t>(reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) | bytes;
  return std::min<int64_t>(16, odd & -odd);
}

void run_masked_select(Launch& l) {
  const View &a = l.in[0], &out = l.out[0];
  if (out.size == 0) return;
  MaskedParams p = masked(l, l.in[1], a.dim(0), out.dim(1), false);
  const int64_t bytes = a.dim(2) * size_of(a.dtype), unit = unit_of(a.data, out.data, bytes);
  p.from = a.data;
  p.to = out.data;
  p.units = bytes / unit;
  launch_blocks("masked", cat("masked_select_", unit), p.rows * p.chunks, kMaskThreads, p);
}

void run_masked_scatter(Launch& l) {
  const View &a = l.in[0], &values = l.in[2], &out = l.out[0];
  if (a.data != out.data)
    copy_elements(out.data, *out.strides, a.data, *a.strides, *a.shape, size_of(a.dtype));
  if (l.in[1].size == 0) return;
  MaskedParams p =
      masked(l, l.in[1], a.dim(0), values.dim(1), l.attrs<MaskedScatterAttrs>().strict);
  if (out.size == 0 || values.size == 0) {
    launch_blocks("masked", "masked_count", p.rows * p.chunks, kMaskThreads, p);
    return;
  }
  const int64_t bytes = a.dim(2) * size_of(a.dtype), unit = unit_of(values.data, out.data, bytes);
  p.from = values.data;
  p.to = out.data;
  p.units = bytes / unit;
  launch_blocks("masked", cat("masked_scatter_", unit), p.rows * p.chunks, kMaskThreads, p);
}

void run_true_places(Launch& l) {
  const View& out = l.out[0];
  if (out.size == 0) return;
  const int64_t size = out.shape->back();
  MaskedParams p = masked(l, l.in[0], out.size / size, size, false);
  p.to = out.data;
  launch_blocks("masked", cat("true_places_", size_of(out.dtype)), p.rows * p.chunks, kMaskThreads,
                p);
}

}  // namespace

void register_masked_kernels(KernelTable& table) {
  add_kernels(table, op_named("masked_select"), AllTypes{},
              [](auto) { return Kernel{.run = run_masked_select}; });
  add_kernels(table, op_named("masked_scatter"), AllTypes{},
              [](auto) { return Kernel{.run = run_masked_scatter, .reuses = 0}; });
  add_kernels(table, op_named("true_places"), Types<bool>{},
              [](auto) { return Kernel{.run = run_true_places}; });
}

}  // namespace legato::cuda
