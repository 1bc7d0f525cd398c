#include "python/bindings/tree.h"

#include <optional>

#include "python/bindings/convert.h"

namespace legato::python {
namespace {

// Bounds the recursion by Python's own limit, so that deep or cyclic trees raise RecursionError.
class Level {
 public:
  Level() {
    if (Py_EnterRecursiveCall(" while walking a tree of containers")) throw PythonError();
  }
  ~Level() { Py_LeaveRecursiveCall(); }
  Level(const Level&) = delete;
};

template <class F>
void visit_leaves(PyObject* o, const F& f) {
  if (PyList_Check(o) || PyTuple_Check(o)) {
    Level level;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
      visit_leaves(PySequence_Fast_GET_ITEM(o, i), f);
  } else if (PyDict_Check(o)) {
    Level level;
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(o, &at, &key, &value)) visit_leaves(value, f);
  } else {
    f(o);
  }
}

void append_bytes(std::string& key, const void* data, size_t n) {
  key.append(static_cast<const char*>(data), n);
}

// A dict key as bytes: strings by their text, everything else by type and repr.
void append_dict_key(std::string& key, PyObject* k) {
  Owned text = PyUnicode_CheckExact(k) ? Owned::borrow(k) : checked(PyObject_Repr(k));
  Py_ssize_t n;
  const char* bytes = PyUnicode_AsUTF8AndSize(text.get(), &n);
  if (!bytes) throw PythonError();
  PyTypeObject* type = Py_TYPE(k);
  if (!PyUnicode_CheckExact(k)) append_bytes(key, &type, sizeof type);
  uint32_t length = static_cast<uint32_t>(n);
  append_bytes(key, &length, sizeof length);
  append_bytes(key, bytes, length);
}

}  // namespace

void Tree::add(PyObject* o, std::vector<Owned>& leaves) {
  size_t at = nodes_.size();
  nodes_.emplace_back();
  if (PyList_Check(o)) {
    Level level;
    nodes_[at].kind = Kind::list;
    nodes_[at].n = static_cast<uint32_t>(PyList_GET_SIZE(o));
    for (uint32_t i = 0; i < nodes_[at].n && i < PyList_GET_SIZE(o); ++i)
      add(PyList_GET_ITEM(o, i), leaves);
  } else if (PyTuple_Check(o)) {
    Level level;
    nodes_[at].kind = Kind::tuple;
    nodes_[at].n = static_cast<uint32_t>(PyTuple_GET_SIZE(o));
    nodes_[at].type = Owned::borrow(reinterpret_cast<PyObject*>(Py_TYPE(o)));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i) add(PyTuple_GET_ITEM(o, i), leaves);
  } else if (PyDict_Check(o)) {
    Level level;
    nodes_[at].kind = Kind::dict;
    nodes_[at].n = static_cast<uint32_t>(PyDict_GET_SIZE(o));
    if (!PyDict_CheckExact(o)) nodes_[at].type = Owned::borrow(o);
    Owned keys = checked(PyTuple_New(nodes_[at].n));
    PyObject *key, *value;
    Py_ssize_t position = 0, i = 0;
    while (PyDict_Next(o, &position, &key, &value)) {
      PyTuple_SET_ITEM(keys.get(), i++, Py_NewRef(key));
      add(value, leaves);
    }
    nodes_[at].keys = std::move(keys);
  } else {
    leaves.push_back(Owned::borrow(o));
    ++n_leaves_;
  }
}

Tree Tree::flatten(PyObject* o, std::vector<Owned>& leaves) {
  Tree tree;
  tree.add(o, leaves);
  return tree;
}

Owned Tree::build(std::span<const Owned> leaves) const {
  size_t node = 0, leaf = 0;
  return build(node, leaves, leaf);
}

Owned Tree::build(size_t& node, std::span<const Owned> leaves, size_t& leaf) const {
  const Node& n = nodes_[node++];
  switch (n.kind) {
    case Kind::leaf:
      return leaves[leaf++];
    case Kind::list: {
      Owned list = checked(PyList_New(n.n));
      for (uint32_t i = 0; i < n.n; ++i)
        PyList_SET_ITEM(list.get(), i, build(node, leaves, leaf).release());
      return list;
    }
    case Kind::tuple: {
      Owned tuple = checked(PyTuple_New(n.n));
      for (uint32_t i = 0; i < n.n; ++i)
        PyTuple_SET_ITEM(tuple.get(), i, build(node, leaves, leaf).release());
      if (n.type.get() == reinterpret_cast<PyObject*>(&PyTuple_Type)) return tuple;
      Owned args = checked(PyTuple_Pack(1, tuple.get()));  // a named tuple: around its own __new__
      return checked(
          PyTuple_Type.tp_new(reinterpret_cast<PyTypeObject*>(n.type.get()), args.get(), nullptr));
    }
    case Kind::dict:
      break;
  }
  Owned dict;
  if (!n.type) {
    dict = checked(PyDict_New());
  } else {  // a copy of the same class, without running its __init__
    PyTypeObject* type = Py_TYPE(n.type.get());
    Owned none = checked(PyTuple_New(0));
    dict = checked(PyDict_Type.tp_new(type, none.get(), nullptr));
    Owned from = Owned::steal(PyObject_GetAttrString(n.type.get(), "__dict__"));
    Owned to = Owned::steal(PyObject_GetAttrString(dict.get(), "__dict__"));
    if (from && to)
      checked(PyDict_Update(to.get(), from.get()));
    else
      PyErr_Clear();
  }
  for (uint32_t i = 0; i < n.n; ++i)
    checked(PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(n.keys.get(), i),
                           build(node, leaves, leaf).get()));
  return dict;
}

void Tree::append_key(std::string& key) const {
  for (const Node& n : nodes_) {
    key += static_cast<char>(n.kind);
    if (n.kind == Kind::leaf) continue;
    append_bytes(key, &n.n, sizeof n.n);
    if (n.type) {
      PyObject* type =
          n.kind == Kind::dict ? reinterpret_cast<PyObject*>(Py_TYPE(n.type.get())) : n.type.get();
      append_bytes(key, &type, sizeof type);
    }
    if (n.kind == Kind::dict)
      for (uint32_t i = 0; i < n.n; ++i) append_dict_key(key, PyTuple_GET_ITEM(n.keys.get(), i));
  }
}

int Tree::traverse(visitproc visit, void* arg) const {
  for (const Node& n : nodes_) {
    Py_VISIT(n.type.get());
    Py_VISIT(n.keys.get());
  }
  return 0;
}

void collect_arrays(PyObject* o, std::vector<Array>& arrays) {
  visit_leaves(o, [&](PyObject* leaf) {
    if (is_array(leaf)) arrays.push_back(array_of(leaf));
  });
}

void expand_axes(const char* what, PyObject* prefix, PyObject* tree,
                 std::vector<std::optional<int>>& axes) {
  int64_t axis;
  if (prefix == Py_None || (!is_array(prefix) && read_integer(prefix, axis))) {
    std::optional<int> entry;
    if (prefix != Py_None) entry = static_cast<int>(axis);
    visit_leaves(tree, [&](PyObject*) { axes.push_back(entry); });
    return;
  }
  Level level;
  bool lists = PyList_Check(prefix) && PyList_Check(tree);
  bool tuples = PyTuple_Check(prefix) && PyTuple_Check(tree);
  if ((lists || tuples) && PySequence_Fast_GET_SIZE(prefix) == PySequence_Fast_GET_SIZE(tree)) {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(prefix); ++i)
      expand_axes(what, PySequence_Fast_GET_ITEM(prefix, i), PySequence_Fast_GET_ITEM(tree, i),
                  axes);
    return;
  }
  if (PyDict_Check(prefix) && PyDict_Check(tree) &&
      PyDict_GET_SIZE(prefix) == PyDict_GET_SIZE(tree)) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    bool matches = true;
    while (matches && PyDict_Next(tree, &at, &key, &value)) {
      PyObject* sub = PyDict_GetItemWithError(prefix, key);
      if (!sub && PyErr_Occurred()) throw PythonError();
      matches = sub != nullptr;
      if (matches) expand_axes(what, sub, value, axes);
    }
    if (matches) return;
  }
  throw ValueError(
      cat(what, ": expected an int, None, or a tree of those that matches the structure; found ",
          type_name(prefix), " where the tree has ", type_name(tree)));
}

std::vector<Array> arrays_of(const char* what, std::span<const Owned> leaves) {
  std::vector<Array> arrays;
  arrays.reserve(leaves.size());
  for (const Owned& leaf : leaves) {
    if (!is_array(leaf.get()))
      throw ValueError(
          cat(what, " must be an array or a tree of arrays, found ", type_name(leaf.get())));
    arrays.push_back(array_of(leaf.get()));
  }
  return arrays;
}

std::vector<Owned> wrap_all(std::span<const Array> arrays) {
  std::vector<Owned> out;
  out.reserve(arrays.size());
  for (const Array& a : arrays) out.push_back(checked(wrap(a)));
  return out;
}

}  // namespace legato::python
