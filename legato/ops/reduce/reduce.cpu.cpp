// The driver of the reductions: brings any strides to one of three patterns and cuts the work into
// tasks. Where the cuts lie depends on the shape alone (Note [Fixed tree] in backends/cpu/lanes.h).
#include "legato/ops/reduce/reduce.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>

#include "legato/backends/cpu/caches.h"
#include "legato/backends/cpu/computed_input.h"
#include "legato/backends/cpu/row_program.h"
#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/reduce/complex_reducer.h"
#include "legato/ops/reduce/kernels.h"
#include "legato/ops/reduce/ops.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

constexpr int64_t kTaskBytes = 256
                               << 10;  // input of a task: the pool costs 1-3 us, this much 10 us
constexpr int64_t kTileBytes = 4096;   // accumulators of a column tile, to stay in L1
constexpr int64_t kComputedBytes = 32 << 10;  // of a program's result at a time
constexpr int64_t kLeastComputedBytes = 64 << 10;

const ReducerTable& reducers() {
#if LEGATO_HAS_X86_LEVELS
  if (simd_level() == SimdLevel::avx512) return avx512::reducers();
  if (simd_level() == SimdLevel::avx2) return avx2::reducers();
#endif
  return base::reducers();
}

struct Axis {
  int64_t size, stride;
  int64_t out_stride = 0;  // 0 for a reduced axis
};

/// A reduction of `in` to `out`, after merging axes. Strides are in elements of the input.
struct Plan {
  const Reducer* loops;
  const ComputedInput* computed = nullptr;  // in place of `in`
  const char* in;
  char* out;
  int64_t in_bytes;
  double divisor;
  std::vector<Axis> kept, reduced;  // outermost first
  int64_t n_kept = 1, n_reduced = 1;

  const void* at(int64_t element) const { return in + element * in_bytes; }
};

// Merges each axis with the next where both lie in one run of memory, in the output as well.
void merge(std::vector<Axis>& axes) {
  std::vector<Axis> merged;
  for (const Axis& a : axes) {
    if (a.size == 1) continue;
    if (!merged.empty()) {
      Axis& last = merged.back();
      if (last.stride == a.stride * a.size && last.out_stride == a.out_stride * a.size) {
        last = {last.size * a.size, a.stride, a.out_stride};
        continue;
      }
    }
    merged.push_back(a);
  }
  axes = std::move(merged);
}

int64_t count(const std::vector<Axis>& axes) {
  int64_t n = 1;
  for (const Axis& a : axes) n *= a.size;
  return n;
}

/// Offsets of the index-th element of `axes` (row-major) in the input and in the output.
struct Offsets {
  int64_t in = 0, out = 0;
};
Offsets locate(const std::vector<Axis>& axes, int64_t index) {
  Offsets o;
  for (size_t i = axes.size(); i-- > 0;) {
    int64_t at = index % axes[i].size;
    index /= axes[i].size;
    o.in += at * axes[i].stride;
    o.out += at * axes[i].out_stride;
  }
  return o;
}

/// Combines `n` accumulator groups of `bytes` bytes (`elements` accumulators) pairwise, in the
/// order of a binary counter, into the first.
void combine_tree(const Reducer& loops, char* groups, int64_t n, int64_t bytes, int64_t elements) {
  if (n <= 1) return;
  int64_t half = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)) / 2);
  combine_tree(loops, groups, half, bytes, elements);
  combine_tree(loops, groups + half * bytes, n - half, bytes, elements);
  loops.combine(groups, groups + half * bytes, elements);
}

/// The same order, for groups that come one after the other.
class Counter {
 public:
  Counter(const Reducer& loops, char* stack, int64_t bytes, int64_t elements)
      : loops_(loops), stack_(stack), bytes_(bytes), elements_(elements) {}
  char* next() { return stack_ + depth_ * bytes_; }  // where the next group goes before push()
  void push() {
    for (uint64_t c = count_++; c & 1; c >>= 1) {
      --depth_;
      loops_.combine(stack_ + depth_ * bytes_, stack_ + (depth_ + 1) * bytes_, elements_);
    }
    ++depth_;
  }
  char* result() {
    for (; depth_ > 1; --depth_)
      loops_.combine(stack_ + (depth_ - 2) * bytes_, stack_ + (depth_ - 1) * bytes_, elements_);
    return stack_;
  }

 private:
  const Reducer& loops_;
  char* stack_;
  int64_t bytes_, elements_;
  int depth_ = 0;
  uint64_t count_ = 0;
};

void run_tasks(int64_t tasks, int64_t work_bytes, FunctionRef<void(int64_t)> body) {
  if (tasks > 1 && work_bytes > kTaskBytes)
    parallel_for(tasks, body);
  else
    for (int64_t t = 0; t < tasks; ++t) body(t);
}

// --- rows: some reduced axis has stride 1, or nothing has and elements are gathered
// ----------------

// All outputs of a merged reduction whose rows are not longer than a chunk.
void reduce_short_rows(const Plan& p, int64_t n) {
  Axis inner{1, 0, 1};
  std::vector<Axis> outer = p.kept;
  if (!outer.empty() && outer.back().out_stride == 1) {
    inner = outer.back();
    outer.pop_back();
  }
  const int64_t groups = count(outer);
  const int64_t per_task = std::max<int64_t>(1, kTaskBytes / std::max<int64_t>(1, n * p.in_bytes));
  const int64_t cuts = (inner.size + per_task - 1) / per_task;
  const int64_t join = std::max<int64_t>(1, per_task / inner.size);  // groups that one task does
  const int64_t blocks = (groups + join - 1) / join;
  run_tasks(blocks * cuts, p.n_kept * n * p.in_bytes, [&](int64_t task) {
    const int64_t cut = task % cuts, block = task / cuts;
    const int64_t first = cut * per_task, rows = std::min(per_task, inner.size - first);
    for (int64_t g = block * join; g < std::min(groups, (block + 1) * join); ++g) {
      Offsets o = locate(outer, g);
      p.loops->rows(p.at(o.in + first * inner.stride), n, inner.stride, rows,
                    p.out + (o.out + first) * p.loops->out_bytes, p.divisor);
    }
  });
}

// Each output is a sequence of segments: pieces of the inner axis, for each index of the other
// reduced axes.
void reduce_segments(const Plan& p, Launch& launch, const Axis& inner,
                     const std::vector<Axis>& others, bool gather) {
  const Reducer& loops = *p.loops;
  constexpr int64_t kGatherBytes = 16 << 10;
  const int64_t longest = gather ? kGatherBytes / p.in_bytes : loops.chunk;
  const int64_t piece = std::min(inner.size, longest);
  const int64_t pieces = inner.size ? (inner.size + piece - 1) / piece : 0;
  const int64_t segments = pieces * count(others);
  // A power of two, so that the tree of a task is a subtree of the whole.
  const int64_t per_task = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(
      std::max<int64_t>(1, kTaskBytes / std::max<int64_t>(1, piece * p.in_bytes)))));
  const int64_t parts = std::max<int64_t>(1, (segments + per_task - 1) / per_task);
  char* partial = nullptr;
  if (parts > 1)
    partial = static_cast<char*>(launch.workspace(p.n_kept * parts * kReduceLaneBytes));
  // Segments that a program computes at once: calls of it cost, and the cache is small.
  const int64_t at_once =
      std::max<int64_t>(1, kComputedBytes / std::max<int64_t>(1, piece * p.in_bytes));

  auto finish = [&](int64_t output, const char* lanes) {
    alignas(16) char acc[16];
    loops.fold(lanes, acc);
    loops.finish(acc, p.out + locate(p.kept, output).out * loops.out_bytes, 1, p.divisor);
  };
  run_tasks(p.n_kept * parts, p.n_kept * p.n_reduced * p.in_bytes, [&](int64_t task) {
    const int64_t output = task / parts, part = task % parts;
    const int64_t base = locate(p.kept, output).in;
    alignas(64) char stack[64 * kReduceLaneBytes];
    alignas(64) char buffer[kGatherBytes];
    Counter counter(loops, stack, kReduceLaneBytes, kReduceLaneBytes / loops.acc_bytes);
    const int64_t first = part * per_task, end = std::min(segments, (part + 1) * per_task);
    std::unique_ptr<char[]> memory;
    const char* computed = nullptr;  // what the program makes, from segment `first` on
    if (p.computed)
      memory =
          std::make_unique_for_overwrite<char[]>(static_cast<size_t>(at_once * piece * p.in_bytes));
    for (int64_t s = first; s < end; ++s) {
      const int64_t begin = s % pieces * piece, n = std::min(piece, inner.size - begin);
      const void* x = nullptr;
      if (!p.computed) x = p.at(base + locate(others, s / pieces).in + begin * inner.stride);
      if (p.computed) {
        const int64_t ahead = (s - first) % at_once;
        if (ahead == 0)
          computed = static_cast<const char*>(p.computed->range(
              begin, std::min(std::min(at_once, end - s) * piece, inner.size - begin),
              memory.get()));
        x = computed + ahead * piece * p.in_bytes;
      } else if (gather) {
        const char* from = static_cast<const char*>(x);
        const int64_t step = inner.stride * p.in_bytes;
        if (p.in_bytes == 4)
          for (int64_t i = 0; i < n; ++i) std::memcpy(buffer + i * 4, from + i * step, 4);
        else if (p.in_bytes == 2)
          for (int64_t i = 0; i < n; ++i) std::memcpy(buffer + i * 2, from + i * step, 2);
        else
          for (int64_t i = 0; i < n; ++i)
            std::memcpy(buffer + i * p.in_bytes, from + i * step, static_cast<size_t>(p.in_bytes));
        x = buffer;
      }
      loops.lanes(x, n, counter.next());
      counter.push();
    }
    if (segments == 0) {
      loops.lanes(p.in, 0, counter.next());
      counter.push();
    }
    const char* lanes = counter.result();
    if (partial)
      std::memcpy(partial + task * kReduceLaneBytes, lanes, kReduceLaneBytes);
    else
      finish(output, lanes);
  });
  if (!partial) return;
  for (int64_t o = 0; o < p.n_kept; ++o) {
    char* lanes = partial + o * parts * kReduceLaneBytes;
    combine_tree(loops, lanes, parts, kReduceLaneBytes, kReduceLaneBytes / loops.acc_bytes);
    finish(o, lanes);
  }
}

// --- columns: some kept axis has stride 1
// ---------------------------------------------------------

/// One tile of accumulators: where its columns come from and where the results go.
void finish_columns(const Plan& p, const char* acc, int64_t out, int64_t cols, int64_t out_stride) {
  const int64_t bytes = p.loops->out_bytes;
  char* to = p.out + out * bytes;
  if (out_stride == 1) return p.loops->finish(acc, to, cols, p.divisor);
  alignas(64) char buffer[kTileBytes * 4];  // an output is at most 4 times its accumulator
  p.loops->finish(acc, buffer, cols, p.divisor);
  for (int64_t j = 0; j < cols; ++j)
    std::memcpy(to + j * out_stride * bytes, buffer + j * bytes, static_cast<size_t>(bytes));
}

// Where `cols` is small and rows follow each other without gaps, `fold` rows count as one row of
// fold * cols columns; its groups are combined at the end.
void reduce_columns(const Plan& p, Launch& launch, const Axis& inner,
                    const std::vector<Axis>& outer, Axis rows, const std::vector<Axis>& others) {
  const Reducer& loops = *p.loops;
  const int64_t acc = loops.acc_bytes;
  int64_t fold = 1;
  if (others.empty() && rows.stride == inner.size && inner.size * acc <= kTileBytes / 16) {
    while (fold * inner.size * acc < kTileBytes / 4 && fold * 16 <= rows.size) fold *= 2;
  }
  const int64_t left = rows.size % fold;  // rows that fill no group of `fold`
  const int64_t tall = rows.size / fold, row_stride = rows.stride * fold;
  const int64_t width = std::min(inner.size * fold, kTileBytes / acc);  // columns of a tile
  const int64_t tiles = (inner.size * fold + width - 1) / width;
  const int64_t pieces = (tall + kReduceRows - 1) / kReduceRows;
  const int64_t segments = pieces * count(others);
  const int64_t per_task = std::min<int64_t>(
      64, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(
              1, kTaskBytes /
                     std::max<int64_t>(1, std::min(tall, kReduceRows) * width * p.in_bytes))))));
  const int64_t parts = std::max<int64_t>(1, (segments + per_task - 1) / per_task);
  const int64_t groups = count(outer), tile_bytes = width * acc;
  const bool far = lies_in_memory(p.n_kept * p.n_reduced * p.in_bytes);
  char* partial = nullptr;
  if (parts > 1)
    partial = static_cast<char*>(launch.workspace(groups * tiles * parts * tile_bytes));

  auto finish = [&](int64_t group, int64_t tile, char* sums, char* spare) {
    Offsets o = locate(outer, group);
    if (fold > 1) {
      for (int64_t half = fold / 2; half >= 1; half /= 2)
        loops.combine(sums, sums + half * inner.size * acc, half * inner.size);
      if (left) {
        loops.columns(p.at(o.in + tall * row_stride), rows.stride, left, inner.size, spare, false);
        loops.combine(sums, spare, inner.size);
      }
      return finish_columns(p, sums, o.out, inner.size, inner.out_stride);
    }
    const int64_t first = tile * width, cols = std::min(width, inner.size - first);
    finish_columns(p, sums, o.out + first * inner.out_stride, cols, inner.out_stride);
  };
  run_tasks(groups * tiles * parts, p.n_kept * p.n_reduced * p.in_bytes, [&](int64_t task) {
    const int64_t part = task % parts, tile = task / parts % tiles, group = task / parts / tiles;
    const int64_t first = tile * width, cols = std::min(width, inner.size * fold - first);
    const int64_t base = locate(outer, group).in + first;
    alignas(64) char stack[9 * kTileBytes];
    Counter counter(loops, stack, tile_bytes, cols);
    for (int64_t s = part * per_task; s < std::min(segments, (part + 1) * per_task); ++s) {
      const int64_t begin = s % pieces * kReduceRows, n = std::min(kReduceRows, tall - begin);
      loops.columns(p.at(base + locate(others, s / pieces).in + begin * row_stride), row_stride, n,
                    cols, counter.next(), far);
      counter.push();
    }
    char* sums = counter.result();
    if (partial)
      std::memcpy(partial + task * tile_bytes, sums, static_cast<size_t>(cols * acc));
    else
      finish(group, tile, sums, stack + 8 * kTileBytes);
  });
  if (!partial) return;
  run_tasks(groups * tiles, groups * tiles * parts * tile_bytes, [&](int64_t task) {
    char* sums = partial + task * parts * tile_bytes;
    const int64_t tile = task % tiles, cols = std::min(width, inner.size * fold - tile * width);
    combine_tree(loops, sums, parts, tile_bytes, cols);
    alignas(64) char spare[kTileBytes];
    finish(task / tiles, tile, sums, spare);
  });
}

// --- the choice
// -----------------------------------------------------------------------------------

std::vector<Axis> without(const std::vector<Axis>& axes, size_t i) {
  std::vector<Axis> rest = axes;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
  return rest;
}

int64_t find_unit(const std::vector<Axis>& axes) {
  for (size_t i = axes.size(); i-- > 0;)
    if (axes[i].stride == 1) return static_cast<int64_t>(i);
  return -1;
}

void reduce(Plan& p, Launch& launch) {
  p.n_kept = count(p.kept);
  p.n_reduced = count(p.reduced);
  if (p.n_kept == 0) return;
  merge(p.kept);
  merge(p.reduced);
  if (p.computed) {
    // Everything, in the order of memory; and so much that it would leave the cache.
    launch.declined = p.n_kept != 1 || p.reduced.size() != 1 || p.reduced[0].stride != 1 ||
                      p.n_reduced * p.in_bytes < kLeastComputedBytes;
    if (!launch.declined) reduce_segments(p, launch, p.reduced[0], {}, false);
    return;
  }
  if (p.n_reduced == 0) {
    reduce_segments(p, launch, {0, 1}, {}, false);
    return;
  }
  const int64_t row = find_unit(p.reduced), column = find_unit(p.kept);
  if (row >= 0 || p.reduced.empty()) {
    if (p.reduced.empty() && column >= 0) {  // nothing is reduced: a conversion
      reduce_columns(p, launch, p.kept[column], without(p.kept, column), {1, 0}, {});
      return;
    }
    Axis inner = row >= 0 ? p.reduced[row] : Axis{1, 1};
    std::vector<Axis> others = row >= 0 ? without(p.reduced, row) : std::vector<Axis>{};
    if (others.empty() && inner.size <= p.loops->chunk)
      reduce_short_rows(p, inner.size);
    else
      reduce_segments(p, launch, inner, others, false);
    return;
  }
  // The axis along which memory is nearest goes inside.
  size_t nearest = 0;
  for (size_t i = 1; i < p.reduced.size(); ++i)
    if (std::abs(p.reduced[i].stride) <= std::abs(p.reduced[nearest].stride)) nearest = i;
  if (column >= 0)
    reduce_columns(p, launch, p.kept[column], without(p.kept, column), p.reduced[nearest],
                   without(p.reduced, nearest));
  else
    reduce_segments(p, launch, p.reduced[nearest], without(p.reduced, nearest), true);
}

// Rows without gaps, so few and short that one call does them: no axes need to be merged.
bool reduce_few(Launch& launch, ReduceKind kind, bool mean, const Dims& axes) {
  const View &in = launch.in[0], &out = launch.out[0];
  if (launch.prologue || !in.row_major || in.size == 0 || is_complex(in.dtype) ||
      in.size * size_of(in.dtype) > kTaskBytes)
    return false;
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != static_cast<int64_t>(in.ndim() - axes.size() + i)) return false;
  const Reducer& loops = reducers()[static_cast<int>(kind)][static_cast<int>(in.dtype)];
  const int64_t n = in.size / out.size;
  if (n > loops.chunk) return false;
  loops.rows(in.data, n, n, out.size, out.data, mean ? static_cast<double>(n) : 1.0);
  return true;
}

void run(Launch& launch, ReduceKind kind, bool mean) {
  const View& in = launch.in[0];
  const auto& attrs = launch.attrs<ReduceAttrs>();
  const Dims axes = reduced_axes(launch.op->name, attrs.axis, in.ndim());
  if (reduce_few(launch, kind, mean, axes)) return;
  Plan p;
  p.in = in.as<char>();
  p.out = launch.out[0].as<char>();
  p.in_bytes = size_of(in.dtype);
  size_t next = 0;
  for (size_t i = 0; i < in.ndim(); ++i) {
    const bool is_reduced = next < axes.size() && axes[next] == static_cast<int64_t>(i);
    if (is_reduced) ++next;
    (is_reduced ? p.reduced : p.kept).push_back({in.dim(i), (*in.strides)[i]});
  }
  int64_t out_stride = 1;
  for (size_t i = p.kept.size(); i-- > 0;) {
    p.kept[i].out_stride = out_stride;
    out_stride *= p.kept[i].size;
  }
  p.divisor = mean ? static_cast<double>(count(p.reduced)) : 1.0;

  Dtype dtype = in.dtype;
  std::optional<ComputedInput> computed;
  if (launch.prologue) {
    launch.declined = is_complex(dtype);
    if (launch.declined) return;
    p.computed = &computed.emplace(*launch.prologue);
  }
  if (is_complex(dtype) &&
      kind == ReduceKind::sum) {  // parts add up separately: a kept axis of size 2
    dtype = real_part(dtype);
    p.in_bytes /= 2;
    for (auto* list : {&p.kept, &p.reduced})
      for (Axis& a : *list) {
        a.stride *= 2;
        a.out_stride *= 2;
      }
    p.kept.push_back({2, 1, 1});
  }
  p.loops = &reducers()[static_cast<int>(kind)][static_cast<int>(dtype)];
  if (!p.loops->rows) p.loops = &complex_reducer(kind, dtype);
  reduce(p, launch);
}

// Rows are reduced one by one if the reduced axes are the last ones.
int row_axes(const void* attrs, size_t rank) {
  const Dims axes = reduced_axes("reduce", static_cast<const ReduceAttrs*>(attrs)->axis, rank);
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != static_cast<int64_t>(rank - axes.size() + i)) return 0;
  return static_cast<int>(axes.size());
}

// What shapes and layouts are for it is seen when it runs.
bool takes_input(const void*, const Prologue&) { return true; }

template <ReduceKind kind, bool mean>
constexpr RowReduction by_rows{.loop = [](Dtype dtype, int64_t n) -> RowReduction::Loop {
                                 const Reducer& loops =
                                     reducers()[static_cast<int>(kind)][static_cast<int>(dtype)];
                                 return n <= loops.chunk ? loops.rows : nullptr;
                               },
                               .mean = mean};

template <ReduceKind kind, bool mean = false>
constexpr Kernel kernel{.run = [](Launch& l) { run(l, kind, mean); },
                        .accepts = AcceptLayout::any,
                        .row_axes = row_axes,
                        .takes_input = takes_input,
                        .own = &by_rows<kind, mean>};

template <class List>
void add(KernelTable& table, const Op& op, const Kernel& k, List types) {
  add_kernels(table, op, types, [&](auto) { return k; });
}

}  // namespace

void register_reduce_kernels(KernelTable& table) {
  add(table, sum_op, kernel<ReduceKind::sum>, AllTypes{});
  add(table, prod_op, kernel<ReduceKind::prod>, AllTypes{});
  add(table, max_op, kernel<ReduceKind::max>, AllTypes{});
  add(table, min_op, kernel<ReduceKind::min>, AllTypes{});
  add(table, all_op, kernel<ReduceKind::all>, AllTypes{});
  add(table, any_op, kernel<ReduceKind::any>, AllTypes{});
  add(table, mean_op, kernel<ReduceKind::sum, true>, FloatTypes{});
  add(table, mean_op, kernel<ReduceKind::sum, true>, ComplexTypes{});
}

}  // namespace legato::cpu
