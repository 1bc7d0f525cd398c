"""Transforms from Python: arguments, trees, conventions of results, exceptions, state."""

import collections
import gc
import threading
import weakref

import numpy as np
import pytest

import legato.core as mx

Point = collections.namedtuple("Point", "x y")


class Oops(Exception):
    pass


def scalar(x):
    return mx.array(float(x))


# --- grad ---------------------------------------------------------------------------------------


def test_grad_returns_the_shape_of_what_was_asked_for():
    f = lambda x, y: (x * y).sum()  # noqa: E731
    x, y = mx.array([1.0, 2.0]), mx.array([3.0, 4.0])
    assert mx.grad(f)(x, y).tolist() == [3, 4]
    assert mx.grad(f, argnums=1)(x, y).tolist() == [1, 2]
    assert mx.grad(f, argnums=[1])(x, y).tolist() == [1, 2]
    both = mx.grad(f, argnums=(1, 0))(x, y)
    assert [g.tolist() for g in both] == [[3, 4], [1, 2]]
    positional, named = mx.grad(f, argnames="y")(x, y=y)
    assert positional is None
    assert named["y"].tolist() == [1, 2]
    positional, named = mx.grad(f, argnums=0, argnames=["y"])(x, y=y)
    assert positional.tolist() == [3, 4]
    assert named["y"].tolist() == [1, 2]


def test_grad_keeps_trees():
    def f(p):
        return (p["a"][0] * p["b"].x).sum() + p["b"].y

    p = {"a": [mx.array([2.0])], "b": Point(mx.array([3.0]), scalar(1)), "c": [], "d": {}}
    g = mx.grad(f)(p)
    assert g["a"][0].tolist() == [3]
    assert isinstance(g["b"], Point)
    assert g["b"].x.tolist() == [2]
    assert g["b"].y.item() == 1
    assert g["c"] == []
    assert g["d"] == {}


def test_value_and_grad_passes_the_rest_of_a_tuple_on():
    def f(x):
        y = x * x
        return y.sum(), {"y": y, "n": 3}, "text"

    x = mx.array([1.0, 2.0])
    (loss, aux, text), g = mx.value_and_grad(f)(x)
    assert loss.item() == 5
    assert aux["y"].tolist() == [1, 4]
    assert (aux["n"], text) == (3, "text")
    assert g.tolist() == [2, 4]
    value, g = mx.value_and_grad(lambda x: x.sum())(x)
    assert (value.item(), g.tolist()) == (3, [1, 1])


def test_values_may_be_read_inside_grad():
    def f(x):
        return x * 2 if x.item() > 0 else x * x.item()

    assert mx.grad(f)(scalar(3)).item() == 2
    assert mx.grad(f)(scalar(-3)).item() == -3


def test_argument_arrays_are_copies_inside_grad():
    x = mx.array([1.0, 2.0])

    def f(x):
        x += 1
        x[0] = 5.0
        return x.sum()

    mx.grad(f)(x)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mx.grad(lambda x: x)(mx.ones((2,))), r"shape \(\)"),
        (lambda: mx.grad(lambda x: x.reshape(1))(scalar(1)), r"shape \(\)"),
        (lambda: mx.grad(lambda x: 1.0)(scalar(1)), "returned float"),
        (lambda: mx.grad(lambda x: (x, x))(scalar(1)), "returned tuple"),
        (lambda: mx.value_and_grad(lambda x: [x, x])(scalar(1)), "returned list"),
        (lambda: mx.grad(lambda x: x)(1.0), "found float"),
        (lambda: mx.grad(lambda x: x["a"])({"a": None}), "found None"),
        (lambda: mx.grad(lambda x: x, argnums=-1), "negative"),
        (lambda: mx.grad(lambda x: x, argnums=[0, 0]), "twice"),
        (lambda: mx.grad(lambda x: x, argnums=[]), "both empty"),
        (lambda: mx.grad(lambda x: x, argnums=1)(scalar(1)), "argument 1"),
        (lambda: mx.grad(lambda x: x, argnames="z")(scalar(1)), "`z`"),
        (lambda: mx.grad(lambda x: x, argnames=["z", "z"]), "twice"),
    ],
)
def test_grad_refuses(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_grad_of_grad_and_mixed_nesting():
    f = lambda x: x**3  # noqa: E731
    x = scalar(2)
    assert mx.grad(mx.grad(f))(x).item() == 12
    assert mx.vmap(mx.grad(f))(mx.array([1.0, 2.0])).tolist() == [3, 12]
    assert mx.grad(lambda x: mx.vmap(f)(x).sum())(mx.array([1.0, 2.0])).tolist() == [3, 12]
    assert mx.compile(mx.grad(f))(x).item() == 12
    assert mx.grad(mx.compile(f))(x).item() == 12
    (_,), (t,) = mx.jvp(mx.grad(f), [x], [scalar(1)])
    assert t.item() == 12


# --- vjp, jvp -----------------------------------------------------------------------------------


def test_vjp_and_jvp_take_and_give_lists():
    f = lambda x, y: [x * y, x + y]  # noqa: E731
    x, y = mx.array([2.0]), mx.array([3.0])
    outputs, grads = mx.vjp(f, [x, y], [mx.array([1.0]), mx.array([10.0])])
    assert [o.tolist() for o in outputs] == [[6], [5]]
    assert [g.tolist() for g in grads] == [[13], [12]]
    outputs, tangents = mx.jvp(f, (x, y), (mx.array([1.0]), mx.array([0.0])))
    assert [t.tolist() for t in tangents] == [[3], [1]]
    assert isinstance(outputs, list)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mx.vjp(lambda x: [x, x], [scalar(1)], [scalar(1)]), ValueError),
        (lambda: mx.vjp(lambda x: x, [scalar(1)], [mx.ones((2,))]), ValueError),
        (lambda: mx.vjp(lambda x: 3, [scalar(1)], [scalar(1)]), ValueError),
        (lambda: mx.vjp(lambda x: x, scalar(1), [scalar(1)]), TypeError),
        (lambda: mx.vjp(lambda x: x, [1.0], [scalar(1)]), ValueError),
        (lambda: mx.jvp(lambda x: x, [scalar(1)], []), ValueError),
        (lambda: mx.jvp(lambda x: x, [scalar(1)], [mx.ones((2,))]), ValueError),
        (lambda: mx.vjp(3, [scalar(1)], [scalar(1)]), TypeError),
    ],
)
def test_vjp_and_jvp_refuse(call, error):
    with pytest.raises(error):
        call()


# --- vmap ---------------------------------------------------------------------------------------


def test_vmap_axes():
    x, y = mx.array(np.arange(6.0).reshape(2, 3)), mx.array([10.0, 20.0, 30.0])
    n, y_n = np.arange(6.0).reshape(2, 3), np.array([10.0, 20.0, 30.0])
    add = lambda a, b: a + b  # noqa: E731
    assert mx.vmap(add, in_axes=(0, None))(x, y).tolist() == (n + y_n).tolist()
    assert (
        mx.vmap(add, in_axes=(1, 0))(x, y).tolist() == (n.T + np.array([[10], [20], [30]])).tolist()
    )
    assert mx.vmap(add, in_axes=(-1, 0), out_axes=1)(x, y).tolist() == (n + y_n).tolist()
    assert mx.vmap(lambda a: a.sum(), in_axes=1)(x).tolist() == n.sum(0).tolist()
    assert mx.vmap(lambda a: a * 2, in_axes=(0,))(y).tolist() == [20, 40, 60]


def test_vmap_trees():
    d = {"a": mx.array([1.0, 2.0]), "b": [scalar(3)]}
    out = mx.vmap(lambda d: {"s": (d["a"] + d["b"][0], d["a"])}, in_axes={"a": 0, "b": None})(d)
    assert out["s"][0].tolist() == [4, 5]
    out = mx.vmap(lambda x: (x, x * 2), out_axes=(0, -1))(mx.ones((3, 2)))
    assert (out[0].shape, out[1].shape) == ((3, 2), (2, 3))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mx.vmap(lambda x: x, in_axes=None), TypeError),
        (lambda: mx.vmap(lambda x, y: x, in_axes=[0, 0])(mx.ones((2,)), mx.ones((2,))), ValueError),
        (
            lambda: mx.vmap(lambda x, y: x, in_axes=(0, 0, 0))(mx.ones((2,)), mx.ones((2,))),
            ValueError,
        ),
        (lambda: mx.vmap(lambda x, y: x + y)(mx.ones((2,)), mx.ones((3,))), ValueError),
        (lambda: mx.vmap(lambda x: x)(scalar(1)), (ValueError, IndexError)),
        (lambda: mx.vmap(lambda x: x, in_axes=2)(mx.ones((2,))), (ValueError, IndexError)),
        (lambda: mx.vmap(lambda x: x)(x=mx.ones((2,))), TypeError),
        (lambda: mx.vmap(lambda x: 3)(mx.ones((2,))), ValueError),
        (lambda: mx.vmap(lambda x, y: x)(mx.ones((2,)), 1.0), ValueError),
        (lambda: mx.vmap(lambda x: x, out_axes=(0, 0))(mx.ones((2,))), ValueError),
    ],
)
def test_vmap_refuses(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("transform", [mx.vmap, mx.compile], ids=["vmap", "compile"])
def test_values_cannot_be_read_inside_vmap_and_compile(transform):
    for read in (
        lambda x: x.item(), lambda x: x.tolist(), lambda x: bool(x), lambda x: np.array(x),
        lambda x: mx.eval(x), lambda x: repr(x), lambda x: float(x),
    ):  # fmt: skip

        def f(x, read=read):
            y = x * 2
            read(y)
            return y

        with pytest.raises(ValueError, match=transform.__name__):
            transform(f)(mx.array([1.0]))
    assert transform(lambda x: x * 2)(mx.array([1.0])).tolist() == [2]


# --- exceptions ---------------------------------------------------------------------------------


def raising(*_):
    raise Oops("unchanged")


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: mx.grad(f)(x),
        lambda f, x: mx.value_and_grad(f)(x),
        lambda f, x: mx.vjp(f, [x], [x]),
        lambda f, x: mx.jvp(f, [x], [x]),
        lambda f, x: mx.vmap(f)(mx.ones((2,))),
        lambda f, x: mx.compile(f)(x),
        lambda f, x: mx.checkpoint(f)(x),
        lambda f, x: mx.custom_function(f)(x),
        lambda f, x: mx.grad(mx.compile(f))(x),
        lambda f, x: mx.compile(mx.vmap(f))(mx.ones((2,))),
    ],
)
def test_exceptions_pass_through_unchanged_and_everything_still_works(call):
    x = scalar(2)
    for _ in range(2):
        with pytest.raises(Oops, match="unchanged") as info:
            call(raising, x)
        assert info.traceback[-1].name == "raising"
        assert mx.grad(lambda x: x * x)(x).item() == 4
        assert (x + 1).item() == 3


# --- compile ------------------------------------------------------------------------------------


def counted(f):
    def g(*args, **kwargs):
        g.calls += 1
        return f(*args, **kwargs)

    g.calls = 0
    return g


def test_compile_runs_the_function_once_for_each_kind_of_call():
    f = counted(lambda x, y=None, k=1: x * k if y is None else x + y)
    c = mx.compile(f)
    a, b = mx.array([1.0, 2.0]), mx.array([3.0, 4.0])
    assert c(a).tolist() == [1, 2]
    assert c(b).tolist() == [3, 4]
    assert f.calls == 1
    assert c(a, k=3).tolist() == [3, 6]
    assert c(a, k=4).tolist() == [4, 8]
    assert c(a, b).tolist() == [4, 6]
    assert c(mx.array([1, 2])).tolist() == [1, 2]
    assert c(mx.ones((3,))).tolist() == [1, 1, 1]
    assert f.calls == 6
    assert c(b, k=3).tolist() == [9, 12]
    assert f.calls == 6


def test_compile_distinguishes_trees_and_constants():
    f = counted(lambda t: t)
    c = mx.compile(f)
    x = mx.array([1.0])
    for t in (
        [x, 1],
        (x, 1),
        [x, 1.0],
        [x, True],
        [x, None],
        [x, "s"],
        {"a": x},
        {"b": x},
        Point(x, x),
    ):
        out = c(t)
        assert type(out) is type(t)
        out = c(t)
    assert f.calls == 9
    with pytest.raises(ValueError, match="object"):
        c(object())


def test_constants_of_a_compiled_function_outlive_its_runs():
    x = mx.array([1.0, 2.0, 3.0])
    for constant in (lambda: mx.arange(3.0) * 2, lambda: 0 * mx.random.normal((3,))):
        f = mx.compile(lambda x, constant=constant: x + constant())
        first = f(x).tolist()
        assert [f(x).tolist() for _ in range(3)] == [first] * 3
    g = mx.compile(lambda x: mx.sort(mx.arange(3.0) * -1) + x)
    assert [g(x).tolist() for _ in range(3)] == [[-1, 1, 3]] * 3


def test_compile_returns_constants_as_they_were():
    assert mx.compile(lambda x: (x, 3, "s", None, [x, {"a": 2.5}]))(scalar(1))[1:4] == (
        3,
        "s",
        None,
    )
    assert mx.compile(lambda: None)() is None
    assert mx.compile(lambda x: x)(3) == 3


def test_captured_arrays_are_frozen_unless_listed():
    w = mx.array([1.0])
    c = mx.compile(lambda x: x + w)
    assert c(scalar(1)).tolist() == [2]
    w += 1
    assert c(scalar(1)).tolist() == [2]
    listed = mx.compile(lambda x: x + w, inputs=[w])
    assert listed(scalar(1)).tolist() == [3]
    w += 1
    assert listed(scalar(1)).tolist() == [4]


def test_state_is_read_and_written():
    state = {"w": mx.array([1.0]), "n": [scalar(0)]}

    def step(x):
        state["w"] = state["w"] - 0.5 * x
        state["n"][0] = state["n"][0] + 1
        return (state["w"] * x).sum()

    f = counted(step)
    c = mx.compile(f, inputs=state, outputs=state)
    for i in range(1, 5):
        c(mx.array([2.0]))
        assert state["w"].tolist() == [1 - i]
        assert state["n"][0].item() == i
    assert f.calls == 1


def test_state_that_grows_in_the_first_call():
    params, momentum = {"w": mx.array([1.0])}, {}
    state = [params, momentum]

    def step(g):
        if "v" not in momentum:
            momentum["v"] = mx.zeros_like(params["w"])
        momentum["v"] = 0.5 * momentum["v"] + g
        params["w"] = params["w"] - momentum["v"]

    f = counted(step)
    c = mx.compile(f, inputs=state, outputs=state)
    w, v = 1.0, 0.0
    for _ in range(4):
        c(mx.array([1.0]))
        v = 0.5 * v + 1
        w -= v
        assert momentum["v"].tolist() == [v]
        assert params["w"].tolist() == [w]
    assert f.calls == 2


def test_in_place_changes_of_state_keep_the_object():
    w = mx.array([1.0])
    state = [w]

    def step():
        state[0] += 1

    c = mx.compile(step, inputs=state, outputs=state)
    c()
    c()
    assert state[0] is w
    assert w.tolist() == [3]


def test_untouched_state_keeps_its_objects():
    a, b = mx.array([1.0]), mx.array([2.0])
    state = {"a": a, "b": b}

    def step():
        state["b"] = state["b"] + 1

    c = mx.compile(step, inputs=state, outputs=state)
    c()
    assert state["a"] is a
    assert state["b"] is not b
    assert b.tolist() == [2]


def test_an_exception_leaves_state_as_it_was():
    w = mx.array([1.0])
    state = {"w": w, "l": [w]}

    def step(x):
        state["w"] = state["w"] + x
        state["new"] = x
        state["l"].append(x)
        w.__iadd__(x)
        raise Oops

    c = mx.compile(step, inputs=state, outputs=state)
    with pytest.raises(Oops):
        c(mx.array([1.0]))
    assert state == {"w": w, "l": [w]}
    assert w.tolist() == [1]


def test_output_containers_fill_without_leaking():
    log = []

    def f(x):
        y = x * 2
        log.append(y)
        return y

    c = mx.compile(f, outputs=log)
    c(scalar(1))
    assert [v.item() for v in log] == [2]


def test_leaked_tracers_raise_and_name_the_transform():
    leaked = []

    def f(x):
        leaked.append(x * 2)
        return x

    mx.compile(f)(scalar(1))
    with pytest.raises(ValueError, match="compile"):
        leaked[0].item()


def test_shapeless_compile():
    f = counted(lambda x: (x * 2).sum(axis=-1))
    c = mx.compile(f, shapeless=True)
    assert c(mx.ones((2, 3))).tolist() == [6, 6]
    assert c(mx.ones((4, 5))).tolist() == [10] * 4
    assert f.calls == 1
    assert c(mx.ones((2,))).item() == 4
    assert f.calls == 2


def test_disable_compile():
    f = counted(lambda x: x + 1)
    c = mx.compile(f)
    mx.disable_compile()
    try:
        c(scalar(1))
        c(scalar(1))
        assert f.calls == 2
    finally:
        mx.enable_compile()
    c(scalar(1))
    c(scalar(1))
    assert f.calls == 3


def test_many_shapes_do_not_pile_up():
    c = mx.compile(lambda x: x + 1)
    for n in range(300):
        assert c(mx.zeros((n,))).shape == (n,)


def test_transformed_functions_look_like_functions():
    def f(x):
        """Doc."""
        return x

    for g in (mx.compile(f), mx.grad(f), mx.vmap(f), mx.checkpoint(f)):
        assert (g.__name__, g.__doc__, g.__wrapped__) == ("f", "Doc.", f)

    class Model:
        @staticmethod
        @mx.compile
        def triple(x):
            return x * 3

    assert Model.triple(scalar(2)).item() == 6


def test_transforms_are_collected_with_their_functions():
    class Big:
        pass

    big = Big()
    dead = weakref.ref(big)

    def make(big):
        def f(x):
            return big and compiled and x

        compiled = mx.compile(mx.grad(f))  # a cycle

    make(big)
    del big
    gc.collect()
    assert dead() is None


def test_compiled_functions_are_collected_with_their_state():
    class Box(dict):
        pass

    state = Box(w=mx.array([1.0]))
    dead = weakref.ref(state)

    def step():
        state["w"] = state["w"] + 1
        state["list"] = [state["w"], Box]
        return state

    state.step = mx.compile(step, inputs=state, outputs=state)
    for _ in range(3):
        state.step()
    assert state["w"].tolist() == [4]
    state = step = None
    gc.collect()
    assert dead() is None


# --- checkpoint, custom_function, stop_gradient -------------------------------------------------


def test_checkpoint_keeps_values_and_gradients():
    def f(p, scale=1.0):
        return {"y": mx.exp(p["x"]).sum() * scale}

    g = mx.checkpoint(f)
    p = {"x": mx.array([0.0, 1.0])}
    assert g(p, scale=2.0)["y"].item() == pytest.approx(f(p, scale=2.0)["y"].item())
    d = mx.grad(lambda p: g(p, scale=2.0)["y"])(p)["x"]
    assert d.tolist() == pytest.approx([2.0, 2 * np.e], rel=1e-6)


def test_custom_vjp_sees_the_arguments_as_given():
    seen = {}

    @mx.custom_function
    def f(x, y):
        return x * y, x + y

    @f.vjp
    def f_vjp(primals, cotangents, outputs):
        seen["types"] = (type(primals), type(cotangents), type(outputs))
        return cotangents[0] * 100, None

    x, y = scalar(2), scalar(3)
    out = f(x, y)
    assert [o.item() for o in out] == [6, 5]
    g = mx.grad(lambda x, y: f(x, y)[0], argnums=(0, 1))(x, y)
    assert [d.item() for d in g] == [100, 0]
    assert seen["types"] == (tuple, tuple, tuple)

    @mx.custom_function
    def h(d):
        return d["a"] * 2

    @h.vjp
    def h_vjp(d, cotangent, output):
        assert isinstance(d, dict)
        return {"a": cotangent * 7, "b": cotangent}

    assert mx.grad(lambda a: h({"a": a, "b": a}))(scalar(1)).item() == 8


def test_custom_jvp_and_vmap():
    @mx.custom_function
    def f(x, y):
        return x * y

    @f.jvp
    def f_jvp(primals, tangents):
        assert tangents[1] is None
        return tangents[0] * 10

    @f.vmap
    def f_vmap(inputs, axes):
        assert axes == (0, None)
        return inputs[0] * 0 + 5, 0

    (_,), (t,) = mx.jvp(lambda x: f(x, scalar(3)), [scalar(2)], [scalar(1)])
    assert t.item() == 10
    assert mx.vmap(lambda x: f(x, scalar(3)))(mx.ones((2,))).tolist() == [5, 5]
    assert mx.grad(lambda x: f(x, scalar(3)))(scalar(2)).item() == 3


@pytest.mark.parametrize("result", [3, (scalar(1),), "x"])
def test_custom_rules_that_return_rubbish_are_named(result):
    f = mx.custom_function(lambda x, y: x * y)
    f.vjp(lambda *_: result)
    with pytest.raises(ValueError, match="vjp rule"):
        mx.grad(lambda x: f(x, scalar(1)))(scalar(2))
    with pytest.raises(TypeError):
        f.jvp(3)


def test_stop_gradient():
    assert mx.grad(lambda x: x * mx.stop_gradient(x))(scalar(3)).item() == 3


# --- eval and threads ---------------------------------------------------------------------------


def test_eval_walks_trees_and_ignores_the_rest():
    x = mx.array([1.0]) + 1
    mx.eval([x, {"a": (x, None, "s", 3)}], x, 5)
    mx.async_eval({"x": x * 2})
    mx.eval()
    cyclic = []
    cyclic.append(cyclic)
    with pytest.raises(RecursionError):
        mx.eval(cyclic)


def test_transforms_from_several_threads():
    results, c = [], mx.compile(lambda x: (x * 2).sum())

    def work():
        for i in range(50):
            x = mx.full((10,), float(i))
            assert mx.grad(lambda x: (x * x).sum())(x).tolist() == [2.0 * i] * 10
            assert c(x).item() == 20 * i
        results.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 4
