"""The file vectors: specs/vectors/ledger.car, and car.json about it (X1 to X5, X8)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from ledger.car import write_car
from ledger.cid import Cid
from tests.vectors.board_vector import Json, snapshot_of
from tests.vectors.readable import write_json
from tests.vectors.scenes_apart import fences, openly
from tests.vectors.world import World


def write_files(folder: Path) -> None:
    """Write a whole ledger as a file, and say what else a reader takes and a sender sends."""
    world = fences().world
    snapshot = snapshot_of(world)
    log = [(said.cid, said.block) for said in world.events() if said.cid in snapshot.log]
    whole = _car(snapshot.heads, [(world.ledger, world.genesis.encode()), *log])
    (folder / "ledger.car").write_bytes(whole)
    known = world.cids("x2")
    past = _upto(world, known)
    part = _car(snapshot.heads, [(cid, block) for cid, block in log if cid not in past])
    names = {said.cid: said.name for said in world.events()}
    write_json(
        folder / "car.json",
        {
            "what": "ledger.car is the ledger of boards/fences.json; here are parts of it, and files readers meet.",
            "rules": ["X1", "X2", "X3", "X4", "X5", "X8"],
            "board": "boards/fences.json",
            "roots": [names[cid] for cid in snapshot.heads],
            "sections": ["genesis", *(names[cid] for cid, _ in log)],
            "not_sent": [said.name for said in world.events() if said.cid not in snapshot.log],
            "since": {
                "known": ["x2"],
                "sections": [names[cid] for cid, _ in log if cid not in past],
                "bytes": len(part),
            },
            "blobs": _blob_car(openly().world),
            "readings": [
                {
                    "what": "backwards, each section twice, a root that is not there",
                    "car": _odd(world),
                    "accepted": 3,
                    "bad": 0,
                    "ends": "well",
                },
                {
                    "what": "the last block does not hash to its CID",
                    "from": "ledger.car",
                    "flip_last_bit": True,
                    "accepted": len(log) - 1,
                    "bad": 1,
                    "ends": "well",
                },
                {
                    "what": "cut short by a byte",
                    "from": "ledger.car",
                    "drop": 1,
                    "accepted": len(log) - 1,
                    "bad": 0,
                    "ends": "error",
                },
                {"what": "a CARv2 pragma", "car": "0aa16776657273696f6e02", "accepted": 0, "bad": 0, "ends": "error"},
                {
                    "what": "a length that is not in its shortest form",
                    "car": whole[: _header_end(whole)].hex() + "8000",
                    "accepted": 0,
                    "bad": 0,
                    "ends": "error",
                },
            ],
            "import": [{"event": name, "verdict": verdict} for name, verdict in _import_report(world)],
        },
    )


def _car(roots: Sequence[Cid], blocks: Sequence[tuple[Cid, bytes]]) -> bytes:
    stream = io.BytesIO()
    write_car(stream, roots, blocks)
    return stream.getvalue()


def _header_end(car: bytes) -> int:
    size, shift, at = 0, 0, 0
    while True:
        size |= (car[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if car[at - 1] < 0x80:
            return at + size


def _upto(world: World, cids: Sequence[Cid]) -> set[Cid]:
    found: set[Cid] = set()
    stack = list(cids)
    while stack:
        cid = stack.pop()
        if cid in found or cid == world.ledger:
            continue
        found.add(cid)
        stack.extend(world.verified[cid].event.links())
    return found


def _odd(world: World) -> str:
    """A small file: the first three events backwards, each twice, then the genesis, with a root that is not there."""
    first = [(said.cid, said.block) for said in world.events()[:3]]
    genesis = (world.ledger, world.genesis.encode())
    return _car(
        [Cid.of(b"not there")], [section for pair in reversed(first) for section in (pair, pair)] + [genesis]
    ).hex()


def _blob_car(world: World) -> Json:
    """X3: the ledger of boards/open.json with its blobs after the events, ascending by CID."""
    contents = sorted((Cid.of_raw(data), data) for data in (b"a payload too large to stand in an event", b"the output"))
    log = [(said.cid, said.block) for said in world.events()]
    car = _car(snapshot_of(world).heads, [(world.ledger, world.genesis.encode()), *log, *contents])
    return {
        "board": "boards/open.json",
        "blobs": [{"cid": str(cid), "data": data.hex()} for cid, data in contents],
        "car": car.hex(),
    }


def _import_report(world: World) -> list[tuple[str, str]]:
    """X5: a file with the first event twice and one that waits, into a ledger that has the genesis only."""
    first, second, third = (said.name for said in world.events()[:3])
    return [(first, "accepted"), (first, "known"), (third, f"waiting for {second}")]
