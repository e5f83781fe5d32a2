"""The Hamming distance of two hashes in hexadecimal: the quick start's `calculate_hamming_distance`.

Implements one function of the contract. Left out: ranks of peers by distance, which the board works out from raw bytes.
Source: R. W. Hamming, *Error detecting and error correcting codes*, Bell System Technical Journal 29 (1950).
"""

from __future__ import annotations

import re
from typing import Final

_HEX: Final = re.compile(r"[0-9a-fA-F]+")


def calculate_hamming_distance(hex1: str, hex2: str) -> int:
    """Count the bits in which two hashes differ: `"0000"` against `"ffff"` is 16.

    Args:
        hex1: hexadecimal digits of either case, at least one, without prefix or spaces.
        hex2: as many digits.

    Raises:
        ValueError: the lengths differ, or one is not hexadecimal.
    """
    if len(hex1) != len(hex2):
        raise ValueError(f"hashes of unequal length: {len(hex1)} and {len(hex2)} hexadecimal digits")
    for text in (hex1, hex2):
        if not _HEX.fullmatch(text):
            raise ValueError(f"not hexadecimal digits: {text[:80]!r}")
    return (int(hex1, 16) ^ int(hex2, 16)).bit_count()
