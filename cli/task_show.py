"""One task with its history: its claims, completions and the events behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.attachments import attachment_document
from cli.output import render_time
from cli.people import person
from cli.task_text import task_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crdt.records import TaskRecord
    from ledger.cid import Cid
    from ledger.operations import Complete, Fail
    from scheduler.home import Home


def task_history(home: Home, record: TaskRecord) -> dict[str, Any]:
    """Return all that the board says of a task, as JSON. Within a reading."""
    from crdt.view import view

    seen = view(record, home.board.find_record, home.policy, home.now_ms())
    settling = _settling(home, record)
    return task_document(home, record, seen, assigned_peer(home, record)) | {
        "submits": list(map(str, record.submits)),
        "claims": [
            {
                "claim": str(claim.cid),
                "peer": person(home, claim.actor),
                "attempt": claim.attempt,
                "distance": claim.distance,
                "time": claim.time,
                "until": claim.until,
                "released": claim.released,
                "failed_at": claim.failed_at or None,
                "failure": _failure(settling, claim.cid),
            }
            for claim in sorted(record.claims, key=lambda claim: (claim.time, claim.cid))
        ],
        "completions": [
            {
                "event": str(done.cid),
                "claim": str(done.claim),
                "peer": person(home, done.actor),
                "time": done.time,
                "stable": home.board.is_stable(done.cid),
                "output": _output(home, settling, done.cid),
            }
            for done in record.completions
        ],
        "cancels": list(map(str, record.cancels)),
        "heads": list(map(str, record.heads)),
    }


def assigned_peer(home: Home, record: TaskRecord) -> Any:
    """Return the peer of rank 0 as an onlooker sees it, None where nobody is eligible."""
    from scheduler.assignment import crew_of

    board = home.board
    crew = crew_of(board.roster(), board.active_workers(), home.heard_of(), None, home.policy, home.now_ms())
    return crew.assigned_peer(record)


def _settling(home: Home, record: TaskRecord) -> dict[Cid, Complete | Fail]:
    """Return the sound completions and failures of a task by their event."""
    from ledger.operations import Complete, Fail

    found: dict[Cid, Complete | Fail] = {}
    for cid in _sound(home, record):
        _, op = home.board.task_graph.entry(cid, record.key)
        if isinstance(op, Complete | Fail):
            found[cid] = op
    return found


def _sound(home: Home, record: TaskRecord) -> Iterator[Cid]:
    for cid, verdict in home.board.store.verdicts(record.key).items():
        if verdict.rule is None and home.board.graph.node(cid).counts:
            yield cid


def _failure(settling: dict[Cid, Complete | Fail], claim: Cid) -> dict[str, Any] | None:
    from ledger.operations import Fail

    for op in settling.values():
        if isinstance(op, Fail) and op.claim == claim:
            return {"class": op.failure_class, "error": op.error}
    return None


def _output(home: Home, settling: dict[Cid, Complete | Fail], completion: Cid) -> dict[str, Any] | None:
    from ledger.operations import Complete

    op = settling.get(completion)
    return attachment_document(home, op.output) if isinstance(op, Complete) else None


def task_lines(task: dict[str, Any]) -> list[str]:
    """Return a task with its history for people."""
    lines = [
        f"Task ID: {task['task_id']}",
        f"Workflow ID: {task['workflow_id']}",
        f"Name: {task['name']}",
        f"Task Key: {task['task_key']}",
        f"Status: {task['status']}" + (f" ({task['words']})" if task["words"] else ""),
        f"Tags: {', '.join(task['tags'])}",
        f"Priority: {task['priority']}",
        f"Submitted by: {task['submitter']['name']} {task['submitter']['key']} at {render_time(task['created_at'])}",
        f"Assigned Peer: {task['assigned_peer']}",
    ]
    for label, field in (("Requires", "requires"), ("Needs", "needs")):
        if task[field]:
            lines.append(f"{label}: {', '.join(task[field])}")
    if task["payload"]:
        lines.append(f"Payload: {_attached(task['payload'])}")
    lines += [
        f"Claim {claim['claim']}: attempt {claim['attempt']} by {claim['peer']['name']}, {_ended(claim)}"
        for claim in task["claims"]
    ]
    for number, done in enumerate(task["completions"]):
        what = "Result" if number == 0 else "Superseded"
        standing = "stable" if done["stable"] else "tentative"
        lines.append(f"{what} {done['event']}: by {done['peer']['name']} at {render_time(done['time'])}, {standing}")
        if done["output"]:
            lines.append(f"  Output: {_attached(done['output'])}")
    return lines + [f"Cancelled by {cid}" for cid in task["cancels"]]


def _ended(claim: dict[str, Any]) -> str:
    if claim["failed_at"]:
        failure = claim["failure"] or {}
        return f"failed at {render_time(claim['failed_at'])}: {failure.get('class', '')}: {failure.get('error', '')}"
    return "released" if claim["released"] else f"until {render_time(claim['until'])}"


def _attached(item: dict[str, Any]) -> str:
    text = item.get("text", item.get("hex", ""))
    shown = f": {text[:200]}" if text else ""
    return f"{item['media_type']}, {item['size']} bytes" + (f", blob {item['blob']}" if "blob" in item else "") + shown
