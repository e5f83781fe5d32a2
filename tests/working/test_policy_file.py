"""The file of a policy: read strictly, taken only from its owner, and watched."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import pytest

from ledger.keys import did_key
from scheduler.running.job import Level, Limits, Mount
from scheduler.toml_table import read_size, read_span, render_size, render_span
from scheduler.working.policy import PayloadKind, Rule
from scheduler.working.policy_file import (
    PolicyError,
    PolicyFile,
    PolicyMissingError,
    PolicyPermissionError,
    policy_path,
    read_policy,
)
from scheduler.working.secrets import SecretSource
from tests.support.worlds import signing_key

ALICE: Final = signing_key("alice").actor
LINE: Final = f'[[allow]]\nsubmitters = ["{did_key(ALICE)}"]\npayloads = ["command"]\n'
WHOLE: Final = f"""
[limits]
time = "1h30m"
memory = "2GiB"

[secrets.TOKEN]
file = "token"

[secrets.OTHER]
env = "WORKER_OTHER"

[[allow]]
name = "own"
submitters = ["{did_key(ALICE)}", "any-member"]
payloads = ["command", "workflow-job"]
tags = ["p2p-only"]
labels = ["linux"]
interpreters = ["bash"]
programs = ["make"]
workflows = ["*.yml"]
network = true
secrets = ["TOKEN"]
sandbox = "process"
env = {{ LANG = "C.UTF-8" }}
mounts = [{{ outside = "/srv/cache", inside = "/cache", writable = true }}, {{ outside = "/opt" }}]

[allow.limits]
memory = "512MiB"
processes = 64
file = "1MB"
open_files = 256
log = "1MiB"
result = 1000

[[allow]]
submitters = ["any-member"]
payloads = []
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a policy belongs."""
    return policy_path(tmp_path)


def put(path: Path, text: str, mode: int = 0o644) -> Path:
    """Write a policy as an editor does: another file in its place."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(mode)
    new.rename(path)
    return path


def test_every_key_is_read(path: Path) -> None:
    """Each key of a rule ends where the policy has it; what a rule's limits leave out comes from the file's own."""
    policy = read_policy(put(path, WHOLE))
    assert policy.secrets == {
        "TOKEN": SecretSource("TOKEN", path.parent / "token"),
        "OTHER": SecretSource("OTHER", None, "WORKER_OTHER"),
    }
    own, second = policy.rules
    assert own == Rule(
        "own",
        submitters=frozenset((ALICE,)),
        any_member=True,
        payloads=frozenset(PayloadKind),
        tags=frozenset(("p2p-only",)),
        labels=frozenset(("linux",)),
        interpreters=frozenset(("bash",)),
        programs=("make",),
        workflows=("*.yml",),
        network=True,
        secrets=frozenset(("TOKEN",)),
        mounts=(Mount(Path("/srv/cache"), "/cache", writable=True), Mount(Path("/opt"), "/opt")),
        env={"LANG": "C.UTF-8"},
        limits=Limits(5_400_000, 2**29, 64, 10**6, 256, 2**20, 1000),
        level=Level.PROCESS,
    )
    assert second == Rule("allow 2", any_member=True, limits=Limits(5_400_000, 2**31))
    assert not policy.trouble


FAULTS: Final = {
    "[[allow]\n": ("no TOML",),
    "[limitz]\n": ("limitz: this key is not known", "did you mean limits?"),
    LINE + "netwrok = true\n": ("[allow 1] netwrok: this key is not known", "did you mean network?"),
    LINE + "[allow.limits]\ntime = 5\n": ("[allow 1.limits] time: a time is wanted, such as 90s",),
    LINE + "[allow.limits]\nmemmory = 5\n": ("[allow 1.limits] memmory", "did you mean memory?"),
    LINE + '[allow.limits]\nmemory = "2 pots"\n': ("[allow 1.limits] memory: a size is wanted",),
    LINE + "[allow.limits]\nprocesses = 0\n": ("[allow 1.limits] processes: a whole number from 1",),
    LINE + 'network = "no"\n': ("[allow 1] network: true or false is wanted",),
    LINE + 'sandbox = "bubblewarp"\n': ("[allow 1] sandbox: 'bubblewarp'", "did you mean bubblewrap?"),
    LINE + 'tags = "p2p-only"\n': ("[allow 1] tags: a list is wanted",),
    LINE + 'tags = ["p2p-olny"]\n': ("[allow 1] tags", "p2p-olny", "p2p-only"),
    LINE + 'mounts = [{ outside = "srv" }]\n': ("[allow 1.mounts 1] outside: an absolute path",),
    LINE + 'mounts = [{ outside = "/a", inside = "/proc" }]\n': ("[allow 1.mounts 1] inside", "the sandbox itself"),
    LINE + 'mounts = [{ outside = "/a", inside = "/b/../proc" }]\n': ("[allow 1.mounts 1] inside: an absolute path",),
    LINE + 'env = { "A B" = "x" }\n': ("[allow 1] env: 'A B' is no name of a variable",),
    LINE + 'secrets = ["NONE"]\n': ("grants the secret NONE, and there is no [secrets.NONE]",),
    '[[allow]]\npayloads = ["command"]\n': ("[allow 1]: submitters is missing",),
    '[[allow]]\nsubmiters = ["any-member"]\n': (
        "submitters is missing",
        "submiters is not known: did you mean submitters?",
    ),
    '[[allow]]\nsubmitters = ["bob"]\npayloads = []\n': ("[allow 1] submitters: 'bob'", "'any-member'"),
    '[[allow]]\nsubmitters = ["any-membr"]\npayloads = []\n': ("[allow 1] submitters", "'any-member'"),
    '[[allow]]\nsubmitters = []\npayloads = ["comand"]\n': ("[allow 1] payloads: 'comand'", "did you mean command?"),
    "allow = 5\n": ("allow: a list is wanted",),
    "[secrets.T]\n": ("[secrets.T]: where its value is",),
    '[secrets.T]\nfile = "a"\nenv = "B"\n': ("[secrets.T]: where its value is",),
    '[secrets.T]\nfil = "a"\n': ("[secrets.T] fil", "did you mean file?"),
    '[secrets."a b"]\nfile = "a"\n': ("[secrets] a b: this is no name of a variable",),
}


@pytest.mark.parametrize("text", FAULTS, ids=lambda text: text[-30:])
def test_a_fault_names_file_table_and_key(path: Path, text: str) -> None:
    """What is not known or not of its kind is refused; the words say where, and what was meant."""
    with pytest.raises(PolicyError) as caught:
        read_policy(put(path, text))
    told = f"{caught.value} {caught.value.advice}"
    assert told.startswith(str(path))
    for words in FAULTS[text]:
        assert words in told


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_policy_that_others_can_write_is_refused(path: Path, mode: int) -> None:
    """Whoever writes the policy runs what he likes here: so nobody else may be able to."""
    with pytest.raises(PolicyPermissionError, match="others may write") as caught:
        read_policy(put(path, LINE, mode))
    assert caught.value.advice == f"chmod go-w '{path}'"


def test_no_file_a_folder_and_a_pipe_are_no_policy(path: Path) -> None:
    """What is no regular file is refused at once, without waiting for a writer."""
    with pytest.raises(PolicyMissingError, match="no policy"):
        read_policy(path)
    os.mkfifo(path)
    with pytest.raises(PolicyError, match="no regular file"):
        read_policy(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(PolicyError):
        read_policy(path)


def test_a_change_counts_at_once(path: Path) -> None:
    """Each version counts from when it is there; no file, and a file that went, deny everything."""
    file = PolicyFile(path)
    assert "worker policy init" in file.current().trouble
    put(path, LINE)
    assert len(file.current().rules) == 1
    assert not file.trouble
    put(path, LINE + LINE)
    assert len(file.current().rules) == 2
    path.unlink()
    assert not file.current().rules
    assert file.changes == 3


def test_a_broken_version_allows_nothing_and_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing new is taken while the policy is broken, also where the one before would allow it; once mended it is."""
    file = PolicyFile(put(path, LINE))
    assert file.current().rules
    put(path, LINE + "netwrok = true\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not file.current().rules
    assert "nothing is taken until it is mended" in file.trouble
    assert "did you mean network?" in file.trouble
    assert len(caplog.records) == 1
    path.chmod(0o666)
    assert "chmod go-w" in file.trouble
    put(path, LINE)
    assert file.current().rules
    assert not file.trouble


@pytest.mark.parametrize(
    ("text", "size"), [("1", None), ("512MiB", 2**29), ("2 GiB", 2**31), ("3kB", 3000), ("7B", 7), (5, 5)]
)
def test_sizes(text: str | int, size: int | None) -> None:
    """Sizes are read with units of 1024 and of 1000, and written so that they are read again."""
    wanted = size or 1
    assert read_size(text) == wanted
    assert read_size(render_size(wanted)) == wanted


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5GiB", "GiB", "5 pots", "1iB", True, 0, None], ids=repr)
def test_what_is_no_size(text: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="is wanted"):
        read_size(text)


@pytest.mark.parametrize(("text", "ms"), [("90s", 90_000), ("1h30m", 5_400_000), ("250ms", 250), ("2d", 172_800_000)])
def test_times(text: str, ms: int) -> None:
    """Times are read with units only, and written so that they are read again."""
    assert read_span(text) == ms
    assert read_span(render_span(ms)) == ms


@pytest.mark.parametrize("text", ["", "30", 30, "m", "1.5h", "0s", "-5m", None], ids=repr)
def test_what_is_no_time(text: object) -> None:
    """Anything else is refused: a bare number says no unit."""
    with pytest.raises(ValueError, match="is wanted"):
        read_span(text)
