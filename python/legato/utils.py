"""Trees of lists, tuples and dicts: flatten, rebuild, map, reduce and merge them.

A tree is any nesting of lists, tuples and dicts (a `nn.Module` is a dict); whatever else it holds is a leaf,
`None` included. The path of a leaf joins dict keys and list positions with dots: `layers.0.weight`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # spelled out, so that importing Legato does not import `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = [
    "tree_flatten",
    "tree_map",
    "tree_map_with_path",
    "tree_merge",
    "tree_reduce",
    "tree_unflatten",
]

# A path such as `w.1000000000` may come from a file; it must not make a list of that length.
_MAX_LIST_HOLES = 1 << 20


def _rebuild(like: Any, items: list[Any]) -> Any:
    """A sequence of the type of `like` (list, tuple or named tuple) that holds `items`."""
    kind = type(like)
    return kind(*items) if hasattr(kind, "_fields") else kind(items)


def _descend(rest: tuple[Any, ...], key: Any) -> list[Any]:
    """The child `key` of every tree in `rest`."""
    out = []
    for position, tree in enumerate(rest):
        try:
            out.append(tree[key])
        except (KeyError, IndexError, TypeError):
            if isinstance(tree, dict):
                found = f"a dict with keys {list(tree)[:8]}"
            elif isinstance(tree, (list, tuple)):
                found = f"a {type(tree).__name__} of length {len(tree)}"
            else:
                found = f"a leaf of type {type(tree).__name__}"
            raise ValueError(
                f"The first tree has an element {key!r} that tree {position + 2} lacks, which holds {found}; "
                "every further tree needs at least the structure of the first."
            ) from None
    return out


def tree_map(
    fn: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """Applies `fn` to every leaf and returns a tree of the results.

    Args:
        fn: Called as `fn(leaf, *matching elements of rest)`.
        tree: The tree whose structure decides. Dicts of any type become plain dicts.
        *rest: Further trees that have at least the structure of `tree`; what stands at the place of a leaf,
            leaf or subtree, is passed whole.
        is_leaf: Says of a list, tuple or dict whether it is to be taken as a leaf.

    Raises:
        ValueError: if a tree of `rest` lacks an element that `tree` has.

    >>> tree_map(lambda x: 2 * x, {"a": [1, (2, 3)]})
    {'a': [2, (4, 6)]}
    >>> tree_map(lambda x, y: x + y, [1, 2], [10, 20, 30])
    [11, 22]
    """
    if is_leaf is not None and is_leaf(tree):
        return fn(tree, *rest)
    if isinstance(tree, (list, tuple)):
        items = [
            tree_map(fn, child, *_descend(rest, i), is_leaf=is_leaf) for i, child in enumerate(tree)
        ]
        return _rebuild(tree, items)
    if isinstance(tree, dict):
        return {k: tree_map(fn, v, *_descend(rest, k), is_leaf=is_leaf) for k, v in tree.items()}
    return fn(tree, *rest)


def tree_map_with_path(
    fn: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[[Any], bool] | None = None,
    path: Any = None,
) -> Any:
    """Applies `fn` to every leaf and its path, and returns a tree of the results.

    Args:
        fn: Called as `fn(path, leaf, *matching elements of rest)`.
        tree: The tree whose structure decides, as in `tree_map`.
        *rest: Further trees, as in `tree_map`.
        is_leaf: Says of a list, tuple or dict whether it is to be taken as a leaf.
        path: What to put before every path. The path of a tree that is one bare leaf is this argument.

    Raises:
        ValueError: if a tree of `rest` lacks an element that `tree` has.

    >>> tree_map_with_path(lambda path, x: f"{path}={x}", {"a": [1, 2]})
    {'a': ['a.0=1', 'a.1=2']}
    """
    if is_leaf is not None and is_leaf(tree):
        return fn(path, tree, *rest)
    before = f"{path}." if path else ""
    if isinstance(tree, (list, tuple)):
        items = [
            tree_map_with_path(fn, child, *_descend(rest, i), is_leaf=is_leaf, path=f"{before}{i}")
            for i, child in enumerate(tree)
        ]
        return _rebuild(tree, items)
    if isinstance(tree, dict):
        return {
            k: tree_map_with_path(fn, v, *_descend(rest, k), is_leaf=is_leaf, path=f"{before}{k}")
            for k, v in tree.items()
        }
    return fn(path, tree, *rest)


def tree_flatten(
    tree: Any,
    prefix: str = "",
    is_leaf: Callable[[Any], bool] | None = None,
    destination: list[tuple[str, Any]] | dict[str, Any] | None = None,
) -> Any:
    """Lists the leaves of a tree with their paths, in order.

    Args:
        tree: Any tree. A bare leaf has the path `prefix`; empty containers vanish.
        prefix: What to put before every path (a leading dot is ignored).
        is_leaf: Says of a list, tuple or dict whether it is to be taken as a leaf.
        destination: A list or dict to add to; a dict asks for `{path: leaf}` instead of pairs.

    Returns:
        A list of pairs `(path, leaf)`, or `destination`.

    Raises:
        TypeError: if `destination` is neither a list nor a dict.

    >>> tree_flatten({"a": [1, {"b": None}]})
    [('a.0', 1), ('a.1.b', None)]
    >>> tree_flatten([5, 6], prefix="x", destination={})
    {'x.0': 5, 'x.1': 6}
    """
    pairs: list[tuple[str, Any]] = []

    _add_leaves(tree, f".{prefix.removeprefix('.')}" if prefix else "", is_leaf, pairs)
    if destination is None:
        return pairs
    if isinstance(destination, dict):
        destination.update(pairs)
    elif isinstance(destination, list):
        destination.extend(pairs)
    else:
        raise TypeError(
            f"tree_flatten: destination is a {type(destination).__name__}, expected a list or a dict."
        )
    return destination


# A function within tree_flatten that calls itself would be a cycle of references, and keep the leaves until Python
# collects its garbage.
def _add_leaves(
    node: Any, path: str, is_leaf: Callable[[Any], bool] | None, pairs: list[tuple[str, Any]]
) -> None:
    if is_leaf is None or not is_leaf(node):
        if isinstance(node, (list, tuple)):
            for i, child in enumerate(node):
                _add_leaves(child, f"{path}.{i}", is_leaf, pairs)
            return
        if isinstance(node, dict):
            for key, child in node.items():
                _add_leaves(child, f"{path}.{key}", is_leaf, pairs)
            return
    pairs.append((path[1:], node))  # without the leading dot


def tree_unflatten(tree: Iterable[tuple[str, Any]] | dict[str, Any]) -> Any:
    """Builds the tree that `tree_flatten` would turn into these paths and leaves.

    Args:
        tree: Pairs `(path, leaf)`, or a dict from path to leaf. Where all names of one level are digits they are
            positions of a list (missing ones are filled with `{}`), else keys of a dict.

    Raises:
        ValueError: if the positions of a list leave more than a million holes.

    >>> tree_unflatten([("a.0", 1), ("a.1.b", 2)])
    {'a': [1, {'b': 2}]}
    >>> tree_unflatten({"": 3})
    3
    """
    pairs = list(tree.items() if isinstance(tree, dict) else tree)
    if not pairs:
        return []
    if len(pairs) == 1 and pairs[0][0] == "":
        return pairs[0][1]

    children: dict[str, list[tuple[str, Any]]] = {}
    for path, leaf in pairs:
        name, _, below = path.partition(".")
        children.setdefault(name, []).append((below, leaf))
    if not all(name.isascii() and name.isdigit() for name in children):
        return {name: tree_unflatten(below) for name, below in children.items()}

    by_position = {int(name): below for name, below in children.items()}
    length = max(by_position) + 1
    if length - len(by_position) > _MAX_LIST_HOLES:
        raise ValueError(
            f"tree_unflatten: position {length - 1} in a list of which only {len(by_position)} elements are given."
        )
    return [tree_unflatten(by_position[i]) if i in by_position else {} for i in range(length)]


def tree_reduce(
    fn: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = None,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """Combines all leaves, from left to right, into one value.

    Args:
        fn: Called as `fn(value so far, leaf)`.
        tree: Any tree.
        initializer: The first value; without it the first leaf is.
        is_leaf: Says of a list, tuple or dict whether it is to be taken as a leaf.

    Returns:
        The last value; of a tree without leaves `initializer`.

    >>> tree_reduce(lambda total, x: total + x, {"a": [1, 2], "b": 3}, 0)
    6
    """
    value = initializer
    first = initializer is None
    for _, leaf in tree_flatten(tree, is_leaf=is_leaf):
        value = leaf if first else fn(value, leaf)
        first = False
    return value


def tree_merge(
    tree_a: Any,
    tree_b: Any,
    merge_fn: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """Joins two trees; `None` and empty containers give way to what the other tree has.

    Args:
        tree_a: The first tree. Dicts join by key, lists and tuples by position.
        tree_b: The second tree.
        merge_fn: Called as `merge_fn(a, b)` where both trees have something at a place.

    Raises:
        ValueError: if both have something at a place and there is no `merge_fn`.

    >>> tree_merge({"a": 1, "l": [{}, 5]}, {"b": 2, "l": [4]})
    {'a': 1, 'l': [4, 5], 'b': 2}
    """
    return _merge(tree_a, tree_b, merge_fn, "")


def _is_nothing(tree: Any) -> bool:
    return tree is None or (isinstance(tree, (list, tuple, dict)) and len(tree) == 0)


def _merge(a: Any, b: Any, merge_fn: Callable[[Any, Any], Any] | None, path: str) -> Any:
    if _is_nothing(a):
        return b
    if _is_nothing(b):
        return a
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        shared = min(len(a), len(b))
        items = [_merge(a[i], b[i], merge_fn, f"{path}.{i}") for i in range(shared)]
        return _rebuild(a, [*items, *a[shared:], *b[shared:]])
    if isinstance(a, dict) and isinstance(b, dict):
        merged = dict(a)
        for key, value in b.items():
            merged[key] = _merge(a[key], value, merge_fn, f"{path}.{key}") if key in a else value
        return merged
    if merge_fn is None:
        raise ValueError(
            f"tree_merge: both trees have an element at '{path[1:]}' ({type(a).__name__} and {type(b).__name__}); "
            "pass merge_fn to combine them."
        )
    return merge_fn(a, b)
