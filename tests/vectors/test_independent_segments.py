"""segments.json checked by dag_cbor, hashlib and cryptography; nothing of ours is imported."""

from __future__ import annotations

import dag_cbor
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from multiformats import CID

from tests.vectors.foreign import cid_of, decoded, domain, load, publics, raw


def sections(car: bytes) -> list[bytes]:
    """Return the blocks of a CAR with small sections, each named by its hash, after its header with one root."""
    found, at = [], 0
    while at < len(car):
        size = shift = 0
        while True:
            byte = car[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        found.append(car[at : at + size])
        at += size
    header = dag_cbor.decode(found[0])
    assert isinstance(header, dict)
    assert header.keys() == {"roots", "version"}
    assert all(cid_of(part[36:]) == part[:36] for part in found[1:])
    return [part[36:] for part in found[1:]]


def test_segments_hold_the_log_in_order() -> None:
    """The first begins with the genesis; each event stands after all it links; names are hashes (G1, G2)."""
    vector = load("segments.json")
    board = load(vector["board"])
    cids = {said["name"]: raw(said["cid"]) for said in board["events"]}
    before: set[bytes] = set()
    for number, segment in enumerate(vector["segments"]):
        data = bytes.fromhex(segment["block"])
        assert (cid_of(data, 0x55), len(data)) == (raw(segment["cid"]), segment["bytes"])
        blocks = sections(data)
        if number == 0:
            assert blocks.pop(0) == bytes.fromhex(board["genesis"])
            before.add(raw(board["ledger"]))
        assert [cid_of(block) for block in blocks] == [cids[name] for name in segment["events"]]
        for block in blocks:
            fields = decoded(block)
            assert {bytes(cid) for cid in (fields["grant"], *fields["parents"], *fields["cites"])} <= before
            before.add(cid_of(block))
    outside = {cids[name] for name in board["expect"]["outside_log"]}
    assert before == {*cids.values(), raw(board["ledger"])} - outside


def test_the_manifest_is_signed_and_says_what_the_board_is() -> None:
    """Canonical bytes, signature under its own domain, heads, number of events and state root (G3 to G6)."""
    vector = load("segments.json")
    board = load(vector["board"])
    block = bytes.fromhex(vector["manifest"]["block"])
    fields = decoded(block)
    assert cid_of(block) == raw(vector["manifest"]["cid"])
    unsigned = {name: value for name, value in fields.items() if name != "sig"}
    message = domain("manifest") + dag_cbor.encode(unsigned)
    assert message.hex() == vector["manifest"]["message"]
    assert fields["publisher"] == publics()[vector["publisher"]]
    Ed25519PublicKey.from_public_bytes(fields["publisher"]).verify(fields["sig"], message)
    names = {said["name"]: raw(said["cid"]) for said in board["events"]}
    assert [bytes(head) for head in fields["heads"]] == [names[name] for name in board["expect"]["heads"]]
    assert fields["events"] == len(names) - len(board["expect"]["outside_log"])
    assert fields["state_root"].hex() == board["expect"]["state_root"]
    entries = [(CID.decode(one["cid"]), len(one["events"]), one["bytes"]) for one in vector["segments"]]
    assert [(one["cid"], one["events"], one["bytes"]) for one in fields["segments"]] == entries


def test_packing_fills_segments_in_turn() -> None:
    """An event goes into the open segment unless that would pass 1 MiB (G2)."""
    for case in load("segments.json")["packing"]:
        counts, size = [0], 59 + _section(case["genesis"])
        for block in case["blocks"]:
            if size + _section(block) > 1_048_576:
                counts.append(0)
                size = 59
            counts[-1] += 1
            size += _section(block)
        assert counts == case["segments"]


def _section(block: int) -> int:
    length = 36 + block
    return length + (1 if length < 1 << 7 else 2 if length < 1 << 14 else 3)
