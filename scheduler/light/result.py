"""How a task came out, for who has nothing but what peers have shown of it.

The same value as a home gives (scheduler.results), made of a proof (scheduler.light.proof) and of the blobs that came
with it. Such a result is never called stable: that needs the whole ledger. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from crdt.records import ClaimRecord
from crdt.view import Status
from ledger.cid import Cid
from ledger.operations import Attachment, Complete, Fail, Release, Renew
from scheduler.light.proof import TaskProof
from scheduler.results import Handed, Result, shown_claim
from scheduler.running.outputs import OutputsError, read_outputs
from scheduler.running.payloads import OUTPUTS_TYPE


def light_result(proof: TaskProof, status: Status, blobs: Mapping[Cid, bytes], now_ms: int) -> Result | None:
    """Return how the task came out, or where it stands; None where no submit of it was shown."""
    record = proof.record
    if record is None:
        return None
    claim = shown_claim(record, now_ms)
    if claim is None:
        return Result(record, status)
    found = Result(record, status, claim, superseded=tuple(one.cid for one in record.completions[1:]))
    done = record.result if record.result is not None and record.result.claim == claim.cid else None
    ending = _ending(proof, claim) if done is None else done.cid
    if ending is None:
        return found
    op = proof.operation(ending)
    found = replace(found, event=ending, at=proof.event(ending).time, is_result=done is not None)
    match op:
        case Complete():
            handed = _handed(op.output, blobs)
            return replace(found, report=op.report or found.report, handed=handed)
        case Fail():
            return replace(found, report=op.report or found.report, failure_class=op.failure_class, error=op.error)
        case Release():
            return replace(found, released=True, error=op.reason or "")
        case _:
            return found


def lacking(proof: TaskProof, blobs: Mapping[Cid, bytes]) -> tuple[Cid, ...]:
    """Return the output of the task's result, where it is a blob that did not come with the answers."""
    record = proof.record
    if record is None or record.result is None:
        return ()
    op = proof.operation(record.result.cid)
    blob = op.output.blob if isinstance(op, Complete) and op.output is not None else None
    return () if blob is None or blob in blobs else (blob,)


def _ending(proof: TaskProof, claim: ClaimRecord) -> Cid | None:
    """Return the event of the last failure or release of a claim."""
    if not claim.failed_at and not claim.released:
        return None
    kind = Fail if claim.failed_at else Release
    ends = [cid for cid, op in proof.on_claim(claim.cid) if isinstance(op, kind)]
    return ends[-1] if ends else None


def _handed(item: Attachment | None, blobs: Mapping[Cid, bytes]) -> Handed:
    """Return what a completion handed over; its files are elsewhere, by their parts."""
    if item is None:
        return Handed()
    data = item.data if item.blob is None else blobs.get(item.blob)
    if data is None:
        return Handed(item, missing=() if item.blob is None else (item.blob,))
    if item.media_type != OUTPUTS_TYPE:
        return Handed(replace(item, data=data, size=len(data)))
    try:
        read = read_outputs(data)
    except OutputsError as error:
        return Handed(item, malformed=f"malformed outputs: {error}")
    return Handed(item, read.outputs, read.files)


def log_pieces(proof: TaskProof, claim: Cid) -> list[tuple[Cid, Attachment]]:
    """Return the pieces of a claim's log in order, each by the event that carries it."""
    found = [(cid, op) for cid, op in proof.on_claim(claim) if isinstance(op, Renew | Fail | Complete)]
    found.sort(key=lambda one: not isinstance(one[1], Renew))  # stable: renewals first, then what ended it
    return [(cid, op.log) for cid, op in found if op.log is not None]
