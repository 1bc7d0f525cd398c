// DeviceStorage: the replicas of a value, where they come from and how they leave.
#include <algorithm>
#include <atomic>
#include <memory>

#include "legato/base/error.h"
#include "legato/runtime/memory.h"

namespace legato {

namespace {

std::atomic<int64_t> replica_copies{0};

bool is_host(Device device) { return backend_of(device).host_memory(); }

bool may_move(Device home, int64_t bytes) {
  if (home.type == DeviceType::cpu || bytes < Residents::kSmallest) return false;
  return !RecordingMemory::serves(home) && !is_host(home);
}

// The pieces of work that may use memory which `work` wrote and these queues read.
std::vector<int64_t> uses_of(Device device, int64_t work, uint32_t readers) {
  std::vector<int64_t> uses;
  for (int q = 0; q < kMostQueues; ++q)
    if (readers >> q & 1) uses.push_back(backend_of(device).work_given(device.index, q));
  // A copy from the host is no queue's: those who read it wait for it.
  const int queue = queue_of_work(work);
  if (queue < kMostQueues && !(readers >> queue & 1)) uses.push_back(work);
  return uses;
}

}  // namespace

DeviceStorage::DeviceStorage(Device home, int64_t bytes)
    : Storage(bytes),
      home_(home),
      moves_(may_move(home, bytes)),
      data_(allocate_memory(home, bytes)),
      readers_(1u << current_queue(home)) {
  if (!moves_) return;
  resident_.storage = this;
  Residents::of(home).add(resident_);
}

DeviceStorage::DeviceStorage(Device home, void* data, int64_t bytes,
                             std::unique_ptr<MemoryOwner> owner)
    : Storage(bytes),
      home_(home),
      moves_(false),
      data_(data),
      readers_(1),
      owner_(std::move(owner)) {}

DeviceStorage::~DeviceStorage() {
  if (moves_) Residents::of(home_).remove(resident_);
  void* p = data_.load(std::memory_order_relaxed);
  if (owner_) {  // who gets the memory next must not write to it before we have read it
    std::lock_guard recording(RecordingMemory::of(home_).lock());
    backend_of(home_).lead_all(home_.index);
  } else if (p) {
    const uint32_t readers = readers_.load(std::memory_order_relaxed);
    const int64_t work = work_.load(std::memory_order_relaxed);
    if (readers == 1 && (queue_of_work(work) == 0 || queue_of_work(work) >= kMostQueues)) {
      const int64_t last = backend_of(home_).work_given(home_.index, 0);
      free_memory(home_, p, bytes(), {&last, 1});
    } else {
      free_memory(home_, p, bytes(), uses_of(home_, work, readers));
    }
  }
  for (Copy& copy : others_) forget(copy);
}

// Gives up the memory of a copy.
void DeviceStorage::forget(Copy& copy) noexcept {
  if (copy.resident) Residents::of(copy.device).remove(*copy.resident);
  if (copy.spilled)
    HostSpace::of(home_).free(copy.data, bytes(), copy.left ? copy.left : copy.arrives);
  else
    free_memory(copy.device, copy.data, bytes(), uses_of(copy.device, copy.work, copy.readers));
}

namespace {

// What this thread gives to the device comes after `work`; `readers` learns of its queue.
template <class Bits>
void join(Device device, int64_t work, Bits& readers) {
  const int queue = current_queue(device);
  if (queue_of_work(work) != queue) backend_of(device).order(device.index, work);
  const uint32_t bit = 1u << queue;
  if (!(readers & bit)) readers |= bit;
}

}  // namespace

void* DeviceStorage::on(Device device) {
  if (device == home_) {
    if (moves_) resident_.touch();
    // After the stamp, in one order with those who move values: see Note [Spilling].
    if (void* p = data_.load()) [[likely]] {
      if (several_queues.load(std::memory_order_relaxed)) [[unlikely]]
        join(home_, work(), readers_);
      return p;
    }
  }
  if (device.type == DeviceType::cpu && home_.type == DeviceType::cpu) return writable();
  std::lock_guard lock(lock_);
  return copy_to(device);
}

DeviceStorage::Copy* DeviceStorage::copy_on(Device device) {
  const auto at = std::find_if(others_.begin(), others_.end(),
                               [&](const Copy& c) { return c.device == device; });
  return at == others_.end() ? nullptr : &*at;
}

void* DeviceStorage::copy_to(Device device) {
  if (device == home_) {
    void* p = data_.load(std::memory_order_relaxed);
    if (!p) return bring_back();
    join(home_, work(), readers_);  // another thread was faster
    return p;
  }
  const bool from_host = is_host(home_), to_host = is_host(device);
  if (from_host && to_host) return writable();
  if (Copy* known = copy_on(device)) {
    if (known->resident) known->resident->touch();
    await(*known);
    if (shares_ > 0 || known->stale) refresh(*known);
    if (!to_host) join(device, known->work, known->readers);
    return known->data;
  }
  others_.reserve(others_.size() + 2);
  // A copy between two devices goes through the host, whose replica is then valid too.
  const void* from = nullptr;
  if (!to_host) from = from_host ? writable() : copy_to(Device{});
  Copy fresh;
  fresh.device = device;
  std::vector<int64_t> after;
  fresh.data = to_host ? allocate_memory(device, bytes()) : allocate_memory(device, bytes(), after);
  try {
    if (to_host) {
      read_back(fresh.data);
    } else {
      fresh.work =
          backend_of(device).copy_from_host(device.index, fresh.data, from, bytes(), after);
      fresh.readers = 1u << current_queue(device);
      if (bytes() >= Residents::kSmallest) {
        fresh.resident = std::make_unique<Resident>();
        fresh.resident->storage = this;
      }
    }
  } catch (...) {
    free_memory(device, fresh.data, bytes());
    throw;
  }
  replica_copies.fetch_add(1, std::memory_order_relaxed);
  others_.push_back(std::move(fresh));
  Copy& made = others_.back();
  if (made.resident) Residents::of(device).add(*made.resident);
  return made.data;
}

// The values come back to the device that they were spilled from.
void* DeviceStorage::bring_back() {
  Copy* host = copy_on(Device{});
  LEGATO_CHECK(host, "a value has lost its memory");
  std::vector<int64_t> after;
  void* p = allocate_memory(home_, bytes(), after);
  Backend& backend = backend_of(home_);
  try {
    if (host->spilled) {
      if (host->arrives) after.push_back(host->arrives);
      host->left = backend.start_copy_from_host(home_.index, p, host->data, bytes(), after);
      work_.store(host->left, std::memory_order_release);
    } else {
      work_.store(backend.copy_from_host(home_.index, p, host->data, bytes(), after),
                  std::memory_order_release);
    }
  } catch (...) {
    free_memory(home_, p, bytes(), after);
    throw;
  }
  readers_.store(1u << current_queue(home_));
  Residents& residents = Residents::of(home_);
  residents.returned(bytes());
  residents.add(resident_);
  data_.store(p);
  return p;
}

int64_t DeviceStorage::leave(Device device, bool sole) noexcept {
  std::unique_lock lock(lock_, std::try_to_lock);
  if (!lock || shares_ > 0 || pins_ > 0) return 0;
  Residents& residents = Residents::of(device);
  const int64_t size = rounded_size(bytes());
  try {
    if (!(device == home_)) {
      Copy* copy = copy_on(device);
      if (copy->resident->in_use()) return 0;
      residents.unlink(*copy->resident);
      copy->resident = nullptr;
      forget(*copy);
      others_.erase(others_.begin() + (copy - others_.data()));
      residents.dropped(size);
      return size;
    }
    Copy* host = copy_on(Device{});
    if (host ? host->stale : !sole) return 0;
    others_.reserve(others_.size() + 1);
    // Who asks for the address from here on waits for our lock.
    void* p = data_.exchange(nullptr);
    if (resident_.in_use()) {
      data_.store(p);
      return 0;
    }
    std::vector<int64_t> after;
    Copy spilled;
    try {
      after = uses_of(home_, work(), readers_.load(std::memory_order_relaxed));
      // With one queue it is known better. Work of others (DLPack) is newer than our last use.
      if (!several_queues.load(std::memory_order_relaxed) && queue_of_work(after[0]) == 0)
        after[0] = std::max(residents.last_work(resident_.used.load(std::memory_order_relaxed)),
                            queue_of_work(work()) == 0 ? work() : 0);
      if (!host) {
        spilled.spilled = true;
        spilled.device = Device{};
        int64_t kept = 0;
        spilled.data = HostSpace::of(home_).allocate(bytes(), kept);
        if (!spilled.data) {
          data_.store(p);
          return 0;
        }
        after.reserve(after.size() + 1);
        const int64_t behind[] = {work(), kept};
        spilled.arrives =
            backend_of(home_).start_copy_to_host(home_.index, spilled.data, p, bytes(), behind);
        if (spilled.arrives) after.push_back(spilled.arrives);
      }
    } catch (...) {
      data_.store(p);
      if (spilled.data) HostSpace::of(home_).free(spilled.data, bytes(), 0);
      return 0;
    }
    if (!host) {
      others_.push_back(std::move(spilled));
      residents.spilled(size);
    } else {
      residents.dropped(size);
    }
    residents.unlink(resident_);
    free_memory(home_, p, bytes(), after);
    return size;
  } catch (...) {  // no memory for lists
    return 0;
  }
}

void DeviceStorage::await(Copy& copy) {
  if (copy.arrives) {
    backend_of(home_).wait_for(home_.index, copy.arrives);
    copy.arrives = 0;
  }
  if (copy.spilled && checked_.load(std::memory_order_acquire)) rethrow_failed_check();
}

void DeviceStorage::read_back(void* to) {
  backend_of(home_).copy_to_host(home_.index, to, writable(), bytes(), work());
  rethrow_failed_check();
}

// Copies the first replica again, into the same memory, which others may be reading.
void DeviceStorage::refresh(Copy& copy) {
  Backend& backend = backend_of(copy.device);
  if (backend.host_memory()) {
    read_back(copy.data);
  } else {
    const void* from = writable();
    if (!is_host(home_)) {  // the host's replica is there: it went through it
      Copy* host = copy_on(Device{});
      refresh(*host);
      from = host->data;
    }
    copy.work = backend.copy_from_host(copy.device.index, copy.data, from, bytes(),
                                       uses_of(copy.device, copy.work, copy.readers));
  }
  copy.stale = false;
  replica_copies.fetch_add(1, std::memory_order_relaxed);
}

void DeviceStorage::share() noexcept {
  std::lock_guard lock(lock_);
  ++shares_;
}

void DeviceStorage::unshare() noexcept {
  std::lock_guard lock(lock_);
  --shares_;
  for (Copy& copy : others_) copy.stale = true;
}

bool DeviceStorage::is_shared() const {
  std::lock_guard lock(lock_);
  return shares_ > 0;
}

void DeviceStorage::pin() noexcept {
  std::lock_guard lock(lock_);
  ++pins_;
}

void DeviceStorage::unpin() noexcept {
  std::lock_guard lock(lock_);
  --pins_;
}

void DeviceStorage::drop_copies() noexcept {
  std::lock_guard lock(lock_);
  for (Copy& copy : others_) forget(copy);
  others_.clear();
}

void DeviceStorage::add_check(const Ref<DeviceCheck>& check) {
  std::lock_guard lock(lock_);
  checks_.push_back(check);
  checked_.store(true, std::memory_order_release);
}

void DeviceStorage::inherit_checks(const DeviceStorage& from) {
  if (&from == this || !from.checked_.load(std::memory_order_acquire)) return;
  std::vector<Ref<DeviceCheck>> theirs;
  {
    std::lock_guard lock(from.lock_);
    theirs = from.checks_;
  }
  std::lock_guard lock(lock_);
  for (auto& check : theirs)
    if (std::none_of(checks_.begin(), checks_.end(),
                     [&](const auto& known) { return known.get() == check.get(); }))
      checks_.push_back(std::move(check));
  checked_.store(true, std::memory_order_release);
}

void DeviceStorage::verify() {
  if (!checked_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(lock_);
  rethrow_failed_check();
}

// A check that holds is forgotten; one that does not stays, for the next reader.
void DeviceStorage::rethrow_failed_check() {
  while (!checks_.empty()) {
    if (auto error = checks_.back()->error()) std::rethrow_exception(error);
    checks_.pop_back();
  }
  checked_.store(false, std::memory_order_release);
}

bool DeviceStorage::is_on(Device device) const {
  if (device == home_) return data_.load(std::memory_order_acquire) != nullptr;
  std::lock_guard lock(lock_);
  return std::any_of(others_.begin(), others_.end(),
                     [&](const Copy& c) { return c.device == device && c.arrives == 0; });
}

bool DeviceStorage::is_only_on(Device device) const {
  if (!(device == home_)) return false;
  std::lock_guard lock(lock_);
  return others_.empty();
}

bool DeviceStorage::is_of_this_queue() const {
  return !several_queues.load(std::memory_order_relaxed) ||
         readers_.load(std::memory_order_relaxed) == 1u << current_queue(home_);
}

int64_t DeviceStorage::copies_made() { return replica_copies.load(std::memory_order_relaxed); }

}  // namespace legato
