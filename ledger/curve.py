"""Which encodings of points on edwards25519 a key or a signature may hold: canonical ones, not of small order.

Implements: the judgement of rule A5. Libraries differ on these encodings (one accepts a small-order key under which one
signature fits every message, another refuses it), so our own rule refuses them first and the verdict no longer depends
on the library. Leaves out: whether the bytes are a point at all, and arithmetic on points; the library that verifies
the signature (A6) does both.

Source: RFC 8032, sections 5.1.2 and 5.1.3.
"""

from __future__ import annotations

from typing import Final

POINT_BYTES: Final = 32
"""Length of an encoded point, in bytes: y little-endian in 255 bits, then the sign of x in the top bit."""

_P: Final = 2**255 - 19
_Y_MASK: Final = 2**255 - 1

# Eight points have an order that divides the cofactor 8. Their y, by order:
#   1: y = 1 (x = 0, the identity)    2: y = -1 (x = 0)    4: y = 0 (x^2 = -1)
#   8: doubled they must give y = 0. Doubling gives (x^2 + y^2) / (1 - d x^2 y^2), so x^2 = -y^2, and with it the curve
#      -x^2 + y^2 = 1 + d x^2 y^2 becomes d y^4 + 2 y^2 - 1 = 0: two roots, this one and its negative, each with two x.
_Y_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


def is_canonical_point(encoding: bytes) -> bool:
    """Return whether `encoding` is 32 bytes whose y is less than the field's p, as RFC 8032 demands."""
    return len(encoding) == POINT_BYTES and _y(encoding) < _P


def is_small_order(encoding: bytes) -> bool:
    """Return whether `encoding`, canonical or not, stands for a point of order 1, 2, 4 or 8 (either sign bit)."""
    return _y(encoding) % _P in _SMALL_ORDER_Y


def _y(encoding: bytes) -> int:
    return int.from_bytes(encoding, "little") & _Y_MASK


_SMALL_ORDER_Y: Final = frozenset((0, 1, _P - 1, _Y_ORDER_8, _P - _Y_ORDER_8))
