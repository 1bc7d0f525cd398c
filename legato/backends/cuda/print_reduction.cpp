#include "legato/backends/cuda/print_reduction.h"

#include "legato/base/error.h"

namespace legato::cuda {

namespace {

using fuse::Program;

constexpr int kLongest = 8192;  // instructions, about: what is compiled in a second

// The source of elements (reduction.cuh) that computes them.
class SourcePrinter {
 public:
  SourcePrinter(const Program& p, const Variant& v, const ReductionForm& form)
      : p_(p), v_(v), form_(form) {}

  Source print() {
    const Element element = print_element(p_, "element", 0);
    // A thread has four packs of a row or eight of columns in flight, and a few elements beside.
    const bool columns = form_.kernel == ReductionKernel::columns_packed;
    if (element.cost * (v_.pack > 1 ? (columns ? 8 : 4) * v_.pack + 2 : 10) > kLongest) return {};
    out_ = cat("namespace legato::program_ {\nstruct Params {\n  cuda::ReduceParams reduce;\n",
               print_fields(p_, v_), "};\n", rare_functions(element.rare), element.text);
    print_source();
    print_kernel();
    out_ += "}\n";
    return {element.language, std::move(out_), 1, Source::Around::reduction};
  }

 private:
  size_t n_in() const { return p_.inputs.size(); }
  size_t n_out() const { return p_.outputs.size(); }
  const char* in_type(size_t i) const { return device_type(p_.inputs[i]); }
  const char* out_type(size_t o) const { return device_type(p_.dtype_of_value(p_.outputs[o])); }
  bool stored(size_t o) const { return form_.stored >> o & 1; }
  std::string pointer(size_t i) const { return cat("((const ", in_type(i), "*)p.in[", i, "])"); }

  void print_source() {
    int walk = -1, packed = -1;
    switch (form_.kernel) {
      case ReductionKernel::rows_dense:
      case ReductionKernel::rows_packs:
      case ReductionKernel::rows_elements:
        walk = static_cast<int>(form_.kernel);
        break;
      case ReductionKernel::columns_single:
      case ReductionKernel::columns_packed:
        packed = form_.kernel == ReductionKernel::columns_packed;
        break;
      case ReductionKernel::short_rows:
        break;
    }
    out_ += cat("using F = cuda::", form_.reducer,
                ";\nstruct Computed {\n  using T = typename F::T;\n  static constexpr int kWalk = ",
                walk, ", kPacked = ", packed, ", kAxes = ", form_.one_axis ? 1 : 2,
                ";\n  const Params& p;\n  long long base;\n");
    for (size_t i = 0; i < n_in(); ++i)
      if (v_.access[i] == Access::scalar) out_ += cat("  ", in_type(i), " x", i, ";\n");
    out_ += "  LEGATO_INLINE Computed from(long long offset) const { return {p, base + offset";
    print_scalars("x", "");
    out_ +=
        "}; }\n  LEGATO_INLINE T one(long long at) const { return make<1>(at, fetch<1>(at)).at[0]; "
        "}\n  template <int N>\n  LEGATO_INLINE int behind(long long at) const {\n"
        "    return (int)(base + at) & (N - 1);\n  }\n";
    out_ += v_.wide ? "  using Index = uint64_t;\n  using Offset = int64_t;\n"
                    : "  using Index = uint32_t;\n  using Offset = int32_t;\n";
    print_fetch();
    print_make();
    out_ += "};\n";
  }

  // What is read for N elements, and how: all of it before any of it is used.
  void print_fetch() {
    out_ += "  template <int N>\n  struct Raw {\n";
    for (size_t i = 0; i < n_in(); ++i) {
      if (v_.access[i] == Access::scalar) continue;
      if (v_.access[i] == Access::splat)
        out_ += cat("    ", in_type(i), " x", i, ";\n");
      else
        out_ += cat("    Pack<", in_type(i), ", N> x", i, ";\n");
    }
    out_ +=
        "  };\n  template <int N>\n  LEGATO_INLINE Raw<N> fetch(long long at) const {\n"
        "    const Index q = (Index)(base + at);\n    Raw<N> r;\n";
    print_offsets(false);
    for (size_t i = 0; i < n_in(); ++i) print_load(i);
    bool each = false;
    for (size_t i = 0; i < n_in(); ++i) each |= v_.access[i] == Access::each;
    if (each) {
      out_ += "#pragma unroll\n    for (int j = 0; j < N; ++j) {\n";
      print_offsets(true);
      for (size_t i = 0; i < n_in(); ++i)
        if (v_.access[i] == Access::each)
          out_ += cat("      r.x", i, ".at[j] = ", pointer(i), "[a", i, "];\n");
      out_ += "    }\n";
    }
    out_ += "    return r;\n  }\n";
  }

  // The elements that come of it; those that others see are stored.
  void print_make() {
    out_ +=
        "  template <int N>\n  LEGATO_INLINE Pack<T, N> make(long long at, const Raw<N>& r) const "
        "{\n"
        "    Pack<T, N> result;\n";
    for (size_t o = 0; o < n_out(); ++o)
      if (stored(o)) out_ += cat("    Pack<", out_type(o), ", N> y", o, ";\n");
    out_ += "#pragma unroll\n    for (int j = 0; j < N; ++j) {\n";
    for (size_t o = 0; o < n_out(); ++o) out_ += cat("      ", out_type(o), " o", o, ";\n");
    out_ += "      element(p";
    for (size_t i = 0; i < n_in(); ++i) out_ += operand(i);
    for (size_t o = 0; o < n_out(); ++o) out_ += cat(", o", o);
    out_ += cat(");\n      result.at[j] = __builtin_bit_cast(T, o", form_.output, ");\n");
    for (size_t o = 0; o < n_out(); ++o)
      if (stored(o)) out_ += cat("      y", o, ".at[j] = o", o, ";\n");
    out_ += "    }\n";
    for (size_t o = 0; o < n_out(); ++o)
      if (stored(o))
        out_ += cat("    store_pack<", out_type(o), ", N>((", out_type(o), "*)p.out[", o,
                    "] + (base + at), y", o, ");\n");
    out_ += "    return result;\n  }\n";
  }

  void print_scalars(const char* before, const char* after) {
    for (size_t i = 0; i < n_in(); ++i)
      if (v_.access[i] == Access::scalar) out_ += cat(", ", before, i, after);
  }

  // Positions of operands that are read by their strides: of the pack, or of each element.
  void print_offsets(bool each) {
    const char* in = each ? "      " : "    ";
    std::string declared, step, last;
    int k = 0;
    for (size_t i = 0; i < n_in(); ++i) {
      if (!is_strided(v_.access[i])) continue;
      if ((v_.access[i] == Access::each) == each) {
        declared += cat(declared.empty() ? "Offset a" : ", a", i, " = 0");
        step += cat(" a", i, " += (Offset)x * (Offset)p.stride[", k, "][k];");
        last += cat(" a", i, " += (Offset)rest * (Offset)p.stride[", k, "][k];");
      }
      ++k;
    }
    if (declared.empty()) return;
    out_ += cat(in, declared, ";\n", in, "{\n", in, "  Index rest = q", each ? " + j" : "", ";\n",
                in, "  int k = 0;\n#pragma unroll 1\n", in,
                "  for (; k + 1 < (int)p.axes; ++k) {\n", in, "    const Index next = ",
                v_.wide ? "rest / p.size[k]"
                        : "((Index)(((uint64_t)rest * p.magic[k]) >> 32) + rest) >> p.shift[k]",
                ", x = rest - next * (Index)p.size[k];\n", in, "    rest = next;", step, "\n", in,
                "  }\n", in, " ", last, "\n", in, "}\n");
  }

  void print_load(size_t i) {
    auto loop = [&](const std::string& at) {
      out_ += cat("#pragma unroll\n    for (int j = 0; j < N; ++j) r.x", i, ".at[j] = ", pointer(i),
                  "[", at, "];\n");
    };
    auto whole = [&](const std::string& at) {
      out_ +=
          cat("    r.x", i, " = load_pack<", in_type(i), ", N>(", pointer(i), " + ", at, ");\n");
    };
    switch (v_.access[i]) {
      case Access::scalar:
      case Access::each:
      case Access::turned:  // of tiles
        break;
      case Access::dense:
        whole("q");
        break;
      case Access::row:
        whole(cat("a", i));
        break;
      case Access::splat:
        out_ += cat("    r.x", i, " = ", pointer(i), "[a", i, "];\n");
        break;
      case Access::gather: {
        int k = 0;
        for (size_t b = 0; b < i; ++b) k += is_strided(v_.access[b]);
        loop(cat("a", i, " + j * (Offset)p.stride[", k, "][0]"));
        break;
      }
      case Access::single:
        loop("q + j");
        break;
    }
  }
  std::string operand(size_t i) const {
    switch (v_.access[i]) {
      case Access::scalar:
        return cat(", x", i);
      case Access::splat:
        return cat(", r.x", i);
      default:
        return cat(", r.x", i, ".at[j]");
    }
  }

  void print_kernel() {
    out_ +=
        cat("LEGATO_KERNEL(program, Params, cuda::kReduceThreads) {\n"
            "  __shared__ __attribute__((aligned(16))) unsigned char memory[");
    const char* call = "reduce_rows";
    switch (form_.kernel) {
      case ReductionKernel::columns_single:
      case ReductionKernel::columns_packed:
        out_ += "cuda::kColumnsMemory<F>";
        call = "reduce_columns";
        break;
      case ReductionKernel::short_rows:
        out_ += "cuda::kShortMemory<typename F::T>";
        call = "reduce_short";
        break;
      default:
        out_ += "cuda::kRowsMemory";
    }
    out_ += cat("];\n  cuda::", call, "<F>(p.reduce, Computed{p, 0");
    for (size_t i = 0; i < n_in(); ++i)
      if (v_.access[i] == Access::scalar) out_ += cat(", *", pointer(i));
    out_ += "}, memory);\n}\n";
  }

  const Program& p_;
  const Variant& v_;
  const ReductionForm& form_;
  std::string out_;
};

}  // namespace

std::string ReductionForm::key() const {
  return cat(reducer, " ", static_cast<int>(kernel), " ", one_axis, " ", output, " ", stored);
}

Source print_reduction(const Program& program, const Variant& variant, const ReductionForm& form) {
  return SourcePrinter(program, variant, form).print();
}

}  // namespace legato::cuda
