#include "legato/op/registry.h"

#include <map>
#include <string>
#include <vector>

#include "legato/base/error.h"

namespace legato {

void register_all_families(Registry&);

namespace {

struct Tables {
  std::vector<const Op*> ops;
  std::vector<const Function*> functions;
  std::map<std::string, const Op*, std::less<>> op_names;
  std::map<std::string, const Function*, std::less<>> function_names;
};
Tables& tables() {
  static Tables& t = *new Tables;
  return t;
}

// Number of parameters in "a, /, axis=None, *, precise=False": separators don't count.
size_t count_params(std::string_view text) {
  size_t count = 0, depth = 0;
  bool in_name = false, counted = false;
  for (size_t i = 0; i <= text.size(); ++i) {
    char c = i < text.size() ? text[i] : ',';
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') --depth;
    if (c == ',' && depth == 0) {
      count += counted;
      in_name = counted = false;
    } else if (!in_name && c != ' ') {
      in_name = true;
      counted = !(c == '/' ||
                  (c == '*' && (i + 1 == text.size() || text[i + 1] == ',' || text[i + 1] == ' ')));
    }
  }
  return count;
}

}  // namespace

void Registry::add(const Op& op) {
  Tables& t = tables();
  LEGATO_CHECK(op.name && op.infer, "an op without a name or a shape rule");
  LEGATO_CHECK(op.derive.form != Derive::Form::expand || op.expand, op.name);
  LEGATO_CHECK(op.batch || op.expand, op.name);
  if (!t.op_names.emplace(op.name, &op).second)
    throw InternalError(cat("two ops are called ", op.name));
  op.id = static_cast<int32_t>(t.ops.size());
  t.ops.push_back(&op);
}

void Registry::add(const Function& f) {
  Tables& t = tables();
  if (count_params(f.params) != f.types.size())
    throw InternalError(cat(f.name, ": the parameter text \"", f.params, "\" does not name ",
                            f.types.size(), " parameters"));
  std::string name = *f.module ? cat(f.module, ".", f.name) : std::string(f.name);
  if (!t.function_names.emplace(name, &f).second)
    throw InternalError(cat("two functions are called ", name));
  t.functions.push_back(&f);
}

std::span<const Op* const> Registry::ops() const { return tables().ops; }
std::span<const Function* const> Registry::functions() const { return tables().functions; }

const Op* Registry::find_op(std::string_view name) const {
  auto it = tables().op_names.find(name);
  return it == tables().op_names.end() ? nullptr : it->second;
}
const Function* Registry::find_function(std::string_view name) const {
  auto it = tables().function_names.find(name);
  return it == tables().function_names.end() ? nullptr : it->second;
}

Registry& registry() {
  static Registry& r = []() -> Registry& {
    static Registry fresh;
    register_all_families(fresh);
    return fresh;
  }();
  return r;
}

}  // namespace legato
