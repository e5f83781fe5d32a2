"""A workflow file that came as text, with the files its jobs work on, from a client that shares no disk with us."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scheduler.running.files import FileRefError, check_path
from scheduler.workflows.checking import checked
from scheduler.workflows.findings import Finding
from scheduler.workflows.inputs import RunInputError, check_inputs, choose_event
from scheduler.workflows.reading import read_workflow
from scheduler.workflows.source import SourceError, pack
from scheduler.workflows.submission import Run

_REF: Final = re.compile(r"refs/[A-Za-z0-9._/-]{1,200}")


def run_of(
    text: str,
    *,
    path: str,
    files: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | None = None,
    event: str | None = None,
    ref: str = "",
) -> tuple[Run, tuple[Finding, ...]]:
    """Return what is asked for, and what was found in the file beside errors.

    Args:
        text: the workflow file.
        path: its place in the source.
        files: the source: texts by path; none: the jobs begin in an empty folder.
        inputs: of workflow_dispatch.
        event: what it stands for; None: workflow_dispatch where the file has it, else push.
        ref: the full git ref it stands for, such as refs/heads/main.

    Raises WorkflowFileError and WorkflowRefusedError for a file that cannot be submitted, RunInputError for inputs that
    do not fit it, SourceError for files that cannot be packed.
    """
    workflow = read_workflow(text.encode(), _plain(path))
    plan, findings = checked(workflow)
    if ref and not _REF.fullmatch(ref):
        raise RunInputError(f"{ref!r} is no full git ref", "write it as git does: refs/heads/main, refs/tags/v1")
    chosen = choose_event(workflow, event)
    given = check_inputs(workflow, chosen, inputs or {})
    return Run(workflow, plan, path, chosen, given, ref, source=_packed(files) if files else None), findings


def _packed(files: Mapping[str, str]) -> bytes:
    """Return files as a tar, as a folder with them is packed."""
    with tempfile.TemporaryDirectory(prefix="p2p-workflow-source-") as name:
        for path, text in files.items():
            place = Path(name) / _plain(path)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8", newline="")
            except OSError as error:  # a file where another path has a folder
                raise SourceError(f"{path!r} cannot be written beside the other files: {error.strerror}") from None
        return pack(Path(name)).data


def _plain(path: str) -> str:
    try:
        return check_path(path)
    except FileRefError as error:
        raise SourceError(str(error)) from None
