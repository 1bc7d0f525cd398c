#include <algorithm>
#include <bit>
#include <cstring>

#include "legato/backends/cpu/axis_rows.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/norm/kernels.h"
#include "legato/ops/norm/ops.h"

namespace legato::cpu {
namespace {

constexpr int64_t kTaskElements = 16 << 10;  // about 5 us of a normalisation; the pool costs 1-3 us

const NormLoops& loops(Dtype dtype) {
#if LEGATO_HAS_X86_LEVELS
  if (simd_level() == SimdLevel::avx512) return avx512::norm_loops(dtype);
  if (simd_level() == SimdLevel::avx2) return avx2::norm_loops(dtype);
#endif
  return base::norm_loops(dtype);
}

void run_tasks(int64_t tasks, FunctionRef<void(int64_t)> body) {
  if (tasks > 1)
    parallel_for(tasks, body);
  else if (tasks == 1)
    body(0);
}

struct Operands {
  const void *x, *w = nullptr, *b = nullptr, *g = nullptr;
};
Operands operands(const Launch& l, bool vjp) {
  const auto& attrs = l.attrs<NormAttrs>();
  size_t next = 0;
  Operands o{l.in[next++].data};
  if (attrs.has_weight) o.w = l.in[next++].data;
  if (vjp)
    o.g = l.in[next].data;
  else if (attrs.has_bias)
    o.b = l.in[next].data;
  return o;
}

/// x as rows of the last axis.
struct Rows {
  int64_t n, rows;
  int64_t per_task;  // a power of two, so that the sums over rows form one tree
  int64_t tasks() const { return (rows + per_task - 1) / per_task; }
};
Rows rows_of(const View& x) {
  Rows r{x.shape->back(), 0, 1};
  r.rows = r.n ? x.size / r.n : 0;
  if (r.n)
    r.per_task = static_cast<int64_t>(
        std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(1, kTaskElements / r.n))));
  return r;
}

const void* at(const void* p, int64_t elements, int64_t bytes) {
  return static_cast<const char*>(p) + elements * bytes;
}
void* at(void* p, int64_t elements, int64_t bytes) {
  return static_cast<char*>(p) + elements * bytes;
}

template <bool rms>
void run_rows(Launch& l) {
  const View& x = l.in[0];
  const Rows r = rows_of(x);
  const Operands o = operands(l, false);
  const NormLoops& k = loops(x.dtype);
  const int64_t bytes = size_of(x.dtype);
  const double eps = l.attrs<NormAttrs>().eps;
  run_tasks(r.tasks(), [&](int64_t task) {
    const int64_t first = task * r.per_task, count = std::min(r.per_task, r.rows - first);
    const void* from = at(o.x, first * r.n, bytes);
    void* to = at(l.out[0].data, first * r.n, bytes);
    if constexpr (rms)
      k.rms_norm(from, o.w, to, r.n, count, eps);
    else
      k.layer_norm(from, o.w, o.b, to, r.n, count, eps);
  });
}

/// Sums over tasks of `columns` accumulators each, combined pairwise (Note [Fixed tree]).
class PartialSums {
 public:
  PartialSums(Launch& l, const NormLoops& loops, int64_t tasks, int64_t columns, int sums)
      : loops_(loops),
        tasks_(tasks),
        columns_(columns),
        bytes_((columns * loops.acc_bytes + 63) / 64 * 64) {
    memory_ = static_cast<char*>(l.workspace(std::max<int64_t>(1, tasks * sums) * bytes_));
  }
  void* of(int sum, int64_t task) { return memory_ + (sum * tasks_ + task) * bytes_; }
  void finish(int sum, void* out) {
    if (tasks_ == 0) std::memset(memory_ + sum * bytes_, 0, static_cast<size_t>(bytes_));
    combine(sum, 0, tasks_);
    loops_.finish(of(sum, 0), out, columns_);
  }

 private:
  void combine(int sum, int64_t first, int64_t n) {
    if (n <= 1) return;
    const int64_t half = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)) / 2);
    combine(sum, first, half);
    combine(sum, first + half, n - half);
    loops_.add(of(sum, first), of(sum, first + half), columns_);
  }
  const NormLoops& loops_;
  int64_t tasks_, columns_, bytes_;
  char* memory_;
};

void finish_sums(const Launch& l, PartialSums& sums) {
  const auto& attrs = l.attrs<NormAttrs>();
  size_t next = 1;
  if (attrs.has_weight) sums.finish(0, l.out[next++].data);
  if (attrs.has_bias) sums.finish(1, l.out[next].data);
}

template <bool rms>
void run_rows_vjp(Launch& l) {
  const View& x = l.in[0];
  const Rows r = rows_of(x);
  const Operands o = operands(l, true);
  const NormLoops& k = loops(x.dtype);
  const auto& attrs = l.attrs<NormAttrs>();
  const int64_t bytes = size_of(x.dtype);
  PartialSums sums(l, k, r.tasks(), r.n, 2);
  run_tasks(r.tasks(), [&](int64_t task) {
    const int64_t first = task * r.per_task, count = std::min(r.per_task, r.rows - first);
    const void *from = at(o.x, first * r.n, bytes), *g = at(o.g, first * r.n, bytes);
    void* to = at(l.out[0].data, first * r.n, bytes);
    void *dw = attrs.has_weight ? sums.of(0, task) : nullptr,
         *db = attrs.has_bias ? sums.of(1, task) : nullptr;
    if constexpr (rms)
      k.rms_norm_vjp(from, o.w, g, to, dw, r.n, count, attrs.eps);
    else
      k.layer_norm_vjp(from, o.w, g, to, dw, db, r.n, count, attrs.eps);
  });
  finish_sums(l, sums);
}

/// x as samples of `positions` times `channels`; a task does some groups of one sample. How the
/// groups are cut has no influence on the numbers.
struct Groups {
  int64_t samples, positions, channels, group, cuts, cut_channels;
};
Groups groups_of(const View& x, int64_t count) {
  Groups s{};
  s.samples = x.dim(0);
  s.channels = x.shape->back();
  s.positions = s.samples && s.channels ? x.size / s.samples / s.channels : 0;
  s.group = count ? s.channels / count : 0;
  s.cut_channels = s.channels;
  constexpr int64_t kLine = 16;  // channels: below a cache line, a cut costs more than it brings
  while (s.samples * s.positions * s.channels > kTaskElements && s.cut_channels / 2 >= kLine &&
         s.cut_channels % (2 * s.group) == 0 && s.samples * (s.channels / s.cut_channels) < 8)
    s.cut_channels /= 2;
  s.cuts = s.channels ? s.channels / s.cut_channels : 0;
  return s;
}

void run_group(Launch& l) {
  const View& x = l.in[0];
  const auto& attrs = l.attrs<NormAttrs>();
  const Groups s = groups_of(x, attrs.groups);
  if (x.size == 0) return;
  const Operands o = operands(l, false);
  const NormLoops& k = loops(x.dtype);
  const int64_t bytes = size_of(x.dtype);
  const int64_t work = s.positions * s.cut_channels,
                join = std::max<int64_t>(1, kTaskElements / work);
  const int64_t blocks = s.samples * s.cuts;
  run_tasks((blocks + join - 1) / join, [&](int64_t task) {
    void* memory = scratch(Scratch::rows, static_cast<size_t>(4 * s.cut_channels * k.acc_bytes));
    for (int64_t i = task * join; i < std::min(blocks, (task + 1) * join); ++i) {
      const int64_t channel = i % s.cuts * s.cut_channels,
                    start = i / s.cuts * s.positions * s.channels + channel;
      k.group_norm(at(o.x, start, bytes), o.w ? at(o.w, channel, bytes) : nullptr,
                   o.b ? at(o.b, channel, bytes) : nullptr, at(l.out[0].data, start, bytes),
                   {s.positions, s.cut_channels, s.channels, s.group, attrs.eps}, memory);
    }
  });
}

void run_group_vjp(Launch& l) {
  const View& x = l.in[0];
  const auto& attrs = l.attrs<NormAttrs>();
  const Groups s = groups_of(x, attrs.groups);
  const Operands o = operands(l, true);
  const NormLoops& k = loops(x.dtype);
  const int64_t bytes = size_of(x.dtype);
  const int64_t samples = x.size ? s.samples : 0;
  PartialSums sums(l, k, samples, s.channels, 2);
  const int64_t work = std::max<int64_t>(1, s.positions * s.cut_channels);
  const int64_t join = std::max<int64_t>(1, kTaskElements / work), blocks = samples * s.cuts;
  run_tasks((blocks + join - 1) / join, [&](int64_t task) {
    void* memory = scratch(Scratch::rows, static_cast<size_t>(7 * s.cut_channels * k.acc_bytes));
    for (int64_t i = task * join; i < std::min(blocks, (task + 1) * join); ++i) {
      const int64_t sample = i / s.cuts, channel = i % s.cuts * s.cut_channels;
      const int64_t start = sample * s.positions * s.channels + channel;
      k.group_norm_vjp(at(o.x, start, bytes), o.w ? at(o.w, channel, bytes) : nullptr,
                       at(o.g, start, bytes), at(l.out[0].data, start, bytes),
                       at(sums.of(0, sample), channel, k.acc_bytes),
                       at(sums.of(1, sample), channel, k.acc_bytes),
                       {s.positions, s.cut_channels, s.channels, s.group, attrs.eps}, memory);
    }
  });
  finish_sums(l, sums);
}

}  // namespace

void register_norm_kernels(KernelTable& table) {
  auto add = [&](const Op& op, void (*run)(Launch&),
                 int (*row_axes)(const void*, size_t) = nullptr) {
    add_kernels(table, op, FloatTypes{},
                [=](auto) { return Kernel{run, AcceptLayout::row_major, 0, row_axes}; });
  };
  const auto last_axis = [](const void*, size_t) { return 1; };
  add(layer_norm_op, run_rows<false>, last_axis);
  add(rms_norm_op, run_rows<true>, last_axis);
  add(group_norm_op, run_group);
  add(layer_norm_vjp_op, run_rows_vjp<false>);
  add(rms_norm_vjp_op, run_rows_vjp<true>);
  add(group_norm_vjp_op, run_group_vjp);
}

}  // namespace legato::cpu
