// Where libraries of CUDA are looked for.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

namespace legato::cuda {

/// What to try, in this order: only what the environment variable `knob` names, if it is set; else
/// `packaged`, which are paths of PyPI's wheels in the site-packages that Legato lies in; then
/// `system`, names that the system looks up.
std::vector<std::string> library_places(const char* knob,
                                        std::initializer_list<const char*> packaged,
                                        std::initializer_list<const char*> system);

/// Opens the first one that there is; null if there is none.
void* open_library(const std::vector<std::string>& places);

}  // namespace legato::cuda
