"""Puts into a job's folder what the run is given, and tells it by its environment who it is and where things lie.

`P2P_WORKFLOW_INPUTS` names a JSON file: for each task that the job needs, by its task id, `{"task_key", "outputs",
"files": {path: path on disk}}`, and `"output": {"media_type", "path"}` where an agent handed over bytes of its own. Of
two tasks with one id the second stands under its key. `P2P_WORKFLOW_OUTPUT` names the file it writes its outputs to.

Every part of a file is checked against its CID before a byte of it is written. All that is ours lies below `.p2p`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ledger.cid import Cid
from scheduler.running.files import FileRef
from scheduler.running.job import Input, Job

OWN_FOLDER: Final = ".p2p"
OUTPUT: Final = f"{OWN_FOLDER}/output"
INPUTS: Final = f"{OWN_FOLDER}/inputs.json"

ReadBlob = Callable[[Cid], bytes]


class InputError(Exception):
    """What the run is to be given does not fit: a file in the place of another, or of ours; an input that is broken."""


class InputMissingError(Exception):
    """A part of what the run is to be given is not in this home, or is not what its CID says."""


def run_environment(job: Job, inside: str) -> dict[str, str]:
    """Return the variables by which a run knows what it is; it sees its folder as `inside`."""
    return {
        "P2P_WORKFLOW_LEDGER_CID": str(job.ledger),
        "P2P_WORKFLOW_TASK_KEY": job.task.hex(),
        "P2P_WORKFLOW_TASK_ID": job.spec.task_id,
        "P2P_WORKFLOW_WORKFLOW_ID": job.spec.workflow_id,
        "P2P_WORKFLOW_CLAIM": str(job.claim),
        "P2P_WORKFLOW_ATTEMPT": str(job.attempt),
        "P2P_WORKFLOW_OUTPUT": f"{inside}/{OUTPUT}",
        "P2P_WORKFLOW_INPUTS": f"{inside}/{INPUTS}",
    }


def write_inputs(job: Job, inside: str) -> None:
    """Write the results of the tasks that a job needs into its folder, and the empty file for its own outputs."""
    told: dict[str, Any] = {}
    for number, given in enumerate(job.inputs):
        name = given.task.hex() if given.task_id in told else given.task_id
        told[name] = _write_input(job, given, f"{OWN_FOLDER}/inputs/{number}", inside)
    _create(job.folder / INPUTS, json.dumps(told, ensure_ascii=False, indent=1).encode(), executable=False)
    _create(job.folder / OUTPUT, b"", executable=False)


def write_files(folder: Path, files: Mapping[str, FileRef], read_blob: ReadBlob) -> None:
    """Write the files that a payload names into the folder of its run."""
    for path, file in files.items():
        if path.split("/")[0] == OWN_FOLDER:
            raise InputError(f"{path}: what lies below {OWN_FOLDER} is not the payload's")
        write_file(folder / path, file, read_blob)


def write_file(place: Path, file: FileRef, read_blob: ReadBlob) -> None:
    """Write one file, its parts checked by their CIDs."""
    data = b"".join(_part(part, read_blob) for part in file.parts)
    if len(data) != file.size:
        raise InputError(f"{place.name}: its parts are {len(data)} bytes, not {file.size} as it says")
    _create(place, data, executable=file.executable)


def _write_input(job: Job, given: Input, folder: str, inside: str) -> dict[str, Any]:
    if given.problem:
        raise InputError(f"the result of {given.task_id}: {given.problem}")
    if given.missing:
        raise InputMissingError(f"the result of {given.task_id}: {given.missing[0]} is not in this home")
    told: dict[str, Any] = {"task_key": given.task.hex(), "outputs": dict(given.outputs), "files": {}}
    for path, file in given.files.items():
        write_file(job.folder / folder / "files" / path, file, job.read_blob)
        told["files"][path] = f"{inside}/{folder}/files/{path}"
    if given.output is not None:
        blob = given.output.blob
        data = given.output.data if blob is None else _part(blob, job.read_blob)
        _create(job.folder / folder / "output", data or b"", executable=False)
        told["output"] = {"media_type": given.output.media_type, "path": f"{inside}/{folder}/output"}
    return told


def _part(cid: Cid, read_blob: ReadBlob) -> bytes:
    try:
        data = read_blob(cid)
    except LookupError:
        raise InputMissingError(f"{cid} is not in this home") from None
    if Cid.of_raw(data) != cid:
        raise InputMissingError(f"{cid}: the bytes in this home are others")
    return data


def _create(place: Path, data: bytes, *, executable: bool) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if executable else 0o644)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{place.name}: another file stands in its place") from None
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(data)
