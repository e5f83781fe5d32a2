"""The vectors of specs/vectors against our own code, and the specs' table of rules against both.

`test_rule[ID]` is the test named for a rule in specs/README.md: it runs every vector that shows the rule.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crdt.attempts import backoff_ms
from crdt.board import Board
from crdt.board_store import MemoryBoardStore
from crdt.clock import MerkleClock, clock_root
from crdt.order import anchor_of, distance, place_of
from crdt.records import CompletionRecord, Snapshot
from crdt.slow import reduce
from crdt.view import tainted_inputs, view
from ledger.acceptance import (
    REFUSED,
    Linked,
    MissingLinks,
    Refusal,
    check_alone,
    linked_event,
    linked_genesis,
    verify_event,
    verify_genesis,
)
from ledger.car import CarError, read_car, write_car
from ledger.challenge import (
    ChallengeError,
    answer_challenge,
    decode_challenge,
    decode_proof,
    encode_proof,
    signed_bytes,
    verify_proof,
)
from ledger.cid import Cid, CidError
from ledger.codec import decode, encode
from ledger.doorkeeper import Doorkeeper, NotAdmittedError
from ledger.events import Event, Genesis, TaskKey, VerifiedEvent, task_key
from ledger.exchange_codec import decode_ranges
from ledger.exchange_server import PATH, SCHEME_PROOF, headers_of
from ledger.hint_gate import HintGate
from ledger.hints import HintError
from ledger.keys import ActorKey, SigningKey, did_key, parse_did_key, verify_signature
from ledger.news import decode_news
from ledger.operations import Backoff
from ledger.ranges import Span, fingerprint, opening
from ledger.replica import ExchangeError
from tests.support.logs import reconcile
from tests.vectors.audit_vector import findings_told, judged, standing_told
from tests.vectors.board_vector import Names, told
from tests.vectors.exchange_vector import DECODERS, ENCODERS, log_of, place
from tests.vectors.generate import VECTORS, generate
from tests.vectors.hint_vector import roots_cases, witness_cases
from tests.vectors.pages import PAGES, TEST, event_example, part_of, rule_table, rules_of, turn_example, vector_files
from tests.vectors.readable import dag_json
from tests.vectors.segment_check import check_segments
from tests.vectors.turns import scheduling_vector
from tests.vectors.world import ACTOR_NAMES, key_of

SPECS = VECTORS.parent
RULES = [rule for page in PAGES for rule in rules_of((SPECS / f"{page}.md").read_text(encoding="utf-8"))]
FILES = vector_files(VECTORS)


def load(name: str) -> Any:
    """Return one vector file."""
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


# ---- the vectors and the pages as files


def test_regenerating_changes_nothing(tmp_path: Path) -> None:
    """The generator writes the very bytes that are there, no file more and none less."""
    generate(tmp_path)
    made = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    here = {path.relative_to(VECTORS).as_posix(): path.read_bytes() for path in VECTORS.rglob("*") if path.is_file()}
    del here["README.md"]
    assert made.keys() == here.keys()
    assert [name for name in made if made[name] != here[name]] == []


def test_the_pages_show_what_the_vectors_say() -> None:
    """Examples and the table of rules in the pages are those of today's vectors."""
    for page, name, text in (
        ("events", "example", event_example()),
        ("assignment", "example", turn_example(VECTORS)),
        ("README", "rules", rule_table(SPECS)),
    ):
        assert part_of((SPECS / f"{page}.md").read_text(encoding="utf-8"), name) == text, page


def test_every_rule_has_a_vector_and_every_vector_a_rule() -> None:
    """The rules of the pages, of the table and of the vectors are the same, each once."""
    assert len(RULES) == len(set(RULES))
    assert set(RULES) == FILES.keys()
    table = part_of((SPECS / "README.md").read_text(encoding="utf-8"), "rules")
    assert all(f"`{TEST}[{rule}]`" in table for rule in RULES)


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str) -> None:
    """Every vector that shows the rule passes our own code."""
    for name in FILES[rule]:
        check(name)
    breaking = [entry for name in FILES[rule] for entry in _breaking(name)]
    if rule[0] in "AMF" and rule != "A7":
        assert rule in breaking


def _breaking(name: str) -> list[str]:
    vector = load(name)
    if name.startswith("boards/"):
        return [entry["rule"] for entry in vector["expect"]["ignored"]]
    return [case["verdict"] for case in vector["cases"]] if name == "refused.json" else []


@functools.cache
def check(name: str) -> None:
    """Run one vector file against our own code. Cached: a passed one passes."""
    checks: dict[str, Callable[[Any], None]] = {
        "keys.json": check_keys,
        "cids.json": check_cids,
        "codec.json": check_codec,
        "signatures.json": check_signatures,
        "hashes.json": check_hashes,
        "clock.json": check_clock,
        "refused.json": check_refused,
        "scheduling.json": check_scheduling,
        "car.json": check_car,
        "hints.json": check_hints,
        "segments.json": check_segments,
        "exchange.json": check_exchange,
        "audit.json": check_audit,
    }
    (check_board if name.startswith("boards/") else checks[name])(load(name))


# ---- keys, names, hashes


def check_keys(vector: Any) -> None:
    """Seeds, public keys and texts belong together."""
    for case in vector["keys"]:
        key = SigningKey.from_seed(bytes.fromhex(case["seed"]))
        assert (key.actor.hex(), did_key(key.actor), key.to_text()) == (case["public"], case["did"], case["secret"])
        assert SigningKey.from_text(case["secret"]).actor == parse_did_key(case["did"]) == key.actor


def check_cids(vector: Any) -> None:
    """Contents are named, texts parsed or refused."""
    for case in vector["cases"]:
        content = bytes.fromhex(case["content"])
        cid = Cid.of(content) if case["codec"] == "dag-cbor" else Cid.of_raw(content)
        assert (cid.hex(), str(cid)) == (case["bytes"], case["base32"])
        assert Cid.parse(case["base58btc"]) == Cid.parse(case["base32"]) == cid
    for case in vector["refused"]:
        with pytest.raises(CidError):
            Cid.parse(case["text"])


def check_codec(vector: Any) -> None:
    """Values have one encoding, both ways."""
    for case in vector["cases"]:
        value = decode(bytes.fromhex(case["encoded"]))
        assert dag_json(value) == case["value"], case["what"]
        assert encode(value).hex() == case["encoded"]


def check_signatures(vector: Any) -> None:
    """Signatures verify over their message and no other."""
    for case in vector["cases"]:
        actor, sig = ActorKey(bytes.fromhex(case["public"])), bytes.fromhex(case["sig"])
        message = bytes.fromhex(case["message"])
        assert verify_signature(actor, message, sig)
        assert not verify_signature(actor, message + b"\0", sig)
        if case["event"] is not None:
            fields = decode((VECTORS / "blocks" / f"{case['event']}.cbor").read_bytes())
            assert isinstance(fields, dict)
            assert Event.from_map(fields).signed_bytes() == message


def check_hashes(vector: Any) -> None:
    """Task keys, places, distances and delays are as said."""
    for case in vector["task_keys"]:
        spec = decode(bytes.fromhex(case["spec"]))
        assert isinstance(spec, dict)
        submitter = ActorKey(bytes.fromhex(case["submitter"]))
        assert task_key(Cid.parse(case["ledger"]), submitter, spec).hex() == case["key"]
    for name, at in vector["places"].items():
        assert place_of(key_of(name).actor) == int(at, 16)
    for case in vector["anchors"]:
        anchor = anchor_of(Cid.parse(case["submit"]), TaskKey(bytes.fromhex(case["key"])))
        assert anchor == int(case["anchor"], 16)
        assert {name: distance(key_of(name).actor, anchor) for name in case["distances"]} == case["distances"]
    key = TaskKey(bytes.fromhex(vector["delays"]["key"]))
    for case in vector["delays"]["cases"]:
        assert backoff_ms(key, Backoff(case["base_ms"], case["max_ms"]), case["n"]) == case["delay_ms"]


def check_clock(vector: Any) -> None:
    """Roots and comparisons are as said."""
    clocks = {
        name: MerkleClock.of_ledger("vector", clock["vector"], map(Cid.parse, clock["heads"]))
        for name, clock in vector["clocks"].items()
    }
    words = {-1: ("before",), 0: ("equal", "concurrent"), 1: ("after",)}
    for row, columns in vector["comparisons"].items():
        root, heads = vector["clocks"][row]["root"], clocks[row].heads
        assert clocks[row].merkle_root == clock_root(reversed(heads)).hex() == root
        for column, word in columns.items():
            assert word in words[clocks[row].compare(clocks[column])]


# ---- blocks


class Intake:
    """The least that takes blocks in any order: what is accepted, refused, and what waits."""

    def __init__(self, genesis: bytes) -> None:
        self.ledger, self.genesis = verify_genesis(genesis)
        self.accepted: dict[Cid, VerifiedEvent] = {}
        self.refused: set[Cid] = set()
        self.waiting: list[bytes] = []

    def find(self, cid: Cid) -> Linked | None:
        if cid == self.ledger:
            return linked_genesis(self.genesis)
        if cid in self.refused:
            return REFUSED
        verified = self.accepted.get(cid)
        return None if verified is None else linked_event(verified.event, self.genesis)

    def offer(self, block: bytes) -> tuple[str, tuple[Cid, ...]]:
        """Judge one block, and what waited for it; return its verdict and what it waits for."""
        try:
            verified = verify_event(check_alone(block, self.ledger), self.ledger, self.genesis, self.find)
        except Refusal as refusal:
            self.refused.add(Cid.of(block))
            return refusal.rule, ()
        except MissingLinks as missing:
            self.waiting.append(block)
            return "waiting", missing.missing
        self.accepted[verified.cid] = verified
        waited, self.waiting = self.waiting, []
        for other in waited:
            self.offer(other)
        return "accepted", ()


def check_refused(vector: Any) -> None:
    """Each block has its verdict."""
    for case in vector["cases"]:
        intake = Intake(bytes.fromhex(vector["genesis"]))
        assert str(intake.ledger) == vector["ledger"]
        for said in vector["accepted"]:
            assert intake.offer(bytes.fromhex(said["block"])) == ("accepted", ())
        for needed in case.get("needs", ()):
            intake.offer(bytes.fromhex(needed))
        parts = case.get("parts") or [[case["block"], 1]]
        block = b"".join(bytes.fromhex(part) * times for part, times in parts)
        if case["kind"] == "genesis":
            assert _genesis_verdict(block) == case["verdict"], case["why"]
        else:
            verdict, missing = intake.offer(block)
            assert (verdict, list(map(str, missing))) == (case["verdict"], case.get("missing", [])), case["why"]


def _genesis_verdict(block: bytes) -> str:
    try:
        verify_genesis(block)
    except Refusal as refusal:
        return refusal.rule
    return "accepted"


# ---- boards


def check_board(vector: Any) -> None:
    """In every order of arrival, both reducers say what the vector expects, to the byte."""
    blocks = [bytes.fromhex(said["block"]) for said in vector["events"]]
    names = Names(
        {Cid.parse(said["cid"]): said["name"] for said in vector["events"]} | {Cid.parse(vector["ledger"]): "genesis"},
        {TaskKey(bytes.fromhex(task["key"])): task["task"] for task in vector["expect"]["tasks"]},
    )
    expected = {name: value for name, value in vector["expect"].items() if name not in ("views", "tainted")}
    for order in (range(len(blocks)), *vector["orders"]):
        intake = Intake(bytes.fromhex(vector["genesis"]))
        for index in order:
            intake.offer(blocks[index])
        assert not intake.waiting
        snapshot = reduce(intake.ledger, intake.genesis, intake.accepted.values())
        assert told(snapshot, names) == expected
        assert told(_board(intake.ledger, intake.genesis, intake.accepted.values()), names) == expected
        check_views(vector, snapshot, names, intake)


def _board(ledger: Cid, genesis: Genesis, events: Iterable[VerifiedEvent]) -> Snapshot:
    store = MemoryBoardStore()
    board = Board(ledger, genesis, store)
    for event in events:
        store.add_event(event)
        board.apply(event)
    return board.snapshot()


def check_views(vector: Any, snapshot: Snapshot, names: Names, intake: Intake) -> None:
    """Statuses, holders and tainted results are as said."""
    keys = {name: key for key, name in names.tasks.items()}
    for seen in vector["expect"]["views"]:
        for name, status in seen["status"].items():
            found = view(snapshot.tasks[keys[name]], snapshot.tasks.get, intake.genesis.policy, seen["now"])
            assert str(found.status) == status, name
            holder = None if found.holder is None else names.events[found.holder.cid]
            assert holder == seen["holder"].get(name)

    def completions(cid: Cid) -> Iterator[CompletionRecord | None]:
        if cid not in snapshot.counts:
            yield None
        yield from (done for task in snapshot.tasks.values() for done in task.completions if done.cid == cid)

    tainted = {names.tasks[key] for key, task in snapshot.tasks.items() if tainted_inputs(task, completions)}
    assert tainted == set(vector["expect"]["tainted"])


def check_scheduling(vector: Any) -> None:
    """Ranks, instants and queues are as said."""
    assert scheduling_vector() == vector


# ---- audit


def check_audit(vector: Any) -> None:
    """From the blocks alone: findings, what is told of each event, and what of manifests is false."""
    ledgers = {told["name"]: told for told in vector["ledgers"]}
    for one in vector["ledgers"]:
        names = {Cid.parse(said["cid"]): said["name"] for said in one["events"]}
        tasks = {TaskKey(bytes.fromhex(key)): task for task, key in one["tasks"].items()}
        audit = judged(bytes.fromhex(one["genesis"]), [bytes.fromhex(said["block"]) for said in one["events"]])
        assert findings_told(audit, names, tasks) == one["findings"], one["name"]
    for standing in vector["standings"]:
        board = load(standing["board"])
        names = {Cid.parse(said["cid"]): said["name"] for said in board["events"]}
        names[Cid.parse(board["ledger"])] = "genesis"
        audit = judged(bytes.fromhex(board["genesis"]), [bytes.fromhex(said["block"]) for said in board["events"]])
        expected = {name: value for name, value in standing.items() if name != "board"}
        assert standing_told(audit, names, ACTOR_NAMES) == expected, standing["board"]
    one = ledgers[vector["manifests"]["ledger"]]
    cids = {said["name"]: Cid.parse(said["cid"]) for said in one["events"]}
    for case in vector["manifests"]["cases"]:
        manifest = bytes.fromhex(case["block"]), [cids[name] for name in case["packed"]]
        blocks = [bytes.fromhex(said["block"]) for said in one["events"]]
        [verdict] = judged(bytes.fromhex(one["genesis"]), blocks, [manifest]).manifests
        assert ([str(lie.kind) for lie in verdict.lies], verdict.behind) == (case["lies"], case["behind"]), case["name"]


# ---- hints


def check_hints(vector: Any) -> None:
    """Each hint is taken or dropped, boards differ, and workers have a reason to witness, as said."""
    gate = HintGate(Cid.parse(vector["ledger"]), age_ms_max=vector["age_ms_max"], skew_ms=vector["skew_ms"])
    members = {key_of(name).actor for name in vector["members"]}
    for case in vector["readings"]:
        verdict = ""
        for _ in range(case.get("times", 1)):
            verdict = "taken"
            try:
                gate.admit(bytes.fromhex(case["hint"]), case["sender"], case["now"], members.__contains__)
            except HintError as error:
                verdict = error.rule
        assert verdict == case["verdict"], case["what"]
    for case in vector["news"]:
        assert _told(bytes.fromhex(case["message"]), Cid.parse(vector["ledger"])) == case["told"], case["what"]
    assert roots_cases() == vector["roots"]
    assert witness_cases() == vector["witness"]


def _told(message: bytes, ledger: Cid) -> int | str | None:
    """Return how many events a message tells as news, None for another kind, or the rule it breaks."""
    try:
        blocks = decode_news(message, ledger)
    except HintError as error:
        return error.rule
    return None if blocks is None else len(blocks)


# ---- exchange


def check_exchange(vector: Any) -> None:
    """Messages read and write as said, others are refused, and reconciling comes to what is said."""
    ledger = Cid.parse(vector["ledger"])
    for case in vector["messages"]:
        message = bytes.fromhex(case["bytes"])
        assert ENCODERS[case["kind"]](DECODERS[case["kind"]](message, ledger), ledger) == message, case["what"]
    for case in vector["refused"]:
        with pytest.raises(ExchangeError):
            DECODERS[case["kind"]](bytes.fromhex(case["bytes"]), ledger)
    log = log_of(range(300))
    for case in vector["fingerprints"]:
        low, high = ((height, bytes.fromhex(prefix)) for height, prefix in case["span"])
        found = fingerprint(log, Span(low, high))
        assert (found.count, found.digest) == (case["count"], bytes.fromhex(case["digest"]))
    expected = vector["reconciliation"]
    mine, theirs = log_of(expected["mine"]), log_of(expected["theirs"])
    assert decode_ranges(bytes.fromhex(expected["opening"]), ledger) == tuple(opening(theirs))
    run = reconcile(mine, theirs, ledger)
    rounds = [(bytes.fromhex(one["question"]), bytes.fromhex(one["answer"])) for one in expected["rounds"]]
    assert run.rounds == rounds
    assert run.wanted == {place(number)[1] for number in expected["wanted"]}
    assert run.lacking == {place(number)[1] for number in expected["lacking"]}
    check_door(vector["door"], ledger)


def check_door(vector: Any, ledger: Cid) -> None:
    """Challenges are answered as said; a true answer lets a member in once, a false one nobody."""
    server, member = (SigningKey.from_seed(bytes.fromhex(vector[f"{name}_seed"])) for name in ("server", "member"))
    challenge = decode_challenge(bytes.fromhex(vector["challenge"]))
    assert (challenge.ledger, challenge.server) == (ledger, server.actor)
    for case in vector["proofs"]:
        proof = answer_challenge(member, challenge, case["audience"])
        assert encode_proof(proof).hex() == case["proof"]
        assert headers_of(SCHEME_PROOF, encode_proof(proof)) == {"Authorization": case["Authorization"]}
        verify_proof(proof, ledger)
    assert vector["path"] == PATH + "delta"
    true = decode_proof(bytes.fromhex(vector["proofs"][0]["proof"]))
    assert signed_bytes(ledger, true.nonce, true.audience, true.actor).hex() == vector["signed"]
    for case in vector["refused"]:
        with pytest.raises(ChallengeError):
            verify_proof(decode_proof(bytes.fromhex(case["proof"])), ledger)
    members = {member.actor}
    keeper = Doorkeeper(ledger, server.actor, members.__contains__, lambda: 1_000_000)  # X17, X18
    with pytest.raises(ChallengeError):  # true, but for a nonce that this server did not make
        keeper.open_session(true)
    proof = answer_challenge(member, keeper.challenge())
    token = keeper.open_session(proof)
    with pytest.raises(ChallengeError):
        keeper.open_session(proof)
    assert keeper.actor_of(token) == member.actor
    members.clear()
    with pytest.raises(NotAdmittedError):
        keeper.actor_of(token)


# ---- files


def check_car(vector: Any) -> None:
    """Files are read, written and taken in as said."""
    whole = (VECTORS / "ledger.car").read_bytes()
    board = load(vector["board"])
    cids = {said["name"]: Cid.parse(said["cid"]) for said in board["events"]} | {"genesis": Cid.parse(board["ledger"])}
    reader = read_car(_stream(whole))
    sections = list(reader)
    assert list(reader.roots) == [cids[name] for name in vector["roots"]]
    assert [cid for cid, _ in sections] == [cids[name] for name in vector["sections"]]
    again = _stream(b"")
    write_car(again, reader.roots, sections)
    assert again.getvalue() == whole
    for case in vector["readings"]:
        car = bytes.fromhex(case["car"]) if "car" in case else _changed(whole, case)
        assert _read(car, bytes.fromhex(board["genesis"])) == (case["accepted"], case["bad"], case["ends"]), case[
            "what"
        ]
    intake = Intake(bytes.fromhex(board["genesis"]))
    blocks = {said["name"]: bytes.fromhex(said["block"]) for said in board["events"]}
    verdicts = []
    for entry in vector["import"]:
        known = cids[entry["event"]] in intake.accepted
        verdict, missing = ("known", ()) if known else intake.offer(blocks[entry["event"]])
        waits = [name for name, cid in cids.items() if cid in missing]
        verdicts.append(f"{verdict} for {', '.join(waits)}" if waits else verdict)
    assert verdicts == [entry["verdict"] for entry in vector["import"]]


def _changed(whole: bytes, case: Any) -> bytes:
    if case.get("flip_last_bit"):
        return whole[:-1] + bytes((whole[-1] ^ 1,))
    return whole[: -case["drop"]]


def _read(car: bytes, genesis: bytes) -> tuple[int, int, str]:
    """Return how many events of a file are accepted, how many sections are bad, and how the reading ends."""
    intake, ends = Intake(genesis), "well"
    reader = None
    try:
        reader = read_car(_stream(car))
        for cid, block in reader:
            if cid != intake.ledger:
                intake.offer(block)
    except CarError:
        ends = "error"
    return len(intake.accepted), 0 if reader is None else reader.bad_count, ends


def _stream(data: bytes) -> io.BytesIO:

    return io.BytesIO(data)
