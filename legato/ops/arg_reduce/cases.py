"""Places of the largest and smallest elements."""

from legato.testing import case, distinct

case("argmax", [distinct(3, 5)], dict(axis=1), dtypes="floats ints", out="uint32")
case("argmin", [distinct(3, 5)], dict(axis=0, keepdims=True), dtypes="floats ints", out="uint32")
