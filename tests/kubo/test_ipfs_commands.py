"""`ipfs install`, `start`, `stop`, `status`, as people type them, with real nodes in homes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from ledger.kubo_node import ManagedNode
from tests.cli.program import Program
from tests.support.kubo import Nodes, binary


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Return the program, with a home whose node listens on loopback and is ended."""
    extra = {"P2P_WORKFLOW_IPFS": str(binary()), "P2P_WORKFLOW_IPFS_LISTEN": "127.0.0.1"}
    program = Program(tmp_path / "home", extra=extra)
    yield program
    ManagedNode(program.home / "ipfs", binary=None).kill()


def test_a_node_is_started_shown_and_stopped(program: Program) -> None:
    """The first start makes it; another finds it running; stopped it keeps its name; each says so to people, too."""
    assert program.json("ipfs", "status") == {"node": None, "running": False}
    assert "everything local works without one" in program.ok("ipfs", "status").out
    started = program.json("ipfs", "start")
    assert (started["node"], started["running"], started["mode"]) == ("managed", True, "private")
    assert all(address.startswith("/ip4/127.0.0.1/tcp/") for address in started["addresses"])
    again = program.ok("ipfs", "start").out
    assert again.startswith("✓ The IPFS node is running\n")
    assert started["peer_id"] in again
    shown = program.json("ipfs", "status")
    assert {name: shown[name] for name in ("peer_id", "api", "gateway")} == {
        name: started[name] for name in ("peer_id", "api", "gateway")
    }
    assert program.json("ipfs", "stop") == {"running": False, "was_running": True}
    assert program.ok("ipfs", "stop").out == "✓ The IPFS node was not running\n"
    stopped = program.json("ipfs", "status")
    assert (stopped["running"], stopped["peer_id"]) == (False, started["peer_id"])
    assert program.ok("ipfs", "status").out.startswith("✗ The IPFS node is not running")


def test_what_is_local_works_while_the_node_is_stopped(program: Program) -> None:
    """A home whose node was killed submits and shows tasks as ever."""
    program.ok("ipfs", "start")
    ManagedNode(program.home / "ipfs", binary=None).kill()
    assert program.submit("local")["created"] is True
    assert program.json("status")["pending_tasks"] == 1


def test_install_says_where_the_program_is(program: Program) -> None:
    """A program that is there is named with its version; a variable that names none is an error of the installation."""
    found = program.json("ipfs", "install")
    assert found["program"] == str(binary())
    assert found["version"][0].isdecimal()
    broken = Program(program.home, extra={"P2P_WORKFLOW_IPFS": str(program.home / "nothing")})
    ran = broken.run("ipfs", "install")
    assert ran.code == ExitCode.INSTALLATION
    assert "P2P_WORKFLOW_IPFS names" in ran.err


def test_a_node_that_runs_already_is_used_by_address_and_secret(program: Program, nodes: Nodes, tmp_path: Path) -> None:
    """With its secret it is used, without it refused, gone it is unreachable: a sentence and a code each."""
    (node,) = nodes.start()
    secret = tmp_path / "secret"
    secret.write_text((node.folder / "rpc.token").read_text())
    secret.chmod(0o600)
    refused = program.run("ipfs", "start", "--node", node.api)
    assert refused.code == ExitCode.REFUSED
    assert "is not allowed with this token" in refused.err
    assert program.json("ipfs", "status") == {"node": None, "running": False}
    chosen = program.json("ipfs", "start", "--node", node.api, "--token-file", str(secret))
    assert (chosen["node"], chosen["running"], chosen["peer_id"]) == ("existing", True, node.peer_id)
    assert chosen["lacks"] == []
    assert program.run("ipfs", "stop").code == ExitCode.USAGE
    node.stop()
    assert program.json("ipfs", "status")["running"] is False
    gone = program.run("ipfs", "start", "--node", node.api, "--token-file", str(secret), "--json")
    assert gone.code == ExitCode.UNREACHABLE
    assert gone.json["error"]["kind"] == "kubo_not_running"
    secret.chmod(0o644)
    assert program.run("ipfs", "start", "--node", node.api, "--token-file", str(secret)).code == ExitCode.NOT_ALLOWED


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--node", "/ip4/192.0.2.1/tcp/5001"), "--allow-remote"),
        (("--node", "/dns4/example.invalid/tcp/5001"), "--allow-remote"),
        (("--node", "nonsense"), "no address of the form"),
        (("--node", "/ip4/127.0.0.1/tcp/5001", "--mode", "lan"), "leave out"),
        (("--token-file", "secret"), "--node"),
        (("--mode", "public"), "private or lan"),
        (("--listen", "everywhere"), "everywhere"),
        (("--announce", "router"), "router"),
    ],
)
def test_what_cannot_be_meant_is_refused(program: Program, words: tuple[str, ...], said: str) -> None:
    """A node on another machine only if asked; options that contradict each other, and words that are none."""
    ran = program.run("ipfs", "start", *words)
    assert ran.code == ExitCode.USAGE
    assert said in ran.err
