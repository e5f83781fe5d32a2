"""Hides secrets in what a run prints: plain, and in the forms in which programs usually print them on.

Forms: as it is, base64 (at each of its three alignments, both alphabets, with or without padding, wrapped or not, and
URL-encoded itself), URL-encoded and JSON-escaped as the usual languages do it, HTML-escaped; of a secret of several
lines each line too. Newlines do not count, so a value that was broken over lines is found. Works on a stream: what may
be the beginning of a secret is held back until more comes, never more than about twice the longest form. Pure.

Leaves out what a program can do on purpose: reversing, encrypting, printing a letter at a time with others between.
Masking guards against mishaps; whoever is granted a secret must be trusted with it.
"""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = b"***"
SECRET_BYTES_MIN: Final = 4
"""Shorter secrets are not masked: they stand everywhere by chance, and hiding them would hide the log."""

_SLACK: Final = 1_024
_NEWLINES: Final = b"\r\n"
_NEWLINE: Final = re.compile(rb"[\r\n]")


class Masker:
    """Masks secrets in one stream: `feed` its pieces, then `finish`.

    Args:
        secrets: the values; empty ones and those shorter than `SECRET_BYTES_MIN` are left alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = sorted({form for secret in secrets for form in forms_of(secret)}, key=len, reverse=True)
        self._held_max = 2 * len(self._forms[0]) + _SLACK if self._forms else 0
        self._held = b""
        self._covered = 0  # so many bytes of what is held, newlines not counted, belong to a secret whose mask is shown

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
        found = sorted((at, at + len(form)) for form in self._forms for at in _places(plain, form))
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


def forms_of(secret: str) -> frozenset[bytes]:
    """Return the forms in which a secret is looked for, newlines taken out."""
    raw = secret.encode(errors="surrogateescape")
    values = {raw, raw.strip(), *(line.strip() for line in raw.splitlines())}
    forms = {form for value in values if len(value) >= SECRET_BYTES_MIN for form in _encodings(value)}
    return frozenset(found for form in forms if len(found := form.translate(None, _NEWLINES)) >= SECRET_BYTES_MIN)


def _encodings(value: bytes) -> Iterator[bytes]:
    yield value
    for quoted in _url_encodings(value):
        yield quoted.encode()
        yield _lower_escapes(quoted).encode()
    text = value.decode(errors="replace")
    for escaped in (*_json_encodings(text), *_html_encodings(text)):
        yield escaped.encode(errors="replace")
    for before in range(3):
        core = _base64_core(value, before)
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))
        quoted = quote(core, safe="")
        yield quoted.encode()
        yield _lower_escapes(quoted).encode()
        yield core.replace(b"/", b"\\/")


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


def _base64_core(value: bytes, before: int) -> bytes:
    """Return the letters of base64 that the value alone decides, where `before` bytes modulo 3 stand ahead of it."""
    encoded = base64.b64encode(b"\0" * before + value)
    first = -(-before * 8 // 6)  # a letter that the bytes ahead have a part in
    last = (before + len(value)) * 8 // 6  # a letter that what follows has a part in
    return encoded[first:last]


def _lower_escapes(quoted: str) -> str:
    pieces = quoted.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])


def _places(plain: bytes, form: bytes) -> Iterator[int]:
    at = plain.find(form)
    while at >= 0:
        yield at
        at = plain.find(form, at + 1)


def _beginning(plain: bytes, form: bytes) -> int:
    """Return the length of the longest end of `plain` that begins `form` and is not all of it."""
    at = max(0, len(plain) - len(form) + 1)
    while (at := plain.find(form[:1], at)) >= 0:
        if form.startswith(plain[at:]):
            return len(plain) - at
        at += 1
    return 0


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
