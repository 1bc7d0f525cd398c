#include "legato/ops/matmul/matmul.cuh"

#include "legato/backends/cuda/blas.h"
#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/matmul/ops.h"

namespace legato::cuda {
namespace {

// Strides of the leading axes of `v`, as if it had the product's leading axes.
Strides lead_strides(const View& v, const Shape& out) {
  Shape s = out;
  for (size_t k = 0; k < 2 && k < v.ndim(); ++k) s[s.size() - 1 - k] = v.dim(v.ndim() - 1 - k);
  Strides strides = broadcast_strides(*v.shape, *v.strides, s), lead;
  for (size_t i = 0; i + 2 < out.size(); ++i) lead.push_back(strides[i]);
  return lead;
}

// Signed and unsigned integers of a width multiply alike.
const char* kernel_suffix(Dtype t) {
  switch (is_signed_integer(t) ? size_of(t) : 0) {
    case 1:
      return "_u8";
    case 2:
      return "_u16";
    case 4:
      return "_u32";
    case 8:
      return "_u64";
    default:
      return suffix(t);
  }
}

// A row-major d = a b is, by columns, d' = b' a'. An operand must be dense along its rows or along
// its columns.
bool as_columns(int64_t row, int64_t col, int64_t rows, int64_t cols, BlasOperand& o) {
  if (col == 1 || cols == 1) {  // rows one after the other: columns of the transpose
    o.ld = rows == 1 ? cols : row;
    return o.ld >= cols && o.ld > 0;
  }
  if (row == 1 || rows == 1) {
    o.transposed = true;
    o.ld = cols == 1 ? rows : col;
    return o.ld >= rows && o.ld > 0;
  }
  return false;
}

// By cuBLASLt, one call for each index of all batch axes but the last. What is added is copied into
// the result first.
bool run_blas(Launch& l, const MatmulParams& p) {
  const View& d = l.out[0];
  if (p.m == 0 || p.n == 0 || p.k == 0) return false;
  BlasProduct product{d.dtype, p.n, p.m, p.k, 1, {}, {}, {}};
  if (!as_columns(p.b_row, p.b_col, p.k, p.n, product.a) ||
      !as_columns(p.a_row, p.a_col, p.m, p.k, product.b))
    return false;
  product.d.ld = p.n;
  const int last = p.axes - 1;
  product.batch = p.batch_size[last];
  if (product.batch > 1) {
    product.a.batch_stride = p.b_batch[last];
    product.b.batch_stride = p.a_batch[last];
    product.d.batch_stride = p.m * p.n;
    if (product.a.batch_stride < 0 || product.b.batch_stride < 0) return false;
  }
  int64_t calls = 1;
  for (int i = 0; i < last; ++i) calls *= p.batch_size[i];
  if (calls > 64) return false;
  if (p.e) {
    const View& e = l.in[2];
    copy_elements(d.data, *d.strides, e.data, broadcast_strides(*e.shape, *e.strides, *d.shape),
                  *d.shape, size_of(d.dtype));
  }
  const int64_t bytes = size_of(d.dtype);
  for (int64_t call = 0; call < calls; ++call) {
    int64_t rest = call, a = 0, b = 0;
    for (int i = last - 1; i >= 0; --i) {
      const int64_t at = rest % p.batch_size[i];
      rest /= p.batch_size[i];
      a += at * p.a_batch[i];
      b += at * p.b_batch[i];
    }
    char* to = static_cast<char*>(p.d) + call * product.batch * p.m * p.n * bytes;
    if (!blas_multiply(current(), product, static_cast<const char*>(p.b) + b * bytes,
                       static_cast<const char*>(p.a) + a * bytes, to, p.alpha, p.e ? p.beta : 0))
      return false;  // the first call says so, before anything is done
  }
  return true;
}

void run(Launch& l, double alpha, double beta) {
  const View &a = l.in[0], &b = l.in[1], &d = l.out[0];
  if (d.size == 0) return;
  const size_t ra = a.ndim(), rb = b.ndim(), rank = d.ndim();
  MatmulParams p{};
  p.a = a.data;
  p.b = b.data;
  p.d = d.data;
  p.m = a.dim(ra - 2);
  p.k = a.dim(ra - 1);
  p.n = b.dim(rb - 1);
  p.a_row = (*a.strides)[ra - 2];
  p.a_col = (*a.strides)[ra - 1];
  p.b_row = (*b.strides)[rb - 2];
  p.b_col = (*b.strides)[rb - 1];
  p.alpha = alpha;
  p.beta = beta;
  Shape batch;
  for (size_t i = 0; i + 2 < rank; ++i) batch.push_back(d.dim(i));
  Strides lead_a = lead_strides(a, *d.shape), lead_b = lead_strides(b, *d.shape),
          lead_e = Strides::filled(batch.size(), 0);
  if (l.in.size() == 3) {
    const View& e = l.in[2];
    const Strides s = broadcast_strides(*e.shape, *e.strides, *d.shape);
    p.e = e.data;
    p.e_row = s[rank - 2];
    p.e_col = s[rank - 1];
    for (size_t i = 0; i + 2 < rank; ++i) lead_e[i] = s[i];
  }
  const Strides* operands[] = {&lead_a, &lead_b, &lead_e};
  const MergedAxes merged = merge_axes(batch, operands);
  LEGATO_CHECK(merged.n <= kMaxAxes, "a matrix product on the GPU has more batch axes than 10");
  p.axes = merged.n;
  for (int i = 0; i < merged.n; ++i) {
    p.batch_size[i] = merged.size[i];
    p.a_batch[i] = merged.stride[0][i];
    p.b_batch[i] = merged.stride[1][i];
    p.e_batch[i] = merged.stride[2][i];
  }
  if (run_blas(l, p)) return;
  const int64_t tiles = ((p.m + kMatmulTile - 1) / kMatmulTile) *
                        ((p.n + kMatmulTile - 1) / kMatmulTile) * merged.count;
  launch_blocks("matmul", cat("matmul", kernel_suffix(d.dtype)), tiles, kMatmulThreads, p);
}

}  // namespace

void register_matmul_kernels(KernelTable& table) {
  using Numbers = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t,
                        float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;
  add_kernels(table, op_named("matmul"), Numbers{}, [](auto) {
    return Kernel{.run = [](Launch& l) { run(l, 1, 0); }, .accepts = AcceptLayout::any};
  });
  add_kernels(table, op_named("addmm"),
              Types<float16_t, bfloat16_t, float, double, complex64_t, complex128_t>{}, [](auto) {
                return Kernel{.run =
                                  [](Launch& l) {
                                    auto& attrs = l.attrs<AddmmAttrs>();
                                    run(l, attrs.alpha, attrs.beta);
                                  },
                              .accepts = AcceptLayout::any};
              });
}

}  // namespace legato::cuda
