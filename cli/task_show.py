"""One task with its history: its claims, completions and the events behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.attachments import attachment_document
from cli.output import render_time
from cli.people import person
from cli.task_text import task_document
from cli.times import render_duration

if TYPE_CHECKING:
    from crdt.records import TaskRecord
    from ledger.cid import Cid
    from ledger.operations import Report
    from scheduler.endings import Ending
    from scheduler.home import Home


def task_history(home: Home, record: TaskRecord) -> dict[str, Any]:
    """Return all that the board says of a task, as JSON. Within a reading."""
    from crdt.view import view
    from scheduler.endings import endings

    seen = view(record, home.board.find_record, home.policy, home.now_ms())
    found = endings(home, record)
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
            }
            | _failure(found, claim.cid)
            for claim in sorted(record.claims, key=lambda claim: (claim.time, claim.cid))
        ],
        "completions": [
            {
                "event": str(done.cid),
                "claim": str(done.claim),
                "peer": person(home, done.actor),
                "time": done.time,
                "stable": home.board.is_stable(done.cid),
            }
            | _run(home, found, done.cid)
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


def _failure(found: tuple[Ending, ...], claim: Cid) -> dict[str, Any]:
    """Return what a claim that failed says of its run."""
    from scheduler.endings import failure_of

    op = failure_of(found, claim)
    failure = None if op is None else {"class": op.failure_class, "error": op.error}
    return {"failure": failure} | _reported(None if op is None else op.report)


def _run(home: Home, found: tuple[Ending, ...], completion: Cid) -> dict[str, Any]:
    """Return what a completion says of its run."""
    from ledger.operations import Complete

    op = next((one.op for one in found if one.event == completion and isinstance(one.op, Complete)), None)
    output = None if op is None else attachment_document(home, op.output)
    return {"output": output} | _reported(None if op is None else op.report)


def _reported(report: Report | None) -> dict[str, Any]:
    """Return what a worker says of a run."""
    return {
        "exit_code": None if report is None else report.exit_code,
        "duration_ms": None if report is None else report.duration_ms,
        "sandbox": None if report is None else report.sandbox,
        "limits": [] if report is None else list(report.limits),
    }


def task_lines(task: dict[str, Any]) -> list[str]:
    """Return a task with its history for people."""
    obstacles = "; ".join(_obstacle(one) for one in task["obstacles"])
    lines = [
        f"Task ID: {task['task_id']}",
        f"Workflow ID: {task['workflow_id']}",
        f"Name: {task['name']}",
        f"Task Key: {task['task_key']}",
        f"Status: {task['status']}" + (f" ({obstacles})" if obstacles else ""),
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
        when = render_time(done["time"])
        lines.append(f"{what} {done['event']}: by {done['peer']['name']} at {when}, {standing}{_exit_words(done)}")
        if done["output"]:
            lines.append(f"  Output: {_attached(done['output'])}")
    return lines + [f"Cancelled by {cid}" for cid in task["cancels"]]


def _obstacle(obstacle: dict[str, Any]) -> str:
    until = obstacle["until"]
    return str(obstacle["words"]) if until is None else f"{obstacle['words']} {render_time(until)}"


def _ended(claim: dict[str, Any]) -> str:
    if claim["failed_at"]:
        failure = claim["failure"] or {}
        said = filter(None, (failure.get("class"), failure.get("error")))
        return f"failed at {': '.join((render_time(claim['failed_at']), *said))}{_exit_words(claim)}"
    return "released" if claim["released"] else f"until {render_time(claim['until'])}"


def _exit_words(run: dict[str, Any]) -> str:
    code, ms = run["exit_code"], run["duration_ms"]
    words = "" if code is None else f", exit code {code}"
    words += "" if ms is None else f", ran for {render_duration(ms)}"
    words += f", in {run['sandbox']}" if run["sandbox"] else ""
    return words + (f", limits hit: {', '.join(run['limits'])}" if run["limits"] else "")


def _attached(item: dict[str, Any]) -> str:
    text = item.get("text", item.get("hex", ""))
    shown = f": {text[:200]}" if text else ""
    return f"{item['media_type']}, {item['size']} bytes" + (f", blob {item['blob']}" if "blob" in item else "") + shown
