// random.state: the calling thread's key, as an object that stands in trees.
#pragma once

#include "python/bindings/common.h"

namespace legato::python {

bool is_random_state(PyObject* o);
/// The calling thread's key, uint32[2].
Array random_key();
void set_random_key(const Array& key);

}  // namespace legato::python
