// Kernels of gather_mm and segmented_mm: one product of the GEMM engine for each run of matrices.
#include <vector>

#include "legato/backends/cpu/gemm.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/matmul/ops.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

// Below this many multiplications a product runs on one thread; then there is one thread a product.
constexpr int64_t kOneThread = 1 << 18;

const char* at(const View& v, int64_t elements) {
  return static_cast<const char*>(v.data) + elements * static_cast<int64_t>(size_of(v.dtype));
}

Gemm product(const View& a, const View& b, const View& d) {
  Gemm g;
  g.dtype = d.dtype;
  g.m = a.dim(a.ndim() - 2);
  g.k = a.dim(a.ndim() - 1);
  g.n = b.dim(b.ndim() - 1);
  g.a_row = (*a.strides)[a.ndim() - 2];
  g.a_col = (*a.strides)[a.ndim() - 1];
  g.b_row = (*b.strides)[b.ndim() - 2];
  g.b_col = (*b.strides)[b.ndim() - 1];
  g.d_row = g.n;
  g.d_col = 1;
  return g;
}

void run_all(const std::vector<Gemm>& products) {
  int64_t most = 0;
  for (const Gemm& g : products) most = std::max(most, g.m * g.n * g.k);
  if (most > kOneThread || products.size() == 1) {
    for (const Gemm& g : products) gemm(g);
    return;
  }
  parallel_for(static_cast<int64_t>(products.size()),
               [&](int64_t i) { gemm(products[static_cast<size_t>(i)]); });
}

/// Index i of a (p,) array into `n` matrices; -1, after l.fail, if it is out of range.
int64_t index_at(Launch& l, const View& indices, int64_t i, int64_t n, const char* name) {
  const int64_t given = indices.as<int64_t>()[i * (*indices.strides)[0]];
  const int64_t index = given < 0 ? given + n : given;
  if (index >= 0 && index < n) return index;
  l.fail(std::make_exception_ptr(IndexError(
      cat("gather_mm: ", name, "[", i, "] is ", given, ", but there are ", n, " matrices"))));
  return -1;
}

void run_gather(Launch& l) {
  const View &a = l.in[0], &b = l.in[1], &left = l.in[2], &right = l.in[3], &d = l.out[0];
  if (left.size == 0) return;
  Gemm like = product(a, b, d);
  const int64_t next_a = (*a.strides)[0], rows = like.m;
  // Matrices of `a` that follow each other and meet the same one of `b` are one with more rows.
  const bool one_row = rows == 1, stacks = one_row || next_a == rows * like.a_row;
  if (one_row) like.a_row = next_a;
  std::vector<Gemm> products;
  int64_t last_left = -1, last_right = -1;
  for (int64_t i = 0; i < left.size; ++i) {
    const int64_t x = index_at(l, left, i, a.dim(0), "lhs_indices");
    if (x < 0) return;
    const int64_t y = index_at(l, right, i, b.dim(0), "rhs_indices");
    if (y < 0) return;
    if (stacks && i > 0 && x == last_left + 1 && y == last_right) {
      products.back().m += rows;
    } else {
      Gemm g = like;
      g.a = at(a, x * next_a);
      g.b = at(b, y * (*b.strides)[0]);
      g.d = const_cast<char*>(at(d, i * rows * g.n));
      products.push_back(g);
    }
    last_left = x;
    last_right = y;
  }
  if (d.size) run_all(products);
}

void run_segmented(Launch& l) {
  const View &a = l.in[0], &b = l.in[1], &segments = l.in[2], &d = l.out[0];
  const Gemm like = product(a, b, d);
  std::vector<Gemm> products;
  for (int64_t i = 0; i < segments.dim(0); ++i) {
    const int64_t* ends = segments.as<int64_t>() + i * (*segments.strides)[0];
    const int64_t begin = ends[0], end = ends[(*segments.strides)[1]];
    if (begin < 0 || end < begin || end > like.k) {
      l.fail(std::make_exception_ptr(
          IndexError(cat("segmented_mm: segment ", i, " is from ", begin, " to ", end,
                         ", which does not lie inside the axis of size ", like.k))));
      return;
    }
    Gemm g = like;
    g.k = end - begin;
    g.a = at(a, begin * g.a_col);
    g.b = at(b, begin * g.b_row);
    g.d = const_cast<char*>(at(d, i * g.m * g.n));
    products.push_back(g);
  }
  if (d.size) run_all(products);
}

using Numbers = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t,
                      float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;

}  // namespace

void register_chosen_mm_kernels(KernelTable& table) {
  add_kernels(table, gather_mm_op, Numbers{},
              [](auto) { return Kernel{.run = run_gather, .accepts = AcceptLayout::any}; });
  add_kernels(table, segmented_mm_op, Numbers{},
              [](auto) { return Kernel{.run = run_segmented, .accepts = AcceptLayout::any}; });
}

}  // namespace legato::cpu
