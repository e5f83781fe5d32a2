"""`init --previous`: reading the ledger that a new one goes on from, out of a home or a CAR, as a stranger would.

Leaves out what is done with it (scheduler.moving) and the command itself (cli.commands_init).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.carrying import is_home
from cli.errors import InvalidError, MissingError
from cli.session import Session

if TYPE_CHECKING:
    from scheduler.earlier import Previous
    from scheduler.replay import Findings, Replay


def read_previous(session: Session, place: Path, genesis_block: bytes | None = None) -> Previous:
    """Return the ledger in `place` as one to go on from: as far as this genesis names it; None: at its heads."""
    from ledger.acceptance import verify_genesis
    from scheduler.moving import previous_at_heads, previous_named

    replay = _replay_of(session, place)
    return (
        previous_at_heads(replay) if genesis_block is None else previous_named(replay, verify_genesis(genesis_block)[1])
    )


def _replay_of(session: Session, place: Path) -> Replay:
    from ledger.acceptance import MissingLinks, Refusal
    from scheduler.home import Home
    from scheduler.moving import replay_home
    from scheduler.replay import replay_car

    with session.output.progress("verifying the previous ledger") as step:
        if is_home(place):
            try:
                with Home.open(place) as other:
                    return replay_home(other, step)
            except (Refusal, MissingLinks) as error:
                rule = getattr(error, "rule", "A7")
                raise InvalidError(f"{place}: {error}", "the store is damaged: see `verify`", rule=rule) from None
        try:
            with place.open("rb") as stream:
                replay, findings = replay_car(stream, step)
        except LookupError as error:
            raise MissingError(f"{place}: {error}", "export the whole ledger: `export` without --since") from None
    if not findings.is_clean:
        raise _fault(place, findings)
    return replay


def _fault(place: Path, findings: Findings) -> InvalidError:
    advice = f"see `verify {place}`; export the whole ledger again"
    for refused in findings.refused:
        return InvalidError(f"{place}: {refused.cid} is refused: {refused.words}", advice, rule=refused.rule)
    if findings.incomplete:
        return InvalidError(f"{place}: events that {findings.incomplete[0]} links are missing", advice, rule="A7")
    return InvalidError(f"{place}: {findings.fault or 'blocks do not hash to their CID'}", advice)
