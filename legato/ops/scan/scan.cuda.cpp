#include "legato/ops/scan/scan.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/scan/ops.h"

namespace legato::cuda {
namespace {

// Sums and products wrap: signed and unsigned integers of a width alike.
std::string kernel_suffix(Dtype t) {
  if (!is_signed_integer(t)) return suffix(t);
  return cat("_u", size_of(t) * 8);
}

void run(Launch& l) {
  const View& x = l.in[0];
  if (x.size == 0) return;
  const auto& attrs = l.attrs<ScanAttrs>();
  const size_t axis = static_cast<size_t>(normalize_axis(l.op->name, attrs.axis, x.ndim()));
  ScanParams p{x.data, l.out[0].data, 1, x.dim(axis), 1, 0, attrs.reverse, attrs.inclusive};
  for (size_t i = 0; i < axis; ++i) p.outer *= x.dim(i);
  for (size_t i = axis + 1; i < x.ndim(); ++i) p.inner *= x.dim(i);
  const int64_t rows = p.outer * p.inner, most = int64_t{current().multiprocessors()} * 64;
  // Neighbouring threads take neighbouring scans where those lie side by side.
  p.group = p.n <= 32 || p.inner >= 32 ? 1 : kScanThreads;
  const int64_t blocks = p.group == 1 ? (rows + kScanThreads - 1) / kScanThreads : rows;
  launch_blocks("scan", cat(l.op->name, kernel_suffix(x.dtype)), std::min(blocks, most),
                kScanThreads, p);
}

}  // namespace

void register_scan_kernels(KernelTable& table) {
  for (const char* name : {"cumsum", "cumprod"})
    add_kernels(table, op_named(name), AllTypes{},
                [](auto) { return Kernel{run, AcceptLayout::row_major, 0}; });
}

}  // namespace legato::cuda
