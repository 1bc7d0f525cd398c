"""fast.cuda_kernel on the emulated GPU: what the source sees, the graph around it, and what goes wrong."""

import re
from pathlib import Path
from textwrap import dedent

from test_emulated import pytestmark, run  # noqa: F401

TOOLS = """
def refuses(error, words, f, *args, **keywords):
    try: f(*args, **keywords)
    except error as e:
        for word in words.split("|"): assert word in str(e), (word, e)
    else: raise AssertionError(f"{error.__name__} with {words!r} expected")
def once(source, inputs, shapes, dtypes, grid=(1, 1, 1), threadgroup=(1, 1, 1), names="abcdef", **keywords):
    text = {k: keywords.pop(k) for k in ("header", "ensure_row_contiguous", "shared_memory") if k in keywords}
    kernel = lg.fast.cuda_kernel("tried", list(names[:len(inputs)]), ["x", "y"][:len(shapes)], source, **text)
    return kernel(inputs=inputs, output_shapes=shapes, output_dtypes=dtypes, grid=grid, threadgroup=threadgroup,
                  **keywords)
THREAD = "auto i = cooperative_groups::this_grid().thread_rank();"
"""


def check(program, cache, **knobs):
    assert run(TOOLS + dedent(program) + "print('right')", cache, **knobs) == "right"


def test_the_example_of_the_documentation(cache):
    program = """
    def exp_elementwise(a):
        kernel = lg.fast.cuda_kernel(
            name="myexp", input_names=["inp"], output_names=["out"],
            source='''
                auto elem = cooperative_groups::this_grid().thread_rank();
                T tmp = inp[elem];
                out[elem] = exp(tmp);
            ''')
        (out,) = kernel(inputs=[a], template=[("T", lg.float32)], grid=(a.size, 1, 1), threadgroup=(256, 1, 1),
                        output_shapes=[a.shape], output_dtypes=[a.dtype])
        return out
    for dtype in (lg.float32, lg.float16, lg.bfloat16):
        a = lg.random.normal(shape=(4, 16)).astype(dtype)
        b = exp_elementwise(a)
        assert b.dtype == dtype and b.shape == (4, 16)
        assert lg.allclose(b, lg.exp(a), rtol=1e-2).item()
        assert lg.allclose(exp_elementwise(a.T), lg.exp(a.T), rtol=1e-2).item()   # rows are made contiguous
    """
    check(program, cache)


def test_all_types_and_several_outputs(cache):
    program = """
    types = (lg.bool_, lg.uint8, lg.uint16, lg.uint32, lg.uint64, lg.int8, lg.int16, lg.int32, lg.int64, lg.float16,
             lg.bfloat16, lg.float32, lg.float64, lg.complex64, lg.complex128)
    for dtype in types:
        a = lg.array([0, 1, 3]).astype(dtype)
        x, y = once(THREAD + "x[i] = a[i]; y[i] = i * b[0];", [a, 3], [(3,), (3, 1)], [dtype, lg.int32], (3, 1, 1))
        assert x.dtype == dtype and lg.array_equal(x, a).item()
        assert y.tolist() == [[0], [3], [6]]
    halves = lg.array([1.5, -2.0]).astype(lg.float16)
    (x,) = once(THREAD + "__half h = a[i]; h += 1; h *= h; x[i] = h / 2;", [halves], [(2,)], [lg.float32], (2, 1, 1))
    assert x.tolist() == [3.125, 0.5]
    z = lg.array([1 + 2j, 3j])
    (x,) = once(THREAD + "x[i] = a[i] * a[i] + complex64_t(1);", [z], [(2,)], [lg.complex64], (2, 1, 1))
    assert x.tolist() == [(1 + 2j) ** 2 + 1, -8]
    """
    check(program, cache)


def test_shapes_strides_and_template_arguments(cache):
    program = """
    source = '''
      int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
      if (i >= a_shape[1] || j >= a_shape[0]) return;
      if constexpr (twice) i += 0; else static_assert(n > 0);
      x[j * a_shape[1] + i] = a[j * a_strides[0] + i * a_strides[1]] + n + a_ndim + (twice ? 100 : 0) + b[0];
    '''
    a = np.arange(15, dtype=np.float32).reshape(5, 3)
    arguments = dict(grid=(5, 3, 1), threadgroup=(4, 2, 1), template=[("n", 7), ("twice", True), ("T", lg.float32)],
                     ensure_row_contiguous=False)
    (x,) = once(source, [lg.array(a).T, 5.0], [(3, 5)], [lg.float32], **arguments)
    assert np.array_equal(np.array(x), a.T + 114)
    b = lg.array(np.arange(24, dtype=np.int32).reshape(2, 3, 4))[:, ::-1, ::2]
    source = THREAD + "x[i] = a[elem_to_loc(int(i), a_shape.data(), a_strides.data(), a_ndim)];"
    (x,) = once(source, [b], [b.shape], [lg.int32], (12, 1, 1), (4, 1, 1), ensure_row_contiguous=False)
    assert np.array_equal(np.array(x), np.array(b))
    (x,) = once("x[0] = a_shape[0] * 100 + a_shape[1] * 10 + a_shape[2];", [b], [(1,)], [lg.int32])
    assert x.item() == 232
    """
    check(program, cache)


def test_grids_of_three_axes_and_shared_memory(cache):
    program = """
    source = '''
      auto block = cg::this_thread_block();
      auto at = cg::this_grid().thread_rank();
      x[at] = blockIdx.z * 100 + threadIdx.x * 10 + threadIdx.y + 1000 * block.thread_rank();
    '''
    (x,) = once(source, [], [(24,)], [lg.int32], (2, 3, 4), (2, 3, 2))
    want = [z // 2 * 0 + (z // 2) * 100 + i * 10 + j + 1000 * (i + 2 * (j + 3 * (z % 2)))
            for z in range(4) for j in range(3) for i in range(2)]
    assert x.tolist() == want
    source = '''
      extern __shared__ float lent[];
      __shared__ float fixed[32];
      const int i = threadIdx.x;
      lent[i] = a[i];
      fixed[i] = a[i];
      __syncthreads();
      x[i] = lent[31 - i] + fixed[i];
      auto tile = cg::tiled_partition<32>(cg::this_thread_block());
      float sum = a[i];
      for (int by = 16; by > 0; by /= 2) sum += tile.shfl_xor(sum, by);
      if (i == 0) y[0] = sum;
    '''
    a = lg.arange(32).astype(lg.float32)
    x, y = once(source, [a], [(32,), ()], [lg.float32] * 2, (32, 1, 1), (32, 1, 1), shared_memory=128)
    assert x.tolist() == [31] * 32 and y.item() == 496
    """
    check(program, cache)


def test_filled_outputs_headers_and_empty_grids(cache):
    program = """
    for dtype in (lg.uint8, lg.float16, lg.int32, lg.float64, lg.complex128):
        add = "x[1] = x[1] + x[2];" if dtype != lg.float16 else "x[1] += x[2];"
        (x,) = once(add, [], [(4,)], [dtype], init_value=3)
        assert x.tolist() == [3, 6, 3, 3], x
    (x,) = once("x[0] = 1;", [], [(3,)], [lg.float32], (0, 1, 1), init_value=0.5)
    assert x.tolist() == [0.5] * 3
    (x,) = once("", [lg.zeros((0,))], [(0, 2)], [lg.float32])
    assert x.shape == (0, 2) and x.tolist() == []
    header = "template <class V> LEGATO_DEVICE V twice(V v) { return v + v; }".replace("LEGATO_DEVICE", "__device__")
    (x,) = once("x[0] = twice(a[0]) + HALF;", [4], [()], [lg.float32], header=header + "\\n#define HALF 0.5f")
    assert x.item() == 8.5
    """
    check(program, cache)


def test_it_is_an_op_of_the_graph(cache):
    program = """
    kernel = lg.fast.cuda_kernel("square", ["a"], ["x"], THREAD + "if (i < N) x[i] = a[i] * a[i];")
    def square(a):
        return kernel(inputs=[a], output_shapes=[a.shape], output_dtypes=[a.dtype], grid=(a.size, 1, 1),
                      threadgroup=(32, 1, 1), template=[("N", a.size)])[0]
    x = lg.array([1.0, 2.0, 3.0])
    y = square(x + 1) * 2                             # lazy: nothing has been compiled yet
    assert y.shape == (3,) and y.tolist() == [8, 18, 32]
    compiled = lg.compile(lambda a: square(a * 2) + 1)
    for _ in range(4):
        assert compiled(x).tolist() == [5, 17, 37]
    assert compiled(lg.array([1.0, 2.0])).tolist() == [5, 17]
    shapeless = lg.compile(square, shapeless=True)
    assert shapeless(x).tolist() == [1, 4, 9]
    assert shapeless(lg.array([3.0])).tolist() == [9]  # reads the shape, so it is traced again
    refuses(ValueError, "square has no derivative|custom_function|vjp", lg.grad(lambda a: lg.sum(square(a))), x)
    refuses(ValueError, "square|jvp rule", lg.jvp, square, [x], [x])
    refuses(ValueError, "square|vmap|custom_function", lg.vmap(square), lg.ones((2, 3)))

    @lg.custom_function
    def smooth(a): return square(a)
    @smooth.vjp
    def smooth_vjp(primals, cotangent, output): return 2 * primals * cotangent
    @smooth.vmap
    def smooth_vmap(inputs, axes):
        return square(inputs), axes
    assert lg.grad(lambda a: lg.sum(smooth(a)))(x).tolist() == [2, 4, 6]
    assert lg.vmap(smooth)(lg.ones((2, 3)) * 3).tolist() == [[9] * 3] * 2
    assert lg.grad(lambda a: lg.sum(square(lg.stop_gradient(a)) * a))(x).tolist() == [1, 4, 9]
    with lg.stream(lg.cpu):                           # it runs on the GPU all the same, inside the same graph
        assert (square(x) + 1).tolist() == [2, 5, 10]
    refuses(ValueError, "square runs on a GPU", lambda: lg.eval(kernel(
        inputs=[x], output_shapes=[(3,)], output_dtypes=[lg.float32], grid=(3, 1, 1), threadgroup=(1, 1, 1),
        template=[("N", 3)], stream=lg.cpu)))
    """
    check(program, cache)


def test_what_does_not_fit_is_refused_at_the_call(cache):
    program = """
    make = lg.fast.cuda_kernel
    refuses(ValueError, "identifier|'my kernel'", make, "my kernel", ["a"], ["x"], "")
    refuses(ValueError, "identifier|'1a'", make, "k", ["1a"], ["x"], "")
    refuses(ValueError, "a is given twice", make, "k", ["a"], ["a"], "")
    refuses(ValueError, "at least one output", make, "k", ["a"], [], "")
    refuses(ValueError, "shared_memory", make, "k", ["a"], ["x"], "", shared_memory=-1)
    kernel = make("k", ["a"], ["x"], "x[0] = a[0];")
    given = dict(inputs=[lg.ones(2)], output_shapes=[(1,)], output_dtypes=[lg.float32], grid=(1, 1, 1),
                 threadgroup=(1, 1, 1))
    def wrong(error, words, **changes): refuses(error, words, kernel, **{**given, **changes})
    wrong(ValueError, "takes 1 inputs, found 2", inputs=[1, 2])
    wrong(TypeError, "inputs|str", inputs=["a"])
    wrong(ValueError, "1 outputs, output_shapes describes 2", output_shapes=[(1,)] * 2, output_dtypes=[lg.float32] * 2)
    wrong(ValueError, "output_dtypes 2", output_dtypes=[lg.float32] * 2)
    wrong(ValueError, "negative size", output_shapes=[(-1,)])
    wrong(TypeError, "output_dtypes|str", output_dtypes=["float32"])
    wrong(ValueError, "three numbers", grid=(1, 1))
    wrong(ValueError, "must not be negative", grid=(1, -1, 1))
    wrong(ValueError, "threadgroup|(1024, 1024, 64)", threadgroup=(0, 1, 1))
    wrong(ValueError, "at most 1024 threads", grid=(64, 64, 1), threadgroup=(64, 32, 1))
    wrong(ValueError, "65535", grid=(1, 1 << 20, 1))
    wrong(ValueError, "identifiers|'T x'", template=[("T x", 1)])
    wrong(TypeError, "Dtype, an int or a bool, found float", template=[("T", 1.5)])
    wrong(TypeError, "pairs", template=["T"])
    wrong(TypeError, "init_value", init_value="0")
    (x,) = kernel(**given)
    assert x.item() == 1
    refuses(ValueError, "no Metal back end", lg.fast.metal_kernel("m", ["a"], ["x"], ""), inputs=[])
    """
    check(program, cache)


def test_errors_of_the_compiler_name_the_users_lines(cache):
    program = """
    refuses(RuntimeError, "cuda_kernel tried|could not be compiled|nothing|tried:3" if EMULATED else
            "cuda_kernel tried|could not be compiled|nothing|tried(3)",
            lambda: lg.eval(once("\\n\\n  x[0] = nothing;", [], [(1,)], [lg.float32])))
    refuses(RuntimeError, "tried_header", lambda: lg.eval(
        once("x[0] = 1;", [], [(1,)], [lg.float32], header="int f( { return 1; }")))
    refuses(RuntimeError, "nothing", lambda: lg.eval(once("x[0] = nothing;", [], [(1,)], [lg.float32])))
    assert (lg.ones(2) + 1).tolist() == [2, 2]        # nothing else is hurt
    """
    check("EMULATED = True\n" + dedent(program), cache)


def test_verbose_prints_the_source(cache):
    program = """
    lg.eval(once("x[0] = 42;", [], [(1,)], [lg.float32], verbose=True))
    """
    printed = run(TOOLS + dedent(program), cache)
    assert "x[0] = 42;" in printed
    assert "float* x" in printed


def test_compiled_code_that_cannot_be_loaded(cache):
    program = """
    call = dict(name="f", inputs=[lg.ones(2)], output_shapes=[(2,)], output_dtypes=[lg.float32], scalars=[1],
                grid=(2, 1, 1), threadgroup=(2, 1, 1))
    run = lg.fast.precompiled_cuda_kernel
    refuses(ValueError, "compiled_source", run, compiled_source=b"", **call)
    refuses(ValueError, "32 bits", run, compiled_source=b"x", **{**call, "scalars": [1 << 40]})
    refuses(TypeError, "scalars", run, compiled_source=b"x", **{**call, "scalars": ["a"]})
    refuses(RuntimeError, "GPU", lambda: lg.eval(run(compiled_source=b"no code, but bytes", **call)))
    assert (lg.ones(2) + 1).tolist() == [2, 2]
    """
    check(program, cache)


def test_a_lost_device_raises_and_everything_else_lives_on(cache):
    program = """
    import threading
    seen = lg.array([1.0, 2.0]) * 2
    assert seen.tolist() == [2, 4]                    # launch 1; the host has a copy
    unseen = seen + 1
    lg.eval(unseen)                                   # launch 2
    compiled = lg.compile(lambda a: lg.sum(a * 2) + a)
    (bad,) = once("x[0] = a[1 << 30];", [seen], [(1,)], [lg.float32])
    refuses(RuntimeError, "cannot be used again|tried|set_default_device(cpu)", lambda: lg.eval(bad))
    for use in (bad.tolist, unseen.tolist, (lg.ones(3) + 1).tolist, lambda: lg.eval(seen * 3),
                lambda: compiled(seen).tolist(), lambda: lg.from_dlpack(seen * 2), lambda: np.array(unseen),
                lambda: lg.eval(lg.array([7.0]) @ lg.ones((1, 2))), lambda: lg.synchronize(lg.gpu),
                lambda: repr(unseen), lambda: seen.__dlpack__()):
        refuses(RuntimeError, "GPU|cannot be used again", use)
    failures = []
    def work():
        try: lg.eval(lg.ones(5) + 2)
        except RuntimeError as e: failures.append(str(e))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert len(failures) == 4
    assert seen.tolist() == [2, 4] and np.array(seen).tolist() == [2, 4]    # the host's copy
    lg.set_default_device(lg.cpu)
    assert (seen + 1).tolist() == [3, 5] and lg.sum(lg.ones((100,))).item() == 100
    lg.clear_cache()
    print("active", lg.get_active_memory(lg.gpu) >= 0)
    """
    done = run(TOOLS + dedent(program) + "print('right')", cache, LEGATO_EMULATOR_FAIL="illegal:3")
    assert done.splitlines() == ["active True", "right"]


def test_the_page_of_the_documentation(cache):
    page = (Path(__file__).resolve().parents[2] / "docs" / "cuda_kernels.md").read_text(
        encoding="utf-8"
    )
    programs = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(programs) >= 3
    assert run("\n".join(programs) + "\nprint('right')", cache).splitlines()[-1] == "right"
