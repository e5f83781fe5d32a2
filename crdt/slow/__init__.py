"""The rules in code: a plain, slow reducer from a set of events to a Snapshot.

Implements: specs/authority.md (R1-R6), specs/tasks.md (M1-M3, F0-F3, D1-D6), specs/clock.md (C1-C7), one function for a
rule. It keeps nothing, skips nothing and walks whole causal pasts; the reducer in use is another, shares no code with
this one, and must agree with it on every set of events. Leaves out what only time decides, and D7 (crdt.view).
"""

from __future__ import annotations

from collections.abc import Iterable

from crdt.records import Ignored, Snapshot
from crdt.slow.dag import Dag, task_of
from crdt.slow.fold import fold_tasks
from crdt.slow.roster import active_workers, counting, fences_in, roster_of, roster_rule
from crdt.slow.soundness import Judged, judge_all
from crdt.state_root import whole_state_root
from ledger.cid import Cid
from ledger.events import Genesis, TaskKey, VerifiedEvent
from ledger.keys import ActorKey

__all__ = ["reduce", "rules_broken"]


def reduce(ledger: Cid, genesis: Genesis, events: Iterable[VerifiedEvent]) -> Snapshot:
    """Return what `events`, in any order and however often each, mean together.

    The words of `ignored` are left empty: only event, index and rule are laid down. Raises ValueError where a linked
    event is missing. Never raises on a causally closed set of accepted events.
    """
    dag = Dag(ledger, genesis, events)
    fences = fences_in(dag, dag.events)
    counts = counting(dag, fences)
    judged = judge_all(dag, fences)
    tasks = fold_tasks(dag, judged, counts)
    roster = roster_of(dag, fences, counts)
    active = active_workers(roster, fences)
    log = _log(dag, counts)
    return Snapshot(
        ledger=ledger,
        tasks=tasks,
        roster=roster,
        heads=_heads(dag, log),
        vector=_vector(dag, log),
        log=log,
        counts=counts,
        seen_by={cid: _seen_by(dag, cid, counts, active) for cid in log},
        active_workers=active,
        ignored=frozenset(
            Ignored(cid, index, rule, "")
            for cid in counts
            for index, rule in _without_effect(dag, cid, judged, frozenset(tasks))
        ),
        state_root=whole_state_root(ledger, roster, tasks),
    )


def rules_broken(ledger: Cid, genesis: Genesis, events: Iterable[VerifiedEvent]) -> dict[tuple[Cid, TaskKey], str]:
    """Return for each (event, task) the rule its operation breaks, "" where it is sound. For tests of its laws."""
    dag = Dag(ledger, genesis, events)
    return {place: judgement.rule for place, judgement in judge_all(dag, fences_in(dag, dag.events)).items()}


def _log(dag: Dag, counts: frozenset[Cid]) -> frozenset[Cid]:
    """R6: the causal past of the events that count."""
    return counts.union(*(dag.past[cid] for cid in counts))


def _heads(dag: Dag, log: frozenset[Cid]) -> tuple[Cid, ...]:
    """C2: the events of the log that no event of the log links; the genesis alone for an empty log."""
    linked = {link for cid in log for link in dag.event(cid).links()}
    return tuple(sorted(log - linked)) or (dag.ledger,)


def _vector(dag: Dag, log: frozenset[Cid]) -> dict[ActorKey, int]:
    """C4: how many events of the log each actor has."""
    actors = [dag.event(cid).actor for cid in log]
    return {actor: actors.count(actor) for actor in set(actors)}


def _seen_by(dag: Dag, cid: Cid, counts: frozenset[Cid], active: frozenset[ActorKey]) -> frozenset[ActorKey]:
    """C7: the active workers with a counting event that is this one or has it in its past."""
    seeing = (seer for seer in counts if seer == cid or cid in dag.past[seer])
    return active & {dag.event(seer).actor for seer in seeing}


def _without_effect(dag: Dag, cid: Cid, judged: Judged, on_board: frozenset[TaskKey]) -> list[tuple[int, str]]:
    """Return the (index, rule) of each operation of an event that has no effect."""
    found: list[tuple[int, str]] = []
    for index, op in enumerate(dag.ops[cid]):
        task = task_of(op)
        rule = dag.reading_rule(cid, index)
        if not rule and task is None:
            rule = roster_rule(dag, cid, index)
        elif not rule and task is not None:
            # C6: what is sound on a task without a counting submit has no effect either: it breaks F0a in the fold.
            rule = judged[cid, task].rule or ("" if task in on_board else "F0a")
        if rule:
            found.append((index, rule))
    return found
