"""Saving and loading: round trips, NumPy's own files, damaged files, atomic writes."""

import contextlib
import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

import legato.core as mx

DTYPES = [
    mx.bool_, mx.uint8, mx.uint16, mx.uint32, mx.uint64, mx.int8, mx.int16, mx.int32, mx.int64,
    mx.float16, mx.bfloat16, mx.float32, mx.float64, mx.complex64,
]  # fmt: skip
SHAPES = [(), (3,), (2, 3), (0,), (2, 0, 3), (1, 1, 1, 1, 1, 1, 2)]


def sample(dtype, shape):
    n = int(np.prod(shape))
    return mx.array(np.arange(n).reshape(shape) % 5, dtype)


def same(a, b):
    return (a.dtype, a.shape, bytes(a)) == (b.dtype, b.shape, bytes(b))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: t.name)
def test_round_trips(tmp_path, dtype):
    arrays = {f"a.{i}": sample(dtype, shape) for i, shape in enumerate(SHAPES)}
    for a in arrays.values():
        mx.save(tmp_path / "a.npy", a)
        assert same(mx.load(tmp_path / "a.npy"), a)
    mx.savez(tmp_path / "a.npz", **arrays)
    mx.savez_compressed(tmp_path / "c.npz", **arrays)
    mx.save_safetensors(str(tmp_path / "a.safetensors"), arrays, {"k": 'v\n"ü'})
    for name in ("a.npz", "c.npz", "a.safetensors"):
        loaded = mx.load(str(tmp_path / name))
        assert loaded.keys() == arrays.keys()
        assert all(same(loaded[k], arrays[k]) for k in arrays)
    assert mx.load(tmp_path / "a.safetensors", return_metadata=True)[1] == {"k": 'v\n"ü'}


def test_numpy_reads_ours_and_we_read_numpys(tmp_path):
    n = np.arange(6.0).reshape(2, 3)
    mx.save(tmp_path / "a", mx.array(n, mx.float64).T)
    assert np.array_equal(np.load(tmp_path / "a.npy"), n.T)
    mx.savez(tmp_path / "b", mx.array([1]), x=mx.array([2]))
    with np.load(tmp_path / "b.npz") as z:
        assert {k: z[k].tolist() for k in z} == {"arr_0": [1], "x": [2]}
    assert zipfile.ZipFile(tmp_path / "b.npz").testzip() is None
    for made in (n, np.asfortranarray(n), n.astype(">f8"), n.astype(">i2"), n.astype("c8"), n[:0]):
        np.save(tmp_path / "n.npy", made)
        loaded = mx.load(tmp_path / "n.npy")
        assert np.array_equal(np.array(loaded), made)
    np.savez(tmp_path / "n.npz", n, b=n)
    np.savez_compressed(tmp_path / "m.npz", n, b=n)
    for name in ("n.npz", "m.npz"):
        assert {k: np.array(v).tolist() for k, v in mx.load(tmp_path / name).items()} == {
            "arr_0": n.tolist(),
            "b": n.tolist(),
        }


def test_file_objects(tmp_path):
    for save, arrays in (
        (lambda f: mx.save(f, mx.array([1, 2])), None),
        (lambda f: mx.savez(f, a=mx.array([1, 2])), True),
        (lambda f: mx.save_safetensors(f, {"a": mx.array([1, 2])}), True),
    ):
        f = io.BytesIO()
        save(f)
        f.seek(0)
        loaded = mx.load(f)
        assert (loaded["a"] if arrays else loaded).tolist() == [1, 2]
    with pytest.raises(TypeError, match="binary"):
        mx.load(io.StringIO("x"))


def test_views_are_saved_in_order(tmp_path):
    a = mx.array(np.arange(24).reshape(2, 3, 4))
    for view in (a.T, a[:, ::-1], a[..., ::2], mx.broadcast_to(a[0, 0], (5, 4))):
        mx.save(tmp_path / "v.npy", view)
        assert np.array_equal(np.load(tmp_path / "v.npy"), np.array(view))


def test_a_file_may_be_saved_over_while_its_arrays_live(tmp_path):
    path = tmp_path / "a.safetensors"
    mx.save_safetensors(path, {"a": mx.array([1.0])})
    loaded = mx.load(path)
    mx.save_safetensors(path, {"a": loaded["a"] + 1})
    assert mx.load(path)["a"].tolist() == [2]
    assert loaded["a"].tolist() == [1]
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npy"
    mx.save(path, mx.array([1]))
    bad = mx.array([1, 2])[mx.array([5])]
    with pytest.raises(IndexError):
        mx.save(path, bad)
    assert mx.load(path).tolist() == [1]
    assert os.listdir(tmp_path) == ["a.npy"]
    with pytest.raises(ValueError, match="complex128"):
        mx.save_safetensors(tmp_path / "c", {"c": mx.array([1j], mx.complex128)})
    assert os.listdir(tmp_path) == ["a.npy"]


def test_saving_keeps_rights_and_links(tmp_path):
    real = tmp_path / "real.npy"
    mx.save(real, mx.array([1]))
    real.chmod(0o640)
    (tmp_path / "link.npy").symlink_to(real)
    mx.save(tmp_path / "link.npy", mx.array([2]))
    assert mx.load(real).tolist() == [2]
    assert (tmp_path / "link.npy").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640


def test_system_errors_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        mx.load(tmp_path / "absent.npy")
    with pytest.raises(FileNotFoundError):
        mx.load(tmp_path / "absent")
    with pytest.raises(OSError, match="nowhere"):
        mx.save(tmp_path / "nowhere" / "a.npy", mx.array([1]))
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(IsADirectoryError):
        mx.load(tmp_path / "d.npy")


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match="path"):
        mx.save(3, mx.array([1]))
    with pytest.raises(TypeError, match="array"):
        mx.save(tmp_path / "a", None)
    with pytest.raises(TypeError, match="dict"):
        mx.save_safetensors(tmp_path / "a", [mx.array([1])])
    with pytest.raises(TypeError, match="str"):
        mx.save_safetensors(tmp_path / "a", {"a": mx.array([1])}, {"k": 1})
    with pytest.raises(ValueError, match="arr_0"):
        mx.savez(tmp_path / "a", mx.array([1]), arr_0=mx.array([1]))
    with pytest.raises(ValueError, match="format"):
        mx.load(tmp_path / "a", format="pt")
    assert os.listdir(tmp_path) == []


# --- damaged files ------------------------------------------------------------------------------


def contents(tmp_path, save):
    path = tmp_path / "whole"
    with open(path, "wb") as f:
        save(f)
    return path.read_bytes()


A = mx.array(np.arange(4.0).reshape(2, 2))
KINDS = {
    "npy": lambda f: mx.save(f, A),
    "npz": lambda f: mx.savez(f, a=A, b=A),
    "compressed.npz": lambda f: mx.savez_compressed(f, a=A, b=A),
    "safetensors": lambda f: mx.save_safetensors(f, {"a": A, "b": A}, {"k": "v"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_a_value_error(tmp_path, kind):
    whole = contents(tmp_path, KINDS[kind])
    for n in range(len(whole)):
        with pytest.raises(ValueError, match=r"truncated|corrupt|no \.np"):
            mx.load(io.BytesIO(whole[:n]), kind.split(".")[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_are_value_errors_or_other_values(tmp_path, kind):
    whole = bytearray(contents(tmp_path, KINDS[kind]))
    for i in range(len(whole)):
        for bit in (0, 7):
            whole[i] ^= 1 << bit
            with contextlib.suppress(ValueError, MemoryError):
                mx.load(io.BytesIO(bytes(whole)), kind.split(".")[-1])
            whole[i] ^= 1 << bit


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


TWICE = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}'
T = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack("<Q", 2**63), "header"),
        (struct.pack("<Q", 100) + b"{}", "header"),
        (safetensors(b"not json"), "no JSON"),
        (safetensors(b"[]"), "list"),
        (safetensors(b"3"), "number"),
        (safetensors({"a": 3}), "number"),
        (safetensors({"a": {}}), "lacks"),
        (safetensors({"a": {**T, "shape": [-2]}}, bytes(8)), "negative"),
        (safetensors({"a": {**T, "shape": [1.5]}}, bytes(8)), "fractional"),
        (safetensors({"a": {**T, "shape": [[2]]}}, bytes(8)), "list"),
        (safetensors({"a": {**T, "shape": [2**62, 4]}}, bytes(8)), "beyond"),
        (safetensors({"a": {**T, "shape": [3]}}, bytes(8)), "needs 12 bytes"),
        (safetensors({"a": {**T, "dtype": "X9"}}, bytes(8)), "X9"),
        (safetensors({"a": T}, bytes(4)), "truncated or corrupt"),
        (safetensors({"a": {**T, "data_offsets": [8, 0]}}, bytes(8)), "claims"),
        (safetensors({"a": {**T, "data_offsets": [0, 8, 9]}}, bytes(9)), "two data_offsets"),
        (safetensors({"a": T, "b": {**T, "data_offsets": [4, 12]}}, bytes(12)), "overlaps"),
        (safetensors(TWICE, bytes(2)), "twice"),
        (safetensors(b'{"a":' + b"[" * 100000 + b"}"), "list"),
        (safetensors({"__metadata__": {"k": 1}}), "number"),
    ],
)  # fmt: skip
def test_safetensors_headers_that_lie(data, words):
    with pytest.raises(ValueError, match=words):
        mx.load(io.BytesIO(data), "safetensors")


def npy(header, data=b"", version=b"\1\0"):
    text = header.encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nothing at all", "no .npy"),
        (npy("{}", version=b"\7\0"), "version"),
        (npy("{}"), "missing"),
        (npy("{'descr': '<f4'"), "corrupt"),
        (npy("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}"), "True nor False"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"), "size"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}"), "size"),
        (
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}"),
            "beyond",
        ),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}"), "pickled"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), "structured"),
        (
            npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"),
            "repeated",
        ),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"), "truncated"),
    ],
)
def test_npy_headers_that_lie(data, words):
    with pytest.raises(ValueError, match=words):
        mx.load(io.BytesIO(data), "npy")


def test_a_bomb_is_refused_before_it_explodes(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.npy", bytes(1000))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)  # claims four gigabytes
    with pytest.raises(ValueError, match="claims"):
        mx.load(io.BytesIO(bytes(data)), "npz")


def test_format_is_found_by_extension_or_contents(tmp_path):
    mx.save(tmp_path / "a.npy", A)
    (tmp_path / "a.npy").rename(tmp_path / "plain")
    assert same(mx.load(tmp_path / "plain"), A)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="gguf"):
        mx.load(tmp_path / "m.gguf")
