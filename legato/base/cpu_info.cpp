#include "legato/base/cpu_info.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include "legato/base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace legato {
namespace {

// First line of a small text file without its end-of-line; empty if there is no such file.
std::string first_line(const std::string& path) {
  std::string line;
  if (std::FILE* file = std::fopen(path.c_str(), "re")) {
    char text[512];
    if (std::fgets(text, sizeof text, file) != nullptr) line.assign(text, std::strcspn(text, "\n"));
    std::fclose(file);
  }
  return line;
}

#if defined(__x86_64__)
uint64_t enabled_state() {  // XCR0: register files that the operating system saves
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

void find_features(CpuInfo& info) {
  const auto bit = [](unsigned word, int i) { return (word >> i & 1) != 0; };
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return;
  const bool fma = bit(c, 12), osxsave = bit(c, 27), avx = bit(c, 28), f16c = bit(c, 29);
  if (!(fma && osxsave && avx && f16c)) return;
  const uint64_t state = enabled_state();
  const bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6,
             tiles = (state & 0x60000) == 0x60000;
  if (!ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
  if (!(bit(b, 5) && bit(b, 8))) return;  // AVX2, BMI2
  info.level = SimdLevel::avx2;
  if (!zmm || !(bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31))) return;  // F, DQ, BW, VL
  info.level = SimdLevel::avx512;
  info.avx512_vnni = bit(c, 11);
  info.amx_bf16 = tiles && bit(d, 22) && bit(d, 24);
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) info.avx512_bf16 = bit(a, 5);
}
#else
void find_features(CpuInfo&) {}
#endif

void find_caches(CpuInfo& info) {
  for (int i = 0; i < 8; ++i) {
    const std::string dir = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    const std::string level = first_line(dir + "level"), type = first_line(dir + "type"),
                      size = first_line(dir + "size");
    if (level.empty() || type == "Instruction") continue;
    char* unit = nullptr;
    int64_t bytes = std::strtoll(size.c_str(), &unit, 10);
    bytes *= *unit == 'K' ? 1 << 10 : *unit == 'M' ? 1 << 20 : 1;
    if (bytes <= 0) continue;
    if (level == "1") info.l1d_bytes = bytes;
    if (level == "2") info.l2_bytes = bytes;
    if (level == "3") info.l3_bytes = bytes;
  }
}

// CPUs that a quota in microseconds of CPU time a period allows; 0: no limit.
int cpus_of_quota(double quota, double period) {
  if (!(quota > 0 && period > 0)) return 0;
  const double cpus = quota / period;
  return cpus > 1e6 ? 0
                    : std::max(1, static_cast<int>(cpus) + (cpus > static_cast<int>(cpus) ? 1 : 0));
}

int quota_of(const std::string& dir, bool v2) {
  if (v2) {
    double quota = 0, period = 0;  // "max 100000": no limit, and no number
    return std::sscanf(first_line(dir + "/cpu.max").c_str(), "%lf %lf", &quota, &period) == 2
               ? cpus_of_quota(quota, period)
               : 0;
  }
  return cpus_of_quota(std::atof(first_line(dir + "/cpu.cfs_quota_us").c_str()),
                       std::atof(first_line(dir + "/cpu.cfs_period_us").c_str()));
}

// Calls f(folder, v2) for the process's cgroup of this controller and those above it, up to the
// root. A container sees its own group as the root.
template <class F>
void for_each_cgroup(const std::string& controller, F f) {
  const auto walk = [&](const std::string& root, std::string path, bool v2) {
    for (;;) {
      f(root + path, v2);
      if (path.empty()) return;
      path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
    }
  };
  std::FILE* file = std::fopen("/proc/self/cgroup", "re");
  if (file == nullptr) return;
  char text[4096];  // a line: id:controllers:path
  while (std::fgets(text, sizeof text, file) != nullptr) {
    const std::string line(text, std::strcspn(text, "\n"));
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1) == "/" ? "" : line.substr(second + 1);
    if (controllers == ",,") walk("/sys/fs/cgroup", path, true);
    if (controllers.find("," + controller + ",") != std::string::npos)
      walk("/sys/fs/cgroup/" + controller, path, false);
  }
  std::fclose(file);
}

// The smallest limit of the process's cgroups; 0: none.
int cgroup_cpus() {
  int least = 0;
  for_each_cgroup("cpu", [&](const std::string& dir, bool v2) {
    const int limit = quota_of(dir, v2);
    if (limit != 0 && (least == 0 || limit < least)) least = limit;
  });
  return least;
}

struct Counts {
  int cpus, cores;
};

Counts count_cpus() {
  Counts counts{0, 0};
  // Machines with more than 1,024 CPUs need a mask of their own size.
  for (int most = 1024; most <= 1 << 16; most *= 4) {
    cpu_set_t* mask = CPU_ALLOC(most);
    if (mask == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(most);
    CPU_ZERO_S(bytes, mask);
    const bool known = sched_getaffinity(0, bytes, mask) == 0;
    if (known) {
      std::set<std::string> siblings;  // one entry a core: the list of its hardware threads
      for (int cpu = 0; cpu < most; ++cpu) {
        if (!CPU_ISSET_S(cpu, bytes, mask)) continue;
        ++counts.cpus;
        const std::string list = first_line("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                                            "/topology/thread_siblings_list");
        siblings.insert(list.empty() ? std::to_string(cpu) : list);
      }
      counts.cores = static_cast<int>(siblings.size());
    }
    CPU_FREE(mask);
    if (known) break;
  }
  if (counts.cpus == 0) counts.cpus = counts.cores = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  if (const int quota = cgroup_cpus(); quota != 0) {
    counts.cpus = std::min(counts.cpus, quota);
    counts.cores = std::min(counts.cores, quota);
  }
  return counts;
}

const Counts& counts() {
  static const Counts counts = count_cpus();
  return counts;
}

}  // namespace

int64_t usable_memory() {
  static const int64_t bytes = [] {
    int64_t least = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
    for_each_cgroup("memory", [&](const std::string& dir, bool v2) {
      const char* file = v2 ? "/memory.max" : "/memory.limit_in_bytes";
      const int64_t limit = std::atoll(first_line(dir + file).c_str());  // of "max": 0
      if (limit > 0) least = std::min(least, limit);
    });
    return least;
  }();
  return bytes;
}

std::string_view name(SimdLevel level) {
  switch (level) {
    case SimdLevel::base:
      return "base";
    case SimdLevel::avx2:
      return "avx2";
    case SimdLevel::avx512:
      return "avx512";
  }
  return "?";
}

SimdLevel parse_simd_level(std::string_view text) {
  for (SimdLevel level : {SimdLevel::base, SimdLevel::avx2, SimdLevel::avx512}) {
    if (text == name(level)) return level;
  }
  throw ValueError("SIMD level \"" + std::string(text) +
                   "\" is unknown, expected base, avx2 or avx512.");
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = [] {
    CpuInfo found;
    find_features(found);
    find_caches(found);
    return found;
  }();
  return info;
}

SimdLevel simd_level() {
  static const SimdLevel level = [] {
    const SimdLevel most = cpu_info().level;
    const char* text = std::getenv("LEGATO_SIMD");
    if (text == nullptr || *text == '\0') return most;
    SimdLevel asked;
    try {
      asked = parse_simd_level(text);
    } catch (const ValueError& error) {
      throw ValueError(std::string("Environment variable LEGATO_SIMD: ") + error.what());
    }
    if (asked > most) {
      throw ValueError("Environment variable LEGATO_SIMD asks for " + std::string(text) +
                       ", this machine has at most " + std::string(name(most)) + ".");
    }
    return asked;
  }();
  return level;
}

bool use_avx512_bf16() { return cpu_info().avx512_bf16 && simd_level() == SimdLevel::avx512; }

int available_cpus() { return counts().cpus; }
int available_cores() { return counts().cores; }

}  // namespace legato
