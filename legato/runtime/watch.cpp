#include "legato/runtime/watch.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "legato/op/origin.h"
#include "legato/runtime/plan.h"
#include "legato/runtime/stream.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanNode;
using fuse::Slot;
using fuse::Step;

namespace watch {

std::atomic<uint32_t> flags{0};

namespace {

std::mutex lock;
LogLevels current;                           // guarded by lock
void (*sink)(std::string_view) = nullptr;    // guarded by lock
std::vector<std::vector<StepRecord>> open_;  // the recordings, guarded by lock

// Call with the lock held.
void set_flag(uint32_t bit, bool on) {
  const uint32_t now = on ? flags.load() | bit : flags.load() & ~bit;
  flags.store(now);
  record_origins(now != 0);
}

[[maybe_unused]] const bool read_environment = [] {
  const char* text = std::getenv("LEGATO_LOG");
  if (!text || !*text) return true;
  try {
    set_log_levels(parse_log_levels(text));
  } catch (const std::exception& e) {  // a library that is being loaded has nobody to throw to
    std::fprintf(stderr, "legato: LEGATO_LOG is ignored: %s\n", e.what());
  }
  return true;
}();

}  // namespace

LogLevels levels() {
  std::lock_guard guard(lock);
  return current;
}

void write(std::string_view line) {
  void (*to)(std::string_view);
  {
    std::lock_guard guard(lock);
    to = sink;
  }
  if (to) return to(line);  // without the lock: it may wait for another one
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

void record(StepRecord&& step) {
  std::lock_guard guard(lock);
  for (size_t i = 0; i + 1 < open_.size(); ++i) open_[i].push_back(step);
  if (!open_.empty()) open_.back().push_back(std::move(step));
}

}  // namespace watch

LogLevels parse_log_levels(std::string_view text) {
  LogLevels out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const size_t colon = item.find(':');
    const std::string_view area = item.substr(0, colon);
    int level = 1;
    if (colon != std::string_view::npos) {
      const std::string_view number = item.substr(colon + 1);
      if (number.size() != 1 || number[0] < '0' || number[0] > '9')
        throw ValueError(cat("log: \"", std::string(item), "\": a level is a digit from 0 to 9"));
      level = number[0] - '0';
    }
    if (area == "eval")
      out.eval = level;
    else if (area == "fuse")
      out.fuse = level;
    else if (area == "mem")
      out.mem = level;
    else
      throw ValueError(cat("log: no area is called \"", std::string(area),
                           "\"; they are eval, fuse and mem, as in \"eval:2,fuse:1,mem\""));
  }
  return out;
}

LogLevels set_log_levels(const LogLevels& levels) {
  std::lock_guard guard(watch::lock);
  watch::set_flag(watch::kLog, levels.eval || levels.fuse || levels.mem);
  return std::exchange(watch::current, levels);
}

void set_log_sink(void (*sink)(std::string_view)) {
  std::lock_guard guard(watch::lock);
  watch::sink = sink;
}

bool set_debug_nans(bool on) {
  std::lock_guard guard(watch::lock);
  const bool before = watch::flags.load() & watch::kNan;
  watch::set_flag(watch::kNan, on);
  return before;
}

void start_recording() {
  std::lock_guard guard(watch::lock);
  watch::open_.emplace_back();
  watch::set_flag(watch::kRecord, true);
}

std::vector<StepRecord> stop_recording() {
  std::lock_guard guard(watch::lock);
  if (watch::open_.empty()) return {};
  auto out = std::move(watch::open_.back());
  watch::open_.pop_back();
  watch::set_flag(watch::kRecord, !watch::open_.empty());
  return out;
}

// --- the steps -----------------------------------------------------------------------------------

namespace {

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// What a step reads; of a program that a kernel applies, what both read.
std::vector<Slot> operands_of(const fuse::PlanGraph& g, const Step& step) {
  std::vector<Slot> out;
  if (step.kernel >= 0) out = operands_of(g, g.steps[static_cast<size_t>(step.kernel)]);
  auto add = [&](Slot s) {
    if (std::find(out.begin(), out.end(), s) == out.end()) out.push_back(s);
  };
  const PlanNode& n = g.nodes[step.node];
  if (step.kind == NodeKind::pointwise)
    for (uint32_t i = 0; i < step.n_inputs; ++i) {
      if (static_cast<int32_t>(i) != step.through) add(g.step_inputs[step.first_input + i].slot);
    }
  else
    for (uint32_t i = 0; i < n.n_in; ++i) add(g.in_slots[n.first_in + i]);
  return out;
}
std::vector<Slot> results_of(const fuse::PlanGraph& g, const Step& step) {
  std::vector<Slot> out;
  const PlanNode& n = g.nodes[step.node];
  if (step.reader >= 0) out = results_of(g, g.steps[static_cast<size_t>(step.reader)]);
  if (step.kind == NodeKind::pointwise)
    for (uint32_t i = 0; i < step.n_outputs; ++i) {
      const Slot s = g.step_outputs[step.first_output + i];
      const fuse::SlotInfo& slot = g.slots[static_cast<size_t>(s)];
      if (static_cast<int32_t>(i) != step.read || slot.held || slot.uses > 1) out.push_back(s);
    }
  else
    for (uint32_t o = 0; o < n.node->n_out; ++o) out.push_back(static_cast<Slot>(n.first_slot + o));
  return out;
}

std::string text_of(const Value& v) { return cat(v.dtype, v.shape); }
int64_t bytes_of(const Value& v) { return v.size * static_cast<int64_t>(size_of(v.dtype)); }

std::string device_name(uint16_t stream) {
  const Device d = device_of_stream(stream);
  return cat(d.type == DeviceType::cpu   ? "cpu"
             : d.type == DeviceType::gpu ? "gpu"
                                         : "other",
             ":", d.index);
}

const char* kind_name(NodeKind kind) {
  switch (kind) {
    case NodeKind::pointwise:
      return "program";
    case NodeKind::kernel:
      return "kernel";
    case NodeKind::view:
      return "view";
    case NodeKind::literal:
      return "literal";
    case NodeKind::alias:
      return "expansion";
    case NodeKind::compiled:
      break;
  }
  return "compiled";
}

std::string program_name(const fuse::Program& p) {
  if (p.instrs.empty()) return "copy";
  if (p.instrs.size() == 1) return fuse::fn_name(p.instrs[0].fn);
  std::string out = "fused[";
  for (const fuse::Instr& i : p.instrs)
    out += cat(out.back() == '[' ? "" : ",", fuse::fn_name(i.fn));
  return out + "]";
}

template <class T>
bool any_nan(const void* data, int64_t n) {
  const T* p = static_cast<const T*>(data);
  for (int64_t i = 0; i < n; ++i)
    if (p[i] != p[i]) return true;
  return false;
}
// Of halves: all exponent bits set, and some bit of the fraction.
bool any_half_nan(const void* data, int64_t n, uint16_t infinity) {
  const uint16_t* p = static_cast<const uint16_t*>(data);
  for (int64_t i = 0; i < n; ++i)
    if ((p[i] & 0x7fff) > infinity) return true;
  return false;
}

bool has_nan(const Value& v) {
  if (!is_inexact(v.dtype) || v.size == 0 || !v.storage) return false;
  Value copy;
  const Value* from = &v;
  if (!v.row_major) {
    copy = row_major_copy(v, static_cast<DeviceStorage&>(*v.storage).home());
    from = &copy;
  }
  const void* data = data_on(*from, Device{});
  const int64_t parts = is_complex(v.dtype) ? 2 * v.size : v.size;
  const Dtype part = is_complex(v.dtype) ? real_part(v.dtype) : v.dtype;
  if (part == Dtype::float16) return any_half_nan(data, parts, 0x7c00);
  if (part == Dtype::bfloat16) return any_half_nan(data, parts, 0x7f80);
  return part == Dtype::float64 ? any_nan<double>(data, parts) : any_nan<float>(data, parts);
}

std::string duration_text(int64_t ns) {
  char text[32];
  if (ns < 10000)
    std::snprintf(text, sizeof text, "%.1f us", static_cast<double>(ns) * 1e-3);
  else if (ns < 10000000)
    std::snprintf(text, sizeof text, "%.0f us", static_cast<double>(ns) * 1e-3);
  else
    std::snprintf(text, sizeof text, "%.1f ms", static_cast<double>(ns) * 1e-6);
  return text;
}

void log_program(const fuse::Program& program, int level) {
  if (level < 1 || program.instrs.size() < 2) return;
  watch::write(cat("fuse ", program_name(program), "  ", program.instrs.size(),
                   " operations in one pass, ", program.inputs.size(), " read, ",
                   program.outputs.size(), " written"));
  if (level >= 2) watch::write(program.to_string());
}

void log_step(const StepRecord& r, const fuse::Program* program) {
  const LogLevels levels = watch::levels();
  const std::string_view kind(r.kind);
  const bool work = kind == "program" || kind == "kernel" || kind == "rows";
  const int64_t ns = std::max<int64_t>(r.end_ns - r.begin_ns, 1);
  if (levels.eval >= (work ? 1 : 2)) {
    char speed[32];
    std::snprintf(speed, sizeof speed, "%.1f GB/s",
                  static_cast<double>(r.bytes_read + r.bytes_written) / static_cast<double>(ns));
    watch::write(cat("eval ", r.device, "  ", r.name, "  ", r.operands, "  ", duration_text(ns),
                     work ? "  " : "", work ? speed : "", r.origin.empty() ? "" : "  ", r.origin));
  }
  if (program) log_program(*program, levels.fuse);
  if (levels.mem >= 1 && kind == "view" && r.copies)
    watch::write(cat("mem  ", r.name, "  1 input copied, because no strides say this view",
                     r.origin.empty() ? "" : "  ", r.origin));
  if (levels.mem >= 1 && work) {
    if (r.copies)
      watch::write(cat("mem  ", r.name, "  ", r.copies, r.copies == 1 ? " input" : " inputs",
                       " copied, because the kernel does not take its strides",
                       r.origin.empty() ? "" : "  ", r.origin));
    if (r.moved)
      watch::write(cat("mem  ", r.name, "  ", r.moved, r.moved == 1 ? " input" : " inputs",
                       " copied to ", r.device, ", where it runs", r.origin.empty() ? "" : "  ",
                       r.origin));
    const auto about = [&](int64_t n, const char* noun, const std::string& what) {
      if (n)
        watch::write(cat("mem  ", r.name, "  ", n, " ", noun, n == 1 ? "" : "s", what,
                         r.origin.empty() ? "" : "  ", r.origin));
    };
    about(r.spilled, "value",
          cat(" (", r.spilled_bytes >> 10, " KiB) spilled to host memory, to make room on ",
              r.device));
    about(r.dropped, "value",
          cat(" dropped, to make room on ", r.device, ": another device has a copy"));
    about(r.returned, "input", cat(" brought back to ", r.device, " from host memory"));
    if (r.reused)
      watch::write(cat("mem  ", r.name, "  ", r.reused, r.reused == 1 ? " output" : " outputs",
                       " written over a dying input"));
    if (levels.mem >= 2)
      watch::write(cat("mem  ", r.name, "  ", memory_stats().active, " bytes held"));
  }
}

}  // namespace

namespace {

/// Returns when a device that works in the background has done what was given to it: around a step
/// that is watched, so that its time is its own and not that of its launch.
void wait_for(const Step& step, const fuse::PlanGraph& g) {
  const Device device = device_of_stream(g.nodes[step.node].node->stream);
  if (Backend& backend = backend_of(device); backend.asynchronous())
    backend.synchronize(device.index);
}

}  // namespace

namespace {

// What leaves a device and comes back to it while the object lives.
class Moves {
 public:
  explicit Moves(Device device) : device_(device), before_(spill_stats(device)) {}
  void tell(StepRecord& r) const {
    const SpillStats now = spill_stats(device_);
    r.spilled = now.spills - before_.spills;
    r.spilled_bytes = now.spilled_bytes - before_.spilled_bytes;
    r.dropped = now.drops - before_.drops;
    r.returned = now.returns - before_.returns;
  }

 private:
  const Device device_;
  const SpillStats before_;
};

}  // namespace

StepRecord Runner::describe(const Step& step) const {
  const PlanNode& n = g_.nodes[step.node];
  StepRecord r;
  r.kind = kind_name(step.kind);
  r.name = step.kind == NodeKind::pointwise ? program_name(*step.program) : n.node->op->name;
  const Step* kernel = step.kernel >= 0 ? &g_.steps[static_cast<size_t>(step.kernel)] : nullptr;
  if (kernel) {
    r.kind = kind_name(NodeKind::kernel);
    r.name = cat(g_.nodes[kernel->node].node->op->name, "+", r.name);
  }
  const Step* reader = step.reader >= 0 ? &g_.steps[static_cast<size_t>(step.reader)] : nullptr;
  if (reader) {
    r.kind = kind_name(NodeKind::kernel);
    r.name += cat("+", g_.nodes[reader->node].node->op->name);
  }
  r.origin = origin_of(n.node);
  r.device = device_name(n.node->stream);
  r.thread = std::hash<std::thread::id>()(std::this_thread::get_id());
  for (Slot s : operands_of(g_, step)) {
    r.operands += cat(r.operands.empty() ? "" : ", ", text_of(value(s)));
    r.bytes_read += bytes_of(value(s));
  }
  const char* before = r.operands.empty() ? "-> " : " -> ";
  for (Slot s : results_of(g_, step)) {
    r.operands += cat(before, text_of(value(s)));
    before = ", ";
    r.bytes_written += bytes_of(value(s));
  }
  if (step.kind == NodeKind::pointwise) {
    r.n_nodes = static_cast<int>(std::max<size_t>(step.program->instrs.size(), 1)) +
                (kernel ? 1 : 0) + (reader ? 1 : 0);
  } else if (step.kind != NodeKind::kernel) {
    r.bytes_read = r.bytes_written = 0;  // nothing is moved
  }
  return r;
}

void Runner::run_step_watched(const Step& step) {
  StepRecord r = describe(step);
  const int64_t copies = counts().layout_copies.load(), reused = counts().reused_buffers.load(),
                moved = DeviceStorage::copies_made();
  const Moves moves(device_of_stream(g_.nodes[step.node].node->stream));
  wait_for(step, g_);
  r.begin_ns = now();
  run_step(step);
  wait_for(step, g_);
  r.end_ns = now();
  r.copies = counts().layout_copies.load() - copies;
  r.reused = counts().reused_buffers.load() - reused;
  r.moved = DeviceStorage::copies_made() - moved;
  moves.tell(r);
  const uint32_t active = watch::active();
  if (active & watch::kLog) log_step(r, step.program.get());
  if ((active & watch::kNan) && (step.kind == NodeKind::pointwise || step.kind == NodeKind::kernel))
    search_nan(step, r);
  if (active & watch::kRecord) watch::record(std::move(r));
}

void Runner::search_nan(const Step& step, const StepRecord& r) const {
  const auto results = results_of(g_, step);
  if (std::none_of(results.begin(), results.end(), [&](Slot s) { return has_nan(value(s)); }))
    return;
  std::string inputs;
  for (Slot s : operands_of(g_, step)) {
    // A buffer that was written over cannot be asked any more.
    const Value& v = value(s);
    bool overwritten = false;
    for (Slot o : results) overwritten |= value(o).storage.get() == v.storage.get();
    inputs += cat(inputs.empty() ? "" : ", ", text_of(v),
                  overwritten  ? ""
                  : has_nan(v) ? " with nan"
                               : " without nan");
  }
  throw ValueError(cat("debug_nans: ", r.name, " made a nan: ", r.operands,
                       inputs.empty() ? "" : "; its inputs: ", inputs,
                       r.origin.empty() ? "" : "; at ", r.origin));
}

void Runner::run_batch_watched(const fuse::Batch& batch) {
  const Step& first = g_.steps[batch.first_step];
  StepRecord r = describe(first);
  for (uint32_t i = 1; i < batch.n_steps; ++i) {
    const StepRecord more = describe(g_.steps[batch.first_step + i]);
    r.n_nodes += more.n_nodes;
    r.bytes_read += more.bytes_read;
    r.bytes_written += more.bytes_written;
  }
  r.name = cat(batch.n_steps, " x ", r.name);
  r.operands += cat(" and ", batch.n_steps - 1, " more");
  const int64_t reused = counts().reused_buffers.load();
  const Moves moves(device_of_stream(g_.nodes[first.node].node->stream));
  wait_for(first, g_);
  r.begin_ns = now();
  run_batch(batch);
  wait_for(first, g_);
  r.end_ns = now();
  r.reused = counts().reused_buffers.load() - reused;
  moves.tell(r);
  const uint32_t active = watch::active();
  if (active & watch::kLog) log_step(r, first.program.get());
  if (active & watch::kRecord) watch::record(std::move(r));
}

bool Runner::run_rows_watched(const fuse::RowBlock& block) {
  if (watch::active() & watch::kNan) return false;  // step by step, so that the step is known
  const Step& last = g_.steps[block.first_step + block.n_steps - 1];
  StepRecord r = describe(last);
  std::string names;
  for (uint32_t i = 0; i < block.n_steps; ++i) {
    const StepRecord part = describe(g_.steps[block.first_step + i]);
    names += cat(i ? "," : "", part.name);
    if (i + 1 < block.n_steps) {
      r.n_nodes += part.n_nodes;
      r.bytes_read += part.bytes_read;
      r.bytes_written += part.bytes_written;
    }
  }
  r.kind = "rows";
  r.name = cat("rows[", names, "]");
  wait_for(last, g_);
  r.begin_ns = now();
  if (!run_rows(block)) return false;
  wait_for(last, g_);
  r.end_ns = now();
  const uint32_t active = watch::active();
  if (active & watch::kLog) {
    log_step(r, nullptr);
    const int level = watch::levels().fuse;
    for (uint32_t i = 0; i < block.n_steps; ++i)
      if (const Step& step = g_.steps[block.first_step + i]; step.program)
        log_program(*step.program, level);
  }
  if (active & watch::kRecord) watch::record(std::move(r));
  return true;
}

}  // namespace legato
