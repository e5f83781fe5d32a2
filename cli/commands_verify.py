"""`verify`: every hash, signature and rule again, and the state root; of this home, or of a CAR without any home."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from cli.board_text import board_document, board_lines
from cli.command import Command
from cli.errors import InvalidError, MissingError
from cli.session import Session, session_of

if TYPE_CHECKING:
    from ledger.cid import Cid
    from scheduler.home import Home
    from scheduler.replay import Findings, Replay


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", cls=Command)(verify)


def verify(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE.car", help="A CAR, or - for stdin; needs no home. Else this home."),
    ] = None,
    state_root: Annotated[
        str | None, typer.Option(metavar="HEX", help="The state root it must come to, as another peer told it.")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(metavar="CID", help="The ledger it must be, as its genesis names it.")
    ] = None,
) -> None:
    """Check a whole ledger as a stranger would: nothing that was derived from the blocks is believed."""
    from ledger.cid import Cid

    session = session_of(context)
    wanted = None if ledger is None else Cid.parse(ledger)
    if file is None:
        with session.home() as home:
            document, faults = verify_home(home, lambda total: session.output.progress("verifying events", total))
    else:
        document, faults = _verify_file(session, file, wanted)
    if wanted is not None and document["ledger"] != str(wanted):
        faults.append({"rule": "A4", "words": f"this is ledger {document['ledger']}, not {wanted}"})
    if state_root is not None and document["state_root"] != state_root.lower():
        faults.append({"rule": "C6", "words": f"the state root is {document['state_root']}, not {state_root}"})
    document |= {"verified": not faults, "faults": faults}
    sound = "every hash, signature and rule holds" if not faults else f"{len(faults)} faults"
    session.output.result(document, [("✓" if not faults else "✗") + f" {sound}", *board_lines(document)])
    for fault in faults:
        session.output.note(f"  {fault.get('cid') or ''} {fault['rule'] or ''}: {fault['words']}".replace("  ", " "))
    if faults:
        raise typer.Exit(InvalidError.exit_code)


Fault = dict[str, Any]


def _verify_file(session: Session, file: str, ledger: Cid | None) -> tuple[dict[str, Any], list[Fault]]:
    from scheduler.place import wall_clock_ms
    from scheduler.replay import replay_car

    try:
        with _opened(file) as stream, session.output.progress("verifying events") as step:
            replay, findings = replay_car(stream, step, ledger=ledger)
    except LookupError as error:
        raise MissingError(f"{file}: {error}", "export the whole ledger: `export` without --since") from None
    return board_document(replay, wall_clock_ms()) | {"blobs": findings.blobs}, _faults(findings)


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    """Open a file to read; - is stdin, which stays open."""
    return nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb")


def _faults(findings: Findings) -> list[Fault]:
    faults: list[Fault] = [{"cid": str(one.cid), "rule": one.rule, "words": one.words} for one in findings.refused]
    faults += [{"cid": str(cid), "rule": "A7", "words": "events it links are missing"} for cid in findings.incomplete]
    if findings.bad_blocks:
        faults.append({"rule": None, "words": f"{findings.bad_blocks} blocks do not hash to their CID"})
    if findings.fault:
        faults.append({"rule": None, "words": findings.fault})
    return faults


def verify_home(
    home: Home, progress: Callable[[int], AbstractContextManager[Callable[[int], None]]]
) -> tuple[dict[str, Any], list[Fault]]:
    """Grow the board from the home's blocks and compare it with what the home has derived.

    `progress` is told how many events there are, and gives what is told of each that is done.
    """
    from ledger.acceptance import MissingLinks, Refusal
    from scheduler.replay import Replay

    faults: list[Fault] = []
    derived = home.state_root()  # brings the home's hash tree up to date, in a transaction of its own
    with home.reading():
        genesis = home.events.find_genesis()
        if genesis is None:
            raise MissingError("this home has no genesis block")
        replay = Replay(genesis)
        with progress(home.events.count()) as step:
            for _, cid, block in home.events.in_order_of_arrival():
                try:
                    if not cid.names(block):
                        raise Refusal("A2", "the stored block does not hash to its CID")
                    replay.add(block)
                except Refusal as error:
                    replay.refuse(cid)
                    faults.append({"cid": str(cid), "rule": error.rule, "words": error.words})
                except MissingLinks as error:
                    faults.append({"cid": str(cid), "rule": "A7", "words": str(error)})
                step(1)
        faults += _differences(home, replay, derived) + _bad_blobs(home)
        document = board_document(replay, home.now_ms())
    return document, faults


def _differences(home: Home, replay: Replay, derived: bytes) -> list[Fault]:
    """Return where what the home has derived is not what its blocks come to."""
    faults: list[Fault] = []
    if home.ledger != replay.ledger:
        faults.append(
            {"rule": "A4", "words": f"the genesis block names ledger {replay.ledger}, the home {home.ledger}"}
        )
    if home.board.heads != replay.board.heads:
        faults.append({"rule": "C2", "words": "the heads kept by the home are not those of its log"})
    if home.board.vector != replay.board.vector:
        faults.append({"rule": "C4", "words": "the clock's vector kept by the home is not that of its log"})
    if derived != replay.board.state_root():
        words = f"the home's state root {derived.hex()} is not that of its blocks, {replay.board.state_root().hex()}"
        faults.append({"rule": "C6", "words": words})
    return faults


def _bad_blobs(home: Home) -> list[Fault]:
    from ledger.cid import Cid

    rows = home.database.connection.execute("SELECT cid, data FROM blobs WHERE data IS NOT NULL")
    return [
        {"cid": str(Cid(cid)), "rule": None, "words": "the stored blob does not hash to its CID"}
        for cid, data in rows
        if not Cid(cid).names(data)
    ]
