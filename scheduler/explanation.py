"""The answer to "why is this task where it is": plain values, which show as words or as JSON.

Implements: `explain` of specs/assignment.md's ranks and specs/tasks.md's fold, as data. Leaves out finding it all out
(scheduler.explain). Times are ms since 1970; actors are given by name and by did:key, events and claims by CID.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from crdt.view import Obstacle


@dataclass(frozen=True, slots=True)
class PeerTurn:
    """A worker: how near it is, and from when it may take the task; `words` say whether it may, or why it may not."""

    peer: str
    key: str
    distance: int
    rank: int | None
    take_at: int | None
    heard_at: int | None
    words: str


@dataclass(frozen=True, slots=True)
class NeedState:
    """A task this one needs; `result` is the completion that stands for it, `words` why it is not there, or no use."""

    task_key: str
    task_id: str | None
    status: str
    result: str | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class ClaimState:
    """A claim and how it stands: holds, runs, ran out, released, failed, done or superseded."""

    claim: str
    peer: str
    key: str
    attempt: int
    distance: int
    time: int
    until: int
    state: str


@dataclass(frozen=True, slots=True)
class DecidingEvent:
    """An event the status rests on, and how many of the active workers have seen it."""

    event: str
    what: str
    stable: bool
    seen_by: int
    of: int


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """Whether the policy of this home's worker allows the task: by which rule, or why none does."""

    allowed: bool
    reasons: tuple[str, ...]
    rule: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a task stands at `now`, and why."""

    task_key: str
    task_id: str
    workflow_id: str
    name: str
    now: int
    status: str
    why: str
    obstacles: tuple[Obstacle, ...]
    lacking: tuple[str, ...]
    """Blobs that a run of the ready task needs and that have not come to this home yet, by CID."""
    submitter: str
    submitter_key: str
    priority: int
    anchor: str
    anchor_event: str
    ready_at: int | None
    due_at: int | None
    turn: str
    peers: tuple[PeerTurn, ...]
    needs: tuple[NeedState, ...]
    claims: tuple[ClaimState, ...]
    result: str | None
    superseded: tuple[str, ...]
    tainted_inputs: tuple[str, ...]
    decided_by: tuple[DecidingEvent, ...]
    policy: PolicyAnswer | None = None
    """Of this home's worker; None where no worker runs it, or nobody asked."""

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        return asdict(self)

    def render_lines(self) -> Iterator[str]:
        """Yield the explanation as lines for people; names are as their authors wrote them: escape for a terminal."""
        yield f"Task {self.task_id} of workflow {self.workflow_id} ({self.name}): {self.status}"
        yield f"  {self.why}"
        yield f"  task key   {self.task_key}"
        yield f"  submitter  {self.submitter}"
        yield f"  anchor     {self.anchor} (from submit {self.anchor_event})"
        if self.ready_at is not None:
            yield f"  ready at   {_time(self.ready_at)}, due {_time(self.due_at)} by priority {self.priority}"
        yield f"  turn       {self.turn}"
        if self.policy is not None:
            yield from _policy_lines(self.policy)
        yield from _block("peers, by distance of their key from the anchor", map(_peer_line, self.peers))
        yield from _block("needs", map(_need_line, self.needs))
        yield from _block("claims", map(_claim_line, self.claims))
        yield from _block("superseded completions", self.superseded)
        yield from _block("TAINTED: inputs that no longer count", self.tainted_inputs)
        yield from _block("decided by", map(_event_line, self.decided_by))


def render_obstacle(obstacle: Obstacle) -> str:
    """Return what stands in the way of a task for people, its time as ISO 8601 in UTC."""
    return obstacle.words if obstacle.until is None else f"{obstacle.words} {_time(obstacle.until)}"


def _policy_lines(policy: PolicyAnswer) -> Iterator[str]:
    if policy.allowed:
        yield f"  policy     this worker may run it, by its rule {policy.rule!r}"
    else:
        yield from _block("this worker may not run it, whatever its turn", policy.reasons)


def _block(title: str, lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == 0:
            yield f"  {title}:"
        yield f"    {line}"


def _peer_line(peer: PeerTurn) -> str:
    place = f"rank {peer.rank}" if peer.rank is not None else "no rank"
    when = f", from {_time(peer.take_at)}" if peer.take_at is not None else ""
    return f"{peer.peer}: {place}, distance {peer.distance}{when}: {peer.words}"


def _need_line(need: NeedState) -> str:
    return f"{need.task_id or need.task_key}: {need.status}" + (f" ({need.words})" if need.words else "")


def _claim_line(claim: ClaimState) -> str:
    return (
        f"attempt {claim.attempt} by {claim.peer}, distance {claim.distance}, {_time(claim.time)} to "
        f"{_time(claim.until)}: {claim.state} ({claim.claim})"
    )


def _event_line(event: DecidingEvent) -> str:
    seen = "stable" if event.stable else f"tentative, seen by {event.seen_by} of {event.of}"
    return f"{event.what} {event.event}: {seen}"


def _time(ms: int | None) -> str:
    if ms is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a year beyond 9999: an author's word, and no reason to fail
        return f"{ms} ms"
