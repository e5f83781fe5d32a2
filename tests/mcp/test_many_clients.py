"""Several clients at once: no task is given twice, no call waits for a slow one, and nothing acknowledged is lost."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest
from mcp import Client

from cli.mcp import taking
from cli.mcp.desk import Desk
from cli.session import Session
from cli.settings import Settings
from ledger.cid import Cid
from scheduler.home import Home
from tests.mcp.serving import MODES, connected, home_of, ok, run, serving, task, until

TASKS = 40
CLIENTS = 6


def test_clients_racing_for_tasks_get_each_once(tmp_path: Path) -> None:
    """Clients of both eras take, renew and complete side by side: each task has one claim and one completion."""
    program = home_of(tmp_path)
    with serving(program) as server:
        given: Counter[str] = Counter()

        async def main() -> None:
            async def work(number: int) -> None:
                async with connected(server.url, MODES[number % 2]) as client:
                    for index in range(number, TASKS, CLIENTS):
                        await ok(client, "p2p_submit_task", task(f"t{index}", priority=1 + index % 10))
                    while taken := (await ok(client, "p2p_get_next_task", {"wait_seconds": 2}))["task"]:
                        given[taken["task_id"]] += 1
                        mine = {"task_id": taken["task_key"], "claim": taken["claim"]}
                        await ok(client, "p2p_mark_task_complete", mine | {"output": taken["task_id"]})

            async with anyio.create_task_group() as group:
                for number in range(CLIENTS):
                    group.start_soon(work, number)
            async with connected(server.url) as client:
                verified = await ok(client, "p2p_verify_ledger")
                assert verified["statuses"] == {"done": TASKS}
                assert verified["verified"] is True

        run(main)
    assert given == {f"t{index}": 1 for index in range(TASKS)}
    with Home.open(program.home) as home, home.reading():
        for record in home.tasks.standing("done"):
            assert (len(record.claims), len(record.completions)) == (1, 1)


def test_waiting_clients_hold_nobody_up(tmp_path: Path) -> None:
    """Fifty calls that wait leave the server free; what they wait for reaches one of them at once."""
    with serving(home_of(tmp_path)) as server:

        async def main() -> None:
            won: list[str] = []

            async def wait(client: Client) -> None:
                taken = (await ok(client, "p2p_get_next_task", {"wait_seconds": 8}))["task"]
                won.extend([taken["task_id"]] if taken else [])

            async with (
                connected(server.url) as client,
                connected(server.url, "legacy") as other,
                anyio.create_task_group() as group,
            ):
                await ok(client, "p2p_scheduler_status")
                for number in range(50):
                    group.start_soon(wait, (client, other)[number % 2])
                await anyio.sleep(0.2)
                began = time.monotonic()
                await ok(other, "p2p_scheduler_status")
                await ok(client, "p2p_submit_task", task("wanted"))
                await until(lambda: won == ["wanted"])
                assert time.monotonic() - began < 6
            assert won == ["wanted"]

        run(main)


def test_a_killed_server_has_lost_nothing_it_acknowledged(tmp_path: Path) -> None:
    """SIGKILL in the midst of many calls: each acknowledged event is in the ledger, and a repeated call is the same."""
    program = home_of(tmp_path)
    acknowledged: dict[str, str] = {}
    ended: list[BaseException] = []
    with serving(program) as server:

        async def submit_on(number: int, enough: anyio.Event) -> None:
            try:
                async with connected(server.url, MODES[number % 2]) as client:
                    for index in range(1_000):
                        name = f"k{number}-{index}"
                        acknowledged[name] = (await ok(client, "p2p_submit_task", task(name)))["event_cid"]
                        if len(acknowledged) >= 30:
                            enough.set()
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 — the SDK has many names for it
                ended.append(error)

        async def main() -> None:
            enough = anyio.Event()
            async with anyio.create_task_group() as group:
                for number in range(4):
                    group.start_soon(submit_on, number, enough)
                await enough.wait()
                server.process.send_signal(signal.SIGKILL)
                await anyio.to_thread.run_sync(server.process.wait)
                group.cancel_scope.cancel()

        run(main)
    assert len(acknowledged) >= 30
    with Home.open(program.home) as home, home.reading():
        for cid in acknowledged.values():
            assert home.board.graph.node(Cid.parse(cid)).in_log
    with serving(program) as server:

        async def again() -> None:
            async with connected(server.url) as client:
                for name, cid in list(acknowledged.items())[:5]:
                    found = await ok(client, "p2p_submit_task", task(name))
                    assert (found["created"], found["event_cid"]) == (False, cid)
                assert (await ok(client, "p2p_verify_ledger"))["verified"] is True

        run(again)


def test_a_task_taken_for_a_client_that_is_gone_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the call is cancelled while the claim is being written, the task does not wait for its lease to end."""
    desk = Desk(Session(Settings(home=str(tmp_path / "home"), peer="agent")))
    take_now = taking._take_now

    async def main() -> None:
        await desk.write(lambda turn: _submit(turn.home))
        with anyio.CancelScope() as scope:

            def take_and_hang_up(*args: object) -> None:
                take_now(*args)  # type: ignore[arg-type]  # handed through as they are
                anyio.from_thread.run_sync(scope.cancel)

            monkeypatch.setattr(taking, "_take_now", take_and_hang_up)
            await taking._take(desk, 900)
        assert scope.cancelled_caught
        claims = await desk.read(lambda home: [record.claims for record in home.tasks.standing("open")])
        assert [claim.released for claim in claims[0]] == [True]

    def _submit(home: Home) -> None:
        from cli.task_file import read_task
        from scheduler import actions

        key = home.members.peer_key("agent")
        actions.submit(home, key, read_task(task("fleeting"), None, home.now_ms()))

    try:
        anyio.run(main)
    finally:
        desk.close()
