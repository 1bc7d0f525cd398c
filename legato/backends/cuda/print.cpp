#include "legato/backends/cuda/print.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include "legato/backends/cuda/print_tiles.h"
#include "legato/base/error.h"

namespace legato::cuda {

// Both are written by cmake/Cuda.cmake: element.cuh with element_math.cuh, and all of
// the scalar language behind them.
extern const char kElementText[];
extern const char kScalarLanguage[];
extern const char kLaneText[];       // lane.cuh, which the scalar language contains
extern const char kReductionText[];  // reduction.cuh and the reducers of the families
extern const char kRowText[];        // reducers that go by whole rows

namespace {

using fuse::Instr;
using fuse::Program;

// Note [Bytes in flight]: a thread that has 16 bytes of its widest operand in flight, in blocks
// that cover the work exactly, reaches the bandwidth of a copy; more is no better. On an H100, 4e8
// bytes to 4e8 bytes: one pack of 16 bytes 0.271 ms, four of them 0.274, grid-stride loops
// 0.279-0.292, a copy 0.274; single float32 0.363, four of them 0.276; single halves 0.588, eight
// of them 0.281. Where a pack is many instructions, threads are on their way to memory for a part
// of the time only, and more bytes make up for it: erf's gelu of float32 0.304, 0.286 and 0.277 ms
// with one, two and four packs, of float16 0.152, 0.140 and 0.143.
//
// Small arrays have a pack a thread all the same: the kernel sees it by its grid.
constexpr int64_t kFlightBytes = 16;
struct Flight {
  int64_t cost,
      bytes;  // instructions of a pack, from which on a thread reads so many bytes at once
};
constexpr Flight kLongFlights[] = {{300, 64}, {160, 32}};
constexpr int kMostPacks = 8;
// Instructions, so that the kernel compiles fast; the second one of packs for a longer flight.
constexpr int kBodyBudget = 512, kLongBudget = 1536;

// --- the kernel around it

class KernelPrinter {
 public:
  KernelPrinter(const Program& program, const Variant& variant, const char* name)
      : p_(program), v_(variant), name_(name) {}

  Source print() {
    const Element element =
        print_element(p_, "element", 0, v_.same_literals ? "Literals" : "Params", true);
    language_ = element.language;
    const int cost = element.cost;
    out_ = cat("namespace legato::", name_, "_ {\nstruct Params {\n", print_fields(p_, v_), "};\n");
    print_many_params();
    out_ += rare_functions(element.rare) + element.text;
    if (v_.tiled) return {language_, out_ + tile_kernel(p_, v_, name_, cost) + "}\n", 1};
    packs_ = kMostPacks;
    while (packs_ > 1 && packs_ * v_.pack * widest() > kFlightBytes) packs_ /= 2;
    while (packs_ > 1 && packs_ * v_.pack * cost > kBodyBudget) packs_ /= 2;
    if (v_.pack > 1 && v_.room < 0) lengthen_flight(cost);
    print_kernel();
    out_ += "}\n";
    return {language_, std::move(out_), packs_};
  }

 private:
  int n_in() const { return static_cast<int>(p_.inputs.size()); }
  int n_out() const { return static_cast<int>(p_.outputs.size()); }
  Dtype in_dtype(int i) const { return p_.inputs[static_cast<size_t>(i)]; }
  Dtype out_dtype(int o) const { return p_.dtype_of_value(p_.outputs[static_cast<size_t>(o)]); }
  const char* in_type(int i) const { return device_type(in_dtype(i)); }
  const char* out_type(int o) const { return device_type(out_dtype(o)); }
  const char* register_type(int o) const { return device_type(compute_dtype(out_dtype(o))); }
  bool dense() const { return !v_.strided(n_in()); }
  int64_t widest() const {
    int64_t bytes = 1;
    for (Dtype t : p_.inputs) bytes = std::max(bytes, size_of(t));
    for (int o = 0; o < n_out(); ++o) bytes = std::max(bytes, size_of(out_dtype(o)));
    return bytes;
  }

  // Note [Bytes in flight]
  void lengthen_flight(int64_t cost) {
    int64_t bytes = 0;  // of a pack of each operand
    for (int i = 0; i < n_in(); ++i)
      if (v_.access[i] != Access::scalar && v_.access[i] != Access::splat)
        bytes += v_.pack * size_of(in_dtype(i));
    for (const Flight& f : kLongFlights) {
      if (v_.pack * cost < f.cost || bytes == 0) continue;
      while (2 * packs_ * bytes <= f.bytes && 2 * packs_ * v_.pack * cost <= kLongBudget)
        packs_ *= 2;
      return;
    }
  }

  // Note [Many calls]
  void print_many_params() {
    if (v_.room < 0) return;
    if (v_.same_literals)
      out_ += cat("struct Literals {\n  uint64_t lit[", p_.literals.size(), "][2];\n};\n");
    const int calls = layout_of_many(p_, v_).calls;
    out_ +=
        cat("struct Many {\n  uint64_t count;\n", v_.same_literals ? "  Literals literals;\n" : "",
            "  Params call[", calls, "];\n  uint32_t first[", calls, "];\n};\n");
  }

  std::string pointer(int i) const { return cat("((const ", in_type(i), "*)p.in[", i, "])"); }

  // How a pack goes to and from memory: by one instruction.
  void print_pack_type(const char* name, int k, Dtype t, bool pairs = false) {
    const int64_t bytes = std::min<int64_t>(16, size_of(t) * v_.pack);
    out_ += cat("struct alignas(", bytes, ") ", name, k, " { ", pairs ? "uint32_t" : device_type(t),
                " at[", pairs ? v_.pack / 2 : v_.pack, "]; };\n");
  }
  std::string word(Dtype t) const {
    const int64_t bytes = size_of(t) * v_.pack;
    return v_.pack == 1  ? ""
           : bytes == 16 ? "uint4"
           : bytes == 8  ? "uint2"
           : bytes == 4  ? "uint32_t"
           : bytes == 2  ? "uint16_t"
                         : "";
  }
  std::string loaded(int i, const std::string& at) const {
    const std::string w = word(in_dtype(i));
    if (w.empty()) return cat("*(const X", i, "*)(", pointer(i), " + ", at, ")");
    return cat("LEGATO_LOAD(X", i, ", ", w, ", ", pointer(i), " + ", at, ")");
  }

  void print_input_types() {
    for (int i = 0; i < n_in(); ++i)
      if (v_.access[i] != Access::scalar && v_.access[i] != Access::splat)
        print_pack_type("X", i, in_dtype(i));
  }
  void print_index_types() {
    out_ += v_.wide ? "  using Index = uint64_t;\n" : "  using Index = uint32_t;\n";
    if (!dense()) out_ += v_.wide ? "  using Offset = int64_t;\n" : "  using Offset = int32_t;\n";
  }

  void print_kernel() {
    print_input_types();
    for (int o = 0; o < n_out(); ++o)
      print_pack_type("Y", o, out_dtype(o), is_half(out_dtype(o)) && v_.pack > 1);
    const bool many = v_.room >= 0;
    out_ +=
        cat("LEGATO_KERNEL(", name_, many ? ", Many, " : ", Params, ", kProgramThreads, ") {\n");
    if (many) print_choice();
    print_index_types();
    out_ += cat("  const Index n = (Index)p.n, items = (n + ", v_.pack - 1, ") / ", v_.pack, ";\n");
    if (may_be_single())
      out_ += cat("  const bool single = (Index)gridDim.x * ", kProgramThreads, " >= items;\n");
    out_ +=
        cat("  const Index first = (Index)", many ? "(blockIdx.x - many.first[low])" : "blockIdx.x",
            " * ", may_be_single() ? cat("(single ? ", kProgramThreads, " : ") : "(",
            kProgramThreads * packs_, ") + threadIdx.x;\n");
    print_inputs();
    if (n_in()) {
      open_loop();
      print_offsets();
      print_loads();
      out_ += "  }\n";
    }
    open_loop();
    print_compute();
    out_ += many ? "  }\n  }\n}\n" : "  }\n}\n";
  }

  // Which call this block belongs to: the last one whose first block is not behind it.
  void print_choice() {
    out_ +=
        "  const Many& many = p;\n  unsigned low = 0, high = (unsigned)p.count;\n"
        "  while (high - low > 1) {\n    const unsigned middle = (low + high) / 2;\n"
        "    if (p.first[middle] <= blockIdx.x) low = middle; else high = middle;\n  }\n"
        "  {\n  const Params& p = many.call[low];\n";
  }

  void print_inputs() {
    for (int i = 0; i < n_in(); ++i) {
      if (v_.access[i] == Access::scalar)
        out_ += cat("  const ", in_type(i), " x", i, " = *", pointer(i), ";\n");
      else if (v_.access[i] == Access::splat)
        out_ += cat("  ", in_type(i), " x", i, "[", packs_, "];\n");
      else
        out_ += cat("  X", i, " x", i, "[", packs_, "];\n");
    }
  }
  void print_operands() {
    for (int i = 0; i < n_in(); ++i)
      out_ += v_.access[i] == Access::scalar  ? cat(", x", i)
              : v_.access[i] == Access::splat ? cat(", x", i, "[u]")
                                              : cat(", x", i, "[u].at[j]");
  }

  // Whether the grid may be one of a pack a thread.
  bool may_be_single() const { return packs_ > 1 && v_.room < 0; }

  void open_loop() {
    if (packs_ > 1) out_ += "#pragma unroll\n";
    out_ += cat("  for (int u = 0; u < ", packs_, "; ++u) {\n    const Index item = first + u * ",
                kProgramThreads, ", at = item * ", v_.pack, ";\n    if (item >= items",
                may_be_single() ? " || (u && single)" : "", ") ",
                packs_ > 1 ? "continue" : "return", ";\n");
  }

  void print_offsets() {
    std::string declared, step, last;
    int k = 0;
    for (int i = 0; i < n_in(); ++i) {
      if (!is_strided(v_.access[i])) continue;
      declared += cat(declared.empty() ? "    Offset a" : ", a", i, " = 0");
      step += cat(" a", i, " += (Offset)x * (Offset)p.stride[", k, "][k];");
      last += cat(" a", i, " += (Offset)rest * (Offset)p.stride[", k, "][k];");
      ++k;
    }
    if (declared.empty()) return;
    out_ += cat(declared, ";\n    Index rest = at;\n    int k = 0;\n#pragma unroll 1\n",
                "    for (; k + 1 < (int)p.axes; ++k) {\n      const Index next = ",
                v_.wide ? "rest / p.size[k]"
                        : "((Index)(((uint64_t)rest * p.magic[k]) >> 32) + rest) >> p.shift[k]",
                ", x = rest - next * (Index)p.size[k];\n      rest = next;", step, "\n    }\n   ",
                last, "\n");
  }

  // The last pack of a dense program may be shorter than the others: it goes element by element.
  bool partial() const { return v_.pack > 1 && dense(); }

  void print_loads() {
    std::string whole;
    int k = 0;
    for (int i = 0; i < n_in(); ++i) {
      switch (v_.access[i]) {
        case Access::scalar:
        case Access::turned:  // of tiles
        case Access::each:    // of reductions
        case Access::single:  // likewise
          break;
        case Access::dense:
          whole += cat("      x", i, "[u] = ", loaded(i, "at"), ";\n");
          break;
        case Access::row:
          whole += cat("      x", i, "[u] = ", loaded(i, cat("a", i)), ";\n");
          break;
        case Access::splat:
          whole += cat("      x", i, "[u] = ", pointer(i), "[a", i, "];\n");
          break;
        case Access::gather:
          if (v_.pack == 1)
            whole += cat("      x", i, "[u].at[0] = ", pointer(i), "[a", i, "];\n");
          else
            whole +=
                cat("#pragma unroll\n      for (int j = 0; j < ", v_.pack, "; ++j) x", i,
                    "[u].at[j] = ", pointer(i), "[a", i, " + j * (Offset)p.stride[", k, "][0]];\n");
          break;
      }
      if (is_strided(v_.access[i])) ++k;
    }
    if (whole.empty()) return;
    out_ += partial() ? cat("    if (at + ", v_.pack, " <= n) {\n", whole, "    }\n") : whole;
  }

  std::string target(int o) const { return cat("((", out_type(o), "*)p.out[", o, "])"); }

  void print_compute() {
    if (partial()) out_ += cat("    if (at + ", v_.pack, " <= n) {\n");
    for (int o = 0; o < n_out(); ++o)
      out_ += cat("    ", register_type(o), " y", o, "[", v_.pack, "];\n");
    if (v_.pack > 1) out_ += "#pragma unroll\n";
    out_ += cat("    for (int j = 0; j < ", v_.pack, "; ++j) element(",
                v_.same_literals ? "many.literals" : "p");
    print_operands();
    for (int o = 0; o < n_out(); ++o) out_ += cat(", y", o, "[j]");
    out_ += ");\n";
    for (int o = 0; o < n_out(); ++o) print_store(o);
    if (!partial()) return;
    out_ += "    } else {\n#pragma unroll 1\n      for (Index j = at; j < n; ++j) {\n";
    for (int o = 0; o < n_out(); ++o) out_ += cat("        ", register_type(o), " y", o, ";\n");
    out_ += cat("        element(", v_.same_literals ? "many.literals" : "p");
    for (int i = 0; i < n_in(); ++i)
      out_ += v_.access[i] == Access::scalar ? cat(", x", i) : cat(", ", pointer(i), "[j]");
    for (int o = 0; o < n_out(); ++o) out_ += cat(", y", o);
    out_ += ");\n";
    for (int o = 0; o < n_out(); ++o)
      out_ += cat("        ", target(o), "[j] = ", rounded(out_dtype(o), cat("y", o)), ";\n");
    out_ += "      }\n    }\n";
  }
  // Halves are rounded in pairs.
  void print_store(int o) {
    const std::string w = word(out_dtype(o)), to = cat(target(o), " + at");
    if (is_half(out_dtype(o)) && v_.pack > 1)
      out_ += cat("    Y", o, " z", o, ";\n#pragma unroll\n    for (int j = 0; j < ", v_.pack / 2,
                  "; ++j) z", o, ".at[j] = two_halves(", out_type(o), "{}, y", o, "[2 * j], y", o,
                  "[2 * j + 1]);\n");
    else
      out_ += cat("    Y", o, " z", o, ";\n", v_.pack > 1 ? "#pragma unroll\n" : "",
                  "    for (int j = 0; j < ", v_.pack, "; ++j) z", o,
                  ".at[j] = ", rounded(out_dtype(o), cat("y", o, "[j]")), ";\n");
    out_ += w.empty() ? cat("    *(Y", o, "*)(", to, ") = z", o, ";\n")
                      : cat("    LEGATO_STORE(Y", o, ", ", w, ", ", to, ", z", o, ");\n");
  }

  const Program& p_;
  const Variant& v_;
  const char* name_;
  int packs_ = 1;
  bool language_ = false;  // it calls functions of the scalar language
  std::string out_;
};

}  // namespace

const char* device_type(Dtype t) {
  constexpr const char* names[kDtypeCount] = {
      "bool",    "uint8_t", "uint16_t", "uint32_t", "uint64_t", "int8_t", "int16_t", "int32_t",
      "int64_t", "f16",     "bf16",     "float",    "double",   "c64",    "c128"};
  return names[static_cast<int>(t)];
}

std::string rounded(Dtype stored, const std::string& value) {
  return stored == Dtype::float16    ? cat("to_f16(", value, ")")
         : stored == Dtype::bfloat16 ? cat("to_bf16(", value, ")")
                                     : value;
}

bool Variant::strided(int n_in) const { return std::any_of(access, access + n_in, is_strided); }

uint64_t Variant::key(int n_in) const {
  uint64_t k = 0;
  for (int i = 0; i < n_in; ++i) k |= static_cast<uint64_t>(access[i]) << (3 * i);
  static_assert(3 * fuse::kMaxInputs <= 48);
  return k | static_cast<uint64_t>(pack) << 48 | uint64_t{wide} << 56 |
         static_cast<uint64_t>(room + 1) << 57 | uint64_t{same_literals} << 60 |
         uint64_t{tiled} << 61;
}

std::string Variant::text(int n_in) const {
  std::string s;
  for (int i = 0; i < n_in; ++i) s += "SDRBGTEM"[static_cast<int>(access[i])];
  return cat(s, " ", pack, wide ? " wide" : "", room >= 0 ? " many" : tiled ? " tiled" : "");
}

ManyLayout layout_of_many(const Program& program, const Variant& v) {
  const auto n_in = static_cast<int>(program.inputs.size()),
             n_out = static_cast<int>(program.outputs.size()),
             literals = 2 * static_cast<int>(program.literals.size());
  const auto strided = static_cast<int>(std::count_if(v.access, v.access + n_in, is_strided));
  ManyLayout m;
  m.call_words = n_in + n_out + (v.same_literals ? 0 : literals) + 1;
  if (strided && v.wide) m.call_words += 1 + kProgramAxes + strided * kProgramAxes;
  if (strided && !v.wide) m.call_words += 1 + 3 * kProgramAxes / 2 + strided * kProgramAxes / 2;
  m.first_call = 1 + (v.same_literals ? literals : 0);
  // `first` follows the calls; the whole is a multiple of 8 bytes.
  m.calls = (kRooms[v.room] - 8 * m.first_call - 4) / (8 * m.call_words + 4);
  return m;
}

Magic division_by(uint32_t d) {
  const auto shift = static_cast<uint32_t>(std::bit_width(d - 1));
  const uint64_t over = (uint64_t{1} << shift) - d;
  return {static_cast<uint32_t>((over << 32) / d + 1), shift};
}

Variant Variant::general(int n_in) {
  Variant v;
  v.wide = true;
  std::fill_n(v.access, n_in, Access::gather);
  return v;
}

std::string print_fields(const Program& p, const Variant& v) {
  const auto n_in = static_cast<int>(p.inputs.size());
  const auto n_strided = std::count_if(v.access, v.access + n_in, is_strided);
  std::string out;
  if (n_in) out += cat("  const void* in[", n_in, "];\n");
  out += cat("  void* out[", p.outputs.size(), "];\n");
  if (!p.literals.empty() && !v.same_literals)
    out += cat("  uint64_t lit[", p.literals.size(), "][2];\n");
  if (v.tiled) return out + tile_fields(static_cast<int>(n_strided));
  out += "  uint64_t n;\n";
  if (n_strided && v.wide)
    out += cat("  int64_t axes;\n  uint64_t size[8];\n  int64_t stride[", n_strided, "][8];\n");
  else if (n_strided)
    out += cat("  int64_t axes;\n  uint32_t size[8], magic[8], shift[8];\n  int32_t stride[",
               n_strided, "][8];\n");
  static_assert(kProgramAxes == 8);
  return out;
}

Source print_program(const Program& program, const Variant& variant, const char* name) {
  return KernelPrinter(program, variant, name).print();
}

std::unique_ptr<Program> single_program(fuse::FnId fn, Dtype compute, Dtype result,
                                        std::span<const Dtype> inputs, Dtype form) {
  auto p = std::make_unique<Program>();
  p->inputs.assign(inputs.begin(), inputs.end());
  Instr s;
  s.fn = fn;
  s.compute = compute;
  s.dtype = result;
  s.form = form;
  for (; s.n_src < inputs.size(); ++s.n_src) s.src[s.n_src] = s.n_src;
  p->instrs.push_back(s);
  p->outputs = {static_cast<uint16_t>(inputs.size())};
  return p;
}

const char* prelude(bool language) { return language ? kScalarLanguage : kElementText; }
std::string prelude(const Source& source) {
  std::string text = prelude(source.language);
  if (source.around == Source::Around::nothing) return text;
  if (!source.language) text += kLaneText;
  text += kReductionText;
  if (source.around == Source::Around::rows) text += kRowText;
  return text;
}

uint64_t structure_hash(const Program& p) {
  uint64_t h = 0xcbf29ce484222325ull;
  auto add = [&](uint64_t v) {
    h = (h ^ v) * 0xff51afd7ed558ccdull;
    h ^= h >> 32;
  };
  add(p.inputs.size());
  for (Dtype t : p.inputs) add(static_cast<uint64_t>(t));
  add(p.literals.size());
  for (Dtype t : p.literals) add(static_cast<uint64_t>(t));
  for (const Instr& s : p.instrs) {
    add(static_cast<uint64_t>(s.form) << 40 | uint64_t{s.fn} << 24 |
        static_cast<uint64_t>(s.compute) << 16 | static_cast<uint64_t>(s.dtype) << 8 | s.n_src);
    for (int i = 0; i < s.n_src; ++i) add(s.src[i]);
  }
  for (uint16_t o : p.outputs) add(uint64_t{o} << 32);
  return h;
}

}  // namespace legato::cuda
