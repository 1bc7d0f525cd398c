// Memory: a bounded cache of freed buffers for each device, its statistics, and DeviceStorage,
// which keeps valid copies (replicas) of a value on the devices that read it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "legato/array/storage.h"
#include "legato/base/export.h"
#include "legato/runtime/backend.h"

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
/// Bytes that arrays of one device may hold; an allocation beyond it trims the cache, then raises
/// MemoryError. Setting it sets that of every device; returns what it was on the default device.
/// Until then it is 95 % of the machine's memory, and of a GPU's own.
LEGATO_API int64_t set_memory_limit(int64_t bytes);
LEGATO_API int64_t memory_limit(Device device);
/// Bytes of freed buffers kept for reuse on one device. Setting it sets that of every device;
/// returns what it was on the default device. Until then it is 1 GiB of the host's memory, and of a
/// GPU's as much as arrays may hold: what is cached is given back when an array needs it.
LEGATO_API int64_t set_cache_limit(int64_t bytes);
LEGATO_API int64_t cache_limit(Device device);

/// A buffer of at least `bytes` bytes, 64-byte aligned, contents undefined. Throws MemoryError with
/// a summary.
void* allocate_memory(Device device, int64_t bytes);
/// The same for a copy from the host, which need not wait for the device's work in its order: for
/// which pieces it has to wait is left in `after`.
void* allocate_memory(Device device, int64_t bytes, int64_t& after);
void free_memory(Device device, void* p, int64_t bytes) noexcept;

/// Memory for what lies between the launches of recordings: its addresses stand in them, so it is
/// kept as long as they are. Work of one device has one order, so all its recordings use the same.
/// While a Scope is open, this thread's memory of the device comes from here.
class RecordingMemory {
 public:
  static RecordingMemory& of(Device device);

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
  /// Gives the memory back, unless this thread is recording.
  void release() noexcept;

  Device device() const { return device_; }
  void* allocate(int64_t bytes);
  void free(void* p) noexcept;

 private:
  explicit RecordingMemory(Device device) : device_(device) {}
  struct Block {
    int64_t bytes;
    bool used;
  };
  Device device_;
  std::recursive_mutex lock_;
  uint64_t generation_ = 0;
  std::map<void*, Block> blocks_;  // guarded by lock_
};

/// What keeps memory of another library alive. Destroyed, on any thread, when no array uses the
/// memory any more and the device's other streams wait for those who did.
struct MemoryOwner {
  virtual ~MemoryOwner() = default;
};

/// Storage with a replica on every device that has read it. Values never change, so a replica once
/// made stays valid; the device that computes a value writes the first one before anybody can see
/// it.
class LEGATO_API DeviceStorage final : public Storage {
 public:
  /// Allocates on `home`. Throws MemoryError.
  DeviceStorage(Device home, int64_t bytes);
  /// Over memory of another library: `data` on `home`. It is read and never written.
  DeviceStorage(Device home, void* data, int64_t bytes, std::unique_ptr<MemoryOwner> owner);

  /// The copy on `device`; made from another one if there is none yet. Thread-safe.
  void* on(Device device);
  /// The device it was made on.
  Device home() const { return first_.device; }
  /// Whether `device` already holds a copy.
  bool is_on(Device device) const;
  /// The device has been given the work that computes the values: the newest piece of it.
  void computed_by(int64_t work) { work_.store(work, std::memory_order_release); }
  int64_t work() const { return work_.load(std::memory_order_acquire); }
  /// Whether it was made on `device` and no other has a copy.
  bool is_only_on(Device device) const;
  /// The first replica's memory, to be written by the one who made the storage.
  void* writable() { return first_.data; }
  /// Drops the copies on other devices: the first one is about to be written again.
  void drop_copies() noexcept;
  /// Whether the memory belongs to another library.
  bool foreign() const { return owner_ != nullptr; }
  /// From share() to unshare() somebody outside may write to the first replica: the others are
  /// copied anew whenever they are read, and once after it.
  void share() noexcept;
  void unshare() noexcept;
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
  void rethrow_failed_check();  // with lock_ held
  void read_back(void* to);     // from the first replica's device, with lock_ held

  struct Replica {
    Device device;
    void* data;
    bool stale = false;  // the first one may have been written to since
  };
  void refresh(Replica& replica);  // with lock_ held
  Replica first_;
  std::atomic<int64_t> work_{0};        // of first_.device
  std::unique_ptr<MemoryOwner> owner_;  // of the first replica; null: it is from our pool
  int shares_ = 0;                      // guarded by lock_
  mutable std::mutex lock_;
  std::vector<Replica> others_;           // guarded by lock_
  std::atomic<bool> checked_{false};      // checks_ is not empty
  std::vector<Ref<DeviceCheck>> checks_;  // guarded by lock_
};

}  // namespace legato
