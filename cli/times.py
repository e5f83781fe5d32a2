"""Durations and times as people write them: `15m`, `1h30m`, `2026-01-31T12:00Z`.

The ledger counts milliseconds; these functions are the only place where the command line converts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class TimeTextError(ValueError):
    """The text is no duration or no time; the message says which forms are."""


def parse_duration(text: str) -> int:
    """Return the duration in ms that `text` writes: `90s`, `15m`, `1h30m`, `250ms`, `2d`; a bare number is seconds.

    Raises TimeTextError for anything else, and for less than a millisecond.
    """
    written = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", written):
        written += "s"
    parts = _PART.findall(written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        raise TimeTextError(f"{text!r} is no duration: write 90s, 15m, 1h30m, 2d or 250ms")
    total = round(sum(float(number) * _UNITS_MS[unit] for number, unit in parts))
    if total < 1:
        raise TimeTextError(f"{text!r} is less than a millisecond")
    return total


def parse_time(text: str, now_ms: int) -> int:
    """Return the time in ms since 1970 that `text` writes.

    Forms: ISO 8601 (UTC where it names no zone), `+15m` for a duration after `now_ms`, or a whole number of ms since
    1970. Raises TimeTextError for anything else.
    """
    written = text.strip()
    if written.startswith("+"):
        return now_ms + parse_duration(written[1:])
    if re.fullmatch(r"\d{12,16}", written):
        return int(written)
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        near = f"; did you mean +{written}?" if _is_duration(written) else ""
        raise TimeTextError(
            f"{text!r} is no time: write ISO 8601 such as 2026-01-31T12:00Z, +15m from now, or ms since 1970{near}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _is_duration(text: str) -> bool:
    try:
        parse_duration(text)
    except TimeTextError:
        return False
    return True


def render_duration(ms: int) -> str:
    """Return a duration in the largest units that write it exactly: `15m`, `1h30m`, `250ms`."""
    rest, parts = ms, ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS_MS[unit])
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"
