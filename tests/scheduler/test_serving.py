"""Homes that exchange over HTTP: real servers, real sockets, members only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.relay import Relay
from ledger.carrier import MisbehaviourError, UnreachableError
from ledger.exchange import fetch_state, pull, sync_with
from ledger.exchange_client import HttpCarrier, NotServedError
from ledger.exchange_server import PATH
from ledger.keys import SigningKey, did_key
from ledger.operations import Admit, Revoke
from ledger.replica import ExchangeError
from scheduler import actions
from scheduler.home import Home
from scheduler.replica import replica_of
from scheduler.serving import HomeServer
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask


class Pair:
    """A home that serves, with its owner's key, and a member's home that asks."""

    def __init__(self, folder: Path) -> None:
        self.here = Home.found(folder / "here")
        self.owner = self.here.keys.load("owner")
        self.there = Home.enter(folder / "there", self.here.genesis.encode())
        self.member = self.there.keys.generate("bob")
        self.here.append(self.owner, (Admit(self.member.actor, ("submitter", "worker"), "bob"),))

    def submit(self, home: Home, key: SigningKey, count: int, name: str = "task") -> None:
        """Append `count` submits, an event each."""
        for number in range(count):
            actions.submit(home, key, actions.request_of(P2PTask(f"{name}-{number}", "w", "n", [WorkflowTag.P2P_ONLY])))

    def carrier(self, server: HomeServer, key: SigningKey | None) -> HttpCarrier:
        """Return a carrier to the server."""
        return HttpCarrier(f"http://127.0.0.1:{server.port}", self.here.ledger, key)

    def agree(self) -> bool:
        """Tell whether both have the same state root."""
        return self.here.state_root() == self.there.state_root()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Return two homes of one ledger."""
    both = Pair(tmp_path)
    with both.here, both.there:
        yield both


@pytest.fixture
def server(pair: Pair) -> Iterator[HomeServer]:
    """Return a server of the first home."""
    with HomeServer(pair.here.folder, pair.owner) as running:
        yield running


def test_a_member_pulls_and_pushes(pair: Pair, server: HomeServer) -> None:
    """Both ways in a few round trips, the challenge included; then one where heads are known."""
    pair.submit(pair.here, pair.owner, 5)
    with pair.carrier(server, pair.member) as carrier:
        replica = replica_of(pair.there)
        first = sync_with(replica, carrier, pair.there.now_ms)
        assert first.pulled.traffic.round_trips == 2  # one is refused with a challenge
        assert pair.agree()
        pair.submit(pair.there, pair.member, 3, "back")
        sync_with(replica, carrier, pair.there.now_ms)
        assert pair.agree()
        pair.submit(pair.here, pair.owner, 3, "more")
        assert pull(replica, carrier, pair.there.now_ms).traffic.round_trips == 1
        assert pair.agree()
        assert fetch_state(carrier, replica).state_root == pair.here.state_root()


def test_a_stranger_is_served_nothing(pair: Pair, server: HomeServer) -> None:
    """Without a member's key no request is answered, whichever."""
    pair.submit(pair.here, pair.owner, 1)
    for key in (None, SigningKey.generate()):
        with pair.carrier(server, key) as carrier:
            for path in ("state", "delta", "ranges", "want", "offer"):
                with pytest.raises(NotServedError), carrier.ask(path, b""):
                    pass
    assert pair.there.board.heads == (pair.there.ledger,)


def test_who_is_admitted_meanwhile_is_served_and_who_is_revoked_is_not(pair: Pair, server: HomeServer) -> None:
    """Membership is asked for each request, not each session."""
    late = SigningKey.generate()
    with pair.carrier(server, late) as carrier:
        with pytest.raises(NotServedError, match=did_key(late.actor)):
            fetch_state(carrier, replica_of(pair.there))
        granted = pair.here.append(pair.owner, (Admit(late.actor, ("worker",)),)).cid
        fetch_state(carrier, replica_of(pair.there))
        pair.here.append(pair.owner, (Revoke(granted, late.actor, ()),))
        with pytest.raises(NotServedError):
            fetch_state(carrier, replica_of(pair.there))


def test_a_public_ledger_is_read_by_everybody_and_written_by_members(pair: Pair) -> None:
    """`public` opens reading, not giving."""
    pair.submit(pair.here, pair.owner, 2)
    with HomeServer(pair.here.folder, pair.owner, public=True) as server, pair.carrier(server, None) as carrier:
        pull(replica_of(pair.there), carrier, pair.there.now_ms)
        assert pair.agree()
        with pytest.raises(NotServedError), carrier.ask("offer", b""):
            pass


@pytest.mark.usefixtures("pair")
def test_another_ledger_is_told_apart(server: HomeServer, tmp_path: Path) -> None:
    """Who dials the wrong ledger's server is told so, and signs nothing for it."""
    with Home.found(tmp_path / "other") as other:
        key = other.keys.load("owner")
        with (
            HttpCarrier(f"http://127.0.0.1:{server.port}", other.ledger, key) as carrier,
            pytest.raises(ExchangeError, match="has ledger"),
        ):
            pull(replica_of(other), carrier, other.now_ms)


def test_several_ask_at_once(pair: Pair, server: HomeServer, tmp_path: Path) -> None:
    """Twelve peers, more than the server has threads, catch up side by side while the home goes on writing."""
    pair.submit(pair.here, pair.owner, 30)
    failed: list[BaseException] = []
    roots: list[bytes] = []

    def catch_up(number: int) -> None:
        try:
            with Home.enter(tmp_path / f"peer-{number}", pair.here.genesis.encode()) as home:
                with pair.carrier(server, pair.member) as carrier:
                    pull(replica_of(home), carrier, home.now_ms)
                    done.wait(60)
                    pull(replica_of(home), carrier, home.now_ms)
                roots.append(home.state_root())
        except BaseException as error:  # noqa: BLE001  # told by the test's own thread
            failed.append(error)

    done = threading.Event()
    threads = [threading.Thread(target=catch_up, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    pair.submit(pair.here, pair.owner, 20, "meanwhile")
    done.set()
    for thread in threads:
        thread.join(120)
    assert not failed
    assert roots == [pair.here.state_root()] * 12


def test_a_line_that_breaks_loses_nothing_and_goes_on(pair: Pair, server: HomeServer) -> None:
    """What came before the line was cut stays; the next pull brings the rest, also over the same carrier."""
    pair.submit(pair.here, pair.owner, 20)
    with Relay(("127.0.0.1", server.port)) as relay:
        url = f"http://127.0.0.1:{relay.port}"
        with HttpCarrier(url, pair.here.ledger, pair.member) as carrier:
            pull(replica_of(pair.there), carrier, pair.there.now_ms)
            relay.cut()
            with pytest.raises(UnreachableError):
                pull(replica_of(pair.there), carrier, pair.there.now_ms)
            pair.submit(pair.here, pair.owner, 5, "later")
            relay.heal()
            pull(replica_of(pair.there), carrier, pair.there.now_ms)
    assert pair.agree()


def test_a_server_that_is_started_anew_is_answered_anew(pair: Pair) -> None:
    """Sessions and kept connections end with the server; its successor on the same port is asked as if nothing was."""
    with HomeServer(pair.here.folder, pair.owner) as first:
        port = first.port
        carrier = pair.carrier(first, pair.member)
        fetch_state(carrier, replica_of(pair.there))
    with pytest.raises(UnreachableError):
        fetch_state(carrier, replica_of(pair.there))
    with HomeServer(pair.here.folder, pair.owner, port=port), carrier:
        fetch_state(carrier, replica_of(pair.there))


# ---- what strangers send to a server


def _raw(port: int, data: bytes) -> bytes:
    """Send bytes and return the head of what comes back."""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        return line.recv(4096)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /p2pwf/v1/state", b"405"),
        ("POST /", b"404"),
        ("POST /p2pwf/v1/../state", b"401"),
        ("POST /p2pwf/v1/nothing", b"401"),
        ("NONSENSE", b"404"),
    ],
)
def test_a_strange_request_gets_a_short_answer(server: HomeServer, request_line: str, status: bytes) -> None:
    """Whatever the request, the answer is a status, and the server goes on."""
    answer = _raw(server.port, f"{request_line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] == status
    assert b"Traceback" not in answer


def test_a_body_that_is_too_large_is_not_read(server: HomeServer) -> None:
    """A body is refused by what it announces."""
    answer = _raw(
        server.port, b"POST " + PATH.encode() + b"offer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413")


def test_odd_authorizations_are_challenged(pair: Pair, server: HomeServer) -> None:
    """No header of any form breaks the server or lets anybody in."""
    for word in ("P2PWF-Proof !!!", "P2PWF-Proof oA", "P2PWF-Session", "Basic QTpC", "P2PWF-Session " + "x" * 5000):
        head = f"POST {PATH}state HTTP/1.1\r\nHost: x\r\nAuthorization: {word}\r\nContent-Length: 0\r\n\r\n"
        assert _raw(server.port, head.encode()).startswith(b"HTTP/1.1 401")
    with pair.carrier(server, pair.member) as carrier:
        fetch_state(carrier, replica_of(pair.there))


# ---- what strange servers send to a client


@contextmanager
def a_server(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Yield the URL of a server that answers each connection so, and is no peer."""
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                stack.callback(line.close)
                try:
                    line.recv(65_536)
                    answer(line)
                    line.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


_OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UnreachableError),
        (b"no http at all\r\n\r\n", UnreachableError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ExchangeError),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", ExchangeError),
        (b"HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nxyz", MisbehaviourError),
        (_OK + b"Content-Length: 100\r\n\r\n\0\0\0\x05sh", UnreachableError),
        (_OK + b"Content-Length: 4\r\n\r\n\xff\xff\xff\xff", MisbehaviourError),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", UnreachableError),
    ],
)
def test_what_is_no_peer_is_an_error_of_ours(pair: Pair, answer: bytes, error: type[ExchangeError]) -> None:
    """Nothing a strange server sends gets past as another library's exception, and nothing changes here."""
    with (
        a_server(lambda line: line.sendall(answer)) as url,
        HttpCarrier(url, pair.there.ledger, pair.member) as carrier,
        pytest.raises(error),
    ):
        pull(replica_of(pair.there), carrier, pair.there.now_ms)
    assert pair.there.board.heads == (pair.there.ledger,)


def test_a_url_that_is_none_is_refused(pair: Pair) -> None:
    """A mistyped URL is said to be one."""
    for url in ("127.0.0.1:80", "ftp://x", "http://", "http://x?y=z"):
        with pytest.raises(ValueError, match="no URL"):
            HttpCarrier(url, pair.there.ledger, None)
