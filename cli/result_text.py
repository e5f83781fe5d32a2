"""A result as the command line shows it: as JSON, as lines, and its files on the disk.

What other peers wrote is not trusted: a file never replaces one that is there, and leads to no place but below the
folder that was named.
"""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.attachments import attachment_document, bytes_of
from cli.errors import CliError
from cli.exit_codes import ExitCode
from cli.output import render_time
from cli.people import person
from cli.times import render_duration

if TYPE_CHECKING:
    from ledger.cid import Cid
    from scheduler.home import Home
    from scheduler.results import Result
    from scheduler.running.files import FileRef


class FileInTheWayError(CliError):
    """A file of a result cannot be written: something else is in its place."""

    exit_code = ExitCode.REFUSED


def result_document(home: Home | None, result: Result) -> dict[str, Any]:
    """Return a result as JSON. Within a reading; `home` is None for what peers have shown to who has none."""
    record = result.task
    failed = result.failure_class is not None
    return {
        "task_id": record.spec.task_id,
        "workflow_id": record.spec.workflow_id,
        "task_key": record.key.hex(),
        "status": str(result.status),
        "is_result": result.is_result,
        "standing": None if result.event is None else "stable" if result.stable else "tentative",
        "worker": person(home, result.worker),
        "claim": None if result.claim is None else str(result.claim.cid),
        "attempt": result.attempt,
        "event_cid": None if result.event is None else str(result.event),
        "at": result.at,
        "exit_code": result.exit_code,
        "failure": {"class": result.failure_class, "error": result.error} if failed else None,
        "released": result.error if result.released else None,
        "duration_ms": result.duration_ms,
        "sandbox": result.sandbox,
        "limits": list(result.limits),
        "progress": result.progress,
        "outputs": dict(result.outputs),
        "files": {path: file.to_json() for path, file in result.files.items()},
        "output": attachment_document(home, result.handed.output),
        "malformed": result.handed.malformed or None,
        "missing": list(map(str, result.handed.missing)),
        "superseded": list(map(str, result.superseded)),
        "tainted_inputs": list(map(str, result.voided)),
    }


def result_lines(found: dict[str, Any]) -> list[str]:
    """Return a result for people."""
    lines = [f"Task ID: {found['task_id']}", f"Status: {found['status']}"]
    if found["tainted_inputs"]:
        lines.append(f"TAINTED: inputs voided by a revocation since: {', '.join(found['tainted_inputs'])}")
    if found["claim"] is not None:
        lines.append(f"Worker: {' '.join(dict.fromkeys(found['worker'].values()))}")
        lines.append(f"Claim: {found['claim']}, attempt {found['attempt']}")
    if found["event_cid"] is not None:
        lines.append(f"Event: {found['event_cid']}, {found['standing']}, at {render_time(found['at'])}")
    if found["failure"] is not None:
        lines.append(f"Failure: {': '.join(filter(None, found['failure'].values()))}")
    if found["released"] is not None:
        lines.append(f"Given back untried: {found['released'] or 'no reason given'}")
    lines += [
        f"{label}: {value}"
        for label, value in (
            ("Exit Code", found["exit_code"]),
            ("Duration", None if found["duration_ms"] is None else render_duration(found["duration_ms"])),
            ("Sandbox", found["sandbox"]),
            ("Limits hit", ", ".join(found["limits"]) or None),
            ("Progress", found["progress"]),
        )
        if value is not None
    ]
    lines += [f"Output {name}: {text}" for name, text in found["outputs"].items()]
    lines += [f"File {path}: {file['size']:,} bytes" for path, file in found["files"].items()]
    output = found["output"]
    if output is not None and not found["outputs"] and not found["files"]:
        shown = f": {output['text'][:2_000]}" if "text" in output else ""
        lines.append(f"Output: {output['media_type']}, {output['size']} bytes{shown}")
    if found["malformed"]:
        lines.append(found["malformed"].capitalize())
    lines += [f"Superseded: {cid}" for cid in found["superseded"]]
    return lines


# ---- files


def write_files(home: Home, result: Result, folder: Path) -> list[str]:
    """Write the files of a result below `folder`, made where it is not there; return the paths of those that are here.

    A result that is no outputs and files is written as `output`, with the ending of its media type.

    Raises:
        FileInTheWayError: something else is where a file belongs. What was written before stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for path, file in result.files.items():
        data = bytes_of_file(home, file)
        if data is not None:
            _write(folder, path, data, executable=file.executable)
            written.append(path)
    item = result.handed.output
    if item is not None and not result.outputs and not result.files:
        with home.reading():
            data = bytes_of(home, item)
        if data is not None:
            path = f"output{mimetypes.guess_extension(item.media_type) or ''}"
            _write(folder, path, data, executable=False)
            written.append(path)
    return written


def bytes_of_file(home: Home, file: FileRef) -> bytes | None:
    """Return a file of a result, None where not all of it is here yet."""
    with home.reading():
        found = home.intake.blobs.get_many(file.parts)
    if any(part not in found for part in file.parts):
        return None
    return b"".join(_part(found, part) for part in file.parts)[: file.size]


def _part(found: Any, part: Cid) -> bytes:
    data: bytes = found[part]
    return data


def _write(folder: Path, path: str, data: bytes, *, executable: bool) -> None:
    *folders, name = path.split("/")
    place = folder
    for step in folders:
        place = place / step
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise FileInTheWayError(f"{place} is in the way of {path}", "name an empty folder")
        place.mkdir(exist_ok=True)
    target = place / name
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(target, flags, 0o777 if executable else 0o666)
    except FileExistsError:
        if not target.is_symlink() and target.is_file() and target.read_bytes() == data:
            return
        raise FileInTheWayError(f"{target} is there already, and is not the same", "name an empty folder") from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
