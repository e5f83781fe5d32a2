"""A task as users of the quick start write and receive it.

Implements `P2PTask` of the contract: its fields, hash, order and JSON. It can be changed, since users of the guide do
so; what it holds is checked when it is made and again by `validate`, which the scheduler calls before it submits. Times
are seconds, as `time.time()` gives them; the ledger counts milliseconds, and the scheduler converts. Left out: what the
board knows of a task, and how a task becomes a spec.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from ledger.cid import Cid
from ledger.operations import ATTEMPTS_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, NEEDS_MAX
from ledger.schema import DURATION_MS_MAX, TIME_MAX
from scheduler.running.gathering import gather
from scheduler.running.job import Level
from scheduler.running.payloads import Command, write_payload
from scheduler.tags import WorkflowTag, parse_tags

PRIORITY_MIN: Final = 1
PRIORITY_MAX: Final = 10
PRIORITY_DEFAULT: Final = 5


@dataclass(frozen=True, slots=True)
class Payload:
    """What a task works on: opaque bytes and their media type.

    Args:
        media_type: what the bytes are.
        data: the bytes.
        blobs: the parts of files that the bytes name, by CID; `command` and `script` fill them in.

    Raises:
        ValueError: the media type is no text of 1 to 1,024 bytes, or the data is not bytes.
    """

    media_type: str
    data: bytes
    blobs: Mapping[Cid, bytes] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check_text("media_type", self.media_type, NAME_BYTES_MAX)
        if type(self.data) is not bytes:
            raise ValueError(f"payload data must be bytes, not {type(self.data).__name__}")

    @classmethod
    def command(cls, argv: Sequence[str], **options: Any) -> Self:
        """Return the payload of a program for a worker to run; no shell reads its words.

        Args:
            argv: program and arguments.
            options: as in `Payload.of_command`.
        """
        return cls.of_command(Command(argv=tuple(argv)), **options)

    @classmethod
    def script(cls, text: str, interpreter: str, **options: Any) -> Self:
        """Return the payload of a script for a worker to run as `interpreter FILE`; `options` as in `of_command`."""
        return cls.of_command(Command(script=text, interpreter=interpreter), **options)

    @classmethod
    def of_command(
        cls,
        command: Command,
        *,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, bytes | str | Path] | None = None,
        keep: Sequence[str] = (),
        network: bool = False,
        secrets: Sequence[str] = (),
        sandbox: str | None = None,
    ) -> Self:
        """Return the payload of a command.

        Args:
            command: what to run.
            env: variables it sees; everybody who reads the ledger reads them.
            files: what is put into its work folder, by path: bytes, or the path of a file or folder here.
            keep: patterns of files in its work folder that are its result.
            network: whether it needs one.
            secrets: names of secrets that it wants as variables; its worker has them, and grants them or not.
            sandbox: the level it demands at least: "process" or "bubblewrap".

        Raises:
            ValueError: an argument is not as said here; a file cannot be put.
        """
        for name, texts in (("keep", keep), ("secrets", secrets)):
            if isinstance(texts, str):
                raise ValueError(f"{name} must be a list of texts, not one text")
        if sandbox is not None and sandbox not in set(Level):
            raise ValueError(f"sandbox must be one of {', '.join(Level)}, not {sandbox!r}")
        gathered = gather(files or {})
        media_type, data = write_payload(
            replace(
                command,
                env=dict(env or {}),
                files=gathered.files,
                outputs=tuple(keep),
                network=network,
                secrets=tuple(secrets),
                sandbox=sandbox,
            )
        )
        return cls(media_type, data, gathered.blobs)


@dataclass
class P2PTask:
    """A task to submit, or one that was given to this peer.

    Tasks are equal when they ask for the same; what the scheduler writes into them does not count. Smaller means first:
    the higher priority, then the older.

    Args:
        task_id: its name, 1 to 1,024 UTF-8 bytes; so are `workflow_id` and `name`.
        workflow_id: the workflow it belongs to.
        name: words for people.
        tags: tags or texts of tags, as `parse_tags` reads them; kept as a list of `WorkflowTag`.
        priority: 1 to 10, 10 first.
        created_at: seconds since 1970.
        payload: what it works on.
        requires: labels that its worker must have; kept sorted, each once.
        needs: the tasks that must be complete before it, by name or task key; each once.
        not_before: seconds since 1970 before which nobody takes it.
        expires_at: seconds since 1970 after which nobody takes it.
        timeout_seconds: the longest that one attempt may run.
        max_attempts: how many attempts may fail.
        assigned_peer: set by the scheduler: the peer of rank 0.
        task_key: set by the scheduler: the task's key in the ledger, in hexadecimal.
        claim: set by the scheduler: CID of the claim under which this peer holds it, the fencing token.

    Raises:
        ValueError: a field is not as said here (for tags, one of the errors of `parse_tags`).
    """

    task_id: str
    workflow_id: str
    name: str
    tags: list[WorkflowTag]
    priority: int = PRIORITY_DEFAULT
    created_at: float = field(default_factory=time.time)
    _: KW_ONLY
    payload: Payload | None = None
    requires: Sequence[str] = ()
    needs: Sequence[str] = ()
    not_before: float | None = None
    expires_at: float | None = None
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    assigned_peer: str | None = field(default=None, compare=False)
    task_key: str | None = field(default=None, compare=False)
    claim: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        self.validate()

    @property
    def task_hash(self) -> str:
        """The SHA-256 of `task_id:workflow_id`, 64 hexadecimal digits."""
        return hashlib.sha256(f"{self.task_id}:{self.workflow_id}".encode()).hexdigest()

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, P2PTask):
            return NotImplemented
        return (-self.priority, self.created_at) < (-other.priority, other.created_at)

    def validate(self) -> None:
        """Check every field, and bring tags, labels and needs into the form in which they are kept.

        Raises:
            ValueError: a field is not as the class says; the message names it.
        """
        for name in ("task_id", "workflow_id", "name"):
            _check_text(name, getattr(self, name), NAME_BYTES_MAX)
        self.tags = list(parse_tags(self.tags))
        _check_integer("priority", self.priority, PRIORITY_MIN, PRIORITY_MAX)
        _check_seconds("created_at", self.created_at, TIME_MAX)
        if self.payload is not None and not isinstance(self.payload, Payload):
            raise ValueError(f"payload must be a Payload, not {type(self.payload).__name__}")
        self.requires = tuple(sorted(_texts("requires", self.requires, LABELS_MAX, LABEL_BYTES_MAX)))
        self.needs = _texts("needs", self.needs, NEEDS_MAX, NAME_BYTES_MAX)
        if self.not_before is not None:
            _check_seconds("not_before", self.not_before, TIME_MAX)
        if self.expires_at is not None:
            _check_seconds("expires_at", self.expires_at, TIME_MAX)
        if self.timeout_seconds is not None:
            _check_seconds("timeout_seconds", self.timeout_seconds, DURATION_MS_MAX, least_ms=1)
        if self.max_attempts is not None:
            _check_integer("max_attempts", self.max_attempts, 1, ATTEMPTS_MAX)

    def to_dict(self) -> dict[str, Any]:
        """Return the seven fields that the contract's JSON has for a task."""
        return {
            "task_id": self.task_id,
            "workflow_id": self.workflow_id,
            "name": self.name,
            "tags": [tag.value for tag in self.tags],
            "priority": self.priority,
            "task_hash": self.task_hash,
            "assigned_peer": self.assigned_peer,
        }


def _check_text(name: str, value: object, bytes_max: int) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {type(value).__name__}")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a surrogate pair, which UTF-8 cannot write") from None
    if not value:
        raise ValueError(f"{name} must not be empty")
    if length > bytes_max:
        raise ValueError(f"{name} has {length:,} bytes of UTF-8; at most {bytes_max:,} are allowed")


def _check_integer(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int:  # True is an int, and no priority
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value}")


def _check_seconds(name: str, value: object, most_ms: int, least_ms: int = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number of seconds, not {value!r}")
    if not least_ms <= value * 1000 <= most_ms:  # nor is NaN within anything
        raise ValueError(f"{name} must be from {least_ms / 1000:g} to {most_ms / 1000:.0f} seconds, not {value!r}")


def _texts(name: str, values: Sequence[str], count_max: int, bytes_max: int) -> tuple[str, ...]:
    """Return the texts, each once, in order."""
    if isinstance(values, str):
        raise ValueError(f"{name} must be a list of texts, not one text")
    for text in values:
        _check_text(f"each of {name}", text, bytes_max)
    texts = tuple(dict.fromkeys(values))
    if len(texts) > count_max:
        raise ValueError(f"{name} has {len(texts)} entries; at most {count_max} are allowed")
    return texts
