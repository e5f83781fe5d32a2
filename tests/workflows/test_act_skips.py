"""Why the strict check is there: what act alone makes of a case of each rule.

Where a newer act does better, the test says so, and the rule can go.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.running.sandbox import Sandbox
from tests.workflows.bare_act import bare_act
from tests.workflows.strict_cases import CASES, Case, ids

SEEN = [case for case in CASES if case.silent or case.said]


@pytest.mark.parametrize("case", SEEN, ids=ids(SEEN))
def test_what_act_makes_of_it(case: Case, act_sandbox: Sandbox, tmp_path: Path) -> None:
    """It skips or misreads the case and calls that a success, or fails in its middle."""
    path = "/nowhere" if case.rule == "W22" else None
    bare = bare_act(act_sandbox, tmp_path, case.text, source=case.source, path=path)
    assert (bare.exit_code == 0) == case.silent, bare
    if case.printed is not None:
        assert bare.printed == case.printed, bare
    assert case.said in bare.said + bare.errors
