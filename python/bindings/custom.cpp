// custom_function: a function with derivative and batching rules written in Python.
#include <cstddef>
#include <optional>

#include "legato/transform/transform.h"
#include "python/bindings/closure.h"
#include "python/bindings/convert.h"
#include "python/bindings/function.h"
#include "python/bindings/transforms.h"
#include "python/bindings/tree.h"

namespace legato::python {
namespace {

struct PyCustom {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* f;
  PyObject *vjp, *jvp, *vmap;  // null: f is transformed
  PyObject* dict;
};
PyCustom* as_custom(PyObject* o) { return reinterpret_cast<PyCustom*>(o); }

// What a rule sees of one call: the trees around its flat arrays.
struct Shape {
  Tree inputs;   // of the one argument, or of the tuple of arguments
  Tree outputs;  // set once f has run
};

Owned tree_over(const Tree& tree, std::span<const Array> arrays) {
  std::vector<Owned> leaves;
  for (const Array& a : arrays) leaves.push_back(a ? checked(wrap(a)) : Owned::borrow(Py_None));
  return tree.build(leaves);
}

// The cotangents that a vjp rule returned, one for each primal; None stands for zero.
std::vector<Array> cotangents_of(PyObject* result, std::span<const Array> primals) {
  std::vector<Owned> leaves;
  Tree::flatten(result, leaves);
  if (leaves.size() != primals.size())
    throw ValueError(cat(
        "custom_function: the vjp rule must return one array for each array among the primals, ",
        primals.size(), " in all; it returned ", leaves.size()));
  std::vector<Array> arrays;
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (leaves[i].get() == Py_None)
      arrays.push_back(call_function("zeros_like", {Arg(primals[i])}));
    else if (is_array(leaves[i].get()))
      arrays.push_back(array_of(leaves[i].get()));
    else
      throw ValueError(cat("custom_function: the vjp rule must return arrays, found ",
                           type_name(leaves[i].get())));
  }
  return arrays;
}

CustomRules rules_of(const PyCustom& c, std::shared_ptr<Shape> shape) {
  CustomRules rules;
  if (c.vjp) {
    rules.vjp = [rule = hold(c.vjp), shape](std::span<const Array> primals,
                                            std::span<const Array> cotangents,
                                            std::span<const Array> outputs) {
      AcquireGil gil;
      Owned args = checked(PyTuple_Pack(3, tree_over(shape->inputs, primals).get(),
                                        tree_over(shape->outputs, cotangents).get(),
                                        tree_over(shape->outputs, outputs).get()));
      Owned result = checked(PyObject_Call(rule.get(), args.get(), nullptr));
      return cotangents_of(result.get(), primals);
    };
  }
  if (c.jvp) {
    rules.jvp = [rule = hold(c.jvp), shape](std::span<const Array> primals,
                                            std::span<const Array> tangents) {
      AcquireGil gil;
      Owned args = checked(PyTuple_Pack(2, tree_over(shape->inputs, primals).get(),
                                        tree_over(shape->inputs, tangents).get()));
      Owned result = checked(PyObject_Call(rule.get(), args.get(), nullptr));
      std::vector<Owned> leaves;
      Tree::flatten(result.get(), leaves);
      return arrays_of("custom_function: what the jvp rule returns", leaves);
    };
  }
  if (c.vmap) {
    rules.vmap = [rule = hold(c.vmap), shape](std::span<const Array> inputs,
                                              std::span<const std::optional<int>> axes) {
      AcquireGil gil;
      std::vector<Owned> entries;
      for (const auto& axis : axes)
        entries.push_back(axis ? checked(PyLong_FromLong(*axis)) : Owned::borrow(Py_None));
      Owned args = checked(PyTuple_Pack(2, tree_over(shape->inputs, inputs).get(),
                                        shape->inputs.build(entries).get()));
      Owned result = checked(PyObject_Call(rule.get(), args.get(), nullptr));
      if (!PyTuple_Check(result.get()) || PyTuple_GET_SIZE(result.get()) != 2)
        throw ValueError(cat("custom_function: the vmap rule must return (outputs, axes), found ",
                             type_name(result.get())));
      std::vector<Owned> leaves;
      Tree::flatten(PyTuple_GET_ITEM(result.get(), 0), leaves);
      std::vector<std::optional<int>> out_axes;
      expand_axes("custom_function: the axes that the vmap rule returns",
                  PyTuple_GET_ITEM(result.get(), 1), PyTuple_GET_ITEM(result.get(), 0), out_axes);
      return std::pair(arrays_of("custom_function: what the vmap rule returns", leaves), out_axes);
    };
  }
  return rules;
}

PyObject* call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    PyCustom& c = *as_custom(self);
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    if (!c.f) throw ValueError("custom_function: the function was already destroyed");
    if (keywords && PyTuple_GET_SIZE(keywords) > 0 && (c.vjp || c.jvp || c.vmap))
      throw TypeError(
          "custom_function: a function with rules of its own takes positional arguments only");
    TreeCall tree_call(c.f, args, n, keywords);
    // The rules see the arrays of the positional arguments, bare if there is one argument.
    Owned positional = n == 1 ? Owned::borrow(args[0]) : tuple_of(args, n);
    std::shared_ptr<Shape> shape(new Shape, [](Shape* s) {
      AcquireGil gil;  // trees hold Python objects
      delete s;
    });
    std::vector<Owned> leaves;
    shape->inputs = Tree::flatten(positional.get(), leaves);
    if (c.vjp || c.jvp || c.vmap) arrays_of("custom_function: an argument", leaves);
    ArrayFn run = [f = tree_call.function(), tree_call, shape](std::span<const Array> inputs) {
      std::vector<Array> outputs = f(inputs);
      AcquireGil gil;
      Owned built = tree_call.finish(outputs);
      std::vector<Owned> out;
      shape->outputs = Tree::flatten(built.get(), out);
      return outputs;
    };
    return tree_call.finish(call_custom(run, rules_of(c, shape), tree_call.inputs())).release();
  });
}

template <PyObject* PyCustom::* member>
PyObject* set_rule(PyObject* self, PyObject* rule) {
  if (!PyCallable_Check(rule)) {
    PyErr_SetString(PyExc_TypeError, "custom_function: a rule must be callable");
    return nullptr;
  }
  Py_XSETREF(as_custom(self)->*member, Py_NewRef(rule));
  return Py_NewRef(rule);
}

PyObject* make(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"f", nullptr};
    PyObject* f;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:custom_function", const_cast<char**>(names),
                                     &f))
      return nullptr;
    if (!PyCallable_Check(f))
      throw TypeError(cat("custom_function: `f` must be callable, found ", type_name(f)));
    PyObject* self = type->tp_alloc(type, 0);
    if (!self) return nullptr;
    as_custom(self)->vectorcall = call;
    as_custom(self)->f = Py_NewRef(f);
    Owned dict = checked(PyDict_New());
    for (const char* name : {"__name__", "__doc__", "__module__"}) {
      Owned value = Owned::steal(PyObject_GetAttrString(f, name));
      if (value)
        checked(PyDict_SetItemString(dict.get(), name, value.get()));
      else
        PyErr_Clear();
    }
    as_custom(self)->dict = dict.release();
    return self;
  });
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  PyCustom* c = as_custom(self);
  Py_VISIT(c->f);
  Py_VISIT(c->vjp);
  Py_VISIT(c->jvp);
  Py_VISIT(c->vmap);
  Py_VISIT(c->dict);
  return 0;
}
int clear(PyObject* self) {
  PyCustom* c = as_custom(self);
  Py_CLEAR(c->f);
  Py_CLEAR(c->vjp);
  Py_CLEAR(c->jvp);
  Py_CLEAR(c->vmap);
  Py_CLEAR(c->dict);
  return 0;
}
void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  clear(self);
  Py_TYPE(self)->tp_free(self);
}

PyMethodDef methods[] = {
    {"vjp", set_rule<&PyCustom::vjp>, METH_O,
     "vjp($self, f)\n--\n\nSets the reverse rule f(primals, cotangents, outputs), which gives the "
     "cotangents of the "
     "primals."},
    {"jvp", set_rule<&PyCustom::jvp>, METH_O,
     "jvp($self, f)\n--\n\nSets the forward rule f(primals, tangents), which gives the tangents of "
     "the outputs. A "
     "tangent may be None."},
    {"vmap", set_rule<&PyCustom::vmap>, METH_O,
     "vmap($self, f)\n--\n\nSets the batching rule f(inputs, axes), which gives (outputs, axes of "
     "the outputs)."},
    {},
};
PyGetSetDef properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr}, {}};

PyTypeObject CustomType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.custom_function",
    .tp_basicsize = sizeof(PyCustom),
    .tp_dealloc = dealloc,
    .tp_vectorcall_offset = offsetof(PyCustom, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_HAVE_GC,
    .tp_doc =
        "custom_function(f)\n--\n\n"
        "A function with derivative or batching rules of its own, set by the decorators `.vjp`, "
        "`.jvp` and\n"
        "`.vmap`. A rule that is not set follows from `f`.\n\n"
        "Rules see the arguments as they were given: bare if there is one, else as a tuple.\n",
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_methods = methods,
    .tp_getset = properties,
    .tp_dictoffset = offsetof(PyCustom, dict),
    .tp_new = make,
};

}  // namespace

void init_custom_function(PyObject* module) {
  checked(PyType_Ready(&CustomType));
  checked(
      PyModule_AddObjectRef(module, "custom_function", reinterpret_cast<PyObject*>(&CustomType)));
}

}  // namespace legato::python
