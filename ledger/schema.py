"""Readers for the fields of a decoded map: each returns a typed value or raises SchemaError with the field's path.

Implements: the field types of specs/events.md (envelope, rule A3; operations, rule M2). Leaves out what a field means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final, TypeVar

from ledger.cid import Cid

TIME_MAX: Final = 2**53 - 1
"""Greatest time (ms since 1970) and height: the largest integer every JSON reader keeps exact."""
DURATION_MS_MAX: Final = 10**12

T = TypeVar("T")
Fields = Mapping[str, object]


class SchemaError(ValueError):
    """A field is missing or has a value of the wrong type, length or range."""


def keys_exactly(fields: Fields, required: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
    """Raise SchemaError unless `fields` has all of `required` and nothing beside `optional`."""
    missing = required - fields.keys()
    if missing:
        raise SchemaError(f"missing: {', '.join(sorted(missing))}")
    extra = fields.keys() - required - optional
    if extra:
        raise SchemaError(f"unknown: {', '.join(sorted(extra))}")


def integer(fields: Fields, name: str, least: int, most: int) -> int:
    """Return the integer `name` within [least, most]."""
    value = fields.get(name)
    if type(value) is not int:
        raise SchemaError(f"{name}: an integer is wanted")
    if not least <= value <= most:
        raise SchemaError(f"{name}: {value} is not within {least}..{most}")
    return value


def text(fields: Fields, name: str, most: int, least: int = 1) -> str:
    """Return the text `name` of `least` to `most` UTF-8 bytes."""
    return _text(fields.get(name), name, most, least)


def octets(fields: Fields, name: str, length: int) -> bytes:
    """Return the byte string `name` of exactly `length` bytes."""
    value = fields.get(name)
    if not isinstance(value, bytes) or isinstance(value, Cid) or len(value) != length:
        raise SchemaError(f"{name}: {length} bytes are wanted")
    return value


def data(fields: Fields, name: str) -> bytes:
    """Return the byte string `name` of any length."""
    value = fields.get(name)
    if not isinstance(value, bytes) or isinstance(value, Cid):
        raise SchemaError(f"{name}: bytes are wanted")
    return value


def submap(fields: Fields, name: str) -> Fields:
    """Return the map `name`."""
    value = fields.get(name)
    if not isinstance(value, dict):
        raise SchemaError(f"{name}: a map is wanted")
    return value


def items(fields: Fields, name: str, most: int, least: int = 0) -> list[object]:
    """Return the list `name` of `least` to `most` items."""
    value = fields.get(name)
    if not isinstance(value, list):
        raise SchemaError(f"{name}: a list is wanted")
    if not least <= len(value) <= most:
        raise SchemaError(f"{name}: {len(value)} items, not {least} to {most}")
    return value


def text_set(fields: Fields, name: str, most: int, bytes_max: int, least: int = 0) -> tuple[str, ...]:
    """Return the texts of `name`, which must be unique and sorted by their UTF-8 bytes."""
    texts = tuple(_text(value, name, bytes_max, 1) for value in items(fields, name, most, least))
    # Code points sort as their UTF-8 bytes do, so plain comparison is comparison of bytes.
    if any(a >= b for a, b in pairwise(texts)):
        raise SchemaError(f"{name}: sorted and unique texts are wanted")
    return texts


def octets_set(fields: Fields, name: str, most: int, length: int, least: int = 0) -> tuple[bytes, ...]:
    """Return the byte strings of `name`, each of `length` bytes, which must be unique and sorted."""
    values = tuple(octets({name: value}, name, length) for value in items(fields, name, most, least))
    if any(a >= b for a, b in pairwise(values)):
        raise SchemaError(f"{name}: sorted and unique byte strings are wanted")
    return values


def link(fields: Fields, name: str) -> Cid:
    """Return the link `name`, which must lead to a DAG-CBOR block."""
    return _event_link(fields.get(name), name)


def links(fields: Fields, name: str, most: int, least: int = 0) -> tuple[Cid, ...]:
    """Return the links of `name`, which must lead to DAG-CBOR blocks."""
    return tuple(_event_link(value, name) for value in items(fields, name, most, least))


def any_links(fields: Fields, name: str, most: int) -> tuple[Cid, ...]:
    """Return the links of `name`, to blocks of any codec."""
    values = items(fields, name, most)
    found = tuple(value for value in values if isinstance(value, Cid))
    if len(found) != len(values):
        raise SchemaError(f"{name}: links are wanted")
    return found


def choice(fields: Fields, name: str, choices: frozenset[str]) -> str:
    """Return the text `name`, one of `choices`."""
    value = fields.get(name)
    if not isinstance(value, str) or value not in choices:
        raise SchemaError(f"{name}: one of {', '.join(sorted(choices))} is wanted")
    return value


def optional(fields: Fields, name: str, read: Callable[[], T]) -> T | None:
    """Return what `read` returns where `name` is there, else None."""
    return read() if name in fields else None


def _text(value: object, name: str, most: int, least: int) -> str:
    if not isinstance(value, str):
        raise SchemaError(f"{name}: text is wanted")
    length = len(value.encode())
    if not least <= length <= most:
        raise SchemaError(f"{name}: {length} bytes of text, not {least} to {most}")
    return value


def _event_link(value: object, name: str) -> Cid:
    if not isinstance(value, Cid) or not value.is_event:
        raise SchemaError(f"{name}: a link to a DAG-CBOR block is wanted")
    return value
