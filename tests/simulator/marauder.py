"""A hostile member among real homes: what the adversary says, and beside it blocks that acceptance must stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ledger.acceptance import Refusal
from ledger.cid import Cid
from ledger.codec import encode
from ledger.events import PARENTS_MAX
from ledger.operations import Claim, Operation, Release, Renew, Submit
from ledger.signing import sign_event
from tests.simulator.adversary import Adversary

_CROWD: Final = 70
"""More concurrent events than an event can have parents."""


class Marauder(Adversary):
    """An adversary that also knows bytes: forgeries, other ledgers, floods of blocks whose links do not exist."""

    def act(self, now_ms: int) -> list[Cid]:
        """Do harm, as far as an event has room for it."""
        try:
            return super().act(now_ms)
        except Refusal:
            return []

    def parents(self) -> tuple[Cid, ...]:
        """Return some part of the past, and one event where it has more heads than an event can name."""
        chosen = super().parents()
        fits = len(self.world.heads(self.world.closure(chosen))) <= PARENTS_MAX
        return chosen if fits else (self.random.choice(list(self.world.events)),)

    def crowd(self, now_ms: int) -> list[Cid]:
        """Make more heads at once than an honest event can name: of the log, or of a task (counter-examples 2 and 3).

        What is said of a task is sound: of what is without effect a home lists so many for each actor and task, in the
        order of their arrival, and no more.
        """
        submits = [
            (cid, op.key)
            for cid, event in self.world.events.items()
            for op in self.said(cid)
            if isinstance(op, Submit) and event.event.actor != self.key.actor
            if not (op.spec.needs or op.spec.not_before or op.spec.expires_at)
        ]
        if not submits or self.random.random() < 0.4:
            return self.many((), self.parents(), now_ms)
        submit, task = self.random.choice(submits)
        claim = Claim(task, (submit,), 4_000)
        if self.random.random() < 0.3:
            return self.many((claim,), (submit,), now_ms)
        claimed = self.say((claim,), (submit,), now_ms)
        released = self.say((Release(task, (claimed,), claimed),), (claimed,), now_ms)
        return [released, *self.many((Renew(task, (claimed,), claimed, 4_000),), (claimed,), now_ms)]

    def many(self, ops: Sequence[Operation], parents: Sequence[Cid], now_ms: int) -> list[Cid]:
        """Say the same in many events at once."""
        return [self.say(ops, parents, now_ms + step) for step in range(_CROWD)]

    def say(self, ops: Sequence[Operation], parents: Sequence[Cid], time: int) -> Cid:
        """Make an event under the first grant."""
        return self.world.event(self.key, *ops, parents=parents, time=time, grant=self.grants[0])

    def forgeries(self) -> list[bytes]:
        """Return blocks that no peer may accept, nor anything that links them."""
        victim = self.world.events[self.random.choice(list(self.world.events))].event
        forged = replace(victim, time=victim.time + 1).encode()
        return [
            self.random.randbytes(60),
            encode({"v": 1, "kind": "event", "nonsense": self.random.randint(0, 9)}),
            forged,
            replace(victim, actor=self.key.actor).encode(),
            self.block((Cid.of(forged),)),
            self.block((self.world.ledger,), ledger=Cid.of(b"another")),
            self.block((self.world.ledger,), height=9),
        ]

    def orphans(self) -> list[bytes]:
        """Return a flood of signed blocks whose links nobody has."""
        return [self.block((Cid.of(self.random.randbytes(8)),), height=2 + i) for i in range(30)]

    def block(self, parents: tuple[Cid, ...], *, ledger: Cid | None = None, height: int = 2) -> bytes:
        """Return a signed witness on anything at all."""
        return sign_event(
            self.key,
            ledger=ledger or self.world.ledger,
            grant=self.grants[0],
            parents=parents,
            cites=(),
            blobs=(),
            height=height,
            time=self.world.genesis.created + 10,
            ops=(),
        )
