#include "python/bindings/state.h"

#include <cstring>
#include <unordered_map>

#include "python/bindings/dtypes.h"
#include "python/bindings/random_state.h"

namespace legato::python {
namespace {

template <class T>
void append_raw(std::string& key, const T& v) {
  key.append(reinterpret_cast<const char*>(&v), sizeof v);
}
void append_text_key(std::string& key, std::string_view text) {
  append_raw(key, text.size());
  key += text;
}

PyObject* item_of(PyObject* container, const std::vector<Owned>& keys, size_t i) {
  if (PyDict_Check(container)) {
    PyObject* o = PyDict_GetItemWithError(container, keys[i].get());
    if (!o && PyErr_Occurred()) throw PythonError();
    return o;
  }
  auto n = static_cast<size_t>(PySequence_Fast_GET_SIZE(container));
  return i < n ? PySequence_Fast_GET_ITEM(container, static_cast<Py_ssize_t>(i)) : nullptr;
}

void refill(PyObject* list, const std::vector<Owned>& items) {
  Owned fresh = checked(PyList_New(static_cast<Py_ssize_t>(items.size())));
  for (size_t i = 0; i < items.size(); ++i)
    PyList_SET_ITEM(fresh.get(), static_cast<Py_ssize_t>(i), Py_NewRef(items[i].get()));
  checked(PyList_SetSlice(list, 0, PyList_GET_SIZE(list), fresh.get()));
}

}  // namespace

void append_array_key(std::string& key, const Array& a, bool shapeless) {
  key += static_cast<char>(a.dtype());
  append_raw(key, static_cast<uint32_t>(a.ndim()));
  if (!shapeless)
    key.append(reinterpret_cast<const char*>(a.shape().data()), a.ndim() * sizeof(int64_t));
}

bool append_constant_key(std::string& key, PyObject* o) {
  if (o == Py_None || PyBool_Check(o)) {
    key += o == Py_None ? 'n' : o == Py_True ? 't' : 'f';
  } else if (PyLong_Check(o)) {
    Owned text = checked(PyObject_Str(o));
    key += 'i';
    append_text_key(key, PyUnicode_AsUTF8(text.get()));
  } else if (PyFloat_Check(o)) {
    key += 'd';
    append_raw(key, PyFloat_AS_DOUBLE(o));
  } else if (PyComplex_Check(o)) {
    key += 'c';
    append_raw(key, PyComplex_AsCComplex(o));
  } else if (PyUnicode_Check(o)) {
    Py_ssize_t n;
    const char* text = PyUnicode_AsUTF8AndSize(o, &n);
    if (!text) throw PythonError();
    key += 's';
    append_text_key(key, {text, static_cast<size_t>(n)});
  } else if (PyBytes_Check(o)) {
    key += 'b';
    append_text_key(key, {PyBytes_AS_STRING(o), static_cast<size_t>(PyBytes_GET_SIZE(o))});
  } else if (is_dtype(o)) {
    key += 'y';
    key += static_cast<char>(dtype_value(o));
  } else {
    return false;
  }
  return true;
}

StateTree StateTree::of(PyObject* o) {
  StateTree t;
  t.object = Owned::borrow(o);
  if (is_array(o)) {
    t.kind = Kind::array;
    t.value = array_of(o);
  } else if (is_random_state(o)) {
    t.kind = Kind::random;
    t.value = random_key();
  } else if (PyList_Check(o) || PyTuple_Check(o)) {
    if (Py_EnterRecursiveCall(" in the state of a compiled function")) throw PythonError();
    t.kind = PyList_Check(o) ? Kind::list : Kind::tuple;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
      t.children.push_back(of(PySequence_Fast_GET_ITEM(o, i)));
    Py_LeaveRecursiveCall();
  } else if (PyDict_Check(o)) {
    if (Py_EnterRecursiveCall(" in the state of a compiled function")) throw PythonError();
    t.kind = Kind::dict;
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(o, &at, &key, &value)) {
      t.keys.push_back(Owned::borrow(key));
      t.children.push_back(of(value));
    }
    Py_LeaveRecursiveCall();
  }
  return t;
}

void StateTree::collect(std::vector<Array>& arrays) const {
  if (value) arrays.push_back(value);
  for (const StateTree& c : children) c.collect(arrays);
}

void StateTree::assign(std::span<const Array>& values) const {
  if (value) {
    if (kind == Kind::array)
      array_of(object.get()) = values[0];
    else
      set_random_key(values[0]);
    values = values.subspan(1);
  }
  for (const StateTree& c : children) c.assign(values);
}

void StateTree::restore() const {
  if (kind == Kind::array) array_of(object.get()) = value;
  if (kind == Kind::random) set_random_key(value);
  for (const StateTree& c : children) c.restore();
  if (kind == Kind::list) {
    std::vector<Owned> items;
    for (const StateTree& c : children) items.push_back(c.object);
    refill(object.get(), items);
  } else if (kind == Kind::dict) {
    PyDict_Clear(object.get());
    for (size_t i = 0; i < keys.size(); ++i)
      checked(PyDict_SetItem(object.get(), keys[i].get(), children[i].object.get()));
  }
}

void StateTree::append_key(std::string& key, bool shapeless, std::vector<Owned>& pinned) const {
  auto append_object = [&](const Owned& o) {
    if (append_constant_key(key, o.get())) return;
    append_raw(key, o.get());
    pinned.push_back(o);
  };
  key += static_cast<char>(kind);
  switch (kind) {
    case Kind::array:
      return append_array_key(key, value, shapeless);
    case Kind::random:
      return;
    case Kind::other:
      return append_object(object);
    default:
      break;
  }
  append_raw(key, children.size());
  for (size_t i = 0; i < children.size(); ++i) {
    if (kind == Kind::dict) append_object(keys[i]);
    children[i].append_key(key, shapeless, pinned);
  }
}

void StateTree::append_aliases(std::string& key) const {
  std::unordered_map<PyObject*, uint32_t> first;
  auto visit = [&](auto& self, const StateTree& t) -> void {
    if (t.kind == Kind::array) {
      auto slot = static_cast<uint32_t>(first.size());
      auto [it, fresh] = first.emplace(t.object.get(), slot);
      if (!fresh) append_raw(key, it->second);
      append_raw(key, fresh);
    }
    for (const StateTree& c : t.children) self(self, c);
  };
  visit(visit, *this);
}

StateUpdate StateUpdate::between(const StateTree& before, PyObject* now,
                                 std::vector<Array>& outputs) {
  StateUpdate u;
  bool same = before.object.get() == now;
  if (is_array(now)) {
    if (same && array_of(now).same(before.value)) return u;
    u.kind = same ? Kind::rebind : Kind::set;
    u.index = outputs.size();
    outputs.push_back(array_of(now));
  } else if (is_random_state(now)) {
    Array key = random_key();
    if (same && key.same(before.value)) return u;
    u.kind = Kind::random;
    u.index = outputs.size();
    outputs.push_back(key);
  } else if (PyList_Check(now) || PyTuple_Check(now) || PyDict_Check(now)) {
    u.kind = Kind::container;
    u.object = Owned::borrow(now);
    static const StateTree nothing;
    auto child = [&](PyObject* key, size_t i, PyObject* o) {
      const StateTree* was = &nothing;
      if (same && !key && i < before.children.size()) was = &before.children[i];
      if (same && key) {
        for (size_t k = 0; k < before.keys.size(); ++k) {
          size_t at = (i + k) % before.keys.size();  // usually in the same order
          if (before.keys[at].get() == key ||
              PyObject_RichCompareBool(before.keys[at].get(), key, Py_EQ) == 1) {
            was = &before.children[at];
            break;
          }
        }
        PyErr_Clear();
      }
      u.children.push_back(between(*was, o, outputs));
    };
    if (PyDict_Check(now)) {
      PyObject *key, *value;
      Py_ssize_t at = 0;
      while (PyDict_Next(now, &at, &key, &value)) {
        u.keys.push_back(Owned::borrow(key));
        child(key, u.keys.size() - 1, value);
      }
    } else {
      for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(now); ++i)
        child(nullptr, static_cast<size_t>(i), PySequence_Fast_GET_ITEM(now, i));
    }
    bool changed = !same || u.children.size() != before.children.size();
    for (const StateUpdate& c : u.children) changed |= c.kind != Kind::keep;
    if (!changed) return {};
  } else if (!same) {
    u.kind = Kind::object;
    u.object = Owned::borrow(now);
  }
  return u;
}

Owned StateUpdate::apply(PyObject* current, std::span<const Array> results) const {
  switch (kind) {
    case Kind::keep:
      return Owned::borrow(current ? current : Py_None);
    case Kind::rebind:
      if (current && is_array(current)) {
        array_of(current) = results[index];
        return Owned::borrow(current);
      }
      return checked(wrap(results[index]));
    case Kind::set:
      return checked(wrap(results[index]));
    case Kind::object:
      return object;
    case Kind::random:
      set_random_key(results[index]);
      return Owned::borrow(current);
    case Kind::container:
      break;
  }
  // The container that stands there is changed in place; one that the function made is made anew.
  bool reuse = current && Py_TYPE(current) == Py_TYPE(object.get()) && !PyTuple_Check(object.get());
  std::vector<Owned> items;
  for (size_t i = 0; i < children.size(); ++i)
    items.push_back(children[i].apply(
        current && Py_TYPE(current) == Py_TYPE(object.get()) ? item_of(current, keys, i) : nullptr,
        results));
  if (PyDict_Check(object.get())) {
    Owned dict = reuse ? Owned::borrow(current) : checked(PyDict_New());
    if (reuse && PyDict_GET_SIZE(current) != static_cast<Py_ssize_t>(items.size()))
      PyDict_Clear(current);
    for (size_t i = 0; i < items.size(); ++i)
      checked(PyDict_SetItem(dict.get(), keys[i].get(), items[i].get()));
    return dict;
  }
  if (PyList_Check(object.get())) {
    Owned list = reuse ? Owned::borrow(current) : checked(PyList_New(0));
    refill(list.get(), items);
    return list;
  }
  Owned tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(items.size())));
  for (size_t i = 0; i < items.size(); ++i)
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), items[i].release());
  if (Py_TYPE(object.get()) == &PyTuple_Type) return tuple;
  Owned args = checked(PyTuple_Pack(1, tuple.get()));
  return checked(PyTuple_Type.tp_new(Py_TYPE(object.get()), args.get(), nullptr));
}

int StateUpdate::traverse(visitproc visit, void* arg) const {
  Py_VISIT(object.get());
  for (const Owned& key : keys) Py_VISIT(key.get());
  for (const StateUpdate& child : children)
    if (int stop = child.traverse(visit, arg)) return stop;
  return 0;
}

}  // namespace legato::python
