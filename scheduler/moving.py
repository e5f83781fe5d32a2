"""Moving a ledger on: what a new one says of the ledger it goes on from, and what was done there.

Implements: specs/events.md, section Moving on. Works on a `Replay`, in which every hash, signature and rule was checked
anew. Leaves out what a home makes of it (scheduler.earlier).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from crdt.order import order_key
from ledger.acceptance import Refusal
from ledger.cid import Cid
from ledger.events import PARENTS_MAX, Genesis
from ledger.operation_codec import read_operations
from ledger.operations import Submit
from scheduler.action_errors import ActionError
from scheduler.earlier import DoneTask, Previous
from scheduler.home import Home
from scheduler.replay import Replay


class MovingError(ActionError):
    """A ledger cannot go on from the other one, or does not."""


def replay_home(home: Home, step: Callable[[int], None] = lambda more: None) -> Replay:
    """Return the board that the blocks of a home make. Raises Refusal or MissingLinks for the first that is not sound.

    `step` is told of each event that was judged.
    """
    with home.reading():
        replay = Replay(home.genesis.encode())
        for _, cid, block in home.events.in_order_of_arrival():
            if not cid.names(block):
                raise Refusal("A2", f"the stored block of {cid} does not hash to its CID")
            replay.add(block)
            step(1)
        return replay


def previous_at_heads(replay: Replay) -> Previous:
    """Return a whole ledger as one that a new ledger goes on from.

    Raises MovingError where it has no events yet, or more heads than a genesis can name.
    """
    heads = replay.board.heads
    if heads == (replay.ledger,):
        raise MovingError(f"ledger {replay.ledger} has no events: there is nothing to go on from")
    if len(heads) > PARENTS_MAX:
        raise MovingError(
            f"ledger {replay.ledger} has {len(heads)} heads, and a genesis can name {PARENTS_MAX}",
            "append any event there, such as `join`: it merges them",
        )
    return Previous(replay.ledger, heads, tuple(_done(replay)))


def previous_named(replay: Replay, genesis: Genesis) -> Previous:
    """Return the ledger that `genesis` goes on from, as far as its `previous` reaches and no farther.

    So every home of the new ledger remembers the same, however far the other ledger has grown since. Raises MovingError
    where the genesis names none, or what it names is not in `replay`.
    """
    if not genesis.previous:
        raise MovingError("this ledger goes on from no other: its genesis names no `previous`", "leave out --previous")
    if genesis.previous != replay.board.heads:
        replay = _until(replay, genesis.previous)
    return Previous(replay.ledger, genesis.previous, tuple(_done(replay)))


def _until(replay: Replay, heads: Sequence[Cid]) -> Replay:
    """Return the board of what `heads` reach."""
    store = replay.board.store
    past: dict[Cid, int] = {}
    stack = list(heads)
    while stack:
        cid = stack.pop()
        node = store.find_node(cid)
        if node is None:
            raise MovingError(
                f"the genesis names {cid} as `previous`, and ledger {replay.ledger} has no such event here",
                "name the ledger this one goes on from; sync it first where this copy is older",
            )
        if cid not in past:
            past[cid] = node.height
            stack.extend(node.links)
    grown = Replay(replay.genesis.encode())
    for cid in sorted(past, key=lambda cid: order_key(past[cid], cid)):
        grown.add(store.event(cid).encode())
    return grown


def _done(replay: Replay) -> Iterator[DoneTask]:
    board = replay.board
    for task in board.store.tasks():
        record = board.record_of(task)
        if record is None or record.result is None:
            continue
        for op in read_operations(board.store.event(record.submits[0])):
            if isinstance(op, Submit) and op.key == record.key:
                yield DoneTask(record.key, record.submitter, op.spec.task_id, op.spec.workflow_id, op.spec_map)
                break
