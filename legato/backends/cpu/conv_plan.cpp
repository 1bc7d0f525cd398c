#include "legato/backends/cpu/conv_plan.h"

#include <algorithm>

namespace legato::cpu {

int64_t conv_out_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad_low, int64_t pad_high,
                      int64_t kernel_dilation, int64_t input_dilation) {
  const int64_t x = in == 0 ? 0 : (in - 1) * input_dilation + 1,
                w = (kernel - 1) * kernel_dilation + 1;
  const int64_t room = x + pad_low + pad_high - w;
  return room < 0 ? 0 : room / stride + 1;
}

ConvAxis forward_axis(const Conv& c, int i) {
  return {c.in[i],
          c.out[i],
          c.kernel[i],
          c.stride[i],
          -c.pad_low[i],
          c.kernel_dilation[i],
          c.input_dilation[i],
          c.flip};
}

// x's position p = i * input_dilation is read by tap t of output (p + pad - t * kernel_dilation) /
// stride; u = kernel - 1 - t.
ConvAxis gradient_axis(const Conv& c, int i) {
  return {c.out[i],
          c.in[i],
          c.kernel[i],
          c.input_dilation[i],
          c.pad_low[i] - (c.kernel[i] - 1) * c.kernel_dilation[i],
          c.kernel_dilation[i],
          c.stride[i],
          !c.flip};
}

std::vector<AxisClass> classify(const ConvAxis& axis) {
  std::vector<AxisClass> classes;
  std::vector<int64_t> taps, distance;
  size_t last = 0;  // neighbours are mostly of one class
  for (int64_t o = 0; o < axis.out; ++o) {
    taps.clear();
    distance.clear();
    int64_t base = 0;
    for (int64_t u = 0; u < axis.kernel; ++u) {
      const int64_t index = axis.index(o, u);
      if (index < 0) continue;
      if (taps.empty()) base = index;
      taps.push_back(u);
      distance.push_back(index - base);
    }
    if (last >= classes.size() || classes[last].taps != taps) {
      last = static_cast<size_t>(std::find_if(classes.begin(), classes.end(),
                                              [&](const AxisClass& c) { return c.taps == taps; }) -
                                 classes.begin());
      if (last == classes.size()) classes.push_back({taps, distance, {}});
    }
    classes[last].positions.push_back({o, base});
  }
  return classes;
}

}  // namespace legato::cpu
