// Kernels of scatter and put_along_axis.
//
// Note [Order of a scatter]: updates of one place are applied in their order, whatever the number
// of threads: the result is defined, and the same on every machine. So the work is shared by where
// it goes, never by where it comes from: threads take columns of wide rows, or outer places, or,
// where single elements are written, buckets of destinations into which the updates are sorted
// first.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "legato/backends/cpu/copy.h"
#include "legato/backends/cpu/ranges.h"
#include "legato/ops/index/gather.cpu.h"
#include "legato/ops/index/gather.h"
#include "legato/ops/index/places.cpu.h"

namespace legato::cpu {
namespace {

constexpr int64_t kBlock = 1024;              // offsets worked out at a time
constexpr int64_t kParallelElements = 32768;  // below, one thread is faster

template <class T>
constexpr bool is_half_type = std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>;
template <class T>
constexpr bool is_complex_type = std::is_same_v<T, complex64_t> || std::is_same_v<T, complex128_t>;

/// Complex numbers are ordered by their real, then by their imaginary part.
template <class T>
bool less(const T& a, const T& b) {
  if constexpr (is_complex_type<T>)
    return a.real() < b.real() || (a.real() == b.real() && a.imag() < b.imag());
  else
    return a < b;
}

template <class T, UpdateMode mode>
T combine(T a, T u) {
  if constexpr (mode == UpdateMode::set) {
    return u;
  } else if constexpr (is_half_type<T>) {
    return T(combine<float, mode>(static_cast<float>(a), static_cast<float>(u)));
  } else if constexpr (mode == UpdateMode::maximum) {
    return less(u, a) || a != a ? a : u;
  } else if constexpr (mode == UpdateMode::minimum) {
    return less(a, u) || a != a ? a : u;
  } else if constexpr (std::is_same_v<T, bool>) {
    return mode == UpdateMode::add ? a || u : a && u;
  } else if constexpr (std::is_integral_v<T>) {
    using U = std::conditional_t<(sizeof(T) < 8), uint32_t, uint64_t>;  // wraps, never overflows
    if constexpr (mode == UpdateMode::add)
      return static_cast<T>(static_cast<U>(a) + static_cast<U>(u));
    if constexpr (mode == UpdateMode::multiply)
      return static_cast<T>(static_cast<U>(a) * static_cast<U>(u));
    if (u == 0) return 0;  // as a float quotient cast to the dtype: infinity gives 0
    if constexpr (std::is_signed_v<T>)
      if (u == T(-1)) return static_cast<T>(U{0} - static_cast<U>(a));
    return static_cast<T>(a / u);
  } else {
    return mode == UpdateMode::add ? a + u : mode == UpdateMode::multiply ? a * u : a / u;
  }
}

/// Updates as a kernel reads them: place p, column j at p * row + j * column.
template <class T>
struct Updates {
  const T* data;
  int64_t row, column;
};

/// Applies n updates (those named by `order`, or first, first + 1, ...) on the columns [j0, j1).
template <class T, UpdateMode mode>
void apply(T* out, const int64_t* offsets, const int64_t* order, int64_t first, int64_t n,
           const int64_t* inner_offsets, int64_t j0, int64_t j1, Updates<T> u) {
  for (int64_t k = 0; k < n; ++k) {
    int64_t i = order ? order[k] : k;
    T* to = out + offsets[i];
    const T* from = u.data + (first + i) * u.row;
    if (inner_offsets) {
      for (int64_t j = j0; j < j1; ++j)
        to[inner_offsets[j]] = combine<T, mode>(to[inner_offsets[j]], from[j * u.column]);
    } else if (u.column == 1) {
      for (int64_t j = j0; j < j1; ++j) to[j] = combine<T, mode>(to[j], from[j]);
    } else {
      for (int64_t j = j0; j < j1; ++j) to[j] = combine<T, mode>(to[j], from[j * u.column]);
    }
  }
}

template <class T>
using Apply = void (*)(T*, const int64_t*, const int64_t*, int64_t, int64_t, const int64_t*,
                       int64_t, int64_t, Updates<T>);

template <class T>
Apply<T> apply_for(UpdateMode mode) {
  constexpr Apply<T> table[] = {apply<T, UpdateMode::set>,      apply<T, UpdateMode::add>,
                                apply<T, UpdateMode::multiply>, apply<T, UpdateMode::divide>,
                                apply<T, UpdateMode::maximum>,  apply<T, UpdateMode::minimum>};
  return table[static_cast<int>(mode)];
}

/// Positions 0..n-1 sorted into buckets of destinations, in order within each bucket.
struct Buckets {
  int64_t count;
  const int64_t* order;
  std::vector<int64_t> begin;  // count + 1 entries
};

Buckets sort_into_buckets(Launch& l, const int64_t* offsets, int64_t n, int64_t range) {
  constexpr int64_t kCount = 64;
  int shift = 0;
  while ((range - 1) >> shift >= kCount) ++shift;
  int64_t chunks = std::clamp<int64_t>(n / 8192, 1, 64);
  auto chunk_begin = [&](int64_t c) { return n / chunks * c + std::min(c, n % chunks); };
  // place[bucket][chunk]: first how many, then where the chunk's share of the bucket begins.
  std::vector<int64_t> place(kCount * chunks, 0);
  parallel_for(chunks, [&](int64_t c) {
    int64_t counts[kCount] = {};
    for (int64_t i = chunk_begin(c); i < chunk_begin(c + 1); ++i) ++counts[offsets[i] >> shift];
    for (int64_t b = 0; b < kCount; ++b) place[b * chunks + c] = counts[b];
  });
  Buckets out{kCount, nullptr, {}};
  int64_t total = 0;
  for (int64_t b = 0; b < kCount; ++b) {
    out.begin.push_back(total);
    for (int64_t c = 0; c < chunks; ++c) {
      int64_t here = place[b * chunks + c];
      place[b * chunks + c] = total;
      total += here;
    }
  }
  out.begin.push_back(total);
  auto* order = static_cast<int64_t*>(l.workspace(n * 8));
  parallel_for(chunks, [&](int64_t c) {
    int64_t next[kCount];
    for (int64_t b = 0; b < kCount; ++b) next[b] = place[b * chunks + c];
    for (int64_t i = chunk_begin(c); i < chunk_begin(c + 1); ++i)
      order[next[offsets[i] >> shift]++] = i;
  });
  out.order = order;
  return out;
}

/// in[0] with in[1] written to `places` of it.
template <class T>
void write_places(Launch& l, const Places& places, UpdateMode mode) {
  const View &a = l.in[0], &out_view = l.out[0];
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  T* out = out_view.as<T>();
  if (a.data != out_view.data)
    copy_strided(out, *out_view.strides, a.data, *a.strides, *a.shape, size);
  int64_t n_outer = places.outer.count(), n = places.index.count(), inner = places.inner.count();
  if (n_outer == 0 || n == 0 || inner == 0) return;

  auto* offsets = static_cast<int64_t*>(l.workspace(n * 8));
  std::atomic<bool> good{true};
  for_ranges(n, 16384, [&](int64_t begin, int64_t end) {
    if (!places.index.fill(l, begin, end - begin, offsets + begin)) good = false;
  });
  if (!good) return;

  const View& given = l.in[1];
  Updates<T> u{given.as<T>(), inner, 1};
  if (!given.row_major) {
    bool one = true;
    for (size_t i = 0; i < given.ndim(); ++i) one &= (*given.strides)[i] == 0 || given.dim(i) == 1;
    if (one) {
      u.row = u.column = 0;
    } else {
      void* dense = l.workspace(given.size * size);
      copy_strided(dense, row_major_strides(*given.shape), given.data, *given.strides, *given.shape,
                   size);
      u.data = static_cast<T*>(dense);
    }
  }
  const int64_t* inner_offsets = nullptr;
  if (!places.inner.dense()) {
    auto* table = static_cast<int64_t*>(l.workspace(inner * 8));
    places.inner.fill(l, 0, inner, table);
    inner_offsets = table;
  }

  Apply<T> apply = apply_for<T>(mode);
  // One outer place after the other, on the columns [j0, j1).
  auto outer_range = [&](int64_t begin, int64_t end, int64_t j0, int64_t j1) {
    int64_t starts[kBlock];
    for (int64_t o = begin; o < end; o += kBlock) {
      int64_t count = std::min(kBlock, end - o);
      places.outer.fill(l, o, count, starts);
      for (int64_t k = 0; k < count; ++k)
        apply(out + starts[k], offsets, nullptr, (o + k) * n, n, inner_offsets, j0, j1, u);
    }
  };
  int64_t threads = n_outer * n * inner < kParallelElements ? 1 : num_threads();
  constexpr int64_t line = std::max<int64_t>(64 / size, 1);  // elements
  if (threads == 1) return outer_range(0, n_outer, 0, inner);
  if (inner >= 2 * line * threads) {
    return parallel_for(threads, [&](int64_t t) {
      auto column = [&](int64_t t) {
        return t == threads ? inner : inner / threads * t / line * line;
      };
      outer_range(0, n_outer, column(t), column(t + 1));
    });
  }
  if (n_outer >= threads)
    return for_ranges(n_outer, 1,
                      [&](int64_t begin, int64_t end) { outer_range(begin, end, 0, inner); });

  // A place is known by its offset: places with different offsets have no element in common.
  int64_t range = 1 + *std::max_element(offsets, offsets + n);
  Buckets buckets = sort_into_buckets(l, offsets, n, range);
  int64_t starts[kBlock];
  places.outer.fill(l, 0, n_outer, starts);  // fewer than threads
  parallel_for(buckets.count, [&](int64_t b) {
    int64_t begin = buckets.begin[b], count = buckets.begin[b + 1] - begin;
    for (int64_t o = 0; o < n_outer; ++o)
      apply(out + starts[o], offsets, buckets.order + begin, o * n, count, inner_offsets, 0, inner,
            u);
  });
}

template <class T>
void run_scatter(Launch& l) {
  auto& attrs = l.attrs<GatherAttrs>();
  const View& out = l.out[0];
  write_places<T>(l, gather_places(*out.shape, *out.strides, l.in.subspan(2), attrs.axes, attrs.at),
                  attrs.mode);
}

template <class T>
void run_put_along_axis(Launch& l) {
  auto& attrs = l.attrs<AlongAttrs>();
  const View& out = l.out[0];
  write_places<T>(l, along_places(*out.shape, *out.strides, l.in[2], attrs.axis), attrs.mode);
}

}  // namespace

void register_scatter_kernels(KernelTable& table) {
  add_kernels(table, scatter_op, AllTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{.run = run_scatter<T>, .accepts = AcceptLayout::any, .reuses = 0};
  });
  add_kernels(table, put_along_axis_op, AllTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{.run = run_put_along_axis<T>, .accepts = AcceptLayout::any, .reuses = 0};
  });
}

}  // namespace legato::cpu
