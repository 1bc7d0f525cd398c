// Functions that fit no record, because they take or give something else than arrays.
#include "legato/ops/matmul/matmul.h"
#include "legato/transform/transform.h"
#include "python/bindings/common.h"
#include "python/bindings/convert.h"
#include "python/bindings/tree.h"

namespace legato::python {
namespace {

// einsum_path(subscripts, *operands) -> ([(0, 1), ...], text)
PyObject* py_einsum_path(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n == 0 || !PyUnicode_Check(args[0]))
      throw TypeError(cat("einsum_path: argument `subscripts` must be a str, found ",
                          n ? type_name(args[0]) : "nothing"));
    std::vector<Array> operands;
    for (Py_ssize_t i = 1; i < n; ++i) {
      operands.push_back(read_array(args[i], Accept::anything));
      if (!operands.back())
        throw TypeError(cat("einsum_path: operand ", static_cast<int64_t>(i - 1),
                            " must be an array, found ", type_name(args[i])));
    }
    const EinsumPath found = einsum_path(PyUnicode_AsUTF8(args[0]), operands);
    Owned path = checked(PyList_New(0));
    for (const Dims& places : found.path) {
      Owned step = checked(PyTuple_New(static_cast<Py_ssize_t>(places.size())));
      for (size_t i = 0; i < places.size(); ++i)
        PyTuple_SET_ITEM(step.get(), static_cast<Py_ssize_t>(i), PyLong_FromLongLong(places[i]));
      checked(PyList_Append(path.get(), step.get()));
    }
    return Py_BuildValue("(Os)", path.get(), found.text.c_str());
  });
}

// One array, or a sequence of them.
std::vector<Array> one_or_more(const char* name, PyObject* o) {
  if (is_array(o)) return {array_of(o)};
  if (!PyList_Check(o) && !PyTuple_Check(o))
    throw TypeError(cat("depends: argument `", name,
                        "` must be an array or a list or tuple of arrays, found ", type_name(o)));
  std::vector<Array> arrays;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(o, i);
    if (!is_array(item))
      throw TypeError(cat("depends: argument `", name, "`: item ", static_cast<int64_t>(i),
                          " must be an array, found ", type_name(item)));
    arrays.push_back(array_of(item));
  }
  return arrays;
}

PyObject* py_depends(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"inputs", "dependencies", nullptr};
    PyObject *inputs, *dependencies;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:depends", const_cast<char**>(names),
                                     &inputs, &dependencies))
      return nullptr;
    auto out = depends(one_or_more("inputs", inputs), one_or_more("dependencies", dependencies));
    if (is_array(inputs)) return wrap(std::move(out[0]));
    Owned list = checked(PyList_New(0));
    for (Array& a : out) {
      Owned item = checked(wrap(std::move(a)));
      checked(PyList_Append(list.get(), item.get()));
    }
    return PyTuple_Check(inputs) ? PyList_AsTuple(list.get()) : list.release();
  });
}

template <class F>
PyCFunction method(F f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

PyMethodDef functions[] = {
    {"einsum_path", method(py_einsum_path), METH_FASTCALL,
     "einsum_path(subscripts, *operands)\n--\n\n"
     "The order in which `einsum` contracts these operands, and what it costs.\n\n"
     "Returns:\n"
     "    ([(0, 1), ...], text): in each step the operands at these places of the list are taken "
     "out, and\n"
     "    their result is put at its end. Up to seven operands all orders are tried.\n\n"
     ">>> einsum_path('ij,jk,kl->il', ones((2, 9)), ones((9, 9)), ones((9, 1)))[0]\n"
     "[(1, 2), (0, 1)]\n"},
    {"depends", method(py_depends), METH_VARARGS | METH_KEYWORDS,
     "depends(inputs, dependencies)\n--\n\n"
     "`inputs` (an array, or a list or tuple of them) with the same values, computed after the "
     "arrays in\n"
     "`dependencies`. Differentiable in the inputs.\n"},
    {},
};

}  // namespace

void init_by_hand(PyObject* module) { checked(PyModule_AddFunctions(module, functions)); }

}  // namespace legato::python
