"""Judging a ledger that was fetched from strangers: every rule again, conduct and turns, and what publishers said.

Implements: specs/audit.md, J1 to J5. Reads blocks that were fetched by hash (scheduler.audit_sources), folds them in
the linear order with everybody watched, and compares the board with each manifest. Leaves out words for people (cli).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from crdt.conduct import Conduct, Findings
from crdt.order import order_key
from crdt.records import CompletionRecord, TaskRecord
from crdt.state_root import REDUCER_VERSION
from crdt.view import tainted_inputs
from ledger.acceptance import MissingLinks, Refusal, check_alone, unsafe_signed
from ledger.ahead import check_ahead
from ledger.aside import Refused
from ledger.cid import Cid
from ledger.keys import ActorKey
from scheduler.audit_sources import Collected, FoundManifest
from scheduler.replay import Replay
from scheduler.turns import Turns


@dataclass(frozen=True, slots=True)
class Authority:
    """On whose word an actor acts: the grant, the owner that gave it (None: the genesis itself), who took it back."""

    actor: ActorKey
    grant: Cid
    granted_by: ActorKey | None
    revoked_by: tuple[tuple[Cid, ActorKey], ...]
    events: int
    first_ms: int
    last_ms: int


class LieKind(StrEnum):
    """What of a manifest is proven false."""

    SEGMENT = "segment"
    HEAD = "head"
    EVENTS = "events"
    LEFT_OUT = "left out"
    HEADS = "heads"
    STATE_ROOT = "state root"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Lie:
    """One thing that is not as a manifest says."""

    kind: LieKind
    words: str


@dataclass(frozen=True, slots=True)
class ManifestVerdict:
    """What became of a manifest's claims. `lies` are proven; `open_questions` could not be told, for want of blocks."""

    found: FoundManifest
    lies: tuple[Lie, ...]
    open_questions: tuple[str, ...]
    behind: int
    """Events that other sources have and its heads do not reach; no fault by itself."""


@dataclass(slots=True)
class Audit:
    """A judged ledger."""

    replay: Replay
    collected: Collected
    findings: Findings
    refused: list[Refused] = field(default_factory=list)
    waiting: list[Cid] = field(default_factory=list)
    """Events whose past could not be fetched."""
    manifests: list[ManifestVerdict] = field(default_factory=list)
    authorities: list[Authority] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether everything that was named was fetched."""
        return not (self.waiting or self.collected.walk.missing)

    def records(self) -> Iterator[TaskRecord]:
        """Yield the tasks of the board."""
        yield from filter(None, map(self.replay.board.record_of, self.replay.board.store.tasks()))

    def fenced(self) -> list[Cid]:
        """Return the events that a revocation has made void (R4), in the linear order."""
        nodes = [node for node in self.replay.board.store.nodes_downwards() if not node.counts]
        return [node.cid for node in sorted(nodes, key=lambda node: order_key(node.height, node.cid))]

    def tainted(self) -> dict[bytes, list[Cid]]:
        """Return for each task whose result rests on an input that no longer counts (D7) those inputs."""
        completions: dict[Cid, list[CompletionRecord]] = {}
        records = list(self.records())
        for record in records:
            for done in record.completions:
                completions.setdefault(done.cid, []).append(done)

        def find(cid: Cid) -> Iterator[CompletionRecord | None]:
            if not self.replay.board.graph.counts(cid):
                yield None
            yield from completions.get(cid, ())

        found = ((record.key, tainted_inputs(record, find)) for record in records)
        return {key: inputs for key, inputs in found if inputs}


def judge(collected: Collected, step: Callable[[int], None] = lambda more: None) -> Audit:
    """Judge all that was fetched; `step` is told of each event.

    Raises Refusal where the genesis is none, KeyError where it is missing.
    """
    replay = Replay(collected.blocks.get(collected.ledger))
    audit = Audit(replay, collected, Findings())
    conduct = Conduct(replay.board, audit.findings)
    replay.watchers += [conduct, Turns(replay.board, conduct, audit.findings)]
    _fold(audit, step)
    audit.authorities = _authorities(replay)
    audit.manifests = [_verdict(audit, found) for found in collected.manifests]
    return audit


def _fold(audit: Audit, step: Callable[[int], None]) -> None:
    blocks, replay = audit.collected.blocks, audit.replay
    order = list(_in_order(audit))
    stream = check_ahead((blocks.get(cid) for cid in order), replay.ledger)
    for cid, checked in zip(order, stream, strict=True):
        try:
            replay.add_signed(check_alone(checked, replay.ledger) if isinstance(checked, bytes) else checked)
        except Refusal as refusal:
            replay.refuse(cid)
            audit.refused.append(Refused(cid, refusal.rule, refusal.words, 0))
        except MissingLinks:
            audit.waiting.append(cid)
        step(1)


def _in_order(audit: Audit) -> list[Cid]:
    """Return the events in the linear order, by the heights they state: where these are true, links come first."""
    placed: list[tuple[int, Cid]] = []
    aside = {audit.replay.ledger, *audit.collected.strangers, *(found.cid for found in audit.collected.manifests)}
    for cid in audit.collected.blocks:
        if cid in aside or not cid.is_event:
            continue
        try:
            placed.append((unsafe_signed(audit.collected.blocks.get(cid)).event.height, cid))
        except Refusal as refusal:
            audit.replay.refuse(cid)
            audit.refused.append(Refused(cid, refusal.rule, refusal.words, 0))
    return [cid for _, cid in sorted(placed)]


def _authorities(replay: Replay) -> list[Authority]:
    """Return who acted under what, by (actor, grant)."""
    board = replay.board
    times: dict[tuple[ActorKey, Cid], list[int]] = {}
    for node in board.store.nodes_downwards():
        times.setdefault((node.actor, node.grant), []).append(board.store.event(node.cid).time)
    revoked: dict[tuple[ActorKey, Cid], list[tuple[Cid, ActorKey]]] = {}
    for one in board.store.state.roster.revocations:
        revoked.setdefault((one.actor, one.grant), []).append((one.cid, board.graph.node(one.cid).actor))
    return [
        Authority(
            actor,
            grant,
            None if grant == replay.ledger else board.graph.node(grant).actor,
            tuple(sorted(revoked.get((actor, grant), ()))),
            len(said),
            min(said),
            max(said),
        )
        for (actor, grant), said in sorted(times.items())
    ]


# ---- what publishers said


def _verdict(audit: Audit, found: FoundManifest) -> ManifestVerdict:
    manifest, replay = found.manifest, audit.replay
    lies, unsure = [Lie(LieKind.SEGMENT, words) for words in found.faults], list[str]()
    if found.missing:
        unsure.append(f"{found.missing} of its {len(manifest.segments)} segments could not be fetched")
    heads = [cid for cid in manifest.heads if cid != replay.ledger]
    known = {cid: replay.find(cid) for cid in heads}
    lies += [
        Lie(LieKind.HEAD, f"its head {cid} is refused") for cid, linked in known.items() if linked and linked.refused
    ]
    unjudged = [cid for cid, linked in known.items() if linked is None]
    unsure += [f"its head {cid} could not be judged, for want of what it links" for cid in unjudged]
    if unjudged or any(lie.kind is LieKind.HEAD for lie in lies):
        return ManifestVerdict(found, tuple(lies), tuple(unsure), 0)
    past = _closure(replay, heads)
    if len(past) != manifest.events:
        lies.append(Lie(LieKind.EVENTS, f"it says {manifest.events} events, and its heads reach {len(past)}"))
    if not found.missing and (left_out := len(past - found.packed)):
        lies.append(Lie(LieKind.LEFT_OUT, f"its segments leave out {left_out} events that its heads reach"))
    board = _board_of(audit, past)
    if board.board.heads != manifest.heads:
        lies.append(Lie(LieKind.HEADS, "its heads are not the heads of what they reach (C2)"))
    if manifest.reducer != REDUCER_VERSION:
        unsure.append(f"its state root is of reducer version {manifest.reducer}, not {REDUCER_VERSION}")
    elif board.board.state_root() != manifest.state_root:
        words = f"its state root is {manifest.state_root.hex()}, not {board.board.state_root().hex()} (C6)"
        lies.append(Lie(LieKind.STATE_ROOT, words))
    lies += _withheld(replay, found, past)
    return ManifestVerdict(found, tuple(lies), tuple(unsure), replay.events - len(past))


def _withheld(replay: Replay, found: FoundManifest, past: set[Cid]) -> list[Lie]:
    """Return what the publisher leaves out of its manifest though it had made it itself, long before by its own times.

    A lease's worth of time is left for publishing; that others have more is no fault.
    """
    before = found.manifest.time - replay.genesis.policy.lease_ms
    own = replay.board.store.nodes_of(found.manifest.publisher)
    hidden = [
        node.cid
        for node in own
        if node.counts and node.cid not in past and replay.board.store.event(node.cid).time < before
    ]
    words = "events its own publisher had signed before, such as"
    return [Lie(LieKind.WITHHELD, f"it leaves out {len(hidden)} {words} {cid}") for cid in hidden[:1]]


def _closure(replay: Replay, heads: Iterable[Cid]) -> set[Cid]:
    past: set[Cid] = set()
    stack = list(heads)
    while stack:
        cid = stack.pop()
        if cid not in past:
            past.add(cid)
            stack.extend(replay.board.graph.node(cid).links)
    return past


def _board_of(audit: Audit, past: set[Cid]) -> Replay:
    """Return the board of a closed part of what was accepted; the whole one where it is all."""
    if len(past) == audit.replay.events:
        return audit.replay
    part = Replay(audit.collected.blocks.get(audit.replay.ledger))
    node = audit.replay.board.graph.node
    for cid in sorted(past, key=lambda cid: order_key(node(cid).height, cid)):
        part.add_signed(unsafe_signed(audit.collected.blocks.get(cid)))  # A1 to A6 were checked for the whole
    return part
