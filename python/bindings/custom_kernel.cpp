// Kernels that users write in CUDA; what Python sees of them is in core/_kernels.py.
#include "legato/ops/custom_kernel/custom_kernel.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/bindings/convert.h"
#include "python/bindings/devices.h"
#include "python/bindings/dtypes.h"

namespace legato::python {
namespace nb = nanobind;
namespace {

std::vector<Array> read_inputs(const std::string& function, nb::handle inputs) {
  std::vector<Array> out;
  for (nb::handle o : inputs) {
    Array a = read_array(o.ptr(), Accept::anything, std::nullopt);
    if (!a)
      throw TypeError(
          cat(function, ": `inputs` must be arrays or numbers, found ", type_name(o.ptr())));
    out.push_back(std::move(a));
  }
  return out;
}

Dims read_sizes(const std::string& function, const char* parameter, nb::handle o) {
  Dims out;
  if (!read_dims(o.ptr(), out))
    throw TypeError(cat(function, ": `", parameter, "` must be ints, found ", type_name(o.ptr())));
  return out;
}

KernelCall read_call(const std::string& function, nb::handle shapes, nb::handle dtypes,
                     nb::handle grid, nb::handle threadgroup, nb::handle arguments,
                     nb::handle init_value, bool verbose) {
  KernelCall call;
  for (nb::handle o : shapes) {
    const Dims dims = read_sizes(function, "output_shapes", o);
    call.output_shapes.push_back(Shape(std::span<const int64_t>(dims.begin(), dims.size())));
  }
  for (nb::handle o : dtypes) {
    if (!is_dtype(o.ptr()))
      throw TypeError(
          cat(function, ": `output_dtypes` must be Dtypes, found ", type_name(o.ptr())));
    call.output_dtypes.push_back(dtype_value(o.ptr()));
  }
  call.grid = read_sizes(function, "grid", grid);
  call.threadgroup = read_sizes(function, "threadgroup", threadgroup);
  if (!arguments.is_none())
    for (nb::handle pair : arguments) {
      if (!nb::isinstance<nb::sequence>(pair) || nb::len(pair) != 2 ||
          !nb::isinstance<nb::str>(pair[0]))
        throw TypeError(
            cat(function, ": `template` must be pairs of a name and a Dtype, int or bool"));
      const nb::object value = pair[1];
      int64_t number;
      TemplateArgument argument;
      if (is_dtype(value.ptr()))
        argument = dtype_value(value.ptr());
      else if (PyBool_Check(value.ptr()))
        argument = value.is(nb::handle(Py_True));
      else if (read_integer(value.ptr(), number))
        argument = number;
      else
        throw TypeError(cat(function,
                            ": a template argument must be a Dtype, an int or a bool, found ",
                            type_name(value.ptr())));
      call.template_arguments.emplace_back(nb::cast<std::string>(pair[0]), argument);
    }
  if (!init_value.is_none()) {
    Scalar s;
    if (!read_scalar(init_value.ptr(), s) || s.kind == Scalar::Kind::complex)
      throw TypeError(
          cat(function, ": `init_value` must be a number, found ", type_name(init_value.ptr())));
    call.init_value = s.real();
  }
  call.verbose = verbose;
  return call;
}

// A kernel for CUDA runs on a GPU whatever the default device is.
class OnGpu {
 public:
  OnGpu(const std::string& function, nb::handle stream)
      : given_(function.c_str(), stream.ptr()), own_(gpu_stream(stream)) {}

 private:
  static Stream gpu_stream(nb::handle stream) {
    const Stream current = stream_at(stream_of_new_nodes());
    if (current.device.type == DeviceType::gpu || !stream.is_none()) return current;
    return default_stream({DeviceType::gpu, 0});
  }
  StreamArgument given_;
  StreamScope own_;
};

nb::list wrapped(std::vector<Array>&& arrays) {
  nb::list out;
  for (Array& a : arrays) out.append(nb::steal(checked(wrap(std::move(a))).release()));
  return out;
}

}  // namespace

void init_custom_kernels(PyObject* module) {
  auto m = nb::borrow<nb::module_>(module);
  nb::class_<CudaKernel>(m, "_CudaKernel")
      .def(nb::init<const std::string&, const std::vector<std::string>&,
                    const std::vector<std::string>&, const std::string&, const std::string&, bool,
                    int64_t>())
      .def(
          "call",
          [](const CudaKernel& kernel, const std::string& name, nb::handle inputs,
             nb::handle shapes, nb::handle dtypes, nb::handle grid, nb::handle threadgroup,
             nb::handle arguments, nb::handle init_value, bool verbose, nb::handle stream) {
            const std::string function = "cuda_kernel " + name;
            const OnGpu on(function, stream);
            const std::vector<Array> in = read_inputs(function, inputs);
            return wrapped(kernel(in, read_call(function, shapes, dtypes, grid, threadgroup,
                                                arguments, init_value, verbose)));
          },
          nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
          nb::arg().none(), nb::arg(), nb::arg().none());
  m.def(
      "_precompiled_cuda_kernel",
      [](const std::string& name, nb::bytes code, nb::handle inputs, nb::handle shapes,
         nb::handle dtypes, nb::handle scalars, nb::handle grid, nb::handle threadgroup,
         int64_t shared_memory, nb::handle init_value, bool ensure_row_contiguous,
         nb::handle stream) {
        const std::string function = "precompiled_cuda_kernel " + name;
        const OnGpu on(function, stream);
        const std::vector<Array> in = read_inputs(function, inputs);
        std::vector<Scalar> values;
        for (nb::handle o : scalars) {
          Scalar s;
          if (!read_scalar(o.ptr(), s))
            throw TypeError(cat(function, ": `scalars` must be bools, ints or floats, found ",
                                type_name(o.ptr())));
          values.push_back(s);
        }
        return wrapped(precompiled_cuda_kernel(
            name, std::string(code.c_str(), code.size()), in, values,
            read_call(function, shapes, dtypes, grid, threadgroup, nb::none(), init_value, false),
            shared_memory, ensure_row_contiguous));
      },
      nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
      nb::arg(), nb::arg().none(), nb::arg(), nb::arg().none());
}

}  // namespace legato::python
