#include "legato/fuse/program.h"

#include <algorithm>
#include <cstring>
#include <list>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "legato/base/error.h"
#include "legato/fuse/functions.h"

namespace legato::fuse {
namespace {

#define LEGATO_POINTWISE_NAME(type, name) #name,
constexpr const char* kNames[] = {LEGATO_POINTWISE_FUNCTIONS(LEGATO_POINTWISE_NAME)};
#undef LEGATO_POINTWISE_NAME

constexpr size_t kMaxInternedPrograms = 4096;

// Least recently used programs go first; who still holds one keeps it.
struct Cache {
  using Entry = std::pair<std::string, std::shared_ptr<Program>>;
  std::mutex mutex;
  std::list<Entry> entries;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key;
};

Cache& cache() {
  static Cache* c =
      new Cache;  // never destroyed: programs may be released by threads that outlive main
  return *c;
}

template <class T>
void put(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

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

std::string Program::key() const {
  std::string k;
  k.reserve(8 + inputs.size() + literals.size() + 12 * instrs.size() + 2 * outputs.size());
  put(k, static_cast<uint8_t>(inputs.size()));
  for (Dtype t : inputs) put(k, t);
  put(k, static_cast<uint8_t>(literals.size()));
  for (Dtype t : literals) put(k, t);
  put(k, static_cast<uint16_t>(instrs.size()));
  for (const Instr& s : instrs) {
    put(k, s.fn);
    put(k, s.compute);
    put(k, s.dtype);
    put(k, s.n_src);
    for (int i = 0; i < s.n_src; ++i) put(k, s.src[i]);
  }
  for (uint16_t v : outputs) put(k, v);
  return k;
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

std::shared_ptr<Program> intern_program(std::unique_ptr<Program> program) {
  std::string key = program->key();
  Cache& c = cache();
  std::shared_ptr<Program> dropped;  // released after the lock
  std::lock_guard lock(c.mutex);
  if (auto found = c.by_key.find(key); found != c.by_key.end()) {
    c.entries.splice(c.entries.begin(), c.entries, found->second);
    return found->second->second;
  }
  if (c.entries.size() >= kMaxInternedPrograms) {
    c.by_key.erase(c.entries.back().first);
    dropped = std::move(c.entries.back().second);
    c.entries.pop_back();
  }
  c.entries.emplace_front(std::move(key), std::shared_ptr<Program>(std::move(program)));
  c.by_key.emplace(c.entries.front().first, c.entries.begin());
  return c.entries.front().second;
}

}  // namespace legato::fuse
