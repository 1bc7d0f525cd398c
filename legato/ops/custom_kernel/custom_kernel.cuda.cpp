// Kernels that users write: the function around their source, compiling, and launching.
#include "legato/ops/custom_kernel/custom_kernel.cuh"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "legato/backends/cuda/kit.h"
#include "legato/backends/cuda/nvrtc.h"
#include "legato/base/error.h"
#include "legato/ops/custom_kernel/ops.h"
#include "legato/ops/custom_kernel/prelude.h"

namespace legato::cuda {
namespace {

const char* type_name(Dtype t) {
  constexpr const char* names[kDtypeCount] = {
      "bool",          "uint8_t", "uint16_t", "uint32_t",    "uint64_t",
      "int8_t",        "int16_t", "int32_t",  "int64_t",     "__half",
      "__nv_bfloat16", "float",   "double",   "complex64_t", "complex128_t"};
  return names[static_cast<int>(t)];
}

bool is_word(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Whether the text has this identifier, not as a part of a longer one.
bool mentions(const std::string& text, const std::string& name) {
  for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end])))
      return true;
  }
  return false;
}

// What of an input's layout a kernel gets.
struct Wants {
  bool shape, strides, ndim;
};
Wants wants(const KernelText& text, const std::string& input, size_t ndim) {
  if (ndim == 0) return {false, false, false};
  return {mentions(text.source, input + "_shape"), mentions(text.source, input + "_strides"),
          mentions(text.source, input + "_ndim")};
}

std::string text_of(const TemplateArgument& a) {
  if (auto* dtype = std::get_if<Dtype>(&a)) return type_name(*dtype);
  if (auto* truth = std::get_if<bool>(&a)) return *truth ? "true" : "false";
  return cat(std::get<int64_t>(a));
}
const char* kind_of(const TemplateArgument& a) {
  return std::holds_alternative<Dtype>(a)  ? "typename"
         : std::holds_alternative<bool>(a) ? "bool"
                                           : "int";
}

bool uses_headers(const KernelText& t) {
  return mentions(t.header, "include") || mentions(t.source, "include");
}

// The program after the prelude: the user's header, the user's source as the body of a function
// template, and a kernel that calls it with what lies in its one parameter.
std::string program_text(const CustomKernel& k, const Launch& l, int64_t threads) {
  const KernelText& t = *k.text;
  std::string parameters, arguments, fields;
  auto parameter = [&](const std::string& type, const std::string& name, const std::string& from) {
    parameters += cat(parameters.empty() ? "" : ", ", type, " ", name);
    arguments += cat(arguments.empty() ? "" : ", ", from);
  };
  for (size_t i = 0; i < t.inputs.size(); ++i) {
    const std::string& name = t.inputs[i];
    const char* type = type_name(l.in[i].dtype);
    const size_t ndim = l.in[i].ndim();
    parameter(cat("const ", type, "*"), name, cat("static_cast<const ", type, "*>(p.in[", i, "])"));
    const Wants w = wants(t, name, ndim);
    if (w.strides) {
      fields += cat("  Sizes<int64_t, ", ndim, "> strides", i, ";\n");
      parameter(cat("const Sizes<int64_t, ", ndim, ">&"), name + "_strides", cat("p.strides", i));
    }
    if (w.shape) {
      fields += cat("  alignas(8) Sizes<int32_t, ", ndim, "> shape", i, ";\n");
      parameter(cat("const Sizes<int32_t, ", ndim, ">&"), name + "_shape", cat("p.shape", i));
    }
    if (w.ndim) parameter("const int", name + "_ndim", cat(ndim));
  }
  for (size_t o = 0; o < t.outputs.size(); ++o) {
    const char* type = type_name(l.out[o].dtype);
    parameter(cat(type, "*"), t.outputs[o], cat("static_cast<", type, "*>(p.out[", o, "])"));
  }
  std::string declared, given;
  for (auto& [name, value] : k.call.template_arguments) {
    declared += cat(declared.empty() ? "template <" : ", ", kind_of(value), " ", name);
    given += cat(given.empty() ? "<" : ", ", text_of(value));
  }
  if (!declared.empty()) {
    declared += ">\n";
    given += ">";
  }
  std::string out;
  if (!t.header.empty())
    out = cat("#line 1 \"", t.name, "_header\"\n", t.header, "\n#line 1 \"legato\"\n");
  out += cat(declared, "LEGATO_DEVICE void ", t.name, "(", parameters, ") {\n#line 1 \"", t.name,
             "\"\n", t.source, "\n#line 1 \"legato\"\n}\nstruct Params {\n");
  if (!t.inputs.empty()) out += cat("  const void* in[", t.inputs.size(), "];\n");
  out += cat("  void* out[", t.outputs.size(), "];\n", fields, "};\nLEGATO_KERNEL(custom_", t.name,
             ", Params, ", threads, ") {\n  ", t.name, given, "(", arguments, ");\n}\n");
  return out;
}

// The words of Params, in the order in which program_text() declares them.
std::vector<uint64_t> parameter_words(const KernelText& t, const Launch& l) {
  std::vector<uint64_t> words;
  auto put = [&](auto v) { words.push_back(static_cast<uint64_t>(v)); };
  for (const View& in : l.in) put(reinterpret_cast<uint64_t>(in.data));
  for (const View& out : l.out) put(reinterpret_cast<uint64_t>(out.data));
  for (size_t i = 0; i < t.inputs.size(); ++i) {
    const Wants w = wants(t, t.inputs[i], l.in[i].ndim());
    if (w.strides)
      for (int64_t s : *l.in[i].strides) put(s);
    if (w.shape) {
      uint64_t word = 0;
      bool half = false;
      for (int64_t s : *l.in[i].shape) {
        if (s > INT32_MAX)
          throw ValueError(cat("cuda_kernel ", t.name, ": an axis of ", t.inputs[i], " has size ",
                               s, ", and ", t.inputs[i], "_shape holds 32-bit numbers"));
        word |= static_cast<uint64_t>(s) << (half ? 32 : 0);
        if (half) put(std::exchange(word, 0));
        half = !half;
      }
      if (half) put(word);
    }
  }
  return words;
}

// By what the compiled code differs between calls of one kernel.
std::string variant_key(const CustomKernel& k, const Launch& l, int device, int64_t threads) {
  std::string key = cat(device, " ", threads);
  for (auto views : {l.in, l.out})
    for (const View& v : views) key += cat(" ", static_cast<int>(v.dtype), ".", v.ndim());
  for (auto& [name, value] : k.call.template_arguments) key += cat(" ", name, "=", text_of(value));
  return key;
}

// Programs of all kernels by their text, so that a kernel that is made anew for each call is loaded
// once.
CUfunction load_program(GpuDevice& device, const std::string& source, const KernelText& t) {
  static std::mutex& lock = *new std::mutex;
  static auto& known = *new std::map<std::string, CUfunction>;
  const std::string key = cat(device.index(), "\n", source);
  std::lock_guard guard(lock);
  CUfunction& f = known[key];
  if (!f) {
    try {
      const std::string code = compile_user_source(
          cat(kPreludeMacros, uses_headers(t) ? kPreludeHeaders : "", kPreludeTypes, source),
          device.capability(), uses_headers(t),
          cat("cuda_kernel ", t.name, " (lines are those of its source, and of ", t.name,
              "_header)"));
      f = device.load(code.data(), cat("custom_", t.name).c_str());
    } catch (...) {
      known.erase(key);
      throw;
    }
  }
  return f;
}

CUfunction function_of(GpuDevice& device, const CustomKernel& k, const Launch& l) {
  const KernelText& t = *k.text;
  int64_t threads = 1;
  for (size_t i = 0; i < 3; ++i) threads *= k.call.threadgroup[i];
  threads = std::min<int64_t>(
      1024,
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(threads, 32)))));
  std::lock_guard guard(t.lock);
  if (!t.code.empty()) {
    void*& f = t.compiled[cat(device.index())];
    if (!f) f = device.load(t.code.c_str(), t.name.c_str());
    return static_cast<CUfunction>(f);
  }
  const std::string key = variant_key(k, l, device.index(), threads);
  void*& f = t.compiled[key];
  if (!f || k.call.verbose) {
    const std::string source = program_text(k, l, threads);
    if (k.call.verbose) {
      std::fprintf(stdout, "%s\n", source.c_str());
      std::fflush(stdout);
    }
    if (!f) f = load_program(device, source, t);
  }
  return static_cast<CUfunction>(f);
}

void fill(const View& v, double value) {
  FillParams p{v.data, v.size, {}};
  store_scalar(Scalar(value), v.dtype, p.value);
  launch_over("custom_kernel", cat("fill_", size_of(v.dtype)), v.size, p);
}

void run(Launch& l) {
  const CustomKernel& k = *l.attrs<CustomKernelAttrs>().kernel;
  GpuDevice& device = current();
  if (k.call.init_value)
    for (const View& out : l.out) fill(out, *k.call.init_value);
  GpuDevice::Grid grid{};
  for (size_t i = 0; i < 3; ++i) {
    const int64_t n = k.call.grid[i], group = k.call.threadgroup[i];
    if (n == 0) return;
    grid.threads[i] = static_cast<unsigned>(std::min(group, n));
    grid.blocks[i] = static_cast<unsigned>((n + group - 1) / group);
  }
  grid.shared_bytes = static_cast<unsigned>(k.text->shared_memory);
  const CUfunction f = function_of(device, k, l);
  std::string what = cat("launching the kernel ", k.text->name);
  if (grid.shared_bytes) what += cat(" with ", grid.shared_bytes, " bytes of shared memory");
  remember_user_kernel(k.text->name);
  if (k.text->code.empty()) {
    std::vector<uint64_t> words = parameter_words(*k.text, l);
    void* arguments[] = {words.data()};
    return device.launch(f, grid, arguments, what.c_str());
  }
  // Compiled code has a parameter for each pointer and scalar.
  std::vector<uint64_t> values;
  for (const View& in : l.in) values.push_back(reinterpret_cast<uint64_t>(in.data));
  for (const View& out : l.out) values.push_back(reinterpret_cast<uint64_t>(out.data));
  for (const Scalar& s : k.scalars) {
    const Dtype t = s.kind == Scalar::Kind::boolean ? Dtype::bool_
                    : s.kind == Scalar::Kind::real  ? Dtype::float32
                                                    : Dtype::int32;
    uint64_t word[2] = {};
    store_scalar(s, t, word);
    values.push_back(word[0]);
  }
  std::vector<void*> arguments;
  for (uint64_t& v : values) arguments.push_back(&v);
  device.launch(f, grid, arguments.data(), what.c_str());
}

}  // namespace

void register_custom_kernel_kernels(KernelTable& table) {
  add_kernels(table, op_named("cuda_kernel"), AllTypes{},
              [](auto) { return Kernel{run, AcceptLayout::any}; });
}

}  // namespace legato::cuda
