"""`ipfs install`, `ipfs start`, `ipfs stop`, `ipfs status`: the IPFS node of this home.

Everything local works without one; it is how events travel between machines. Leaves out what a node is
(ledger.kubo_node).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.command import Command, Group
from cli.errors import InputError, MissingError
from cli.session import Session, session_of

if TYPE_CHECKING:
    from ledger.kubo_node import ManagedNode
    from scheduler.node import ExistingNode

LISTEN_VARIABLE: Final = "P2P_WORKFLOW_IPFS_LISTEN"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=Group, help="The IPFS node of this home: install, start, stop, status.", rich_markup_mode=None
    )
    group.command("install", cls=Command)(install)
    group.command("start", cls=Command)(start)
    group.command("stop", cls=Command)(stop)
    group.command("status", cls=Command)(status)
    app.add_typer(group, name="ipfs")


def install(context: typer.Context) -> None:
    """Find the program `ipfs` (Kubo), or build it from its sources: about five minutes, once for each user.

    Looked for in P2P_WORKFLOW_IPFS, on the PATH, and where it was built before.
    """
    from ledger.kubo_build import ensure, version_of

    session = session_of(context)
    program = ensure(session.output.note)
    version = version_of(program)
    session.output.result({"program": str(program), "version": version}, [f"✓ Kubo {version}: {program}"])


def start(
    context: typer.Context,
    mode: Annotated[
        str | None,
        typer.Option(metavar="private|lan", help="Who may connect: holders of the swarm key, or any node. [private]"),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="IP", help=f"The interface other nodes reach. Else {LISTEN_VARIABLE}. [0.0.0.0]"),
    ] = None,
    announce: Annotated[
        list[str] | None, typer.Option(metavar="MULTIADDR", help="Tell others this address, too; can be repeated.")
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(metavar="MULTIADDR", help="Use a node that runs already, by its RPC: /ip4/127.0.0.1/tcp/5001."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The bearer secret of that node's RPC.")
    ] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Let that node be on another machine.")] = False,
) -> None:
    """Start this home's own node, made at first use, quiet and private; or choose one that runs already with --node."""
    from ledger.kubo_config import EVERYWHERE
    from scheduler.node import choose_existing, choose_managed

    session = session_of(context)
    if node is not None:
        if mode or listen or announce:
            raise InputError("--node names a node that others set up", "leave out --mode, --listen and --announce")
        existing = choose_existing(session.folder, node, token_file, allow_remote=allow_remote)
        _print(session, existing, f"✓ Using the IPFS node at {node}")
        return
    if token_file or allow_remote:
        raise InputError("--token-file and --allow-remote belong to --node", "name the node")
    managed = choose_managed(session.folder)
    if mode not in (None, "private", "lan"):
        raise InputError(f"--mode is private or lan, not {mode!r}")
    if not managed.exists or mode or listen or announce:
        # Without a word it stays as it is; at first every interface, since nodes elsewhere are to reach it.
        chosen = session.configuration.value("ipfs.listen", listen) or (
            managed.listen if managed.exists else EVERYWHERE
        )
        try:
            managed.init(
                mode or (managed.mode if managed.exists else "private"), listen=chosen, announce=announce or ()
            )
        except ValueError as error:
            raise InputError(str(error), "see `ipfs start --help`") from None
    managed.start()
    _print(session, managed, "✓ The IPFS node is running")


def stop(context: typer.Context) -> None:
    """Stop this home's own node; what it stores stays."""
    from ledger.kubo_node import ManagedNode

    session = session_of(context)
    node = _node(session)
    if not isinstance(node, ManagedNode):
        raise InputError(f"the node at {node.api} is not managed here", "stop it where it was started")
    from scheduler.peer_presence import find_presence

    was_running = node.status().running
    node.stop()
    if find_presence(session.folder) is not None:
        session.output.note("`peer run` keeps this node and will start it again: end that first to have it stopped.")
    session.output.result(
        {"running": False, "was_running": was_running},
        ["✓ The IPFS node is stopped" if was_running else "✓ The IPFS node was not running"],
    )


def status(context: typer.Context) -> None:
    """Show this home's node: whether it runs, its mode, its addresses, its gateway, and the name it publishes under."""
    session = session_of(context)
    from scheduler.node import node_of

    node = node_of(session.folder)
    if node is None:
        session.output.result(
            {"node": None, "running": False},
            ["No IPFS node: everything local works without one. `ipfs start` makes one."],
        )
        return
    _print(session, node, None)


def _node(session: Session) -> ManagedNode | ExistingNode:
    from scheduler.node import node_of

    found = node_of(session.folder)
    if found is None:
        raise MissingError("this home has no IPFS node", "make one with `ipfs start`")
    return found


def _print(session: Session, node: ManagedNode | ExistingNode, headline: str | None) -> None:
    from ledger.kubo_node import ManagedNode
    from scheduler.published import find_published_name

    document = _managed_document(node) if isinstance(node, ManagedNode) else _existing_document(node)
    document["ipns"] = find_published_name(session.folder)
    lines = [headline or ("✓ The IPFS node is running" if document["running"] else "✗ The IPFS node is not running")]
    lines += [
        f"{title}: {document[field]}"
        for title, field in (
            ("Mode", "mode"),
            ("Peer ID", "peer_id"),
            ("Version", "version"),
            ("RPC", "api"),
            ("Gateway", "gateway"),
            ("Publishes under", "ipns"),
        )
        if document.get(field)
    ]
    lines += [f"Address: {address}" for address in document["addresses"]]
    lines += [f"Lacks: {what}" for what in document["lacks"]]
    session.output.result(document, lines)


def _managed_document(node: ManagedNode) -> dict[str, Any]:
    found = node.status()
    return {
        "node": "managed",
        "running": found.running,
        "state": str(found.state),
        "mode": found.mode,
        "folder": str(node.folder),
        "api": found.api,
        "gateway": found.gateway,
        "peer_id": found.peer_id,
        "version": found.version or None,
        "addresses": list(found.addresses),
        "connected": found.connected,
        "repo_bytes": found.repo_bytes,
        "lacks": [],
    }


def _existing_document(node: ExistingNode) -> dict[str, Any]:
    from ledger.kubo_errors import KuboNotRunningError

    document: dict[str, Any] = {"node": "existing", "running": True, "mode": None, "api": node.api, "gateway": None}
    try:
        with node.client(timeout_s=10) as client:
            identity = client.identity()
        lacks = node.lacks()
    except KuboNotRunningError:
        return document | {"running": False, "peer_id": None, "version": None, "addresses": [], "lacks": []}
    return document | {
        "peer_id": identity.peer_id,
        "version": identity.agent,
        "addresses": list(identity.addresses),
        "lacks": lacks,
    }
