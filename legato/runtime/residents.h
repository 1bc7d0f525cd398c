// What lies in a device's memory, what of it has to stay for the moment, and what leaves when the
// memory is short.
//
// Note [Spilling]: a value whose device has no room for others loses its memory there. Where
// another device has a copy nothing else happens; a sole one is copied to host memory first, the
// one that was used longest ago before others. Who reads the value on the device later gets it
// back, at another address. Copies both ways are pieces of work beside what is computed; what is
// evicted may still be in use by work that was given before, since whoever gets the buffer next
// comes after that work and after the copy.
//
// Only one thing must not happen: that a value moves between the moment at which a thread asks for
// its address and the moment at which it has given the work that uses it. Such a thread is within
// an InUse, which lists what it uses. Both sides write first and look second: the thread lists the
// value and then reads the address; who evicts takes the address away, then looks at the lists, and
// puts it back if a thread has the value in its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "legato/runtime/backend.h"

namespace legato {

class DeviceStorage;

struct Resident;

/// Counts the scopes of InUse that have begun.
extern std::atomic<int64_t> use_clock;

/// What this thread reads on `device` while the object lives stays where it is. Scopes may nest.
/// Nothing where device's memory is the host's.
class InUse {
 public:
  explicit InUse(Device device)
      : device_(device), slot_(device.type == DeviceType::cpu ? nullptr : begin()) {}
  ~InUse() {
    if (slot_) end();
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

  struct Slot {  // of a thread
    static constexpr int kMost = 24;
    std::atomic<int64_t> since{0};  // by use_clock, uses are later; 0: no scope is open
    std::atomic<int> n{0};          // past kMost: everything used since then
    std::atomic<const Resident*> used[kMost] = {};
    bool taken = true;  // by a thread that lives
  };
  /// That of this thread while a scope is open, else null.
  static inline constinit thread_local Slot* open = nullptr;
  /// Whether another thread is within an InUse.
  static bool others();

 private:
  static Slot* begin();  // null if a scope of this thread is open
  void end();
  Device device_;
  Slot* slot_;
};

/// A value's memory on a device, as an entry in the list of what is there.
struct Resident {
  DeviceStorage* storage = nullptr;
  Resident *before = nullptr, *behind = nullptr;  // guarded by the lock of Residents
  std::atomic<int64_t> used{0};                   // by use_clock

  void touch() {
    const int64_t now = use_clock.load(std::memory_order_relaxed);
    int64_t known = used.load(std::memory_order_relaxed);
    while (known < now && !used.compare_exchange_weak(known, now, std::memory_order_relaxed)) {
    }
    InUse::Slot* slot = InUse::open;
    if (!slot) return;
    const int n = slot->n.load(std::memory_order_relaxed);
    if (n < InUse::Slot::kMost) slot->used[n].store(this, std::memory_order_relaxed);
    slot->n.store(n + 1);
  }
  /// Whether a thread within an InUse may know the address.
  bool in_use() const;
};

/// What has been moved because a device's memory was short; counts since the process began.
struct SpillStats {
  int64_t spills = 0, spilled_bytes = 0;    // sole values copied to the host
  int64_t returns = 0, returned_bytes = 0;  // copied back to where they were
  int64_t drops = 0, dropped_bytes = 0;     // replicas that another device had, too
  int64_t in_host = 0;                      // bytes that spilled values take there now
};
LEGATO_API SpillStats spill_stats(Device device);

/// All values of one device with memory of its own that may be moved. Smaller ones never are.
class Residents {
 public:
  static constexpr int64_t kSmallest = 16 << 10;
  static Residents& of(Device device);

  void add(Resident& r);
  void remove(Resident& r);  // also one that is not in the list
  /// Makes values leave until `bytes` are free, or none is left that can. Gives how many bytes.
  int64_t make_room(int64_t bytes);

  // For who moves values.
  /// The piece of queue 0 behind which nothing that was given so far uses a value that was used
  /// last at this time. With one queue only.
  int64_t last_work(int64_t used);
  /// All uses before this time were of work that has been given.
  void passed(int64_t time);
  void unlink(Resident& r);  // with the lock held
  void spilled(int64_t bytes);
  void returned(int64_t bytes);
  void dropped(int64_t bytes);
  SpillStats stats();

 private:
  template <class T>
  friend class PerDevice;
  explicit Residents(Device device);
  const Device device_;
  std::mutex lock_;
  Resident all_;  // the ring's own entry, guarded by lock_
  struct Passed {
    int64_t time, work;
  };
  std::mutex passed_lock_;
  std::deque<Passed> passed_;  // guarded by passed_lock_, oldest first
  std::atomic<int64_t> spills_{0}, spilled_bytes_{0}, returns_{0}, returned_bytes_{0}, drops_{0},
      dropped_bytes_{0};
};

/// Host memory for spilled values of one device. What is given back is kept for the next.
class HostSpace {
 public:
  static HostSpace& of(Device device);
  /// Null if there is no more. The piece of work of the device that still uses the memory is left
  /// in `after`.
  void* allocate(int64_t bytes, int64_t& after) noexcept;
  void free(void* p, int64_t bytes, int64_t after) noexcept;
  /// Gives what is kept back to the system.
  void clear() noexcept;
  int64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  template <class T>
  friend class PerDevice;
  explicit HostSpace(Device device) : device_(device) {}
  void trim();  // with the lock held
  struct Kept {
    void* p;
    int64_t bytes, after;
  };
  const Device device_;
  std::mutex lock_;
  std::vector<Kept> kept_;  // guarded by lock_
  std::atomic<int64_t> used_{0};
};

/// Bytes of host memory that spilled values of all devices may take, at first half of what the
/// process may use (environment: LEGATO_SPILL_LIMIT); 0: nothing is spilled. Gives what it was.
LEGATO_API int64_t set_spill_limit(int64_t bytes);
LEGATO_API int64_t spill_limit();

/// One object of a kind for each device, made when it is first asked for and never destroyed:
/// arrays may outlive static destructors.
template <class T>
class PerDevice {
 public:
  T& operator[](Device device) {
    const size_t type = static_cast<size_t>(device.type), index = static_cast<size_t>(device.index);
    LEGATO_CHECK(index < kMost, "a device has a number past 63");
    std::atomic<T*>& at = all_[type][index];
    if (T* known = at.load(std::memory_order_acquire)) return *known;
    std::lock_guard lock(lock_);
    if (!at.load(std::memory_order_relaxed)) at.store(new T(device), std::memory_order_release);
    return *at.load(std::memory_order_relaxed);
  }
  template <class F>
  void for_each(F f) {
    for (auto& type : all_)
      for (auto& at : type)
        if (T* known = at.load(std::memory_order_acquire)) f(*known);
  }

 private:
  static constexpr size_t kTypes = 4, kMost = 64;
  std::mutex lock_;
  std::atomic<T*> all_[kTypes][kMost] = {};
};

}  // namespace legato
