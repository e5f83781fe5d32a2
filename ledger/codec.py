"""Strict canonical DAG-CBOR: values to bytes and back, one byte string for each value.

Implements: rules A1 (size, nesting, number of items) and A2 (strict canonical DAG-CBOR, no floats) of section
Acceptance, and the encoding that CIDs and signatures are taken of. `decode` takes one pass and reports the first
offence in the order of the bytes, so that every implementation names the same rule for the same block. Leaves out:
schemas, and floats on both sides.

Sources: RFC 8949, the IPLD DAG-CBOR specification (length-first map keys, tag 42 only, minimal heads).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import ClassVar, Final, TypeAlias

from ledger.cid import CID_BYTES, Cid, CidError

BLOCK_BYTES_MAX: Final = 65_536
"""Largest block of one event, in bytes (A1)."""
NESTING_MAX: Final = 8
"""Deepest container; the outermost one has depth 1 (A1)."""
ITEMS_MAX: Final = 16_384
"""Most data items: the outermost, and each element, map key and map value; a link is one item (A1)."""

Value: TypeAlias = "bool | int | str | bytes | list[Value] | dict[str, Value] | None"
"""What `decode` returns. A link is a `Cid`, which is a `bytes`."""
Encodable: TypeAlias = "bool | int | str | bytes | Sequence[Encodable] | Mapping[str, Encodable] | None"
"""What `encode` takes: a `Cid` becomes a link, other bytes a byte string, a list or tuple an array, a dict a map."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that `decode` enforces: bytes, depth and number of data items."""

    block_bytes_max: int = BLOCK_BYTES_MAX
    nesting_max: int = NESTING_MAX
    items_max: int = ITEMS_MAX


EVENT_LIMITS: Final = Limits()


class CodecError(ValueError):
    """The value or the bytes have no canonical DAG-CBOR form here."""


class EncodeError(CodecError):
    """The value is of a type or range that DAG-CBOR without floats cannot hold: fix the call."""


class DecodeError(CodecError):
    """The bytes break `rule`, first seen at byte `offset`."""

    rule: ClassVar[str]

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"{self.rule} at byte {offset}: {reason}")
        self.offset = offset


class LimitError(DecodeError):
    """A1: too large, too deep or too many items."""

    rule = "A1"


class CanonicalError(DecodeError):
    """A2: not strict canonical DAG-CBOR without floats."""

    rule = "A2"


# ---- encoding

_INT_MAX: Final = (1 << 64) - 1
_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_LINK_HEAD: Final = b"\xd8\x2a\x58\x25\x00"  # tag 42, a byte string of 37 bytes, the multibase prefix of raw binary
_LINK_BYTES: Final = len(_LINK_HEAD) + CID_BYTES
_CACHED_KEY_CHARS_MAX: Final = 32


def _long_head(major: int, argument: int) -> bytes:
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument >> (8 * width) == 0:
            return bytes((major << 5 | info,)) + argument.to_bytes(width, "big")
    raise EncodeError(f"{argument} does not fit into 64 bits")


_HEADS: Final = tuple(
    tuple(bytes((major << 5 | n,)) if n < 24 else _long_head(major, n) for n in range(256)) for major in range(6)
)
_UINT_HEADS, _NINT_HEADS, _BYTES_HEADS, _TEXT_HEADS, _ARRAY_HEADS, _MAP_HEADS = _HEADS


def _head(major: int, argument: int) -> bytes:
    return _HEADS[major][argument] if argument < 256 else _long_head(major, argument)


def encode(value: Encodable) -> bytes:
    """Return the canonical DAG-CBOR of `value`, made of None, bool, int, str, bytes, Cid, list, tuple and dict.

    Raises EncodeError for floats, integers outside -2^64..2^64-1, keys that are not text, text with lone surrogates and
    every other type. Sets no limit on size or depth: what is to be an event is measured by `decode`.
    """
    out: list[bytes] = []
    _encode(value, out.append)
    return b"".join(out)


def _encode(value: Encodable, put: Callable[[bytes], None]) -> None:
    kind = type(value)  # exact types first, the frequent ones; what is derived from them takes the longer way
    if kind is str:
        put(_encode_text(value))  # type: ignore[arg-type]  # its type was just compared
    elif kind is int:
        put(_UINT_HEADS[value] if 0 <= value < 256 else _encode_int(value))  # type: ignore[operator,index,arg-type]  # as above
    elif kind is Cid:
        put(_LINK_HEAD)
        put(value)  # type: ignore[arg-type]  # as above
    elif kind is dict:
        put(_head(_MAP, len(value)))  # type: ignore[arg-type]  # as above
        for key, name in _orders.get(names := tuple(value)) or _order(names):  # type: ignore[arg-type]  # as above
            put(key)
            _encode(value[name], put)  # type: ignore[index,call-overload]  # as above
    elif kind is list or kind is tuple:
        put(_head(_ARRAY, len(value)))  # type: ignore[arg-type]  # as above
        for element in value:  # type: ignore[union-attr]  # as above
            _encode(element, put)
    elif kind is bytes:
        put(_head(_BYTES, len(value)))  # type: ignore[arg-type]  # as above
        put(value)  # type: ignore[arg-type]  # as above
    else:
        _encode_other(value, put)


def _encode_other(value: Encodable, put: Callable[[bytes], None]) -> None:
    if value is None:
        put(b"\xf6")
    elif value is True:  # before int, of which bool is a subclass
        put(b"\xf5")
    elif value is False:
        put(b"\xf4")
    elif isinstance(value, str):
        put(_encode_text(value))
    elif isinstance(value, bytes):
        if isinstance(value, Cid):
            put(_LINK_HEAD)
        else:
            put(_head(_BYTES, len(value)))
        put(value)
    elif isinstance(value, int):
        put(_encode_int(value))
    elif isinstance(value, dict):
        _encode(dict(value), put)
    elif isinstance(value, (list, tuple)):
        _encode(list(value), put)
    else:
        raise EncodeError(f"no DAG-CBOR form here for a {type(value).__name__}")


def _encode_int(value: int) -> bytes:
    return _head(_UINT, value) if value >= 0 else _head(_NINT, -1 - value)


_ORDERS_MAX: Final = 512
_ORDER_CHARS_MAX: Final = 512
_orders: Final[dict[tuple[str, ...], list[tuple[bytes, str]]]] = {}
"""Keys as they stand in the maps of a few schemas, encoded and in order: worked out once."""


def _order(names: tuple[str, ...]) -> list[tuple[bytes, str]]:
    """Return the keys of a map in order, each encoded and as it is."""
    # A shorter key has a smaller head, so encoded keys in byte order are keys by length, then by bytes.
    found = sorted([(_encode_key(name), name) for name in names], key=_first)
    if len(_orders) < _ORDERS_MAX and sum(map(len, names)) <= _ORDER_CHARS_MAX:
        _orders[names] = found
    return found


def _encode_text(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"text is not Unicode: {error.reason} at {error.start}") from None
    return _head(_TEXT, len(data)) + data


_first: Final = itemgetter(0)
_short_key: Final = lru_cache(maxsize=1024)(_encode_text)  # the field names of a few schemas, again and again


def _encode_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise EncodeError(f"a map key must be text, not {type(key).__name__}")
    return _short_key(key) if len(key) <= _CACHED_KEY_CHARS_MAX else _encode_text(key)


# ---- decoding


def decode(data: bytes, *, limits: Limits = EVENT_LIMITS) -> Value:
    """Return the value of a canonical DAG-CBOR block: links as Cid, arrays as list, maps as dict in key order.

    Raises LimitError (A1) beyond `limits` and CanonicalError (A2) for whatever `encode` would not have written; no
    other exception leaves it, whatever the bytes. A length that promises more than the bytes hold is A2.
    """
    if len(data) > limits.block_bytes_max:
        raise LimitError(limits.block_bytes_max, f"block of {len(data)} bytes, at most {limits.block_bytes_max}")
    reader = _Reader(data, limits)
    try:
        value, end = reader.item(0, 1)
    except IndexError:  # data[position] past the end, the one way to truncation that is not checked where it happens
        raise CanonicalError(len(data), "truncated") from None
    if end != len(data):
        raise CanonicalError(end, f"{len(data) - end} bytes after the value")
    return value


_DAG_CBOR_LINK: Final = _LINK_HEAD + Cid.of(b"")[:4]
_TAG_42: Final = b"\xd8\x2a"
_new_cid: Final = bytes.__new__  # skips the check of the form: the prefix has just been compared
_SIMPLE: Final = {0xF4: False, 0xF5: True, 0xF6: None}


class _Reader:
    """One pass over one block: methods take a position and return what they read there and the position after it."""

    __slots__ = ("data", "items_left", "limits", "size")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = data
        self.size = len(data)
        self.limits = limits
        self.items_left = limits.items_max - 1

    def item(self, position: int, depth: int) -> tuple[Value, int]:
        """Read one data item; a container here has nesting `depth`."""
        data = self.data
        initial = data[position]
        if initial < 0x18:
            return initial, position + 1
        if initial >= 0xC0:
            return self.link(position) if initial < 0xE0 else self.simple(position)
        major = initial >> 5
        if major == _TEXT:
            return self.text(position)
        argument, start = initial & 0x1F, position + 1
        if argument >= 24:
            argument, start = self.argument(position)
        if major == _MAP:
            return self.map(position, start, argument, depth)
        if major == _ARRAY:
            return self.array(position, start, argument, depth)
        if major == _BYTES:
            end = self.end(position, start, argument)
            return data[start:end], end
        return (argument if major == _UINT else -1 - argument), start

    def text(self, position: int) -> tuple[str, int]:
        """Read a text string, which the caller has seen to be one."""
        length, start = self.data[position] & 0x1F, position + 1
        if length >= 24:
            length, start = self.argument(position)
        end = self.end(position, start, length)
        try:
            return self.data[start:end].decode(), end
        except UnicodeDecodeError:
            raise CanonicalError(position, "text is not UTF-8") from None

    def end(self, position: int, start: int, length: int) -> int:
        """Return the position after a string of `length` bytes."""
        if length > self.size - start:
            raise CanonicalError(position, f"{length} bytes declared, {self.size - start} left")
        return start + length

    def argument(self, position: int) -> tuple[int, int]:
        """Read the argument of a head whose initial byte announces more bytes; refuse long and indefinite forms."""
        info = self.data[position] & 0x1F
        if info > 27:
            raise CanonicalError(position, "indefinite length" if info == 31 else f"reserved length code {info}")
        width = 1 << (info - 24)
        end = position + 1 + width
        if end > self.size:
            raise CanonicalError(position, "truncated head")
        argument = int.from_bytes(self.data[position + 1 : end], "big")
        if argument < 24 or (width > 1 and argument >> (4 * width) == 0):
            raise CanonicalError(position, f"{argument} is not in its shortest form")
        return argument, end

    def enter(self, position: int, start: int, items: int, depth: int) -> None:
        """Check, before anything is read or allocated, that a container of so many items may be here."""
        if items > self.size - start:
            raise CanonicalError(position, f"{items} items declared, {self.size - start} bytes left")
        if depth > self.limits.nesting_max:
            raise LimitError(position, f"nested deeper than {self.limits.nesting_max}")
        self.items_left -= items
        if self.items_left < 0:
            raise LimitError(position, f"more than {self.limits.items_max} data items")

    def array(self, position: int, start: int, count: int, depth: int) -> tuple[list[Value], int]:
        """Read `count` elements."""
        self.enter(position, start, count, depth)
        read = self.item
        elements: list[Value] = []
        for _ in range(count):
            element, start = read(start, depth + 1)
            elements.append(element)
        return elements, start

    def map(self, position: int, start: int, count: int, depth: int) -> tuple[dict[str, Value], int]:
        """Read `count` members, their keys strictly ascending by length, then by bytes."""
        self.enter(position, start, 2 * count, depth)
        read = self.item
        data = self.data
        members: dict[str, Value] = {}
        last = b""
        for _ in range(count):
            if data[start] >> 5 != _TEXT:
                raise CanonicalError(start, "a map key must be text")
            key, after = self.text(start)
            encoded = data[start:after]
            if encoded <= last:  # byte order of encoded keys: see _encode
                raise CanonicalError(start, f"map key {key!r:.80} is a duplicate or out of order")
            last = encoded
            members[key], start = read(after, depth + 1)
        return members, start

    def link(self, position: int) -> tuple[Cid, int]:
        """Read a tagged item, which only a link may be."""
        data = self.data
        end = position + _LINK_BYTES
        if end <= self.size and data.startswith(_DAG_CBOR_LINK, position):
            return _new_cid(Cid, data[end - CID_BYTES : end]), end
        if not data.startswith(_LINK_HEAD, position):
            what = "link is no 36-byte CID" if data.startswith(_TAG_42, position) else "tag other than 42"
            raise CanonicalError(position, what)
        try:
            return Cid(data[end - CID_BYTES : end]), end
        except CidError as error:
            raise CanonicalError(position, f"malformed link: {error}") from None

    def simple(self, position: int) -> tuple[Value, int]:
        """Read false, true or null; refuse floats, undefined and other simple values."""
        initial = self.data[position]
        if initial not in _SIMPLE:
            what = "a float" if 0xF9 <= initial <= 0xFB else "a simple value other than false, true and null"
            raise CanonicalError(position, what)
        return _SIMPLE[initial], position + 1
