// Device, Stream and their functions; memory statistics; the number of threads.
#include "python/bindings/devices.h"

#include <nanobind/nanobind.h>

#include <atomic>
#include <map>

#include "legato/array/precision.h"
#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "legato/op/op.h"
#include "legato/runtime/backend.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/memory.h"

namespace legato::python {
namespace nb = nanobind;
namespace {

// A stream of its own for each thread that uses it.
struct ThreadLocalStream {
  Device device;
  uint64_t id;
  Stream resolve() const {
    thread_local std::map<uint64_t, Stream> streams;
    auto found = streams.find(id);
    if (found == streams.end()) found = streams.emplace(id, new_stream(device)).first;
    return found->second;
  }
};

bool read_device(nb::handle o, Device& out) {
  DeviceType type = DeviceType::cpu;
  if (nb::try_cast<Device>(o, out)) return true;
  if (!nb::try_cast<DeviceType>(o, type)) return false;
  out = Device{type, 0};
  return true;
}

Device device_argument(const char* function, nb::handle o) {
  Device device;
  if (!read_device(o, device))
    throw TypeError(cat(function, ": expected a Device or DeviceType, such as legato.cpu, found ",
                        type_name(o.ptr())));
  return device;
}

const char* type_text(DeviceType type) {
  return type == DeviceType::cpu ? "cpu" : type == DeviceType::gpu ? "gpu" : "other";
}
std::string text(Device d) { return cat("Device(", type_text(d.type), ", ", d.index, ")"); }

// `with stream(s)`: what the thread's new nodes run on until the block ends.
struct StreamContext {
  Stream stream;
  std::vector<uint16_t> previous;
  void enter() {
    previous.push_back(current_stream_index());
    current_stream_index() = stream.index;
  }
  void exit() {
    if (previous.empty()) throw ValueError("stream: the context was left more often than entered");
    current_stream_index() = previous.back();
    previous.pop_back();
  }
};

int64_t size_argument(const char* function, int64_t bytes) {
  if (bytes < 0)
    throw ValueError(cat(function, ": a limit in bytes cannot be negative, found ", bytes));
  return bytes;
}

int device_count_of(DeviceType type) {
  return has_device({type, 0}) ? backend_of({type, 0}).device_count() : 0;
}

std::string processor_name() {
  if (FILE* f = std::fopen("/proc/cpuinfo", "r")) {
    char line[256];
    std::string name;
    while (name.empty() && std::fgets(line, sizeof line, f)) {
      std::string_view s = line;
      if (!s.starts_with("model name")) continue;
      s.remove_prefix(std::min(s.size(), s.find(':') + 2));
      name = s.substr(0, s.find('\n'));
    }
    std::fclose(f);
    return name;
  }
  return "CPU";
}

nb::dict device_info(Device device) {
  Backend& backend = backend_of(device);
  nb::dict info;
  info["backend"] = backend.name();
  if (device.type == DeviceType::cpu) {
    info["device_name"] = processor_name().c_str();
    info["architecture"] =
#if defined(__x86_64__)
        "x86_64";
#elif defined(__aarch64__)
        "arm64";
#else
        "unknown";
#endif
    info["vector_level"] = std::string(name(simd_level())).c_str();
    info["threads"] = num_threads();
  }
  for (auto& [fact, value] : backend.facts(device.index))
    info[nb::str(fact.c_str())] = nb::str(value.c_str());
  if (const int64_t own = backend.memory_bytes(device.index)) {
    info["memory_size"] = own;
    info["total_memory"] = own;
    info["free_memory"] = backend.free_bytes(device.index);
    info["max_recommended_working_set_size"] = memory_limit(device);
    const SpillStats spilled = spill_stats(device);
    info["spilled_memory"] = spilled.in_host;
    info["spills"] = spilled.spills;
    info["spilled_bytes"] = spilled.spilled_bytes;
    info["spill_returns"] = spilled.returns;
    info["spill_drops"] = spilled.drops;
  }
  info["memory_limit"] = memory_limit(device);
  return info;
}

void define_devices(nb::module_& m) {
  nb::enum_<DeviceType>(m, "DeviceType", "A kind of device: cpu or gpu.")
      .value("cpu", DeviceType::cpu)
      .value("gpu", DeviceType::gpu);
  m.attr("cpu") = m.attr("DeviceType").attr("cpu");
  m.attr("gpu") = m.attr("DeviceType").attr("gpu");

  nb::class_<Device>(m, "Device", "A device on which operations run.")
      .def(
          "__init__",
          [](Device* self, DeviceType type, int index) { new (self) Device{type, index}; },
          nb::arg("type"), nb::arg("index") = 0)
      .def_prop_ro("type", [](const Device& d) { return d.type; })
      .def_prop_ro("index", [](const Device& d) { return d.index; })
      .def("__repr__", [](const Device& d) { return nb::str(text(d).c_str()); })
      .def("__eq__",
           [](const Device& d, nb::handle o) {
             Device other;
             return read_device(o, other) && d == other;
           })
      .def("__hash__", [](const Device& d) { return static_cast<int>(d.type) * 1009 + d.index; });

  nb::class_<Stream>(m, "Stream", "A queue of operations on one device, which run in order.")
      .def_prop_ro("device", [](const Stream& s) { return s.device; })
      .def_prop_ro("index", [](const Stream& s) { return s.index; })
      .def("__repr__",
           [](const Stream& s) {
             return nb::str(cat("Stream(", text(s.device), ", ", s.index, ")").c_str());
           })
      .def("__eq__",
           [](const Stream& s, nb::handle o) {
             Stream other;
             return nb::try_cast<Stream>(o, other) && s == other;
           })
      .def("__hash__", [](const Stream& s) { return s.index; });

  nb::class_<ThreadLocalStream>(m, "ThreadLocalStream",
                                "A stream of its own for each thread that uses it.")
      .def_prop_ro("device", [](const ThreadLocalStream& s) { return s.device; })
      .def("__repr__",
           [](const ThreadLocalStream& s) {
             return nb::str(cat("ThreadLocalStream(", text(s.device), ", ", s.id, ")").c_str());
           })
      .def("__eq__", [](const ThreadLocalStream& s, nb::handle o) {
        ThreadLocalStream other;
        return nb::try_cast<ThreadLocalStream>(o, other) && s.id == other.id;
      });

  nb::class_<StreamContext>(m, "StreamContext", "What stream() gives: `with stream(s): ...`.")
      .def(
          "__init__",
          [](StreamContext* self, nb::handle s) {
            new (self) StreamContext{read_stream("stream", s.ptr()), {}};
          },
          nb::arg("s"))
      .def("__enter__", &StreamContext::enter)
      .def(
          "__exit__", [](StreamContext& c, nb::handle, nb::handle, nb::handle) { c.exit(); },
          nb::arg("exc_type").none() = nb::none(), nb::arg("exc_value").none() = nb::none(),
          nb::arg("traceback").none() = nb::none());
}

void define_streams(nb::module_& m) {
  m.def(
      "default_device", [] { return default_device(); },
      "The device on which operations run unless told otherwise, in all threads: what "
      "LEGATO_DEVICE in the environment names (cpu, gpu, gpu:1), else the first GPU, else the "
      "CPU. That is settled when it is first needed, never at import.");
  m.def(
      "set_default_device",
      [](nb::handle d) { set_default_device(device_argument("set_default_device", d)); },
      nb::arg("device"),
      "Sets the device on which operations run unless told otherwise, in all threads.");
  m.def(
      "default_stream",
      [](nb::handle d) { return default_stream(device_argument("default_stream", d)); },
      nb::arg("device"), "The default stream of a device.");
  m.def(
      "set_default_stream",
      [](nb::handle s) { set_default_stream(read_stream("set_default_stream", s.ptr())); },
      nb::arg("stream"), "Makes `stream` the default stream of its device.");
  m.def(
      "new_stream", [](nb::handle d) { return new_stream(device_argument("new_stream", d)); },
      nb::arg("device"), "A new stream on the device. Any thread may use it.");
  m.def(
      "new_thread_unsafe_stream",
      [](nb::handle d) { return new_stream(device_argument("new_thread_unsafe_stream", d)); },
      nb::arg("device"), "The same as new_stream: any thread may use any stream.");
  m.def(
      "new_thread_local_stream",
      [](nb::handle d) {
        static std::atomic<uint64_t> next{0};
        return ThreadLocalStream{device_argument("new_thread_local_stream", d), next++};
      },
      nb::arg("device"), "A stream that stands for another one in each thread.");
  m.def(
      "stream", [](nb::handle s) { return StreamContext{read_stream("stream", s.ptr()), {}}; },
      nb::arg("s"),
      "A context in which this thread's operations run on a stream, or on a device's default "
      "stream.");
  m.def(
      "synchronize",
      [](nb::handle s) {
        Stream stream =
            s.is_none() ? default_stream(default_device()) : read_stream("synchronize", s.ptr());
        ReleaseGil release;
        synchronize(stream);
      },
      nb::arg("stream").none() = nb::none(), "Waits until everything given to the stream has run.");
  m.def("clear_streams", [] {}, "Does nothing: streams cost nothing while they are idle.");
  m.def(
      "is_available", [](nb::handle d) { return has_device(device_argument("is_available", d)); },
      nb::arg("device"), "Whether the device exists and has a backend.");
  m.def(
      "device_count", [](DeviceType t) { return device_count_of(t); }, nb::arg("device_type"),
      "The number of devices of this type.");
  m.def(
      "_why_no_device", [](DeviceType t) { return nb::str(why_no_device(t).c_str()); },
      "A sentence that says why there is no device of this type, or an empty string.");
  m.def(
      "_why_default_device", [] { return nb::str(why_default_device().c_str()); },
      "Half a sentence: why the default device is the one that it is.");
  m.def(
      "device_info",
      [](nb::handle d) {
        return device_info(d.is_none() ? default_device() : device_argument("device_info", d));
      },
      nb::arg("d").none() = nb::none(), "Facts about a device, by default the default one.");
}

// What `device=` means to the functions on memory: None, all devices together.
MemoryStats stats_of(const char* function, nb::handle device) {
  return device.is_none() ? memory_stats() : memory_stats(device_argument(function, device));
}

void define_memory(nb::module_& m) {
  m.def(
      "get_active_memory", [](nb::handle d) { return stats_of("get_active_memory", d).active; },
      nb::arg("device").none() = nb::none(),
      "Bytes held by arrays on `device`, by default on all devices together.");
  m.def(
      "get_peak_memory", [](nb::handle d) { return stats_of("get_peak_memory", d).peak; },
      nb::arg("device").none() = nb::none(),
      "The most bytes held by arrays since the start or the last reset_peak_memory(), on `device`, "
      "by default on all devices together.");
  m.def("reset_peak_memory", &reset_peak_memory,
        "Starts the measurement of get_peak_memory() anew.");
  m.def(
      "get_cache_memory", [](nb::handle d) { return stats_of("get_cache_memory", d).cache; },
      nb::arg("device").none() = nb::none(),
      "Bytes of freed buffers kept for reuse on `device`, by default on all devices together.");
  m.def(
      "clear_cache",
      [] {
        ReleaseGil release;
        clear_memory_cache();
      },
      "Gives all buffers kept for reuse back to the system.");
  m.def(
      "get_memory_limit",
      [](nb::handle d) {
        return memory_limit(d.is_none() ? default_device()
                                        : device_argument("get_memory_limit", d));
      },
      nb::arg("device").none() = nb::none(),
      "The most bytes that arrays on `device`, by default the default one, may hold.");
  m.def(
      "set_memory_limit",
      [](int64_t n) { return set_memory_limit(size_argument("set_memory_limit", n)); },
      nb::arg("limit"),
      "Sets the most bytes that arrays of one device may hold, for each device; gives the previous "
      "limit of the default one. At first it is 95 % of the device's memory.");
  m.def(
      "set_cache_limit",
      [](int64_t n) { return set_cache_limit(size_argument("set_cache_limit", n)); },
      nb::arg("limit"),
      "Sets how many bytes of freed buffers are kept for reuse, for each device; gives the "
      "previous "
      "limit of the default one. At first a GPU keeps all that it may hold, the host 1 GiB.");
  m.def(
      "set_spill_limit",
      [](int64_t n) { return set_spill_limit(size_argument("set_spill_limit", n)); },
      nb::arg("limit"),
      "Sets how many bytes of host memory values may take that a GPU has no room for; gives the "
      "previous limit. At first it is half of the machine's memory, or what LEGATO_SPILL_LIMIT "
      "says; 0: nothing is spilled.");
  m.def(
      "memory_summary",
      [](nb::handle d) {
        const std::string text =
            memory_summary(d.is_none() ? default_device() : device_argument("memory_summary", d));
        return nb::str(text.c_str());
      },
      nb::arg("device").none() = nb::none(),
      "For people: what arrays hold on `device`, by default the default one, what is cached and "
      "spilled to host memory, and the limits.");
  m.def(
      "set_wired_limit",
      [](int64_t n) {
        static int64_t limit = 0;
        return std::exchange(limit, size_argument("set_wired_limit", n));
      },
      nb::arg("limit"),
      "Accepted for compatibility: memory is not wired here. Gives the previous limit.");
  m.def("num_threads", &num_threads, "The number of threads that share an operation on the CPU.");
  m.def("set_num_threads", &set_num_threads, nb::arg("n"),
        "Sets the number of threads that share an operation on the CPU.");
  m.def(
      "_allow_tf32", &allow_tf32, nb::arg("on"),
      "Whether float32 products that this thread calls may use TF32. Gives the previous setting.");
  m.def("tf32_allowed", &tf32_allowed,
        "Whether float32 products that this thread calls may use TF32; see `allow_tf32`.");
  m.def("_set_fusion", &set_fusion, nb::arg("on"),
        "Whether pointwise operations are fused. Gives the previous setting; for tests.");
  m.def("_stop_threads", &stop_backend_threads, "Registered with atexit.");
  nb::module_::import_("atexit").attr("register")(m.attr("_stop_threads"));
  m.def(
      "_eval_counts",
      [] {
        const EvalCounts c = eval_counts();
        nb::dict d;
        d["programs"] = c.programs;
        d["kernels"] = c.kernels;
        d["layout_copies"] = c.layout_copies;
        d["reused_buffers"] = c.reused_buffers;
        d["epilogues"] = c.epilogues;
        d["prologues"] = c.prologues;
        d["row_programs"] = c.row_programs;
        d["recordings"] = c.recordings;
        d["replays"] = c.replays;
        return d;
      },
      "How much work evaluations have done in this process; for tests.");
}

}  // namespace

Stream read_stream(const char* function, PyObject* o) {
  Stream stream;
  if (nb::try_cast<Stream>(nb::handle(o), stream)) return stream;
  ThreadLocalStream local;
  if (nb::try_cast<ThreadLocalStream>(nb::handle(o), local)) return local.resolve();
  Device device;
  if (read_device(o, device)) return default_stream(device);
  throw TypeError(
      cat(function, ": `stream` must be a Stream, a Device or a DeviceType, found ", type_name(o)));
}

bool is_stream(PyObject* o) {
  nb::handle h(o);
  return nb::isinstance<Stream>(h) || nb::isinstance<ThreadLocalStream>(h) ||
         nb::isinstance<Device>(h) || nb::isinstance<DeviceType>(h);
}

StreamArgument::StreamArgument(const char* function, PyObject* o)
    : previous_(current_stream_index()) {
  if (o != Py_None) current_stream_index() = read_stream(function, o).index;
}
StreamArgument::~StreamArgument() { current_stream_index() = previous_; }

void init_devices(PyObject* module) {
  nb::register_exception_translator([](const std::exception_ptr& e, void*) {
    try {
      std::rethrow_exception(e);
    } catch (const Error&) {
      set_python_error();
    } catch (const PythonError&) {
      set_python_error();
    }
  });
  auto m = nb::borrow<nb::module_>(module);
  define_devices(m);
  define_streams(m);
  define_memory(m);
}

}  // namespace legato::python
