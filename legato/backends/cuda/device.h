// A GPU as the backend sees it: its context, the queue on which everything runs, memory, staging
// buffers, the modules of compiled kernels, and the records in which kernels report bad values.
//
// Note [Queues]: each stream of Legato gives its work to a queue, which is a CUDA stream; the
// default one to queue 0. Within a queue order needs no event: a buffer that the host gives up
// after a launch may be handed out at once, because whoever gets it writes later in the same queue.
// Copies from and to the host have a queue for each direction, so that they pass by what is being
// computed. Work is counted in each queue; who has to come after a piece of another queue names it,
// and an event that stands behind it (Mark) is waited for, once.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "legato/array/dtype.h"
#include "legato/backends/cuda/batch.h"
#include "legato/backends/cuda/driver.h"
#include "legato/backends/cuda/kernel_abi.h"
#include "legato/runtime/backend.h"

namespace legato::cuda {

/// Compiled code of one family, embedded in the plugin: a fat binary for all architectures.
struct Image {
  const char* name;  // "reduce"
  const void* data;
};
/// All images, written by cmake/Cuda.cmake; ends with {nullptr, nullptr}.
extern const Image kImages[];

class GpuDevice {
 public:
  /// Asks for the device's properties; its context is made when it is first entered, which takes
  /// time and memory.
  explicit GpuDevice(int index);
  GpuDevice(const GpuDevice&) = delete;

  /// Makes the device's context current in this thread. Throws EvalError in a forked child.
  void enter();

  int index() const { return index_; }
  /// Where this thread's work goes: the queue it has entered, or the one that is recorded. Launches
  /// that were put aside (batch.h) are given to the queue first.
  CUstream queue() {
    if (recorder_ == this) return recorded_queue_;
    Queue& queue = queues_[entered_[index_]];
    queue.submit();
    return queue.stream;
  }
  int enter_queue(int queue);
  int multiprocessors() const { return multiprocessors_; }
  /// Bytes of shared memory that a block may ask for.
  int shared_bytes() const { return shared_bytes_; }
  int capability() const { return capability_; }  // 90 for 9.0
  int64_t total_memory() const { return total_memory_; }
  const std::string& name() const { return name_; }

  void* allocate(int64_t bytes);
  void free(void* p) noexcept;
  void trim() noexcept;
  int64_t copy_in(void* to, const void* from, int64_t bytes, std::span<const int64_t> after);
  void copy_out(void* to, const void* from, int64_t bytes, int64_t after);
  void synchronize();
  int64_t free_bytes();
  // Host memory that copies reach without help, and such copies.
  void* allocate_host(int64_t bytes) noexcept;
  void free_host(void* p) noexcept;
  int64_t start_copy_in(void* to, const void* from, int64_t bytes, std::span<const int64_t> after);
  int64_t start_copy_out(void* to, const void* from, int64_t bytes, std::span<const int64_t> after);
  // Pieces of work, counted: see backend.h.
  int64_t work_given() const { return work_given(entered_[index_]); }
  int64_t work_given(int queue) const {
    return piece_of_work(queue, queues_[queue].given.load(std::memory_order_acquire));
  }
  void count_work() { queues_[entered_[index_]].given.fetch_add(1, std::memory_order_acq_rel); }
  void mark(int64_t work) { event_after(work); }
  void wait_for(int64_t work);
  void order(int64_t work) noexcept;
  bool follows(int64_t work);

  // Order with other libraries: see backend.h.
  CUstream exchange_queue() {
    queues_[0].submit();
    return queues_[0].stream;
  }
  void lead(CUstream stream);
  void lead_all() noexcept;
  int64_t follow_all() noexcept;
  int64_t followed() noexcept;

  /// From here on, launches of this thread are recorded instead of carried out; see backend.h.
  void begin_recording();
  bool recording() const { return recorder_ == this; }  // this thread does
  std::unique_ptr<Recording> end_recording(std::unique_ptr<Recording> old);
  Ref<DeviceCheck> replay(const Recording& recording);

  /// `n` counters for a launch on this thread's queue, all of them 0; it leaves them at 0. They are
  /// the same each time, so that nobody has to clear them before a launch.
  unsigned* counters(int64_t n);

  /// A kernel of an embedded image, by the name it has there. `shared_bytes`: how much shared
  /// memory its launches ask for, the same each time.
  CUfunction kernel(const char* image, std::string_view name, int shared_bytes = 0);
  /// Loads code that NVRTC made and returns its only kernel, `name`.
  CUfunction load(const void* code, const char* name);
  /// Its module is about to be unloaded.
  void forget(CUfunction f) noexcept;
  /// A kernel that takes the struct at `params`, of `bytes` bytes.
  void launch(CUfunction f, int64_t blocks, int threads, const void* params, size_t bytes,
              const char* what, int shared_bytes);
  template <class Params>
  void launch(CUfunction f, int64_t blocks, int threads, Params* params, const char* what,
              int shared_bytes = 0) {
    static_assert(std::is_class_v<Params>, "give the size of what is no struct");
    launch(f, blocks, threads, params, sizeof(Params), what, shared_bytes);
  }
  /// A call of a library: carried out, put aside or recorded.
  void launch(const LibraryCall& call);
  /// A kernel with any parameters on a grid of three axes.
  struct Grid {
    unsigned blocks[3], threads[3];
    unsigned shared_bytes = 0;
  };
  void launch(CUfunction f, const Grid& grid, void** arguments, const char* what);

  /// A record for a launch that checks values; give `where` to the kernel, and `check` to
  /// Launch::fail_unless(). `describe` makes the exception of a violation out of it. While the
  /// launch is recorded there is no check: each replay has one.
  using Describe = std::exception_ptr (*)(const char* op, const ValueReport&);
  struct Report {
    ValueReport* where;  // as the device sees it
    Ref<DeviceCheck> check;
  };
  Report report(const char* op, Describe describe);

  /// The checks of a recording.
  class RecordedReports;
  /// Lets the next replay report to a record of its own; gives its check.
  Ref<DeviceCheck> direct(RecordedReports& reports);

 private:
  friend class ReportCheck;
  static constexpr int kReports = 256, kCounters = 8192;
  static constexpr int64_t kFirstStageBytes = int64_t{64} << 10, kStageBytes = int64_t{8} << 20;
  struct Stage {  // pinned memory through which copies go
    void* memory = nullptr;
    int64_t bytes = 0;
    CUevent free = nullptr;  // when the copy that used it last has ended
  };
  using Event = std::shared_ptr<CUevent_st>;  // goes back to the spare ones
  /// An event behind the first pieces of a queue's work.
  struct Mark {
    int64_t place;
    Event event;
  };
  static constexpr int kIn = kMostQueues, kOut = kMostQueues + 1, kQueues = kMostQueues + 2;
  struct Queue {
    std::atomic<bool> opened{false};
    std::unique_ptr<LaunchBatch> batch;       // null: of copies
    CUstream stream = nullptr;                // made when it is first entered
    std::atomic<int64_t> given{0}, ended{0};  // pieces of work
    std::mutex lock;
    CUdeviceptr counters = 0;                    // guarded by lock; made when they are first used
    std::deque<Mark> marks;                      // guarded by lock, oldest first
    std::atomic<int64_t> follows[kQueues] = {};  // the pieces of others that its next work follows
    void submit() noexcept {
      if (batch) batch->submit(stream);
    }
  };
  /// Copies of one direction, on a queue of their own.
  struct Lane {
    std::mutex lock;  // guards all of it
    Stage stages[2];
    int next = 0;
    CUevent arrived = nullptr;
  };
  struct Key {
    const char* image;
    std::string name;
  };
  void open();
  CUfunction find_kernel(const char* image, std::string_view name, int shared_bytes);
  void open_reports();
  void clear_reports(const std::vector<int>& slots);  // the device has finished
  int take_report(const char* op);
  Stage& take_stage(Lane& lane, int64_t bytes);
  Event new_event();
  // What is given to the queue from here on comes after the piece of work.
  void follow(int queue, int64_t work);
  // Null if the work is known to have ended.
  Event event_after(int64_t work);
  // Counts a piece of work and leaves `event` behind it.
  int64_t give_marked(int queue, Event event);
  // Calls f(queue) for those of streams that have been entered, when they have got their launches.
  template <class F>
  void for_each_queue(F f) {
    for (int q = 0; q < kMostQueues; ++q) {
      Queue& queue = queues_[q];
      if (!queue.opened.load(std::memory_order_acquire)) continue;
      queue.submit();
      f(queue);
    }
  }
  void wait_for_queues() noexcept;
  // What the call launches; null if it cannot be captured now.
  CUgraph capture(const LibraryCall& call);
  // Throws while this thread records: `what` cannot be repeated.
  void refuse_to_record(const char* what) const;

  int index_;
  std::once_flag opened_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  Queue queues_[kQueues];
  static inline thread_local uint8_t entered_[64] = {};  // which queue, by the device's number
  CUstream recorded_queue_ = nullptr;  // carries out nothing; the runtime records once at a time
  static inline thread_local const GpuDevice* recorder_ = nullptr;  // on which this thread records
  // Of calls of libraries. To be held as well where a stream that is captured would not do.
  std::mutex capture_lock_;
  CUstream captured_queue_ = nullptr;  // guarded by capture_lock_
  CUmemoryPool pool_ = nullptr;
  int multiprocessors_ = 0, shared_bytes_ = 0, capability_ = 0;
  int64_t total_memory_ = 0;
  std::string name_;

  Lane in_, out_;
  std::mutex open_lock_;  // of queues
  std::mutex event_lock_;
  std::vector<CUevent> spare_events_;  // guarded by event_lock_
  std::vector<void*> pageable_;        // what allocate_host could not pin; likewise

  std::mutex module_lock_;
  std::unordered_map<std::string, CUmodule> modules_;      // by image; guarded by module_lock_
  std::unordered_map<std::string, CUfunction> functions_;  // by image and name

  std::shared_ptr<RecordedReports> recorded_reports_;  // of the recording that is being made
  std::mutex report_lock_;
  ValueReport* reports_ = nullptr;  // pinned memory that kernels can write
  CUdeviceptr claims_ = 0;          // their claims
  std::vector<int> free_reports_;   // guarded by report_lock_
  std::vector<int> used_reports_;   // released, but a launch may still write them
};

/// Finds the driver and the devices, once. Empty, or a sentence that says why there are none.
const std::string& find_devices();
int device_count();
/// The device, with its context current in this thread.
GpuDevice& device(int index);
/// The device for questions about its properties only.
const GpuDevice& device_properties(int index);

}  // namespace legato::cuda
