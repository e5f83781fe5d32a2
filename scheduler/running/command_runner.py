"""Runs `Command` payloads: a program, or a script with its interpreter, in the sandbox, and takes up its result.

Leaves out whether it may run: the worker's policy has decided that, and the permit is the answer.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from scheduler.running.collecting import CollectError, collect
from scheduler.running.inputs import (
    OWN_FOLDER,
    InputError,
    InputMissingError,
    run_environment,
    write_files,
    write_inputs,
)
from scheduler.running.job import FailureClass, Job, Level, Limits, Live, Outcome, Permit
from scheduler.running.levels import LevelMissingError, SandboxError
from scheduler.running.masking import mask_text
from scheduler.running.output_file import OutputFileError, TooMuchError, read_output_file
from scheduler.running.payloads import Command
from scheduler.running.sandbox import Ended, Sandbox

SCRIPT: Final = f"{OWN_FOLDER}/script"
ERROR_CHARS_MAX: Final = 1_000


class CommandRunner:
    """Runs commands. One serves all slots of a worker.

    Args:
        sandbox: where runs happen; None: one of its own, given back by `close`.
    """

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox or Sandbox()

    def close(self) -> None:
        """Give back what is kept between runs."""
        self._sandbox.close()

    def run(self, job: Job, live: Live) -> Outcome:
        """Run a command to its end, or until `live.stop`. Never raises for what a job does."""
        permit = job.permit
        try:
            permit = permit_of(job)
            outcome = self._run(job, permit, live)
        except (SandboxError, InputMissingError, OSError) as error:
            outcome = Outcome(FailureClass.INFRASTRUCTURE, str(error))
        except InputError as error:
            outcome = Outcome(FailureClass.PAYLOAD, str(error))
        secrets = permit.secrets.values()
        return replace(
            outcome,
            level=str(permit.level),
            error=mask_text(outcome.error, secrets)[:ERROR_CHARS_MAX],
            outputs=_masked(outcome.outputs, permit.secrets),
        )

    def _run(self, job: Job, permit: Permit, live: Live) -> Outcome:
        command = job.payload
        if not isinstance(command, Command):
            raise SandboxError(f"this runner runs commands, no {type(command).__name__}")
        inside = self._sandbox.seen_as(job.folder, permit.level)
        write_files(job.folder, command.files, job.read_blob)
        write_inputs(job, inside)
        argv = command.argv
        if command.script is not None:
            place = job.folder / SCRIPT
            place.write_text(command.script, encoding="utf-8", newline="")
            argv = (command.interpreter or "", f"{inside}/{SCRIPT}")
        env = {**command.env, **permit.env, **permit.secrets, **run_environment(job, inside)}
        ended = self._sandbox.run(argv, folder=job.folder, cwd="", env=env, permit=permit, live=live)
        outcome = judge(ended)
        return outcome if outcome.failure is not None else _with_result(outcome, job, command, permit)


def judge(ended: Ended) -> Outcome:
    """Return how a run went by its end alone: stopped, out of time, over a limit, failed, or well."""
    base = Outcome(exit_code=ended.exit_code, duration_ms=ended.duration_ms, limits=ended.limits)
    if ended.stopped is not None:
        return replace(base, failure=FailureClass.INFRASTRUCTURE, error=f"it was stopped: {ended.stopped}")
    if "time" in ended.limits:
        words = f"it ran longer than it may: {ended.duration_ms / 1_000:.3g} s"
        return replace(base, failure=FailureClass.TIMEOUT, error=words)
    if "log" in ended.limits:
        return replace(base, failure=FailureClass.LIMIT, error="it printed more than it may")
    if ended.exit_code == 0:
        return base
    words = f"exit code {ended.exit_code}"
    if ended.signal is not None:
        words += f" (by signal {signal.Signals(ended.signal).name})"
    if ended.limits:
        words += f"; it came to its limit: {', '.join(ended.limits)}"
        return replace(base, failure=FailureClass.LIMIT, error=words)
    return replace(base, failure=FailureClass.PAYLOAD, error=words)


def permit_of(job: Job) -> Permit:
    """Return the permit with what the job itself demands: a stronger sandbox, less time."""
    level, time_ms = job.permit.level, _less(job.permit.limits.time_ms, job.spec.timeout_ms)
    demanded = job.payload.sandbox
    if demanded is not None:
        if demanded not in set(Level):
            raise LevelMissingError(f"there is no sandbox level {demanded[:64]!r}")
        level = max(level, Level(demanded), key=lambda one: one.strength)
    limits: Limits = replace(job.permit.limits, time_ms=time_ms)
    return replace(job.permit, level=level, limits=limits)


def _less(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return min(known) if known else None


def _with_result(outcome: Outcome, job: Job, command: Command, permit: Permit) -> Outcome:
    """Return the outcome of a run that ended well with what it hands over, or why that cannot be kept."""
    try:
        outputs = read_output_file(job.folder)
        files = collect(
            job.folder, command.outputs, bytes_max=permit.limits.result_bytes, secrets=permit.secrets.values()
        )
    except TooMuchError as error:
        limits = (*outcome.limits, "result")
        return replace(outcome, failure=FailureClass.LIMIT, error=str(error), limits=limits)
    except (OutputFileError, CollectError) as error:
        return replace(outcome, failure=FailureClass.PAYLOAD, error=str(error))
    return replace(outcome, outputs=outputs, files=files)


def _masked(outputs: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    return {mask_text(name, secrets.values()): mask_text(text, secrets.values()) for name, text in outputs.items()}
