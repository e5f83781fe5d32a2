"""Why a task is where it is: who may take it and when, what it waits for, whose claim or completion counts and why.

Implements: `explain`, from the board, the ranks of specs/assignment.md and the view of specs/tasks.md. It decides
nothing: each answer comes from the function that decides. Leaves out how it is shown (scheduler.explanation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from crdt.attempts import runs
from crdt.order import anchor_of
from crdt.records import ClaimRecord, CompletionRecord, TaskRecord
from crdt.view import Obstacle, ObstacleKind, Status, TaskView, is_overdue, view
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey, did_key
from scheduler.assignment import LIVENESS_LEASES, Crew, Worker, crew_of, due_at, ready_since, take_at
from scheduler.endings import deciding, endings, failure_of, voided_of, was_voided
from scheduler.explanation import (
    ClaimState,
    DecidingEvent,
    Explanation,
    NeedState,
    PeerTurn,
    PolicyAnswer,
    render_obstacle,
)
from scheduler.home import Home
from scheduler.queue import first_saw
from scheduler.results import class_and_error, failure_words, result_of
from scheduler.working.judging import is_for_workers, judge_task, lacking_of
from scheduler.working.policy import WorkerPolicy


def explain(
    home: Home,
    record: TaskRecord,
    now: int | None = None,
    me: ActorKey | None = None,
    policy: WorkerPolicy | None = None,
) -> Explanation:
    """Return why a task stands where it stands.

    Args:
        home: where it is known; one state of it is read.
        record: the task.
        now: the instant to explain, ms since 1970; None for the present.
        me: the peer that asks, which counts as heard of; None for an onlooker.
        policy: that of this home's worker, to say whether it may run the task; None: nothing is said of that.
    """
    with home.reading():
        found = _Explainer(home, record, home.now_ms() if now is None else now, me).explain()
        if policy is None or not is_for_workers(record.spec):
            return found
        verdict = judge_task(home, policy, record)
        rule = None if verdict.permit is None else verdict.permit.rule
        return replace(found, policy=PolicyAnswer(verdict.allowed, verdict.reasons, rule))


def _lacking_words(blobs: tuple[Cid, ...]) -> str:
    """Return that a ready task cannot be run here yet, since some blobs are elsewhere."""
    some = f"a blob it needs has not come here yet: {blobs[0]}"
    if len(blobs) > 1:
        some = f"{len(blobs):,} blobs it needs have not come here yet, one of them {blobs[0]}"
    return f"{some}; `sync` or `peer run` brings it from who has it"


class _Explainer:
    """What the parts of one explanation share."""

    def __init__(self, home: Home, record: TaskRecord, now: int, me: ActorKey | None) -> None:
        self._home = home
        self._board = home.board
        self._record = record
        self._now = now
        self._names = home.members.names()
        self._view = view(record, self._board.find_record, home.policy, now)
        self._endings = endings(home, record)
        self._ready_at = ready_since(self._view, first_saw(home, record))
        roster, active = self._board.roster(), self._board.active_workers()
        self._lacking = lacking_of(home, record) if self._view.status is Status.READY else ()
        self._crew: Crew = crew_of(roster, active, home.heard_of(), me, home.policy, now)

    def explain(self) -> Explanation:
        record, seen, ready_at = self._record, self._view, self._ready_at
        peers = tuple(self._peers())
        return Explanation(
            task_key=record.key.hex(),
            task_id=record.spec.task_id,
            workflow_id=record.spec.workflow_id,
            name=record.spec.name,
            now=self._now,
            status=seen.status,
            why=self._why(),
            obstacles=seen.obstacles,
            lacking=tuple(map(str, self._lacking)),
            submitter=self._name(record.submitter),
            submitter_key=did_key(record.submitter),
            priority=record.priority,
            anchor=anchor_of(record.submits[0], record.key).to_bytes(32, "big").hex(),
            anchor_event=str(record.submits[0]),
            ready_at=ready_at,
            due_at=None if ready_at is None else due_at(ready_at, record.priority, self._home.policy),
            turn=self._turn(peers),
            peers=peers,
            needs=tuple(map(self._need, record.spec.needs)),
            claims=tuple(map(self._claim, sorted(record.claims, key=lambda c: (c.attempt, c.time, c.cid)))),
            result=None if record.result is None else str(record.result.cid),
            superseded=tuple(str(completion.cid) for completion in record.completions[1:]),
            tainted_inputs=tuple(map(str, voided_of(self._home, self._rests_on()))),
            decided_by=tuple(self._decided_by()),
        )

    def _name(self, actor: ActorKey) -> str:
        return self._names.get(actor) or did_key(actor)

    # ---- whose turn

    def _peers(self) -> Iterator[PeerTurn]:
        """Yield the eligible by rank, then the other active workers with what keeps them out (S3)."""
        ranked = {candidate.actor: candidate for candidate in self._crew.ranking(self._record)}
        workers = {worker.actor: worker for worker in self._crew.workers}
        everybody = Crew(
            tuple(Worker(w.actor, frozenset(self._record.spec.requires), 0, True) for w in workers.values())
        )
        overdue = is_overdue(self._record)
        for candidate in sorted(
            everybody.ranking(self._record), key=lambda c: (c.actor not in ranked, c.distance, c.actor)
        ):
            worker = workers[candidate.actor]
            place = ranked.get(candidate.actor)
            turn = None
            if place is not None and self._ready_at is not None:
                turn = take_at(self._ready_at, place.rank, self._home.policy, overdue=overdue)
            yield PeerTurn(
                peer=self._name(candidate.actor),
                key=did_key(candidate.actor),
                distance=candidate.distance,
                rank=None if place is None else place.rank,
                take_at=turn,
                heard_at=worker.heard_ms or None,
                words=self._eligibility(worker),
            )

    def _eligibility(self, worker: Worker) -> str:
        lacking = sorted(set(self._record.spec.requires) - worker.labels)
        if lacking:
            return f"lacks the labels {', '.join(lacking)}"
        if not worker.is_live:
            window_s = LIVENESS_LEASES * self._home.policy.lease_ms / 1000
            return f"not heard of in the last {window_s:g} s"
        return "may take it" if self._view.status is Status.READY else "is eligible"

    def _turn(self, peers: tuple[PeerTurn, ...]) -> str:
        status = self._view.status
        if status is not Status.READY:
            first = next((peer.peer for peer in peers if peer.rank == 0), None)
            return f"nobody's while it is {status}" + (f"; first would be {first}" if first else "")
        open_to = [peer.peer for peer in peers if peer.take_at is not None and peer.take_at <= self._now]
        if open_to:
            return f"{', '.join(open_to)} may take it now"
        if not any(worker.is_live for worker in self._crew.workers):
            return "nobody's: no worker has joined that was heard of lately"
        return "nobody's: no active worker heard of lately has its labels"

    # ---- why

    def _why(self) -> str:
        record, seen = self._record, self._view
        match seen.status:
            case Status.DONE:
                return self._why_done(record.completions)
            case Status.CANCELLED:
                return "it was cancelled, and nobody had completed it"
            case Status.HELD:
                return self._why_held(seen)
            case Status.DEAD:
                words = "; ".join(map(self._obstacle, seen.obstacles))
                expired = any(one.kind is ObstacleKind.EXPIRED for one in seen.obstacles)
                return words if expired else f"{words}: only a requeue by its submitter or an owner brings it back"
            case Status.BLOCKED | Status.WAITING | Status.EXPIRED:
                return "; ".join(map(self._obstacle, seen.obstacles))
            case Status.READY:
                if self._lacking:
                    return f"nobody holds it; {_lacking_words(self._lacking)}"
                return "everything it needs is there, and nobody holds it"

    def _obstacle(self, obstacle: Obstacle) -> str:
        """Return one thing in the way, with the names of the needs, or with the failure that is waited out."""
        if obstacle.kind is ObstacleKind.NEEDS:
            if self._view.status is not Status.WAITING:
                return obstacle.words
            return f"it waits for {', '.join(map(self._task_name, self._view.unmet))}"
        words = render_obstacle(obstacle)
        if obstacle.kind is ObstacleKind.BACKOFF:
            last = max(self._record.claims, key=lambda claim: (claim.failed_at, claim.cid))
            failure = failure_of(self._endings, last.cid)
            if failure is not None:
                words += f" ({class_and_error(failure.failure_class, failure.error)})"
        return words

    def _why_done(self, completions: tuple[CompletionRecord, ...]) -> str:
        result = completions[0]
        words = f"completed by {self._name(result.actor)} under claim {result.claim}, distance {result.distance}"
        if len(completions) > 1:
            words += f"; of {len(completions)} completions that of the nearest claim is the result (D1)"
        return words

    def _why_held(self, seen: TaskView) -> str:
        assert seen.holder is not None  # noqa: S101  # what held means
        rivals = sum(runs(claim, self._now) for claim in self._record.claims) - 1
        words = (
            f"held by {self._name(seen.holder.actor)} under claim {seen.holder.cid}, distance {seen.holder.distance}"
        )
        return words + (f"; the nearest of {rivals + 1} running claims (D4)" if rivals else "; no other claim runs")

    def _task_name(self, key: TaskKey) -> str:
        needed = self._board.find_record(key)
        return key.hex() if needed is None else needed.spec.task_id

    def _need(self, key: TaskKey) -> NeedState:
        needed = self._board.find_record(key)
        if needed is None:
            return NeedState(key.hex(), None, "not known", None, "")
        found = result_of(self._home, needed, now=self._now)
        seen = view(needed, self._board.find_record, self._home.policy, self._now)
        voided = ["its result was voided by a revocation"] if was_voided(self._home, needed) else []
        words = "; ".join([*voided, *map(render_obstacle, seen.obstacles)])
        if seen.status is not Status.DONE and found.failure_class is not None:
            words = "; ".join(filter(None, (words, f"last failure: {failure_words(found)}")))
        if found.handed.malformed:
            words = found.handed.malformed
        result = None if needed.result is None else str(needed.result.cid)
        return NeedState(key.hex(), needed.spec.task_id, seen.status, result, words)

    def _claim(self, claim: ClaimRecord) -> ClaimState:
        return ClaimState(
            claim=str(claim.cid),
            peer=self._name(claim.actor),
            key=did_key(claim.actor),
            attempt=claim.attempt,
            distance=claim.distance,
            time=claim.time,
            until=claim.until,
            state=self._claim_state(claim),
        )

    def _claim_state(self, claim: ClaimRecord) -> str:
        completed = [completion.claim for completion in self._record.completions]
        if claim.cid in completed:
            return "its completion is the result" if claim.cid == completed[0] else "completed, superseded"
        if claim.failed_at:
            return "failed"
        if claim.released:
            return "released"
        if not runs(claim, self._now):
            return "ran out"
        holder = self._view.holder
        return "holds" if holder is not None and holder.cid == claim.cid else "runs, superseded"

    # ---- what it rests on

    def _rests_on(self) -> tuple[Cid, ...]:
        """Return the inputs of the result; of a task that is held, those of the claim."""
        held = self._record.result or self._view.holder
        return () if held is None else held.inputs

    def _decided_by(self) -> Iterator[DecidingEvent]:
        of = len(self._board.active_workers())
        for what, cid in deciding(self._record, self._view.holder, self._endings):
            yield DecidingEvent(str(cid), what, self._board.is_stable(cid), len(self._board.seen_by(cid)), of)
