"""Operations as JSON, one object each: what `append` reads, and `show`, `log` and `replay` print.

The fields are those of specs/events.md, but that events and blobs stand by their CID as text instead of an index,
actors as `did:key:…`, and other bytes in hexadecimal; the bytes of an attachment may also be written as `"text": "…"`:

    {"op": "submit", "spec": {"task_id": "t1", "workflow_id": "w", "name": "Build"}, "priority": 8}
    {"op": "claim", "task": "2bcee4…", "lease_ms": 60000, "inputs": []}
    {"op": "complete", "task": "2bcee4…", "claim": "bafyrei…", "output": {"media_type": "a/b", "text": "ok"}}
    {"op": "admit", "actor": "did:key:z6Mk…", "roles": ["submitter", "worker"], "name": "ann"}

Without `follows`, or with an empty one, an operation follows the task's own heads. What an operation may say is judged
by the ledger's own reader (rules M1 and M2); what it means, by the board.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from cli.errors import InputError

if TYPE_CHECKING:
    from ledger.cid import Cid
    from ledger.events import Event
    from ledger.keys import ActorKey
    from ledger.operations import Operation

_EVENT_LISTS: Final = ("follows", "inputs", "keep")
_EVENT_FIELDS: Final = ("claim", "grant")
_ATTACHMENTS: Final = ("output", "log")
_ON_TASK: Final = "op task follows"
_FIELDS: Final = {
    name: tuple(fields.split())
    for name, fields in {
        "admit": "op actor roles name labels",
        "revoke": "op grant actor keep reason",
        "join": "op labels slots",
        "leave": "op",
        "submit": "op spec priority created_at",
        "claim": f"{_ON_TASK} lease_ms inputs",
        "renew": f"{_ON_TASK} claim lease_ms progress log",
        "release": f"{_ON_TASK} claim reason",
        "fail": f"{_ON_TASK} claim class error report log",
        "complete": f"{_ON_TASK} claim output report log",
        "cancel": f"{_ON_TASK} reason",
        "prioritize": f"{_ON_TASK} priority",
        "requeue": _ON_TASK,
        "spec": "task_id workflow_id name tags requires payload needs max_attempts backoff timeout_ms not_before"
        " expires_at",
        "payload": "media_type text data blob size",
        "backoff": "base_ms max_ms",
        "report": "exit_code duration_ms sandbox limits",
    }.items()
}
"""The fields of each operation and of what stands in one. A later version may know more: see `_check_fields`."""


def read_operation(fields: Any, ledger: Cid, actor: ActorKey) -> Operation:
    """Return the operation that a JSON object says, by `actor` in `ledger`.

    Raises InputError for anything the ledger would take for unknown (M1) or malformed (M2), and says which.
    """
    from ledger.codec import CodecError
    from ledger.events import Event
    from ledger.operation_codec import read_operations
    from ledger.operations import Unread

    if not isinstance(fields, dict) or not isinstance(fields.get("op"), str):
        raise InputError('an operation is an object with its name as "op"', rule="A3")
    cites: dict[Cid, int] = {}
    blobs: dict[Cid, int] = {}
    try:
        said = _read_fields(fields, cites, blobs)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{fields['op']}: {error}", rule="M2") from None
    event = Event(ledger, actor, ledger, (ledger,), tuple(cites), tuple(blobs), 1, 1, (said,))
    try:
        (operation,) = read_operations(event)
    except CodecError as error:  # a float, or nesting without end, cannot even be hashed into a task key
        raise InputError(f"{fields['op']}: {error}", rule="A2") from None
    if isinstance(operation, Unread):
        raise InputError(operation.words, "see the operations in specs/events.md", rule=operation.rule)
    _check_fields(fields, fields["op"])
    return operation


def _check_fields(fields: Mapping[str, Any], kind: str) -> None:
    """Raise InputError for a field that means nothing: the ledger passes over it, but a misspelt one was meant."""
    known = _FIELDS[kind]
    unknown = sorted(fields.keys() - set(known))
    if unknown:
        raise InputError(f"{kind}: unknown fields: {', '.join(unknown)}", f"known are {', '.join(known)}")
    for name, value in fields.items():
        inner = "payload" if name in _ATTACHMENTS else name
        if inner in _FIELDS and isinstance(value, dict):
            _check_fields(value, inner)


def _read_fields(fields: Mapping[str, Any], cites: dict[Cid, int], blobs: dict[Cid, int]) -> dict[str, Any]:
    from ledger.cid import Cid
    from ledger.keys import parse_did_key

    def cite(text: str) -> int:
        return cites.setdefault(Cid.parse(text), len(cites))

    said = dict(fields)
    for name in _EVENT_LISTS:
        if name in said:
            said[name] = [cite(text) for text in _list(said[name], name)]
    for name in _EVENT_FIELDS:
        if said.get(name) is not None:
            said[name] = cite(said[name])
    if "actor" in said:
        said["actor"] = bytes(parse_did_key(said["actor"]))
    if "task" in said:
        said["task"] = bytes.fromhex(said["task"])
    for name in _ATTACHMENTS:
        if isinstance(said.get(name), dict):
            said[name] = _read_attachment(said[name], lambda text: blobs.setdefault(Cid.parse(text), len(blobs)))
    if isinstance(said.get("spec"), dict):
        said["spec"] = _read_spec(said["spec"], blobs)
    return said


def _read_spec(fields: Mapping[str, Any], blobs: dict[Cid, int]) -> dict[str, Any]:
    """Return the map of a spec, which names its blob by the bytes of its CID; the event links it."""
    from ledger.cid import Cid

    def link(text: str) -> bytes:
        cid = Cid.parse(text)
        blobs.setdefault(cid, len(blobs))
        return bytes(cid)

    spec = {"tags": [], "requires": [], "needs": []} | dict(fields)
    for name in ("tags", "requires"):
        spec[name] = sorted(set(_list(spec[name], name)))
    spec["needs"] = sorted({bytes.fromhex(text) for text in _list(spec["needs"], "needs")})
    if isinstance(spec.get("payload"), dict):
        spec["payload"] = _read_attachment(spec["payload"], link)
    return spec


def _read_attachment(fields: Mapping[str, Any], link: Callable[[str], Any]) -> dict[str, Any]:
    said = dict(fields)
    if "text" in said:
        said["data"] = str(said.pop("text")).encode()
    elif "data" in said:
        said["data"] = bytes.fromhex(said["data"])
    elif "blob" in said:
        said["blob"] = link(said["blob"])
    return said


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name}: a list is wanted")  # told as every other fault of the line
    return value


# ---- writing


def operation_documents(event: Event) -> list[dict[str, Any]]:
    """Return the operations of an accepted event, as `read_operation` reads them."""
    return [_write_fields(op, event) for op in event.ops]


def _write_fields(fields: Mapping[str, Any], event: Event) -> dict[str, Any]:
    from ledger.keys import did_key

    said: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _EVENT_LISTS and isinstance(value, list):
            said[name] = [_at(event.cites, index) for index in value]
        elif name in _EVENT_FIELDS:
            said[name] = _at(event.cites, value)
        elif name == "actor" and isinstance(value, bytes) and len(value) == 32:
            said[name] = did_key(value)  # type: ignore[arg-type]  # 32 bytes are one
        elif name in _ATTACHMENTS and isinstance(value, dict) and "blob" in value:
            said[name] = _plain(value) | {"blob": _at(event.blobs, value["blob"])}
        else:
            said[name] = _plain(value)
    return said


def _at(linked: tuple[Cid, ...], index: Any) -> Any:
    """Return the CID an index means; what is no index, in a malformed operation, stays as it is."""
    return str(linked[index]) if type(index) is int and 0 <= index < len(linked) else _plain(index)


def _plain(value: Any) -> Any:
    """Return any value of an operation as JSON: CIDs as text, a spec's blob too, and other bytes in hexadecimal."""
    from ledger.cid import Cid, CidError

    if isinstance(value, dict):
        said = {name: _plain(item) for name, item in value.items()}
        if isinstance(value.get("blob"), bytes):
            try:
                said["blob"] = str(Cid(value["blob"]))
            except CidError:
                return said
        return said
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Cid):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value
