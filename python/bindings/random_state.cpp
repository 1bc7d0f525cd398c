// random.state, an object that stands in trees for the calling thread's key, and random.seed.
#include "python/bindings/random_state.h"

#include "legato/ops/random/random.h"
#include "python/bindings/convert.h"

namespace legato::python {
namespace {

Py_ssize_t length(PyObject*) { return 1; }

PyObject* item(PyObject*, Py_ssize_t i) {
  return guarded([&]() -> PyObject* {
    if (i != 0 && i != -1) throw IndexError("random.state has one item, the key of this thread");
    return wrap(random_key());
  });
}

int assign(PyObject*, Py_ssize_t i, PyObject* key) {
  return guarded(-1, [&] {
    if (i != 0 && i != -1) throw IndexError("random.state has one item, the key of this thread");
    if (!key) throw TypeError("random.state: the key cannot be deleted");
    Array a = read_array(key, Accept::anything);
    if (!a) throw TypeError(cat("random.state: the key must be an array, found ", type_name(key)));
    set_random_key(a);
    return 0;
  });
}

PyObject* repr(PyObject*) { return PyUnicode_FromString("<legato.random.state of this thread>"); }

PySequenceMethods sequence = {.sq_length = length, .sq_item = item, .sq_ass_item = assign};

PyTypeObject RandomStateType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.random.RandomState",
    .tp_basicsize = sizeof(PyObject),
    .tp_repr = repr,
    .tp_as_sequence = &sequence,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc =
        "The calling thread's random key, as a sequence of one array. Stands for the key in "
        "compile's\n"
        "`inputs` and `outputs`, which keeps randomness in compiled functions.",
};

PyObject* seed(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"seed", nullptr};
    PyObject* o;
    int64_t v;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:seed", const_cast<char**>(names), &o))
      return nullptr;
    Scalar s;
    if (PyLong_Check(o) && read_scalar(o, s) && s.kind == Scalar::Kind::unsigned_integer)
      v = static_cast<int64_t>(s.u);  // all 64 bits count
    else if (!read_integer(o, v))
      throw TypeError(cat("seed: `seed` must be an int, found ", type_name(o)));
    random::seed(v);
    Py_RETURN_NONE;
  });
}

PyMethodDef functions[] = {
    {"seed", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(seed)),
     METH_VARARGS | METH_KEYWORDS,
     "seed(seed)\n--\n\nSets the calling thread's random state to key(seed)."},
    {},
};

}  // namespace

bool is_random_state(PyObject* o) { return Py_TYPE(o) == &RandomStateType; }
Array random_key() { return random::state(); }
void set_random_key(const Array& key) { random::set_state(key); }

void init_random_state(PyObject* module) {
  checked(PyType_Ready(&RandomStateType));
  Owned home = checked(PyObject_GetAttrString(module, "random"));
  Owned state = checked(_PyObject_New(&RandomStateType));
  checked(PyModule_AddObjectRef(home.get(), "state", state.get()));
  checked(PyModule_AddFunctions(home.get(), functions));
}

}  // namespace legato::python
