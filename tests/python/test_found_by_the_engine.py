"""Wrong answers that the case engine found, each as a user would have met it."""

import numpy as np
import pytest

import legato.core as mx


def test_a_shapeless_convolution_refuses_channels_that_do_not_fit_the_groups():
    f = mx.compile(lambda x, w: mx.conv2d(x, w, groups=4), shapeless=True)
    f(mx.zeros((1, 7, 8, 4)), mx.zeros((4, 3, 2, 1)))
    with pytest.raises(ValueError, match="channels do not fit: input has 6"):
        mx.eval(f(mx.zeros((1, 9, 10, 6)), mx.zeros((6, 5, 4, 1))))


def test_addmm_can_be_vmapped_over_its_addend_alone():
    c, a, b = (np.random.default_rng(0).normal(size=s) for s in ((3, 5, 7), (5, 2), (2, 7)))
    got = mx.vmap(mx.addmm, in_axes=(0, None, None))(*[mx.array(v) for v in (c, a, b)])
    np.testing.assert_allclose(np.array(got), c + a @ b, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_at_multiply_conjugates_complex_factors():
    a, u = mx.array([1 + 2j]), mx.array([3 - 1j])
    index = mx.array([0])
    _, (da, du) = mx.vjp(lambda a, u: a.at[index].multiply(u), [a, u], [mx.array([1 + 0j])])
    assert abs(da.item() - (3 + 1j)) < 1e-5
    assert abs(du.item() - (1 - 2j)) < 1e-5


def test_isnan_of_integers_follows_the_shape_in_a_shapeless_function():
    f = mx.compile(mx.isnan, shapeless=True)
    f(mx.zeros((3,), dtype=mx.int32))
    assert f(mx.zeros((5,), dtype=mx.int32)).shape == (5,)


def test_a_transposed_operand_of_lower_rank_beside_a_broadcast_one():
    a, row = np.arange(18, dtype=np.float32).reshape(6, 3), np.arange(6, dtype=np.float32)
    for shape in ((1, 1, 6), (1, 6, 1), (1, 1, 1, 6)):
        found = mx.array(row.reshape(shape)[..., :3, :]) + mx.array(a).T
        assert np.array_equal(np.array(found), row.reshape(shape)[..., :3, :] + a.T)
