"""Homes that worked apart meet: by folder, by CAR, and before a stranger without any home."""

from __future__ import annotations

import io
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest

from ledger.acceptance import Linked, linked_genesis
from ledger.car import read_car, write_car
from ledger.cid import Cid
from ledger.events import Genesis
from ledger.keys import SigningKey
from ledger.operations import Leave
from ledger.signing import draft_event
from tests.cli.program import DEADLINE_S, Program, operation_lines

T0: Final = 1_700_000_000_000


def meet(tmp_path: Path) -> list[Program]:
    """Return three homes of one ledger, each with a key of its own that the first, the owner's, has admitted."""
    homes = [Program(tmp_path / name, name) for name in ("ann", "ben", "cy")]
    ann, ben, cy = homes
    ann.ok("init", "--name", "three")
    for home in (ben, cy):
        key = home.json("init", "--from", str(ann.home))["peer_key"]
        ann.ok("members", "admit", key, "--name", home.peer)
        home.ok("sync", str(ann.home))
    return homes


def state_roots(homes: list[Program]) -> set[str]:
    """Return the distinct state roots of some homes."""
    return {home.json("status")["state_root"] for home in homes}


def test_three_homes_that_worked_apart_agree_and_a_stranger_verifies(tmp_path: Path) -> None:
    """Each submits and completes by itself; after a sync by folder and one by CAR all have one state root."""
    homes = meet(tmp_path)
    ann, ben, cy = homes
    car = tmp_path / "carried.car"
    for home in homes:
        home.submit(f"task-of-{home.peer}")
        home.ok("complete", "--task-id", f"task-of-{home.peer}")
    assert len(state_roots(homes)) == 3
    ben.ok("sync", str(ann.home))
    ben.ok("sync", str(car))
    cy.ok("sync", str(car))
    ann.ok("sync", str(car))
    last = ben.json("sync", str(car))
    assert last["sent"] == {"events": 0}
    (root,) = state_roots(homes)
    tasks = {task["task_id"]: task["status"] for task in cy.json("tasks")["tasks"]}
    assert tasks == {"task-of-ann": "done", "task-of-ben": "done", "task-of-cy": "done"}
    stranger = Program(tmp_path / "nowhere")
    told = stranger.json("verify", str(car), "--state-root", root)
    assert (told["verified"], told["state_root"], told["tasks"]) == (True, root, 3)
    assert not stranger.home.exists()


def test_the_same_task_claimed_apart_has_one_result(tmp_path: Path) -> None:
    """Two homes complete one task before they meet: one result, the same for both, the other is kept."""
    ann, ben, _ = meet(tmp_path)
    ann.submit("shared")
    ben.ok("sync", str(ann.home))
    for home in (ann, ben):
        home.ok("complete", "--task-id", "shared")
    ann.ok("sync", str(ben.home))
    shown = [home.json("show", "shared") for home in (ann, ben)]
    assert shown[0]["result"] == shown[1]["result"]
    assert {done["peer"]["name"] for done in shown[0]["completions"]} == {"ann", "ben"}


def test_export_and_import_say_what_became_of_each_block(program: Program, tmp_path: Path) -> None:
    """The whole log, what is new since heads, and one task; a second import accepts nothing."""
    program.submit("a")
    heads = program.json("clock")["heads"]
    program.submit("b")
    car, part, one = (tmp_path / name for name in ("all.car", "part.car", "one.car"))
    assert program.json("export", str(car))["events"] == 4
    assert program.json("export", str(part), "--since", heads[0])["events"] == 1
    assert program.json("export", str(one), "--task", "a")["events"] == 3
    other = Program(tmp_path / "other")
    assert other.json("init", "--from", str(one))["events"] == 3
    taken = other.json("import", str(part))
    assert (taken["accepted"], taken["refused"]) == (1, 0)
    again = other.json("import", str(car))
    assert (again["accepted"], again["known"]) == (0, 5)  # the genesis, too
    piped = subprocess.run(program.command("export", "-"), env=program.environment(), capture_output=True, check=True)
    assert piped.stdout == car.read_bytes()


def test_what_waits_and_what_is_refused_is_said_with_its_rule(program: Program, tmp_path: Path) -> None:
    """Events without what they link wait until it comes; another ledger's are refused by A4, with exit code 6."""
    program.submit("a")
    begun, late, between = (tmp_path / name for name in ("begun.car", "late.car", "between.car"))
    program.ok("export", str(begun))
    after_a = program.json("clock")["heads"]
    after_b = [program.submit("b")["event_cid"]]
    program.submit("c")
    program.ok("export", str(late), "--since", after_b[0])
    program.ok("export", str(between), "--since", after_a[0])
    other = Program(tmp_path / "other")
    other.ok("init", "--from", str(begun))
    waits = other.json("import", str(late))
    assert (waits["accepted"], waits["waiting"]) == (0, 1)
    ((waiting, missing),) = ((entry["cid"], entry["missing"]) for entry in waits["waiting_events"])
    assert missing == after_b
    assert f"waiting {waiting}: for {after_b[0]}" in other.ok("import", str(late)).out
    assert "1 waiting" in other.ok("status").out
    assert other.json("status")["waiting_events"] == 1
    taken = other.json("import", str(between))
    assert (taken["accepted"], taken["accepted_events"]) == (2, [*after_b, waiting])
    stranger = Program(tmp_path / "stranger")
    stranger.ok("init")
    refused = stranger.run("import", str(late), "--json")
    assert refused.code == 6
    assert {reason["rule"] for reason in refused.json["reasons"]} == {"A4"}
    assert "A4" in stranger.ok("show", refused.json["reasons"][0]["cid"]).out


@pytest.mark.parametrize("damage", ["flip", "cut", "text"])
def test_a_damaged_car_is_not_verified(program: Program, tmp_path: Path, damage: str) -> None:
    """A flipped bit, a file that breaks off and a file that is no CAR: exit 6, and what is wrong."""
    program.submit("a")
    car = tmp_path / "all.car"
    program.ok("export", str(car))
    data = bytearray(car.read_bytes())
    match damage:
        case "flip":
            data[-10] ^= 1
        case "cut":
            del data[-10:]
        case _:
            data = bytearray(b"no CAR at all")
    car.write_bytes(data)
    ran = program.run("verify", str(car), "--json")
    assert ran.code == 6
    document: dict[str, Any] = ran.json
    assert "error" in document or document["faults"]
    assert program.ok("verify").out.startswith("✓ every hash, signature and rule holds\n")


def sections_of(data: bytes) -> list[int]:
    """Return where the sections of a CAR end."""
    stream = io.BytesIO(data)
    return [stream.tell() for _ in read_car(stream)]


def test_verify_compares_the_heads_with_the_roots(program: Program, tmp_path: Path) -> None:
    """A file without its last sections, without roots, or with more than its roots reach is a fault; a part is none."""
    program.submit("a")
    middle = program.json("clock")["heads"]
    program.submit("b")
    car, part, bad = (tmp_path / name for name in ("all.car", "part.car", "bad.car"))
    program.ok("export", str(car))
    program.ok("export", str(part), "--task", "a")
    assert program.json("verify", str(part))["verified"]
    data = car.read_bytes()
    ends = sections_of(data)
    for end in (ends[0], ends[-2]):
        bad.write_bytes(data[:end])
        ran = program.run("verify", str(bad), "--json")
        assert ran.code == 6
        assert "its end may be cut off" in ran.json["faults"][0]["words"]
        entered = Program(tmp_path / f"entered-{end}").run("init", "--from", str(bad), "--json")
        assert "its end may be cut off" in entered.err
    blocks = list(read_car(io.BytesIO(data)))
    for roots, words in (([], "no roots"), ([Cid.parse(middle[0])], "not in the causal past")):
        with bad.open("wb") as stream:
            write_car(stream, roots, blocks)
        ran = program.run("verify", str(bad), "--json")
        assert (ran.code, len(ran.json["faults"])) == (6, 1)
        assert words in ran.json["faults"][0]["words"]


def test_verify_knows_whom_it_is_about_and_reads_stdin(program: Program, tmp_path: Path) -> None:
    """`--ledger` is compared with the genesis, or picks it among several; - is stdin."""
    program.submit("a")
    other = Program(tmp_path / "other")
    other.submit("b")
    car = tmp_path / "all.car"
    ledger = program.json("export", str(car))["ledger"]
    another = other.json("export", str(tmp_path / "other.car"))["ledger"]
    assert program.json("verify", str(car), "--ledger", ledger)["verified"]
    assert program.json("verify", "--ledger", ledger)["verified"]
    for place in ([str(car)], []):
        ran = program.run("verify", *place, "--ledger", another, "--json")
        assert (ran.code, [fault["rule"] for fault in ran.json["faults"]]) == (6, ["A4"])
    assert program.run("verify", str(car), "--ledger", "nonsense").code == 2
    piped = subprocess.run(
        program.command("verify", "-"),
        input=car.read_bytes(),
        env=program.environment(),
        capture_output=True,
        check=True,
    )
    assert piped.stdout.decode().startswith("✓ every hash, signature and rule holds\n")


def test_another_state_root_than_told_is_a_fault(program: Program) -> None:
    """`--state-root` compares with what another peer has said."""
    program.submit("a")
    ran = program.run("verify", "--state-root", "00" * 32, "--json")
    assert (ran.code, ran.json["faults"][0]["rule"]) == (6, "C6")


def test_sync_refuses_itself_other_ledgers_and_empty_folders(program: Program, tmp_path: Path) -> None:
    """Nothing is written where two sides cannot exchange anything."""
    program.submit("a")
    other = Program(tmp_path / "other")
    other.submit("b")
    (tmp_path / "empty").mkdir()
    assert program.run("sync", str(program.home)).code == 2
    assert program.run("sync", str(other.home)).code == 4
    assert program.run("sync", str(tmp_path / "empty")).code == 2
    assert program.run("import", str(tmp_path / "none.car")).code == 3


def test_a_mistyped_home_does_not_become_a_file(program: Program, tmp_path: Path) -> None:
    """Only a name that ends in .car makes a new file: what is not there is refused, and nothing is written."""
    program.ok("init")
    for name in ("typo-home", "typo-home/"):
        ran = program.run("sync", f"{tmp_path}/{name}")
        assert (ran.code, "not there" in ran.err) == (2, True)
    assert not (tmp_path / "typo-home").exists()
    assert "wrote a new CAR" in program.ok("sync", str(tmp_path / "new.car")).err


def test_an_event_ahead_of_the_clock_is_held_until_then(program: Program, tmp_path: Path) -> None:
    """An import says until when it holds an event."""
    key = SigningKey.generate()
    genesis = Genesis("ahead", T0, b"n" * 16, (key.actor,))
    ledger, until = Cid.of(genesis.encode()), time.time_ns() // 1_000_000 + 86_400_000
    block = draft_event(
        key, ledger=ledger, grant=ledger, parents=[ledger], operations=[Leave()],
        find={ledger: linked_genesis(genesis)}.get, now_ms=until + genesis.policy.skew_ms,
    )  # fmt: skip
    car = tmp_path / "ahead.car"
    with car.open("wb") as stream:
        write_car(stream, [Cid.of(block)], [(ledger, genesis.encode()), (Cid.of(block), block)])
    held = [{"cid": str(Cid.of(block)), "until": until}]
    entered = program.json("init", "--from", str(car))
    assert (entered["taken"]["held"], entered["taken"]["held_events"]) == (1, held)
    assert "1 held" in program.ok("import", str(car)).out


@pytest.mark.parametrize("damage", ["flip", "cut", "refused", "waiting"])
def test_entering_by_a_damaged_car_says_so(program: Program, tmp_path: Path, damage: str) -> None:
    """`init --from` tells what was wrong as `import` does, with exit 6; the home is kept, and `import` completes it."""
    program.submit("a")
    program.submit("b")
    car, bad = tmp_path / "all.car", tmp_path / "bad.car"
    program.ok("export", str(car))
    data = bytearray(car.read_bytes())
    blocks = list(read_car(io.BytesIO(data)))
    match damage:
        case "flip":
            data[-10] ^= 1
        case "cut":
            del data[-10:]
        case "refused":
            stream = io.BytesIO()
            forged = blocks[-1][1][:-1] + bytes([blocks[-1][1][-1] ^ 1])
            write_car(stream, [], [*blocks[:-1], (Cid.of(forged), forged)])
            data = bytearray(stream.getvalue())
        case _:
            stream = io.BytesIO()
            write_car(stream, [], [*blocks[:-2], blocks[-1]])
            data = bytearray(stream.getvalue())
    bad.write_bytes(data)
    other = Program(tmp_path / "other")
    ran = other.run("init", "--from", str(bad), "--json")
    assert ran.code == (0 if damage == "waiting" else 6)
    assert ran.json["events"] == len(blocks) - (3 if damage == "waiting" else 2)
    taken = ran.json["taken"]
    told = {"flip": taken["bad"], "cut": taken["fault"], "refused": taken["refused"], "waiting": taken["waiting"]}
    assert [name for name, said in told.items() if said] == [damage]
    if damage != "waiting":
        assert "is kept: `import`" in ran.err
    other.ok("import", str(car))
    assert other.json("status")["state_root"] == program.json("status")["state_root"]


def test_streams_where_a_file_is_wanted(program: Program) -> None:
    """`init --from -` and `sync -` say that they want a file; unknown CIDs of --since are said to be unknown."""
    assert program.run("init", "--from", "-").code == 2
    program.submit("a")
    assert program.run("sync", "-").code == 2
    unknown = str(Cid.of(b"nowhere"))
    ran = program.ok("export", str(program.home / "out.car"), "--since", unknown)
    assert f"{unknown} is not known here" in ran.err


def test_sync_never_writes_over_the_file_of_another_ledger(program: Program, tmp_path: Path) -> None:
    """A CAR of another ledger is refused as another home is, with exit 4, and stays as it was."""
    program.submit("a")
    car = tmp_path / "backup.car"
    program.ok("export", str(car))
    before = car.read_bytes()
    other = Program(tmp_path / "other")
    other.ok("init")
    ran = other.run("sync", str(car), "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (4, "exchange")
    assert car.read_bytes() == before


def test_ctrl_c_while_appending_leaves_whole_batches(program: Program) -> None:
    """SIGINT ends the program with 130 and one line; every CID it printed is in the ledger, which is whole."""
    program.ok("init")
    running = program.start("append", "-")
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdin.write(operation_lines(6_000))
    running.stdin.close()
    first = running.stdout.readline().strip()  # a batch is durable, many are to come
    running.send_signal(signal.SIGINT)
    timer = threading.Timer(60, running.kill)
    timer.start()
    printed = {first, *running.stdout.read().split()}
    words = running.stderr.read()
    assert running.wait() == 130
    timer.cancel()
    assert words == "Interrupted: what was acknowledged is kept, nothing is half done.\n"
    events = program.json("log", "--limit", "0")["events"]
    kept = {event["cid"] for event in events}
    assert printed <= kept
    assert sum(len(event["ops"]) for event in events) < 6_000
    assert program.json("verify")["verified"]
    running.stdout.close()
    running.stderr.close()


def write_long_car(file: Path, length: int) -> None:
    """Write a CAR of a ledger with a chain of `length` events of its owner."""
    key = SigningKey.generate()
    genesis = Genesis("long", T0, b"n" * 16, (key.actor,))
    ledger = Cid.of(genesis.encode())
    linked = {ledger: linked_genesis(genesis)}
    blocks = {ledger: genesis.encode()}
    for _ in range(length):
        block = draft_event(
            key, ledger=ledger, grant=ledger, parents=[next(reversed(blocks))], operations=[Leave()], find=linked.get,
            now_ms=T0,
        )  # fmt: skip
        cid = Cid.of(block)
        blocks[cid] = block
        linked[cid] = Linked(len(blocks) - 1, T0)
    with file.open("wb") as stream:
        write_car(stream, [next(reversed(blocks))], blocks.items())


def count_events(home: Path) -> int:
    """Return how many events of a home are durable, without its help; 0 where there is no store yet."""
    try:
        database = sqlite3.connect(f"file:{home / 'ledger.sqlite3'}?mode=ro", uri=True, timeout=DEADLINE_S)
    except sqlite3.OperationalError:
        return 0
    try:
        found: int = database.execute("SELECT count(*) FROM blocks").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        database.close()
    return found


def test_ctrl_c_while_importing_leaves_whole_batches(program: Program, tmp_path: Path) -> None:
    """SIGINT ends an import with 130; what came is whole, and importing again brings the rest."""
    car = tmp_path / "long.car"
    write_long_car(car, 5_000)
    running = program.start("init", "--from", str(car))
    deadline = time.monotonic() + DEADLINE_S
    while not count_events(program.home):
        assert time.monotonic() < deadline
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=DEADLINE_S)
    assert (running.returncode, out) == (130, "")
    assert err.endswith("Interrupted: what was acknowledged is kept, nothing is half done.\n")
    assert "go on with `sync`" in err
    kept = count_events(program.home)
    assert 0 < kept < 5_000
    assert program.json("status")["events"] == kept
    assert program.json("import", str(car))["accepted"] == 5_000 - kept
    assert program.json("verify")["verified"]
