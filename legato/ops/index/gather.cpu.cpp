// Kernels of gather and take_along_axis.
#include "legato/ops/index/gather.cpu.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "legato/backends/cpu/ranges.h"
#include "legato/ops/index/gather.h"
#include "legato/ops/index/places.cpu.h"

namespace legato::cpu {
namespace {

constexpr int64_t kBlock = 1024;           // offsets worked out at a time
constexpr int64_t kGrainBytes = 64 << 10;  // of output, per thread
constexpr int64_t kMinGrainPlaces = 256;

struct Bytes16 {
  uint64_t low, high;
};

/// out[i] = base[offset[i]], each a row of `inner` elements: dense, or at `inner_offsets`.
template <class T>
void copy_rows(T* out, const T* base, const int64_t* offset, int64_t n, int64_t inner,
               const int64_t* inner_offsets) {
  if (inner_offsets) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < inner; ++j) *out++ = base[offset[i] + inner_offsets[j]];
  } else if (inner == 1) {
    for (int64_t i = 0; i < n; ++i) out[i] = base[offset[i]];
  } else {
    size_t bytes = static_cast<size_t>(inner) * sizeof(T);
    for (int64_t i = 0; i < n; ++i) {
      if (i + 4 < n) __builtin_prefetch(base + offset[i + 4]);
      std::memcpy(out + i * inner, base + offset[i], bytes);
    }
  }
}

/// Reads all places in order.
template <class T>
void read_places(Launch& l, const Places& places) {
  const T* base = l.in[0].as<T>();
  T* out = l.out[0].as<T>();
  int64_t n_outer = places.outer.count(), n = places.index.count(), inner = places.inner.count();
  if (n_outer == 0 || n == 0 || inner == 0) return;

  const int64_t* inner_offsets = nullptr;
  if (!places.inner.dense()) {
    auto* table = static_cast<int64_t*>(l.workspace(inner * 8));
    places.inner.fill(l, 0, inner, table);
    inner_offsets = table;
  }
  int64_t row_bytes = std::max<int64_t>(inner * static_cast<int64_t>(sizeof(T)), 1);
  int64_t grain = std::max(kGrainBytes / row_bytes, row_bytes > 4096 ? 1 : kMinGrainPlaces);
  if (n_outer == 1) {
    for_ranges(n, grain, [&](int64_t begin, int64_t end) {
      int64_t offsets[kBlock];
      for (int64_t i = begin; i < end; i += kBlock) {
        int64_t count = std::min(kBlock, end - i);
        if (!places.index.fill(l, i, count, offsets)) return;
        copy_rows(out + i * inner, base, offsets, count, inner, inner_offsets);
      }
    });
    return;
  }
  // The same index places for each outer place: they are worked out once.
  auto* offsets = static_cast<int64_t*>(l.workspace(n * 8));
  std::atomic<bool> good{true};
  for_ranges(n, 16384, [&](int64_t begin, int64_t end) {
    if (!places.index.fill(l, begin, end - begin, offsets + begin)) good = false;
  });
  if (!good) return;
  int64_t piece = std::min(n, std::max(grain, kMinGrainPlaces));  // places of one outer place
  int64_t pieces = (n + piece - 1) / piece;
  for_ranges(
      n_outer * pieces, std::max<int64_t>(grain / piece, 1), [&](int64_t begin, int64_t end) {
        int64_t starts[kBlock], first = 0, known = 0;  // of the outer places [first, first + known)
        for (int64_t p = begin; p < end; ++p) {
          int64_t o = p / pieces, i = p % pieces * piece;
          if (o >= first + known) {
            first = o;
            known = std::min(kBlock, (end - 1) / pieces + 1 - o);
            places.outer.fill(l, first, known, starts);
          }
          copy_rows(out + (o * n + i) * inner, base + starts[o - first], offsets + i,
                    std::min(piece, n - i), inner, inner_offsets);
        }
      });
}

template <class T>
void run_gather(Launch& l) {
  auto& attrs = l.attrs<GatherAttrs>();
  const View& a = l.in[0];
  read_places<T>(l, gather_places(*a.shape, *a.strides, l.in.subspan(1), attrs.axes, attrs.at));
}

template <class T>
void run_take_along_axis(Launch& l) {
  const View& a = l.in[0];
  read_places<T>(l, along_places(*a.shape, *a.strides, l.in[1], l.attrs<AlongAttrs>().axis));
}

/// The kernel for elements of the size of `like`: what they mean does not matter.
template <class T, class Run>
Kernel by_size(Run run) {
  Kernel k{.accepts = AcceptLayout::any};
  if constexpr (sizeof(T) == 1)
    k.run = run(TypeTag<uint8_t>{});
  else if constexpr (sizeof(T) == 2)
    k.run = run(TypeTag<uint16_t>{});
  else if constexpr (sizeof(T) == 4)
    k.run = run(TypeTag<uint32_t>{});
  else if constexpr (sizeof(T) == 8)
    k.run = run(TypeTag<uint64_t>{});
  else
    k.run = run(TypeTag<Bytes16>{});
  return k;
}

}  // namespace

void register_gather_kernels(KernelTable& table) {
  add_kernels(table, gather_op, AllTypes{}, []<class T>(TypeTag<T>) {
    return by_size<T>([]<class U>(TypeTag<U>) { return &run_gather<U>; });
  });
  add_kernels(table, take_along_axis_op, AllTypes{}, []<class T>(TypeTag<T>) {
    return by_size<T>([]<class U>(TypeTag<U>) { return &run_take_along_axis<U>; });
  });
}

}  // namespace legato::cpu
