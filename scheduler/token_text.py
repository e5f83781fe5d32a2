"""A piece of data as one line of text that people copy: a prefix, then base32 of length, body and checksum.

After the prefix: the length of the body (3 bytes), the body, and the first 5 bytes of SHA-256 over domain, length and
body. So a text that was cut off, mistyped, or glued to something else is told apart. Case, spaces and line breaks do
not matter. Pure. Leaves out what the body says (scheduler.invite, scheduler.light.token).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

_LENGTH_BYTES: Final = 3
_SUM_BYTES: Final = 5
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")


@dataclass(frozen=True, slots=True)
class TokenForm:
    """One kind of text.

    Args:
        prefix: what it begins with.
        domain: what its checksum is over, before length and body.
        noun, article: what it is called, as "invitation" and "an".
        error: what is raised for a text that is none, or not a whole one.
        body_bytes_max: the largest body.
    """

    prefix: str
    domain: bytes
    noun: str
    article: str
    error: type[ValueError]
    body_bytes_max: int

    @property
    def chars_max(self) -> int:
        """The longest text that is looked at."""
        return self._chars(self.body_bytes_max + _LENGTH_BYTES + _SUM_BYTES) * 5 // 4

    def write(self, body: bytes) -> str:
        """Return the text of `body`."""
        framed = len(body).to_bytes(_LENGTH_BYTES) + body
        return self._text_of(framed + self._sum(framed))

    def read(self, text: str) -> bytes:
        """Return the body of a text; raise `error`, which tells what is wrong with it."""
        token = "".join(text[: self.chars_max].split()).lower()
        data = self._data_of(token, len(text))
        body = self._unframe(data)
        if token != self._text_of(data):  # bits of a last character that stand for nothing
            raise self.error(f"something follows the {self.noun}, or its last character is mistyped")
        return body

    def is_meant(self, text: str) -> bool:
        """Return whether `text` can only be meant as one of these."""
        return text.strip().lower().startswith(self.prefix)

    def _text_of(self, data: bytes) -> str:
        return self.prefix + base64.b32encode(data).decode("ascii").rstrip("=").lower()

    def _data_of(self, token: str, chars: int) -> bytes:
        noun, prefix = self.noun, self.prefix
        if chars > self.chars_max:
            raise self.error(f"a text of {chars:,} characters is no {noun}")
        if not token:
            raise self.error(f"the {noun} is empty")
        if not token.startswith(prefix):
            raise self.error(f"{self.article} {noun} begins with {prefix!r}, this text with {token[: len(prefix)]!r}")
        digits = token.removeprefix(prefix)
        for at, char in enumerate(digits):
            if char not in _ALPHABET:
                raise self.error(
                    f"character {len(prefix) + at + 1} of the {noun} is {char!r}: only a–z and 2–7 stand there"
                )
        whole = digits[: len(digits) - (len(digits) % 8 in (1, 3, 6))]  # such a rest codes no byte: one was cut off
        return base64.b32decode(whole.upper() + "=" * (-len(whole) % 8))

    def _unframe(self, data: bytes) -> bytes:
        size = int.from_bytes(data[:_LENGTH_BYTES])
        whole = _LENGTH_BYTES + size + _SUM_BYTES
        if len(data) < _LENGTH_BYTES + _SUM_BYTES:
            raise self.error(f"the {self.noun} is cut off right at its beginning")
        framed, checksum = data[: whole - _SUM_BYTES], data[whole - _SUM_BYTES : whole]
        if len(data) == whole and checksum == self._sum(framed):
            return framed[_LENGTH_BYTES:]
        if len(data) < whole and size <= self.body_bytes_max:
            raise self.error(
                f"the {self.noun} is cut off: it has {self._chars(len(data))} characters of {self._chars(whole)} "
                "(or its first ones are mistyped)"
            )
        if len(data) > whole and checksum == self._sum(framed):
            raise self.error(f"something follows the {self.noun}, which ends after {self._chars(whole)} characters")
        raise self.error(f"the {self.noun} is mistyped: its checksum does not fit")

    def _sum(self, framed: bytes) -> bytes:
        return hashlib.sha256(self.domain + framed).digest()[:_SUM_BYTES]

    def _chars(self, size: int) -> int:
        """Return how many characters a text of so many bytes has."""
        return len(self.prefix) + (size * 8 + 4) // 5
