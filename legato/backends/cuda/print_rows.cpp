#include "legato/backends/cuda/print_rows.h"

#include <algorithm>

#include "legato/base/error.h"

namespace legato::cuda {

namespace {

constexpr int kLongest = 16384;  // instructions, about: what is compiled in a second or two

class RowPrinter {
 public:
  RowPrinter(const RowCall& call, const RowForm& form) : c_(call), f_(form) {
    int in = 0, out = 0;
    for (const RowValue& v : call.values) {
      index_.push_back(!v.made ? in++ : v.stored ? out++ : -1);
      loaded_.push_back(v.made);
    }
    n_in_ = in;
    n_out_ = out;
    for (const RowStep& step : call.steps) {
      pick_.push_back(n_picks_);
      n_picks_ += step.picks();
    }
  }

  Source print() {
    std::string elements;
    uint32_t rare = 0;
    int64_t cost = 0;
    bool language = false;
    for (size_t s = 0; s < c_.steps.size(); ++s) {
      const RowStep& step = c_.steps[s];
      if (!step.program) continue;
      const Element e =
          print_element(*step.program, cat("element", s).c_str(), n_literals_, "Params", step.wide);
      n_literals_ += static_cast<int>(step.program->literals.size());
      elements += e.text;
      rare |= e.rare;
      language |= e.language;
      cost += int64_t{e.cost} * (step.wide ? f_.pack * f_.packs : 1);
    }
    if (cost > kLongest) return {};
    print_body();
    const auto n_reductions = static_cast<int>(f_.reducers.size());
    std::string text =
        cat("namespace legato::program_ {\nstruct Params {\n  int64_t rows, packs, group;\n");
    if (n_in_) text += cat("  const void* in[", n_in_, "];\n  int64_t stride[", n_in_, "];\n");
    if (n_out_) text += cat("  void* out[", n_out_, "];\n");
    if (n_literals_) text += cat("  uint64_t lit[", n_literals_, "][2];\n");
    text += cat("  cuda::RowReduction reduction[", n_reductions, "];\n");
    if (n_picks_) text += cat("  cuda::RowPick pick[", n_picks_, "];\n");
    text += "};\n";
    for (int r = 0; r < n_reductions; ++r)
      text += cat("using F", r, " = cuda::", f_.reducers[static_cast<size_t>(r)], ";\n");
    text += cat(rare_functions(rare), elements,
                "LEGATO_KERNEL(program, Params, cuda::kReduceThreads) {\n"
                "  constexpr int K = ",
                f_.packs, ", V = ", f_.pack, ";\n  using Thread = cuda::RowThread<", f_.splits,
                f_.in_warp ? ", true" : ", false", f_.full ? ", true" : ", false",
                ">;\n  auto t = Thread::of((int)p.group);\n"
                "  const int64_t row = (int64_t)blockIdx.x * cuda::over(cuda::kReduceThreads, "
                "t.threads()) + cuda::over((int)threadIdx.x, t.threads());\n"
                "  if (row < p.rows) t.packs = (int)p.packs;\n"
                "  const int64_t read = row < p.rows ? row : p.rows - 1;\n",
                out_, "}\n}\n");
    return {language, std::move(text), 1,
            f_.whole_rows ? Source::Around::rows : Source::Around::reduction};
  }

 private:
  const RowValue& value(uint32_t v) const { return c_.values[v]; }
  const char* type(uint32_t v) const { return device_type(value(v).dtype); }
  static const char* unroll() { return "#pragma unroll\n"; }
  std::string each_pack() const {
    return cat(unroll(), "  for (int u = 0; u < K; ++u) {\n    const int j = t.pack<V>(u);\n");
  }
  // Note [Unconditional loads]: a thread that has no pack, or no row, reads another one and does
  // nothing with it. Under a condition the compiler unpacks bfloat16 beside each load, and so waits
  // for one load before it starts the next.
  std::string pack_of(uint32_t v) const {
    return cat("load_pack<", type(v), ", V>((const ", type(v), "*)p.in[", index_[v], "]",
               value(v).row_stride ? cat(" + read * p.stride[", index_[v], "]") : "",
               " + (uint32_t)(t.within(j) * V));\n");
  }

  // Brings what is read for the first time to registers. A row that all rows share comes from the
  // cache, and is loaded where it is used.
  bool in_place(uint32_t v) const {
    return !value(v).made && value(v).wide && value(v).row_stride == 0;
  }
  void load(uint32_t v) {
    if (loaded_[v] || in_place(v)) return;
    loaded_[v] = true;
    if (value(v).wide)
      out_ += cat("  Pack<", type(v), ", V> v", v, "[K];\n", each_pack(), "    v", v,
                  "[u] = ", pack_of(v), "  }\n");
    else
      out_ += cat("  const ", type(v), " v", v, " = *((const ", type(v), "*)p.in[", index_[v],
                  "] + read * p.stride[", index_[v], "]);\n");
  }
  void load_in_place(uint32_t v) {
    out_ += cat("    const Pack<", type(v), ", V> v", v, " = ", pack_of(v));
  }
  void store(uint32_t v) {
    if (!value(v).stored) return;
    const std::string to = cat("(", type(v), "*)p.out[", index_[v], "] + row");
    if (value(v).wide)
      out_ += cat(each_pack(), "    if (t.has(j)) store_pack<", type(v), ", V>(", to,
                  " * (p.packs * V) + (uint32_t)(j * V), v", v, "[u]);\n  }\n");
    else
      out_ += cat("  if (t.speaks()) *(", to, ") = v", v, ";\n");
  }

  void print_body() {
    int reduction = 0;
    bool begun = false;  // loads of rows
    for (size_t s = 0; s < c_.steps.size(); ++s) {
      const RowStep& step = c_.steps[s];
      if (step.picks()) {
        if (in_memory(step)) continue;
        load(step.in[1]);
        print_pick(s);
      } else {
        for (uint32_t v : step.in) load(v);
        if (!begun) print_early_picks();
        begun = true;
        step.program ? print_program(step, s) : print_reduction(step, reduction++);
      }
      for (uint32_t v : step.out) store(v);
    }
    for (const RowStep& step : c_.steps)
      if (in_memory(step)) store(step.out[0]);
  }

  // Elements that are picked of rows in memory are asked for right behind the first rows, and
  // stored at the end: nobody waits for them.
  bool in_memory(const RowStep& step) const {
    return step.picks() && !value(step.in[0]).made && !value(step.in[1]).made;
  }
  void print_early_picks() {
    for (const RowStep& step : c_.steps)
      if (in_memory(step)) load(step.in[1]);
    for (size_t s = 0; s < c_.steps.size(); ++s)
      if (in_memory(c_.steps[s])) print_pick(s);
  }
  void print_pick(size_t s) {
    const uint32_t in = c_.steps[s].in[0], index = c_.steps[s].in[1], out = c_.steps[s].out[0];
    out_ += cat("  const int at", out, " = cuda::row_place(p.pick[", pick_[s], "], v", index,
                ", (int)p.packs * V, t.speaks());\n");
    if (value(in).made)
      out_ += cat("  __shared__ ", type(in), " memory", out, "[cuda::kReduceThreads];\n  const ",
                  type(out), " v", out, " = cuda::pick_of_row<", type(in), ", V, K>(v", in,
                  ", t, at", out, ", memory", out, ");\n");
    else
      out_ += cat("  const ", type(out), " v", out, " = ((const ", type(in), "*)p.in[", index_[in],
                  "] + read * p.stride[", index_[in], "])[at", out, "];\n");
  }

  void print_program(const RowStep& step, size_t s) {
    if (!step.wide) {
      for (uint32_t v : step.out) out_ += cat("  ", type(v), " v", v, ";\n");
      out_ += cat("  element", s, "(p");
      for (const auto* list : {&step.in, &step.out})
        for (uint32_t v : *list) out_ += cat(", v", v);
      out_ += ");\n";
      return;
    }
    for (uint32_t v : step.out) out_ += cat("  Pack<", type(v), ", V> v", v, "[K];\n");
    out_ += each_pack();
    for (uint32_t v : step.in)
      if (in_place(v)) load_in_place(v);
    for (uint32_t v : step.out)
      out_ += cat("    ", device_type(compute_dtype(value(v).dtype)), " y", v, "[V];\n");
    out_ += cat(unroll(), "    for (int i = 0; i < V; ++i) element", s, "(p");
    for (uint32_t v : step.in)
      out_ += cat(", v", v, !value(v).wide ? "" : in_place(v) ? ".at[i]" : "[u].at[i]");
    for (uint32_t v : step.out) out_ += cat(", y", v, "[i]");
    out_ += ");\n";
    for (uint32_t v : step.out)
      out_ += cat("    v", v, "[u] = cuda::as_stored<", type(v), ">(y", v, ");\n");
    out_ += "  }\n";
  }

  void print_reduction(const RowStep& step, int r) {
    const uint32_t in = step.in[0], out = step.out[0];
    const std::string f = cat("F", r);
    out_ += cat("  ", type(out), " v", out, ";\n  {\n    using T = typename ", f,
                "::T;\n    Pack<T, V> w[K];\n", each_pack());
    if (in_place(in)) load_in_place(in);
    out_ += cat(unroll(), "    for (int i = 0; i < V; ++i) w[u].at[i] = __builtin_bit_cast(T, v",
                in, in_place(in) ? "" : "[u]",
                ".at[i]);\n  }\n    constexpr int bytes = cuda::row_memory<", f,
                ", V, K, Thread>();\n    __shared__ __attribute__((aligned(16))) unsigned char "
                "memory[bytes];\n"
                "    v",
                out, " = __builtin_bit_cast(", type(out), ", cuda::reduce_row<", f,
                ", V, K>(p.reduction[", r, "], w, t, memory));\n  }\n");
  }

  const RowCall& c_;
  const RowForm& f_;
  std::vector<int> index_;    // of each value: which in[] or out[] it is
  std::vector<bool> loaded_;  // whether it is in registers
  std::vector<int> pick_;     // of each step that picks: which of them it is
  int n_in_ = 0, n_out_ = 0, n_literals_ = 0, n_picks_ = 0;
  std::string out_;
};

}  // namespace

Source print_rows(const RowCall& call, const RowForm& form) {
  return RowPrinter(call, form).print();
}

int live_rows(const RowCall& call) {
  const size_t n = call.values.size();
  std::vector<int> first(n, -1), last(n, -1);
  for (size_t s = 0; s < call.steps.size(); ++s)
    for (const auto* list : {&call.steps[s].in, &call.steps[s].out})
      for (uint32_t v : *list) {
        if (call.steps[s].picks() && !call.values[v].made) continue;  // from memory
        if (first[v] < 0) first[v] = static_cast<int>(s);
        last[v] = static_cast<int>(s);
      }
  int most = 0;
  for (size_t s = 0; s < call.steps.size(); ++s) {
    int live = 0;
    for (size_t v = 0; v < n; ++v) {
      const RowValue& value = call.values[v];
      const bool kept = value.wide && (value.made || value.row_stride != 0);
      live += kept && first[v] <= static_cast<int>(s) && static_cast<int>(s) <= last[v];
    }
    most = std::max(most, live);
  }
  return most;
}

}  // namespace legato::cuda
