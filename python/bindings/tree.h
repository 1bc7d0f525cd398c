// Trees of Python containers: list, tuple (named ones too), dict (nn.Module is one), in any
// nesting. Everything else is a leaf.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "python/bindings/common.h"

namespace legato::python {

/// The structure of a tree without its leaves.
class Tree {
 public:
  /// Takes `o` apart: its leaves, in order, are appended to `leaves`.
  static Tree flatten(PyObject* o, std::vector<Owned>& leaves);

  /// The tree of this structure over the first size() of `leaves`. Subclasses of dict keep their
  /// type and attributes, named tuples their type.
  Owned build(std::span<const Owned> leaves) const;

  /// Bytes that are equal for equal structures, appended to `key`.
  void append_key(std::string& key) const;

  /// Visits the Python objects that the structure holds, as tp_traverse does.
  int traverse(visitproc visit, void* arg) const;

  size_t size() const { return n_leaves_; }
  bool is_leaf() const { return nodes_.size() == 1 && nodes_[0].kind == Kind::leaf; }
  friend bool operator==(const Tree& a, const Tree& b) {
    std::string x, y;
    a.append_key(x);
    b.append_key(y);
    return x == y;
  }

 private:
  enum class Kind : uint8_t { leaf, list, tuple, dict };
  struct Node {
    Kind kind = Kind::leaf;
    uint32_t n = 0;  // children
    Owned type;  // of a tuple; of a dict if it is a subclass: an example, whose attributes count
    Owned keys;  // of a dict
  };
  void add(PyObject* o, std::vector<Owned>& leaves);
  Owned build(size_t& node, std::span<const Owned> leaves, size_t& leaf) const;

  std::vector<Node> nodes_;  // parents before children
  size_t n_leaves_ = 0;
};

/// Appends the arrays among the leaves of `o`.
void collect_arrays(PyObject* o, std::vector<Array>& arrays);

/// Appends to `axes` one entry for each leaf of `tree`, from an int, None, or a tree that is a
/// prefix of `tree`. ValueError naming `what` if it is none.
void expand_axes(const char* what, PyObject* prefix, PyObject* tree,
                 std::vector<std::optional<int>>& axes);

/// The arrays of `leaves`; ValueError naming `what` if one is no array.
std::vector<Array> arrays_of(const char* what, std::span<const Owned> leaves);
/// Python arrays of the given values.
std::vector<Owned> wrap_all(std::span<const Array> arrays);

}  // namespace legato::python
