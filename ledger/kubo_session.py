"""The HTTP session that ipfshttpclient is given instead of its own: bounded, direct, and without surprises.

Imports requests and urllib3, which takes 300 ms: import it where a node is asked, not before. Leaves out the calls
(ledger.kubo_rpc).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

import requests
import requests.adapters
import urllib3
import urllib3.connection

from ledger.bounded_socket import BoundedSocket, bounds_in_force
from ledger.kubo_errors import KuboError

CONNECTIONS_MAX: Final = 16
"""How many connections are kept for the next call; more threads than that open one for each call."""


class _Connection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return BoundedSocket.take(super()._new_conn())


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(requests.adapters.HTTPAdapter):
    """Carries a request over bounded sockets, and hands on no answer that is not one of a Kubo node."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=CONNECTIONS_MAX)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().send(request, *args, **kwargs)
        bounds, declared = bounds_in_force(), answer.headers.get("Content-Length", "0")
        if bounds is not None and declared.isdecimal() and int(declared) > bounds.bytes_max:
            answer.close()  # the standard library makes room for all of it before the first byte comes
            bounds.count(int(declared))
        strange = "redirects" if 300 <= answer.status_code < 400 else ""
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            strange = "compresses"  # a few bytes that become very many
        if strange:
            answer.close()
            raise KuboError(f"what answers at {request.url.partition('?')[0]} {strange}: it is no Kubo node")
        return answer


def new_session(headers: Mapping[str, str]) -> requests.Session:
    """Return a session that threads may share: plain HTTP, no proxy, no `.netrc`, no redirect."""
    session = requests.Session()
    session.trust_env = False
    session.headers.update({"Accept-Encoding": "identity", **headers})
    session.mount("http://", _Adapter())
    session.mount("https://", _Adapter())  # has no pool of that scheme
    return session
