"""Loading and saving: names of files, extensions and file objects around the formats in C++."""

import os

from legato import _core

_FORMATS = ("npy", "npz", "safetensors")


def _path(function, file, extension=""):
    """`file` as a path with the extension, None if it is an object to write to."""
    if hasattr(file, "write" if extension else "read"):
        return None
    try:
        path = os.fsdecode(os.fspath(file))
    except TypeError:
        raise TypeError(
            f"{function}: `file` must be a path or a file object, found {type(file).__name__}"
        ) from None
    return path + extension if extension and not path.endswith(extension) else path


def _write(function, file, extension, save):
    path = _path(function, file, extension)
    data = save(path)
    if path is None:
        file.write(data)


def save(file, arr):
    """Saves one array in NumPy's format.

    Args:
        file: a path, to which .npy is added if it is missing, or an object with a write method.
        arr: the array.
    """
    _write("save", file, ".npy", lambda path: _core._save_npy(path, arr))


def _save_all(function, file, args, kwargs, compress):
    arrays = {f"arr_{i}": a for i, a in enumerate(args)}
    for name in arrays:
        if name in kwargs:
            raise ValueError(f"{function}: two arrays are called {name!r}")
    arrays.update(kwargs)
    _write(function, file, ".npz", lambda path: _core._save_npz(path, arrays, compress))


def savez(file, *args, **kwargs):
    """Saves several arrays in NumPy's .npz format; positional ones are called arr_0, arr_1, ..."""
    _save_all("savez", file, args, kwargs, False)


def savez_compressed(file, *args, **kwargs):
    """Saves several arrays in NumPy's .npz format, compressed; see `savez`."""
    _save_all("savez_compressed", file, args, kwargs, True)


def save_safetensors(file, arrays, metadata=None):
    """Saves arrays in the safetensors format.

    Args:
        file: a path, to which .safetensors is added if it is missing, or an object with a write
            method.
        arrays: a dict from names to arrays.
        metadata: a dict from str to str, stored beside them.
    """
    if not isinstance(arrays, dict):
        raise TypeError(f"save_safetensors: `arrays` must be a dict, found {type(arrays).__name__}")
    _write(
        "save_safetensors",
        file,
        ".safetensors",
        lambda path: _core._save_safetensors(path, arrays, metadata),
    )


def _format_of_contents(start):
    if start[:6] == b"\x93NUMPY":
        return "npy"
    if start[:2] == b"PK":
        return "npz"
    if start[:4] == b"GGUF":
        return "gguf"
    return "safetensors"


def load(file, /, format=None, return_metadata=False, *, stream=None):
    """Loads arrays from a .npy, .npz or .safetensors file.

    Args:
        file: a path or an object with a read method.
        format: "npy", "npz" or "safetensors"; by default the extension of the path, or the first
            bytes, tell.
        return_metadata: whether to return (arrays, metadata); safetensors files have metadata.
        stream: accepted for compatibility; the file is read at once.

    Returns:
        An array for .npy, a dict from names to arrays for the others.

    Raises:
        ValueError: the file is truncated, corrupt or of an unknown kind.
        OSError: the file cannot be opened.
    """
    path = _path("load", file)
    if path is None:
        name = getattr(file, "name", None)
        source, name = file.read(), str(name) if name is not None else "the file object"
        if isinstance(source, str):
            raise TypeError("load: the file object must be opened in binary mode")
        start = bytes(source[:8])
    else:
        source = name = path
        start = b""
    if format is None and path is not None:
        extension = os.path.splitext(path)[1][1:]
        if extension in (*_FORMATS, "gguf"):
            format = extension
        else:
            with open(path, "rb") as f:
                start = f.read(8)
    if format is None:
        format = _format_of_contents(start)
    if format not in _FORMATS:
        raise ValueError(f"load: cannot read format {format!r}; there are {', '.join(_FORMATS)}")
    loaded = _core._load(source, name, format)
    if format == "npy":
        if return_metadata:
            raise ValueError("load: a .npy file has no metadata")
        return loaded
    arrays, metadata = loaded
    if return_metadata and metadata is None:
        raise ValueError("load: a .npz file has no metadata")
    return (arrays, metadata) if return_metadata else arrays


for _f in (save, savez, savez_compressed, save_safetensors, load):
    _f.__module__ = "legato.core"
