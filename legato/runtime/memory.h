// Memory: a bounded cache of freed buffers for each device, its statistics, and DeviceStorage,
// which keeps valid copies (replicas) of a value on the devices that read it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "legato/array/storage.h"
#include "legato/base/export.h"
#include "legato/runtime/backend.h"
#include "legato/runtime/residents.h"

namespace legato {

/// Counts of one device, in bytes.
struct MemoryStats {
  int64_t active = 0;  // held by arrays and running kernels
  int64_t peak = 0;    // highest `active` since the last reset
  int64_t cache = 0;   // freed, kept for reuse
};

/// Statistics of `device`, or of all devices together; a value with copies on two devices counts
/// twice then.
LEGATO_API MemoryStats memory_stats(Device device);
LEGATO_API MemoryStats memory_stats();
LEGATO_API void reset_peak_memory();
/// Gives all cached buffers back to the system.
LEGATO_API void clear_memory_cache();
/// For people: what arrays of a device hold, what is cached and spilled, and the limits.
LEGATO_API std::string memory_summary(Device device);
/// Bytes that arrays of one device may hold; an allocation beyond it trims the cache, lets other
/// values leave the device (Note [Spilling] in residents.h), then raises MemoryError. Setting it
/// sets that of every device; returns what it was on the default device. Until then it is 95 % of
/// the machine's memory, and of a GPU's own.
LEGATO_API int64_t set_memory_limit(int64_t bytes);
LEGATO_API int64_t memory_limit(Device device);
/// Bytes of freed buffers kept for reuse on one device. Setting it sets that of every device;
/// returns what it was on the default device. Until then it is 1 GiB of the host's memory, and of a
/// GPU's as much as arrays may hold: what is cached is given back when an array needs it.
LEGATO_API int64_t set_cache_limit(int64_t bytes);
LEGATO_API int64_t cache_limit(Device device);

/// Bytes that a request is rounded up to.
int64_t rounded_size(int64_t bytes);
/// A buffer of at least `bytes` bytes, 64-byte aligned, contents undefined, for the queue that this
/// thread has entered. Throws MemoryError with a summary.
void* allocate_memory(Device device, int64_t bytes);
/// The same for a copy from the host, which need not wait for the device's work in its order: for
/// which pieces it has to wait is left in `after`.
void* allocate_memory(Device device, int64_t bytes, std::vector<int64_t>& after);
/// What was given to this thread's queue so far may still use the buffer.
void free_memory(Device device, void* p, int64_t bytes) noexcept;
/// These pieces of work may still use it.
void free_memory(Device device, void* p, int64_t bytes, std::span<const int64_t> after) noexcept;

/// Whether streams have been made that give a device's work to more than one queue. Until then
/// nobody asks which queue it is.
extern std::atomic<bool> several_queues;
/// The queue of the device that this thread has entered.
inline int current_queue(Device device) {
  if (!several_queues.load(std::memory_order_relaxed)) [[likely]]
    return 0;
  return queue_of_work(backend_of(device).work_given(device.index));
}

/// Memory for what lies between the launches of recordings: its addresses stand in them, so it is
/// kept as long as they are. Work of one queue has one order, so all its recordings use the same.
/// While a Scope is open, this thread's memory of the device comes from here.
class RecordingMemory {
 public:
  static RecordingMemory& of(Device device);
  /// Whether this thread's memory of the device comes from there.
  static bool serves(Device device);

  class Scope {
   public:
    explicit Scope(RecordingMemory& memory);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
  };
  /// To be held while something is recorded or replayed.
  std::recursive_mutex& lock() { return lock_; }
  /// Changes when the memory has been given back: recordings from before must not be replayed.
  uint64_t generation() const { return generation_; }
  bool owns(const void* p) const;
  /// Gives the memory back, unless this thread is recording, or without waiting for others that
  /// are. Gives how much.
  int64_t release(bool wait) noexcept;
  /// A recording is about to be replayed.
  void touch() { last_use_.store(use_clock.load(std::memory_order_relaxed)); }
  int64_t last_use() const { return last_use_.load(); }
  int64_t bytes() const { return bytes_.load(); }

  Device device() const { return device_; }
  void* allocate(int64_t bytes);
  void free(void* p) noexcept;

 private:
  template <class T>
  friend class PerDevice;
  explicit RecordingMemory(Device device) : device_(device) {}
  struct Block {
    int64_t bytes;
    int queue;
    bool used;
  };
  Device device_;
  std::recursive_mutex lock_;
  uint64_t generation_ = 0;
  std::map<void*, Block> blocks_;  // guarded by lock_
  std::atomic<int64_t> last_use_{0}, bytes_{0};
};

/// What keeps memory of another library alive. Destroyed, on any thread, when no array uses the
/// memory any more and the device's other streams wait for those who did.
struct MemoryOwner {
  virtual ~MemoryOwner() = default;
};

/// Storage with a replica on every device that has read it. Values never change, so a replica once
/// made stays valid; the device that computes a value writes the first one before anybody can see
/// it. A device whose memory is short may lose its replica, the first one too, when the host has
/// another; replicas in the host's memory stay.
class LEGATO_API DeviceStorage final : public Storage {
 public:
  /// Allocates on `home`. Throws MemoryError.
  DeviceStorage(Device home, int64_t bytes);
  /// Over memory of another library: `data` on `home`. It is read and never written.
  DeviceStorage(Device home, void* data, int64_t bytes, std::unique_ptr<MemoryOwner> owner);

  /// The copy on `device`; made from another one if there is none. What this thread gives to the
  /// device from here on finds the values. On a device with memory of its own the address holds
  /// while the thread is within an InUse, or the storage pinned. Thread-safe.
  void* on(Device device);
  /// The device it was made on.
  Device home() const { return home_; }
  /// Whether `device` already holds a copy.
  bool is_on(Device device) const;
  /// The device has been given the work that computes the values: the newest piece of it.
  void computed_by(int64_t work) {
    if (queue_of_work(work) != 0) readers_.fetch_or(1u << queue_of_work(work));
    work_.store(work, std::memory_order_release);
  }
  int64_t work() const { return work_.load(std::memory_order_acquire); }
  /// Whether it was made on `device` and no other has a copy.
  bool is_only_on(Device device) const;
  /// Whether only one queue has been given work on the first replica, the one that this thread has
  /// entered.
  bool is_of_this_queue() const;
  /// The first replica's memory, to be written by the one who made the storage.
  void* writable() { return data_.load(std::memory_order_relaxed); }
  /// Drops the copies on other devices: the first one is about to be written again.
  void drop_copies() noexcept;
  /// Whether the memory belongs to another library.
  bool foreign() const { return owner_ != nullptr; }
  /// From share() to unshare() somebody outside may write to the first replica: the others are
  /// copied anew whenever they are read, and once after it.
  void share() noexcept;
  void unshare() noexcept;
  bool is_shared() const;
  /// From pin() to unpin() no replica loses its memory: somebody outside knows the address.
  void pin() noexcept;
  void unpin() noexcept;
  /// Lets the replica on `device` lose its memory there if that can be; one that no other device
  /// has, too, only if `sole`. Gives how many bytes. With the lock of the device's Residents held.
  int64_t leave(Device device, bool sole) noexcept;
  /// The values are right only if `check` holds.
  void add_check(const Ref<DeviceCheck>& check);
  /// The values are computed from those of `from`: its checks are theirs.
  void inherit_checks(const DeviceStorage& from);
  /// Throws what a check found. Call when the device has finished.
  void verify();
  /// Whether there is anything to verify.
  bool has_checks() const { return checked_.load(std::memory_order_acquire); }
  /// How many copies between devices have been made in this process.
  static int64_t copies_made();

 protected:
  ~DeviceStorage() override;

 private:
  /// A replica on another device, or the one in host memory of a value that was spilled.
  struct Copy {
    Device device;
    void* data = nullptr;
    bool stale = false;                  // the first one may have been written to since
    int64_t work = 0;                    // brought it there, or brings it
    uint32_t readers = 1;                // queues of the device that may use it
    std::unique_ptr<Resident> resident;  // null: it stays
    bool spilled = false;                // lies in the HostSpace of home_
    int64_t arrives = 0, left = 0;       // work of home_: brings it, has read it; 0: none
  };
  // With lock_ held, all of these.
  void rethrow_failed_check();
  void read_back(void* to);  // from the first replica's device
  void refresh(Copy& copy);
  void await(Copy& copy);
  Copy* copy_on(Device device);
  void* copy_to(Device device);
  void* bring_back();
  void forget(Copy& copy) noexcept;

  const Device home_;
  const bool moves_;               // may lose its memory there
  std::atomic<void*> data_;        // there; null: another replica has the values
  std::atomic<int64_t> work_{0};   // of home_
  std::atomic<uint32_t> readers_;  // queues of home_ that may use it
  Resident resident_;
  std::unique_ptr<MemoryOwner> owner_;  // of the first replica; null: it is from our pool
  int shares_ = 0, pins_ = 0;           // guarded by lock_
  mutable std::mutex lock_;
  std::vector<Copy> others_;              // guarded by lock_
  std::atomic<bool> checked_{false};      // checks_ is not empty
  std::vector<Ref<DeviceCheck>> checks_;  // guarded by lock_
};

}  // namespace legato
