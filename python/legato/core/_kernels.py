"""Kernels that users write: `legato.core.fast.cuda_kernel` and its kin. docs/cuda_kernels.md is the guide."""

from legato import _core


class CudaKernel:
    """A kernel made by `cuda_kernel`. Calling it gives a list of arrays, its outputs.

    Args:
        inputs: arrays or numbers, as many as `input_names`.
        output_shapes: the shape of each output.
        output_dtypes: the dtype of each output.
        grid: how many threads to run, along three axes; rounded up to whole threadgroups.
        threadgroup: how many of them form a block, along three axes; at most 1024 in all.
        template: pairs of a name in the source and the Dtype, int or bool that it stands for.
        init_value: what all outputs are filled with before the kernel runs.
        verbose: prints the source that is compiled.
        stream: a stream or device; by default the current one if it is a GPU's, else the first GPU.

    Raises:
        ValueError: something does not fit the kernel.
        RuntimeError: when the outputs are computed: the source does not compile, or the kernel failed.
    """

    def __init__(
        self,
        name,
        input_names,
        output_names,
        source,
        header="",
        ensure_row_contiguous=True,
        shared_memory=0,
    ):
        self.name = name
        self._kernel = _core._CudaKernel(
            name,
            list(input_names),
            list(output_names),
            source,
            header,
            ensure_row_contiguous,
            shared_memory,
        )

    def __call__(
        self,
        *,
        inputs,
        output_shapes,
        output_dtypes,
        grid,
        threadgroup,
        template=None,
        init_value=None,
        verbose=False,
        stream=None,
    ):
        return self._kernel.call(
            self.name,
            inputs,
            output_shapes,
            output_dtypes,
            grid,
            threadgroup,
            template,
            init_value,
            verbose,
            stream,
        )

    def __repr__(self):
        return f"<cuda_kernel {self.name}>"


def _need_gpu(function):
    if not _core.is_available(_core.gpu):
        raise ValueError(
            f"{function}: kernels in CUDA need an NVIDIA GPU. {_core._why_no_device(_core.gpu)}"
        )


def cuda_kernel(
    name,
    input_names,
    output_names,
    source,
    header="",
    ensure_row_contiguous=True,
    shared_memory=0,
):
    """A kernel from the body of a CUDA function, compiled when it is first run.

    The parameters of the function are pointers with these names and the dtypes of the arrays. Where
    the source mentions them, `<input>_shape`, `<input>_strides` and `<input>_ndim` are there too. The
    result is called with arrays and gives arrays, which are computed lazily like all others. It has
    no derivative and no batching rule; `custom_function` gives it both.

    Args:
        name: of the kernel, an identifier.
        input_names: names of the inputs in the source.
        output_names: names of the outputs in the source.
        source: the body of the function.
        header: what comes before the function: helpers, or `#include` of CUDA's headers.
        ensure_row_contiguous: copies inputs that are not row-major without gaps. If False, the source
            has to use the strides.
        shared_memory: bytes of dynamic shared memory, `extern __shared__` in the source.

    Raises:
        ValueError: there is no GPU, or a name is no identifier.

    >>> kernel = fast.cuda_kernel(  # doctest: +SKIP
    ...     name="double_it",
    ...     input_names=["x"],
    ...     output_names=["y"],
    ...     source="auto i = cooperative_groups::this_grid().thread_rank(); y[i] = 2 * x[i];",
    ... )
    >>> x = array([1.0, 2.0])
    >>> y = kernel(  # doctest: +SKIP
    ...     inputs=[x], output_shapes=[x.shape], output_dtypes=[x.dtype],
    ...     grid=(x.size, 1, 1), threadgroup=(2, 1, 1),
    ... )[0]
    """
    _need_gpu("cuda_kernel")
    return CudaKernel(
        name, input_names, output_names, source, header, ensure_row_contiguous, shared_memory
    )


def precompiled_cuda_kernel(
    *,
    name,
    compiled_source,
    inputs,
    output_shapes,
    output_dtypes,
    scalars,
    grid,
    threadgroup,
    shared_memory=0,
    init_value=None,
    ensure_row_contiguous=False,
    stream=None,
):
    """Runs a kernel that is compiled already, PTX or a cubin, and gives its outputs.

    Its function `name` takes pointers to the inputs, then pointers to the outputs, then the scalars:
    bool, int (32 bits) or float. The other arguments are those of a kernel made by `cuda_kernel`.

    Raises:
        ValueError: there is no GPU, or something does not fit.
        RuntimeError: when the outputs are computed: the code cannot be loaded, or the kernel failed.
    """
    _need_gpu("precompiled_cuda_kernel")
    return _core._precompiled_cuda_kernel(
        name,
        compiled_source,
        inputs,
        output_shapes,
        output_dtypes,
        scalars,
        grid,
        threadgroup,
        shared_memory,
        init_value,
        ensure_row_contiguous,
        stream,
    )


def metal_kernel(
    name,
    input_names,
    output_names,
    source,
    header="",
    ensure_row_contiguous=True,
    atomic_outputs=False,
    compile_options=None,
):
    """A kernel in Metal's language, which Legato does not run: calling the result raises.

    Raises:
        ValueError: by the kernel when it is called, as there is no Metal here.
    """

    def kernel(**_):
        raise ValueError(
            f"metal_kernel {name}: there is no Metal back end here. Write the kernel in CUDA with "
            "cuda_kernel, or in operations of legato.core"
        )

    return kernel


FUNCTIONS = (cuda_kernel, metal_kernel, precompiled_cuda_kernel)
for _f in FUNCTIONS:
    _f.__module__ = "legato.core.fast"
