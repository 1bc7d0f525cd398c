// Writes the programs that are compiled with the library: files of kernels for nvcc, and the table
// in which the backend finds them. Run by cmake/Cuda.cmake: precompile FOLDER.
//
// What is here runs without NVRTC, and without its pause: each function and cast alone, for any
// layout (of which longer programs are put together until they are compiled as one), and the common
// ones in packs as well.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "legato/backends/cuda/print.h"
#include "legato/base/error.h"
#include "legato/fuse/functions.h"
#include "legato/fuse/lane_program.h"
#include "legato/ops/pointwise/scalar.h"

namespace legato {
namespace {

using cuda::Access;
using cuda::Variant;
using fuse::FnId;
using fuse::Program;

template <class... Fs>
std::vector<int> arities(pointwise::List<Fs...>) {
  return {Fs::arity...};
}

bool is_one_of(const char* name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const char* n) { return std::string_view(n) == name; });
}
/// Functions whose result is bool.
bool is_test(const char* name) {
  return is_one_of(name, {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
                          "isnan", "isinf", "isfinite", "isneginf", "isposinf", "signbit",
                          "logical_and", "logical_or", "logical_xor", "logical_not"});
}
/// Functions that programs of one are worth compiling in packs for.
bool is_common(const char* name) {
  return is_one_of(
      name, {"add",     "subtract", "multiply", "divide",  "maximum",    "minimum", "negative",
             "abs",     "square",   "sqrt",     "rsqrt",   "reciprocal", "exp",     "log",
             "sigmoid", "tanh",     "less",     "greater", "equal",      "where"});
}

struct Files {
  std::map<std::string, std::string> text;  // by image
  struct Row {
    uint64_t hash, key;
    std::string image;
    int number, packs;
  };
  std::vector<Row> rows;

  void add(const std::string& image, const Program& p, const Variant& v) {
    const int n_in = static_cast<int>(p.inputs.size());
    const uint64_t hash = cuda::structure_hash(p), key = v.key(n_in);
    for (const Row& r : rows)
      if (r.hash == hash && r.key == key) return;
    const int number = static_cast<int>(rows.size());
    const cuda::Source s = cuda::print_program(p, v, cat("program", number).c_str());
    text[image] += s.text;
    rows.push_back({hash, key, image, number, s.packs});
  }
};

Variant packs(const Program& p, const std::string& access) {
  int64_t widest = 1;
  for (Dtype t : p.inputs) widest = std::max(widest, size_of(t));
  for (uint16_t o : p.outputs) widest = std::max(widest, size_of(p.dtype_of_value(o)));
  Variant v;
  v.pack = static_cast<int>(16 / widest);
  for (size_t i = 0; i < access.size(); ++i)
    v.access[i] = access[i] == 'D' ? Access::dense : Access::scalar;
  return v;
}

// One function of operands of type `t`, some of them literals.
std::unique_ptr<Program> with_literals(FnId fn, Dtype t, Dtype result, int arity, int literal) {
  auto p = std::make_unique<Program>();
  fuse::Instr s;
  s.fn = fn;
  s.compute = compute_dtype(t);
  s.dtype = result;
  s.n_src = static_cast<uint8_t>(arity);
  p->literals = {t};
  uint16_t next = 0;
  for (int i = 0; i < arity; ++i)
    s.src[i] = i == literal ? static_cast<uint16_t>(arity - 1) : next++;
  p->inputs.assign(static_cast<size_t>(arity - 1), t);
  p->instrs.push_back(s);
  p->outputs = {static_cast<uint16_t>(arity)};
  return p;
}

bool exists(FnId fn, Dtype t, int arity) try {
  const std::vector<Dtype> in(static_cast<size_t>(arity), t);
  fuse::lower(*cuda::single_program(fn, t, t, in));
  return true;
} catch (const InternalError&) {  // the lowering's word for a function that does not exist
  return false;
}

void collect(Files& files) {
  const std::vector<int> arity = arities(pointwise::AllFunctions{});
  const Dtype all[] = {Dtype::float32, Dtype::float64, Dtype::int32,  Dtype::int64,
                       Dtype::uint8,   Dtype::bool_,   Dtype::uint32, Dtype::int8,
                       Dtype::int16,   Dtype::uint16,  Dtype::uint64};
  for (FnId fn = 1; fn < fuse::fn_count(); ++fn) {
    const char* name = fuse::fn_name(fn);
    const int n = arity[fn];
    for (Dtype t : all) {
      if (!exists(fn, t, n)) continue;
      const Dtype result = is_test(name) ? Dtype::bool_ : t;
      const bool where = is_one_of(name, {"where"});
      auto single = [&](Dtype stored, Dtype to, Dtype form = Dtype::float32) {
        std::vector<Dtype> in(static_cast<size_t>(n), stored);
        if (where) in[0] = Dtype::bool_;
        return cuda::single_program(fn, compute_dtype(stored), to, in, form);
      };
      const std::string image = cat("programs_", t == Dtype::float32   ? "f32"
                                                 : t == Dtype::float64 ? "f64"
                                                                       : "int");
      auto p = single(t, result);
      files.add(image, *p, Variant::general(n));
      if (t == Dtype::float32)
        for (Dtype half : {Dtype::float16, Dtype::bfloat16})
          if (const Dtype form = fuse::half_form(fn, half); is_half(form))
            files.add(image, *single(t, t, form), Variant::general(n));
      if (!is_common(name)) continue;
      for (Dtype stored : {t, Dtype::float16, Dtype::bfloat16}) {
        if (compute_dtype(stored) != t || t == Dtype::uint8 || t == Dtype::bool_ ||
            t > Dtype::float64)
          continue;
        if (is_integer(t) && t != Dtype::int32) continue;
        const Dtype to = is_test(name) ? Dtype::bool_ : stored;
        const std::string common = "programs_common";
        auto q = single(stored, to);
        const std::string d(static_cast<size_t>(n), 'D');
        files.add(common, *q, packs(*q, d));
        if (n == 2) {
          files.add(common, *q, packs(*q, "DS"));
          files.add(common, *q, packs(*q, "SD"));
          for (int literal = 0; literal < 2; ++literal) {
            auto l = with_literals(fn, stored, to, n, literal);
            files.add(common, *l, packs(*l, "D"));
          }
        }
      }
    }
  }
  const Dtype stored[] = {Dtype::bool_,  Dtype::uint8,   Dtype::uint16,   Dtype::uint32,
                          Dtype::uint64, Dtype::int8,    Dtype::int16,    Dtype::int32,
                          Dtype::int64,  Dtype::float16, Dtype::bfloat16, Dtype::float32,
                          Dtype::float64};
  const Dtype frequent[] = {Dtype::float32, Dtype::float16, Dtype::bfloat16, Dtype::int32,
                            Dtype::bool_};
  for (Dtype from : stored)
    for (Dtype to : stored) {
      if (from == to) continue;
      auto p = cuda::single_program(fuse::kCastFn, compute_dtype(from), to, {&from, 1});
      files.add("programs_cast", *p, Variant::general(1));
      auto has = [&](Dtype t) {
        return std::find(std::begin(frequent), std::end(frequent), t) != std::end(frequent);
      };
      if (has(from) && has(to)) files.add("programs_common", *p, packs(*p, "D"));
    }
}

void write(const std::string& path, const std::string& text) {
  // Unchanged files keep their time, so that nothing is compiled anew.
  std::ifstream in(path, std::ios::binary);
  const std::string old(std::istreambuf_iterator<char>(in), {});
  if (in && old == text) return;
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace
}  // namespace legato

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  legato::Files files;
  legato::collect(files);
  for (auto& [image, text] : files.text)
    legato::write(
        legato::cat(folder, "/", image, ".cu"),
        legato::cat("// Written by tools/cuda/precompile.\n#pragma nv_diag_suppress 177, 186\n",
                    legato::cuda::prelude(true), text));
  std::sort(files.rows.begin(), files.rows.end(), [](const auto& a, const auto& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.key < b.key;
  });
  std::string table =
      "// Written by tools/cuda/precompile.\n#include \"legato/backends/cuda/parts.h\"\n"
      "namespace legato::cuda {\nconst Precompiled kPrecompiled[] = {\n";
  for (const auto& r : files.rows)
    table += legato::cat("  {", r.hash, "u, ", r.key, "u, \"", r.image, "\", ", r.number, ", ",
                         r.packs, "},\n");
  table += legato::cat("};\nconst int kPrecompiledCount = ", files.rows.size(),
                       ";\n}  // namespace legato::cuda\n");
  legato::write(folder + "/cuda_programs.gen.cpp", table);
  std::cout << files.rows.size() << " programs\n";
  return 0;
} catch (const std::exception& e) {
  std::cerr << "precompile: " << e.what() << "\n";
  return 1;
}
