#include "legato/backends/cuda/library_places.h"

#include <dlfcn.h>

#include <cstdlib>

namespace legato::cuda {

std::vector<std::string> library_places(const char* knob,
                                        std::initializer_list<const char*> packaged,
                                        std::initializer_list<const char*> system) {
  if (const char* given = std::getenv(knob); given && *given) return {given};
  std::vector<std::string> places;
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&library_places), &info) && info.dli_fname) {
    std::string here = info.dli_fname;  // .../site-packages/legato/lib/liblegato_cuda.so
    for (int up = 0; up < 3; ++up) here = here.substr(0, here.rfind('/'));
    for (const char* path : packaged) places.push_back(here + "/nvidia/" + path);
  }
  places.insert(places.end(), system.begin(), system.end());
  return places;
}

void* open_library(const std::vector<std::string>& places) {
  for (const std::string& place : places)
    if (void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  return nullptr;
}

}  // namespace legato::cuda
