"""Submitting without a home: tokens, what is made of requests, and where it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.view import Status
from ledger.car_import import import_car
from ledger.carrier import UnreachableError
from ledger.cid import Cid
from ledger.codec import encode
from ledger.events import Admission, Policy
from ledger.exchange_client import HttpCarrier, NotServedError
from ledger.keys import SigningKey
from ledger.operations import Admit, Attachment, Revoke, Spec
from scheduler.action_errors import AmbiguousTaskError, ConflictError, RequestError, TaskNotFoundError
from scheduler.actions import complete, submit
from scheduler.home import Home
from scheduler.light.handing import Handed, Handing, How, NobodyTookItError
from scheduler.light.peer import NotTakenError
from scheduler.light.reaching import NodePeer, node_peers, places
from scheduler.light.token import (
    LedgerToken,
    LedgerTokenError,
    TokenKeyError,
    looks_like_ledger_token,
    read_ledger_token,
    write_ledger_token,
)
from scheduler.light.via import Via, ViaError, parse_via
from scheduler.light.waiting import WaitedError, Waiting
from scheduler.replica import replica_of
from scheduler.serving import HomeServer
from scheduler.submitting import SubmitRequest

NOWHERE = Via("http", "http://127.0.0.1:1")


class Team:
    """A ledger with a member that has no home, and servers of it."""

    def __init__(self, folder: Path, policy: Policy | None = None) -> None:
        self.home = Home.found(folder / "team", policy=policy)
        self.owner = self.home.keys.load("owner")
        self.ci = SigningKey.from_seed(bytes(range(32)))
        self.grant = self.home.append(self.owner, (Admit(self.ci.actor, ("submitter",), "ci"),)).cid
        self._stack = ExitStack()
        self._stack.enter_context(self.home)
        self.offset_ms = 0

    def serve(self) -> Via:
        """Return where a server of the home is."""
        server = self._stack.enter_context(HomeServer(self.home.folder, self.owner))
        return Via("http", f"http://127.0.0.1:{server.port}")

    def token(self) -> LedgerToken:
        """Return the member's token."""
        with self.home.reading():
            genesis, grant = self.home.events.find_genesis(), self.home.events.find_block(self.grant)
        assert genesis is not None
        return LedgerToken(genesis, grant)

    def hand(self, *vias: Via, **fields: Any) -> Handed:
        """Hand one request over."""
        return self.handing().hand([request(**fields)], vias)

    def handing(self) -> Handing:
        """Return what hands over for the member."""
        return Handing(self.token(), self.ci, lambda: self.home.now_ms() + self.offset_ms)

    def close(self) -> None:
        """Close servers and home."""
        self._stack.close()


def request(
    task_id: str = "a", *, needs: tuple[str, ...] = (), payload: bytes | None = None, name: str = "n", priority: int = 5
) -> SubmitRequest:
    """Return a request."""
    attached = None if payload is None else Attachment("application/octet-stream", data=payload)
    return SubmitRequest(Spec(task_id, "w", name, ("p2p-only",), payload=attached), priority, None, needs)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """Return a team."""
    made = Team(tmp_path)
    yield made
    made.close()


# ---- tokens


def test_a_token_says_what_was_put_into_it(team: Team) -> None:
    """Reading is the inverse of writing; nothing in it names a folder or a secret unless it is told to."""
    for token in (
        team.token(),
        replace(team.token(), urls=("http://192.0.2.1:80",), nodes=("/p2p/12D3KooWpeerpeerpeerpeer",)),
        replace(team.token(), grant_block=None, swarm_key=bytes(32)),
    ):
        text = write_ledger_token(token)
        assert read_ledger_token(f" {text.upper()}\n") == token
        assert looks_like_ledger_token(text)


@given(st.data())
def test_a_token_that_was_cut_off_or_mistyped_says_so(data: st.DataObject) -> None:
    """Any shorter text, and any other character, is an error of its kind."""
    text = write_ledger_token(_some_token())
    cut = data.draw(st.integers(0, len(text) - 1))
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from("abcdefgz234567-"))
    for odd in (text[:cut], text[:at] + char + text[at + 1 :], data.draw(st.text(max_size=60))):
        if odd != text:
            with pytest.raises(LedgerTokenError):
                read_ledger_token(odd)


def _some_token() -> LedgerToken:
    from ledger.events import Genesis

    return LedgerToken(Genesis("t", 1, bytes(16), (SigningKey.from_seed(bytes(32)).actor,)).encode())


def test_what_is_no_token_is_told(team: Team) -> None:
    """An invitation, another version, a grant that is none."""
    from scheduler.invite import Invite, write_token
    from scheduler.light.token import _FORM

    with pytest.raises(LedgerTokenError, match="this is an invitation"):
        read_ledger_token(write_token(Invite(team.token().genesis_block, "team")))
    with pytest.raises(LedgerTokenError, match="version 2"):
        read_ledger_token(_FORM.write(encode({"v": 2})))
    other = submit(team.home, team.owner, request())[0].record.submits[0]
    with team.home.reading():
        no_grant = team.home.events.find_block(other)
    with pytest.raises(LedgerTokenError, match="made wrongly"):
        write_ledger_token(replace(team.token(), grant_block=no_grant))


def test_token_and_key_are_a_pair(team: Team) -> None:
    """Another key, an owner's, or one that may not submit, is told before anything is handed over."""
    token, stranger = team.token(), SigningKey.from_seed(bytes(32))
    assert "submitter" in token.check_key(team.ci.actor).roles
    assert replace(token, grant_block=None).check_key(team.owner.actor).is_owner
    for odd, key, words in (
        (token, stranger, "does not admit"),
        (token, team.owner, "owner, who acts under the genesis"),
        (replace(token, grant_block=None), team.ci, "no grant"),
    ):
        with pytest.raises(TokenKeyError, match=words):
            odd.check_key(key.actor)
        with pytest.raises(TokenKeyError):
            Handing(odd, key, team.home.now_ms).hand([request()], (NOWHERE,))
    worker = team.home.append(team.owner, (Admit(stranger.actor, ("worker",)),))
    with pytest.raises(TokenKeyError, match="does not let"):
        replace(token, grant_block=worker.block).check_key(stranger.actor)


# ---- handing over to a peer


def test_a_submit_needs_no_replica_and_a_second_run_is_the_same_task(team: Team) -> None:
    """The peer has it on its board, by an event that links the grant alone; again it is the same task and event."""
    via = team.serve()
    handed = team.hand(via, priority=7)
    (one,) = handed.tasks
    assert (handed.how, one.created, one.priority) == (How.ACCEPTED, True, 7)
    with team.home.reading():
        record = team.home.board.find_record(one.key)
        event = team.home.read_event(one.event)
    assert record is not None
    assert (record.submits, record.submitter, record.priority) == ((one.event,), team.ci.actor, 7)
    assert (event.parents, event.grant, event.height) == ((team.grant,), team.grant, 2)
    (again,) = team.hand(via, priority=7).tasks
    assert (again.key, again.event, again.created) == (one.key, one.event, False)
    # The same request from a home is the same task, too.
    assert submit(team.home, team.ci, request(priority=7))[0].created is False


def test_another_request_under_the_name_is_a_conflict(team: Team) -> None:
    """As in a home; so are two requests at once."""
    via = team.serve()
    team.hand(via)
    with pytest.raises(ConflictError):
        team.hand(via, name="another")
    with pytest.raises(ConflictError):
        team.handing().hand([request("b"), request("b", name="another")], (via,))


def test_payloads_are_handed_over_too(team: Team) -> None:
    """A large payload is a blob, which the peer has with the event, even where it had the event before."""
    via, data = team.serve(), os.urandom(50_000)
    (one,) = team.hand(via, payload=data).tasks
    with team.home.reading():
        assert team.home.intake.blobs.get_many([Cid.of_raw(data)]) == {Cid.of_raw(data): data}
    with team.home.writing():
        team.home.database.connection.execute("UPDATE blobs SET data = NULL")
    assert team.hand(via, payload=data).tasks[0].created is False
    with team.home.reading():
        assert team.home.intake.blobs.has(Cid.of_raw(data))
    assert one.request.spec.payload is not None
    with pytest.raises(RequestError, match="too large"):
        team.hand(via, task_id="b", payload=bytes(2_000_000))


def test_needs_are_found_among_the_tasks_of_the_key(team: Team) -> None:
    """By key, by name at the peer, by name in the same call; none or several are told."""
    via = team.serve()
    (first,) = team.hand(via).tasks
    tasks = team.handing().hand([request("b", needs=("a",)), request("c", needs=("b", first.key.hex()))], (via,)).tasks
    with team.home.reading():
        records = [team.home.board.find_record(task.key) for task in tasks]
    assert [record and record.spec.needs for record in records] == [
        (first.key,),
        tuple(sorted((first.key, tasks[0].key))),
    ]
    with pytest.raises(TaskNotFoundError):
        team.hand(via, task_id="d", needs=("nothing",))
    for workflow in ("x", "y"):
        spec = replace(request("twice").spec, workflow_id=workflow)
        team.handing().hand([SubmitRequest(spec)], (via,))
    with pytest.raises(AmbiguousTaskError):
        team.hand(via, task_id="d", needs=("twice",))


def test_the_first_place_that_takes_it_is_enough(team: Team, tmp_path: Path) -> None:
    """What does not answer is told and passed over; where none answers, nothing is lost and the code is for that."""
    via = team.serve()
    handed = team.hand(NOWHERE, via)
    assert handed.via == via.place
    assert "127.0.0.1:1 cannot be reached" in handed.faults[0]
    with pytest.raises(NobodyTookItError, match="nobody took the task"):
        team.hand(NOWHERE, NOWHERE)
    with pytest.raises(NobodyTookItError, match="names no URL"):
        team.hand()
    other = Team(tmp_path / "other")
    with pytest.raises(NobodyTookItError, match="ledger"):
        team.hand(other.serve())
    other.close()


def test_a_key_that_is_out_is_told_so(team: Team) -> None:
    """A revoked key is not let in; under its old grant a key that was admitted anew achieves nothing, and is told."""
    via = team.serve()
    team.home.append(team.owner, (Revoke(team.grant, team.ci.actor, ()),))
    with pytest.raises(NotServedError):
        team.hand(via)
    team.home.append(team.owner, (Admit(team.ci.actor, ("submitter",), "ci"),))
    with pytest.raises(NotTakenError, match="does not count"):
        team.hand(via)


def test_a_clock_that_is_ahead_is_told(team: Team) -> None:
    """The peer holds the event; that is no success."""
    team.offset_ms = 600_000
    with pytest.raises(NotTakenError, match="clock here is ahead"):
        team.hand(team.serve())


def test_a_peer_that_does_not_know_the_grant_has_not_taken_it(team: Team, tmp_path: Path) -> None:
    """What waits there is not accepted. Such a peer would not let the key in, unless all are."""
    with Home.enter(tmp_path / "new", team.token().genesis_block) as behind:
        key = behind.keys.generate("server")
        with HomeServer(behind.folder, key) as server, pytest.raises(NotServedError):
            team.hand(Via("http", f"http://127.0.0.1:{server.port}"))


def test_an_open_ledger_needs_no_grant(tmp_path: Path) -> None:
    """Where anybody may submit, the genesis is the grant."""
    team = Team(tmp_path, Policy(admission=Admission.OPEN))
    token = replace(team.token(), grant_block=None)
    handing = Handing(token, SigningKey.from_seed(bytes(32)), team.home.now_ms)
    assert handing.hand([request()], (team.serve(),)).tasks[0].created
    team.close()


# ---- files


def test_a_file_is_imported_and_grows(team: Team, tmp_path: Path) -> None:
    """A CAR that somebody imports; more tasks go into the same file, the same task does not stand there twice."""
    path = tmp_path / "tasks.car"
    via, data = parse_via(f"file:{path}"), os.urandom(9_000)
    (first,) = team.hand(via, payload=data).tasks
    (again,) = team.hand(via, payload=data).tasks
    assert (first.created, again.created, again.event) == (True, False, first.event)
    handed = team.hand(via, task_id="b", needs=("a",))
    assert handed.how is How.WRITTEN
    with path.open("rb") as stream:
        report = import_car(replica_of(team.home), stream, team.home.now_ms())
    assert (report.taken.accepted, report.taken.blobs, report.absent_roots) == (2, 1, [])
    with team.home.reading():
        record = team.home.board.find_record(handed.tasks[0].key)
    assert record is not None
    assert record.spec.needs == (first.key,)


def test_a_file_of_something_else_is_left_alone(team: Team, tmp_path: Path) -> None:
    """What is no CAR, or of another ledger, is not written over."""
    path = tmp_path / "x.car"
    other = Team(tmp_path / "other")
    other.hand(parse_via(f"file:{path}"))
    other.close()
    for content in (path.read_bytes(), b"something", path.read_bytes()[:-2]):
        path.write_bytes(content)
        with pytest.raises(NobodyTookItError):
            team.hand(parse_via(f"file:{path}"))
        assert path.read_bytes() == content


@pytest.mark.parametrize("text", ["", "ftp://x", "file:x.txt", "kubo:", "kubo:5001", "http://", "x.car"])
def test_what_is_no_place_is_told(text: str) -> None:
    """A place is a URL, a node's RPC, or a CAR."""
    with pytest.raises(ViaError):
        parse_via(text)


# ---- waiting


def test_who_waits_is_told_when_it_is_done(team: Team) -> None:
    """Waiting ends with the task, by a peer that is asked once again after each change; and after its time."""
    via = team.serve()
    (one,) = team.hand(via).tasks

    def waiting(*places: str) -> Waiting:
        def opener(url: str) -> HttpCarrier:
            return HttpCarrier(url, team.home.ledger, team.ci)

        opened = [lambda url=url: opener(url) for url in places]
        return Waiting(team.home.ledger, team.home.genesis, one.key, opened, team.home.now_ms)

    began = time.monotonic()
    with pytest.raises(WaitedError, match="is ready when the time to wait is over"):
        waiting(via.place).until_settled(0.3)
    assert time.monotonic() - began < 5
    complete(team.home, team.owner, one.key)
    found = waiting(NOWHERE.place, via.place).until_settled(10)
    assert found.status is Status.DONE
    with pytest.raises(WaitedError):
        waiting(NOWHERE.place).until_settled(0.2)


def test_urls_are_asked_before_nodes(team: Team) -> None:
    """Each URL and each node once, a node by all its addresses; a file, and what is no address, is nobody."""
    one, two = "12D3KooWpeerpeerpeerpeer", "12D3KooWotherotherother"
    nodes = (f"/ip4/192.0.2.1/tcp/1/p2p/{one}", "nonsense", f"/p2p/{two}", f"/ip6/::1/tcp/1/p2p/{one}", "http://x")
    token = replace(team.token(), urls=(NOWHERE.place, "http://127.0.0.1:2"), nodes=nodes)
    assert node_peers(token) == (NodePeer(one, (nodes[0], nodes[3])), NodePeer(two, (nodes[2],)))
    vias = [parse_via(text) for text in ("kubo:http://127.0.0.1:3", "file:x.car", "http://127.0.0.1:1")]
    urls = []
    faults = []
    for place in places(token, team.ci, vias):
        try:
            with place() as carrier:
                assert isinstance(carrier, HttpCarrier)
                urls.append(carrier.url)
        except UnreachableError as error:
            faults.append(str(error))
    assert urls == list(token.urls)
    assert [fault.partition(": ")[0] for fault in faults] == [
        f"{address} through the IPFS node http://127.0.0.1:3" for address in (nodes[0], nodes[2])
    ]
    assert places(token, team.ci, vias[1:2]) != []
    assert places(team.token(), team.ci, vias[:2]) == []
