// Waiting for work, copies between the host and a GPU beside its work, and the order with what
// other libraries of the process give to the GPU.
#include <algorithm>
#include <cstdlib>
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

GpuDevice::Event GpuDevice::new_event() {
  CUevent event = nullptr;
  {
    std::lock_guard lock(event_lock_);
    if (!spare_events_.empty()) {
      event = spare_events_.back();
      spare_events_.pop_back();
    }
  }
  if (!event) check(driver().cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), "making an event");
  return {event, [this](CUevent e) {  // who waits for it already waits for what it was recorded for
            std::lock_guard lock(event_lock_);
            spare_events_.push_back(e);
          }};
}

GpuDevice::Event GpuDevice::event_after(int64_t work) {
  Queue& queue = queues_[queue_of_work(work)];
  const int64_t place = place_of_work(work);
  if (queue.ended.load(std::memory_order_acquire) >= place) return nullptr;
  queue.submit();
  if (queue.batch) queue.batch->check_lost(place);
  std::lock_guard lock(queue.lock);
  const auto at = std::find_if(queue.marks.begin(), queue.marks.end(),
                               [&](const Mark& m) { return m.place >= place; });
  if (at != queue.marks.end()) return at->event;
  Event event = new_event();
  // Counted before the event is recorded: it may stand behind more, never less.
  const int64_t now = queue.given.load(std::memory_order_acquire);
  queue.submit();
  check(driver().cuEventRecord(event.get(), queue.stream), "recording an event");
  if (queue.marks.size() >= kMaxMarks) queue.marks.pop_front();
  queue.marks.push_back({now, event});
  return event;
}

int64_t GpuDevice::give_marked(int index, Event event) {
  Queue& queue = queues_[index];
  std::lock_guard lock(queue.lock);
  if (const CUresult status = driver().cuEventRecord(event.get(), queue.stream);
      status != CUDA_SUCCESS) {
    driver().cuStreamSynchronize(queue.stream);  // nothing may be under way that nobody knows of
    check(status, "recording an event");
  }
  const int64_t place = queue.given.fetch_add(1, std::memory_order_acq_rel) + 1;
  if (queue.marks.size() >= kMaxMarks) queue.marks.pop_front();
  queue.marks.push_back({place, std::move(event)});
  return piece_of_work(index, place);
}

namespace {

// The queue has ended the work before this place.
template <class Queue>
void ended(Queue& queue, int64_t place) {
  int64_t known = queue.ended.load(std::memory_order_relaxed);
  while (known < place &&
         !queue.ended.compare_exchange_weak(known, place, std::memory_order_release)) {
  }
  while (!queue.marks.empty() && queue.marks.front().place <= place) queue.marks.pop_front();
}

}  // namespace

void GpuDevice::wait_for(int64_t work) {
  refuse_to_record("a wait");
  const Event event = event_after(work);
  if (!event) return;
  check(driver().cuEventSynchronize(event.get()), "computing");
  Queue& queue = queues_[queue_of_work(work)];
  std::lock_guard lock(queue.lock);
  const auto at = std::find_if(queue.marks.begin(), queue.marks.end(),
                               [&](const Mark& m) { return m.event == event; });
  const int64_t place = at == queue.marks.end() ? place_of_work(work) : at->place;
  ended(queue, place);
  if (queue.batch && place == queue.given.load(std::memory_order_acquire))
    queue.batch->device_is_idle();
}

void GpuDevice::follow(int index, int64_t work) {
  const int other = queue_of_work(work);
  std::atomic<int64_t>& follows = queues_[index].follows[other];
  const int64_t place = place_of_work(work);
  if (other == index || follows.load(std::memory_order_acquire) >= place) return;
  if (const Event event = event_after(work)) {
    queues_[index].submit();
    check(driver().cuStreamWaitEvent(queues_[index].stream, event.get(), 0), "ordering work");
    // A piece of work itself: who comes after all that the queue was given comes after what it
    // waits for.
    queues_[index].given.fetch_add(1, std::memory_order_acq_rel);
  }
  int64_t known = follows.load(std::memory_order_relaxed);
  while (known < place && !follows.compare_exchange_weak(known, place, std::memory_order_release)) {
  }
}

// What is being recorded cannot wait for others; its replays do, because the queue does.
void GpuDevice::order(int64_t work) noexcept {
  const int queue = entered_[index_];
  try {
    follow(queue, work);
  } catch (...) {  // no event to be had, or launches were lost, which readers are told
    driver().cuStreamSynchronize(queues_[queue_of_work(work)].stream);
  }
}

bool GpuDevice::follows(int64_t work) {
  Queue& here = queues_[entered_[index_]];
  Queue& there = queues_[queue_of_work(work)];
  const int64_t place = place_of_work(work);
  if (&here == &there || there.ended.load(std::memory_order_acquire) >= place ||
      here.follows[queue_of_work(work)].load(std::memory_order_acquire) >= place)
    return true;
  std::lock_guard lock(there.lock);
  const auto at = std::find_if(there.marks.begin(), there.marks.end(),
                               [&](const Mark& m) { return m.place >= place; });
  if (at == there.marks.end() || driver().cuEventQuery(at->event.get()) != CUDA_SUCCESS)
    return false;
  ended(there, at->place);
  return true;
}

void GpuDevice::synchronize() {
  refuse_to_record("a wait");
  for_each_queue([](Queue& queue) {
    queue.batch->check_lost(queue.given.load(std::memory_order_acquire));
    check(driver().cuStreamSynchronize(queue.stream), "computing");
    queue.batch->device_is_idle();
  });
}

void GpuDevice::wait_for_queues() noexcept {
  for_each_queue([](Queue& queue) { driver().cuStreamSynchronize(queue.stream); });
}

void GpuDevice::forget(CUfunction f) noexcept {
  for_each_queue([f](Queue& queue) { queue.batch->forget(f, queue.stream); });
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
int64_t GpuDevice::copy_in(void* to, const void* from, int64_t bytes,
                           std::span<const int64_t> after) {
  refuse_to_record("a copy from the host");
  Driver& d = driver();
  std::lock_guard lock(in_.lock);
  Queue& lane = queues_[kIn];
  for (const int64_t work : after) follow(kIn, work);
  for (int64_t at = 0; at < bytes; at += kStageBytes) {
    const size_t n = static_cast<size_t>(std::min(kStageBytes, bytes - at));
    Stage& stage = take_stage(in_, static_cast<int64_t>(n));
    copy_in_host_memory(stage.memory, static_cast<const char*>(from) + at, n);
    check(d.cuMemcpyHtoDAsync(reinterpret_cast<CUdeviceptr>(to) + static_cast<size_t>(at),
                              stage.memory, n, lane.stream),
          "copying to the GPU");
    check(d.cuEventRecord(stage.free, lane.stream), "recording an event");
  }
  // Work that this thread gives from here on finds the data.
  const int64_t work = piece_of_work(kIn, lane.given.fetch_add(1, std::memory_order_acq_rel) + 1);
  check(d.cuEventRecord(in_.arrived, lane.stream), "recording an event");
  queues_[entered_[index_]].submit();
  check(d.cuStreamWaitEvent(queues_[entered_[index_]].stream, in_.arrived, 0), "ordering a copy");
  count_work();
  return work;
}

void GpuDevice::copy_out(void* to, const void* from, int64_t bytes, int64_t after) {
  refuse_to_record("a copy to the host");
  std::lock_guard lock(out_.lock);
  const CUstream lane = queues_[kOut].stream;
  follow(kOut, after);
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
    check(driver().cuMemcpyDtoHAsync(
              stage.memory, reinterpret_cast<CUdeviceptr>(from) + static_cast<size_t>(at), n, lane),
          "copying from the GPU");
    check(driver().cuEventRecord(stage.free, lane), "recording an event");
    arrive();  // the part before, while this one travels
    travelling = {&stage, at, n};
  }
  arrive();
}

// Copies without staging, which the host does not wait for. Also while this thread records: they
// are no part of what is recorded.
void* GpuDevice::allocate_host(int64_t bytes) noexcept {
  void* p = nullptr;
  const size_t size = static_cast<size_t>(bytes);
  if (driver().cuMemHostAlloc(&p, size, CU_MEMHOSTALLOC_PORTABLE) == CUDA_SUCCESS) return p;
  p = std::aligned_alloc(64, (size + 63) / 64 * 64);
  if (!p) return nullptr;
  try {
    std::lock_guard lock(event_lock_);
    pageable_.push_back(p);
    return p;
  } catch (const std::bad_alloc&) {
    std::free(p);
    return nullptr;
  }
}

void GpuDevice::free_host(void* p) noexcept {
  {
    std::lock_guard lock(event_lock_);
    if (std::erase(pageable_, p) != 0) return std::free(p);
  }
  driver().cuMemFreeHost(p);
}

int64_t GpuDevice::start_copy_out(void* to, const void* from, int64_t bytes,
                                  std::span<const int64_t> after) {
  std::lock_guard lock(out_.lock);
  for (const int64_t work : after) follow(kOut, work);
  Event done = new_event();
  check(driver().cuMemcpyDtoHAsync(to, reinterpret_cast<CUdeviceptr>(from),
                                   static_cast<size_t>(bytes), queues_[kOut].stream),
        "copying from the GPU");
  return give_marked(kOut, std::move(done));
}

int64_t GpuDevice::start_copy_in(void* to, const void* from, int64_t bytes,
                                 std::span<const int64_t> after) {
  int64_t work;
  {
    std::lock_guard lock(in_.lock);
    for (const int64_t before : after) follow(kIn, before);
    Event done = new_event();
    check(driver().cuMemcpyHtoDAsync(reinterpret_cast<CUdeviceptr>(to), from,
                                     static_cast<size_t>(bytes), queues_[kIn].stream),
          "copying to the GPU");
    work = give_marked(kIn, std::move(done));
  }
  order(work);
  return work;
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
  for_each_queue([&](Queue& queue) {
    Moment now;
    check(driver().cuEventRecord(now.event(), queue.stream), "recording an event");
    check(driver().cuStreamWaitEvent(stream, now.event(), 0),
          "making another library's stream wait");
  });
}

// Where the driver refuses (a stream of the context is being captured into a graph), the host
// waits.
void GpuDevice::lead_all() noexcept {
  std::lock_guard no_capture(capture_lock_);
  for_each_queue([&](Queue& queue) {
    if (driver().cuStreamQuery(queue.stream) == CUDA_SUCCESS) return;
    try {
      Moment now;
      // To make all streams wait would end the recording.
      if (recorder_ != this && driver().cuEventRecord(now.event(), queue.stream) == CUDA_SUCCESS &&
          driver().cuCtxWaitEvent(context_, now.event()) == CUDA_SUCCESS)
        return;
    } catch (...) {  // no event to be had
    }
    driver().cuStreamSynchronize(queue.stream);
  });
}

// What queue 0 waits for counts as a piece of its work, so that other queues and copies from and to
// the host can wait for it too.
int64_t GpuDevice::follow_all() noexcept {
  std::lock_guard no_capture(capture_lock_);
  for_each_queue([](Queue&) {});  // their launches
  try {
    Moment now;
    if (driver().cuCtxRecordEvent(context_, now.event()) != CUDA_SUCCESS ||
        driver().cuStreamWaitEvent(queues_[0].stream, now.event(), 0) != CUDA_SUCCESS)
      driver().cuCtxSynchronize();
  } catch (...) {
    driver().cuCtxSynchronize();
  }
  return followed();
}

int64_t GpuDevice::followed() noexcept {
  queues_[0].given.fetch_add(1, std::memory_order_acq_rel);
  return work_given(0);
}

}  // namespace legato::cuda
