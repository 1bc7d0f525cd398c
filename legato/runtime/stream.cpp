#include "legato/runtime/stream.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "legato/array/thread_state.h"
#include "legato/base/error.h"
#include "legato/op/op.h"
#include "legato/runtime/memory.h"
#include "legato/runtime/plan.h"

namespace legato {
namespace {

// The thread of one stream; it starts with the first task, and lives as long as the process.
class Queue {
 public:
  void post(std::unique_ptr<Task> task) {
    std::lock_guard lock(lock_);
    tasks_.push_back(std::move(task));
    pending_.fetch_add(1, std::memory_order_release);
    if (!started_) {
      std::thread([this] { run(); }).detach();
      started_ = true;
    }
    wake_.notify_one();
  }
  bool idle() const { return pending_.load(std::memory_order_acquire) == 0; }
  void wait() {
    std::unique_lock lock(lock_);
    done_.wait(lock, [&] { return idle(); });
  }

 private:
  void run() {
    std::unique_lock lock(lock_);
    for (;;) {
      wake_.wait(lock, [&] { return !tasks_.empty(); });
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task->run();
      task = nullptr;
      lock.lock();
      pending_.fetch_sub(1, std::memory_order_release);
      done_.notify_all();
    }
  }

  std::mutex lock_;
  std::condition_variable wake_, done_;
  std::deque<std::unique_ptr<Task>> tasks_;  // guarded by lock_
  bool started_ = false;                     // guarded by lock_
  std::atomic<int64_t> pending_{0};
};

struct Entry {
  Device device;
  std::unique_ptr<Queue> queue;
};

// Where each stream's work goes, by its number: what a step of an evaluation asks for several
// times. The words are those of a Device, with the queue where it has nothing: one that is put
// together from its parts is waited for by whoever reads it.
std::atomic<uint64_t> places[kDefaultStream];
static_assert(sizeof(Device) == 8 && offsetof(Device, type) == 0 && offsetof(Device, index) == 4 &&
              sizeof(DeviceType) == 1 && std::endian::native == std::endian::little);
void remember(uint16_t stream, const Place& p) {
  places[stream].store(static_cast<uint64_t>(p.device.index) << 32 |
                           static_cast<uint64_t>(p.queue) << 8 |
                           static_cast<uint64_t>(p.device.type),
                       std::memory_order_release);
}

struct Table {
  std::mutex lock;
  std::vector<Entry> streams;  // guarded by lock; the index is the stream's number
  std::vector<std::pair<Device, uint16_t>> defaults;  // guarded by lock
  std::optional<Device> device;                       // the default; guarded by lock
  std::string why;                                    // it is the default; guarded by lock
};

Table& table();

// Threads do not survive a fork: the child starts with idle queues whose threads start anew at the
// next task.
void rebuild_after_fork() {
  Table& t = table();
  new (&t.lock) std::mutex;
  for (auto& e : t.streams) {
    (void)e.queue.release();  // its locks may be held by threads that no longer exist
    e.queue = std::make_unique<Queue>();
  }
}

Table& table() {
  static Table& t = [&]() -> Table& {
    auto& fresh = *new Table;
    fresh.streams.push_back({Device{}, std::make_unique<Queue>()});
    fresh.defaults.emplace_back(Device{}, uint16_t{0});
    pthread_atfork(nullptr, nullptr, rebuild_after_fork);
    return fresh;
  }();
  return t;
}

Queue& queue_of(uint16_t stream) {
  Table& t = table();
  std::lock_guard lock(t.lock);
  return *t.streams.at(stream).queue;
}

const char* name_of(DeviceType type) {
  constexpr const char* names[] = {"cpu", "gpu", "null", "simulated"};
  return names[static_cast<int>(type)];
}

// The device on which operations run if nobody has said anything: what LEGATO_DEVICE names, else
// the first GPU if there is one. Nothing of this happens before somebody needs to know.
Device choose_default(std::string& why) {
  const Device gpu{DeviceType::gpu, 0};
  const char* text = std::getenv("LEGATO_DEVICE");
  if (!text || !*text) {
    if (has_device(gpu)) {
      why = "there is a GPU, and LEGATO_DEVICE is not set";
      return gpu;
    }
    why = cat("there is no GPU for Legato: ", why_no_device(DeviceType::gpu));
    return Device{};
  }
  const std::string_view asked = text;
  Device device;
  if (asked.starts_with("gpu")) device = gpu;
  if (asked.starts_with("gpu:") && asked.size() > 4 && asked.size() < 8)
    device.index = std::atoi(text + 4);
  if (asked != (device.type == DeviceType::cpu ? "cpu"
                : asked == "gpu"               ? "gpu"
                                               : cat("gpu:", device.index)))
    throw ValueError(cat("LEGATO_DEVICE must be cpu, gpu or gpu:1 (a number), found '", text,
                         "'. Set it before Python starts, or leave it out."));
  if (!has_device(device))
    throw ValueError(cat("LEGATO_DEVICE=", text, " asks for a device that is not here. ",
                         why_no_device(device.type), " LEGATO_DEVICE=cpu uses the CPU."));
  why = cat("LEGATO_DEVICE=", text, " says so");
  return device;
}

// Makes `device` the default unless there is one already; gives the default's stream.
Stream settle(std::optional<Device> device, std::string why) {
  if (!device) device = choose_default(why);
  const uint16_t index = default_stream(*device).index;
  Table& t = table();
  std::lock_guard lock(t.lock);
  if (t.device) return {*t.device, static_cast<uint16_t>(process_default_stream.index.load())};
  t.device = device;
  t.why = std::move(why);
  process_default_stream.index.store(index, std::memory_order_relaxed);
  return {*device, index};
}

[[maybe_unused]] const bool installed = [] {
  process_default_stream.settle = [] { return settle(std::nullopt, "").index; };
  return true;
}();

}  // namespace

Device default_device() {
  process_default_stream.get();
  Table& t = table();
  std::lock_guard lock(t.lock);
  return *t.device;
}

std::string why_default_device() {
  process_default_stream.get();
  Table& t = table();
  std::lock_guard lock(t.lock);
  return t.why;
}

void set_default_device(Device device) {
  const Stream s = default_stream(device);
  Table& t = table();
  std::lock_guard lock(t.lock);
  t.device = device;
  t.why = "set_default_device() chose it";
  process_default_stream.index.store(s.index, std::memory_order_relaxed);
}

uint16_t stream_of_new_nodes() {
  const uint16_t own = thread_state.stream;
  return own != kDefaultStream ? own : process_default_stream.get();
}

Stream default_stream(Device device) {
  if (!has_device(device))
    throw ValueError(cat("no device ", name_of(device.type), " ", device.index,
                         " here: no backend that serves it is loaded. ", why_no_device(device.type),
                         " `python -m legato info` lists what there is."));
  Table& t = table();
  std::lock_guard lock(t.lock);
  for (auto& [d, index] : t.defaults)
    if (d == device) return {device, index};
  t.streams.push_back({device, std::make_unique<Queue>()});
  auto index = static_cast<uint16_t>(t.streams.size() - 1);
  remember(index, {device, 0});
  t.defaults.emplace_back(device, index);
  return {device, index};
}

void set_default_stream(Stream stream) {
  default_stream(stream.device);  // makes sure that there is an entry to replace
  Table& t = table();
  std::lock_guard lock(t.lock);
  for (auto& [d, index] : t.defaults)
    if (d == stream.device) index = stream.index;
  if (t.device == stream.device)
    process_default_stream.index.store(stream.index, std::memory_order_relaxed);
}

Stream new_stream(Device device) {
  default_stream(device);  // checks the device
  Table& t = table();
  std::lock_guard lock(t.lock);
  if (t.streams.size() >= kDefaultStream)
    throw ValueError("new_stream: 65,535 streams exist already; reuse one of them");
  // Queue 0 is the default stream's. Streams beyond the number of queues share them.
  const int others = std::min(backend_of(device).queues(device.index), kMostQueues) - 1;
  const auto before = std::count_if(t.streams.begin(), t.streams.end(),
                                    [&](const Entry& e) { return e.device == device; });
  const int queue = others > 0 ? 1 + static_cast<int>(before - 1) % others : 0;
  t.streams.push_back({device, std::make_unique<Queue>()});
  const auto index = static_cast<uint16_t>(t.streams.size() - 1);
  remember(index, {device, queue});
  if (queue > 0) several_queues.store(true);
  return {device, index};
}

Place place_of_stream(uint16_t index) {
  const uint64_t word = places[index].load(std::memory_order_acquire);
  return {std::bit_cast<Device>(word), static_cast<int>(word >> 8 & 0xffff)};
}

Device device_of_stream(uint16_t index) {
  return std::bit_cast<Device>(places[index].load(std::memory_order_acquire));
}

void EnteredQueue::enter(const Place& place) {
  if (!several_queues.load(std::memory_order_relaxed) || place.device.type == DeviceType::cpu)
    return;
  const int was = backend_of(place.device).enter_queue(place.device.index, place.queue);
  if (std::none_of(before_.begin(), before_.end(),
                   [&](const Place& p) { return p.device == place.device; }))
    before_.push_back({place.device, was});
}

EnteredQueue::~EnteredQueue() {
  for (const Place& p : before_) backend_of(p.device).enter_queue(p.device.index, p.queue);
}

Stream stream_at(uint16_t index) {
  Table& t = table();
  std::lock_guard lock(t.lock);
  if (index >= t.streams.size())
    throw ValueError(cat("no stream with index ", index, "; there are ", t.streams.size()));
  return {t.streams[index].device, index};
}

void synchronize(Stream stream) {
  queue_of(stream.index).wait();
  Backend& backend = backend_of(stream.device);
  const int index = stream.device.index;
  if (several_queues.load())
    backend.wait_for(index, backend.work_given(index, place_of_stream(stream.index).queue));
  else
    backend.synchronize(index);
}
void post(uint16_t stream, std::unique_ptr<Task> task) { queue_of(stream).post(std::move(task)); }
bool is_idle(uint16_t stream) { return queue_of(stream).idle(); }

StreamScope::StreamScope(Stream stream) : previous_(current_stream_index()) {
  current_stream_index() = stream.index;
}
StreamScope::~StreamScope() { current_stream_index() = previous_; }

}  // namespace legato
