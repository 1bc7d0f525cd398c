// Kernels of selection and assignment by masks.
#include "legato/ops/index/masked.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "legato/backends/cpu/ranges.h"
#include "legato/base/error.h"
#include "legato/ops/index/gather.cpu.h"

namespace legato::cpu {
namespace {

constexpr int64_t kChunk = 16384;  // mask elements

/// A mask (B, M) cut into chunks, and how many true elements of its row lie before each.
struct CountedMask {
  const bool* mask;
  int64_t rows, length, chunks;  // chunks of one row
  std::vector<int64_t> before;   // rows * (chunks + 1); the last of each row is its total
};

CountedMask count_mask(const View& mask) {
  CountedMask m{mask.as<bool>(), mask.dim(0), mask.dim(1), 0, {}};
  m.chunks = (m.length + kChunk - 1) / kChunk;
  m.before.assign(m.rows * (m.chunks + 1), 0);
  for_ranges(m.rows * m.chunks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      int64_t row = k / m.chunks, chunk = k % m.chunks;
      const bool* at = m.mask + row * m.length;
      int64_t n = 0, stop = std::min((chunk + 1) * kChunk, m.length);
      for (int64_t i = chunk * kChunk; i < stop; ++i) n += at[i];
      m.before[row * (m.chunks + 1) + chunk + 1] = n;
    }
  });
  for (int64_t row = 0; row < m.rows; ++row)
    for (int64_t c = 0; c < m.chunks; ++c)
      m.before[row * (m.chunks + 1) + c + 1] += m.before[row * (m.chunks + 1) + c];
  return m;
}

/// Calls f(row, i, k) for each true element i of each row, the k-th of its row; in parallel.
template <class F>
void for_each_true(const CountedMask& m, F f) {
  for_ranges(m.rows * m.chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      int64_t row = c / m.chunks, chunk = c % m.chunks;
      const bool* at = m.mask + row * m.length;
      int64_t k = m.before[row * (m.chunks + 1) + chunk];
      int64_t stop = std::min((chunk + 1) * kChunk, m.length);
      for (int64_t i = chunk * kChunk; i < stop; ++i)
        if (at[i]) f(row, i, k++);
    }
  });
}

void run_masked_select(Launch& l) {
  const View &a = l.in[0], &out = l.out[0];
  CountedMask m = count_mask(l.in[1]);
  int64_t size = out.dim(1), bytes = a.dim(2) * size_of(a.dtype);
  auto* from = a.as<std::byte>();
  auto* to = out.as<std::byte>();
  for_each_true(m, [&](int64_t row, int64_t i, int64_t k) {
    if (k < size)
      std::memcpy(to + (row * size + k) * bytes, from + (row * m.length + i) * bytes, bytes);
  });
  for (int64_t row = 0; row < m.rows; ++row) {
    int64_t have = std::min(m.before[row * (m.chunks + 1) + m.chunks], size);
    std::memset(to + (row * size + have) * bytes, 0, (size - have) * bytes);
  }
}

void run_masked_scatter(Launch& l) {
  const View &a = l.in[0], &values = l.in[2], &out = l.out[0];
  CountedMask m = count_mask(l.in[1]);
  int64_t given = values.dim(1), bytes = a.dim(2) * size_of(a.dtype);
  if (l.attrs<MaskedScatterAttrs>().strict) {
    for (int64_t row = 0; row < m.rows; ++row) {
      int64_t needed = m.before[row * (m.chunks + 1) + m.chunks];
      if (needed > given) {
        l.fail(std::make_exception_ptr(
            ValueError(cat("assignment by a mask: the mask selects ", needed, " elements, but ",
                           given, given == 1 ? " value was given" : " values were given"))));
        return;
      }
    }
  }
  auto* from = values.as<std::byte>();
  auto* to = out.as<std::byte>();
  if (a.data != out.data) {
    for_ranges(a.size * size_of(a.dtype), 1 << 18, [&](int64_t begin, int64_t end) {
      std::memcpy(to + begin, a.as<std::byte>() + begin, end - begin);
    });
  }
  for_each_true(m, [&](int64_t row, int64_t i, int64_t k) {
    if (k < given)
      std::memcpy(to + (row * m.length + i) * bytes, from + (row * given + k) * bytes, bytes);
  });
}

template <class T>
void write_places(const CountedMask& m, const View& out) {
  const int64_t size = out.shape->back();
  T* to = out.as<T>();
  for_each_true(m, [&](int64_t row, int64_t i, int64_t k) {
    if (k < size) to[row * size + k] = static_cast<T>(i);
  });
  for (int64_t row = 0; row < m.rows; ++row)
    for (int64_t k = m.before[row * (m.chunks + 1) + m.chunks]; k < size; ++k)
      to[row * size + k] = 0;
}
void run_true_places(Launch& l) {
  const View &mask = l.in[0], &out = l.out[0];
  if (out.size == 0) return;
  const int64_t length = mask.shape->back();
  const Shape rows{out.size / out.shape->back(), length};
  View by_rows = mask;
  by_rows.shape = &rows;
  const CountedMask m = count_mask(by_rows);
  if (out.dtype == Dtype::int32)
    write_places<int32_t>(m, out);
  else
    write_places<int64_t>(m, out);
}

}  // namespace

void register_masked_kernels(KernelTable& table) {
  add_kernels(table, masked_select_op, AllTypes{},
              []<class T>(TypeTag<T>) { return Kernel{.run = run_masked_select}; });
  add_kernels(table, masked_scatter_op, AllTypes{},
              []<class T>(TypeTag<T>) { return Kernel{.run = run_masked_scatter, .reuses = 0}; });
  add_kernels(table, true_places_op, Types<bool>{},
              [](auto) { return Kernel{.run = run_true_places}; });
}

}  // namespace legato::cpu
