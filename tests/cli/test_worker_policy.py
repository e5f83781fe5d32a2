"""`worker policy`, and what the other commands say of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.program import Program

COMMAND_TYPE: Final = "application/vnd.p2p-workflow.command+json"


@pytest.fixture
def policy(program: Program) -> Path:
    """Return the policy that `init` has written in a new home."""
    program.ok("init")
    program.ok("worker", "policy", "init")
    return program.home / "worker.toml"


def submit(program: Program, task_id: str, payload: dict[str, Any]) -> None:
    """Submit a command."""
    file = program.home.parent / f"{task_id}.json"
    file.write_text(json.dumps(payload), encoding="utf-8")
    program.submit(task_id, "--payload", str(file), "--media-type", COMMAND_TYPE)


def answers(program: Program, task_id: str) -> list[Any]:
    """Return what each command says of one task's policy, all the same."""
    said = [program.json("explain", task_id)["policy"], program.json("show", task_id)["policy"]]
    said += [one["policy"] for one in program.json("tasks")["tasks"] if one["task_id"] == task_id]
    assert said[0] == said[1] == said[2]
    checked = program.run("worker", "policy", "check", "--task", task_id, "--json")
    document = checked.json if checked.code == 0 else checked.json["error"]
    assert document["policy"] == said[0]
    assert checked.code == (0 if said[0]["allowed"] else 5)
    return said[:1]


def test_init_allows_commands_of_the_home_s_own_keys(program: Program, policy: Path) -> None:
    """A first policy is in order, private, allows own commands in a sandbox, and is never written over."""
    assert policy.stat().st_mode & 0o777 == 0o600
    shown = program.json("worker", "policy", "show")
    keys = sorted(key["key"] for key in program.json("keys", "list")["keys"])
    assert [rule["submitters"] for rule in shown["allow"]] == [keys]
    (rule,) = shown["allow"]
    assert (rule["payloads"], rule["network"], rule["sandbox"], rule["secrets"]) == (
        ["command"],
        False,
        "bubblewrap",
        [],
    )
    assert rule["limits"]["memory"] == 2**31
    before = policy.read_bytes()
    again = program.run("worker", "policy", "init")
    assert (again.code, again.err.splitlines()[0]) == (4, f"✗ there is a policy already: {policy}")
    assert policy.read_bytes() == before
    assert "nothing else runs here" in program.ok("worker", "policy", "check").out


def test_what_is_denied_says_why_everywhere(program: Program, policy: Path) -> None:
    """`explain`, `show`, `tasks` and `worker policy check` give one answer; a change of the file changes it at once."""
    submit(program, "plain", {"argv": ["make"]})
    submit(program, "net", {"argv": ["make"], "network": True})
    assert answers(program, "plain") == [{"allowed": True, "reasons": [], "rule": "own commands"}]
    reason = "rule 'own commands': it asks for the network, and network is false"
    assert answers(program, "net") == [{"allowed": False, "reasons": [reason], "rule": None}]
    assert f"this worker may not run it, whatever its turn:\n    {reason}" in program.ok("explain", "net").out
    assert f"This worker may not run it: {reason}" in program.ok("show", "net").out
    assert "1 of these this worker may not run" in program.ok("tasks").err
    policy.write_text(policy.read_text().replace("network = false", "network = true"), encoding="utf-8")
    assert answers(program, "net")[0]["allowed"]
    assert "may not run" not in program.ok("tasks").err


@pytest.mark.usefixtures("policy")
def test_tasks_of_others_are_denied(program: Program) -> None:
    """A key that is admitted later is none of those that the first policy lists."""
    other = replace(program, peer="other")
    submit(other, "theirs", {"argv": ["make"]})
    (answer,) = answers(program, "theirs")
    assert not answer["allowed"]
    assert "submitters does not list did:key:" in answer["reasons"][0]


def test_without_a_policy_explain_says_how_to_begin(program: Program) -> None:
    """Where no policy is, a worker would run nothing: `explain` says so and how to write one; lists stay quiet."""
    submit(program, "t", {"argv": ["make"]})
    explained = program.json("explain", "t")["policy"]
    assert not explained["allowed"]
    assert "worker policy init" in explained["reasons"][0]
    assert program.json("tasks")["tasks"][0]["policy"] is None
    missing = program.run("worker", "policy", "check")
    assert (missing.code, missing.err.splitlines()[1]) == (
        3,
        "  what to do: `p2p-workflow worker policy init` writes one",
    )
    program.submit("agent")
    assert program.json("explain", "agent")["policy"] is None


def test_a_broken_policy_denies_and_its_fault_is_named(program: Program, policy: Path) -> None:
    """`check` ends with the fault; `explain` says that nothing is taken until it is mended."""
    submit(program, "t", {"argv": ["make"]})
    policy.write_text(policy.read_text() + "\nnetwrok = true\n", encoding="utf-8")
    broken = program.run("worker", "policy", "check")
    assert broken.code == 2
    assert f"✗ {policy}: [allow 1] netwrok: this key is not known\n  what to do: did you mean network?" in broken.err
    (reason,) = program.json("explain", "t")["policy"]["reasons"]
    assert "until it is mended" in reason
    assert "netwrok" in reason
    policy.chmod(0o666)
    others = program.run("worker", "policy", "check")
    assert others.code == 5
    assert f"chmod go-w '{policy}'" in others.err


def test_check_tells_of_missing_secrets_and_never_shows_one(program: Program, policy: Path) -> None:
    """Secrets are looked at, and shown by their source alone."""
    policy.write_text(
        policy.read_text()
        + '[secrets.HERE]\nfile = "here"\n[secrets.OPEN]\nfile = "open"\n[secrets.NONE]\nenv = "NO_SUCH"\n',
        encoding="utf-8",
    )
    for name, mode in (("here", 0o600), ("open", 0o644)):
        (policy.parent / name).write_text("hunter2", encoding="utf-8")
        (policy.parent / name).chmod(mode)
    checked = program.json("worker", "policy", "check")
    assert [words.split(":")[0] for words in checked["troubles"]] == ["secret OPEN", "secret NONE"]
    for command in ("check", "show"):
        for more in ((), ("--json",)):
            ran = program.ok("worker", "policy", command, *more)
            assert "hunter2" not in ran.out + ran.err


def test_check_warns_of_what_every_member_is_given(program: Program, policy: Path) -> None:
    """Secrets, and the whole machine, for every member are in order, and worth a word."""
    policy.write_text(
        '[secrets.T]\nenv = "HOME"\n[[allow]]\nname = "all"\nsubmitters = ["any-member"]\npayloads = ["command"]\n'
        'secrets = ["T"]\nsandbox = "process"\nmounts = [{ outside = "/no/such" }]\n',
        encoding="utf-8",
    )
    assert [words.split(" ")[2] for words in program.json("worker", "policy", "check")["troubles"]] == [
        "gives",
        "lets",
        "no",
    ]


def test_a_policy_elsewhere(program: Program, policy: Path, tmp_path: Path) -> None:
    """`--policy`, the environment and config.toml name another file, in that order."""
    files = {}
    for name in ("flag", "variable", "file"):
        files[name] = tmp_path / f"{name}.toml"
        files[name].write_text(policy.read_text().replace("own commands", name), encoding="utf-8")
        files[name].chmod(0o600)
    config = program.home / "config.toml"
    config.write_text('[worker]\npolicy = "../file.toml"\n', encoding="utf-8")
    config.chmod(0o600)

    def rule(program: Program, *args: str) -> Any:
        return program.json("worker", "policy", "show", *args)["allow"][0]["name"]

    assert rule(program) == "file"
    loud = replace(program, extra={"P2P_WORKFLOW_WORKER_POLICY": str(files["variable"])})
    assert rule(loud) == "variable"
    assert rule(loud, "--policy", str(files["flag"])) == "flag"
    submit(program, "t", {"argv": ["make"]})
    assert program.json("explain", "t")["policy"]["rule"] == "file"


def test_without_a_ledger_the_ledger_comes_first(program: Program) -> None:
    """`worker run` in an empty home names `init`, not a policy that could not be written yet."""
    ran = program.run("worker", "run")
    assert ran.code == 3
    assert "found one with `p2p-workflow init`" in ran.err


def test_check_tells_of_a_rule_that_lets_nothing_run(program: Program, policy: Path) -> None:
    """Root is not bound by a limit of processes without a sandbox, so such a rule would refuse every run."""
    text = policy.read_text().replace('sandbox = "bubblewrap"', 'sandbox = "process"')
    policy.write_text(text)
    said = program.json("worker", "policy", "check")["troubles"]
    assert any("lets nothing run on this machine" in words for words in said) == (os.geteuid() == 0)
    policy.write_text(text.replace("processes = 256", ""))
    assert program.json("worker", "policy", "check")["troubles"] == []
    assert "is in order" in program.ok("worker", "policy", "check").out
