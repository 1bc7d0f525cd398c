#include "legato/op/origin.h"

#include <mutex>
#include <unordered_map>

namespace legato {
namespace {

// Addresses are used again: a new node at an old address replaces what is said of it. Bounded,
// since nodes are not asked when they go.
constexpr size_t kMost = 1 << 20;

std::mutex lock;
OriginFn source = nullptr;
std::unordered_map<const Node*, std::string>& table() {
  static auto* t = new std::unordered_map<const Node*, std::string>;
  return *t;
}

}  // namespace

std::atomic<bool> recording_origins{false};

void set_origin_source(OriginFn f) { source = f; }

void record_origins(bool on) {
  std::lock_guard guard(lock);
  if (on && !recording_origins.load()) table().clear();
  recording_origins.store(on);
}

void remember_origin(const Node* node) {
  std::string line = source ? source() : std::string();
  std::lock_guard guard(lock);
  if (table().size() >= kMost) table().clear();
  table()[node] = std::move(line);
}

std::string origin_of(const Node* node) {
  std::lock_guard guard(lock);
  auto found = table().find(node);
  return found == table().end() ? std::string() : found->second;
}

}  // namespace legato
