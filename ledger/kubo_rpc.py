"""One call of a Kubo node's RPC, over ipfshttpclient, bounded in time and size.

ipfshttpclient 0.7.0 is the last of its line, and much of it does not fit the Kubo of today: connecting refuses every
version since 0.8, swarm and pubsub are broken, its streams are not bounded. What works is its transport, and that is
all that is used: `request` takes any command of the RPC. The rest is here: a deadline for the whole call, a limit for the
answer, and errors told apart (ledger.kubo_errors). Leaves out what is called (ledger.kubo).

Source: the Kubo RPC reference (v0); an answer of 500 is an error in JSON, which may also come after part of the answer.
"""

from __future__ import annotations

import json
import re
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from ledger.kubo_errors import (
    KuboError,
    KuboNotFoundError,
    KuboNotRunningError,
    KuboRefusedError,
    KuboTimeoutError,
    KuboTooLargeError,
)

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Most bytes of an answer, unless the caller expects more."""
CONNECT_S: Final = 5.0
_JSON_ERROR: Final = b'"Type":"error"'
_NOT_FOUND: Final = re.compile(
    r"not found|could not find|no key (by|named)|could not resolve name|block was not found|no link named|not pinned",
    re.IGNORECASE,
)
_TIMEOUT: Final = re.compile(r"deadline exceeded|timed? ?out", re.IGNORECASE)
_TOO_LARGE: Final = re.compile(r"too big|exceeds|produced block is over|larger than", re.IGNORECASE)

Options = Mapping[str, str]


class KuboRpc:
    """The RPC of one node. Threads may share it: each has a connection of its own.

    Args:
        address: where the RPC listens, as a multiaddr: `/ip4/127.0.0.1/tcp/5001`.
        token: what `API.Authorizations` asks for, the secret of a bearer; None where it asks for nothing.
        timeout_s: how long a call may take in all, unless the call says otherwise.
    """

    def __init__(self, address: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._mine = threading.local()
        self._clients: list[Any] = []
        self._turn = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        with self._turn:
            clients, self._clients = self._clients, []
        for client in clients:
            client.close()
        self._mine = threading.local()

    def call(
        self,
        command: str,
        *arguments: str,
        options: Options | None = None,
        body: Iterable[bytes] | None = None,
        timeout_s: float | None = None,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> bytes:
        """Return the whole answer to `command`; raise KuboError as its kinds say.

        `body` is sent as the one file of a multipart form, in pieces as it comes.
        """
        with self.stream(command, *arguments, options=options, body=body, timeout_s=timeout_s) as pieces:
            found = bytearray()
            for piece in pieces:
                found += piece
                if len(found) > bytes_max:
                    raise KuboTooLargeError(f"{self._what(command)} answers with more than {bytes_max:,} bytes")
        if _JSON_ERROR in found[-4096:]:  # an error that came after part of the answer
            for line in reversed(found.splitlines()):
                with suppress(ValueError):
                    said = json.loads(line)
                    if isinstance(said, dict) and said.get("Type") == "error":
                        raise self._refusal(command, str(said.get("Message", "")))
        return bytes(found)

    def ask(
        self, command: str, *arguments: str, options: Options | None = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Return the answer to `command` as the JSON object it is, {} for an empty one."""
        answer = self.call(command, *arguments, options=options, timeout_s=timeout_s).strip()
        try:
            found = json.loads(answer) if answer else {}
        except ValueError:
            raise KuboError(f"{self._what(command)} answers with no JSON: is this the RPC of a Kubo node?") from None
        if not isinstance(found, dict):
            raise KuboError(f"{self._what(command)} answers with something else than an object")
        return found

    @contextmanager
    def stream(
        self,
        command: str,
        *arguments: str,
        options: Options | None = None,
        body: Iterable[bytes] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Iterator[bytes]]:
        """Yield the answer's bytes as they come."""
        limit = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit
        data, headers = (None, None) if body is None else _as_form(body)
        with self._errors(command, limit):
            answer = self._client()._client.request(  # noqa: SLF001  # its public commands are those that are broken
                f"/{command}",
                list(arguments),
                opts=dict(options or {}),  # it changes what it is given
                decoder="none",
                stream=True,
                data=data,
                headers=headers,
                timeout=(min(CONNECT_S, limit), limit),
            )
        try:

            def pieces() -> Iterator[bytes]:
                with self._errors(command, limit):
                    for piece in answer:
                        yield piece
                        if time.monotonic() > deadline:
                            raise KuboTimeoutError(f"{self._what(command)} is not through after {limit:.0f} s")

            yield pieces()
        finally:
            answer.close()

    def _client(self) -> Any:
        client = getattr(self._mine, "client", None)
        if client is None:
            import ipfshttpclient  # noqa: PLC0415  # takes 300 ms, and most commands need no node

            # It asks urllib3 2 for what only Python 2 needed, which is told to whoever reads stderr.
            warnings.filterwarnings("ignore", "The 'strict' parameter", FutureWarning)

            # Not `connect`, which asks for the version and refuses each since 0.8.
            client = ipfshttpclient.Client(self.address, session=True, headers=self._headers)
            # A node on this machine is never behind a proxy, nor is its secret looked up in a .netrc.
            client._client._session.trust_env = False  # noqa: SLF001  # no option leads there
            self._mine.client = client
            with self._turn:
                self._clients.append(client)
        return client

    def _what(self, command: str) -> str:
        return f"{command} at the IPFS node {self.address}"

    @contextmanager
    def _errors(self, command: str, limit_s: float) -> Iterator[None]:
        import ipfshttpclient.exceptions as theirs  # noqa: PLC0415  # as above
        import requests  # noqa: PLC0415  # as above

        what = self._what(command)
        try:
            yield
        except (theirs.TimeoutError, requests.Timeout):
            raise KuboTimeoutError(f"{what}: no answer within {limit_s:.0f} s") from None
        except theirs.ErrorResponse as error:
            raise self._refusal(command, str(error.args[0] if error.args else error)) from None
        except theirs.StatusError as error:
            status = getattr(getattr(error.original, "response", None), "status_code", None)
            if status in (401, 403):
                raise KuboRefusedError(f"{what} is not allowed with this token ({status})") from None
            raise KuboRefusedError(f"{what} is refused with status {status}") from None
        except theirs.ConnectionError as error:
            if "Read timed out" in str(error):
                raise KuboTimeoutError(f"{what}: no answer within {limit_s:.0f} s") from None
            raise KuboNotRunningError(
                f"no IPFS node answers at {self.address}: start it with `p2p-workflow ipfs start`"
            ) from None
        except (requests.RequestException, theirs.CommunicationError) as error:
            if "Read timed out" in str(error):
                raise KuboTimeoutError(f"{what}: no answer within {limit_s:.0f} s") from None
            raise KuboNotRunningError(f"{what} was broken off: the node has stopped, or is no Kubo node") from None

    def _refusal(self, command: str, message: str) -> KuboError:
        """Return the error for what the node says."""
        kind: type[KuboError] = KuboRefusedError
        for pattern, found in (
            (_NOT_FOUND, KuboNotFoundError),
            (_TIMEOUT, KuboTimeoutError),
            (_TOO_LARGE, KuboTooLargeError),
        ):
            if pattern.search(message):
                kind = found
                break
        return kind(f"{self._what(command)}: {message}")


def _as_form(body: Iterable[bytes]) -> tuple[Iterator[bytes], dict[str, str]]:
    """Return `body` as a multipart form with one file, and its header: what Kubo takes files by."""
    mark = "p2p-workflow-form-4f1c7a1e9b6d48c2"

    def form() -> Iterator[bytes]:
        yield (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="blocks"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        yield from body
        yield f"\r\n--{mark}--\r\n".encode()

    return form(), {"Content-Type": f"multipart/form-data; boundary={mark}"}
