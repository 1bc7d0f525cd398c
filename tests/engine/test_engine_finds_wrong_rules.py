"""The engine catches wrong rules: each test plants one and sees the mode that must find it do so.

The planted ops are made of right ones by custom functions with one wrong rule, through `call=`; the last
test of each kind gives the right rule and sees no complaint. Rules planted in C++ records are in
tests/cpp/test_planted_rules.cpp.
"""

import cells
import modes
import numpy as np
import pytest
from use import Mismatch, Use

import legato.core as core
from legato import testing
from legato.testing import case, distinct, error, integers, normal, rounding, uniform


@pytest.fixture(autouse=True)
def rows_of_their_own(monkeypatch):
    monkeypatch.setattr(testing, "_rows", [])


def caught(row, mode):
    """What the engine says of the row in a mode; "" if nothing."""
    try:
        cells.run(core, row.op, [row], mode, everything=False)
    except Mismatch as mismatch:
        return str(mismatch)
    return ""


def sine(partial):
    """sin with a derivative of the caller's choice."""

    @core.custom_function
    def f(x):
        return core.sin(x)

    @f.vjp
    def f_vjp(primals, cotangents, outputs):
        x, ct = (p[0] if isinstance(p, (list, tuple)) else p for p in (primals, cotangents))
        return ct * partial(x)

    return case("planted_sin", [normal()], pointwise=True, reference=np.sin, call=lambda _, x: f(x))


def test_a_right_partial_is_not_complained_about():
    row = sine(core.cos)
    assert caught(row, "vjp") == ""
    assert caught(row, "vjp_of_vjp") == ""


def test_a_wrong_partial_is_caught():
    message = caught(sine(lambda x: -core.cos(x)), "vjp")
    assert "planted_sin, vjp, float32, contiguous" in message
    assert (
        "./dev python tests/engine planted_sin --row 0 --mode vjp --dtype float32 --layout contiguous"
        in message
    )


def test_a_partial_that_is_off_by_one_part_in_ten_thousand_is_caught():
    assert caught(sine(lambda x: core.cos(x) * 1.0001), "vjp")


def test_a_partial_whose_own_derivative_is_lost_is_caught():
    row = sine(lambda x: core.stop_gradient(core.cos(x)))
    assert caught(row, "vjp") == ""
    assert caught(row, "vjp_of_vjp")
    assert caught(row, "jvp_of_vjp")


def test_a_jvp_that_is_no_transpose_of_the_vjp_is_caught():
    @core.custom_function
    def f(x):
        return core.square(x)

    @f.jvp
    def f_jvp(primals, tangents):
        x, t = (p[0] if isinstance(p, (list, tuple)) else p for p in (primals, tangents))
        return x * t  # the 2 is missing

    row = case(
        "planted_square", [normal()], pointwise=True, reference=np.square, call=lambda _, x: f(x)
    )
    assert caught(row, "jvp")


def batched_sum(axis_of):
    """Sum over the last axis with a batching rule of the caller's choice."""

    @core.custom_function
    def f(x):
        return core.sum(x, axis=-1)

    @f.vmap
    def f_vmap(inputs, axes):
        x, axis = (p[0] if isinstance(p, (list, tuple)) else p for p in (inputs, axes))
        return core.sum(core.moveaxis(x, axis, 0), axis=axis_of), 0

    return case(
        "planted_sum",
        [normal(3, 3)],
        reference=lambda x: x.sum(-1),
        call=lambda _, x: f(x),
        tol=rounding(3, "abs"),
    )


def test_a_right_batch_rule_is_not_complained_about():
    assert caught(batched_sum(-1), "vmap") == ""


def test_a_wrong_batch_rule_is_caught_although_its_shapes_are_right():
    assert "over axis 0 of all inputs" in caught(batched_sum(1), "vmap")


def test_equality_that_ignores_an_attribute_is_caught():
    made = {}

    def logarithm(_, x, base):
        # As if nodes of the same op and input were merged without a look at their attributes.
        if made.get("input") is not x:
            made.update(input=x, output=core.log(x) / float(np.log(base)))
        return made["output"]

    def reference(x, base):
        return np.log(x) / np.log(base)

    def row(base, call):
        positive = uniform(low=0.5, high=4)
        tol = rounding(8)
        return case(
            "planted_log",
            [positive],
            dict(base=base),
            reference=reference,
            call=call,
            pointwise=True,
            tol=tol,
        )

    def compiled_together(call):
        uses = [Use(core, row(base, call), "float32", "contiguous") for base in (2.0, 10.0)]
        modes.together(uses)

    compiled_together(lambda _, x, base: core.log(x) / float(np.log(base)))
    with pytest.raises(Mismatch, match=r"planted_log \{'base': 10.0\}, compiled with 1 others"):
        compiled_together(logarithm)


def test_a_wrong_dtype_rule_is_caught():
    row = case(
        "planted_exp",
        [normal()],
        pointwise=True,
        reference=np.exp,
        dtypes="int32 float16",
        out="float",
    )
    right = Use(core, row, "int32", "contiguous")
    modes.eager(Use(core, case(**_exp(core.exp)), "int32", "contiguous"))
    assert right.out == ["float32"]
    wrong = case(**_exp(lambda x: core.exp(x).astype(core.float32)))
    assert "data type float32, expected float16" in caught(wrong, "eager")


def _exp(function):
    return {
        "op": "planted_exp",
        "inputs": [normal()],
        "pointwise": True,
        "reference": np.exp,
        "dtypes": "float16 int32",
        "out": "float",
        "call": lambda _, x: function(x),
    }


def test_a_result_in_the_wrong_type_of_two_mixed_inputs_is_caught():
    row = case(
        "planted_add",
        [normal(), normal()],
        pointwise=True,
        reference=np.add,
        dtypes="float16 float32 int32",
        call=lambda _, a, b: (a + b).astype(a.dtype),
    )
    assert caught(row, "eager") == ""
    assert "data type" in caught(row, "mixed")


def in_memory_order(x):
    """What a kernel reads that takes its input for row-major."""
    v = np.asarray(x)
    at = np.argsort([-abs(s) for s in v.strides], kind="stable")
    return v.transpose(at).ravel()[: v.size].reshape(v.shape)


def test_a_kernel_that_ignores_strides_is_caught():
    def call(_, x):
        return core.array(in_memory_order(x)) * 2

    row = case(
        "planted_double", [normal(3, 5)], reference=lambda x: 2 * x, call=call, dtypes="float32"
    )
    message = caught(row, "eager")
    assert "planted_double, eager, float32, transposed" in message
    assert "contiguous" not in message


def test_a_kernel_that_is_wrong_in_its_tail_is_caught():
    def call(_, x):
        return core.where(core.arange(x.size).reshape(x.shape) < x.size // 8 * 8, core.abs(x), x)

    row = case(
        "planted_abs", [normal()], pointwise=True, reference=np.abs, call=call, specials=False
    )
    assert "odd" in caught(row, "eager")


def test_a_value_of_the_first_call_that_stays_in_the_compiled_function_is_caught():
    seen = {}

    def call(_, x):
        return x * 0 + seen.setdefault("first", core.array(row_values))

    row = case("planted_baked", [normal(3, 5)], reference=lambda x: x, call=call, dtypes="float32")
    row_values = Use(core, row, "float32", "contiguous").draw()[0].astype(np.float32)
    message = caught(row, "compiled")
    assert "call 2" in message
    assert "call 1: " not in message.split("transposed")[0]


def test_a_wrong_answer_for_nan_is_caught_and_names_the_input():
    row = case(
        "planted_max",
        [normal(), normal()],
        pointwise=True,
        reference=np.maximum,
        call=lambda mx, a, b: mx.where(a > b, a, b),
    )
    assert "of nan, " in caught(row, "specials")


def test_a_wrong_tie_of_indices_is_caught():
    row = case(
        "argmax",
        [distinct(4, 5)],
        dict(axis=0),
        out="uint32",
        call=lambda mx, a, axis: mx.argmin(a, axis=axis),
    )
    assert caught(row, "eager")


def test_a_wrong_shape_is_caught():
    row = case(
        "planted_row", [integers(3, 4)], result_shape=(4,), call=lambda mx, a: a[:1], dtypes="int32"
    )
    assert "expected (4,)" in caught(row, "eager")


def test_an_error_that_is_not_raised_or_says_something_else_is_caught():
    silent = error("planted", [normal(3)], match="axis", call=lambda mx, a: a)
    assert "was not refused" in cells.refused(core, silent)
    vague = error(
        "planted",
        [normal(3)],
        dict(axis=7),
        match="shape of the moon",
        raises=(ValueError, IndexError),
        call=lambda mx, a, axis: mx.sum(a, axis=axis),
    )
    assert "does not match" in cells.refused(core, vague)
    wrong_type = error(
        "planted",
        [normal(3)],
        dict(axis=7),
        match="axis",
        raises=KeyError,
        call=lambda mx, a, axis: mx.sum(a, axis=axis),
    )
    assert "expected" in cells.refused(core, wrong_type)
