"""The judge of the chaos runs sees what is wrong: an honest little run passes, doctored boards and journals do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crdt.records import ClaimRecord, TaskRecord
from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import SigningKey
from ledger.operations import Attachment, Report
from scheduler.batch import Completed, Ending, Failed, Released, Renewed, settle_and_take
from scheduler.running.outputs import Outputs, write_outputs
from scheduler.running.payloads import OUTPUTS_TYPE
from scheduler.steering import cancel
from scheduler.taking import Taken
from tests.chaos.fate import POLICY
from tests.chaos.flow import OUTPUT, answer, failures, submit_all
from tests.chaos.judging import Verdict, judge, judge_task, read_journal, why_again
from tests.chaos.news import SLACK_MS, News, Span
from tests.scheduler.desk import Desk

COUNT = 7
"""Enough for one that fails at first (3), one that needs another (4), and one that dies (5)."""
BOTH = frozenset(("here", "there"))
TAKES_MS = 20_000
Change = Callable[[bytes], bytes]


class Play:
    """A home in which the tasks of `flow` are done by hand, with a journal beside it."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal"
        self.journal.mkdir()
        self.folder = folder
        self.desk = Desk(folder / "home", POLICY)
        self.me = self.desk.peer("here-1")
        self.keys = submit_all(self.desk.home, self.me, COUNT)
        self.news = News(TAKES_MS)

    def note(self, task: TaskKey, claim: Cid, words: str) -> None:
        """Write to the journal."""
        with (self.journal / f"{claim}.journal").open("a", encoding="utf-8") as file:
            file.write(f"{task.hex()} {claim} {words}\n")

    def settle(
        self, *endings: Ending, most: int = 0, desk: Desk | None = None, key: SigningKey | None = None
    ) -> list[Taken]:
        """Settle and take; say of each task taken that it has begun."""
        home = (desk or self.desk).home
        taken = settle_and_take(home, key or self.me, endings, most=most, lease_ms=POLICY.lease_ms).taken
        for one in taken:
            self.note(one.record.key, one.claim, "begin")
        return taken

    def ending(self, taken: Taken, change: Change = lambda data: data) -> Ending:
        """Return how a run ends that has begun, as its number says; `change` is done to what it hands over."""
        number = self.keys.index(taken.record.key)
        attempt = next(claim.attempt for claim in taken.record.claims if claim.cid == taken.claim)
        log = Attachment("text/plain; charset=utf-8", data=f"attempt {attempt} of t{number}\n".encode())
        if attempt <= failures(number):
            return Failed(taken.record.key, taken.claim, "payload", "exit code 3", Report(exit_code=3), log)
        self.note(taken.record.key, taken.claim, "end")
        output = Attachment(OUTPUTS_TYPE, data=change(write_outputs(Outputs({OUTPUT: " ".join(answer(number))}))))
        return Completed(taken.record.key, taken.claim, output, Report(exit_code=0), log)

    def finish(self, change: Change = lambda data: data) -> None:
        """Do all that can be done."""
        for _ in range(6):
            self.settle(*(self.ending(taken, change) for taken in self.settle(most=COUNT)))
            self.desk.now += 2 * POLICY.lease_ms

    def judge(self) -> Verdict:
        """Return the verdict."""
        return judge(self.desk.home, self.journal, self.keys, self.news)

    def judge_doctored(self, number: int, change: Callable[[TaskRecord], TaskRecord]) -> list[str]:
        """Return the faults of one task whose record was changed."""
        key = self.keys[number]
        record = change(self.desk.record(key))
        return judge_task(self.desk.home, number, record, read_journal(self.journal)[key], Verdict(), self.news)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """Return a home with tasks nobody has begun."""
    play = Play(tmp_path)
    with play.desk:
        yield play


def test_an_honest_run_passes(play: Play) -> None:
    """Each task is counted as it ended, each second run with its reason."""
    play.finish()
    verdict = play.judge()
    assert verdict.faults == []
    assert dict(verdict.tasks) == {"done": COUNT - 1, "dead": 1}
    assert (verdict.runs, dict(verdict.again), verdict.cut_off) == (COUNT + 2, {"failed": 2}, 0)


def test_a_task_that_is_not_over(play: Play) -> None:
    """What is still held, or waits, is a fault."""
    play.settle(most=1)
    verdict = play.judge()
    assert len(verdict.faults) == COUNT
    assert all("and was to be" in fault for fault in verdict.faults)
    assert verdict.cut_off == 1


def test_a_task_that_is_gone(play: Play) -> None:
    """A task that the board does not know, and one that ran though nobody submitted it."""
    play.finish()
    key = play.keys.pop()
    assert [fault for fault in play.judge().faults if key.hex() in fault]
    play.keys.append(TaskKey(bytes(32)))
    assert f"t{COUNT - 1} was submitted and is gone" in play.judge().faults


def test_a_claim_that_is_not_on_the_board(play: Play) -> None:
    """What ran under a claim that the board does not know was run without one."""
    play.finish()
    claim = Cid.of(b"nowhere")
    play.note(play.keys[0], claim, "begin")
    assert play.judge().faults == [f"t0 ran under {claim}, which is no claim on the board"]


def test_a_claim_begun_twice(play: Play) -> None:
    """One claim is one run."""
    play.finish()
    result = play.desk.record(play.keys[0]).result
    assert result is not None
    play.note(play.keys[0], result.claim, "begin")
    assert [fault for fault in play.judge().faults if "t0 was begun 2 times under one claim" in fault]


def test_a_result_of_a_run_that_did_not_end(play: Play) -> None:
    """A result without its run was made up."""
    play.finish()
    for file in play.journal.iterdir():
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(line for line in lines if not line.endswith("end\n")), encoding="utf-8")
    assert sum("never came to its end" in fault for fault in play.judge().faults) == COUNT - 1


@pytest.mark.parametrize("wrong", [b"t1", b"", b"t"])
def test_a_wrong_result(play: Play, wrong: bytes) -> None:
    """What was handed over must be the task's own."""
    play.finish(lambda data: data.replace(b'"t0"', b'"' + wrong + b'"'))
    assert [fault[:17] for fault in play.judge().faults] == ["t0 has the result"]


def test_a_death_without_a_reason(play: Play) -> None:
    """A failure must say its class and its words."""
    for _ in range(2):
        taken = [one for one in play.settle(most=COUNT) if play.keys.index(one.record.key) == 5]
        play.settle(*(Failed(one.record.key, one.claim, "payload") for one in taken))
        play.desk.now += 2 * POLICY.lease_ms
    assert [fault for fault in play.judge().faults if fault.startswith("t5 failed without a reason")]


def test_a_death_too_early(play: Play) -> None:
    """No task that can be done may die, and none that cannot may be done."""
    play.finish()
    assert play.judge_doctored(0, lambda task: replace(task, completions=()))
    assert play.judge_doctored(5, lambda task: replace(task, completions=play.desk.record(play.keys[0]).completions))


def test_a_log_that_cannot_be_read(play: Play) -> None:
    """The log of a result is what the run said, of the attempt that it was."""
    play.finish()

    def as_another(task: TaskRecord) -> TaskRecord:
        return replace(task, claims=tuple(replace(claim, attempt=claim.attempt + 1) for claim in task.claims))

    assert ["has the log" in fault for fault in play.judge_doctored(0, as_another)] == [True]


def claims_of(play: Play, key: TaskKey) -> tuple[TaskRecord, list[ClaimRecord]]:
    """Return a task and its claims by time."""
    record = play.desk.record(key)
    return record, sorted(record.claims, key=lambda claim: (claim.time, claim.cid))


def why(play: Play, record: TaskRecord, one: ClaimRecord, two: ClaimRecord) -> str | None:
    """Return why a task was begun again."""
    with play.desk.home.reading():
        return why_again(play.desk.home, record, one, two, play.news)


def test_a_lost_lease(play: Play) -> None:
    """It explains a second run whose author knew of the first; while the lease runs nothing does, whatever is later."""
    (first,) = play.settle(most=1)
    play.desk.now += 2 * POLICY.lease_ms
    play.settle(most=COUNT)
    record, (one, two) = claims_of(play, first.record.key)
    assert why(play, record, one, two) == "lease lost"
    early = replace(two, time=one.until - 1)
    assert why(play, record, one, early) is None
    assert why(play, record, replace(one, released=True, failed_at=early.time), early) is None


@pytest.mark.parametrize("ended", ["failed", "released"])
def test_what_the_second_author_knew(play: Play, ended: str) -> None:
    """A failure or a release explains a second run where its author knew of it."""
    (first,) = play.settle(most=1)
    task, claim = first.record.key, first.claim
    play.settle(Failed(task, claim, "payload", "x") if ended == "failed" else Released(task, claim, "x"))
    play.desk.now += POLICY.lease_ms // 2
    play.settle(most=COUNT)
    record, (one, two) = claims_of(play, task)
    assert two.time < one.time + POLICY.lease_ms
    assert why(play, record, one, two) == ended


@pytest.mark.parametrize("later_ms", [TAKES_MS, TAKES_MS + 1])
def test_a_completion_that_was_not_heard_of(play: Play, later_ms: int) -> None:
    """What was done in time, and is done again by somebody who heard of the claim alone, is judged by how news went."""
    him = play.desk.peer("there-1")
    play.desk.now += 2 * POLICY.lease_ms  # everybody's turn has come
    first = next(taken for taken in play.settle(most=COUNT) if not failures(play.keys.index(taken.record.key)))
    with Desk(play.folder / "one", source=play.desk) as apart:
        play.settle(play.ending(first))
        apart.now = play.desk.now = play.desk.now + later_ms
        play.settle(most=COUNT, desk=apart, key=him)
        play.desk.carry(apart)
    record, (one, two) = claims_of(play, first.record.key)
    assert why(play, record, one, two) == ("not yet heard" if later_ms == TAKES_MS else None)
    late = replace(one, until=one.time - 1)  # done only after the lease was lost
    assert why(play, record, late, two) == "lease lost"


def test_a_failure_that_was_not_to_be(play: Play) -> None:
    """What is to succeed may not fail, and what is to fail only for its own reason."""
    taken = play.settle(most=COUNT)
    play.settle(*(Failed(one.record.key, one.claim, "infrastructure", "x") for one in taken))
    play.desk.now += 2 * POLICY.lease_ms
    play.finish()
    found = {fault.split()[0] for fault in play.judge().faults if "and was not to: infrastructure, x" in fault}
    assert found == {f"t{play.keys.index(one.record.key)}" for one in taken}


def begun_apart(play: Play, after_ms: int, name: str = "there-1") -> tuple[ClaimRecord, ClaimRecord]:
    """Return two claims of a task: the second one's author did not know of the first, made so long before."""
    him = play.desk.peer(name)
    with Desk(play.folder / "one", source=play.desk) as apart:
        apart.now = play.desk.now = play.desk.now + 2 * POLICY.lease_ms  # everybody's turn has come
        (first,) = play.settle(most=1)
        apart.now += after_ms
        (other,) = play.settle(most=1, desk=apart, key=him)
        assert other.record.key == first.record.key
        play.desk.now = apart.now
        play.desk.carry(apart)
    _, (one, two) = claims_of(play, first.record.key)
    return one, two


def begun_twice(verdict: Verdict) -> list[str]:
    """Return the faults that say so."""
    return [fault for fault in verdict.faults if "begun twice although connected" in fault]


def test_far_apart_and_connected(play: Play) -> None:
    """Two who did not know of each other though news had long come are a fault, and no cut between others helps."""
    one, two = begun_apart(play, TAKES_MS + 1)
    elsewhere = frozenset(("here", "elsewhere"))
    play.news.cuts = [Span(elsewhere, one.time, two.time), Span(BOTH, one.time - 9, one.time - 1)]
    assert len(begun_twice(play.judge())) == 1
    assert not play.judge().again


def test_far_apart_and_parted(play: Play) -> None:
    """A cut between the two, while news should have come, explains it."""
    one, _ = begun_apart(play, TAKES_MS + 1)
    play.news.cuts = [Span(BOTH, one.time - 1, one.time + 1)]
    verdict = play.judge()
    assert (begun_twice(verdict), verdict.again) == ([], {"partition": 1})


def test_close_and_connected(play: Play) -> None:
    """Within the time that news takes the second one could not know, and this is told apart from a cut."""
    begun_apart(play, TAKES_MS)
    verdict = play.judge()
    assert (begun_twice(verdict), verdict.again) == ([], {"not yet heard": 1})


def test_two_of_one_place_always_know(play: Play) -> None:
    """Nothing explains that workers of one home did not know of each other, be it cut off or the claims close."""
    one, two = begun_apart(play, 1, name="here-2")
    play.news.cuts = [Span(BOTH, one.time, two.time), Span(frozenset(("here",)), one.time, two.time)]
    assert len(begun_twice(play.judge())) == 1


@pytest.mark.parametrize("met", [True, False])
def test_places_that_have_met(play: Play, met: bool) -> None:
    """Where two places have met in between, the second one knew, however short the time, and whatever cut they had."""
    one, _ = begun_apart(play, 2 * SLACK_MS if met else 2 * SLACK_MS - 1)
    play.news.meetings = [Span(BOTH, one.time + SLACK_MS, one.time + SLACK_MS)]
    assert len(begun_twice(play.judge())) == met
    play.news.cuts = [Span(BOTH, one.time - 1, one.time + 1)]
    assert len(begun_twice(play.judge())) == met


def test_a_cut_that_parted_nobody(play: Play) -> None:
    """What one side wrote in a cut and the other heard in it shows that there was none."""
    him = play.desk.peer("there-1")
    play.desk.now += 2 * POLICY.lease_ms
    begin = play.desk.now
    play.desk.now += 1
    play.settle(most=1)
    play.desk.now += 1
    play.settle(most=1, key=him)
    play.news.cuts = [Span(BOTH, begin, play.desk.now + 1)]
    verdict = play.judge()
    assert any("heard across a cut" in fault for fault in verdict.faults)
    assert verdict.parted == 0
    play.news.cuts = [Span(BOTH, begin, play.desk.now)]
    verdict = play.judge()
    assert not any("heard across a cut" in fault for fault in verdict.faults)
    assert verdict.parted == 0  # only one of the two wrote anything in it


def test_a_cut_that_parted(play: Play) -> None:
    """Both wrote, and neither heard."""
    one, two = begun_apart(play, 1)
    play.news.cuts = [Span(BOTH, one.time - 1, two.time + 1)]
    verdict = play.judge()
    assert verdict.parted == 1
    assert not any("heard across a cut" in fault for fault in verdict.faults)


@pytest.mark.parametrize("is_called_off", [False, True])
def test_a_task_that_is_cancelled(play: Play, is_called_off: bool) -> None:
    """Only what was called off may be."""
    cancel(play.desk.home, play.me, play.keys[0])
    record = play.desk.record(play.keys[0])
    faults = judge_task(play.desk.home, 0, record, {}, Verdict(), play.news, is_called_off=is_called_off)
    assert bool(faults) is not is_called_off


@pytest.mark.parametrize("renewals", [6, 15])
def test_a_renewal_that_was_not_heard_of(play: Play, renewals: int) -> None:
    """A lease that was renewed beyond a cut has ended for those on this side of it; how long ago is what counts."""
    him = play.desk.peer("there-1")
    play.desk.now += 2 * POLICY.lease_ms  # everybody's turn has come
    (first,) = play.settle(most=1)
    with Desk(play.folder / "one", source=play.desk) as apart:
        for _ in range(renewals):
            play.desk.now += POLICY.lease_ms // 2
            play.settle(Renewed(first.record.key, first.claim))
        apart.now = play.desk.now = play.desk.now + POLICY.lease_ms // 2 - 1
        play.settle(most=COUNT, desk=apart, key=him)
        play.desk.carry(apart)
    record, (one, two) = claims_of(play, first.record.key)
    assert one.until > two.time
    if renewals == 15:  # the first of them more than TAKES_MS ago
        assert why(play, record, one, two) is None
        return
    assert why(play, record, one, two) == "not yet heard"
    play.news.meetings.append(Span(BOTH, one.time, two.time))
    assert why(play, record, one, two) == "not yet heard"
    play.news.meetings.append(Span(BOTH, two.time - SLACK_MS, two.time - SLACK_MS))
    assert why(play, record, one, two) is None


def test_where_news_takes_its_time() -> None:
    """News may take longer after a cut, where a daemon was down, a carrier held up, or a writer stood still."""
    news = News(takes_ms=1_000, mends_ms=500)
    assert [news.why_unheard("here", 0, "there", then) for then in (1_000, 1_001)] == ["not yet heard", None]
    news.downs = [Span(frozenset(("there",)), 4_000, 5_000)]
    assert [news.why_unheard("here", 4_500, "there", then) for then in (6_500, 6_501)] == ["partition", None]
    assert [news.why_unheard("here", 3_500, "there", then) for then in (6_000, 6_001)] == ["partition", None]
    assert [news.why_unheard("here", 5_100, "there", then) for then in (6_500, 6_501)] == ["not yet mended", None]
    assert [news.why_unheard("here", 5_501, "there", then) for then in (6_501, 6_502)] == ["not yet heard", None]
    news.crossings = {("there", "here"): [(5_000, 5_100)], ("here", "there"): [(4_999, 5_010), (5_000, 5_200)]}
    assert [news.why_unheard("here", 4_500, "there", then) for then in (6_200, 6_201)] == ["partition", None]
    met = News(takes_ms=9_000, meetings=[Span(BOTH, 3_000, 3_000)])
    assert met.why_unheard("here", 0, "there", 6_000) is None
    met.holds = [Span(frozenset(("here",)), 100, 4_000)]  # what was written in it was not there to be heard
    assert met.why_unheard("here", 0, "there", 6_000) == "not yet heard"
    news = News(takes_ms=1_000, holds=[Span(BOTH, 500, 2_500), Span(frozenset(("here",)), 2_000, 3_000)])
    assert [news.why_unheard("here", 0, "there", then) for then in (3_500, 3_501)] == ["not yet heard", None]
    assert [news.why_unheard("there", 0, "here", then) for then in (3_500, 3_501)] == ["not yet heard", None]
    assert [news.why_unheard("elsewhere", 0, "there", then) for then in (1_000, 1_001)] == ["not yet heard", None]
