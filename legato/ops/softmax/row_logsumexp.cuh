// logsumexp in row programs (backends/cuda/row_program.cuh), as softmax.cu computes it: the same
// bits. Part of the text of generated kernels.
#pragma once

#include "legato/backends/cuda/row_program.cuh"
#include "legato/ops/softmax/tally.cuh"

namespace legato::cuda {

template <class E>
struct LogSumExp {
  using T = E;
  using R = E;
  static constexpr bool kWholeRow = true;

  template <int V, int K, class Thread>
  static LEGATO_INLINE R reduce(const Pack<T, V> (&v)[K], const Thread& t, unsigned char* memory) {
    using C = Compute<T>;
    auto* shared = reinterpret_cast<C(*)[32]>(memory);
    C top = lowest<C>();
#pragma unroll
    for (int u = 0; u < K; ++u)
#pragma unroll
      for (int i = 0; i < V; ++i)
        if (t.reaches(t.template pack<V>(u))) top = max_of(top, read(v[u].at[i]));
    top = over_threads(top, t.group, shared[0], Largest{});
    const Exponentials<T> exponentials(finite(top));
    C sum = 0;
#pragma unroll
    for (int u = 0; u < K; ++u)
#pragma unroll
      for (int i = 0; i < V; ++i)
        if (t.reaches(t.template pack<V>(u))) sum += exponentials(read(v[u].at[i]));
    sum = over_threads(sum, t.group, shared[1], Plus{});
    return written<T>(log_sum_exp(Tally<C>{top, sum}));
  }
};

}  // namespace legato::cuda
