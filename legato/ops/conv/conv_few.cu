// Convolutions of halves with few output channels, such as the last one of a network of pictures.
//
// Tiles of an implicit product are 64 or more channels wide, and stay mostly empty where there are
// four. Weights as they lie, (channels, taps, depth), are a matrix of channels x taps columns. Each
// position of x is multiplied with all of them, once: what that gives for a tap lies at the
// position that the tap meets, and is added up where it belongs. A block does so for a patch of x
// and the tile of y that it gives; products stay in shared memory. Patches overlap, which costs
// reads that the second-level cache serves.
//
// Operands go from memory to the registers of mma.sync without shared memory: which k of a product
// is called the first does not matter, so a lane takes eight neighbours, which it loads at once,
// for the eight k that are its own in two products of 16.
#include "legato/backends/cuda/at_once.cuh"
#include "legato/backends/cuda/mma.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/conv/conv_few.cuh"

namespace legato::cuda {

/// Four words, eight halves.
using Eight = Pack<uint32_t, 4>;

/// The products of 16 positions of a patch, from `first` on, with all columns.
template <class T, int N>
LEGATO_INLINE void multiply_positions(const ConvFewParams& p, const uint32_t* x, const int* start,
                                      int first, float* products) {
  constexpr int ahead = 10;  // times 32 channels that are on the way
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int count = p.patch[0] * p.patch[1] * p.patch[2], columns = p.channels * p.taps;
  const uint32_t* w = static_cast<const uint32_t*>(p.w);
  const uint32_t* from[2];
  bool inside[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = first + i * 8 + g, line = row / p.patch[2], z = line / p.patch[1];
    const int at[3] = {start[0] + z, start[1] + line - z * p.patch[1],
                       start[2] + row - line * p.patch[2]};
    inside[i] = row < count;
    long long position = 0;
#pragma unroll
    for (int d = 0; d < 3; ++d) {
      inside[i] = inside[i] && static_cast<unsigned>(at[d]) < static_cast<unsigned>(p.x_size[d]);
      position = position * p.x_size[d] + at[d];
    }
    from[i] = x + (inside[i] ? position * (p.depth / 2) : 0);
  }
  float sum[N][4] = {};
  const int steps = (p.depth + 31) / 32;
  for (int step = 0; step < steps; step += ahead) {
    Eight a[ahead][2];
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const int k = (step + u) * 32 + t * 8;
#pragma unroll
      for (int i = 0; i < 2; ++i)
        a[u][i] = inside[i] && k < p.depth ? load_pack<uint32_t, 4>(from[i] + k / 2) : Eight{};
    }
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const int k = (step + u) * 32 + t * 8;
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const int column = n * 8 + g;
        const Eight b = column < columns && k < p.depth
                            ? load_pack<uint32_t, 4>(w + (column * p.depth + k) / 2)
                            : Eight{};
#pragma unroll
        for (int half = 0; half < 4; half += 2) {
          const uint32_t tile[4] = {a[u][0].at[half], a[u][1].at[half], a[u][0].at[half + 1],
                                    a[u][1].at[half + 1]};
          multiply_tile<T>(sum[n], tile, b.at[half], b.at[half + 1]);
        }
      }
    }
  }
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int high = 0; high < 2; ++high) {
      float* to = products + (first + high * 8 + g) * kConvFewLine<N> + n * 8 + 2 * t;
      store_pack<float, 2>(to, {{sum[n][2 * high], sum[n][2 * high + 1]}});
    }
}

template <class T, int N>
LEGATO_INLINE void conv_few(const ConvFewParams& p, float* products) {
  int block = static_cast<int>(blockIdx.x), first[3], start[3];
#pragma unroll
  for (int d = 2; d >= 0; --d) {
    const int next = block / p.tiles[d];
    first[d] = (block - next * p.tiles[d]) * p.tile[d];
    start[d] = first[d] - p.low[d];
    block = next;
  }
  const long long sample = block;
  const int count = p.patch[0] * p.patch[1] * p.patch[2];
  const auto* x = static_cast<const uint32_t*>(p.x) +
                  sample * p.x_size[0] * p.x_size[1] * p.x_size[2] * (p.depth / 2);
  const int warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  for (int i = warp * 16; i < count; i += warps * 16)
    multiply_positions<T, N>(p, x, start, i, products);
  __syncthreads();
  const int results = p.tile[0] * p.tile[1] * p.tile[2] * p.channels;
  for (int i = static_cast<int>(threadIdx.x); i < results; i += static_cast<int>(blockDim.x)) {
    const int position = i / p.channels, channel = i - position * p.channels,
              line = position / p.tile[2], z = line / p.tile[1];
    const int at[3] = {z, line - z * p.tile[1], position - line * p.tile[2]};
    long long to = sample;
    bool inside = true;
#pragma unroll
    for (int d = 0; d < 3; ++d) {
      inside = inside && first[d] + at[d] < p.y_size[d];
      to = to * p.y_size[d] + first[d] + at[d];
    }
    if (!inside) continue;
    float sum = 0;
    int tap = 0;
    for (int a = 0; a < p.kernel[0]; ++a)
      for (int b = 0; b < p.kernel[1]; ++b)
        for (int c = 0; c < p.kernel[2]; ++c, ++tap) {
          const int met =
              ((at[0] + a * p.dilation[0]) * p.patch[1] + at[1] + b * p.dilation[1]) * p.patch[2] +
              at[2] + c * p.dilation[2];
          sum += products[met * kConvFewLine<N> + channel * p.taps +
                          (p.flip ? p.taps - 1 - tap : tap)];
        }
    to = to * p.channels + channel;
    if (p.residual) sum += read(static_cast<const T*>(p.residual)[to]);
    if (p.bias) sum += read(static_cast<const T*>(p.bias)[channel]);
    static_cast<T*>(p.to)[to] = written<T>(sum);
  }
}

#define LEGATO_CONV_FEW(N, end, T)                                              \
  LEGATO_KERNEL_AT_ONCE(conv_few_##N##end, ConvFewParams, kConvFewThreads, 1) { \
    LEGATO_DYNAMIC_SHARED(memory);                                              \
    conv_few<T, N>(p, reinterpret_cast<float*>(memory));                        \
  }
LEGATO_CONV_FEW(2, _f16, f16)
LEGATO_CONV_FEW(3, _f16, f16)
LEGATO_CONV_FEW(5, _f16, f16)
LEGATO_CONV_FEW(8, _f16, f16)
LEGATO_CONV_FEW(2, _bf16, bf16)
LEGATO_CONV_FEW(3, _bf16, bf16)
LEGATO_CONV_FEW(5, _bf16, bf16)
LEGATO_CONV_FEW(8, _bf16, bf16)

}  // namespace legato::cuda
