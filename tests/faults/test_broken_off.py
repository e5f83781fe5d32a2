"""What is broken off from inside: exceptions, Ctrl-C and threads amid a transaction, a rebuild or a reading."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import scheduler.home
from crdt.board import Board
from ledger.events import VerifiedEvent
from ledger.keys import SigningKey
from scheduler.home import Home
from tests.faults.audit import audit
from tests.faults.work import Time, submit_of


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Return a home with a peer and a task."""
    with Home.found(tmp_path / "home", clock=Time()) as home:
        key = home.members.peer_key("peer")
        home.append(key, [submit_of(home, key, "first")])
        yield home


@pytest.fixture
def key(home: Home) -> SigningKey:
    """Return the key of its peer."""
    return home.members.peer_key("peer")


class BrokenOffError(Exception):
    """What the tests raise."""


def interrupt(*_: object) -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [BrokenOffError, KeyboardInterrupt])
def test_a_transaction_that_raises_leaves_no_trace(home: Home, key: SigningKey, kind: type[BaseException]) -> None:
    """Law: whatever a transaction raises, board and disk are as before it, and the next is as if it had not been."""
    before = audit(home)
    with pytest.raises(kind), home.writing() as writing:  # noqa: PT012  # what is broken off has written before
        for name in ("one", "two"):
            writing.append(key, [submit_of(home, key, name)])
        writing.add_blob(b"never kept")
        home.board.state_root()
        raise kind
    assert audit(home) == before
    home.append(key, [submit_of(home, key, "third")])
    assert {record.spec.task_id for record in audit(home).tasks.values()} == {"first", "third"}


@pytest.mark.parametrize("step", ["put_verdict", "put_task", "put_node", "put_state", "flush"])
def test_an_interrupt_inside_the_fold_leaves_no_trace(
    home: Home, key: SigningKey, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: an event is folded wholly or not at all, wherever Ctrl-C comes."""
    before = audit(home)
    with monkeypatch.context() as patch:
        patch.setattr(type(home.board.store), step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            home.append(key, [submit_of(home, key, "never")])
    assert audit(home) == before


def test_a_rebuild_that_is_broken_off_changes_nothing(
    home: Home, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: a rebuild is one transaction; broken off, neither the tables nor what is in memory are half built."""
    for i in range(3):
        home.append(key, [submit_of(home, key, f"more {i}")])
    before = audit(home)
    applied = 0
    apply = Board.apply

    def apply_some(board: Board, event: VerifiedEvent) -> None:
        nonlocal applied
        applied += 1
        if applied == 4:
            raise KeyboardInterrupt
        apply(board, event)

    with monkeypatch.context() as patch:
        patch.setattr(Board, "apply", apply_some)
        with pytest.raises(KeyboardInterrupt):
            home.rebuild()
    assert audit(home) == before
    home.rebuild()
    assert audit(home) == before


def test_hashing_that_is_broken_off_is_begun_anew(home: Home, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: a state root is never made of a tree that was hashed in part."""
    home.append(key, [submit_of(home, key, f"more {i}") for i in range(5)])
    with monkeypatch.context() as patch:
        patch.setattr(type(home.board.store), "put_branch", interrupt)
        with pytest.raises(KeyboardInterrupt), home.reading():
            home.board.state_root()
    with home.reading():
        root = home.board.state_root()
    assert audit(home).state_root == root


def test_transactions_do_not_nest_and_the_outer_one_is_unharmed(home: Home, key: SigningKey) -> None:
    """Law: a nested transaction is refused, and what the outer one wrote before and after is committed whole."""
    with home.writing() as writing:
        first = writing.append(key, [submit_of(home, key, "before")])
        with pytest.raises(RuntimeError):
            home.append(key, [submit_of(home, key, "nested")])
        second = writing.append(key, [submit_of(home, key, "after")])
    assert {first.cid, second.cid} <= audit(home).log


def test_a_rollback_is_forgotten_before_another_thread_has_its_turn(home: Home, key: SigningKey) -> None:
    """Law: no thread ever sees what another one's transaction has not kept."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def fail_often() -> None:
        while not stop.is_set():
            try:
                with home.writing() as writing:
                    writing.append(key, [submit_of(home, key, "never kept")])
                    raise BrokenOffError
            except BrokenOffError:
                pass
            except BaseException as error:  # noqa: BLE001  # told in the thread that asserts
                failures.append(error)

    thread = threading.Thread(target=fail_often)
    thread.start()
    try:
        for i in range(40):
            home.append(key, [submit_of(home, key, f"kept {i}")])
    finally:
        stop.set()
        thread.join()
    assert not failures
    board = audit(home)
    assert {r.spec.task_id for r in board.tasks.values()} == {"first", *(f"kept {i}" for i in range(40))}


def test_a_first_use_broken_off_at_any_step_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: a folder in which founding was broken off holds no ledger, and the next first use founds one there."""
    steps = ("EventStore", "Intake", "SqliteBoardStore")
    for step in steps:
        folder = tmp_path / step
        with monkeypatch.context() as patch:
            patch.setattr(scheduler.home, step, interrupt)
            with pytest.raises(KeyboardInterrupt):
                Home.open_or_found(folder)
        home, _ = Home.open_or_found(folder)
        with home:
            home.members.peer_key("peer")
            audit(home)
