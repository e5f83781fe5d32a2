"""Rules as a home uses them, one small directed world each: what an honest operation follows, how members are named."""

from __future__ import annotations

from crdt.prospect import FOLLOWS_MAX
from crdt.records import TaskRecord
from ledger.cid import Cid
from ledger.events import Role
from ledger.keys import SigningKey, did_key
from ledger.operations import Admit, Operation, Prioritize, Revoke
from scheduler.acting import follows, write
from scheduler.actions import complete, take
from tests.scheduler.desk import Desk


def said(desk: Desk, key: SigningKey, *operations: Operation) -> Cid:
    """Append one event of operations that need a submitter; return its CID."""
    with desk.home.writing() as writing:
        return write(writing, key, operations, Role.SUBMITTER).cid


def many_heads(desk: Desk, key: SigningKey, record: TaskRecord, count: int) -> list[Cid]:
    """Give a task so many heads more, none of"""
    return [said(desk, key, Prioritize(record.key, record.submits, 1 + i % 10)) for i in range(count)]


def test_s7_an_operation_follows_all_heads(desk: Desk) -> None:
    """S7: up to 64 heads of a task are all followed."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    heads = many_heads(desk, me, record, FOLLOWS_MAX)
    assert sorted(follows(desk.record(record.key))) == sorted(heads)


def test_s7_of_very_many_heads_what_is_needed(desk: Desk) -> None:
    """S7, counter-example 3: of more than 64 heads so few that all is sound, the claim that is acted on among them."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    many_heads(desk, me, record, FOLLOWS_MAX + 6)
    taken = take(desk.home, me)
    assert taken is not None
    many_heads(desk, me, record, FOLLOWS_MAX + 6)
    followed = follows(desk.record(record.key), taken.claim)
    assert len(followed) <= FOLLOWS_MAX
    assert {record.submits[0], taken.claim} <= set(followed)
    complete(desk.home, me, record.key)
    assert desk.record(record.key).result is not None


def test_r5d_the_name_shown(desk: Desk) -> None:
    """R5d: a name is that of the latest standing admission with one; where two share it, the tail of the key tells."""
    owner = desk.home.members.owner_key()
    assert owner is not None
    ada, ben = SigningKey.from_seed(b"a" * 32).actor, SigningKey.from_seed(b"b" * 32).actor
    names = [*(f"n{number}" for number in range(40)), "b", "a", None]  # so many that no other order has these two last
    grants = {name: desk.home.append(owner, [Admit(ada, ("worker",), name)]).cid for name in names}

    def named() -> list[str]:
        with desk.home.reading():
            return [desk.home.members.name_of(actor) for actor in (ada, ben)]

    assert named() == ["a", did_key(ben)]
    desk.home.append(owner, [Revoke(grants["a"], ada, ())])
    assert named() == ["b", did_key(ben)]
    desk.home.append(owner, [Admit(ben, ("worker",), "b")])
    assert named() == [f"b~{did_key(ada)[-6:]}", f"b~{did_key(ben)[-6:]}"]
