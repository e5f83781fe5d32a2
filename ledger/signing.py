"""Making events: from typed operations to a signed block.

Implements: specs/events.md, what an author writes; every block made here passes A1 to A6, and A9 to A11 against what it
links. Leaves out: which parents, grant and operations are right to choose, and taking the block in (ledger.intake).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.acceptance import Find, Refusal, SignedEvent, check_alone, signed_part, with_signature
from ledger.cid import Cid
from ledger.codec import BLOCK_BYTES_MAX, CodecError
from ledger.events import BLOBS_MAX, CITES_MAX, OPS_MAX, PARENTS_MAX, SIGNATURE_BYTES, Event, Operations
from ledger.keys import SigningKey
from ledger.operation_writing import cited_events, named_blobs, write_operation
from ledger.operations import Operation


class DraftError(ValueError):
    """The event cannot be made as asked: put less into it, or give the links it needs."""


class DraftTooLargeError(DraftError):
    """The event would pass a limit (bytes, links or operations): spread the operations over several events."""


def sign_event(
    key: SigningKey,
    *,
    ledger: Cid,
    grant: Cid,
    parents: Iterable[Cid],
    cites: Sequence[Cid],
    blobs: Sequence[Cid],
    height: int,
    time: int,
    ops: Operations,
) -> bytes:
    """Return the signed block of an event with just these fields; parents are put in order. Checks nothing."""
    event = Event(
        ledger=ledger,
        actor=key.actor,
        grant=grant,
        parents=tuple(sorted(set(parents))),
        cites=tuple(cites),
        blobs=tuple(blobs),
        height=height,
        time=time,
        ops=ops,
        sig=bytes(SIGNATURE_BYTES),
    )
    block = event.encode()  # encoded once: the signature takes the place of the zeros
    return with_signature(block, event.sig, key.sign(signed_part(block, event.sig)))


def draft_event(
    key: SigningKey,
    *,
    ledger: Cid,
    grant: Cid,
    parents: Iterable[Cid],
    operations: Iterable[Operation],
    find: Find,
    now_ms: int,
    blobs: Iterable[Cid] = (),
) -> bytes:
    """Return the block of an event, as `draft_signed` makes it."""
    return draft_signed(
        key,
        ledger=ledger,
        grant=grant,
        parents=parents,
        operations=operations,
        find=find,
        now_ms=now_ms,
        blobs=blobs,
    ).block


def draft_signed(
    key: SigningKey,
    *,
    ledger: Cid,
    grant: Cid,
    parents: Iterable[Cid],
    operations: Iterable[Operation],
    find: Find,
    now_ms: int,
    blobs: Iterable[Cid] = (),
) -> SignedEvent:
    """Return an event that says `operations`, citing and linking what they name, signed and checked (A1 to A6).

    `blobs` are linked beside: what payloads, outputs and logs name in their own bytes travels with the event. `find`
    tells height and time of what is linked (the same function acceptance asks). The event's time is `now_ms`, or the
    latest time among its links where another's clock is ahead of ours (A10). Raises DraftTooLargeError beyond a limit
    of the format, DraftError for a link that is not accepted here or a value no event can hold.
    """
    said = tuple(operations)
    cites = tuple(dict.fromkeys(cid for op in said for cid in cited_events(op)))
    linked = tuple(dict.fromkeys((*(cid for op in said for cid in named_blobs(op)), *blobs)))
    seen = tuple(sorted(set(parents)))
    for what, count, most in (
        ("operations", len(said), OPS_MAX),
        ("cited events", len(cites), CITES_MAX),
        ("blobs", len(linked), BLOBS_MAX),
        ("parents", len(seen), PARENTS_MAX),
    ):
        if count > most:
            raise DraftTooLargeError(f"{count} {what} in one event, at most {most}")
    if not seen:
        raise DraftError("an event needs a parent: the heads its author has seen")
    height, time = _after(dict.fromkeys((grant, *seen, *cites)), find, now_ms)
    at_cites = {cid: index for index, cid in enumerate(cites)}
    at_blobs = {cid: index for index, cid in enumerate(linked)}
    ops = tuple(write_operation(op, at_cites, at_blobs) for op in said)
    try:
        block = sign_event(
            key,
            ledger=ledger,
            grant=grant,
            parents=seen,
            cites=cites,
            blobs=linked,
            height=height,
            time=time,
            ops=ops,
        )
    except CodecError as error:
        raise DraftError(f"no event can hold this: {error}") from None
    return _checked(block, ledger)


def _after(links: Iterable[Cid], find: Find, now_ms: int) -> tuple[int, int]:
    """Return the height and the time of an event that links `links`, all of them accepted here."""
    height, time = 0, now_ms
    for cid in links:
        linked = find(cid)
        if linked is None or linked.refused:
            raise DraftError(f"links {cid}, which is not accepted here")
        height = max(height, linked.height)
        time = max(time, linked.time)
    return height + 1, time


def _checked(block: bytes, ledger: Cid) -> SignedEvent:
    """Return the event in a block; raise what acceptance would refuse, before anybody has seen it."""
    if len(block) > BLOCK_BYTES_MAX:
        raise DraftTooLargeError(f"an event of {len(block)} bytes, at most {BLOCK_BYTES_MAX}")
    try:
        return check_alone(block, ledger)
    except Refusal as refusal:
        if refusal.rule == "A1":
            raise DraftTooLargeError(f"the event passes a limit: {refusal}") from None
        raise DraftError(f"no event can hold this: {refusal}") from None
