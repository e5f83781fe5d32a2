"""What this program runs payloads with: a runner for each kind it can run here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scheduler.running.command_runner import CommandRunner
from scheduler.running.job import Runner
from scheduler.running.payloads import Command, Payload, WorkflowJob
from scheduler.running.sandbox import Sandbox
from scheduler.workflows.act_program import has_act
from scheduler.workflows.act_runner import ActRunner
from scheduler.working.jobs import Runners


@contextmanager
def opened_runners() -> Iterator[Runners]:
    """Give the runners by kind of payload inside this block.

    Jobs of workflow files are left to others where the extra `workflows` is not installed.
    """
    sandbox = Sandbox()
    runners: dict[type[Payload], Runner] = {Command: CommandRunner(sandbox)}
    if has_act():
        runners[WorkflowJob] = ActRunner(sandbox)
    try:
        yield runners
    finally:
        sandbox.close()
