// The matrix products of the records, handed to the GEMM engine. No operand is copied: strides say
// where it lies.
#include "legato/backends/cpu/gemm.h"
#include "legato/ops/matmul/ops.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

// Strides of the leading axes of `v`, as if it had the product's leading axes.
Dims lead_strides(const View& v, const Shape& out) {
  Dims strides = broadcast_strides(*v.shape, *v.strides, [&] {
    Shape s = out;
    for (size_t k = 0; k < 2 && k < v.ndim(); ++k) s[s.size() - 1 - k] = v.dim(v.ndim() - 1 - k);
    return s;
  }());
  Dims lead;
  for (size_t i = 0; i + 2 < out.size(); ++i) lead.push_back(strides[i]);
  return lead;
}

void run(Launch& l, double alpha, double beta) {
  const View &a = l.in[0], &b = l.in[1], &d = l.out[0];
  if (d.size == 0) return;
  size_t ra = a.ndim(), rb = b.ndim(), rank = d.ndim();
  Gemm g;
  g.dtype = d.dtype;
  g.alpha = alpha;
  g.beta = beta;
  g.m = a.dim(ra - 2);
  g.k = a.dim(ra - 1);
  g.n = b.dim(rb - 1);
  g.a = a.data;
  g.a_row = (*a.strides)[ra - 2];
  g.a_col = (*a.strides)[ra - 1];
  g.b = b.data;
  g.b_row = (*b.strides)[rb - 2];
  g.b_col = (*b.strides)[rb - 1];
  g.d = d.data;
  g.d_row = g.n;
  g.d_col = 1;
  Dims lead_a = lead_strides(a, *d.shape), lead_b = lead_strides(b, *d.shape), lead_d, lead_e,
       sizes;
  for (size_t i = 0; i + 2 < rank; ++i) {
    sizes.push_back(d.dim(i));
    lead_d.push_back((*d.strides)[i]);
  }
  if (l.in.size() == 3) {
    const View& c = l.in[2];
    Strides e = broadcast_strides(*c.shape, *c.strides, *d.shape);
    g.e = c.data;
    g.e_row = e[rank - 2];
    g.e_col = e[rank - 1];
    for (size_t i = 0; i + 2 < rank; ++i) lead_e.push_back(e[i]);
  } else {
    lead_e = lead_d;
  }
  // One matrix b for a batch of a whose rows follow each other is a single product with more rows.
  while (!sizes.empty()) {
    size_t last = sizes.size() - 1;
    bool e_follows = l.in.size() < 3 || lead_e[last] == g.m * g.e_row;
    bool one_row = g.m == 1;
    if (lead_b[last] != 0 || !(one_row || lead_a[last] == g.m * g.a_row) || !(one_row || e_follows))
      break;
    if (one_row) {
      g.a_row = lead_a[last];
      g.d_row = lead_d[last];
      g.e_row = l.in.size() == 3 ? lead_e[last] : 0;
    }
    g.m *= sizes[last];
    for (Dims* list : {&sizes, &lead_a, &lead_b, &lead_d, &lead_e}) list->erase(last);
  }
  g.batch_rank = static_cast<int>(sizes.size());
  g.batch_sizes = sizes.data();
  g.a_batch = lead_a.data();
  g.b_batch = lead_b.data();
  g.d_batch = lead_d.data();
  g.e_batch = lead_e.data();
  gemm(g);
}

using Numbers = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t,
                      float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;

}  // namespace

void register_chosen_mm_kernels(KernelTable& table);

void register_matmul_kernels(KernelTable& table) {
  register_chosen_mm_kernels(table);
  add_kernels(table, matmul_op, Numbers{}, [](auto) {
    return Kernel{.run = [](Launch& l) { run(l, 1, 0); }, .accepts = AcceptLayout::any};
  });
  add_kernels(table, addmm_op, Numbers{}, [](auto) {
    return Kernel{.run =
                      [](Launch& l) {
                        auto& attrs = l.attrs<AddmmAttrs>();
                        run(l, attrs.alpha, attrs.beta);
                      },
                  .accepts = AcceptLayout::any};
  });
}

}  // namespace legato::cpu
