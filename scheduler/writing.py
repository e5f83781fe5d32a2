"""One transaction of a home: what is appended, taken in, kept and heard within it.

Implements: specs/events.md, what an honest author signs: on all heads it has seen, under a grant that allows it.
Leaves out opening and ending the transaction (scheduler.home).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ledger.cid import Cid
from ledger.events import PARENTS_MAX, Role, VerifiedEvent
from ledger.intake import IntakeReport
from ledger.keys import ActorKey, SigningKey
from ledger.operations import Operation
from ledger.signing import draft_signed
from scheduler.membership import NotAMemberError
from scheduler.place import HomeError

if TYPE_CHECKING:
    from scheduler.home import Home


class NotAcceptedError(HomeError):
    """An event made here was not accepted here: a defect, or a clock that was set back. Nothing was written."""


class Writing:
    """One transaction of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    @property
    def time(self) -> int:
        """The time the next event will have, ms: now, or later where a head is ahead of the local clock (A10)."""
        return self.home.event_time()

    def append(
        self, key: SigningKey, operations: Sequence[Operation], role: Role | None = None, blobs: Iterable[Cid] = ()
    ) -> VerifiedEvent:
        """Sign an event, accept it and fold it. `role` is what the operations need; None: any standing grant does.

        `blobs` are linked beside those that the operations name (parts of files: scheduler.running.files).

        Raises NotAMemberError where the key has no such grant, ledger.signing.DraftError for what fits no event.
        """
        home = self.home
        grant = home.members.grant_for(key.actor, role)
        if grant is None:
            raise NotAMemberError(key.actor, role)
        # An event must have seen all its author has, revocations above all: soundness is judged by its own past. So
        # where there are more heads than an event can have parents, witnesses gather them first.
        while len(home.board.heads) > PARENTS_MAX:
            self._sign(key, grant, home.board.heads[:PARENTS_MAX], ())
        return self._sign(key, grant, home.board.heads, operations, blobs)

    def _sign(
        self,
        key: SigningKey,
        grant: Cid,
        parents: Sequence[Cid],
        operations: Sequence[Operation],
        blobs: Iterable[Cid] = (),
    ) -> VerifiedEvent:
        home = self.home
        event = draft_signed(
            key,
            ledger=home.ledger,
            grant=grant,
            parents=parents,
            operations=operations,
            find=home.intake.find,
            now_ms=home.now_ms(),
            blobs=blobs,
        )
        home.first_accepted.clear()
        report = home.intake.offer((event,), home.now_ms())
        if not home.first_accepted:
            raise NotAcceptedError(f"the event {event.cid} made here was not accepted: {report}")
        return home.first_accepted[0]  # what had waited for this event comes after it

    def offer(self, blocks: Iterable[bytes]) -> IntakeReport:
        """Take in blocks of others, in any order."""
        return self.home.intake.offer(blocks, self.home.now_ms())

    def add_blob(self, data: bytes) -> Cid:
        """Keep a payload of at most 1 MiB beside the events; return the CID to name it by."""
        cid = Cid.of_raw(data)
        self.home.intake.blobs.put_many(((cid, data),))
        return cid

    def heard(self, actor: ActorKey) -> None:
        """Note a heartbeat of a peer of this home."""
        self.home.beat(actor, self.home.now_ms())
