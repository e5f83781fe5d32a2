"""Secrets: read late, from private files or the environment, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.running.job import Permit
from scheduler.working.secrets import SecretError, SecretPermissionError, SecretSource, grant, read_secret

VALUE = "correct horse\nbattery"


@pytest.fixture
def source(tmp_path: Path) -> SecretSource:
    """Return a secret in a file of its owner alone."""
    path = tmp_path / "token"
    path.write_text(VALUE + "\n", encoding="utf-8")
    path.chmod(0o600)
    return SecretSource("TOKEN", path)


def test_a_value_is_read_when_it_is_granted(source: SecretSource) -> None:
    """A run has the value as it is at its start, without the last line end; only what its payload asks for."""
    sources = {"TOKEN": source, "OTHER": SecretSource("OTHER", None, "X_OTHER"), "ABSENT": SecretSource("ABSENT")}
    assert grant(Permit(), ("TOKEN", "OTHER"), sources, {"X_OTHER": "x"}).secrets == {"TOKEN": VALUE, "OTHER": "x"}
    assert source.file is not None
    source.file.write_text("new", encoding="utf-8")
    assert grant(Permit(), ("TOKEN",), sources, {}).secrets == {"TOKEN": "new"}
    assert grant(Permit(), (), sources, {}).secrets == {}


def test_values_are_never_shown(source: SecretSource) -> None:
    """Neither a source nor a permit shows a value."""
    permit = grant(Permit(), ("TOKEN",), {"TOKEN": source}, {})
    for shown in (repr(permit), str(permit), repr(source), str(source)):
        assert "battery" not in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_can_read_is_refused(source: SecretSource, mode: int) -> None:
    """A secret that others can read or change is none, and the words say how to mend that."""
    assert source.file is not None
    source.file.chmod(mode)
    with pytest.raises(SecretPermissionError, match="chmod 600") as caught:
        read_secret(source, {})
    assert "battery" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\n", b"a\0b", b"\xff\xfe", b"x" * 65_537], ids=range(5))
def test_what_is_no_value(source: SecretSource, data: bytes) -> None:
    """What no variable can hold, and what would mask nothing, is refused without showing it."""
    assert source.file is not None
    source.file.write_bytes(data)
    with pytest.raises(SecretError, match="secret TOKEN"):
        read_secret(source, {})


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    """A missing file, variable or entry is an error that names it."""
    with pytest.raises(SecretError, match="No such file"):
        read_secret(SecretSource("T", tmp_path / "none"), {})
    with pytest.raises(SecretError, match="has no X_T"):
        read_secret(SecretSource("T", None, "X_T"), {})
    with pytest.raises(SecretError, match=r"no \[secrets.T\]"):
        grant(Permit(), ("T",), {}, {})
