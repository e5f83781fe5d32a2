"""Places to hand a submit to, as people write them: a peer's URL, a node's RPC, a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ledger.kubo import split_address
from scheduler.endpoints import EndpointError, parse_endpoint

_URL: Final = re.compile(r"https?://")


class ViaError(ValueError):
    """The text names no place to hand a submit to: a URL, kubo:RPC or file:PATH.car is wanted."""


@dataclass(frozen=True, slots=True)
class Via:
    """A place to hand over to: `kind` is http, kubo or file; `place` a URL, an RPC address, or a path."""

    kind: str
    place: str

    def __str__(self) -> str:
        return self.place if self.kind == "http" else f"{self.kind}:{self.place}"


def parse_via(text: str) -> Via:
    """Return the place that `text` names; raise ViaError for anything else."""
    if _URL.match(text):
        try:
            return Via("http", parse_endpoint(text).address)
        except EndpointError as error:
            raise ViaError(str(error)) from None
    kind, colon, place = text.partition(":")
    if kind == "kubo" and colon:
        try:
            split_address(place)
        except ValueError as error:
            raise ViaError(str(error)) from None
        return Via(kind, place)
    if kind == "file" and place.endswith(".car"):
        return Via(kind, place)
    raise ViaError(f"{text!r} is no place to hand a submit to: http://HOST:PORT, kubo:RPC-URL or file:PATH.car")
