"""What a task asks a worker to run: the payloads this project knows, as types and as the JSON in a spec.

Two media types: a *command* (argv, or a script with a declared interpreter) and one job of a *workflow file*. The JSON
is written in one form only, keys sorted, so that the same request makes the same task key. Whatever has another media
type is an agent's business (`next`, `complete`), or a program's that handles it itself (scheduler.working). Pure.
Leaves out who may run what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from scheduler.running.files import FileRef, FileRefError, check_path

COMMAND_TYPE: Final = "application/vnd.p2p-workflow.command+json"
WORKFLOW_JOB_TYPE: Final = "application/vnd.p2p-workflow.workflow-job+json"
OUTPUTS_TYPE: Final = "application/vnd.p2p-workflow.outputs+json"
"""Media type of a result: `{"outputs": {name: text}, "files": {path: file}}`."""

WORDS_MAX: Final = 1_024
TEXT_BYTES_MAX: Final = 1_000_000

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

T = TypeVar("T")


class PayloadError(ValueError):
    """The payload is not what its media type says; the message names the field."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run: `argv`, or a `script` given to its `interpreter`; exactly one of the two.

    Args:
        argv: program and arguments; no shell reads them.
        script: a text, run as `interpreter FILE`.
        interpreter: a name such as `bash` or `python3`, which the worker's policy must list.
        env: variables beside the worker's own clean ones.
        files: what is put into the work folder before the run, by path.
        outputs: patterns (as `Path.glob`, `**` too) of files in the work folder that are kept as the result.
        network: whether it needs one.
        secrets: names of secrets that it wants as variables; the worker has them, and grants them or not.
        sandbox: the level it demands at least; None: the worker's choice.
    """

    argv: tuple[str, ...] = ()
    script: str | None = None
    interpreter: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileRef] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    network: bool = False
    secrets: tuple[str, ...] = ()
    sandbox: str | None = None

    @property
    def all_files(self) -> tuple[FileRef, ...]:
        """Every file it names: what must be there before it can run."""
        return tuple(self.files.values())


@dataclass(frozen=True, slots=True)
class WorkflowJob:
    """One job, or one leg of its matrix, of a workflow file that is pinned by its bytes.

    Args:
        file: the workflow file.
        path: where it stands in its repository, such as .github/workflows/ci.yml.
        job: the job's id in it.
        matrix: the leg: values by name; empty where the job has no matrix.
        inputs: those of `workflow_dispatch`, by name.
        event: what triggered it, such as workflow_dispatch or push.
        ref: the git ref it stands for, such as refs/heads/main.
        sha: the commit it stands for, "" where nobody said.
        source: a tar (maybe gzip) of the repository, put into the work folder; None: without one.
        needs: for each job it needs, the task keys (hex) of that job's legs: where its outputs come from.
        network: whether it needs one.
        secrets: names of secrets that it wants.
        sandbox: the level it demands at least.
    """

    file: FileRef
    path: str
    job: str
    matrix: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    event: str = "workflow_dispatch"
    ref: str = ""
    sha: str = ""
    source: FileRef | None = None
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    network: bool = False
    secrets: tuple[str, ...] = ()
    sandbox: str | None = None

    @property
    def all_files(self) -> tuple[FileRef, ...]:
        """Every file it names: what must be there before it can run."""
        return (self.file,) if self.source is None else (self.file, self.source)


Payload: TypeAlias = Command | WorkflowJob


def write_payload(payload: Payload) -> tuple[str, bytes]:
    """Return media type and bytes of a payload; raise PayloadError for one that could not be read back."""
    kind = COMMAND_TYPE if isinstance(payload, Command) else WORKFLOW_JOB_TYPE
    try:
        data = canonical_json(_fields(payload))
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise PayloadError(f"a value in the payload is not of its type: {error}") from None
    if read_payload(kind, data) != payload:
        raise PayloadError("a value in the payload is not of its type")
    return kind, data


def read_payload(media_type: str, data: bytes) -> Payload | None:
    """Return what a payload asks a worker to run, None for a media type that is none of ours.

    Raises PayloadError for bytes that are not what the media type says. Never anything else, whatever the bytes.
    """
    if media_type not in {COMMAND_TYPE, WORKFLOW_JOB_TYPE}:
        return None
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise PayloadError("an object is wanted")
    reader = _Reader(fields)
    return _read_command(reader) if media_type == COMMAND_TYPE else _read_job(reader)


def canonical_json(value: Any) -> bytes:
    """Return JSON in the one form that is hashed: keys sorted, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _fields(payload: Payload) -> dict[str, Any]:
    said: dict[str, Any]
    match payload:
        case Command():
            said = {
                "argv": list(payload.argv),
                "script": payload.script,
                "interpreter": payload.interpreter,
                "env": dict(payload.env),
                "files": {path: file.to_json() for path, file in payload.files.items()},
                "outputs": list(payload.outputs),
            }
        case WorkflowJob():
            said = {
                "file": payload.file.to_json(),
                "path": payload.path,
                "job": payload.job,
                "matrix": dict(payload.matrix),
                "inputs": dict(payload.inputs),
                "event": payload.event,
                "ref": payload.ref,
                "sha": payload.sha,
                "source": None if payload.source is None else payload.source.to_json(),
                "needs": {job: list(keys) for job, keys in payload.needs.items()},
            }
    said |= {"network": payload.network, "secrets": list(payload.secrets), "sandbox": payload.sandbox}
    return {name: value for name, value in said.items() if value not in (None, "", [], {}, False)}


def _read_command(reader: _Reader) -> Command:
    command = Command(
        argv=reader.texts("argv"),
        script=reader.text_or_none("script"),
        interpreter=reader.text_or_none("interpreter"),
        env=reader.variables("env"),
        files=reader.files("files"),
        outputs=reader.patterns("outputs"),
        network=reader.flag("network"),
        secrets=reader.names("secrets"),
        sandbox=reader.text_or_none("sandbox"),
    )
    reader.close()
    if bool(command.argv) == bool(command.script):
        raise PayloadError("argv or script: exactly one of them is wanted, and not an empty one")
    if bool(command.script) != bool(command.interpreter):
        raise PayloadError("interpreter: a script says which one reads it, and nothing else does")
    if command.argv and not command.argv[0]:
        raise PayloadError("argv: the program is empty")
    return command


def _read_job(reader: _Reader) -> WorkflowJob:
    job = WorkflowJob(
        file=reader.file("file"),
        path=reader.path("path"),
        job=reader.text("job"),
        matrix=reader.map("matrix", _value),
        inputs=reader.map("inputs", _text),
        event=reader.text_or_none("event") or "workflow_dispatch",
        ref=reader.text_or_none("ref") or "",
        sha=reader.text_or_none("sha") or "",
        source=reader.file("source") if reader.has("source") else None,
        needs=reader.map("needs", lambda keys: tuple(map(_text, _list(keys)))),
        network=reader.flag("network"),
        secrets=reader.names("secrets"),
        sandbox=reader.text_or_none("sandbox"),
    )
    reader.close()
    return job


class _Reader:
    """The fields of one object, each asked for once."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self._asked: set[str] = set()

    def close(self) -> None:
        """Raise for fields that nobody asked for: a payload that asks for what we do not know is not run."""
        unknown = sorted(self._fields.keys() - self._asked)
        if unknown:
            raise PayloadError(f"unknown fields: {', '.join(unknown)[:200]}")

    def has(self, name: str) -> bool:
        self._asked.add(name)
        return self._fields.get(name) is not None

    def _read(self, name: str, read: Callable[[Any], T]) -> T:
        try:
            return read(self._fields[name])
        except (PayloadError, FileRefError) as error:
            raise PayloadError(f"{name}: {error}") from None

    def text(self, name: str) -> str:
        if not self.has(name):
            raise PayloadError(f"{name} is missing")
        return self._read(name, _text)

    def text_or_none(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def texts(self, name: str) -> tuple[str, ...]:
        return self._read(name, lambda value: tuple(map(_text, _list(value)))) if self.has(name) else ()

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(self._read(name, lambda value: [_variable(one) for one in _list(value)])) if self.has(name) else ()

    def patterns(self, name: str) -> tuple[str, ...]:
        return (
            tuple(self._read(name, lambda value: [check_path(one) for one in _list(value)])) if self.has(name) else ()
        )

    def flag(self, name: str) -> bool:
        if not self.has(name):
            return False
        if type(self._fields[name]) is not bool:
            raise PayloadError(f"{name}: true or false is wanted")
        return bool(self._fields[name])

    def file(self, name: str) -> FileRef:
        if not self.has(name):
            raise PayloadError(f"{name} is missing")
        return self._read(name, FileRef.from_json)

    def path(self, name: str) -> str:
        return self._read(name, check_path) if self.has(name) else self.text(name)

    def map(self, name: str, read: Callable[[Any], T]) -> dict[str, T]:
        if not self.has(name):
            return {}
        return self._read(name, lambda value: {key: read(one) for key, one in _items(value)})

    def variables(self, name: str) -> dict[str, str]:
        if not self.has(name):
            return {}
        return self._read(name, lambda value: {_variable(key): _text(one) for key, one in _items(value)})

    def files(self, name: str) -> dict[str, FileRef]:
        if not self.has(name):
            return {}
        return self._read(name, lambda value: {check_path(path): FileRef.from_json(one) for path, one in _items(value)})


def _text(value: Any) -> str:
    if type(value) is not str:
        raise PayloadError(f"a text is wanted, not {type(value).__name__}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise PayloadError("it is no Unicode text") from None
    if size > TEXT_BYTES_MAX or "\0" in value:
        raise PayloadError(f"a text of at most {TEXT_BYTES_MAX} bytes without NUL is wanted")
    return value


def _value(value: Any) -> Any:
    try:
        canonical_json(value)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"a value that can be written again is wanted: {error}") from None
    return value


def _variable(value: Any) -> str:
    if not _VARIABLE.fullmatch(_text(value)):
        raise PayloadError(f"{value[:64]!r} is no name of a variable")
    return str(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > WORDS_MAX:
        raise PayloadError(f"a list of at most {WORDS_MAX} is wanted")
    return value


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or len(value) > WORDS_MAX:
        raise PayloadError(f"an object of at most {WORDS_MAX} entries is wanted")
    for name, one in value.items():
        yield _text(name), one
