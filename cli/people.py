"""Names of actors, read once for each home and roster: the key files behind them are not read again for each line."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ledger.keys import ActorKey
    from scheduler.home import Home

_known: WeakKeyDictionary[Home, tuple[object, dict[ActorKey, str]]] = WeakKeyDictionary()


def name_of(home: Home, actor: ActorKey) -> str:
    """Return the name an actor is shown under, else its did:key. Within a reading."""
    from ledger.keys import did_key

    roster = home.board.store.state.roster  # both only grow, so their sizes tell whether names may have changed
    mark = (len(roster.admissions), len(roster.revocations))
    seen = _known.get(home)
    if seen is None or seen[0] != mark:
        seen = _known[home] = (mark, home.members.names())
    return seen[1].get(actor) or did_key(actor)


def person(home: Home | None, actor: ActorKey | None) -> dict[str, str] | None:
    """Return the name and the key of an actor as JSON; where there is no home the key is all the name there is."""
    from ledger.keys import did_key

    if actor is None:
        return None
    return {"name": did_key(actor) if home is None else name_of(home, actor), "key": did_key(actor)}
