"""`init`: found a ledger in a new home, or enter one that exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.carrying import import_document, import_lines, import_notes, is_faulty, is_home
from cli.command import Command
from cli.commands_carry import genesis_from
from cli.errors import InputError, InvalidError
from cli.previous import read_previous
from cli.remote import caught_up_document, caught_up_lines, exit_code_of, find_name, no_gateways, resolved
from cli.session import Session, session_of
from cli.times import parse_duration, render_duration

if TYPE_CHECKING:
    from ledger.car_import import ImportReport
    from ledger.events import Policy
    from scheduler.earlier import Previous
    from scheduler.home import Home


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init", cls=Command)(init)


def init(
    context: typer.Context,
    name: Annotated[str, typer.Option(metavar="TEXT", help="A name for people.")] = "default",
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="Enter the ledger of a HOME, a FILE.car, or ipns:NAME."),
    ] = None,
    gateway: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Gateways for ipns:NAME, all distrusted; without, this home's IPFS node."),
    ] = None,
    ledger: Annotated[str | None, typer.Option(metavar="CID", help="With ipns:NAME: the ledger it must be.")] = None,
    previous: Annotated[
        Path | None,
        typer.Option(metavar="HOME|FILE.car", help="The ledger it goes on from: what is done there is not done again."),
    ] = None,
    owner: Annotated[
        list[str] | None, typer.Option(metavar="KEY...", help="Further owners, as did:key; fixed for good.")
    ] = None,
    no_owner_key: Annotated[
        bool, typer.Option("--no-owner-key", help="Make no owner's key here: those of --owner own the ledger alone.")
    ] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Anyone may submit; workers are admitted all the same.")
    ] = False,
    policy_lease: Annotated[str | None, typer.Option(metavar="TIME", help="Lease of a claim. [60s]")] = None,
    policy_lease_max: Annotated[str | None, typer.Option(metavar="TIME", help="Longest lease. [1d]")] = None,
    policy_timeout: Annotated[str | None, typer.Option(metavar="TIME", help="Longest run of one claim. [6h]")] = None,
    policy_grace: Annotated[str | None, typer.Option(metavar="TIME", help="What rank r waits r times. [2s]")] = None,
    policy_skew: Annotated[str | None, typer.Option(metavar="TIME", help="How far clocks may differ. [10s]")] = None,
    policy_aging: Annotated[str | None, typer.Option(metavar="TIME", help="What one priority is worth. [10m]")] = None,
    policy_max_attempts: Annotated[int | None, typer.Option(min=1, max=100, help="Failed attempts. [3]")] = None,
) -> None:
    """Found a ledger, owned by a key made here; or enter an existing one with --from.

    A ledger's owners and policy are fixed: to change them, found another with --previous, and enter it from other homes
    with --from and --previous. A request that is done there counts as submitted here where the same key sends it; what
    is open there is to be submitted anew. Keys are not carried over: see `keys export`.
    """
    session = session_of(context)
    durations = {
        "lease_ms": policy_lease,
        "lease_ms_max": policy_lease_max,
        "timeout_ms": policy_timeout,
        "grace_ms": policy_grace,
        "skew_ms": policy_skew,
        "aging_ms": policy_aging,
    }
    chosen: dict[str, Any] = {key: parse_duration(text) for key, text in durations.items() if text is not None}
    if policy_max_attempts is not None:
        chosen["max_attempts"] = policy_max_attempts
    if source is not None:
        if chosen or owner or open_ or no_owner_key:
            raise InputError(
                "owners and policy of an existing ledger are fixed", "leave out all options but --from and --previous"
            )
        if (ipns := find_name(source)) is not None:
            _enter_named(session, ipns, gateway, ledger, previous)
            return
        _check_no_name(gateway, ledger)
        home, report = _enter(session, Path(source), previous)
        with home:
            _print_home(session, home, report)
        _print_faults(session, report)
        return
    _check_no_name(gateway, ledger)
    policy = _policy(chosen, open_=open_)
    with _found(session, name, owner or [], policy, previous, with_key=not no_owner_key) as home:
        _print_home(session, home, None)


def _policy(chosen: dict[str, Any], *, open_: bool) -> Policy:
    from ledger.events import Admission, Policy

    admission = Admission.OPEN if open_ else Admission.MEMBERS
    # Read back by the ledger's own rules, so that what a genesis cannot say is refused before there is one.
    return Policy.from_map(Policy(admission=admission, **chosen).to_map())


def _found(
    session: Session, name: str, owner: list[str], policy: Policy, previous: Path | None, *, with_key: bool
) -> Home:
    from ledger.keys import SigningKey, parse_did_key
    from scheduler.home import Home
    from scheduler.place import OWNER_KEY_NAME, exists, holds_ledger

    owners = [parse_did_key(text) for text in owner]
    if not with_key and not owners:
        raise InputError("a ledger needs an owner", "name one with --owner, or leave out --no-owner-key")
    if holds_ledger(session.folder):  # known before the other ledger is read
        raise exists(session.folder)
    before = None if previous is None else read_previous(session, previous)
    key = (session.ring().find(OWNER_KEY_NAME) or SigningKey.generate()) if with_key else None
    return Home.found(session.folder, name=name, policy=policy, owner_key=key, owners=owners, previous=before)


def _enter(session: Session, source: Path, previous: Path | None) -> tuple[Home, ImportReport]:
    """Take in the whole ledger. Broken off, what came is kept, and `sync` or `import` goes on."""
    from ledger.car_import import ImportReport, import_car
    from ledger.exchange import Answerer, CallCarrier, pull
    from scheduler.home import Home
    from scheduler.replica import replica_of

    if str(source) == "-":
        raise InputError("a ledger is entered from a home or a file, not from a stream", "save the stream to a file")
    genesis = genesis_from(source)
    before: Previous | None = None if previous is None else read_previous(session, previous, genesis)
    home = Home.enter(session.folder, genesis, previous=before)
    try:
        with session.output.progress("taking in blocks") as step:
            if is_home(source):
                with Home.open(source) as other:
                    carrier = CallCarrier(Answerer(replica_of(other), home.now_ms))
                    return home, ImportReport(pull(replica_of(home, step), carrier, home.now_ms).taken)
            with source.open("rb") as stream:
                return home, import_car(replica_of(home), stream, home.now_ms(), seen=lambda _: step(1))
    except BaseException:
        home.close()
        session.output.note(f"The home in {session.folder} has only begun to hold the ledger: go on with `sync`.")
        raise


def _enter_named(
    session: Session, name: str, gateways: list[str] | None, ledger: str | None, previous: Path | None
) -> None:
    """Enter the ledger that an IPNS name leads to, fetch all of it, and say so; end as `audit` does."""
    from ledger.car_import import ImportReport
    from ledger.cid import Cid
    from scheduler.catching_up import catch_up, genesis_of
    from scheduler.home import Home
    from scheduler.place import exists, holds_ledger

    wanted = None if ledger is None else Cid.parse(ledger)
    if holds_ledger(session.folder):  # known before anything is fetched
        raise exists(session.folder)
    with resolved(session, name, gateways) as named:
        genesis = genesis_of(named, wanted)
        before = None if previous is None else read_previous(session, previous, genesis)
        with Home.enter(session.folder, genesis, previous=before) as home:
            try:
                with session.output.progress("taking in events") as step:
                    done = catch_up(home, named, step)
            except BaseException:
                session.output.note(
                    f"The home in {session.folder} has only begun to hold the ledger: go on with `sync`."
                )
                raise
            more = caught_up_document(done), caught_up_lines(done)
            _print_home(session, home, ImportReport(done.taken), *more)
    if code := exit_code_of(done):
        raise typer.Exit(code)


def _check_no_name(gateways: list[str] | None, ledger: str | None) -> None:
    no_gateways(gateways)
    if ledger is not None:
        raise InputError("--ledger goes with --from ipns:NAME")


def _print_faults(session: Session, report: ImportReport) -> None:
    """Say what was wrong with the blocks a ledger was entered by; then end as `import` does."""
    for words in import_notes(report):
        session.output.note(words)
    if is_faulty(report):
        session.output.note(f"The home in {session.folder} is kept: `import` of a file in order brings what lacks.")
        raise typer.Exit(InvalidError.exit_code)


def _print_home(
    session: Session,
    home: Home,
    report: ImportReport | None,
    more: Mapping[str, Any] = MappingProxyType({}),
    more_lines: Sequence[str] = (),
) -> None:
    """Print what the home holds; `report` where it has entered a ledger, `more` where that came by a name."""
    from ledger.keys import did_key

    name = session.peer_name(home)
    key = session.find_key(home)
    if key is None and report is not None:
        key = home.keys.generate(name)  # so that an owner elsewhere can admit it
    owners = [did_key(actor) for actor in home.genesis.owners]
    policy = dict(sorted(home.policy.to_map().items()))
    with home.reading():
        earlier = home.earlier.count()
    document = {
        "ledger": str(home.ledger),
        "folder": str(home.folder),
        "name": home.genesis.name,
        "owners": owners,
        "policy": policy,
        "events": 0 if report is None else report.taken.accepted,
        "previous": [str(cid) for cid in home.genesis.previous],
        "earlier": earlier,
        "peer_id": name,
        "peer_key": key and did_key(key.actor),
    }
    words = ", ".join(f"{field} {_shown(field, value)}" for field, value in policy.items())
    lines = [f"✓ Ledger {home.ledger}", f"Folder: {home.folder}", f"Name: {home.genesis.name}"]
    lines += [f"Owner: {owner}" for owner in owners] + [f"Policy: {words}"]
    if report is not None:
        document["taken"] = import_document(report)
        lines += [f"Events: {report.taken.accepted}", *_rest_lines(report), *more_lines]
    if home.genesis.previous:
        lines.append(f"Previous: {earlier:,} tasks done there count as submitted here")
    if key is not None:
        lines.append(f"Peer: {name} {did_key(key.actor)}")
    session.output.result(document | dict(more), lines)
    with home.reading():
        admitted = key is None or home.members.grant_for(key.actor) is not None
    if key is not None and not admitted:
        session.output.note(f"An owner admits this peer with: p2p-workflow members admit {did_key(key.actor)}")


def _rest_lines(report: ImportReport) -> list[str]:
    """Return what became of blocks that were not just accepted, if there are any."""
    taken = report.taken
    if not (taken.waiting or taken.held or taken.evicted or taken.refused):
        return []
    first, *others = import_lines(report)
    return [f"Taken in: {first}", *others]


def _shown(field: str, value: object) -> str:
    return render_duration(value) if "_ms" in field and isinstance(value, int) else str(value)
