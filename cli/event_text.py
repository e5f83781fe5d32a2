"""Events as the command line shows them: one line, or all that is in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.operation_json import operation_documents
from cli.output import render_time
from cli.people import person

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.cid import Cid
    from ledger.events import Event, TaskKey
    from ledger.keys import ActorKey
    from scheduler.home import Home

    TaskName = Callable[[TaskKey], str]


def operation_words(event: Event, task_name: TaskName) -> str:
    """Return what an event says, in a few words: its operations with the names of their tasks."""
    from ledger.keys import did_key
    from ledger.operation_codec import read_operations
    from ledger.operations import Admit, Join, Leave, Prioritize, Revoke, Submit, Unread

    words = []
    for op, fields in zip(read_operations(event), event.ops, strict=True):
        name = str(fields["op"])
        match op:
            case Unread():
                words.append(f"{name} ({op.rule})")
            case Admit():
                words.append(f"admit {op.name or did_key(op.actor)}")
            case Revoke():
                words.append(f"revoke {did_key(op.actor)}")
            case Join() | Leave():
                words.append(name)
            case Submit():
                words.append(f"submit {op.spec.task_id}")
            case Prioritize():
                words.append(f"prioritize {task_name(op.task)} to {op.priority}")
            case _:
                words.append(f"{name} {task_name(op.task)}")
    return ", ".join(words) or "witness"


def task_names(home: Home) -> TaskName:
    """Return a function from task keys to the names of tasks; unknown ones show their key's beginning."""
    known: dict[TaskKey, str] = {}

    def name(key: TaskKey) -> str:
        if key not in known:
            record = home.board.find_record(key)
            known[key] = key.hex()[:12] if record is None else record.spec.task_id
        return known[key]

    return name


def event_document(home: Home, cid: Cid, event: Event) -> dict[str, Any]:
    """Return what stands in an event, as JSON."""
    return {
        "cid": str(cid),
        "height": event.height,
        "time": event.time,
        "actor": person(home, event.actor),
        "grant": str(event.grant),
        "parents": list(map(str, event.parents)),
        "cites": list(map(str, event.cites)),
        "blobs": list(map(str, event.blobs)),
        "ops": operation_documents(event),
    }


def standing_document(home: Home, cid: Cid) -> dict[str, Any]:
    """Return what the board says of an accepted event: whether it counts, who has seen it, what is without effect."""
    node = home.board.graph.node(cid)
    active = home.board.active_workers()
    seen: frozenset[ActorKey] = home.board.seen_by(cid) if node.in_log else frozenset()
    return {
        "in_log": node.in_log,
        "counts": node.counts,
        "stable": node.in_log and home.board.is_stable(cid),
        "seen_by": [person(home, actor) for actor in sorted(seen)],
        "active_workers": len(active),
        "without_effect": [
            {"index": one.index, "rule": one.rule, "words": one.words}
            for one in home.board.store.ignored()
            if one.event == cid
        ],
    }


def event_lines(home: Home, document: dict[str, Any], standing: dict[str, Any], words: str) -> list[str]:
    """Return an event for people."""
    actor = document["actor"]
    stable = "stable" if standing["stable"] else "tentative"
    counts = "counts" if standing["counts"] else "beyond a revocation: does not count"
    lines = [
        f"Event {document['cid']}",
        f"Height: {document['height']}",
        f"Time: {render_time(document['time'])}",
        f"Actor: {actor['name']} {actor['key']}",
        f"Grant: {document['grant']}" + (" (the genesis)" if document["grant"] == str(home.ledger) else ""),
        *(f"Parent: {parent}" for parent in document["parents"]),
        *(f"Cites: {cited}" for cited in document["cites"]),
        *(f"Blob: {blob}" for blob in document["blobs"]),
        f"Says: {words}",
        f"Standing: {counts}; {stable}, seen by {len(standing['seen_by'])} of {standing['active_workers']} workers",
    ]
    return lines + [
        f"Without effect: {one['index']}: {one['rule']}: {one['words']}" for one in standing["without_effect"]
    ]
