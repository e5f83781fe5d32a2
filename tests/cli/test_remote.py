"""`sync` with a peer by URL, and ledgers entered and caught up with by name: real servers, honest and not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.cid import Cid
from ledger.manifest import decode_manifest
from scheduler.home import Home
from scheduler.serving import HomeServer
from tests.audit import gateways as g
from tests.audit.ledgers import a_world, blocks_of, published
from tests.audit.records import NAME, record_for
from tests.cli.program import Program

WORLD = a_world(6)


@contextmanager
def serving(home: Program, *, public: bool = False) -> Iterator[str]:
    """Serve a home as its owner, and give the URL."""
    with Home.open(home.home) as opened:
        key = opened.keys.load("owner")
    with HomeServer(home.home, key, public=public) as server:
        yield f"http://127.0.0.1:{server.port}"


def two_homes(tmp_path: Path) -> tuple[Program, Program, str]:
    """Return two homes of one ledger, and the second's key, which no owner has admitted yet."""
    ann, ben = Program(tmp_path / "ann", "ann"), Program(tmp_path / "ben", "ben")
    ann.ok("init")
    return ann, ben, ben.json("init", "--from", str(ann.home))["peer_key"]


# ---- peers


def test_a_member_syncs_by_url(tmp_path: Path) -> None:
    """Both ways, with what it cost; afterwards both have one state root, and the next time costs little."""
    ann, ben, key = two_homes(tmp_path)
    ann.ok("members", "admit", key, "--name", "ben")
    ann.submit("one")
    with serving(ann) as url:
        first = ben.json("sync", url)
        assert first["received"]["accepted"] >= 2
        ben.submit("two")
        second = ben.json("sync", url)
        assert (second["received"]["accepted"], second["sent"]["accepted"]) == (0, second["sent"]["accepted"])
        assert second["sent"]["accepted"] >= 1
        assert 2 <= second["round_trips"] <= 4
        assert second["bytes"]["sent"] > 0
        words = ben.ok("sync", url)
        assert "round trips" in words.out
        assert f"State Root: {second['state_root']}" in words.out
    assert ann.json("status")["state_root"] == second["state_root"]


def test_who_is_no_member_is_not_served_and_told_what_to_do(tmp_path: Path) -> None:
    """Exit 5 with advice; where everybody may read, the same home gets all."""
    ann, ben, _ = two_homes(tmp_path)
    ann.submit("one")
    with serving(ann) as url:
        ran = ben.run("sync", url, "--json")
        assert (ran.code, ran.json["error"]["kind"]) == (5, "not_served")
        assert "members admit" in ran.json["error"]["advice"]
    with serving(ann, public=True) as url:
        assert ben.json("sync", url)["received"]["accepted"] >= 1


def test_a_peer_of_another_ledger_is_refused(tmp_path: Path) -> None:
    """Exit 4, with both ledgers named; nothing is taken in."""
    ann, _, _ = two_homes(tmp_path)
    other = Program(tmp_path / "other")
    other.ok("init", "--name", "other")
    with serving(ann) as url:
        ran = other.run("sync", url)
    assert ran.code == 4
    assert ann.json("status")["ledger"] in ran.err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("http://127.0.0.1:1",), 11, "cannot be reached"),
        (("/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQbpT1cTPfBYkCVB5Y2cCFZ9uu1GVLzMzHjN8Xg7YpbDN",), 11, "`ipfs start`"),
        (("ipns:" + NAME,), 11, "--gateway"),
        (("/ip4/127.0.0.1/tcp/1",), 2, "ends in /p2p/ID"),
        (("ipns:example.com", "--gateway", "http://127.0.0.1:1"), 2, "no IPNS name"),
        (("ipns:" + NAME, "--gateway", "ftp://x"), 2, "write the address of a gateway"),
        (("http://127.0.0.1:1", "--gateway", "http://127.0.0.1:1"), 2, "ipns:NAME"),
    ],
)
def test_a_place_that_cannot_be_reached_says_why(
    program: Program, args: tuple[str, ...], code: int, words: str
) -> None:
    """One clear sentence, and a code by which programs can tell."""
    program.ok("init")
    ran = program.run("sync", *args)
    assert ran.code == code, ran.err
    assert words in ran.out + ran.err


# ---- names


def gateway_of(*, part: list[Cid] | None = None, signed: bool = True, **lies: Any) -> g.Honest:
    """Return a gateway with a manifest of the ledger, or of a part of it, and its segments."""
    cid, blocks = published(WORLD, part, **lies)
    genesis = {WORLD.ledger: blocks_of(WORLD)[WORLD.ledger]}
    gateway = g.Honest({**blocks, **genesis}, {NAME: cid})
    if signed:
        gateway.records[NAME] = record_for(cid)
    return gateway


def test_a_new_home_gets_all_of_a_ledger_from_gateways(program: Program) -> None:
    """By segments, from two of which one is not there; then it is a home like any other."""
    with g.serving(gateway_of()) as served:
        entered = program.json("init", "--from", f"ipns:{NAME}", "--gateway", served.url, "--gateway", g.closed_port())
        assert (entered["ledger"], entered["events"]) == (str(WORLD.ledger), len(WORLD.events))
        assert entered["complete"]
        [manifest] = entered["manifests"]
        assert (manifest["root_agrees"], manifest["signed"], manifest["faults"]) == (True, True, [])
        assert manifest["segments"] > 1
        assert program.json("status")["ledger"] == str(WORLD.ledger)
        again = program.json("sync", f"/ipns/{NAME}", "--gateway", served.url)
        assert again["received"]["accepted"] == 0
        assert again["manifests"][0]["segments"] == 0  # what is here is not fetched again
        ran = program.run("init", "--from", f"ipns:{NAME}", "--gateway", served.url)
        assert ran.code == 4
        assert "✓ Ledger" not in ran.out


def test_an_existing_home_catches_up_by_name(program: Program) -> None:
    """A part first, the rest later; people read what came by whose word."""
    part = list(blocks_of(WORLD))[1:9]
    with g.serving(gateway_of(part=part)) as served:
        assert program.json("init", "--from", f"ipns:{NAME}", "--gateway", served.url)["events"] == len(part)
    with g.serving(gateway_of()) as served:
        words = program.ok("sync", f"ipns:{NAME}", "--gateway", served.url).out
    assert f"{len(WORLD.events) - len(part)} accepted" in words
    assert "signed by the name's key" in words


def test_a_manifest_that_lies_is_told_and_hides_nothing(program: Program) -> None:
    """Exit 6 with what is not so; what is right is in the home all the same."""
    with g.serving(gateway_of(state_root=bytes(32))) as served:
        ran = program.run("init", "--from", f"ipns:{NAME}", "--gateway", served.url, "--json")
    assert ran.code == 6
    [manifest] = ran.json["manifests"]
    assert [one["kind"] for one in manifest["faults"]] == ["root"]
    assert ran.json["events"] == len(WORLD.events)
    assert program.json("verify")["events"] == len(WORLD.events)


def test_segments_that_nobody_gives_are_named(program: Program) -> None:
    """Exit 11; another gateway brings what lacks."""
    gateway = gateway_of()
    lost = decode_manifest(gateway.blocks[gateway.names[NAME]]).segments[-1].cid
    whole = dict(gateway.blocks)
    del gateway.blocks[lost]
    with g.serving(gateway) as served:
        ran = program.run("init", "--from", f"ipns:{NAME}", "--gateway", served.url, "--json")
        assert ran.code == 11
        assert not ran.json["complete"]
        assert str(lost) in {one["cid"] for one in ran.json["manifests"][0]["faults"]}
        with g.serving(g.Honest(whole)) as other:
            mended = program.json("sync", f"ipns:{NAME}", "--gateway", served.url, "--gateway", other.url)
    assert mended["complete"]
    assert program.json("verify")["events"] == len(WORLD.events)


def test_a_gateways_word_alone_founds_no_home(program: Program) -> None:
    """Without a record that the name's key signed, somebody has to say which ledger it is."""
    with g.serving(gateway_of(signed=False)) as served:
        ran = program.run("init", "--from", f"ipns:{NAME}", "--gateway", served.url)
        assert ran.code == 11
        assert "by its own word alone" in ran.out + ran.err
        assert not (program.home / "ledger.sqlite3").exists()
        ran = program.run("init", "--from", f"ipns:{NAME}", "--gateway", served.url, "--ledger", str(Cid.of(b"other")))
        assert ran.code == 11
        assert not (program.home / "ledger.sqlite3").exists()
        program.ok("init", "--from", f"ipns:{NAME}", "--gateway", served.url, "--ledger", str(WORLD.ledger))


@pytest.mark.parametrize("hostile", [g.WrongBytes, g.Endless])
def test_a_hostile_gateway_beside_an_honest_one_changes_nothing(program: Program, hostile: type[g.Honest]) -> None:
    """What it gives is dropped, and said; the other gives all."""
    honest = gateway_of()
    bad = hostile(honest.blocks, honest.names)
    with g.serving(honest) as served, g.serving(bad) as evil:
        ran = program.run("init", "--from", f"ipns:{NAME}", "--gateway", evil.url, "--gateway", served.url, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["events"] == len(WORLD.events)
    assert evil.url in ran.err
