"""The message that opens an exchange, as bytes: a frontier to canonical DAG-CBOR and back.

Implements: specs/car.md, rule X6. Decoding is strict: what comes from others is exactly such a map or an error. Leaves
out what a frontier is made of and answered with (ledger.exchange), and whether its CIDs lead anywhere: nothing in it is
believed (X7).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from ledger.codec import CodecError, Limits, decode, encode
from ledger.exchange import SAMPLES_PER_HEIGHT, ExchangeError, Frontier
from ledger.schema import TIME_MAX, SchemaError, integer, keys_exactly, link, links

HEADS_MAX: Final = 16_384
SAMPLES_MAX: Final = SAMPLES_PER_HEIGHT * TIME_MAX.bit_length()
"""Most samples: eight for each power of two up to the greatest height."""
FRONTIER_BYTES_MAX: Final = 1024 * 1024
"""Largest frontier, in bytes; a link takes 41."""

_FIELDS: Final = frozenset({"v", "ledger", "heads", "samples"})
_LIMITS: Final = Limits(FRONTIER_BYTES_MAX, 2, 5 + HEADS_MAX + SAMPLES_MAX)


class FrontierError(ExchangeError):
    """The bytes are no frontier, so there is nothing to exchange; the message says what they break."""


def encode_frontier(frontier: Frontier) -> bytes:
    """Return the one byte string that says `frontier`; raise FrontierError where it could not be read back."""
    data = encode({"v": 1, "ledger": frontier.ledger, "heads": frontier.heads, "samples": frontier.samples})
    decode_frontier(data)
    return data


def decode_frontier(data: bytes) -> Frontier:
    """Return the frontier that `data` says; raise FrontierError for whatever `encode_frontier` would not have written.

    Heads are at least one, ascending and unique (C2); samples are as they come, each once.
    """
    try:
        fields = decode(data, limits=_LIMITS)
        if not isinstance(fields, Mapping):
            raise SchemaError("a map is wanted")
        keys_exactly(fields, _FIELDS)
        integer(fields, "v", 1, 1)
        frontier = Frontier(
            ledger=link(fields, "ledger"),
            heads=links(fields, "heads", HEADS_MAX, 1),
            samples=links(fields, "samples", SAMPLES_MAX),
        )
    except (CodecError, SchemaError) as error:
        raise FrontierError(f"no frontier: {error}") from error
    if any(a >= b for a, b in pairwise(frontier.heads)):
        raise FrontierError("no frontier: heads: ascending and unique links are wanted")
    if len(set(frontier.samples)) < len(frontier.samples):
        raise FrontierError("no frontier: samples: a link stands twice")
    return frontier
