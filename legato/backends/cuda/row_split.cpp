#include "legato/backends/cuda/row_split.h"

#include <algorithm>
#include <bit>

namespace legato::cuda {

int load_width(Dtype dtype, int64_t n, std::initializer_list<const void*> pointers) {
  const int64_t wide = 16 / size_of(dtype);
  bool aligned = n % wide == 0;
  for (const void* p : pointers) aligned &= reinterpret_cast<uintptr_t>(p) % 16 == 0;
  return aligned ? static_cast<int>(wide) : 1;
}

namespace {

// What an instance costs beside the work itself, as a share of it; from the tables in
// lab/gpu_norm.
double split_cost(const RowInstance& i, int group, int64_t n) {
  const double slots = static_cast<double>(int64_t{group} * i.wide * i.packs);
  double cost = slots / static_cast<double>(n);
  cost += 0.02 * std::bit_width(static_cast<unsigned>(group));  // adding up over the group
  if (i.packs >= 8) cost += 0.05;                               // registers
  if (i.packs == 1 && group > 32) cost += 0.3;  // little in flight for a wait of the block
  if (group < 4 && n > i.wide) cost += 0.1;     // lines that several loads share
  if (group > 512) cost += 0.1;                 // one block a multiprocessor
  return cost;
}
}  // namespace

RowSplit split_row(const RowInstances& instances, Dtype dtype, int64_t n,
                   std::initializer_list<const void*> pointers) {
  constexpr int64_t kOddFrom = 64;  // elements: two ends that are loaded singly are dear in less
  RowSplit best;
  int wide = load_width(dtype, n, pointers);
  std::span<const RowInstance> list = instances.of(dtype);
  int64_t length = n;
  if (wide == 1 && !instances.odd.empty() && size_of(dtype) == 2 && n >= kOddFrom &&
      load_width(dtype, 0, pointers) > 1) {
    best.odd = true;
    wide = load_width(dtype, 0, pointers);
    list = instances.odd;
    length = n + wide - 1;  // what may lie before the row
  }
  double least = 0;
  for (const RowInstance& i : list) {
    const int64_t one = int64_t{i.wide} * i.packs;
    if (i.wide != wide || length > one * i.most) continue;
    const auto group =
        static_cast<int>(std::bit_ceil(static_cast<uint64_t>((length + one - 1) / one)));
    if (group > i.most) continue;
    const double cost = split_cost(i, group, n);
    if (best.group && cost >= least) continue;
    least = cost;
    best.instance = i;
    best.group = group;
    best.threads = std::max(group, 128);
  }
  return best;
}

RowParts cut_rows(int64_t rows, int64_t n, int multiprocessors) {
  constexpr int64_t kShortest = 16384;  // elements: below, a cut costs more than it brings
  const int64_t wanted = int64_t{multiprocessors} * 4;
  if (rows * 2 >= wanted) return {1, n};
  const int64_t even = n / (wanted / rows), size = (std::max(even, kShortest) + 7) / 8 * 8;
  return {(n + size - 1) / size, size};
}

}  // namespace legato::cuda
