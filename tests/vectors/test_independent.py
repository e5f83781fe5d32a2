"""Each vector checked by other people's code: dag_cbor, multiformats, hashlib, cryptography. Nothing of ours is imported.

What is recomputed here: canonical bytes, CIDs, signatures, task keys, places, anchors, distances, delays, clock roots,
state roots, ranks and turns. What is not: acceptance from A7 on and the meaning of operations (test_vectors).
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from multiformats import CID, multibase, varint

VECTORS = Path(__file__).resolve().parents[2] / "specs" / "vectors"
BOARDS = sorted(path.stem for path in (VECTORS / "boards").glob("*.json"))
BLOCKS = sorted(path.stem for path in (VECTORS / "blocks").glob("*.cbor"))
P = 2**255 - 19
ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def domain(word: str) -> bytes:
    return f"p2p-workflow/{word}/v1".encode() + b"\0"


def raw(cid: str) -> bytes:
    return bytes(CID.decode(cid))


def cid_of(block: bytes, codec: int = 0x71) -> bytes:
    return bytes((1, codec, 0x12, 0x20)) + sha256(block)


def distance(actor: bytes, anchor: bytes) -> int:
    return (int.from_bytes(sha256(actor)) ^ int.from_bytes(anchor)).bit_count()


def publics() -> dict[str, bytes]:
    return {key["name"]: bytes.fromhex(key["public"]) for key in load("keys.json")["keys"]}


def delay(key: bytes, base_ms: int, max_ms: int, n: int) -> int:
    whole = min(max_ms, base_ms * 2**n)
    return whole - whole * sha256(key, n.to_bytes(4))[0] // 1024


def test_imports_nothing_of_ours() -> None:
    """This file stands on other people's code alone."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {"ledger", "crdt", "scheduler", "cli", "ipfs_accelerate_py", "tests"}
    assert not {name.split(".")[0] for name in names} & ours


# ---- blocks


def decoded(block: bytes) -> dict[str, Any]:
    """Return the map in a block, after seeing that the block is its one canonical encoding."""
    value = dag_cbor.decode(block)
    assert isinstance(value, dict)
    assert dag_cbor.encode(value) == block
    return dict(value)


def check_signed(block: bytes) -> None:
    """The signature is over the prefix and the canonical event without `sig`."""
    fields = decoded(block)
    sig = fields.pop("sig")
    Ed25519PublicKey.from_public_bytes(fields["actor"]).verify(sig, domain("event") + dag_cbor.encode(fields))


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
    if isinstance(value, CID):
        return {"/": value.set(base="base32").encode()}
    if isinstance(value, bytes):
        return {"/": {"bytes": multibase.encode(value, "base64")[1:]}}
    if isinstance(value, dict):
        return {name: dag_json(member) for name, member in value.items()}
    return [dag_json(element) for element in value] if isinstance(value, list) else value


def from_dag_json(value: Any) -> Any:
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
    """multiformats and hashlib name each content alike (E1)."""
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
    """Roots are hashes of sorted heads; comparisons follow from the vectors (C2, C3, C5); an empty board has its root."""
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
    for case in load("refused.json")["cases"]:
        parts = case.get("parts") or [[case["block"], 1]]
        yield case, b"".join(bytes.fromhex(part) * times for part, times in parts)


def is_canonical(block: bytes) -> bool:
    try:
        value = dag_cbor.decode(block)
        return dag_cbor.encode(value) == block
    except Exception:  # noqa: BLE001  # dag_cbor lets out what its parts raise; any of it says no
        return False


def depth(value: Any) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if members is None else 1 + max(map(depth, members), default=0)


def items(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + items(member) for member in value.values())
    return 1 + sum(map(items, value)) if isinstance(value, list) else 1


def within_limits(block: bytes) -> bool:
    if len(block) > 65_536:
        return False
    value = dag_cbor.decode(block)
    return depth(value) <= 8 and items(value) <= 16_384


def bad_point(encoding: bytes) -> bool:
    y = int.from_bytes(encoding, "little") & (2**255 - 1)
    return y >= P or y in (0, 1, P - 1, ORDER_8_Y, P - ORDER_8_Y)


def test_the_page_names_the_points_of_order_8() -> None:
    """The y printed in specs/acceptance.md solves d*y^4 + 2*y^2 = 1, as the y of points of order 8 do (A5)."""
    d = -121665 * pow(121666, -1, P)
    assert (d * ORDER_8_Y**4 + 2 * ORDER_8_Y**2 - 1) % P == 0
    assert f"`0x{ORDER_8_Y:X}`" in (VECTORS.parent / "acceptance.md").read_text(encoding="utf-8")


def signature_holds(fields: dict[str, Any]) -> bool:
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
    if fields["height"] != 1 + max(height for height, _ in linked):
        return "A9"
    if fields["time"] < max(time for _, time in linked):
        return "A10"
    parents = [bytes(cid) for cid in fields["parents"]]
    unique = all(len(set(map(str, fields[name]))) == len(fields[name]) for name in ("cites", "blobs"))
    ascending = parents == sorted(set(parents)) and 1 <= len(parents) <= 64
    return "accepted" if unique and ascending else "A11"


# ---- boards


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_hashes_to_its_roots(name: str) -> None:
    """Events, clock root, vector, roster hash, leaves and state root of a board follow from what the vector lists."""
    board = load(f"boards/{name}.json")
    expect = board["expect"]
    cids = {said["name"]: raw(said["cid"]) for said in board["events"]} | {"genesis": raw(board["ledger"])}
    events = {said["name"]: decoded(bytes.fromhex(said["block"])) for said in board["events"]}
    assert cid_of(bytes.fromhex(board["genesis"])) == raw(board["ledger"])
    for said in board["events"]:
        assert cid_of(bytes.fromhex(said["block"])) == cids[said["name"]]
        check_signed(bytes.fromhex(said["block"]))
    assert all(sorted(set(order)) == list(range(len(events))) for order in board["orders"])
    check_clock(expect, cids, events)
    check_tasks(expect, cids, events)
    roster = sha256(domain("roster"), dag_cbor.encode(roster_record(expect, cids)))
    assert roster.hex() == expect["roster_hash"]
    assert state_root(CID.decode(board["ledger"]), roster, expect["tasks"]).hex() == expect["state_root"]


def check_clock(expect: dict[str, Any], cids: dict[str, bytes], events: dict[str, Any]) -> None:
    log = {name: fields for name, fields in events.items() if name not in expect["outside_log"]}
    linked = {bytes(cid) for fields in log.values() for cid in (fields["grant"], *fields["parents"], *fields["cites"])}
    heads = sorted(cids[name] for name in log if cids[name] not in linked)
    assert [cids[name] for name in expect["heads"]] == heads
    assert sha256(domain("clock"), *heads).hex() == expect["clock_root"]
    actors = [fields["actor"] for fields in log.values()]
    assert expect["vector"] == {name: actors.count(key) for name, key in publics().items() if key in actors}


def check_tasks(expect: dict[str, Any], cids: dict[str, bytes], events: dict[str, Any]) -> None:
    def place(name: str) -> tuple[int, bytes]:
        return events[name]["height"], cids[name]

    for task in expect["tasks"]:
        key = bytes.fromhex(task["key"])
        assert task["submits"] == sorted(task["submits"], key=place)
        assert sha256(domain("leaf"), dag_cbor.encode(leaf_record(task, cids))).hex() == task["leaf"]
        anchors = [sha256(domain("anchor"), cids[submit], key) for submit in task["submits"]]
        for claim in task["claims"]:
            # Measured from the least submit in its own past: one of them.
            assert claim["distance"] in [distance(publics()[claim["actor"]], anchor) for anchor in anchors]
            assert publics()[claim["actor"]] == events[claim["event"]]["actor"]
        ranked = [(done["distance"], cids[done["claim"]], cids[done["event"]]) for done in task["completions"]]
        assert ranked == sorted(ranked)
    tasks = {task["task"]: task for task in expect["tasks"]}
    for view in expect["views"]:
        for name, holder in view["holder"].items():
            running = [c for c in tasks[name]["claims"] if c["end"] == 0 and view["now"] < c["until"]]
            assert min(running, key=lambda c: (c["distance"], cids[c["event"]]))["event"] == holder


def leaf_record(task: dict[str, Any], cids: dict[str, bytes]) -> list[Any]:
    def links(names: list[str]) -> list[CID]:
        return [CID.decode(cids[name]) for name in names]

    claims = sorted(task["claims"], key=lambda claim: cids[claim["event"]])
    return [
        bytes.fromhex(task["key"]),
        links(task["submits"]),
        task["priority"],
        task["created_at"],
        [
            [
                CID.decode(cids[claim["event"]]),
                publics()[claim["actor"]],
                *(claim[field] for field in ("attempt", "distance", "until", "end", "failed_at")),
            ]
            for claim in claims
        ],
        [[done["distance"], *links([done["claim"], done["event"]])] for done in task["completions"]],
        links(sorted(task["cancels"], key=lambda name: cids[name])),
        task["base"],
    ]


def roster_record(expect: dict[str, Any], cids: dict[str, bytes]) -> list[Any]:
    keys = publics()
    members = [
        [
            keys[row["actor"]],
            CID.decode(cids[row["grant"]]),
            row["roles"],
            row["labels"],
            row["name"],
            [CID.decode(cid) for cid in sorted(cids[name] for name in row["revoked_by"])],
        ]
        for row in expect["members"]
    ]
    presences = [
        [keys[row["actor"]], row["joined"], row["labels"], row["slots"], CID.decode(cids[row["event"]])]
        for row in expect["presences"]
    ]
    members.sort(key=lambda row: (row[0], bytes(row[1])))
    return [members, sorted(presences, key=lambda row: row[0])]


def state_root(ledger: CID, roster: bytes, tasks: list[dict[str, Any]]) -> bytes:
    leaves = sorted((bytes.fromhex(task["key"]), bytes.fromhex(task["leaf"])) for task in tasks)
    groups: dict[int, bytes] = {}
    for prefix in sorted({key[:2] for key, _ in leaves}):
        bucket = sha256(domain("bucket"), *(key + leaf for key, leaf in leaves if key[:2] == prefix))
        groups[prefix[0]] = groups.get(prefix[0], b"") + prefix[1:] + bucket
    hashed = [[first, sha256(domain("group"), body)] for first, body in sorted(groups.items())]
    return sha256(domain("state"), dag_cbor.encode([1, ledger, roster, hashed]))


# ---- turns


def test_turns() -> None:
    """Anchors, distances, ranks, due and take-at follow from the board and the case (S1, S3, S4, S5, S6)."""
    vector = load("scheduling.json")
    board = load(vector["board"])
    policy = decoded(bytes.fromhex(board["genesis"]))["policy"]
    cids = {said["name"]: raw(said["cid"]) for said in board["events"]}
    tasks = {task["task"]: task for task in board["expect"]["tasks"]}
    specs = {
        said["name"]: op["spec"]
        for said in board["events"]
        for op in decoded(bytes.fromhex(said["block"]))["ops"]
        if op["op"] == "submit"
    }
    labels = {row["actor"]: set(row["labels"]) for row in board["expect"]["presences"] if row["joined"]}
    for case in vector["cases"]:
        since = case["now"] - 2 * policy["lease_ms"]
        live = {who for who in labels if who == case["me"] or case["heard"].get(who, 0) >= since}
        for turn in case["tasks"]:
            task = tasks[turn["task"]]
            anchor = sha256(domain("anchor"), cids[task["submits"][0]], bytes.fromhex(task["key"]))
            eligible = [who for who in live if labels[who] >= set(specs[turn["task"]]["requires"])]
            ranking = sorted((distance(publics()[who], anchor), publics()[who], who) for who in eligible)
            assert turn["anchor"] == anchor.hex()
            assert turn["ranking"] == [[who, bits] for bits, _, who in ranking]
            assert turn["due"] == turn["ready_at"] + (10 - task["priority"]) * policy["aging_ms"]
            names = [who for _, _, who in ranking]
            rank = names.index(case["me"]) if case["me"] in names else None
            assert turn["rank"] == rank
            assert turn["take_at"] == (None if rank is None else turn["ready_at"] + rank * policy["grace_ms"])
            assert turn["ready_at"] >= case["first_seen"]
        mine = [turn for turn in case["tasks"] if turn["take_at"] is not None]
        queues = {
            "ready": [
                (turn["due"], tasks[turn["task"]]["key"], turn) for turn in mine if turn["take_at"] <= case["now"]
            ],
            "delayed": [
                (turn["take_at"], tasks[turn["task"]]["key"], turn) for turn in mine if turn["take_at"] > case["now"]
            ],
        }
        for queue, found in queues.items():
            assert case[queue] == [turn["task"] for *_, turn in sorted(found, key=lambda entry: entry[:2])]


def test_ready_at() -> None:
    """Ready-at is the latest of what S2 names, from the records of the board."""
    board = load("boards/scheduling.json")
    tasks = {task["task"]: task for task in board["expect"]["tasks"]}
    events = {said["name"]: decoded(bytes.fromhex(said["block"])) for said in board["events"]}
    case = next(case for case in load("scheduling.json")["cases"] if case["name"] == "ranks")
    names = {task["key"]: name for name, task in tasks.items()}
    for turn in case["tasks"]:
        task = tasks[turn["task"]]
        spec = next(op["spec"] for op in events[task["submits"][0]]["ops"] if op["op"] == "submit")
        needs = [tasks[names[need.hex()]]["completions"][0]["event"] for need in spec["needs"]]
        claims = task["claims"]
        failed = [claim for claim in claims if claim["end"] == 2]
        wait = delay(bytes.fromhex(task["key"]), 5_000, 600_000, len(failed) - 1) if failed else 0
        ends = [(c["until"], events[c["event"]]["time"], c["failed_at"])[c["end"]] for c in claims]
        assert turn["ready_at"] == max(
            events[task["submits"][0]]["time"],
            spec.get("not_before", 0),
            *(events[need]["time"] for need in needs),
            *(claim["failed_at"] + wait for claim in failed),
            *ends,
            case["first_seen"],
        )


def test_honest_follows() -> None:
    """At most 64 heads: what is acted on, completions and cancels first, then the latest in the linear order (S7)."""
    for case in load("scheduling.json")["follows"]:
        must = [h for h in case["heads"] if h["cid"] == case["acts_on"] or h["op"] in ("complete", "cancel")]
        rest = sorted(
            (h for h in case["heads"] if h not in must), key=lambda h: (h["height"], raw(h["cid"])), reverse=True
        )
        chosen = (must + rest)[:64]
        assert case["follows"] == sorted(h["cid"] for h in chosen)


# ---- files


def sections(car: bytes) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    size, read, rest = varint.decode_raw(car)
    header: Any = dag_cbor.decode(bytes(rest[:size]))
    assert header.keys() == {"roots", "version"}
    assert header["version"] == 1
    at = read + size
    found = []
    while at < len(car):
        size, read, _ = varint.decode_raw(car[at:])
        section = car[at + read : at + read + size]
        found.append((section[:36], section[36:]))
        at += read + size
    return [bytes(root) for root in header["roots"]], found


def test_a_file_is_a_function_of_the_log() -> None:
    """Roots are the heads, sections the genesis and the log in linear order, each named by its bytes (X1, X8)."""
    vector = load("car.json")
    board = load(vector["board"])
    cids = {said["name"]: raw(said["cid"]) for said in board["events"]} | {"genesis": raw(board["ledger"])}
    roots, found = sections((VECTORS / "ledger.car").read_bytes())
    assert roots == [cids[name] for name in vector["roots"]] == [cids[name] for name in board["expect"]["heads"]]
    assert [cid for cid, _ in found] == [cids[name] for name in vector["sections"]]
    assert all(cid_of(block) == cid for cid, block in found)
    places = [(decoded(block).get("height", 0), cid) for cid, block in found]
    assert places == sorted(places)
    assert not {cids[name] for name in vector["not_sent"]} & {cid for cid, _ in found}


def test_a_part_leaves_out_what_is_known() -> None:
    """What a part since given heads leaves out is exactly these and their causal past (X2, X7)."""
    vector = load("car.json")
    board = load(vector["board"])
    names = {raw(said["cid"]): said["name"] for said in board["events"]} | {raw(board["ledger"]): "genesis"}
    links = {
        said["name"]: [
            names[bytes(cid)]
            for f in [decoded(bytes.fromhex(said["block"]))]
            for cid in (f["grant"], *f["parents"], *f["cites"])
        ]
        for said in board["events"]
    } | {"genesis": []}
    past: set[str] = set()
    stack = list(vector["since"]["known"])
    while stack:
        name = stack.pop()
        if name not in past:
            past.add(name)
            stack.extend(links[name])
    assert vector["since"]["sections"] == [name for name in vector["sections"] if name not in past]


def test_blobs_follow_and_frontier() -> None:
    """Blobs come last, ascending by CID (X3); a frontier is canonical and holds the heads and the state root (X6)."""
    vector = load("car.json")
    _, found = sections(bytes.fromhex(vector["blobs"]["car"]))
    blobs = [(raw(blob["cid"]), bytes.fromhex(blob["data"])) for blob in vector["blobs"]["blobs"]]
    assert found[-len(blobs) :] == blobs == sorted(blobs)
    assert all(cid_of(data, 0x55) == cid for cid, data in blobs)
    expect = load(vector["board"])["expect"]
    frontier = decoded(bytes.fromhex(vector["frontier"]))
    assert frontier.keys() == {"v", "ledger", "heads", "samples"}
    assert frontier["v"] == 1
    assert sha256(domain("clock"), *map(bytes, frontier["heads"])).hex() == expect["clock_root"]
    check_samples(vector, frontier)


def check_samples(vector: dict[str, Any], frontier: dict[str, Any]) -> None:
    """Samples are, at heights top-1, top-2, top-4, ..., the least eight CIDs of the log."""
    board = load(vector["board"])
    log = [said for said in board["events"] if said["name"] not in board["expect"]["outside_log"]]
    heights = {raw(said["cid"]): decoded(bytes.fromhex(said["block"]))["height"] for said in log}
    top, step, samples = max(heights.values()), 1, []
    while step < top:
        samples += sorted(cid for cid, height in heights.items() if height == top - step)[:8]
        step *= 2
    assert [bytes(cid) for cid in frontier["samples"]] == samples
