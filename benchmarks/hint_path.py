"""An event appended at one peer is on another's board: how long, against gossipsub's own delivery between their nodes.

Two homes with real nodes in a private network and a real `peer run` each. In turns: a message published on one node and
heard on the other, by nothing but the RPC; and an event appended to one home, from when that is
durable until it is seen on the board of the other. The
parts of one round share the machine's mood, so the ratio is that of the medians of one run.
"""

from __future__ import annotations

import queue
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ledger.kubo import KuboClient
from ledger.kubo_pubsub import Subscription
from scheduler.node import managed_node
from scheduler.wake import Watch
from tests.support.kubo import meet_on
from tests.support.peers import Machine, Machines

TOPIC = "p2p-workflow-benchmark"
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each trial."""

    gossip_s: list[float]
    path_s: list[float]

    @property
    def ratio(self) -> float:
        """Median of the path over that of gossipsub's own delivery."""
        return statistics.median(self.path_s) / statistics.median(self.gossip_s)


def measure(trials: int) -> Measured:
    """Run the trials, gossip and path by turns."""
    with tempfile.TemporaryDirectory() as name, Machines(Path(name)) as machines:
        alice = machines.found("alice")
        bob = machines.entered("bob", alice)
        alice.start()
        bob.start()
        bob.until("in exchange", lambda: bob.state_root() == alice.state_root())
        alice.submit("first")
        bob.until("it comes", lambda: "first" in bob.task_ids())
        gossip, path = [], []
        nodes = managed_node(alice.folder), managed_node(bob.folder)
        with nodes[0].client() as one, nodes[1].client() as two, two.subscribe(TOPIC) as heard:
            came: queue.SimpleQueue[bytes] = queue.SimpleQueue()
            threading.Thread(target=_collect, args=(heard, came), daemon=True).start()
            with one.subscribe(TOPIC):
                meet_on(TOPIC, one, two)
                for trial in range(trials):
                    gossip.append(_gossip(one, came, trial))
                    path.append(_path(alice, bob, trial))
        return Measured(gossip, path)


def _collect(heard: Subscription, came: queue.SimpleQueue[bytes]) -> None:
    for message in heard:
        came.put(message.data)


def _gossip(one: KuboClient, came: queue.SimpleQueue[bytes], trial: int) -> float:
    data = b"%d" % trial
    began = time.perf_counter()
    one.publish(TOPIC, data)
    while came.get(timeout=DEADLINE_S) != data:
        pass
    return time.perf_counter() - began


def _path(alice: Machine, bob: Machine, trial: int) -> float:
    with Watch(bob.folder) as watch:
        cid = alice.submit(f"trial-{trial}")[-1]
        began = time.perf_counter()
        while not bob.has(cid):
            if not watch.wait(DEADLINE_S):
                raise TimeoutError(f"event {trial} has not come")
        return time.perf_counter() - began


if __name__ == "__main__":
    found = measure(40)
    for name, times in (("gossipsub's own delivery", found.gossip_s), ("append to the other's board", found.path_s)):
        ms = [1e3 * one for one in sorted(times)]
        print(f"{name}: median {statistics.median(ms):.1f} ms, {ms[0]:.1f} to {ms[-1]:.1f} ms")
    print(f"ratio {found.ratio:.2f}")
