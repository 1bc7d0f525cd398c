"""Random numbers. With a key they are plain functions, so that the engine can map and compile them."""

from statistics import NormalDist

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


# The distributions that are made from uniform numbers in (-1, 1), which are rounded to float32 first.
SQRT2 = np.float32(np.sqrt(2))
inverse_of_normal = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
distribution_of_normal = np.vectorize(NormalDist().cdf, otypes=[np.float64])


def symmetric(key, shape):
    low = np.float32(-1 + 2.0**-24)
    u = unit(key, shape).astype(np.float32)
    return (low + (np.float32(1) - low) * u).astype(np.float64)


def gumbel(key, shape):
    return -np.log(-np.log(unit(key, shape)))


def with_key(name, reference, inputs=(), tol=None, **options):
    """A row of a function that takes its key by keyword."""
    case(
        f"random.{name}",
        [*inputs, KEY],
        call=lambda mx, *args: getattr(mx.random, name)(*args[:-1], **options, key=args[-1]),
        reference=lambda *args: reference(*args[:-1], key=args[-1]),
        dtypes="float32" if inputs else "uint32",
        out="uint32" if tol is exact else "float32",
        tol=tol,
    )


for shape in ((3,), (2, 5), (1001,)):
    with_key(
        "normal",
        lambda key, shape=shape: inverse_of_normal((symmetric(key, shape) + 1) / 2),
        tol=rounding(8),
        shape=shape,
    )
    with_key(
        "laplace",
        lambda key, shape=shape: 1 + 2 * np.sign(u := symmetric(key, shape)) * np.log1p(-abs(u)),
        tol=rounding(8),
        shape=shape,
        loc=1,
        scale=2,
    )
    with_key("gumbel", lambda key, shape=shape: gumbel(key, shape), tol=rounding(8), shape=shape)


def truncated(lower, upper, key):
    low, high = distribution_of_normal(lower), distribution_of_normal(upper)
    shape = np.broadcast_shapes(low.shape, high.shape)
    return inverse_of_normal(low + (high - low) * unit(key, shape))


with_key(
    "truncated_normal",
    truncated,
    [uniform(3, low=-1.5, high=-0.5), uniform(2, 1, low=0.5, high=1.5)],
    tol=rounding(16),
)


def categorical(logits, axis=-1, samples=None, *, key):
    at = axis % logits.ndim
    drawn = (*logits.shape[:at], *logits.shape[at + 1 :], *([samples] if samples else []))
    noise = gumbel(key, (*drawn[:at], logits.shape[at], *drawn[at:]))
    return np.argmax((logits[..., None] if samples else logits) + noise, axis=at)


with_key("categorical", categorical, [normal(4, 9)], exact)
with_key("categorical", lambda a, key: categorical(a, 0, key=key), [normal(4, 9)], exact, axis=0)
with_key(
    "categorical",
    lambda a, key: categorical(a, samples=6, key=key),
    [normal(4, 9)],
    exact,
    num_samples=6,
)
for shape, axis in (((7,), 0), ((3, 8), 1), ((5, 2), 0)):
    case(
        "random.permutation",
        [normal(*shape), KEY],
        call=lambda mx, a, key, axis=axis: mx.random.permutation(a, axis=axis, key=key),
        reference=lambda a, key, axis=axis: np.take(
            a, np.argsort(threefry(key, a.shape[axis]), kind="stable"), axis
        ),
        dtypes="float32 int8",
        tol=exact,
    )
for seed in (0, 7, 2**40 + 3):
    case(
        "random.key",
        [seed],
        reference=lambda seed: np.array([seed >> 32, seed % 2**32]),
        out="uint32",
    )

error("random.split", [normal(2)], match="expected uint32")
error("random.uniform", [normal(3), 1.0, (2,)], match="cannot be broadcast")
error("random.categorical", [normal(2, 3)], dict(shape=(2,), num_samples=3), match="at most one")
error("random.permutation", [-1], match="a length, 0 or more")
