"""The arguments that several tools take, with their bounds.

Texts that may be left out default to "": the SDK reads a text as JSON wherever its type is anything but `str`.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from cli.errors import InputError

if TYPE_CHECKING:
    from ledger.cid import Cid
    from ledger.operations import Attachment

WAIT_S_MAX: Final = 3_600.0
_DATA_CHARS_MAX: Final = 1_500_000  # a blob of 1 MiB as base64, with room
_TEXT_MAX: Final = 1_024

TaskName = Annotated[
    str, Field(min_length=1, max_length=_TEXT_MAX, description="The task's id, or its task key (64 hex digits).")
]
Claim = Annotated[
    str,
    Field(
        max_length=200,
        description="CID of the claim under which you hold the task, as p2p_get_next_task gave it. With it the call is "
        "refused where that claim is yours no more; without it any claim of this server's key will do.",
    ),
]
LeaseSeconds = Annotated[
    float,
    Field(
        strict=True,
        ge=1,
        le=604_800,
        allow_inf_nan=False,
        description="How long the task is yours; the ledger's limit holds.",
    ),
]
WaitSeconds = Annotated[
    float,
    Field(
        strict=True,
        ge=0,
        le=WAIT_S_MAX,
        allow_inf_nan=False,
        description="How long to wait. Progress is reported meanwhile; mind your client's own timeout.",
    ),
]
Words = Annotated[str, Field(max_length=_TEXT_MAX, description="Words for the log of the ledger.")]
Data = Annotated[str, Field(max_length=_DATA_CHARS_MAX, description="At most 1 MiB. Empty: none.")]
MediaType = Annotated[str, Field(max_length=_TEXT_MAX, description="Such as application/json.")]
IsBase64 = Annotated[bool, Field(strict=True, description="Whether the data is given in base64.")]
Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=_TEXT_MAX)]], Field(max_length=1_000)]

WorkflowText = Annotated[
    str, Field(min_length=1, max_length=600_000, description="The workflow file itself: its YAML text.")
]


class CommandArgument(BaseModel):
    """A program for a worker to run: `argv`, or a `script` with its `interpreter`; exactly one of the two."""

    model_config = ConfigDict(extra="forbid", strict=True)

    argv: list[str] = Field([], description="Program and arguments; no shell reads them.")
    script: str = Field("", description="A text that the interpreter is given as a file.")
    interpreter: str = Field("", description="Such as bash or python3; the worker's policy must list it.")
    env: dict[str, str] = Field({}, description="Variables beside the worker's own clean ones.")
    outputs: list[str] = Field([], description="Patterns of files in the work folder to keep as the result.")
    network: bool = Field(False, description="Whether it needs a network; the worker's policy must allow it.")
    secrets: list[str] = Field([], description="Names of secrets it wants as variables; workers have and grant them.")
    sandbox: str = Field("", description="The sandbox level it demands at least: process or bubblewrap.")


def claim_of(text: str) -> Cid | None:
    """Return the claim that was named, None where none was; raise CidError for what is no CID."""
    from ledger.cid import Cid

    return Cid.parse(text) if text else None


def attachment(data: str, media_type: str, *, is_base64: bool) -> Attachment | None:
    """Return what was given as an attachment, None for nothing; raise InputError for what is no base64."""
    from ledger.operations import Attachment

    if not data:
        if media_type or is_base64:
            raise InputError("a media type, or base64, of nothing: the data is missing", "give the data, too")
        return None
    if not is_base64:
        raw = data.encode()
        return Attachment(media_type or "text/plain; charset=utf-8", data=raw, size=len(raw))
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"this is no base64: {error}", "leave base64 out to give plain text") from None
    return Attachment(media_type or "application/octet-stream", data=raw, size=len(raw))


def command_attachment(command: CommandArgument) -> Attachment:
    """Return a command as a payload; raise PayloadError where it is none."""
    from ledger.operations import Attachment
    from scheduler.running.payloads import Command, write_payload

    media_type, data = write_payload(
        Command(
            argv=tuple(command.argv),
            script=command.script or None,
            interpreter=command.interpreter or None,
            env=command.env,
            outputs=tuple(command.outputs),
            network=command.network,
            secrets=tuple(command.secrets),
            sandbox=command.sandbox or None,
        )
    )
    return Attachment(media_type, data=data, size=len(data))
