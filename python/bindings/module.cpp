// The extension module legato._core. What is public in it is legato.core.
#include <nanobind/nanobind.h>

#include "python/bindings/common.h"

NB_MODULE(_core, m) {
  using namespace legato::python;
  try {
    init_errors(m.ptr());
    init_dtypes(m.ptr());
    init_devices(m.ptr());
    init_arrays(m.ptr());
    init_indexing(m.ptr());
    init_functions(m.ptr());
    init_transforms(m.ptr());
    init_io(m.ptr());
    init_random_state(m.ptr());
    init_by_hand(m.ptr());
    init_watching(m.ptr());
    init_custom_kernels(m.ptr());
  } catch (...) {
    set_python_error();
    throw nanobind::python_error();
  }
  m.attr("__version__") = LEGATO_VERSION;
}
