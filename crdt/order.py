"""The one linear order of events, and how far a peer is from a task.

Implements: C1 of specs/clock.md, anchor and distance of specs/assignment.md.
"""

from __future__ import annotations

import hashlib
from typing import Final

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import ActorKey

ANCHOR_PREFIX: Final = b"p2p-workflow/anchor/v1\0"


def order_key(height: int, cid: Cid) -> tuple[int, Cid]:
    """Return the place of an event in the linear order, a linear extension of causality (C1).

    Bytes, not text: base32 text sorts otherwise, and one CID prints in two bases.
    """
    return (height, cid)


def anchor_of(submit: Cid, task: TaskKey) -> int:
    """Return the point peers are measured against, as an integer of 256 bits.

    The submit's CID commits to the Merkle clock at submission.
    """
    return int.from_bytes(hashlib.sha256(ANCHOR_PREFIX + submit + task).digest())


def place_of(actor: ActorKey) -> int:
    """Return the peer's own point, the hash of its key."""
    return int.from_bytes(hashlib.sha256(actor).digest())


def distance(actor: ActorKey, anchor: int) -> int:
    """Return the Hamming distance between an actor's place and an anchor, 0 to 256 bits."""
    return (place_of(actor) ^ anchor).bit_count()
