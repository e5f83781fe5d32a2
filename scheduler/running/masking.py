"""Hides secrets in what a run prints: plain, and in the forms in which programs usually print them on.

Forms: as it is, base64 (at each of its three alignments with the letters it shares, both alphabets, with or without
padding, wrapped or not, and URL-encoded itself), URL-encoded and JSON-escaped as the usual languages do it,
HTML-escaped; of a secret of several lines each line too. Newlines do not count, so a value that was broken over lines
is found. Works on a stream: what may be the beginning of a secret is held back until more comes, never more than about
twice the longest form. Pure.

Leaves out what a program can do on purpose: reversing, encrypting, printing a letter at a time with others between.
Masking guards against mishaps; whoever is granted a secret must be trusted with it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import string
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = b"***"
SECRET_BYTES_MIN: Final = 4
"""Shorter secrets are not masked: they stand everywhere by chance, and hiding them would hide the log."""

_SLACK: Final = 1_024
_NEWLINES: Final = b"\r\n"
_NEWLINE: Final = re.compile(rb"[\r\n]")
_BASE64: Final = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
_FOR_URLS: Final = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class Form:
    """Bytes that a secret is printed as.

    Args:
        text: the bytes, newlines taken out.
        ahead: letters, one of which stands ahead of it where the secret has a part in that letter; it is hidden too.
        behind: the same behind it.
    """

    text: bytes
    ahead: bytes = b""
    behind: bytes = b""


class Masker:
    """Masks secrets in one stream: `feed` its pieces, then `finish`.

    Args:
        secrets: the values; empty ones and those shorter than `SECRET_BYTES_MIN` are left alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms: set[Form] = set()
        self._held_max = _SLACK
        for secret in secrets:
            self.add(secret)
        self._held = b""
        self._covered = 0  # so many bytes of what is held, newlines not counted, belong to a secret whose mask is shown

    def add(self, secret: str) -> None:
        """Mask one more value, from now on."""
        forms = forms_of(secret)
        self._forms |= forms
        self._held_max = max(self._held_max, *(2 * len(form.text) + _SLACK for form in forms), 0)

    @property
    def held_bytes(self) -> int:
        """How much is held back, in bytes."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown of the stream so far and has not been returned yet, masked."""
        if not self._forms:
            return data
        view = _View(self._held + data)
        spans = self._spans(view.plain)
        safe = len(view.plain) - max(_beginning(view.plain, form) for form in self._forms)
        if len(view.data) - view.place(safe) > self._held_max:  # newlines without end: those need not wait
            safe = len(view.plain)
        return self._show(view, spans, safe)

    def finish(self) -> bytes:
        """Return the rest, masked; the stream has ended."""
        view = _View(self._held)
        return self._show(view, self._spans(view.plain), len(view.plain))

    def _spans(self, plain: bytes) -> list[tuple[int, int]]:
        """Return where forms stand, those that overlap joined, in order."""
        found = sorted(span for form in self._forms for span in _places(plain, form))
        spans = [(0, self._covered)] if self._covered else []
        for start, end in found:
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        return spans

    def _show(self, view: _View, spans: list[tuple[int, int]], safe: int) -> bytes:
        """Return `view` up to its plain place `safe`, masked, and hold back the rest."""
        pieces, shown, covered = [], 0, 0 if safe else self._covered
        for start, end in spans:
            if start >= safe:
                break
            pieces.append(view.data[shown : view.place(start)])
            if not (start == 0 and self._covered):
                pieces.append(MASK)
            shown = view.place(min(end, safe) - 1) + 1
            covered = max(0, end - safe)
        cut = view.place(safe)
        pieces.append(view.data[shown:cut])
        self._held, self._covered = view.data[cut:], covered
        return b"".join(pieces)


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """Return a text with secrets masked."""
    masker = Masker(secrets)
    data = text.encode(errors="surrogateescape")
    return (masker.feed(data) + masker.finish()).decode(errors="replace")


def forms_of(secret: str) -> frozenset[Form]:
    """Return the forms in which a secret is looked for."""
    raw = secret.encode(errors="surrogateescape")
    values = {raw, raw.strip(), *(line.strip() for line in raw.splitlines())}
    values = {value for value in values if len(value) >= SECRET_BYTES_MIN}
    plain = {Form(found.translate(None, _NEWLINES)) for value in values for found in _encodings(value)}
    encoded = {form for value in values for form in _base64_encodings(value)}
    return frozenset(form for form in plain | encoded if len(form.text) >= SECRET_BYTES_MIN)


def _encodings(value: bytes) -> Iterator[bytes]:
    yield value
    for quoted in _url_encodings(value):
        yield quoted.encode()
        yield _lower_escapes(quoted).encode()
    text = value.decode(errors="replace")
    for escaped in (*_json_encodings(text), *_html_encodings(text)):
        yield escaped.encode(errors="replace")


def _url_encodings(value: bytes) -> Iterator[str]:
    """Yield what Python, JavaScript (encodeURIComponent, encodeURI, URLSearchParams) and their kin make of a value."""
    for safe in ("", "/", "!'()*", "!'()*;,/?:@&=+$#"):
        yield quote(value, safe=safe)
    for safe in ("", "*"):
        yield quote_plus(value, safe=safe)
        yield quote_plus(value, safe=safe).replace("~", "%7E")


def _json_encodings(text: str) -> Iterator[str]:
    """Yield what Python, JavaScript and Go make of a text; the last, and others, escape what HTML would read."""
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for marks in ("", "&<>", "&<>'", "&<>'+"):
            for digits in ("04x", "04X"):
                table = {ord(mark): f"\\u{ord(mark):{digits}}" for mark in marks}
                yield escaped.translate(table)
                yield escaped.translate(table).replace("/", "\\/")


def _html_encodings(text: str) -> Iterator[str]:
    """Yield a text as HTML has it, with quotes as they are or in the forms that are usual."""
    yield html.escape(text, quote=False)
    quoted = html.escape(text)
    yield quoted
    for apostrophe in ("&#39;", "&apos;"):
        for quote_mark in ("&quot;", "&#34;"):
            yield quoted.replace("&#x27;", apostrophe).replace("&quot;", quote_mark)


def _base64_encodings(value: bytes) -> Iterator[Form]:
    """Yield base64 of a value behind 0, 1 or 2 bytes of something else, modulo 3."""
    for before in range(3):
        text, *around = _base64_core(value, before)
        yield Form(text, *around)
        yield Form(*(part.translate(_FOR_URLS) for part in (text, *around)))
        quoted = quote(text, safe="")
        for escaped in (quoted.encode(), _lower_escapes(quoted).encode(), text.replace(b"/", b"\\/")):
            yield Form(escaped, *around)


def _base64_core(value: bytes, before: int) -> tuple[bytes, bytes, bytes]:
    """Return the letters that the value alone decides, those of which one is ahead of them, and of which one behind.

    Source: RFC 4648, section 4: six bits a letter, so the first and the last bits may share one with other bytes.
    """
    encoded = base64.b64encode(b"\0" * before + value)
    first, shared_ahead = -(-before * 8 // 6), -before * 8 % 6
    last, shared_behind = divmod((before + len(value)) * 8, 6)
    first_bits = value[0] >> 8 - shared_ahead
    last_bits = value[-1] & (1 << shared_behind) - 1
    ahead = bytes(_BASE64[at] for at in range(64) if at & (1 << shared_ahead) - 1 == first_bits)
    behind = bytes(_BASE64[at] for at in range(64) if at >> 6 - shared_behind == last_bits)
    return encoded[first:last], ahead if shared_ahead else b"", behind if shared_behind else b""


def _lower_escapes(quoted: str) -> str:
    pieces = quoted.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])


def _places(plain: bytes, form: Form) -> Iterator[tuple[int, int]]:
    """Yield from where to where a form stands, with the letters around it that tell of it."""
    at = plain.find(form.text)
    while at >= 0:
        end = at + len(form.text)
        yield at - _is_one(plain[max(0, at - 1) : at], form.ahead), end + _is_one(plain[end : end + 1], form.behind)
        at = plain.find(form.text, at + 1)


def _is_one(letter: bytes, letters: bytes) -> bool:
    return letter != b"" and letter in letters


def _beginning(plain: bytes, form: Form) -> int:
    """Return the length of the longest end of `plain` that may be the beginning of a form."""
    # All of it may be, too, where the letter behind it matters.
    length = len(form.text) - (0 if form.behind else 1)
    at = max(0, len(plain) - length)
    while (at := plain.find(form.text[:1], at)) >= 0:
        if form.text.startswith(plain[at:]):
            break
        at += 1
    begun = len(plain) if at < 0 else at
    return len(plain) - begun + _is_one(plain[max(0, begun - 1) : begun], form.ahead)


class _View:
    """Data without its newlines, with the way back."""

    __slots__ = ("_before", "data", "plain")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.plain = data.translate(None, _NEWLINES)
        newlines = _NEWLINE.finditer(data) if len(self.plain) != len(data) else ()
        self._before = [found.start() - count for count, found in enumerate(newlines)]

    def place(self, at: int) -> int:
        """Return where in the data byte `at` of the plain view stands; its end is the data's end."""
        return at + bisect_right(self._before, at) if at < len(self.plain) else len(self.data)
