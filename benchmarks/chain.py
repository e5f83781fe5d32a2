"""Long ledgers, fast: blocks that are signed one after the other, without a home that folds each.

A home makes an event in a millisecond, most of which is folding; a ledger of 100,000 events is wanted by benchmarks
that measure other things. Peers submit, claim and complete tasks, an event each, each on the one before.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.replay import Load
from ledger.cid import Cid
from ledger.events import Genesis, Policy, task_key
from ledger.keys import SigningKey
from ledger.operation_writing import cited_events, write_operation, write_spec
from ledger.operations import Admit, Claim, Complete, Join, Operation, Spec, Submit
from ledger.signing import sign_event

_SIDE_BY_SIDE: Final = 60
"""Tasks that are open at once."""
_BEGAN_MS: Final = 1_700_000_000_000


class Chain:
    """A ledger that grows by one event at a time, each on the one before, of peers that its owner has admitted.

    Its keys are new ones each time, so no two are the same ledger.
    """

    def __init__(self, peers: int = 3) -> None:
        owner = SigningKey.generate()
        self.blocks: list[bytes] = []
        self.genesis = Genesis("benchmark", _BEGAN_MS, secrets.token_bytes(16), (owner.actor,), Policy())
        self.ledger = Cid.of(self.genesis.encode())
        self.head, self.height = self.ledger, 0
        self.keys = [SigningKey.generate() for _ in range(peers)]
        self._grant = self.ledger  # an owner acts under it, the others under the admission that follows
        admits = [Admit(key.actor, ("submitter", "worker"), f"peer {i}") for i, key in enumerate(self.keys)]
        self._grant = self.say(owner, admits)
        for key in self.keys:
            self.say(key, (Join(()),))

    def say(self, key: SigningKey, operations: Sequence[Operation], on: Cid | None = None) -> Cid:
        """Append an event of `key` and return its CID."""
        cites = tuple(dict.fromkeys(cid for operation in operations for cid in cited_events(operation)))
        at = {cid: index for index, cid in enumerate(cites)}
        self.height += 1
        block = sign_event(
            key,
            ledger=self.ledger,
            grant=self._grant,
            parents=(self.head if on is None else on,),
            cites=cites,
            blobs=(),
            height=self.height,
            time=_BEGAN_MS + self.height,
            ops=tuple(write_operation(operation, at, {}) for operation in operations),
        )
        self.blocks.append(block)
        self.head = Cid.of(block)
        return self.head

    def grow(
        self, events: int, authors: Sequence[SigningKey] = (), step: Callable[[int], None] = lambda _: None
    ) -> None:
        """Append `events` events: tasks side by side are submitted, claimed, and completed."""
        authors = authors or self.keys
        wanted = len(self.blocks) + events
        number = len(self.blocks)
        while len(self.blocks) < wanted:
            before = len(self.blocks)
            some = min(_SIDE_BY_SIDE, max(1, (wanted - before) // 3))
            turn = [(authors[(number + i) % len(authors)], self._submit(authors, number + i)) for i in range(some)]
            number += some
            submits = [(key, submit, self.say(key, (submit,))) for key, submit in turn]
            claims = [(k, s, self.say(k, (Claim(s.key, (cid,), 600_000),))) for k, s, cid in submits]
            for key, submit, claim in claims:
                self.say(key, (Complete(submit.key, (claim,), claim),))
            step(len(self.blocks) - before)

    def _submit(self, authors: Sequence[SigningKey], number: int) -> Submit:
        key = authors[number % len(authors)]
        spec = Spec(f"task {number}", "benchmark", f"task {number}", ("p2p-only",))
        fields = write_spec(spec)
        return Submit(task_key(self.ledger, key.actor, fields), spec, 1 + number % 10, _BEGAN_MS + number, fields)

    def load(self) -> Load:
        """Return the ledger as blocks."""
        return Load(self.genesis.encode(), tuple(self.blocks))
