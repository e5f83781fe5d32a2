"""One call of a Kubo node's RPC, over ipfshttpclient, bounded in time and size.

ipfshttpclient 0.7.0 is the last of its line, and much of it does not fit the Kubo of today: connecting refuses every
version since 0.8, swarm and pubsub are broken, nothing it does is bounded. What works is its `request`, which takes any
command of the RPC, and that is all that is used. The rest is here: a deadline and a size for the whole call
(ledger.bounded_socket, under its session), and errors told apart (ledger.kubo_errors). Leaves out what is called
(ledger.kubo).

Source: the Kubo RPC reference (v0); an answer of 500 is an error in JSON, which may also come after part of the answer.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from ledger.bounded_socket import Bounds, bounded
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
    """The RPC of one node. Threads may share it: each call has a connection to itself.

    Args:
        address: where the RPC listens, as a multiaddr: `/ip4/127.0.0.1/tcp/5001`.
        token: what `API.Authorizations` asks for, the secret of a bearer; None where it asks for nothing.
        timeout_s: how long a call may take in all, unless the call says otherwise.
    """

    def __init__(self, address: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client: Any = None
        self._turn = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        with self._turn:
            client, self._client = self._client, None
        if client is not None:
            client.close()

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
        bounds = Bounds(self.timeout_s if timeout_s is None else timeout_s, bytes_max)
        data, headers = (None, None) if body is None else _as_form(body)
        with self._errors(command, bounds), bounded(bounds):
            found: bytes = self._requests().request(
                f"/{command}",
                list(arguments),
                opts=dict(options or {}),  # it changes what it is given
                decoder="none",
                data=data,
                headers=headers,
                timeout=(min(CONNECT_S, bounds.seconds), bounds.seconds),
            )
        if len(found) > bytes_max:
            raise self._too_large(command, bounds)
        if _JSON_ERROR in found[-4096:]:  # an error that came after part of the answer
            for line in reversed(found.splitlines()):
                with suppress(ValueError):
                    said = json.loads(line)
                    if isinstance(said, dict) and said.get("Type") == "error":
                        raise self._refusal(command, str(said.get("Message", "")))
        return found

    def ask(
        self, command: str, *arguments: str, options: Options | None = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Return the answer to `command` as the JSON object it is, {} for an empty one."""
        answer = self.call(command, *arguments, options=options, timeout_s=timeout_s).strip()
        try:
            found = json.loads(answer) if answer else {}
        except (ValueError, RecursionError):
            raise KuboError(f"{self._what(command)} answers with no JSON: is this the RPC of a Kubo node?") from None
        if not isinstance(found, dict):
            raise KuboError(f"{self._what(command)} answers with something else than an object")
        return found

    def _requests(self) -> Any:
        """Return what makes requests."""
        with self._turn:
            if self._client is None:
                import ipfshttpclient  # noqa: PLC0415  # takes 300 ms, and most commands need no node

                from ledger.kubo_session import new_session  # noqa: PLC0415  # as above

                # Not `connect`, which asks for the version and refuses each since 0.8.
                self._client = ipfshttpclient.Client(self.address)
                self._client._client._session = new_session(self._headers)  # noqa: SLF001  # no option leads there
            return self._client._client  # noqa: SLF001  # its public commands are those that are broken

    def _what(self, command: str) -> str:
        return f"{command} at the IPFS node {self.address}"

    @contextmanager
    def _errors(self, command: str, bounds: Bounds) -> Iterator[None]:
        import ipfshttpclient.exceptions as theirs  # noqa: PLC0415  # as above
        import requests  # noqa: PLC0415  # as above

        what = self._what(command)
        try:
            yield
        except theirs.ErrorResponse as error:
            raise self._refusal(command, str(error.args[0] if error.args else error)) from None
        except (theirs.Error, requests.RequestException, OSError) as error:
            if bounds.is_over:
                raise self._too_large(command, bounds) from None
            if bounds.is_late or isinstance(error, theirs.TimeoutError | requests.Timeout):
                raise KuboTimeoutError(f"{what}: no answer within {bounds.seconds:g} s") from None
            if isinstance(error, theirs.StatusError):
                status = getattr(getattr(error.original, "response", None), "status_code", None)
                if status in (401, 403):
                    raise KuboRefusedError(f"{what} is not allowed with this token ({status})") from None
                raise KuboRefusedError(f"{what} is refused with status {status}") from None
            if isinstance(error, theirs.ConnectionError):
                raise KuboNotRunningError(
                    f"no IPFS node answers at {self.address}: start it; "
                    "`p2p-workflow ipfs start` does that for the one of a home"
                ) from None
            raise KuboNotRunningError(f"{what} was broken off: the node has stopped, or is no Kubo node") from None

    def _too_large(self, command: str, bounds: Bounds) -> KuboTooLargeError:
        return KuboTooLargeError(f"{self._what(command)} answers with more than {bounds.bytes_max:,} bytes")

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
    mark = secrets.token_hex(24)  # nobody who writes blocks can know it and end the file with it

    def form() -> Iterator[bytes]:
        yield (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="blocks"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        yield from body
        yield f"\r\n--{mark}--\r\n".encode()

    return form(), {"Content-Type": f"multipart/form-data; boundary={mark}"}
