"""News: events that a peer has just signed, told on the ledger's topic itself, so that nobody has to ask for them.

Implements: specs/hints.md, rule H8. The events are signed, so the message needs no signature of its own; each is judged
like any block from anywhere. Leaves out whom a reader listens to and how often (ledger.hint_gate).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ledger.cid import Cid
from ledger.codec import DecodeError, Limits, decode, encode
from ledger.hints import HintError
from ledger.schema import SchemaError, choice, data, integer, items, keys_exactly, link

NEWS_BYTES_MAX: Final = 32_768
"""Largest message, in bytes; what is larger is left to a hint."""
EVENTS_MAX: Final = 16

_KIND: Final = "news"
_FIELDS: Final = frozenset(("v", "kind", "ledger", "events"))
_LIMITS: Final = Limits(NEWS_BYTES_MAX, 2, 16 + EVENTS_MAX)


def encode_news(ledger: Cid, blocks: Sequence[bytes]) -> bytes | None:
    """Return the message that tells `blocks`, each after what it links; None where they are too many or too large."""
    if not 1 <= len(blocks) <= EVENTS_MAX:
        return None
    message = encode({"v": 1, "kind": _KIND, "ledger": ledger, "events": list(blocks)})
    return message if len(message) <= NEWS_BYTES_MAX else None


def decode_news(message: bytes, ledger: Cid) -> list[bytes] | None:
    """Return the blocks in a message, None where it is of another kind; raise HintError (H8) for one that breaks it."""
    try:
        fields = decode(message, limits=_LIMITS)
        if not isinstance(fields, Mapping) or fields.get("kind") != _KIND:
            return None
        keys_exactly(fields, _FIELDS)
        integer(fields, "v", 1, 1)
        choice(fields, "kind", frozenset((_KIND,)))
        blocks = [data({"events": one}, "events") for one in items(fields, "events", EVENTS_MAX, 1)]
        of = link(fields, "ledger")
    except DecodeError:
        return None  # the hint's own rule says what is wrong with it
    except SchemaError as error:
        raise HintError("H8", str(error)) from None
    if of != ledger:
        raise HintError("H8", f"of ledger {of}, not of this one")
    return blocks
