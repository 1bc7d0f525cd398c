// Sorting by unsigned keys: a stable radix sort for long rows, a comparison sort for short ones.
#include <algorithm>
#include <compare>
#include <cstring>
#include <numeric>

#include "legato/backends/cpu/axis_rows.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/sort/ops.h"
#include "legato/ops/sort/order_keys.h"

namespace legato::cpu {
namespace {

constexpr int64_t kRadixFrom = 512;  // below, the histograms cost more than comparing

// Stable LSD radix sort of `n` items by bits [low, high) of key_of(item). `spare` has room for n.
// The result is in `items`. Digits in which all keys agree are skipped.
template <class Item, class KeyOf>
void radix_sort(Item* items, Item* spare, int64_t n, int low, int high, KeyOf key_of) {
  constexpr int kDigit = 11, kBuckets = 1 << kDigit;
  const int passes = (high - low + kDigit - 1) / kDigit;
  int64_t counts[6][kBuckets] = {};
  for (int64_t i = 0; i < n; ++i) {
    const auto key = key_of(items[i]);
    for (int p = 0; p < passes; ++p) ++counts[p][key >> (low + p * kDigit) & (kBuckets - 1)];
  }
  Item* from = items;
  Item* to = spare;
  for (int p = 0; p < passes; ++p) {
    const int shift = low + p * kDigit;
    int64_t* count = counts[p];
    if (count[key_of(from[0]) >> shift & (kBuckets - 1)] == n) continue;
    int64_t sum = 0;
    for (int b = 0; b < kBuckets; ++b) sum += std::exchange(count[b], sum);
    for (int64_t i = 0; i < n; ++i)
      to[count[key_of(from[i]) >> shift & (kBuckets - 1)]++] = from[i];
    std::swap(from, to);
  }
  if (from != items) std::copy_n(from, n, items);
}

template <class Key>
void sort_keys(Key* keys, Key* spare, int64_t n) {
  if constexpr (sizeof(Key) == 1) {
    int64_t counts[256] = {};
    for (int64_t i = 0; i < n; ++i) ++counts[keys[i]];
    for (int k = 0; k < 256; ++k) {
      std::memset(keys, k, static_cast<size_t>(counts[k]));
      keys += counts[k];
    }
  } else {
    if (n < kRadixFrom)
      std::sort(keys, keys + n);
    else
      radix_sort(keys, spare, n, 0, 8 * static_cast<int>(sizeof(Key)),
                 [](Key k) { return static_cast<uint64_t>(k); });
  }
}

template <class T>
void sort_row(const T* x, T* y, int64_t n) {
  using Order = OrderKey<T>;
  if constexpr (is_complex(dtype_of<T>)) {
    std::copy_n(x, n, y);
    std::stable_sort(y, y + n, [](const T& a, const T& b) {
      return Order::template key<Zeros::equal>(a) < Order::template key<Zeros::equal>(b);
    });
  } else {
    using Key = typename Order::Key;
    Key* keys = scratch<Key>(Scratch::sort, static_cast<size_t>(2 * n));
    for (int64_t i = 0; i < n; ++i) keys[i] = Order::template key<Zeros::distinct>(x[i]);
    sort_keys(keys, keys + n, n);
    for (int64_t i = 0; i < n; ++i) y[i] = Order::value(keys[i]);
  }
}

template <class T>
void argsort_row(const T* x, uint32_t* out, int64_t n) {
  using Order = OrderKey<T>;
  using Key = typename Order::Key;
  if constexpr (sizeof(Key) <= 4) {  // key and index in one word: comparing words is stable
    constexpr int kBits = 8 * static_cast<int>(sizeof(Key));
    uint64_t* items = scratch<uint64_t>(Scratch::sort, static_cast<size_t>(2 * n));
    for (int64_t i = 0; i < n; ++i)
      items[i] = static_cast<uint64_t>(Order::template key<Zeros::equal>(x[i])) << 32 |
                 static_cast<uint64_t>(i);
    if (n < kRadixFrom)
      std::sort(items, items + n);
    else
      radix_sort(items, items + n, n, 32, 32 + kBits, [](uint64_t w) { return w; });
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<uint32_t>(items[i]);
  } else {
    struct Item {
      Key key;
      uint32_t index;
    };
    Item* items = scratch<Item>(Scratch::sort, static_cast<size_t>(2 * n));
    for (int64_t i = 0; i < n; ++i)
      items[i] = {Order::template key<Zeros::equal>(x[i]), static_cast<uint32_t>(i)};
    bool sorted = false;
    if constexpr (sizeof(Key) == 8) {
      if (n >= kRadixFrom) {
        radix_sort(items, items + n, n, 0, 64, [](const Item& i) { return i.key; });
        sorted = true;
      }
    }
    if (!sorted)
      std::sort(items, items + n, [](const Item& a, const Item& b) {
        return a.key < b.key || (a.key == b.key && a.index < b.index);
      });
    for (int64_t i = 0; i < n; ++i) out[i] = items[i].index;
  }
}

template <class T, bool indices>
void run_sort(Launch& l) {
  const View& x = l.in[0];
  if (x.size == 0) return;
  const AxisSplit s =
      x.ndim()
          ? split_axis(*x.shape, normalize_axis(l.op->name, l.attrs<SortAttrs>().axis, x.ndim()))
          : AxisSplit{};
  const RowOperand operands[] = {row_operand(x, s.n), row_operand(l.out[0], s.n)};
  for_axis_rows(operands, 1, s, 10, [&](void* const* p, int64_t rows) {
    const T* from = static_cast<const T*>(p[0]);
    for (int64_t r = 0; r < rows; ++r) {
      if constexpr (indices)
        argsort_row(from + r * s.n, static_cast<uint32_t*>(p[1]) + r * s.n, s.n);
      else
        sort_row(from + r * s.n, static_cast<T*>(p[1]) + r * s.n, s.n);
    }
  });
}

template <class T>
void run_search(Launch& l) {
  using Order = OrderKey<T>;
  const auto& attrs = l.attrs<SearchAttrs>();
  const View &sequence = l.in[0], &values = l.in[1];
  const int64_t n = sequence.shape->back();
  int64_t groups = 1;
  for (int64_t i = 0; i < attrs.lead; ++i) groups *= sequence.dim(static_cast<size_t>(i));
  if (values.size == 0) return;
  const int64_t m = values.size / groups;
  const T *first = sequence.as<T>(), *wanted = values.as<T>();
  uint32_t* out = l.out[0].as<uint32_t>();
  auto key = [](const T& x) { return Order::template key<Zeros::equal>(x); };
  constexpr int64_t kTask = 4096;
  const int64_t tasks = (values.size + kTask - 1) / kTask;
  auto task = [&](int64_t t) {
    for (int64_t i = t * kTask; i < std::min(values.size, (t + 1) * kTask); ++i) {
      const T* begin = first + i / m * n;
      const auto k = key(wanted[i]);
      const T* at =
          attrs.right
              ? std::partition_point(begin, begin + n, [&](const T& x) { return !(k < key(x)); })
              : std::partition_point(begin, begin + n, [&](const T& x) { return key(x) < k; });
      out[i] = static_cast<uint32_t>(at - begin);
    }
  };
  if (tasks == 1)
    task(0);
  else
    parallel_for(tasks, task);
}

}  // namespace

void register_sort_kernels(KernelTable& table) {
  add_kernels(table, sort_op, AllTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{run_sort<T, false>, AcceptLayout::row_major, 0};
  });
  add_kernels(table, argsort_op, AllTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{run_sort<T, true>, AcceptLayout::row_major};
  });
  add_kernels(table, searchsorted_op, AllTypes{},
              []<class T>(TypeTag<T>) { return Kernel{run_search<T>, AcceptLayout::row_major}; });
}

}  // namespace legato::cpu
