// The run-time compiler without a GPU: programs become shared objects by the host's compiler, which
// takes a quarter of a second each; the backend's own cache on disk keeps them.
// LEGATO_EMULATOR_FAIL=nvrtc:2 makes the second compilation fail.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {
struct Program {
  std::string source, log, code;
};
std::atomic<int> compilations{0};
}  // namespace

EXPORT int nvrtcVersion(int* major, int* minor) {
  // LEGATO_EMULATOR_NVRTC: the version to be, such as 13.0.
  const char* given = std::getenv("LEGATO_EMULATOR_NVRTC");
  *major = 0;
  *minor = 1;
  if (given) std::sscanf(given, "%d.%d", major, minor);
  return 0;
}
EXPORT const char* nvrtcGetErrorString(int e) {
  return e ? "NVRTC_ERROR_COMPILATION" : "NVRTC_SUCCESS";
}
EXPORT int nvrtcGetNumSupportedArchs(int* n) {
  *n = 1;
  return 0;
}
EXPORT int nvrtcGetSupportedArchs(int* a) {
  a[0] = 90;
  return 0;
}
EXPORT int nvrtcCreateProgram(Program** p, const char* source, const char*, int, const char* const*,
                              const char* const*) {
  *p = new Program{source, "", ""};
  return 0;
}
EXPORT int nvrtcCompileProgram(Program* p, int, const char* const*) {
  const char* fail = std::getenv("LEGATO_EMULATOR_FAIL");
  const char* at = fail ? std::strstr(fail, "nvrtc:") : nullptr;
  if (at && std::atoi(at + 6) == ++compilations) {
    p->log = "this compilation was told to fail";
    return 6;
  }
  char folder[] = "/tmp/legato-emulator-XXXXXX";
  if (!mkdtemp(folder)) return 1;
  const std::string base = folder, source = base + "/program.cpp", object = base + "/program.so",
                    log = base + "/log";
  static const std::regex shared(R"(extern\s+__shared__\s+([\w ]+?)\s*\b(\w+)\s*\[\s*\]\s*;)");
  std::ofstream(source) << std::regex_replace(
      p->source, shared, "$1* $2 = static_cast<$1*>(legato::emulator::dynamic_shared());");
  const std::string command = std::string(LEGATO_EMULATOR_CXX) +
                              " -std=c++20 -O0 -w -ffp-contract=off -shared -fPIC "
                              "-fno-strict-aliasing -DLEGATO_EMULATED=1 -I" +
                              LEGATO_EMULATOR_ROOT + " -include tests/cuda/emulator/device.h " +
                              source + " -o " + object + " 2> " + log;
  const int status = std::system(command.c_str());
  auto read = [](const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  p->log = read(log);
  const std::string code = read(object);
  const uint64_t head[] = {0x4f53544147454cull, code.size()};
  p->code.assign(reinterpret_cast<const char*>(head), sizeof head);
  p->code += code;
  for (const auto& path : {source, object, log}) unlink(path.c_str());
  rmdir(folder);
  return status == 0 ? 0 : 6;
}
EXPORT int nvrtcGetProgramLogSize(Program* p, size_t* n) {
  *n = p->log.size() + 1;
  return 0;
}
EXPORT int nvrtcGetProgramLog(Program* p, char* to) {
  std::memcpy(to, p->log.c_str(), p->log.size() + 1);
  return 0;
}
EXPORT int nvrtcGetCUBINSize(Program* p, size_t* n) {
  *n = p->code.size();
  return 0;
}
EXPORT int nvrtcGetCUBIN(Program* p, char* to) {
  std::memcpy(to, p->code.data(), p->code.size());
  return 0;
}
EXPORT int nvrtcDestroyProgram(Program** p) {
  delete *p;
  *p = nullptr;
  return 0;
}
