"""Each thing we ask of a node, asked of a real one."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from ledger.car import write_car
from ledger.cid import CODEC_DAG_CBOR, Cid
from ledger.codec import encode
from ledger.kubo import KuboClient, split_address
from ledger.kubo_errors import (
    KuboError,
    KuboNotFoundError,
    KuboNotRunningError,
    KuboRefusedError,
    KuboTimeoutError,
    KuboTooLargeError,
)
from ledger.kubo_node import ManagedNode
from ledger.kubo_pubsub import MESSAGE_BYTES_MAX, Message
from tests.support.kubo import Nodes, meet_on, wait_for

Clients = tuple[KuboClient, KuboClient]


def some_blocks(name: str, count: int) -> dict[Cid, bytes]:
    """Return DAG-CBOR blocks by their CIDs, the same for the same name."""
    blocks = (encode({"name": name, "number": number}) for number in range(count))
    return {Cid.of(block): block for block in blocks}


def car_of(blocks: dict[Cid, bytes]) -> bytes:
    """Return blocks as a CAR without roots."""
    stream = io.BytesIO()
    write_car(stream, (), blocks.items())
    return stream.getvalue()


def test_a_node_says_who_it_is(client: KuboClient) -> None:
    """Peer id, addresses that end in it, version and settings."""
    identity = client.identity()
    assert all(address.endswith(f"/p2p/{identity.peer_id}") for address in identity.addresses)
    assert identity.addresses
    assert "/kubo/" in f"/{identity.agent}"
    assert client.version()[0].isdecimal()
    assert client.setting("Routing.Type") == "none"
    assert client.setting("No.Such.Setting") is None


def test_blocks_go_in_by_car_and_come_out(clients: Clients) -> None:
    """A CAR in pieces is imported, block by block each is there, and another node fetches it."""
    one, two = clients
    blocks = some_blocks("car", 500)
    car = car_of(blocks)
    assert one.import_car(car[at : at + 777] for at in range(0, len(car), 777)) == 500
    for cid in list(blocks)[::100]:
        assert one.get_block(cid, offline=True) == blocks[cid]
        assert not two.has_block(cid)
        assert two.get_block(cid, timeout_s=20) == blocks[cid]
    assert one.repo_size() > 0


def test_what_a_node_has_imported_survives_its_death(nodes: Nodes) -> None:
    """Blocks that `import_car` has answered for, and pinned ones, are there after kill −9."""
    (node,) = nodes.start()
    blocks = some_blocks("durable", 300)
    client = nodes.client(node)
    client.import_car((car_of(blocks),))
    pinned = client.put_block(b"pinned", pin=True)
    node.kill()
    node.start()
    assert all(client.has_block(cid) for cid in blocks)
    assert client.has_block(pinned)


def test_a_block_is_named_by_its_codec_and_kept_while_it_is_pinned(client: KuboClient) -> None:
    """Codecs make CIDs; a pinned block survives garbage collection and removal, one that is not does not."""
    raw, pinned = b"raw block", encode({"kept": True})
    assert client.put_block(raw) == Cid.of_raw(raw)
    assert client.put_block(pinned, codec=CODEC_DAG_CBOR, pin=True) == Cid.of(pinned)
    client.collect_garbage()
    assert not client.has_block(Cid.of_raw(raw))
    client.remove_blocks([Cid.of(pinned)])
    assert client.has_block(Cid.of(pinned))
    client.unpin(Cid.of(pinned))
    client.unpin(Cid.of(pinned))  # as often as one likes
    client.remove_blocks([Cid.of(pinned), Cid.of_raw(b"never there")])
    assert not client.has_block(Cid.of(pinned))


def test_paths_lead_along_links(client: KuboClient) -> None:
    """`dag get` follows a link by its name and place."""
    leaf = encode({"leaf": 1})
    top = encode({"links": [Cid.of(leaf)]})
    client.import_car((car_of({Cid.of(leaf): leaf, Cid.of(top): top}),))
    assert client.dag_get(f"{Cid.of(top)}/links/0") == {"leaf": 1}


def test_a_name_leads_other_nodes_to_the_latest(clients: Clients) -> None:
    """A key has one name; another node resolves it, and sees when it leads elsewhere."""
    one, two = clients
    first, second = some_blocks("named", 2)
    name = one.ensure_key("a ledger")
    assert one.ensure_key("a ledger") == name
    for cid in (first, second):
        assert one.publish_name("a ledger", cid, ttl_s=1) == name
        wait_for("the other node resolves the name", _resolves, two, name, cid)


def _resolves(client: KuboClient, name: str, cid: Cid) -> bool:
    try:
        return client.resolve_name(name, timeout_s=2) == cid
    except (KuboNotFoundError, KuboTimeoutError):
        return False


def test_what_is_said_on_a_topic_is_heard_with_its_sender(clients: Clients) -> None:
    """Any bytes arrive as they are, from the node that said them; another thread ends a subscription that waits."""
    one, two = clients
    heard: list[Message] = []
    with one.subscribe("a/topic") as mine, two.subscribe("a/topic") as theirs:
        thread = threading.Thread(target=lambda: heard.extend(theirs))
        thread.start()
        meet_on("a/topic", one, two)
        data = bytes(range(256))
        one.publish("a/topic", data)
        wait_for("the message arrives", lambda: heard)
        assert heard == [Message(one.identity().peer_id, data)]
        mine.close()
    thread.join(5)
    assert not thread.is_alive()
    one.reset_pubsub()
    with pytest.raises(KuboTooLargeError):
        one.publish("a/topic", b"0" * (MESSAGE_BYTES_MAX + 1))


def test_a_stream_carries_tcp_to_the_other_node(clients: Clients) -> None:
    """What is written to the forwarded port arrives at the listener's; asked again, it is the same port."""
    one, two = clients
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}"
        two.listen_streams("/p2pwf/test", "/ip4/127.0.0.1/tcp/1")
        two.listen_streams("/p2pwf/test", target)  # the later one counts
        port = one.forward_streams("/p2pwf/test", two.identity().peer_id)
        assert one.forward_streams("/p2pwf/test", two.identity().peer_id) == port
        with socket.create_connection(("127.0.0.1", port), 10) as near:
            near.sendall(b"through libp2p")
            far, _ = server.accept()
            with far:
                far.settimeout(10)
                assert far.recv(100) == b"through libp2p"
    one.close_streams("/p2pwf/test", two.identity().peer_id)
    two.close_streams("/p2pwf/test")
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_connected_nodes_are_listed_until_they_part(clients: Clients) -> None:
    """Connecting and parting show in the list."""
    one, two = clients
    there = two.identity()
    assert there.peer_id in {peer.peer_id for peer in one.connected()}
    one.disconnect(f"/p2p/{there.peer_id}")
    wait_for("they part", lambda: there.peer_id not in {peer.peer_id for peer in one.connected()})
    one.connect(there.addresses[0])
    assert there.peer_id in {peer.peer_id for peer in one.connected()}


# ---- what can go wrong


def test_errors_are_told_apart(client: KuboClient, pair: tuple[ManagedNode, ManagedNode]) -> None:
    """Not running, refused, not found, too large and timed out are errors of their own, each in one sentence."""
    lost = Cid.of_raw(b"nobody has this")
    cases: list[tuple[type[KuboError], Callable[[], object]]] = [
        (KuboNotRunningError, KuboClient("/ip4/127.0.0.1/tcp/1").identity),
        (KuboRefusedError, KuboClient(pair[0].api, "a wrong token").identity),
        (KuboRefusedError, KuboClient(pair[0].api).identity),  # no token at all: another user of this machine
        (KuboRefusedError, lambda: client.connect("/ip4/127.0.0.1/tcp/1/p2p/" + client.identity().peer_id)),
        (KuboRefusedError, lambda: KuboClient(pair[0].api).subscribe("a/topic")),
        (KuboNotFoundError, lambda: client.get_block(lost, offline=True)),
        (KuboTooLargeError, lambda: client.put_block(b"0" * 2_200_000)),
        (KuboTooLargeError, lambda: client.get_block(client.put_block(b"0" * 5_000), bytes_max=4_000)),
        (KuboTimeoutError, lambda: client.get_block(lost, timeout_s=0.5)),
        (KuboError, lambda: client.import_car((b"no car",))),
    ]
    for kind, ask in cases:
        with pytest.raises(kind) as found:
            ask()
        assert type(found.value) is kind or kind is KuboError
        assert "node" in str(found.value) or "IPFS" in str(found.value)


@contextmanager
def a_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Yield the address of a server that answers each connection so, and is no Kubo."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with closing(connection), _quiet():
                    connection.recv(65_536)
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def _quiet() -> Iterator[None]:
    try:
        yield
    except OSError:
        return


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def test_a_server_that_never_answers_costs_the_timeout() -> None:
    """Silence ends with the timeout."""
    over = threading.Event()

    def wait(_: socket.socket) -> None:
        over.wait(30)

    with a_server(wait) as address, KuboClient(address, timeout_s=0.3) as client:
        with pytest.raises(KuboTimeoutError):
            client.identity()
        over.set()


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
        (_OK + b"Content-Length: 999999999999\r\n\r\n", b"x" * 65_536),
        (_OK + b"\r\n", b"x" * 65_536),
        (_OK, b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
        (b"HTTP/1.1 500 No\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 500 No\r\n\r\n", b"x" * 65_536),
    ],
    ids=["chunked", "announced", "until closed", "headers", "error announced", "error"],
)
def test_a_server_that_answers_for_ever_costs_a_bounded_amount(begin: bytes, more: bytes) -> None:
    """An answer without an end, an error too, is cut off at its greatest size."""
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(begin)
        while True:
            connection.sendall(more)
            sent += len(more)

    with a_server(flood) as address, KuboClient(address) as client, pytest.raises(KuboError):
        client.identity()
    assert sent < 64 * 1024 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        _OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_no_answer_leads_elsewhere_or_grows(answer: bytes) -> None:
    """The secret is sent nowhere else, and no small answer becomes a large one."""
    with (
        a_server(lambda connection: connection.sendall(answer)) as address,
        KuboClient(address, "secret") as client,
        pytest.raises(KuboError, match="no Kubo node"),
    ):
        client.identity()


@pytest.mark.parametrize(
    "begin",
    [b"", _OK, _OK + b"Content-Length: 100000\r\n\r\n", _OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n"],
    ids=["status", "headers", "body", "chunk"],
)
def test_a_server_that_drips_costs_the_timeout(begin: bytes) -> None:
    """A byte now and then, in the headers, a body or a chunk, does not extend the deadline of the whole call."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(begin)
        while not over.wait(0.02):
            connection.sendall(b"x")

    with a_server(drip) as address, KuboClient(address, timeout_s=0.5) as client:
        started = time.monotonic()
        with pytest.raises(KuboTimeoutError):
            client.identity()
        assert time.monotonic() - started < 5
        over.set()


def test_a_subscription_begins_in_time_or_not_at_all() -> None:
    """A server that drips where the messages would begin costs the timeout."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not over.wait(0.02):
            connection.sendall(b"x")

    with a_server(drip) as address, KuboClient(address) as client:
        with pytest.raises(KuboTimeoutError):
            client.subscribe("a/topic", timeout_s=0.5)
        over.set()


def test_a_subscription_ends_with_its_node(nodes: Nodes) -> None:
    """Whoever listens learns that the node is gone."""
    (node,) = nodes.start()
    with nodes.client(node).subscribe("a/topic") as heard:
        node.kill()
        with pytest.raises(KuboNotRunningError):
            list(heard)


@pytest.mark.parametrize("form", ["/ip4/127.0.0.1/tcp/{}", "/dns4/localhost/tcp/{}", "http://127.0.0.1:{}"])
def test_an_address_has_several_forms(pair: tuple[ManagedNode, ManagedNode], form: str) -> None:
    """Multiaddr or URL, by number or by name."""
    token = (pair[0].folder / "rpc.token").read_text().strip()
    with KuboClient(form.format(pair[0].api.rpartition("/")[2]), token) as client:
        assert client.identity().peer_id == pair[0].peer_id


@pytest.mark.parametrize(
    "answer", [b"", b"no http\r\n\r\n", _OK + b"Content-Length: 2\r\n\r\n[]", _OK + b"Content-Length: 9\r\n\r\n{"]
)
def test_what_is_no_kubo_is_an_error_of_ours(answer: bytes) -> None:
    """Nothing a strange server says gets past as another library's exception."""
    with a_server(lambda connection: connection.sendall(answer)) as address, pytest.raises(KuboError):
        KuboClient(address, timeout_s=2).identity()


@pytest.mark.parametrize(
    "address",
    [
        "/ip4/127.0.0.1/tcp/x",
        "/ip4/127.0.0.1",
        "127.0.0.1:5001",
        "/unix/a/tcp/1",
        "/ip4/1.1.1.1/tcp/70000",
        "/ip4/::1/tcp/1",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """A mistyped address is no address."""
    with pytest.raises(ValueError, match=r"address|port"):
        split_address(address)
