"""Each vector checked by dag_cbor, multiformats, hashlib and cryptography; nothing of ours is imported.

What is recomputed here: canonical bytes, CIDs, signatures, task keys, places, anchors, distances, delays, clock roots,
state roots, ranks and turns. What is not: acceptance from A7 on and the meaning of operations (test_vectors).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from multiformats import CID, multibase

from tests.vectors.foreign import (
    VECTORS,
    check_signed,
    cid_of,
    decoded,
    delay,
    distance,
    domain,
    load,
    publics,
    raw,
    sha256,
)

BLOCKS = sorted(path.stem for path in (VECTORS / "blocks").glob("*.cbor"))
P = 2**255 - 19
ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7


def test_imports_nothing_of_ours() -> None:
    """The vectors are checked here by other people's code alone."""
    folder = Path(__file__).parent
    ours = {"ledger", "crdt", "scheduler", "cli", "ipfs_accelerate_py", "tests"}
    for path in (folder / "foreign.py", *sorted(folder.glob("test_independent*.py"))):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name.split(".")[0] for name in names - {"tests.vectors.foreign"}} & ours, path.name


# ---- blocks


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_named_by_its_bytes(name: str) -> None:
    """File name, CID, canonical bytes, signature and readable form of a block agree (E1, E2, E3)."""
    block = (VECTORS / "blocks" / f"{name}.cbor").read_bytes()
    assert CID.decode(name) == CID("base32", 1, "dag-cbor", ("sha2-256", sha256(block)))
    fields = decoded(block)
    if fields.get("kind") != "genesis":
        check_signed(block)
    text = (VECTORS / "blocks" / f"{name}.json").read_text(encoding="utf-8")
    assert dag_json(fields) == json.loads(text)


def dag_json(value: Any) -> Any:
    """Return the DAG-JSON form of a value."""
    if isinstance(value, CID):
        return {"/": value.set(base="base32").encode()}
    if isinstance(value, bytes):
        return {"/": {"bytes": multibase.encode(value, "base64")[1:]}}
    if isinstance(value, dict):
        return {name: dag_json(member) for name, member in value.items()}
    return [dag_json(element) for element in value] if isinstance(value, list) else value


def from_dag_json(value: Any) -> Any:
    """Return the value of a DAG-JSON form."""
    if isinstance(value, dict):
        if isinstance(value.get("/"), str):
            return CID.decode(value["/"])
        if isinstance(value.get("/"), dict):
            return multibase.decode("m" + value["/"]["bytes"])
        return {name: from_dag_json(member) for name, member in value.items()}
    return [from_dag_json(element) for element in value] if isinstance(value, list) else value


def test_values_have_one_encoding() -> None:
    """dag_cbor encodes each value to the bytes given (E2)."""
    for case in load("codec.json")["cases"]:
        assert dag_cbor.encode(from_dag_json(case["value"])).hex() == case["encoded"], case["what"]


def test_cids() -> None:
    """Multiformats and hashlib name each content alike (E1)."""
    vector = load("cids.json")
    for case in vector["cases"]:
        content = bytes.fromhex(case["content"])
        cid = CID("base32", 1, case["codec"], ("sha2-256", sha256(content)))
        assert (bytes(cid).hex(), str(cid)) == (case["bytes"], case["base32"])
        assert multibase.encode(bytes(cid), "base58btc") == case["base58btc"]


def test_keys() -> None:
    """Seed, public key, did:key and Multikey belong together (E6)."""
    for key in load("keys.json")["keys"]:
        seed = bytes.fromhex(key["seed"])
        assert seed == sha256(b"p2p-workflow vector key " + key["name"].encode())
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        assert public.hex() == key["public"]
        assert key["did"] == "did:key:" + multibase.encode(b"\xed\x01" + public, "base58btc")
        assert key["secret"] == multibase.encode(b"\x80\x26" + seed, "base58btc")


def test_signatures() -> None:
    """Each signature verifies over its message, which begins with the prefix (E3)."""
    vector = load("signatures.json")
    assert bytes.fromhex(vector["prefix"]) == domain("event")
    for case in vector["cases"]:
        message = bytes.fromhex(case["message"])
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(case["public"])).verify(bytes.fromhex(case["sig"]), message)
        assert case["event"] is None or message.startswith(domain("event"))


def test_hashes() -> None:
    """Task keys, places, anchors, distances and delays are the hashes and numbers they are said to be (E4, D5, F1c)."""
    vector = load("hashes.json")
    for case in vector["task_keys"]:
        spec = bytes.fromhex(case["spec"])
        decoded(spec)
        assert sha256(domain("task"), raw(case["ledger"]), bytes.fromhex(case["submitter"]), spec).hex() == case["key"]
    for name, actor in publics().items():
        assert sha256(actor).hex() == vector["places"][name]
    for case in vector["anchors"]:
        anchor = sha256(domain("anchor"), raw(case["submit"]), bytes.fromhex(case["key"]))
        assert anchor.hex() == case["anchor"]
        assert case["distances"] == {name: distance(actor, anchor) for name, actor in publics().items()}
    key = bytes.fromhex(vector["delays"]["key"])
    for case in vector["delays"]["cases"]:
        assert delay(key, case["base_ms"], case["max_ms"], case["n"]) == case["delay_ms"]


def test_clocks() -> None:
    """Roots hash sorted heads, comparisons follow from the vectors (C2, C3, C5); an empty board has its root."""
    vector = load("clock.json")
    clocks = vector["clocks"]
    for clock in clocks.values():
        heads = [raw(head) for head in clock["heads"]]
        assert heads == sorted(heads)
        assert sha256(domain("clock"), *heads).hex() == clock["root"]
    for row, columns in vector["comparisons"].items():
        assert columns == {column: compare(clocks[row], clocks[column]) for column in clocks}
    empty = vector["empty_board"]
    roster = sha256(domain("roster"), bytes.fromhex("828080"))
    root = sha256(domain("state"), dag_cbor.encode([1, CID.decode(empty["ledger"]), roster, []]))
    assert (empty["roster_hash"], empty["state_root"]) == (roster.hex(), root.hex())


def compare(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Return how two clocks compare (C5)."""
    if a["root"] == b["root"]:
        return "equal"
    actors = a["vector"].keys() | b["vector"].keys()
    differences = [a["vector"].get(actor, 0) - b["vector"].get(actor, 0) for actor in actors]
    if all(difference == 0 for difference in differences):
        return "concurrent"
    if all(difference <= 0 for difference in differences):
        return "before"
    return "after" if all(difference >= 0 for difference in differences) else "concurrent"


# ---- refused blocks


def refused() -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield the cases of refused.json, each with its block."""
    for case in load("refused.json")["cases"]:
        parts = case.get("parts") or [[case["block"], 1]]
        yield case, b"".join(bytes.fromhex(part) * times for part, times in parts)


def is_canonical(block: bytes) -> bool:
    """Return whether dag_cbor reads the block and writes the same bytes again."""
    try:
        value = dag_cbor.decode(block)
        return dag_cbor.encode(value) == block
    except Exception:  # noqa: BLE001  # dag_cbor lets out what its parts raise; any of it says no
        return False


def depth(value: Any) -> int:
    """Return how deep containers are nested."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if members is None else 1 + max(map(depth, members), default=0)


def items(value: Any) -> int:
    """Return the number of data items."""
    if isinstance(value, dict):
        return 1 + sum(1 + items(member) for member in value.values())
    return 1 + sum(map(items, value)) if isinstance(value, list) else 1


def within_limits(block: bytes) -> bool:
    """Return whether a block keeps to A1."""
    if len(block) > 65_536:
        return False
    value = dag_cbor.decode(block)
    return depth(value) <= 8 and items(value) <= 16_384


def bad_point(encoding: bytes) -> bool:
    """Return whether A5 refuses an encoded point."""
    y = int.from_bytes(encoding, "little") & (2**255 - 1)
    return y >= P or y in (0, 1, P - 1, ORDER_8_Y, P - ORDER_8_Y)


def test_the_page_names_the_points_of_order_8() -> None:
    """The y printed in specs/acceptance.md solves d*y^4 + 2*y^2 = 1, as the y of points of order 8 do (A5)."""
    d = -121665 * pow(121666, -1, P)
    assert (d * ORDER_8_Y**4 + 2 * ORDER_8_Y**2 - 1) % P == 0
    assert f"`0x{ORDER_8_Y:X}`" in (VECTORS.parent / "acceptance.md").read_text(encoding="utf-8")


def signature_holds(fields: dict[str, Any]) -> bool:
    """Return whether the signature of an event verifies."""
    unsigned = {name: value for name, value in fields.items() if name != "sig"}
    try:
        key = Ed25519PublicKey.from_public_bytes(fields["actor"])
        key.verify(fields["sig"], domain("event") + dag_cbor.encode(unsigned))
    except InvalidSignature:
        return False
    return True


def test_refused_blocks_break_what_they_say() -> None:
    """Where a rule can be checked with foreign code alone, the block breaks it and none before it (A1-A6, A9-A11)."""
    vector = load("refused.json")
    known = {raw(vector["ledger"]): (0, decoded(bytes.fromhex(vector["genesis"]))["created"])}
    for said in vector["accepted"]:
        fields = decoded(bytes.fromhex(said["block"]))
        assert cid_of(bytes.fromhex(said["block"])) == raw(said["cid"])
        check_signed(bytes.fromhex(said["block"]))
        known[raw(said["cid"])] = (fields["height"], fields["time"])
    for case, block in refused():
        assert first_broken(case, block, raw(vector["ledger"]), known) in (case["verdict"], None), case["why"]


def first_broken(case: dict[str, Any], block: bytes, ledger: bytes, known: dict[bytes, tuple[int, int]]) -> str | None:
    """Return the first broken rule of those that are checked here, None where this code cannot tell."""
    if case["verdict"] == "A1":
        return "A1" if not within_limits(block) else "none"
    if not is_canonical(block):
        return "A2"
    assert within_limits(block)
    if case["verdict"] in ("A2", "A3"):
        # dag_cbor takes CIDs of other hashes; the schema is checked by our own code.
        return None if case["verdict"] == "A3" or "sha2-512" in case["why"] else "none"
    fields = decoded(block)
    if case["kind"] == "genesis":
        return "A5" if any(map(bad_point, fields["owners"])) else "accepted"
    if fields.get("kind") == "genesis" or bytes(fields["ledger"]) != ledger:
        return "A4"
    if bad_point(fields["actor"]) or bad_point(fields["sig"][:32]):
        return "A5"
    if not signature_holds(fields):
        return "A6"
    links = [bytes(cid) for cid in (fields["grant"], *fields["parents"], *fields["cites"])]
    if any(cid not in known for cid in links):
        return "A7" if "needs" in case else "waiting"
    if case["verdict"] == "A8":
        return None
    return links_broken(fields, [known[cid] for cid in links])


def links_broken(fields: dict[str, Any], linked: list[tuple[int, int]]) -> str:
    """Return the first of A9 to A11 that an event breaks."""
    if fields["height"] != 1 + max(height for height, _ in linked):
        return "A9"
    if fields["time"] < max(time for _, time in linked):
        return "A10"
    parents = [bytes(cid) for cid in fields["parents"]]
    unique = all(len(set(map(str, fields[name]))) == len(fields[name]) for name in ("cites", "blobs"))
    ascending = parents == sorted(set(parents)) and 1 <= len(parents) <= 64
    return "accepted" if unique and ascending else "A11"
