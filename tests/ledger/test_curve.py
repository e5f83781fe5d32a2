"""Rule A5: the encodings that no key and no R may have, derived again by plain affine arithmetic."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from ledger.curve import is_canonical_point, is_small_order
from ledger.keys import SigningKey

P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]
IDENTITY: Final[Point] = (0, 1)


def add(a: Point, b: Point) -> Point:
    """Add two points of -x^2 + y^2 = 1 + d x^2 y^2; the law is complete, so no case is left out."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P
    return x, y


def multiply(factor: int, point: Point) -> Point:
    """Add `point` to itself `factor` times."""
    result = IDENTITY
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def point_of_y(y: int) -> Point | None:
    """Return a point with this y, or None where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    for root in (x, x * pow(2, (P - 1) // 4, P) % P):
        if root * root % P == square:
            return root, y
    return None


def torsion() -> frozenset[Point]:
    """Return the points whose order divides 8: multiples of the prime order bring any point among them."""
    for y in range(2, 100):
        point = point_of_y(y)
        if point is not None:
            small = multiply(ORDER, point)
            if multiply(4, small) != IDENTITY:
                return frozenset(multiply(factor, small) for factor in range(8))
    raise AssertionError("no generator of the torsion among the first points")


def encodings(y: int) -> set[bytes]:
    """Return every 32 bytes whose y is this one: reduced or not, with either sign."""
    return {
        (value | sign << 255).to_bytes(32, "little") for value in range(y, 2**255, P) for sign in (0, 1)
    }  # value < 2^255 leaves room for one P at most


TORSION: Final = torsion()
SMALL: Final = frozenset(encoding for _, y in TORSION for encoding in encodings(y))


def test_the_torsion_has_eight_points_on_the_curve() -> None:
    """The points found by arithmetic are eight, of order 8 at most, and on the curve."""
    assert len(TORSION) == 8
    for x, y in TORSION:
        assert (-x * x + y * y - 1 - D * x * x * y * y) % P == 0
        assert multiply(8, (x, y)) == IDENTITY


def test_every_encoding_of_a_small_order_point_is_recognised() -> None:
    """All 14 encodings are refused: five y with two signs each, and y = 0 and y = 1 a second time unreduced."""
    assert len(SMALL) == 14
    assert all(is_small_order(encoding) for encoding in SMALL)


def test_canonical_is_y_below_p() -> None:
    """The 19 unreduced y, with either sign, are not canonical; p - 1 is."""
    for sign in (0, 1 << 255):
        for y in range(P, 2**255):
            assert not is_canonical_point((y | sign).to_bytes(32, "little"))
        for y in (0, 1, P - 1):
            assert is_canonical_point((y | sign).to_bytes(32, "little"))
    assert not is_canonical_point(bytes(31))
    assert not is_canonical_point(bytes(33))


@given(st.binary(min_size=32, max_size=32))
def test_other_encodings_are_not_of_small_order(encoding: bytes) -> None:
    """Whatever is none of the 14 is not of small order."""
    assert is_small_order(encoding) == (encoding in SMALL)


@given(st.binary(min_size=32, max_size=32))
def test_real_keys_and_signatures_pass(seed: bytes) -> None:
    """No honest key and no honest R is refused."""
    key = SigningKey.from_seed(seed)
    for point in (key.actor, key.sign(b"message")[:32]):
        assert is_canonical_point(point)
        assert not is_small_order(point)
