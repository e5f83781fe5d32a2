"""Actors as people name them: `did:key:z6Mk…`, a member's name, or the name of a key in this home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.errors import MissingError

if TYPE_CHECKING:
    from ledger.keys import ActorKey
    from scheduler.home import Home


def find_actor(home: Home, text: str) -> ActorKey | None:
    """Return whom `text` names, None where it names nobody. Within a reading of the home."""
    from ledger.keys import parse_did_key

    if text.startswith("did:key:"):
        return parse_did_key(text)
    for actor, name in home.members.names().items():
        if name == text:
            return actor
    return home.keys.actors().get(text)


def get_actor(home: Home, text: str) -> ActorKey:
    """Return whom `text` names; MissingError where it names nobody."""
    actor = find_actor(home, text)
    if actor is None:
        raise MissingError(f"nobody is named {text!r} here", "give the key as did:key:z6Mk…, or see `members list`")
    return actor
