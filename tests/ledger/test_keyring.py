"""Kept keys: whole or not at all, never replaced, and read only where nobody else can."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.keyring import (
    FILE_NAME_BYTES_MAX,
    KeyExistsError,
    KeyFileError,
    KeyNameError,
    KeyNotFoundError,
    KeyPermissionError,
    KeyRing,
    key_file_name,
    key_name,
)
from ledger.keys import SigningKey

KEY = SigningKey.from_seed(bytes(range(32)))
PRINTABLE = st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" ./-%_~")


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """Return the ring of a folder that is still to be made."""
    return KeyRing(tmp_path / "home" / "keys")


@given(st.text(PRINTABLE, min_size=1, max_size=128))
def test_a_name_and_its_file_name_are_one(name: str) -> None:
    """A name has one safe file name and comes back from it; only what no file system could hold is refused."""
    try:
        file_name = key_file_name(name)
    except KeyNameError:
        assert not name.isprintable() or len(name.encode()) * 3 + 4 > FILE_NAME_BYTES_MAX
        return
    assert key_name(file_name) == name
    assert file_name.isascii()
    assert file_name[0] not in ".-"
    assert set(file_name).isdisjoint("/\\ \0:*?\"'<>|")
    assert len(file_name) <= FILE_NAME_BYTES_MAX


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("peer-1.a_B", "peer-1.a_B.key"),
        ("my peer/1", "my%20peer%2F1.key"),
        ("..", "%2E..key"),
        ("-rf", "%2Drf.key"),
        ("100%", "100%25.key"),
        ("é", "%C3%A9.key"),
        ("~", "%7E.key"),
    ],
)
def test_file_names_are_these(name: str, file_name: str) -> None:
    """Plain names stay as they are; the rest is percent-encoded."""
    assert key_file_name(name) == file_name


@pytest.mark.parametrize("name", ["", "a" * 129, "a\n", "\0", "\x1b[31m", "\ud800", "\U0001f600" * 64])
def test_other_names_are_refused(name: str, ring: KeyRing) -> None:
    """Empty, too long and unprintable names are none, whatever is asked of the ring."""
    for ask in (key_file_name, ring.load, ring.find, ring.generate):
        with pytest.raises(KeyNameError):
            ask(name)


@pytest.mark.parametrize("file_name", ["a", ".key", ".a.key", "%61.key", "%2f.key", "%FF.key", "a b.key", "-a.key"])
def test_other_files_are_no_keys(file_name: str) -> None:
    """A file that no name would be kept in has no name."""
    assert key_name(file_name) is None


def test_keys_come_back(ring: KeyRing) -> None:
    """What is kept is loaded again by its name, and listed; before the first, there is nothing."""
    assert ring.names() == ()
    assert ring.find("one") is None
    one = ring.generate("one")
    ring.add("my peer/1", KEY)
    assert ring.names() == ("my peer/1", "one")
    assert ring.load("one").actor == one.actor
    found = ring.find("my peer/1")
    assert found is not None
    assert found.to_text() == KEY.to_text()
    assert ring.actors() == {"one": one.actor, "my peer/1": KEY.actor}


def test_nobody_else_can_read(ring: KeyRing) -> None:
    """Folder and file are the owner's alone from the start, whatever the umask, and nothing else is left there."""
    before = os.umask(0)
    try:
        ring.add("one", KEY)
    finally:
        os.umask(before)
    path = ring.folder / "one.key"
    assert stat.S_IMODE(ring.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == KEY.to_text() + "\n"
    assert list(ring.folder.iterdir()) == [path]


def test_a_key_is_never_replaced(ring: KeyRing) -> None:
    """A taken name is refused and its key stays, and nothing unfinished stays behind."""
    ring.add("one", KEY)
    with pytest.raises(KeyExistsError):
        ring.generate("one")
    assert ring.load("one").actor == KEY.actor
    assert len(list(ring.folder.iterdir())) == 1


def test_of_many_at_once_one_wins(ring: KeyRing) -> None:
    """However many make a key of one name at the same time, one does, and its key is the one kept."""

    def attempt(_: int) -> SigningKey | None:
        try:
            return ring.generate("one")
        except KeyExistsError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [key for key in pool.map(attempt, range(8)) if key is not None]
    assert [key.actor for key in made] == [ring.load("one").actor]


def test_of_many_that_ensure_all_get_one_key(ring: KeyRing) -> None:
    """Whoever ensures a name at the same time gets the one key that is kept."""
    with ThreadPoolExecutor(8) as pool:
        actors = set(pool.map(lambda _: ring.ensure("one").actor, range(8)))
    assert actors == {ring.load("one").actor}


def test_an_unknown_name_lists_the_known(ring: KeyRing) -> None:
    """Who asks for a key that is not there learns which are."""
    with pytest.raises(KeyNotFoundError, match="known: none"):
        ring.load("two")
    ring.add("one", KEY)
    with pytest.raises(KeyNotFoundError, match="known: 'one'"):
        ring.load("two")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_file_open_to_others_is_refused(ring: KeyRing, mode: int) -> None:
    """A key that group or others have any right to is not used, and the message says the chmod; after it, it is."""
    ring.add("one", KEY)
    path = ring.folder / "one.key"
    path.chmod(mode)
    for ask in (ring.load, ring.find):
        with pytest.raises(KeyPermissionError, match="chmod 600"):
            ask("one")
    path.chmod(0o600)
    assert ring.load("one").actor == KEY.actor


def test_a_symbolic_link_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    """A link could lead to a file that others put there."""
    ring.add("one", KEY)
    (ring.folder / "two.key").symlink_to(ring.folder / "one.key")
    (ring.folder / "three.key").symlink_to(tmp_path / "nowhere")
    for name in ("two", "three"):
        with pytest.raises(KeyPermissionError, match="symbolic link"):
            ring.load(name)


def test_a_file_of_another_owner_is_refused(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that another user owns could be known to that user."""
    ring.add("one", KEY)
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    with pytest.raises(KeyPermissionError, match="another user"):
        ring.load("one")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", KEY.to_text().encode()[:-2], KEY.to_text().encode() * 40])
def test_a_damaged_file_is_refused_without_showing_it(ring: KeyRing, content: bytes) -> None:
    """What holds no key is named by its path; the message has nothing of what stands in it."""
    ring.add("one", KEY)
    path = ring.folder / "one.key"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"one\.key") as caught:
        ring.load("one")
    assert KEY.to_text()[:8] not in str(caught.value)


def test_what_is_no_file_is_refused(ring: KeyRing) -> None:
    """A folder or a pipe in the place of a key is no key, and reading it does not hang."""
    ring.add("one", KEY)
    (ring.folder / "two.key").mkdir(mode=0o700)
    os.mkfifo(ring.folder / "three.key", 0o600)
    for name in ("two", "three"):
        with pytest.raises(KeyFileError, match="no regular file"):
            ring.load(name)
