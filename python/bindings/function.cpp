// The trampoline: converts the arguments of a Python call by the record's plan, calls the C++
// function, wraps its arrays.
#include "python/bindings/function.h"

#include <structmember.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "legato/op/registry.h"
#include "python/bindings/convert.h"
#include "python/bindings/devices.h"
#include "python/bindings/dtypes.h"

namespace legato::python {
namespace {

constexpr int kMaxParams = 24;

PyFunction* as_function(PyObject* o) { return reinterpret_cast<PyFunction*>(o); }

const char* accepted(const ParamSpec& spec) {
  switch (spec.type) {
    case ParamType::array:
      return "an array";
    case ParamType::operand:
      return "an array or a number";
    case ParamType::arrays:
      return "a list or tuple of arrays";
    case ParamType::boolean:
      return "True or False";
    case ParamType::integer:
      return "an int";
    case ParamType::real:
      return "a float";
    case ParamType::scalar:
      return "a number";
    case ParamType::text:
      return "a str";
    case ParamType::dtype:
      return "a Dtype, such as legato.float32";
    case ParamType::nested_ints:
      return "an int, or a sequence of ints or of sequences of ints";
    case ParamType::array_or_text:
      return "an array or a str";
    case ParamType::dims:
    case ParamType::axes:
      break;
  }
  return "an int or a sequence of ints";
}

[[noreturn]] void refuse(const PyFunction& f, const ParamPlan& p, PyObject* given) {
  throw TypeError(cat(f.label, ": argument `", PyUnicode_AsUTF8(p.name), "` must be ",
                      p.spec.optional ? "None or " : "", accepted(p.spec), ", found ",
                      type_name(given)));
}

// An array, or whatever array() makes one of.
Array to_array(const PyFunction& f, const ParamPlan& p, PyObject* o) {
  Array a = read_array(o, Accept::anything);
  if (!a) refuse(f, p, o);
  return a;
}

void to_arrays(const PyFunction& f, const ParamPlan& p, PyObject* o, Arg& to) {
  if (!(PyList_Check(o) || PyTuple_Check(o))) {
    if (!is_array(o) || array_of(o).ndim() == 0) refuse(f, p, o);
  }
  Owned items = checked(PySequence_Fast(o, ""));  // an array gives its rows
  std::vector<Array> arrays;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(items.get());
  arrays.reserve(static_cast<size_t>(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    arrays.push_back(is_array(item) ? array_of(item) : read_array(item, Accept::anything));
    if (!arrays.back())
      throw TypeError(cat(f.label, ": argument `", PyUnicode_AsUTF8(p.name), "`: item ",
                          static_cast<int64_t>(i), " must be an array, found ", type_name(item)));
  }
  to = std::move(arrays);
}

// 2, (1, 2) or ((1, 2), 3): pad widths, places to cut.
bool read_nested(PyObject* o, NestedInts& to) {
  Dims dims;
  int64_t v;
  if (read_integer(o, v)) {
    to.values.push_back(Dims{v});
    return true;
  }
  to.kind = NestedInts::Kind::list;
  if (read_dims(o, dims)) {
    to.values.push_back(std::move(dims));
    return true;
  }
  if (!PyList_Check(o) && !PyTuple_Check(o)) return false;
  to.kind = NestedInts::Kind::nested;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
    if (!read_dims(PySequence_Fast_GET_ITEM(o, i), dims)) return false;
    to.values.push_back(dims);
  }
  return true;
}

void convert(const PyFunction& f, const ParamPlan& p, PyObject* o, Arg& to) {
  if (o == Py_None) {
    if (!p.spec.optional) refuse(f, p, o);
    to = Arg();
    return;
  }
  ParamType type = p.spec.type;
  if (type == ParamType::array_or_text)
    type = PyUnicode_Check(o) ? ParamType::text : ParamType::array;
  switch (type) {
    case ParamType::array_or_text:
      break;
    case ParamType::array:
      to = is_array(o) ? array_of(o) : to_array(f, p, o);
      return;
    case ParamType::operand: {
      if (is_array(o)) {
        to = array_of(o);
        return;
      }
      Scalar s;
      if (read_scalar(o, s))
        to = s;
      else
        to = to_array(f, p, o);
      return;
    }
    case ParamType::arrays:
      return to_arrays(f, p, o, to);
    case ParamType::boolean: {
      if (o == Py_True || o == Py_False) {
        to = o == Py_True;
        return;
      }
      Scalar s;
      if (PyLong_Check(o) || !read_scalar(o, s) || s.kind != Scalar::Kind::boolean) refuse(f, p, o);
      to = s.i != 0;
      return;
    }
    case ParamType::integer: {
      int64_t v;
      if (!read_integer(o, v)) refuse(f, p, o);
      to = v;
      return;
    }
    case ParamType::real: {
      Scalar s;
      if (!read_scalar(o, s) && is_array(o) && array_of(o).size() == 1) {
        Owned number = checked(PyNumber_Float(o));
        read_scalar(number.get(), s);
        to = s.real();
        return;
      }
      if (!read_scalar(o, s) || s.kind == Scalar::Kind::complex) refuse(f, p, o);
      to = s.real();
      return;
    }
    case ParamType::scalar: {
      Scalar s;
      if (!read_scalar(o, s)) refuse(f, p, o);
      to = s;
      return;
    }
    case ParamType::text: {
      Py_ssize_t n;
      const char* text = PyUnicode_Check(o) ? PyUnicode_AsUTF8AndSize(o, &n) : nullptr;
      if (!text) {
        PyErr_Clear();
        refuse(f, p, o);
      }
      to = std::string(text, static_cast<size_t>(n));
      return;
    }
    case ParamType::dtype:
      if (!is_dtype(o)) refuse(f, p, o);
      to = dtype_value(o);
      return;
    case ParamType::dims:
    case ParamType::axes: {
      Dims dims;
      if (!read_dims(o, dims)) refuse(f, p, o);
      to = std::move(dims);
      return;
    }
    case ParamType::nested_ints: {
      NestedInts ints;
      if (!read_nested(o, ints)) refuse(f, p, o);
      to = std::move(ints);
      return;
    }
  }
}

// The arguments of one call on the stack.
class Args {
 public:
  explicit Args(int n) : n_(n) {
    for (int i = 0; i < n; ++i) new (&values()[i]) Arg;
  }
  ~Args() {
    for (int i = 0; i < n_; ++i) values()[i].~Arg();
  }
  Args(const Args&) = delete;
  Arg* values() { return reinterpret_cast<Arg*>(memory_); }
  std::span<Arg> span() { return {values(), static_cast<size_t>(n_)}; }

 private:
  int n_;
  alignas(Arg) std::byte memory_[kMaxParams * sizeof(Arg)];
};

[[noreturn]] void too_many(const PyFunction& f, Py_ssize_t given) {
  throw TypeError(cat(f.label, ": takes at most ", f.plan->n_positional,
                      " positional arguments, found ", static_cast<int64_t>(given),
                      ". Signature: ", f.record->name, "(", f.record->params, ")"));
}

[[noreturn]] void unknown_keyword(const PyFunction& f, PyObject* name) {
  throw TypeError(cat(f.label, ": has no parameter `", PyUnicode_AsUTF8(name),
                      "`. Signature: ", f.record->name, "(", f.record->params, ")"));
}

// Index of the parameter called `name`, -1 if none takes it by keyword.
int find_param(const Plan& plan, PyObject* name) {
  int n = static_cast<int>(plan.params.size());
  for (int i = 0; i < n; ++i)
    if (plan.params[i].name == name && plan.params[i].kind >= ParamPlan::Kind::any) return i;
  for (int i = 0; i < n; ++i)
    if (plan.params[i].kind >= ParamPlan::Kind::any &&
        PyUnicode_Compare(plan.params[i].name, name) == 0)
      return i;
  return -1;
}

PyObject *stream_keyword, *correction_keyword, *ddof_keyword;

// For x.reshape(2, 3) and x.transpose(1, 0): the remaining positional ints as one argument.
void convert_star(const PyFunction& f, PyObject* const* args, Py_ssize_t n, Arg& to) {
  const ParamPlan& p = f.plan->params[f.star];
  if (n == 1) return convert(f, p, args[0], to);
  Dims dims;
  for (Py_ssize_t i = 0; i < n; ++i) {
    int64_t v;
    if (!read_integer(args[i], v)) refuse(f, p, args[i]);
    dims.push_back(v);
  }
  to = std::move(dims);
}

PyObject* wrap_results(const Function& record, std::vector<Array>& arrays) {
  if (record.returns == ReturnType::array ||
      (record.returns >= ReturnType::one_or_list && arrays.size() == 1)) {
    LEGATO_CHECK(arrays.size() == 1, "a function with one result gave another number");
    return wrap(std::move(arrays[0]));
  }
  bool list = record.returns == ReturnType::list || record.returns == ReturnType::one_or_list;
  auto n = static_cast<Py_ssize_t>(arrays.size());
  Owned out = checked(list ? PyList_New(n) : PyTuple_New(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = wrap(std::move(arrays[i]));
    if (!item) throw PythonError();
    if (list)
      PyList_SET_ITEM(out.get(), i, item);
    else
      PyTuple_SET_ITEM(out.get(), i, item);
  }
  return out.release();
}

PyObject* call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    const PyFunction& f = *as_function(self);
    const Plan& plan = *f.plan;
    Py_ssize_t n_args = PyVectorcall_NARGS(nargsf);
    if (!keywords) {  // functions of arrays only, most calls of most programs
      if (n_args == 1 && f.record->of_one && is_array(args[0]))
        return wrap(f.record->of_one(array_of(args[0])));
      if (n_args == 2 && f.record->of_two && is_array(args[0]) && is_array(args[1]))
        return wrap(f.record->of_two(array_of(args[0]), array_of(args[1])));
    }
    int n = static_cast<int>(plan.params.size());
    Args values(n);
    uint32_t given = 0;
    PyObject* stream = nullptr;

    if (plan.variadic >= 0) {
      const int v = plan.variadic;
      for (int i = 0; i < std::min<Py_ssize_t>(v, n_args); ++i) {
        convert(f, plan.params[i], args[i], values.values()[i]);
        given |= 1u << i;
      }
      std::vector<Array> arrays;
      for (Py_ssize_t i = v; i < n_args; ++i)
        arrays.push_back(to_array(f, plan.params[v], args[i]));
      values.values()[v] = std::move(arrays);
      given |= 1u << v;
    } else if (f.star >= 0 && n_args > f.star) {
      for (int i = 0; i < f.star; ++i) convert(f, plan.params[i], args[i], values.values()[i]);
      convert_star(f, args + f.star, n_args - f.star, values.values()[f.star]);
      given = (2u << f.star) - 1;
    } else {
      if (n_args > plan.n_positional) {
        // Some functions of MLX take the stream by position too, as the last argument.
        if (n_args != plan.n_positional + 1 || !is_stream(args[n_args - 1])) too_many(f, n_args);
        stream = args[n_args - 1];
      }
      Py_ssize_t n_given = std::min<Py_ssize_t>(n_args, plan.n_positional);
      for (Py_ssize_t i = 0; i < n_given; ++i)
        convert(f, plan.params[i], args[i], values.values()[i]);
      given = (1u << n_given) - 1;
    }
    if (keywords) {
      Py_ssize_t n_keywords = PyTuple_GET_SIZE(keywords);
      for (Py_ssize_t k = 0; k < n_keywords; ++k) {
        PyObject* name = PyTuple_GET_ITEM(keywords, k);
        if (f.correction && PyUnicode_Compare(name, correction_keyword) == 0) {
          if (args[n_args + k] == Py_None) continue;
          name = ddof_keyword;
        }
        int i = find_param(plan, name);
        if (i < 0) {
          if (name != stream_keyword && PyUnicode_Compare(name, stream_keyword) != 0)
            unknown_keyword(f, name);
          stream = args[n_args + k];
          continue;
        }
        if (given >> i & 1)
          throw TypeError(cat(f.label, ": argument `", PyUnicode_AsUTF8(name), "` is given twice"));
        convert(f, plan.params[i], args[n_args + k], values.values()[i]);
        given |= 1u << i;
      }
    }
    for (int i = 0; i < n; ++i) {
      if (given >> i & 1) continue;
      if (!plan.params[i].has_default)
        throw TypeError(cat(f.label, ": argument `", PyUnicode_AsUTF8(plan.params[i].name),
                            "` is missing. Signature: ", f.record->name, "(", f.record->params,
                            ")"));
      values.values()[i] = plan.params[i].default_value;
    }

    Results results;
    if (stream) {
      StreamArgument scope(f.label, stream);
      f.record->call(values.span(), results.arrays());
    } else {
      f.record->call(values.span(), results.arrays());
    }
    return wrap_results(*f.record, results.arrays());
  });
}

// --- attributes ----------------------------------------------------------------------------------

PyObject* function_repr(PyObject* self) {
  return PyUnicode_FromFormat("<function %U.%U>", as_function(self)->module,
                              as_function(self)->name);
}
PyObject* method_repr(PyObject* self) {
  return PyUnicode_FromFormat("<method %U of legato.core.array>", as_function(self)->name);
}

PyObject* get_doc(PyObject* self, void*) {
  const Function& r = *as_function(self)->record;
  return PyUnicode_FromFormat("%s(%s)\n\n%s", r.name, r.params, r.doc ? r.doc : "");
}

// "(a, /, axis=None, keepdims=False, *, stream=None)", which inspect reads.
std::string signature_text(const Function& r) {
  std::string text = cat("(", r.params);
  const Plan& plan = plan_of(r);
  bool has_star = plan.variadic >= 0;
  for (auto& p : plan.params) has_star |= p.kind == ParamPlan::Kind::keyword_only;
  if (!plan.params.empty()) text += ", ";
  return text + (has_star ? "stream=None)" : "*, stream=None)");
}

PyObject* get_text_signature(PyObject* self, void*) {
  return guarded(
      [&] { return PyUnicode_FromString(signature_text(*as_function(self)->record).c_str()); });
}

// For inspect.signature and help(). Built in Python, as it is asked for rarely.
PyObject* get_signature(PyObject* self, void*) {
  Owned module = Owned::steal(PyImport_ImportModule("legato.core._signature"));
  return module ? PyObject_CallMethod(module.get(), "signature", "O", self) : nullptr;
}

// Parameters with types, as ((name, kind, type, default or None), ...): what stubs are made from.
PyObject* get_parameters(PyObject* self, void*) {
  return guarded([&] {
    static constexpr const char* kinds[] = {"pos", "any", "kw", "var"};
    const Plan& plan = *as_function(self)->plan;
    Owned out = checked(PyList_New(0));
    for (auto& p : plan.params) {
      std::string type = type_text(p.spec);
      if (p.kind == ParamPlan::Kind::variadic) type = "array";
      if (p.spec.optional) type += " | None";
      Owned item =
          checked(Py_BuildValue("(Ossz)", p.name, kinds[static_cast<int>(p.kind)], type.c_str(),
                                p.has_default ? p.default_text.c_str() : nullptr));
      checked(PyList_Append(out.get(), item.get()));
    }
    return out.release();
  });
}

PyObject* get_returns(PyObject* self, void*) {
  static constexpr const char* texts[] = {"array", "list[array]", "tuple[array, ...]",
                                          "array | list[array]", "array | tuple[array, ...]"};
  return PyUnicode_FromString(texts[static_cast<int>(as_function(self)->record->returns)]);
}

// A string names an attribute of __module__: functions pickle by name, as Python's do.
PyObject* reduce(PyObject* self, PyObject*) { return Py_NewRef(as_function(self)->name); }

PyObject* bind_method(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

void dealloc(PyObject* self) {
  PyFunction* f = as_function(self);
  if (f->weakrefs) PyObject_ClearWeakRefs(self);
  Py_XDECREF(f->name);
  Py_XDECREF(f->module);
  PyObject_Free(self);
}

PyMemberDef members[] = {
    {"__name__", T_OBJECT, offsetof(PyFunction, name), READONLY, nullptr},
    {"__qualname__", T_OBJECT, offsetof(PyFunction, name), READONLY, nullptr},
    {"__module__", T_OBJECT, offsetof(PyFunction, module), READONLY, nullptr},
    {},
};
PyGetSetDef properties[] = {
    {"__doc__", get_doc, nullptr, nullptr, nullptr},
    {"__text_signature__", get_text_signature, nullptr, nullptr, nullptr},
    {"__legato_parameters__", get_parameters, nullptr, nullptr, nullptr},
    {"__legato_returns__", get_returns, nullptr, nullptr, nullptr},
    {"__signature__", get_signature, nullptr, nullptr, nullptr},
    {},
};
PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr}, {}};

}  // namespace

PyTypeObject FunctionType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.Function",
    .tp_basicsize = sizeof(PyFunction),
    .tp_dealloc = dealloc,
    .tp_vectorcall_offset = offsetof(PyFunction, vectorcall),
    .tp_repr = function_repr,
    .tp_call = PyVectorcall_Call,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_weaklistoffset = offsetof(PyFunction, weakrefs),
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = properties,
};

PyTypeObject MethodType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.Method",
    .tp_basicsize = sizeof(PyFunction),
    .tp_dealloc = dealloc,
    .tp_vectorcall_offset = offsetof(PyFunction, vectorcall),
    .tp_repr = method_repr,
    .tp_call = PyVectorcall_Call,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_weaklistoffset = offsetof(PyFunction, weakrefs),
    .tp_members = members,
    .tp_getset = properties,
    .tp_descr_get = bind_method,
};

PyObject* new_function(const Function& record, PyObject* module, bool method) {
  const Plan& plan = plan_of(record);
  if (plan.params.size() > kMaxParams)
    throw InternalError(cat(record.name, " has more than ", kMaxParams, " parameters"));
  PyFunction* f = PyObject_New(PyFunction, method ? &MethodType : &FunctionType);
  if (!f) throw PythonError();
  f->vectorcall = call;
  f->record = &record;
  f->plan = &plan;
  f->label = record.name;
  f->star = -1;
  f->correction = false;
  f->name = PyUnicode_InternFromString(record.name);
  f->module = Py_NewRef(module);
  f->weakrefs = nullptr;
  return reinterpret_cast<PyObject*>(f);
}

void init_functions(PyObject* module) {
  checked(PyType_Ready(&FunctionType));
  checked(PyType_Ready(&MethodType));
  stream_keyword = PyUnicode_InternFromString("stream");
  correction_keyword = PyUnicode_InternFromString("correction");
  ddof_keyword = PyUnicode_InternFromString("ddof");
  Owned core = checked(PyUnicode_FromString("legato.core"));
  for (const Function* record : registry().functions()) {
    Owned home = Owned::borrow(module), home_name = core;
    if (*record->module) {  // "fast": the submodule, made by the first of its functions
      home_name = checked(PyUnicode_FromFormat("legato.core.%s", record->module));
      home = Owned::steal(PyObject_GetAttrString(module, record->module));
      if (!home) {
        PyErr_Clear();
        home = checked(PyModule_New(PyUnicode_AsUTF8(home_name.get())));
        checked(PyModule_AddObjectRef(module, record->module, home.get()));
      }
    }
    Owned f = Owned::steal(new_function(*record, home_name.get(), false));
    checked(PyModule_AddObjectRef(home.get(), record->name, f.get()));
  }
  // The methods of array that forward to functions: self is the first parameter.
  static constexpr const char* forwarded[] = {
      "abs",       "all",     "any",    "argmax",   "argmin",    "astype", "conj",
      "cos",       "cummax",  "cummin", "cumprod",  "cumsum",    "diag",   "diagonal",
      "exp",       "flatten", "log",    "log10",    "log1p",     "log2",   "logcumsumexp",
      "logsumexp", "max",     "mean",   "min",      "moveaxis",  "prod",   "reciprocal",
      "reshape",   "round",   "rsqrt",  "sin",      "split",     "sqrt",   "square",
      "squeeze",   "std",     "sum",    "swapaxes", "transpose", "var",    "view",
  };
  for (const char* name : forwarded) {
    const Function* record = find_record(name);
    if (!record) continue;
    Owned f = Owned::steal(new_function(*record, core.get(), true));
    PyFunction* method = as_function(f.get());
    method->label = (new std::string(cat("array.", name)))->c_str();  // lives as long as the type
    if (std::strcmp(name, "reshape") == 0 || std::strcmp(name, "transpose") == 0) method->star = 1;
    method->correction = std::strcmp(name, "std") == 0 || std::strcmp(name, "var") == 0;
    checked(PyDict_SetItemString(ArrayType.tp_dict, name, f.get()));
  }
  PyType_Modified(&ArrayType);
}

}  // namespace legato::python
