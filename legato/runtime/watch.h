// Watching evaluations: a log, a recording of what ran, a search for nan.
//
// While nobody watches, an evaluation reads one flag. While somebody does, each step that a plan
// runs is timed; on a device that works in the background the time is that of the launch.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "legato/base/export.h"

namespace legato {

/// Levels of the log's areas; 0 is silent.
struct LogLevels {
  int eval = 0;  // 1: a line for each kernel and program; 2: views and other bookkeeping too
  int fuse = 0;  // 1: what was fused; 2: the program, instruction by instruction
  int mem = 0;   // 1: implicit copies, reused buffers, memory held
};
/// Reads "eval:2,fuse:1,mem" (a level of 1 needs no number). Throws ValueError that names the
/// areas.
LEGATO_API LogLevels parse_log_levels(std::string_view text);
/// The levels of this process (environment: LEGATO_LOG). Gives the previous ones.
LEGATO_API LogLevels set_log_levels(const LogLevels& levels);
/// Where lines go, without their end; null: to standard error. Called by whatever thread evaluates.
LEGATO_API void set_log_sink(void (*sink)(std::string_view line));

/// Whether an evaluation fails whose step makes a nan, with an error that names the step, its
/// inputs and the line of the program. Gives the previous setting.
LEGATO_API bool set_debug_nans(bool on);

/// One step of an evaluation.
struct StepRecord {
  std::string name;       // "matmul", "fused[multiply,add]"
  std::string operands;   // "float32(3, 5), float32(5,) -> float32(3, 5)"
  std::string origin;     // line of the program, if it is known
  std::string device;     // "cpu:0"
  const char* kind = "";  // "program", "kernel", "view", "literal", "expansion", "compiled", "rows"
  int n_nodes = 1;        // nodes of the graph that it carries out
  int64_t bytes_read = 0, bytes_written = 0;
  int64_t copies = 0;  // inputs copied because a kernel could not take their layout
  int64_t moved = 0;   // inputs copied from another device
  int64_t spilled = 0, spilled_bytes = 0;  // values moved to host memory to make room
  int64_t dropped = 0;                     // copies of what others have, too, given up for it
  int64_t returned = 0;                    // inputs that came back from there
  int64_t reused = 0;                      // outputs written over a dying input
  int64_t begin_ns = 0, end_ns = 0;        // of a steady clock
  uint64_t thread = 0;
};
/// Recordings may nest; each sees the steps of its time.
LEGATO_API void start_recording();
LEGATO_API std::vector<StepRecord> stop_recording();

namespace watch {
/// Bits: logged, recorded, searched for nan.
inline constexpr uint32_t kLog = 1, kRecord = 2, kNan = 4;
extern std::atomic<uint32_t> flags;
inline uint32_t active() { return flags.load(std::memory_order_relaxed); }

LogLevels levels();
void write(std::string_view line);
void record(StepRecord&& step);
}  // namespace watch

}  // namespace legato
