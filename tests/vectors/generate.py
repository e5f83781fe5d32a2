"""Write the vectors of specs/vectors, and what is generated in the pages of specs: `make vectors`.

Keys, times and nonces are fixed, so the bytes are the same every time.

python tests/vectors/generate.py [FOLDER]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from crdt.attempts import backoff_ms
from crdt.clock import MerkleClock, clock_root
from crdt.order import anchor_of, distance, place_of
from crdt.records import Roster
from crdt.state_root import roster_hash, whole_state_root
from ledger.cid import Cid
from ledger.codec import decode, encode
from ledger.events import EVENT_PREFIX, TaskKey
from ledger.keys import did_key
from ledger.multibase import encode_base58btc
from ledger.operations import Backoff
from tests.vectors.audit_vector import audit_vector
from tests.vectors.board_vector import Json, board_vector
from tests.vectors.boards import SCENES
from tests.vectors.car_vector import write_files
from tests.vectors.exchange_vector import exchange_vector
from tests.vectors.hint_vector import hints_vector
from tests.vectors.pages import refresh
from tests.vectors.readable import dag_json, write_json
from tests.vectors.refusals import codec_vector, refused_vector
from tests.vectors.scenes_apart import openly, resubmit
from tests.vectors.scenes_saying import life
from tests.vectors.segment_vector import segments_vector
from tests.vectors.turns import scheduling_vector
from tests.vectors.world import ACTORS, World, event_of, key_of, seed_of

VECTORS = Path(__file__).resolve().parents[2] / "specs" / "vectors"


def generate(folder: Path) -> None:
    """Write all vectors into `folder`, beside whatever README it holds."""
    for part in ("blocks", "boards"):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name, make in (
        ("keys", _keys),
        ("cids", _cids),
        ("codec", codec_vector),
        ("signatures", _signatures),
        ("hashes", _hashes),
        ("clock", _clock),
        ("refused", refused_vector),
        ("scheduling", scheduling_vector),
        ("hints", hints_vector),
        ("segments", segments_vector),
        ("exchange", exchange_vector),
        ("audit", audit_vector),
    ):
        write_json(folder / f"{name}.json", make())
    for scene in SCENES:
        told = scene()
        write_json(folder / "boards" / f"{told.name}.json", board_vector(told))
    _write_blocks(folder / "blocks")
    write_files(folder)


def _keys() -> Json:
    return {
        "what": "Every actor of the vectors. seed = SHA-256 of `p2p-workflow vector key ` and the name. Never use them",
        "rules": ["E6"],
        "keys": [
            {
                "name": name,
                "seed": seed_of(name).hex(),
                "public": key_of(name).actor.hex(),
                "did": did_key(key_of(name).actor),
                "secret": key_of(name).to_text(),
            }
            for name in ACTORS
        ],
    }


def _cids() -> Json:
    genesis = life().world.genesis.encode()
    return {
        "what": "Names of blocks: `codec` of the content, CID as bytes and as text.",
        "rules": ["E1"],
        "cases": [
            {
                "content": content.hex(),
                "codec": codec,
                "bytes": cid.hex(),
                "base32": str(cid),
                "base58btc": encode_base58btc(cid),
            }
            for content, codec, cid in (
                (b"", "raw", Cid.of_raw(b"")),
                (b"make test", "raw", Cid.of_raw(b"make test")),
                (b"\xa0", "dag-cbor", Cid.of(b"\xa0")),
                (genesis, "dag-cbor", Cid.of(genesis)),
            )
        ],
        "refused": [
            {"why": "CIDv0", "text": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPBdG"},
            {"why": "capitals in base32", "text": str(Cid.of(b"\xa0")).upper()},
            {"why": "sha2-512", "text": encode_base58btc(b"\x01\x71\x13\x20" + bytes(32))},
            {"why": "35 bytes", "text": encode_base58btc(Cid.of(b"\xa0")[:35])},
        ],
    }


def _signatures() -> Json:
    world = life().world
    return {
        "what": "What is signed: `message` is prefix and canonical event without `sig`. The last: RFC 8032, test 2.",
        "rules": ["E3", "A6"],
        "prefix": EVENT_PREFIX.hex(),
        "cases": [
            {
                "event": str(said.cid),
                "public": event.actor.hex(),
                "message": event.signed_bytes().hex(),
                "sig": event.sig.hex(),
            }
            for said in world.events()[:4]
            for event in [event_of(said.block, world.ledger)]
        ]
        + [
            {
                "event": None,
                "public": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "message": "72",
                "sig": "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            }
        ],
    }


def _hashes() -> Json:
    keys: list[Json] = []
    anchors: list[Json] = []
    for told in (life(), openly(), resubmit()):
        world = told.world
        for said in world.events():
            event = event_of(said.block, world.ledger)
            for op in event.ops:
                if op["op"] != "submit":
                    continue
                spec = op["spec"]
                assert isinstance(spec, dict)
                task = world.key(world.actor_name(event.actor), spec)
                keys.append(
                    {
                        "ledger": str(world.ledger),
                        "submitter": event.actor.hex(),
                        "spec": encode(spec).hex(),
                        "key": task.hex(),
                    }
                )
                anchor = anchor_of(said.cid, task)
                near = {name: distance(key_of(name).actor, anchor) for name in ACTORS}
                anchors.append(
                    {"submit": str(said.cid), "key": task.hex(), "anchor": anchor.to_bytes(32).hex(), "distances": near}
                )
    task = TaskKey(bytes.fromhex(str(keys[0]["key"])))
    backoffs = [(Backoff(), n) for n in (0, 1, 6, 7, 99)] + [(Backoff(1_000, 1_500), 1), (Backoff(0, 0), 3)]
    return {
        "what": "Task keys, places, anchors with the distance of each actor, and backoff delays of one task.",
        "rules": ["E4", "D5", "S3", "F1c"],
        "task_keys": keys,
        "places": {name: place_of(key_of(name).actor).to_bytes(32).hex() for name in ACTORS},
        "anchors": anchors,
        "delays": {
            "key": task.hex(),
            "cases": [
                {"base_ms": backoff.base_ms, "max_ms": backoff.max_ms, "n": n, "delay_ms": backoff_ms(task, backoff, n)}
                for backoff, n in backoffs
            ],
        },
    }


def _clock() -> Json:
    world = life().world
    empty = Roster((), ())
    logs = {
        "empty": (),
        "start": ("grant-alice",),
        "workers": ("grant-alice", "grant-workers"),
        "w1 joined": ("grant-alice", "grant-workers", "join-w1"),
        "both joined": ("grant-alice", "grant-workers", "join-w1", "join-w2"),
    }
    clocks = {name: _clock_of(world, world.cids(*names)) for name, names in logs.items()}
    fork = world.block("owner", [{"op": "leave"}], at=2, after=world.cids("grant-alice"))
    twin = MerkleClock.of_ledger("twin", {"owner": 2}, [Cid.of(fork)])
    clocks["another second event"] = twin
    two_heads = (Cid.of(fork), world.cid("grant-workers"))
    clocks["both second events"] = MerkleClock.of_ledger("both", {"owner": 3}, two_heads)
    return {
        "what": "Clocks of parts of boards/life.json, and how they compare, the row with the column.",
        "rules": ["C2", "C3", "C4", "C5", "C6"],
        "clocks": {
            name: {"heads": [str(head) for head in clock.heads], "root": clock.merkle_root, "vector": _counted(clock)}
            for name, clock in clocks.items()
        },
        "comparisons": {row: {column: _compare(a, b) for column, b in clocks.items()} for row, a in clocks.items()},
        "empty_board": {
            "ledger": str(world.ledger),
            "roster_hash": roster_hash(empty).hex(),
            "state_root": whole_state_root(world.ledger, empty, {}).hex(),
        },
    }


def _clock_of(world: World, cids: Sequence[Cid]) -> MerkleClock:
    events = [world.verified[cid].event for cid in cids]
    linked = {link for event in events for link in event.links()}
    actors = [world.actor_name(event.actor) for event in events]
    heads = [cid for cid in cids if cid not in linked] or [world.ledger]
    return MerkleClock.of_ledger("part", {name: actors.count(name) for name in actors}, heads)


def _counted(clock: MerkleClock) -> Json:
    return {name: count for name, count in sorted(clock.vector.items()) if count}


def _compare(a: MerkleClock, b: MerkleClock) -> str:
    if clock_root(a.heads) == clock_root(b.heads):
        return "equal"
    return {-1: "before", 1: "after", 0: "concurrent"}[a.compare(b)]


def _write_blocks(folder: Path) -> None:
    """Write valid blocks, each under its CID: those of the boards `life` and `open`."""
    folder.mkdir(parents=True)
    for told in (life(), openly()):
        blocks = [told.world.genesis.encode(), *(said.block for said in told.world.events())]
        for block in blocks:
            (folder / f"{Cid.of(block)}.cbor").write_bytes(block)
            write_json(folder / f"{Cid.of(block)}.json", dag_json(decode(block)))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS)
    if len(sys.argv) == 1:
        refresh(VECTORS.parent)
