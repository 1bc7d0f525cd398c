#include "legato/ops/matmul/matmul.cuda.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "legato/backends/cuda/blas.h"
#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/matmul/matmul.cuh"
#include "legato/ops/matmul/matmul_hopper.cuda.h"
#include "legato/ops/matmul/ops.h"
#include "legato/runtime/epilogue_form.h"

namespace legato::cuda {

const char* product_suffix(Dtype t) {
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

namespace {

// A kernel of this image. Looked up once: that takes longer than to launch it.
CUfunction kernel(const char* name, Dtype t) {
  struct Known {
    const char* name = nullptr;
    GpuDevice* device = nullptr;
    CUfunction function = nullptr;
  };
  thread_local const auto known = std::make_unique<Known[]>(kDtypeCount);
  Known& k = known[static_cast<size_t>(t)];
  if (k.name != name || k.device != &current())
    k = {name, &current(), current().kernel("matmul", cat(name, product_suffix(t)))};
  return k.function;
}

template <class Params>
void launch_product(const char* name, Dtype t, int tile, int64_t rows, int64_t cols, int64_t count,
                    Params& params) {
  const int64_t tiles = ((rows + tile - 1) / tile) * ((cols + tile - 1) / tile) * count;
  current().launch(kernel(name, t), tiles, kMatmulThreads, &params, "launching a matrix product");
}

// --- products of batches -------------------------------------------------------------------------

// Something that is added to a product: coef times a view of it.
struct Addend {
  const void* data = nullptr;
  double coef = 1;
  Strides strides;  // along the product's axes
};

struct Product {
  const View *a, *b, *d;
  double alpha = 1;
  Addend addends[2];
  int n_addends = 0;
  EpilogueForm::Act act = EpilogueForm::Act::none;
  bool gated = false, first_is_gate = false;  // d has half as many columns as b
  bool tf32 = false;
};

// An axis of the batch, after merging: strides of a, b and the addends, and of d.
struct BatchAxis {
  int64_t size, a, b, add[2], d;
};

// A product whose batch axes have been merged, and folded into the rows where that is possible.
struct Folded {
  int64_t m, n, k;
  int64_t a_row, a_col, b_row, b_col;
  const void *a, *b;
  int64_t add_row[2] = {0, 0}, add_col[2] = {0, 0};
  BatchAxis axes[kMaxAxes];
  int n_axes = 0;
  int64_t count = 1;  // of matrices
};

bool fold(const Product& p, const void* a_data, const Strides& a_strides, const void* b_data,
          const Strides& b_strides, Folded& f) {
  const View &a = *p.a, &b = *p.b, &d = *p.d;
  const size_t ra = a.ndim(), rb = b.ndim(), rank = d.ndim();
  f.a = a_data;
  f.b = b_data;
  f.m = a.dim(ra - 2);
  f.k = a.dim(ra - 1);
  f.n = b.dim(rb - 1);
  f.a_row = a_strides[ra - 2];
  f.a_col = a_strides[ra - 1];
  f.b_row = b_strides[rb - 2];
  f.b_col = b_strides[rb - 1];
  for (int i = 0; i < p.n_addends; ++i) {
    f.add_row[i] = p.addends[i].strides[rank - 2];
    f.add_col[i] = p.addends[i].strides[rank - 1];
  }
  // Axes that all operands step through as through one; d always does.
  int64_t d_stride = f.m * f.n;
  for (size_t axis = rank - 2; axis-- > 0;) {
    const int64_t size = d.dim(axis);
    if (size == 1) continue;
    auto stride_of = [&](const View& v, const Strides& strides) -> int64_t {
      const size_t behind = rank - axis;  // counted from the end
      if (behind > v.ndim()) return 0;
      const size_t own = v.ndim() - behind;
      return v.dim(own) == 1 ? 0 : strides[own];
    };
    BatchAxis x{size, stride_of(a, a_strides), stride_of(b, b_strides), {0, 0}, d_stride};
    for (int i = 0; i < p.n_addends; ++i) x.add[i] = p.addends[i].strides[axis];
    d_stride *= size;
    f.count *= size;
    if (f.n_axes > 0) {
      BatchAxis& inner = f.axes[f.n_axes - 1];
      bool joins = x.a == inner.a * inner.size && x.b == inner.b * inner.size;
      for (int i = 0; i < p.n_addends; ++i) joins &= x.add[i] == inner.add[i] * inner.size;
      if (joins) {
        inner.size *= size;
        continue;
      }
    }
    if (f.n_axes == kMaxAxes) return false;
    f.axes[f.n_axes++] = x;
  }
  // Innermost first so far. One matrix b for matrices of a whose rows follow each other: more rows.
  while (f.n_axes > 0) {
    const BatchAxis& x = f.axes[0];
    bool folds = x.b == 0 && (f.m == 1 || x.a == f.m * f.a_row);
    for (int i = 0; i < p.n_addends; ++i) folds &= f.m == 1 || x.add[i] == f.m * f.add_row[i];
    if (!folds) break;
    if (f.m == 1) {
      f.a_row = x.a;
      for (int i = 0; i < p.n_addends; ++i) f.add_row[i] = x.add[i];
    }
    f.m *= x.size;
    f.count /= x.size;
    for (int i = 1; i < f.n_axes; ++i) f.axes[i - 1] = f.axes[i];
    --f.n_axes;
  }
  return true;
}

// --- by cuBLASLt ---------------------------------------------------------------------------------

// A row-major d = a b is, by columns, d' = b' a'. An operand must be dense along its rows or along
// its columns.
bool as_columns(int64_t row, int64_t col, int64_t rows, int64_t cols, BlasOperand& o) {
  if (col == 1 || cols == 1) {  // rows one after the other: columns of the transpose
    o.ld = rows == 1 ? cols : row;
    if (o.ld >= cols && o.ld > 0) return true;
  }
  if (row == 1 || rows == 1) {
    o.transposed = 1;
    o.ld = cols == 1 ? rows : col;
    return o.ld >= rows && o.ld > 0;
  }
  return false;
}

// One call for each index of all batch axes but the longest. `biased`: whether a row that is added
// to all rows may be a bias of the library; otherwise all that is added is read like a matrix c.
bool run_blas(Launch& l, const Product& p, const Folded& f, bool biased) {
  const View& d = *p.d;
  if (f.m == 0 || f.n == 0 || f.k == 0) return false;
  int along = 0;  // the axis that the library walks
  for (int i = 1; i < f.n_axes; ++i)
    if (f.axes[i].size > f.axes[along].size) along = i;
  const BatchAxis one{1, 0, 0, {0, 0}, 0};
  const BatchAxis& batch = f.n_axes ? f.axes[along] : one;
  if (batch.a < 0 || batch.b < 0) return false;

  BlasProduct product;
  product.in = p.a->dtype;
  product.out = d.dtype;
  product.tf32 = p.tf32;
  product.m = f.n;
  product.n = f.m;
  product.k = f.k;
  product.batch = batch.size;
  if (!as_columns(f.b_row, f.b_col, f.k, f.n, product.a) ||
      !as_columns(f.a_row, f.a_col, f.m, f.k, product.b))
    return false;
  product.a.batch_stride = batch.b;
  product.b.batch_stride = batch.a;
  product.d.ld = f.n;
  product.d.batch_stride = batch.d;
  product.c = product.d;
  const int64_t bytes = size_of(p.a->dtype), out_bytes = size_of(d.dtype);

  int bias = -1, matrix = -1;
  bool copied = false;  // what is added lies in d
  for (int i = 0; i < p.n_addends; ++i) {
    const Addend& add = p.addends[i];
    const int64_t row = f.add_row[i], col = f.add_col[i], next = batch.add[i];
    const bool dense = col == 1 || f.n == 1;
    if (biased && bias < 0 && add.coef == 1 && dense && row == 0 && f.m > 1 && next == 0 &&
        reinterpret_cast<uintptr_t>(add.data) % 16 == 0 &&
        (is_half(product.in) || product.in == Dtype::float32)) {
      bias = i;
    } else if (matrix < 0 && dense && (row >= f.n || f.m == 1) && next >= 0) {
      matrix = i;
      product.c.ld = f.m == 1 ? f.n : row;
      product.c.batch_stride = next;
    } else if (p.n_addends == 1 && !l.epilogue) {
      copied = true;
      matrix = i;
    } else {
      return false;
    }
  }
  product.adds = matrix >= 0;
  product.epilogue =
      (bias >= 0 ? blas::kBias : 0) | (p.act == EpilogueForm::Act::relu        ? blas::kRelu
                                       : p.act == EpilogueForm::Act::gelu_tanh ? blas::kGelu
                                                                               : 0);
  if (product.epilogue == 0) product.epilogue = blas::kPlain;
  if (copied)
    copy_elements(d.data, *d.strides, p.addends[0].data, p.addends[0].strides, *d.shape, out_bytes);

  const int64_t calls = f.count / batch.size;
  for (int64_t call = 0; call < calls; ++call) {
    int64_t rest = call, a = 0, b = 0, to = 0, add[2] = {0, 0};
    for (int i = 0; i < f.n_axes; ++i) {
      if (i == along) continue;
      const int64_t at = rest % f.axes[i].size;
      rest /= f.axes[i].size;
      a += at * f.axes[i].a;
      b += at * f.axes[i].b;
      to += at * f.axes[i].d;
      for (int k = 0; k < 2; ++k) add[k] += at * f.axes[i].add[k];
    }
    BlasArguments args{};
    args.a = static_cast<const char*>(f.b) + b * bytes;
    args.b = static_cast<const char*>(f.a) + a * bytes;
    args.d = static_cast<char*>(d.data) + to * out_bytes;
    args.c = args.d;
    args.alpha = p.alpha;
    if (matrix >= 0) args.beta = p.addends[matrix].coef;
    if (matrix >= 0 && !copied)
      args.c = static_cast<const char*>(p.addends[matrix].data) + add[matrix] * out_bytes;
    if (bias >= 0)
      args.bias = static_cast<const char*>(p.addends[bias].data) + add[bias] * out_bytes;
    if (!blas_multiply(current(), l, product, args))
      return false;  // the first call says so, before anything but a copy is done
  }
  return true;
}

// --- by tiles of our own -------------------------------------------------------------------------

// Small products, for which cuBLASLt's call takes longer on the host than the product on the GPU: 6
// to 14 us, where a chain of these products takes 5 to 6 us each in all. From 256 x 256 x 256 on
// halves are faster on tensor cores (2.8 us there, 10.8 here), float32 is not (6.6 and 6.8).
bool is_small(const Folded& f, Dtype t) {
  if (!is_half(t) && t != Dtype::float32) return false;
  const int64_t side = is_half(t) ? 128 : 256;
  return f.k <= side && f.m * f.n * f.count <= side * side;
}

void run_tiles(const Product& p, const Folded& f, bool small) {
  MatmulParams q{};
  q.a = f.a;
  q.b = f.b;
  q.d = p.d->data;
  q.m = f.m;
  q.n = f.n;
  q.k = f.k;
  q.a_row = f.a_row;
  q.a_col = f.a_col;
  q.b_row = f.b_row;
  q.b_col = f.b_col;
  q.alpha = p.alpha;
  q.relu = p.act == EpilogueForm::Act::relu;
  if (p.n_addends > 0) {
    q.e = p.addends[0].data;
    q.beta = p.addends[0].coef;
    q.e_row = f.add_row[0];
    q.e_col = f.add_col[0];
  }
  if (p.n_addends > 1) {
    q.f = p.addends[1].data;
    q.gamma = p.addends[1].coef;
    q.f_row = f.add_row[1];
    q.f_col = f.add_col[1];
  }
  q.axes = f.n_axes;
  for (int i = 0; i < f.n_axes; ++i) {  // outermost first
    const BatchAxis& x = f.axes[f.n_axes - 1 - i];
    q.batch_size[i] = x.size;
    q.a_batch[i] = x.a;
    q.b_batch[i] = x.b;
    q.e_batch[i] = x.add[0];
    q.f_batch[i] = x.add[1];
  }
  if (small)
    launch_product("matmul_small", p.d->dtype, kSmallTile, f.m, f.n, f.count, q);
  else
    launch_product("matmul", p.d->dtype, kMatmulTile, f.m, f.n, f.count, q);
}

// Whether cuBLASLt would need more calls than the work is worth: then operands that are walked in
// several steps are copied first.
bool too_many_calls(const Folded& f) {
  int64_t longest = 1;
  for (int i = 0; i < f.n_axes; ++i) longest = std::max(longest, f.axes[i].size);
  const double flops_a_call =
      2.0 * static_cast<double>(f.m * f.n * f.k) * static_cast<double>(longest);
  return f.count / longest > 4 && flops_a_call < 2e9;
}

// An operand in a layout that cuBLASLt reads; copied if `always` or if it must be.
struct Readable {
  const void* data;
  Strides strides;
};
Readable readable(Launch& l, const View& v, bool always) {
  const size_t r = v.ndim();
  BlasOperand ignored;
  bool fits =
      as_columns((*v.strides)[r - 2], (*v.strides)[r - 1], v.dim(r - 2), v.dim(r - 1), ignored);
  for (size_t i = 0; i + 2 < r; ++i) fits &= (*v.strides)[i] >= 0;
  if (v.row_major || (fits && !always)) return {v.data, *v.strides};
  void* copy = l.workspace(v.size * static_cast<int64_t>(size_of(v.dtype)));
  Strides dense = row_major_strides(*v.shape);
  copy_elements(copy, dense, v.data, *v.strides, *v.shape, size_of(v.dtype));
  return {copy, dense};
}

// --- by Hopper's own kernels --------------------------------------------------------------------

// Activations that these kernels have and cuBLASLt has not.
bool is_hoppers(EpilogueForm::Act act) {
  using Act = EpilogueForm::Act;
  return act == Act::gelu_erf || act == Act::silu || act == Act::sigmoid || act == Act::tanh;
}
// Their names for activations.
const char* hopper_name(EpilogueForm::Act act) {
  using Act = EpilogueForm::Act;
  switch (act) {
    case Act::none:
      return "none";
    case Act::relu:
      return "relu";
    case Act::gelu_tanh:
      return "gelu_tanh";
    case Act::gelu_erf:
      return "gelu_erf";
    case Act::silu:
      return "silu";
    case Act::sigmoid:
      return "sigmoid";
    case Act::tanh:
      return "tanh";
  }
  return "";
}

// What is not for cuBLASLt. False, having done nothing, if it cannot be done here either.
bool run_hopper(const Product& p, const Folded& f) {
  if (f.n_axes > 0 || p.alpha != 1 || p.n_addends > 1 || f.a_col != 1 || f.b_row != 1) return false;
  HopperProduct h;
  h.dtype = p.d->dtype;
  h.a = f.a;
  h.b = f.b;
  h.d = p.d->data;
  h.m = f.m;
  h.n = f.n;
  h.k = f.k;
  h.a_row = f.a_row;
  h.b_col = f.b_col;
  h.act = hopper_name(p.act);
  h.gated = p.gated;
  h.first_is_gate = p.first_is_gate;
  if (p.n_addends == 1) {
    const bool bias = p.addends[0].coef == 1 && f.add_col[0] == 1 && f.add_row[0] == 0;
    if (!bias) return false;
    h.bias = p.addends[0].data;
  }
  return hopper_multiply(h);
}

bool takes_blas(Dtype t) { return is_floating(t) || is_complex(t); }

void multiply(Launch& l, Product& p) {
  const View &a = *p.a, &b = *p.b, &d = *p.d;
  if (d.size == 0) return;
  const bool one_dtype = a.dtype == d.dtype;
  Folded f;
  const bool foldable = fold(p, a.data, *a.strides, b.data, *b.strides, f);
  if (p.gated || is_hoppers(p.act)) {
    l.declined = !foldable || !run_hopper(p, f);
    return;
  }
  if (foldable && is_small(f, d.dtype) && one_dtype && p.act != EpilogueForm::Act::gelu_tanh)
    return run_tiles(p, f, true);
  if (takes_blas(a.dtype) && blas::library().problem.empty() && a.size > 0) {
    const bool copy = !foldable || too_many_calls(f);
    Readable x = readable(l, a, copy), y = readable(l, b, copy);
    Folded g;
    if (fold(p, x.data, x.strides, y.data, y.strides, g) &&
        (run_blas(l, p, g, true) || run_blas(l, p, g, false)))
      return;
  }
  if (l.epilogue) {
    l.declined = true;
    return;
  }
  LEGATO_CHECK(foldable, "a matrix product on the GPU has more batch axes than 10");
  run_tiles(p, f, false);
}

void run(Launch& l, double alpha, double beta) {
  Product p;
  p.a = &l.in[0];
  p.b = &l.in[1];
  p.d = &l.out[0];
  p.alpha = alpha;
  p.tf32 = l.allow_tf32 && p.a->dtype == Dtype::float32;
  auto add = [&](const void* data, Strides strides, double coef) {
    Addend& x = p.addends[p.n_addends++];
    x.data = data;
    x.strides = std::move(strides);
    x.coef = coef;
  };
  if (l.in.size() == 3 && beta != 0)
    add(l.in[2].data, broadcast_strides(*l.in[2].shape, *l.in[2].strides, *p.d->shape), beta);
  if (l.epilogue) {
    const auto form = read_epilogue(*l.epilogue);
    LEGATO_CHECK(form, "a matrix product took a program that it cannot apply");
    p.alpha *= form->scale;
    for (int i = 0; i < p.n_addends; ++i) p.addends[i].coef *= form->scale;
    p.act = form->act;
    p.gated = form->gated;
    p.first_is_gate = form->first_is_gate;
    for (int i = 0; i < form->n_addends; ++i) {
      const fuse::BoundInput& in = l.epilogue->inputs[static_cast<size_t>(form->addends[i].input)];
      add(in.data, in.strides, form->addends[i].coef);
    }
  }
  multiply(l, p);
}

// Which programs a product applies: scale, a bias and a matrix added, relu, and for half types
// gelu by tanh, which cuBLASLt computes to 6e-6; a cast from a half to float32. On Hopper other
// activations and gates, too.
bool takes(const Epilogue& e, int own_addends) {
  const auto form = read_epilogue(e);
  if (!form || form->constant != 0 || form->n_addends + own_addends > 2) return false;
  const Dtype in = e.program->inputs[static_cast<size_t>(e.input)];
  const bool half = is_half(in), same = form->out == in;
  if (form->gated || is_hoppers(form->act))
    return half && same && form->n_addends + own_addends <= 1 && hopper_present();
  if (!same && !(half && form->out == Dtype::float32 && own_addends == 0)) return false;
  for (int i = 0; i < form->n_addends; ++i)
    if (e.program->inputs[static_cast<size_t>(form->addends[i].input)] != form->out) return false;
  using Act = EpilogueForm::Act;
  if (form->act == Act::relu) return half || in == Dtype::float32;
  if (form->act == Act::gelu_tanh) return is_half(form->out);
  return form->act == Act::none;
}

}  // namespace

void register_chosen_mm_kernels(KernelTable& table);

void register_matmul_kernels(KernelTable& table) {
  register_chosen_mm_kernels(table);
  using Numbers = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t,
                        float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;
  using Inexact = Types<float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;
  add_kernels(table, op_named("matmul"), Numbers{}, [](auto) {
    return Kernel{.run = [](Launch& l) { run(l, 1, 0); },
                  .accepts = AcceptLayout::any,
                  .takes = [](const void*, const Epilogue& e) { return takes(e, 0); }};
  });
  add_kernels(table, op_named("addmm"), Inexact{}, [](auto) {
    return Kernel{.run =
                      [](Launch& l) {
                        auto& attrs = l.attrs<AddmmAttrs>();
                        run(l, attrs.alpha, attrs.beta);
                      },
                  .accepts = AcceptLayout::any,
                  .takes = [](const void*, const Epilogue& e) { return takes(e, 1); }};
  });
}

}  // namespace legato::cuda
