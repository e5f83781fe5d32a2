"""A run as tasks: one for each leg, with the needs of jobs; the same submission again is the same tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crdt.view import Status, view
from ledger.blobs import BLOB_BYTES_MAX
from ledger.keys import SigningKey
from scheduler.action_errors import ConflictError
from scheduler.actions import complete
from scheduler.running.files import parts_of
from scheduler.running.payloads import WORKFLOW_JOB_TYPE, WorkflowJob, read_payload
from scheduler.workflows.crew import who_could_run
from scheduler.workflows.findings import WorkflowRefusedError
from scheduler.workflows.planning import plan_of
from scheduler.workflows.submission import Run, submit_run, tasks_of
from scheduler.working.policy import EMPTY_POLICY
from tests.scheduler.desk import Desk
from tests.workflows.files import GUIDE, THREE, one_job, read


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a home with a clock that stands."""
    with Desk(tmp_path / "desk") as found:
        yield found


def run_of(text: str = THREE, **fields: Any) -> Run:
    """Return a run of a workflow on a small source."""
    workflow = read(text, ".github/workflows/w.yml")
    run = Run(workflow, plan_of(workflow), workflow.path, "workflow_dispatch", source=b"a tar")
    return replace(run, **fields)


def payload_of(desk: Desk, key: Any) -> WorkflowJob:
    """Return the payload of a task as a worker reads it."""
    item = desk.record(key).spec.payload
    assert item is not None
    assert item.media_type == WORKFLOW_JOB_TYPE
    with desk.home.reading():
        data = item.data if item.blob is None else desk.home.intake.blobs.get_many((item.blob,))[item.blob]
    found = read_payload(WORKFLOW_JOB_TYPE, data or b"")
    assert isinstance(found, WorkflowJob)
    return found


def test_each_leg_is_a_task_and_needs_are_needs(desk: Desk) -> None:
    """A job that needs one with a matrix needs all its legs; the payload says which task is whose result."""
    made, done = submit_run(
        desk.home, desk.peer("a"), run_of(inputs={"greeting": "hi"}, ref="refs/heads/main", sha="s")
    )
    assert [task.key for task in made.tasks] == [one.key for one in done]
    build, one, two, publish = (desk.record(task.key) for task in made.tasks)
    assert [record.spec.task_id for record in (build, one, two, publish)] == [
        f"{made.run_id}/{name}" for name in ("build", "test (3.11)", "test (3.12)", "publish")
    ]
    assert (build.spec.needs, one.spec.needs) == ((), (build.key,))
    assert publish.spec.needs == tuple(sorted((build.key, one.key, two.key)))
    assert (one.spec.tags, one.spec.requires, one.spec.timeout_ms) == (("p2p-only",), ("gpu",), 300_000)
    assert (one.spec.workflow_id, one.spec.name) == ("Three", "Three: test (3.11)")
    found = payload_of(desk, publish.key)
    assert found.needs == {"build": (build.key.hex(),), "test": (one.key.hex(), two.key.hex())}
    assert (found.path, found.event, found.ref, found.sha) == (
        ".github/workflows/w.yml", "workflow_dispatch", "refs/heads/main", "s"
    )  # fmt: skip
    assert payload_of(desk, two.key).matrix == {"python": "3.12"}
    assert found.inputs == {"greeting": "hi"}


def test_file_and_source_are_kept_and_linked(desk: Desk) -> None:
    """Whoever has the event can ask for every part of what its tasks name."""
    source = bytes(range(256)) * (BLOB_BYTES_MAX // 256) + b"more"
    made, done = submit_run(desk.home, desk.peer("a"), run_of(source=source))
    parts = parts_of([made.file, *([made.source] if made.source else [])])
    assert len(parts) == 3
    with desk.home.reading():
        kept = desk.home.intake.blobs.get_many(parts)
        assert b"".join(kept[part] for part in parts[1:]) == source
        assert kept[parts[0]] == THREE.encode()
        events = {one.event for one in done}
        assert len(events) == 1
        (event,) = events
        assert event is not None
        assert set(parts) <= set(desk.home.read_event(event).blobs)


def test_the_same_submission_is_the_same_tasks(desk: Desk) -> None:
    """Another source, input or file is another run; a run by name is what it was, or a conflict."""
    key = desk.peer("a")
    first, _ = submit_run(desk.home, key, run_of())
    again, done = submit_run(desk.home, key, run_of(priority=9))
    assert [task.key for task in again.tasks] == [task.key for task in first.tasks]
    assert not any(one.created for one in done)
    for fields in ({"source": b"other"}, {"inputs": {"greeting": "x"}}, {"sha": "t"}, {"source": None}):
        other, done = submit_run(desk.home, key, run_of(**fields))
        assert other.run_id != first.run_id
        assert all(one.created for one in done)
    named, done = submit_run(desk.home, key, run_of(run_id="7"))
    assert named.tasks[0].request.spec.task_id == "7/build"
    assert all(one.created for one in done)
    with pytest.raises(ConflictError):
        submit_run(desk.home, key, run_of(run_id="7", source=b"other"))


def test_another_submitter_has_tasks_of_its_own(desk: Desk) -> None:
    """Keys are bound to who asks, as those of all tasks."""
    ledger = desk.home.ledger
    one, other = (tasks_of(ledger, SigningKey.generate().actor, run_of()) for _ in range(2))
    assert one.run_id == other.run_id
    assert not {task.key for task in one.tasks} & {task.key for task in other.tasks}


def test_jobs_are_ready_when_what_they_need_is_done(desk: Desk) -> None:
    """The board makes them wait, as it does for all needs."""
    key = desk.peer("a", ("gpu",))
    made, _ = submit_run(desk.home, key, run_of())

    def statuses() -> list[Status]:
        with desk.home.reading():
            board = desk.home.board
            return [
                view(desk.record(task.key), board.find_record, desk.home.policy, desk.now).status
                for task in made.tasks
            ]  # fmt: skip

    assert statuses() == [Status.READY, Status.WAITING, Status.WAITING, Status.WAITING]
    for count, task in enumerate(made.tasks[:3]):
        complete(desk.home, key, task.key)
        assert statuses().count(Status.DONE) == count + 1
    assert statuses()[3] == Status.READY


def test_some_jobs_with_what_they_need(desk: Desk) -> None:
    """The others are not submitted; later they are, on the same tasks."""
    key = desk.peer("a")
    some, _ = submit_run(desk.home, key, run_of(jobs=("test",)))
    assert [task.job.job for task in some.tasks] == ["build", "test", "test"]
    whole, done = submit_run(desk.home, key, run_of())
    assert [task.key for task in whole.tasks[:3]] == [task.key for task in some.tasks]
    assert [one.created for one in done] == [False, False, False, True]


def test_a_job_for_github_only_is_refused_with_its_line(desk: Desk) -> None:
    """Nothing is submitted then; without that job the rest is."""
    text = "on: push\njobs:\n  a:\n    # Tags: unit-test\n    runs-on: x\n  b:\n    runs-on: ubuntu-latest\n"
    with pytest.raises(WorkflowRefusedError) as caught:
        submit_run(desk.home, desk.peer("a"), run_of(text))
    (finding,) = caught.value.findings
    assert (finding.rule, finding.line, finding.key) == ("tags.github-only", 3, "jobs.a")
    with desk.home.reading():
        assert not list(desk.home.tasks.standing(None))
    made, _ = submit_run(desk.home, desk.peer("a"), run_of(text, jobs=("b",)))
    assert made.tasks[0].request.spec.tags == ("p2p-eligible",)


def test_what_names_the_commit_is_refused_where_there_is_none(desk: Desk) -> None:
    """Any worker would refuse it; a secret or a source that a worker may not have is nobody's business here."""
    steps = "- run: echo ${{ github.sha }} ${{ secrets.S }} ${{ hashFiles('x') }}"
    run = run_of(one_job(steps=steps, on="workflow_dispatch"), source=None)
    with pytest.raises(WorkflowRefusedError, match=r"github\.sha would be empty.*work tree where HEAD") as caught:
        submit_run(desk.home, desk.peer("a"), run)
    assert [one.rule for one in caught.value.findings] == ["W18"]
    assert len(submit_run(desk.home, desk.peer("a"), replace(run, sha="a" * 40))[1]) == 1


def test_a_checkout_without_a_source_is_refused_at_once(desk: Desk) -> None:
    """Every worker would refuse it, again and again; with a source what is in it is the worker's to see."""
    run = run_of(one_job(steps="- uses: actions/checkout@v4\n- uses: ./a", on="workflow_dispatch"), source=None)
    with pytest.raises(WorkflowRefusedError, match="the task carries no source") as caught:
        submit_run(desk.home, desk.peer("a"), run)
    assert [one.rule for one in caught.value.findings] == ["W24"]
    assert len(submit_run(desk.home, desk.peer("a"), replace(run, source=b"a tar"))[1]) == 1


def test_a_job_may_need_so_many_tasks_as_a_task_may(desk: Desk) -> None:
    """More legs than that are refused before anything is submitted."""
    matrix = "strategy: {matrix: {v: [" + ", ".join(map(str, range(200))) + "]}}"
    text = f"on: push\njobs:\n  a: {{{matrix}}}\n  b: {{{matrix}}}\n  c: {{needs: [a, b]}}\n"
    with pytest.raises(WorkflowRefusedError, match="more legs"):
        submit_run(desk.home, desk.peer("a"), run_of(text))
    assert len(submit_run(desk.home, desk.peer("a"), run_of(text, jobs=("a",)))[0].tasks) == 200


def test_names_of_legs_are_told_apart(desk: Desk) -> None:
    """Where what is shown of them is the same."""
    made, _ = submit_run(desk.home, desk.peer("a"), run_of(one_job("strategy: {matrix: {v: ['1', 1, null]}}")))
    names = [task.request.spec.task_id.removeprefix(made.run_id) for task in made.tasks]
    assert names == ["/a (1)", "/a (1) #2", "/a"]


def test_network_and_secrets_are_asked_for(desk: Desk) -> None:
    """By what the job says, or by the run."""
    text = one_job("env: {T: '${{ secrets.TOKEN }}'}", "- uses: a/b@v1")
    assert tasks_of(desk.home.ledger, desk.peer("a").actor, run_of(text)).tasks[0].payload.secrets == ("TOKEN",)
    for run, network in ((run_of(text), True), (run_of(GUIDE), False), (run_of(GUIDE, network=True), True)):
        assert tasks_of(desk.home.ledger, desk.peer("a").actor, run).tasks[0].payload.network is network


def test_who_could_run_a_leg(desk: Desk) -> None:
    """Workers at work with its labels; labels that nobody has; what this peer's own policy denies."""
    a, b = desk.peer("a", ("gpu",)), desk.peer("b")
    for key in (a, b):
        desk.heard(key)
    plan = plan_of(read(THREE))
    with desk.home.reading():
        found = who_could_run(desk.home, plan, None, None)
        assert set(found["build"][0].workers) == {a.actor, b.actor}
        assert [one.workers for one in found["test"]] == [(a.actor,), (a.actor,)]
        assert found["build"][0].denied is None
        other = plan_of(read(THREE.replace("gpu", "gpu, tpu")))
        lacking = who_could_run(desk.home, other, a.actor, EMPTY_POLICY)["test"][0]
        assert (lacking.workers, lacking.missing) == ((), ("tpu",))
        assert lacking.denied
