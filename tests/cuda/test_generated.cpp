// Kernels that are generated around programs: that NVRTC compiles reductions and row programs of
// every kind. It needs no GPU; LEGATO_NVRTC says where it is.
#include <doctest/doctest.h>

#include <cstdlib>

#include "legato/backends/cuda/nvrtc.h"
#include "legato/backends/cuda/print_reduction.h"
#include "legato/backends/cuda/print_rows.h"
#include "legato/base/error.h"

using namespace legato;
using namespace legato::cuda;

namespace {

bool has_compiler() {
  if (!nvrtc_problem().empty()) {
    MESSAGE(nvrtc_problem());
    return false;
  }
  setenv("LEGATO_CACHE_DIR", "", 1);
  return true;
}

fuse::Instr call(const char* fn, Dtype compute, Dtype result, std::initializer_list<int> src) {
  fuse::Instr i;
  i.fn = *fn ? fuse::find_fn(fn) : fuse::kCastFn;
  i.compute = compute;
  i.dtype = result;
  for (int s : src) i.src[i.n_src++] = static_cast<uint16_t>(s);
  return i;
}

void compiles(const fuse::Program& p, std::string_view access, int pack, bool wide,
              const ReductionForm& form) {
  CAPTURE(form.key());
  Variant v;
  for (size_t i = 0; i < access.size(); ++i)
    v.access[i] = static_cast<Access>(std::string_view("SDRBGTEM").find(access[i]));
  v.pack = pack;
  v.wide = wide;
  const Source source = print_reduction(p, v, form);
  REQUIRE(!source.text.empty());
  CHECK_NOTHROW(compile_source(source, 90));
}

}  // namespace

TEST_CASE("NVRTC compiles reductions that compute what they reduce") {
  if (!has_compiler()) return;
  using enum ReductionKernel;
  fuse::Program p;  // x0 * x1 and its exponential
  p.inputs = {Dtype::float32, Dtype::float32};
  p.instrs = {call("multiply", Dtype::float32, Dtype::float32, {0, 1}),
              call("exp", Dtype::float32, Dtype::float32, {2})};
  p.outputs = {2, 3};
  compiles(p, "DD", 4, false, {"Arith<float, float>", rows_dense, false, 0, 0});
  compiles(p, "SM", 4, true, {"Variance<float>", rows_packs, false, 1, 1});
  compiles(p, "RB", 4, false, {"Extreme<float>", columns_packed, true, 1, 3});
  compiles(p, "GE", 4, false, {"ArgExtreme<float>", short_rows, false, 0, 2});
  compiles(p, "GD", 1, true, {"Any<uint32_t>", rows_elements, false, 0, 0});
  compiles(p, "GG", 1, false, {"Arith<float, float>", columns_single, false, 1, 0});
  for (Dtype t : {Dtype::float16, Dtype::bfloat16, Dtype::float64, Dtype::int8, Dtype::bool_,
                  Dtype::complex64, Dtype::complex128}) {
    CAPTURE(t);
    fuse::Program q;
    q.inputs = {t, t};
    q.instrs = {call("add", compute_dtype(t), t, {0, 1})};
    q.outputs = {2};
    const bool exact = !is_inexact(t);
    const std::string stored = exact ? "uint8_t" : device_type(t);
    const int pack = static_cast<int>(16 / size_of(t));
    compiles(q, "DD", pack, false,
             {exact ? "Arith<uint8_t, uint32_t>" : cat("Arith<", stored, ", ", stored, ">"),
              rows_dense, false, 0, 0});
    compiles(q, "DS", pack, false, {cat("ArgExtreme<", stored, ">"), rows_dense, false, 0, 1});
    if (is_floating(t))
      compiles(q, "DD", pack, false, {cat("Variance<", stored, ">"), columns_packed, false, 0, 0});
  }
}

TEST_CASE("NVRTC compiles row programs") {
  if (!has_compiler()) return;
  for (Dtype t : {Dtype::float32, Dtype::float16, Dtype::float64}) {
    const Dtype c = compute_dtype(t);
    fuse::Program shifted, share;  // exp(x - top); e / sum * weight
    shifted.inputs = {t, t};
    shifted.instrs = {call("subtract", c, t, {0, 1}), call("exp", c, t, {2})};
    shifted.outputs = {3};
    share.inputs = {t, t, t};
    share.literals = {t};
    share.instrs = {call("divide", c, t, {0, 1}), call("multiply", c, t, {4, 2}),
                    call("add", c, t, {5, 3})};
    share.outputs = {6};
    RowCall rows;
    auto value = [&](bool wide, bool made, bool stored, int64_t stride) {
      rows.values.push_back({t, wide, made, stored, stride, nullptr});
    };
    value(true, false, false, 64);  // x
    value(false, true, false, 1);   // top
    value(true, true, false, 64);   // e
    value(false, true, true, 1);    // sum, stored
    value(true, false, false, 0);   // weight
    value(true, true, true, 64);    // result
    rows.values.push_back({Dtype::int32, false, false, false, 1, nullptr});
    value(false, true, true, 1);  // picked of x, which lies in memory
    value(false, true, true, 1);  // picked of e, which is in registers
    static constexpr Kernel pick{.picks = true};
    rows.steps.resize(6);
    for (size_t s : {4, 5}) rows.steps[s].kernel = &pick;
    rows.steps[4].in = {0, 6};
    rows.steps[4].out = {7};
    rows.steps[5].in = {2, 6};
    rows.steps[5].out = {8};
    rows.steps[0].in = {0};
    rows.steps[0].out = {1};
    rows.steps[1].program = &shifted;
    rows.steps[1].wide = true;
    rows.steps[1].in = {0, 1};
    rows.steps[1].out = {2};
    rows.steps[2].in = {2};
    rows.steps[2].out = {3};
    rows.steps[3].program = &share;
    rows.steps[3].wide = true;
    rows.steps[3].in = {2, 3, 4};
    rows.steps[3].out = {5};
    CHECK(live_rows(rows) == 2);
    RowForm form;
    form.pack = static_cast<int>(16 / size_of(t));
    form.packs = 8;
    form.reducers = {cat("Extreme<", device_type(t), ">"),
                     cat("Arith<", device_type(t), ", ", device_type(t), ">")};
    for (int kind = 0; kind < 4; ++kind) {
      CAPTURE(kind);
      form.splits = kind == 1 ? 2 : kind == 2 ? 4 : 1;
      form.in_warp = kind != 2;
      form.full = kind == 1;
      if (kind == 3) {
        form.whole_rows = true;
        for (std::string& r : form.reducers) r = cat("LogSumExp<", device_type(t), ">");
      }
      const Source source = print_rows(rows, form);
      REQUIRE(!source.text.empty());
      CHECK_NOTHROW(compile_source(source, 90));
    }
  }
}
