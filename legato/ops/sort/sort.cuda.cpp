#include "legato/ops/sort/sort.cuh"

#include <algorithm>
#include <utility>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/sort/ops.h"
#include "legato/ops/sort/radix.cuh"
#include "legato/ops/sort/sort.cuda.h"

namespace legato::cuda {
namespace {

constexpr int64_t kNetworkRow = 256;  // above, a tile's digits are faster

/// The longest row that a block sorts by itself.
int64_t tile_of(int64_t bytes) {
  return kSortThreads * (bytes == 8 ? sort_items<8> : sort_items<4>);
}
void launch_tiles(SortParams& p, const char* kind, int64_t bytes) {
  int threads = 64;
  while (threads * (bytes == 8 ? sort_items<8> : sort_items<4>) < p.n) threads *= 2;
  launch_blocks("sort", cat("sort_block_", kind, bytes, '_', threads), p.rows, threads, p);
}

/// The passes over the digits of one key, from where p points to the result.
class Passes {
 public:
  Passes(Launch& l, RadixParams& p, bool pairs, int64_t key_bytes, int digits)
      : p_(p), pairs_(pairs), bytes_(key_bytes) {
    const int64_t large = key_bytes == 8 ? radix_tile<8> : radix_tile<4>;
    // Few tiles leave most of the device idle.
    small_ = p.rows * p.n <= large * current().multiprocessors() / 4;
    tile_ = small_ ? kRadixSmallTile : large;
    p.tiles = (p.n + tile_ - 1) / tile_;
    LEGATO_CHECK(p.rows * p.tiles <= INT32_MAX, "a sort on the GPU needs too many blocks");
    p.digits = digits;
    // As many blocks count as run at once.
    p.spans = std::max<int64_t>(1, int64_t{current().multiprocessors()} * 8 / p.rows);
    p.span = std::max<int64_t>(kRadixCountThreads * 16, (p.n + p.spans - 1) / p.spans);
    p.spans = (p.n + p.span - 1) / p.span;
    p.far = p.n >= int64_t{1} << 30;
    reports_ = p.rows * p.tiles * kDigits * (p.far ? 8 : 4);
    zeroed_ = kHead + p.rows * digits * kDigits * 4 + reports_;
    zeroes_ = static_cast<char*>(l.workspace(zeroed_));
    p.skips = p.rows == 1 && p.form.kind < KeyForm::complex64;
    p.reports[0] = zeroes_ + zeroed_ - reports_;
    if (digits > 1) p.reports[1] = l.workspace(reports_);
    for (int side = 0; side < 2 && digits > side + 1; ++side)
      p.keys[side] = l.workspace(p.rows * p.n * key_bytes);
    for (int side = 0; side < 2 && pairs && digits > side; ++side)
      p.index[side] = static_cast<unsigned*>(l.workspace(p.rows * p.n * 4));
  }
  /// `keys` gets the values or, of pairs, the sorted keys; `index` the order. Keys may be null.
  void run(void* keys, unsigned* index) {
    check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(zeroes_), 0,
                                   static_cast<size_t>(zeroed_), current().queue()),
          "clearing counts");
    p_.head = reinterpret_cast<unsigned*>(zeroes_);
    p_.totals = reinterpret_cast<unsigned*>(zeroes_ + kHead);
    p_.keys_out = keys;
    p_.index_out = index;
    p_.decode = !pairs_;
    launch_blocks("radix", cat("radix_count_", bytes_), p_.rows * p_.spans, kRadixCountThreads, p_);
    const std::string name =
        cat("radix_move_", small_ ? "small_" : "", pairs_ ? "pairs_" : "keys_", bytes_);
    const int shared = bytes_ == 1   ? shared_bytes<uint8_t>()
                       : bytes_ == 2 ? shared_bytes<uint16_t>()
                       : bytes_ == 4 ? shared_bytes<uint32_t>()
                                     : shared_bytes<uint64_t>();
    for (p_.pass = 0; p_.pass < p_.digits; ++p_.pass)
      launch_shared("radix", name, p_.rows * p_.tiles, small_ ? kRadixSmallThreads : kRadixThreads,
                    shared, p_);
    // Where nobody gave a place for the order it lies in the last one.
    p_.first_index = index ? index : p_.index[(p_.digits - 1) % 2];
  }

 private:
  template <class K>
  int shared_bytes() const {
    constexpr int items = radix_items<static_cast<int>(sizeof(K))>;
    if (small_)
      return pairs_ ? sizeof(RadixMemory<K, true, kRadixSmallThreads, kRadixSmallItems>)
                    : sizeof(RadixMemory<K, false, kRadixSmallThreads, kRadixSmallItems>);
    return pairs_ ? sizeof(RadixMemory<K, true, kRadixThreads, items>)
                  : sizeof(RadixMemory<K, false, kRadixThreads, items>);
  }
  static constexpr int64_t kHead = 64;  // bytes, at least a RadixHead
  static_assert(sizeof(RadixHead) <= kHead);
  RadixParams& p_;
  bool pairs_, small_;
  int64_t bytes_, tile_, reports_, zeroed_;
  char* zeroes_;
};

/// Sorts rows of `n` neighbours: values to `values`, or their order to `index`.
void sort_rows(Launch& l, const void* x, Dtype t, int64_t rows, int64_t n, void* values,
               unsigned* index) {
  if (n > int64_t{UINT32_MAX})
    throw ValueError(cat(l.op->name, ": ", n,
                         " elements along the axis; a GPU sorts up to 4294967295. Sort on the CPU "
                         "(stream=cpu)."));
  const bool pairs = index != nullptr;
  const int64_t bytes = size_of(t), key = std::min<int64_t>(bytes, 8);
  if (n <= kNetworkRow || (bytes <= 8 && n <= tile_of(bytes))) {
    SortParams p{};
    p.x = x;
    p.rows = rows;
    p.n = n;
    p.form = key_form(t, pairs);
    p.decode = !pairs;
    p.passes = static_cast<int>(bytes);
    p.keys_out = values;
    p.index_out = index;
    const char* kind = pairs ? "pairs_" : "keys_";
    if (n > kNetworkRow) return launch_tiles(p, kind, bytes);
    p.width = 2;
    while (p.width < n) p.width *= 2;
    const int64_t each = kNetwork / p.width;
    launch_blocks("sort", cat("sort_network_", kind, bytes), (rows + each - 1) / each, kSortThreads,
                  p);
    return;
  }
  RadixParams p{};
  p.x = x;
  p.rows = rows;
  p.n = n;
  p.form = key_form(t, pairs);
  Passes passes(l, p, pairs, key, static_cast<int>(key));
  if (t == Dtype::complex128) {  // by the lower half of the key, then by the upper one
    p.form.kind = KeyForm::imag128;
    passes.run(nullptr, nullptr);
    p.form.kind = KeyForm::real128;
  }
  passes.run(values, index);
}

}  // namespace

void sort_values(Launch& l, const void* x, Dtype t, int64_t rows, int64_t n, void* values) {
  if (!is_complex(t)) return sort_rows(l, x, t, rows, n, values, nullptr);
  // Equal values may differ in the sign of zeros.
  auto* order = static_cast<unsigned*>(l.workspace(rows * n * 4));
  sort_rows(l, x, t, rows, n, nullptr, order);
  launch_over("sort", cat("sort_take_", size_of(t)), rows * n,
              SortTakeParams{x, order, values, rows, n});
}

namespace {

template <bool indices>
void run_sort(Launch& l) {
  const View &x = l.in[0], &out = l.out[0];
  if (x.size == 0) return;
  int64_t outer = 1, n = 1, inner = 1;
  if (x.ndim()) {
    const auto axis =
        static_cast<size_t>(normalize_axis(l.op->name, l.attrs<SortAttrs>().axis, x.ndim()));
    n = x.dim(axis);
    for (size_t i = 0; i < axis; ++i) outer *= x.dim(i);
    for (size_t i = axis + 1; i < x.ndim(); ++i) inner *= x.dim(i);
  }
  const int64_t rows = outer * inner, bytes = size_of(x.dtype), out_bytes = size_of(out.dtype);
  // Other axes than the last: rows are made of columns, and back.
  const void* from = x.data;
  void* to = out.data;
  const Shape turned{outer, inner, n};
  const Strides dense{n * inner, n, 1}, columns{n * inner, 1, inner};
  if (inner > 1) {
    void* memory = l.workspace(x.size * bytes);
    copy_elements(memory, dense, x.data, columns, turned, bytes);
    from = memory;
    to = l.workspace(out.size * out_bytes);
  }
  if (indices)
    sort_rows(l, from, x.dtype, rows, n, nullptr, static_cast<unsigned*>(to));
  else
    sort_values(l, from, x.dtype, rows, n, to);
  if (inner > 1) copy_elements(out.data, columns, to, dense, turned, out_bytes);
}

void run_search(Launch& l) {
  const auto& attrs = l.attrs<SearchAttrs>();
  const View &sequence = l.in[0], &values = l.in[1];
  if (values.size == 0) return;
  SearchParams p{};
  p.sequence = sequence.data;
  p.values = values.data;
  p.out = l.out[0].as<unsigned>();
  p.form = key_form(values.dtype, true);
  p.groups = 1;
  for (int64_t i = 0; i < attrs.lead; ++i) p.groups *= sequence.dim(static_cast<size_t>(i));
  p.n = sequence.shape->back();
  p.n_values = values.size / p.groups;
  p.right = attrs.right;
  launch_over("sort", cat("search_", size_of(values.dtype)), values.size, p);
}

}  // namespace

SortedKeys sort_keys(Launch& l, const unsigned* keys, int64_t n, int bits) {
  const int passes = std::max(1, (bits + 7) / 8);
  auto* sorted = static_cast<unsigned*>(l.workspace(n * 4));
  auto* order = static_cast<unsigned*>(l.workspace(n * 4));
  if (n <= tile_of(4)) {
    SortParams p{};
    p.x = keys;
    p.rows = 1;
    p.n = n;
    p.form = key_form(Dtype::uint32, true);
    p.passes = passes;
    p.keys_out = sorted;
    p.index_out = order;
    launch_tiles(p, "pairs_", 4);
  } else {
    RadixParams p{};
    p.x = keys;
    p.rows = 1;
    p.n = n;
    p.form = key_form(Dtype::uint32, true);
    Passes(l, p, true, 4, passes).run(sorted, order);
  }
  return {sorted, order};
}

void register_sort_kernels(KernelTable& table) {
  add_kernels(table, op_named("sort"), AllTypes{},
              [](auto) { return Kernel{run_sort<false>, AcceptLayout::row_major}; });
  add_kernels(table, op_named("argsort"), AllTypes{},
              [](auto) { return Kernel{run_sort<true>, AcceptLayout::row_major}; });
  add_kernels(table, op_named("topk"), AllTypes{},
              [](auto) { return Kernel{run_topk, AcceptLayout::row_major}; });
  add_kernels(table, op_named("searchsorted"), AllTypes{},
              [](auto) { return Kernel{run_search, AcceptLayout::row_major}; });
}

}  // namespace legato::cuda
