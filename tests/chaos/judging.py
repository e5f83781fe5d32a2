"""What must be true after chaos: every task over as it must be, no result missing or wrong, each second run explained.

What really ran is in a journal outside the ledger: each run writes a line when it begins and one when it ends, with its
task key and its claim. It is compared with the board of a home that has everything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from crdt.records import ClaimRecord, TaskRecord
from crdt.task_graph import TaskEntry
from crdt.view import Status, view
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey
from ledger.operations import Claim, Complete, Fail, Release, Renew
from scheduler.endings import counting, endings
from scheduler.home import Home
from scheduler.results import result_of
from scheduler.run_log import read_log
from tests.chaos.flow import OUTPUT, answer, failures, meant_to_be
from tests.chaos.news import News, Span

Runs = Mapping[Cid, Mapping[str, int]]
"""How often each claim of a task wrote `begin` and `end`."""


@dataclass(slots=True)
class Verdict:
    """What was found: how tasks ended, why some ran more than once, and whatever is against the rules."""

    tasks: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    again: Counter[str] = field(default_factory=Counter)
    """Why a task was begun again: failed, released, lease lost, partition, not yet mended, not yet heard."""
    cut_off: int = 0
    """Runs that began, and neither ended, failed, nor were given back or called off: whoever had them was killed."""
    late: int = 0
    """Runs that ended, though their lease was lost and another had begun: their worker was paused."""
    parted: int = 0
    """Cuts, each between two places, during which both wrote, and neither heard of what the other wrote."""
    faults: list[str] = field(default_factory=list)

    def told(self) -> str:
        """Return it in words."""
        tasks = {str(status): count for status, count in self.tasks.items()}
        return (
            f"{tasks}; {self.runs} runs, begun again: {dict(self.again)}; "
            f"{self.cut_off} cut off, {self.late} ended without their lease; {self.parted} cuts parted two places; "
            f"{len(self.faults)} faults"
        )


def read_journal(folder: Path) -> dict[TaskKey, dict[Cid, Counter[str]]]:
    """Return what each claim of each task wrote."""
    found: dict[TaskKey, dict[Cid, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for file in folder.glob("*.journal"):
        for line in file.read_text(encoding="utf-8").splitlines():
            task, claim, words = line.split()
            found[TaskKey(bytes.fromhex(task))][Cid.parse(claim)][words] += 1
    return found


def judge(
    home: Home, journal: Path, submitted: Sequence[TaskKey], news: News, called_off: Collection[int] = ()
) -> Verdict:
    """Return what became of the tasks of a run, given by number; `news`: who could have heard of what.

    Only tasks that were `called_off` may be cancelled, and each may be done instead.
    """
    verdict = Verdict()
    ran = read_journal(journal)
    with home.reading():
        records = [home.board.find_record(key) for key in submitted]
        verdict.parted, crossings = judge_cuts(home, news)
    verdict.faults += crossings
    verdict.faults += [f"task {key.hex()} ran, and nobody submitted it" for key in ran.keys() - set(submitted)]
    for number, (key, record) in enumerate(zip(submitted, records, strict=True)):
        if record is None:
            verdict.faults.append(f"t{number} was submitted and is gone")
        else:
            verdict.faults += [
                f"t{number} {words}"
                for words in judge_task(
                    home, number, record, ran[key], verdict, news, is_called_off=number in called_off
                )
            ]
    return verdict


def judge_task(
    home: Home, number: int, record: TaskRecord, ran: Runs, verdict: Verdict, news: News, *, is_called_off: bool = False
) -> list[str]:
    """Return what is against the rules of one task, and count what became of it."""
    with home.reading():
        status = view(record, home.board.find_record, home.policy, home.now_ms()).status
        verdict.tasks[status] += 1
        is_right = status is meant_to_be(number) or (status is Status.CANCELLED and is_called_off)
        faults = [] if is_right else [f"is {status}, and was to be {meant_to_be(number)}"]
        if status is Status.DEAD:
            faults += _death_faults(home, record)
        faults += _failure_faults(home, number, record)
        faults += _run_faults(home, record, ran, verdict, news)
    if status is Status.DONE:
        faults += _result_faults(home, number, record, ran)
    return faults


def _result_faults(home: Home, number: int, record: TaskRecord, ran: Runs) -> Iterator[str]:
    result = record.result
    assert result is not None
    if not ran.get(result.claim, {}).get("end"):
        yield f"is done under {result.claim}, which never came to its end"
    said = result_of(home, record)
    if said.exit_code != 0 or sorted(said.outputs.get(OUTPUT, "").split()) != answer(number):
        yield f"has the result {said.exit_code}, {dict(said.outputs)}, not {answer(number)}"
    log = b"".join(read_log(home, record)).decode()
    claim = next(claim for claim in record.claims if claim.cid == result.claim)
    if log != f"attempt {claim.attempt} of {record.spec.task_id}\n":
        yield f"has the log {log!r}"


def _death_faults(home: Home, record: TaskRecord) -> Iterator[str]:
    """Yield what lacks a reason of a dead task: it has had its attempts, and each that failed says why."""
    failed = {ending.op.claim: ending.op for ending in endings(home, record) if isinstance(ending.op, Fail)}
    if len({claim.attempt for claim in record.claims if not claim.released}) < (
        record.spec.max_attempts or home.policy.max_attempts
    ):
        yield "is dead before its attempts were used up"
    for op in failed.values():
        if not op.failure_class or not op.error:
            yield f"failed without a reason: {op.failure_class!r}, {op.error!r}"


def _failure_faults(home: Home, number: int, record: TaskRecord) -> Iterator[str]:
    """Yield the attempts that failed and were not to, or otherwise than they were to."""
    attempts = {claim.cid: claim.attempt for claim in record.claims}
    for ending in endings(home, record):
        if isinstance(op := ending.op, Fail) and (
            attempts[op.claim] > failures(number) or op.failure_class != "payload"
        ):
            yield f"failed in attempt {attempts[op.claim]}, and was not to: {op.failure_class}, {op.error}"


def _run_faults(home: Home, record: TaskRecord, ran: Runs, verdict: Verdict, news: News) -> Iterator[str]:
    claims = {claim.cid: claim for claim in record.claims}
    for cid, wrote in ran.items():
        verdict.runs += wrote["begin"]
        if cid not in claims:
            yield f"ran under {cid}, which is no claim on the board"
        elif wrote["begin"] != 1:
            yield f"was begun {wrote['begin']} times under one claim: {cid}"
        elif not (wrote["end"] or claims[cid].failed_at or claims[cid].released or record.cancels):
            verdict.cut_off += 1
    begun = sorted((claims[cid] for cid in ran if cid in claims), key=lambda claim: (claim.time, claim.cid))
    for first, second in combinations(begun, 2):
        why = why_again(home, record, first, second, news)
        if why is None:
            places = (place_of(home, claim.actor) for claim in (first, second))
            yield f"was begun twice although connected, at {' and at '.join(places)}: {first} and {second}"
            continue
        verdict.again[why] += 1
        verdict.late += why == "lease lost" and ran[first.cid]["end"] > 0


def why_again(home: Home, record: TaskRecord, first: ClaimRecord, second: ClaimRecord, news: News) -> str | None:
    """Return why the second claim was made though there was the first; None for no reason. Within a reading."""
    here, there = place_of(home, first.actor), place_of(home, second.actor)
    if not _is_before(home, first.cid, second.cid):  # its author had not seen the first one
        return news.why_unheard(here, first.time, there, second.time)
    known: list[tuple[int, TaskEntry]] = []
    unknown: list[tuple[int, TaskEntry]] = []
    for cid, event, op in counting(home, record):
        if _concerns(cid, op, first):
            (known if _is_before(home, cid, second.cid) else unknown).append((event.time, op))
    if any(isinstance(op, Complete) for _, op in known):
        return None
    for kind, why in ((Fail, "failed"), (Release, "released")):
        if any(isinstance(op, kind) for _, op in known):
            return why
    if _lease_end(known) > second.time:
        return None
    renewals = [(time, op) for time, op in unknown if isinstance(op, Renew) and time <= second.time]
    done = [time for time, op in unknown if isinstance(op, Complete) and time <= min(second.time, first.until)]
    if not done and _lease_end(renewals) <= second.time:
        return "lease lost"
    return news.why_unheard(here, min([*done, *(time for time, _ in renewals)]), there, second.time)


def _concerns(cid: Cid, op: TaskEntry, claim: ClaimRecord) -> bool:
    """Return whether an operation, carried by an event, is a claim, or says something of it."""
    if isinstance(op, Renew | Release | Fail | Complete):
        return op.claim == claim.cid
    return isinstance(op, Claim) and cid == claim.cid


def _lease_end(ops: Iterable[tuple[int, TaskEntry]]) -> int:
    """Return until when operations at their times give a claim."""
    return max((time + op.lease_ms for time, op in ops if isinstance(op, Claim | Renew)), default=0)


def judge_cuts(home: Home, news: News) -> tuple[int, list[str]]:
    """Return how many cuts parted two places that both wrote, and what was heard across one. Within a reading.

    Tells `news` what was heard of whom.
    """
    places: dict[ActorKey, str] = {}
    wrote: dict[Span, set[str]] = defaultdict(set)
    crossed: dict[Span, list[str]] = defaultdict(list)
    for _, cid, _ in home.events.in_order_of_arrival():
        event = home.board.store.event(cid)
        here = places.setdefault(event.actor, place_of(home, event.actor))
        cuts = [cut for cut in news.cuts if here in cut.who and cut.begin < event.time < cut.end]
        for cut in cuts:
            wrote[cut].add(here)
        for other in (home.board.store.event(link) for link in event.links() if link != home.ledger):
            there = places.setdefault(other.actor, place_of(home, other.actor))
            if there != here:
                news.crossings.setdefault((there, here), []).append((other.time, event.time))
            for cut in cuts:
                if other.time > cut.begin and {here, there} == cut.who:
                    crossed[cut].append(f"{here} heard across a cut of {sorted(cut.who)} what was written in it: {cid}")
    parted = sum(both == cut.who and not crossed[cut] for cut, both in wrote.items())
    return parted, [words for found in crossed.values() for words in found]


def place_of(home: Home, actor: ActorKey) -> str:
    """Return the place of a member: what its name has before the dash (tests.chaos.fate.hired)."""
    return (home.members.names().get(actor) or str(actor)).partition("-")[0]


def _is_before(home: Home, first: Cid, second: Cid) -> bool:
    """Return whether an event is in the causal past of another."""
    graph = home.board.graph
    height = graph.node(first).height
    stack, passed = [second], {second}
    while stack:
        cid = stack.pop()
        if cid == first:
            return True
        for link in graph.node(cid).links:
            if link != home.ledger and link not in passed and graph.node(link).height >= height:
                passed.add(link)
                stack.append(link)
    return False
