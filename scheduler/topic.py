"""The ledger's gossipsub topic on whatever node is up: heard in a thread of its own, and spoken to.

Leaves out what the messages are (ledger.hints, ledger.news) and what is done with them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.kubo_pubsub import Subscription
from scheduler.hint_hearing import Say

_AGAIN_S: Final = 1.0
_STOP_S: Final = 1.0


class Topic:
    """One topic, from `start` to `close`.

    Args:
        name: the topic.
        hear: takes a message and the id of the node that it came from first; never our own.
        on_heard: called each time listening has begun.
        say: tells the operator.
    """

    def __init__(self, name: str, hear: Callable[[bytes, str], object], on_heard: Callable[[], None], say: Say) -> None:
        self._name = name
        self._hear = hear
        self._on_heard = on_heard
        self._say = say
        self._node: KuboClient | None = None
        self._own_id: str | None = None
        self._subscription: Subscription | None = None
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._faults = {"no_hints": "", "hint_not_sent": ""}
        self._thread = threading.Thread(target=self._run, name="topic", daemon=True)

    def start(self) -> None:
        """Begin to listen, as soon as there is a node."""
        self._thread.start()

    def use(self, node: KuboClient | None, own_id: str | None) -> None:
        """Listen and speak on this node from now on; None: there is none now."""
        self._own_id, self._node = own_id, node
        self._end_subscription()
        self._changed.set()

    def publish(self, message: bytes) -> None:
        """Say something to the topic, where there is a node; what does not work is said to the operator, once."""
        node = self._node
        if node is not None:
            try:
                node.publish(self._name, message)
                self._faults["hint_not_sent"] = ""
            except KuboError as error:
                self._complain("hint_not_sent", str(error))

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        self._changed.set()
        self._end_subscription()
        self._thread.join(_STOP_S)

    def _end_subscription(self) -> None:
        subscription = self._subscription
        if subscription is not None:
            subscription.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            node = self._node
            if node is None:
                self._changed.wait(_AGAIN_S)
                self._changed.clear()
                continue
            try:
                with node.subscribe(self._name) as self._subscription:
                    self._faults["no_hints"] = ""
                    self._on_heard()
                    for message in self._subscription:
                        if message.sender != self._own_id:
                            self._hear(message.data, message.sender)
            except KuboError as error:
                if self._node is node and not self._closed.is_set():
                    self._complain("no_hints", str(error))
            self._closed.wait(_AGAIN_S)

    def _complain(self, kind: str, words: str) -> None:
        """Say what does not work, once until it works again or fails in another way."""
        if self._faults[kind] != words:
            self._faults[kind] = words
            self._say(kind, words)
