// State of a compiled function: the containers listed in compile's `inputs` and `outputs`, such as
// a model and an optimizer, whose arrays enter and leave the compiled graph beside the arguments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "python/bindings/common.h"

namespace legato::python {

/// A slot in the state's containers. Arrays stand in it, and whatever else containers hold.
struct StateTree {
  enum class Kind : uint8_t { array, other, random, list, tuple, dict };
  Kind kind = Kind::other;
  Owned object;                     // what stood there
  Array value;                      // of an array, or the random state's key: its value then
  std::vector<Owned> keys;          // of a dict
  std::vector<StateTree> children;  // of a container

  static StateTree of(PyObject* o);
  /// Appends the arrays' values, in order.
  void collect(std::vector<Array>& arrays) const;
  /// Gives the arrays, in order, new values; in the array objects themselves.
  void assign(std::span<const Array>& values) const;
  /// Makes containers and arrays what they were when this was made.
  void restore() const;
  /// Structure, constants, shapes and dtypes as bytes. What is no constant (a function, a class)
  /// counts by its address; such objects are appended to `pinned`, to be kept alive as long as the
  /// key.
  void append_key(std::string& key, bool shapeless, std::vector<Owned>& pinned) const;
  /// Which slots hold one and the same array object: a graph traced with them shared is another
  /// one than that of separate ones.
  void append_aliases(std::string& key) const;
};

/// What a traced function did to a state: one instruction a slot, to be repeated with real values
/// after each call.
struct StateUpdate {
  enum class Kind : uint8_t {
    keep,       // as it was
    rebind,     // the array object that stands there gets result `index` (x += 1)
    set,        // a new array of result `index`
    object,     // this object
    random,     // the random state becomes result `index`
    container,  // see the children
  };
  Kind kind = Kind::keep;
  size_t index = 0;
  Owned object;             // of `object`; of a container: an example of its type
  std::vector<Owned> keys;  // of a dict
  std::vector<StateUpdate> children;

  /// Compares the state `before` with what stands there now; appends new values to `outputs`.
  static StateUpdate between(const StateTree& before, PyObject* now, std::vector<Array>& outputs);
  /// Repeats the instructions on the state, whose slot holds `current` (null: nothing). Returns
  /// what the slot holds afterwards.
  Owned apply(PyObject* current, std::span<const Array> results) const;
  int traverse(visitproc visit, void* arg) const;
};

/// Appends dtype, rank and, unless shapeless, sizes.
void append_array_key(std::string& key, const Array& a, bool shapeless);
/// Appends a constant (None, bool, int, float, complex, str, bytes, Dtype); false for other types.
bool append_constant_key(std::string& key, PyObject* o);

}  // namespace legato::python
