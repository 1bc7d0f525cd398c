#include "legato/runtime/memory.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>

#include "legato/base/error.h"
#include "legato/runtime/stream.h"

namespace legato {
namespace {

std::atomic<int64_t> limit_given{0};   // by the user, for every device; 0: not
std::atomic<int64_t> cache_given{-1};  // likewise; -1: not
std::atomic<int64_t> replica_copies{0};
std::atomic<int64_t> total_active{0}, total_peak{0};  // of all devices

// Buffers are handed out in size classes, four to each power of two, so that a freed one fits the
// next request of about its size and at most a quarter is wasted.
int64_t rounded(int64_t bytes) {
  if (bytes <= 64) return 64;
  int64_t step = std::max<int64_t>(
      64, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(bytes - 1))) / 4);
  return (bytes + step - 1) / step * step;
}

int size_class(int64_t size) {  // of a rounded size
  uint64_t u = static_cast<uint64_t>(size);
  int log = std::bit_width(u) - 1;
  if (size <= 256) return static_cast<int>(size / 64);
  return 5 + (log - 8) * 4 + static_cast<int>((u >> (log - 2)) & 3);
}
constexpr int kClasses = 5 + (63 - 8) * 4 + 4;

std::string human(int64_t bytes) {
  if (bytes >= int64_t{10} << 30) return cat(bytes >> 30, " GiB");
  if (bytes >= int64_t{10} << 20) return cat(bytes >> 20, " MiB");
  if (bytes >= int64_t{10} << 10) return cat(bytes >> 10, " KiB");
  return cat(bytes, " bytes");
}

// `own`: bytes of a memory that is not the host's, else 0.
int64_t memory_limit_of(int64_t own) {
  if (const int64_t given = limit_given.load(std::memory_order_relaxed)) return given;
  static const int64_t host = static_cast<int64_t>(static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                                                   sysconf(_SC_PAGESIZE) * 0.95);
  return own == 0 ? host : own / 100 * 95;
}
int64_t cache_limit_of(int64_t own) {
  const int64_t given = cache_given.load(std::memory_order_relaxed);
  if (given >= 0) return given;
  constexpr int64_t kOfHost = int64_t{1} << 30;
  return own == 0 ? kOfHost : memory_limit_of(own);
}

// Freed buffers of one device.
class Pool {
 public:
  explicit Pool(Device device)
      : device_(device), own_(backend_of(device).memory_bytes(device.index)) {}

  // `after`: null, or what the caller has to wait for who does not keep to the device's order. He
  // gets the buffer that was freed longest ago, the others the one freed last.
  void* allocate(int64_t bytes, int64_t* after = nullptr) {
    int64_t size = rounded(bytes);
    if (after) *after = backend_of(device_).work_given(device_.index);
    {
      std::lock_guard lock(lock_);
      auto& bin = bins_[size_class(size)];
      if (!bin.empty()) {
        const Freed chosen = after ? bin.front() : bin.back();
        bin.erase(after ? bin.begin() : bin.end() - 1);
        if (after) *after = chosen.work;
        stats_.cache -= size;
        took(size);
        return chosen.p;
      }
      if (stats_.active + size > limit()) refuse(bytes);
      if (stats_.active + stats_.cache + size > limit()) trim(0);
      took(size);  // counted before the call, so that two threads cannot both slip under the limit
    }
    try {
      try {
        return backend_of(device_).allocate(device_.index, size);
      } catch (const MemoryError&) {
        clear();  // the system may have what our cache holds
        return backend_of(device_).allocate(device_.index, size);
      }
    } catch (const MemoryError&) {
      std::lock_guard lock(lock_);
      gave(size);
      refuse(bytes);
    } catch (...) {  // the device is lost
      std::lock_guard lock(lock_);
      gave(size);
      throw;
    }
  }

  void free(void* p, int64_t bytes) noexcept {
    int64_t size = rounded(bytes);
    const int64_t work = backend_of(device_).work_given(device_.index);
    {
      std::lock_guard lock(lock_);
      gave(size);
      const int64_t limit = cache_limit_of(own_);
      if (size <= limit) {
        if (stats_.cache + size > limit) trim(limit - size);
        try {
          bins_[size_class(size)].push_back({p, work});
          stats_.cache += size;
          return;
        } catch (const std::bad_alloc&) {  // no room even for the list: give the buffer back
        }
      }
    }
    backend_of(device_).free(device_.index, p, size);
  }

  void clear() {
    RecordingMemory::of(device_).release();
    {
      std::lock_guard lock(lock_);
      trim(0);
    }
    backend_of(device_).trim(device_.index);
  }
  MemoryStats stats() {
    std::lock_guard lock(lock_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard lock(lock_);
    stats_.peak = stats_.active;
  }

 private:
  int64_t limit() const { return memory_limit_of(own_); }
  void took(int64_t size) {
    stats_.active += size;
    stats_.peak = std::max(stats_.peak, stats_.active);
    const int64_t total = total_active.fetch_add(size, std::memory_order_relaxed) + size;
    int64_t peak = total_peak.load(std::memory_order_relaxed);
    while (total > peak && !total_peak.compare_exchange_weak(peak, total)) {
    }
  }
  void gave(int64_t size) {
    stats_.active -= size;
    total_active.fetch_sub(size, std::memory_order_relaxed);
  }

  // Largest buffers first: they are the ones whose absence the system feels.
  void trim(int64_t keep) noexcept {
    for (int c = kClasses; c-- > 0 && stats_.cache > keep;) {
      auto& bin = bins_[c];
      int64_t size = class_bytes(c);
      while (!bin.empty() && stats_.cache > keep) {
        backend_of(device_).free(device_.index, bin.back().p, size);
        bin.pop_back();
        stats_.cache -= size;
      }
    }
  }
  static int64_t class_bytes(int c) {
    if (c <= 4) return 64 * c;
    int log = (c - 5) / 4 + 8;
    return (int64_t{4} + (c - 5) % 4) << (log - 2);
  }

  [[noreturn]] void refuse(int64_t bytes) {
    throw MemoryError(cat(
        "out of memory on ", backend_of(device_).name(), " ", device_.index, ": ", human(bytes),
        " asked for; arrays hold ", human(stats_.active), " (peak ", human(stats_.peak), "), ",
        human(stats_.cache), " are cached, the limit is ", human(limit()),
        ". Drop arrays, compute in smaller pieces, or raise the limit with set_memory_limit()."));
  }

  const Device device_;
  const int64_t own_;
  std::mutex lock_;
  MemoryStats stats_;  // guarded by lock_
  struct Freed {
    void* p;
    int64_t work;  // what the device had been given by then: some of it may still use the buffer
  };
  std::vector<Freed> bins_[kClasses];  // guarded by lock_
};

struct Pools {
  std::mutex lock;
  std::vector<std::pair<Device, std::unique_ptr<Pool>>> all;
};
Pools& pools() {
  static Pools& p = *new Pools;  // arrays may outlive static destructors
  return p;
}

Pool& pool_of(Device device) {
  static Pool& cpu = *new Pool(Device{});
  if (device == Device{}) return cpu;
  Pools& p = pools();
  std::lock_guard lock(p.lock);
  for (auto& [d, pool] : p.all)
    if (d == device) return *pool;
  p.all.emplace_back(device, std::make_unique<Pool>(device));
  return *p.all.back().second;
}

template <class F>
void for_each_pool(F f) {
  f(pool_of(Device{}));
  std::vector<Pool*> others;
  {
    Pools& p = pools();
    std::lock_guard lock(p.lock);
    for (auto& [d, pool] : p.all) others.push_back(pool.get());
  }
  for (Pool* pool : others) f(*pool);
}

}  // namespace

MemoryStats memory_stats(Device device) { return pool_of(device).stats(); }

MemoryStats memory_stats() {
  MemoryStats sum{.active = total_active.load(), .peak = total_peak.load()};
  for_each_pool([&](Pool& p) { sum.cache += p.stats().cache; });
  return sum;
}

void reset_peak_memory() {
  for_each_pool([](Pool& p) { p.reset_peak(); });
  total_peak.store(total_active.load());
}
void clear_memory_cache() {
  for_each_pool([](Pool& p) { p.clear(); });
}

int64_t memory_limit(Device device) {
  return memory_limit_of(backend_of(device).memory_bytes(device.index));
}
int64_t set_memory_limit(int64_t bytes) {
  if (bytes <= 0)
    throw ValueError(cat("set_memory_limit: the limit must be positive, got ", bytes));
  const int64_t before = memory_limit(default_device());
  limit_given.store(bytes);
  return before;
}
int64_t cache_limit(Device device) {
  return cache_limit_of(backend_of(device).memory_bytes(device.index));
}
int64_t set_cache_limit(int64_t bytes) {
  if (bytes < 0)
    throw ValueError(cat("set_cache_limit: the limit must not be negative, got ", bytes));
  const int64_t before = cache_limit(default_device());
  cache_given.store(bytes);
  return before;
}

namespace {
thread_local RecordingMemory* recording = nullptr;  // from which this thread takes memory
}

void* allocate_memory(Device device, int64_t bytes) {
  if (recording && recording->device() == device) [[unlikely]]
    return recording->allocate(bytes);
  return pool_of(device).allocate(bytes);
}
void* allocate_memory(Device device, int64_t bytes, int64_t& after) {
  return pool_of(device).allocate(bytes, &after);
}
void free_memory(Device device, void* p, int64_t bytes) noexcept {
  if (recording && recording->device() == device && recording->owns(p)) [[unlikely]]
    return recording->free(p);
  pool_of(device).free(p, bytes);
}

RecordingMemory& RecordingMemory::of(Device device) {
  static std::mutex& lock = *new std::mutex;
  static auto& all = *new std::vector<std::unique_ptr<RecordingMemory>>;
  std::lock_guard guard(lock);
  for (auto& m : all)
    if (m->device_ == device) return *m;
  all.emplace_back(new RecordingMemory(device));
  return *all.back();
}

RecordingMemory::Scope::Scope(RecordingMemory& memory) { recording = &memory; }
RecordingMemory::Scope::~Scope() { recording = nullptr; }

bool RecordingMemory::owns(const void* p) const { return blocks_.count(const_cast<void*>(p)) != 0; }

// The smallest free block that is large enough and not twice as large.
void* RecordingMemory::allocate(int64_t bytes) {
  const int64_t size = rounded(bytes);
  auto best = blocks_.end();
  for (auto it = blocks_.begin(); it != blocks_.end(); ++it)
    if (!it->second.used && it->second.bytes >= size && it->second.bytes <= 2 * size &&
        (best == blocks_.end() || it->second.bytes < best->second.bytes))
      best = it;
  if (best == blocks_.end())
    best = blocks_.emplace(pool_of(device_).allocate(size), Block{size, false}).first;
  best->second.used = true;
  return best->first;
}

void RecordingMemory::free(void* p) noexcept { blocks_.find(p)->second.used = false; }

void RecordingMemory::release() noexcept {
  std::lock_guard guard(lock_);
  if (recording == this || blocks_.empty()) return;
  ++generation_;
  for (auto& [p, block] : blocks_) pool_of(device_).free(p, block.bytes);
  blocks_.clear();
}

DeviceStorage::DeviceStorage(Device home, int64_t bytes)
    : Storage(bytes), first_{home, allocate_memory(home, bytes)} {}

DeviceStorage::DeviceStorage(Device home, void* data, int64_t bytes,
                             std::unique_ptr<MemoryOwner> owner)
    : Storage(bytes), first_{home, data}, owner_(std::move(owner)) {}

DeviceStorage::~DeviceStorage() {
  if (owner_) {  // who gets the memory next must not write to it before we have read it
    std::lock_guard recording(RecordingMemory::of(first_.device).lock());
    backend_of(first_.device).lead_all(first_.device.index);
  } else {
    free_memory(first_.device, first_.data, bytes());
  }
  for (auto& r : others_) free_memory(r.device, r.data, bytes());
}

void* DeviceStorage::on(Device device) {
  if (device == first_.device) return first_.data;
  bool from_host = backend_of(first_.device).host_memory(),
       to_host = backend_of(device).host_memory();
  if (from_host && to_host) return first_.data;
  std::lock_guard lock(lock_);
  for (auto& r : others_)
    if (r.device == device) {
      if (shares_ > 0 || r.stale) refresh(r);
      return r.data;
    }
  // A copy between two devices goes through the host, whose replica is then valid too.
  Replica* source = &first_;
  if (!to_host && !from_host) {
    Device host;
    auto it = std::find_if(others_.begin(), others_.end(),
                           [&](const Replica& r) { return r.device == host; });
    if (it == others_.end()) {
      void* p = allocate_memory(host, bytes());
      try {
        read_back(p);
      } catch (...) {
        free_memory(host, p, bytes());
        throw;
      }
      replica_copies.fetch_add(1, std::memory_order_relaxed);
      others_.push_back({host, p});
      source = &others_.back();
    } else {
      source = &*it;
      if (shares_ > 0 || source->stale) refresh(*source);
    }
  }
  int64_t after = 0;
  void* p = allocate_memory(device, bytes(), after);
  try {
    if (to_host)
      read_back(p);
    else
      backend_of(device).copy_from_host(device.index, p, source->data, bytes(), after);
  } catch (...) {
    free_memory(device, p, bytes());
    throw;
  }
  replica_copies.fetch_add(1, std::memory_order_relaxed);
  others_.push_back({device, p});
  return p;
}

void DeviceStorage::read_back(void* to) {
  backend_of(first_.device).copy_to_host(first_.device.index, to, first_.data, bytes(), work());
  rethrow_failed_check();
}

// Copies the first replica again, into the same memory, which others may be reading.
void DeviceStorage::refresh(Replica& r) {
  Backend& backend = backend_of(r.device);
  if (backend.host_memory()) {
    read_back(r.data);
  } else {
    const void* from = first_.data;
    if (!backend_of(first_.device)
             .host_memory()) {  // the host's replica is there: it went through it
      auto host = std::find_if(others_.begin(), others_.end(),
                               [](const Replica& o) { return o.device == Device{}; });
      refresh(*host);
      from = host->data;
    }
    const int index = r.device.index;
    backend.copy_from_host(index, r.data, from, bytes(), backend.work_given(index));
  }
  r.stale = false;
  replica_copies.fetch_add(1, std::memory_order_relaxed);
}

void DeviceStorage::share() noexcept {
  std::lock_guard lock(lock_);
  ++shares_;
}

void DeviceStorage::unshare() noexcept {
  std::lock_guard lock(lock_);
  --shares_;
  for (auto& r : others_) r.stale = true;
}

void DeviceStorage::drop_copies() noexcept {
  std::lock_guard lock(lock_);
  for (auto& r : others_) free_memory(r.device, r.data, bytes());
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
  if (device == first_.device) return true;
  std::lock_guard lock(lock_);
  return std::any_of(others_.begin(), others_.end(),
                     [&](const Replica& r) { return r.device == device; });
}

bool DeviceStorage::is_only_on(Device device) const {
  if (!(device == first_.device)) return false;
  std::lock_guard lock(lock_);
  return others_.empty();
}

int64_t DeviceStorage::copies_made() { return replica_copies.load(std::memory_order_relaxed); }

}  // namespace legato
