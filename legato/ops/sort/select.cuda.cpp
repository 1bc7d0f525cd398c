#include "legato/ops/sort/select.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/sort/ops.h"
#include "legato/ops/sort/sort.cuda.h"

namespace legato::cuda {
namespace {

// Shorter rows, and larger parts of them, are sorted.
constexpr int64_t kLong = 8192, kPart = 8;

/// The k largest of rows of `n` neighbours, in any order.
void select_rows(Launch& l, const void* x, Dtype t, int64_t rows, int64_t n, int64_t k,
                 void* chosen) {
  const int64_t bytes = size_of(t), bits = 8 * bytes, blocks = current().multiprocessors();
  SelectParams p{};
  p.x = x;
  p.chosen = chosen;
  p.form = key_form(t, false);
  p.rows = rows;
  p.n = n;
  p.k = k;
  p.rounds = static_cast<int>((bits + kSelectBits - 1) / kSelectBits);
  for (int r = 0; r < p.rounds; ++r)
    p.shift[r] = static_cast<int>(std::max<int64_t>(0, bits - (r + 1) * kSelectBits));
  for (int side = 0; side < 2 && side + 1 < p.rounds; ++side)
    p.left[side] = l.workspace(rows * n * bytes);
  if (rows >= 2 * blocks) {
    launch_blocks("select", cat("select_rows_", bytes), rows, kSelectThreads, p);
    return;
  }
  p.spans = std::max<int64_t>(1, blocks * 6 / rows);
  p.span = ((n + p.spans - 1) / p.spans + kSelectChunk - 1) / kSelectChunk * kSelectChunk;
  p.spans = (n + p.span - 1) / p.span;
  const int64_t states = rows * static_cast<int64_t>(sizeof(SelectRow)),
                zeroed = states + p.rounds * rows * kSelectBins * 4;
  auto* zeroes = static_cast<char*>(l.workspace(zeroed));
  check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(zeroes), 0,
                                 static_cast<size_t>(zeroed), current().queue()),
        "clearing counts");
  p.state = reinterpret_cast<SelectRow*>(zeroes);
  p.counts = reinterpret_cast<unsigned*>(zeroes + states);
  launch_blocks("select", cat("select_count_", bytes), rows * p.spans, kSelectThreads, p);
  for (; p.round < p.rounds; ++p.round)
    launch_blocks("select", cat("select_divide_", bytes), rows * p.spans, kSelectThreads, p);
}

}  // namespace

void run_topk(Launch& l) {
  const View &x = l.in[0], &out = l.out[0];
  const auto& attrs = l.attrs<TopkAttrs>();
  if (out.size == 0) return;
  const auto axis = static_cast<size_t>(normalize_axis(l.op->name, attrs.axis, x.ndim()));
  const int64_t n = x.dim(axis), k = attrs.k, bytes = size_of(x.dtype);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= x.dim(i);
  for (size_t i = axis + 1; i < x.ndim(); ++i) inner *= x.dim(i);
  const int64_t rows = outer * inner;
  const void* from = x.data;
  if (inner > 1) {  // rows are made of columns
    void* memory = l.workspace(x.size * bytes);
    copy_elements(memory, {n * inner, n, 1}, x.data, {n * inner, 1, inner}, {outer, inner, n},
                  bytes);
    from = memory;
  }
  const bool select = n >= kLong && k <= n / kPart && n <= INT32_MAX && !is_complex(x.dtype);
  const int64_t length = select ? k : n;  // of a row that is sorted in the end
  void* sorted = l.workspace(rows * length * bytes);
  if (select) {
    void* chosen = l.workspace(rows * k * bytes);
    select_rows(l, from, x.dtype, rows, n, k, chosen);
    from = chosen;
    if (inner == 1) sorted = out.data;
  }
  sort_values(l, from, x.dtype, rows, length, sorted);
  if (sorted != out.data)
    copy_elements(out.data, {k * inner, 1, inner},
                  static_cast<const char*>(sorted) + (length - k) * bytes,
                  {length * inner, length, 1}, {outer, inner, k}, bytes);
}

}  // namespace legato::cuda
