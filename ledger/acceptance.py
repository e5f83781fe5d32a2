"""Acceptance: is this block in the log? Eleven numbered checks, in their order, and the one maker of `VerifiedEvent`.

Implements: specs/acceptance.md, rules A1 to A11. The verdict depends on the block and the blocks it links, not on
arrival order, today's members or a clock. Cheap checks come first: a stranger costs us a hash and a signature at most.
Leaves out: what waits, is held or was refused (ledger.intake), and what operations mean (crdt).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from ledger.cid import Cid
from ledger.codec import DecodeError, decode
from ledger.curve import is_canonical_point, is_small_order
from ledger.events import (
    EVENT_PREFIX,
    OPEN_GRANT,
    OWNER_GRANT,
    PARENTS_MAX,
    SIGNATURE_BYTES,
    Admission,
    Event,
    Genesis,
    Grant,
    VerifiedEvent,
)
from ledger.keys import ActorKey, verify_signature
from ledger.operation_codec import read_operations
from ledger.operations import Admit, Unread
from ledger.schema import Fields, SchemaError

Admissions = Mapping[ActorKey, Grant]
"""Whom one event admits, and as what."""


class Refusal(Exception):  # noqa: N818  # a verdict on a block, not a defect of the program
    """The block breaks `rule` ("A1" to "A11"): drop it. `words` say what is wrong."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(f"{rule}: {words}")
        self.rule = rule
        self.words = words


class MissingLinks(Exception):  # noqa: N818  # as above
    """Links of the event are not accepted here (A7): ask for `missing`, the grant first, and check again then."""

    def __init__(self, missing: tuple[Cid, ...]) -> None:
        super().__init__(f"A7: waits for {len(missing)} linked events, first {missing[0]}")
        self.missing = missing


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event that passed A1 to A6: well formed, of this ledger, signed by its actor. Its links are unchecked."""

    cid: Cid
    event: Event
    block: bytes


def _nobody() -> Admissions:
    return {}


@dataclass(frozen=True, slots=True)
class Linked:
    """What acceptance asks of a block that is linked: its height and time, and whom it admits if it is a grant.

    `refused` says that the block was refused, so what links it must be too. `admissions` is called for a grant only.
    """

    height: int
    time: int
    refused: bool = False
    admissions: Callable[[], Admissions] = _nobody


REFUSED: Final = Linked(0, 0, refused=True)

Find = Callable[[Cid], Linked | None]
"""Returns what is known of a linked block: None where it is neither accepted nor refused."""


def verify_genesis(block: bytes) -> tuple[Cid, Genesis]:
    """Return the name of the ledger that `block` founds, and its genesis; raise Refusal (A1, A2, A3, A5)."""
    genesis = _genesis(_decode(block))
    for owner in genesis.owners:
        _check_key(owner, "owner")
    return Cid.of(block), genesis


def check_alone(block: bytes, ledger: Cid) -> SignedEvent:
    """Check what needs no other block (A1 to A6); return the event with the CID of its bytes, or raise Refusal."""
    fields = _decode(block)  # A1, A2
    if fields.get("kind") == "genesis":
        _genesis(fields)
        raise Refusal("A4", "the genesis of a ledger, not an event of this one")
    event = _event(fields)  # A3
    if event.ledger != ledger:
        raise Refusal("A4", f"belongs to ledger {event.ledger}, not to {ledger}")
    _check_key(event.actor, "actor")  # A5
    _check_r(event.sig)  # A5
    if not verify_signature(event.actor, signed_part(block, event.sig), event.sig):
        raise Refusal("A6", "the signature does not verify")
    return SignedEvent(Cid.of(block), event, block)


def unsafe_signed(block: bytes) -> SignedEvent:
    """Return the event in `block` without A4 to A6: only for bytes that this store took in after checking them."""
    return SignedEvent(Cid.of(block), _event(_decode(block)), block)


def verify_event(signed: SignedEvent, ledger: Cid, genesis: Genesis, find: Find) -> VerifiedEvent:
    """Check `signed` against what it links (A7 to A11) and return it as an accepted event.

    Raises MissingLinks where links are not accepted here yet, Refusal where a rule is broken.
    """
    event = signed.event
    linked = _linked(event, find)  # A7
    grant = _grant(event, ledger, genesis, linked[0])  # A8
    height = 1 + max(block.height for block in linked)
    if event.height != height:
        raise Refusal("A9", f"height {event.height}, but what it links asks for {height}")
    latest = max(block.time for block in linked)
    if event.time < latest:
        raise Refusal("A10", f"time {event.time} is before {latest}, the time of an event it links")
    _check_order_of_links(event)  # A11
    return VerifiedEvent(signed.cid, event, grant, signed.block)


def linked_genesis(genesis: Genesis) -> Linked:
    """Return what acceptance asks of the genesis block."""
    return Linked(0, genesis.created)


def linked_event(event: Event, genesis: Genesis) -> Linked:
    """Return what acceptance asks of an accepted `event`."""
    return Linked(event.height, event.time, admissions=lambda: admissions(event, genesis))


def admissions(event: Event, genesis: Genesis) -> Admissions:
    """Return whom `event` admits: nobody unless an owner signed it; of several admits of one actor the first (A8)."""
    if event.actor not in genesis.owners:
        return {}
    found: dict[ActorKey, Grant] = {}
    spoiled: set[ActorKey] = set()
    for op in read_operations(event):
        if isinstance(op, Unread) and op.admits is not None:
            spoiled.add(op.admits)  # a malformed first one counts as the first: its actor gets nothing
        elif isinstance(op, Admit) and op.actor not in spoiled:
            found.setdefault(op.actor, Grant(frozenset(op.roles), labels=op.labels, name=op.name))
    return found


def signed_part(block: bytes, sig: bytes) -> bytes:
    """Return what the signature in a canonical event block is over, cut out of the block (see Event.signed_bytes).

    `sig` follows `ops` in canonical order, and only fixed fields and links of 36 bytes follow `sig`, so its last
    occurrence with the field's head is the field itself, whatever the operations hold.
    """
    field = _SIG_HEAD + sig
    start = block.rindex(field)
    return b"".join((EVENT_PREFIX, _UNSIGNED_HEAD, block[1:start], block[start + len(field) :]))


def with_signature(block: bytes, sig: bytes, other: bytes) -> bytes:
    """Return a canonical event block with another signature in the place of `sig`."""
    start = block.rindex(_SIG_HEAD + sig) + len(_SIG_HEAD)
    return b"".join((block[:start], other, block[start + len(sig) :]))


# ---- one function for each rule

_UNSIGNED_HEAD: Final = b"\xaa"  # a map of ten fields, where the event with its signature has eleven (0xab)
_SIG_HEAD: Final = b"\x63sig\x58" + bytes((SIGNATURE_BYTES,))


def _decode(block: bytes) -> Fields:
    """A1 and A2: within the limits, and the one canonical encoding of what it says."""
    try:
        value = decode(block)
    except DecodeError as error:
        raise Refusal(error.rule, str(error)) from None
    if not isinstance(value, dict):
        raise Refusal("A3", "the block is not a map")
    return value


def _event(fields: Fields) -> Event:
    """A3: the envelope has exactly its fields, each of its type and range."""
    try:
        return Event.from_map(fields)
    except SchemaError as error:
        raise Refusal("A3", f"event: {error}") from None


def _genesis(fields: Fields) -> Genesis:
    """A3, for a genesis."""
    try:
        return Genesis.from_map(fields)
    except SchemaError as error:
        raise Refusal("A3", f"genesis: {error}") from None


def _check_key(key: ActorKey, whose: str) -> None:
    """A5: libraries differ on keys that are not canonical or of small order."""
    fault = _fault_of_point(key)
    if fault:
        raise Refusal("A5", f"the {whose}'s key {fault}")


def _check_r(sig: bytes) -> None:
    """A5, for the first half of the signature."""
    r = sig[:32]
    if not is_canonical_point(r):
        raise Refusal("A5", "R of the signature is not canonical")
    if is_small_order(r):
        raise Refusal("A5", "R of the signature has small order")


@lru_cache(maxsize=4096)  # the same few actors sign everything
def _fault_of_point(key: ActorKey) -> str:
    if not is_canonical_point(key):
        return "is not canonical"
    return "has small order" if is_small_order(key) else ""


def _linked(event: Event, find: Find) -> list[Linked]:
    """A7: every linked block is accepted. The grant comes first."""
    found: list[Linked] = []
    missing: list[Cid] = []
    for cid in event.links():
        linked = find(cid)
        if linked is None:
            missing.append(cid)
        elif linked.refused:
            raise Refusal("A7", f"links {cid}, which was refused")
        else:
            found.append(linked)
    if missing:
        raise MissingLinks(tuple(missing))
    return found


def _grant(event: Event, ledger: Cid, genesis: Genesis, granted_by: Linked) -> Grant:
    """A8: owners act under the genesis; others under an owner's admission, or as submitters where that is open."""
    if event.actor in genesis.owners:
        if event.grant != ledger:
            raise Refusal("A8", "an owner acts under the genesis only")
        return OWNER_GRANT
    if event.grant == ledger:
        if genesis.policy.admission is not Admission.OPEN:
            raise Refusal("A8", "the genesis admits members only, and this actor is no owner")
        return OPEN_GRANT
    grant = granted_by.admissions().get(event.actor)
    if grant is None:
        raise Refusal("A8", f"{event.grant} is no event in which an owner admits this actor")
    return grant


def _check_order_of_links(event: Event) -> None:
    """A11: one way only to write the same links."""
    if not 1 <= len(event.parents) <= PARENTS_MAX:
        raise Refusal("A11", f"{len(event.parents)} parents, not 1 to {PARENTS_MAX}")
    if any(a >= b for a, b in pairwise(event.parents)):
        raise Refusal("A11", "parents are not sorted by their bytes, or one is there twice")
    for name, links in (("cites", event.cites), ("blobs", event.blobs)):
        if len(set(links)) != len(links):
            raise Refusal("A11", f"a link of {name} is there twice")
