"""The source as a tar: the same bytes for the same files, tracked ones only, and nothing from outside."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from scheduler.workflows import source
from scheduler.workflows.source import SourceError, checkout_of, pack, resolve_ref


def git(folder: Path, *args: str) -> None:
    """Run git, with an author of its own and no configuration of the machine."""
    line = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.example", *args]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(line, check=True, capture_output=True, env=env)


def repository(folder: Path) -> Path:
    """Make a work tree with a commit on main."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "src").mkdir()
    (folder / "src" / "main.py").write_text("print(1)\n")
    (folder / "run.sh").write_text("echo\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/main.py")
    (folder / "é x").write_text("ü")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def names(data: bytes) -> dict[str, tarfile.TarInfo]:
    """Return the entries of a tar by name."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: one for one in tar}


def test_the_tracked_files_as_they_lie_there(tmp_path: Path) -> None:
    """Changes are in it; untracked files, deleted ones and `.git` are not."""
    root = repository(tmp_path / "r")
    (root / "untracked").write_text("secret")
    (root / "src" / "main.py").write_text("print(2)\n")
    (root / "é x").unlink()
    packed = pack(root)
    found = names(packed.data)
    assert list(found) == ["link", "run.sh", "src/main.py"]
    assert packed.files == 3
    with tarfile.open(fileobj=io.BytesIO(packed.data)) as tar:
        main = tar.extractfile("src/main.py")
        assert main is not None
        assert main.read() == b"print(2)\n"
    assert [(one.mode, one.mtime, one.uid, one.uname) for one in found.values()] == [
        (0o777, 0, 0, ""),
        (0o755, 0, 0, ""),
        (0o644, 0, 0, ""),
    ]
    assert (found["link"].issym(), found["link"].linkname) == (True, "src/main.py")


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    """Elsewhere, at another time, with other rights, by git or as a plain folder."""
    one = repository(tmp_path / "one")
    other = repository(tmp_path / "a" / "two")
    os.utime(other / "run.sh", (1, 1))
    (other / "src" / "main.py").chmod(0o600)
    assert pack(one).data == pack(other).data
    subprocess.run(["rm", "-rf", str(other / ".git")], check=True)
    assert pack(one).data == pack(other).data
    (other / "run.sh").chmod(0o644)
    assert pack(one).data != pack(other).data


def test_a_folder_within_a_repository(tmp_path: Path) -> None:
    """Only what is below it, by its path from there; one that git tracks nothing of is refused, not sent whole."""
    root = repository(tmp_path / "r")
    assert list(names(pack(root / "src").data)) == ["main.py"]
    (root / "new").mkdir()
    (root / "new" / "password").write_text("x")
    with pytest.raises(SourceError, match="tracks no file"):
        pack(root / "new")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "src/../../x", ".."])
def test_links_that_lead_out_are_refused(tmp_path: Path, target: str) -> None:
    """Neither by name nor by another name."""
    (tmp_path / "f" / "src").mkdir(parents=True)
    (tmp_path / "f" / "bad").symlink_to(target)
    with pytest.raises(SourceError, match="leads out"):
        pack(tmp_path / "f")


def test_a_tracked_file_behind_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    """A folder that became a link does not bring in what it points at."""
    root = repository(tmp_path / "r")
    subprocess.run(["rm", "-rf", str(root / "src")], check=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "main.py").write_text("secret")
    (root / "src").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceError, match="leads out"):
        pack(root)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe would never end; what is no folder is no source."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="neither a file nor a link"):
        pack(tmp_path)
    with pytest.raises(SourceError, match="no folder"):
        pack(tmp_path / "nowhere")


def test_a_source_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its files before they are read, and by the tar."""
    monkeypatch.setattr(source, "SOURCE_BYTES_MAX", 20_000)
    (tmp_path / "a").write_bytes(b"x" * 20_001)
    with pytest.raises(SourceError, match="20,001 bytes"):
        pack(tmp_path)
    (tmp_path / "a").write_bytes(b"x" * 20_000)
    with pytest.raises(SourceError, match="are possible"):
        pack(tmp_path)


def test_git_says_what_is_checked_out(tmp_path: Path) -> None:
    """Branch, commit, changes, untracked files; refs by their short names and their full ones."""
    assert checkout_of(tmp_path) is None
    root = repository(tmp_path / "r")
    git(root, "tag", "v1")
    found = checkout_of(root / "src")
    assert found is not None
    assert (found.root, found.ref, len(found.sha), found.changed, found.untracked) == (
        root.resolve(), "refs/heads/main", 40, False, 0
    )  # fmt: skip
    (root / "new").write_text("")
    (root / "run.sh").write_text("")
    again = checkout_of(root)
    assert again is not None
    assert (again.changed, again.untracked) == (True, 1)
    assert resolve_ref(root, "main") == ("refs/heads/main", found.sha)
    assert resolve_ref(root, "v1") == ("refs/tags/v1", found.sha)
    assert resolve_ref(root, "refs/tags/v1") == ("refs/tags/v1", found.sha)
    assert resolve_ref(root, "refs/pull/1/merge") == ("refs/pull/1/merge", "")
    assert resolve_ref(root, "--help") == ("refs/heads/--help", "")
    git(root, "checkout", "-q", "--detach")
    detached = checkout_of(root)
    assert detached is not None
    assert (detached.ref, detached.sha) == ("", found.sha)


def test_an_empty_repository_has_no_commit(tmp_path: Path) -> None:
    """Its branch is named all the same."""
    git(tmp_path, "init", "-q", "-b", "main")
    found = checkout_of(tmp_path)
    assert found is not None
    assert (found.ref, found.sha) == ("refs/heads/main", "")


def test_submodules_are_left_out_and_told(tmp_path: Path) -> None:
    """A commit of another repository is no file."""
    root = repository(tmp_path / "r")
    sha = checkout_of(root)
    assert sha is not None
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{sha.sha},sub")
    packed = pack(root)
    assert packed.left_out == ("sub",)
    assert "sub" not in names(packed.data)
