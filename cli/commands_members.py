"""`members`, `join`, `leave`: who may act in the ledger, and who is at work.

Leaves out what a revocation voids and how it is shown first (cli.revoking).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.actors import get_actor
from cli.command import Command, Group, comma_words
from cli.errors import InputError
from cli.member_token import token
from cli.output import render_table, render_time
from cli.revoking import revoke
from cli.session import session_of

if TYPE_CHECKING:
    from ledger.keys import ActorKey
    from scheduler.home import Home

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="did:key:z6Mk…, or a name.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    members = typer.Typer(cls=Group, help="List, admit and revoke members; make their tokens.", rich_markup_mode=None)
    members.command("list", cls=Command)(list_members)
    members.command("admit", cls=Command)(admit)
    members.command("revoke", cls=Command)(revoke)
    members.command("token", cls=Command)(token)
    app.add_typer(members, name="members")
    app.command("join", cls=Command)(join)
    app.command("leave", cls=Command)(leave)


def list_members(context: typer.Context) -> None:
    """List owners and members with their roles, labels, and whether they work."""
    session = session_of(context)
    with session.home() as home, home.reading():
        rows = _members(home)
    session.output.result(
        {"members": rows},
        render_table(
            ("NAME", "ROLES", "LABELS", "STANDING", "WORKS", "HEARD OF", "KEY"),
            [
                (
                    row["name"] or "-",
                    ",".join(row["roles"]),
                    ",".join(row["labels"]) or "-",
                    "revoked" if row["revoked_by"] else "stands",
                    "yes" if row["joined"] else "no",
                    render_time(row["heard_of"]) if row["heard_of"] else "-",
                    row["key"],
                )
                for row in rows
            ],
        ),
    )


def _members(home: Home) -> list[dict[str, Any]]:
    """Return a document for each owner, each admission, and each stranger that was revoked."""
    from ledger.events import Role
    from ledger.keys import did_key

    names, heard, working = home.members.names(), home.heard_of(), home.board.active_workers()

    # Once revoked it is nobody's name any more, but who looks for the key knows it by that.
    admitted = {member.actor: member.name for member in home.board.roster().members}

    def row(actor: ActorKey, roles: list[str], **fields: Any) -> dict[str, Any]:
        who = {"name": names.get(actor, admitted.get(actor)), "key": did_key(actor), "roles": roles}
        return who | fields | {"joined": actor in working, "heard_of": heard.get(actor)}

    owners = [
        row(actor, ["owner", *Role], labels=[], grant=str(home.ledger), revoked_by=[]) for actor in home.genesis.owners
    ]
    return owners + [
        row(
            member.actor,
            list(member.roles),
            labels=list(member.labels),
            grant=str(member.grant),
            revoked_by=list(map(str, member.revoked_by)),
        )
        for member in home.board.roster().members
    ]


def admit(
    context: typer.Context,
    key: KeyArgument,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="The name it is shown under.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="submitter or worker; can be repeated. [both]")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="It may join with these only; can be repeated. [any]")
    ] = None,
) -> None:
    """Admit a key to the ledger; needs the owner's key in this home."""
    from ledger.events import Role
    from ledger.operations import Admit

    session = session_of(context)
    roles = split_commas(role) or tuple(sorted(Role))
    unknown = sorted(set(roles) - set(Role))
    if unknown:
        raise InputError(f"no such role: {', '.join(unknown)}", f"known are {', '.join(Role)}")
    with session.home() as home:
        with home.reading():
            actor = get_actor(home, key)
        shown = name or next((kept for kept, known in home.keys.actors().items() if known == actor), None)
        operation = Admit(actor, roles, shown, split_commas(labels))
        event = home.append(session.owner_key(home), (operation,))
        document = {"key": key_text(actor), "name": shown, "roles": list(roles), "event_cid": str(event.cid)}
    session.output.result(
        document, [f"✓ Admitted {shown or key_text(actor)} as {', '.join(roles)}", f"Event: {event.cid}"]
    )


def join(
    context: typer.Context,
    labels: Annotated[list[str] | None, typer.Option(metavar="LABEL...", help="What this worker can do.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=1024, help="How many tasks at once.")] = None,
) -> None:
    """Say that this peer works, and with which labels; without any it works as it did before."""
    from ledger.events import Role
    from ledger.operations import Join

    session = session_of(context)
    named = split_commas(labels)
    with session.home() as home:
        as_before = labels is None and slots is None
        key = session.worker_key(home) if as_before else session.key(home, Role.WORKER, named)
        with home.reading():
            present = next((one for one in home.board.roster().presences if one.actor == key.actor), None)
        if present is not None and present.joined and (as_before or (present.labels, present.slots) == (named, slots)):
            event, named, slots = present.cid, present.labels, present.slots
        else:
            event = home.append(key, (Join(named, slots),), Role.WORKER).cid
        name = session.peer_name(home)
    session.output.result(
        {"peer_id": name, "key": key_text(key.actor), "labels": list(named), "slots": slots, "event_cid": str(event)},
        [f"✓ {name} joined" + (f" with {', '.join(named)}" if named else ""), f"Event: {event}"],
    )


def leave(context: typer.Context) -> None:
    """Say that this peer works no more; a worker of it that still runs joins again, so end that first."""
    from ledger.events import Role
    from ledger.operations import Leave

    session = session_of(context)
    with session.home() as home:
        key = session.key(home, Role.WORKER)
        event = home.append(key, (Leave(),), Role.WORKER)
        document = {"peer_id": session.peer_name(home), "key": key_text(key.actor), "event_cid": str(event.cid)}
    session.output.result(document, [f"✓ {document['peer_id']} left", f"Event: {event.cid}"])


def split_commas(values: list[str] | None) -> tuple[str, ...]:
    """Return the words of a repeated option, in which commas part words too: sorted, each once."""
    return tuple(sorted(set(comma_words(values))))


def key_text(actor: ActorKey) -> str:
    """Return the did:key of an actor."""
    from ledger.keys import did_key

    return did_key(actor)
