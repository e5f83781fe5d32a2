"""A whole board in a few numbers, for `replay` and `verify`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scheduler.replay import Replay


def board_document(replay: Replay, now: int) -> dict[str, Any]:
    """Return what a board comes to at `now` (ms), as JSON."""
    from crdt.state_root import REDUCER_VERSION
    from crdt.view import view
    from ledger.keys import did_key

    board, policy = replay.board, replay.genesis.policy
    records = [record for record in map(board.record_of, board.store.tasks()) if record is not None]
    statuses = Counter(str(view(record, board.find_record, policy, now).status) for record in records)
    roster = board.roster()
    return {
        "ledger": str(replay.ledger),
        "name": replay.genesis.name,
        "events": replay.events,
        "at": now,
        "tasks": len(records),
        "statuses": dict(sorted(statuses.items())),
        "members": sum(not member.revoked_by for member in roster.members),
        "active_workers": len(board.active_workers()),
        "without_effect": len(board.ignored()),
        "heads": list(map(str, board.heads)),
        "merkle_root": board.clock_root.hex(),
        "vector": {did_key(actor): count for actor, count in sorted(board.vector.items())},
        "reducer_version": REDUCER_VERSION,
        "state_root": board.state_root().hex(),
    }


def board_lines(document: dict[str, Any]) -> list[str]:
    """Return the same for people."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in document["statuses"].items())
    return [
        f"Ledger: {document['ledger']} ({document['name']})",
        f"Events: {document['events']:,}",
        f"Tasks: {document['tasks']:,}" + (f" ({statuses})" if statuses else ""),
        f"Members: {document['members']}, {document['active_workers']} at work",
        f"Without effect: {document['without_effect']:,} operations",
        *(f"Head: {head}" for head in document["heads"][:8]),
        f"Merkle Root: {document['merkle_root']}",
        *(f"  {key}: {count}" for key, count in document["vector"].items()),
        f"State Root: {document['state_root']} (reducer version {document['reducer_version']})",
    ]
