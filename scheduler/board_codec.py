"""Board values to and from bytes, for the home's tables: derived data in a form that changes with the schema version.

Leaves out records and hashes that peers compare (crdt.state_root).
"""

from __future__ import annotations

import zlib
from typing import Any, Final, TypeVar, cast

from crdt.board_store import BoardState, TaskState
from crdt.fold import ClaimFact, SubmitFact, TaskFold
from crdt.members import AdmissionFact, PresenceFact, Revocation, RosterFold
from crdt.records import CompletionRecord, Presence
from ledger.cid import CID_BYTES, Cid
from ledger.codec import Encodable, Limits, decode, encode
from ledger.events import TaskKey
from ledger.keys import ACTOR_KEY_BYTES, ActorKey
from ledger.operation_codec import read_spec
from ledger.operation_writing import spec_fields
from ledger.operations import Spec
from ledger.schema import Fields

Kept = TypeVar("Kept")

_REQUESTS_MAX: Final = 20_000
_OWN_LIMITS: Final = Limits(block_bytes_max=2**31, nesting_max=32, items_max=2**31)


class _Requests:
    """What tasks ask for, read and written once: a task key is the hash of submitter and spec, so they never change."""

    def __init__(self) -> None:
        self._read: dict[TaskKey, tuple[ActorKey, Spec]] = {}
        self._written: dict[TaskKey, bytes] = {}

    def read(self, key: TaskKey, data: Any) -> tuple[ActorKey, Spec]:
        """Return what `encoded` wrote; homes of earlier versions have the values as they are."""
        found = self._read.get(key)
        if found is None:
            values = decode(data, limits=_OWN_LIMITS) if isinstance(data, bytes) else data
            actor, fields = cast("tuple[ActorKey, Fields]", values)
            found = (actor, read_spec(fields))
            _keep(self._read, key, found)
        return found

    def encoded(self, fold: TaskFold) -> bytes | None:
        """Return the bytes of a task's request, None where it has none."""
        if fold.request is None:
            return None
        found = self._written.get(fold.key)
        if found is None:
            found = encode([fold.request[0], spec_fields(fold.request[1])])
            _keep(self._written, fold.key, found)
        return found


def _keep(known: dict[TaskKey, Kept], key: TaskKey, value: Kept) -> None:
    if len(known) >= _REQUESTS_MAX:
        known.clear()
    known[key] = value


_requests: Final = _Requests()


def encode_task(task: TaskState) -> bytes:
    """Return the bytes of a task that has at least one operation."""
    fold = task.fold
    value: list[Encodable] = [
        fold.key,
        _requests.encoded(fold),
        [[s.height, s.cid, s.time, s.priority, s.created_at] for s in fold.submits.values()],
        [[cid, c.actor, c.attempt, c.distance, c.time, c.lease_end, list(c.inputs)] for cid, c in fold.claims.items()],
        [[cid, end] for cid, end in fold.renewed.items()],
        list(fold.released),
        [[cid, at] for cid, at in fold.failed.items()],
        [[c.distance, c.claim, c.cid, c.actor, c.time, list(c.inputs)] for c in fold.completions.values()],
        list(fold.cancels),
        fold.base,
        fold.requeue,
        None if fold.prioritized is None else list(fold.prioritized),
        list(task.heads),
        task.fenced,
    ]
    return _seal(encode(value))


def decode_task(data: bytes) -> TaskState:
    """Return the task that `encode_task` wrote; raise ValueError where the bytes have changed."""
    (
        key,
        request,
        submits,
        claims,
        renewed,
        released,
        failed,
        done,
        cancels,
        base,
        requeue,
        prioritized,
        heads,
        fenced,
    ) = _values(data)
    fold = TaskFold(key, None if request is None else _requests.read(key, request))
    fold.submits = {s[1]: SubmitFact(*s) for s in submits}
    for cid, actor, attempt, distance, time, lease_end, inputs in claims:
        fold.claims[cid] = ClaimFact(actor, attempt, distance, time, lease_end, tuple(inputs))
    fold.renewed = dict(renewed)
    fold.released = set(released)
    fold.failed = dict(failed)
    for distance, claim, cid, actor, time, inputs in done:
        fold.completions[cid] = CompletionRecord(distance, claim, cid, actor, time, tuple(inputs))
    fold.cancels = set(cancels)
    fold.base, fold.requeue = base, requeue
    fold.prioritized = None if prioritized is None else (prioritized[0], prioritized[1], prioritized[2])
    return TaskState(fold, set(heads), fenced)


def encode_roster(roster: RosterFold) -> bytes:
    """Return the bytes of who was admitted, revoked, and has come and gone."""
    value: list[Encodable] = [
        [
            [actor, grant, a.height, list(a.roles), list(a.labels), a.name]
            for (actor, grant), a in roster.admissions.items()
        ],
        [[r.cid, r.actor, r.grant, list(r.keep)] for r in roster.revocations],
        [
            [f.height, p.actor, p.joined, list(p.labels), p.slots, p.cid, p.grant]
            for f in roster.presences.values()
            for p in (f.presence,)
        ],
    ]
    return _seal(encode(value))


def decode_roster(data: bytes) -> RosterFold:
    """Return the roster that `encode_roster` wrote; raise ValueError where the bytes have changed."""
    admissions, revocations, presences = _values(data)
    roster = RosterFold()
    roster.admissions = {
        (actor, grant): AdmissionFact(height, tuple(roles), tuple(labels), name)
        for actor, grant, height, roles, labels, name in admissions
    }
    for cid, actor, grant, keep in revocations:
        roster.add(Revocation(cid, actor, grant, tuple(keep)))
    for height, actor, joined, labels, slots, cid, grant in presences:
        presence = Presence(actor, joined, tuple(labels), slots, cid, grant)
        roster.presences[actor] = PresenceFact(height, presence)
    return roster


def encode_state(state: BoardState) -> bytes:
    """Return the bytes of what a board knows beside events, tasks and the roster: little, since it changes always."""
    value: list[Encodable] = [
        join_cids(tuple(state.heads)),
        _join_numbers(state.workers),
        state.voided,
    ]
    return _seal(encode(value))


def decode_state(data: bytes, roster: RosterFold) -> BoardState:
    """Return the state that `encode_state` wrote, with its roster; raise ValueError where the bytes have changed."""
    heads, workers, voided = _values(data)
    return BoardState(roster, set(split_cids(heads)), _split_numbers(workers), voided)


def _seal(data: bytes) -> bytes:
    """Return `data` with a checksum: unlike a block, nothing else tells that a disk has altered it."""
    return data + zlib.crc32(data).to_bytes(4, "big")


def _values(data: bytes) -> Any:  # lists as they were written, and nobody else writes them
    """Return what was encoded and sealed."""
    if zlib.crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
        raise ValueError("the checksum does not fit")
    return decode(data[:-4], limits=_OWN_LIMITS)


def _join_numbers(numbers: dict[ActorKey, int]) -> bytes:
    """Return a number for each actor as one byte string: an item for each would cost each event its time."""
    return b"".join(actor + number.to_bytes(8, "big") for actor, number in numbers.items())


def _split_numbers(data: bytes) -> dict[ActorKey, int]:
    width = ACTOR_KEY_BYTES + 8
    parts = (data[at : at + width] for at in range(0, len(data), width))
    return {ActorKey(part[:-8]): int.from_bytes(part[-8:], "big") for part in parts}


def join_cids(cids: tuple[Cid, ...]) -> bytes:
    """Return CIDs as one byte string."""
    return b"".join(cids)


def split_cids(data: bytes) -> tuple[Cid, ...]:
    """Return the CIDs of `join_cids`."""
    return tuple(Cid(data[at : at + CID_BYTES]) for at in range(0, len(data), CID_BYTES))


def pack_bits(bits: int) -> int | bytes:
    """Return a set of bits as SQLite holds it: an integer while it fits, else bytes."""
    return bits if bits < 1 << 62 else bits.to_bytes((bits.bit_length() + 7) // 8, "big")


def unpack_bits(value: int | bytes) -> int:
    """Return the set of bits of `pack_bits`."""
    return value if isinstance(value, int) else int.from_bytes(value, "big")
