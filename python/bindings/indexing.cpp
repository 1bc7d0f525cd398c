// x[...], x[...] = v and x.at[...]: Python's index objects as IndexItems. The rules of indexing are
// in legato/ops/index.
#include "legato/ops/index/index.h"
#include "python/bindings/array_type.h"
#include "python/bindings/convert.h"
#include "python/bindings/function.h"

namespace legato::python {
namespace {

std::optional<int64_t> bound(PyObject* o) {
  if (o == Py_None) return std::nullopt;
  int64_t v;
  if (PyLong_Check(o)) {  // beyond 64 bits means beyond any axis
    int overflow;
    v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow) return overflow > 0 ? INT64_MAX / 2 : INT64_MIN / 2;
    return v;
  }
  if (!read_integer(o, v))
    throw ValueError(cat("a bound of a slice must be an int or None, found ", type_name(o)));
  return v;
}

[[noreturn]] void refuse(PyObject* o) {
  throw ValueError(cat("cannot index an array with ", type_name(o),
                       "; use ints, slices, ..., None, and arrays or lists of ints or bools"));
}

IndexItem read_item(PyObject* o) {
  if (PyLong_CheckExact(o)) {
    int64_t v;
    read_integer(o, v);
    return IndexItem(v);
  }
  if (PySlice_Check(o)) {
    auto* s = reinterpret_cast<PySliceObject*>(o);
    return IndexItem::slice(bound(s->start), bound(s->stop), bound(s->step));
  }
  if (o == Py_Ellipsis) return IndexItem::ellipsis();
  if (o == Py_None) return IndexItem::newaxis();
  Array a;
  if (is_array(o)) {
    a = array_of(o);
  } else if (PyBool_Check(o)) {
    a = Array(Scalar(o == Py_True));
  } else if (PyList_Check(o) && PyList_GET_SIZE(o) == 0) {
    a = read_array(o, Accept::anything, Dtype::int32);
  } else if (PyFloat_Check(o) || PyUnicode_Check(o)) {
    refuse(o);
  } else if (int64_t v; !is_array_like(o) && read_integer(o, v)) {  // np.int64 and its like
    return IndexItem(v);
  } else {
    a = read_array(o, Accept::anything);
    if (!a) refuse(o);
  }
  if (!is_integer(a.dtype()) && !is_bool(a.dtype()))
    throw ValueError(cat("an index array must hold integers or bools, found ", a.dtype(),
                         "; convert it with astype(legato.int32)"));
  return IndexItem(a);
}

std::vector<IndexItem> read_index(PyObject* o) {
  std::vector<IndexItem> items;
  if (PyTuple_Check(o)) {
    items.reserve(static_cast<size_t>(PyTuple_GET_SIZE(o)));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i)
      items.push_back(read_item(PyTuple_GET_ITEM(o, i)));
  } else {
    items.push_back(read_item(o));
  }
  return items;
}

// The value of an assignment: numbers become the array's dtype, as everything assigned does.
Array read_value(PyObject* o, Dtype dtype) {
  if (is_array(o)) return array_of(o);
  Scalar s;
  if (read_scalar(o, s)) return literal(s, dtype);
  Array a = read_array(o, Accept::anything);
  if (!a) throw TypeError(cat("cannot assign ", type_name(o), " to elements of an array"));
  return a;
}

// --- x.at ----------------------------------------------------------------------------------------

struct PyArrayAt {
  PyObject_HEAD Array value;
  PyObject* index;  // null before at[...]
};
extern PyTypeObject ArrayAtType;

PyObject* new_at(const Array& value, PyObject* index) {
  auto* at = PyObject_New(PyArrayAt, &ArrayAtType);
  if (!at) return nullptr;
  new (&at->value) Array(value);
  at->index = Py_XNewRef(index);
  return reinterpret_cast<PyObject*>(at);
}

void at_dealloc(PyObject* self) {
  auto* at = reinterpret_cast<PyArrayAt*>(self);
  at->value.~Array();
  Py_XDECREF(at->index);
  PyObject_Free(self);
}

PyObject* at_subscript(PyObject* self, PyObject* index) {
  return new_at(reinterpret_cast<PyArrayAt*>(self)->value, index);
}

template <UpdateMode mode, bool negate = false>
PyObject* at_update(PyObject* self, PyObject* o) {
  return guarded([&] {
    auto* at = reinterpret_cast<PyArrayAt*>(self);
    if (!at->index)
      throw ValueError("array.at needs indices before the update, as in x.at[0].add(4)");
    std::vector<IndexItem> items = read_index(at->index);
    Array value = read_value(o, at->value.dtype());
    if (negate) value = call_function("negative", {Arg(cast(value, at->value.dtype()))});
    return wrap(index_update(at->value, items, value, mode));
  });
}

PyMethodDef at_methods[] = {
    {"add", at_update<UpdateMode::add>, METH_O,
     "add($self, value)\n--\n\nx[index] + value, in a new array."},
    {"subtract", at_update<UpdateMode::add, true>, METH_O,
     "subtract($self, value)\n--\n\nx[index] - value, in a new array."},
    {"multiply", at_update<UpdateMode::multiply>, METH_O,
     "multiply($self, value)\n--\n\nx[index] * value, in a new array."},
    {"divide", at_update<UpdateMode::divide>, METH_O,
     "divide($self, value)\n--\n\nx[index] / value, in a new array."},
    {"maximum", at_update<UpdateMode::maximum>, METH_O,
     "maximum($self, value)\n--\n\nThe larger of x[index] and value, in a new array."},
    {"minimum", at_update<UpdateMode::minimum>, METH_O,
     "minimum($self, value)\n--\n\nThe smaller of x[index] and value, in a new array."},
    {},
};
PyMappingMethods at_mapping = {
    .mp_length = nullptr, .mp_subscript = at_subscript, .mp_ass_subscript = nullptr};

PyTypeObject ArrayAtType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.ArrayAt",
    .tp_basicsize = sizeof(PyArrayAt),
    .tp_dealloc = at_dealloc,
    .tp_as_mapping = &at_mapping,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc =
        "Updates of selected elements that accumulate where an index repeats: x.at[i].add(v).",
    .tp_methods = at_methods,
};

}  // namespace

PyObject* array_subscript(PyObject* self, PyObject* o) {
  return guarded([&] {
    std::vector<IndexItem> items = read_index(o);
    return wrap(index(array_of(self), items));
  });
}

int array_assign(PyObject* self, PyObject* o, PyObject* value) {
  return guarded(-1, [&] {
    if (!value) throw TypeError("elements of an array cannot be deleted");
    std::vector<IndexItem> items = read_index(o);
    Array& a = array_of(self);
    a = index_update(a, items, read_value(value, a.dtype()));
    return 0;
  });
}

PyObject* array_at(PyObject* self, void*) { return new_at(array_of(self), nullptr); }

Array array_row(const Array& a, int64_t i) {
  IndexItem item(i);
  return index(a, {&item, 1});
}

void init_indexing(PyObject* module) {
  checked(PyType_Ready(&ArrayAtType));
  checked(PyModule_AddObjectRef(module, "ArrayAt", reinterpret_cast<PyObject*>(&ArrayAtType)));
}

}  // namespace legato::python
