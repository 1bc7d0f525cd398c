"""Half types inside fused programs."""

import legato.core as mx


def test_a_half_value_cast_to_float32_in_the_same_program_is_rounded():
    # What a user saw: (x + 1).astype(float32) had digits that bfloat16 cannot hold.
    x = mx.array([0.001], dtype=mx.bfloat16)
    fused = (x + 1.0).astype(mx.float32)
    stored = x + 1.0
    mx.eval(stored)
    assert fused.item() == stored.astype(mx.float32).item() == 1.0
