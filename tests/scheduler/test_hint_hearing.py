"""Hints that come to a home: whoever sends whatever, only members are heard, and only of what they may say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from crdt.clock import clock_root
from ledger.cid import Cid
from ledger.hint_gate import SENDER_BURST
from ledger.hints import decode_hint, sign_hint
from ledger.keys import SigningKey
from ledger.network_tables import open_network
from ledger.news import encode_news
from ledger.operations import Attachment, Spec
from scheduler.actions import SubmitRequest, submit
from scheduler.endpoints import Endpoint, Endpoints
from scheduler.hint_hearing import Hearing
from scheduler.hint_making import GAP_MS, HintMaker, Reach, Rhythm
from scheduler.peer_report import differing
from tests.scheduler.desk import START_MS, Desk

NODE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


@dataclass
class Ear:
    """A home that hears: `desk` is its own, `there` another home of the ledger whose peer is `b`."""

    desk: Desk
    there: Desk
    hearing: Hearing
    words: list[str]
    wanted: list[Endpoint]
    network: Endpoints
    at: int = field(default=START_MS)

    def hint(self, key: SigningKey | None = None, **more: object) -> bytes:
        """Return what `there` would say, a moment later than the last, with fields changed."""
        self.at += 1
        maker = HintMaker(self.there.home, "b")
        made = decode_hint(maker.make([key or self.there.peer("b")], Reach(NODE))[0])
        return sign_hint(key or self.there.peer("b"), replace(made, **{"time": self.at} | more))  # type: ignore[arg-type]  # fields of a hint


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """Give a home that hears, and one that tells."""
    words: list[str] = []
    wanted: list[Endpoint] = []
    with Desk(tmp_path / "here") as desk, open_network(desk.home.folder) as network:
        desk.peer("a")
        desk.home.members.put_to_work(desk.home.keys.ensure("b"), "b")
        with Desk(tmp_path / "there", source=desk) as there:
            there.home.keys.add("b", desk.home.keys.load("b"))
            hearing = Hearing(desk.home, network, lambda kind, said: words.append(kind), wanted.append)
            yield Ear(desk, there, hearing, words, wanted, Endpoints(network))


def test_a_members_hint_is_a_heartbeat_and_nothing_else(ear: Ear) -> None:
    """It is heard of at its own time; nothing is appended, nothing is asked where nothing lacks."""
    desk = ear.desk
    with desk.home.reading():
        heads = desk.home.board.heads
    desk.now += 1_000
    assert ear.hearing.hear(ear.hint(time=desk.now + 5_000), NODE) is not None
    ear.hearing.flush()
    with desk.home.reading():
        assert desk.home.heard_of()[ear.there.peer("b").actor] == desk.now  # never later than our own clock
        assert desk.home.board.heads == heads
    assert (ear.wanted, ear.words) == ([], [])


def test_unknown_heads_are_asked_for(ear: Ear) -> None:
    """Where the hint says its node is; also where the heads are too many to be named."""
    ear.there.submit(ear.there.peer("b"), "task")
    ear.hearing.hear(ear.hint(), NODE)
    ear.hearing.hear(ear.hint(heads=(), clock=bytes(32)), NODE)
    assert [one.peer_id for one in ear.wanted] == [NODE, NODE]


def test_addresses_are_kept_where_they_are_of_the_hints_own_node(ear: Ear) -> None:
    """Nobody sends others to a node that is not its own; what is no address is passed over."""
    other = "12D3KooWJbJFaZ1dwpuu9tQY3ELCKCpWMJc1dSRVbcMwhiLiFq7q"
    own, url = f"/ip4/192.0.2.1/tcp/4001/p2p/{NODE}", "http://192.0.2.1:8080"
    told = (own, f"/ip4/192.0.2.9/tcp/4001/p2p/{other}", "nonsense")
    ear.hearing.hear(ear.hint(addresses=told, urls=(url,)), NODE)
    assert {one.endpoint.address for one in ear.network.known()} == {own, url}


def test_strangers_forgeries_repeats_and_floods_are_dropped(ear: Ear) -> None:
    """By rule, and counted; afterwards a member is heard as before."""
    stranger = SigningKey.generate()
    good = ear.hint()
    hint = decode_hint(good)
    forged = replace(hint, time=hint.time + 1).encode()
    assert ear.hearing.hear(good, NODE) is not None
    for data, sender in (
        (good, NODE),
        (ear.hint(stranger), NODE),
        (forged, NODE),
        (ear.hint(), "another node"),
        (b"\xff" * 100, NODE),
        (bytes(100_000), NODE),
        (ear.hint(time=START_MS - 10_000_000), NODE),
    ):
        assert ear.hearing.hear(data, sender) is None
    assert ear.hearing.dropped == {"H4": 2, "H3": 2, "H2": 1, "H1": 2}
    for _ in range(2 * SENDER_BURST):
        ear.hearing.hear(b"", "flood")
    assert ear.hearing.dropped["H5"] == SENDER_BURST
    assert ear.hearing.hear(ear.hint(), NODE) is not None
    ear.hearing.flush()
    assert len(ear.network.peers()) == 1


def test_another_state_root_is_said_once_kept_and_taken_back(ear: Ear) -> None:
    """Loud, for as long as it is so; other rules or another log are no contradiction (H6)."""
    actor = ear.there.peer("b").actor
    ear.hearing.hear(ear.hint(state_root=b"\1" * 32, reducer=9), NODE)
    assert ear.words == []
    for _ in range(3):
        ear.hearing.hear(ear.hint(state_root=b"\1" * 32), NODE)
    assert ear.words == ["roots_differ"]
    ear.hearing.flush()
    assert differing(ear.desk.home.folder) == [actor]
    ear.hearing.hear(ear.hint(state_root=b"\1" * 32, heads=(), clock=bytes(32)), NODE)
    ear.hearing.flush()
    assert differing(ear.desk.home.folder) == [actor]
    ear.hearing.hear(ear.hint(), NODE)
    ear.hearing.flush()
    assert ear.words == ["roots_differ", "roots_agree"]
    assert differing(ear.desk.home.folder) == []


def test_news_is_taken_in_and_judged_as_anything(ear: Ear) -> None:
    """A member's events are on the board at once; a stranger's, or another ledger's, are not even looked at twice."""
    record = ear.there.submit(ear.there.peer("b"), "task")
    with ear.there.home.reading():
        block = ear.there.home.events.find_block(record.submits[0])
    assert block is not None
    assert ear.hearing.hear_news(encode_news(ear.desk.home.ledger, [block]) or b"", NODE)
    assert ear.desk.record(record.key).submits == record.submits
    assert ear.hearing.hear_news(encode_news(Cid.of(b""), [block]) or b"", NODE)
    assert ear.hearing.hear_news(encode_news(ear.desk.home.ledger, [block[:-1]]) or b"", NODE)
    assert ear.hearing.dropped["H8"] == 1
    assert not ear.hearing.hear_news(ear.hint(), NODE)


def test_what_news_links_is_asked_for_where_it_came_from(ear: Ear) -> None:
    """News has no room for blobs, and once its events are here nothing else would ask for them."""
    data = b"a payload of its own"
    blob = Cid.of_raw(data)
    spec = Spec("task", "w", "task", ("p2p-only",), payload=Attachment("text/plain", blob=blob, size=len(data)))
    record = submit(ear.there.home, ear.there.peer("b"), SubmitRequest(spec, blobs={blob: data}))[0].record
    with ear.there.home.reading():
        block = ear.there.home.events.find_block(record.submits[0])
    assert block is not None
    news = encode_news(ear.desk.home.ledger, [block]) or b""
    assert ear.hearing.hear_news(news, NODE)
    assert [one.address for one in ear.wanted] == [f"/p2p/{NODE}"]
    assert ear.hearing.hear_news(news, NODE)  # which is none any more
    assert len(ear.wanted) == 1


def test_who_speaks_for_a_home(ear: Ear) -> None:
    """Its own peer, else any member; and workers that were heard of in it lately."""
    home = ear.desk.home
    maker = HintMaker(home, "a")
    a, b = home.keys.load("a").actor, home.keys.load("b").actor
    assert [key.actor for key in maker.speakers()] == [a, b]
    ear.desk.now += 1_000_000
    assert [key.actor for key in maker.speakers()] == [a]
    assert len(HintMaker(home, "nobody").speakers()) == 1
    times = [decode_hint(maker.make([home.keys.load("a")], Reach())[0]).time for _ in range(3)]
    assert times == [ear.desk.now, ear.desk.now + 1, ear.desk.now + 2]


def test_when_hints_are_told() -> None:
    """At once where the log has changed, but with a gap; else when it is time, with jitter."""
    one, two = (Cid.of(b"1"),), (Cid.of(b"2"),)
    rhythm = Rhythm(20_000, lambda: 1.0)
    assert rhythm.due_at(one) <= START_MS
    rhythm.told(one, START_MS)
    assert rhythm.due_at(one) == START_MS + 25_000
    assert rhythm.due_at(two) == START_MS + GAP_MS
    rhythm.hurry()
    assert rhythm.due_at(one) <= START_MS


def test_a_hint_says_what_the_home_is_at(ear: Ear) -> None:
    """Heads, root and count of one state."""
    hint = decode_hint(ear.hint())
    with ear.there.home.reading():
        board = ear.there.home.board
        assert (hint.heads, hint.clock) == (board.heads, clock_root(board.heads))
        assert (hint.events, hint.state_root) == (sum(board.vector.values()), board.state_root())
