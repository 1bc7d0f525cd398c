"""Special functions where formulas lose digits: values from mpmath with 40 digits."""

import numpy as np
import pytest

import legato.core as mx

DIGAMMA = [
    (1.4616321449683622, -9.241265521729427e-17),  # beside the root
    (1.4616321488046085, 3.7122288847928115e-09),
    (1.461477937041031, -0.00014923326120039302),
    (2.0467001397733586, 0.45247039227024366),
    (0.8918414258146136, -0.7707195836198292),
    (1e-300, -1e300),
    (2336.195553457596, 7.756065014949104),
    (-5.401560446602047e-79, 1.8513168738657156e78),  # beside poles
    (-10.00000000000105, 952537992254.9948),
    (-0.005026638079395881, 198.35460877562912),
]


@pytest.mark.parametrize(("x", "want"), DIGAMMA)
def test_digamma_beside_its_root_and_poles(x, want):
    with mx.stream(mx.cpu):
        got = mx.digamma(mx.array(x, dtype=mx.float64)).item()
    assert abs(got - want) <= 4 * np.spacing(abs(want))
