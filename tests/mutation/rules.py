"""Take each rule out of the code in use, one at a time; the test named for it must fail: `make mutants`.

python tests/mutation/rules.py [RULE...]

A mutation is made in a temporary copy of the source tree, never in the tree itself, and its one test is run there by a
pytest of its own, on as many cores as there are. All the tests run first on a clean copy and must pass. Prints a line
for each mutation; exits with 1 where a mutant survives, where its test cannot run, or where a rule of specs/README.md
has no mutation.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mutation.mutation import ROOT, WORDS, Mutation, StaleMutationError, rule_of, rules_of_specs
from tests.mutation.table import MUTATIONS

SOURCES: Final = ("ledger", "crdt", "scheduler", "cli", "ipfs_accelerate_py", "tests", "specs", "pyproject.toml")
_PYTEST: Final = ("-m", "pytest", "-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider")
_PLUGINS: Final = ("-p", "pytest_timeout", "--timeout=60")
_FAILED: Final = 1  # pytest's exit code where tests ran and one failed; another means that none could run
_TIMEOUT_S: Final = 300


def main(arguments: Sequence[str]) -> int:
    """Run the mutations of the rules named, or all; return the exit code."""
    started = time.monotonic()
    rules = rules_of_specs()
    wanted = {*rules, *WORDS}
    unknown = [name for name in arguments if name not in wanted]
    if unknown:
        warn(f"no such rule: {', '.join(unknown)}; rules are {', '.join((*rules, *WORDS))}")
        return 2
    chosen = [m for m in MUTATIONS if not arguments or rule_of(m.id, rules) in arguments]
    missing = sorted(wanted - {rule_of(m.id, rules) for m in MUTATIONS}) if not arguments else []
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        first = Path(folder, "0")
        copy_sources(ROOT, first)
        if not passes_unmutated(first, chosen):
            return 1
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        copies.put(first)
        for number in range(1, cores):
            copy_sources(first, Path(folder, str(number)))
            copies.put(Path(folder, str(number)))
        survived = run_all(chosen, copies, cores)
    for rule in missing:
        say(f"{rule:8} NO MUTATION of this rule")
    killed, seconds = len(chosen) - survived, time.monotonic() - started
    say(f"{killed} of {len(chosen)} mutants killed, {len(missing)} rules without one, {seconds:.0f} s")
    return 1 if survived or missing else 0


def say(line: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """Print a line of progress, or of what is wrong."""
    sys.stderr.write(f"{line}\n")


def copy_sources(source: Path, target: Path) -> None:
    """Copy what tests need of a tree, with the times of its files, so that their compiled form stays good."""
    for name in SOURCES:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        else:
            shutil.copy2(source / name, target / name)


def passes_unmutated(tree: Path, mutations: Sequence[Mutation]) -> bool:
    """Run the tests of all mutations on a clean copy; compiles it as well."""
    tests = list(dict.fromkeys(mutation.test for mutation in mutations))
    warn(f"{len(tests)} tests on the clean tree")
    ran = run_tests(tree, tests, compiling=True)
    if ran.returncode:
        warn(f"{ran.stdout}{ran.stderr}\nthe tests do not pass on the clean tree")
    return ran.returncode == 0


def run_all(mutations: Sequence[Mutation], copies: queue.SimpleQueue[Path], cores: int) -> int:
    """Run the mutations side by side, print what became of each, in their order, and return how many survived."""

    def judge(mutation: Mutation) -> str:
        tree = copies.get()
        try:
            return verdict_on(mutation, tree)
        finally:
            copies.put(tree)

    survived = 0
    with ThreadPoolExecutor(cores) as pool:
        for number, (mutation, verdict) in enumerate(zip(mutations, pool.map(judge, mutations), strict=True), 1):
            survived += verdict != "killed"
            shown = " ".join(mutation.before.split())
            say(f"{mutation.id:8} {verdict:8} {mutation.path}: {shown:.60}  by {mutation.test}")
            if number % 10 == 0:
                warn(f"{number} of {len(mutations)}")
    return survived


def verdict_on(mutation: Mutation, tree: Path) -> str:
    """Return "killed" where the test fails on the mutated tree, else what happened."""
    try:
        with mutated(mutation, tree):
            ran = run_tests(tree, [mutation.test])
    except StaleMutationError as error:
        return f"STALE ({error})"
    if ran.returncode == _FAILED:
        return "killed"
    return "SURVIVED" if ran.returncode == 0 else f"BROKEN (pytest says {ran.returncode}: {ran.stdout[-300:]!r})"


@contextmanager
def mutated(mutation: Mutation, tree: Path) -> Iterator[None]:
    """Take the rule out of a tree inside this block."""
    path = tree / mutation.path
    source, stat = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(mutation.mutated(source), encoding="utf-8")
    os.utime(path, (0, 0))  # another time than the compiled form knows, whatever the size
    try:
        yield
    finally:
        path.write_text(source, encoding="utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def run_tests(tree: Path, tests: Sequence[str], *, compiling: bool = False) -> subprocess.CompletedProcess[str]:
    """Run tests of a tree in a process of their own, with the modules of that tree and no plugins but the timeout."""
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "" if compiling else "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    environment.pop("PYTEST_ADDOPTS", None)
    command = (sys.executable, *_PYTEST, *_PLUGINS, *tests)
    return subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
