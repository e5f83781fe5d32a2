"""`P2PWorkflowScheduler`: other peers and their clocks, first use and ending, as the contract says."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crdt.clock import ClockError
from ipfs_accelerate_py import (
    MerkleClock,
    P2PWorkflowScheduler,
)
from ledger.keys import SigningKey
from ledger.operations import Admit
from scheduler.home import Home
from scheduler.membership import NotAMemberError
from tests.scheduler.guide import task, until_there

# ---- peers


def test_check_peer_failure(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """A peer that acts is not failed, for want of no heartbeat; one never heard of is; this one is not."""
    a, _ = pair
    assert a.check_peer_failure("b") is False
    assert a.check_peer_failure("b", timeout_seconds=0) in (True, False)
    assert a.check_peer_failure("a", timeout_seconds=0) is False
    assert a.check_peer_failure("stranger") is True
    with pytest.raises(ValueError, match="timeout_seconds"):
        a.check_peer_failure("b", timeout_seconds=-1)


def test_silence_is_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer is failed once nothing was heard of it for the timeout; its next poll, though in vain, is heard."""
    with P2PWorkflowScheduler("a") as a, P2PWorkflowScheduler("b") as b:
        ahead = time.time_ns() // 1_000_000 + 301_000
        for scheduler in (a, b):
            monkeypatch.setattr(scheduler._session.home, "now_ms", lambda: ahead)
        assert a.check_peer_failure("b") is True
        assert b.get_next_task() is None
        assert a.check_peer_failure("b") is False


def test_update_peer_state(peer: P2PWorkflowScheduler) -> None:
    """A clock that is told is kept under its peer, as a copy, and ours does not move; the peer was heard of."""
    clock = MerkleClock("peer2")
    clock.tick()
    before = peer.merkle_clock
    peer.update_peer_state("peer2", clock)
    clock.tick()
    assert peer.known_peers["peer2"]["clock"].vector == {"peer2": 1}
    peer.update_peer_state("peer2", clock.to_dict())
    assert peer.known_peers["peer2"]["clock"] == clock
    assert peer.merkle_clock == before
    assert peer.check_peer_failure("peer2") is False
    assert peer.known_peers["peer2"]["last_seen"] == pytest.approx(time.time(), abs=60)


def test_forged_and_inflated_clocks_are_refused(pair: tuple[P2PWorkflowScheduler, P2PWorkflowScheduler]) -> None:
    """A clock with another root, malformed counts, or more events than its heads hold is refused; the old one stays."""
    a, b = pair
    true = b.merkle_clock.to_dict()
    a.update_peer_state("b", true)
    vector = b.merkle_clock.vector
    some = next(iter(vector))
    for forged in (
        true | {"merkle_root": "00" * 32},
        true | {"vector": vector | {some: vector[some] + 1}},
        true | {"vector": vector | {"did:key:z6Mkstranger": 7}},
        true | {"vector": {}},
        true | {"vector": {some: -1}},
        true | {"vector": "many"},
        true | {"heads": ["no cid"]},
        {},
    ):
        with pytest.raises(ClockError):
            a.update_peer_state("b", forged)
    assert a.known_peers["b"]["clock"].to_dict() == true


def test_known_peers() -> None:
    """Peers are known by bootstrap, by the ledger and by what they told; this one is not among them."""
    with P2PWorkflowScheduler("a", ["boot-1", "boot-2"]) as a, P2PWorkflowScheduler("b") as b:
        a.update_peer_state("told", MerkleClock("told"))
        assert set(a.known_peers) == {"boot-1", "boot-2", "b", "told"}
        assert a.known_peers["boot-1"] == {"clock": MerkleClock("boot-1"), "last_seen": None}
        assert a.known_peers["b"]["last_seen"] is not None
        assert set(b.known_peers) == {"a"}


@pytest.mark.parametrize("bootstrap", [[""], "text"])
def test_bootstrap_peers_are_names(bootstrap: list[str]) -> None:
    """bootstrap_peers is a list of names."""
    with pytest.raises(ValueError, match="bootstrap_peers"):
        P2PWorkflowScheduler("a", bootstrap)


@pytest.mark.parametrize("name", ["", "line\nbreak", "n" * 200])
def test_a_peer_id_names_a_key(name: str) -> None:
    """What cannot name a key is refused."""
    with pytest.raises(ValueError, match="name"):
        P2PWorkflowScheduler(name)


# ---- first use, and ending


def test_first_use_says_so_once(home_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """First use founds a private ledger with one owner, and says so once, with the folder."""
    with caplog.at_level(logging.WARNING):
        for name in ("one", "two", "one"):
            P2PWorkflowScheduler(name).close()
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"first use: made a private ledger with one owner in {home_folder}"]
    with Home.open(home_folder) as home:
        assert home.genesis.owners == (home.keys.load("owner").actor,)


def test_the_home_can_be_named(tmp_path: Path) -> None:
    """`home` chooses the folder, before P2P_WORKFLOW_HOME; two homes are two ledgers."""
    with P2PWorkflowScheduler("a", home=tmp_path / "one") as one, P2PWorkflowScheduler("a") as other:
        one.submit_task(task())
        assert (len(one.pending_tasks), len(other.pending_tasks)) == (1, 0)


def test_the_owner_may_work() -> None:
    """The owner's key is a peer like another, if one so wishes."""
    with P2PWorkflowScheduler("owner") as owner:
        owner.submit_task(task())
        assert until_there(owner.get_next_task).assigned_peer == "owner"
        assert owner.mark_task_complete("task1")


def test_without_the_owners_key_a_new_peer_must_be_admitted(home_folder: Path) -> None:
    """Where the owner's key is elsewhere, a new peer is told which key to have admitted."""
    P2PWorkflowScheduler("first").close()
    (home_folder / "keys" / "owner.key").unlink()
    with pytest.raises(NotAMemberError, match="did:key:z6Mk"):
        P2PWorkflowScheduler("second")
    P2PWorkflowScheduler("first").close()


def test_two_peers_are_two_keys_whatever_the_environment_holds(
    home_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2P_WORKFLOW_KEY does not make one key of two peers where the home can have two."""
    Home.found(home_folder).close()
    monkeypatch.setenv("P2P_WORKFLOW_KEY", SigningKey.generate().to_text())
    with P2PWorkflowScheduler("alice") as alice, P2PWorkflowScheduler("bob") as bob:
        assert alice._session.key.actor != bob._session.key.actor
        assert (set(alice.known_peers), set(bob.known_peers)) == ({"bob"}, {"alice"})


def test_the_peer_shown_is_the_one_that_signs(
    home_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a machine without keys that of P2P_WORKFLOW_KEY signs, under its own name, whichever was asked for."""
    runner = SigningKey.generate()
    with Home.found(home_folder) as home:
        home.append(home.keys.load("owner"), (Admit(runner.actor, ("submitter", "worker"), "runner"),))
    (home_folder / "keys" / "owner.key").unlink()
    monkeypatch.setenv("P2P_WORKFLOW_KEY", runner.to_text())
    for asked in ("runner", "other"):
        caplog.clear()
        with P2PWorkflowScheduler(asked) as scheduler:
            assert scheduler._session.key.actor == runner.actor
            assert scheduler.peer_id == scheduler.get_status()["peer_id"] == scheduler.clock.node_id == "runner"
        assert len(caplog.messages) == (asked == "other")


def test_a_submitter_submits_and_looks(home_folder: Path) -> None:
    """A member that is no worker submits and sees the state; only to work is it refused, until it is admitted to it."""
    with Home.found(home_folder) as home:
        key, owner = home.keys.generate("asks"), home.keys.load("owner")
        home.append(owner, (Admit(key.actor, ("submitter",), "asks"),))
    with P2PWorkflowScheduler("asks", labels=["gpu"]) as asks, Home.open(home_folder) as home:
        assert asks.submit_task(task()) is True
        assert (list(asks.pending_tasks), asks.get_status()["pending_tasks"]) == (["task1"], 1)
        for work in (asks.get_next_task, lambda: asks.mark_task_complete("task1"), lambda: asks.complete_and_next("x")):
            with pytest.raises(NotAMemberError, match="as worker"):
                work()
        assert asks.cancel_task("missing") is False
        home.append(owner, (Admit(key.actor, ("submitter", "worker"), "asks"),))
        assert until_there(asks.get_next_task).task_id == "task1"
        assert asks.mark_task_complete("task1")


def test_a_closed_scheduler_says_so(peer: P2PWorkflowScheduler) -> None:
    """Every call after `close` says that the scheduler is closed; another `close` is none."""
    peer.submit_task(task())
    pending = peer.pending_tasks
    peer.close()
    peer.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: peer.submit_task(task("other")),
        peer.get_next_task,
        lambda: peer.mark_task_complete("task1"),
        lambda: peer.complete_and_next("task1"),
        lambda: peer.fail_task("task1"),
        lambda: peer.release_task("task1"),
        lambda: peer.cancel_task("task1"),
        lambda: peer.determine_task_owner(task()),
        lambda: peer.check_peer_failure("other"),
        lambda: peer.update_peer_state("other", MerkleClock("other")),
        peer.get_status,
        lambda: peer.known_peers,
        lambda: peer.task_queue,
        lambda: peer.merkle_clock,
        lambda: len(pending),
        lambda: pending["task1"],
    )
    for call in calls:
        with pytest.raises(RuntimeError, match="this scheduler is closed"):
            call()


def test_a_fork_is_refused(peer: P2PWorkflowScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler carried over a fork says so at once, rather than share a connection with its parent."""
    own = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: own + 1)
    with pytest.raises(RuntimeError, match="fork"):
        peer.get_next_task()


def test_a_forgotten_scheduler_renews_nothing(peer: P2PWorkflowScheduler) -> None:
    """A scheduler that nobody refers to any more ends its renewals, so that its claims run out."""
    peer.submit_task(task())
    forgotten = P2PWorkflowScheduler("my-peer")
    assert forgotten.get_next_task() is not None
    thread = forgotten._session.renewer._thread
    assert thread is not None
    assert thread.is_alive()
    del forgotten
    gc.collect()
    thread.join(timeout=20)
    assert not thread.is_alive()
