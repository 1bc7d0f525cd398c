// The second half of convolutions with few output channels: products of each position with all taps
// are there, and are summed where the taps lie. A thread does one element.
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/conv/conv_few.cuh"

namespace legato::cuda {

template <class T>
LEGATO_INLINE void conv_few(const ConvFewParams& p) {
  const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.n) return;
  const long long position = i / p.channels;
  const int channel = static_cast<int>(i - position * p.channels);
  long long rest = position;
  int at[3];
#pragma unroll
  for (int d = 2; d >= 0; --d) {
    const long long next = rest / p.y[d];
    at[d] = static_cast<int>(rest - next * p.y[d]) - p.low[d];
    rest = next;
  }
  const float* from = p.products + rest * p.x[0] * p.x[1] * p.x[2] * p.each + channel * p.taps;
  float sum = 0;
  int tap = 0;
  for (int a = 0; a < p.kernel[0]; ++a) {
    const int z = at[0] + a * p.dilation[0];
    for (int b = 0; b < p.kernel[1]; ++b) {
      const int y = at[1] + b * p.dilation[1];
      for (int c = 0; c < p.kernel[2]; ++c, ++tap) {
        const int x = at[2] + c * p.dilation[2];
        if (z < 0 || z >= p.x[0] || y < 0 || y >= p.x[1] || x < 0 || x >= p.x[2]) continue;
        const long long met = (static_cast<long long>(z) * p.x[1] + y) * p.x[2] + x;
        sum += from[met * p.each + (p.flip ? p.taps - 1 - tap : tap)];
      }
    }
  }
  if (p.residual) sum += read(static_cast<const T*>(p.residual)[i]);
  if (p.bias) sum += read(static_cast<const T*>(p.bias)[channel]);
  static_cast<T*>(p.to)[i] = written<T>(sum);
}

LEGATO_KERNEL(conv_few_f16, ConvFewParams, kRowThreads) { conv_few<f16>(p); }
LEGATO_KERNEL(conv_few_bf16, ConvFewParams, kRowThreads) { conv_few<bf16>(p); }

}  // namespace legato::cuda
