"""What a run hands over: outputs by name and files by path, as the JSON of the result attachment.

Implements: `OUTPUTS_TYPE`, `{"outputs": {name: text}, "files": {path: file}}`, written in one form, and read with
bounds, whoever wrote it. Pure. Leaves out keeping the parts of files, and fetching them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.blobs import BLOB_BYTES_MAX
from scheduler.running.files import FileRef, FileRefError, check_path
from scheduler.running.payloads import canonical_json

ENTRIES_MAX: Final = 1_024
"""Outputs, and files, of one result at most."""
OUTPUT_NAME_BYTES_MAX: Final = 256


class OutputsError(ValueError):
    """The bytes are not what `OUTPUTS_TYPE` says, or there is more than a result may have; the message says what."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Outputs and files of one run."""

    outputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileRef] = field(default_factory=dict)


def write_outputs(outputs: Outputs) -> bytes:
    """Return outputs as they stand in the ledger; raise OutputsError for what could not be read back."""
    try:
        data = canonical_json(
            {
                name: value
                for name, value in (
                    ("outputs", dict(outputs.outputs)),
                    ("files", {path: file.to_json() for path, file in outputs.files.items()}),
                )
                if value
            }
        )
    except (UnicodeEncodeError, TypeError) as error:
        raise OutputsError(f"an output is no text: {error}") from None
    if read_outputs(data) != Outputs(dict(outputs.outputs), dict(outputs.files)):
        raise OutputsError("an output is not of its type")
    return data


def read_outputs(data: bytes) -> Outputs:
    """Return what a run handed over; raise OutputsError for anything else, whatever the bytes.

    Fields that are not known are ignored.
    """
    if len(data) > BLOB_BYTES_MAX:
        raise OutputsError(f"{len(data)} bytes, at most {BLOB_BYTES_MAX} are allowed")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise OutputsError(f"no JSON: {str(error)[:200]}") from None
    if not isinstance(fields, dict):
        raise OutputsError("an object is wanted")
    texts, named = _entries(fields, "outputs"), _entries(fields, "files")
    files: dict[str, FileRef] = {}
    for path, value in named.items():
        try:
            files[check_path(path)] = FileRef.from_json(value)
        except FileRefError as error:
            raise OutputsError(f"files: {error}"[:1_000]) from None
    return Outputs({_name(name): _text(name, value) for name, value in texts.items()}, files)


def _entries(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name, {})
    if not isinstance(found, dict) or len(found) > ENTRIES_MAX:
        raise OutputsError(f"{name}: an object of at most {ENTRIES_MAX} entries is wanted")
    return found


def _name(name: str) -> str:
    if not name or "\0" in name or len(_bytes("a name", name)) > OUTPUT_NAME_BYTES_MAX:
        raise OutputsError(f"outputs: a name of 1 to {OUTPUT_NAME_BYTES_MAX} bytes is wanted, not {name[:64]!r}")
    return name


def _text(name: str, value: Any) -> str:
    if type(value) is not str:
        raise OutputsError(f"outputs: {name[:64]!r} is no text")
    _bytes(name, value)
    return value


def _bytes(name: str, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise OutputsError(f"outputs: {name[:64]!r} is no Unicode text") from None
