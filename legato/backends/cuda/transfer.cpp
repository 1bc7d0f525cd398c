// Waiting for work, copies between the host and a GPU beside its work, and the order with what
// other libraries of the process give to the GPU.
#include <algorithm>
#include <cstring>
#include <utility>

#include "legato/backends/cuda/device.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

namespace legato::cuda {
namespace {

constexpr size_t kMaxMarks = 64;  // past that the oldest go: those behind them serve as well
constexpr size_t kCopyChunk = size_t{512} << 10;  // one thread's part of a copy in host memory

void copy_in_host_memory(void* to, const void* from, size_t bytes) {
  const int64_t chunks = static_cast<int64_t>(bytes / kCopyChunk);
  if (chunks < 2) {
    std::memcpy(to, from, bytes);
    return;
  }
  parallel_for(chunks, [&](int64_t chunk) {
    const size_t at = static_cast<size_t>(chunk) * kCopyChunk;
    const size_t end = chunk == chunks - 1 ? bytes : at + kCopyChunk;
    std::memcpy(static_cast<char*>(to) + at, static_cast<const char*>(from) + at, end - at);
  });
}

}  // namespace

std::shared_ptr<CUevent_st> GpuDevice::event_after(int64_t work) {
  if (ended_.load(std::memory_order_acquire) >= work) return nullptr;
  submit();
  batch_.check_lost(work);
  std::lock_guard lock(mark_lock_);
  auto at =
      std::find_if(marks_.begin(), marks_.end(), [&](const Mark& m) { return m.work >= work; });
  if (at != marks_.end()) return at->event;
  CUevent event = nullptr;
  check(driver().cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), "making an event");
  std::shared_ptr<CUevent_st> owner(event, [](CUevent e) { driver().cuEventDestroy(e); });
  const int64_t now = work_given();  // before the event: it may stand behind more, never less
  submit();
  check(driver().cuEventRecord(event, queue_), "recording an event");
  if (marks_.size() >= kMaxMarks) marks_.pop_front();
  marks_.push_back({now, owner});
  return owner;
}

void GpuDevice::wait_for(int64_t work) {
  refuse_to_record("a wait");
  const auto event = event_after(work);
  if (!event) return;
  check(driver().cuEventSynchronize(event.get()), "computing");
  std::lock_guard lock(mark_lock_);
  auto at =
      std::find_if(marks_.begin(), marks_.end(), [&](const Mark& m) { return m.event == event; });
  const int64_t ended = at == marks_.end() ? work : at->work;
  if (ended > ended_.load(std::memory_order_relaxed))
    ended_.store(ended, std::memory_order_release);
  while (!marks_.empty() && marks_.front().work <= ended) marks_.pop_front();
  if (ended == work_given()) batch_.device_is_idle();
}

void GpuDevice::synchronize() {
  refuse_to_record("a wait");
  submit();
  batch_.check_lost(work_given());
  check(driver().cuStreamSynchronize(queue_), "computing");
  batch_.device_is_idle();
}

// What the lane copies from here on comes after the first `work` pieces of work.
void GpuDevice::follow(Lane& lane, int64_t work) {
  if (const auto event = event_after(work))
    check(driver().cuStreamWaitEvent(lane.queue, event.get(), 0), "ordering a copy");
}

GpuDevice::Stage& GpuDevice::take_stage(Lane& lane, int64_t bytes) {
  Driver& d = driver();
  Stage& stage = lane.stages[lane.next ^= 1];
  if (stage.memory) check(d.cuEventSynchronize(stage.free), "waiting for a copy");
  if (stage.bytes < bytes) {
    if (stage.memory) d.cuMemFreeHost(std::exchange(stage.memory, nullptr));
    stage.bytes = 0;
    const int64_t size = bytes <= kFirstStageBytes ? kFirstStageBytes : kStageBytes;
    check(d.cuMemHostAlloc(&stage.memory, static_cast<size_t>(size), 0), "pinning host memory");
    stage.bytes = size;
  }
  if (!stage.free) check(d.cuEventCreate(&stage.free, CU_EVENT_DISABLE_TIMING), "making an event");
  return stage;
}

// The host's memory may be given up when this returns: it has been copied to a staging buffer. Two
// of them, so that one fills while the other travels.
void GpuDevice::copy_in(void* to, const void* from, int64_t bytes, int64_t after) {
  refuse_to_record("a copy from the host");
  Driver& d = driver();
  std::lock_guard lock(in_.lock);
  follow(in_, after);
  for (int64_t at = 0; at < bytes; at += kStageBytes) {
    const size_t n = static_cast<size_t>(std::min(kStageBytes, bytes - at));
    Stage& stage = take_stage(in_, static_cast<int64_t>(n));
    copy_in_host_memory(stage.memory, static_cast<const char*>(from) + at, n);
    check(d.cuMemcpyHtoDAsync(reinterpret_cast<CUdeviceptr>(to) + static_cast<size_t>(at),
                              stage.memory, n, in_.queue),
          "copying to the GPU");
    check(d.cuEventRecord(stage.free, in_.queue), "recording an event");
  }
  // Work that is given from here on finds the data.
  submit();
  check(d.cuEventRecord(in_.arrived, in_.queue), "recording an event");
  check(d.cuStreamWaitEvent(queue_, in_.arrived, 0), "ordering a copy");
}

void GpuDevice::copy_out(void* to, const void* from, int64_t bytes, int64_t after) {
  refuse_to_record("a copy to the host");
  std::lock_guard lock(out_.lock);
  follow(out_, after);
  struct Part {
    Stage* stage = nullptr;
    int64_t at = 0;
    size_t n = 0;
  } travelling;
  auto arrive = [&] {
    if (!travelling.stage) return;
    check(driver().cuEventSynchronize(travelling.stage->free), "waiting for a copy from the GPU");
    copy_in_host_memory(static_cast<char*>(to) + travelling.at, travelling.stage->memory,
                        travelling.n);
    travelling.stage = nullptr;
  };
  for (int64_t at = 0; at < bytes; at += kStageBytes) {
    const size_t n = static_cast<size_t>(std::min(kStageBytes, bytes - at));
    Stage& stage = take_stage(out_, static_cast<int64_t>(n));
    check(driver().cuMemcpyDtoHAsync(stage.memory,
                                     reinterpret_cast<CUdeviceptr>(from) + static_cast<size_t>(at),
                                     n, out_.queue),
          "copying from the GPU");
    check(driver().cuEventRecord(stage.free, out_.queue), "recording an event");
    arrive();  // the part before, while this one travels
    travelling = {&stage, at, n};
  }
  arrive();
}

namespace {

// An event for one use. The driver keeps what was recorded until nobody waits for it any more.
class Moment {
 public:
  Moment() { check(driver().cuEventCreate(&event_, CU_EVENT_DISABLE_TIMING), "making an event"); }
  ~Moment() { driver().cuEventDestroy(event_); }
  Moment(const Moment&) = delete;
  CUevent event() const { return event_; }

 private:
  CUevent event_ = nullptr;
};

}  // namespace

void GpuDevice::lead(CUstream stream) {
  Moment now;
  submit();
  check(driver().cuEventRecord(now.event(), queue_), "recording an event");
  check(driver().cuStreamWaitEvent(stream, now.event(), 0), "making another library's stream wait");
}

// Where the driver refuses (a stream of the context is being captured into a graph), the host
// waits.
void GpuDevice::lead_all() noexcept try {
  submit();
  if (driver().cuStreamQuery(queue_) == CUDA_SUCCESS) return;
  Moment now;
  // To make all streams wait would end the recording.
  if (recorder_ == this || driver().cuEventRecord(now.event(), queue_) != CUDA_SUCCESS ||
      driver().cuCtxWaitEvent(context_, now.event()) != CUDA_SUCCESS)
    driver().cuStreamSynchronize(queue_);
} catch (...) {
  driver().cuStreamSynchronize(queue_);
}

// What the queue waits for counts as a piece of work, so that copies from and to the host, which
// are beside the queue, can wait for it too.
int64_t GpuDevice::follow_all() noexcept {
  submit();
  try {
    Moment now;
    if (driver().cuCtxRecordEvent(context_, now.event()) != CUDA_SUCCESS ||
        driver().cuStreamWaitEvent(queue_, now.event(), 0) != CUDA_SUCCESS)
      driver().cuCtxSynchronize();
  } catch (...) {
    driver().cuCtxSynchronize();
  }
  return followed();
}

int64_t GpuDevice::followed() noexcept {
  count_work();
  return work_given();
}

}  // namespace legato::cuda
