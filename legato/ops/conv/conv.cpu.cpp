// Convolutions and their gradients, handed to the convolution engine.
#include "legato/backends/cpu/conv.h"

#include "legato/ops/conv/ops.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

// The engine works on three spatial axes; fewer are filled up with leading ones.
Conv describe(const Launch& l, const Shape& x, const Shape& w, const Shape& y) {
  auto& a = l.attrs<ConvAttrs>();
  Conv c;
  c.dtype = l.out[0].dtype;
  c.batch = x[0];
  c.in_channels = x.back();
  c.out_channels = w[0];
  c.groups = a.groups;
  c.flip = a.flip;
  size_t spatial = a.stride.size(), lead = 3 - spatial;
  for (size_t i = 0; i < spatial; ++i) {
    c.in[lead + i] = x[1 + i];
    c.kernel[lead + i] = w[1 + i];
    c.out[lead + i] = y[1 + i];
    c.stride[lead + i] = a.stride[i];
    c.pad_low[lead + i] = a.pad_low[i];
    c.kernel_dilation[lead + i] = a.kernel_dilation[i];
    c.input_dilation[lead + i] = a.input_dilation[i];
  }
  return c;
}

}  // namespace

void register_conv_kernels(KernelTable& table) {
  add_kernels(table, conv_op, FloatTypes{}, [](auto) {
    return Kernel{.run = [](Launch& l) {
      const View &x = l.in[0], &w = l.in[1], &y = l.out[0];
      conv_forward(describe(l, *x.shape, *w.shape, *y.shape), x.data, w.data, y.data);
    }};
  });
  add_kernels(table, conv_input_gradient_op, FloatTypes{}, [](auto) {
    return Kernel{.run = [](Launch& l) {
      const View &dy = l.in[0], &w = l.in[1], &dx = l.out[0];
      conv_input_gradient(describe(l, *dx.shape, *w.shape, *dy.shape), dy.data, w.data, dx.data);
    }};
  });
  add_kernels(table, conv_weight_gradient_op, FloatTypes{}, [](auto) {
    return Kernel{.run = [](Launch& l) {
      const View &x = l.in[0], &dy = l.in[1], &dw = l.out[0];
      conv_weight_gradient(describe(l, *x.shape, *dw.shape, *dy.shape), x.data, dy.data, dw.data);
    }};
  });
}

}  // namespace legato::cpu
