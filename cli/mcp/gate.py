"""The door as ASGI: a request that is not wanted is answered here and goes no further; a slow body is cut off.

Order: Host and Origin, then what browsers ask beforehand (CORS, for allowed origins only), then the token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Final

import anyio
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.mcp.door import Door, Turned

BODY_S: Final = 30.0
"""How long the body of a request may take to arrive."""


def guarded(app: ASGIApp, door: Door, pages: Iterable[str]) -> ASGIApp:
    """Return `app` behind a door; `pages` are the origins that browsers are told of."""
    inner: ASGIApp = _TokenGate(_Posts(app), door)
    listed = list(pages)
    if listed:
        inner = CORSMiddleware(inner, allow_origins=listed, allow_methods=["POST"], allow_headers=["*"])
    return _PlaceGate(inner, door)


class _PlaceGate:
    """Turns away by Host and Origin."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turned = self._door.turns_away(scope["headers"]) if scope["type"] == "http" else None
        await (self._app(scope, receive, send) if turned is None else _answer(send, turned))


class _TokenGate:
    """Turns away without the token."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turned = self._door.lacks_token(scope["headers"]) if scope["type"] == "http" else None
        await (self._app(scope, receive, send) if turned is None else _answer(send, turned))


class _Posts:
    """Lets POSTs in, whose body comes in time: no session is kept here, so there is nothing to GET or DELETE."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] != "POST":
            await _answer(send, Turned(405, "POST is wanted: this server keeps no sessions and pushes nothing"))
            return
        until, is_whole, has_begun = time.monotonic() + BODY_S, False, False

        async def receive_in_time() -> Message:
            nonlocal is_whole
            if is_whole:
                return await receive()
            with anyio.fail_after(max(0.0, until - time.monotonic())):
                message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive_in_time, send_noted)
        except TimeoutError:
            if has_begun or is_whole:
                raise
            await _answer(send, Turned(408, f"the body took longer than {BODY_S:.0f} s"))


async def _answer(send: Send, turned: Turned) -> None:
    body = json.dumps({"error": turned.words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if turned.challenge is not None:
        headers.append((b"www-authenticate", turned.challenge.encode()))
    if turned.status == 405:
        headers.append((b"allow", b"POST"))
    headers.append((b"connection", b"close"))  # whatever else it has to say is not read
    await send({"type": "http.response.start", "status": turned.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
