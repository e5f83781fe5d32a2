"""`worker policy init`, `check`, `show`: what the worker of this home may run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.command import Command, Group
from cli.errors import CliError
from cli.exit_codes import ExitCode
from cli.session import Session, session_of
from cli.settings_table import help_of

if TYPE_CHECKING:
    from ledger.keys import ActorKey
    from scheduler.home import Home
    from scheduler.working.policy import WorkerPolicy

PolicyOption = Annotated[str | None, typer.Option("--policy", metavar="FILE", help=help_of("worker.policy"))]

_NEXT: Final = "It allows commands of this home's own keys; read it, change it, and see `worker policy check`."


class NotAllowedHereError(CliError):
    """The worker's policy does not allow the task."""

    exit_code = ExitCode.NOT_ALLOWED


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(cls=Group, help="What the worker of this home may run.", rich_markup_mode=None)
    group.command("init", cls=Command)(init)
    group.command("check", cls=Command)(check)
    group.command("show", cls=Command)(show)
    app.add_typer(group, name="policy")


def init(context: typer.Context, policy: PolicyOption = None) -> None:
    """Write a first policy, with comments: commands that this home's own keys submit, and nothing else."""
    from ledger.keys import did_key
    from scheduler.working.policy_file import write_policy
    from scheduler.working.policy_words import render_template

    session = session_of(context)
    path = session.policy_path(policy)
    with session.home() as home:
        actors = _own_actors(session, home)
    write_policy(path, render_template(actors))
    session.output.result(
        {"policy": str(path), "submitters": {name: did_key(actor) for name, actor in actors.items()}},
        [f"✓ Policy: {path}", *(f"Submitter: {name} {did_key(actor)}" for name, actor in actors.items())],
    )
    session.output.note(_NEXT)


def _own_actors(session: Session, home: Home) -> dict[str, ActorKey]:
    """Return the keys of this home by name; that of the peer, with which it submits, is made if need be."""
    name = session.peer_name(home)
    key = session.find_key(home) or home.keys.ensure(name)
    return dict(home.keys.actors()) | {name: key.actor}


def check(
    context: typer.Context,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="Say whether this task may run here, and why not.")
    ] = None,
    policy: PolicyOption = None,
) -> None:
    """Read the policy strictly and say what it means, and whether the secrets and folders it names are there.

    With --task, end with 5 where the task may not run here.
    """
    from scheduler.working.policy_file import read_policy
    from scheduler.working.policy_words import policy_document, render_policy

    session = session_of(context)
    path = session.policy_path(policy)
    found = read_policy(path)
    with session.home() as home:
        if task is not None:
            _check_task(session, home, found, task)
            return
        with home.reading():
            names = {actor: name for name, actor in home.keys.actors().items()} | home.members.names()
    troubles = _troubles(found)
    state = "can be read, and is to be looked at" if troubles else "is in order"
    lines = [f"✓ {path} {state}.", *render_policy(found, names), *(f"Careful: {words}" for words in troubles)]
    session.output.result({"path": str(path), "troubles": troubles} | policy_document(found), lines)


def _check_task(session: Session, home: Home, policy: WorkerPolicy, name: str) -> None:
    from scheduler.actions import find_task
    from scheduler.working.judging import judge_task

    with home.reading():
        key = session.find_key(home)
        record = find_task(home, None if key is None else key.actor, name, home.now_ms())
        verdict = judge_task(home, policy, record)
    words = f"task {record.spec.task_id} ({record.key.hex()})"
    if not verdict.allowed:
        error = NotAllowedHereError(f"this worker may not run {words}: {' | '.join(verdict.reasons)}")
        error.details = {"task_key": record.key.hex(), "policy": verdict.to_json()}
        raise error
    rule = "" if verdict.permit is None else verdict.permit.rule
    session.output.result(
        {"task_key": record.key.hex(), "policy": verdict.to_json()},
        [f"✓ This worker may run {words}, by the rule {rule!r}."],
    )


def _troubles(policy: WorkerPolicy) -> list[str]:
    """Return what to look at: what the machine lacks, what is not there, what every member is given."""
    from scheduler.running.job import Level, Permit
    from scheduler.running.levels import why_not
    from scheduler.working.secrets import SecretError, read_secret

    troubles = []
    for source in policy.secrets.values():
        try:
            read_secret(source)
        except SecretError as error:
            troubles.append(str(error))
    for rule in policy.rules:
        if (why := why_not(Permit(level=rule.level, limits=rule.limits))) is not None:
            troubles.append(f"rule {rule.name!r} lets nothing run on this machine: {why}")
        if rule.any_member and rule.secrets:
            troubles.append(
                f"rule {rule.name!r} gives {', '.join(sorted(rule.secrets))} to every member, now and later"
            )
        if rule.any_member and rule.level is Level.PROCESS:
            troubles.append(f"rule {rule.name!r} lets every member see this whole machine: sandbox is 'process'")
    outside = {mount.outside: rule.name for rule in policy.rules for mount in rule.mounts}
    return troubles + [f"rule {name!r}: no folder {path}" for path, name in outside.items() if not path.is_dir()]


def show(context: typer.Context, policy: PolicyOption = None) -> None:
    """Print the policy as JSON, with all defaults; secrets by their source, never their value."""
    from scheduler.working.policy_file import read_policy
    from scheduler.working.policy_words import policy_document

    session = session_of(context)
    document = policy_document(read_policy(session.policy_path(policy)))
    session.output.result(document, json.dumps(document, indent=2, ensure_ascii=False).splitlines())
