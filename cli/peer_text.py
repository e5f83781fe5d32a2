"""What is known of other peers, as lines for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.output import render_table, render_time
from cli.people import person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.home import Home
    from scheduler.peer_presence import Presence
    from scheduler.peer_report import EndpointStanding, PeerStanding, Standing


def peers_document(
    home: Home, peers: Sequence[PeerStanding], endpoints: Sequence[EndpointStanding], presence: Presence | None
) -> dict[str, Any]:
    """Return the JSON of `peers`. Within a reading."""
    return {
        "running": presence is not None,
        "urls": [] if presence is None else list(presence.urls),
        "peers": [
            (person(home, peer.actor) or {})
            | {
                "connected": peer.is_connected,
                "last_heard": peer.heard_ms,
                "peer_id": peer.peer_id,
                **_standing_document(peer.standing),
            }
            for peer in peers
        ],
        "endpoints": [
            {
                "address": one.known.endpoint.address,
                "given": one.known.is_given,
                "connected": one.is_connected,
                "last_met": one.known.met,
                "failures": one.known.failures,
                "fault": one.known.fault,
                **_standing_document(one.standing),
            }
            for one in endpoints
        ],
    }


def peers_lines(
    home: Home, peers: Sequence[PeerStanding], endpoints: Sequence[EndpointStanding], now_ms: int
) -> list[str]:
    """Return the same for people. Within a reading."""
    lines = []
    if peers:
        header = ("PEER", "CONNECTED", "HEARD", "LACKS", "AHEAD", "STATE ROOT", "KEY")
        rows = []
        for peer in peers:
            who = person(home, peer.actor) or {}
            rows.append(
                (
                    who.get("name", ""),
                    _yes(peer.is_connected),
                    _ago(peer.heard_ms, now_ms),
                    *_standing_cells(peer.standing),
                    who.get("key", ""),
                )
            )
        lines += render_table(header, rows)
    else:
        lines.append("No other peer is known.")
    if endpoints:
        header = ("ENDPOINT", "CONNECTED", "MET", "LACKS", "AHEAD", "STATE ROOT", "FAULT")
        lines += ["", *render_table(header, [_endpoint_row(one, now_ms) for one in endpoints])]
    return lines


def _endpoint_row(one: EndpointStanding, now_ms: int) -> tuple[str, ...]:
    return (
        one.known.endpoint.address,
        _yes(one.is_connected),
        _ago(one.known.met, now_ms),
        *_standing_cells(one.standing),
        one.known.fault or "",
    )


def _standing_document(standing: Standing) -> dict[str, Any]:
    return {"lacks": standing.lacks, "ahead": standing.ahead, "same_root": standing.same_root}


def _standing_cells(standing: Standing) -> tuple[str, str, str]:
    root = {True: "same", False: "DIFFERS", None: "–"}[standing.same_root]
    return (_count(standing.lacks), _count(standing.ahead), root)


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _ago(at_ms: int | None, now_ms: int) -> str:
    """Return how long ago something was, in the largest unit that fits; a time of long ago as a time."""
    if at_ms is None:
        return "never"
    seconds = max(0, now_ms - at_ms) // 1000
    for size, unit in ((1, "s"), (60, "min"), (3_600, "h")):
        if seconds < 100 * size:
            return f"{seconds // size} {unit} ago"
    return render_time(at_ms)
