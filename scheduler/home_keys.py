"""The keys of a home for one who asks again and again: their files are read only now and then.

A file that holds no usable key is passed over: it must not keep the others from their work.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ledger.keyring import KeyringError
from ledger.keys import SigningKey
from scheduler.home import Home

READ_EVERY_MS: Final = 5_000


class HomeKeys:
    """The usable keys of a home, at most five seconds old."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._keys: dict[str, SigningKey] = {}
        self._read_ms = -READ_EVERY_MS

    def all(self) -> dict[str, SigningKey]:
        """Return the keys by name."""
        now_ms = self._home.now_ms()
        if abs(now_ms - self._read_ms) >= READ_EVERY_MS:
            self._read_ms, self._keys = now_ms, {}
            for name in self._home.keys.names():
                with suppress(KeyringError, OSError):
                    self._keys[name] = self._home.keys.load(name)
        return self._keys
