// eval, grad, value_and_grad, vjp, jvp, vmap, checkpoint: Python's trees around the transforms of
// legato/transform. compile is in compile.cpp, custom_function in custom.cpp.
#include "python/bindings/transforms.h"

#include <algorithm>
#include <optional>

#include "legato/op/op.h"
#include "legato/transform/transform.h"
#include "python/bindings/closure.h"
#include "python/bindings/convert.h"
#include "python/bindings/function.h"
#include "python/bindings/tree.h"

namespace legato::python {
namespace {

template <class F>
PyCFunction method(F f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

void check_callable(const char* function, PyObject* f) {
  if (!PyCallable_Check(f))
    throw TypeError(cat(function, ": `fun` must be callable, found ", type_name(f)));
}

std::string label_of(PyObject* f) {
  Owned name = Owned::steal(PyObject_GetAttrString(f, "__name__"));
  const char* text = name && PyUnicode_Check(name.get()) ? PyUnicode_AsUTF8(name.get()) : nullptr;
  PyErr_Clear();
  return text ? text : "the function";
}

// --- eval ----------------------------------------------------------------------------------------

PyObject* evaluate_trees(PyObject* const* args, Py_ssize_t n, bool wait) {
  return guarded([&]() -> PyObject* {
    Results found;
    std::vector<Array>& arrays = found.arrays();
    for (Py_ssize_t i = 0; i < n; ++i) collect_arrays(args[i], arrays);
    if (!arrays.empty()) evaluate(arrays, wait);
    Py_RETURN_NONE;
  });
}
PyObject* eval(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return evaluate_trees(args, n, true);
}
PyObject* async_eval(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return evaluate_trees(args, n, false);
}

// --- grad ----------------------------------------------------------------------------------------

class Grad final : public Callable {
 public:
  Grad(const char* name, bool with_value, std::vector<int64_t> argnums,
       std::vector<std::string> argnames)
      : name_(name),
        with_value_(with_value),
        argnums_(std::move(argnums)),
        argnames_(std::move(argnames)) {}

  Owned call(PyObject* objects, PyObject* const* args, Py_ssize_t n, PyObject* keywords) override {
    PyObject* f = PyTuple_GET_ITEM(objects, 0);
    Owned positional = tuple_of(args, n), named = dict_of(args, n, keywords);
    // The arguments to differentiate: their trees, and all their arrays in one list.
    std::vector<Owned> leaves;
    std::vector<Tree> trees;
    for (int64_t i : argnums_) {
      if (i >= n)
        throw ValueError(cat(name_, ": argnums names argument ", i, ", but ", label_of(f),
                             " was called with ", static_cast<int64_t>(n),
                             " positional arguments"));
      trees.push_back(Tree::flatten(args[i], leaves));
    }
    for (const std::string& key : argnames_) {
      PyObject* value = named ? PyDict_GetItemString(named.get(), key.c_str()) : nullptr;
      if (!value)
        throw ValueError(cat(name_, ": argnames names `", key, "`, but ", label_of(f),
                             " was called without that keyword"));
      trees.push_back(Tree::flatten(value, leaves));
    }
    std::vector<Array> primals =
        arrays_of(cat(name_, ": an argument to differentiate").c_str(), leaves);

    Owned result;
    auto run = [&](std::span<const Array> inputs) {
      AcquireGil gil;
      result = call_with(f, positional.get(), named.get(), trees, inputs);
      return std::vector<Array>{loss_of(result.get(), f)};
    };
    std::vector<int> wanted(primals.size());
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = static_cast<int>(i);
    auto [outputs, grads] = vjp_with(
        run, primals,
        [](std::span<const Array> outputs) {
          return std::vector<Array>{literal(Scalar(1.0), outputs[0].dtype())};
        },
        wanted, name_);
    Owned gradients = pack(trees, wrap_all(grads));
    if (!with_value_) return gradients;
    Owned value = checked(wrap(outputs[0]));
    if (PyTuple_Check(result.get())) {
      Owned all = checked(PyTuple_New(PyTuple_GET_SIZE(result.get())));
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(result.get()); ++i)
        PyTuple_SET_ITEM(all.get(), i,
                         Py_NewRef(i == 0 ? value.get() : PyTuple_GET_ITEM(result.get(), i)));
      value = std::move(all);
    }
    return checked(PyTuple_Pack(2, value.get(), gradients.get()));
  }

 private:
  // Calls f with fresh arrays in place of the differentiated arguments.
  Owned call_with(PyObject* f, PyObject* positional, PyObject* named,
                  const std::vector<Tree>& trees, std::span<const Array> inputs) const {
    std::vector<Owned> leaves = wrap_all(inputs);
    std::span<const Owned> rest = leaves;
    auto next = [&](const Tree& tree) {
      Owned o = tree.build(rest);
      rest = rest.subspan(tree.size());
      return o;
    };
    Owned args = checked(PyTuple_GetSlice(positional, 0, PyTuple_GET_SIZE(positional)));
    if (args.get() == positional)
      args = tuple_of(&PyTuple_GET_ITEM(positional, 0), PyTuple_GET_SIZE(positional));
    size_t t = 0;
    for (int64_t i : argnums_) PyTuple_SetItem(args.get(), i, next(trees[t++]).release());
    Owned keywords;
    if (named) {
      keywords = checked(PyDict_Copy(named));
      for (const std::string& key : argnames_)
        checked(PyDict_SetItemString(keywords.get(), key.c_str(), next(trees[t++]).get()));
    }
    return checked(PyObject_Call(f, args.get(), keywords.get()));
  }

  Array loss_of(PyObject* result, PyObject* f) const {
    PyObject* loss = result;
    if (with_value_ && PyTuple_Check(result) && PyTuple_GET_SIZE(result) > 0)
      loss = PyTuple_GET_ITEM(result, 0);
    if (!is_array(loss))
      throw ValueError(cat(name_, ": ", label_of(f), " must return a scalar array",
                           with_value_ ? ", or a tuple that begins with one" : "", "; it returned ",
                           type_name(loss)));
    if (array_of(loss).ndim() != 0)
      throw ValueError(cat(name_, ": ", label_of(f),
                           " must return a scalar array, of shape (); it returned shape ",
                           array_of(loss).shape(), ". Reduce it, such as with sum() or mean()"));
    return array_of(loss);
  }

  // Gradients as the caller asked for them: bare, as a tuple, or (positional part, {name:
  // gradient}).
  Owned pack(const std::vector<Tree>& trees, const std::vector<Owned>& leaves) const {
    std::span<const Owned> rest = leaves;
    size_t t = 0;
    auto next = [&] {
      Owned o = trees[t].build(rest);
      rest = rest.subspan(trees[t++].size());
      return o;
    };
    Owned positional = Owned::borrow(Py_None);
    if (argnums_.size() == 1) {
      positional = next();
    } else if (!argnums_.empty()) {
      positional = checked(PyTuple_New(static_cast<Py_ssize_t>(argnums_.size())));
      for (size_t i = 0; i < argnums_.size(); ++i)
        PyTuple_SET_ITEM(positional.get(), static_cast<Py_ssize_t>(i), next().release());
    }
    if (argnames_.empty()) return positional;
    Owned named = checked(PyDict_New());
    for (const std::string& key : argnames_)
      checked(PyDict_SetItemString(named.get(), key.c_str(), next().get()));
    return checked(PyTuple_Pack(2, positional.get(), named.get()));
  }

  const char* name_;
  bool with_value_;
  std::vector<int64_t> argnums_;
  std::vector<std::string> argnames_;
};

std::vector<int64_t> read_argnums(const char* name, PyObject* o) {
  Dims dims;
  if (!read_dims(o, dims))
    throw TypeError(
        cat(name, ": `argnums` must be None, an int or a sequence of ints, found ", type_name(o)));
  std::vector<int64_t> argnums(dims.begin(), dims.end());
  std::sort(argnums.begin(), argnums.end());
  for (size_t i = 0; i < argnums.size(); ++i) {
    if (argnums[i] < 0)
      throw ValueError(cat(name, ": argnums must not be negative, found ", argnums[i]));
    if (i > 0 && argnums[i] == argnums[i - 1])
      throw ValueError(cat(name, ": argnums names argument ", argnums[i], " twice"));
  }
  return argnums;
}

std::vector<std::string> read_argnames(const char* name, PyObject* o) {
  std::vector<std::string> names;
  Owned items;
  if (!o || o == Py_None) return names;
  items = PyUnicode_Check(o) ? checked(PyTuple_Pack(1, o)) : Owned::steal(PySequence_Fast(o, ""));
  PyErr_Clear();
  for (Py_ssize_t i = 0; items && i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    const char* text = PyUnicode_Check(item) ? PyUnicode_AsUTF8(item) : nullptr;
    if (!text)
      throw TypeError(
          cat(name, ": `argnames` must be a str or a sequence of str, found ", type_name(item)));
    if (std::find(names.begin(), names.end(), text) != names.end())
      throw ValueError(cat(name, ": argnames names `", text, "` twice"));
    names.push_back(text);
  }
  if (!items)
    throw TypeError(
        cat(name, ": `argnames` must be a str or a sequence of str, found ", type_name(o)));
  return names;
}

PyObject* make_grad(const char* name, bool with_value, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"fun", "argnums", "argnames", nullptr};
    PyObject *f, *argnums = Py_None, *argnames = nullptr;
    std::string format = cat("O|OO:", name);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, format.c_str(), const_cast<char**>(names), &f,
                                     &argnums, &argnames))
      return nullptr;
    check_callable(name, f);
    std::vector<std::string> by_name = read_argnames(name, argnames);
    std::vector<int64_t> by_number;
    if (argnums != Py_None)
      by_number = read_argnums(name, argnums);
    else if (by_name.empty())
      by_number = {0};
    if (by_number.empty() && by_name.empty())
      throw ValueError(
          cat(name, ": argnums and argnames are both empty; name an argument to differentiate"));
    Owned objects = checked(PyTuple_Pack(1, f));
    return new_closure(
        std::make_unique<Grad>(name, with_value, std::move(by_number), std::move(by_name)),
        objects.get());
  });
}
PyObject* grad(PyObject*, PyObject* args, PyObject* keywords) {
  return make_grad("grad", false, args, keywords);
}
PyObject* value_and_grad(PyObject*, PyObject* args, PyObject* keywords) {
  return make_grad("value_and_grad", true, args, keywords);
}

// --- vjp, jvp ------------------------------------------------------------------------------------

std::vector<Array> array_list(const char* function, const char* argument, PyObject* o) {
  if (!PyList_Check(o) && !PyTuple_Check(o))
    throw TypeError(
        cat(function, ": `", argument, "` must be a list of arrays, found ", type_name(o)));
  std::vector<Owned> items;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
    items.push_back(Owned::borrow(PySequence_Fast_GET_ITEM(o, i)));
  return arrays_of(cat(function, ": an entry of `", argument, "`").c_str(), items);
}

// f as a function of arrays that returns an array or a sequence of arrays.
ArrayFn array_function(const char* function, PyObject* f) {
  return [function, f](std::span<const Array> inputs) {
    AcquireGil gil;
    std::vector<Owned> wrapped = wrap_all(inputs);
    Owned args = checked(PyTuple_New(static_cast<Py_ssize_t>(wrapped.size())));
    for (size_t i = 0; i < wrapped.size(); ++i)
      PyTuple_SET_ITEM(args.get(), static_cast<Py_ssize_t>(i), wrapped[i].release());
    Owned result = checked(PyObject_Call(f, args.get(), nullptr));
    if (is_array(result.get())) return std::vector<Array>{array_of(result.get())};
    if (!PyList_Check(result.get()) && !PyTuple_Check(result.get()))
      throw ValueError(cat(function, ": ", label_of(f),
                           " must return an array or a list of arrays, found ",
                           type_name(result.get())));
    std::vector<Owned> items;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(result.get()); ++i)
      items.push_back(Owned::borrow(PySequence_Fast_GET_ITEM(result.get(), i)));
    return arrays_of(cat(function, ": an output of ", label_of(f)).c_str(), items);
  };
}

Owned list_of(std::span<const Array> arrays) {
  Owned list = checked(PyList_New(static_cast<Py_ssize_t>(arrays.size())));
  for (size_t i = 0; i < arrays.size(); ++i)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), checked(wrap(arrays[i])).release());
  return list;
}

using Transform = std::pair<std::vector<Array>, std::vector<Array>> (*)(const ArrayFn&,
                                                                        std::span<const Array>,
                                                                        std::span<const Array>);

PyObject* apply(const char* name, const char* second, Transform transform, PyObject* args,
                PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    const char* names[] = {"fun", "primals", second, nullptr};
    PyObject *f, *primals, *vectors;
    std::string format = cat("OOO:", name);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, format.c_str(), const_cast<char**>(names), &f,
                                     &primals, &vectors))
      return nullptr;
    check_callable(name, f);
    std::vector<Array> at = array_list(name, "primals", primals),
                       with = array_list(name, second, vectors);
    auto [outputs, results] = transform(array_function(name, f), at, with);
    return PyTuple_Pack(2, list_of(outputs).get(), list_of(results).get());
  });
}
PyObject* py_vjp(PyObject*, PyObject* args, PyObject* keywords) {
  return apply("vjp", "cotangents", &vjp, args, keywords);
}
PyObject* py_jvp(PyObject*, PyObject* args, PyObject* keywords) {
  return apply("jvp", "tangents", &jvp, args, keywords);
}

// --- vmap ----------------------------------------------------------------------------------------

class Vmap final : public Callable {
 public:
  Owned call(PyObject* objects, PyObject* const* args, Py_ssize_t n, PyObject* keywords) override {
    PyObject* f = PyTuple_GET_ITEM(objects, 0);
    PyObject* in_axes = PyTuple_GET_ITEM(objects, 1);
    PyObject* out_axes = PyTuple_GET_ITEM(objects, 2);
    if (keywords && PyTuple_GET_SIZE(keywords) > 0)
      throw TypeError(
          "vmap: the mapped function takes positional arguments only; found a keyword argument");
    Owned positional = tuple_of(args, n);
    std::vector<Owned> leaves;
    Tree tree = Tree::flatten(positional.get(), leaves);
    std::vector<Array> inputs = arrays_of("vmap: an argument", leaves);
    std::vector<std::optional<int>> axes;
    // For one argument the axes are a tree like the argument itself, for several a tuple.
    bool whole = n != 1 || (PyTuple_Check(in_axes) && !PyTuple_Check(args[0]));
    expand_axes("vmap: in_axes", in_axes, whole ? positional.get() : args[0], axes);

    Owned result;
    Tree out_tree;
    auto run = [&](std::span<const Array> inner) {
      AcquireGil gil;
      Owned built = tree.build(wrap_all(inner));
      result = checked(PyObject_Call(f, built.get(), nullptr));
      std::vector<Owned> out;
      out_tree = Tree::flatten(result.get(), out);
      return arrays_of(cat("vmap: what ", label_of(f), " returns").c_str(), out);
    };
    std::vector<Array> outputs = vmap(run, inputs, axes, [&](size_t) {
      AcquireGil gil;
      std::vector<std::optional<int>> out;
      expand_axes("vmap: out_axes", out_axes, result.get(), out);
      return out;
    });
    return out_tree.build(wrap_all(outputs));
  }
};

PyObject* py_vmap(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"fun", "in_axes", "out_axes", nullptr};
    static PyObject* zero = PyLong_FromLong(0);
    PyObject *f, *in_axes = zero, *out_axes = zero;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OO:vmap", const_cast<char**>(names), &f,
                                     &in_axes, &out_axes))
      return nullptr;
    check_callable("vmap", f);
    if (in_axes == Py_None || out_axes == Py_None)
      throw TypeError(
          "vmap: in_axes and out_axes must be an int or a tree of ints and None; None alone maps "
          "nothing");
    Owned objects = checked(PyTuple_Pack(3, f, in_axes, out_axes));
    return new_closure(std::make_unique<Vmap>(), objects.get());
  });
}

// --- checkpoint ----------------------------------------------------------------------------------

class Checkpoint final : public Callable {
 public:
  Owned call(PyObject* objects, PyObject* const* args, Py_ssize_t n, PyObject* keywords) override {
    TreeCall call(PyTuple_GET_ITEM(objects, 0), args, n, keywords);
    return call.finish(checkpoint(call.function())(call.inputs()));
  }
};

PyObject* py_checkpoint(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"fun", nullptr};
    PyObject* f;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:checkpoint", const_cast<char**>(names), &f))
      return nullptr;
    check_callable("checkpoint", f);
    Owned objects = checked(PyTuple_Pack(1, f));
    return new_closure(std::make_unique<Checkpoint>(), objects.get());
  });
}

constinit const Function stop_gradient_record =
    function<&stop_gradient>("stop_gradient", "a, /", "The same value, with no derivative.");

PyMethodDef functions[] = {
    {"eval", method(eval), METH_FASTCALL,
     "eval(*args)\n--\n\nComputes all arrays in the arguments (arrays, lists, tuples, dicts, "
     "modules) and waits."},
    {"async_eval", method(async_eval), METH_FASTCALL,
     "async_eval(*args)\n--\n\nStarts to compute all arrays in the arguments and returns. An error "
     "surfaces where a "
     "value is read."},
    {"grad", method(grad), METH_VARARGS | METH_KEYWORDS,
     "grad(fun, argnums=None, argnames=[])\n--\n\n"
     "A function that computes the gradient of `fun`, whose result must be a scalar array.\n\n"
     "Args:\n"
     "    fun: a function whose differentiated arguments are arrays or trees of arrays.\n"
     "    argnums: positions of the arguments to differentiate, an int or a sequence; 0 by "
     "default.\n"
     "    argnames: names of keyword arguments to differentiate.\n\n"
     "Returns:\n"
     "    A function of the same arguments. It returns the gradient in the shape of the argument; "
     "a tuple for\n"
     "    several positions; (positional part or None, {name: gradient}) if argnames is given.\n"},
    {"value_and_grad", method(value_and_grad), METH_VARARGS | METH_KEYWORDS,
     "value_and_grad(fun, argnums=None, argnames=[])\n--\n\n"
     "A function that computes the value and the gradient of `fun`, see `grad`.\n\n"
     "`fun` may also return a tuple whose first entry is the scalar; the whole tuple is then the "
     "value.\n"},
    {"vjp", method(py_vjp), METH_VARARGS | METH_KEYWORDS,
     "vjp(fun, primals, cotangents)\n--\n\n"
     "(outputs of `fun`, products of the cotangents with its Jacobian): two lists of arrays."},
    {"jvp", method(py_jvp), METH_VARARGS | METH_KEYWORDS,
     "jvp(fun, primals, tangents)\n--\n\n"
     "(outputs of `fun`, products of its Jacobian with the tangents): two lists of arrays."},
    {"vmap", method(py_vmap), METH_VARARGS | METH_KEYWORDS,
     "vmap(fun, in_axes=0, out_axes=0)\n--\n\n"
     "`fun` mapped over an axis of its arguments.\n\n"
     "Args:\n"
     "    fun: a function of arrays or trees of arrays.\n"
     "    in_axes: the axis to map over: an int for all, or a tree of ints and None (not mapped) "
     "that is a prefix of\n"
     "        the arguments: a tuple with an entry for each argument, or for one argument a tree "
     "like it.\n"
     "    out_axes: where the mapped axis stands in the outputs: an int, or a prefix of the "
     "output's tree.\n"},
    {"checkpoint", method(py_checkpoint), METH_VARARGS | METH_KEYWORDS,
     "checkpoint(fun)\n--\n\n`fun` with its intermediate values recomputed in the backward pass "
     "instead of kept."},
    {},
};

}  // namespace

// --- TreeCall ------------------------------------------------------------------------------------

struct TreeCall::State {
  Held function;
  Tree tree;                                    // of (args, keywords)
  std::vector<std::pair<size_t, Held>> others;  // leaves that are no arrays, by position
  size_t n_leaves = 0;
  Tree out_tree;
  std::vector<std::pair<size_t, Held>> out_others;
};

TreeCall::TreeCall(PyObject* f, PyObject* const* args, Py_ssize_t n, PyObject* keywords)
    : state_(std::shared_ptr<State>(new State, [](State* s) {
        AcquireGil gil;  // the trees hold Python objects
        delete s;
      })) {
  Owned positional = tuple_of(args, n), named = dict_of(args, n, keywords);
  Owned both = checked(PyTuple_Pack(named ? 2 : 1, positional.get(), named.get()));
  std::vector<Owned> leaves;
  state_->function = hold(f);
  state_->tree = Tree::flatten(both.get(), leaves);
  state_->n_leaves = leaves.size();
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (is_array(leaves[i].get()))
      inputs_.push_back(array_of(leaves[i].get()));
    else
      state_->others.emplace_back(i, hold(leaves[i].get()));
  }
}

ArrayFn TreeCall::function() const {
  return [state = state_](std::span<const Array> inputs) {
    AcquireGil gil;
    std::vector<Owned> leaves;
    size_t next = 0;
    auto other = state->others.begin();
    for (size_t i = 0; i < state->n_leaves; ++i) {
      if (other != state->others.end() && other->first == i)
        leaves.push_back(Owned::borrow((other++)->second.get()));
      else
        leaves.push_back(checked(wrap(inputs[next++])));
    }
    Owned both = state->tree.build(leaves);
    PyObject* keywords =
        PyTuple_GET_SIZE(both.get()) > 1 ? PyTuple_GET_ITEM(both.get(), 1) : nullptr;
    Owned result =
        checked(PyObject_Call(state->function.get(), PyTuple_GET_ITEM(both.get(), 0), keywords));
    leaves.clear();
    state->out_tree = Tree::flatten(result.get(), leaves);
    state->out_others.clear();
    std::vector<Array> outputs;
    for (size_t i = 0; i < leaves.size(); ++i) {
      if (is_array(leaves[i].get()))
        outputs.push_back(array_of(leaves[i].get()));
      else
        state->out_others.emplace_back(i, hold(leaves[i].get()));
    }
    return outputs;
  };
}

Owned TreeCall::finish(std::span<const Array> outputs) const {
  std::vector<Owned> leaves;
  size_t next = 0;
  auto other = state_->out_others.begin();
  for (size_t i = 0; i < state_->out_tree.size(); ++i) {
    if (other != state_->out_others.end() && other->first == i)
      leaves.push_back(Owned::borrow((other++)->second.get()));
    else
      leaves.push_back(checked(wrap(outputs[next++])));
  }
  return state_->out_tree.build(leaves);
}

void init_transforms(PyObject* module) {
  init_closures();
  checked(PyModule_AddFunctions(module, functions));
  Owned core = checked(PyUnicode_FromString("legato.core"));
  Owned stop = checked(new_function(stop_gradient_record, core.get(), false));
  checked(PyModule_AddObjectRef(module, "stop_gradient", stop.get()));
  init_compile(module);
  init_custom_function(module);
}

}  // namespace legato::python
