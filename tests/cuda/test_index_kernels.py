"""The kernels of sorting, scans, gathering, scattering and masks on the emulated GPU: each way in which they cut
their work, against NumPy."""

import pytest
from test_emulated import pytestmark, run  # noqa: F401

HEAD = """
    rng = np.random.default_rng(3)
    def same(y, want): np.testing.assert_array_equal(np.array(y), want)
    def values(shape, dtype): return (rng.standard_normal(shape) * 50).astype(dtype)
    def made(a): return lg.array(a, getattr(lg, a.dtype.name))
    def failure(f):
        try:
            lg.eval(f())
        except Exception as e:
            return f"{type(e).__name__}: {e}"
"""

SORTS = """
    def check(a):
        x, order = made(a), np.argsort(a, axis=-1, kind="stable")
        same(lg.argsort(x), order)
        same(lg.sort(x), np.take_along_axis(a, order, -1))
    # networks, tiles of 64, 128 and 256 threads, and tiles that look back
    shapes = ((256,), (300,), (1025,), (2049,), (3, 4096), (2, 4097), (20000,))
    for shape in shapes:
        check(values(shape, DTYPE))
    check(values((9000,), DTYPE) // 40)
    check(np.full(5000, 7, DTYPE))
    for high in (2, 300, 100000):  # upper digits are the same everywhere
        check(rng.integers(0, high, 9000).astype(DTYPE))
    print("right")
"""


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float16", "float32", "int64", "float64"])
def test_sorts(cache, dtype):
    assert run(HEAD + f"    DTYPE = {dtype!r}\n" + SORTS, cache) == "right"


def test_sorts_of_complex_numbers_and_nan(cache):
    program = """
    a = rng.integers(-2, 2, (2, 5000)) + 1j * rng.integers(-2, 2, (2, 5000))
    for dtype in ("complex64", "complex128"):
        x, order = made(a.astype(dtype)), np.argsort(a, axis=-1, kind="stable")
        same(lg.argsort(x), order)
        same(lg.sort(x), np.take_along_axis(a.astype(dtype), order, -1))
    s = np.array(lg.sort(lg.array(np.array([2, np.nan, -0.0, 0.0, -np.inf, np.inf] * 1000, np.float32))))
    print(s[:1000].tolist() == [-np.inf] * 1000, np.isnan(s[-1000:]).all(), s[3000:5000].min())
    """
    assert run(HEAD + program, cache) == "True True 2.0"


TOPK = """
    def check(a, k, axis=-1):
        want = np.take(np.sort(a, axis), range(a.shape[axis] - k, a.shape[axis]), axis)
        same(lg.topk(made(a), k, axis), want)
    # rows that blocks share, a block's rows, columns, short rows and large parts
    for shape, axis, k in (((70000,), 0, 100), ((9000, 3), 0, 7), ((3, 20000), 1, 2000), ((6, 9001), 1, 50),
                           ((5, 8192), 1, 1), ((4, 1000), 1, 3), ((3, 9000), 1, 8000)):
        a = values(shape, DTYPE)
        if DTYPE[0] == "f":
            a.reshape(-1)[::397] = np.nan
            a.reshape(-1)[5:8] = np.inf, -np.inf, -0.0
        check(a, k, axis)
    few = rng.integers(0, 2, 50000).astype(DTYPE)
    check(few, 40)
    check(np.where(np.arange(50000) < 30, few, few * 0), 40)
    print("right")
"""


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float16", "float32", "int64", "float64"])
def test_largest_elements(dtype, cache):
    assert run(HEAD + f"    DTYPE = {dtype!r}\n" + TOPK, cache) == "right"


def test_gathers_along_the_last_axis(cache):
    program = """
    for dtype in ("int8", "float16", "float32", "int64", "complex64", "complex128"):
        for rows, length, count in ((200, 64, 64), (300, 33, 17), (140, 5, 9), (500, 16, 48), (133, 1000, 640)):
            a = values((rows, length), dtype)
            x = made(a)
            for kind in ("int32", "int64", "uint32"):
                low = 0 if kind == "uint32" else -length
                i = rng.integers(low, length, count).astype(kind)
                same(lg.take(x, made(i), axis=1), np.take(a, i.astype(int), axis=1))
                j = rng.integers(low, length, (rows, count)).astype(kind)
                same(lg.take_along_axis(x, made(j), axis=1), np.take_along_axis(a, j.astype(int), axis=1))
        a, i = values((12, 30, 24), dtype), rng.integers(0, 23, (3, 8)).astype("int32")
        x = made(a)
        same(x[..., made(i)], a[..., i])
        same(x[1:][..., made(i)], a[1:][..., i])
        same(x[..., 1:][..., made(i)], a[..., 1:][..., i])
    print(failure(lambda: lg.take(lg.zeros((300, 40)), lg.array([40] * 30), axis=1)))
    print(failure(lambda: lg.take_along_axis(lg.zeros((300, 40)), lg.full((300, 40), -41, dtype=lg.int32), axis=1)))
    """
    assert run(HEAD + program, cache).splitlines() == [
        "IndexError: gather: index 40 is out of range for axis 1 of size 40",
        "IndexError: take_along_axis: index -41 is out of range for axis 1 of size 40",
    ]


def test_gathers_of_single_elements(cache):
    program = """
    for dtype in ("int8", "float16", "float32", "int64", "complex64", "complex128"):
        a, i = values(3001, dtype), rng.integers(-3001, 3001, 5003)
        for kind in ("int32", "int64"):
            same(lg.take(made(a), made(i.astype(kind))), a[i])
            same(lg.take(made(a)[1::2], made((i % 1000).astype(kind))[3:]), a[1::2][i[3:] % 1000])
    print(failure(lambda: lg.take(lg.zeros((300,)), lg.array([4, 300]))))
    """
    assert (
        run(HEAD + program, cache)
        == "IndexError: gather: index 300 is out of range for axis 0 of size 300"
    )


def test_gathers_of_more_single_elements_than_caches_hold(cache):
    program = """
    for dtype, kind, count in (("complex128", "int32", 2_100_003), ("float64", "int64", 4_200_001)):
        a, i = values(3001, dtype), rng.integers(-3001, 3001, count).astype(kind)
        same(lg.take(made(a), made(i)), a[i])
        i[count - 7] = 3001
        print(failure(lambda: lg.take(made(a), made(i))))
    """
    assert (
        run(HEAD + program, cache).splitlines()
        == ["IndexError: gather: index 3001 is out of range for axis 0 of size 3001"] * 2
    )


def test_scatters_of_rows(cache):
    program = """
    for dtype in ("float16", "float32"):
        # The last two have groups of a warp and more, whose runs go on over one and over many others.
        for rows, length, count in (
            (50, 16, 200), (300, 64, 100), (1000, 8, 5000), (64, 64, 64), (40, 256, 2000), (9, 512, 3000)
        ):
            a, u = rng.integers(-4, 4, (rows, length)), rng.integers(-4, 4, (count, length))
            i = rng.integers(0, rows, count).astype("int32")
            i[: count // 3] = 3
            want = a.astype(float)
            np.add.at(want, i, u)
            x, v = made(a.astype(dtype)), made(u.astype(dtype))
            lg.eval(x)
            same(x.at[made(i)].add(v), want.astype(dtype))        # rows without updates are copied
            same((x + 0).at[made(i)].add(v), want.astype(dtype))  # in place
            want = a.astype(float)
            np.add.at(want, i, 2)
            same(x.at[made(i)].add(2), want.astype(dtype))
    print(failure(lambda: lg.zeros((30, 16)).at[lg.array([1, 30])].add(lg.ones((2, 16)))))
    """
    assert (
        run(HEAD + program, cache)
        == "IndexError: scatter: index 30 is out of range for axis 0 of size 30"
    )


EXACT = """
    from fractions import Fraction
    def check(n, count, spread):
        a, i = rng.standard_normal(n).astype(DTYPE), rng.integers(0, n, count).astype("int32")
        i[: count // 4] = 5 % n
        with np.errstate(over="ignore"):
            u = (rng.standard_normal(count) * np.exp(spread * rng.standard_normal(count))).astype(DTYPE)
        x = made(a)
        lg.eval(x)
        y = np.array(x.at[made(i)].add(made(u)))
        order = rng.permutation(count)
        same(x.at[made(i[order])].add(made(u[order])), y)
        for place in {*range(min(n, 9)), 5 % n}:
            want = float(sum((Fraction(float(v)) for v in u[i == place]), Fraction(float(a[place]))))
            assert abs(float(y[place]) - want) <= 1.01 * UNIT * abs(want) + 1e-45, (n, count, spread, place)
    for spread in SPREADS:
        for n, count in ((50, 3000), (3000, 4000), (7, 100), (1, 300)):
            check(n, count, spread)
    print("right")
"""


@pytest.mark.parametrize(
    ("dtype", "unit", "spreads"),
    [("float32", 2.0**-24, (0, 3, 15, 25)), ("float16", 2.0**-10, (0, 1))],
)
def test_sums_of_single_updates_are_exact(cache, dtype, unit, spreads):
    head = f"    DTYPE, UNIT, SPREADS = {dtype!r}, {unit!r}, {spreads!r}\n"
    assert run(HEAD + head + EXACT, cache) == "right"


def test_sums_of_single_updates_at_the_ends_of_the_range(cache):
    program = """
    def added(i, u, start=(0, 0, 0, 0), t=lg.float32):
        x = lg.array(np.array(start, np.float32)).astype(t)
        y = x.at[lg.array(i)].add(lg.array(np.array(u, np.float32)).astype(t))
        return np.array(y.astype(lg.float32)).tolist()
    inf, nan = float("inf"), float("nan")
    print(added([0, 1, 1, 2, 0, 3], [1e38, 2.0**-130, 2.0**-149, 2.0**-66, 1e38, -0.0]) ==
          [float(np.float32(1e38) * 2), 2.0**-130 + 2.0**-149, 2.0**-66, 0.0])
    for t in (lg.float32, lg.float16, lg.bfloat16):
        print(added([0, 0, 1, 2, 1, 3], [inf, 1, -inf, nan, inf, 5], t=t))
    print(added([1, 1], [0.5, 0.5], (-0.0, 1, nan, inf)))
    """
    assert run(HEAD + program, cache).splitlines() == [
        "True",
        *["[inf, nan, nan, 5.0]"] * 3,
        "[-0.0, 2.0, nan, inf]",
    ]


def test_many_sums_of_single_updates(cache):
    """In buckets: exact, in any order, into few places, by sorted indices, and by whatever names places."""
    program = """
    n = 150000  # enough for the two multiprocessors of the emulated GPU
    def added(a, i, u):
        want = a.astype(np.longdouble)
        np.add.at(want, i, u.astype(np.longdouble) if isinstance(u, np.ndarray) else u)
        return want.astype(np.float64).astype(np.float32).astype(a.dtype)
    def check(size, spread=0, dtype="float32", kind="int32", skewed=False, ordered=False):
        i = rng.integers(-size, size, n).astype(kind)
        if skewed: i[n // 4 :] = 5 % size
        if ordered: i = np.sort(i)
        u = (rng.standard_normal(n) * np.exp(spread * rng.standard_normal(n))).astype(dtype)
        a = np.zeros(size, dtype)
        same(made(a).at[made(i)].add(made(u)), added(a, i, u))
    check(100000)
    check(100000, skewed=True)
    check(100000, ordered=True, spread=3)
    check(400000, kind="int64", spread=12)
    check(300000, spread=25, skewed=True)
    for size in (1, 7): check(size)
    check(50000, dtype="float16")
    a = np.zeros((500, 700), np.float32)
    r, c = rng.integers(-500, 500, n).astype("int32"), rng.integers(0, 700, n).astype("uint16")
    u = values(n, "float32")
    same(made(a).at[made(r), made(c)].add(made(u)), added(a, (r, c), u))
    same(made(a).at[made(r), made(c)].add(0.75), added(a, (r, c), 0.75))
    a, r, u = np.zeros((1000, 3), np.float32), r[: n // 2] % 1000, values((n // 2, 3), "float32")
    same(made(a).at[made(r)].add(made(u)), added(a, r, u))
    i, u = rng.integers(8, 1000, n).astype("int32"), values(n, "float32")
    i[:4], u[:4] = [3, 3, 4, 5], [np.inf, -np.inf, np.nan, np.inf]
    y = np.array(lg.full(1000, -0.0).at[made(i)].add(made(u)))
    print(y[3:6], np.isfinite(y[8:]).all(), np.signbit(y[:3]).all())
    i[n - 1] = 1000
    print(failure(lambda: lg.zeros(1000).at[made(i)].add(made(u))))
    """
    assert run(HEAD + program, cache).splitlines() == [
        "[nan nan inf] True True",
        "IndexError: scatter: index 1000 is out of range for axis 0 of size 1000",
    ]


def test_masks(cache):
    program = """
    for n in (1, 100, 4096, 5000, 70001):
        for share in (0, 0.01, 0.5, 1):
            m, a = rng.random(n) < share, values(n, "float32")
            x, mask = made(a), lg.array(m)
            same(x[mask], a[m])
            same(lg.nonzero(mask)[0], np.nonzero(m)[0])
            want = np.zeros(7, np.float32)
            want[: min(7, m.sum())] = a[m][:7]
            same(lg.masked_select(x, mask, 7), want)
            x[mask] = lg.arange(int(m.sum())).astype(lg.float32)
            a[m] = np.arange(m.sum())
            same(x, a)
    m, a = rng.random((3, 5000)) < 0.3, values((3, 5000, 3), "float32")
    same(made(a)[lg.array(m)], a[m])
    rows = np.array(lg.vmap(lambda x, mask: lg.masked_select(x, mask, 1000))(made(a), lg.array(m)))
    for r in range(3):
        np.testing.assert_array_equal(rows[r], a[r][m[r]][:1000])
    def too_few():
        x = made(a)
        x[lg.array(m)] = lg.ones((3, 3))
        return x
    print(failure(too_few), m.sum())
    """
    message, count = run(HEAD + program, cache).rsplit(" ", 1)
    assert message == (
        f"ValueError: assignment by a mask: the mask selects {count} elements, but 3 values were given"
    )


def test_scans_of_several_groups_of_tiles(cache):
    program = """
    n = 4096 * 520 + 77
    a = rng.integers(-9, 9, n).astype("float32")
    x = made(a)
    same(lg.cumsum(x), np.cumsum(a.astype(float)))
    same(lg.cumsum(x, reverse=True), np.cumsum(a[::-1].astype(float))[::-1])
    same(lg.cumsum(x, inclusive=False), np.concatenate([[0], np.cumsum(a.astype(float))[:-1]]))
    same(lg.cummax(x + lg.arange(n) // 1000), np.maximum.accumulate(a + np.arange(n) // 1000))
    for rows, length in ((3, 4100), (5, 1030), (2, 9001)):
        b = rng.integers(-9, 9, (rows, length)).astype("float16")
        same(lg.cumsum(made(b) / 64, axis=1).astype(lg.float32) * 64, np.cumsum(b.astype(float), 1).astype("float16"))
    print("right")
    """
    assert run(HEAD + program, cache) == "right"


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint16", "int64"])
def test_scans_of_rows_by_warps_and_of_columns_in_chunks(dtype, cache):
    program = f"""
    for shape, axis in (
        ((40, 100), 1), ((33, 101), 1), ((300, 50), 1), ((600, 520), 1), ((70, 1000), 1), ((70, 2050), 1),
        ((1200, 64), 0), ((3000, 33), 0), ((2, 999, 37), 1), ((5000, 40), 0), ((2, 5001), 1)):
        a = rng.integers(0, 3, shape).astype({dtype!r})
        x, sums = made(a), np.cumsum(a, axis, dtype=a.dtype)
        back = np.flip(np.cumsum(np.flip(a, axis), axis, dtype=a.dtype), axis)
        same(lg.cumsum(x, axis=axis), sums)
        same(lg.cumsum(x, axis=axis, inclusive=False), sums - a)
        same(lg.cumsum(x, axis=axis, reverse=True), back)
        same(lg.cumsum(x, axis=axis, reverse=True, inclusive=False), back - a)
        same(lg.cummax(x, axis=axis), np.maximum.accumulate(a, axis))
    same(lg.cumsum(made(a)[:, 1:], axis=1), np.cumsum(a[:, 1:], 1, dtype=a.dtype))
    print("right")
    """
    assert run(HEAD + program, cache) == "right"


@pytest.mark.parametrize(
    ("dtype", "n"),
    [("float64", 2048 * 1060 + 8), ("float64", 2048 * 40 + 5), ("int8", 70001), ("uint8", 90112)],
)
def test_scans_of_thousands_of_tiles(dtype, n, cache):
    program = f"""
    a = rng.integers(-9, 9, {n}).astype({dtype!r})
    x = made(a)
    want = np.cumsum(a, dtype=a.dtype)
    same(lg.cumsum(x), want)
    same(lg.cumsum(x[::-1], reverse=True), want[::-1])
    same(lg.cumsum(x, reverse=True, inclusive=False)[-3:], [a[-1] + a[-2], a[-1], 0])
    steps = (np.arange({n}) // 5000).astype(a.dtype)
    same(lg.cummin(x - made(steps)), np.minimum.accumulate(a - steps))
    print("right")
    """
    assert run(HEAD + program, cache) == "right"


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_long_logarithms_of_sums(dtype, cache):
    program = f"""
    def check(a, **how):
        a = np.asarray(a, {dtype!r})
        got = np.array(lg.logcumsumexp(made(a), **how)).astype(float)
        wide = a[::-1] if how.get("reverse") else a
        want = np.logaddexp.accumulate(wide.astype(float))
        if how.get("inclusive") is False: want = np.concatenate([[-np.inf], want[:-1]])
        want = want[::-1] if how.get("reverse") else want
        digits = 2e-3 if {dtype!r} == "float16" else 1e-6
        np.testing.assert_allclose(got, want.astype({dtype!r}), rtol=digits, atol=1e-6)
    n = 4096 * 3 + 64
    near = rng.standard_normal(n) * 3
    for how in ({{}}, {{"reverse": True}}, {{"inclusive": False}}, {{"inclusive": False, "reverse": True}}):
        check(near, **how)
    check(near[:-3])                                  # no whole packs
    check(near * 3000)                                # further apart than a tile may be
    check(np.where(np.arange(n) < 5000, -np.inf, near))
    check(np.where(np.arange(n) == 7, 9000, near))    # all that follows weighs nothing
    check(np.where(np.arange(n) < 5000, near - 2000, near))
    check(np.where(np.arange(n) == 6000, np.inf, near))
    check(np.where(np.arange(n) == 9000, np.nan, near))
    check(np.full(n, -np.inf))
    print("right")
    """
    assert run(HEAD + program, cache) == "right"
