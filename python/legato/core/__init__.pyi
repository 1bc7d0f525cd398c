"""Type stubs of legato.core. Written by tools/stubs.py, do not edit."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from os import PathLike
from typing import Any, BinaryIO, TypeAlias, TypeVar

from . import fast as fast, random as random

F = TypeVar("F", bound=Callable[..., Any])
scalar: TypeAlias = bool | int | float | complex
ArrayInput: TypeAlias = Any
StreamOrDevice: TypeAlias = Stream | ThreadLocalStream | Device | DeviceType | None
File: TypeAlias = str | PathLike[str] | BinaryIO

bfloat16: Dtype
bool_: Dtype
complex128: Dtype
complex64: Dtype
complexfloating: DtypeCategory
cpu: DeviceType
e: float
euler_gamma: float
float16: Dtype
float32: Dtype
float64: Dtype
floating: DtypeCategory
generic: DtypeCategory
gpu: DeviceType
inexact: DtypeCategory
inf: float
int16: Dtype
int32: Dtype
int64: Dtype
int8: Dtype
integer: DtypeCategory
nan: float
newaxis: None
number: DtypeCategory
pi: float
signedinteger: DtypeCategory
uint16: Dtype
uint32: Dtype
uint64: Dtype
uint8: Dtype
unsignedinteger: DtypeCategory

class allow_tf32:
    def __init__(self, on: bool = True) -> None: ...
    def __enter__(self) -> allow_tf32: ...
    def __exit__(self, *args: Any) -> None: ...

class array:
    def __init__(self, val: ArrayInput, dtype: Dtype | None = None) -> None: ...
    def __add__(self, other: ArrayInput, /) -> array: ...
    def __radd__(self, other: ArrayInput, /) -> array: ...
    def __iadd__(self, other: ArrayInput, /) -> array: ...
    def __sub__(self, other: ArrayInput, /) -> array: ...
    def __rsub__(self, other: ArrayInput, /) -> array: ...
    def __isub__(self, other: ArrayInput, /) -> array: ...
    def __mul__(self, other: ArrayInput, /) -> array: ...
    def __rmul__(self, other: ArrayInput, /) -> array: ...
    def __imul__(self, other: ArrayInput, /) -> array: ...
    def __truediv__(self, other: ArrayInput, /) -> array: ...
    def __rtruediv__(self, other: ArrayInput, /) -> array: ...
    def __itruediv__(self, other: ArrayInput, /) -> array: ...
    def __floordiv__(self, other: ArrayInput, /) -> array: ...
    def __rfloordiv__(self, other: ArrayInput, /) -> array: ...
    def __ifloordiv__(self, other: ArrayInput, /) -> array: ...
    def __mod__(self, other: ArrayInput, /) -> array: ...
    def __rmod__(self, other: ArrayInput, /) -> array: ...
    def __imod__(self, other: ArrayInput, /) -> array: ...
    def __pow__(self, other: ArrayInput, /) -> array: ...
    def __rpow__(self, other: ArrayInput, /) -> array: ...
    def __ipow__(self, other: ArrayInput, /) -> array: ...
    def __matmul__(self, other: ArrayInput, /) -> array: ...
    def __rmatmul__(self, other: ArrayInput, /) -> array: ...
    def __imatmul__(self, other: ArrayInput, /) -> array: ...
    def __lshift__(self, other: ArrayInput, /) -> array: ...
    def __rlshift__(self, other: ArrayInput, /) -> array: ...
    def __ilshift__(self, other: ArrayInput, /) -> array: ...
    def __rshift__(self, other: ArrayInput, /) -> array: ...
    def __rrshift__(self, other: ArrayInput, /) -> array: ...
    def __irshift__(self, other: ArrayInput, /) -> array: ...
    def __and__(self, other: ArrayInput, /) -> array: ...
    def __rand__(self, other: ArrayInput, /) -> array: ...
    def __iand__(self, other: ArrayInput, /) -> array: ...
    def __or__(self, other: ArrayInput, /) -> array: ...
    def __ror__(self, other: ArrayInput, /) -> array: ...
    def __ior__(self, other: ArrayInput, /) -> array: ...
    def __xor__(self, other: ArrayInput, /) -> array: ...
    def __rxor__(self, other: ArrayInput, /) -> array: ...
    def __ixor__(self, other: ArrayInput, /) -> array: ...
    def __lt__(self, other: ArrayInput, /) -> array: ...
    def __le__(self, other: ArrayInput, /) -> array: ...
    def __gt__(self, other: ArrayInput, /) -> array: ...
    def __ge__(self, other: ArrayInput, /) -> array: ...
    def __eq__(self, other: object, /) -> array: ...  # type: ignore[override]
    def __ne__(self, other: object, /) -> array: ...  # type: ignore[override]
    def __neg__(self) -> array: ...
    def __pos__(self) -> array: ...
    def __abs__(self) -> array: ...
    def __invert__(self) -> array: ...
    def __bool__(self) -> bool: ...
    def __int__(self) -> int: ...
    def __float__(self) -> float: ...
    def __complex__(self) -> complex: ...
    def __index__(self) -> int: ...
    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __iter__(self) -> Iterator[array]: ...
    def __divmod__(self, other: ArrayInput, /) -> tuple[array, array]: ...
    def __rdivmod__(self, other: ArrayInput, /) -> tuple[array, array]: ...
    def __getitem__(self, index: Any, /) -> array: ...
    def __setitem__(self, index: Any, value: ArrayInput, /) -> None: ...
    @property
    def T(self) -> array: ...
    def abs(self, *, stream: StreamOrDevice = None) -> array:
        """The absolute value, elementwise; of complex values their length, a real number."""
    def all(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Whether all elements along `axis` are true, that is, not zero (nan is true)."""
    def any(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Whether some element along `axis` is true, that is, not zero (nan is true)."""
    def argmax(
        self,
        axis: int | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Index of the largest element along `axis`, uint32."""
    def argmin(
        self,
        axis: int | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Index of the smallest element along `axis`, uint32; see `argmax`."""
    def astype(self, dtype: Dtype, *, stream: StreamOrDevice = None) -> array:
        """`a` in another dtype."""
    @property
    def at(self) -> ArrayAt: ...
    def conj(self, *, stream: StreamOrDevice = None) -> array:
        """The same as `conjugate`."""
    def cos(self, *, stream: StreamOrDevice = None) -> array:
        """The cosine of an angle in radians, elementwise."""
    def cummax(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamOrDevice = None,
    ) -> array:
        """Running maximum along `axis`; nan from the first nan on."""
    def cummin(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamOrDevice = None,
    ) -> array:
        """Running minimum along `axis`; nan from the first nan on."""
    def cumprod(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        dtype: Dtype | None = None,
        stream: StreamOrDevice = None,
    ) -> array:
        """Running product along `axis`."""
    def cumsum(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        dtype: Dtype | None = None,
        stream: StreamOrDevice = None,
    ) -> array:
        """Running sum along `axis`."""
    def diag(self, k: int = 0, *, stream: StreamOrDevice = None) -> array:
        """A square matrix with the 1-d `a` on its k-th diagonal, or the k-th diagonal of a 2-d `a`."""
    def diagonal(
        self,
        offset: int = 0,
        axis1: int = 0,
        axis2: int = 1,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """The diagonals of the planes of `axis1` and `axis2`, as the last axis of the result."""
    @property
    def dtype(self) -> Dtype: ...
    def exp(self, *, stream: StreamOrDevice = None) -> array:
        """e to the power of a, elementwise. Integers and bool give float32."""
    def flatten(
        self,
        start_axis: int = 0,
        end_axis: int = -1,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Merges the axes from `start_axis` to `end_axis`, both included, into one."""
    @property
    def imag(self) -> array: ...
    def item(self) -> Any:
        """The only element as a Python number. ValueError unless there is exactly one."""
    @property
    def itemsize(self) -> int: ...
    def log(self, *, stream: StreamOrDevice = None) -> array:
        """The natural logarithm, elementwise: nan for negative real numbers, -inf for 0."""
    def log10(self, *, stream: StreamOrDevice = None) -> array:
        """The logarithm to base 10, elementwise."""
    def log1p(self, *, stream: StreamOrDevice = None) -> array:
        """log(1 + a), elementwise, exact for small a."""
    def log2(self, *, stream: StreamOrDevice = None) -> array:
        """The logarithm to base 2, elementwise."""
    def logcumsumexp(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamOrDevice = None,
    ) -> array:
        """log(cumsum(exp(a))) along `axis`, without overflow."""
    def logsumexp(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """log(sum(exp(a))) along `axis`, without overflow."""
    @property
    def mT(self) -> array: ...
    def max(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Largest element along `axis`; nan if there is one."""
    def mean(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Arithmetic mean of the elements along `axis`."""
    def min(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Smallest element along `axis`; nan if there is one."""
    def moveaxis(
        self,
        source: int | Sequence[int],
        destination: int | Sequence[int],
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Moves axes from `source` to `destination` (an int or several each); the others keep their order."""
    @property
    def nbytes(self) -> int: ...
    @property
    def ndim(self) -> int: ...
    def prod(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Product of the elements along `axis`."""
    @property
    def real(self) -> array: ...
    def reciprocal(self, *, stream: StreamOrDevice = None) -> array:
        """1 / a, elementwise. Integers and bool give float32. Differentiable."""
    def reshape(self, *shape: Any, stream: StreamOrDevice = None) -> array:
        """The elements of `a` in row-major order in another shape."""
    def round(self, decimals: int = 0, *, stream: StreamOrDevice = None) -> array:
        """Rounds to the given number of decimals, half to even."""
    def rsqrt(self, *, stream: StreamOrDevice = None) -> array:
        """1 / sqrt(a), elementwise. Integers give float32. Differentiable."""
    @property
    def shape(self) -> tuple[int, ...]: ...
    def sin(self, *, stream: StreamOrDevice = None) -> array:
        """The sine of an angle in radians, elementwise."""
    @property
    def size(self) -> int: ...
    def split(
        self,
        indices_or_sections: int | Sequence[int | Sequence[int]],
        axis: int = 0,
        *,
        stream: StreamOrDevice = None,
    ) -> list[array]:
        """Parts of `a` along `axis`, without copies."""
    def sqrt(self, *, stream: StreamOrDevice = None) -> array:
        """The square root, elementwise; nan for negative real numbers. Integers give float32. Differentiable."""
    def square(self, *, stream: StreamOrDevice = None) -> array:
        """a * a, elementwise. Integers wrap. Differentiable."""
    def squeeze(
        self,
        axis: int | Sequence[int] | None = None,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Drops axes of size 1: those named by `axis`, by default all."""
    def std(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Standard deviation: the square root of `var`."""
    def sum(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Sum of the elements along `axis`."""
    def swapaxes(self, axis1: int, axis2: int, *, stream: StreamOrDevice = None) -> array:
        """Exchanges two axes."""
    def tolist(self) -> Any:
        """The elements as nested lists; a Python number if there are no axes."""
    def transpose(self, *axes: Any, stream: StreamOrDevice = None) -> array:
        """Permutes the axes: axis i of the result is axis axes[i] of `a`; by default they are reversed."""
    def var(
        self,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        stream: StreamOrDevice = None,
    ) -> array:
        """Variance: the sum of |a - mean(a)|**2 along `axis`, divided by n - `ddof`."""
    def view(self, dtype: Dtype, *, stream: StreamOrDevice = None) -> array:
        """The bytes of `a` read as another dtype."""

class ArrayAt:
    def __getitem__(self, index: Any, /) -> ArrayAt: ...
    def add(self, value: Any) -> array:
        """x[index] + value, in a new array."""
    def divide(self, value: Any) -> array:
        """x[index] / value, in a new array."""
    def maximum(self, value: Any) -> array:
        """The larger of x[index] and value, in a new array."""
    def minimum(self, value: Any) -> array:
        """The smaller of x[index] and value, in a new array."""
    def multiply(self, value: Any) -> array:
        """x[index] * value, in a new array."""
    def subtract(self, value: Any) -> array:
        """x[index] - value, in a new array."""

class ArrayIterator:
    def __iter__(self) -> ArrayIterator: ...
    def __next__(self) -> array: ...

class ArrayLike:
    def __init__(self, value: Any, /) -> None: ...

class AxisError(ValueError, IndexError): ...

class custom_function:
    def __init__(self, f: Callable[..., Any]) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def jvp(self, f: Callable[..., Any]) -> Any:
        """Sets the forward rule f(primals, tangents), which gives the tangents of the outputs. A tangent may be None."""
    def vjp(self, f: Callable[..., Any]) -> Any:
        """Sets the reverse rule f(primals, cotangents, outputs), which gives the cotangents of the primals."""
    def vmap(self, f: Callable[..., Any]) -> Any:
        """Sets the batching rule f(inputs, axes), which gives (outputs, axes of the outputs)."""

class debug_nans:
    def __init__(self, on: bool = True) -> None: ...
    def __enter__(self) -> debug_nans: ...
    def __exit__(self, *args: Any) -> None: ...

class Device:
    def __init__(self, type: DeviceType, index: int = 0) -> None: ...
    @property
    def index(self) -> int: ...
    @property
    def type(self) -> DeviceType: ...

class DeviceType(Enum):
    cpu = 0
    gpu = 1

class Dtype:
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...

class DtypeCategory(Enum):
    complexfloating = 'complexfloating'
    floating = 'floating'
    inexact = 'inexact'
    signedinteger = 'signedinteger'
    unsignedinteger = 'unsignedinteger'
    integer = 'integer'
    number = 'number'
    generic = 'generic'

class finfo:
    def __init__(self, dtype: Dtype | None, /) -> None: ...
    @property
    def bits(self) -> int: ...
    @property
    def dtype(self) -> Dtype: ...
    @property
    def eps(self) -> Any: ...
    @property
    def max(self) -> Any: ...
    @property
    def min(self) -> Any: ...
    @property
    def smallest_normal(self) -> Any: ...

class fusion:
    def __init__(self, on: bool = True) -> None: ...
    def __enter__(self) -> fusion: ...
    def __exit__(self, *args: Any) -> None: ...

class iinfo:
    def __init__(self, dtype: Dtype | None, /) -> None: ...
    @property
    def bits(self) -> int: ...
    @property
    def dtype(self) -> Dtype: ...
    @property
    def max(self) -> Any: ...
    @property
    def min(self) -> Any: ...

class InternalError(RuntimeError): ...

class logging:
    def __init__(self, areas: str, output: Any = None) -> None: ...
    def __enter__(self) -> logging: ...
    def __exit__(self, *args: Any) -> None: ...

class PrintOptions:
    def __init__(self, precision: int = -1) -> None: ...
    @property
    def precision(self) -> int: ...

class profile:
    def __init__(self, path: Any = None) -> None: ...
    def __enter__(self) -> profile: ...
    def __exit__(self, *args: Any) -> None: ...

class Stream:
    @property
    def device(self) -> Device: ...
    @property
    def index(self) -> int: ...

class StreamContext:
    def __enter__(self) -> None: ...
    def __exit__(self, *args: Any) -> None: ...

class ThreadLocalStream:
    @property
    def device(self) -> Device: ...

class TransformError(ValueError): ...

def __array_namespace_info__() -> Any:
    """Facts about this namespace, as the array API standard defines them."""

def abs(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The absolute value, elementwise; of complex values their length, a real number."""

def acos(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `arccos`."""

def acosh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `arccosh`."""

def add(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a + b, elementwise."""

def addmm(
    c: array,
    a: array,
    b: array,
    /,
    alpha: float = 1.0,
    beta: float = 1.0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """alpha * (a @ b) + beta * c, in one pass."""

def all(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Whether all elements along `axis` are true, that is, not zero (nan is true)."""

def allclose(
    a: array,
    b: array,
    /,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    *,
    equal_nan: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """Whether `isclose` holds for all elements; the arrays broadcast."""

def angle(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The angle of a complex value, in (-pi, pi]. Differentiable."""

def any(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Whether some element along `axis` is true, that is, not zero (nan is true)."""

def arange(
    start: scalar | None = None,
    stop: scalar | None = None,
    step: scalar | None = None,
    dtype: Dtype | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Numbers from `start` up to but without `stop`; arange(n) counts from 0 to n - 1."""

def arccos(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The angle in [0, pi] whose cosine is a; nan outside of [-1, 1]."""

def arccosh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The inverse of cosh, elementwise; nan for real numbers below 1."""

def arcsin(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The angle in [-pi/2, pi/2] whose sine is a; nan outside of [-1, 1]."""

def arcsinh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The inverse of sinh, elementwise."""

def arctan(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The angle in [-pi/2, pi/2] whose tangent is a."""

def arctan2(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """The angle in [-pi, pi] of the point with y = a and x = b. Complex values are refused."""

def arctanh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The inverse of tanh, elementwise; nan for real numbers outside of [-1, 1]."""

def argmax(
    a: array,
    /,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Index of the largest element along `axis`, uint32."""

def argmin(
    a: array,
    /,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Index of the smallest element along `axis`, uint32; see `argmax`."""

def argpartition(
    a: array,
    /,
    kth: int,
    axis: int | None = -1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Indices of a `partition`, uint32."""

def argsort(a: array, /, axis: int | None = -1, *, stream: StreamOrDevice = None) -> array:
    """Indices that sort along `axis`, uint32. Stable: equal elements keep their order."""

def array_equal(
    a: scalar | array,
    b: scalar | array,
    /,
    *,
    equal_nan: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """Whether two arrays have the same shape and equal elements."""

def as_strided(
    a: array,
    /,
    shape: int | Sequence[int] | None = None,
    strides: int | Sequence[int] | None = None,
    offset: int = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """A window on the elements of `a` in row-major order."""

def asarray(a: Any, /, dtype: Dtype | None = None, *, copy: bool | None = None) -> array:
    """`a` as an array; `a` itself if it is one of this dtype."""

def asin(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `arcsin`."""

def asinh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `arcsinh`."""

def astype(a: array, /, dtype: Dtype, *, stream: StreamOrDevice = None) -> array:
    """`a` in another dtype."""

def async_eval(*args: Any) -> None:
    """Starts to compute all arrays in the arguments and returns. An error surfaces where a value is read."""

def atan(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `arctan`."""

def atan2(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `arctan2`."""

def atanh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `arctanh`."""

def atleast_1d(*arys: array, stream: StreamOrDevice = None) -> array | list[array]:
    """Each array with at least one dimension; a list unless there is one array."""

def atleast_2d(*arys: array, stream: StreamOrDevice = None) -> array | list[array]:
    """Each array with at least two dimensions, new ones in front; a list unless there is one array."""

def atleast_3d(*arys: array, stream: StreamOrDevice = None) -> array | list[array]:
    """Each array with at least three dimensions: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1)."""

def bartlett(M: int, *, stream: StreamOrDevice = None) -> array:
    """The triangular window that is 0 at both ends, float32."""

def bitwise_and(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a & b of integers or bool, elementwise."""

def bitwise_invert(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """~a of integers; of bool the opposite."""

def bitwise_left_shift(
    a: scalar | array,
    b: scalar | array,
    /,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The same as `left_shift`."""

def bitwise_or(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a | b of integers or bool, elementwise."""

def bitwise_right_shift(
    a: scalar | array,
    b: scalar | array,
    /,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The same as `right_shift`."""

def bitwise_xor(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a ^ b of integers or bool, elementwise."""

def blackman(M: int, *, stream: StreamOrDevice = None) -> array:
    """The Blackman window, 0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1)), float32."""

def block_masked_mm(
    a: array,
    b: array,
    /,
    block_size: int = 64,
    mask_out: array | None = None,
    mask_lhs: array | None = None,
    mask_rhs: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Matrix product in which blocks of the operands and of the result are scaled or left out."""

def broadcast_arrays(*arrays: array, stream: StreamOrDevice = None) -> tuple[array, ...]:
    """All arrays in their common broadcast shape."""

def broadcast_shapes(*shapes: Any) -> None:
    """The shape to which arrays of these shapes broadcast, by NumPy's rule."""

def broadcast_to(
    a: scalar | array,
    /,
    shape: int | Sequence[int],
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` repeated along new leading axes and along axes of size 1, without using memory."""

def can_cast(from_: array | Dtype, to: Dtype) -> bool:
    """Whether `from_`, an array or a Dtype, promotes to `to`."""

def cbrt(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The real cube root, elementwise. Complex values are refused. Differentiable."""

def ceil(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The smallest integer not below each element, in the same dtype. Complex values are refused."""

def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun` with its intermediate values recomputed in the backward pass instead of kept."""

def clear_cache(*args: Any, **kwargs: Any) -> None:
    """clear_cache() -> None"""

def clear_streams(*args: Any, **kwargs: Any) -> None:
    """clear_streams() -> None"""

def clip(
    a: array,
    /,
    a_min: scalar | array | None,
    a_max: scalar | array | None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Limits the elements to [a_min, a_max]."""

def compile(
    fun: Callable[..., Any],
    inputs: Any = None,
    outputs: Any = None,
    shapeless: bool = False,
) -> Callable[..., Any]:
    """`fun` run once for each combination of shapes, dtypes and constants, then repeated without Python."""

def concat(
    arrays: Sequence[array],
    axis: int | None = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The arrays one after another along `axis`, in their common dtype."""

def concatenate(
    arrays: Sequence[array],
    axis: int | None = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The arrays one after another along `axis`, in their common dtype."""

def conj(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `conjugate`."""

def conjugate(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The complex conjugate; a real array is returned as it is."""

def contiguous(
    a: array,
    /,
    allow_col_major: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with its elements in row-major order in memory; a copy only if they are not."""

def conv1d(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Convolution, channels last, over the spatial axes that the name says."""

def conv2d(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Convolution, channels last, over the spatial axes that the name says."""

def conv3d(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Convolution, channels last, over the spatial axes that the name says."""

def conv_general(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int | Sequence[int]] = 0,
    kernel_dilation: int | Sequence[int] = 1,
    input_dilation: int | Sequence[int] = 1,
    groups: int = 1,
    flip: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Convolution in its general form, channels last, over 1 to 3 spatial axes."""

def conv_transpose1d(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Transposed convolution, channels last: upsamples by `stride`."""

def conv_transpose2d(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Transposed convolution, channels last: upsamples by `stride`."""

def conv_transpose3d(
    input: array,
    weight: array,
    /,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Transposed convolution, channels last: upsamples by `stride`."""

def convolve(a: array, v: array, /, mode: str = 'full', *, stream: StreamOrDevice = None) -> array:
    """Discrete convolution of two 1-d arrays."""

def copysign(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """|a| with the sign of b, elementwise."""

def cos(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The cosine of an angle in radians, elementwise."""

def cosh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The hyperbolic cosine, elementwise."""

def count_nonzero(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """Number of elements along `axis` that are not zero, as int32."""

def cummax(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamOrDevice = None,
) -> array:
    """Running maximum along `axis`; nan from the first nan on."""

def cummin(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamOrDevice = None,
) -> array:
    """Running minimum along `axis`; nan from the first nan on."""

def cumprod(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Running product along `axis`."""

def cumsum(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Running sum along `axis`."""

def cumulative_prod(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Running product along `axis`; the same as `cumprod`."""

def cumulative_sum(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    dtype: Dtype | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Running sum along `axis`; the same as `cumsum`."""

def default_device(*args: Any, **kwargs: Any) -> Device:
    """default_device() -> legato._core.Device"""

def default_stream(*args: Any, **kwargs: Any) -> Stream:
    """default_stream(device: object) -> legato._core.Stream"""

def degrees(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Radians to degrees."""

def depends(inputs: Any, dependencies: array | Sequence[array]) -> Any:
    """`inputs` (an array, or a list or tuple of them) with the same values, computed after the arrays in `dependencies`. Differentiable in the inputs."""

def device_count(*args: Any, **kwargs: Any) -> int:
    """device_count(device_type: legato._core.DeviceType) -> int"""

def device_info(*args: Any, **kwargs: Any) -> dict[str, str | int]:
    """device_info(d: object | None = None) -> dict"""

def diag(a: array, /, k: int = 0, *, stream: StreamOrDevice = None) -> array:
    """A square matrix with the 1-d `a` on its k-th diagonal, or the k-th diagonal of a 2-d `a`."""

def diagonal(
    a: array,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The diagonals of the planes of `axis1` and `axis2`, as the last axis of the result."""

def diff(
    a: array,
    /,
    n: int = 1,
    axis: int = -1,
    *,
    prepend: array | None = None,
    append: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Differences of neighbours along `axis`, `n` times over."""

def digamma(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The derivative of lgamma, elementwise. Differentiable."""

def disable_compile() -> None:
    """Makes compiled functions run directly. LEGATO_DISABLE_COMPILE=1 does so from the start."""

def divide(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a / b, elementwise. Integers and bool divide in float32. Differentiable."""

def divmod(
    a: scalar | array,
    b: scalar | array,
    /,
    *,
    stream: StreamOrDevice = None,
) -> tuple[array, ...]:
    """The pair (a // b, a % b)."""

def einsum(subscripts: str, *operands: array, stream: StreamOrDevice = None) -> array:
    """Sums of products over named axes, in Einstein's notation."""

def einsum_path(subscripts: str, *operands: Any) -> tuple[list[tuple[int, ...]], str]:
    """The order in which `einsum` contracts these operands, and what it costs."""

def empty(
    shape: int | Sequence[int],
    dtype: Dtype | None = float32,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """An array whose content does not matter; it is filled with zeros."""

def empty_like(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array:
    """The shape, and by default the dtype, of `a`; the content does not matter, it is zeros."""

def enable_compile() -> None:
    """Undoes disable_compile()."""

def equal(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether a == b, elementwise. nan equals nothing."""

def erf(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The error function, elementwise. Complex values are refused. Differentiable."""

def erfc(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """1 - erf(a), elementwise, exact for large a. Differentiable."""

def erfinv(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The inverse of erf, elementwise: infinite at -1 and 1, nan beyond. Differentiable."""

def eval(*args: Any) -> None:
    """Computes all arrays in the arguments (arrays, lists, tuples, dicts, modules) and waits."""

def exp(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """e to the power of a, elementwise. Integers and bool give float32."""

def exp2(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """2 to the power of a, elementwise."""

def expand_dims(a: array, /, axis: int | Sequence[int], *, stream: StreamOrDevice = None) -> array:
    """Inserts axes of size 1 at the positions `axis` (an int or several) of the result."""

def explain(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs `fun` once, computes its results, and says how that went."""

def expm1(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """exp(a) - 1, elementwise, exact for small a."""

def export_to_dot(file: File, *args: Any, **kwargs: Any) -> None:
    """Writes the graph of arrays that are not computed yet for Graphviz."""

def eye(
    n: int,
    m: int | None = None,
    k: int = 0,
    dtype: Dtype | None = float32,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """A matrix of n rows and m columns (default n) with ones on the k-th diagonal."""

def flatten(
    a: array,
    /,
    start_axis: int = 0,
    end_axis: int = -1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Merges the axes from `start_axis` to `end_axis`, both included, into one."""

def flip(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Reverses the order of the elements along the given axes, by default all. Never copies."""

def floor(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The largest integer not above each element, in the same dtype. Complex values are refused."""

def floor_divide(
    a: scalar | array,
    b: scalar | array,
    /,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """a / b rounded down, as Python's `//`."""

def fmod(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a - b * trunc(a / b), with the sign of a, as in C. Exact. Differentiable."""

def from_dlpack(x: Any, /, *, copy: bool | None = None) -> array:
    """An array of the values behind a DLPack exporter (NumPy, PyTorch, CuPy, JAX, ...)."""

def full(
    shape: int | Sequence[int],
    vals: scalar | array,
    dtype: Dtype | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """An array filled with `vals`: a number, or an array that broadcasts to `shape`."""

def full_like(
    a: array,
    /,
    vals: scalar | array,
    dtype: Dtype | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The shape, and by default the dtype, of `a`, filled with `vals`."""

def gather_mm(
    a: array,
    b: array,
    /,
    lhs_indices: array | None = None,
    rhs_indices: array | None = None,
    *,
    sorted_indices: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """Products of matrices that are chosen by index, without a copy of them."""

def get_active_memory(*args: Any, **kwargs: Any) -> int:
    """get_active_memory(device: object | None = None) -> int"""

def get_array_buffer_size(*args: Any) -> None:
    """Bytes of the arrays in the arguments, trees of arrays; each array counts once."""

def get_cache_memory(*args: Any, **kwargs: Any) -> int:
    """get_cache_memory(device: object | None = None) -> int"""

def get_memory_limit(*args: Any, **kwargs: Any) -> int:
    """get_memory_limit(device: object | None = None) -> int"""

def get_peak_memory(*args: Any, **kwargs: Any) -> int:
    """get_peak_memory(device: object | None = None) -> int"""

def get_printoptions() -> PrintOptions:
    """The options in force."""

def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] = [],
) -> Callable[..., Any]:
    """A function that computes the gradient of `fun`, whose result must be a scalar array."""

def graph(*arrays: Any, format: str | None = 'text', **names: Any) -> str:
    """The graph of arrays that are not computed yet, as text."""

def greater(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether a > b, elementwise. See `less`."""

def greater_equal(
    a: scalar | array,
    b: scalar | array,
    /,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Whether a >= b, elementwise. See `less`."""

def hamming(M: int, *, stream: StreamOrDevice = None) -> array:
    """The Hamming window, 0.54 - 0.46 cos(2 pi n / (M - 1)), float32."""

def hanning(M: int, *, stream: StreamOrDevice = None) -> array:
    """The Hann window, 0.5 - 0.5 cos(2 pi n / (M - 1)), float32."""

def hypot(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """sqrt(a * a + b * b), elementwise, without overflow on the way. Differentiable."""

def i0e(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """exp(-|a|) I0(a), the modified Bessel function of order 0, scaled. Differentiable."""

def i1e(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """exp(-|a|) I1(a), the modified Bessel function of order 1, scaled. Differentiable."""

def identity(n: int, dtype: Dtype | None = float32, *, stream: StreamOrDevice = None) -> array:
    """The square identity matrix."""

def imag(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The imaginary part; zeros for a real array. Differentiable."""

def inner(a: array, b: array, /, *, stream: StreamOrDevice = None) -> array:
    """Sum of products over the last axes."""

def is_available(*args: Any, **kwargs: Any) -> bool:
    """is_available(device: object) -> bool"""

def isclose(
    a: array,
    b: array,
    /,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    *,
    equal_nan: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """Whether |a - b| <= atol + rtol * |b|, element by element."""

def isdtype(dtype: Dtype | None, kind: Dtype | str | tuple[Dtype | str, ...]) -> bool:
    """Whether `dtype` is of a kind, by the array API standard."""

def isfinite(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether an element is neither infinite nor nan."""

def isinf(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether an element is infinite."""

def isnan(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether an element is nan; of complex values, whether a part is."""

def isneginf(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether an element is -inf. Complex values are refused."""

def isposinf(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether an element is +inf. Complex values are refused."""

def issubdtype(arg1: Dtype | DtypeCategory, arg2: Dtype | DtypeCategory) -> bool:
    """Whether `arg1` is `arg2` or lies in it: issubdtype(float32, inexact) is True."""

def jvp(
    fun: Callable[..., Any],
    primals: Sequence[array],
    tangents: Sequence[array],
) -> tuple[list[array], list[array]]:
    """(outputs of `fun`, products of its Jacobian with the tangents): two lists of arrays."""

def kron(a: array, b: array, *, stream: StreamOrDevice = None) -> array:
    """Kronecker product."""

def left_shift(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a << b of integers, elementwise."""

def less(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether a < b, elementwise. Complex values compare by real, then by imaginary part."""

def less_equal(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether a <= b, elementwise. See `less`."""

def lgamma(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """log(|gamma(a)|), elementwise. Differentiable."""

def linspace(
    start: scalar,
    stop: scalar,
    num: int | None = 50,
    endpoint: bool = True,
    dtype: Dtype | None = float32,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`num` numbers in equal steps from `start` to `stop`, with `stop` itself if `endpoint`."""

def load(
    file: File,
    /,
    format: str | None = None,
    return_metadata: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> Any:
    """Loads arrays from a .npy, .npz or .safetensors file."""

def log(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The natural logarithm, elementwise: nan for negative real numbers, -inf for 0."""

def log10(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The logarithm to base 10, elementwise."""

def log1p(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """log(1 + a), elementwise, exact for small a."""

def log2(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The logarithm to base 2, elementwise."""

def log_softmax(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """log(softmax(a, axis)), without rounding small probabilities to 0."""

def logaddexp(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """log(exp(a) + exp(b)), elementwise, without overflow."""

def logcumsumexp(
    a: array,
    /,
    axis: int | None = None,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    stream: StreamOrDevice = None,
) -> array:
    """log(cumsum(exp(a))) along `axis`, without overflow."""

def logical_and(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether a and b are both true (not zero), elementwise."""

def logical_not(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether an element is false (zero)."""

def logical_or(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether a or b is true (not zero), elementwise."""

def logical_xor(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether exactly one of a and b is true (not zero), elementwise."""

def logsumexp(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """log(sum(exp(a))) along `axis`, without overflow."""

def masked_select(a: array, /, mask: array, size: int, *, stream: StreamOrDevice = None) -> array:
    """The first `size` entries of `a` whose `mask` is true, then zeros."""

def matmul(a: array, b: array, /, *, stream: StreamOrDevice = None) -> array:
    """Matrix product."""

def matrix_transpose(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Exchanges the last two axes."""

def max(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Largest element along `axis`; nan if there is one."""

def maximum(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """The larger of a and b, elementwise; nan if either is."""

def mean(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Arithmetic mean of the elements along `axis`."""

def median(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Middle of the sorted elements along `axis`, or the mean of the two in the middle."""

def memory_summary(*args: Any, **kwargs: Any) -> str:
    """memory_summary(device: object | None = None) -> str"""

def meshgrid(
    *arrays: array,
    sparse: bool = False,
    indexing: str = 'xy',
    stream: StreamOrDevice = None,
) -> tuple[array, ...]:
    """Coordinate grids of 1-d arrays."""

def min(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Smallest element along `axis`; nan if there is one."""

def minimum(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """The smaller of a and b, elementwise; nan if either is. See `maximum`."""

def minmax(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> tuple[array, ...]:
    """Smallest and largest element along `axis`, as a pair."""

def moveaxis(
    a: array,
    /,
    source: int | Sequence[int],
    destination: int | Sequence[int],
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Moves axes from `source` to `destination` (an int or several each); the others keep their order."""

def multiply(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a * b, elementwise. Integers wrap. Differentiable."""

def nan_to_num(
    a: array,
    /,
    nan: float = 0,
    posinf: float | None = None,
    neginf: float | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Replaces nan and infinities by numbers."""

def negative(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """-a, elementwise."""

def new_stream(*args: Any, **kwargs: Any) -> Stream:
    """new_stream(device: object) -> legato._core.Stream"""

def new_thread_local_stream(*args: Any, **kwargs: Any) -> ThreadLocalStream:
    """new_thread_local_stream(device: object) -> legato._core.ThreadLocalStream"""

def new_thread_unsafe_stream(*args: Any, **kwargs: Any) -> Stream:
    """new_thread_unsafe_stream(device: object) -> legato._core.Stream"""

def nextafter(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """The next representable number after a in the direction of b."""

def nonzero(a: array, /, *, stream: StreamOrDevice = None) -> tuple[array, ...]:
    """Positions of the elements that are not 0, in row-major order: one index array an axis."""

def not_equal(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether a != b, elementwise."""

def num_threads(*args: Any, **kwargs: Any) -> int:
    """num_threads() -> int"""

def ones(
    shape: int | Sequence[int],
    dtype: Dtype | None = float32,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """An array filled with ones; `shape` is an int or a sequence."""

def ones_like(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array:
    """Ones of the shape, and by default the dtype, of `a`."""

def outer(a: array, b: array, /, *, stream: StreamOrDevice = None) -> array:
    """Products of each element of a with each of b."""

def pad(
    a: array,
    pad_width: int | Sequence[int | Sequence[int]],
    mode: str = 'constant',
    constant_values: scalar | array = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with elements added at both ends of its axes."""

def partition(
    a: array,
    /,
    kth: int,
    axis: int | None = -1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The elements in an order in which the kth is where sorting would put it."""

def permute_dims(
    a: array,
    /,
    axes: int | Sequence[int] | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Permutes the axes; another name of `transpose`."""

def polygamma(n: scalar | array, a: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """The n-th derivative of digamma at a."""

def positive(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The array itself: unary +."""

def pow(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """The same as `power`."""

def power(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a to the power of b, elementwise."""

def printoptions(precision: int = -1) -> Any:
    """A context in which arrays are printed with other options: `with printoptions(precision=3)`."""

def prod(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Product of the elements along `axis`."""

def put_along_axis(
    a: array,
    /,
    indices: array,
    values: array,
    axis: int | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with `values` written at `indices` along one axis, each position on its own."""

def radians(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Degrees to radians."""

def real(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The real part; a real array is returned as it is. Differentiable."""

def reciprocal(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """1 / a, elementwise. Integers and bool give float32. Differentiable."""

def remainder(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a - b * floor(a / b), with the sign of b, as Python's `%`."""

def repeat(
    array: array,
    repeats: int | Sequence[int],
    axis: int | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Each element several times in a row along `axis`."""

def reset_peak_memory(*args: Any, **kwargs: Any) -> None:
    """reset_peak_memory() -> None"""

def reshape(a: array, /, shape: int | Sequence[int], *, stream: StreamOrDevice = None) -> array:
    """The elements of `a` in row-major order in another shape."""

def result_type(*arrays_and_dtypes: Any) -> Dtype:
    """The dtype in which arrays of these dtypes meet. Arrays count by their dtype alone, 0-d ones too."""

def right_shift(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a >> b of integers, elementwise; signed values keep their sign."""

def roll(
    a: array,
    /,
    shift: int | Sequence[int],
    axis: int | Sequence[int] | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Moves elements by `shift` places along `axis`; those beyond the end come back at the start."""

def round(a: array, /, decimals: int = 0, *, stream: StreamOrDevice = None) -> array:
    """Rounds to the given number of decimals, half to even."""

def rsqrt(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """1 / sqrt(a), elementwise. Integers give float32. Differentiable."""

def save(file: File, arr: array) -> None:
    """Saves one array in NumPy's format."""

def save_safetensors(
    file: File,
    arrays: dict[str, array],
    metadata: dict[str, str] | None = None,
) -> None:
    """Saves arrays in the safetensors format."""

def savez(file: File, *args: Any, **kwargs: Any) -> None:
    """Saves several arrays in NumPy's .npz format; positional ones are called arr_0, arr_1, ..."""

def savez_compressed(file: File, *args: Any, **kwargs: Any) -> None:
    """Saves several arrays in NumPy's .npz format, compressed; see `savez`."""

def searchsorted(
    sorted_sequence: array,
    values: array,
    /,
    side: str = 'left',
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Where to insert each value into a sorted sequence so that it stays sorted, uint32."""

def segmented_mm(a: array, b: array, /, segments: array, *, stream: StreamOrDevice = None) -> array:
    """A product for each segment of the summed axis."""

def set_cache_limit(*args: Any, **kwargs: Any) -> int:
    """set_cache_limit(limit: int) -> int"""

def set_default_device(*args: Any, **kwargs: Any) -> None:
    """set_default_device(device: object) -> None"""

def set_default_stream(*args: Any, **kwargs: Any) -> None:
    """set_default_stream(stream: object) -> None"""

def set_memory_limit(*args: Any, **kwargs: Any) -> int:
    """set_memory_limit(limit: int) -> int"""

def set_num_threads(*args: Any, **kwargs: Any) -> None:
    """set_num_threads(n: int) -> None"""

def set_printoptions(precision: int = -1) -> None:
    """Sets the digits behind the point; -1 prints six significant digits."""

def set_spill_limit(*args: Any, **kwargs: Any) -> int:
    """set_spill_limit(limit: int) -> int"""

def set_wired_limit(*args: Any, **kwargs: Any) -> int:
    """set_wired_limit(limit: int) -> int"""

def sigmoid(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """1 / (1 + exp(-a)), elementwise."""

def sign(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """-1, 0 or 1 by the sign of each element; 0 for nan; a / |a| for complex values."""

def signbit(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Whether the sign is negative, -0.0 included. Complex values are refused."""

def sin(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The sine of an angle in radians, elementwise."""

def sinh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The hyperbolic sine, elementwise."""

def slice(
    a: array,
    start_indices: array,
    axes: int | Sequence[int],
    slice_size: int | Sequence[int],
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The part of `a` that begins at `start_indices` on `axes` and has `slice_size` there."""

def slice_update(
    a: array,
    update: array,
    start_indices: array,
    axes: int | Sequence[int],
    *,
    stream: StreamOrDevice = None,
) -> array:
    """`a` with the part of the size of `update` that begins at `start_indices` on `axes` replaced."""

def softmax(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    *,
    precise: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """exp(a) / sum(exp(a)) along `axis`: positive numbers that add up to 1."""

def sort(a: array, /, axis: int | None = -1, *, stream: StreamOrDevice = None) -> array:
    """Sorted copy along `axis`."""

def split(
    a: array,
    /,
    indices_or_sections: int | Sequence[int | Sequence[int]],
    axis: int = 0,
    *,
    stream: StreamOrDevice = None,
) -> list[array]:
    """Parts of `a` along `axis`, without copies."""

def sqrt(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The square root, elementwise; nan for negative real numbers. Integers give float32. Differentiable."""

def square(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """a * a, elementwise. Integers wrap. Differentiable."""

def squeeze(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Drops axes of size 1: those named by `axis`, by default all."""

def stack(arrays: Sequence[array], axis: int | None = 0, *, stream: StreamOrDevice = None) -> array:
    """The arrays, all of one shape, along a new axis."""

def std(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    ddof: int = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Standard deviation: the square root of `var`."""

def stop_gradient(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The same value, with no derivative."""

def stream(*args: Any, **kwargs: Any) -> StreamContext:
    """stream(s: object) -> legato._core.StreamContext"""

def subtract(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a - b, elementwise. Integers wrap. Differentiable."""

def sum(
    array: array,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Sum of the elements along `axis`."""

def swapaxes(a: array, /, axis1: int, axis2: int, *, stream: StreamOrDevice = None) -> array:
    """Exchanges two axes."""

def synchronize(*args: Any, **kwargs: Any) -> None:
    """synchronize(stream: object | None = None) -> None"""

def take(
    a: array,
    /,
    indices: scalar | array,
    axis: int | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Elements of `a` at `indices`, an int or an integer array, along `axis`."""

def take_along_axis(
    a: array,
    /,
    indices: array,
    axis: int | None = -1,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Elements of `a` at `indices` along one axis, each position on its own."""

def tan(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The tangent of an angle in radians, elementwise."""

def tanh(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """The hyperbolic tangent, elementwise."""

def tensordot(
    a: array,
    b: array,
    /,
    axes: int | Sequence[int | Sequence[int]] = 2,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Sum of products over chosen axes of both operands."""

def tf32_allowed(*args: Any, **kwargs: Any) -> bool:
    """tf32_allowed() -> bool"""

def tile(a: array, reps: int | Sequence[int], /, *, stream: StreamOrDevice = None) -> array:
    """`a` repeated reps[i] times along axis i."""

def topk(a: array, /, k: int, axis: int | None = -1, *, stream: StreamOrDevice = None) -> array:
    """The `k` largest elements along `axis`, in rising order."""

def trace(
    a: array,
    /,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Dtype | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Sum along a diagonal of the planes spanned by `axis1` and `axis2`."""

def transpose(
    a: array,
    /,
    axes: int | Sequence[int] | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Permutes the axes: axis i of the result is axis axes[i] of `a`; by default they are reversed."""

def tri(
    n: int,
    m: int | None = None,
    k: int = 0,
    dtype: Dtype | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """A matrix of n rows and m columns (default n) with ones on and below the k-th diagonal, in float32 by default."""

def tril(x: array, k: int = 0, *, stream: StreamOrDevice = None) -> array:
    """`x` with zeros above the k-th diagonal of its last two axes."""

def triu(x: array, k: int = 0, *, stream: StreamOrDevice = None) -> array:
    """`x` with zeros below the k-th diagonal of its last two axes."""

def trunc(a: array, /, *, stream: StreamOrDevice = None) -> array:
    """Each element without its fraction, in the same dtype. Complex values are refused."""

def unflatten(
    a: array,
    /,
    axis: int,
    shape: int | Sequence[int],
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Splits `axis` into axes of the sizes in `shape`, one of which may be -1."""

def unique(
    a: array,
    /,
    size: int | None = None,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    fill_value: scalar | array | None = None,
    *,
    equal_nan: bool = True,
    stream: StreamOrDevice = None,
) -> array | tuple[array, ...]:
    """The distinct elements of the flattened array, in rising order."""

def unique_all(x: Any, /) -> tuple[array, array, array, array]:
    """Distinct elements of `x` with first appearances, inverse indices and counts; nan differs from nan."""

def unique_counts(x: Any, /) -> tuple[array, array]:
    """Distinct elements of `x` and how often each appears; nan differs from nan."""

def unique_inverse(x: Any, /) -> tuple[array, array]:
    """Distinct elements of `x`, and for each element of `x` the index of its equal."""

def unique_values(x: Any, /) -> array:
    """Distinct elements of `x` in rising order; nan differs from nan."""

def unstack(a: array, /, axis: int = 0, *, stream: StreamOrDevice = None) -> tuple[array, ...]:
    """The arrays along `axis`, each without it."""

def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] = [],
) -> Callable[..., tuple[Any, Any]]:
    """A function that computes the value and the gradient of `fun`, see `grad`."""

def var(
    a: array,
    /,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    ddof: int = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Variance: the sum of |a - mean(a)|**2 along `axis`, divided by n - `ddof`."""

def vecdot(a: array, b: array, /, axis: int = -1, *, stream: StreamOrDevice = None) -> array:
    """Sum of conj(a) * b over one axis; the other axes broadcast."""

def view(a: scalar | array, /, dtype: Dtype, *, stream: StreamOrDevice = None) -> array:
    """The bytes of `a` read as another dtype."""

def vjp(
    fun: Callable[..., Any],
    primals: Sequence[array],
    cotangents: Sequence[array],
) -> tuple[list[array], list[array]]:
    """(outputs of `fun`, products of the cotangents with its Jacobian): two lists of arrays."""

def vmap(fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """`fun` mapped over an axis of its arguments."""

def where(
    condition: scalar | array,
    x: scalar | array,
    y: scalar | array,
    /,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """x where `condition` is true (not zero), else y."""

def xlogy(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array:
    """a * log(b), elementwise, 0 where a is 0. Differentiable."""

def zeros(
    shape: int | Sequence[int],
    dtype: Dtype | None = float32,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """An array filled with zeros; `shape` is an int or a sequence."""

def zeros_like(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array:
    """Zeros of the shape, and by default the dtype, of `a`."""
