"""The home's IPFS node, kept running: started, watched, started again when it dies, and left as it was found.

What depends on the node is told when it is up, each time anew: a restarted node knows nothing of listeners, forwards
and subscriptions. A node that cannot be had is said once, and everything else goes on. Leaves out what a node is
(scheduler.node, ledger.kubo_node) and what it is used for.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.kubo_node import ManagedNode
from scheduler.hint_hearing import Say
from scheduler.node import Node

CALL_S: Final = 5.0
"""Deadline of a call to the node, which is on this machine."""
_LOOK_S: Final = 1.0
_PAUSE_S_MAX: Final = 60.0
_STOP_S: Final = 4.0


class NodeKeeper:
    """Keeps a node in a thread of its own.

    Args:
        node: managed here, or somebody else's, which is watched only.
        say: tells the operator.
        on_up: called with a client and the node's peer id each time it has come up; the client is closed when it goes.
        on_down: called when it is gone.
    """

    def __init__(
        self, node: Node, say: Say, on_up: Callable[[KuboClient, str], None], on_down: Callable[[], None]
    ) -> None:
        self._node = node
        self._say = say
        self._on_up = on_up
        self._on_down = on_down
        self._stopping = threading.Event()
        self._started_here = False
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a node that was started here is stopped."""
        self._stopping.set()
        self._thread.join(_STOP_S)
        if self._started_here and isinstance(self._node, ManagedNode):
            with suppress(KuboError):
                self._node.stop(timeout_s=_STOP_S)

    def _run(self) -> None:
        pause_s = _LOOK_S
        while not self._stopping.is_set():
            try:
                self._be_up()
                pause_s = _LOOK_S
            except KuboError as error:
                self._complain(str(error))
                pause_s = min(_PAUSE_S_MAX, 2 * pause_s)
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 — jitter, no secret

    def _be_up(self) -> None:
        """Have the node run, and stay as long as it does."""
        if isinstance(self._node, ManagedNode) and not self._node.is_running():
            self._started_here = True
            self._node.start()
        with self._node.client(timeout_s=CALL_S) as client:
            peer_id = client.identity().peer_id
            self._on_up(client, peer_id)
            self._say("node_up", f"IPFS node {peer_id}")
            self._said = ""
            try:
                while not self._stopping.wait(_LOOK_S) and self._is_there(client):
                    pass
            finally:
                self._on_down()
        if not self._stopping.is_set():
            self._say("node_down", f"IPFS node {peer_id} is gone")

    def _is_there(self, client: KuboClient) -> bool:
        if isinstance(self._node, ManagedNode):
            return self._node.is_running()
        with suppress(KuboError):
            client.identity()
            return True
        return False

    def _complain(self, words: str) -> None:
        """Say what is wrong with the node, once for each wrong."""
        if words != self._said:
            self._said = words
            self._say("no_node", words)
