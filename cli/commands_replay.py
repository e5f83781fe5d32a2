"""`replay`: the board as it was, derived again from the blocks; with `--trace`, what each event changed."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.board_text import board_document, board_lines
from cli.command import Command
from cli.errors import InvalidError, MissingError
from cli.session import session_of
from cli.times import parse_time
from cli.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.cid import Cid
    from scheduler.home import Home

_HEIGHT: Final = re.compile(r"\d{1,11}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay", cls=Command)(replay)


def replay(
    context: typer.Context,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="CID|TIME|HEIGHT", help="An event's causal past; or up to a time or height, itself included."
        ),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print what each event changed.")] = False,
) -> None:
    """Derive the board from the blocks, checking every hash, signature and rule; prints board, clock and state root."""
    from ledger.acceptance import MissingLinks, Refusal
    from scheduler.replay import Replay

    session = session_of(context)
    with session.home() as home, home.reading():
        block = home.events.find_genesis()
        if block is None:
            raise MissingError("this home has no genesis block")
        grown = Replay(block)
        tracer = Tracer(home, grown) if trace else None
        total = home.events.count()
        started = time.monotonic()
        with session.output.progress("replaying events", total) as step:
            for cid, found in _chosen(home, until):
                try:
                    verified, changes = grown.add(found)
                except (Refusal, MissingLinks) as error:
                    rule = getattr(error, "rule", "A7")
                    raise InvalidError(f"{cid}: {error}", "the store is damaged: see `verify`", rule=rule) from None
                if tracer is not None:
                    tracer.take(verified, changes)
                step(1)
        seconds = time.monotonic() - started
        latest = max((link.time for link in map(grown.find, grown.board.heads) if link is not None), default=0)
        document = board_document(grown, home.now_ms() if until is None else latest)
    rate = round(grown.events / seconds) if seconds else 0
    document |= {"until": until, "seconds": round(seconds, 3), "events_per_second": rate}
    lines = board_lines(document)
    if tracer is not None:
        document["trace"] = tracer.documents
        lines = [*tracer.lines, *lines]
    session.output.result(document, [*lines, f"Rate: {rate:,} events/s, {grown.events:,} in {seconds:.2f} s"])


def _chosen(home: Home, until: str | None) -> Iterator[tuple[Cid, bytes]]:
    """Yield the blocks to replay in the linear order (C1), in which what an event links comes before it."""
    from ledger.cid import Cid
    from ledger.schema import TIME_MAX

    past: set[Cid] | None = None
    height_max = time_max = TIME_MAX
    if until is not None and until.startswith(("b", "z")):
        past = _past(home, Cid.parse(until))
    elif until is not None and _HEIGHT.fullmatch(until):
        height_max = int(until)
    elif until is not None:
        time_max = parse_time(until, home.now_ms())
    for height, cid in home.events.in_linear_order():
        if height > height_max:
            return
        block = home.events.find_block(cid)
        # Times never decrease along links (A10), so what is left out links nothing that is left in.
        if block is not None and (past is None or cid in past) and _time(home, cid) <= time_max:
            yield cid, block


def _time(home: Home, cid: Cid) -> int:
    linked = home.events.find_link(cid)
    return 0 if linked is None else linked[1]


def _past(home: Home, cid: Cid) -> set[Cid]:
    """Return an event and its causal past."""
    if cid == home.ledger:
        return set()
    if home.board.store.find_node(cid) is None:
        raise MissingError(f"{cid} is no event of this ledger here", "see `log`")
    past: set[Cid] = set()
    stack = [cid]
    while stack:
        reached = stack.pop()
        if reached not in past:
            past.add(reached)
            stack.extend(home.board.graph.node(reached).links)
    return past
