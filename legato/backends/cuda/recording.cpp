// Recordings: CUDA graphs, captured from a queue on which nothing else runs.
#include <algorithm>
#include <utility>

#include "legato/backends/cuda/device.h"
#include "legato/base/error.h"

namespace legato::cuda {
namespace {

class Graph final : public Recording {
 public:
  Graph(int device, CUgraphExec exec) : exec(exec), device_(device) {}
  std::shared_ptr<GpuDevice::RecordedReports> reports;  // null if nothing checks values
  ~Graph() override {
    try {
      device(device_);  // enters its context; the driver lets a graph that runs end first
      driver().cuGraphExecDestroy(exec);
    } catch (const Error&) {  // in a forked child: the graph is the parent's
    }
  }
  const CUgraphExec exec;

 private:
  int device_;
};

}  // namespace

void GpuDevice::refuse_to_record(const char* what) const {
  if (recorder_ == this) throw EvalError(cat("GPU: ", what, " cannot be recorded"));
}

void GpuDevice::begin_recording() {
  LEGATO_CHECK(recorder_ == nullptr, "a thread that records begins another recording");
  // Relaxed: memory may be taken and modules loaded meanwhile, since that goes to other queues.
  check(driver().cuStreamBeginCapture(recorded_queue_, CU_STREAM_CAPTURE_MODE_RELAXED),
        "recording");
  recorder_ = this;
  recorded_reports_ = nullptr;
}

std::unique_ptr<Recording> GpuDevice::end_recording(std::unique_ptr<Recording> old) {
  Driver& d = driver();
  LEGATO_CHECK(recorder_ == this, "a recording ends that was not begun");
  recorder_ = nullptr;
  struct Captured {
    CUgraph graph = nullptr;
    ~Captured() {
      if (graph) driver().cuGraphDestroy(graph);
    }
  } captured;
  auto reports = std::move(recorded_reports_);
  // An invalidated capture ends as well; what cannot be captured is carried out as ever.
  if (d.cuStreamEndCapture(recorded_queue_, &captured.graph) != CUDA_SUCCESS) return nullptr;
  if (old) {
    CUgraphExecUpdateResultInfo info{};
    if (d.cuGraphExecUpdate(static_cast<Graph&>(*old).exec, captured.graph, &info) ==
        CUDA_SUCCESS) {
      static_cast<Graph&>(*old).reports = std::move(reports);
      return old;
    }
    old.reset();
  }
  CUgraphExec exec = nullptr;
  if (d.cuGraphInstantiate(&exec, captured.graph, 0) != CUDA_SUCCESS) return nullptr;
  auto made = std::make_unique<Graph>(index_, exec);
  made->reports = std::move(reports);
  return made;
}

CUgraph GpuDevice::capture(const LibraryCall& call) {
  Driver& d = driver();
  std::lock_guard guard(capture_lock_);
  if (!captured_queue_ &&
      d.cuStreamCreate(&captured_queue_, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS)
    return nullptr;
  if (d.cuStreamBeginCapture(captured_queue_, CU_STREAM_CAPTURE_MODE_RELAXED) != CUDA_SUCCESS)
    return nullptr;
  bool refused = false;
  try {
    call.run(captured_queue_);
  } catch (const Error&) {  // the caller runs it, and hears why
    refused = true;
  }
  CUgraph graph = nullptr;
  if (d.cuStreamEndCapture(captured_queue_, &graph) != CUDA_SUCCESS) return nullptr;
  if (refused && graph) d.cuGraphDestroy(std::exchange(graph, nullptr));
  return graph;
}

void GpuDevice::launch(const LibraryCall& call) {
  if (recorder_ == this) return call.run(recorded_queue_);
  Queue& q = queues_[entered_[index_]];
  const int64_t place = q.given.load(std::memory_order_acquire) + 1;
  switch (q.batch->call(call, place, q.stream)) {
    case LaunchBatch::Call::put_aside:
      return;
    case LaunchBatch::Call::capture: {
      const CUgraph graph = capture(call);
      q.batch->keep(call, graph, place, q.stream);
      if (graph) return;
      break;
    }
    case LaunchBatch::Call::run:
      break;
  }
  call.run(queue());
}

Ref<DeviceCheck> GpuDevice::replay(const Recording& recording) {
  auto& graph = static_cast<const Graph&>(recording);
  Ref<DeviceCheck> values = graph.reports ? direct(*graph.reports) : nullptr;
  check(driver().cuGraphLaunch(graph.exec, queue()), "replaying");
  return values;
}

}  // namespace legato::cuda
