"""Functions made from records: argument rules, errors, signatures."""

import inspect
import pickle

import numpy as np
import pytest

import legato.core as mx

A = mx.array([[1.0, 2.0], [3.0, 4.0]])


def test_positional_keyword_and_default_arguments():
    assert mx.sum(A).item() == 10
    assert (
        mx.sum(A, 0).tolist()
        == mx.sum(A, axis=0).tolist()
        == mx.sum(A, axis=[0]).tolist()
        == [4, 6]
    )
    assert mx.sum(A, axis=(0, 1), keepdims=True).shape == (1, 1)
    assert mx.sum(A, axis=()).tolist() == A.tolist()
    assert mx.sum(A, None, True).shape == (1, 1)
    assert mx.softmax(A, axis=-1, precise=True).shape == (2, 2)


def test_numbers_and_numpy_stand_for_arrays():
    assert mx.exp(0.0).item() == 1
    assert mx.sum(np.ones(3)).item() == 3
    assert mx.sum([1.0, 2.0]).item() == 3
    assert mx.add(1, 2).dtype == mx.int32
    assert mx.add(1, 2**40).dtype == mx.int64
    assert mx.sum(A, axis=np.int64(0)).tolist() == [4, 6]
    assert mx.add(np.ones(2), A).dtype == mx.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mx.sum(), "`array`|`a` is missing"),
        (lambda: mx.sum(A, bogus=1), "sum: has no parameter `bogus`"),
        (lambda: mx.sum(A, 0, False, 1), "sum: takes at most 3 positional"),
        (lambda: mx.sum(A, 0, axis=1), "`axis` is given twice"),
        (
            lambda: mx.sum(A, axis=0.5),
            "sum: argument `axis` must be None or an int or a sequence of ints, found float",
        ),
        (lambda: mx.sum(A, axis="x"), "found str"),
        (lambda: mx.sum(A, keepdims=1), "`keepdims` must be True or False, found int"),
        (lambda: mx.sum(None), "found None"),
        (lambda: mx.exp(A, A), "at most 1 positional"),
        (lambda: mx.exp(a=A), "no parameter `a`|is missing"),
        (lambda: mx.exp(object()), "must be an array, found object"),
        (lambda: mx.add(A, None), "add: argument `b` must be an array or a number, found None"),
        (lambda: mx.softmax(A, -1, True), "at most 2 positional"),
        (lambda: mx.concatenate(3), "list or tuple of arrays"),
        (lambda: mx.concatenate([A, None]), "item 1 must be an array, found None"),
        (lambda: mx.astype(A, "float32"), "must be a Dtype"),
        (lambda: mx.exp(A, stream="cpu"), "exp: `stream` must be a Stream"),
    ],
)
def test_wrong_calls_name_function_parameter_and_what_was_found(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_streams_and_devices_are_accepted_everywhere():
    for s in (None, mx.cpu, mx.Device(mx.cpu), mx.default_stream(mx.cpu), mx.new_stream(mx.cpu)):
        assert mx.add(A, 1, stream=s).tolist() == [[2, 3], [4, 5]]
    assert A.sum(stream=mx.cpu).item() == 10
    assert A.astype(mx.int32, mx.cpu).dtype == mx.int32
    assert mx.diagonal(A, 0, 0, 1, mx.cpu).tolist() == [1, 4]
    with mx.stream(mx.new_stream(mx.cpu)):
        assert (A + 1).sum().item() == 14


def test_functions_describe_themselves():
    assert mx.sum.__name__ == "sum"
    assert mx.sum.__module__ == "legato.core"
    assert "sum" in repr(mx.sum)
    assert mx.sum.__doc__
    signature = inspect.signature(mx.sum)
    assert list(signature.parameters)[1:] == ["axis", "keepdims", "stream"]
    assert signature.parameters["keepdims"].default is False
    assert signature.parameters["stream"].kind is inspect.Parameter.KEYWORD_ONLY
    assert inspect.signature(mx.zeros).parameters["dtype"].default == mx.float32
    assert pickle.loads(pickle.dumps(mx.sum)) is mx.sum


def test_functions_do_not_bind_and_methods_do():
    class Layer:
        activation = mx.exp

    assert Layer().activation(mx.array(0.0)).item() == 1
    bound = A.sum
    assert bound().item() == 10


def test_every_record_can_be_described():
    for name, f in list(vars(mx).items()):
        if type(f).__name__ == "Function":
            assert inspect.signature(f), name
            assert f.__doc__, name
