"""From tasks just claimed to runs: what is to be done for each, asked once more now that they are claimed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from ledger.cid import Cid
from ledger.database import StoreError
from ledger.events import TaskKey
from ledger.operations import ERROR_BYTES_MAX
from scheduler.batch import Failed
from scheduler.home import Home
from scheduler.running.job import FailureClass
from scheduler.taking import Taken
from scheduler.working.run import Act, Run, Timing, shorten
from scheduler.working.spool import Spool
from scheduler.working.work import Work

_logger = logging.getLogger(__name__)


def runs_of(home: Home, work: Work, claimed: Sequence[Taken], make_spool: Callable[[TaskKey, Cid], Spool]) -> list[Run]:
    """Return a run for each claim; one that is not to be done after all has its ending already."""
    if not claimed:
        return []
    with home.reading():
        prepared = [(one, _prepare(work, one)) for one in claimed]
    return [_run_of(home, one, act, make_spool) for one, act in prepared]


def _prepare(work: Work, one: Taken) -> Act | Failed | str:
    try:
        return work.prepare(one)
    except StoreError as error:
        return f"the home cannot be read now: {error}"
    except Exception as error:
        _logger.exception("task %s could not be prepared", one.record.spec.task_id)
        words = shorten(f"{type(error).__name__}: {error}", ERROR_BYTES_MAX)
        return Failed(one.record.key, one.claim, FailureClass.INFRASTRUCTURE, words)


def _run_of(home: Home, one: Taken, act: Act | Failed | str, make_spool: Callable[[TaskKey, Cid], Spool]) -> Run:
    claim = next(claim for claim in one.record.claims if claim.cid == one.claim)
    asked = one.record.spec.timeout_ms
    timing = Timing(claim.time, claim.time + (home.policy.timeout_ms if asked is None else asked))
    if not isinstance(act, Failed | str):
        return Run(one, act, partial(make_spool, one.record.key, one.claim), timing)
    run = Run(one, _nothing, _nothing, timing)
    run.end(act if isinstance(act, str) else act.error)
    if isinstance(act, Failed):
        run.ending = act
    return run


def _nothing(*_: Run) -> NoReturn:
    raise AssertionError("a run that was dropped has begun")
