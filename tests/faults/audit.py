"""What must hold of a home whatever was done to the process that wrote it: the judge of every test in this folder.

Nothing the home has derived is believed: each block is accepted anew, from its signature on, the board is folded anew
in memory, and then every table is compared with what that gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.records import Snapshot
from ledger.acceptance import Linked, check_alone, linked_event, linked_genesis, verify_event
from ledger.cid import Cid
from ledger.events import VerifiedEvent
from scheduler.home import Home


@dataclass(frozen=True, slots=True)
class Promise:
    """What a process was told is durable: `kind` is event, held, blob or key; `name` a CID or the name of a key."""

    kind: str
    name: str

    def line(self) -> bytes:
        """Return it as a line."""
        return f"{self.kind} {self.name}\n".encode()

    @classmethod
    def read(cls, data: bytes) -> list[Promise]:
        """Return the promises of whole lines; one that was cut off was not given."""
        return [cls(*line.split(" ", 1)) for line in data.decode().split("\n")[:-1]]


def audit(home: Home, promises: Iterable[Promise] = ()) -> Snapshot:
    """Return the board of a home, having checked all that it keeps and that every promise was held."""
    home.database.check()
    root = home.state_root()
    with home.reading():
        kept = home.board.snapshot()
        assert kept.state_root == root
        _check_rows(home, _replay(home), kept)
        for promise in promises:
            assert _is_kept(home, promise), f"acknowledged and lost: {promise}"
    return kept


def audit_folder(folder: Path, now_ms: int, promises: Iterable[Promise]) -> Snapshot:
    """Return the board of the home in `folder`, audited as it is found, and again after it has been written to."""
    given = list(promises)
    with Home.open(folder, clock=lambda: now_ms) as home:
        audit(home, given)
        key = home.members.peer_key("after")
        event = home.append(key, ())
        return audit(home, [*given, Promise("event", str(event.cid)), Promise("key", "after")])


def replayed(home: Home) -> Snapshot:
    """Return the board that the blocks of a home make, each accepted from scratch."""
    with home.reading():
        return _fold(home, _verified(home))


def _replay(home: Home) -> Snapshot:
    return _fold(home, _verified(home))


def _verified(home: Home) -> Iterator[VerifiedEvent]:
    links: dict[Cid, Linked] = {home.ledger: linked_genesis(home.genesis)}
    for _, cid, block in home.events.in_order_of_arrival():
        event = verify_event(check_alone(block, home.ledger), home.ledger, home.genesis, links.get)
        assert event.cid == cid
        links[cid] = linked_event(event.event, home.genesis)
        yield event


def _fold(home: Home, events: Iterable[VerifiedEvent]) -> Snapshot:
    store = MemoryBoardStore()
    board = Board(home.ledger, home.genesis, store)
    for event in events:
        store.add_event(event)
        board.apply(event)
    return board.snapshot()


def _check_rows(home: Home, anew: Snapshot, kept: Snapshot) -> None:
    """Check board and indices against the blocks."""
    assert kept == anew
    execute = home.database.connection.execute
    for cid, height, time, actor, grant, block in execute("SELECT cid, height, time, actor, grant, block FROM blocks"):
        said = check_alone(block, home.ledger).event
        assert (height, time, actor, grant) == (said.height, said.time, said.actor, said.grant), Cid(cid)
    assert {row[0] for row in execute("SELECT cid FROM nodes")} == {row[0] for row in execute("SELECT cid FROM blocks")}
    actors = {row[0] for row in execute("SELECT DISTINCT actor FROM blocks")}
    assert actors <= {row[0] for row in execute("SELECT actor FROM actors")}
    counts = {"open": 0, "done": 0, "over": 0}
    for record in anew.tasks.values():
        counts["done" if record.completions else "over" if record.cancels else "open"] += 1
        assert record in home.tasks.named(record.spec.task_id, record.spec.workflow_id)
    assert {standing: home.tasks.counts().get(standing, 0) for standing in counts} == counts
    assert not execute("SELECT 1 FROM held JOIN blocks USING (cid)").fetchall()
    assert not execute("SELECT 1 FROM waiting JOIN blocks USING (cid)").fetchall()
    assert not execute("SELECT 1 FROM waiting_links JOIN blocks ON missing = cid").fetchall()


def _is_kept(home: Home, promise: Promise) -> bool:
    match promise.kind:
        case "event":
            return home.events.find_block(Cid.parse(promise.name)) is not None
        case "held":
            cid = Cid.parse(promise.name)
            return home.intake.held.has(cid) or home.events.find_block(cid) is not None
        case "blob":
            return home.intake.blobs.has(Cid.parse(promise.name))
        case "key":
            return home.keys.find(promise.name) is not None
        case other:
            raise ValueError(other)
