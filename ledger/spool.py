"""Blocks on their way, in a temporary file, by CID: memory holds where each stands, and none of its bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ledger.cid import Cid


class Spool:
    """A bag of blocks that is gone when it is closed. What is put is believed to hash to its CID."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._places: dict[Cid, tuple[int, int]] = {}
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop all of it."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, cid: Cid) -> bool:
        return cid in self._places

    def __iter__(self) -> Iterator[Cid]:
        return iter(self._places)

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep a block; one that is here already stays as it is."""
        if cid in self._places:
            return
        self._file.seek(self._end)
        self._file.write(block)
        self._places[cid] = self._end, len(block)
        self._end += len(block)

    def get(self, cid: Cid) -> bytes:
        """Return a block; raise KeyError where it is not here."""
        place, length = self._places[cid]
        self._file.seek(place)
        return self._file.read(length)
