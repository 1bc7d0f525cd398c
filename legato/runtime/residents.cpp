#include "legato/runtime/residents.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "legato/base/cpu_info.h"
#include "legato/runtime/memory.h"

namespace legato {

std::atomic<int64_t> use_clock{1};

namespace {

// Once values have been spilled, each step leaves an event behind its work for as many steps more:
// to copy a value then waits for the step that made it, not for all that was given since.
constexpr int64_t kMarkedSteps = 4096;
constexpr size_t kMostPassed = 256;
std::atomic<int64_t> marked_until{0};

struct Slots {
  std::mutex lock;
  std::vector<InUse::Slot*> all;  // guarded by lock
};
Slots& slots() {
  static Slots& s = *new Slots;
  return s;
}

// The slot of a thread, which another one takes over when it has ended.
struct OwnSlot {
  InUse::Slot* slot;
  OwnSlot() {
    Slots& s = slots();
    std::lock_guard lock(s.lock);
    for (InUse::Slot* known : s.all)
      if (!known->taken) {
        known->taken = true;
        slot = known;
        return;
      }
    slot = s.all.emplace_back(new InUse::Slot);
  }
  ~OwnSlot() {
    std::lock_guard lock(slots().lock);
    slot->taken = false;
  }
};

}  // namespace

InUse::Slot* InUse::begin() {
  if (open) return nullptr;
  thread_local OwnSlot own;
  open = own.slot;
  // In this order: who sees the clock go on sees the scope, too. What is used from here on is
  // newer.
  own.slot->since.store(use_clock.load(std::memory_order_relaxed), std::memory_order_relaxed);
  use_clock.fetch_add(1);
  return own.slot;
}

bool InUse::others() {
  Slots& s = slots();
  std::lock_guard lock(s.lock);
  return std::any_of(s.all.begin(), s.all.end(), [](const Slot* slot) {
    return slot != open && slot->since.load(std::memory_order_relaxed) != 0;
  });
}

void InUse::end() {
  open = nullptr;
  slot_->n.store(0, std::memory_order_release);
  slot_->since.store(0, std::memory_order_relaxed);
  const int64_t now = use_clock.load();
  if (now >= marked_until.load(std::memory_order_relaxed)) return;
  // The uses of scopes that are open are later than they began.
  int64_t before = now + 1;
  {
    Slots& s = slots();
    std::lock_guard lock(s.lock);
    for (const Slot* slot : s.all)
      if (const int64_t since = slot->since.load()) before = std::min(before, since + 1);
  }
  try {
    Residents::of(device_).passed(before);
  } catch (...) {  // then copies wait for more than they have to
  }
}

bool Resident::in_use() const {
  Slots& s = slots();
  std::lock_guard lock(s.lock);
  return std::any_of(s.all.begin(), s.all.end(), [&](const InUse::Slot* slot) {
    const int n = slot->n.load();
    if (n > InUse::Slot::kMost)
      return used.load(std::memory_order_relaxed) > slot->since.load(std::memory_order_relaxed);
    return std::any_of(slot->used, slot->used + n,
                       [&](const auto& at) { return at.load(std::memory_order_relaxed) == this; });
  });
}

Residents::Residents(Device device) : device_(device) { all_.before = all_.behind = &all_; }

Residents& Residents::of(Device device) {
  static auto& all = *new PerDevice<Residents>;
  return all[device];
}

void Residents::add(Resident& r) {
  r.touch();
  std::lock_guard lock(lock_);
  r.before = all_.before;
  r.behind = &all_;
  r.before->behind = r.behind->before = &r;
}

void Residents::unlink(Resident& r) {
  if (!r.behind) return;
  r.before->behind = r.behind;
  r.behind->before = r.before;
  r.before = r.behind = nullptr;
}

void Residents::remove(Resident& r) {
  std::lock_guard lock(lock_);
  unlink(r);
}

int64_t Residents::make_room(int64_t wanted) {
  if (device_.type == DeviceType::cpu) return 0;
  RecordingMemory& recordings = RecordingMemory::of(device_);
  std::lock_guard lock(lock_);
  struct Candidate {
    int64_t used;
    Resident* resident;
  };
  std::vector<Candidate> candidates;
  int64_t most = recordings.bytes();
  for (Resident* r = all_.behind; r != &all_; r = r->behind) {
    candidates.push_back({r->used.load(std::memory_order_relaxed), r});
    most += rounded_size(r->storage->bytes());
  }
  if (most < wanted) return 0;  // it would help nobody
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.used < b.used; });
  int64_t freed = 0;
  // An entry whose value has left may be gone.
  const auto leave = [&](Candidate& c, bool sole) {
    if (!c.resident) return;
    const int64_t bytes = c.resident->storage->leave(device_, sole);
    if (bytes) c.resident = nullptr;
    freed += bytes;
  };
  for (size_t i = 0; i < candidates.size() && freed < wanted; ++i) leave(candidates[i], false);
  if (freed >= wanted) return freed;

  // A little more than was asked for, so that the next who asks need not wait for a copy.
  const int64_t ahead = std::min(memory_limit(device_) / 16, int64_t{512} << 20);
  for (size_t i = 0; i < candidates.size() && freed < wanted + ahead; ++i) {
    if (candidates[i].resident && recordings.last_use() < candidates[i].used)
      freed += recordings.release(false);
    leave(candidates[i], true);
  }
  if (freed < wanted) freed += recordings.release(false);
  marked_until.store(use_clock.load(std::memory_order_relaxed) + kMarkedSteps,
                     std::memory_order_relaxed);
  return freed;
}

void Residents::passed(int64_t time) {
  Backend& backend = backend_of(device_);
  const int64_t work = backend.work_given(device_.index);
  backend.mark(device_.index, work);
  if (queue_of_work(work) != 0) return;
  std::lock_guard lock(passed_lock_);
  if (!passed_.empty() && passed_.back().time >= time) return;
  if (passed_.size() >= kMostPassed) passed_.pop_front();
  passed_.push_back({time, work});
}

int64_t Residents::last_work(int64_t used) {
  std::lock_guard lock(passed_lock_);
  const auto at = std::upper_bound(passed_.begin(), passed_.end(), used,
                                   [](int64_t u, const Passed& p) { return u < p.time; });
  return at == passed_.end() ? backend_of(device_).work_given(device_.index, 0) : at->work;
}

void Residents::spilled(int64_t bytes) {
  spills_.fetch_add(1, std::memory_order_relaxed);
  spilled_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}
void Residents::returned(int64_t bytes) {
  returns_.fetch_add(1, std::memory_order_relaxed);
  returned_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}
void Residents::dropped(int64_t bytes) {
  drops_.fetch_add(1, std::memory_order_relaxed);
  dropped_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}
SpillStats Residents::stats() {
  return {spills_.load(),
          spilled_bytes_.load(),
          returns_.load(),
          returned_bytes_.load(),
          drops_.load(),
          dropped_bytes_.load(),
          HostSpace::of(device_).used()};
}

SpillStats spill_stats(Device device) { return Residents::of(device).stats(); }

// --- host memory ---------------------------------------------------------------------------------

namespace {

std::atomic<int64_t> host_bytes{0};  // of spilled values and kept for them, of all devices

std::atomic<int64_t>& host_limit() {
  static std::atomic<int64_t> limit = [] {
    if (const char* text = std::getenv("LEGATO_SPILL_LIMIT"))
      return std::max<int64_t>(std::atoll(text), 0);
    return usable_memory() / 2;
  }();
  return limit;
}

}  // namespace

int64_t set_spill_limit(int64_t bytes) {
  if (bytes < 0)
    throw ValueError(cat("set_spill_limit: the limit must not be negative, got ", bytes));
  return host_limit().exchange(bytes);
}
int64_t spill_limit() { return host_limit().load(std::memory_order_relaxed); }

HostSpace& HostSpace::of(Device device) {
  static auto& all = *new PerDevice<HostSpace>;
  return all[device];
}

void HostSpace::trim() {
  if (RecordingMemory::serves(device_)) return;  // who records cannot wait
  for (const Kept& k : kept_) {
    try {
      backend_of(device_).wait_for(device_.index, k.after);
    } catch (const Error&) {  // the device is lost, and copies nothing any more
    }
    backend_of(device_).free_host(device_.index, k.p);
    host_bytes.fetch_sub(k.bytes, std::memory_order_relaxed);
  }
  kept_.clear();
}

void HostSpace::clear() noexcept {
  std::lock_guard lock(lock_);
  trim();
}

void* HostSpace::allocate(int64_t bytes, int64_t& after) noexcept {
  const int64_t size = rounded_size(bytes);
  after = 0;
  std::lock_guard lock(lock_);
  const auto at =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.bytes == size; });
  if (at != kept_.end()) {
    void* p = at->p;
    after = at->after;
    kept_.erase(at);
    used_.fetch_add(size, std::memory_order_relaxed);
    return p;
  }
  if (size > spill_limit()) return nullptr;
  if (host_bytes.fetch_add(size) + size > spill_limit()) {
    trim();
    if (host_bytes.load() > spill_limit()) {
      host_bytes.fetch_sub(size);
      return nullptr;
    }
  }
  void* p = backend_of(device_).allocate_host(device_.index, size);
  if (!p) {
    trim();
    p = backend_of(device_).allocate_host(device_.index, size);
  }
  if (p)
    used_.fetch_add(size, std::memory_order_relaxed);
  else
    host_bytes.fetch_sub(size);
  return p;
}

void HostSpace::free(void* p, int64_t bytes, int64_t after) noexcept {
  const int64_t size = rounded_size(bytes);
  used_.fetch_sub(size, std::memory_order_relaxed);
  std::lock_guard lock(lock_);
  try {
    kept_.push_back({p, size, after});
  } catch (const std::bad_alloc&) {
    try {
      backend_of(device_).wait_for(device_.index, after);
    } catch (const Error&) {
    }
    backend_of(device_).free_host(device_.index, p);
    host_bytes.fetch_sub(size, std::memory_order_relaxed);
  }
}

}  // namespace legato
