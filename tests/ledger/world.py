"""A small ledger with fixed keys, and events made to order: what the tests of acceptance, store and exchange share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ledger.acceptance import Linked, linked_event, linked_genesis, unsafe_signed
from ledger.cid import Cid
from ledger.codec import Value
from ledger.database import Database, open_database
from ledger.events import Admission, Event, Genesis, Policy, VerifiedEvent
from ledger.intake import Intake, IntakeReport
from ledger.keys import SigningKey
from ledger.replica import AcceptedLog, Replica
from ledger.signing import sign_event
from ledger.store import EventStore
from ledger.tables import LEDGER_DDL, LEDGER_SCHEMA_VERSION

OWNER, WORKER, STRANGER = (SigningKey.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
T0 = 1_800_000_000_000
"""When the ledger was founded, in ms."""
SKEW_MS = Policy().skew_ms


class World:
    """A ledger in the making: `event` signs what it is told, right or wrong; only `add` remembers it as accepted."""

    def __init__(self, *, name: str = "test", admission: Admission = Admission.MEMBERS) -> None:
        self.genesis = Genesis(name, T0, b"n" * 16, (OWNER.actor,), Policy(admission=admission))
        self.genesis_block = self.genesis.encode()
        self.ledger = Cid.of(self.genesis_block)
        self.known: dict[Cid, Linked] = {self.ledger: linked_genesis(self.genesis)}
        self.blocks: list[bytes] = []
        self.grants: dict[bytes, Cid] = {}

    def find(self, cid: Cid) -> Linked | None:
        """Return what acceptance asks of `cid`."""
        return self.known.get(cid)

    def event(
        self,
        key: SigningKey = OWNER,
        *,
        parents: Iterable[Cid] = (),
        cites: Sequence[Cid] = (),
        blobs: Sequence[Cid] = (),
        ops: Sequence[dict[str, Value]] = (),
        grant: Cid | None = None,
        time: int | None = None,
        height: int | None = None,
    ) -> bytes:
        """Return a signed block; what is not said is right."""
        grant = grant or self.grants.get(key.actor, self.ledger)
        parents = tuple(parents) or (self.ledger,)
        linked = [self.known.get(cid, Linked(0, T0)) for cid in (grant, *parents, *cites)]
        return sign_event(
            key,
            ledger=self.ledger,
            grant=grant,
            parents=parents,
            cites=cites,
            blobs=blobs,
            height=1 + max(block.height for block in linked) if height is None else height,
            time=max(block.time for block in linked) if time is None else time,
            ops=tuple(ops),
        )

    def add(self, block: bytes) -> Cid:
        """Remember `block` as accepted, so that later ones can link it; return its CID."""
        signed = unsafe_signed(block)
        self.known[signed.cid] = linked_event(signed.event, self.genesis)
        self.blocks.append(block)
        return signed.cid

    def admit(self, key: SigningKey, roles: Sequence[str] = ("submitter", "worker")) -> Cid:
        """Let the owner admit `key`, and remember the grant for its later events."""
        op: dict[str, Value] = {"op": "admit", "actor": key.actor, "roles": list(roles)}
        self.grants[key.actor] = self.add(self.event(OWNER, ops=[op]))
        return self.grants[key.actor]

    def chain(self, length: int, key: SigningKey = OWNER, parent: Cid | None = None) -> list[Cid]:
        """Add `length` events of `key`, each with the one before as its parent; return their CIDs."""
        cids: list[Cid] = []
        for number in range(length):
            ops: list[dict[str, Value]] = [{"op": "note", "n": number}]
            parent = self.add(self.event(key, parents=(parent,) if parent else (), ops=ops))
            cids.append(parent)
        return cids


def event_of(block: bytes) -> Event:
    """Return the event in `block`, unchecked."""
    return unsafe_signed(block).event


def resigned(key: SigningKey, event: Event) -> bytes:
    """Return `event` signed by `key` as it stands, wrong fields and all."""
    unsigned = replace(event, actor=key.actor, sig=b"")
    return replace(unsigned, sig=key.sign(unsigned.signed_bytes())).encode()


def open_store(path: Path, world: World) -> Database:
    """Return a database founded on the world's genesis."""
    database = open_database(path, ddl=LEDGER_DDL, version=LEDGER_SCHEMA_VERSION, create=True)
    with database.transaction():
        EventStore(database).put_genesis(world.genesis_block)
    return database


OPEN_HOMES: list[Home] = []
"""What a test has opened, for the fixture in conftest.py to close."""


class Home:
    """A store with an intake that remembers what it was handed, in order."""

    def __init__(self, path: Path, world: World) -> None:
        self.database = open_store(path, world)
        OPEN_HOMES.append(self)
        self.handed: list[VerifiedEvent] = []
        with self.database.reading():
            self.intake = Intake(self.database, self.handed.append)
        log = AcceptedLog(self.intake.events)
        self.replica = Replica(self.intake, self.heads, self.database.reading, self.database.transaction, log)

    def heads(self) -> tuple[Cid, ...]:
        """Return the heads of all that was accepted here."""
        events = [unsafe_signed(block) for _, _, block in self.intake.events.in_order_of_arrival()]
        linked = {cid for signed in events for cid in signed.event.links()}
        return tuple(sorted(signed.cid for signed in events if signed.cid not in linked)) or (self.intake.ledger,)

    def offer(self, blocks: Iterable[bytes], now_ms: int = T0 + 1) -> IntakeReport:
        """Offer `blocks` in one transaction."""
        with self.database.transaction():
            return self.intake.offer(blocks, now_ms)

    def accepted(self) -> list[Cid]:
        """Return the accepted events in order of arrival."""
        with self.database.reading():
            return [cid for _, cid, _ in self.intake.events.in_order_of_arrival()]

    def heads_kept(self) -> tuple[Cid, ...]:
        """Return the heads, read in a reading of its own."""
        with self.database.reading():
            return self.heads()
