#include "legato/nn/compile.h"

#include <cstdlib>
#include <cstring>

#include "legato/array/precision.h"
#include "legato/nn/walk.h"
#include "legato/ops/create/create.h"
#include "legato/ops/random/random.h"

namespace legato::nn {
namespace {

constexpr size_t kMostTraces = 16;

bool compile_enabled() {
  static const bool enabled = [] {
    const char* text = std::getenv("LEGATO_DISABLE_COMPILE");
    return !text || !*text || std::strcmp(text, "0") == 0;
  }();
  return enabled;
}

void append(std::string& key, const Array& a) {
  const auto number = [&](int64_t v) { key.append(reinterpret_cast<const char*>(&v), sizeof v); };
  number(static_cast<int64_t>(a.dtype()));
  number(static_cast<int64_t>(a.ndim()));
  for (int64_t size : a.shape()) number(size);
}

}  // namespace

struct Traces::Trace {
  std::string key;
  std::shared_ptr<CompiledFn> function;
  size_t results;  // of the function; behind them comes the state
};

Traces::Traces(Module& module, optim::Optimizer* optimizer)
    : module_(&module), optimizer_(optimizer) {}
Traces::~Traces() = default;
Traces::Traces(Traces&&) noexcept = default;
Traces& Traces::operator=(Traces&&) noexcept = default;

std::vector<Array> Traces::state() const {
  std::vector<Array> out;
  Walk::arrays(*module_, [&](const Walk::Slot& slot) { out.push_back(slot.array); });
  if (optimizer_) optimizer_->visit_state([&](Array& a) { out.push_back(a); });
  out.push_back(random::state());
  return out;
}

void Traces::put_state(std::span<const Array> values) {
  size_t next = 0;
  Walk::arrays(*module_, [&](const Walk::Slot& slot) {
    if (next < values.size()) slot.array = values[next++];
  });
  if (optimizer_)
    optimizer_->visit_state([&](Array& a) {
      if (next < values.size()) a = values[next++];
    });
  if (next < values.size()) random::set_state(values[next]);
}

std::string Traces::key(std::span<const Array> inputs) const {
  std::string key;
  key += cat(ones({}).node()->stream, tf32_allowed() ? " tf32 " : " ", inputs.size(), " ");
  for (const Array& a : inputs) append(key, a);
  Walk::arrays(*module_, [&](const Walk::Slot& slot) {
    key += slot.trained ? 't' : 'f';
    append(key, slot.array);
  });
  Walk::modules(*module_, [&](const std::string&, Module& m) { key += m.training() ? 't' : 'f'; });
  if (optimizer_) optimizer_->visit_state([&](Array& a) { append(key, a); });
  return key;
}

std::vector<Array> Traces::run(FunctionRef<std::vector<Array>(std::span<const Array>)> f,
                               std::span<const Array> inputs) {
  auto once = [&](std::span<const Array> in) {
    if (!optimizer_) return f(in);
    auto [results, gradients] = run_with_gradients(*module_, [&] { return f(in); });
    optimizer_->update(*module_, gradients);
    return results;
  };
  if (!compile_enabled()) return once(inputs);

  std::string wanted = key(inputs);
  auto found = std::find_if(traces_.begin(), traces_.end(),
                            [&](const Trace& trace) { return trace.key == wanted; });
  if (found == traces_.end()) {
    // Before tracing, so that the state has the arrays that it will have.
    if (optimizer_) optimizer_->init(module_->trainable_parameters());
    wanted = key(inputs);
    Trace trace = traced(once, inputs);
    trace.key = std::move(wanted);
    if (traces_.size() >= kMostTraces) traces_.erase(traces_.begin());
    traces_.push_back(std::move(trace));
  } else {
    std::rotate(found, found + 1, traces_.end());
  }
  const Trace& trace = traces_.back();
  std::vector<Array> all = state();
  all.insert(all.end(), inputs.begin(), inputs.end());
  std::vector<Array> out = call_compiled(trace.function, all);
  put_state(std::span<const Array>(out).subspan(trace.results));
  out.resize(trace.results);
  return out;
}

Traces::Trace Traces::traced(FunctionRef<std::vector<Array>(std::span<const Array>)> f,
                             std::span<const Array> inputs) {
  const std::vector<Array> before = state();
  std::vector<Array> like = before;
  like.insert(like.end(), inputs.begin(), inputs.end());
  struct Restore {
    Traces& traces;
    const std::vector<Array>& values;
    ~Restore() { traces.put_state(values); }
  } restore{*this, before};
  size_t results = 0;
  auto function = trace(
      [&](std::span<const Array> in) {
        put_state(in.first(before.size()));
        std::vector<Array> out = f(in.subspan(before.size()));
        results = out.size();
        const std::vector<Array> after = state();
        if (after.size() != before.size())
          throw ValueError(cat(
              "compile: the function changed the number of arrays of the module "
              "and the optimizer from ",
              before.size() - 1, " to ", after.size() - 1, "; make them before it is compiled."));
        out.insert(out.end(), after.begin(), after.end());
        return out;
      },
      like, false);
  return {{}, std::move(function), results};
}

}  // namespace legato::nn
