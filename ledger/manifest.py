"""A manifest: what one publisher says of its log, and the segments that hold it, as signed bytes and back.

Implements: specs/segments.md, rules G3 to G5. Decoding is strict: what comes from others is exactly such a block, and
signed by the publisher it names, or it is refused under a rule. Leaves out: how segments are made (ledger.segments),
and whether what a manifest says is so: nothing in it is believed (G6, G7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ledger import schema
from ledger.cid import CODEC_RAW, Cid
from ledger.codec import DecodeError, Limits, Value, decode, encode
from ledger.curve import is_canonical_point, is_small_order
from ledger.keys import ACTOR_KEY_BYTES, SIGNATURE_BYTES, ActorKey, SigningKey, verify_signature
from ledger.schema import SchemaError
from ledger.segments import SEGMENT_BYTES_MAX

MANIFEST_BYTES_MAX: Final = 1_048_576
"""Largest manifest, in bytes."""
HEADS_MAX: Final = 8_192
SEGMENTS_MAX: Final = 8_192
"""Most segments that a manifest names: a log of 8 GiB."""
REDUCER_MAX: Final = 2**31 - 1
STATE_ROOT_BYTES: Final = 32
MANIFEST_PREFIX: Final = b"p2p-workflow/manifest/v1\0"

_VERSION: Final = 1
_KIND: Final = "manifest"
_FIELDS: Final = frozenset(
    ("v", "kind", "ledger", "publisher", "time", "heads", "events", "reducer", "state_root", "segments", "sig")
)
_ENTRY_FIELDS: Final = frozenset(("cid", "events", "bytes"))
_LIMITS: Final = Limits(MANIFEST_BYTES_MAX, 3, 64 + HEADS_MAX + 7 * SEGMENTS_MAX)


class ManifestError(ValueError):
    """The bytes are no manifest to be used: they break `rule` ("G3" to "G5"). Ask another publisher."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(f"{rule}: {words}")
        self.rule = rule
        self.words = words


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment as a manifest names it: how many events it holds, and its size in bytes (`bytes` in the block)."""

    cid: Cid
    events: int
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `publisher` says of its log at `time` (ms since 1970, by its own word).

    `heads` ascending, (ledger,) for an empty log; `events` in the log, the genesis not counted; `state_root` of the
    board under the rules of version `reducer`; `segments` in order: together they hold the log.
    """

    ledger: Cid
    publisher: ActorKey
    time: int
    heads: tuple[Cid, ...]
    events: int
    reducer: int
    state_root: bytes
    segments: tuple[SegmentEntry, ...]
    sig: bytes = b""

    def signed_bytes(self) -> bytes:
        """Return what `sig` is over: the domain prefix and the canonical manifest without `sig`."""
        return MANIFEST_PREFIX + encode(self._unsigned())

    def encode(self) -> bytes:
        """Return the canonical block, with its signature, unchecked."""
        return encode(self._unsigned() | {"sig": self.sig})

    def _unsigned(self) -> dict[str, Value]:
        return {
            "v": _VERSION,
            "kind": _KIND,
            "ledger": self.ledger,
            "publisher": self.publisher,
            "time": self.time,
            "heads": list(self.heads),
            "events": self.events,
            "reducer": self.reducer,
            "state_root": self.state_root,
            "segments": [{"cid": one.cid, "events": one.events, "bytes": one.size} for one in self.segments],
        }


def sign_manifest(key: SigningKey, manifest: Manifest) -> bytes:
    """Return the block of `manifest` as published and signed by `key`.

    Raises ManifestError where it could not be read back: more heads or segments than fit, heads out of order.
    """
    ours = replace(manifest, publisher=key.actor, sig=b"")
    block = replace(ours, sig=key.sign(ours.signed_bytes())).encode()
    decode_manifest(block)
    return block


def decode_manifest(block: bytes, ledger: Cid | None = None) -> Manifest:
    """Return the manifest in `block`, its signature verified; raise ManifestError for anything else.

    Args:
        block: the bytes that the manifest's CID names; the caller has checked the hash, or does not care.
        ledger: the ledger that is wanted; a manifest of another one is refused (G4).

    """
    manifest = _manifest(_decode(block))  # G3, G4
    if ledger is not None and manifest.ledger != ledger:
        raise ManifestError("G4", f"of ledger {manifest.ledger}, not of {ledger}")
    _check_signature(manifest)  # G5
    return manifest


# ---- one function for each rule


def _decode(block: bytes) -> schema.Fields:
    """G3: within the limits, and the one canonical encoding of a map."""
    try:
        value = decode(block, limits=_LIMITS)
    except DecodeError as error:
        raise ManifestError("G3", str(error)) from None
    if not isinstance(value, Mapping):
        raise ManifestError("G4", "the block is not a map")
    return value


def _manifest(fields: schema.Fields) -> Manifest:
    """G4: exactly these fields, each of its type and range."""
    try:
        schema.keys_exactly(fields, _FIELDS)
        schema.integer(fields, "v", _VERSION, _VERSION)
        schema.choice(fields, "kind", frozenset((_KIND,)))
        manifest = Manifest(
            ledger=schema.link(fields, "ledger"),
            publisher=ActorKey(schema.octets(fields, "publisher", ACTOR_KEY_BYTES)),
            time=schema.integer(fields, "time", 1, schema.TIME_MAX),
            heads=schema.links(fields, "heads", HEADS_MAX, 1),
            events=schema.integer(fields, "events", 0, schema.TIME_MAX),
            reducer=schema.integer(fields, "reducer", 1, REDUCER_MAX),
            state_root=schema.octets(fields, "state_root", STATE_ROOT_BYTES),
            segments=tuple(map(_entry, schema.items(fields, "segments", SEGMENTS_MAX, 1))),
            sig=schema.octets(fields, "sig", SIGNATURE_BYTES),
        )
    except SchemaError as error:
        raise ManifestError("G4", str(error)) from None
    _check_sense(manifest)
    return manifest


def _entry(value: object) -> SegmentEntry:
    if not isinstance(value, Mapping):
        raise SchemaError("segments: maps are wanted")
    schema.keys_exactly(value, _ENTRY_FIELDS)
    cid = value["cid"]
    if not isinstance(cid, Cid) or cid.codec != CODEC_RAW:
        raise SchemaError("segments: cid: a link to a raw block is wanted")
    return SegmentEntry(
        cid=cid,
        events=schema.integer(value, "events", 0, SEGMENT_BYTES_MAX),
        size=schema.integer(value, "bytes", 1, SEGMENT_BYTES_MAX),
    )


def _check_sense(manifest: Manifest) -> None:
    """G4, what is wrong by itself, whatever the segments hold."""
    if any(a >= b for a, b in pairwise(manifest.heads)):
        raise ManifestError("G4", "heads: ascending and unique links are wanted")
    if len({one.cid for one in manifest.segments}) < len(manifest.segments):
        raise ManifestError("G4", "segments: one stands there twice")
    if (manifest.events == 0) != (manifest.heads == (manifest.ledger,)):
        raise ManifestError("G4", "heads: the genesis, where there are no events, and only there")
    packed = sum(one.events for one in manifest.segments)
    if manifest.events > packed:
        raise ManifestError("G4", f"{manifest.events} events in the log, but {packed} in all segments")


def _check_signature(manifest: Manifest) -> None:
    """G5: by a key and with an R that no two libraries judge differently (A5), then the signature itself (A6)."""
    for what, point in (("the publisher's key", manifest.publisher), ("R of the signature", manifest.sig[:32])):
        if not is_canonical_point(point) or is_small_order(point):
            raise ManifestError("G5", f"{what} is not canonical or of small order")
    if not verify_signature(manifest.publisher, manifest.signed_bytes(), manifest.sig):
        raise ManifestError("G5", "the signature does not verify")
