// What the files of the transforms share.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "legato/transform/transform.h"
#include "python/bindings/common.h"

namespace legato::python {

/// A call of a Python function as a function of arrays: takes the arguments' trees apart and puts
/// the result's together. Leaves that are no arrays travel as they are.
class TreeCall {
 public:
  TreeCall(PyObject* f, PyObject* const* args, Py_ssize_t n, PyObject* keywords);
  /// The arrays among the arguments.
  const std::vector<Array>& inputs() const { return inputs_; }
  /// From those arrays to the arrays among the results. May be kept and called from any thread.
  ArrayFn function() const;
  /// The result's tree over `outputs`, of the last time that function() ran.
  Owned finish(std::span<const Array> outputs) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::vector<Array> inputs_;
};

void init_compile(PyObject* module);
void init_custom_function(PyObject* module);

}  // namespace legato::python
