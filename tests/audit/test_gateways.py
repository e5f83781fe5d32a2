"""Hostile gateways: whatever they send, an audit ends in time, believes nothing, and names who did what.

Each is a real HTTP server on loopback. Beside one honest gateway none of them changes what is said of the ledger.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from ledger.gateway import Failure, Gateway, Patience
from ledger.spool import Spool
from scheduler.audit import judge
from scheduler.audit_sources import NothingToAuditError, collect
from tests.audit import gateways as g
from tests.audit.ledgers import a_world, blocks_of

HASTY = Patience(connect_s=1.0, idle_s=0.5, answer_s=0.8, stream_s=3.0, rate=20_000, window_s=0.5)
DEADLINE_S = 25.0
WORLD = a_world()
BLOCKS = blocks_of(WORLD)
HEAD = WORLD.heads(WORLD.events)[0]

HOSTILE: dict[str, tuple[Callable[[], g.Honest], Failure]] = {
    "wrong bytes": (lambda: g.WrongBytes(BLOCKS), Failure.WRONG_BYTES),
    "truncated": (lambda: g.Truncated(BLOCKS), Failure.ABSENT),
    "endless": (lambda: g.Endless(BLOCKS), Failure.TOO_LARGE),
    "endless headers": (lambda: g.EndlessHeaders(BLOCKS), Failure.SLOW),
    "endless continues": (lambda: g.EndlessContinues(BLOCKS), Failure.TOO_LARGE),
    "slow drip": (lambda: g.SlowDrip(BLOCKS), Failure.SLOW),
    "silent": (lambda: g.Silent(BLOCKS), Failure.SLOW),
    "gzip bomb": (lambda: g.GzipBomb(BLOCKS), Failure.MALFORMED),
    "wrong length": (lambda: g.WrongLength(BLOCKS), Failure.BROKEN_OFF),
    "huge length": (lambda: g.HugeLength(BLOCKS), Failure.TOO_LARGE),
    "refusing": (lambda: g.Refusing(BLOCKS), Failure.REFUSED),
    "nonsense": (lambda: g.Nonsense(BLOCKS), Failure.UNREACHABLE),
    "redirect": (lambda: g.Redirect("http://elsewhere.example"), Failure.REDIRECTED),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_alone_a_hostile_gateway_leads_nowhere_in_time(name: str) -> None:
    """Nothing is audited, the reason is named, and the failure is counted with the gateway."""
    make, failure = HOSTILE[name]
    started = time.monotonic()
    with g.serving(make()) as served, Spool() as blocks:
        gateway = Gateway(served.url, HASTY)
        with pytest.raises(NothingToAuditError, match=str(failure)):
            collect([gateway], blocks, head=HEAD)
        gateway.close()
        assert gateway.failures[failure]
        assert not len(blocks)
    assert g.took(started) < DEADLINE_S


@pytest.mark.parametrize("name", HOSTILE)
def test_beside_an_honest_one_it_changes_nothing(name: str) -> None:
    """The audit is complete and clean, however the hostile gateway is placed; what it did is told."""
    started = time.monotonic()
    with ExitStack() as stack:
        urls = [stack.enter_context(g.serving(one)).url for one in (HOSTILE[name][0](), g.Honest(BLOCKS))]
        gateways = [Gateway(url, HASTY) for url in urls]
        blocks = stack.enter_context(Spool())
        audit = judge(collect(gateways, blocks, head=HEAD))
        for gateway in gateways:
            gateway.close()
        assert audit.is_complete
        assert audit.replay.board.heads == (HEAD,)
        assert audit.replay.events == len(WORLD.events)
        assert not audit.refused
        assert gateways[0].failures
        assert not gateways[1].failures
    assert g.took(started) < DEADLINE_S


class HeadOnly(g.Truncated):
    """Breaks CARs off, and has the head and the genesis one by one, no more."""

    def answer(self, request: g.Request) -> None:
        if request.kind == "block" and request.what in (str(HEAD), str(WORLD.ledger)):
            g.Honest.answer(self, request)
        else:
            super().answer(request)


def test_a_car_cut_short_gives_what_it_has_and_the_rest_is_named() -> None:
    """What lacks is named with each gateway's reason, what rests on it waits, and the audit is incomplete."""
    with g.serving(HeadOnly(BLOCKS)) as served, Spool() as blocks:
        gateway = Gateway(served.url, HASTY)
        audit = judge(collect([gateway], blocks, head=HEAD))
        gateway.close()
        assert not audit.is_complete
        assert HEAD in audit.waiting
        assert len(blocks) > 5
        [reasons] = audit.collected.walk.missing.values()
        assert reasons == (f"{served.url}: not there: status 404",)


def test_blocks_nobody_asked_for_are_dropped_and_counted() -> None:
    """A CAR full of them is broken off; nothing of it is kept, and the ledger is fetched block by block."""
    with g.serving(g.Unasked(BLOCKS)) as served, Spool() as blocks:
        gateway = Gateway(served.url, HASTY)
        audit = judge(collect([gateway], blocks, head=HEAD))
        gateway.close()
        assert audit.is_complete
        assert len(blocks) == len(BLOCKS)
        assert audit.collected.walk.unasked > 4_000
        assert gateway.failures[Failure.UNASKED]


def test_a_redirect_is_not_followed_even_to_an_honest_gateway() -> None:
    """Only those that were named are asked: where a redirect leads nobody ever comes."""
    with g.serving(g.Honest(BLOCKS)) as honest, g.serving(g.Redirect(honest.url)) as served, Spool() as blocks:
        gateway = Gateway(served.url, HASTY)
        with pytest.raises(NothingToAuditError, match="not followed"):
            collect([gateway], blocks, head=HEAD)
        gateway.close()
        assert honest.requests == []


def test_one_gateway_gives_what_another_lacks() -> None:
    """Two gateways with half of the blocks each are enough."""
    one = {cid: block for cid, block in BLOCKS.items() if cid[-1] % 2}
    two = {cid: block for cid, block in BLOCKS.items() if not cid[-1] % 2}
    with ExitStack() as stack:
        gateways = [Gateway(stack.enter_context(g.serving(g.Honest(half))).url, HASTY) for half in (one, two)]
        blocks = stack.enter_context(Spool())
        audit = judge(collect(gateways, blocks, head=HEAD))
        for gateway in gateways:
            gateway.close()
        assert audit.is_complete
        assert audit.replay.events == len(WORLD.events)


def test_nobody_listens() -> None:
    """A gateway that is not there is unreachable, at once."""
    gateway = Gateway(g.closed_port(), HASTY)
    with Spool() as blocks, pytest.raises(NothingToAuditError, match="unreachable"):
        collect([gateway], blocks, head=HEAD)


def test_what_hostile_gateways_send_takes_no_memory() -> None:
    """Endless answers and CARs of junk cost a few megabytes, not what they send."""
    with ExitStack() as stack:
        hostile = [g.Endless(BLOCKS), g.Unasked(BLOCKS), g.GzipBomb(BLOCKS)]
        gateways = [Gateway(stack.enter_context(g.serving(one)).url, HASTY) for one in hostile]
        blocks = stack.enter_context(Spool())
        tracemalloc.start()
        try:
            collect(gateways, blocks, head=HEAD)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        for gateway in gateways:
            gateway.close()
        assert peak < 120_000_000  # the servers of this test are in the same process
        assert len(blocks) == len(BLOCKS)
