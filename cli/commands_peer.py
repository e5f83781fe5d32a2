"""`peer run`, `peer invite`, `peer connect`, `peers`: homes on different machines that keep in touch."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.command import Command, Group
from cli.configuration import parse_place
from cli.errors import InputError, InvalidError
from cli.monitoring import LogFormatOption, LogLevelOption, MonitorOption, begin_logging, check_free, monitored, url_of
from cli.peer_text import peers_document, peers_lines
from cli.reach import reach
from cli.session import Session, session_of

if TYPE_CHECKING:
    import logging

    from scheduler.home import Home
    from scheduler.invite import Invite

_TOKEN_CHARS_MAX: Final = 200_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(cls=Group, help="Keep in touch with peers: run, invite, connect.", rich_markup_mode=None)
    group.command("run", cls=Command)(run)
    group.command("invite", cls=Command)(invite)
    group.command("connect", cls=Command)(connect)
    app.add_typer(group, name="peer")
    app.command("peers", cls=Command)(peers)


# ---- run


def run(
    context: typer.Context,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve the exchange by plain HTTP here, too; port 0: any.")
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Tell others this URL of it; else http:// and what is listened at."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody read, not only members.")] = False,
    no_ipfs: Annotated[bool, typer.Option("--no-ipfs", help="Use no IPFS node: plain HTTP only.")] = False,
    monitor: MonitorOption = None,
    log_format: LogFormatOption = None,
    log_level: LogLevelOption = None,
) -> None:
    """Keep this home in touch with its peers until SIGTERM or Ctrl-C: node, exchange, hints, publishing, witnesses.

    Logs what matters to stderr, a line each; with --json it says it on stdout, a JSON document each.
    """
    from scheduler.node import node_of
    from scheduler.peer_daemon import Options, PeerDaemon
    from scheduler.peer_presence import Presence, announce, only_daemon
    from scheduler.pulse import Pulse
    from scheduler.signals import ended_by, heeding

    session = session_of(context)
    value = session.configuration.value
    logger = begin_logging(session, log_format, log_level)
    say = _sayer(session, logger)
    listen, url, public = value("peer.listen", listen), value("peer.url", url), value("peer.public", public)
    place = None if listen is None else _place(listen)
    with session.home() as home:
        name, folder = session.peer_name(home), home.folder
    pulse = Pulse()
    watching = monitored(session, value("peer.monitor", monitor), pulse=pulse, peer=name)
    with only_daemon(folder), watching as monitor_server:
        node = None if no_ipfs else node_of(folder)
        daemon = PeerDaemon(folder, name, node, say, Options(place, tuple(url or ()), public), pulse=pulse)
        urls = tuple(url or ()) or (() if place is None else (url_of(place[0], daemon.ports[1]),))
        daemon.urls = urls
        announce(folder, Presence(os.getpid(), urls))
        with heeding(ended_by(daemon.stop)):
            if monitor_server is not None:
                say("monitor", f"monitored at {url_of(monitor_server.host, monitor_server.port)}")
            say("ready", f"running for {folder} as {name}" + "".join(f", at {one}" for one in urls))
            if node is None and not no_ipfs:
                say("no_node", "no IPFS node in this home: only URLs are reached; `ipfs start` makes one")
            daemon.run()
    say("ended", "ended")


def _sayer(session: Session, logger: logging.Logger) -> Callable[[str, str], None]:
    """Return what says, from whatever thread, what matters: it is logged; with --json printed on stdout."""

    def say(kind: str, words: str) -> None:
        if not session.settings.json:
            logger.info("%s", words, extra={"event": kind})
            return
        now_ms = time.time_ns() // 1_000_000
        with suppress(OSError):  # who read the words has gone, or the disk is full: the work goes on
            sys.stdout.write(json.dumps({"event": kind, "message": words, "time": now_ms}, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    return say


def _place(text: str) -> tuple[str, int]:
    try:
        place = parse_place(text)
    except ValueError as error:
        raise InputError(f"--listen: {error}", "as in --listen 192.0.2.1:8765") from None
    check_free(text, place)
    return place


# ---- invite


def invite(
    context: typer.Context,
    url: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A URL at which the exchange of this home is reached, too.")
    ] = None,
) -> None:
    """Print a token that lets another machine find this ledger and its network; an owner still has to admit its key.

    It holds the genesis, addresses and, of a private network, the network's key: hand it over as you would a password.
    """
    from scheduler.endpoints import parse_endpoint
    from scheduler.invite import ADDRESSES_MAX, Invite, write_token
    from scheduler.node import node_of
    from scheduler.peer_presence import find_presence

    session = session_of(context)
    with session.home() as home:
        name = session.peer_name(home)
        with home.reading():
            genesis = home.events.find_genesis()
        assert genesis is not None  # noqa: S101 — an open home has one
        presence = find_presence(home.folder)
        urls = dict.fromkeys([*(url or ()), *(() if presence is None else presence.urls)])
        node = node_of(home.folder)
        nodes, swarm_key = reach(session, node)
        made = Invite(
            genesis,
            name,
            tuple(nodes)[:ADDRESSES_MAX],
            tuple(parse_endpoint(one).address for one in urls)[:ADDRESSES_MAX],
            swarm_key,
        )
    if not made.nodes and not made.urls:
        session.output.note(
            "This token says which ledger, but not where its peers are: start a node (`ipfs start`) or name a --url."
        )
    token = write_token(made)
    session.output.result({"token": token} | _invite_document(made), [token])


def _invite_document(made: Invite) -> dict[str, Any]:
    return {
        "ledger": str(made.ledger),
        "name": made.genesis.name,
        "inviter": made.inviter,
        "nodes": list(made.nodes),
        "urls": list(made.urls),
        "private": made.swarm_key is not None,
    }


# ---- connect


def connect(
    context: typer.Context,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="What `peer invite` printed; - reads stdin.")],
    no_ipfs: Annotated[bool, typer.Option("--no-ipfs", help="Make no IPFS node: URLs only.")] = False,
) -> None:
    """Enter the ledger of an invitation, keep where its peers are, and print the key that an owner is to admit.

    After that `peer run` is all: it catches up as soon as the key is admitted.
    """
    from ledger.keys import did_key
    from ledger.kubo_node import NodeError
    from ledger.network_tables import open_network
    from scheduler.endpoints import Endpoints, parse_endpoint
    from scheduler.invite import read_token
    from scheduler.wake import wake

    session = session_of(context)
    found = read_token(sys.stdin.read(_TOKEN_CHARS_MAX) if token == "-" else token)  # noqa: S105 — no password
    places = [parse_endpoint(text) for text in (*found.nodes, *found.urls)]
    home, is_new = _enter(session, found)
    with home:
        name = session.peer_name(home)
        key = session.find_key(home) or home.keys.ensure(name)
        with open_network(home.folder) as network:
            Endpoints(network).give(places, home.now_ms())
        node, trouble = None, None
        try:
            node = None if no_ipfs or not found.nodes else _prepare_node(session, home, found)
        except NodeError as error:  # the key is printed all the same: an owner can admit it meanwhile
            trouble = error
        wake(home.folder)
        with home.reading():
            is_member = home.members.grant_for(key.actor) is not None
        did = did_key(key.actor)
        document = _invite_document(found) | {
            "folder": str(home.folder),
            "entered": is_new,
            "peer_id": name,
            "peer_key": did,
            "member": is_member,
            "node": node,
        }
        lines = [
            f"✓ {'Entered' if is_new else 'Connected to'} ledger {found.ledger} ({found.genesis.name})",
            f"Folder: {home.folder}",
            f"Peer: {name} {did}",
            *(f"Knows: {place.address}" for place in places),
        ]
        session.output.result(document, lines)
    if not is_member:
        session.output.note(
            f"An owner admits this peer with: p2p-workflow members admit {did} --name {name} --role submitter "
            "--role worker"
        )
    if trouble is not None:
        raise trouble
    session.output.note("Then `p2p-workflow peer run` keeps this home in touch; it may run before that, too.")


def _enter(session: Session, found: Invite) -> tuple[Home, bool]:
    """Return the home of the invitation's ledger, and whether it was made now."""
    from scheduler.home import Home
    from scheduler.place import HomeExistsError, holds_ledger

    if not holds_ledger(session.folder):
        try:
            return Home.enter(session.folder, found.genesis_block), True
        except HomeExistsError:  # another process was faster
            pass
    home = Home.open(session.folder)
    if home.ledger != found.ledger:
        home.close()
        raise InvalidError(
            f"{session.folder} holds ledger {home.ledger}, the invitation is to {found.ledger}",
            "name another --home for this ledger",
        )
    return home, False


def _prepare_node(session: Session, home: Home, found: Invite) -> str | None:
    """Make the home's own node in the network of the invitation; return its peer id, None where there is none."""
    from ledger.kubo_config import swarm_key_text
    from ledger.kubo_node import ManagedNode, write_private
    from scheduler.node import managed_node, node_of

    chosen = node_of(home.folder)
    if chosen is not None and not isinstance(chosen, ManagedNode):
        return None  # an existing node, set up by whoever runs it
    key = None if found.swarm_key is None else swarm_key_text(found.swarm_key)
    node = managed_node(home.folder)
    if node.exists and node.swarm_key == key:
        return node.peer_id
    was_running = node.exists and node.is_running()
    if node.exists and _is_unused(home):
        node.stop()
        shutil.rmtree(node.folder)
        session.output.note("The IPFS node of this home was in another network and held nothing: it is made anew.")
    if not node.exists and node.binary is not None and _program(node) is None:
        if key is not None:  # for `ipfs start`, later
            node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(node.folder / "swarm.key", key)
        mode = "lan" if key is None else "private"
        session.output.note(
            f"There is no Kubo on this machine: `ipfs install`, then `ipfs start --mode {mode}`, before `peer run`."
        )
        return None
    listen = session.configuration.value("ipfs.listen") or "0.0.0.0"  # noqa: S104 — nodes elsewhere are to reach it
    node.init("lan" if key is None else "private", key, listen=listen)
    if was_running:
        node.start()
    return node.peer_id


def _is_unused(home: Home) -> bool:
    """Return whether nothing of this home was ever published to its node."""
    from ledger.network_tables import open_network
    from ledger.outbox import Outbox

    with open_network(home.folder) as network, network.reading():
        return Outbox(network).size() == 0


def _program(node: Any) -> Any:
    return node.binary() if callable(node.binary) else node.binary


# ---- peers


def peers(context: typer.Context) -> None:
    """Show the other peers: who is connected, how far behind or ahead, last heard of when, same state root or not."""
    from scheduler.peer_presence import find_presence
    from scheduler.peer_report import peers_of

    session = session_of(context)
    with session.home() as home:
        now_ms = home.now_ms()
        found, endpoints = peers_of(home, now_ms)
        presence = find_presence(home.folder)
        with home.reading():
            document = peers_document(home, found, endpoints, presence)
            lines = peers_lines(home, found, endpoints, now_ms)
    if presence is None:
        session.output.note("No `peer run` is there for this home: nothing here changes until one is.")
    session.output.result(document, lines)
