"""What a home tells the topic: its own events at once and each once, hints when it is time."""

from __future__ import annotations

from ledger.hints import decode_hint
from ledger.news import EVENTS_MAX, decode_news
from scheduler.hint_making import Reach
from scheduler.home_keys import READ_EVERY_MS, HomeKeys
from scheduler.peer_telling import NEWS_BURST, Teller
from tests.scheduler.desk import Desk


def teller(desk: Desk, said: list[bytes]) -> Teller:
    """Return a teller of the desk's home that has not told of anything yet."""
    return Teller(desk.home, "a", HomeKeys(desk.home), said.append, lambda: 0.5)


def told(desk: Desk, message: bytes) -> int:
    """Return how many events a message tells."""
    return len(decode_news(message, desk.home.ledger) or [])


def test_own_events_are_told_once(desk: Desk) -> None:
    """And what was there before is not news."""
    key, said = desk.peer("a"), list[bytes]()
    found = teller(desk, said)
    assert found.tell_news(desk.now, may_tell=True) is None
    desk.submit(key, "one")
    desk.submit(key, "two")
    found.tell_news(desk.now, may_tell=True)
    found.tell_news(desk.now, may_tell=True)
    assert [told(desk, message) for message in said] == [2]


def test_news_is_not_told_where_it_may_not_be_or_is_too_much(desk: Desk) -> None:
    """Nor later: the hint leads to it."""
    key, said = desk.peer("a"), list[bytes]()
    found = teller(desk, said)
    desk.submit(key, "hidden")
    found.tell_news(desk.now, may_tell=False)
    for n in range(EVENTS_MAX + 1):
        desk.submit(key, f"many {n}")
    found.tell_news(desk.now, may_tell=True)
    assert said == []


def test_news_of_others_is_not_told_again(desk: Desk) -> None:
    """Who received an event does not send it on: whoever signed it has told it."""
    elsewhere = desk.peer("b")
    said: list[bytes] = []
    found = teller(desk, said)
    next((desk.home.folder / "keys").glob("b*")).unlink()
    desk.now += READ_EVERY_MS
    desk.submit(elsewhere, "theirs")
    found.tell_news(desk.now, may_tell=True)
    assert said == []


def test_a_flood_of_own_events_is_gathered(desk: Desk) -> None:
    """Never more messages than readers listen to; nothing is left out."""
    key, said = desk.peer("a"), list[bytes]()
    found = teller(desk, said)
    for n in range(NEWS_BURST):
        desk.submit(key, f"task {n}")
        assert found.tell_news(desk.now, may_tell=True) is None
    desk.submit(key, "one more")
    again = found.tell_news(desk.now, may_tell=True)
    assert len(said) == NEWS_BURST
    assert again is not None
    desk.now = again + 1
    desk.submit(key, "and another")
    found.tell_news(desk.now, may_tell=True)
    assert [told(desk, message) for message in said[NEWS_BURST:]] == [2]


def test_hints_are_told_when_it_is_time(desk: Desk) -> None:
    """At first, and where the log has changed; the last one is at hand for exchanges."""
    key, said = desk.peer("a"), list[bytes]()
    found = teller(desk, said)
    with desk.home.reading():
        heads = desk.home.board.heads
    due = found.tell_hints(heads, Reach("node"), desk.now)
    assert due == desk.now + desk.home.policy.lease_ms // 3
    assert [decode_hint(message).peer_id for message in said] == ["node"]
    assert found.hint == said[0]
    assert found.speaker is not None
    assert found.speaker.actor == key.actor
    found.tell_hints(heads, Reach("node"), desk.now)
    assert len(said) == 1
    found.hurry()
    found.tell_hints(heads, Reach("node"), desk.now)
    assert len(said) == 2


def test_a_home_without_a_member_tells_nothing(desk: Desk) -> None:
    """Nobody would listen."""
    for name in desk.home.keys.names():
        next((desk.home.folder / "keys").glob(f"{name}*")).unlink()
    said: list[bytes] = []
    found = teller(desk, said)
    with desk.home.reading():
        heads = desk.home.board.heads
    found.tell_hints(heads, Reach(), desk.now)
    assert (said, found.hint, found.speaker) == ([], b"", None)


def test_a_bad_key_file_keeps_no_other_from_its_work(desk: Desk) -> None:
    """It is passed over."""
    desk.peer("a")
    path = next((desk.home.folder / "keys").glob("owner*"))
    path.write_text("nonsense")
    assert set(HomeKeys(desk.home).all()) == {"a"}
