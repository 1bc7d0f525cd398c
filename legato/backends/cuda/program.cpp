#include "legato/backends/cuda/program.h"

#include <algorithm>
#include <cstring>

#include "legato/backends/cuda/nvrtc.h"
#include "legato/base/error.h"
#include "legato/fuse/functions.h"

namespace legato::cuda {

extern const char kScalarLanguage[];  // cmake/Cuda.cmake

namespace {

using fuse::Instr;
using fuse::Program;

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 32;
constexpr int kMaxPack = 8;
constexpr int64_t kPackBytes = 16;  // what one load instruction moves at most

#define LEGATO_STRUCT_NAME(type, name) #type,
constexpr const char* kStructs[] = {LEGATO_POINTWISE_FUNCTIONS(LEGATO_STRUCT_NAME)};
#undef LEGATO_STRUCT_NAME

bool strided(char access) { return access != 'S' && access != 'D'; }

/// The kernels of one program, by variant and device.
class Kernels final : public fuse::CompiledProgram {
 public:
  ~Kernels() override {
    for (auto& e : entries_) {
      try {
        device(e.device).synchronize();
        driver().cuModuleUnload(e.module);
      } catch (const Error&) {  // the device is lost, and the module with it
      }
    }
  }
  CUfunction find(GpuDevice& d, const Program& program, const Variant& variant) {
    const std::string key = variant.key();
    std::lock_guard lock(lock_);
    for (auto& e : entries_)
      if (e.device == d.index() && e.key == key) return e.function;
    const std::string code = compile_source(program_source(program, variant), d.capability());
    Entry e{d.index(), key, nullptr, nullptr};
    check(driver().cuModuleLoadData(&e.module, code.data()), "loading a compiled program");
    check(driver().cuModuleGetFunction(&e.function, e.module, "program"),
          "finding a compiled program");
    entries_.push_back(e);
    return e.function;
  }

 private:
  struct Entry {
    int device;
    std::string key;
    CUmodule module;
    CUfunction function;
  };
  std::mutex lock_;
  std::vector<Entry> entries_;  // guarded by lock_
};

Kernels& kernels_of(const Program& program) {
  auto& slot = const_cast<Program&>(program).compiled[2];
  fuse::CompiledProgram* known = slot.load(std::memory_order_acquire);
  if (!known) {
    auto made = std::make_unique<Kernels>();
    if (slot.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel))
      known = made.release();
  }
  return *static_cast<Kernels*>(known);
}

/// Prints the function that computes one element, and the kernel around it.
class Printer {
 public:
  Printer(const Program& program, const Variant& variant) : p_(program), v_(variant) {}

  std::string print() {
    out_ = "namespace legato {\nusing namespace pointwise;\n";
    print_params();
    print_element();
    out_ += "}\n";
    print_kernel();
    return std::move(out_);
  }

 private:
  const char* type_of(int value) const { return device_type(p_.dtype_of_value(value)); }
  int n_in() const { return static_cast<int>(p_.inputs.size()); }
  int n_lit() const { return static_cast<int>(p_.literals.size()); }
  int n_out() const { return static_cast<int>(p_.outputs.size()); }
  const char* in_type(int i) const { return device_type(p_.inputs[static_cast<size_t>(i)]); }
  const char* out_type(int o) const { return type_of(p_.outputs[static_cast<size_t>(o)]); }
  char access(int i) const { return v_.access[static_cast<size_t>(i)]; }

  void print_params() {
    const auto n_strided = std::count_if(v_.access.begin(), v_.access.end(), strided);
    out_ += "struct Params {\n";
    if (n_in()) out_ += cat("  const void* in[", n_in(), "];\n");
    out_ += cat("  void* out[", n_out(), "];\n");
    if (n_lit()) out_ += cat("  uint64_t lit[", 2 * n_lit(), "];\n");
    out_ += cat("  int64_t n, size[", v_.axes, "];\n");
    if (n_strided) out_ += cat("  int64_t stride[", n_strided, "][", v_.axes, "];\n");
    out_ += "};\n";
  }

  void print_element() {
    out_ += "LEGATO_INLINE void element(const Params& p";
    for (int i = 0; i < n_in(); ++i) out_ += cat(", Reg<", in_type(i), "> v", i);
    for (int o = 0; o < n_out(); ++o) out_ += cat(", ", out_type(o), "& o", o);
    out_ += ") {\n";
    for (int l = 0; l < n_lit(); ++l) {
      const Dtype t = compute_dtype(p_.literals[static_cast<size_t>(l)]);
      out_ += cat("  const auto v", n_in() + l, " = load(*reinterpret_cast<const ", device_type(t),
                  "*>(p.lit + ", 2 * l, "));\n");
    }
    int v = n_in() + n_lit();
    for (const Instr& s : p_.instrs) {
      out_ += cat("  const auto v", v++, " = ");
      if (s.fn == fuse::kCastFn) {
        out_ +=
            cat(is_half(s.dtype) ? "cast<" : "as<", device_type(s.dtype), ">(v", s.src[0], ");\n");
        continue;
      }
      const std::string name = kStructs[s.fn];
      out_ += cat("as<", device_type(s.dtype), ">(", name, "::apply(");
      for (int i = 0; i < s.n_src; ++i) {
        if (i) out_ += ", ";
        if (name == "Where" && i == 0)
          out_ += cat("as_mask(as<bool>(v", s.src[0], "))");
        else
          out_ += cat("as<", device_type(s.compute), ">(v", s.src[i], ")");
      }
      out_ += "));\n";
    }
    for (int o = 0; o < n_out(); ++o)
      out_ += cat("  o", o, " = store<", out_type(o), ">(v", p_.outputs[static_cast<size_t>(o)],
                  ");\n");
    out_ += "}\n";
  }

  void print_kernel() {
    out_ += cat("using namespace legato;\nLEGATO_KERNEL(program, Params, ", kThreads, ") {\n");
    out_ += v_.wide ? "  using Index = uint64_t; using Offset = int64_t;\n"
                    : "  using Index = uint32_t; using Offset = int32_t;\n";
    out_ +=
        cat("  const Index items = static_cast<Index>(p.n) / ", v_.pack,
            ", step = static_cast<Index>(gridDim.x) * blockDim.x;\n"
            "  const Index first = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;\n");
    for (int i = 0; i < n_in(); ++i)
      if (access(i) == 'S')
        out_ += cat("  const auto s", i, " = load(*static_cast<const ", in_type(i), "*>(p.in[", i,
                    "]));\n");
    out_ += "  for (Index item = first; item < items; item += step) {\n";
    out_ += cat("    const Index at = item * ", v_.pack, ";\n");
    print_offsets();
    print_pack(v_.pack);
    out_ += "  }\n";
    // What no pack holds; with strided operands the pack divides the innermost axis.
    if (v_.pack > 1 && std::none_of(v_.access.begin(), v_.access.end(), strided)) {
      out_ += cat("  const Index at = items * ", v_.pack,
                  " + first;\n  if (at < static_cast<Index>(p.n)) {\n");
      print_pack(1);
      out_ += "  }\n";
    }
    out_ += "}\n";
  }

  void print_offsets() {
    int k = 0;
    std::string update;
    for (int i = 0; i < n_in(); ++i) {
      if (!strided(access(i))) continue;
      out_ += cat("    Offset a", i, " = 0;\n");
      update +=
          cat("a", i, " += static_cast<Offset>(x) * static_cast<Offset>(p.stride[", k++, "][@]); ");
    }
    if (update.empty()) return;
    out_ += "    Index rest = at;\n";
    for (int axis = v_.axes - 1; axis >= 0; --axis) {
      std::string line = update;
      for (size_t at; (at = line.find('@')) != std::string::npos;)
        line.replace(at, 1, std::to_string(axis));
      if (axis > 0)
        out_ += cat("    { const Index size = static_cast<Index>(p.size[", axis,
                    "]), next = rest / size, x = rest - next * size; rest = next; ", line, "}\n");
      else
        out_ += cat("    { const Index x = rest; ", line, "}\n");
    }
  }

  void print_pack(int pack) {
    for (int i = 0; i < n_in(); ++i) {
      const std::string from = cat("static_cast<const ", in_type(i), "*>(p.in[", i, "])");
      if (access(i) == 'D')
        out_ += cat("    const auto x", i, " = load_pack<", in_type(i), ", ", pack, ">(", from,
                    " + at);\n");
      else if (access(i) == 'R')
        out_ += cat("    const auto x", i, " = load_pack<", in_type(i), ", ", pack, ">(", from,
                    " + a", i, ");\n");
      else if (access(i) == 'B')
        out_ += cat("    const auto s", i, " = load(", from, "[a", i, "]);\n");
    }
    for (int o = 0; o < n_out(); ++o)
      out_ += cat("    Pack<", out_type(o), ", ", pack, "> y", o, ";\n");
    if (pack > 1) out_ += "#pragma unroll\n";
    out_ += cat("    for (int j = 0; j < ", pack, "; ++j) element(p");
    int k = 0;
    for (int i = 0; i < n_in(); ++i) {
      const char a = access(i);
      if (a == 'S' || a == 'B')
        out_ += cat(", s", i);
      else if (a == 'G')
        out_ += cat(
            ", load(static_cast<const ", in_type(i), "*>(p.in[", i, "])[a", i,
            pack > 1 ? cat(" + j * static_cast<Offset>(p.stride[", k, "][", v_.axes - 1, "])") : "",
            "])");
      else
        out_ += cat(", load(x", i, ".at[j])");
      if (strided(a)) ++k;
    }
    for (int o = 0; o < n_out(); ++o) out_ += cat(", y", o, ".at[j]");
    out_ += ");\n";
    for (int o = 0; o < n_out(); ++o)
      out_ +=
          cat("    store_pack(static_cast<", out_type(o), "*>(p.out[", o, "]) + at, y", o, ");\n");
  }

  const Program& p_;
  const Variant& v_;
  std::string out_;
};

}  // namespace

const char* device_type(Dtype t) {
  constexpr const char* names[kDtypeCount] = {
      "bool",    "uint8_t", "uint16_t", "uint32_t", "uint64_t", "int8_t", "int16_t", "int32_t",
      "int64_t", "f16",     "bf16",     "float",    "double",   "c64",    "c128"};
  return names[static_cast<int>(t)];
}

std::string Variant::key() const { return cat(pack, ".", axes, wide ? "w" : "n", access); }

Walk plan_walk(const fuse::ProgramCall& call) {
  const Program& program = *call.program;
  const size_t n_in = call.inputs.size();
  Walk w;
  w.n = 1;
  for (int64_t s : call.shape) w.n *= s;
  w.strides.resize(n_in);

  // Axes merge where every operand steps through both as through one.
  for (size_t axis = 0; axis < call.shape.size(); ++axis) {
    const int64_t size = call.shape[axis];
    if (size == 1) continue;
    bool joins = !w.sizes.empty();
    for (size_t i = 0; i < n_in && joins; ++i)
      joins = w.strides[i].back() == call.inputs[i].strides[axis] * size;
    if (joins)
      w.sizes.back() *= size;
    else
      w.sizes.push_back(size);
    for (size_t i = 0; i < n_in; ++i) {
      if (joins)
        w.strides[i].back() = call.inputs[i].strides[axis];
      else
        w.strides[i].push_back(call.inputs[i].strides[axis]);
    }
  }
  if (w.sizes.empty()) {
    w.sizes.push_back(1);
    for (auto& s : w.strides) s.push_back(0);
  }
  const size_t last = w.sizes.size() - 1;

  // Packs: as wide as one load of the largest element allows, and as addresses and sizes do.
  int64_t largest = 1;
  for (Dtype t : program.inputs) largest = std::max(largest, size_of(t));
  for (uint16_t o : program.outputs)
    largest = std::max(largest, size_of(program.dtype_of_value(o)));
  int pack = static_cast<int>(std::min<int64_t>(kMaxPack, kPackBytes / largest));
  auto is_scalar = [&](size_t i) {
    return std::all_of(w.strides[i].begin(), w.strides[i].end(), [](int64_t s) { return s == 0; });
  };
  auto is_dense = [&](size_t i) {
    int64_t step = 1;
    for (size_t axis = last + 1; axis-- > 0; step *= w.sizes[axis])
      if (w.strides[i][axis] != step) return false;
    return true;
  };
  auto aligned = [&](const void* p, Dtype t) {
    return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(pack * size_of(t)) == 0;
  };
  auto suits = [&] {
    for (size_t o = 0; o < call.outputs.size(); ++o)
      if (!aligned(call.outputs[o], program.dtype_of_value(program.outputs[o]))) return false;
    for (size_t i = 0; i < n_in; ++i) {
      if (is_scalar(i)) continue;
      if (is_dense(i)) {
        if (!aligned(call.inputs[i].data, program.inputs[i])) return false;
      } else if (w.sizes[last] % pack != 0) {
        return false;
      }
    }
    return true;
  };
  while (pack > 1 && !suits()) pack /= 2;

  int64_t farthest = w.n;
  for (size_t i = 0; i < n_in; ++i) {
    Access a = Access::gather;
    if (is_scalar(i)) {
      a = Access::scalar;
    } else if (is_dense(i)) {
      a = Access::dense;
    } else if (w.strides[i][last] == 0) {
      a = Access::splat;
    } else if (w.strides[i][last] == 1 && pack > 1 &&
               aligned(call.inputs[i].data, program.inputs[i]) &&
               std::all_of(w.strides[i].begin(), w.strides[i].end() - 1,
                           [&](int64_t s) { return s % pack == 0; })) {
      a = Access::row;
    }
    w.variant.access += static_cast<char>(a);
    int64_t reach = 0;
    for (size_t axis = 0; axis <= last; ++axis)
      reach += (w.sizes[axis] - 1) * std::abs(w.strides[i][axis]);
    farthest = std::max(farthest, reach);
  }
  w.variant.pack = pack;
  w.variant.axes = static_cast<int>(w.sizes.size());
  w.variant.wide = farthest > INT32_MAX - kThreads * kMaxPack;
  if (std::none_of(w.variant.access.begin(), w.variant.access.end(), strided)) {
    w.sizes = {w.n};  // the shape plays no part
    w.variant.axes = 1;
  }
  return w;
}

std::string program_source(const fuse::Program& program, const Variant& variant) {
  return kScalarLanguage + Printer(program, variant).print();
}

void run_program(GpuDevice& device, const fuse::ProgramCall& call) {
  const Walk w = plan_walk(call);
  if (w.n == 0) return;
  CUfunction f = kernels_of(*call.program).find(device, *call.program, w.variant);

  // The fields of Params, as program_source() declares them.
  std::vector<uint64_t> params;
  params.reserve(64);
  for (auto& in : call.inputs) params.push_back(reinterpret_cast<uint64_t>(in.data));
  for (void* out : call.outputs) params.push_back(reinterpret_cast<uint64_t>(out));
  for (auto& literal : call.literals) {
    uint64_t words[2];
    std::memcpy(words, literal.bytes, sizeof words);
    params.insert(params.end(), words, words + 2);
  }
  auto put = [&](int64_t v) { params.push_back(static_cast<uint64_t>(v)); };
  put(w.n);
  for (int64_t s : w.sizes) put(s);
  for (size_t i = 0; i < w.strides.size(); ++i)
    if (strided(w.variant.access[i]))
      for (int64_t s : w.strides[i]) put(s);

  const int64_t items = w.n / w.variant.pack, needed = (items + kThreads - 1) / kThreads;
  const int64_t most = int64_t{device.multiprocessors()} * kBlocksPerMultiprocessor;
  device.launch(f, std::clamp<int64_t>(needed, 1, most), kThreads, params.data(),
                "launching a program");
}

}  // namespace legato::cuda
