"""Every workflow below a folder: its tags, what would bypass GitHub, conflicts, and jobs that would run in two places.

A job that is `p2p-only` but stands where GitHub runs it (.github/workflows) is a warning with the guard to add, unless
it has one, or only hands its work to the scheduler.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scheduler.workflows.findings import Finding, in_order
from scheduler.workflows.guard import GUARD, guarded_jobs, only_submits
from scheduler.workflows.reading import Workflow, WorkflowFileError, read_workflow
from scheduler.workflows.tags_in_files import TagSet, read_tags
from scheduler.workflows.yaml_nodes import FILE_BYTES_MAX

FILES_MAX: Final = 10_000
SUFFIXES: Final = frozenset((".yml", ".yaml"))

_GITHUB: Final = (".github", "workflows")
_LEFT_OUT: Final = frozenset((".git", "node_modules", ".venv", "venv", "__pycache__", ".tox"))
_LOOKS_LIKE_ONE: Final = re.compile(rb"""^\s*[{]?\s*["']?jobs["']?\s*:""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ScannedJob:
    """One job, and where it runs."""

    job: str
    line: int
    tags: TagSet
    guarded: bool
    only_submits: bool
    runs_on_github: bool
    """Whether GitHub runs it, too, though it is `p2p-only` and does more than to submit."""

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "job": self.job,
            "line": self.line,
            "tags": self.tags.to_json(),
            "bypasses_github": self.tags.bypasses_github,
            "is_p2p_only": self.tags.is_p2p_only,
            "guarded": self.guarded,
            "only_submits": self.only_submits,
            "runs_on_github": self.runs_on_github,
        }


@dataclass(frozen=True, slots=True)
class Scanned:
    """One workflow file; `name` is None where it cannot be read."""

    path: str
    name: str | None
    tags: TagSet
    jobs: tuple[ScannedJob, ...]
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "path": self.path,
            "name": self.name,
            "tags": self.tags.to_json(),
            "jobs": [one.to_json() for one in self.jobs],
            "findings": [one.to_json() for one in self.findings],
        }


def scan(place: Path) -> Iterator[Scanned]:
    """Yield the workflows below a folder, or that of one file, in the order of their paths.

    In `.github/workflows` every YAML file is one; elsewhere those that are maps with `on` and `jobs`. Raises OSError
    for a place that is not there.
    """
    if place.is_file():
        yield scan_file(place, place.as_posix(), by_github=_is_githubs(place.resolve()), local_action=False)
        return
    if not place.is_dir():
        raise FileNotFoundError(2, "no such file or folder", str(place))
    local_action = _has_our_action(place)
    for count, path in enumerate(find_files(place)):
        if count >= FILES_MAX:
            break
        by_github = _is_githubs(path.resolve())
        if by_github or _looks_like_one(path):
            found = scan_file(path, path.as_posix(), by_github=by_github, local_action=local_action)
            if by_github or found.name is not None:
                yield found


def find_files(folder: Path) -> Iterator[Path]:
    """Yield the YAML files below a folder; links to folders are not followed."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(files):
            path = Path(here, name)
            if path.suffix in SUFFIXES and path.is_file():
                yield path


def scan_file(path: Path, shown: str, *, by_github: bool, local_action: bool) -> Scanned:
    """Return what one file says.

    Args:
        path: the file.
        shown: its name in messages.
        by_github: whether it stands where GitHub runs it.
        local_action: whether `uses: ./` in it is our action.
    """
    with path.open("rb") as stream:
        data = stream.read(FILE_BYTES_MAX + 1)
    try:
        workflow = read_workflow(data, shown)
    except WorkflowFileError as error:
        return Scanned(shown, None, TagSet(), (), (error.finding,))
    if not by_github and not {"on", "jobs"} <= workflow.content.keys():
        return Scanned(shown, None, TagSet(), (), ())
    tags = read_tags(workflow)
    guarded = guarded_jobs(workflow)
    jobs = tuple(
        _scan_job(workflow, job, found, guarded=job in guarded, by_github=by_github, local_action=local_action)
        for job, found in tags.jobs.items()
    )
    twice = [_twice(workflow, one) for one in jobs if one.runs_on_github]
    name = workflow.content.get("name")
    return Scanned(
        shown,
        name if isinstance(name, str) else path.name,
        tags.workflow,
        jobs,
        in_order([*workflow.findings, *tags.findings, *twice]),
    )


def _scan_job(
    workflow: Workflow, job: str, tags: TagSet, *, guarded: bool, by_github: bool, local_action: bool
) -> ScannedJob:
    submits = only_submits(workflow.jobs[job], local_action=local_action)
    twice = by_github and tags.is_p2p_only and not guarded and not submits
    return ScannedJob(job, workflow.line("jobs", job), tags, guarded, submits, twice)


def _twice(workflow: Workflow, job: ScannedJob) -> Finding:
    words = "it is p2p-only, but GitHub runs it, too, whenever the workflow is triggered there"
    content = workflow.jobs[job.job]
    advice = f"add `{GUARD}` to the job: on GitHub that variable is empty, in our runs it is set"
    if isinstance(content, dict) and "if" in content:
        advice = (
            f"put `vars.P2P_WORKFLOW == 'true' && ( … )` around its `if`: {GUARD.removeprefix('if: ')} is the guard"
        )
    return workflow.warning("scan.runs-on-github", ("jobs", job.job), words, advice)


def _is_githubs(path: Path) -> bool:
    return path.parts[-3:-1] == _GITHUB


def _looks_like_one(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return _LOOKS_LIKE_ONE.search(stream.read(FILE_BYTES_MAX)) is not None
    except OSError:
        return False


def _has_our_action(folder: Path) -> bool:
    for name in ("action.yml", "action.yaml"):
        path = folder / name
        if path.is_file():
            with path.open("rb") as stream:
                return b"p2p-workflow" in stream.read(FILE_BYTES_MAX)
    return False
