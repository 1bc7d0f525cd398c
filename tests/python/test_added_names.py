"""einsum_path, depends, fusion and the sets of the array API: what is no array function of a record."""

import threading

import numpy as np
import pytest

import legato
import legato.core as mx


def test_einsum_path_gives_steps_and_a_description():
    a, b, c = mx.ones((2, 70)), mx.ones((70, 60)), mx.ones((60, 3))
    path, text = mx.einsum_path("ij,jk,kl->il", a, b, c)
    assert path in ([(0, 1), (0, 1)], [(1, 2), (0, 1)])
    assert path == [
        tuple(p) for p in np.einsum_path("ij,jk,kl->il", *map(np.array, (a, b, c)))[0][1:]
    ]
    assert "Complete contraction:  ij,jk,kl->il" in text
    assert "Naive scaling:  4" in text
    assert "Optimized scaling:  3" in text
    assert "Naive FLOP count:  75600" in text
    assert mx.einsum_path("ij->ji", a)[0] == [(0,)]
    with pytest.raises(ValueError, match="1 term for 2 operands"):
        mx.einsum_path("ij", a, b)
    with pytest.raises(TypeError, match="subscripts"):
        mx.einsum_path(a)


@pytest.mark.parametrize("n", [3, 5, 9])
def test_einsum_paths_of_chains_cost_no_more_than_numpys(n):
    sizes = [int(s) for s in np.random.default_rng(n).integers(2, 40, n + 1)]
    text = ",".join(f"{chr(97 + i)}{chr(98 + i)}" for i in range(n)) + f"->a{chr(97 + n)}"
    shapes = [(sizes[i], sizes[i + 1]) for i in range(n)]
    path = mx.einsum_path(text, *[mx.zeros(s) for s in shapes])[0]

    def cost(path):
        terms, total = [set(t) for t in text.split("->")[0].split(",")], 0
        size = {chr(97 + i): s for i, s in enumerate(sizes)}
        for a, b in path:
            both = terms[a] | terms[b]
            total += int(np.prod([size[letter] for letter in both]))
            rest = [t for i, t in enumerate(terms) if i not in (a, b)]
            needed = set(text.split("->")[1]).union(*rest)
            terms = [*rest, both & needed]
        return total

    numpys = np.einsum_path(text, *[np.zeros(s) for s in shapes])[0][1:]
    assert cost(path) <= cost(numpys)


def test_depends_computes_its_dependencies_first():
    x = mx.ones((3,))
    side = mx.exp(x)
    y = mx.depends(x * 2, side)
    assert y.tolist() == [2, 2, 2]
    first, second = mx.depends((x, x + 1), [side, side + 1])
    assert (first.tolist(), second.tolist()) == ([1, 1, 1], [2, 2, 2])
    assert isinstance(mx.depends([x], side), list)
    with pytest.raises(TypeError, match="dependencies"):
        mx.depends(x, 3)


def test_depends_is_transparent_to_transforms():
    x, side = mx.array([1.0, 2.0]), mx.array([3.0, 4.0])

    def f(x, side):
        return (mx.depends(x * x, side * 2)).sum()

    assert mx.grad(f, argnums=(0, 1))(x, side)[0].tolist() == [2, 4]
    assert mx.grad(f, argnums=(0, 1))(x, side)[1].tolist() == [0, 0]
    assert mx.jvp(f, [x, side], [x, side])[1][0].item() == 10
    assert mx.vmap(lambda x, s: mx.depends(x, s), in_axes=(None, 0))(x, side).shape == (2, 2)
    assert mx.compile(lambda x: mx.depends(x + 1, x * 3))(x).tolist() == [2, 3]


def test_fusion_is_set_and_restored():
    x = mx.zeros(3)
    core = legato._core
    assert core._set_fusion(True)
    with legato.fusion(False) as off:
        assert repr(off) == "fusion(False)"
        assert core._set_fusion(False) is False
        assert (mx.exp(x) + 1).tolist() == [2, 2, 2]
    assert core._set_fusion(True)
    legato.fusion(False)
    assert core._set_fusion(True) is False
    with pytest.raises(TypeError, match="True or False"):
        legato.fusion("off")


def test_tf32_is_off_until_it_is_allowed_and_belongs_to_the_thread():
    assert legato.tf32_allowed() is False
    with legato.allow_tf32() as on:
        assert repr(on) == "allow_tf32(True)"
        assert legato.tf32_allowed()
        with legato.allow_tf32(False):
            assert not legato.tf32_allowed()
        assert legato.tf32_allowed()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(legato.tf32_allowed()))
        thread.start()
        thread.join()
        assert seen == [False]
    assert not legato.tf32_allowed()
    with pytest.raises(RuntimeError, match="stop"), legato.allow_tf32():
        raise RuntimeError("stop")
    assert not legato.tf32_allowed()
    with pytest.raises(TypeError, match="True or False"):
        legato.allow_tf32(1)


def test_a_compiled_function_is_traced_once_for_each_setting_of_tf32():
    settings = []

    @mx.compile
    def f(x):
        settings.append(legato.tf32_allowed())
        return x @ x

    x = mx.ones((2, 2))
    for on in (False, True, False, True):
        with legato.allow_tf32(on):
            mx.eval(f(x))
    assert settings == [False, True]


def test_sets_of_the_array_api():
    x = mx.array([[3, 1], [1, 2]])
    everything = mx.unique_all(x)
    assert everything.values.tolist() == [1, 2, 3]
    assert everything.indices.tolist() == [1, 3, 0]
    assert everything.inverse_indices.tolist() == [[2, 0], [0, 1]]
    assert everything.counts.tolist() == [2, 1, 1]
    assert mx.unique_counts(x).counts.tolist() == [2, 1, 1]
    assert mx.unique_inverse(x).inverse_indices.tolist() == [[2, 0], [0, 1]]
    assert mx.unique_values(x).tolist() == [1, 2, 3]
    nans = mx.array([float("nan"), 1.0, float("nan")])
    assert mx.unique_values(nans).shape == (3,)
    assert mx.unique(nans).shape == (2,)
    assert isinstance(mx.unique(x), mx.array)
    assert isinstance(mx.unique(x, 3, return_counts=True), tuple)


def test_unique_needs_a_size_inside_compile_and_vmap():
    x = mx.array([[3, 1], [1, 1]])
    assert mx.vmap(lambda r: mx.unique(r, 2))(x).tolist() == [[1, 3], [1, 1]]
    assert mx.compile(lambda r: mx.unique(r, 3))(x).tolist() == [1, 3, 1]
    with pytest.raises(ValueError, match="vmap"):
        mx.vmap(mx.unique)(x)
    with pytest.raises(ValueError, match="compile"):
        mx.compile(mx.unique)(x)
