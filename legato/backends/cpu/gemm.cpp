#include "legato/backends/cpu/gemm.h"

#include <algorithm>
#include <type_traits>

#include "legato/backends/cpu/gemm_engine.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

// A batch whose matrices of a and d follow one another and share b is one taller matrix.
bool fold_batch(Gemm& g, int64_t size, int64_t a_step, int64_t b_step, int64_t d_step,
                int64_t e_step) {
  if (b_step != 0 || g.hook.call != nullptr) return false;
  if (g.m == 1) {
    g.a_row = a_step;
    g.d_row = d_step;
    g.e_row = e_step;
  } else if (a_step != g.m * g.a_row || d_step != g.m * g.d_row ||
             (g.beta != 0 && e_step != g.m * g.e_row)) {
    return false;
  }
  g.m *= size;
  return true;
}

template <class T>
void run_batch(const Gemm& given, const GemmEngine<T>& engine, int64_t size) {
  constexpr int kMaxRank = 32;
  if (given.batch_rank > kMaxRank)
    throw ValueError(cat("gemm: more than ", kMaxRank, " batch axes."));
  Gemm g = given;
  struct Axis {
    int64_t size, a, b, d, e;
  } axes[kMaxRank];
  int rank = 0;
  int64_t count = 1;
  for (int i = 0; i < g.batch_rank; ++i) {
    const Axis axis{g.batch_sizes[i], g.a_batch[i], g.b_batch[i], g.d_batch[i],
                    g.e_batch ? g.e_batch[i] : 0};
    count *= axis.size;
    if (axis.size != 1) axes[rank++] = axis;
  }
  if (count == 0 || g.m == 0 || g.n == 0) return;
  while (rank > 0) {
    const Axis& inner = axes[rank - 1];
    if (!fold_batch(g, inner.size, inner.a, inner.b, inner.d, inner.e)) break;
    count /= inner.size;
    --rank;
  }

  GemmItem<T> item;
  item.m = g.m;
  item.n = g.n;
  item.k = g.k;
  item.a = {static_cast<const char*>(g.a), g.a_row, g.a_col};
  item.b = {static_cast<const char*>(g.b), g.b_row, g.b_col};
  item.to = {g.d, g.d_row, g.d_col, g.e, g.e_row, g.e_col, T(g.alpha), T(g.beta), {}, 0, 0};
  if constexpr (std::is_integral_v<T>) {  // a negative double has no unsigned value
    item.to.alpha = static_cast<T>(static_cast<int64_t>(g.alpha));
    item.to.beta = static_cast<T>(static_cast<int64_t>(g.beta));
  }
  if constexpr (std::is_same_v<T, float>) item.to.hook = g.hook;
  const int threads = num_threads();
  if (count == 1) return engine.run(item, engine.plan(item, threads));
  // Matrices go to threads, or the threads share each of them.
  const double work = static_cast<double>(g.m) * g.n * std::max<int64_t>(g.k, 1);
  const bool together = threads > 1 && count < 2 * threads && work >= kParallelWork;
  const auto plan = engine.plan(item, together ? threads : 1);

  const auto run_one = [&](int64_t index) {
    GemmItem<T> one = item;
    int64_t a = 0, b = 0, d = 0, e = 0;
    for (int i = rank - 1; i >= 0; --i) {
      const int64_t at = index % axes[i].size;
      index /= axes[i].size;
      a += at * axes[i].a;
      b += at * axes[i].b;
      d += at * axes[i].d;
      e += at * axes[i].e;
    }
    one.a.p += a * size;
    one.b.p += b * size;
    one.to.d = static_cast<char*>(one.to.d) + d * size;
    if (one.to.beta != T(0)) one.to.e = static_cast<const char*>(one.to.e) + e * size;
    engine.run(one, plan);
  };
  if (work * count < kParallelWork || threads == 1 || together) {
    for (int64_t index = 0; index < count; ++index) run_one(index);
  } else {
    const int64_t tasks = std::clamp<int64_t>(static_cast<int64_t>(work * count / kTaskWork), 1,
                                              std::min<int64_t>(count, 8 * threads));
    parallel_for(tasks, [&](int64_t t) {
      for (int64_t i = count * t / tasks; i < count * (t + 1) / tasks; ++i) run_one(i);
    });
  }
}

// (ar + i ai)(br + i bi) in four real products on views of every other element.
void run_complex(const Gemm& g, SimdLevel level) {
  constexpr int kMaxRank = 32;
  if (g.batch_rank > kMaxRank) throw ValueError(cat("gemm: more than ", kMaxRank, " batch axes."));
  Gemm real = g;
  real.dtype = real_part(g.dtype);
  const int64_t half = size_of(real.dtype);
  int64_t a_batch[kMaxRank], b_batch[kMaxRank], d_batch[kMaxRank], e_batch[kMaxRank];
  for (int i = 0; i < g.batch_rank; ++i) {
    a_batch[i] = 2 * g.a_batch[i];
    b_batch[i] = 2 * g.b_batch[i];
    d_batch[i] = 2 * g.d_batch[i];
    e_batch[i] = g.e_batch ? 2 * g.e_batch[i] : 0;
  }
  for (int64_t* stride : {&real.a_row, &real.a_col, &real.b_row, &real.b_col, &real.d_row,
                          &real.d_col, &real.e_row, &real.e_col}) {
    *stride *= 2;
  }
  real.a_batch = a_batch;
  real.b_batch = b_batch;
  real.d_batch = d_batch;
  const auto product = [&](int a_part, int b_part, int d_part, double alpha, bool first) {
    Gemm one = real;
    one.a = static_cast<const char*>(g.a) + a_part * half;
    one.b = static_cast<const char*>(g.b) + b_part * half;
    one.d = static_cast<char*>(g.d) + d_part * half;
    one.alpha = alpha;
    if (first) {
      one.e = g.beta != 0 ? static_cast<const char*>(g.e) + d_part * half : nullptr;
      one.e_batch = e_batch;
    } else {
      one.beta = 1;
      one.e = one.d;
      one.e_row = one.d_row;
      one.e_col = one.d_col;
      one.e_batch = d_batch;
    }
    gemm(one, level);
  };
  product(0, 0, 0, g.alpha, true);
  product(1, 1, 0, -g.alpha, false);
  product(0, 1, 1, g.alpha, true);
  product(1, 0, 1, g.alpha, false);
}

template <class... Fill>
GemmKernels table_of(Fill... fill) {
  GemmKernels table;
  (fill(table), ...);
  return table;
}

}  // namespace

// A table is made when its level is first asked for: the code that fills it is compiled for that
// level.
const GemmKernels& gemm_kernels(SimdLevel level) {
#if LEGATO_HAS_X86_LEVELS
  if (level == SimdLevel::avx512) {
    static const GemmKernels table = table_of(avx512::fill_tiles_float, avx512::fill_tiles_other,
                                              avx512::fill_movers, avx512::fill_depthwise);
    return table;
  }
  if (level == SimdLevel::avx2) {
    static const GemmKernels table = table_of(avx2::fill_tiles_float, avx2::fill_tiles_other,
                                              avx2::fill_movers, avx2::fill_depthwise);
    return table;
  }
#endif
  static_cast<void>(level);
  static const GemmKernels table = table_of(base::fill_tiles_float, base::fill_tiles_other,
                                            base::fill_movers, base::fill_depthwise);
  return table;
}

// Null where there is no VDPBF16PS.
static const PairKernels* bf16_pairs([[maybe_unused]] SimdLevel level) {
#if LEGATO_HAS_X86_LEVELS
  if (level == SimdLevel::avx512 && cpu_info().avx512_bf16) {
    static const PairKernels table = [] {
      PairKernels t;
      avx512bf16::fill_pairs(t);
      return t;
    }();
    return &table;
  }
#endif
  return nullptr;
}

void gemm(const Gemm& g, SimdLevel level) {
  const GemmKernels& kernels = gemm_kernels(level);
  visit_dtype(g.dtype, [&]<class E>(TypeTag<E>) {
    constexpr int64_t size = sizeof(E);
    if constexpr (std::is_same_v<E, bool>) {
      throw InternalError("gemm: bool has no matrix product here.");
    } else if constexpr (std::is_same_v<E, float>) {
      run_batch<float>(g, {kernels.f32, kernels.f32_f32, size}, size);
    } else if constexpr (std::is_same_v<E, float16_t>) {
      run_batch<float>(g, {kernels.f32, kernels.f32_f16, size}, size);
    } else if constexpr (std::is_same_v<E, bfloat16_t>) {
      if (const PairKernels* pairs = bf16_pairs(level))
        return run_batch<float>(g, {*pairs, kernels.u32_u32, kernels.f32_bf16, size}, size);
      run_batch<float>(g, {kernels.f32, kernels.f32_bf16, size}, size);
    } else if constexpr (std::is_same_v<E, double>) {
      run_batch<double>(g, {kernels.f64, kernels.f64_f64, size}, size);
    } else if constexpr (std::is_same_v<E, complex64_t> || std::is_same_v<E, complex128_t>) {
      run_complex(g, level);
    } else if constexpr (size == 1) {
      run_batch<uint32_t>(g, {kernels.u32, kernels.u32_u8, size}, size);
    } else if constexpr (size == 2) {
      run_batch<uint32_t>(g, {kernels.u32, kernels.u32_u16, size}, size);
    } else if constexpr (size == 4) {
      run_batch<uint32_t>(g, {kernels.u32, kernels.u32_u32, size}, size);
    } else {
      run_batch<uint64_t>(g, {kernels.u64, kernels.u64_u64, size}, size);
    }
  });
}

void gemm(const Gemm& g) { gemm(g, simd_level()); }

}  // namespace legato::cpu
