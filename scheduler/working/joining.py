"""Joining as a worker, and leaving: a key at work with the labels and slots that it is said to have.

Who is at work has a rank in everybody's queue (specs/assignment.md, S3), for which others wait, and a say in what is
stable (specs/clock.md, C7): so a worker that ends in order leaves, and one that runs on though it has left, by hand or
by another process with its key, joins again.
"""

from __future__ import annotations

import logging

from ledger.database import StoreError
from ledger.events import Role
from ledger.keys import SigningKey
from ledger.operations import Join, Leave
from scheduler.home import Home
from scheduler.membership import NotAMemberError

_logger = logging.getLogger(__name__)


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


def join_again(home: Home, key: SigningKey) -> None:
    """Have a key that left while it works join as it had; NotAMemberError where it is no worker any more."""
    with home.reading():
        has_left = key.actor not in home.board.active_workers()
        name = home.members.name_of(key.actor) if has_left else ""
    if has_left:
        home.members.put_to_work(key, name)
        _logger.info("joined again: somebody left with the key of this worker", extra={"event": "joined_again"})


def leave(home: Home, key: SigningKey) -> None:
    """Have a key that is at work leave; where that cannot be written, a warning says so: others wait for it a while."""
    try:
        with home.writing() as writing:
            if key.actor in home.board.active_workers():
                writing.append(key, (Leave(),), Role.WORKER)
    except (StoreError, NotAMemberError) as error:
        _logger.warning("it could not be written that this worker left: %s", error, extra={"event": "not_left"})
