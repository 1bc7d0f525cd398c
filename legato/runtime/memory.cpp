#include "legato/runtime/memory.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "legato/base/error.h"
#include "legato/runtime/stream.h"

namespace legato {

std::atomic<bool> several_queues{false};

// Buffers are handed out in size classes, four to each power of two, so that a freed one fits the
// next request of about its size and at most a quarter is wasted.
int64_t rounded_size(int64_t bytes) {
  if (bytes <= 64) return 64;
  int64_t step = std::max<int64_t>(
      64, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(bytes - 1))) / 4);
  return (bytes + step - 1) / step * step;
}

namespace {

std::atomic<int64_t> limit_given{0};                  // by the user, for every device; 0: not
std::atomic<int64_t> cache_given{-1};                 // likewise; -1: not
std::atomic<int64_t> total_active{0}, total_peak{0};  // of all devices

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

  // `after`: null, or what the caller has to wait for who does not keep to a queue's order. He gets
  // the buffer that was freed longest ago, the others the one freed last.
  void* allocate(int64_t bytes, std::vector<int64_t>* after = nullptr) {
    const int64_t size = rounded_size(bytes);
    Backend& backend = backend_of(device_);
    const int queue = current_queue(device_);
    if (size > limit()) refuse(bytes);
    int patience = 100;
    for (bool cleared = false;;) {
      int64_t missing = 0;
      std::optional<Freed> kept;
      {
        std::lock_guard lock(lock_);
        missing = std::max<int64_t>(stats_.active + size - limit(), 0);
        if (missing == 0 && !after) {
          if (void* p = take_last(size)) {
            took(size);
            return p;
          }
        }
        if (missing == 0) {
          kept = take(size, after != nullptr);
          if (!kept) trim(std::max<int64_t>(limit() - stats_.active - size, 0));
          // Counted before the call, so that two threads cannot both slip under the limit.
          took(size);
        }
      }
      if (kept) {
        if (after) {
          after->assign(1, kept->work);
          after->insert(after->end(), kept->more.begin(), kept->more.end());
        } else {
          follow(*kept, queue);
        }
        return kept->p;
      }
      if (missing == 0) {
        try {
          void* p = backend.allocate(device_.index, size);
          if (after) after->assign(1, backend.work_given(device_.index));
          return p;
        } catch (const MemoryError&) {
          std::lock_guard lock(lock_);
          gave(size);
        } catch (...) {  // the device is lost
          std::lock_guard lock(lock_);
          gave(size);
          throw;
        }
        missing = size;
        if (!std::exchange(cleared, true)) {  // the system may have what our cache holds
          give_back();
          continue;
        }
      }
      const int64_t freed = Residents::of(device_).make_room(missing);
      if (cleared) give_back();
      if (freed > 0) continue;
      // What steps of other threads use can leave when they have been launched.
      if (--patience < 0 || !InUse::others()) refuse(bytes);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  void free(void* p, int64_t bytes, std::span<const int64_t> after) noexcept {
    int64_t size = rounded_size(bytes);
    {
      std::lock_guard lock(lock_);
      gave(size);
      const int64_t limit = cache_limit_of(own_);
      if (size <= limit) {
        if (stats_.cache + size > limit) trim(limit - size);
        try {
          bins_[size_class(size)].push_back({p, after.empty() ? 0 : after[0],
                                             after.size() < 2
                                                 ? std::vector<int64_t>()
                                                 : std::vector(after.begin() + 1, after.end())});
          stats_.cache += size;
          return;
        } catch (const std::bad_alloc&) {  // no room even for the list: give the buffer back
        }
      }
    }
    for (int64_t work : after) follow(work, current_queue(device_));
    backend_of(device_).free(device_.index, p, size);
  }

  void give_back() {
    {
      std::lock_guard lock(lock_);
      trim(0);
    }
    backend_of(device_).trim(device_.index);
  }
  void clear() {
    RecordingMemory::of(device_).release(true);
    give_back();
    HostSpace::of(device_).clear();
  }
  MemoryStats stats() {
    std::lock_guard lock(lock_);
    return stats_;
  }
  std::string summary() {
    const MemoryStats now = stats();
    const SpillStats spilled = spill_stats(device_);
    std::string text = cat("arrays hold ", human(now.active), " (peak ", human(now.peak), "), ",
                           human(now.cache), " are cached, the limit is ", human(limit()));
    if (device_.type != DeviceType::cpu)
      text += cat("; ", human(spilled.in_host), " are spilled to host memory, of which ",
                  human(spill_limit()), " may be used");
    return text;
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

  struct Freed {
    void* p;
    int64_t work;               // may still use the buffer
    std::vector<int64_t> more;  // likewise
  };
  // What this thread gives to its queue comes after the piece of work.
  void follow(int64_t work, int queue) noexcept {
    if (queue_of_work(work) != queue) backend_of(device_).order(device_.index, work);
  }
  void follow(const Freed& freed, int queue) noexcept {
    follow(freed.work, queue);
    for (int64_t work : freed.more) follow(work, queue);
  }
  // The one freed last, if only the one queue there is has work on it, which comes before what it
  // is given from here on; or null.
  void* take_last(int64_t size) {
    auto& bin = bins_[size_class(size)];
    if (bin.empty() || several_queues.load(std::memory_order_relaxed)) return nullptr;
    const Freed& last = bin.back();
    if (!last.more.empty() || queue_of_work(last.work) != 0) return nullptr;
    void* p = last.p;
    bin.pop_back();
    stats_.cache -= size;
    return p;
  }

  // The one freed last for which nobody has to wait, or else the oldest; a fresh buffer is better
  // than waiting if there is room for one.
  std::optional<Freed> take(int64_t size, bool for_copy) {
    auto& bin = bins_[size_class(size)];
    if (bin.empty()) return std::nullopt;
    size_t at = 0;
    if (!for_copy) {
      const Backend& backend = backend_of(device_);
      const bool one_queue = !several_queues.load(std::memory_order_relaxed);
      const auto ready = [&](const Freed& f) {
        if (one_queue && f.more.empty()) return true;
        return backend.follows(device_.index, f.work) &&
               std::all_of(f.more.begin(), f.more.end(),
                           [&](int64_t work) { return backend.follows(device_.index, work); });
      };
      constexpr size_t kLookedAt = 8;
      const size_t least = bin.size() > kLookedAt ? bin.size() - kLookedAt : 0;
      at = bin.size();
      while (at > least && !ready(bin[at - 1])) --at;
      if (at > least) {
        --at;
      } else {
        at = 0;
        if (!ready(bin[0]) && stats_.active + stats_.cache + size <= limit()) return std::nullopt;
      }
    }
    std::optional<Freed> taken = std::move(bin[at]);
    bin.erase(bin.begin() + static_cast<std::ptrdiff_t>(at));
    stats_.cache -= size;
    return taken;
  }

  // Largest buffers first: they are the ones whose absence the system feels.
  void trim(int64_t keep) noexcept {
    const int queue = current_queue(device_);
    for (int c = kClasses; c-- > 0 && stats_.cache > keep;) {
      auto& bin = bins_[c];
      int64_t size = class_bytes(c);
      while (!bin.empty() && stats_.cache > keep) {
        follow(bin.back(), queue);
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
        " asked for; ", summary(),
        ". Drop arrays, compute in smaller pieces, or raise the limit with set_memory_limit()."));
  }

  const Device device_;
  const int64_t own_;
  std::mutex lock_;
  MemoryStats stats_;                  // guarded by lock_
  std::vector<Freed> bins_[kClasses];  // guarded by lock_
};

PerDevice<Pool>& pools() {
  static auto& p = *new PerDevice<Pool>;
  return p;
}

Pool& pool_of(Device device) {
  static Pool& cpu = pools()[Device{}];
  return device == Device{} ? cpu : pools()[device];
}

template <class F>
void for_each_pool(F f) {
  pool_of(Device{});
  pools().for_each(f);
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

std::string memory_summary(Device device) {
  return cat(backend_of(device).name(), " ", device.index, ": ", pool_of(device).summary());
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

bool RecordingMemory::serves(Device device) { return recording && recording->device() == device; }

void* allocate_memory(Device device, int64_t bytes) {
  if (RecordingMemory::serves(device)) [[unlikely]]
    return recording->allocate(bytes);
  return pool_of(device).allocate(bytes);
}
void* allocate_memory(Device device, int64_t bytes, std::vector<int64_t>& after) {
  return pool_of(device).allocate(bytes, &after);
}
void free_memory(Device device, void* p, int64_t bytes) noexcept {
  const int64_t work = backend_of(device).work_given(device.index);
  free_memory(device, p, bytes, {&work, 1});
}
void free_memory(Device device, void* p, int64_t bytes, std::span<const int64_t> after) noexcept {
  if (RecordingMemory::serves(device) && recording->owns(p)) [[unlikely]]
    return recording->free(p);
  pool_of(device).free(p, bytes, after);
}

RecordingMemory& RecordingMemory::of(Device device) {
  static auto& all = *new PerDevice<RecordingMemory>;
  return all[device];
}

RecordingMemory::Scope::Scope(RecordingMemory& memory) { recording = &memory; }
RecordingMemory::Scope::~Scope() { recording = nullptr; }

bool RecordingMemory::owns(const void* p) const { return blocks_.count(const_cast<void*>(p)) != 0; }

// The smallest free block of the queue that is large enough and not twice as large.
void* RecordingMemory::allocate(int64_t bytes) {
  const int64_t size = rounded_size(bytes);
  const int queue = current_queue(device_);
  auto best = blocks_.end();
  for (auto it = blocks_.begin(); it != blocks_.end(); ++it)
    if (!it->second.used && it->second.queue == queue && it->second.bytes >= size &&
        it->second.bytes <= 2 * size &&
        (best == blocks_.end() || it->second.bytes < best->second.bytes))
      best = it;
  if (best == blocks_.end()) {
    best = blocks_.emplace(pool_of(device_).allocate(size), Block{size, queue, false}).first;
    bytes_.fetch_add(size);
  }
  best->second.used = true;
  return best->first;
}

void RecordingMemory::free(void* p) noexcept { blocks_.find(p)->second.used = false; }

int64_t RecordingMemory::release(bool wait) noexcept {
  std::unique_lock guard(lock_, std::defer_lock);
  if (wait)
    guard.lock();
  else if (!guard.try_lock())
    return 0;
  if (recording == this || blocks_.empty()) return 0;
  ++generation_;
  int64_t bytes = 0;
  for (auto& [p, block] : blocks_) {
    const int64_t work = backend_of(device_).work_given(device_.index, block.queue);
    pool_of(device_).free(p, block.bytes, {&work, 1});
    bytes += block.bytes;
  }
  blocks_.clear();
  bytes_.store(0);
  return bytes;
}

}  // namespace legato
