"""The base class of all layers and models."""

from __future__ import annotations

import legato.core as mx
from legato.utils import tree_flatten, tree_unflatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Self

    Filter = Callable[["Module", str, Any], bool]

__all__ = ["Module"]


class Module(dict):
    """A layer or model: a dict of its parameters and of the modules it is made of.

    Write a model as a subclass that makes its parts in `__init__` and uses them in `__call__`. Attributes that are
    arrays, modules, lists, tuples or dicts live in the dict, the rest are plain attributes. Parameters are the arrays
    found in it and in the modules, lists and dicts below, unless a name starts with an underscore (tuples are not
    searched). `parameters()` is therefore a tree, as `legato.utils` and the transforms take it, and the module is one
    itself: `mx.eval(model)` evaluates all of it.

    >>> class Mlp(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = mx.array(2.0)
    ...     def __call__(self, x):
    ...         return self.scale * x
    >>> Mlp().parameters()
    {'scale': array(2, dtype=float32)}
    """

    _no_grad: set[str]
    _training: bool

    if TYPE_CHECKING:
        __call__: Callable[..., Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Makes the bookkeeping here, so that a subclass may set attributes before `super().__init__()`."""
        self = super().__new__(cls)
        object.__setattr__(self, "_no_grad", set())
        object.__setattr__(self, "_training", True)
        return self

    def __init__(self) -> None:
        """Starts a module without parameters, in training mode."""
        super().__init__()

    # -- attributes ---------------------------------------------------------------------------

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(
                f"'{type(self).__name__}' object has no attribute '{key}'"
            ) from None

    def __setattr__(self, key: str, val: Any) -> None:
        if isinstance(val, (mx.array, dict, list, tuple)):
            inherited = getattr(type(self), key, None)
            if inherited is not None and not hasattr(type(inherited), "__set__"):
                # Python would find the class's attribute first, and never this one.
                raise AttributeError(
                    f"'{type(self).__name__}' has a class attribute or method '{key}', which would hide the "
                    f"{type(val).__name__} stored under this name; choose another name."
                )
            self.__dict__.pop(key, None)
            self[key] = val
        else:
            super().__setattr__(key, val)
            self.pop(key, None)

    def __delattr__(self, name: str) -> None:
        if name in self:
            del self[name]
        else:
            super().__delattr__(name)

    # -- printing -----------------------------------------------------------------------------

    def _extra_repr(self) -> str:
        """What stands in the parentheses of the module's repr; for subclasses to override."""
        return ""

    def __repr__(self) -> str:
        children = tree_flatten(self.children(), is_leaf=self.is_module)
        text = f"{type(self).__name__}({self._extra_repr()}"
        for path, child in children:
            text += f"\n  ({path}): " + repr(child).replace("\n", "\n  ")
        return text + ("\n)" if children else ")")

    # -- walking ------------------------------------------------------------------------------

    @staticmethod
    def is_module(value: Any) -> bool:
        """Whether `value` is a module."""
        return isinstance(value, Module)

    @staticmethod
    def valid_child_filter(module: Module, key: str, value: Any) -> bool:
        """Whether an element may hold modules: it is one, a dict or a list."""
        return isinstance(value, (dict, list))

    @staticmethod
    def valid_parameter_filter(module: Module, key: str, value: Any) -> bool:
        """Whether an element is or may hold parameters: an array, module, dict or list without leading underscore."""
        return isinstance(value, (dict, list, mx.array)) and not key.startswith("_")

    @staticmethod
    def trainable_parameter_filter(module: Module, key: str, value: Any) -> bool:
        """Whether an element is or may hold parameters, and is not frozen."""
        return Module.valid_parameter_filter(module, key, value) and key not in module._no_grad

    def filter_and_map(
        self,
        filter_fn: Filter,
        map_fn: Callable[[Any], Any] | None = None,
        is_leaf_fn: Filter | None = None,
    ) -> dict[str, Any]:
        """Selects elements of the module and of the modules below, and maps the leaves among them.

        Args:
            filter_fn: Called as `filter_fn(module, key, value)` with each element and the module that holds it; in
                lists and dicts the key is a path within the module, as `layers.0`. Those refused are left out, or
                `{}` in a list or dict.
            map_fn: Applied to each leaf; without it leaves are taken as they are.
            is_leaf_fn: Called as `filter_fn` is, says where to stop; by default at what is no module, dict or list.

        Returns:
            A tree of plain dicts and lists with the structure of the module.

        Raises:
            RuntimeError: if `is_leaf_fn` denies being a leaf to something that can't be searched.
        """

        selection = _Selection(filter_fn, map_fn, is_leaf_fn)
        return {k: selection.of(self, k, v) for k, v in self.items() if filter_fn(self, k, v)}

    def parameters(self) -> dict[str, Any]:
        """The tree of all parameters, frozen ones included."""
        return self.filter_and_map(self.valid_parameter_filter)

    def trainable_parameters(self) -> dict[str, Any]:
        """The tree of the parameters that are not frozen."""
        return self.filter_and_map(self.trainable_parameter_filter)

    def children(self) -> dict[str, Any]:
        """The tree of the modules that are direct parts of this one."""
        return self.filter_and_map(
            self.valid_child_filter, is_leaf_fn=lambda m, k, v: isinstance(v, Module)
        )

    def leaf_modules(self) -> dict[str, Any]:
        """The tree of the modules that contain no others."""

        def is_leaf(module: Module, key: str, value: Any) -> bool:
            return isinstance(value, Module) and not tree_flatten(
                value.children(), is_leaf=self.is_module
            )

        return self.filter_and_map(self.valid_child_filter, is_leaf_fn=is_leaf)

    def _walk(self) -> Iterator[tuple[str, Module]]:
        """This module and all below with their paths; parents first, the last child before the one before it."""
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            yield path, module
            prefix = f".{path}" if path else ""
            stack.extend(tree_flatten(module.children(), prefix=prefix, is_leaf=self.is_module))

    def modules(self) -> list[Module]:
        """This module and all modules below it."""
        return [module for _, module in self._walk()]

    def named_modules(self) -> list[tuple[str, Module]]:
        """Pairs of path and module, of this module (path `""`) and all below it."""
        return list(self._walk())

    def apply_to_modules(self, apply_fn: Callable[[str, Module], Any]) -> Module:
        """Calls `apply_fn(path, module)` for this module and all below it, and returns this module."""
        for path, module in self._walk():
            apply_fn(path, module)
        return self

    # -- changing -----------------------------------------------------------------------------

    def update(self, parameters: dict, strict: bool = True) -> Module:  # type: ignore[override]
        """Replaces parameters by those of a tree, which may hold a part of them.

        Args:
            parameters: A tree as `parameters()` returns it; what it lacks stays as it is. Shapes are not checked.
            strict: Whether what the module lacks is an error; otherwise it is ignored.

        Returns:
            The module.

        Raises:
            ValueError: if the tree has, at the place of a parameter, something that is no array, or, with `strict`,
                elements that the module lacks. The module is then unchanged.
        """
        _Parameters(strict).replace(self, parameters)
        return self

    def apply(
        self, map_fn: Callable[[mx.array], mx.array], filter_fn: Filter | None = None
    ) -> Module:
        """Replaces parameters by `map_fn` of them.

        Args:
            map_fn: From array to array.
            filter_fn: Which elements to take, as in `filter_and_map`; all parameters by default.

        Returns:
            The module.

        >>> layer = Module()
        >>> layer.weight = mx.zeros((2,))
        >>> layer.apply(lambda x: x + 1).weight
        array([1, 1], dtype=float32)
        """
        return self.update(self.filter_and_map(filter_fn or self.valid_parameter_filter, map_fn))

    def set_dtype(
        self,
        dtype: mx.Dtype,
        predicate: Callable[[mx.Dtype], bool] | None = lambda x: mx.issubdtype(x, mx.floating),
    ) -> None:
        """Casts parameters.

        Args:
            dtype: The dtype to cast to.
            predicate: Says of a parameter's dtype whether to cast it; floating ones by default, None for all.
        """
        self.apply(lambda x: x.astype(dtype) if predicate is None or predicate(x.dtype) else x)

    def update_modules(self, modules: dict, strict: bool = True) -> Module:
        """Replaces modules by those of a tree, which may hold a part of them.

        Args:
            modules: A tree as `children()` or `leaf_modules()` returns it; what it lacks stays as it is.
            strict: Whether what the module lacks is an error; otherwise it is ignored.

        Returns:
            The module.

        Raises:
            ValueError: with `strict`, if the tree has elements that are no modules of this one. The module is then
                unchanged.
        """
        _Modules(strict).replace(self, modules)
        return self

    # -- freezing and modes -------------------------------------------------------------------

    def _named_keys(self, keys: str | list[str], strict: bool, recurse: bool) -> list[str]:
        """`keys` as a list; with `strict` each must name an element of a module that is concerned."""
        keys = [keys] if isinstance(keys, str) else list(keys)
        if strict:
            modules = self.modules() if recurse else [self]
            for key in keys:
                if not any(key.partition(".")[0] in m for m in modules):
                    raise KeyError(f"Module doesn't contain member {key}.")
        return keys

    def freeze(
        self,
        *,
        recurse: bool = True,
        keys: str | list[str] | None = None,
        strict: bool = False,
    ) -> Module:
        """Excludes parameters from `trainable_parameters()`, hence from gradients and updates.

        Args:
            recurse: Whether to freeze the modules below, too.
            keys: Names of elements to freeze, such as "bias"; all parameters by default.
            strict: Whether a key that no module concerned has is an error.

        Returns:
            The module.

        Raises:
            KeyError: with `strict`, for a key that is not found.

        >>> layer = Module()
        >>> layer.weight, layer.bias = mx.zeros((2,)), mx.zeros((1,))
        >>> layer.freeze(keys="bias").trainable_parameters()
        {'weight': array([0, 0], dtype=float32)}
        """
        if keys is not None:
            keys = self._named_keys(keys, strict, recurse)
        if recurse:
            return self.apply_to_modules(lambda _, m: m.freeze(recurse=False, keys=keys))
        if keys is None:
            own = self.filter_and_map(
                lambda m, k, v: not isinstance(v, Module) and m.valid_parameter_filter(m, k, v)
            )
            keys = [path for path, _ in tree_flatten(own)]
        self._no_grad.update(keys)
        return self

    def unfreeze(
        self,
        *,
        recurse: bool = True,
        keys: str | list[str] | None = None,
        strict: bool = False,
    ) -> Module:
        """Undoes `freeze`, with the same arguments.

        Args:
            recurse: Whether to unfreeze the modules below, too.
            keys: Names of elements to unfreeze; all by default.
            strict: Whether a key that no module concerned has is an error.

        Returns:
            The module.

        Raises:
            KeyError: with `strict`, for a key that is not found.
        """
        if keys is not None:
            keys = self._named_keys(keys, strict, recurse)
        if recurse:
            return self.apply_to_modules(lambda _, m: m.unfreeze(recurse=False, keys=keys))
        if keys is None:
            self._no_grad.clear()
        else:
            self._no_grad.difference_update(keys)
        return self

    def _set_training_mode(self, mode: bool) -> None:
        """Sets the mode of this module alone; for subclasses that must act on a change to override."""
        self._training = mode

    def train(self, mode: bool = True) -> Module:
        """Sets this module and all below to training mode, or to evaluation mode if `mode` is False.

        Dropout, batch normalization and the like depend on it.
        """
        return self.apply_to_modules(lambda _, m: m._set_training_mode(mode))

    def eval(self) -> Module:
        """Sets this module and all below to evaluation mode."""
        return self.train(False)

    @property
    def training(self) -> bool:
        """Whether the module is in training mode."""
        return self._training

    @property
    def state(self) -> Module:
        """The module itself, which is the dict of all its arrays; for `mx.compile(inputs=..., outputs=...)`."""
        return self

    # -- files --------------------------------------------------------------------------------

    def load_weights(
        self,
        file_or_weights: str | os.PathLike[str] | Iterable[tuple[str, mx.array]],
        strict: bool = True,
    ) -> Module:
        """Sets parameters from a file or from pairs.

        Args:
            file_or_weights: Path of a `.npz` or `.safetensors` file, or pairs `(path, array)`, or a dict.
            strict: Whether the weights must be exactly the module's parameters, in names and shapes. Otherwise those
                that the module lacks are ignored, and shapes are not compared.

        Returns:
            The module.

        Raises:
            ValueError: if something is no array or, with `strict`, names or shapes differ.
        """
        if isinstance(file_or_weights, dict):
            weights = dict(file_or_weights)
        elif isinstance(file_or_weights, str) or hasattr(file_or_weights, "__fspath__"):
            weights = dict(mx.load(_path(file_or_weights)))
        else:
            weights = dict(file_or_weights)

        current = tree_flatten(self.parameters(), destination={})
        for path, new in weights.items():
            if path in current and not isinstance(new, mx.array):
                raise ValueError(
                    f"Expected an array for parameter {path} but received {type(new).__name__}."
                )
        if strict:
            unknown = [path for path in weights if path not in current]
            if unknown:
                raise ValueError(
                    f"Received {len(unknown)} parameters not in model: {', '.join(unknown)}."
                )
            missing = [path for path in current if path not in weights]
            if missing:
                raise ValueError(f"Missing {len(missing)} parameters: {', '.join(missing)}.")
            for path, old in current.items():
                if weights[path].shape != old.shape:
                    raise ValueError(
                        f"Expected shape {tuple(old.shape)} but received shape {tuple(weights[path].shape)} "
                        f"for parameter {path}."
                    )
        if weights:
            self.update(tree_unflatten(weights), strict=False)
        return self

    def save_weights(self, file: str | os.PathLike[str]) -> None:
        """Writes all parameters to a file.

        Args:
            file: A path that ends in `.npz` or `.safetensors`.

        Raises:
            ValueError: for another ending.
        """
        name = _path(file)
        weights = tree_flatten(self.parameters(), destination={})
        if name.endswith(".npz"):
            mx.savez(name, **weights)
        elif name.endswith(".safetensors"):
            mx.save_safetensors(name, weights)
        else:
            raise ValueError(
                f"Unsupported file extension for {name}. Use '.npz' or '.safetensors'."
            )


def check_sizes(layer: str, **sizes: int) -> None:
    """Raises ValueError unless all sizes, given by their names, are positive."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{layer}: {name} is {size}, expected a positive integer.")


def _is_empty(tree: Any) -> bool:
    """Whether a tree says nothing about a place: `{}` stands for elements that a filter refused."""
    return isinstance(tree, (dict, list, tuple)) and not isinstance(tree, Module) and not len(tree)


def _path(file: Any) -> str:
    return file if isinstance(file, str) else file.__fspath__()


# What walks over modules is a class and no function within a method: a function that calls itself by name is a cycle
# of references, and would keep the arrays that it has met until Python collects its garbage.


class _Selection:
    """What `filter_and_map` takes and makes of elements."""

    def __init__(
        self,
        filter_fn: Filter,
        map_fn: Callable[[Any], Any] | None,
        is_leaf_fn: Filter | None,
    ) -> None:
        self.filter_fn, self.map_fn, self.is_leaf_fn = filter_fn, map_fn, is_leaf_fn

    def of(self, module: Module, key: str, value: Any) -> Any:
        if self.is_leaf_fn is None:
            leaf = not isinstance(value, (dict, list))
        else:
            leaf = self.is_leaf_fn(module, key, value)
        if leaf:
            return value if self.map_fn is None else self.map_fn(value)
        if isinstance(value, Module):
            return {
                k: self.of(value, k, v) for k, v in value.items() if self.filter_fn(value, k, v)
            }
        if isinstance(value, dict):
            return {k: self.within(module, f"{key}.{k}", v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.within(module, f"{key}.{i}", v) for i, v in enumerate(value)]
        raise RuntimeError(
            f"filter_and_map: '{key}' of {type(module).__name__} is of type {type(value).__name__}, which has no "
            "elements to search, but is_leaf_fn says that it is no leaf."
        )

    def within(self, module: Module, key: str, value: Any) -> Any:
        return self.of(module, key, value) if self.filter_fn(module, key, value) else {}


class _Replacement:
    """Elements of a module that a tree of new ones replaces: all of them, or none if there is an error."""

    function: str  # in errors
    kind: str
    lists: Any = list

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.changes: list[tuple[Any, Any, Any]] = []

    def replace(self, module: Module, tree: Any) -> None:
        self.descend(module, "", tree)
        for holder, key, new in self.changes:
            holder[key] = new

    def collect(self, holder: Any, key: Any, path: str, new: Any) -> None:
        raise NotImplementedError

    def descend(self, old: Any, path: str, new: Any) -> None:
        inside = f" of '{path}'" if path else ""
        if isinstance(new, dict) and isinstance(old, dict):
            for key, value in new.items():
                if key in old:
                    self.collect(old, key, f"{path}.{key}" if path else str(key), value)
                elif self.strict:
                    raise ValueError(
                        f'Module does not have {self.kind} named "{key}"{inside}; '
                        f"{type(old).__name__} has {list(old)}."
                    )
        elif isinstance(new, self.lists) and isinstance(old, self.lists):
            for i, value in enumerate(new[: len(old)]):
                self.collect(old, i, f"{path}.{i}", value)
            if self.strict and len(new) > len(old):
                raise ValueError(
                    f"{self.function}: list index {len(new) - 1}{inside} is out of bounds for a list of "
                    f"length {len(old)}."
                )
        elif self.strict:
            self.refuse(path, old, new)

    def refuse(self, path: str, old: Any, new: Any) -> None:
        raise ValueError(
            f"{self.function}: received invalid type {type(new).__name__} for '{path}', which is a "
            f"{type(old).__name__}."
        )


class _Parameters(_Replacement):
    function, kind, lists = "Module.update", "parameter", (list, tuple)

    def collect(self, holder: Any, key: Any, path: str, new: Any) -> None:
        old = holder[key]
        if isinstance(old, mx.array):
            if isinstance(new, mx.array):
                self.changes.append((holder, key, new))
            elif not _is_empty(new):
                raise ValueError(
                    f"Module.update: '{path}' is a parameter of shape {tuple(old.shape)}; received invalid "
                    f"type {type(new).__name__}, expected an array."
                )
        elif not _is_empty(new):
            self.descend(old, path, new)


class _Modules(_Replacement):
    function, kind = "Module.update_modules", "sub-module"

    def collect(self, holder: Any, key: Any, path: str, new: Any) -> None:
        old = holder[key]
        if isinstance(new, Module) and isinstance(old, Module):
            self.changes.append((holder, key, new))
        elif _is_empty(new):
            return
        elif isinstance(old, (dict, list)) and not isinstance(new, Module):
            self.descend(old, path, new)
        elif self.strict:
            self.refuse(path, old, new)
