"""Boards, turns and files checked by dag_cbor, multiformats and hashlib; nothing of ours is imported.

What is recomputed here: heads, clock roots, vectors, leaves, rosters, state roots, distances, holders, ranks, instants,
queues, and the form of files. What is not: the meaning of operations (test_vectors).
"""

from __future__ import annotations

import hashlib
from typing import Any

import dag_cbor
import pytest
from multiformats import CID, varint

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

BOARDS = sorted(path.stem for path in (VECTORS / "boards").glob("*.json"))


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
    """Recompute heads, clock root and vector of a board."""
    log = {name: fields for name, fields in events.items() if name not in expect["outside_log"]}
    linked = {bytes(cid) for fields in log.values() for cid in (fields["grant"], *fields["parents"], *fields["cites"])}
    heads = sorted(cids[name] for name in log if cids[name] not in linked)
    assert [cids[name] for name in expect["heads"]] == heads
    assert sha256(domain("clock"), *heads).hex() == expect["clock_root"]
    actors = [fields["actor"] for fields in log.values()]
    assert expect["vector"] == {name: actors.count(key) for name, key in publics().items() if key in actors}


def check_tasks(expect: dict[str, Any], cids: dict[str, bytes], events: dict[str, Any]) -> None:
    """Recompute leaves, distances, order and holders of a board."""

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
    """Return the record of a task that its leaf hashes (C6)."""

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
    """Return the record of the roster (C6)."""
    keys = publics()
    members: list[Any] = [
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
    """Return the state root over leaves and roster (C6)."""
    leaves = sorted((bytes.fromhex(task["key"]), bytes.fromhex(task["leaf"])) for task in tasks)
    groups: dict[int, bytes] = {}
    for prefix in sorted({key[:2] for key, _ in leaves}):
        bucket = sha256(domain("bucket"), *(key + leaf for key, leaf in leaves if key[:2] == prefix))
        groups[prefix[0]] = groups.get(prefix[0], b"") + prefix[1:] + bucket
    hashed: list[Any] = [[first, sha256(domain("group"), body)] for first, body in sorted(groups.items())]
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
            if rank is not None:
                overdue = any(claim["end"] == 0 for claim in task["claims"])
                wait = int(policy["grace_ms"] * (2 - 2 / 2**rank if overdue else rank))
                assert turn["take_at"] == turn["ready_at"] + wait
            else:
                assert turn["take_at"] is None
            assert turn["ready_at"] >= case["first_seen"]
        mine = [turn for turn in case["tasks"] if turn["take_at"] is not None]
        queues = {
            "ready": [
                (turn["due"] + turn["take_at"] - turn["ready_at"], tasks[turn["task"]]["key"], turn)
                for turn in mine
                if turn["take_at"] <= case["now"]
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
    """At most 64 heads: all. More: the least submit, and the claim that is acted on (S7)."""
    for case in load("scheduling.json")["follows"]:
        needed = {case["least_submit"], case["acts_on"]} - {None}
        assert case["follows"] == sorted(case["heads"] if len(case["heads"]) <= 64 else needed)


# ---- files


def sections(car: bytes) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Return roots and sections of a CARv1."""
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
    """What a part since given heads leaves out is exactly these and their causal past (X2)."""
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


def test_blobs_follow() -> None:
    """Blobs come last, ascending by CID (X3)."""
    vector = load("car.json")
    _, found = sections(bytes.fromhex(vector["blobs"]["car"]))
    blobs = [(raw(blob["cid"]), bytes.fromhex(blob["data"])) for blob in vector["blobs"]["blobs"]]
    assert found[-len(blobs) :] == blobs == sorted(blobs)
    assert all(cid_of(data, 0x55) == cid for cid, data in blobs)


def test_messages_and_fingerprints() -> None:
    """Messages are maps of version 1 (X6); a fingerprint is SHA-256 over the hashes in the linear order (X9)."""
    vector = load("exchange.json")
    for message in vector["messages"]:
        assert decoded(bytes.fromhex(message["bytes"]))["v"] == 1

    def place(number: int) -> tuple[int, bytes]:
        digest = hashlib.sha256(b"p2p-workflow exchange event %d" % number).digest()
        return 1 + number // 2, b"\x01\x71\x12\x20" + digest

    log = sorted(map(place, range(300)))
    for said in vector["fingerprints"]:
        low, high = ((height, bytes.fromhex(prefix)) for height, prefix in said["span"])
        inside = [cid[4:] for height, cid in log if low <= (height, cid) < high]
        assert said["count"] == len(inside)
        assert said["digest"] == hashlib.sha256(b"".join(inside)).hexdigest()
    run = vector["reconciliation"]
    assert set(run["wanted"]) == set(run["theirs"]) - set(run["mine"])
    assert set(run["lacking"]) == set(run["mine"]) - set(run["theirs"])
