"""A small ledger made by hand: fixed keys, fixed times, events that a scenario names and describes.

Serves the generator of specs/vectors (tests/vectors/generate.py). Everything is a function of the scenario's text: keys
come from their names, times are given, Ed25519 signatures are deterministic. An operation is written as the map that
stands in the event, but with a `Cid` where an index into `cites` belongs and a `Blob` where one into `blobs` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from crdt.order import order_key
from ledger.acceptance import Linked, check_alone, linked_event, linked_genesis, verify_event
from ledger.cid import Cid
from ledger.codec import Value
from ledger.events import Event, Genesis, Policy, TaskKey, VerifiedEvent, task_key
from ledger.keys import ActorKey, SigningKey
from ledger.signing import sign_event

START_MS: Final = 1_800_000_000_000
"""Time of every genesis; scenarios count from it."""
MINUTE_MS: Final = 60_000

OpMap: TypeAlias = "Mapping[str, object]"


@dataclass(frozen=True, slots=True)
class Blob:
    """Stands in an operation where the index of this blob among the event's blobs belongs."""

    cid: Cid


def key_of(name: str) -> SigningKey:
    """Return the signing key of a name."""
    return SigningKey.from_seed(seed_of(name))


def seed_of(name: str) -> bytes:
    """Return the seed of a name, 32 bytes."""
    return hashlib.sha256(b"p2p-workflow vector key " + name.encode()).digest()


@dataclass(frozen=True, slots=True)
class Said:
    """One event of a scenario. `breaks` maps the index of an operation to the rule it is expected to break."""

    name: str
    words: str
    cid: Cid
    block: bytes
    breaks: Mapping[int, str]


@dataclass(slots=True)
class World:
    """A ledger in the making. `heads` are all heads of what was said, fences left aside."""

    title: str
    policy: Policy = field(default_factory=Policy)
    owners: tuple[str, ...] = ("owner",)
    genesis: Genesis = field(init=False)
    ledger: Cid = field(init=False)
    said: dict[str, Said] = field(default_factory=dict)
    verified: dict[Cid, VerifiedEvent] = field(default_factory=dict)
    grants: dict[str, Cid] = field(default_factory=dict)
    heads: set[Cid] = field(default_factory=set)
    task_names: dict[TaskKey, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owners = sorted(key_of(name).actor for name in self.owners)
        nonce = hashlib.sha256(self.title.encode()).digest()[:16]
        self.genesis = Genesis(self.title, START_MS, nonce, tuple(owners), self.policy)
        self.ledger = Cid.of(self.genesis.encode())

    # ---- reading

    def cid(self, name: str) -> Cid:
        """Return the CID of a named event."""
        return self.said[name].cid

    def cids(self, *names: str) -> tuple[Cid, ...]:
        """Return the CIDs of named events."""
        return tuple(map(self.cid, names))

    def find(self, cid: Cid) -> Linked | None:
        """Return what acceptance asks of a block that is linked."""
        if cid == self.ledger:
            return linked_genesis(self.genesis)
        verified = self.verified.get(cid)
        return None if verified is None else linked_event(verified.event, self.genesis)

    def events(self) -> list[Said]:
        """Return what was said, in the linear order."""
        return sorted(self.said.values(), key=lambda said: order_key(self.verified[said.cid].event.height, said.cid))

    # ---- saying

    def block(
        self,
        actor: str,
        ops: Iterable[OpMap],
        *,
        at: int,
        after: Sequence[Cid] | None = None,
        grant: Cid | None = None,
        blobs: Sequence[Cid] = (),
        cites: Sequence[Cid] = (),
    ) -> bytes:
        """Return the signed block of an event by `actor` at START_MS + `at` that has seen `after`, else all heads."""
        cited, named = list(cites), list(blobs)
        maps = tuple(_resolved(op, cited, named) for op in ops)
        granted = grant or (self.ledger if actor in self.owners else self.grants.get(actor, self.ledger))
        parents = tuple(after if after is not None else self.heads) or (self.ledger,)
        heights = (self._height(cid) for cid in (granted, *parents, *cited))
        return sign_event(
            key_of(actor),
            ledger=self.ledger,
            grant=granted,
            parents=parents,
            cites=cited,
            blobs=named,
            height=1 + max(heights),
            time=START_MS + at,
            ops=maps,
        )

    def _height(self, cid: Cid) -> int:
        linked = self.find(cid)
        assert linked is not None, f"{cid} is not there"
        return linked.height

    def say(
        self,
        name: str,
        actor: str,
        words: str,
        *ops: OpMap,
        at: int,
        after: Sequence[Cid] | None = None,
        grant: Cid | None = None,
        blobs: Sequence[Cid] = (),
        cites: Sequence[Cid] = (),
        breaks: str | Mapping[int, str] = "",
    ) -> Cid:
        """Say one event and take it in, through acceptance; return its CID.

        `breaks` is the rule that operation 0 is expected to break, or the rule of each index.
        """
        block = self.block(actor, ops, at=at, after=after, grant=grant, blobs=blobs, cites=cites)
        verified = verify_event(check_alone(block, self.ledger), self.ledger, self.genesis, self.find)
        expected = {0: breaks} if isinstance(breaks, str) and breaks else dict(breaks or {})
        assert name not in self.said, name
        self.said[name] = Said(name, words, verified.cid, block, expected)
        self.verified[verified.cid] = verified
        self.heads -= set(verified.event.links())
        self.heads.add(verified.cid)
        return verified.cid

    def admit(
        self, name: str, *members: str, at: int, roles: Sequence[str] = ("worker",), labels: Sequence[str] = ()
    ) -> Cid:
        """Let the owner admit members under the names of their keys; they act under this grant from now on."""
        fields: dict[str, object] = {"labels": list(labels)} if labels else {}
        ops = [
            {"op": "admit", "actor": key_of(who).actor, "roles": list(roles), "name": who, **fields} for who in members
        ]
        words = f"{self.owners[0]} admits {', '.join(members)} as {', '.join(roles)}"
        cid = self.say(name, self.owners[0], words, *ops, at=at)
        self.grants.update(dict.fromkeys(members, cid))
        return cid

    def submit(
        self,
        name: str,
        actor: str,
        spec: Mapping[str, Value],
        words: str = "",
        *,
        at: int,
        priority: int = 5,
        **more: object,
    ) -> TaskKey:
        """Let `actor` submit a task; return its key. The event is called `name`, and so is the task at first."""
        key = self.key(actor, spec)
        self.task_names.setdefault(key, name)
        op = submit_op(spec, priority, START_MS + at)
        self.say(name, actor, words or f"{actor} submits {spec['task_id']!s}", op, at=at, **more)  # type: ignore[arg-type]  # passes on what `say` takes
        return key

    def key(self, actor: str, spec: Mapping[str, Value]) -> TaskKey:
        """Return the key of the task that `actor` asks for by `spec`."""
        return task_key(self.ledger, key_of(actor).actor, spec)

    def actor_name(self, actor: ActorKey) -> str:
        """Return the name of a key."""
        return ACTOR_NAMES[actor]


ACTORS: Final = ("owner", "owner2", "alice", "bob", "w1", "w2", "w3", "stranger")
"""Everybody in the vectors, as in specs/vectors/keys.json."""
ACTOR_NAMES: Final = {key_of(name).actor: name for name in ACTORS}


def spec_of(task_id: str, **more: Value) -> dict[str, Value]:
    """Return a small spec with its required fields."""
    spec: dict[str, Value] = {
        "task_id": task_id,
        "workflow_id": "ci",
        "name": f"Run {task_id}",
        "tags": ["p2p-eligible"],
        "requires": [],
        "needs": [],
    }
    return spec | more


def submit_op(spec: Mapping[str, Value], priority: int, created_at: int) -> OpMap:
    """Return a submit."""
    return {"op": "submit", "spec": dict(spec), "priority": priority, "created_at": created_at}


def on_task(op: str, task: TaskKey, follows: Sequence[Cid], **fields: object) -> OpMap:
    """Return an operation on a task."""
    return {"op": op, "task": task, "follows": list(follows), **fields}


def claim_op(task: TaskKey, follows: Sequence[Cid], inputs: Sequence[Cid] = (), lease_ms: int = MINUTE_MS) -> OpMap:
    """Return a claim, for a minute unless said otherwise."""
    return on_task("claim", task, follows, lease_ms=lease_ms, inputs=list(inputs))


def _resolved(op: OpMap, cites: list[Cid], blobs: list[Cid]) -> dict[str, Value]:
    """Return the map with indices where it holds CIDs; a spec is left as it is."""
    return {name: _index(value, cites, blobs) if name != "spec" else value for name, value in op.items()}  # type: ignore[misc]  # scenarios hold values only


def _index(value: object, cites: list[Cid], blobs: list[Cid]) -> Value:
    if isinstance(value, Blob):
        return _place(value.cid, blobs)
    if isinstance(value, Cid):
        return _place(value, cites)
    if isinstance(value, dict):
        return {name: _index(member, cites, blobs) for name, member in value.items()}
    if isinstance(value, list):
        return [_index(element, cites, blobs) for element in value]
    return value  # type: ignore[return-value]  # scenarios hold values only


def _place(cid: Cid, linked: list[Cid]) -> int:
    if cid not in linked:
        linked.append(cid)
    return linked.index(cid)


def event_of(block: bytes, ledger: Cid) -> Event:
    """Return the event in a block that passes A1 to A6."""
    return check_alone(block, ledger).event
