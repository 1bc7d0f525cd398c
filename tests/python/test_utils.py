"""Trees: flatten, rebuild, map, reduce, merge."""

import collections
import doctest

import pytest

import legato.core as mx
from legato import utils
from legato.utils import (
    tree_flatten,
    tree_map,
    tree_map_with_path,
    tree_merge,
    tree_reduce,
    tree_unflatten,
)

Point = collections.namedtuple("Point", "x y")
TREE = {"a": [1, {"b": None}, (2, 3)], "c": {"d": 4}, "e": {}, "f": []}
PAIRS = [("a.0", 1), ("a.1.b", None), ("a.2.0", 2), ("a.2.1", 3), ("c.d", 4)]


def test_docstrings():
    assert doctest.testmod(utils).failed == 0


def test_flatten_joins_keys_and_positions_and_keeps_none():
    assert tree_flatten(TREE) == PAIRS
    assert tree_flatten(5) == [("", 5)]
    assert tree_flatten(None) == [("", None)]
    assert tree_flatten([]) == tree_flatten({}) == []
    assert tree_flatten({1: [2]}) == [("1.0", 2)]


@pytest.mark.parametrize("prefix", ["x", ".x"])
def test_flatten_puts_a_prefix_before_every_path(prefix):
    assert tree_flatten({"a": [1]}, prefix=prefix) == [("x.a.0", 1)]
    assert tree_flatten(3, prefix=prefix) == [("x", 3)]


def test_flatten_adds_to_a_destination():
    assert tree_flatten(TREE, destination={}) == dict(PAIRS)
    pairs = [("z", 0)]
    assert tree_flatten([7], destination=pairs) is pairs
    assert pairs == [("z", 0), ("0", 7)]
    with pytest.raises(TypeError, match="destination is a set, expected a list or a dict"):
        tree_flatten([7], destination=set())


def test_flatten_stops_where_told():
    is_leaf = lambda x: isinstance(x, tuple)  # noqa: E731
    assert tree_flatten({"a": (1, 2), "b": [3]}, is_leaf=is_leaf) == [("a", (1, 2)), ("b.0", 3)]


def test_unflatten_undoes_flatten():
    tree = {"a": [1, {"b": None}, [2, 3]], "c": {"d": 4}}
    assert tree_unflatten(tree_flatten(tree)) == tree
    assert tree_unflatten(tree_flatten(tree, destination={})) == tree
    assert tree_unflatten([("", 5)]) == 5
    assert tree_unflatten([]) == []


def test_unflatten_makes_lists_of_positions_and_fills_holes():
    assert tree_unflatten([("a.10", 1), ("a.2", 2)])["a"] == [{}, {}, 2, *[{}] * 7, 1]
    assert tree_unflatten([("0", 1), ("x", 2)]) == {"0": 1, "x": 2}
    assert tree_unflatten([("-1", 1)]) == {"-1": 1}


def test_unflatten_refuses_a_position_that_would_take_all_memory():
    with pytest.raises(ValueError, match="position 99999999999 in a list of which only 1"):
        tree_unflatten([("w.99999999999", 1)])


def test_map_keeps_the_structure():
    assert tree_map(lambda x: 2, TREE) == {
        "a": [2, {"b": 2}, (2, 2)],
        "c": {"d": 2},
        "e": {},
        "f": [],
    }
    assert tree_map(lambda x: x + 1, Point(1, 2)) == Point(2, 3)
    assert type(tree_map(lambda x: x, collections.OrderedDict(a=1))) is dict


def test_map_takes_wider_trees_and_passes_subtrees():
    assert tree_map(lambda x, y: (x, y), {"a": [1]}, {"a": [2, 3], "b": 4}) == {"a": [(1, 2)]}
    assert tree_map(lambda x, s: s["m"], {"w": 1}, {"w": {"m": 5}}) == {"w": 5}


@pytest.mark.parametrize(
    ("other", "found"),
    [({"b": 1}, r"keys \['b'\]"), ([], "list of length 0"), (3, "leaf of type int")],
)
def test_map_says_which_tree_lacks_what(other, found):
    with pytest.raises(ValueError, match=f"element 'a' that tree 2 lacks, which holds a.*{found}"):
        tree_map(lambda x, y: x, {"a": 1}, other)


def test_map_with_path():
    paths = tree_map_with_path(lambda path, x: path, {"a": [1, (2, 3)]})
    assert paths == {"a": ["a.0", ("a.1.0", "a.1.1")]}
    assert tree_map_with_path(lambda path, x, y: (path, y), [1], [2], path="p") == [("p.0", 2)]
    assert tree_map_with_path(lambda path, x: path, 3) is None


def test_reduce():
    assert tree_reduce(lambda total, x: total + x, {"a": [1, 2, (3,)]}) == 6
    assert tree_reduce(lambda total, x: total + x, {"a": [1]}, 10) == 11
    assert tree_reduce(lambda total, x: [*total, x], [1, None], []) == [1, None]
    assert tree_reduce(lambda total, x: total + x, []) is None
    assert tree_reduce(lambda total, x: total + x, [], 5) == 5


def test_merge_fills_in_what_is_missing():
    assert tree_merge([1, {"a": 1}], [{}, {"b": 2}, 5]) == [1, {"a": 1, "b": 2}, 5]
    assert tree_merge([1, None], [None, 3]) == [1, 3]
    assert tree_merge({"a": {}}, {"a": 3}) == tree_merge({"a": 3}, {"a": ()}) == {"a": 3}
    assert tree_merge(None, 3) == 3


def test_merge_needs_a_function_where_both_have_something():
    assert tree_merge({"a": [1, 2]}, {"a": [3]}, lambda x, y: x + y) == {"a": [4, 2]}
    with pytest.raises(ValueError, match=r"both trees have an element at 'a.0' \(int and int\)"):
        tree_merge({"a": [1, 2]}, {"a": [3]})
    with pytest.raises(ValueError, match="merge_fn"):
        tree_merge([1], {"a": 2})


def test_arrays_are_leaves():
    x = mx.array([1.0, 2.0])
    assert tree_flatten({"x": x})[0][1] is x
    assert tree_map(lambda a: a.shape, [x]) == [(2,)]
