"""Random worlds for the laws: authors who see any closed part of the past and say mostly what could make sense.

Members and owners alike may backdate, leave out, lie and repeat; everything is accepted, much of it without effect.
"""

from __future__ import annotations

from random import Random
from typing import Final

from ledger.cid import Cid
from ledger.events import TaskKey
from ledger.keys import SigningKey
from ledger.operations import (
    Admit,
    Cancel,
    Claim,
    Complete,
    Fail,
    Join,
    Leave,
    Operation,
    Prioritize,
    Release,
    Renew,
    Requeue,
    Revoke,
    Spec,
    Submit,
)
from tests.support.worlds import CREATED, Raw, World, a_spec, signing_key

MEMBERS: Final = tuple(signing_key(name) for name in ("ada", "ben", "cyd"))
_LEAPS_MS: Final = (0, 1, 40, 200, 600, 1_500, 5_000)
_KINDS: Final = (
    *("claim",) * 8,
    *("complete",) * 5,
    *("fail",) * 6,
    *("submit", "requeue") * 3,
    *("renew", "release", "prioritize", "witness", "join", "revoke") * 2,
    *("cancel", "raw", "leave", "admit"),
)


def wild_world(seed: int, steps: int) -> World:
    """Return a world of two events that admit three members and submit two tasks, and `steps` random ones."""
    wild = _Wild(Random(seed))
    for _ in range(steps):
        wild.step()
    return wild.world


class _Wild:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.world = World(name=f"wild {random.random()}")
        roles = ("submitter", "worker")
        owner, ada = self.world.owners[0], MEMBERS[0]
        self.world.event(owner, *(Admit(member.actor, roles, labels=("gpu",)) for member in MEMBERS))
        first = self.world.submit(ada, a_spec("a", max_attempts=random.choice((None, 1))))
        second = self.world.submit(ada, a_spec("b", needs=(first.key,)))
        self.tasks: dict[TaskKey, tuple[SigningKey, Spec]] = {
            first.key: (ada, first.spec),
            second.key: (ada, second.spec),
        }
        self.world.event(ada, first, second)

    def step(self) -> None:
        """Let anybody who sees some part of the past say something."""
        random, world = self.random, self.world
        author = random.choice((*MEMBERS, *MEMBERS, *world.owners))
        tips = random.sample(list(world.events), k=min(len(world.events), random.choice((1, 1, 2, 3))))
        view = world.closure([*tips, *list(world.events)[-random.choice((1, 2, 4)) :]])
        if random.random() < 0.25:
            view = world.closure([list(world.events)[1], *tips])
        ops = [op for _ in range(random.choice((1, 1, 1, 2, 3))) if (op := self.operation(author, view)) is not None]
        latest = max((world.time_of(cid) for cid in view), default=CREATED)
        grants = [world.grants.get(author.actor, world.ledger)]
        if author not in world.owners:
            grants += [cid for cid in view if any(op == "admit" for op in self.names(cid)) and self.admits(cid, author)]
        grant = random.choice(grants[-2:])
        world.event(author, *ops, parents=view, time=latest + random.choice(_LEAPS_MS), grant=grant)

    def names(self, cid: Cid) -> list[object]:
        """Return the names of an event's operations."""
        return [op["op"] for op in self.world.events[cid].event.ops]

    def admits(self, cid: Cid, author: SigningKey) -> bool:
        """Return whether an owner's event admits the author."""
        event = self.world.events[cid].event
        return event.actor in self.world.genesis.owners and any(
            op.get("actor") == author.actor for op in event.ops if op["op"] == "admit"
        )

    def operation(self, author: SigningKey, view: frozenset[Cid]) -> Operation | Raw | None:
        """Return a random operation, None where nothing of its kind could be said."""
        kind = self.random.choice(_KINDS)
        match kind:
            case "submit":
                return self.submit(author)
            case "admit":
                return Admit(self.random.choice(MEMBERS).actor, ("submitter", "worker"), name="m")
            case "revoke":
                return self.revoke(view)
            case "join":
                return Join(self.random.choice(((), ("gpu",), ("prod",))), slots=self.random.choice((None, 2)))
            case "leave":
                return Leave()
            case "witness":
                return None
            case _:
                return self.on_task(kind, author, view)

    def submit(self, author: SigningKey) -> Submit:
        """Ask again for a task of one's own, or for a new one that needs another."""
        own = [spec for owner, spec in self.tasks.values() if owner is author]
        if own and self.random.random() < 0.6:
            spec = self.random.choice(own)
        else:
            needs = (self.random.choice(list(self.tasks)),) if self.random.random() < 0.5 else ()
            later = CREATED + self.random.choice((50, 500, 4_000))
            not_before = self.random.choice((None, None, later))
            expires_at = self.random.choice((None, None, CREATED + 5_000))
            name, most = f"t{len(self.tasks)}", self.random.choice((None, 1))
            spec = a_spec(name, needs=needs, not_before=not_before, expires_at=expires_at, max_attempts=most)
        op = self.world.submit(author, spec, priority=self.random.randint(1, 10))
        self.tasks[op.key] = (author, spec)
        return op

    def revoke(self, view: frozenset[Cid]) -> Revoke | None:
        """Deny a member one of its grants, keeping all, some or nothing of what was seen of it."""
        member = self.random.choice(MEMBERS)
        grants = sorted(cid for cid in view if self.admits(cid, member))
        seen = sorted(cid for cid in view if self.world.events[cid].event.actor == member.actor)
        if not grants:
            return None
        keep = self.random.sample(seen, k=self.random.randint(0, min(3, len(seen))))
        return Revoke(self.random.choice(grants), member.actor, tuple(keep))

    def on_task(self, kind: str, author: SigningKey, view: frozenset[Cid]) -> Operation | Raw | None:
        """Say something about a task: mostly following all that was seen, and mostly about one's own claim."""
        task = self.random.choice([*list(self.tasks)[:1] * 3, *self.tasks])
        seen = sorted(cid for cid in view if task in self.tasks_of(cid))
        if not seen:
            return None
        # An unsound operation is a dead end, so whoever follows all it saw reaches all that is sound.
        follows = tuple(seen) if self.random.random() < 0.75 else tuple(self.random.sample(seen, k=1))
        claims = [cid for cid in seen if "claim" in self.names(cid)]
        own = [cid for cid in claims if self.world.events[cid].event.actor == author.actor]
        if kind in ("renew", "release", "fail", "complete"):
            if own or (claims and self.random.random() < 0.1):
                return self.on_claim(kind, task, follows, self.random.choice(own[-2:] or claims))
            kind = "claim"
        if kind == "raw":
            name = self.random.choice(("ponder", "claim"))
            return Raw(name, task, follows, {"mood": 1})
        if kind == "claim":
            inputs = tuple(cid for cid in sorted(view) if "complete" in self.names(cid))
            return Claim(task, follows, self.random.choice((200, 1_000, 4_000, 9_000)), inputs[:8])
        if kind == "prioritize":
            return Prioritize(task, follows, self.random.randint(1, 10))
        return Cancel(task, follows) if kind == "cancel" else Requeue(task, follows)

    def on_claim(self, kind: str, task: TaskKey, follows: tuple[Cid, ...], claim: Cid) -> Operation:
        """Say something about a claim."""
        match kind:
            case "renew":
                return Renew(task, follows, claim, self.random.choice((1_000, 4_000, 9_000)))
            case "release":
                return Release(task, follows, claim)
            case "fail":
                return Fail(task, follows, claim, "error", "it broke")
            case _:
                return Complete(task, follows, claim)

    def tasks_of(self, cid: Cid) -> set[object]:
        """Return the tasks that an event speaks of."""
        event = self.world.events[cid].event
        submitted = {key for key, (by, spec) in self.tasks.items() if by.actor == event.actor and self.asks(cid, spec)}
        return {op.get("task") for op in event.ops} | submitted

    def asks(self, cid: Cid, spec: Spec) -> bool:
        """Return whether an event submits a spec."""
        ops = self.world.events[cid].event.ops
        return any(isinstance(found := op.get("spec"), dict) and found["task_id"] == spec.task_id for op in ops)
