"""Publishing to a real Kubo node, against the node's own import of the same blocks.

Implements: the publishing figure of benchmarks/README.md. Each round has a new node on loopback, so that neither side
finds blocks that are there already.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.chain import Chain
from ledger.car import write_car
from ledger.cid import Cid
from ledger.kubo import split_address
from ledger.network_tables import open_network
from scheduler.home import Home
from scheduler.published import publisher_of
from tests.support.kubo import Nodes

_BATCH: Final = 1_000
_FORM: Final = "benchmark-form"

Say = Callable[[str], None]


def measure(folder: Path, events: int, say: Say) -> tuple[float, float]:
    """Return the seconds that `publish_events` takes for a home of `events` events, and Kubo's for the same blocks."""
    say(f"making a home of {events:,} events to publish")
    chain = Chain()
    chain.grow(events - len(chain.blocks))
    with Home.enter(folder / "home", chain.genesis.encode()) as home:
        turn = iter(chain.blocks)
        while some := list(islice(turn, _BATCH)):
            with home.writing() as writing:
                writing.offer(some)
        say("publishing it, and importing the same blocks by Kubo alone")
        return _publish(folder, home, chain), _import(folder, chain)


def _publish(folder: Path, home: Home, chain: Chain) -> float:
    with Nodes(folder / "ours") as nodes, open_network(folder) as network:
        (node,) = nodes.start()
        client = nodes.client(node)
        publisher = publisher_of(home, network, client, chain.keys[0])
        client.identity()  # connected, as the other side is
        start = time.perf_counter()
        count = publisher.publish_events()
        seconds = time.perf_counter() - start
        if count != len(chain.blocks) or not client.has_block(chain.head):
            raise SystemExit("benchmark: not all events were published")
    return seconds


def _import(folder: Path, chain: Chain) -> float:
    stream = io.BytesIO()
    write_car(stream, (), ((Cid.of(block), block) for block in (chain.genesis.encode(), *chain.blocks)))
    head = f'--{_FORM}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
    body = head + stream.getvalue() + f"\r\n--{_FORM}--\r\n".encode()
    with Nodes(folder / "theirs") as nodes:
        (node,) = nodes.start()
        host, port = split_address(node.api)
        connection = http.client.HTTPConnection(host, port)
        token = (node.folder / "rpc.token").read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": f"multipart/form-data; boundary={_FORM}"}
        connection.connect()
        start = time.perf_counter()
        connection.request("POST", "/api/v0/dag/import?pin-roots=false&stats=true", body=body, headers=headers)
        answer = connection.getresponse().read()
        seconds = time.perf_counter() - start
        connection.close()
        if b'"BlockCount"' not in answer:
            raise SystemExit(f"benchmark: Kubo did not import: {answer[:200]!r}")
    return seconds
