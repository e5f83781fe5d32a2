"""Just enough of edwards25519 to make the keys and signatures that libraries judge differently (rules A5 and A6).

Affine, slow and not secret: for test vectors only. Source: RFC 8032, section 5.1.
"""

from __future__ import annotations

import hashlib
from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Return the sum of two points."""
    (x1, y1), (x2, y2) = a, b
    cross = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P)
    return x % P, y % P


def multiply(scalar: int, point: Point) -> Point:
    """Return `point` added to itself `scalar` times."""
    total: Point = (0, 1)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def encode_point(point: Point) -> bytes:
    """Return y with the sign of x in the top bit."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def find_x(y: int) -> int | None:
    """Return an x to y, None where y is on no point of the curve."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return x
    return None


_BASE_Y: Final = 4 * pow(5, -1, P) % P
_x = find_x(_BASE_Y)
assert _x is not None
BASE: Final[Point] = (_x if _x % 2 == 0 else P - _x, _BASE_Y)

ORDER_8_Y: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
SMALL_ORDER_Y: Final = (0, 1, P - 1, ORDER_8_Y, P - ORDER_8_Y)


def mixed_key(seed: bytes) -> bytes:
    """Return the public key of `seed` with a point of order 8 added: canonical, on the curve, not of prime order."""
    x = find_x(ORDER_8_Y)
    assert x is not None
    return encode_point(add(multiply(_secret(seed), BASE), (x, ORDER_8_Y)))


def sign_mixed(seed: bytes, message: bytes, nonce: int) -> tuple[bytes, int]:
    """Return a signature by `mixed_key(seed)`, and its challenge.

    It verifies with the cofactor always, without it only where the challenge is a multiple of 8.
    """
    r = multiply(nonce, BASE)
    challenge = int.from_bytes(hashlib.sha512(encode_point(r) + mixed_key(seed) + message).digest(), "little") % L
    return encode_point(r) + ((nonce + challenge * _secret(seed)) % L).to_bytes(32, "little"), challenge


def _secret(seed: bytes) -> int:
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return scalar & ~7 & (2**254 - 1) | 2**254
