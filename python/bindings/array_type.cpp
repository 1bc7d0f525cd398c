// The Python type `array`: allocation, operators, comparison, properties. Its other methods are in
// array_methods.cpp, indexing in indexing.cpp, buffers and DLPack in interop.cpp.
#include "python/bindings/array_type.h"

#include <cstddef>
#include <new>

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "python/bindings/convert.h"
#include "python/bindings/dtypes.h"
#include "python/bindings/function.h"

namespace legato::python {
namespace {

// Dead array objects wait here: programs make and drop them all the time.
constexpr int kMaxFree = 512;
PyArray* free_arrays[kMaxFree];
int n_free = 0;

PyArray* allocate() {
  if (n_free > 0) {
    PyArray* o = free_arrays[--n_free];
    PyObject_Init(reinterpret_cast<PyObject*>(o), &ArrayType);
    return o;
  }
  return PyObject_New(PyArray, &ArrayType);
}

void array_dealloc(PyObject* self) {
  auto* o = reinterpret_cast<PyArray*>(self);
  if (o->weakrefs) PyObject_ClearWeakRefs(self);
  o->value.~Array();
  if (Py_TYPE(self) == &ArrayType && n_free < kMaxFree)
    free_arrays[n_free++] = o;
  else
    Py_TYPE(self)->tp_free(self);
}

// --- operators -----------------------------------------------------------------------------------

enum Operator {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kRemainder,
  kPower,
  kMatmul,
  kLeftShift,
  kRightShift,
  kAnd,
  kOr,
  kXor,
  kNegative,
  kAbs,
  kInvert,
  kLess,
  kLessEqual,
  kEqual,
  kNotEqual,
  kGreater,
  kGreaterEqual,
  kOperatorCount
};
constexpr const char* kOperatorNames[kOperatorCount] = {
    "add",         "subtract",  "multiply",   "divide",         "floor_divide", "remainder",
    "power",       "matmul",    "left_shift", "right_shift",    "bitwise_and",  "bitwise_or",
    "bitwise_xor", "negative",  "abs",        "bitwise_invert", "less",         "less_equal",
    "equal",       "not_equal", "greater",    "greater_equal"};
const Function* operators[kOperatorCount];

// The arguments of an operator. Arrays are lent to the call, without a reference of its own, where
// no code of Python's can run that gives their objects other values: operators only make nodes.
template <int n>
struct Operands {
  Arg values[n];
  bool lent[n] = {};
  Operands() = default;
  Operands(const Operands&) = delete;
  ~Operands() {
    for (int i = 0; i < n; ++i)
      if (lent[i]) (void)std::get<Array>(values[i]).detach();
  }
  void lend(int i, const Array& a) {
    values[i] = Array::adopt(a.node(), a.index());
    lent[i] = true;
  }
};

// One operand as an argument; false if its type is foreign, then Python asks the other operand.
inline bool operand(const ParamSpec& spec, PyObject* o, Arg& to) {
  if (is_array(o)) {
    to = array_of(o);
    return true;
  }
  Scalar s;
  if (read_scalar(o, s)) {
    if (spec.type == ParamType::operand)
      to = s;
    else
      to = read_array(o, Accept::operand);
    return true;
  }
  if (!is_array_like(o)) return false;
  Array a = read_array(o, Accept::operand);
  if (!a) return false;
  to = std::move(a);
  return true;
}

const Function& function_of(Operator op) {
  if (!operators[op]) [[unlikely]] {
    operators[op] = find_record(kOperatorNames[op]);
    if (!operators[op])
      throw InternalError(
          cat("no function is called ", kOperatorNames[op], ", which an operator needs"));
  }
  return *operators[op];
}

template <Operator op>
PyObject* binary(PyObject* x, PyObject* y) {
  return guarded([&]() -> PyObject* {
    const Function& f = function_of(op);
    if (f.of_two) {
      const bool x_is = is_array(x), y_is = is_array(y);
      if (x_is && y_is) [[likely]]
        return wrap(f.of_two(array_of(x), array_of(y)));
      Scalar s;
      if (x_is && read_scalar(y, s)) return wrap(f.of_two(array_of(x), s));
      if (y_is && read_scalar(x, s)) return wrap(f.of_two(s, array_of(y)));
    }
    Operands<2> args;
    if (is_array(x) && is_array(y)) {
      args.lend(0, array_of(x));
      args.lend(1, array_of(y));
    } else if (!operand(f.types[0], x, args.values[0]) || !operand(f.types[1], y, args.values[1])) {
      Py_RETURN_NOTIMPLEMENTED;
    }
    return wrap(call_record(f, args.values));
  });
}

// `x += y` gives x a new value: all names of the object see it.
template <Operator op>
PyObject* in_place(PyObject* x, PyObject* y) {
  return guarded([&]() -> PyObject* {
    const Function& f = function_of(op);
    Operands<2> args;
    args.values[0] = array_of(x);
    if (!operand(f.types[1], y, args.values[1])) Py_RETURN_NOTIMPLEMENTED;
    if (op == kDivide && is_integer(array_of(x).dtype()))
      throw ValueError(cat("array /= : division gives floating values, which ", array_of(x).dtype(),
                           " cannot hold; write x = x / y, or x //= y"));
    Array value = call_record(f, args.values);
    array_of(x) = std::move(value);
    return Py_NewRef(x);
  });
}

template <Operator op>
PyObject* unary(PyObject* x) {
  return guarded([&]() -> PyObject* {
    const Function& f = function_of(op);
    if (f.of_one) return wrap(f.of_one(array_of(x)));
    Operands<1> args;
    args.lend(0, array_of(x));
    return wrap(call_record(f, args.values));
  });
}

PyObject* power(PyObject* x, PyObject* y, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return binary<kPower>(x, y);
}
PyObject* in_place_power(PyObject* x, PyObject* y, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return in_place<kPower>(x, y);
}
PyObject* positive(PyObject* x) { return wrap(array_of(x)); }

PyObject* divmod(PyObject* x, PyObject* y) {
  Owned quotient = Owned::steal(binary<kFloorDivide>(x, y));
  if (!quotient || quotient.get() == Py_NotImplemented) return quotient.release();
  Owned rest = Owned::steal(binary<kRemainder>(x, y));
  if (!rest) return nullptr;
  return PyTuple_Pack(2, quotient.get(), rest.get());
}

PyObject* compare(PyObject* x, PyObject* y, int op) {
  switch (op) {
    case Py_LT:
      return binary<kLess>(x, y);
    case Py_LE:
      return binary<kLessEqual>(x, y);
    case Py_EQ:
      return binary<kEqual>(x, y);
    case Py_NE:
      return binary<kNotEqual>(x, y);
    case Py_GT:
      return binary<kGreater>(x, y);
    default:
      return binary<kGreaterEqual>(x, y);
  }
}

Py_hash_t hash(PyObject* self) { return _Py_HashPointer(self); }

PyNumberMethods number_slots = {
    .nb_add = binary<kAdd>,
    .nb_subtract = binary<kSubtract>,
    .nb_multiply = binary<kMultiply>,
    .nb_remainder = binary<kRemainder>,
    .nb_divmod = divmod,
    .nb_power = power,
    .nb_negative = unary<kNegative>,
    .nb_positive = positive,
    .nb_absolute = unary<kAbs>,
    .nb_bool = array_bool,
    .nb_invert = unary<kInvert>,
    .nb_lshift = binary<kLeftShift>,
    .nb_rshift = binary<kRightShift>,
    .nb_and = binary<kAnd>,
    .nb_xor = binary<kXor>,
    .nb_or = binary<kOr>,
    .nb_int = array_int,
    .nb_float = array_float,
    .nb_inplace_add = in_place<kAdd>,
    .nb_inplace_subtract = in_place<kSubtract>,
    .nb_inplace_multiply = in_place<kMultiply>,
    .nb_inplace_remainder = in_place<kRemainder>,
    .nb_inplace_power = in_place_power,
    .nb_inplace_lshift = in_place<kLeftShift>,
    .nb_inplace_rshift = in_place<kRightShift>,
    .nb_inplace_and = in_place<kAnd>,
    .nb_inplace_xor = in_place<kXor>,
    .nb_inplace_or = in_place<kOr>,
    .nb_floor_divide = binary<kFloorDivide>,
    .nb_true_divide = binary<kDivide>,
    .nb_inplace_floor_divide = in_place<kFloorDivide>,
    .nb_inplace_true_divide = in_place<kDivide>,
    .nb_index = array_index,
    .nb_matrix_multiply = binary<kMatmul>,
    .nb_inplace_matrix_multiply = in_place<kMatmul>,
};

PyMappingMethods mapping_slots = {
    .mp_length = array_length, .mp_subscript = array_subscript, .mp_ass_subscript = array_assign};

PyBufferProcs buffer_slots = {.bf_getbuffer = array_getbuffer,
                              .bf_releasebuffer = array_releasebuffer};

// --- making --------------------------------------------------------------------------------------

// Before __init__ an array is the number 0, so that whatever Python does with it is defined.
PyObject* array_new(PyTypeObject* type, PyObject*, PyObject*) {
  return guarded([&]() -> PyObject* {
    PyObject* self =
        type == &ArrayType ? reinterpret_cast<PyObject*>(allocate()) : type->tp_alloc(type, 0);
    if (!self) return nullptr;
    auto* o = reinterpret_cast<PyArray*>(self);
    new (&o->value) Array;
    o->weakrefs = nullptr;
    static auto* zero = new Array(literal(Scalar(0.0), Dtype::float32));
    o->value = *zero;
    return self;
  });
}

int array_init(PyObject* self, PyObject* args, PyObject* keywords) {
  return guarded(-1, [&] {
    static const char* names[] = {"val", "dtype", nullptr};
    PyObject *val, *dtype = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:array", const_cast<char**>(names), &val,
                                     &dtype))
      return -1;
    std::optional<Dtype> t;
    if (dtype != Py_None) {
      if (!is_dtype(dtype))
        throw TypeError(cat("array: `dtype` must be a Dtype, such as legato.float32, found ",
                            type_name(dtype)));
      t = dtype_value(dtype);
    }
    Array a = read_array(val, Accept::anything, t);
    if (!a) {
      std::string message = cat("array: cannot make an array of ", type_name(val),
                                "; give numbers, lists of numbers, NumPy arrays or buffers");
      if (val == Py_None) throw TypeError(message);
      throw ValueError(message);
    }
    array_of(self) = std::move(a);
    return 0;
  });
}

// --- properties ----------------------------------------------------------------------------------

PyObject* get_shape(PyObject* self, void*) {
  return guarded([&] {
    note_sizes_read(array_of(self));
    return py_dims(array_of(self).shape());
  });
}
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromSize_t(array_of(self).ndim()); }
PyObject* get_size(PyObject* self, void*) {
  return guarded([&] {
    note_sizes_read(array_of(self));
    return PyLong_FromLongLong(array_of(self).size());
  });
}
PyObject* get_dtype(PyObject* self, void*) {
  return Py_NewRef(dtype_object(array_of(self).dtype()));
}
PyObject* get_itemsize(PyObject* self, void*) {
  return PyLong_FromLongLong(size_of(array_of(self).dtype()));
}
PyObject* get_nbytes(PyObject* self, void*) {
  return guarded([&] {
    note_sizes_read(array_of(self));
    return PyLong_FromLongLong(array_of(self).nbytes());
  });
}

PyObject* call_on(PyObject* self, const char* function) {
  return guarded([&] { return wrap(call_function(function, {Arg(array_of(self))})); });
}
PyObject* get_T(PyObject* self, void*) { return call_on(self, "transpose"); }
PyObject* get_mT(PyObject* self, void*) { return call_on(self, "matrix_transpose"); }
PyObject* get_real(PyObject* self, void*) { return call_on(self, "real"); }
PyObject* get_imag(PyObject* self, void*) { return call_on(self, "imag"); }

PyGetSetDef properties[] = {
    {"shape", get_shape, nullptr, "The sizes of the axes, a tuple of ints.", nullptr},
    {"ndim", get_ndim, nullptr, "The number of axes.", nullptr},
    {"size", get_size, nullptr, "The number of elements.", nullptr},
    {"dtype", get_dtype, nullptr, "The dtype of the elements.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes of one element.", nullptr},
    {"nbytes", get_nbytes, nullptr, "Bytes of all elements.", nullptr},
    {"T", get_T, nullptr, "The array with its axes reversed.", nullptr},
    {"mT", get_mT, nullptr, "The array with its last two axes swapped.", nullptr},
    {"real", get_real, nullptr, "The real parts.", nullptr},
    {"imag", get_imag, nullptr, "The imaginary parts.", nullptr},
    {"at", array_at, nullptr,
     "Updates that add up where indices repeat: x.at[i].add(v) gives a new array.", nullptr},
    {},
};

}  // namespace

PyTypeObject ArrayType = {
    .ob_base = PyVarObject_HEAD_INIT(nullptr, 0).tp_name = "legato.core.array",
    .tp_basicsize = sizeof(PyArray),
    .tp_dealloc = array_dealloc,
    .tp_repr = array_repr,
    .tp_as_number = &number_slots,
    .tp_as_mapping = &mapping_slots,
    .tp_hash = hash,
    .tp_as_buffer = &buffer_slots,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_doc =
        "array(val, dtype=None)\n--\n\n"
        "An n-dimensional array: a value that exists or can be computed.\n\n"
        "Args:\n"
        "    val: a number, nested lists of numbers or arrays, a NumPy array or another buffer; "
        "copied.\n"
        "    dtype: the dtype of the elements. By default that of `val`, where Python ints give "
        "int32 (int64 if needed), and Python floats and NumPy's float64 give float32.\n",
    .tp_richcompare = compare,
    .tp_weaklistoffset = offsetof(PyArray, weakrefs),
    .tp_iter = array_iter,
    .tp_methods = array_methods,
    .tp_getset = properties,
    .tp_init = array_init,
    .tp_new = array_new,
};

PyObject* wrap(Array&& value) {
  PyArray* o = allocate();
  if (!o) return nullptr;
  new (&o->value) Array(std::move(value));
  o->weakrefs = nullptr;
  return reinterpret_cast<PyObject*>(o);
}

void init_arrays(PyObject* module) {
  checked(PyType_Ready(&ArrayType));
  checked(PyModule_AddObjectRef(module, "array", reinterpret_cast<PyObject*>(&ArrayType)));
  // Python 2's names of division, which the interface lists.
  for (auto [old_name, name] :
       {std::pair("__div__", "__truediv__"), {"__rdiv__", "__rtruediv__"}}) {
    PyObject* slot = PyDict_GetItemString(ArrayType.tp_dict, name);
    checked(PyDict_SetItemString(ArrayType.tp_dict, old_name, slot));
  }
  init_array_methods(module);
}

}  // namespace legato::python
