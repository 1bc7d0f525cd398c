#include "legato/backends/cuda/nvrtc.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "legato/backends/cuda/driver.h"
#include "legato/backends/cuda/library_places.h"
#include "legato/backends/cuda/print.h"
#include "legato/base/error.h"

namespace legato::cuda {
namespace {

// The functions of nvrtc.h that are called; its header is not needed to build.
using ProgramHandle = struct NvrtcProgram*;
struct Nvrtc {
  int (*nvrtcVersion)(int* major, int* minor) = nullptr;
  const char* (*nvrtcGetErrorString)(int) = nullptr;
  int (*nvrtcCreateProgram)(ProgramHandle*, const char* source, const char* name, int n_headers,
                            const char* const* headers, const char* const* names) = nullptr;
  int (*nvrtcCompileProgram)(ProgramHandle, int n_options, const char* const* options) = nullptr;
  int (*nvrtcGetProgramLogSize)(ProgramHandle, size_t*) = nullptr;
  int (*nvrtcGetProgramLog)(ProgramHandle, char*) = nullptr;
  int (*nvrtcGetCUBINSize)(ProgramHandle, size_t*) = nullptr;
  int (*nvrtcGetCUBIN)(ProgramHandle, char*) = nullptr;
  int (*nvrtcDestroyProgram)(ProgramHandle*) = nullptr;
  int (*nvrtcGetNumSupportedArchs)(int*) = nullptr;
  int (*nvrtcGetSupportedArchs)(int*) = nullptr;
  int major = 0, minor = 0;
  std::vector<int> architectures;
  std::string problem;
};

// NVRTC opens a library of built-in functions by its bare name, and PyPI's wheel puts it where the
// system doesn't look: it is opened first, from the same folder.
void open_builtins(const std::string& library) {
  const size_t slash = library.rfind('/');
  if (slash == std::string::npos) return;
  const std::string folder = library.substr(0, slash + 1);
  DIR* entries = opendir(folder.c_str());
  if (!entries) return;
  while (const dirent* entry = readdir(entries))
    if (std::strncmp(entry->d_name, "libnvrtc-builtins.so", 20) == 0)
      dlopen((folder + entry->d_name).c_str(), RTLD_NOW | RTLD_GLOBAL);
  closedir(entries);
}

Nvrtc* load_nvrtc() {
  auto* n = new Nvrtc;
  void* handle = nullptr;
  std::string last;
  for (const std::string& place :
       library_places("LEGATO_NVRTC", {"cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12"},
                      {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"})) {
    open_builtins(place);
    handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle) break;
    last = dlerror();
  }
  if (!handle) {
    n->problem = cat("CUDA's run-time compiler was not found (", last,
                     "). Install it with: pip install nvidia-cuda-nvrtc");
    return n;
  }
#define LEGATO_NVRTC_LOAD(name)                                         \
  n->name = reinterpret_cast<decltype(n->name)>(dlsym(handle, #name));  \
  if (!n->name) {                                                       \
    n->problem = "CUDA's run-time compiler has no function " #name "."; \
    return n;                                                           \
  }
  LEGATO_NVRTC_LOAD(nvrtcVersion)
  LEGATO_NVRTC_LOAD(nvrtcGetErrorString)
  LEGATO_NVRTC_LOAD(nvrtcCreateProgram)
  LEGATO_NVRTC_LOAD(nvrtcCompileProgram)
  LEGATO_NVRTC_LOAD(nvrtcGetProgramLogSize)
  LEGATO_NVRTC_LOAD(nvrtcGetProgramLog)
  LEGATO_NVRTC_LOAD(nvrtcGetCUBINSize)
  LEGATO_NVRTC_LOAD(nvrtcGetCUBIN)
  LEGATO_NVRTC_LOAD(nvrtcDestroyProgram)
  LEGATO_NVRTC_LOAD(nvrtcGetNumSupportedArchs)
  LEGATO_NVRTC_LOAD(nvrtcGetSupportedArchs)
#undef LEGATO_NVRTC_LOAD
  n->nvrtcVersion(&n->major, &n->minor);
  int count = 0;
  if (n->nvrtcGetNumSupportedArchs(&count) == 0 && count > 0) {
    n->architectures.resize(static_cast<size_t>(count));
    n->nvrtcGetSupportedArchs(n->architectures.data());
  }
  return n;
}

Nvrtc& nvrtc() {
  static Nvrtc& n = *load_nvrtc();
  return n;
}

uint64_t hash(std::string_view s, uint64_t h) {
  for (unsigned char c : s) h = (h ^ c) * 0x100000001b3ull;
  return h ^ (h >> 29);
}

std::string hex(uint64_t v) {
  std::string s(16, '0');
  for (int i = 15; i >= 0; --i, v >>= 4) s[static_cast<size_t>(i)] = "0123456789abcdef"[v & 15];
  return s;
}

constexpr char kMagic[] = "legato program 1\n";

}  // namespace

const std::string& nvrtc_problem() { return nvrtc().problem; }
std::string nvrtc_version() { return cat(nvrtc().major, ".", nvrtc().minor); }
int most_parameter_bytes() {
  // Both the compiler and the driver have to know of larger ones.
  const bool large = nvrtc().major * 100 + nvrtc().minor >= 1201 && driver().version >= 12010;
  return large ? 32764 : 4096;
}

std::string cache_folder() {
  if (const char* given = std::getenv("LEGATO_CACHE_DIR")) return given;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg) return cat(xdg, "/legato");
  if (const char* home = std::getenv("HOME"); home && *home) return cat(home, "/.cache/legato");
  return "";
}

static std::string cache_path(const std::string& folder, std::string_view key) {
  return cat(folder, "/", hex(hash(key, 0xcbf29ce484222325ull)),
             hex(hash(key, 0x9e3779b97f4a7c15ull)), ".cubin");
}

std::string read_cached(const std::string& folder, std::string_view key) {
  if (folder.empty()) return "";
  const int file = open(cache_path(folder, key).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::string text;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = read(file, buffer, sizeof buffer);
    if (n <= 0) {
      if (n < 0) text.clear();
      break;
    }
    text.append(buffer, static_cast<size_t>(n));
  }
  close(file);
  // The whole key stands in the file: two sources with one name are two misses, not a wrong
  // program.
  const std::string head = cat(kMagic, key.size(), "\n", key);
  if (text.compare(0, head.size(), head) != 0) return "";
  const size_t at = head.size();
  uint64_t size = 0, sum = 0;
  if (text.size() < at + 16) return "";
  std::memcpy(&size, text.data() + at, 8);
  std::memcpy(&sum, text.data() + at + 8, 8);
  std::string data = text.substr(at + 16);
  return data.size() == size && hash(data, 7) == sum ? data : "";
}

void write_cached(const std::string& folder, std::string_view key, std::string_view data) noexcept
    try {
  if (folder.empty()) return;
  for (size_t slash = folder.find('/', 1);; slash = folder.find('/', slash + 1)) {
    mkdir(folder.substr(0, slash).c_str(), 0755);
    if (slash == std::string::npos) break;
  }
  std::string path = cache_path(folder, key), draft = path + ".XXXXXX";
  const int file = mkstemp(draft.data());
  if (file < 0) return;
  const uint64_t numbers[] = {data.size(), hash(data, 7)};
  std::string text = cat(kMagic, key.size(), "\n", key);
  text.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  text.append(data);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(file, text.data() + done, text.size() - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  const bool closed = close(file) == 0;
  if (done != text.size() || !closed || rename(draft.c_str(), path.c_str()) != 0)
    unlink(draft.c_str());
} catch (...) {  // no memory for the paths: the program is compiled again next time
}

namespace {

std::string compile(const std::string& source, int capability, std::vector<std::string> options,
                    const char* what) {
  Nvrtc& n = nvrtc();
  if (!n.problem.empty()) throw EvalError(n.problem);
  // Code for this very device; for one that is newer than the compiler, for the newest it knows of
  // the same generation (code runs on later minor versions of its major one).
  int target = capability;
  if (!n.architectures.empty() &&
      std::find(n.architectures.begin(), n.architectures.end(), target) == n.architectures.end()) {
    target = 0;
    for (int a : n.architectures)
      if (a / 10 == capability / 10 && a <= capability) target = std::max(target, a);
    if (target == 0)
      throw EvalError(cat("CUDA's run-time compiler ", n.major, ".", n.minor,
                          " makes no code for compute capability ", capability / 10, ".",
                          capability % 10,
                          "; install a newer one: pip install -U nvidia-cuda-nvrtc"));
  }
  options.push_back(cat("--gpu-architecture=sm_", target));
  std::string key = cat("nvrtc ", n.major, ".", n.minor);
  std::vector<const char*> texts;
  for (const std::string& option : options) {
    key += ' ';
    key += option;
    texts.push_back(option.c_str());
  }
  key += '\n';
  key += source;
  const std::string folder = cache_folder();
  if (std::string known = read_cached(folder, key); !known.empty()) return known;

  ProgramHandle program = nullptr;
  if (int status =
          n.nvrtcCreateProgram(&program, source.c_str(), "program.cu", 0, nullptr, nullptr))
    throw EvalError(cat("CUDA's run-time compiler: ", n.nvrtcGetErrorString(status)));
  struct Guard {
    Nvrtc& n;
    ProgramHandle& p;
    ~Guard() { n.nvrtcDestroyProgram(&p); }
  } guard{n, program};
  if (int status = n.nvrtcCompileProgram(program, static_cast<int>(texts.size()), texts.data())) {
    size_t size = 0;
    n.nvrtcGetProgramLogSize(program, &size);
    std::string log(size, '\0');
    if (size) n.nvrtcGetProgramLog(program, log.data());
    throw EvalError(cat(what, " could not be compiled for the GPU (", n.nvrtcGetErrorString(status),
                        "):\n", log.c_str()));
  }
  size_t size = 0;
  std::string code;
  if (n.nvrtcGetCUBINSize(program, &size) == 0 && size) {
    code.resize(size);
    if (n.nvrtcGetCUBIN(program, code.data()) != 0) code.clear();
  }
  if (code.empty()) throw EvalError("CUDA's run-time compiler gave no code");
  write_cached(folder, key, code);
  return code;
}

// Folders of CUDA's headers: where CUDA_HOME says, beside NVRTC, then the system's place.
std::vector<std::string> header_folders() {
  std::vector<std::string> candidates, found;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = std::getenv(name); home && *home)
      candidates.push_back(cat(home, "/include"));
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(nvrtc().nvrtcVersion), &info) && info.dli_fname) {
    const std::string library = info.dli_fname;
    candidates.push_back(cat(library.substr(0, library.rfind('/') + 1), "../include"));
  }
  candidates.push_back("/usr/local/cuda/include");
  for (const std::string& folder : candidates) {
    if (access(cat(folder, "/cuda_fp16.h").c_str(), R_OK) != 0) continue;
    found.push_back(folder);
    if (const std::string cccl = folder + "/cccl"; access(cccl.c_str(), X_OK) == 0)
      found.push_back(cccl);
  }
  return found;
}

}  // namespace

namespace {

std::string compile_program(const std::string& text, int capability, bool minimal) {
  // As the CPU computes: no contraction, correctly rounded division and root, subnormals kept.
  std::vector<std::string> options = {"--std=c++20",
                                      "--fmad=false",
                                      "--prec-div=true",
                                      "--prec-sqrt=true",
                                      "--ftz=false",
                                      "-default-device",
                                      "-w"};
  if (minimal && nvrtc().major >= 13) options.push_back("--minimal");
  return compile(text, capability, std::move(options), "a program");
}

}  // namespace

// --minimal leaves out declarations that programs don't use (3 of 21 ms); compilers before 12.9
// don't know it.
std::string compile_source(const std::string& source, int capability) {
  return compile_program(source, capability, true);
}
std::string compile_source(const Source& source, int capability) {
  return compile_program(cat(prelude(source), source.text), capability,
                         source.around == Source::Around::nothing);
}

std::string compile_user_source(const std::string& source, int capability, bool headers,
                                const std::string& what) {
  std::vector<std::string> options = {"--std=c++20"};
  if (headers && nvrtc_problem().empty())
    for (const std::string& folder : header_folders()) options.push_back("-I" + folder);
  return compile(source, capability, std::move(options), what.c_str());
}

}  // namespace legato::cuda
