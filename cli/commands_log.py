"""`log` and `show`: the events of the ledger, and what one CID, task or key is. They append nothing."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.actors import find_actor, get_actor
from cli.command import Command
from cli.errors import MissingError
from cli.event_text import (
    event_document,
    event_lines,
    operation_words,
    standing_document,
    task_names,
)
from cli.output import render_time
from cli.people import name_of, person
from cli.session import Session, session_of
from cli.task_policy import policy_judge, policy_lines
from cli.task_show import task_history, task_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.cid import Cid
    from ledger.keys import ActorKey
    from scheduler.home import Home

_SHOWN: Final = 50


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("log", cls=Command)(log)
    app.command("show", cls=Command)(show)


def log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="How many events; 0 for all.")] = _SHOWN,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="In the linear order, not against it.")] = False,
    actor: Annotated[str | None, typer.Option(metavar="KEY", help="Only events of this name or did:key.")] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only events on this task.")] = None,
) -> None:
    """List the events of the log, latest first."""
    session = session_of(context)
    with session.home() as home, home.reading():
        whose = None if actor is None else get_actor(home, actor)
        cids = _events_on(session, home, task) if task is not None else None
        found = _log(home, whose, cids, latest_first=not oldest_first)
        shown = list(itertools.islice(found, limit or None))
        more = next(found, None) is not None
        names = task_names(home)
        documents, lines = [], []
        for cid in shown:
            event = home.read_event(cid)
            documents.append(event_document(home, cid, event))
            words = operation_words(event, names)
            lines.append(f"{event.height:>5}  {render_time(event.time)}  {cid}  {name_of(home, event.actor)}: {words}")
    session.output.result({"events": documents, "more": more}, lines)
    if more:
        session.output.note(f"Only {limit} events are shown; --limit 0 shows all.")


def _log(home: Home, actor: ActorKey | None, cids: set[Cid] | None, *, latest_first: bool) -> Iterator[Cid]:
    """Yield the events of the log (R6) in or against the linear order (C1)."""
    for _, cid in home.events.in_linear_order(latest_first=latest_first):
        if cids is not None and cid not in cids:
            continue
        node = home.board.graph.node(cid)
        if node.in_log and actor in (None, node.actor):
            yield cid


def _events_on(session: Session, home: Home, task: str) -> set[Cid]:
    from scheduler.actions import find_task

    key = session.find_key(home)
    record = find_task(home, None if key is None else key.actor, task, home.now_ms())
    return set(home.board.store.verdicts(record.key))


def show(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="CID|TASK|KEY", help="An event, the genesis, a blob; a task; a key.")],
) -> None:
    """Show all that is known of one thing."""
    from ledger.cid import Cid, CidError
    from scheduler.actions import TaskNotFoundError, find_task

    session = session_of(context)
    with session.home() as home, home.reading():
        try:
            document, lines = _show_cid(home, Cid.parse(what))
        except CidError:
            key = session.find_key(home)
            try:
                record = find_task(home, None if key is None else key.actor, what, home.now_ms())
                verdict = policy_judge(session, home)(record)
                document = {"kind": "task"} | task_history(home, record) | {"policy": verdict}
                lines = task_lines(document) + policy_lines(verdict)
            except TaskNotFoundError:
                actor = find_actor(home, what)
                if actor is None:
                    raise
                document, lines = _show_actor(home, actor)
    session.output.result(document, lines)


def _show_cid(home: Home, cid: Cid) -> tuple[dict[str, Any], list[str]]:
    from ledger.keys import did_key

    if cid == home.ledger:
        genesis = home.genesis
        document: dict[str, Any] = {
            "kind": "genesis",
            "cid": str(cid),
            "name": genesis.name,
            "created": genesis.created,
            "owners": [did_key(actor) for actor in genesis.owners],
            "policy": dict(sorted(genesis.policy.to_map().items())),
            "previous": list(map(str, genesis.previous)),
        }
        lines = [f"Genesis {cid}", f"Name: {genesis.name}", f"Created: {render_time(genesis.created)}"]
        lines += [f"Owner: {owner}" for owner in document["owners"]]
        return document, lines + [f"{name}: {value}" for name, value in document["policy"].items()]
    block = home.events.find_block(cid)
    if block is not None:
        event = home.read_event(cid)
        document = event_document(home, cid, event)
        standing = standing_document(home, cid)
        words = operation_words(event, task_names(home))
        return {"kind": "event", "bytes": len(block)} | document | standing, event_lines(
            home, document, standing, words
        )
    blob = home.intake.blobs.get_many((cid,)).get(cid)
    if blob is not None:
        return {"kind": "blob", "cid": str(cid), "size": len(blob)}, [f"Blob {cid}", f"Size: {len(blob)} bytes"]
    return _show_set_aside(home, cid)


def _show_set_aside(home: Home, cid: Cid) -> tuple[dict[str, Any], list[str]]:
    """Return what is known of a block that is not in the ledger; MissingError where nothing is."""
    refused = home.intake.refused.find(cid)
    if refused is not None:
        document = {"kind": "refused", "cid": str(cid), "rule": refused.rule, "words": refused.words, "at": refused.at}
        lines = [f"Refused block {cid}", f"Rule: {refused.rule}: {refused.words}", f"At: {render_time(refused.at)}"]
        return document, lines
    if home.intake.held.has(cid):
        return {"kind": "held", "cid": str(cid)}, [f"Held event {cid}: its time is ahead of this clock"]
    if home.intake.waiting.has(cid):
        return {"kind": "waiting", "cid": str(cid)}, [f"Waiting event {cid}: events it links are not here"]
    raise MissingError(f"{cid} is not in this home", "sync with a home that has it")


def _show_actor(home: Home, actor: ActorKey) -> tuple[dict[str, Any], list[str]]:
    who = person(home, actor)
    members = [member for member in home.board.roster().members if member.actor == actor]
    presence = next((one for one in home.board.roster().presences if one.actor == actor), None)
    document: dict[str, Any] = {
        "kind": "actor",
        **(who or {}),
        "owner": actor in home.genesis.owners,
        "grants": [
            {
                "grant": str(m.grant),
                "roles": list(m.roles),
                "labels": list(m.labels),
                "revoked_by": list(map(str, m.revoked_by)),
            }
            for m in members
        ],
        "joined": actor in home.board.active_workers(),
        "labels": list(presence.labels) if presence is not None else [],
        "slots": presence.slots if presence is not None else None,
        "events": home.board.vector.get(actor, 0),
        "heard_of": home.heard_of().get(actor),
    }
    lines = [f"{document['name']} {document['key']}", f"Owner: {'yes' if document['owner'] else 'no'}"]
    lines += [f"Grant {m.grant}: {', '.join(m.roles)}" + (" (revoked)" if m.revoked_by else "") for m in members]
    heard = document["heard_of"]
    lines += [
        f"Works: {'yes' if document['joined'] else 'no'} {', '.join(document['labels'])}".rstrip(),
        f"Events: {document['events']}",
        f"Heard of: {render_time(heard) if isinstance(heard, int) else 'never'}",
    ]
    return document, lines
