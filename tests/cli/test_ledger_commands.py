"""`append`, `replay`, `verify`, `log`, `show`, `tasks`, `explain`: what goes into the ledger, and what it says."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Final

import pytest

from cli import operation_json
from ledger import operation_codec
from tests.cli.program import Program, operation_lines


def test_append_signs_batches_and_prints_their_cids(program: Program) -> None:
    """Several operations make one event; every line printed is an event of the log."""
    program.ok("init")
    printed = program.ok("append", "-", text=operation_lines(300)).out.split()
    assert len(printed) == 3  # 128 operations each
    assert set(printed) <= {event["cid"] for event in program.json("log")["events"]}
    assert program.json("status")["pending_tasks"] == 300


def test_append_takes_every_operation_in_the_form_show_prints(program: Program, tmp_path: Path) -> None:
    """What `log` prints of an operation, `append` reads; heads, priority and time may be left out."""
    task = program.submit("a")["task_key"]
    spec = {"task_id": "b", "workflow_id": "w", "name": "B", "payload": {"media_type": "text/plain", "text": "hé"}}
    lines: list[dict[str, object]] = [
        {"op": "submit", "spec": spec, "priority": 9},
        {"op": "claim", "task": task, "lease_ms": 60000},
        {"op": "prioritize", "task": task, "priority": 2},
    ]
    file = tmp_path / "operations.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    cids = program.json("append", str(file))["events"]
    assert len(cids) == 2  # two operations on one task never share an event
    claim = {"claim": cids[0], "task": task}
    said = program.json("append", "-", text=json.dumps({"op": "complete", **claim}))
    assert said["without_effect"] == []
    shown = program.json("show", said["events"][0])
    assert [(op["op"], op["claim"]) for op in shown["ops"]] == [("complete", cids[0])]
    again = program.json("append", "-", text=json.dumps(shown["ops"][0] | {"follows": []}))
    assert [entry["rule"] for entry in again["without_effect"]] == ["F2d"]
    assert program.json("show", "b")["payload"] == {"media_type": "text/plain", "size": 3, "text": "hé"}


@pytest.mark.parametrize(
    ("line", "rule", "words"),
    [
        ('{"op": "launch"}', "M1", "line 1: unknown operation 'launch'"),
        ('{"op": "claim", "task": "00"}', "M2", "line 1: claim"),
        ('{"op": "cancel", "task": "zz", "follows": []}', "M2", "line 1: cancel"),
        ('{"op": "submit", "spec": {"task_id": "", "workflow_id": "w", "name": "n"}}', "M2", "task_id"),
        ('{"op": "submit", "spec": {"task_id": "a", "workflow_id": "w", "name": "n", "x": 0.5}}', "A2", "line 1"),
        ("[1]", "A3", "line 1"),
        ("not json", None, "line 1: no JSON"),
    ],
)
def test_a_line_that_means_nothing_stops_all_before_anything_is_signed(
    program: Program, line: str, rule: str | None, words: str
) -> None:
    """The error names the line and the rule; no event is made, not for the good lines either."""
    program.submit("a")
    before = program.json("clock")["heads"]
    ran = program.run("append", "-", "--json", text=f"{line}\n{operation_lines(1)}")
    assert (ran.code, ran.json["error"]["rule"]) == (2, rule)
    assert words in ran.err
    assert program.json("clock")["heads"] == before


def test_finished_blocks_must_pass_acceptance(program: Program, tmp_path: Path) -> None:
    """Blocks of a CAR, or one block, are taken in as they are; a forged one is refused with its rule."""
    program.submit("a")
    car = tmp_path / "all.car"
    program.ok("export", str(car))
    other = Program(tmp_path / "other")
    begun = program.json("log", "--oldest-first")["events"][0]["cid"]
    late = tmp_path / "late.car"
    program.ok("export", str(late), "--since", begun)
    other.ok("init", "--from", str(car))
    assert other.json("append", "--blocks", str(late))["events"] == []
    with sqlite3.connect(program.home / "ledger.sqlite3") as database:
        (block,) = database.execute("SELECT block FROM blocks ORDER BY id DESC LIMIT 1").fetchone()
    database.close()
    forged = tmp_path / "forged.block"
    forged.write_bytes(block[:-1] + bytes([block[-1] ^ 1]))
    ran = other.run("append", "--blocks", str(forged), "--json")
    assert ran.code == 6
    assert "(rule A" in ran.err or "rule" in ran.err


def test_replay_stops_where_it_is_told(program: Program) -> None:
    """A height, a time and a CID, which means its causal past; the trace says what each event changed."""
    program.submit("a")
    program.ok("complete", "--task-id", "a")
    events = program.json("log", "--oldest-first")["events"]
    assert [event["height"] for event in events] == [1, 2, 3, 4, 5]
    submit = events[2]
    for until in ("3", str(submit["time"]), submit["cid"]):
        told = program.json("replay", "--until", until)
        assert (told["events"], told["statuses"]) == (3, {"ready": 1})
        assert told["heads"] == [submit["cid"]]
    whole = program.json("replay", "--trace")
    assert whole["state_root"] == program.json("status")["state_root"]
    assert whole["statuses"] == {"done": 1}
    changed = [[(task["before"], task["after"]) for task in event["tasks"]] for event in whole["trace"]]
    assert changed == [[], [], [(None, "ready")], [("ready", "held")], [("held", "done")]]
    assert "a: held → done" in program.ok("replay", "--trace").out
    assert program.run("replay", "--until", "yesterday").code == 2


def test_verify_believes_nothing_that_was_derived(program: Program) -> None:
    """A board that was changed behind the ledger's back, and a block that was, are found; each with its rule."""
    program.submit("a")
    assert program.json("verify")["verified"]
    file = program.home / "ledger.sqlite3"
    with sqlite3.connect(file) as database:
        database.execute("UPDATE branches SET digest = zeroblob(32)")
    database.close()
    ran = program.run("verify", "--json")
    assert (ran.code, ran.json["faults"][0]["rule"]) == (6, "C6")
    with sqlite3.connect(file) as database:
        (block,) = database.execute("SELECT block FROM blocks ORDER BY id DESC LIMIT 1").fetchone()
        database.execute("UPDATE blocks SET block = ? WHERE block = ?", (block[:-1] + bytes([block[-1] ^ 1]), block))
    database.close()
    ran = program.run("verify", "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (7, "store_corrupt")


def test_show_knows_events_tasks_keys_and_blobs(program: Program, tmp_path: Path) -> None:
    """One command for whatever a CID, a name or a key is; what is nowhere is not found."""
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * 100)
    event = program.submit("a", "--payload", str(large))["event_cid"]
    shown = program.json("show", event)
    assert (shown["kind"], shown["in_log"], shown["stable"]) == ("event", True, True)
    task = program.json("show", "a")
    assert task["payload"]["size"] == 25_600
    blob = task["payload"]["blob"]
    assert program.json("show", blob) == {"kind": "blob", "cid": blob, "size": 25_600}
    actor = task["submitter"]["key"]
    assert program.json("show", actor)["name"] == "worker"
    assert program.json("show", "worker")["key"] == actor
    assert program.json("show", task["task_key"])["task_id"] == "a"
    assert program.run("show", "nothing").code == 3
    assert program.run("show", event[:-4] + "aaaa").code in (2, 3)
    out = tmp_path / "payload.bin"
    program.ok("next", "--payload", str(out))
    assert out.read_bytes() == large.read_bytes()


def test_tasks_are_filtered_and_explained(program: Program, tmp_path: Path) -> None:
    """By status, tag, workflow, submitter and holder; `explain` says whose turn it is and what it waits for."""
    tasks = [
        {"task_id": "a", "name": "A", "tags": ["p2p-only"]},
        {"task_id": "b", "name": "B", "needs": ["a"], "priority": 9, "payload": {"json": {"n": 1}}},
        {"task_id": "c", "name": "C", "workflow_id": "other", "not_before": "+1h"},
    ]
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(tasks))
    assert program.json("submit", "--file", str(file), "--workflow-id", "flow")["submitted"] == 3
    conflict = program.run("submit", "--file", str(file), "--workflow-id", "flow", "--json")
    assert (conflict.code, conflict.json["error"]["kind"]) == (4, "conflict")  # an hour from now is another time
    file.write_text("\n".join(json.dumps(task) for task in tasks[:2]))
    assert program.json("submit", "--file", str(file), "--workflow-id", "flow")["already"] == 2

    def names(*filters: str) -> set[str]:
        return {task["task_id"] for task in program.json("tasks", *filters)["tasks"]}

    assert program.json("next", "--lease", "1h")["task"]["task_id"] == "a"
    assert names() == {"a", "b", "c"}
    assert names("--status", "held") == {"a"} == names("--holder", "worker") == names("--tags", "p2p-only")
    assert names("--status", "ready,waiting", "--submitter", "worker") == {"b", "c"}
    assert names("--workflow-id", "other") == {"c"} == names("--status", "open", "--workflow-id", "other")
    assert program.json("tasks", "--limit", "1")["more"] is True
    assert program.run("tasks", "--status", "lost").code == 2
    explained = program.json("explain", "b")
    assert explained["status"] == "waiting"
    assert "worker" in program.ok("explain", "--task-id", "a").out


def test_a_worker_gives_back_fails_and_its_submitter_steers(program: Program, tmp_path: Path) -> None:
    """Release, fail, requeue, bump and cancel each say what they did, and are refused where they mean nothing."""
    program.submit("a", "--max-attempts", "1")
    program.ok("next")
    assert program.ok("release", "a", "--reason", "later").out == "✓ Task a released\n"
    assert program.run("release", "--task-id", "a").code == 4
    assert program.run("release").code == 2
    program.ok("next", "--lease", "90s")
    assert program.run("requeue", "a").code == 4
    log = tmp_path / "log.txt"
    log.write_text("it broke")
    program.ok("fail", "a", "--class", "crash", "--error", "boom", "--exit-code", "3", "--log", str(log))
    shown = program.json("show", "a")
    assert (shown["status"], shown["claims"][-1]["failure"]) == ("dead", {"class": "crash", "error": "boom"})
    program.ok("requeue", "a")
    assert program.json("bump", "a", "--priority", "9")["priority"] == 9
    assert program.json("bump", "a", "--priority", "9")["event_cid"] is None
    assert program.run("bump", "a", "--priority", "11").code == 2
    program.submit("b")
    program.ok("cancel", "b", "--reason", "not needed")
    assert program.run("complete", "--task-id", "b").out == "✗ task b was cancelled\n"
    stranger = Program(program.home, "stranger")
    refused = stranger.run("cancel", "a")
    assert refused.code == 5
    assert f"a key of this home may: --peer owner or --peer {program.peer}" in refused.err
    assert Program(program.home, "owner").run("cancel", "a").code == 0


def test_a_name_that_fits_several_tasks_asks_for_the_key(program: Program) -> None:
    """One's own task comes first; to anybody else two of a name are two, and the error lists their keys."""
    one, two = Program(program.home, "one"), Program(program.home, "two")
    keys = [peer.submit("same", "--priority", "3")["task_key"] for peer in (one, two)]
    assert one.json("show", "same")["task_key"] == keys[0]
    ran = Program(program.home, "three").run("explain", "same", "--json")
    assert (ran.code, sorted(ran.json["error"]["keys"])) == (3, sorted(keys))
    assert all(key in ran.err for key in keys)
    assert Program(program.home, "three").json("show", keys[1])["submitter"]["name"] == "two"


def test_results_go_with_the_completion_and_the_next_task_comes_with_it(program: Program, tmp_path: Path) -> None:
    """`complete --output` keeps the bytes; `--and-next` takes the next task in the same event."""
    program.submit("a", "--priority", "9")
    program.submit("b")
    program.ok("next")
    result = tmp_path / "result.json"
    result.write_text('{"answer": 42}')
    done = program.json("complete", "--task-id", "a", "--output", str(result), "--exit-code", "0", "--and-next")
    assert done["next"]["task_id"] == "b"
    assert done["next"]["claim"] == done["event_cid"]
    (completion,) = program.json("show", "a")["completions"]
    assert completion["output"] == {"media_type": "application/json", "size": 14, "text": '{"answer": 42}'}


def test_a_task_file_is_read_whole_before_anything_is_submitted(program: Program, tmp_path: Path) -> None:
    """The error names the task by its place and the field; nothing is in the ledger."""
    file = tmp_path / "tasks.json"
    for bad, words in (
        ({"task_id": "b"}, "task 2: workflow_id is missing"),
        ({"task_id": "b", "workflow_id": "w", "name": "n", "prio": 3}, "task 2: unknown fields: prio"),
        ({"task_id": "b", "workflow_id": "w", "name": "n", "priority": 11}, "task 2: priority must be from 1 to 10"),
        ({"task_id": "b", "workflow_id": "w", "name": "n", "payload": {"x": 1}}, "task 2: payload"),
    ):
        file.write_text(json.dumps([{"task_id": "a", "workflow_id": "w", "name": "A"}, bad]))
        ran = program.run("submit", "--file", str(file))
        assert ran.code == 2
        assert words in ran.out + ran.err
    assert not program.home.exists()


def test_reading_commands_append_nothing_and_need_no_right_to_write(program: Program, tmp_path: Path) -> None:
    """On a home that cannot be written they answer as before; what writes says why it cannot."""
    program.submit("a")
    heads = program.json("clock")["heads"]
    reading = (
        ("status",), ("clock",), ("tasks",), ("log",), ("show", "a"), ("explain", "a"), ("members", "list"),
        ("replay",), ("verify",), ("export", str(tmp_path / "out.car")), ("keys", "list"),
    )  # fmt: skip
    for command in reading:
        program.ok(*command)
    assert program.json("clock")["heads"] == heads
    files = [program.home, *program.home.rglob("*")]
    modes = {file: file.stat().st_mode for file in files}
    for file in files:
        file.chmod(modes[file] & ~0o222)
    try:
        for command in reading:
            ran = _run_without_override(program, *command)
            assert ran.returncode == 0, (command, ran.stderr)
        refused = _run_without_override(program, "submit", "--task-id", "b", "--workflow-id", "w", "--name", "n")
        assert refused.returncode == 7, refused.stderr
    finally:
        for file in files:
            file.chmod(modes[file])
    assert program.json("clock")["heads"] == heads


def _run_without_override(program: Program, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command for which the rights of files hold, also where the tests run as root."""
    return subprocess.run(
        program.command(*args),
        env=program.environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_drop_override if os.geteuid() == 0 else None,  # no threads are running
    )


def _drop_override() -> None:
    """Give up root's right to pass over the rights of files, for good (PR_CAPBSET_DROP of CAP_DAC_OVERRIDE)."""
    if ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) != 0:
        raise OSError("prctl")


def test_a_store_that_is_damaged_is_told_as_such(program: Program) -> None:
    """A file that is no database: exit 7, where it is, and what to do."""
    program.submit("a")
    shutil.copy(program.home / "ledger.sqlite3", program.home / "kept")
    (program.home / "ledger.sqlite3").write_bytes(b"this is a letter, and no database. " * 200)
    for name in ("-wal", "-shm"):
        (program.home / f"ledger.sqlite3{name}").unlink(missing_ok=True)
    ran = program.run("tasks", "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (7, "store_corrupt")
    assert str(program.home) in ran.err
    assert "move it away" in ran.err


_SPEC: Final = {"task_id": "a", "workflow_id": "w", "name": "A"}


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ({"spec": _SPEC | {"tags": ["bogus"]}}, "unknown_tag", "line 2: unknown tag 'bogus'"),
        ({"spec": _SPEC | {"tags": ["p2p-only,unit-test"]}}, "unknown_tag", "line 2: unknown tag 'p2p-only,unit-test'"),
        ({"spec": _SPEC | {"tags": ["p2p-only", "unit-test"]}}, "tag_conflict", "line 2: tags conflict"),
        ({"spec": {"task_id": "t0", "workflow_id": "flow", "name": "other"}}, "conflict", "line 2: another request"),
        ({"spec": {"task_id": "old", "workflow_id": "flow", "name": "other"}}, "conflict", "line 2: another request"),
        ({"spec": _SPEC, "prio": 9}, "input", "line 2: submit: unknown fields: prio"),
        ({"spec": _SPEC | {"tag": []}}, "input", "line 2: spec: unknown fields: tag"),
        (
            {"spec": _SPEC | {"payload": {"media_type": "a/b", "text": "", "type": "x"}}},
            "input",
            "line 2: payload: unknown fields: type",
        ),
    ],
)
def test_append_refuses_before_it_signs_what_submit_refuses(
    program: Program, line: dict[str, object], kind: str, words: str
) -> None:
    """Other tags, a name used for another task here or in the same input, unknown fields: the line, and no event."""
    program.submit("old")
    before = program.json("clock")["heads"]
    ran = program.run("append", "-", "--json", text=operation_lines(1) + json.dumps({"op": "submit"} | line))
    assert (ran.code, ran.json["error"]["kind"]) == (4 if kind == "conflict" else 2, kind)
    assert ran.json["error"]["message"].startswith(words)
    if "unknown fields" in words:
        assert "known are" in ran.json["error"]["advice"]
    assert program.json("clock")["heads"] == before


def test_append_takes_the_very_same_task_again_and_anothers_name(program: Program) -> None:
    """The same request is the same task, and a name belongs to its submitter only: neither is refused."""
    program.ok("init")
    program.ok("append", "-", text=operation_lines(1))
    program.ok("append", "-", text=operation_lines(1) * 2)
    other = json.dumps({"op": "submit", "spec": {"task_id": "t0", "workflow_id": "flow", "name": "another's"}})
    program.ok("append", "-", "--peer", "other", text=other)
    assert len(program.json("tasks")["tasks"]) == 2


def test_the_fields_append_knows_are_those_the_ledger_reads() -> None:
    """No operation, and no field, that the ledger's reader names is unknown to `append`, nor the other way round."""
    source = Path(operation_codec.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r"(?:fields|found|report), \"(\w+)\"", source)) | {"task", "data"}
    inner = {"spec", "payload", "backoff", "report"}
    known = {name for fields in operation_json._FIELDS.values() for name in fields}
    assert known - read == {"op", "text"}
    assert read - known == set()
    assert operation_json._FIELDS.keys() - inner == operation_codec._READERS.keys()
