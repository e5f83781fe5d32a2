"""segments.json: a log packed, a manifest over it, blocks that are no manifest, manifests that lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from crdt.state_root import REDUCER_VERSION
from ledger.cid import Cid
from ledger.codec import Value, decode, encode
from ledger.manifest import MANIFEST_BYTES_MAX, MANIFEST_PREFIX, Manifest, SegmentEntry, sign_manifest
from ledger.outbox import SUPERSEDED_GRACE_MS
from ledger.segments import SEGMENT_BYTES_MAX, Packer, Segment, car_header, section, unpack
from tests.vectors.board_vector import Json, snapshot_of
from tests.vectors.scenes_apart import fences
from tests.vectors.world import START_MS, World, key_of

PUBLISHER: Final = "alice"
NOW: Final = START_MS + 10**9
"""When manifests of the vectors are read."""


def segments_vector() -> Json:
    """Return the vector."""
    world = fences().world
    log = _log(world)
    segments = _two_segments(world, log)
    manifest = _manifest(world, segments)
    block = sign_manifest(key_of(PUBLISHER), manifest)
    return {
        "what": "The log of boards/fences.json in two segments (closed early, to be short), and a manifest over them.",
        "rules": [f"G{n}" for n in range(1, 9)],
        "board": "boards/fences.json",
        "publisher": PUBLISHER,
        "now": NOW,
        "segments": [_described(world, segment) for segment in segments],
        "packing": [_packing(len(world.genesis.encode()), sizes) for sizes in PACKINGS],
        "manifest": {
            "cid": str(Cid.of(block)),
            "block": block.hex(),
            "message": replace(manifest, sig=b"").signed_bytes().hex(),
        },
        "cases": [{"verdict": rule, "why": why, "parts": parts} for rule, why, parts in _refused(block)],
        "odd": {"cid": str(_odd_segment(world).cid), "block": _odd_segment(world).data.hex()},
        "readings": _readings(world, manifest, segments),
        "replaced_kept_ms": SUPERSEDED_GRACE_MS,
    }


PACKINGS: Final = ((40, 366), (60_000,) * 40, (65_536,) * 33, (30_000, 65_536) * 24)


def _log(world: World) -> list[tuple[str, Cid, bytes]]:
    inside = snapshot_of(world).log
    return [(said.name, said.cid, said.block) for said in world.events() if said.cid in inside]


def _two_segments(world: World, log: Sequence[tuple[str, Cid, bytes]]) -> list[Segment]:
    half = len(log) // 2
    parts = []
    for genesis, part in ((world.genesis.encode(), log[:half]), (None, log[half:])):
        packer = Packer(world.ledger, genesis)
        for _, cid, block in part:
            packer.add(section(cid, block))
        parts.append(packer.open_segment())
    return parts


def _described(world: World, segment: Segment) -> Json:
    names = {cid: name for name, cid, _ in _log(world)}
    events = [names[cid] for cid in unpack(segment.data, world.ledger).events]
    return {"cid": str(segment.cid), "events": events, "bytes": len(segment.data), "block": segment.data.hex()}


def _packing(genesis: int, sizes: Sequence[int]) -> Json:
    """Return how many events of blocks of these sizes go into each segment of a log with a genesis of this size."""
    packer = Packer(Cid.of(b""), bytes(genesis))
    sections = [section(Cid.of(bytes(size)), bytes(size)) for size in sizes]
    closed = [segment for segment in map(packer.add, sections) if segment is not None]
    counts = [segment.events for segment in (*closed, packer.open_segment())]
    return {"genesis": genesis, "blocks": list(sizes), "segments": counts}


def _manifest(world: World, segments: Sequence[Segment]) -> Manifest:
    snapshot = snapshot_of(world)
    return Manifest(
        ledger=world.ledger,
        publisher=key_of(PUBLISHER).actor,
        time=NOW - 1_000,
        heads=tuple(snapshot.heads),
        events=len(snapshot.log),
        reducer=REDUCER_VERSION,
        state_root=snapshot.state_root,
        segments=tuple(SegmentEntry(one.cid, one.events, len(one.data)) for one in segments),
    )


# ---- blocks that are no manifest


def _refused(block: bytes) -> list[tuple[str, str, list[tuple[str, int]]]]:
    good = decode(block)
    assert isinstance(good, dict)
    segments = good["segments"]
    heads = good["heads"]
    assert isinstance(segments, list)
    assert isinstance(heads, list)
    first = segments[0]
    assert isinstance(first, dict)

    def changed(**fields: Value) -> bytes:
        value = {name: member for name, member in (good | fields).items() if member is not None and name != "sig"}
        return encode(value | {"sig": key_of(PUBLISHER).sign(MANIFEST_PREFIX + encode(value))})

    sig = good["sig"]
    assert isinstance(sig, bytes)
    cases: list[tuple[str, str, bytes]] = [
        ("accepted", "the manifest itself", block),
        ("G3", "a byte after the value", block + b"\0"),
        ("G3", "a map of 12 fields in its long form", b"\xb8\x0b" + block[1:]),
        ("G3", "nested 4 deep", changed(segments=[[[1]]])),
        ("G4", "a list", encode([1])),
        ("G4", "a field more", changed(also=0)),
        ("G4", "a field less", changed(reducer=None)),
        ("G4", "version 2", changed(v=2)),
        ("G4", "another kind", changed(kind="genesis")),
        ("G4", "no heads", changed(heads=[])),
        ("G4", "a head twice", changed(heads=[heads[0], heads[0]])),
        ("G4", "a head that is no DAG-CBOR", changed(heads=[Cid.of_raw(b"")])),
        ("G4", "events, but the genesis is the head", changed(heads=[good["ledger"]])),
        ("G4", "no events, but heads", changed(events=0)),
        ("G4", "more events than all segments hold", changed(events=10**6)),
        ("G4", "no segments", changed(segments=[])),
        ("G4", "a segment twice", changed(segments=[first, first, segments[1]])),
        ("G4", "a segment that is no raw block", changed(segments=[first | {"cid": good["ledger"]}, segments[1]])),
        (
            "G4",
            "a segment of more than 1 MiB",
            changed(segments=[first | {"bytes": SEGMENT_BYTES_MAX + 1}, segments[1]]),
        ),
        ("G4", "time 0", changed(time=0)),
        ("G4", "a root of 31 bytes", changed(state_root=bytes(31))),
        ("G5", "another key than the one that signed", changed(publisher=key_of("bob").actor)),
        ("G5", "a key of small order", changed(publisher=bytes(32))),
        ("G5", "a bit of the signature", encode(good | {"sig": sig[:-1] + bytes((sig[-1] ^ 1,))})),
        ("G5", "signed as an event is", _signed_as_event(good)),
    ]
    found = [(rule, why, [(data.hex(), 1)]) for rule, why, data in cases]
    found.insert(1, ("G3", "a byte too long", [(block.hex(), 1), ("00", MANIFEST_BYTES_MAX + 1 - len(block))]))
    return found


def _signed_as_event(good: dict[str, Value]) -> bytes:
    unsigned = {name: member for name, member in good.items() if name != "sig"}
    return encode(unsigned | {"sig": key_of(PUBLISHER).sign(b"p2p-workflow/event/v1\0" + encode(unsigned))})


# ---- manifests that lie


def _readings(world: World, manifest: Manifest, segments: Sequence[Segment]) -> list[Json]:
    first, second = manifest.segments
    half = len(_log(world)) // 2
    odd = _odd_segment(world)
    entry = SegmentEntry(odd.cid, odd.events, len(odd.data))
    every = [str(segment.cid) for segment in segments]

    def named(*entries: SegmentEntry) -> Manifest:
        return replace(manifest, segments=entries)

    wrong_root, nobody = bytes(32), Cid.of(b"nobody")
    cases: list[tuple[str, Manifest, list[str], list[str], int | None]] = [
        ("all is so", manifest, every, [], None),
        ("the first segment cannot be got", manifest, every[1:], ["missing", "heads"], 0),
        ("the last segment cannot be got", manifest, every[:1], ["missing", "heads"], half),
        ("the last segment is not named", named(replace(first, events=99)), every, ["count", "heads"], half),
        ("other events in a segment", named(first, replace(second, events=99)), every, ["count"], None),
        ("other bytes in a segment", named(first, replace(second, size=1)), every, ["count"], None),
        ("other events in all", replace(manifest, events=manifest.events - 1), every, ["count"], None),
        ("another state root", replace(manifest, state_root=wrong_root), every, ["root"], None),
        ("a root of other rules", replace(manifest, state_root=wrong_root, reducer=2), every, [], None),
        ("a head that nobody has", replace(manifest, heads=(nobody,)), every, ["heads"], None),
        ("a log less than is packed", replace(manifest, heads=(world.ledger,), events=0), every, [], None),
        ("an odd segment", named(first, second, entry), [*every, str(odd.cid)], ["form"], None),
        ("the second segment first", named(second, first), every, ["form", "form"], None),
    ]
    return [
        {
            "what": what,
            "manifest": sign_manifest(key_of(PUBLISHER), lie).hex(),
            "there": there,
            "faults": faults,
            "accepted": len(_log(world)) if accepted is None else accepted,
        }
        for what, lie, there, faults, accepted in cases
    ]


def _odd_segment(world: World) -> Segment:
    blob, event = b"a blob", world.events()[0]
    data = b"".join(
        (
            car_header(world.ledger),
            section(event.cid, event.block),
            section(world.ledger, world.genesis.encode()),
            section(Cid.of_raw(blob), blob),
            section(world.ledger, b"other bytes"),
        )
    )
    return Segment(Cid.of_raw(data), data, 1)
