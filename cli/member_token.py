"""`members token`: the ledger token of a member, for a runner that has no home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.actors import get_actor
from cli.reach import reach
from cli.session import session_of

if TYPE_CHECKING:
    from ledger.cid import Cid
    from ledger.keys import ActorKey
    from scheduler.home import Home


def token(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="did:key:z6Mk…, or a name: who is to submit with it.")],
    url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A URL at which a peer's exchange is reached from there, too."),
    ] = None,
    with_swarm_key: Annotated[
        bool, typer.Option("--with-swarm-key", help="Put the key of this home's private IPFS network into it, too.")
    ] = False,
) -> None:
    """Print the ledger token of a member: with its key all that `submit` needs where there is no home, as in CI.

    It holds the genesis, the event that admits the key, and where peers are; nothing secret unless it is told to. The
    key comes from `keys export`. The pair is P2P_WORKFLOW_KEY and P2P_WORKFLOW_LEDGER.
    """
    from ledger.keys import did_key
    from scheduler.endpoints import parse_endpoint
    from scheduler.invite import ADDRESSES_MAX
    from scheduler.light.token import LedgerToken, write_ledger_token
    from scheduler.node import node_of
    from scheduler.peer_presence import find_presence

    session = session_of(context)
    with session.home(beside_token=True) as home:  # who makes a pair may have the last one at hand
        with home.reading():
            actor = get_actor(home, key)
            grant = _grant_of(home, actor)
            genesis = home.events.find_genesis()
            block = None if grant == home.ledger else home.events.find_block(grant)
        assert genesis is not None  # noqa: S101 — an open home has one
        presence = find_presence(home.folder)
        urls = dict.fromkeys([*(url or ()), *(() if presence is None else presence.urls)])
        nodes, swarm_key = reach(session, node_of(home.folder))
        made = LedgerToken(
            genesis,
            block,
            tuple(parse_endpoint(one).address for one in urls)[:ADDRESSES_MAX],
            tuple(nodes)[:ADDRESSES_MAX],
            swarm_key if with_swarm_key else None,
        )
        made.check_key(actor)
        name = home.genesis.name
    if not made.urls:
        session.output.note(
            "This token names no URL of a peer: name one by --url, or `submit --via` has to say where to hand tasks to."
        )
    if with_swarm_key and swarm_key is not None:
        session.output.note("It holds the key of the private network: keep it as you would a password.")
    text = write_ledger_token(made)
    document = {
        "token": text,
        "ledger": str(made.ledger),
        "name": name,
        "key": did_key(actor),
        "grant": str(made.grant),
        "urls": list(made.urls),
        "nodes": list(made.nodes),
        "private": made.swarm_key is not None,
    }
    session.output.result(document, [text])


def _grant_of(home: Home, actor: ActorKey) -> Cid:
    """Return what an actor submits under; raise NotAMemberError where nothing lets it."""
    from ledger.events import Role
    from scheduler.membership import NotAMemberError

    grant = home.members.grant_for(actor, Role.SUBMITTER)
    if grant is None:
        raise NotAMemberError(actor, Role.SUBMITTER)
    return grant
