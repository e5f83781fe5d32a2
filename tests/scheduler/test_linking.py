"""A linker over real homes and sockets: what it makes of a peer that says it is where we are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import scheduler.serving
from ledger.cid import Cid
from ledger.exchange import sync_with
from ledger.exchange_client import HttpCarrier
from ledger.operations import Admit, Attachment, Spec
from ledger.replica import Replica, State
from scheduler.actions import SubmitRequest, submit
from scheduler.endpoints import parse_endpoint
from scheduler.home import Home
from scheduler.linking import Dial, Linker
from scheduler.links import Links
from scheduler.place import wall_clock_ms
from scheduler.replica import replica_of
from scheduler.serving import HomeServer
from scheduler.task_answers import WaitingRoom

PAYLOAD = b"payload"


@pytest.mark.parametrize("is_lost", [False, True])
def test_boards_are_compared_though_blobs_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_lost: bool) -> None:
    """H6: of two that have the same events the roots are compared, whether or not blobs of these have come."""
    with Home.found(tmp_path / "here") as here, Home.enter(tmp_path / "there", here.genesis.encode()) as there:
        owner, member = here.keys.load("owner"), there.keys.generate("bob")
        here.append(owner, (Admit(member.actor, ("submitter", "worker"), "bob"),))
        payload = Attachment("text/plain", blob=Cid.of_raw(PAYLOAD), size=len(PAYLOAD))
        submit(here, owner, SubmitRequest(Spec("t", "w", "n", ("p2p-only",), payload=payload)))
        if not is_lost:
            with here.writing() as writing:
                writing.add_blob(PAYLOAD)
        with HomeServer(here.folder, owner) as server:
            url = f"http://127.0.0.1:{server.port}"
            with HttpCarrier(url, here.ledger, member) as carrier:
                sync_with(replica_of(there), carrier, there.now_ms)
        with there.reading():
            assert bool(there.intake.blobs.wanted(most=1)) is is_lost
        lie_about_the_state(monkeypatch)
        with HomeServer(here.folder, owner) as server:
            url = f"http://127.0.0.1:{server.port}"
            said = words_of_a_linker(there.folder, url, Dial(member, None, b""))
    assert said == [("roots_differ", f"DEFECT: {url} has the same events under the same rules and another state root")]


def lie_about_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers say the true heads with another state root."""

    def lying(home: Home, step: Callable[[int], None], *, room: WaitingRoom) -> Replica:
        replica = replica_of(home, step, room=room)
        truth = replica.state
        assert truth is not None

        def state() -> State:
            return replace(truth(), state_root=bytes(32))

        return replace(replica, state=state)

    monkeypatch.setattr(scheduler.serving, "replica_of", lying)


def words_of_a_linker(folder: Path, url: str, dial: Dial) -> list[tuple[str, str]]:
    """Return what a linker says of a peer after its first turn."""
    said: list[tuple[str, str]] = []
    is_over = threading.Event()

    def say(kind: str, words: str) -> None:
        said.append((kind, words))
        is_over.set()

    links = Links(lambda: 0.5, 60.0)
    linker = Linker(folder, links, lambda: dial, lambda data: None, say, wall_clock_ms)
    links.add([parse_endpoint(url)], time.monotonic())
    linker.start()
    try:
        assert is_over.wait(30)
    finally:
        linker.close()
    return said
