// Reads the parameter text of a record, such as "a, /, axis=None, *, precise=False", into a plan.
#include <charconv>
#include <deque>
#include <map>
#include <mutex>

#include "legato/op/registry.h"
#include "python/bindings/dtypes.h"
#include "python/bindings/function.h"

namespace legato::python {
namespace {

std::string_view strip(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\n')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\n')) s.remove_suffix(1);
  return s;
}

// Splits at commas outside of brackets and quotes.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> out;
  int depth = 0;
  char quote = 0;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quote) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(' || c == '[') {
      ++depth;
    } else if (c == ')' || c == ']') {
      --depth;
    } else if (c == ',' && depth == 0) {
      out.push_back(strip(text.substr(start, i - start)));
      start = i + 1;
    }
  }
  if (auto last = strip(text.substr(start)); !last.empty()) out.push_back(last);
  return out;
}

[[noreturn]] void broken(const Function& f, std::string_view what) {
  throw InternalError(cat("the record of ", f.name, "(", f.params, "): ", what));
}

template <class T>
bool read_number(std::string_view text, T& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

Scalar read_default_scalar(const Function& f, std::string_view text) {
  int64_t i;
  double d;
  if (text == "True" || text == "False") return Scalar(text == "True");
  if (read_number(text, i)) return Scalar(i);
  if (read_number(text, d)) return Scalar(d);
  broken(f, cat("cannot read the default ", text));
}

Dims read_default_dims(const Function& f, std::string_view text) {
  Dims dims;
  if (!text.empty() && (text.front() == '(' || text.front() == '['))
    text = text.substr(1, text.size() - 2);
  for (std::string_view item : split(text)) {
    int64_t v;
    if (!read_number(item, v)) broken(f, cat("cannot read the default ", text));
    dims.push_back(v);
  }
  return dims;
}

Arg read_default(const Function& f, const ParamSpec& spec, std::string_view text) {
  if (text == "None") {
    if (!spec.optional)
      broken(f, "a default is None, but the C++ parameter is not a std::optional");
    return {};
  }
  switch (spec.type) {
    case ParamType::boolean:
      if (text != "True" && text != "False") broken(f, cat("cannot read the default ", text));
      return text == "True";
    case ParamType::integer: {
      int64_t v;
      if (!read_number(text, v)) broken(f, cat("cannot read the default ", text));
      return v;
    }
    case ParamType::real:
      return read_default_scalar(f, text).real();
    case ParamType::scalar:
    case ParamType::operand:
      return read_default_scalar(f, text);
    case ParamType::text:
      if (text.size() < 2) broken(f, cat("cannot read the default ", text));
      return std::string(text.substr(1, text.size() - 2));
    case ParamType::dtype: {
      Dtype t;
      if (!dtype_of_name(text, t)) broken(f, cat("no dtype is called ", text));
      return t;
    }
    case ParamType::dims:
    case ParamType::axes:
      return read_default_dims(f, text);
    case ParamType::nested_ints: {
      bool list = !text.empty() && (text.front() == '(' || text.front() == '[');
      return NestedInts{list ? NestedInts::Kind::list : NestedInts::Kind::number,
                        {read_default_dims(f, text)}};
    }
    case ParamType::array:
    case ParamType::arrays:
    case ParamType::array_or_text:
      break;
  }
  broken(f, "an array parameter can only have None as its default");
}

Plan make_plan(const Function& f) {
  Plan plan;
  auto kind = ParamPlan::Kind::any;
  for (std::string_view item : split(f.params)) {
    if (item == "/") {
      for (auto& p : plan.params) p.kind = ParamPlan::Kind::positional_only;
      continue;
    }
    if (item == "*") {
      kind = ParamPlan::Kind::keyword_only;
      continue;
    }
    size_t index = plan.params.size();
    if (index >= f.types.size()) broken(f, "names more parameters than the C++ function has");
    ParamPlan p{nullptr, kind, f.types[index], false, {}, {}};
    if (item.front() == '*') {
      if (p.spec.type != ParamType::arrays || plan.variadic >= 0)
        broken(f, "only one parameter, which takes arrays, may be variadic");
      item.remove_prefix(1);
      p.kind = ParamPlan::Kind::variadic;
      kind = ParamPlan::Kind::keyword_only;
      plan.variadic = static_cast<int>(index);
    }
    size_t equals = item.find('=');
    std::string name(strip(item.substr(0, equals)));
    if (equals != std::string_view::npos) {
      p.has_default = true;
      p.default_text = strip(item.substr(equals + 1));
      p.default_value = read_default(f, p.spec, p.default_text);
    }
    p.name = checked(PyUnicode_InternFromString(name.c_str())).release();
    plan.params.push_back(std::move(p));
  }
  if (plan.params.size() != f.types.size())
    broken(f, cat("names ", plan.params.size(), " parameters, but the C++ function has ",
                  f.types.size()));
  for (auto& p : plan.params)
    plan.n_positional +=
        p.kind == ParamPlan::Kind::positional_only || p.kind == ParamPlan::Kind::any;
  return plan;
}

}  // namespace

const Plan& plan_of(const Function& f) {
  static auto* plans = new std::map<const Function*, Plan>;  // under the GIL
  auto found = plans->find(&f);
  if (found == plans->end()) found = plans->emplace(&f, make_plan(f)).first;
  return found->second;
}

const char* type_text(const ParamSpec& spec) {
  switch (spec.type) {
    case ParamType::array:
      return "array";
    case ParamType::array_or_text:
      return "array | str";
    case ParamType::operand:
      return "scalar | array";
    case ParamType::arrays:
      return "Sequence[array]";
    case ParamType::boolean:
      return "bool";
    case ParamType::integer:
      return "int";
    case ParamType::real:
      return "float";
    case ParamType::scalar:
      return "scalar";
    case ParamType::text:
      return "str";
    case ParamType::dtype:
      return "Dtype";
    case ParamType::nested_ints:
      return "int | Sequence[int | Sequence[int]]";
    case ParamType::dims:
    case ParamType::axes:
      break;
  }
  return "int | Sequence[int]";
}

const Function* find_record(std::string_view name) { return registry().find_function(name); }

Array call_record(const Function& f, std::span<Arg> args) {
  Results results;
  f.call(args, results.arrays());
  return std::move(results.arrays()[0]);
}

Array call_function(std::string_view name, std::initializer_list<Arg> args) {
  const Function* f = find_record(name);
  if (!f) throw InternalError(cat("no function is called ", name));
  std::vector<Arg> values(args);
  const Plan& plan = plan_of(*f);
  for (size_t i = values.size(); i < plan.params.size(); ++i)  // the rest by default
    values.push_back(plan.params[i].default_value);
  return call_record(*f, values);
}

}  // namespace legato::python
