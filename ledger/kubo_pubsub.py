"""Hearing a topic of a Kubo node: an answer without an end, which another thread can end.

ipfshttpclient's own subscription decodes what Kubo has not sent for years, and its stream cannot be ended while it
waits. Topics and data are multibase base64url (`u…`); `from` is the peer id in base58. Leaves out what the messages say
(ledger.hints).

Source: the Kubo RPC reference, pubsub/sub; multibase.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote

from ledger.bounded_socket import BoundedSocket, Bounds, bounded
from ledger.kubo_errors import KuboError, KuboNotRunningError, KuboRefusedError, KuboTimeoutError

MESSAGE_BYTES_MAX: Final = 64 * 1024
"""Largest message that is handed on, in bytes; larger ones are passed over."""
_LINE_BYTES_MAX: Final = 4 * MESSAGE_BYTES_MAX
_BEGIN_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Message:
    """What came: from which node (its peer id, which pubsub has authenticated), and the data."""

    sender: str
    data: bytes


class Subscription:
    """The messages of a topic, to be iterated once, from when it was made on; `close` ends it from any thread.

    Iterating ends after `close`; it raises KuboNotRunningError where the node ends it.
    """

    def __init__(self, host: str, port: int, token: str | None, topic: str, *, timeout_s: float) -> None:
        self._address = f"{host}:{port}"
        self._is_closed = False
        self._connection = _Connection(host, port, timeout=timeout_s)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        bounds = Bounds(timeout_s, _BEGIN_BYTES_MAX)
        try:
            with bounded(bounds):
                self._connection.request(
                    "POST", f"/api/v0/pubsub/sub?arg={quote(encode_topic(topic))}", headers=headers
                )
                # The answer begins once the node is subscribed.
                self._answer = self._connection.getresponse()
                if self._answer.status != http.client.OK:
                    said = self._answer.read(4096).decode(errors="replace").strip()
                    raise KuboRefusedError(
                        f"the IPFS node {self._address} does not subscribe ({self._answer.status}): {said}"
                    )
            self._socket: socket.socket = self._connection.sock
            self._socket.settimeout(None)  # silence is no fault
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # but a machine that is gone is one
        except OSError as error:
            self._connection.close()
            if bounds.is_late:
                raise KuboTimeoutError(f"the IPFS node {self._address} does not subscribe in {timeout_s:g} s") from None
            raise KuboNotRunningError(f"no IPFS node answers at {self._address}: {error}") from None
        except http.client.HTTPException as error:
            self._connection.close()
            raise KuboError(f"what answers at {self._address} is no Kubo node: {type(error).__name__}") from None
        except KuboError:
            self._connection.close()
            raise

    def __iter__(self) -> Iterator[Message]:
        while True:
            try:
                line = self._answer.readline(_LINE_BYTES_MAX)
            except (
                OSError,
                ValueError,
                http.client.HTTPException,
                AttributeError,
            ):  # the last where it is closed meanwhile
                line = b""
            if self._is_closed:
                return
            if not line:
                raise KuboNotRunningError(f"the IPFS node {self._address} has ended the subscription")
            message = _read(line)
            if message is not None and len(message.data) <= MESSAGE_BYTES_MAX:
                yield message

    def close(self) -> None:
        """End the subscription."""
        self._is_closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Connection(http.client.HTTPConnection):
    """A connection on which the beginning of the answer is bounded, too."""

    def connect(self) -> None:
        super().connect()
        self.sock = BoundedSocket.take(self.sock)


def encode_topic(topic: str) -> str:
    """Return a topic as Kubo's RPC takes it: multibase base64url without padding."""
    return "u" + base64.urlsafe_b64encode(topic.encode()).decode("ascii").rstrip("=")


def _read(line: bytes) -> Message | None:
    """Return the message of a line; None for what is none."""
    try:
        fields = json.loads(line)
        data = str(fields["data"])
        if not data.startswith("u"):
            return None
        return Message(str(fields["from"]), base64.urlsafe_b64decode(data[1:] + "=" * (-len(data[1:]) % 4)))
    except (ValueError, KeyError, TypeError):
        return None
