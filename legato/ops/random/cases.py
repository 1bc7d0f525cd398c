"""Random numbers. With a key they are plain functions, so that the engine can map and compile them."""

import numpy as np

from legato.testing import case, error, exact, normal, rounding, uniform, values

KEY = values([0, 7], dtype="uint32")


def rotate(x, n):
    return (x << np.uint32(n)) | (x >> np.uint32(32 - n))


def threefry(key, n):
    """n words: those i and i + h + o share the counter of these two numbers."""
    key = np.asarray(key).astype(np.uint32)
    h, o = divmod(n, 2)
    x = np.arange(h + o, dtype=np.uint32)
    y = np.concatenate([np.arange(h + o, n, dtype=np.uint32), np.zeros(o, np.uint32)])
    if o:  # the word in the middle has the counter (h, 0)
        y = np.concatenate([np.arange(h + o, n), [0]]).astype(np.uint32)
    keys = [key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)]
    with np.errstate(over="ignore"):
        x, y = x + keys[0], y + keys[1]
        for group in range(5):
            for r in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
                x = x + y
                y = rotate(y, r) ^ x
            x, y = x + keys[(group + 1) % 3], y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return np.concatenate([x, y[:h]])


def unit(key, shape):
    u = threefry(key, int(np.prod(shape))).astype(np.float32) * np.float32(2.0**-32)
    return np.minimum(u, np.float32(1 - 2.0**-24)).astype(np.float64).reshape(shape)


for num in (1, 2, 3, 7):
    case(
        "random.split",
        [KEY],
        dict(num=num),
        reference=lambda key, num: threefry(key, 2 * num).reshape(num, 2),
        dtypes="uint32",
        tol=exact,
    )
for shape in ((3,), (2, 5), (1001,)):
    case(
        "random.uniform",
        [KEY],
        dict(shape=shape),
        call=lambda mx, key, shape: mx.random.uniform(shape=shape, key=key),
        reference=unit,
        dtypes="uint32",
        out="float32",
        tol=rounding(1),
    )
case(
    "random.uniform",
    [normal(3), uniform(2, 1, low=1, high=2), KEY],
    call=lambda mx, low, high, key: mx.random.uniform(low, high, (2, 3), key=key),
    reference=lambda low, high, key: low + (high - low) * unit(key, (2, 3)),
    dtypes="float32",
    tol=rounding(4),
)
case(
    "random.bernoulli",
    [uniform(50), KEY],
    call=lambda mx, p, key: mx.random.bernoulli(p, key=key),
    reference=lambda p, key: unit(key, p.shape) < p,
    dtypes="float32",
    out="bool",
)
case(
    "random.randint",
    [KEY],
    call=lambda mx, key: mx.random.randint(-3, 9, (20,), key=key),
    reference=lambda key: np.floor(-3 + 12 * unit(key, (20,))),
    dtypes="uint32",
    out="int32",
)

error("random.split", [normal(2)], match="expected uint32")
error("random.uniform", [normal(3), 1.0, (2,)], match="cannot be broadcast")
error("random.categorical", [normal(2, 3)], dict(shape=(2,), num_samples=3), match="at most one")
error("random.permutation", [-1], match="a length, 0 or more")
