"""When each peer is asked: at once where there is a reason, less and less often where it fails, by one at a time."""

from __future__ import annotations

import threading
import time

from scheduler.endpoints import parse_endpoint
from scheduler.links import LINKS_MAX, POLL_S, RETRY_S_MAX, SILENT_POLL_S, Link, Links

NODE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def links(draw: float = 0.5) -> Links:
    """Return links whose chance stands still."""
    return Links(lambda: draw, 8.0)


def take(found: Links, now_s: float) -> Link:
    """Return the link that is due now."""
    link = found.next(lambda: now_s)
    assert link is not None
    return link


def test_addresses_of_one_node_are_one_link() -> None:
    """A URL is a link of its own; an address that is known changes nothing."""
    found = links()
    one, two = found.add([parse_endpoint(f"/ip4/192.0.2.1/tcp/1/p2p/{NODE}"), parse_endpoint(f"/p2p/{NODE}")], 0.0)
    (url,) = found.add([parse_endpoint("http://192.0.2.1")], 0.0)
    assert one is two
    assert (one.name, url.name, len(one.endpoints)) == (NODE, "http://192.0.2.1", 2)
    assert len(found.all()) == 2


def test_a_link_is_asked_again_after_a_pause() -> None:
    """Often where no hints come from it, seldom where they do."""
    found = links()
    (link,) = found.add([parse_endpoint(f"/p2p/{NODE}")], 0.0)
    found.done(take(found, 0.0), 100.0, worked=True)
    assert link.due_s == 100 + SILENT_POLL_S
    found.heard(NODE, 103.0)
    found.done(take(found, 103.0), 104.0, worked=True)
    assert link.due_s == 104 + POLL_S


def test_pauses_grow_with_failures_and_end_with_success() -> None:
    """Twice as long each time, up to a minute; what is wanted is tried at once, but not for ever at once."""
    found = links()
    (link,) = found.add([parse_endpoint("http://192.0.2.1")], 0.0)
    pauses = []
    for _ in range(9):
        found.done(take(found, link.due_s), 0.0, worked=False)
        pauses.append(link.due_s)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, RETRY_S_MAX, RETRY_S_MAX]
    found.want(link, 1.0)
    assert link.due_s == 1.0
    found.done(take(found, 1.0), 2.0, worked=True)
    assert link.failures == 0


def test_what_is_wanted_meanwhile_is_done_at_once_again() -> None:
    """A hint that comes while its peer is being asked is not lost, and one link is never had by two."""
    found = links()
    (link,) = found.add([parse_endpoint("http://192.0.2.1")], 0.0)
    assert take(found, 0.0) is link
    assert not found.take(link)
    found.want(link, 1.0)
    got: list[Link | None] = []
    waiter = threading.Thread(target=lambda: got.append(found.next(time.monotonic)))
    waiter.start()
    assert got == []
    found.done(link, 1.0, worked=True)
    waiter.join(10)
    assert got == [link]
    assert found.take(link)


def test_links_are_bounded() -> None:
    """Peers that others name without end push out each other, not those that were met."""
    found = links()
    (met,) = found.add([parse_endpoint("http://met")], 0.0)
    found.done(take(found, 0.0), 0.0, worked=True)
    found.add([parse_endpoint(f"http://h{n}") for n in range(2 * LINKS_MAX)], 0.0)
    assert len(found.all()) == LINKS_MAX
    assert met in found.all()


def test_closing_lets_everybody_go() -> None:
    """Who waits for a link gets none."""
    found = links()
    got: list[Link | None] = []
    waiter = threading.Thread(target=lambda: got.append(found.next(time.monotonic)))
    waiter.start()
    found.close()
    waiter.join(10)
    assert got == [None]
