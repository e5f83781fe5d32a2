"""What a worker may run: rules that allow, everything else denied.

A task may run where one rule allows all of it: who asks, what kind of payload, its tags and labels, and each thing it
demands (network, secrets, an interpreter, a sandbox). Two rules never add up. Pure: the file is read elsewhere
(scheduler.working.policy_file), and so are the values of secrets (scheduler.working.secrets).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from ledger.keys import ActorKey, did_key
from ledger.operations import Spec
from scheduler.running.job import Level, Limits, Mount, Permit
from scheduler.running.payloads import Command, Payload, WorkflowJob
from scheduler.working.secrets import SecretSource

ANY_MEMBER: Final = "any-member"
"""Stands among a rule's submitters for every owner and every admitted key whose admission stands."""
HOW_TO_BEGIN: Final = "this worker has no policy, so it runs nothing: `p2p-workflow worker policy init` writes one"

NO_LIMITS: Final = Limits()

_NEAREST_RULES: Final = 3  # rules that a denial speaks of


class PayloadKind(StrEnum):
    """The kinds of payload that a worker runs, as a policy names them."""

    COMMAND = "command"
    WORKFLOW_JOB = "workflow-job"

    @classmethod
    def of(cls, payload: Payload) -> PayloadKind:
        """Return the kind of a payload."""
        return cls.COMMAND if isinstance(payload, Command) else cls.WORKFLOW_JOB


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[allow]]`. What is None is not asked about; what is empty gives nothing.

    Args:
        name: what people know it by.
        submitters: whose tasks.
        any_member: whether those of every member, too.
        payloads: which kinds.
        tags: a task has no tags but these.
        labels: a task requires no labels but these.
        interpreters: what may read a command's script.
        programs: patterns (`fnmatch`), one of which the program of an argv must match.
        workflows: patterns, one of which the path of a workflow file must match.
        network: whether a task that asks for the network has it.
        secrets: names of secrets that a task which asks for them has.
        mounts: folders of this machine that every run under this rule sees.
        env: variables that every run under this rule has.
        limits: what a run may use.
        level: the sandbox it runs in.
    """

    name: str
    submitters: frozenset[ActorKey] = frozenset()
    any_member: bool = False
    payloads: frozenset[PayloadKind] = frozenset()
    tags: frozenset[str] | None = None
    labels: frozenset[str] | None = None
    interpreters: frozenset[str] = frozenset()
    programs: tuple[str, ...] | None = None
    workflows: tuple[str, ...] | None = None
    network: bool = False
    secrets: frozenset[str] = frozenset()
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    level: Level = Level.BUBBLEWRAP


@dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """What a worker may run. `trouble`: why it may run nothing at all, whatever the rules."""

    rules: tuple[Rule, ...] = ()
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    trouble: str = ""


EMPTY_POLICY: Final = WorkerPolicy(trouble=HOW_TO_BEGIN)
"""Of a worker that nobody has told anything: it denies everything."""


def no_policy(path: object) -> WorkerPolicy:
    """Return the policy of a worker for which nobody has written one: where it belongs is said with it."""
    return WorkerPolicy(trouble=f"{HOW_TO_BEGIN} ({path})")


@dataclass(frozen=True, slots=True)
class Denial:
    """A worker may not run a task; `reasons` say what the nearest rules lack, one each, for who keeps the policy."""

    reasons: tuple[str, ...]


def judge(
    policy: WorkerPolicy, submitter: ActorKey, spec: Spec, payload: Payload, *, is_member: bool = False
) -> Permit | Denial:
    """Return what the first rule that allows all of a task lets it do, else why none does.

    The permit has no values of secrets yet: `scheduler.working.secrets.grant` puts those in that the payload asks for.

    Args:
        policy: the worker's.
        submitter: who asks.
        spec: the task.
        payload: what its payload says.
        is_member: whether the submitter is an owner, or its admission stands. A stranger of an open ledger is none.
    """
    if policy.trouble:
        return Denial((policy.trouble,))
    if not policy.rules:
        return Denial(("the policy has no [[allow]] rule, so it allows nothing",))
    lacking = []
    for rule in policy.rules:
        about = list(_whom_and_what(rule, submitter, payload, is_member=is_member))
        missing = [*about, *_demands(rule, spec, payload)]
        if not missing:
            return _permit(rule, spec, payload)
        lacking.append((len(about), len(missing), rule, missing))
    lacking.sort(key=lambda one: one[:2])  # stable: among equals the order of the file
    nearest = [one for one in lacking if one[:2] == lacking[0][:2]][:_NEAREST_RULES]
    return Denial(tuple(f"rule {rule.name!r}: {'; '.join(missing)}" for _, _, rule, missing in nearest))


def _permit(rule: Rule, spec: Spec, payload: Payload) -> Permit:
    """Return what a rule gives to a task: of what can be asked for, only what was asked for."""
    times = [time for time in (rule.limits.time_ms, spec.timeout_ms) if time is not None]
    return Permit(
        level=rule.level,
        network=payload.network,
        mounts=rule.mounts,
        limits=replace(rule.limits, time_ms=min(times, default=None)),
        env=rule.env,
        rule=rule.name,
    )


def _whom_and_what(rule: Rule, submitter: ActorKey, payload: Payload, *, is_member: bool) -> Iterator[str]:
    """Yield why a rule is not about this submitter, or not about this kind of payload."""
    if submitter not in rule.submitters and not (rule.any_member and is_member):
        yield (
            f"the submitter {did_key(submitter)} is no member of the ledger"
            if rule.any_member
            else f"submitters does not list {did_key(submitter)}"
        )
    if PayloadKind.of(payload) not in rule.payloads:
        yield f"payloads does not list {PayloadKind.of(payload).value!r}"


def _demands(rule: Rule, spec: Spec, payload: Payload) -> Iterator[str]:
    """Yield what a task asks for that a rule does not give."""
    if beyond := _beyond(spec.tags, rule.tags):
        yield f"tags does not list {beyond}"
    if beyond := _beyond(spec.requires, rule.labels):
        yield f"labels does not list {beyond}"
    match payload:
        case Command():
            yield from _of_command(rule, payload)
        case WorkflowJob():
            if rule.workflows is not None and not _fits(payload.path, rule.workflows):
                yield f"workflows has no pattern for {payload.path!r}"
    if payload.network and not rule.network:
        yield "it asks for the network, and network is false"
    if beyond := _beyond(payload.secrets, rule.secrets):
        yield f"secrets does not list {beyond}"
    if payload.sandbox is not None:
        yield from _of_sandbox(rule, payload.sandbox)


def _of_command(rule: Rule, command: Command) -> Iterator[str]:
    if command.interpreter is not None:
        if command.interpreter not in rule.interpreters:
            yield f"interpreters does not list {command.interpreter!r}"
    elif rule.programs is not None and not _fits(command.argv[0], rule.programs):
        yield f"programs has no pattern for {command.argv[0]!r}"
    if rule.programs is not None:
        # Else a task's own file could answer to the name of a listed program.
        misleading = sorted(name for name in command.env if name == "PATH" or name.startswith("LD_"))
        if misleading:
            yield f"it sets {', '.join(misleading)}, which a rule with programs does not allow"


def _of_sandbox(rule: Rule, demanded: str) -> Iterator[str]:
    """Yield why the level of a rule is not enough; a weaker demand gets the rule's level."""
    try:
        enough = Level(demanded).strength <= rule.level.strength
    except ValueError:
        yield f"it demands the sandbox {demanded!r}, which is not known here"
        return
    if not enough:
        yield f"it demands the sandbox {demanded!r}, and sandbox is {rule.level.value!r}"


def _beyond(asked: Iterable[str], given: frozenset[str] | None) -> str:
    """Return what is asked for and not given, as words; "" where all is, or where nobody asks (None)."""
    return "" if given is None else ", ".join(repr(one) for one in sorted(set(asked) - given))


def _fits(text: str, patterns: Iterable[str]) -> bool:
    """Return whether a name or path fits a pattern, step by step: `git*` is no file in a folder. "*" fits all."""
    steps = text.split("/")
    return any(pattern == "*" or _fits_steps(steps, pattern.split("/")) for pattern in patterns)


def _fits_steps(steps: list[str], pattern: list[str]) -> bool:
    return len(steps) == len(pattern) and ".." not in steps and all(map(fnmatchcase, steps, pattern))
