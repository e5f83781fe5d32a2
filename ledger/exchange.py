"""Exchanging what two replicas of a ledger lack: both ways, over any carrier.

Implements: specs/exchange.md. One protocol for all carriers (a function call between two homes, HTTP, a libp2p stream):
`pull` takes in what the other has and I lack, `push` offers it what it lacks in turn. Where the other knows my heads a
pull is one round trip, else a few (ledger.ranges). Leaves out: who answers (ledger.answerer), and carriers but the
simplest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ledger.answerer import Answerer
from ledger.carrier import (
    CallCarrier,
    Carrier,
    MisbehaviourError,
    Traffic,
    UnreachableError,
    read_message,
)
from ledger.exchange_codec import decode_state, require_ledger
from ledger.pulling import Pulled, pull
from ledger.pushing import Pushed, push
from ledger.replica import (
    BATCH_BLOCKS,
    BLOB_BATCH,
    ExchangeError,
    Replica,
    State,
    Totals,
    batches,
    block_of,
    past_without,
    take_in,
)

__all__ = [
    "BATCH_BLOCKS",
    "BLOB_BATCH",
    "Answerer",
    "CallCarrier",
    "Carrier",
    "ExchangeError",
    "MisbehaviourError",
    "Pulled",
    "Pushed",
    "Replica",
    "State",
    "SyncReport",
    "Synced",
    "Totals",
    "Traffic",
    "UnreachableError",
    "batches",
    "block_of",
    "fetch_state",
    "past_without",
    "pull",
    "push",
    "sync_stores",
    "sync_with",
    "take_in",
]


@dataclass(frozen=True, slots=True)
class Synced:
    """What an exchange both ways has done."""

    pulled: Pulled
    pushed: Pushed


@dataclass(frozen=True, slots=True)
class SyncReport:
    """How many events each side was sent, and what became of them there."""

    sent_to_a: int
    sent_to_b: int
    a: Totals
    b: Totals


def sync_with(replica: Replica, carrier: Carrier, now_ms: Callable[[], int]) -> Synced:
    """Pull from the other side, then push what it lacks. Raises what `pull` and `push` raise."""
    pulled = pull(replica, carrier, now_ms)
    return Synced(pulled, push(replica, carrier, pulled.missing_there))


def sync_stores(a: Replica, b: Replica, now_ms: Callable[[], int]) -> SyncReport:
    """Give each of two stores at hand what it lacks of the other's log; nothing is sent that is there already.

    What is taken in is durable in batches: broken off, it goes on where it was. Raises ExchangeError for two ledgers
    or one store.
    """
    path = a.intake.database.path
    if path.samefile(b.intake.database.path):
        raise ExchangeError(f"{path} is both sides: name another store")
    to_b = pull(b, CallCarrier(Answerer(a, now_ms)), now_ms)
    to_a = pull(a, CallCarrier(Answerer(b, now_ms)), now_ms)
    return SyncReport(sent_to_a=to_a.events, sent_to_b=to_b.events, a=to_a.taken, b=to_b.taken)


def fetch_state(carrier: Carrier, replica: Replica) -> State:
    """Ask the other side what it is at; raise ExchangeError where that is of another ledger, and as `pull`."""
    with carrier.ask("state", b"") as stream:
        state = decode_state(read_message(stream))
    require_ledger(replica.intake.ledger, state.ledger)
    return state
