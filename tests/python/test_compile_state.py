"""State of compiled functions."""

import legato.core as mx
import legato.nn as nn
from legato.utils import tree_map


def test_state_that_starts_as_the_same_arrays_does_not_stay_tied_together():
    # What a user saw: a network and its running average, which began as the same arrays, trained as one.
    network, average = nn.Linear(2, 2), nn.Linear(2, 2)
    average.update(network.parameters())
    start = mx.array(network.weight)

    def step(x):
        network.weight = network.weight + x
        average.update(
            tree_map(lambda a, b: 0.5 * (a + b), average.parameters(), network.parameters())
        )
        return x

    state = [network.state, average.state]
    compiled = mx.compile(step, inputs=state, outputs=state)
    for _ in range(3):
        mx.eval(compiled(mx.array(1.0)), state)
    assert mx.allclose(network.weight, start + 3.0)
    assert mx.allclose(average.weight, start + 0.5 * 3 + 0.25 * 2 + 0.125 * 1)
