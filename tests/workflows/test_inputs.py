"""Event and inputs of a run, checked as GitHub checks them."""

from __future__ import annotations

import pytest

from scheduler.workflows.inputs import RunInputError, check_inputs, choose_event, events_of
from tests.workflows.files import GUIDE, one_job, read

DECLARED = """\
on:
  workflow_dispatch:
    inputs:
      name: {required: true, description: who}
      flag: {type: boolean}
      on: {type: boolean, default: true}
      size: {type: number, default: 3.0}
      kind: {type: choice, options: [small, large, 3], default: small}
      place: {type: environment}
      free:
  push:
jobs: {}
"""


def checked(**given: str) -> dict[str, str]:
    """Return the inputs of a run by hand."""
    return check_inputs(read(DECLARED), "workflow_dispatch", given)


def test_defaults_are_filled_in() -> None:
    """As texts; a boolean without one is false, others without one are left out."""
    assert checked(name="x") == {"name": "x", "flag": "false", "on": "true", "size": "3", "kind": "small"}
    given = {"name": "x", "flag": "true", "on": "false", "size": "-1.5e3", "kind": "3", "place": "prod", "free": ""}
    assert checked(**given) == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "input 'name' is required"),
        ({"name": ""}, "input 'name' is required"),
        ({"name": "x", "nmae": "y"}, "declares no input 'nmae'"),
        ({"name": "x", "flag": "yes"}, "true or false is wanted, not 'yes'"),
        ({"name": "x", "flag": "True"}, "true or false"),
        ({"name": "x", "size": "big"}, "a number is wanted"),
        ({"name": "x", "size": "nan"}, "a number is wanted"),
        ({"name": "x", "size": "1_0"}, "a number is wanted"),
        ({"name": "x", "kind": "lrge"}, "is none of small, large, 3"),
        ({"name": "x\0"}, "none of them NUL"),
        ({"name": "x" * 65_536}, "at most 65535"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(given: dict[str, str], words: str) -> None:
    """Missing, unknown, or not of its type: the message names it, before anything is submitted."""
    with pytest.raises(RunInputError, match=words):
        checked(**given)


def test_the_advice_is_the_nearest() -> None:
    """Of names, and of options."""
    for given, advice in (({"name": "x", "falg": "y"}, "flag"), ({"name": "x", "kind": "lrge"}, "large")):
        with pytest.raises(RunInputError) as caught:
            checked(**given)
        assert caught.value.advice == f"did you mean {advice}?"


def test_the_event_is_one_that_triggers_the_workflow() -> None:
    """By hand where that is declared, else a push, else the first; only a run by hand has inputs."""
    for on, event in (
        ("push", "push"),
        ("[pull_request, push]", "push"),
        ("{schedule: [{cron: x}], issues: }", "schedule"),
        ("{push: , workflow_dispatch: }", "workflow_dispatch"),
    ):
        assert choose_event(read(one_job(on=on)), None) == event
    assert events_of(read(one_job(on="{push: , issues: }"))) == ("push", "issues")
    assert choose_event(read(DECLARED), "push") == "push"
    assert check_inputs(read(DECLARED), "push", {}) == {}
    with pytest.raises(RunInputError, match="does not trigger"):
        choose_event(read(DECLARED), "release")
    with pytest.raises(RunInputError, match="no inputs"):
        check_inputs(read(DECLARED), "push", {"name": "x"})


def test_the_guide_s_own_input() -> None:
    """Required, of no type: any text."""
    assert check_inputs(read(GUIDE), "workflow_dispatch", {"description": "a; b"}) == {"description": "a; b"}
    with pytest.raises(RunInputError, match="required"):
        check_inputs(read(GUIDE), "workflow_dispatch", {})
