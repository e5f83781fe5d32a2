"""What the distribution holds, and that no suppression in the tree stands without its reason."""

import io
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ledger.kubo_build import GO_MIN, KUBO_VERSION

ROOT = Path(__file__).resolve().parents[2]
PACKAGES: Final = {"ledger", "crdt", "scheduler", "cli", "ipfs_accelerate_py"}
SCRIPTS: Final = {"p2p-workflow": "cli.start:p2p_workflow", "ipfs-accelerate": "cli.start:ipfs_accelerate"}

SUPPRESSION: Final = re.compile(r"#\s*(?:type:\s*ignore|noqa|ruff:\s*noqa|mypy:)", re.IGNORECASE)
# The codes, then words, after any dash or a second hash; the cases are at the end of this file.
REASONED: Final = re.compile(
    r"#\s*(?:type:\s*ignore\[[\w\-, ]+\]|(?:ruff:\s*)?noqa:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*|mypy:[^#]+#)"
    r"(?![\w,])[\s#:—–-]*\w+\W+\w+"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel from a copy of what it is made of, so that the tree stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """The wheel holds the five packages and its metadata: no tests, no other top-level name."""
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert top == PACKAGES | {"p2p_workflow_scheduler-0.1.0.dist-info"}
    assert not [name for name in wheel.namelist() if re.search(r"(^|/)(test_|tests/|conftest)", name)]


def test_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    """Every module in the packages' folders is in the wheel: a subpackage that is not listed would be missing."""
    modules = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert {name for name in wheel.namelist() if name.endswith(".py")} == modules


def test_wheel_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    """Each package carries `py.typed`, so that a user's type checker reads our types."""
    assert {f"{name}/py.typed" for name in PACKAGES} <= set(wheel.namelist())


def test_wheel_holds_what_kubo_is_built_from(wheel: zipfile.ZipFile) -> None:
    """The Go module is in the wheel, with the version and the Go that the code says, and names no place of its own."""
    module = wheel.read("ledger/kubo_module/go.mod").decode()
    assert f"github.com/ipfs/kubo {KUBO_VERSION} " in module
    assert f"\ngo {'.'.join(map(str, GO_MIN))}\n" in module
    assert wheel.read("ledger/kubo_module/go.sum").count(b"\n") > 500


def test_wheel_declares_the_two_programs(wheel: zipfile.ZipFile) -> None:
    """The entry points are the two programs of the contract."""
    (text,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    lines = [line for line in text.splitlines() if line and not line.startswith("[")]
    assert dict(line.split(" = ") for line in lines) == SCRIPTS


def test_every_dependency_has_a_pin_and_no_pin_an_address() -> None:
    """What we ask for is pinned for development, and no registry is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [line for line in (ROOT / "constraints/dev.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    named = {re.split(r"[<>=\[]", requirement)[0] for requirement in asked}
    assert named - {project["name"]} <= pinned  # one extra may stand for others


def find_unreasoned(source: str) -> Iterator[str]:
    """Yield each comment that suppresses a finding of mypy or ruff without its codes and a reason."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or not SUPPRESSION.search(token.string):
            continue
        if not REASONED.search(token.string):
            yield f"line {token.start[0]}: {token.string}"


def test_every_suppression_has_its_reason() -> None:
    """A finding is suppressed by its code and with the reason on the same line."""
    sources = [path for path in ROOT.glob("[!.]*/**/*.py") if path.relative_to(ROOT).parts[0] != "build"]
    assert len(sources) > len(PACKAGES)
    found = [
        f"{path.relative_to(ROOT)}, {finding}"
        for path in sources
        for finding in find_unreasoned(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("comment", "allowed"),
    [
        ("# noqa", False),
        ("# noqa: S603", False),
        ("# noqa: S603,S607", False),
        ("# type: ignore", False),
        ("# type: ignore[arg-type]", False),
        ("# type: ignore  # wrong on purpose", False),
        ("# noqa: S603 — arguments are ours", True),
        ("# noqa: S603, S607 - arguments are ours", True),
        ("# type: ignore[arg-type]  # wrong on purpose", True),
        ("# an ordinary comment", True),
    ],
)
def test_a_bare_suppression_is_seen(comment: str, allowed: bool) -> None:
    """Codes alone, and no codes, are not enough."""
    assert (list(find_unreasoned(f"x = 1  {comment}\n")) == []) is allowed
