"""`append --blocks`: events that were signed elsewhere. They enter as all others do, by acceptance (A1 to A11)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import InvalidError
from cli.session import Session

if TYPE_CHECKING:
    from ledger.cid import Cid
    from scheduler.home import Home


def append_blocks(session: Session, home: Home, file: str) -> None:
    """Take in the blocks of a CAR, or one block; print the CIDs of those that passed acceptance.

    Raises InvalidError where one was refused, with its rule; the others are in the ledger then.
    """
    from ledger.replica import Totals, batches

    blocks = _read_blocks(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    totals = Totals()
    accepted: list[Cid] = []
    with session.output.progress("taking in blocks", len(blocks)) as step:
        for some in batches(blocks, 1_000):
            with home.writing() as writing:
                report = writing.offer([blocks[cid] for cid in some])
            totals.add(report)
            accepted += report.accepted
            for cid in report.accepted:
                session.output.line(str(cid))
            step(len(some))
    refused = [{"cid": str(one.cid), "rule": one.rule, "words": one.words} for one in totals.reasons]
    waiting = totals.waiting + totals.held + totals.evicted
    session.output.result(
        {"events": list(map(str, accepted)), "known": totals.known, "waiting": waiting, "refused": refused}, ()
    )
    if waiting:
        session.output.note(f"{waiting} blocks wait for events they link, or for their time")
    if refused:
        first = refused[0]
        raise InvalidError(
            f"{len(refused)} blocks were refused, first {first['cid']}: {first['words']}",
            "what was in order is in the ledger; drop the others",
            rule=first["rule"],
        )


def _read_blocks(data: bytes) -> dict[Cid, bytes]:
    """Return the DAG-CBOR blocks in a CAR, or the one block that `data` is."""
    import io

    from ledger.car import read_car
    from ledger.cid import Cid

    if b"eroots" not in data[:32]:  # the header of every CAR
        return {Cid.of(data): data}
    reader = read_car(io.BytesIO(data))
    found = {cid: block for cid, block in reader if cid.is_event}
    reader.require_good()
    return found
