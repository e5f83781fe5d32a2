"""Keeping claims alive while a process works on them: one thread, one event for all of them, at half the lease.

Implements: the renewals of specs/assignment.md (workers renew at half their lease). The thread has a home connection of
its own. It never ends by an error: it says what went wrong and tries again. Leaves out stopping the work of a claim
that was lost: the program's log and the board tell of it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import SigningKey
from scheduler.home import Home
from scheduler.settling import renew

_logger = logging.getLogger(__name__)

_RETRY_PARTS: Final = 8
"""After an error the next try comes an eighth of the lease later: three fit before a claim runs out."""


@dataclass(slots=True)
class _Held:
    """What the thread and its owner share. `due` is when to renew, by the monotonic clock in s."""

    lease_s: float
    claims: dict[TaskKey, Cid] = field(default_factory=dict)
    due: float | None = None
    closed: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self) -> dict[TaskKey, Cid] | None:
        """Return the claims to renew, once it is time; None once the owner has closed."""
        with self.changed:
            while not self.closed:
                left = None if self.due is None else self.due - time.monotonic()
                if left is not None and left <= 0:
                    return dict(self.claims)
                self.changed.wait(left)
            return None

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def next_in(self, seconds: float) -> None:
        with self.changed:
            self.due = time.monotonic() + seconds if self.claims else None

    def forget(self, lost: dict[TaskKey, Cid]) -> None:
        with self.changed:
            for task, claim in lost.items():
                if self.claims.get(task) == claim:
                    del self.claims[task]


class Renewer:
    """Renew the claims of `key` that it is told of, until they are dropped, lost, or it is closed.

    Args:
        folder: the home.
        key: who holds the claims.
        lease_ms: how long each renewal lets them run.
    """

    def __init__(self, folder: Path, key: SigningKey, lease_ms: int) -> None:
        self._held = _Held(lease_ms / 1000)
        self._arguments = (self._held, folder, key, lease_ms)
        self._thread: threading.Thread | None = None

    def hold(self, task: TaskKey, claim: Cid) -> None:
        """Renew a claim from now on; its lease has just begun."""
        held = self._held
        with held.changed:
            held.claims[task] = claim
            if held.due is None:
                held.due = time.monotonic() + held.lease_s / 2
                held.changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(
                target=_keep_renewing, args=self._arguments, name="p2p-workflow-renewal", daemon=True
            )
            self._thread.start()

    def drop(self, task: TaskKey) -> None:
        """Renew the claim on a task no more."""
        with self._held.changed:
            self._held.claims.pop(task, None)

    def claims(self) -> dict[TaskKey, Cid]:
        """Return the claims that are renewed."""
        with self._held.changed:
            return dict(self._held.claims)

    def stop(self) -> None:
        """Renew nothing any more; does not wait for a renewal that is under way."""
        self._held.close()

    def close(self) -> None:
        """Stop, and wait for a renewal that is under way."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


def _keep_renewing(held: _Held, folder: Path, key: SigningKey, lease_ms: int) -> None:
    """Run the thread. It knows nothing of the Renewer, so that one nobody refers to any more can end it."""
    home: Home | None = None
    while (claims := held.wait()) is not None:
        try:
            if claims:
                home = Home.open(folder) if home is None else home
                _renew_once(held, home, key, claims, lease_ms)
            held.next_in(held.lease_s / 2)
        except Exception:
            _logger.exception("renewing %d claims failed; trying again", len(claims))
            held.next_in(held.lease_s / _RETRY_PARTS)
            if home is not None:
                home.close()
                home = None
    if home is not None:
        home.close()


def _renew_once(held: _Held, home: Home, key: SigningKey, claims: dict[TaskKey, Cid], lease_ms: int) -> None:
    renewal = renew(home, key, claims, lease_ms=lease_ms)
    held.forget({task: claims[task] for task in (*renewal.lost, *renewal.settled)})
    for task, reason in renewal.lost.items():
        _logger.warning("the claim on task %s is not renewed any more: %s", task.hex(), reason)
