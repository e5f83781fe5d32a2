"""The second part of the demo: two homes on real IPFS nodes in a private network, and a stranger's audit by a gateway.

Everything stays on loopback and in temporary folders; nodes and daemons are ended. Without Kubo it says how to get it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.program import BIN, daemon, until, workflow
from ledger.kubo_build import find_or_none
from ledger.kubo_config import LOOPBACK
from scheduler.node import managed_node


def show(folder: Path, say: Callable[[str], None]) -> None:
    """Tell the story in `folder`; `say` prints the title of a part."""
    if find_or_none() is None:
        say("Two machines over IPFS: left out, since there is no Kubo here")
        print("get it with: p2p-workflow ipfs install   (about five minutes, once), or: make kubo; then run this again")
        return
    os.environ["P2P_WORKFLOW_IPFS_LISTEN"] = LOOPBACK
    here, there = folder / "here", folder / "there"
    say("Two homes with an IPFS node each, in a private network; `peer run` keeps them in touch")
    with _nodes_of(here, there):
        workflow(here, "init", "--name", "two-machines")
        workflow(here, "ipfs", "start")
        invitation = workflow(here, "peer", "invite")
        with daemon(here):
            connected = workflow(there, "peer", "connect", invitation["token"])
            with daemon(there):
                did = connected["peer_key"]
                workflow(here, "members", "admit", did, "--name", "there", "--role", "submitter", "--role", "worker")
                _tell(here, there, say)


def _tell(here: Path, there: Path, say: Callable[[str], None]) -> None:
    words = ("--task-id", "t1", "--workflow-id", "demo", "--name", "Across machines", "--tags", "p2p-only")
    workflow(here, "submit", *words)
    began = time.monotonic()
    taken = until(lambda: workflow(there, "next")["task"], "the task is to be taken there")
    print(f"submitted here, taken there {time.monotonic() - began:.1f} s later: {taken['task_id']}, {taken['name']}")
    workflow(there, "complete", "--task-id", "t1")
    until(lambda: workflow(here, "status")["completed_tasks"] == 1, "it is to be seen here")
    equal = until(lambda: _equal_peers(here), "the state roots are to be equal")
    print(f"completed there, seen here; {equal[0]['name']} has the same state root")
    say("A stranger audits it all through a gateway: no home, no node, nothing believed")
    node = until(lambda: _published(here), "it is to be published")
    command = ["audit", "--gateway", node["gateway"], "--ipns", node["ipns"], "--excuse", "J3"]  # taken by hand
    print(f"$ p2p-workflow {' '.join(command)}", flush=True)
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("P2P_WORKFLOW")}

    def audit() -> bool:
        """Audit until the gateway has the name that leads to what was completed."""
        ran = subprocess.run(
            [BIN / "p2p-workflow", *command], env=stranger, check=False, capture_output=True, text=True
        )
        has_all = ran.returncode == 0 and "\nTasks: 1 (1 done)\n" in ran.stdout
        if has_all:
            print(ran.stdout, end="", flush=True)
        return has_all

    until(audit, "the audit is to find all in order")


def _equal_peers(home: Path) -> list[Any]:
    return [one for one in workflow(home, "peers")["peers"] if one["same_root"]]


def _published(home: Path) -> Any:
    found = workflow(home, "ipfs", "status")
    return found if found.get("ipns") else None


@contextmanager
def _nodes_of(*homes: Path) -> Iterator[None]:
    """End the nodes of homes when the block ends."""
    try:
        yield
    finally:
        for home in homes:
            node = managed_node(home)
            if node.exists and node.is_running():
                node.kill()
