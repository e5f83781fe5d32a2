"""segments.json against our own code: packing, manifests, and reading under manifests that lie."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.cid import Cid
from ledger.cold_start import FaultKind, fetch_segments
from ledger.fetching import UnavailableError
from ledger.keys import verify_signature
from ledger.manifest import ManifestError, decode_manifest
from ledger.outbox import SUPERSEDED_GRACE_MS
from ledger.segments import Packer, section, unpack
from scheduler.home import Home
from scheduler.replica import replica_of
from tests.vectors.world import key_of

BOARDS = Path(__file__).resolve().parents[2] / "specs" / "vectors"


def check_segments(vector: Any) -> None:
    """Segments, manifests and readings are as said."""
    board = json.loads((BOARDS / vector["board"]).read_text(encoding="utf-8"))
    ledger = Cid.parse(board["ledger"])
    cids = {said["name"]: Cid.parse(said["cid"]) for said in board["events"]}
    for number, case in enumerate(vector["segments"]):
        data = bytes.fromhex(case["block"])
        found = unpack(data, ledger)
        assert (Cid.of_raw(data), len(data)) == (Cid.parse(case["cid"]), case["bytes"])
        assert (found.fault, list(found.events)) == (None, [cids[name] for name in case["events"]])
        assert found.genesis == (None if number else bytes.fromhex(board["genesis"]))
    for case in vector["packing"]:
        assert _packed(case["genesis"], case["blocks"]) == case["segments"]
    _check_manifest(vector, ledger)
    assert vector["replaced_kept_ms"] == SUPERSEDED_GRACE_MS
    for case in vector["readings"]:
        assert _reading(vector, board, case) == (case["accepted"], case["faults"]), case["what"]


def _packed(genesis: int, sizes: list[int]) -> list[int]:
    packer = Packer(Cid.of(b""), bytes(genesis))
    closed = [packer.add(section(Cid.of(bytes(size)), bytes(size))) for size in sizes]
    return [segment.events for segment in (*closed, packer.open_segment()) if segment is not None]


def _check_manifest(vector: Any, ledger: Cid) -> None:
    block = bytes.fromhex(vector["manifest"]["block"])
    manifest = decode_manifest(block, ledger)
    assert Cid.of(block) == Cid.parse(vector["manifest"]["cid"])
    assert manifest.publisher == key_of(vector["publisher"]).actor
    assert verify_signature(manifest.publisher, bytes.fromhex(vector["manifest"]["message"]), manifest.sig)
    assert [str(entry.cid) for entry in manifest.segments] == [case["cid"] for case in vector["segments"]]
    for case in vector["cases"]:
        verdict = "accepted"
        try:
            decode_manifest(b"".join(bytes.fromhex(part) * times for part, times in case["parts"]))
        except ManifestError as error:
            verdict = error.rule
        assert verdict == case["verdict"], case["why"]


def _reading(vector: Any, board: Any, case: Any) -> tuple[int, list[str]]:
    """Return how many events a reader with the genesis accepts, and the faults it reports."""
    blocks = {one["cid"]: bytes.fromhex(one["block"]) for one in (*vector["segments"], vector["odd"])}

    def get(cid: Cid, bytes_max: int) -> bytes:
        if str(cid) not in case["there"]:
            raise UnavailableError(f"{cid} is nowhere")
        assert len(blocks[str(cid)]) <= bytes_max
        return blocks[str(cid)]

    with (
        TemporaryDirectory() as folder,
        Home.enter(Path(folder), bytes.fromhex(board["genesis"]), clock=lambda: vector["now"]) as home,
    ):
        manifest = decode_manifest(bytes.fromhex(case["manifest"]))
        found = fetch_segments(replica_of(home), manifest, get, home.now_ms)
        return found.taken.accepted, [KINDS[fault.kind] for fault in found.faults]


KINDS = {
    FaultKind.MISSING: "missing",
    FaultKind.FORM: "form",
    FaultKind.COUNT: "count",
    FaultKind.REFUSED: "refused",
    FaultKind.HEADS: "heads",
    FaultKind.ROOT: "root",
}
