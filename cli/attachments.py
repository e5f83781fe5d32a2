"""Payloads, outputs and logs between files and tasks: opaque bytes with a media type."""

from __future__ import annotations

import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.errors import InputError

if TYPE_CHECKING:
    from ledger.operations import Attachment
    from scheduler.home import Home

_SHOWN_BYTES_MAX: Final = 65_536
"""Bytes of a payload that are printed; more of them are written to a file with `--payload` or `--output`."""


def read_bytes(file: str) -> bytes:
    """Return what is in a file, or on stdin for `-`; InputError beyond what a block may hold."""
    from ledger.blobs import BLOB_BYTES_MAX

    if file == "-":
        data = sys.stdin.buffer.read(BLOB_BYTES_MAX + 1)
    else:
        with Path(file).open("rb") as stream:
            data = stream.read(BLOB_BYTES_MAX + 1)
    if len(data) > BLOB_BYTES_MAX:
        raise InputError(f"{file} has more than {BLOB_BYTES_MAX:,} bytes", "put it elsewhere, and its address here")
    return data


def media_type_of(file: str) -> str:
    """Return the media type that the name of a file tells, else that of opaque bytes."""
    return mimetypes.guess_type(file)[0] or "application/octet-stream"


def read_attachment(file: str | None, media_type: str | None) -> Attachment | None:
    """Return the bytes of a file with their media type, None where no file is named."""
    from ledger.operations import Attachment

    if file is None:
        if media_type is not None:
            raise InputError("--media-type without a file says nothing", "name the file, or leave it out")
        return None
    data = read_bytes(file)
    return Attachment(media_type or media_type_of(file), data=data, size=len(data))


def bytes_of(home: Home, item: Attachment) -> bytes | None:
    """Return the bytes of an attachment, None for a blob that has not come here yet. Within a reading."""
    from scheduler.working.judging import bytes_of as find_bytes

    return find_bytes(home, item)


def attachment_document(home: Home | None, item: Attachment | None) -> dict[str, Any] | None:
    """Return an attachment as JSON: as `text` where it is UTF-8, else as `hex`; larger ones by their blob alone.

    Without a home it is shown where its bytes stand in it.
    """
    if item is None:
        return None
    document: dict[str, Any] = {"media_type": item.media_type, "size": item.size}
    if item.blob is not None:
        document["blob"] = str(item.blob)
    if item.size > _SHOWN_BYTES_MAX:
        return document
    data = item.data if home is None else bytes_of(home, item)
    if data is None:
        return document | {"missing": True}
    try:
        return document | {"text": data.decode()}
    except UnicodeDecodeError:
        return document | {"hex": data.hex()}
