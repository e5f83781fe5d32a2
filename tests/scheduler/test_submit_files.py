"""Files of payloads: gathered from the disk, linked by the events that need them, refused where they are nowhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ledger.blobs import BLOB_BYTES_MAX
from ledger.cid import Cid
from ledger.operations import Attachment
from scheduler.actions import RequestError, SubmitRequest, request_of, submit
from scheduler.running.files import EVENT_PARTS_MAX, split
from scheduler.running.gathering import FILES_MAX, Gathered, GatheringError, gather
from scheduler.running.payloads import COMMAND_TYPE, Command, read_payload, write_payload
from scheduler.tags import WorkflowTag
from scheduler.task import P2PTask, Payload
from tests.scheduler.desk import Desk
from tests.scheduler.test_actions import events, spec


def task(task_id: str, payload: Payload) -> SubmitRequest:
    """Return the request of a task with a payload."""
    return request_of(P2PTask(task_id, "w", "n", [WorkflowTag.P2P_ONLY], payload=payload))


def linked(desk: Desk) -> list[set[Cid]]:
    """Return what each event links, in order of arrival."""
    with desk.home.reading():
        return [set(desk.home.read_event(cid).blobs) for _, cid, _ in desk.home.events.in_order_of_arrival()]


def test_a_folder_is_gathered_with_its_names_and_modes(tmp_path: Path) -> None:
    """Files below a folder keep their paths and whether they can be run; a link to a file is that file."""
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "run").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "src" / "run").chmod(0o755)
    (tmp_path / "src" / "deep" / "a").write_bytes(b"a" * (BLOB_BYTES_MAX + 1))
    (tmp_path / "src" / "link").symlink_to("deep/a")
    found = Gathered().put(tmp_path / "src")
    assert {path: (file.size, file.executable) for path, file in found.files.items()} == {
        "src/run": (10, True),
        "src/deep/a": (BLOB_BYTES_MAX + 1, False),
        "src/link": (BLOB_BYTES_MAX + 1, False),
    }
    assert len(found.blobs) == 3
    assert set(Gathered().put(tmp_path / "src", ".").files) == {"run", "deep/a", "link"}
    assert set(Gathered().put(tmp_path / "src", "x/y/").files) == {"x/y/run", "x/y/deep/a", "x/y/link"}
    assert set(gather({"a": b"", "b": str(tmp_path / "src" / "run")}).files) == {"a", "b"}


def test_what_cannot_be_put_is_named(tmp_path: Path) -> None:
    """Links to folders, pipes, paths that leave the work folder, clashes, and too many files are refused by name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    with pytest.raises(GatheringError, match="up is a link to a folder"):
        Gathered().put(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GatheringError, match="pipe is no file"):
        Gathered().put(tmp_path / "pipe")
    for inside in ("/etc/x", "../x", "a//b", ""):
        with pytest.raises(GatheringError, match="path"):
            Gathered().add(inside, b"")
    with pytest.raises(GatheringError, match="twice"):
        Gathered().add("a", b"1").add("a", b"2")
    with pytest.raises(FileNotFoundError):
        Gathered().put(tmp_path / "nothing")
    with pytest.raises(GatheringError, match="more than"):
        gather({str(number): b"" for number in range(FILES_MAX + 1)})


def test_the_event_links_what_its_payload_names(desk: Desk) -> None:
    """Parts of files are kept beside the events and linked by the submit's own; the same request again links none."""
    me = desk.peer("me")
    payload = Payload.command(["make"], files={"a": b"1", "b": b"x" * (BLOB_BYTES_MAX + 1)}, env={"A": "b"})
    (done,) = submit(desk.home, me, task("t", payload))
    assert linked(desk)[-1] == set(payload.blobs)
    assert len(payload.blobs) == 3
    with desk.home.reading():
        assert desk.home.intake.blobs.get_many(payload.blobs) == payload.blobs
    before = events(desk)
    assert not submit(desk.home, me, task("t", payload))[0].created
    assert events(desk) == before
    attached = done.record.spec.payload
    assert attached is not None
    assert attached.data is not None
    found = read_payload(attached.media_type, attached.data)
    assert isinstance(found, Command)
    assert (found.argv, found.env, set(found.files)) == (("make",), {"A": "b"}, {"a", "b"})


def test_more_parts_than_an_event_links_are_linked_before_it(desk: Desk) -> None:
    """A task of many files has the surplus linked by events in its past, all in one transaction."""
    me = desk.peer("me")
    payload = Payload.command(["ls"], files={f"f{n}": str(n).encode() for n in range(2 * EVENT_PARTS_MAX + 50)})
    before = events(desk)
    submit(desk.home, me, task("t", payload))
    new = linked(desk)[before:]
    assert set.union(*new) == set(payload.blobs) | {Cid.of_raw(payload.data)}
    assert [len(cids) for cids in new] == [EVENT_PARTS_MAX, 50, EVENT_PARTS_MAX + 1]


def test_many_tasks_with_files_share_events_as_far_as_their_files_fit(desk: Desk) -> None:
    """Files that several tasks share are linked once; no event links more than it may."""
    me = desk.peer("me")
    shared = {f"s{n}": str(n).encode() for n in range(100)}
    requests = [task(f"t{n}", Payload.command(["ls"], files=shared | {"own": f"own {n}".encode()})) for n in range(150)]
    before = events(desk)
    submit(desk.home, me, requests)
    new = linked(desk)[before:]
    assert len(new) <= 4
    assert all(len(cids) <= EVENT_PARTS_MAX for cids in new)
    assert set.union(*new) >= {cid for request in requests for cid in request.blobs}


def test_what_is_nowhere_is_refused(desk: Desk) -> None:
    """A payload that names bytes nobody has given is refused; bytes that are in the home already need not be given."""
    me = desk.peer("me")
    data = b"some bytes"
    file, _ = split(data)
    kind, named = write_payload(Command(argv=("cat",), files={"a": file}))
    before = events(desk)
    with pytest.raises(RequestError, match="whose bytes are not here"):
        submit(desk.home, me, SubmitRequest(spec("t", payload=Attachment(kind, data=named))))
    wrong = {file.parts[0]: b"other bytes"}
    with pytest.raises(RequestError, match="the bytes hash to something else"):
        submit(desk.home, me, SubmitRequest(spec("t", payload=Attachment(kind, data=named)), blobs=wrong))
    with pytest.raises(RequestError, match="payload: no JSON"):
        submit(desk.home, me, SubmitRequest(spec("t", payload=Attachment(COMMAND_TYPE, data=b"{"))))
    assert events(desk) == before
    submit(desk.home, me, task("one", Payload.command(["cat"], files={"b": data})))
    submit(desk.home, me, SubmitRequest(spec("t", payload=Attachment(kind, data=named))))
    assert linked(desk)[-1] == set(file.parts)


def test_what_no_command_can_be_is_a_value_error() -> None:
    """The helpers refuse what a worker could not read, in words."""
    bad: list[dict[str, Any]] = [
        {"env": {"1": "x"}},
        {"sandbox": "strong"},
        {"keep": "dist"},
        {"keep": ["../x"]},
        {"files": {"../x": b""}},
        {"secrets": ["no name"]},
    ]
    for options in bad:
        with pytest.raises(ValueError):  # noqa: PT011 — the words differ
            Payload.command(["a"], **options)
    with pytest.raises(ValueError, match="argv or script"):
        Payload.command([])
    with pytest.raises(ValueError, match="argv or script"):
        Payload.script("", "bash")
    assert Payload.script("echo", "bash") == Payload.script("echo", "bash", files={})
