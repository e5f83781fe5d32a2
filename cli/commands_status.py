"""`status` and `clock`: where the ledger and this peer stand. They append nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cli.command import Command
from cli.people import name_of, person
from cli.session import session_of

if TYPE_CHECKING:
    from crdt.clock import MerkleClock
    from ledger.keys import ActorKey
    from scheduler.home import Home


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status", cls=Command)(status)
    app.command("clock", cls=Command)(clock)


def status(context: typer.Context) -> None:
    """Show the tasks, peers and clock as this peer sees them."""
    from ledger.keys import did_key
    from scheduler.peer_report import differing

    session = session_of(context)
    with session.first_use() as home:
        name, key = session.peer_name(home), session.find_key(home)
        root = home.state_root().hex()
        with home.reading():
            clocked = _clock(home, name)
            document: dict[str, Any] = {
                "peer_id": name,
                "peer_key": None if key is None else did_key(key.actor),
                **_counts(home, None if key is None else key.actor),
                "merkle_clock": clocked.to_dict(),
                "merkle_clock_hash": clocked.get_hash(),
                "state_root": root,
                "ledger": str(home.ledger),
                "folder": str(home.folder),
                "events": sum(home.board.vector.values()),
                "held_events": home.intake.held.count(),
                "waiting_events": home.intake.waiting.count(),
                "active_workers": len(home.board.active_workers()),
                "roots_differ": [person(home, actor) for actor in differing(home.folder)],
            }
    session.output.result(document, _status_lines(document))
    for one in document["roots_differ"]:
        session.output.note(f"DEFECT: {one['name']} has the same events and another state root: see `peers`")


def _counts(home: Home, actor: ActorKey | None) -> dict[str, int]:
    """Return the quick start's five numbers; a peer without a key holds nothing and its queue is empty."""
    from scheduler.peers import KnownPeers
    from scheduler.queue import TaskQueue

    counts = home.tasks.counts()
    held, size, known = 0, 0, len(home.board.active_workers())
    if actor is not None:
        queue = TaskQueue(home, actor)
        queue.refresh(home.now_ms())
        held = list(queue.held().values()).count(actor)
        size, known = queue.size(), len(KnownPeers(home, actor, ()).entries())
    return {
        "pending_tasks": counts.get("open", 0) - held,
        "assigned_tasks": held,
        "completed_tasks": counts.get("done", 0),
        "queue_size": size,
        "known_peers": known,
    }


def _status_lines(document: dict[str, Any]) -> list[str]:
    lines = [
        "✓ P2P Workflow Scheduler Status:",
        f"Peer ID: {document['peer_id']}",
        f"Pending Tasks: {document['pending_tasks']}",
        f"Assigned Tasks: {document['assigned_tasks']}",
        f"Completed Tasks: {document['completed_tasks']}",
        f"Queue Size: {document['queue_size']}",
        f"Known Peers: {document['known_peers']}",
        f"Merkle Clock Hash: {document['merkle_clock_hash']}",
        f"Ledger: {document['ledger']}",
        f"Events: {document['events']}",
        f"State Root: {document['state_root']}",
    ]
    if document["held_events"] or document["waiting_events"]:
        lines.append(f"Set aside: {document['held_events']} held, {document['waiting_events']} waiting")
    return lines


def clock(context: typer.Context) -> None:
    """Show the Merkle clock: its root, and how many events of each actor the log holds."""
    session = session_of(context)
    with session.first_use() as home, home.reading():
        clocked = _clock(home, session.peer_name(home))
        names = {key: name_of(home, actor) for key, actor in _actors(home).items()}
    document = clocked.to_dict()
    session.output.result(
        document,
        [
            f"Node ID: {clocked.node_id}",
            f"Merkle Root: {clocked.merkle_root}",
            "Vector Clock:" if clocked.vector else "Vector Clock: empty",
            *(f"  {key}: {count}  {names[key]}" for key, count in sorted(clocked.vector.items())),
        ],
    )


def _actors(home: Home) -> dict[str, ActorKey]:
    from ledger.keys import did_key

    return {did_key(actor): actor for actor in home.board.vector}


def _clock(home: Home, name: str) -> MerkleClock:
    from crdt.clock import MerkleClock

    vector = {key: home.board.vector[actor] for key, actor in _actors(home).items()}
    return MerkleClock.of_ledger(name, vector, home.board.heads)
