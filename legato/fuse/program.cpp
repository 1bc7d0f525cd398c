#include "legato/fuse/program.h"

#include <string_view>
#include <unordered_map>

#include "legato/base/error.h"
#include "legato/fuse/functions.h"

namespace legato::fuse {
namespace {

#define LEGATO_POINTWISE_NAME(type, name) #name,
constexpr const char* kNames[] = {LEGATO_POINTWISE_FUNCTIONS(LEGATO_POINTWISE_NAME)};
#undef LEGATO_POINTWISE_NAME

}  // namespace

FnId find_fn(const char* name) {
  static const auto* ids = [] {
    auto* m = new std::unordered_map<std::string_view, FnId>;
    for (int i = 0; i < pointwise::kFunctionCount; ++i) m->emplace(kNames[i], static_cast<FnId>(i));
    return m;
  }();
  auto found = ids->find(name);
  if (found == ids->end())
    throw InternalError(
        cat("there is no pointwise function \"", name, "\" in legato/fuse/functions.h"));
  return found->second;
}

const char* fn_name(FnId fn) {
  LEGATO_CHECK(fn < pointwise::kFunctionCount, "pointwise function number out of range");
  return kNames[fn];
}

int fn_count() { return pointwise::kFunctionCount; }

Dtype Program::dtype_of_value(int v) const {
  size_t i = static_cast<size_t>(v);
  if (i < inputs.size()) return inputs[i];
  i -= inputs.size();
  if (i < literals.size()) return literals[i];
  return instrs[i - literals.size()].dtype;
}

std::string Program::to_string() const {
  std::string out;
  size_t v = 0;
  for (Dtype t : inputs) out += cat("%", v++, " = input ", t, "\n");
  for (Dtype t : literals) out += cat("%", v++, " = literal ", t, "\n");
  for (const Instr& s : instrs) {
    out += cat("%", v++, " = ", fn_name(s.fn));
    for (int i = 0; i < s.n_src; ++i) out += cat(i ? ", %" : " %", s.src[i]);
    out += cat(" : ", s.compute);
    if (s.dtype != s.compute) out += cat(" -> ", s.dtype);
    if (is_half(s.form)) out += cat(" for ", s.form);
    out += '\n';
  }
  out += "store";
  for (size_t i = 0; i < outputs.size(); ++i) out += cat(i ? ", %" : " %", outputs[i]);
  out += '\n';
  return out;
}

Program::~Program() {
  for (auto& c : compiled) delete c.load(std::memory_order_acquire);
}

}  // namespace legato::fuse
