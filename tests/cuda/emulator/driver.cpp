// A CUDA driver without a GPU: the functions that the backend calls, over host memory. Work that is
// given to a queue runs as late as the rules allow, when somebody waits for it, so that a host
// which relies on more order than it asked for is found out. Memory is poisoned when it is taken
// and when it is given back; copies outside of allocations are errors.
//
// LEGATO_EMULATOR_FAIL=alloc:5,launch:3,graph:1  makes the 5th allocation, the 3rd launch and the
//                                        making of the first graph fail; likewise change (of a
//                                        graph's launch) and replay
// LEGATO_EMULATOR_COUNTS=1               says at the end how often the driver was asked to launch a
//                                        kernel and a graph
// LEGATO_EMULATOR_FAIL=copy_out:2,pin:3  makes the 2nd copy to the host, the 3rd pinning of host
//                                        memory fail
// LEGATO_EMULATOR_FAIL=illegal:4         the 4th launch reads a foreign address: the context ends
// LEGATO_EMULATOR_MEMORY=bytes           what the device has (256 MiB)
#include <cuda.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cuda/emulator/launch.h"

namespace {

using legato::emulator::KernelFn;

struct Function {
  KernelFn run;
  size_t bytes;  // of the parameter
  std::string name;
};
struct Module {
  void* library = nullptr;  // of a compiled program; null: kernels of this very library
  std::map<std::string, Function> functions;
};

using Work = std::function<CUresult()>;
struct Graph {
  std::vector<Work> work;
};
// What a queue has to do next: work, the end of an event's recording, or a wait for one.
struct Item {
  Work work;
  CUevent recorded = nullptr, awaited = nullptr;
  int count = 0;  // of the event's recordings
};
struct Event {
  CUstream queue = nullptr;  // of the latest recording
  int recorded = 0, passed = 0;
};

std::recursive_mutex lock;
std::map<CUstream, std::deque<Item>> queues;  // guarded by lock, as all that follows
std::map<CUstream, Graph> recorded;           // queues that are being recorded
std::map<CUevent, Event> events;
uintptr_t streams = 0, n_events = 0;
CUresult lost = CUDA_SUCCESS;  // the error that ended the context
std::map<uintptr_t, size_t> allocations;
size_t allocated = 0;
int calls_alloc = 0, calls_launch = 0, calls_graph = 0, calls_change = 0, calls_replay = 0,
    calls_copy_out = 0, calls_pin = 0, calls_capture = 0;

size_t memory_size() {
  static const size_t size = [] {
    const char* text = std::getenv("LEGATO_EMULATOR_MEMORY");
    return text ? static_cast<size_t>(std::atoll(text)) : size_t{256} << 20;
  }();
  return size;
}

// Whether the n-th call of this kind is to fail.
bool injected(const char* kind, int n) {
  const char* text = std::getenv("LEGATO_EMULATOR_FAIL");
  if (!text) return false;
  const char* at = std::strstr(text, kind);
  return at && std::atoi(at + std::strlen(kind) + 1) == n;
}

bool inside(CUdeviceptr p, size_t n) {
  auto it = allocations.upper_bound(p);
  if (it == allocations.begin()) return false;
  --it;
  return p >= it->first && p + n <= it->first + it->second;
}

// Runs a queue to its end, or until an event has been recorded `count` times; other queues only as
// far as it waits for them.
CUresult run_queue(CUstream stream, CUevent until = nullptr, int count = 0) {
  std::lock_guard guard(lock);
  auto& queue = queues[stream];
  while (!queue.empty() && !(until && events[until].passed >= count)) {
    Item item = std::move(queue.front());
    queue.pop_front();
    if (item.awaited && events[item.awaited].passed < item.count)
      run_queue(events[item.awaited].queue, item.awaited, item.count);
    else if (item.recorded)
      events[item.recorded].passed = item.count;
    else if (item.work && lost == CUDA_SUCCESS)
      lost = item.work();
  }
  return lost;
}

CUresult later(CUstream stream, Work work) {
  std::lock_guard guard(lock);
  if (lost != CUDA_SUCCESS) return lost;
  if (auto at = recorded.find(stream); at != recorded.end())
    at->second.work.push_back(std::move(work));
  else
    queues[stream].push_back({std::move(work)});
  return CUDA_SUCCESS;
}

// Says at the end what the host asked for.
const struct Counts {
  ~Counts() {
    if (std::getenv("LEGATO_EMULATOR_COUNTS"))
      std::printf("emulated driver: %d launches, %d replays, %d changes\n", calls_launch,
                  calls_replay, calls_change);
  }
} counts;

// Symbols of this library must be visible to the programs that are compiled against it.
const bool made_global = [] {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&memory_size), &info))
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
  return true;
}();

}  // namespace

namespace legato::emulator {
void enqueue(CUstream stream, std::function<void()> work) {
  later(stream, [work = std::move(work)] {
    work();
    return CUDA_SUCCESS;
  });
}
}  // namespace legato::emulator

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT CUresult cuInit(unsigned) {
  return std::getenv("LEGATO_EMULATOR_NO_DEVICE") ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}
EXPORT CUresult cuDriverGetVersion(int* v) {
  const char* text = std::getenv("LEGATO_EMULATOR_VERSION");
  *v = text ? std::atoi(text) : 13000;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorName(CUresult e, const char** s) {
  *s = e == CUDA_ERROR_OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
       : e == CUDA_ERROR_LAUNCH_FAILED   ? "CUDA_ERROR_LAUNCH_FAILED"
       : e == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                         : "CUDA_ERROR_OTHER";
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorString(CUresult, const char** s) {
  *s = "emulated error";
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetCount(int* n) {
  *n = 1;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGet(CUdevice* d, int i) {
  *d = i;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetName(char* name, int n, CUdevice) {
  std::snprintf(name, static_cast<size_t>(n), "emulated GPU");
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int* v, CUdevice_attribute a, CUdevice) {
  *v = a == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR            ? 9
       : a == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR          ? 0
       : a == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT              ? 2
       : a == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN ? 232448
                                                                    : 0;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t* n, CUdevice) {
  *n = memory_size();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* c, CUdevice) {
  *c = reinterpret_cast<CUcontext>(0x10);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
EXPORT CUresult cuStreamCreate(CUstream* s, unsigned) {
  std::lock_guard guard(lock);
  *s = reinterpret_cast<CUstream>(0x20 + 0x100 * ++streams);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamBeginCapture_v2(CUstream s, CUstreamCaptureMode) {
  std::lock_guard guard(lock);
  if (injected("capture", ++calls_capture)) return CUDA_ERROR_OUT_OF_MEMORY;
  return recorded.emplace(s, Graph{}).second ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_STATE;
}
EXPORT CUresult cuStreamEndCapture(CUstream s, CUgraph* g) {
  std::lock_guard guard(lock);
  auto at = recorded.find(s);
  if (at == recorded.end()) return CUDA_ERROR_ILLEGAL_STATE;
  *g = reinterpret_cast<CUgraph>(new Graph(std::move(at->second)));
  recorded.erase(at);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph g, unsigned long long) {
  if (injected("graph", ++calls_graph)) return CUDA_ERROR_OUT_OF_MEMORY;
  *exec = reinterpret_cast<CUgraphExec>(new Graph(*reinterpret_cast<Graph*>(g)));
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph g, CUgraphExecUpdateResultInfo*) {
  auto& old = *reinterpret_cast<Graph*>(exec);
  auto& fresh = *reinterpret_cast<Graph*>(g);
  if (old.work.size() != fresh.work.size()) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  old.work = fresh.work;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream s) {
  std::lock_guard guard(lock);
  if (injected("replay", ++calls_replay)) return CUDA_ERROR_OUT_OF_MEMORY;
  for (const Work& work : reinterpret_cast<Graph*>(exec)->work)
    if (CUresult status = later(s, work); status != CUDA_SUCCESS) return status;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphDestroy(CUgraph g) {
  delete reinterpret_cast<Graph*>(g);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec) {
  delete reinterpret_cast<Graph*>(exec);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamSynchronize(CUstream s) { return run_queue(s); }
// Other libraries are the tests themselves, which look at memory as soon as they are told that a
// stream (1 or 2: not ours) waits: then it has to have waited.
EXPORT CUresult cuStreamWaitEvent(CUstream s, CUevent e, unsigned) {
  std::lock_guard guard(lock);
  queues[s].push_back({nullptr, nullptr, e, events[e].recorded});
  if (reinterpret_cast<uintptr_t>(s) <= 2) return run_queue(s);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamQuery(CUstream s) {
  std::lock_guard guard(lock);
  return lost != CUDA_SUCCESS ? lost : queues[s].empty() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
EXPORT CUresult cuCtxSynchronize() {
  std::lock_guard guard(lock);
  for (auto& [stream, items] : queues) run_queue(stream);
  return lost;
}
EXPORT CUresult cuCtxRecordEvent(CUcontext, CUevent) { return CUDA_SUCCESS; }
EXPORT CUresult cuCtxWaitEvent(CUcontext, CUevent e) {
  std::lock_guard guard(lock);
  return run_queue(events[e].queue, e, events[e].recorded);
}
EXPORT CUresult cuEventCreate(CUevent* e, unsigned) {
  std::lock_guard guard(lock);
  *e = reinterpret_cast<CUevent>(0x30 + 0x100 * ++n_events);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventRecord(CUevent e, CUstream s) {
  std::lock_guard guard(lock);
  Event& event = events[e];
  event.queue = s;
  queues[s].push_back({nullptr, e, nullptr, ++event.recorded});
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventSynchronize(CUevent e) {
  std::lock_guard guard(lock);
  const Event event = events[e];
  return event.passed < event.recorded ? run_queue(event.queue, e, event.recorded) : lost;
}
EXPORT CUresult cuEventQuery(CUevent e) {
  std::lock_guard guard(lock);
  return events[e].passed < events[e].recorded ? CUDA_ERROR_NOT_READY : lost;
}
EXPORT CUresult cuEventDestroy_v2(CUevent) { return CUDA_SUCCESS; }  // waits may still name it

EXPORT CUresult cuMemPoolCreate(CUmemoryPool* p, const CUmemPoolProps*) {
  *p = reinterpret_cast<CUmemoryPool>(0x40);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void*) {
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool, size_t) { return CUDA_SUCCESS; }
EXPORT CUresult cuMemGetInfo_v2(size_t* available, size_t* total) {
  std::lock_guard guard(lock);
  *total = memory_size();
  *available = *total - allocated;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemAllocFromPoolAsync(CUdeviceptr* p, size_t n, CUmemoryPool, CUstream) {
  std::lock_guard guard(lock);
  if (lost != CUDA_SUCCESS) return lost;
  if (injected("alloc", ++calls_alloc)) return CUDA_ERROR_OUT_OF_MEMORY;
  if (allocated + n > memory_size()) return CUDA_ERROR_OUT_OF_MEMORY;
  void* memory = std::aligned_alloc(256, (n + 255) / 256 * 256);
  if (!memory) return CUDA_ERROR_OUT_OF_MEMORY;
  std::memset(memory, 0xcd, n);
  *p = reinterpret_cast<CUdeviceptr>(memory);
  allocations[*p] = n;
  allocated += n;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemFreeAsync(CUdeviceptr p, CUstream s) {
  return later(s, [p] {
    auto it = allocations.find(p);
    if (it == allocations.end()) return CUDA_ERROR_INVALID_VALUE;
    std::memset(reinterpret_cast<void*>(p), 0xdd, it->second);
    allocated -= it->second;
    allocations.erase(it);
    std::free(reinterpret_cast<void*>(p));
    return CUDA_SUCCESS;
  });
}
EXPORT CUresult cuMemHostAlloc(void** p, size_t n, unsigned) {
  if (injected("pin", ++calls_pin)) return CUDA_ERROR_OUT_OF_MEMORY;
  *p = std::aligned_alloc(64, (n + 63) / 64 * 64);
  if (!*p) return CUDA_ERROR_OUT_OF_MEMORY;
  std::memset(*p, 0xee, n);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemFreeHost(void* p) {
  std::free(p);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t n, CUstream s) {
  return later(s, [=] {
    if (!inside(to, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    std::memcpy(reinterpret_cast<void*>(to), from, n);
    return CUDA_SUCCESS;
  });
}
EXPORT CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t n, CUstream s) {
  if (injected("copy_out", ++calls_copy_out)) return CUDA_ERROR_UNKNOWN;
  return later(s, [=] {
    if (!inside(from, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    std::memcpy(to, reinterpret_cast<void*>(from), n);
    return CUDA_SUCCESS;
  });
}
EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
  return later(s, [=] {
    if (!inside(from, n) || !inside(to, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), n);
    return CUDA_SUCCESS;
  });
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char v, size_t n, CUstream s) {
  return later(s, [=] {
    if (!inside(to, n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    std::memset(reinterpret_cast<void*>(to), v, n);
    return CUDA_SUCCESS;
  });
}
EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, unsigned v, size_t n, CUstream s) {
  return later(s, [=] {
    if (!inside(to, 4 * n)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t i = 0; i < n; ++i) std::memcpy(reinterpret_cast<void*>(to + 4 * i), &v, 4);
    return CUDA_SUCCESS;
  });
}

EXPORT CUresult cuModuleLoadData(CUmodule* m, const void* image) {
  auto* module = new Module;
  // A program that the emulated compiler made is a shared object, with its size before it.
  uint64_t head[2];
  std::memcpy(head, image, sizeof head);
  if (head[0] == 0x4f53544147454cull) {
    char path[] = "/tmp/legato-program-XXXXXX";  // a name of its own: dlopen knows files by name
    const int file = mkstemp(path);
    const char* from = static_cast<const char*>(image) + sizeof head;
    if (file < 0 || write(file, from, head[1]) != static_cast<ssize_t>(head[1]))
      return CUDA_ERROR_INVALID_IMAGE;
    module->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module->library) std::fprintf(stderr, "emulated driver: %s\n", dlerror());
    close(file);
    unlink(path);
    if (!module->library) return CUDA_ERROR_INVALID_IMAGE;
  }
  *m = reinterpret_cast<CUmodule>(module);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleUnload(CUmodule m) {
  auto* module = reinterpret_cast<Module*>(m);
  if (module->library) dlclose(module->library);
  delete module;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleGetFunction(CUfunction* f, CUmodule m, const char* name) {
  std::lock_guard guard(lock);
  auto* module = reinterpret_cast<Module*>(m);
  void* library = module->library ? module->library : RTLD_DEFAULT;
  auto run =
      reinterpret_cast<KernelFn>(dlsym(library, (std::string("legato_kernel_") + name).c_str()));
  auto size =
      static_cast<const size_t*>(dlsym(library, (std::string("legato_size_") + name).c_str()));
  if (!run || !size) return CUDA_ERROR_NOT_FOUND;
  *f = reinterpret_cast<CUfunction>(&(module->functions[name] = {run, *size, name}));
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute a, int bytes) {
  return a == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES && bytes <= 232448
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_VALUE;
}
// Kernels with tensor copies are not emulated.
EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*,
                                       const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                                       const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  return CUDA_ERROR_NOT_SUPPORTED;
}

namespace {

// What a launch does when its turn comes; its parameters are copied now.
Work launch_work(CUfunction f, const unsigned (&grid)[3], const unsigned (&block)[3],
                 unsigned shared, void** arguments, bool illegal) {
  const auto* function = reinterpret_cast<const Function*>(f);
  std::vector<uint64_t> params(function->bytes / 8 + 1);
  std::memcpy(params.data(), arguments[0], function->bytes);
  return [=, gx = grid[0], gy = grid[1], gz = grid[2], bx = block[0], by = block[1], bz = block[2],
          run = function->run, name = function->name]() mutable {
    void* pointers[] = {params.data()};
    if (illegal) return CUDA_ERROR_ILLEGAL_ADDRESS;
    const unsigned blocks[] = {gx, gy, gz}, threads[] = {bx, by, bz};
    const std::string wrong = legato::emulator::launch(run, blocks, threads, shared, pointers);
    if (wrong.empty()) return CUDA_SUCCESS;
    std::fprintf(stderr, "emulated driver: kernel %s: %s\n", name.c_str(), wrong.c_str());
    return CUDA_ERROR_LAUNCH_FAILED;
  };
}
Work node_work(const CUDA_KERNEL_NODE_PARAMS* p) {
  return launch_work(p->func, {p->gridDimX, p->gridDimY, p->gridDimZ},
                     {p->blockDimX, p->blockDimY, p->blockDimZ}, p->sharedMemBytes, p->kernelParams,
                     false);
}

}  // namespace

EXPORT CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                               unsigned by, unsigned bz, unsigned shared, CUstream stream,
                               void** arguments, void**) {
  std::lock_guard guard(lock);
  if (lost != CUDA_SUCCESS) return lost;
  if (injected("launch", ++calls_launch)) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  if (gx == 0 || gy == 0 || gz == 0 || bx * by * bz == 0 || bx * by * bz > 1024 || bz > 64)
    return CUDA_ERROR_INVALID_VALUE;
  return later(stream, launch_work(f, {gx, gy, gz}, {bx, by, bz}, shared, arguments,
                                   injected("illegal", calls_launch)));
}
// Graphs that are put together node by node: chains only.
EXPORT CUresult cuGraphCreate(CUgraph* g, unsigned) {
  *g = reinterpret_cast<CUgraph>(new Graph);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph g, const CUgraphNode* after,
                                        size_t n_after, const CUDA_KERNEL_NODE_PARAMS* p) {
  auto& work = reinterpret_cast<Graph*>(g)->work;
  const bool chain = n_after == (work.empty() ? 0 : 1) &&
                     (!n_after || after[0] == reinterpret_cast<CUgraphNode>(work.size()));
  if (!chain) return CUDA_ERROR_NOT_SUPPORTED;
  work.push_back(node_work(p));
  *node = reinterpret_cast<CUgraphNode>(work.size());
  return CUDA_SUCCESS;
}
// A graph within a graph: its work as one piece.
static Work child_work(CUgraph child) {
  return [work = reinterpret_cast<Graph*>(child)->work] {
    for (const Work& piece : work)
      if (CUresult status = piece(); status != CUDA_SUCCESS) return status;
    return CUDA_SUCCESS;
  };
}
EXPORT CUresult cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph g, const CUgraphNode* after,
                                         size_t n_after, CUgraph child) {
  auto& work = reinterpret_cast<Graph*>(g)->work;
  const bool chain = n_after == (work.empty() ? 0 : 1) &&
                     (!n_after || after[0] == reinterpret_cast<CUgraphNode>(work.size()));
  if (!chain) return CUDA_ERROR_NOT_SUPPORTED;
  work.push_back(child_work(child));
  *node = reinterpret_cast<CUgraphNode>(work.size());
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                   CUgraph child) {
  std::lock_guard guard(lock);
  auto& work = reinterpret_cast<Graph*>(exec)->work;
  const size_t index = reinterpret_cast<size_t>(node) - 1;
  if (index >= work.size()) return CUDA_ERROR_INVALID_VALUE;
  if (injected("change", ++calls_change)) return CUDA_ERROR_OUT_OF_MEMORY;
  work[index] = child_work(child);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                                  const CUDA_KERNEL_NODE_PARAMS* p) {
  std::lock_guard guard(lock);
  auto& work = reinterpret_cast<Graph*>(exec)->work;
  const size_t index = reinterpret_cast<size_t>(node) - 1;
  if (index >= work.size()) return CUDA_ERROR_INVALID_VALUE;
  if (injected("change", ++calls_change)) return CUDA_ERROR_OUT_OF_MEMORY;
  work[index] = node_work(p);
  return CUDA_SUCCESS;
}
