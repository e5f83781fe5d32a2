"""Sending a log's events to a Kubo node: in batches, with the segments they fill, and all of it again where it is lost.

Implements: specs/segments.md, rule G2. A batch is remembered as sent after it was; broken off before, it is sent once
more, which changes nothing. Leaves out: which events come next (ledger.gathering), what is remembered (ledger.outbox),
and manifests (ledger.publishing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ledger.cid import Cid
from ledger.gathering import Batch, Published, gather, has_gaps
from ledger.node_copy import PROBES, GoneError, NodeCopy, blobs_of
from ledger.outbox import Outbox
from ledger.segments import Packer, Segment, section

AWAITED_AT_ONCE: Final = 1_000
"""Blobs that are not here yet and are looked for in one call."""


class EventSender:
    """Keeps the events of one home's log on one node. One call at a time."""

    def __init__(self, log: Published, outbox: Outbox, copy: NodeCopy, now_ms: Callable[[], int]) -> None:
        self._log = log
        self._outbox = outbox
        self._copy = copy
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, "p2p-workflow-publish")  # sends; it touches no database
        self._packer: Packer | None = None
        self._looked_for_gaps = False
        self._awaited_after = b""

    def send_new(self) -> int:
        """Send what has come into the log since, or was lost; return how many events are packed for the first time."""
        try:
            return self._send_new()
        except GoneError:
            self._packer = None
            self._outbox.start_over(self._now_ms())
            return self._send_new()

    def open_segment(self) -> Segment:
        """Return the open segment as it is now."""
        self._packer = self._opened()
        return self._packer.open_segment()

    def is_lost(self) -> bool:
        """Return whether the node lacks something that was sent to it, as far as a few looks show."""
        segments = [one.cid for one in self._outbox.closed()]
        return any(map(self._copy.lacks_any, (segments, self._outbox.sample(PROBES))))

    def _send_new(self) -> int:
        if not self._looked_for_gaps and has_gaps(self._log, self._outbox):
            self._outbox.read_again()
        self._looked_for_gaps = True
        self._mend()
        sent = 0
        batch = gather(self._log, self._outbox)
        while batch is not None:
            is_kept, ahead = self._send(batch)
            sent += len(batch.events) if is_kept else 0
            batch = ahead or gather(self._log, self._outbox)
        self._send_awaited()
        return sent

    def _send(self, batch: Batch) -> tuple[bool, Batch | None]:
        """Send a batch, and read the next one meanwhile where it is full; return whether it was kept, and that one."""
        packer, self._packer = self._opened(), None  # until it is kept, what is in memory is ahead of it
        ahead = None
        sections = [section(cid, block) for cid, block in batch.events.items()]
        closed = [segment for segment in map(packer.add, sections) if segment is not None]
        if sections or not batch.size:
            self._outbox.supersede([segment.cid for segment in closed], self._now_ms())
            every = [*self._genesis_section(batch.size), *sections]
            if batch.is_full:
                sending = self._thread.submit(self._copy.send, every, closed)
                try:
                    ahead = gather(self._log, self._outbox, batch)
                finally:
                    sending.result()
            else:
                self._copy.send(every, closed)
        awaited = self._copy.send_blobs(blobs_of(batch.events))
        is_kept = self._outbox.advance(
            batch.size,
            batch.place,
            events=list(batch.events),
            skipped=batch.skipped,
            closed=closed,
            awaited=awaited,
        )
        if not is_kept:
            return False, None
        self._packer = packer
        return True, ahead

    def _genesis_section(self, position: int) -> list[bytes]:
        return [] if position else [section(self._copy.ledger, self._copy.genesis)]

    def _opened(self) -> Packer:
        """Return the open segment as it was left."""
        if self._packer is not None:
            return self._packer
        closed = self._outbox.closed()
        first = closed[-1].first + closed[-1].events if closed else 0
        packer = Packer(self._copy.ledger, None if closed else self._copy.genesis)
        for cid, block in self._copy.blocks(self._outbox.members(first)).items():
            packer.add(section(cid, block))
        return packer

    def _send_awaited(self) -> None:
        """Send the blobs that were not here when their events were sent, as far as they have come."""
        awaited = self._outbox.awaited(self._awaited_after, AWAITED_AT_ONCE)
        self._awaited_after = awaited[-1] if len(awaited) == AWAITED_AT_ONCE else b""
        if sent := set(awaited) - self._copy.send_blobs(awaited):
            self._outbox.await_no_more(sent)

    def _mend(self) -> None:
        """Send again all that is packed, segment by segment, from where it was broken off."""
        kept = self._outbox.find("mend")
        if kept is None:
            return
        closed = self._outbox.closed()
        for one in closed[int.from_bytes(kept, "big") :]:
            events = self._copy.blocks(self._outbox.members(one.first, one.events))
            packer = Packer(self._copy.ledger, None if one.number else self._copy.genesis)
            for cid, block in events.items():
                packer.add(section(cid, block))
            segment = packer.open_segment()
            if segment.cid != one.cid:
                raise GoneError(f"{one.cid} cannot be made again")
            self._send_again(one.number, events, segment)
            self._outbox.put(mend=(one.number + 1).to_bytes(8, "big"))
        first = closed[-1].first + closed[-1].events if closed else 0
        self._send_again(len(closed), self._copy.blocks(self._outbox.members(first)))
        self._outbox.put(mend=None)

    def _send_again(self, number: int, events: Mapping[Cid, bytes], *segments: Segment) -> None:
        sections = [section(cid, block) for cid, block in events.items()]
        self._copy.send([*self._genesis_section(number), *sections], segments)
        self._outbox.await_blobs(self._copy.send_blobs(blobs_of(events)))
