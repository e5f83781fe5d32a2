"""Who a key is in a home's ledger, and what first use may and may not grant (scheduler.membership)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.events import Role
from ledger.keyring import KeyPermissionError
from ledger.keys import SigningKey, did_key
from ledger.operations import Admit, Join, Leave, Revoke
from scheduler.home import Home
from scheduler.membership import KeyVariableError, NotAMemberError, key_of_environment


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with its owner's key."""
    return Home.found(tmp_path / "home")


def test_first_use_admits_and_joins(home: Home) -> None:
    """Where the owner's key is at hand, a peer's key is made, admitted and joined at first use, and not again."""
    key = home.members.peer_key("ann")
    with home.reading():
        assert home.members.name_of(key.actor) == "ann"
        assert home.board.active_workers() == {key.actor}
        before = home.events.count()
    assert home.members.peer_key("ann").actor == key.actor
    with home.reading():
        assert home.events.count() == before


def test_what_was_revoked_is_not_granted_on_the_way(home: Home) -> None:
    """A denial is final: first use never admits again a key that an owner has revoked."""
    key = home.members.peer_key("ann")
    owner = home.members.owner_key()
    assert owner is not None
    with home.reading():
        grant = home.members.grant_for(key.actor, Role.WORKER)
        heads = home.board.heads
    home.append(owner, (Revoke(grant, key.actor, heads),))
    with pytest.raises(NotAMemberError, match="members admit"):
        home.members.peer_key("ann")


def test_who_left_joins_again_by_working(home: Home) -> None:
    """`leave` is no revocation: who wants to work again joins again."""
    key = home.members.peer_key("ann")
    home.append(key, (Leave(),), Role.WORKER)
    with home.reading():
        assert home.board.active_workers() == frozenset()
    home.members.peer_key("ann")
    with home.reading():
        assert home.board.active_workers() == {key.actor}


def test_who_joins_again_has_its_labels_and_slots(home: Home) -> None:
    """A peer that left and works again can do what it could before, but for labels its grant does not list any more."""
    key = home.members.peer_key("ann", ("gpu",))
    for admitted, labels in (((), ("arm", "gpu")), (("gpu",), ("gpu",))):
        home.append(key, (Join(labels=("arm", "gpu"), slots=3),), Role.WORKER)
        home.append(key, (Leave(),), Role.WORKER)
        owner = home.members.owner_key()
        assert owner is not None
        if admitted:
            home.append(owner, (Admit(key.actor, (Role.WORKER.value,), "ann", admitted),))
        home.members.peer_key("ann")
        with home.reading():
            (presence,) = home.board.roster().presences
        assert (presence.joined, presence.labels, presence.slots) == (True, labels, 3)


def test_a_name_is_a_key_whatever_the_environment_holds(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two peers of one program are two keys: P2P_WORKFLOW_KEY signs for its own peer, and for no other, as is said."""
    ann = SigningKey.generate()
    owner = home.members.owner_key()
    assert owner is not None
    home.append(owner, (Admit(ann.actor, (Role.WORKER.value,), "ann"),))
    monkeypatch.setenv("P2P_WORKFLOW_KEY", ann.to_text())
    assert home.members.key_named("ann").actor == ann.actor
    assert caplog.messages == []
    ben = home.members.key_named("ben")
    assert home.members.key_named("ben").actor == ben.actor
    assert ben.actor == home.keys.load("ben").actor != ann.actor
    assert len(caplog.messages) == 1
    assert "P2P_WORKFLOW_KEY" in caplog.messages[0]
    (home.folder / "keys" / "owner.key").unlink()
    assert home.members.key_named("ben").actor == ben.actor
    assert home.members.key_named("new").actor == ann.actor


def test_the_peer_of_a_command_is_the_one_whose_key_signs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """P2P_WORKFLOW_PEER does not name another peer than P2P_WORKFLOW_KEY, which signs; it names a key not named yet."""
    ann = SigningKey.generate()
    monkeypatch.setenv("P2P_WORKFLOW_KEY", ann.to_text())
    monkeypatch.setenv("P2P_WORKFLOW_PEER", "ben")
    assert home.members.default_peer() == "ben"
    owner = home.members.owner_key()
    assert owner is not None
    home.append(owner, (Admit(ann.actor, (Role.WORKER.value,), "ann"),))
    assert home.members.default_peer() == "ann"
    key = home.members.find_key(home.members.default_peer())
    assert key is not None
    assert key.actor == ann.actor


def test_no_two_members_have_one_name(home: Home) -> None:
    """A name that several have is shown with the tails of their keys: the local owner's too, whoever else takes it."""
    owner = home.members.owner_key()
    assert owner is not None
    others = [SigningKey.generate().actor for _ in range(3)]
    for actor, name in zip(others, ("owner", "ann", "ann"), strict=True):
        home.append(owner, (Admit(actor, (Role.WORKER.value,), name),))
    with home.reading():
        names = home.members.names()
    assert names == {
        actor: f"{name}~{did_key(actor)[-6:]}"
        for actor, name in zip((owner.actor, *others), ("owner", "owner", "ann", "ann"), strict=True)
    }


def test_one_unfit_key_file_does_not_stop_the_others(home: Home) -> None:
    """A key that others can read is not used, but names are shown and other keys work; an unfit owner's key is said."""
    home.members.peer_key("ann")
    (home.folder / "keys" / "ann.key").chmod(0o644)
    home.members.peer_key("ben")
    with home.reading():
        assert "ben" in home.members.names().values()
    (home.folder / "keys" / "owner.key").chmod(0o644)
    with pytest.raises(KeyPermissionError, match="chmod"):
        home.members.owner_key()


def test_a_variable_that_holds_no_key_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage in P2P_WORKFLOW_KEY is told as that variable's, without its text; an empty one is none."""
    monkeypatch.setenv("P2P_WORKFLOW_KEY", "z3u2-nearly-a-secret")
    with pytest.raises(KeyVariableError, match=r"^P2P_WORKFLOW_KEY: ") as caught:
        key_of_environment()
    assert "nearly" not in str(caught.value)
    key = SigningKey.generate()
    monkeypatch.setenv("P2P_WORKFLOW_KEY", key.to_text() + "\n")
    found = key_of_environment()
    assert found is not None
    assert found.actor == key.actor
    monkeypatch.setenv("P2P_WORKFLOW_KEY", " ")
    assert key_of_environment() is None
