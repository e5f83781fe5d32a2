"""What publishers say, held against what their heads reach: honest manifests come out, each lie is found and named."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from ledger.cid import Cid
from ledger.gateway import Gateway
from ledger.manifest import SegmentEntry
from ledger.spool import Spool
from scheduler.audit import Audit, judge
from scheduler.audit_sources import NothingToAuditError, collect
from tests.audit import gateways as g
from tests.audit.ledgers import ADA, BEN, a_world, blocks_of, manifest_of, published, segments_of
from tests.audit.records import NAME, record_for
from tests.audit.test_gateways import HASTY
from tests.support.worlds import CREATED, World

WORLD = a_world(8)
EVENTS = list(WORLD.events)


def audit_of(
    *servers: Mapping[Cid, bytes], names: tuple[Cid, ...] = (), head: Cid | None = None, ledger: Cid | None = None
) -> Audit:
    """Audit what gateways with these blocks give; each leads the name to its own manifest of `names`."""
    with ExitStack() as stack:
        gateways = []
        for number, blocks in enumerate(servers):
            leads = {NAME: names[number]} if names else {}
            gateways.append(Gateway(stack.enter_context(g.serving(g.Honest(blocks, leads))).url, HASTY))
            stack.callback(gateways[-1].close)
        spool = stack.enter_context(Spool())
        audit = judge(collect(gateways, spool, name=NAME if names else None, head=head, ledger=ledger))
        audit.fenced()
        return audit


def lies_of(cid: Cid, blocks: Mapping[Cid, bytes], world: World = WORLD) -> tuple[str, ...]:
    """Return what is found false in a manifest, beside all blocks of its world."""
    [verdict] = audit_of({**blocks, **blocks_of(world)}, head=cid).manifests
    return tuple(f"{lie.kind}: {lie.words}" for lie in verdict.lies)


def test_segments_alone_are_a_whole_ledger() -> None:
    """With a manifest and its segments no event is asked for by itself, and all that it says comes out."""
    cid, blocks = published(WORLD)
    with g.serving(g.Honest(blocks)) as served, Spool() as spool:
        gateway = Gateway(served.url, HASTY)
        audit = judge(collect([gateway], spool, head=cid))
        gateway.close()
        assert len(served.requests) == len(blocks)
    [verdict] = audit.manifests
    assert (verdict.lies, verdict.open_questions, verdict.behind) == ((), (), 0)
    assert audit.is_complete
    assert audit.replay.events == len(EVENTS)
    assert not audit.findings.kept


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({}, ""),
        ({"events": len(EVENTS) - 1}, "its heads reach"),
        ({"state_root": bytes(32)}, "state root"),
        ({"heads": (EVENTS[3],), "events": 4}, "state root"),
        ({"heads": tuple(sorted((EVENTS[3], EVENTS[-1])))}, "not the heads"),
    ],
)
def test_a_number_that_does_not_come_out_is_a_lie(lies: dict[str, Any], words: str) -> None:
    """Counts, heads and state root are compared with what the heads reach."""
    found = lies_of(*published(WORLD, **lies))
    assert words in " ".join(found)
    assert bool(lies) == bool(found)


def test_segments_that_leave_out_events_are_a_lie() -> None:
    """Where the heads reach more than the segments hold, the rest is fetched all the same, and the lie is named."""
    segments = segments_of(WORLD)
    entries = [SegmentEntry(one.cid, one.events, len(one.data)) for one in segments[:-1]]
    padded = (*entries[:-1], replace(entries[-1], events=20))
    cid, blocks = published(WORLD, segments=padded)
    found = lies_of(cid, blocks)
    assert any("leave out" in one for one in found)
    assert any("as the manifest says" in one for one in found)


def test_a_missing_segment_is_no_lie_and_named() -> None:
    """What cannot be fetched is an open question; events that come another way are judged all the same."""
    cid, blocks = published(WORLD)
    lost = segments_of(WORLD)[0].cid
    audit = audit_of({key: block for key, block in blocks.items() if key != lost} | blocks_of(WORLD), head=cid)
    [verdict] = audit.manifests
    assert verdict.lies == ()
    assert verdict.open_questions == ("1 of its 4 segments could not be fetched",)
    assert lost in audit.collected.walk.missing
    assert audit.replay.events == len(EVENTS)
    assert not audit.is_complete


def test_all_manifests_are_used_and_an_older_one_is_only_behind() -> None:
    """Events are judged that any manifest leads to; one that is merely older is told so, and no lie."""
    old, old_blocks = published(WORLD, EVENTS[:11], key=ADA, time=CREATED + 10)
    new, new_blocks = published(WORLD)
    audit = audit_of(old_blocks, new_blocks, names=(old, new))
    assert audit.replay.events == len(EVENTS)
    found = {one.found.cid: one for one in audit.manifests}
    assert (found[old].lies, found[old].behind) == ((), len(EVENTS) - 11)
    assert (found[new].lies, found[new].behind) == ((), 0)


def test_a_publisher_that_leaves_out_its_own_events_lies() -> None:
    """What the publisher itself had signed well before cannot have been unknown to it."""
    new, new_blocks = published(WORLD, key=ADA)
    old, old_blocks = published(WORLD, EVENTS[:11])
    audit = audit_of(old_blocks, new_blocks, names=(old, new))
    [lie] = next(one.lies for one in audit.manifests if one.found.cid == old)
    assert "its own publisher had signed before" in lie.words
    assert next(one for one in audit.manifests if one.found.cid == old).found.manifest.publisher == BEN.actor


def test_a_manifest_cannot_hide_what_another_source_has() -> None:
    """A head given beside a manifest is judged with all it reaches."""
    old, old_blocks = published(WORLD, EVENTS[:5])
    head = WORLD.heads(EVENTS)[0]
    with ExitStack() as stack:
        blocks = {**old_blocks, **blocks_of(WORLD)}
        gateway = Gateway(stack.enter_context(g.serving(g.Honest(blocks, {NAME: old}))).url, HASTY)
        stack.callback(gateway.close)
        audit = judge(collect([gateway], stack.enter_context(Spool()), name=NAME, head=head))
        assert audit.replay.events == len(EVENTS)


# ---- names


def test_a_signed_record_is_proof_and_a_forged_one_is_told() -> None:
    """The record of one gateway that the key has signed is believed, that of another which it has not is not."""
    cid, blocks = published(WORLD)
    other, other_blocks = published(a_world(2), key=ADA)
    with ExitStack() as stack:
        honest = g.Honest(blocks)
        honest.records[NAME] = record_for(cid)
        liar = g.Honest(other_blocks)
        liar.records[NAME] = record_for(other, key=ADA)
        gateways = [Gateway(stack.enter_context(g.serving(one)).url, HASTY) for one in (liar, honest)]
        for gateway in gateways:
            stack.callback(gateway.close)
        audit = judge(collect(gateways, stack.enter_context(Spool()), name=NAME))
        false, true = audit.collected.resolutions
        assert false.cid is None
        assert "not signed by the key" in false.words
        assert true.record is not None
        assert true.record.cid == cid
        assert [one.found.cid for one in audit.manifests] == [cid]


def test_a_name_by_the_gateway_s_word_is_said_to_be_just_that() -> None:
    """Without a record the name leads where the gateway says, the manifest's own signature holds, and it is told."""
    cid, blocks = published(WORLD)
    audit = audit_of(blocks, names=(cid,))
    [resolution] = audit.collected.resolutions
    assert (resolution.cid, resolution.record) == (cid, None)
    assert "word alone" in resolution.words


def test_a_word_that_leads_to_another_ledger_is_told() -> None:
    """With the ledger given, a manifest of another one is noted and not used."""
    cid, blocks = published(WORLD)
    strange = World(owners=("otto",), name="strange")
    strange_event = strange.event(strange.owners[0])
    stranger, stranger_blocks = published(strange, [strange_event], key=ADA)
    audit = audit_of(stranger_blocks, blocks, names=(stranger, cid), ledger=WORLD.ledger)
    assert [one.found.cid for one in audit.manifests] == [cid]
    [note] = audit.collected.notes
    assert f"of ledger {strange.ledger}" in note


def test_a_manifest_with_a_bad_signature_leads_nowhere() -> None:
    """A manifest is used only where its publisher has signed it."""
    _, blocks = published(WORLD)
    forged = replace(manifest_of(WORLD), sig=bytes(64)).encode()
    cid = Cid.of(forged)
    with pytest.raises(NothingToAuditError, match="neither a manifest nor an event"):
        audit_of({**blocks, cid: forged}, names=(cid,))
