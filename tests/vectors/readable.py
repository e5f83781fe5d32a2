"""DAG-JSON of decoded values, and JSON files as specs/vectors has them: the same bytes on every machine.

Source: the IPLD DAG-JSON specification (links as {"/": text}, bytes as {"/": {"bytes": base64}}).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.cid import Cid

LINE_CHARS = 118


def dag_json(value: object) -> object:
    """Return the DAG-JSON form of a decoded value."""
    if isinstance(value, Cid):
        return {"/": str(value)}
    if isinstance(value, bytes):
        return {"/": {"bytes": base64.b64encode(value).decode().rstrip("=")}}
    if isinstance(value, Mapping):
        return {name: dag_json(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [dag_json(element) for element in value]
    return value


def json_text(value: object) -> str:
    """Return JSON that a person can read: what fits into a line stands in one."""
    return _text(value, 0) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write one vector file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json_text(value), encoding="utf-8")


def _text(value: object, depth: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + 2 * depth <= LINE_CHARS or not isinstance(value, (Mapping, Sequence)) or isinstance(value, str):
        return flat
    pad, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping):
        members = [
            f"{pad}{json.dumps(name, ensure_ascii=False)}: {_text(member, depth + 1)}" for name, member in value.items()
        ]
        return "{\n" + ",\n".join(members) + f"\n{end}}}"
    return "[\n" + ",\n".join(pad + _text(element, depth + 1) for element in value) + f"\n{end}]"
