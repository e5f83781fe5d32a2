"""Commands on a machine without a home: key and ledger token from the environment, peers to hand tasks to.

Decides whether a command has no home (`--ledger`, or P2P_WORKFLOW_LEDGER where no home that is there is named),
and reads what it needs then. Leaves out what is handed over, and how (scheduler.light).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.errors import InputError
from cli.session import Session

if TYPE_CHECKING:
    from ledger.keys import SigningKey
    from scheduler.light.handing import Handed
    from scheduler.light.token import LedgerToken
    from scheduler.light.via import Via
    from scheduler.light.waiting import Open
    from scheduler.submitting import SubmitRequest

LedgerOption = Annotated[
    str | None,
    typer.Option(metavar="TOKEN", help="Without a home: what `members token` printed. Else P2P_WORKFLOW_LEDGER."),
]
ViaOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PLACE...",
        help="With a token: http://HOST:PORT, kubo:RPC-URL or file:PATH.car, the first that does. [the token's]",
    ),
]

LEDGER_VARIABLE: Final = "P2P_WORKFLOW_LEDGER"
VIA_VARIABLE: Final = "P2P_WORKFLOW_VIA"
KUBO_TOKEN_VARIABLE: Final = "P2P_WORKFLOW_KUBO_TOKEN"  # noqa: S105 — the name of a variable, not a secret
_NO_SECRETS: Final = "workflows of pull requests from forks are given no secrets; nothing can be submitted there"


class Light:
    """What a command without a home has: token, key, and places to hand over to."""

    def __init__(self, token: LedgerToken, key: SigningKey, vias: Sequence[Via]) -> None:
        self.token = token
        self.key = key
        self.vias = tuple(vias)

    def submit(self, session: Session, requests: Sequence[SubmitRequest]) -> Handed:
        """Hand requests over; says on stderr who did not take them, and what was achieved where no peer has them."""
        from scheduler.light.handing import Handing, How
        from scheduler.place import wall_clock_ms

        handed = Handing(self.token, self.key, wall_clock_ms, _kubo_token()).hand(requests, self.vias)
        for fault in handed.faults:
            session.output.note(f"not taken: {fault}")
        if handed.how is not How.ACCEPTED:
            session.output.note(handed.words)
        return handed

    def places(self) -> list[Open]:
        """Return how the peers are reached that can be asked about a task; raise InputError where there are none."""
        from scheduler.light.reaching import places

        found = places(self.token, self.key, self.vias, _kubo_token())
        if not found:
            raise InputError(
                "nobody can be asked about the task",
                "name a peer: its URL in via or in the ledger token, or for kubo:RPC-URL its node in the token",
            )
        return found


def find_light(session: Session, ledger: str | None, via: Sequence[str] | None) -> Light | None:
    """Return what there is for a command without a home, None where it has one.

    Raises InputError where a token was said and does not help: with a home beside it, or without a key.
    """
    if ledger is not None and session.settings.home is not None:
        raise InputError("--ledger and --home are two ways to say which ledger", "leave one out")
    text = ledger if ledger is not None else None if session.has_named_home else _token_of_environment()
    if text is None:
        if via:
            raise InputError(
                "--via goes with a ledger token, for machines without a home",
                f"set {LEDGER_VARIABLE} to what `members token` prints; with a home, `sync` hands over",
            )
        return None
    return _light(text, via)


def _kubo_token() -> str | None:
    return os.environ.get(KUBO_TOKEN_VARIABLE, "").strip() or None


def _token_of_environment() -> str | None:
    text = os.environ.get(LEDGER_VARIABLE)
    if text is None:
        return None
    if not text.strip():
        raise InputError(f"{LEDGER_VARIABLE} is set, and empty", _NO_SECRETS)
    return text


def _light(text: str, via: Sequence[str] | None) -> Light:
    from scheduler.light.token import read_ledger_token
    from scheduler.light.via import parse_via
    from scheduler.membership import KEY_VARIABLE, key_of_environment

    token = read_ledger_token(text)
    key = key_of_environment()
    if key is None:
        raise InputError(
            f"a ledger token is here, and no key in {KEY_VARIABLE}", f"`keys export` writes it; {_NO_SECRETS}"
        )
    token.check_key(key.actor)
    said = list(via or ()) or os.environ.get(VIA_VARIABLE, "").replace(",", " ").split() or list(token.urls)
    vias = [parse_via(one) for one in said]
    if not vias:
        raise InputError(
            "the ledger token names no URL of a peer",
            "name a place: --via http://HOST:PORT, kubo:RPC-URL, file:PATH.car",
        )
    return Light(token, key, vias)
