"""`replay --trace` says what each event changed, also where no task goes from one status to another."""

from __future__ import annotations

import json
from typing import Any

from cli.output import render_time
from tests.cli.program import Program


def changes(event: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what an event changed in its only task beside the status."""
    (task,) = event["tasks"]
    return {one["what"]: (one["before"], one["after"]) for one in task["changed"]}


def test_a_bump_and_a_renewal_say_what_they_changed(program: Program) -> None:
    """A bump shows both priorities, a claim its holder and lease, a renewal how far the lease now runs."""
    key = program.submit("a")["task_key"]
    program.ok("bump", "a", "--priority", "9")
    taken = program.json("next", "--lease", "5m")["task"]
    renewal = {"op": "renew", "task": key, "follows": [taken["claim"]], "claim": taken["claim"], "lease_ms": 900_000}
    program.ok("append", "-", text=json.dumps(renewal))
    until = program.json("show", "a")["until"]
    bump, claim, renew = program.json("replay", "--trace")["trace"][-3:]
    assert changes(bump) == {"priority": (5, 9)}
    assert changes(claim)["until"] == (None, taken["until"])
    assert changes(claim)["holder"][1]["name"] == "worker"
    assert changes(renew) == {"until": (taken["until"], until)}
    told = program.ok("replay", "--trace").out
    assert "  a: priority 5 → 9\n" in told
    assert f"  a: ready → held, holder worker, until {render_time(taken['until'])}\n" in told
    assert f"  a: until {render_time(taken['until'])} → {render_time(until)}\n" in told


def test_members_are_named_with_what_they_may(program: Program) -> None:
    """Admissions show roles and labels, joins their labels; a revocation lists the events it makes void."""
    program.ok("init")
    other = Program(program.home, "other")
    key = other.json("keys", "generate", "other")["key"]
    program.ok("members", "admit", key, "--name", "other", "--labels", "gpu")
    other.ok("join", "--labels", "gpu")
    submitted = other.submit("a")["event_cid"]
    program.ok("members", "revoke", "other", "--void-all", "--yes")
    trace = program.json("replay", "--trace")["trace"]
    whats = [[(one["what"], one["member"]["key"]) for one in event["members"]] for event in trace]
    assert [("admitted", key)] in whats
    assert [("joined", key)] in whats
    assert whats[-1][0] == ("revoked", key)
    assert submitted in trace[-1]["voided"]
    told = program.ok("replay", "--trace").out
    assert f"  admitted: {key}, named other, roles submitter, worker, labels gpu\n" in told
    assert f"  joined: {key}, labels gpu\n" in told
    assert f"  revoked: {key}, grant " in told
    assert f"  void: {submitted}\n" in told
    assert "members changed" not in told
