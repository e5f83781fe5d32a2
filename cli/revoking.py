"""`members revoke`: what a revocation would void is shown before it is made.

Implements: section "Who may do what" of the design: the fence keeps what the revoker chooses, by default all it has
seen of the actor, and covers every grant of the actor it knows. The preview is exact: the revocation is folded in a
transaction that is then taken back. If the ledger moves on between preview and act, nothing is done.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import errors
from cli.actors import get_actor
from cli.errors import InputError, MissingError
from cli.output import render_time
from cli.session import Session, session_of

if TYPE_CHECKING:
    from ledger.cid import Cid
    from ledger.events import TaskKey
    from ledger.keys import ActorKey, SigningKey
    from ledger.operations import Revoke
    from scheduler.home import Home

_LISTED_MAX = 20


@dataclass(frozen=True, slots=True)
class Affected:
    """A task that a revocation changes. How it stands depends on the hour, so it does not tell two previews apart."""

    key: TaskKey
    task_id: str = field(default="", compare=False)
    workflow_id: str = field(default="", compare=False)
    before: str | None = field(default=None, compare=False)
    after: str | None = field(default=None, compare=False)
    """Where it stands before and after; None where there is no such task then."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        names = {"task_key": self.key.hex(), "task_id": self.task_id, "workflow_id": self.workflow_id}
        return names | {"status": self.before, "status_after": self.after}

    def line(self) -> str:
        """Return it for people."""
        return f"task {self.workflow_id}/{self.task_id} {self.key.hex()}: {self.before or '-'} → {self.after or 'void'}"


@dataclass(frozen=True, slots=True)
class Voided:
    """What a revocation takes away: events in the linear order, and the tasks they were about, by key."""

    events: tuple[Cid, ...]
    tasks: tuple[Affected, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "voided_events": list(map(str, self.events)),
            "affected_tasks": [task.key.hex() for task in self.tasks],
            "tasks": [task.document() for task in self.tasks],
        }


class UnconfirmedError(errors.UnconfirmedError):
    """Nobody said yes to the preview, which programs find beside the words."""

    def __init__(self, words: str, advice: str, preview: Voided) -> None:
        super().__init__(words, advice)
        self.details = preview.document()


class _Preview(Exception):  # noqa: N818  # takes a transaction back, nothing is wrong
    """The transaction has shown what it would do."""


def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="did:key:z6Mk…, or a name.")],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CID", help="Keep this event of it and its past, nothing later; can be repeated. [all seen]"
        ),
    ] = None,
    void_all: Annotated[bool, typer.Option("--void-all", help="Keep nothing that it did under its grants.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Words for the log.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take every grant of a key back; shows first what of its work becomes void. It is never undone."""
    session = session_of(context)
    if keep and void_all:
        raise InputError("--keep and --void-all exclude each other", "leave one out")
    with session.home() as home:
        owner = session.owner_key(home)
        with home.reading():
            actor = get_actor(home, key)
            operations = _revocations(home, actor, None if keep is None and not void_all else keep or [], reason)
        preview = _fold(home, owner, operations, expected=None)
        _show(session, home, key, preview)
        if not yes:
            _confirm(preview)
        event = _fold(home, owner, operations, expected=preview)
    session.output.result(
        {
            "key": key,
            "grants": [str(one.grant) if one.grant else None for one in operations],
            "event_cid": str(event.cid),
        }
        | preview.document(),
        [
            f"✓ Revoked {key}: {len(preview.events)} events void, {len(preview.tasks)} tasks affected",
            f"Event: {event.cid}",
        ],
    )


def _revocations(home: Home, actor: ActorKey, keep: list[str] | None, reason: str | None) -> tuple[Revoke, ...]:
    """Return one revocation for each standing grant of the actor. `keep` None: all that is here of it."""
    from ledger.cid import Cid
    from ledger.operations import Revoke

    members = [member for member in home.board.roster().members if member.actor == actor and not member.revoked_by]
    grants: list[Cid] = [member.grant for member in members if member.grant != home.ledger]
    if not grants and home.board.store.nodes_of(actor, home.ledger) and actor not in home.genesis.owners:
        grants = [home.ledger]  # a stranger of an open ledger
    if not grants:
        raise MissingError("this key has no standing grant to take back", "see `members list`; owners stay owners")
    chosen = None if keep is None else tuple(Cid.parse(text) for text in keep)
    for cid in chosen or ():
        if home.board.store.find_node(cid) is None:
            raise MissingError(f"{cid} is no event of this ledger here", "see `log --actor`")
    return tuple(
        Revoke(
            None if grant == home.ledger else grant,
            actor,
            _latest(home, actor, grant) if chosen is None else chosen,
            reason,
        )
        for grant in grants
    )


def _latest(home: Home, actor: ActorKey, grant: Cid) -> tuple[Cid, ...]:
    """Return the fewest events whose causal past holds all of the actor's under a grant; one walk over that past."""
    graph = home.board.graph
    nodes = sorted(home.board.store.nodes_of(actor, grant), key=lambda node: -node.height)
    lowest = nodes[-1].height if nodes else 0
    reached: set[Cid] = set()
    latest: list[Cid] = []
    for node in nodes:
        if node.cid in reached:
            continue
        latest.append(node.cid)
        stack = [node]
        while stack:
            links = (graph.node(cid) for cid in stack.pop().links if cid not in reached)
            fresh = [link for link in links if link.height >= lowest]
            reached.update(link.cid for link in fresh)
            stack.extend(fresh)
    return tuple(latest)


def _fold(home: Home, owner: SigningKey, operations: tuple[Revoke, ...], expected: Voided | None) -> Any:
    """Append the revocation; return what it voids and take it back, or where that is `expected` return the event."""
    found, after = Voided((), ()), list[str | None]()
    now = home.now_ms()
    try:
        with home.writing() as writing:
            home.board.take_changes()
            event = writing.append(owner, operations)
            changes = home.board.take_changes()
            graph = home.board.graph
            voided = sorted(changes.voided, key=lambda cid: (graph.node(cid).height, cid))
            found = Voided(tuple(voided), tuple(Affected(task) for task in sorted(changes.tasks)))
            if found != expected:
                after = [_status(home, task.key, now) for task in found.tasks]
                raise _Preview
    except _Preview:
        with home.reading():  # the revocation has been taken back
            told = Voided(found.events, tuple(map(partial(_told, home, now), found.tasks, after)))
        if expected is not None:
            raise UnconfirmedError("the ledger has moved on since the preview", "look at it again", told) from None
        return told
    return event


def _told(home: Home, now: int, task: Affected, after: str | None) -> Affected:
    """Return a task with its names and where it stands now; one that the revocation brings back has none yet."""
    record = home.board.find_record(task.key)
    if record is None:
        return replace(task, after=after)
    return Affected(task.key, record.spec.task_id, record.spec.workflow_id, _status(home, task.key, now), after)


def _status(home: Home, task: TaskKey, now: int) -> str | None:
    from crdt.view import view

    record = home.board.find_record(task)
    return None if record is None else str(view(record, home.board.find_record, home.policy, now).status)


def _show(session: Session, home: Home, key: str, preview: Voided) -> None:
    """Say on stderr what becomes void."""
    from ledger.operation_codec import read_operations

    note = session.output.note
    note(f"Revoking {key} voids {len(preview.events)} events and affects {len(preview.tasks)} tasks.")
    with home.reading():
        for cid in preview.events[:_LISTED_MAX]:
            event = home.read_event(cid)
            names = ", ".join(type(op).__name__.lower() for op in read_operations(event)) or "witness"
            note(f"  event {cid} {render_time(event.time)} {names}")
        for task in preview.tasks[:_LISTED_MAX]:
            note(f"  {task.line()}")
    left_out = len(preview.events[_LISTED_MAX:]) + len(preview.tasks[_LISTED_MAX:])
    if left_out:
        note(f"  and {left_out} more; all are in the output with --json")


def _confirm(preview: Voided) -> None:
    if not sys.stdin.isatty():
        raise UnconfirmedError("a revocation is never undone, so it asks first", "add --yes", preview)
    if not typer.confirm("Revoke?", err=True):
        raise UnconfirmedError("not revoked", "", preview)
