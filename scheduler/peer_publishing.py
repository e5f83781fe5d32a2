"""Publishing in the background: new events to the node soon, segments and manifest when there is quiet.

Leaves out what is published and how (ledger.publishing).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger.database import StoreError
from ledger.keys import SigningKey
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.network_tables import open_network
from ledger.publishing import Publisher, PublishError
from scheduler.hint_hearing import Say
from scheduler.home import Home
from scheduler.published import publisher_of

EVENTS_PAUSE_S: Final = 0.3
"""How long new events are gathered before they are sent."""
SEGMENTS_EVERY_S: Final = 20.0
"""How often a changed log is published as segments with a manifest."""
LOOK_EVERY_S: Final = 60.0
"""How often the node is asked whether it still has what was sent."""
_STOP_S: Final = 3.0


class PublishLoop:
    """Publishes the home in `folder` on the node that is up, in a thread of its own.

    Args:
        folder: the home.
        clock: tells the time, ms.
        key: gives who signs manifests; None as long as no key of the home is a member.
        say: tells the operator.
    """

    def __init__(self, folder: Path, clock: Callable[[], int], key: Callable[[], SigningKey | None], say: Say) -> None:
        self._folder = folder
        self._clock = clock
        self._key = key
        self._say = say
        self._node: KuboClient | None = None
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._fault = ""
        self.name: str | None = None
        """The IPNS name of the manifest, once there is one."""
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def use(self, node: KuboClient | None) -> None:
        """Publish on this node from now on; None: there is none now."""
        self._node = node
        self._woken.set()

    def changed(self) -> None:
        """Say that the log has changed."""
        self._woken.set()

    def close(self) -> None:
        """Stop; what is broken off goes on when somebody publishes again."""
        self._closed.set()
        self._woken.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        with Home.open(self._folder, clock=self._clock) as home, open_network(self._folder) as network:
            made: tuple[KuboClient, SigningKey, Publisher] | None = None
            segments_at = looked_at = float("-inf")
            while not self._closed.is_set():
                node, key = self._node, self._key()
                if node is None or key is None:
                    self._pause(1.0)
                    continue
                if made is None or made[0] is not node or made[1] is not key:
                    made, looked_at = (node, key, publisher_of(home, network, node, key)), float("-inf")
                    self.name = made[2].name
                try:
                    if time.monotonic() - looked_at >= LOOK_EVERY_S:
                        looked_at = time.monotonic()
                        if made[2].repair():
                            self._say("repaired", "the IPFS node had lost what was published: published again")
                    made[2].publish_events()
                    if time.monotonic() - segments_at >= SEGMENTS_EVERY_S:
                        segments_at = time.monotonic()
                        made[2].publish_segments()
                    self.name, self._fault = made[2].name, ""
                except (KuboError, PublishError, StoreError) as error:
                    self._complain(str(error))
                self._pause(min(SEGMENTS_EVERY_S, max(1.0, segments_at + SEGMENTS_EVERY_S - time.monotonic())))

    def _pause(self, most_s: float) -> None:
        """Wait until something is to be done; what follows closely is gathered."""
        if self._woken.wait(most_s):
            self._closed.wait(EVENTS_PAUSE_S)
        self._woken.clear()

    def _complain(self, words: str) -> None:
        if words != self._fault:
            self._fault = words
            self._say("not_published", words)
