#include "legato/ops/index/staged.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/index/index.cuda.h"

namespace legato::cuda {

bool gather_within_rows(Launch& l, const View& a, const View& indices, bool shared) {
  constexpr int64_t kTile = 16 << 10, kLongest = 96 << 10;  // bytes of rows in a block
  const Dtype t = indices.dtype;
  const int64_t bytes = size_of(a.dtype), length = a.shape->back();
  if (!a.row_major || !indices.row_major || length == 0 || length * bytes > kLongest) return false;
  if (t != Dtype::int32 && t != Dtype::int64 && t != Dtype::uint32) return false;
  const int64_t rows = a.size / length, count = shared ? indices.size : indices.shape->back();
  // Few of a row's elements are picked faster where they lie; few rows leave most of the device
  // idle.
  const int64_t blocks = current().multiprocessors();
  if (count * 64 < length * bytes || rows < blocks || count > INT32_MAX / kTile) return false;

  StagedParams p{};
  p.from = a.data;
  p.indices = indices.data;
  p.to = l.out[0].data;
  p.rows = rows;
  p.length = static_cast<int>(length);
  p.count = static_cast<int>(count);
  p.index_bytes = static_cast<int>(is_signed_integer(t) ? -size_of(t) : size_of(t));
  p.shared = shared;
  p.axis = static_cast<int>(a.ndim()) - 1;
  int64_t each =
      std::clamp<int64_t>(kTile / (length * bytes), 1, std::max<int64_t>(1, rows / (4 * blocks)));
  const int64_t pack = 16 / bytes;
  if (each > pack) each -= each % pack;
  p.block_rows = static_cast<int>(each);
  auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  p.whole_packs = aligned(p.from) && each * length * bytes % 16 == 0;
  p.packs = count % pack == 0 && aligned(p.to) && aligned(p.indices);
  p.by_count = divider_of(count);
  auto report = current().report(l.op->name, index_out_of_range);
  p.report = report.where;
  l.fail_unless(std::move(report.check));
  const int64_t tile = (each * length * bytes + 15) / 16 * 16;
  launch_shared("staged", cat("gather_staged_", bytes), (rows + each - 1) / each, kStagedThreads,
                static_cast<int>(tile), p);
  return true;
}

}  // namespace legato::cuda
