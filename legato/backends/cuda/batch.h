// Launches that wait to be given to the device together.
//
// Note [Put aside]: cuLaunchKernel takes 3.4 us of the host beside an H100, most kernels of a small
// model less of the GPU. A graph of launches takes the driver 2 us, and 0.3 us for each launch
// whose parameters are others than the last time. So a launch is put aside, and the device gets
// what has come together when somebody needs its queue or the batch is full. A batch whose like
// (the same kernels on the same grids) has come twice before becomes a graph; from then on its like
// is that graph, changed where parameters differ. Where most of them go on differing, as with
// buffers that take turns, a few graphs of one batch are kept, each with its parameters. Everything
// else is launched one by one, as ever.
//
// What the driver may refuse is refused at the call: a kernel is put aside only after a launch of
// it has been accepted. Launches of a batch that fail nevertheless are lost, with the device as a
// rule: whoever waits for work from there on gets the error.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "legato/backends/cuda/driver.h"
#include "legato/backends/cuda/library_call.h"

namespace legato::cuda {

/// A kernel that takes one struct by value, on a grid of one axis.
struct PlainLaunch {
  CUfunction function = nullptr;
  unsigned blocks = 0, threads = 0, shared_bytes = 0;
  unsigned bytes = 0;  // of the struct
};

/// The launches of one device that wait. Thread-safe; the device's context must be current.
class LaunchBatch {
 public:
  LaunchBatch();
  ~LaunchBatch();
  LaunchBatch(const LaunchBatch&) = delete;
  LaunchBatch& operator=(const LaunchBatch&) = delete;

  /// Launches, or puts aside. `work`: the number that the piece of work will have which this
  /// belongs to. Throws what the driver refuses, naming `what`.
  void launch(const PlainLaunch& launch, const void* params, int64_t work, CUstream queue,
              const char* what);
  /// What is to be done with a call of a library.
  enum class Call : uint8_t {
    put_aside,  // nothing: it has been captured before
    capture,    // capture it, then keep() it
    run         // nothing is known of it
  };
  Call call(const LibraryCall& call, int64_t work, CUstream queue);
  /// Keeps what the call launches, and puts it aside. Null: it cannot be captured.
  void keep(const LibraryCall& call, CUgraph captured, int64_t work, CUstream queue);
  /// Gives the queue what waits.
  void submit(CUstream queue) noexcept;
  /// Throws if any of the first `work` pieces was lost.
  void check_lost(int64_t work);
  /// The next batches are small, since the device has nothing to do; the first launch that fills it
  /// goes at once.
  void device_is_idle() { limit_.store(kIdle, std::memory_order_relaxed); }
  /// The kernel is about to be unloaded.
  void forget(CUfunction function, CUstream queue) noexcept;
  /// Gives the graphs' memory back.
  void drop_graphs() noexcept;

 private:
  struct Known;
  struct Made;
  struct Captured;
  struct Pending {
    PlainLaunch launch;
    uint32_t at = 0;  // where its struct begins in params_
    // Of a call of a library instead:
    uint64_t form = 0, number = 0;       // the number is that of what was captured
    const Captured* captured = nullptr;  // while it waits
  };
  static constexpr uint32_t kIdle = 0, kFirst = 8, kMost = 32;
  static constexpr uint64_t kFull = 100000;        // threads: about half of what a large GPU runs
  static constexpr size_t kParamBytes = 4096;      // what a kernel's struct may have at most
  static constexpr size_t kMostKnown = 4096;       // of them most are no graphs
  static constexpr size_t kMostNodes = 32768;      // in graphs
  static constexpr uint64_t kBetweenRoom = 20000;  // batches: then what comes round is kept
  static constexpr size_t kAccepted = 256;
  static constexpr size_t kMostCaptured = 2048, kMet = 1024;

  bool accepted(const PlainLaunch& l) const;
  void accept(const PlainLaunch& l);
  void begin(int64_t work);
  void added(CUstream queue);
  void put_aside(const Captured& captured, int64_t work, CUstream queue);
  void submit_locked(CUstream queue) noexcept;
  bool submit_as_graph(CUstream queue);
  void submit_one_by_one(CUstream queue) noexcept;
  bool make_room();
  template <class F>
  void drop_if(F&& f);

  const bool on_;  // LEGATO_BATCHES=0 turns them off, to find a fault
  std::mutex lock_;
  std::atomic<uint32_t> limit_{kIdle};
  std::vector<Pending> pending_;  // guarded by lock_, as all that follows
  std::unique_ptr<std::byte[]> params_;
  size_t params_used_ = 0;
  uint64_t hash_ = 0;  // of what is pending, its parameters left out
  int64_t first_work_ = 0;
  PlainLaunch accepted_[kAccepted];
  std::unordered_map<uint64_t, std::unique_ptr<Known>> known_;
  std::unordered_map<std::string_view, std::unique_ptr<Captured>> captured_;  // by their own keys
  uint64_t met_[kMet] = {};  // hashes of calls that have come once
  uint64_t captured_made_ = 0;
  uint64_t uses_ = 0, room_made_ = 0;
  size_t nodes_ = 0;
  int64_t lost_from_ = INT64_MAX;
  std::exception_ptr lost_;
};

}  // namespace legato::cuda
