"""What befalls peers in the tests: links that are cut, memory that must stay bounded, members that do harm."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Final

from benchmarks.relay import Relay
from ledger.cid import Cid
from ledger.kubo_config import LOOPBACK
from ledger.network_tables import NETWORK_NAME
from scheduler.place import wall_clock_ms
from tests.support.kubo import wait_for
from tests.support.peers import Machine

MEMORY_MAX: Final = 400 * 1024 * 1024
"""Most memory that a daemon of these tests may ever have had, in bytes."""
NOWHERE: Final = "/ip4/127.0.0.1/tcp/9"
"""What nodes behind relays say of where they are: nobody finds a way around a link that is cut."""


class Links:
    """A link between each two machines: a relay that the later one dials the earlier one's node through."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._relays: dict[frozenset[str], Relay] = {}
        for machine in machines:  # no other way than by the links
            for file in machine.folder.glob(f"{NETWORK_NAME}*"):
                file.unlink()
        for near, far in combinations(machines, 2):
            node = near.node
            assert node is not None
            _hide(near)
            relay = Relay((LOOPBACK, node.swarm_port))
            self._relays[frozenset((near.name, far.name))] = relay
            far.know(f"/ip4/{LOOPBACK}/tcp/{relay.port}/p2p/{node.peer_id}")
        _hide(machines[-1])

    def part(self, *groups: Iterable[Machine]) -> None:
        """Cut every link between machines of different groups."""
        of = {machine.name: number for number, group in enumerate(groups) for machine in group}
        for pair, relay in self._relays.items():
            if len({of[name] for name in pair}) > 1:
                relay.cut()

    def heal(self) -> None:
        """Mend all links."""
        for relay in self._relays.values():
            relay.heal()

    def close(self) -> None:
        """End all relays."""
        for relay in self._relays.values():
            relay.close()


def _hide(machine: Machine) -> None:
    """Have a node that does not run yet tell nobody where it really is."""
    assert machine.node is not None
    config = machine.node.folder / "config"
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["Addresses"] |= {"Announce": [NOWHERE], "AppendAnnounce": []}
    config.write_text(json.dumps(settings), encoding="utf-8")


@contextmanager
def links(machines: Sequence[Machine]) -> Iterator[Links]:
    """Link machines whose daemons do not run yet, for the block."""
    made = Links(machines)
    try:
        yield made
    finally:
        made.close()


def agree(*machines: Machine, holding: Iterable[Cid] = (), deadline_s: float = 90.0) -> None:
    """Wait until all have one state root and one set of heads, and each has every event of `holding`."""
    wanted = list(holding)

    def are_equal() -> bool:
        return len({_standing(machine) for machine in machines}) == 1 and all(
            machine.has(cid) for machine in machines for cid in wanted
        )

    try:
        wait_for(f"{', '.join(machine.name for machine in machines)} agree", are_equal, deadline_s=deadline_s)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *(_told(machine) for machine in machines)])) from None


def _told(machine: Machine) -> str:
    """Return what a machine holds and what its daemon said last."""
    with machine.home.reading():
        events, heads = machine.home.events.count(), machine.home.board.heads
    words = [] if machine.daemon is None else machine.daemon.words[-12:]
    errors = "" if machine.daemon is None else machine.daemon.errors[-2000:]
    return f"{machine.name}: {events} events, heads {', '.join(map(str, heads[:3]))}\n  {words}\n  {errors}"


def _standing(machine: Machine) -> tuple[bytes, tuple[Cid, ...]]:
    root = machine.state_root()
    with machine.home.reading():
        return root, machine.home.board.heads


def memory_of(machine: Machine) -> int:
    """Return the most memory the machine's daemon has had so far, in bytes."""
    assert machine.daemon is not None
    assert machine.daemon.process.poll() is None, f"{machine.name}'s daemon has ended: {_told(machine)}"
    for line in Path(f"/proc/{machine.daemon.process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the daemon does not run")


def bounded(*machines: Machine) -> None:
    """Check that no daemon has had more memory than is allowed."""
    for machine in machines:
        assert memory_of(machine) < MEMORY_MAX, f"{machine.name} took {memory_of(machine) >> 20} MiB"


def run_skewed() -> None:
    """Be a `peer run` whose clock is ahead by the ms of the environment's SKEW_MS, for the home and name of argv."""
    import sys

    from scheduler.node import node_of
    from scheduler.peer_daemon import PeerDaemon

    folder, name, skew_ms = Path(sys.argv[1]), sys.argv[2], int(os.environ["SKEW_MS"])

    def say(kind: str, words: str) -> None:
        sys.stdout.write(json.dumps({"event": kind, "message": words}) + "\n")
        sys.stdout.flush()

    daemon = PeerDaemon(folder, name, node_of(folder), say, clock=lambda: wall_clock_ms() + skew_ms)
    signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
    say("ready", "running")
    daemon.run()


if __name__ == "__main__":
    run_skewed()
