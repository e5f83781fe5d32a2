"""What act says is not taken for more than it is: a success without its steps is none, steps do not speak for act."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.running.job import FailureClass, Level, StopSignal
from scheduler.running.sandbox import Ended
from scheduler.workflows.act_judging import Told, judge, read_told
from scheduler.workflows.act_log import ActLog
from scheduler.workflows.act_workflow import SingleJob
from scheduler.workflows.joined_stop import JoinedStop
from tests.running.support import Kept

SINGLE = SingleJob("", "j", "teller", (("0", True), ("named", True), ("2", False)))
ENDED = Ended(0, None, 5, (), Level.BUBBLEWRAP, None)


def log_of(*lines: dict[str, Any], live: Kept | None = None, bytes_max: int = 10_000, secret: str = "") -> ActLog:
    """Return a log that has heard lines of act."""
    live = live or Kept()
    with live.stop, JoinedStop(live.stop) as stop:
        log = ActLog(live, "j", secrets=[secret], bytes_max=bytes_max, stop=stop)
        log.log("".join(json.dumps(line) + "\n" for line in lines).encode())
        log.finish()
    return log


def step(name: str, result: str = "success", stage: str = "Main") -> dict[str, Any]:
    """Return what act says when a step has ended."""
    return {"jobID": "j", "msg": "…", "stepID": [name], "stage": stage, "stepResult": result}


def failure(log: ActLog, told: Told | None, *, ended: Ended = ENDED, may_skip: bool = False) -> FailureClass | None:
    """Return how a job is judged."""
    return judge(SINGLE, log, ended, told, "", may_skip=may_skip).failure


def test_a_success_needs_its_steps_and_the_teller() -> None:
    """Each step without an `if` must have ended, and the teller run; a step of an action is none of the job's."""
    both = (step("0"), step("named"))
    told = Told("success", {})
    assert failure(log_of(*both), told) is None
    assert failure(log_of(*both), None) is FailureClass.INFRASTRUCTURE
    for lines in (
        (),
        both[:1],
        (both[0], step("named", stage="Post")),
        (both[0], both[1] | {"stepID": ["x", "named"]}),
    ):
        assert failure(log_of(*lines), told) is FailureClass.INFRASTRUCTURE
    assert failure(log_of(both[0], both[1] | {"jobID": "other"}), told) is FailureClass.INFRASTRUCTURE


def test_a_file_that_act_calls_invalid_is_the_file_s_fault() -> None:
    """No other machine would do better; once a step has run, the words are somebody else's."""
    words = "Error: workflow is not valid. 'job.yml': Line: 1"
    for lines, failed in (((), FailureClass.PAYLOAD), ((step("0"),), FailureClass.INFRASTRUCTURE)):
        outcome = judge(SINGLE, log_of(*lines), ENDED, None, words, may_skip=False)
        assert outcome.failure is failed
        assert words in outcome.error


@pytest.mark.parametrize("result", ["success", "skipped"])
def test_a_job_behind_a_need_that_act_failed_at_is_no_success(result: str) -> None:
    """The stub of a need failed: what the job then did, or left out, it did by a wrong word about that need."""
    single = replace(SINGLE, stubs=("one",))
    steps = (step("0"), step("named")) if result == "success" else ()
    for stub, failed in (("success", None), ("failure", FailureClass.INFRASTRUCTURE)):
        log = log_of({"jobID": "one", "msg": "…", "jobResult": stub}, *steps)
        outcome = judge(single, log, ENDED, Told(result, {}), "", may_skip=True)
        assert outcome.failure is failed
        assert outcome.error == ("act could not stand in for the needed one" if failed else "")


@pytest.mark.parametrize("result", ["", "cancelled", "skipped", "failure"])
def test_nothing_has_run(result: str) -> None:
    """Whatever act calls it, a job of which no step has run is the worker's failure, unless it may be skipped."""
    assert failure(log_of(), Told(result, {})) is FailureClass.INFRASTRUCTURE
    assert (failure(log_of(), Told(result, {}), may_skip=True) is None) == (result == "skipped")


def test_limits_come_first() -> None:
    """Time, limits and a stop are what they are, whatever act said before."""
    told, log = Told("success", {}), log_of(step("0"), step("named"))
    for ended, expected in (
        (Ended(137, 9, 5, ("time",), Level.BUBBLEWRAP, None), FailureClass.TIMEOUT),
        (Ended(137, 9, 5, (), Level.BUBBLEWRAP, "drained"), FailureClass.INFRASTRUCTURE),
    ):
        assert failure(log, told, ended=ended) is expected
    ended = Ended(1, None, 5, ("memory",), Level.BUBBLEWRAP, None)
    assert failure(log, Told("failure", {}), ended=ended) is FailureClass.LIMIT
    assert failure(log, None, ended=ended) is FailureClass.LIMIT


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)
    ).map(lambda value: json.dumps({"j": value}).encode())
)
def test_whatever_stands_in_place_of_the_result(data: bytes) -> None:
    """It is read, or counts as nothing."""
    told = read_told(data, "j")
    assert told is None or all(type(value) is str for value in told.outputs.values())


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["jobID", "msg", "stepID", "stage", "command", "level", "stepResult", "kvPairs", "arg", "raw_output"]
            ),
            st.none()
            | st.integers()
            | st.sampled_from(["j", "Main", "error", "summary"])
            | st.lists(st.text(max_size=3), max_size=2)
            | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        )
    )
)
def test_whatever_act_prints(lines: list[dict[str, Any]]) -> None:
    """Nothing that stands on its output breaks the log."""
    log_of(*lines)


def test_a_stream_in_pieces() -> None:
    """However act's output is cut, the log is the same; a secret broken over its lines is masked."""
    lines = [{"jobID": "j", "msg": text, "raw_output": True} for text in ("äöü\n", "one sec\n", "ret two\n", "three")]
    whole = "".join(json.dumps(line) + "\n" for line in lines).encode()
    for size in (1, 7, 10_000):
        live = Kept()
        with JoinedStop(live.stop) as stop:
            log = ActLog(live, "j", secrets=["secret"], bytes_max=10_000, stop=stop)
            for start in range(0, len(whole), size):
                log.log(whole[start : start + size])
            log.finish()
        assert live.text == "äöü\none *** two\nthree\n"


def test_a_joined_stop() -> None:
    """It is set by either, can be waited for, and leaves the outer one alone."""
    with StopSignal() as outer:
        with JoinedStop(outer) as own:
            assert not own.wait(0)
            own.set("ours")
            assert own.wait(0)
            assert (own.reason, outer.reason) == ("ours", None)
        with JoinedStop(outer) as other:
            outer.set("theirs")
            assert other.wait(10)
            assert other.reason == "theirs"
        assert outer.wait(0)
