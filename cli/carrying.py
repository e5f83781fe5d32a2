"""What was carried into a home, as JSON and in words. Leaves out the carrying itself (ledger.exchange)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cli.errors import InputError
from cli.output import render_time

_LINES_MAX: Final = 8
"""Most events of a verdict that are named to people; programs get more."""


def taken_document(taken: Any) -> dict[str, Any]:
    """Return what became of blocks taken in (ledger.replica.Totals), as JSON."""
    return {
        "accepted": taken.accepted,
        "known": taken.known,
        "waiting": taken.waiting,
        "held": taken.held,
        "evicted": taken.evicted,
        "blobs": taken.blobs,
        "refused": taken.refused,
        "reasons": [{"cid": str(one.cid), "rule": one.rule, "words": one.words} for one in taken.reasons],
    }


def taken_lines(taken: Any) -> list[str]:
    """Return the same for people."""
    words = [
        f"{count:,} {word}"
        for word, count in (
            ("accepted", taken.accepted),
            ("known already", taken.known),
            ("waiting for events they link", taken.waiting),
            ("held, ahead of this clock", taken.held),
            ("without room, to be sent again", taken.evicted),
            ("blobs", taken.blobs),
            ("refused", taken.refused),
        )
        if count
    ]
    return [", ".join(words) or "nothing new", *(f"  refused {r.cid}: {r.rule}: {r.words}" for r in taken.reasons)]


def import_document(report: Any) -> dict[str, Any]:
    """Return what an import found (ledger.car_import.ImportReport), as JSON: counts, and the first events of each."""
    return taken_document(report.taken) | {
        "accepted_events": list(map(str, report.accepted)),
        "waiting_events": [{"cid": str(cid), "missing": list(map(str, missing))} for cid, missing in report.waiting],
        "held_events": [{"cid": str(cid), "until": until} for cid, until in report.held],
        "bad": report.bad,
        "foreign": report.foreign,
        "unlinked": report.unlinked,
        "fault": report.fault,
        "absent_roots": [str(root) for root in report.absent_roots[:100]],
    }


def import_lines(report: Any) -> list[str]:
    """Return the same for people."""
    return [
        *taken_lines(report.taken),
        *(f"  waiting {cid}: for {', '.join(map(str, missing))}" for cid, missing in report.waiting[:_LINES_MAX]),
        *(f"  held {cid}: until {render_time(until)}" for cid, until in report.held[:_LINES_MAX]),
    ]


def import_notes(report: Any) -> list[str]:
    """Return what else there is to say of the file."""
    found = []
    if report.bad:
        found.append(f"{report.bad} blocks do not hash to their CID and were left out")
    if report.foreign:
        found.append(f"{report.foreign} blocks of other kinds were left out")
    if report.unlinked:
        found.append(f"{report.unlinked} blobs that no accepted event links were left out")
    if report.fault:
        found.append(f"{report.fault}; what was whole before it is kept")
    elif report.absent_roots:
        roots = ", ".join(map(str, report.absent_roots[:3]))
        found.append(f"the file names roots that are neither in it nor here, its end may be cut off: {roots}")
    return found


def is_faulty(report: Any) -> bool:
    """Return whether a block or the file of an import was not in order."""
    return bool(report.taken.refused or report.bad or report.fault)


def is_home(place: Path) -> bool:
    """Return whether a path names a home (a folder with a ledger), rather than a CAR file."""
    from scheduler.place import DATABASE_NAME

    if not place.is_dir():
        return False
    if not (place / DATABASE_NAME).exists():
        raise InputError(f"{place} is a folder without a ledger", "name a home, or a CAR file")
    return True
