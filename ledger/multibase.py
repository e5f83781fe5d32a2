"""Multibase text of bytes: base32 (prefix `b`) and base58btc (prefix `z`), the two that CIDs and keys are printed in.

Implements: the multibase forms that specs name for CIDs and keys. Strict: each text decodes to bytes that encode to
that same text again. Leaves out: every other base.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

TEXT_CHARS_MAX: Final = 1024
"""Longest text decoded, in characters. Base58 costs time quadratic in it; CIDs and keys need 60."""

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUE: Final = {char: value for value, char in enumerate(_BASE58)}


class MultibaseError(ValueError):
    """The text is not multibase base32 or base58btc."""


def encode_base32(data: bytes) -> str:
    """Return `b` and the lower-case unpadded RFC 4648 base32 of `data`."""
    return "b" + base64.b32encode(data).decode("ascii").rstrip("=").lower()


def encode_base58btc(data: bytes) -> str:
    """Return `z` and the base58 text of `data` in Bitcoin's alphabet."""
    zeros = len(data) - len(data.lstrip(b"\0"))
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return "z" + "1" * zeros + "".join(reversed(digits))


def decode_multibase(text: str) -> bytes:
    """Return the bytes of a `b…` or `z…` text; raise MultibaseError for any other or non-canonical text."""
    if len(text) > TEXT_CHARS_MAX:
        raise MultibaseError(f"multibase text of {len(text)} characters is longer than {TEXT_CHARS_MAX}")
    if text.startswith("b"):
        return _decode_base32(text)
    if text.startswith("z"):
        return _decode_base58btc(text)
    raise MultibaseError(f"multibase text must begin with 'b' (base32) or 'z' (base58btc), not {text[:1]!r}")


def _decode_base32(text: str) -> bytes:
    digits = text[1:]
    try:
        data = base64.b32decode(digits.upper() + "=" * (-len(digits) % 8))
    except (binascii.Error, ValueError) as error:
        raise MultibaseError(f"not base32: {error}") from None
    # The standard library ignores stray low bits and takes capitals: one text for the same bytes is what we want.
    if encode_base32(data) != text:
        raise MultibaseError("base32 text is not the canonical one of its bytes")
    return data


def _decode_base58btc(text: str) -> bytes:
    digits = text[1:]
    number = 0
    for char in digits:
        value = _BASE58_VALUE.get(char)
        if value is None:
            raise MultibaseError(f"{char!r} is no base58 digit")
        number = number * 58 + value
    zeros = len(digits) - len(digits.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
