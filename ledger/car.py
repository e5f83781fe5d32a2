"""CARv1 files: blocks with their CIDs in one stream, as Kubo, gateways and other tools write and read them.

Implements: section Stores and exchange, the file form of a delta, an export and a batch for Kubo. Works on streams that
cannot seek and holds one section at a time; each block is checked against its CID. Leaves out: CARv2 and its index, the
order of blocks, and whether what the roots reach is all there.

Source: IPLD's CARv1 specification. A header may hold CIDs of other forms than ours; then dag_cbor reads it, imported
where it is needed since that takes long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO, Final, NamedTuple

from ledger.cid import CID_BYTES, Cid, CidError
from ledger.codec import CodecError, Limits, decode, encode

HEADER_BYTES_MAX: Final = 65_536
"""Largest header, in bytes; enough for 1,500 roots."""
CAR_BLOCK_BYTES_MAX: Final = 2 * 1024 * 1024
"""Largest block, in bytes: what bitswap and Kubo carry."""
BAD_BLOCKS_KEPT_MAX: Final = 100
"""Most bad blocks that a reader names; it counts them all."""

# A CID of another form may be longer than ours; a hash of 64 bytes makes one of 70.
_SECTION_BYTES_MAX: Final = CAR_BLOCK_BYTES_MAX + 128
_VARINT_BYTES_MAX: Final = 9
_HEADER_LIMITS: Final = Limits(block_bytes_max=HEADER_BYTES_MAX)


class CarError(ValueError):
    """The stream is no CARv1 that is read here."""


class CarFormatError(CarError):
    """What stands at byte `offset` is not CARv1, or larger than allowed: nothing after it can be read."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"CAR at byte {offset}: {reason}")
        self.offset = offset


class CarTruncatedError(CarFormatError):
    """The stream ends inside what begins at byte `offset`. All before it is whole: fetch the rest."""


class CarBlockError(CarError):
    """A block does not hash to its CID."""


class BadBlock(NamedTuple):
    """A block that does not hash to `cid`, in the section at byte `offset`."""

    cid: Cid
    offset: int


def write_car(stream: BinaryIO, roots: Sequence[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> int:
    """Write a CARv1 with `roots` and `blocks`, in this order, and return the number of blocks.

    The blocks are believed to hash to their CIDs. Raises CarError for a block of more than CAR_BLOCK_BYTES_MAX bytes or
    more roots than a header holds.
    """
    stream.write(car_head(roots))
    count = 0
    for cid, block in blocks:
        stream.write(car_section(cid, block))
        count += 1
    return count


def car_head(roots: Sequence[Cid]) -> bytes:
    """Return what a CARv1 with `roots` begins with; raise CarError for more roots than a header holds."""
    header = encode({"roots": list(roots), "version": 1})
    if len(header) > HEADER_BYTES_MAX:
        raise CarError(f"{len(roots)} roots make a header of {len(header)} bytes, at most {HEADER_BYTES_MAX}")
    return _varint(len(header)) + header


def car_section(cid: Cid, block: bytes) -> bytes:
    """Return the section of a block; raise CarError for one of more than CAR_BLOCK_BYTES_MAX bytes."""
    if len(block) > CAR_BLOCK_BYTES_MAX:
        raise CarError(f"block {cid} has {len(block)} bytes, at most {CAR_BLOCK_BYTES_MAX} fit into a CAR")
    return b"".join((_varint(CID_BYTES + len(block)), cid, block))


def read_car(stream: BinaryIO, *, strays_max: int | None = None) -> CarReader:
    """Read the header of a CARv1 and return the reader of its blocks.

    With `strays_max` reading ends with CarFormatError where more sections than that do not hash to their CID, or have
    none of ours: who sends them is not to be read to the end. Raises CarFormatError for anything but a CARv1, a CARv2
    included, and CarTruncatedError where the stream ends too early.
    """
    return CarReader(stream, strays_max)


class CarReader:
    """The blocks of a CARv1 stream, to be iterated once; only those that hash to their CID come out.

    Iterating raises CarTruncatedError or CarFormatError after the last whole block. What the stream itself raises is
    passed on.
    """

    __slots__ = ("_position", "_strays_max", "_stream", "bad", "bad_count", "foreign", "offset", "roots")

    def __init__(self, stream: BinaryIO, strays_max: int | None = None) -> None:
        self._stream = stream
        self._strays_max = strays_max
        self._position = 0
        self.offset = 0
        """Where the section of the last block begins, in bytes from the start of the CAR."""
        self.bad: list[BadBlock] = []
        """The first bad blocks met so far."""
        self.bad_count = 0
        """How many blocks did not hash to their CID so far."""
        self.foreign = 0
        """How many sections were skipped so far, since their CID is none of ours: another version or hash."""
        length = self._length(0)
        if length is None:
            raise CarTruncatedError(0, "the stream is empty")
        if not 0 < length <= HEADER_BYTES_MAX:
            raise CarFormatError(0, f"a header of {length} bytes, at most {HEADER_BYTES_MAX}")
        self.roots: Final = _decode_header(self._take(length, 0))
        """The roots with CIDs of our form."""

    def __iter__(self) -> Iterator[tuple[Cid, bytes]]:
        while True:
            offset = self._position
            if self._strays_max is not None and self.bad_count + self.foreign > self._strays_max:
                raise CarFormatError(offset, f"more than {self._strays_max} blocks that are none of ours, or altered")
            section = self._section(offset)
            if section is None:
                return
            try:
                cid = Cid(section[:CID_BYTES])
            except CidError:
                self.foreign += 1
                continue
            block = section[CID_BYTES:]
            if cid.names(block):
                self.offset = offset
                yield cid, block
            else:
                self.bad_count += 1
                if len(self.bad) < BAD_BLOCKS_KEPT_MAX:
                    self.bad.append(BadBlock(cid, offset))

    def again(self, start: int, offset: int) -> bytes:
        """Return the block of the section at `offset` once more, from a stream where the CAR begins at byte `start`.

        Raises CarBlockError where another block stands there now. Iterating does not go on from here.
        """
        self._stream.seek(start + offset)
        section = self._section(offset) or b""
        if len(section) < CID_BYTES or not Cid(section[:CID_BYTES]).names(section[CID_BYTES:]):
            raise CarBlockError(f"CAR at byte {offset}: the file has changed while it was read")
        return section[CID_BYTES:]

    def require_good(self) -> None:
        """Raise CarBlockError where a block read so far did not hash to its CID."""
        if self.bad:
            cid, offset = self.bad[0]
            raise CarBlockError(f"CAR at byte {offset}: block does not hash to {cid}; {self.bad_count} such")

    def _section(self, offset: int) -> bytes | None:
        """Read the section that begins at `offset`, where the stream stands; return None at its end."""
        length = self._length(offset)
        if length is None:
            return None
        if not 0 < length <= _SECTION_BYTES_MAX:
            raise CarFormatError(offset, f"a section of {length} bytes, at most {_SECTION_BYTES_MAX}")
        return self._take(length, offset)

    def _length(self, offset: int) -> int | None:
        """Read the varint in front of a section, or return None where the stream ends before it."""
        value = 0
        for index in range(_VARINT_BYTES_MAX):
            byte = self._stream.read(1)
            if not byte:
                if index == 0:
                    return None
                raise CarTruncatedError(offset, "the stream ends within a length")
            self._position += 1
            value |= (byte[0] & 0x7F) << (7 * index)
            if byte[0] < 0x80:
                if byte[0] == 0 and index:
                    raise CarFormatError(offset, "a length is not in its shortest form")
                return value
        raise CarFormatError(offset, f"a length of more than {_VARINT_BYTES_MAX} bytes")

    def _take(self, length: int, offset: int) -> bytes:
        """Read exactly `length` bytes of what begins at `offset`; a socket may give them in pieces."""
        pieces = []
        missing = length
        while missing:
            piece = self._stream.read(missing)
            if not piece:
                raise CarTruncatedError(offset, f"the stream ends {missing} bytes too early")
            pieces.append(piece)
            missing -= len(piece)
        self._position += length
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _varint(value: int) -> bytes:
    """Return the unsigned LEB128 of `value`."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _decode_header(data: bytes) -> tuple[Cid, ...]:
    """Return the roots; those whose CID is none of ours are left out, as their blocks are."""
    with suppress(CodecError):  # one with CIDs of other forms is read below
        ours = decode(data, limits=_HEADER_LIMITS)
        if isinstance(ours, dict) and ours.keys() == {"roots", "version"} and type(ours["version"]) is int:
            roots = ours["roots"]
            if ours["version"] == 1 and isinstance(roots, list) and all(isinstance(root, Cid) for root in roots):
                return tuple(root for root in roots if isinstance(root, Cid))
    return _decode_other_header(data)


def _decode_other_header(data: bytes) -> tuple[Cid, ...]:
    import dag_cbor  # noqa: PLC0415  # see the module's docstring
    from multiformats import CID  # noqa: PLC0415  # as above

    try:
        header = dag_cbor.decode(data)
    except Exception as error:  # on broken bytes it lets out whatever its parts raise, six types at least
        raise CarFormatError(0, f"the header is not DAG-CBOR: {type(error).__name__}") from error
    if not isinstance(header, dict) or "version" not in header:
        raise CarFormatError(0, "the header is no map with a version")
    version = header["version"]
    if type(version) is not int or version != 1:  # true and 1.0 are equal to 1
        raise CarFormatError(0, f"CAR of version {version!r:.20}; only version 1 is read here")
    roots = header.get("roots")
    if not isinstance(roots, list) or len(header) != 2:
        raise CarFormatError(0, "the header has other fields than version and a list of roots")
    ours = []
    for root in roots:
        if not isinstance(root, CID):
            raise CarFormatError(0, "a root is no link")
        try:
            ours.append(Cid(bytes(root)))
        except CidError:
            continue
    return tuple(ours)
