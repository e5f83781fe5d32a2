"""Deriving a board from blocks alone: every hash, signature and rule checked again, folded in memory.

Implements: `replay` and `verify`. Nothing that a home has derived is believed, so that what comes out can be
compared with it. Leaves out where the blocks come from and what is said of them (cli).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from crdt.board import Board, Changes
from crdt.board_store import MemoryBoardStore
from crdt.order import order_key
from crdt.records import Ignored
from ledger.acceptance import (
    REFUSED,
    Linked,
    MissingLinks,
    Refusal,
    SignedEvent,
    check_alone,
    linked_event,
    linked_genesis,
    unsafe_signed,
    verify_event,
    verify_genesis,
)
from ledger.aside import Refused
from ledger.car import CarFormatError, read_car
from ledger.cid import CODEC_RAW, Cid
from ledger.events import TaskKey, VerifiedEvent
from ledger.keys import ActorKey


@dataclass(slots=True)
class _Store(MemoryBoardStore):
    """Keeps apart what the last event said without effect, so that a trace need not look through all of it."""

    fresh: list[Ignored] = field(default_factory=list)

    def add_ignored(self, ignored: Ignored, actor: ActorKey, task: TaskKey | None) -> None:
        self.fresh.append(ignored)
        MemoryBoardStore.add_ignored(self, ignored, actor, task)


class Watcher(Protocol):
    """Whoever looks on while a board is grown, before and after each event."""

    def before(self, event: VerifiedEvent) -> None:
        """Note how the board stands before the event."""

    def after(self, event: VerifiedEvent) -> None:
        """Note how it stands after it."""


class Replay:
    """A board that is grown from blocks, each checked from A1 to A11 as if nobody had seen it before.

    Raises Refusal where `genesis_block` is none.
    """

    def __init__(self, genesis_block: bytes) -> None:
        self.watchers: list[Watcher] = []
        """Who is told of each event; to be added before the first, and only where events come in the linear order."""
        self.ledger, self.genesis = verify_genesis(genesis_block)
        self._store = _Store()
        self.board = Board(self.ledger, self.genesis, self._store)
        self.events = 0
        self._links: dict[Cid, Linked] = {self.ledger: linked_genesis(self.genesis)}

    def add(self, block: bytes) -> tuple[VerifiedEvent, Changes]:
        """Check and fold one event, after all it links; return it and what it changed.

        Raises Refusal for the rule it breaks, MissingLinks where links were not added before it.
        """
        return self.add_signed(check_alone(block, self.ledger))

    @property
    def ignored(self) -> tuple[Ignored, ...]:
        """The operations of the last event that are without effect."""
        return tuple(self._store.fresh)

    def find(self, cid: Cid) -> Linked | None:
        """Return height and time of a block that was added; None for any other."""
        return self._links.get(cid)

    def refuse(self, cid: Cid) -> None:
        """Note that a block was refused, so that what links it is refused as well (A7)."""
        self._links[cid] = REFUSED

    def add_signed(self, signed: SignedEvent) -> tuple[VerifiedEvent, Changes]:
        """Check (A7 to A11) and fold an event that passed A1 to A6; else as `add`."""
        event = verify_event(signed, self.ledger, self.genesis, self._links.get)
        self._links[event.cid] = linked_event(event.event, self.genesis)
        self._store.fresh.clear()
        self._store.add_event(event)
        for watcher in self.watchers:
            watcher.before(event)
        self.board.apply(event)
        for watcher in self.watchers:
            watcher.after(event)
        self.events += 1
        return event, self.board.take_changes()


@dataclass(slots=True)
class Findings:
    """What a check of blocks has found wrong. Each entry of `refused` names a rule; `incomplete` events lack links."""

    refused: list[Refused] = field(default_factory=list)
    incomplete: list[Cid] = field(default_factory=list)
    bad_blocks: int = 0
    """Blocks that do not hash to their CID."""
    blobs: int = 0
    fault: str | None = None
    """Where the file breaks off, if it does; else how its roots are not what it holds."""

    @property
    def is_clean(self) -> bool:
        """Whether every hash, signature and rule holds, and nothing is missing."""
        return not (self.refused or self.incomplete or self.bad_blocks or self.fault)


def replay_car(
    stream: BinaryIO, step: Callable[[int], None] = lambda more: None, *, ledger: Cid | None = None
) -> tuple[Replay, Findings]:
    """Return the board that the blocks of a CAR make, in whatever order they stand in it, and what is wrong with them.

    Where several genesis blocks are in it, that of `ledger` is taken, else the first. `step` is told of each event that
    was judged. Raises CarFormatError where the stream is no CAR, LookupError where no genesis block is in it.
    """
    findings = Findings()
    blocks: dict[Cid, bytes] = {}
    reader = read_car(stream)
    try:
        for cid, block in reader:
            if cid.is_event:
                blocks[cid] = block
            elif cid.codec == CODEC_RAW:
                findings.blobs += 1
    except CarFormatError as error:  # after the last whole block
        findings.fault = str(error)
    findings.bad_blocks = reader.bad_count
    replay = Replay(blocks.pop(_find_genesis(blocks, ledger)))
    for signed in _in_order(replay, blocks, findings):
        try:
            replay.add_signed(signed)
        except Refusal as refusal:
            replay.refuse(signed.cid)
            findings.refused.append(Refused(signed.cid, refusal.rule, refusal.words, 0))
        except MissingLinks:
            findings.incomplete.append(signed.cid)
        step(1)
    findings.fault = findings.fault or _fault_of_roots(reader.roots, replay, blocks)
    return replay, findings


def _find_genesis(blocks: dict[Cid, bytes], ledger: Cid | None) -> Cid:
    for cid in blocks if ledger not in blocks else (ledger, *blocks):
        try:
            verify_genesis(blocks[cid])
        except Refusal:
            continue
        return cid
    raise LookupError("the CAR holds no genesis block")


def _fault_of_roots(roots: tuple[Cid, ...], replay: Replay, blocks: dict[Cid, bytes]) -> str | None:
    """Return how the roots are not what the file holds; None where they are the heads, or those of a part (X2)."""
    if not roots:
        return "the file names no roots, so it does not say what it is to hold"
    if set(roots) == set(replay.board.heads):
        return None
    for root in roots:
        linked = replay.find(root)
        if linked is None or linked.refused:
            return f"the file names the root {root} and does not hold it in good order: its end may be cut off"
    past: set[Cid] = set()
    turn = list(roots)
    while turn:
        cid = turn.pop()
        if cid in blocks and cid not in past:
            past.add(cid)
            turn += unsafe_signed(blocks[cid]).event.links()
    if len(past) < len(blocks):
        return f"{len(blocks) - len(past)} events of the file are not in the causal past of its roots"
    return None


def _in_order(replay: Replay, blocks: dict[Cid, bytes], findings: Findings) -> Iterator[SignedEvent]:
    """Yield what passes A1 to A6 in the linear order (C1).

    If an event states its height truly (A9), all it links comes before it.
    """
    signed: list[SignedEvent] = []
    for cid, block in blocks.items():
        try:
            signed.append(check_alone(block, replay.ledger))
        except Refusal as refusal:
            replay.refuse(cid)
            findings.refused.append(Refused(cid, refusal.rule, refusal.words, 0))
    signed.sort(key=lambda one: order_key(one.event.height, one.cid))
    return iter(signed)
