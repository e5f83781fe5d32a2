"""Gateways as small real HTTP servers on loopback: an honest one, and others that differ from it in what they do.

A hostile one overrides `answer`, which writes what it likes to the socket. Every thread of a server ends with it.
"""

from __future__ import annotations

import gzip
import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from ledger.acceptance import Refusal, unsafe_signed
from ledger.car import write_car
from ledger.cid import Cid

_ENDLESS: Final = b"x" * 65_536
_BOMB: Final = gzip.compress(bytes(20_000_000))


@dataclass
class Request:
    """One request, and the socket to answer it on."""

    handler: BaseHTTPRequestHandler
    kind: str
    """block, car, record or name."""
    what: str
    """A CID, or an IPNS name."""
    server: Served

    def send(self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer in one piece."""
        self.handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.raw(body)

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def drip(self, data: bytes) -> None:
        """Write endlessly, a byte at a time, until the client or the test has enough."""
        while not self.server.over.wait(0.02):
            for byte in data:
                self.raw(bytes((byte,)))
                if self.server.over.wait(0.02):
                    return

    def pour(self) -> None:
        """Write endlessly, as fast as it goes."""
        while not self.server.over.is_set():
            self.raw(_ENDLESS)


class Honest:
    """Answers as a trustless gateway does, from `blocks`; names lead to CIDs by its word, or by `records`."""

    def __init__(self, blocks: Mapping[Cid, bytes], names: Mapping[str, Cid] | None = None) -> None:
        self.blocks = dict(blocks)
        self.names = dict(names or {})
        self.records: dict[str, bytes] = {}

    def answer(self, request: Request) -> None:
        """Answer one request."""
        if request.kind == "record":
            record = self.records.get(request.what)
            request.send(record or b"", status=500 if record is None else 200)
            return
        cid = self.names.get(request.what) if request.kind == "name" else Cid.parse(request.what)
        if cid is None or cid not in self.blocks:
            request.send(b"not found", status=404)
        elif request.kind == "car":
            request.send(self.car(cid))
        else:
            request.send(self.block(cid), headers={"X-Ipfs-Roots": str(cid)})

    def block(self, cid: Cid) -> bytes:
        """Return what is given for a block."""
        return self.blocks[cid]

    def car(self, root: Cid) -> bytes:
        """Return a CAR of what a root reaches, depth first."""
        out = io.BytesIO()
        write_car(out, [root], self.walk(root))
        return out.getvalue()

    def walk(self, root: Cid) -> Iterator[tuple[Cid, bytes]]:
        """Yield what a root reaches."""
        passed: set[Cid] = set()
        stack = [root]
        while stack:
            cid = stack.pop()
            if cid in passed or cid not in self.blocks:
                continue
            passed.add(cid)
            yield cid, self.blocks[cid]
            try:
                stack += reversed(unsafe_signed(self.blocks[cid]).event.links())
            except Refusal:
                continue


class WrongBytes(Honest):
    """Gives other bytes for everything, CARs included."""

    def block(self, cid: Cid) -> bytes:
        return self.blocks[cid][:-1] + b"!"

    def car(self, root: Cid) -> bytes:
        car = bytearray(super().car(root))
        for at in range(len(car) - 20, 200, -97):
            car[at] ^= 1
        return bytes(car)


class Truncated(Honest):
    """Breaks CARs off in the middle, and has no blocks one by one."""

    def answer(self, request: Request) -> None:
        if request.kind == "car":
            car = self.car(Cid.parse(request.what))
            request.send(car[: len(car) // 2])
        elif request.kind == "block":
            request.send(b"", status=404)
        else:
            super().answer(request)


class Endless(Honest):
    """Goes on for ever, with blocks as with CARs."""

    def answer(self, request: Request) -> None:
        request.handler.send_response(200)
        request.handler.end_headers()
        request.pour()


class EndlessHeaders(Honest):
    """Sends headers for ever, one byte now and then."""

    def answer(self, request: Request) -> None:
        request.raw(b"HTTP/1.1 200 OK\r\n")
        request.drip(b"X-More: and more\r\n")


class EndlessContinues(Honest):
    """Says `100 Continue` for ever, which no library counts."""

    def answer(self, request: Request) -> None:
        while not request.server.over.is_set():
            request.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 512)


class Redirect(Honest):
    """Sends everybody elsewhere."""

    def __init__(self, to: str) -> None:
        super().__init__({})
        self.to = to

    def answer(self, request: Request) -> None:
        request.send(b"", status=302, headers={"Location": f"{self.to}{request.handler.path}"})


class SlowDrip(Honest):
    """Sends what was asked for, a byte now and then."""

    def answer(self, request: Request) -> None:
        request.handler.send_response(200)
        request.handler.send_header("Content-Length", "1000000")
        request.handler.end_headers()
        request.drip(b"\x00")


class Silent(Honest):
    """Takes the connection and says nothing."""

    def answer(self, request: Request) -> None:
        request.server.over.wait()


class Unasked(Honest):
    """Puts many blocks nobody asked for into every CAR, and before what was asked for."""

    def walk(self, root: Cid) -> Iterator[tuple[Cid, bytes]]:
        for number in range(6_000):
            block = b"\xa1\x61n\x19" + number.to_bytes(2)
            yield Cid.of(block), block
        yield from super().walk(root)


class GzipBomb(Honest):
    """Says that its answer is packed."""

    def answer(self, request: Request) -> None:
        request.send(_BOMB, headers={"Content-Encoding": "gzip"})


class WrongLength(Honest):
    """Says a longer length than it sends, and closes."""

    def answer(self, request: Request) -> None:
        body = self.car(Cid.parse(request.what)) if request.kind == "car" else b"short"
        request.send(body[:-1], headers={"Content-Length": str(len(body) + 100_000)})
        request.handler.close_connection = True


class HugeLength(Honest):
    """Says a length beyond all bounds."""

    def answer(self, request: Request) -> None:
        request.send(b"", headers={"Content-Length": str(10**15)})


class Refusing(Honest):
    """Refuses everything."""

    def answer(self, request: Request) -> None:
        request.send(b"go away", status=403)


class Nonsense(Honest):
    """Does not speak HTTP."""

    def answer(self, request: Request) -> None:
        request.raw(b"SSH-2.0-OpenSSH\r\n" + bytes(100))
        request.handler.close_connection = True


@dataclass
class Served:
    """A server that runs: its address, how often it was asked, and the sign that it is over."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(gateway: Honest) -> Iterator[Served]:
    """Run a gateway on a free port of loopback."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served.requests.append(self.path)
            parts = urlsplit(self.path)
            _, space, what = parts.path.split("/", 2)
            form = parse_qs(parts.query).get("format", [""])[0]
            kind = {"raw": "block", "car": "car", "ipns-record": "record"}[form]
            if space == "ipns" and kind == "block":
                kind = "name"
            try:
                gateway.answer(Request(self, kind, what, served))
            except OSError:  # the client has had enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        served.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def took(started: float) -> float:
    """Return the seconds since `started`."""
    return time.monotonic() - started
