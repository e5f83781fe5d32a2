"""`audit` as people run it: the report, its exit codes, and what it says where it cannot go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.cid import Cid
from ledger.keys import did_key
from ledger.operations import Claim, Complete, Revoke
from tests.audit import gateways as g
from tests.audit.ledgers import ADA, BEN, a_world, blocks_of, published
from tests.audit.records import NAME, record_for
from tests.cli.program import Program
from tests.support.worlds import CREATED, World, a_spec

WORLD = a_world(4)
HEAD = WORLD.heads(WORLD.events)[0]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return the program, with a home that is not there and is not made."""
    return Program(tmp_path / "home")


@pytest.fixture
def honest() -> Iterator[g.Served]:
    """Run an honest gateway that has the ledger, its manifest and a record of its name."""
    cid, blocks = published(WORLD)
    gateway = g.Honest({**blocks, **blocks_of(WORLD)})
    gateway.records[NAME] = record_for(cid)
    with g.serving(gateway) as served:
        yield served


def test_a_clean_ledger_by_its_head_and_by_its_name(program: Program, honest: g.Served) -> None:
    """Exit 0, the board's numbers, who acted on whose authority; and no home comes to be."""
    for option, start, manifests in (("--head", str(HEAD), 0), ("--ipns", NAME, 1)):
        ran = program.run("audit", "--gateway", honest.url, option, start, "--json")
        assert ran.code == 0, ran.err
        report = ran.json
        assert (report["faults"], report["complete"], report["events"]) == (0, True, len(WORLD.events))
        assert report["heads"] == [str(HEAD)]
        people = {one["actor"]["name"]: one for one in report["people"]}
        assert people["ben"]["granted_by"]["key"] == did_key(WORLD.owners[0].actor)
        for one in report["work"]:  # who did what, when by his own word, and under what
            assert {"event", "actor", "time", "grant"} == one["submitted"].keys()
            assert all(deed["actor"]["name"] in people for deed in (one["submitted"], *one["claimed"]))
        assert any(one["completed"] for one in report["work"])
        assert people["ben"]["chain"] == [str(WORLD.grants[BEN.actor]), str(WORLD.ledger)]
        assert [one["lies"] for one in report["manifests"]] == [[]] * manifests
        assert [one["signed"] for one in report["names"]] == [True] * manifests
    assert not program.home.exists()


def test_people_get_the_same_in_words(program: Program, honest: g.Served) -> None:
    """A first line that says how it ended, and the people in it."""
    ran = program.run("audit", "--gateway", honest.url, "--ipns", NAME)
    assert ran.code == 0
    assert ran.out.startswith("✓ every hash, signature and rule holds, and nothing is missing\n")
    assert "ben: 9 events, 1970-01-01T00:16:40.002Z to" in ran.out
    assert "by a record that the name's key has signed" in ran.out


def test_the_history_of_one_task(program: Program, honest: g.Served) -> None:
    """With --task, each operation: who, when by his own word, under whose grant, and whether it is stable."""
    key = WORLD.submit(ADA, a_spec("task 2")).key
    ran = program.run("audit", "--gateway", honest.url, "--head", str(HEAD), "--task", key.hex(), "--json")
    history = ran.json["task_history"]
    assert [(one["actor"]["name"], one["op"]) for one in history["history"]] == [
        ("ada", "submit"),
        ("ben", "claim"),
        ("ben", "complete"),
    ]
    assert history["task_id"] == "task 2"
    assert all(one["stable"] and one["rule"] is None and one["granted_by"] for one in history["history"])
    words = program.run("audit", "--gateway", honest.url, "--head", str(HEAD), "--task", key.hex())
    assert "ben: complete, under a grant by did:key:" in words.out
    assert program.run("audit", "--gateway", honest.url, "--head", str(HEAD), "--task", "ab" * 32).code == 3


def faulty() -> tuple[World, dict[str, Cid]]:
    """Return a ledger with everything in it that an audit tells of."""
    world = a_world(1)
    marks: dict[str, Cid] = {}
    op = world.submit(ADA, a_spec("contested"))
    asked = world.event(ADA, op, time=CREATED + 50_000)
    claim = world.event(BEN, Claim(op.key, (asked,), 1_000))
    done = world.event(BEN, Complete(op.key, (claim,), claim))
    marks["J2"] = world.event(BEN, Complete(op.key, (claim,), claim))
    marks["J3"] = world.event(ADA, Claim(op.key, (asked,), 1_000), parents=(asked,))
    marks["J1"] = world.event(ADA, parents=(done,), time=CREATED + 60_000)
    world.event(ADA, Complete(op.key, (claim,), claim), parents=(marks["J1"], marks["J3"]))
    marks["fenced"] = world.event(ADA)
    return world, marks


def test_what_is_wrong_is_named_and_ends_with_6(program: Program) -> None:
    """Each finding under its rule; what is excused is told and is no fault."""
    world, marks = faulty()
    everything = world.event(world.owners[0], Revoke(world.grants[ADA.actor], ADA.actor, (marks["J3"],)))
    with g.serving(g.Honest(blocks_of(world))) as served:
        ran = program.run("audit", "--gateway", served.url, "--head", str(everything), "--json")
        assert ran.code == 6
        report: dict[str, Any] = ran.json
        found = {(one["rule"], one["event"]) for one in report["findings"]}
        assert {("J2", str(marks["J2"])), ("J3", str(marks["J3"]))} <= found
        assert "J1" in {rule for rule, _ in found}
        assert str(marks["fenced"]) in {one["event"] for one in report["fenced"]}
        assert report["fenced"][0]["revoked_by"] == [str(everything)]
        assert [one["task_id"] for one in report["superseded"]] == ["contested"]
        excused = program.run(
            "audit", "--gateway", served.url, "--head", str(everything), "--excuse", "J1", "J2", "J3", "--json"
        )
        assert excused.code == 0
        assert excused.json["findings"]
        words = program.run("audit", "--gateway", served.url, "--head", str(everything))
        assert words.code == 6
        assert words.out.startswith("✗ ")
        assert f"J2 {marks['J2']} by ben: " in words.out


def test_what_cannot_be_fetched_is_named_and_ends_with_11(program: Program) -> None:
    """Missing blocks with every gateway's reason; a gateway that is not there is told, with what to do."""
    lost = list(WORLD.events)[4]
    part = {cid: block for cid, block in blocks_of(WORLD).items() if cid != lost}
    nowhere = g.closed_port()
    with g.serving(g.Honest(part)) as served:
        ran = program.run("audit", "--gateway", served.url, nowhere, "--head", str(HEAD), "--json")
        assert ran.code == 11
        [missing] = ran.json["missing"]
        assert missing["cid"] == str(lost)
        assert len(missing["why"]) == 2
        assert ran.json["waiting"]
    ran = program.run("audit", "--gateway", nowhere, "--head", str(HEAD))
    assert ran.code == 11
    assert "unreachable" in ran.err
    assert "name another gateway" in ran.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--gateway", "http://127.0.0.1:1"), "nothing says which ledger"),
        (("--gateway", "http://127.0.0.1:1", "--task", "ab" * 32), "a task key is no address"),
        (("--gateway", "ftp://x", "--head", str(HEAD)), "write the address of a gateway"),
        (("--gateway", "http://me:secret@x", "--head", str(HEAD)), "no user, password"),
        (("--gateway", "http://127.0.0.1:1", "--ipns", "example.com"), "no IPNS name"),
        (("--gateway", "http://127.0.0.1:1", "--head", "nonsense"), "not the text of a CID"),
        (("--gateway", "http://127.0.0.1:1", "--head", str(HEAD), "--excuse", "A6"), "cannot be excused"),
        (("--head", str(HEAD)), "gateway"),
    ],
)
def test_arguments_that_lead_nowhere(program: Program, args: tuple[str, ...], words: str) -> None:
    """Exit 2, before anything is asked."""
    ran = program.run("audit", *args)
    assert ran.code == 2
    assert words in ran.err
