"""Joining as a worker: a key at work with the labels and slots that it is said to have."""

from __future__ import annotations

from ledger.events import Role
from ledger.keys import SigningKey
from ledger.operations import Join
from scheduler.home import Home


def join(home: Home, key: SigningKey, name: str, labels: tuple[str, ...] | None, slots: int) -> None:
    """Have a key admitted, where the owner's key is at hand, and joined with these labels and slots.

    `labels` None: those of its last join. Writes only where something is otherwise than before. Raises NotAMemberError
    as `Membership.put_to_work` does.
    """
    wanted = None if labels is None else tuple(sorted(set(labels)))
    home.members.put_to_work(key, name, wanted or ())
    with home.reading():
        presence = next(one for one in home.board.roster().presences if one.actor == key.actor)
    said = Join(presence.labels if wanted is None else wanted, slots)
    if (presence.labels, presence.slots) != (said.labels, said.slots):
        home.append(key, (said,), Role.WORKER)
