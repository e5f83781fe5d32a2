"""Who a key is in this ledger: its grant, its name, and how a peer of the home becomes a member that works.

Implements: specs/authority.md R5 as the home uses it; the names and first use of the quick start's contract.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Container
from typing import TYPE_CHECKING, Final

from ledger.cid import Cid
from ledger.events import Admission, Role
from ledger.keyring import KeyringError
from ledger.keys import ActorKey, KeyFormatError, SigningKey, did_key
from ledger.operation_codec import read_operations
from ledger.operations import Admit, Join

if TYPE_CHECKING:
    from scheduler.home import Home

_logger = logging.getLogger(__name__)
_said_of: Final[set[ActorKey]] = set()  # peers of which this process has told that P2P_WORKFLOW_KEY is another

PEER_VARIABLE: Final = "P2P_WORKFLOW_PEER"
KEY_VARIABLE: Final = "P2P_WORKFLOW_KEY"


class KeyVariableError(KeyFormatError):
    """P2P_WORKFLOW_KEY holds something, and it is no key."""


class NotAMemberError(Exception):
    """The key has no standing grant for what it wants to do; an owner of the ledger must admit it."""

    def __init__(self, actor: ActorKey, role: Role | None) -> None:
        self.actor = actor
        self.did = did_key(actor)
        needed = f" as {role}" if role else ""
        super().__init__(
            f"{self.did} is not admitted{needed} to this ledger: an owner can admit it with "
            f"`p2p-workflow members admit {self.did}`"
        )


class Membership:
    """Members of a home's ledger, and the home's own keys among them."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def grant_for(self, actor: ActorKey, role: Role | None = None) -> Cid | None:
        """Return what `actor` can act under in `role` (None: in any); None where nothing allows it.

        The genesis for owners, else its latest standing admission, else the genesis for a submitter where the ledger
        is open.
        """
        home = self._home
        if actor in home.genesis.owners:
            return home.ledger
        roster = home.board.store.state.roster  # asked for each event, so the facts themselves, not the sorted roster
        standing = [
            (fact.height, grant)
            for (member, grant), fact in roster.admissions.items()
            if member == actor and (role is None or role in fact.roles) and not roster.fences_against(actor, grant)
        ]
        if standing:
            return max(standing)[1]
        if home.policy.admission is Admission.OPEN and role in (None, Role.SUBMITTER):
            return None if roster.fences_against(actor, home.ledger) else home.ledger
        return None

    def name_of(self, actor: ActorKey) -> str:
        """Return the name an actor was last admitted under, with the tail of its key where two have that name.

        "owner" for an owner whose key is in this home; else its did:key.
        """
        names = self.names()
        return names.get(actor) or did_key(actor)

    def names(self) -> dict[ActorKey, str]:
        """Return the names of the members that have one, each with the tail of its key where several have it."""
        graph = self._home.board.graph
        members = [m for m in self._home.board.roster().members if m.name and not m.revoked_by]
        members.sort(key=lambda m: (graph.node(m.grant).height, m.grant))
        latest = {m.actor: m.name for m in members if m.name}
        keys, _ = self._usable_keys()
        for name, key in keys.items():
            if key.actor in self._home.genesis.owners:
                latest.setdefault(key.actor, name)
        bearers = Counter(latest.values())
        return {actor: f"{name}~{did_key(actor)[-6:]}" if bearers[name] > 1 else name for actor, name in latest.items()}

    def owner_key(self) -> SigningKey | None:
        """Return the key of an owner, where one is in this home; raise KeyringError where it may be an unfit one."""
        keys, unfit = self._usable_keys()
        owned = [key for key in keys.values() if key.actor in self._home.genesis.owners]
        if not owned and unfit is not None:
            raise unfit
        return owned[0] if owned else None

    def names_of_keys(self, actors: Container[ActorKey]) -> list[str]:
        """Return by which names this home has keys of these actors."""
        keys, _ = self._usable_keys()
        return [name for name, key in keys.items() if key.actor in actors]

    def _usable_keys(self) -> tuple[dict[str, SigningKey], KeyringError | None]:
        """Return the home's keys by name, and what is wrong with the first that cannot be used."""
        keys: dict[str, SigningKey] = {}
        unfit: KeyringError | None = None
        for name in self._home.keys.names():
            try:
                keys[name] = self._home.keys.load(name)
            except KeyringError as error:  # one bad file must not keep the others from their work
                unfit = unfit or error
        return keys, unfit

    def default_peer(self, configured: str | None = None) -> str:
        """Return the name of the peer a command acts as where it is not told.

        It is what P2P_WORKFLOW_PEER says, else what is configured, else the host's.
        A key in P2P_WORKFLOW_KEY signs for every command, so the name it has as a member comes before both.
        """
        given, named = key_of_environment(), None
        if given is not None:
            with self._home.reading():
                named = self.names().get(given.actor)
        return named or os.environ.get(PEER_VARIABLE) or configured or f"peer-{socket.gethostname() or 'local'}"[:64]

    def find_key(self, name: str) -> SigningKey | None:
        """Return the key a command signs with: the one in P2P_WORKFLOW_KEY, else the home's key `name`."""
        return key_of_environment() or self._home.keys.find(name)

    def key_named(self, name: str) -> SigningKey:
        """Return the key that the `peer_id` of a program names; two names are two keys where they can be.

        It is the home's key of that name, made here if need be. The key in P2P_WORKFLOW_KEY signs only where the home
        has no key of that name, and it is that member's, or no owner's key is at hand that could admit a new one. Where
        it is another and does not sign, a warning says so.
        """
        given, kept = key_of_environment(), self._home.keys.find(name)
        if given is None:
            return kept or self._home.keys.ensure(name)
        if kept is None and self._stands_in(given.actor, name):
            return given
        kept = kept or self._home.keys.ensure(name)
        if kept.actor not in (given.actor, *_said_of):
            _said_of.add(kept.actor)
            _logger.warning("%r signs with the key of that name in this home, not with that in %s", name, KEY_VARIABLE)
        return kept

    def _stands_in(self, actor: ActorKey, name: str) -> bool:
        """Tell whether a key that is not kept here is that of the member `name`, or no other could be admitted."""
        keys, _ = self._usable_keys()
        if not any(key.actor in self._home.genesis.owners for key in keys.values()):
            return True
        with self._home.reading():
            return self.names().get(actor) == name

    def peer_key(self, name: str, labels: tuple[str, ...] = ()) -> SigningKey:
        """Return the key of the peer a command acts as, at work as `put_to_work` says; made at first use."""
        key = self.find_key(name) or self._home.keys.ensure(name)
        self.put_to_work(key, name, labels)
        return key

    def put_to_work(self, key: SigningKey, name: str, labels: tuple[str, ...] = ()) -> None:
        """Have a key admitted, where the owner's key is at hand, and joined.

        Who joins again without saying `labels` has those of its last join, and the slots. What an owner has taken back,
        or never granted to a key it knows, is not granted on the way. Raises NotAMemberError, naming the key to admit,
        where that is so or no owner's key is in this home.
        """
        with self._home.reading():
            ready = self._has_joined(key.actor)
            if self.grant_for(key.actor, Role.WORKER) is None and self._is_known(key.actor):
                raise NotAMemberError(key.actor, Role.WORKER)
        if not ready:
            with self._home.writing() as writing:
                if self.grant_for(key.actor, Role.WORKER) is None:
                    owner = self.owner_key()
                    if owner is None:
                        raise NotAMemberError(key.actor, Role.WORKER)
                    writing.append(owner, (Admit(key.actor, (Role.SUBMITTER.value, Role.WORKER.value), name),))
                if not self._has_joined(key.actor):
                    writing.append(key, (Join(labels) if labels else self._last_join(key.actor),), Role.WORKER)

    def _last_join(self, actor: ActorKey) -> Join:
        """Return what an actor said when it joined last, without labels that its grant does not list any more."""
        home = self._home
        nodes = sorted(home.board.store.nodes_of(actor), key=lambda node: (node.height, node.cid), reverse=True)
        said = (op for node in nodes for op in read_operations(home.read_event(node.cid)) if isinstance(op, Join))
        last = next(said, Join())
        grant = self.grant_for(actor, Role.WORKER)
        fact = None if grant is None else home.board.store.state.roster.admissions.get((actor, grant))
        if fact is None or not fact.labels:
            return last
        return Join(tuple(label for label in last.labels if label in fact.labels), last.slots)

    def _is_known(self, actor: ActorKey) -> bool:
        return any(member.actor == actor for member in self._home.board.roster().members)

    def _has_joined(self, actor: ActorKey) -> bool:
        return actor in self._home.board.active_workers()


def key_of_environment() -> SigningKey | None:
    """Return the key in P2P_WORKFLOW_KEY, None where it is empty; raise KeyVariableError where it holds no key."""
    text = os.environ.get(KEY_VARIABLE, "").strip()
    try:
        return SigningKey.from_text(text) if text else None
    except KeyFormatError as error:
        raise KeyVariableError(f"{KEY_VARIABLE}: {error}") from None
