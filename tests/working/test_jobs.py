"""Commands under a policy: what may not run is not claimed, what lacks a file waits, and the run gets what it needs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.events import Role, TaskKey
from ledger.keys import did_key
from ledger.operations import Admit, Attachment, Complete, Fail, Revoke, Spec
from scheduler import batch
from scheduler.actions import SubmitRequest, submit
from scheduler.endings import endings
from scheduler.queue import Acceptance, TaskQueue
from scheduler.results import result_of
from scheduler.run_log import read_log
from scheduler.running.files import FileRef, split
from scheduler.running.job import FailureClass, Job, Live, Outcome
from scheduler.running.payloads import OUTPUTS_TYPE, Command, write_payload
from scheduler.working.folders import WorkFolders, clean_up, remove_tree
from scheduler.working.jobs import JobWork
from scheduler.working.judging import judge_task
from scheduler.working.policy_file import PolicyFile
from scheduler.working.worker import Until
from tests.working.shop import Shop

COMMAND = Command(argv=("do",))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Give a home with a key that works and submits."""
    with Shop(tmp_path / "home") as found:
        yield found


def done(_: Job, __: Live) -> Outcome:
    """Do nothing."""
    return Outcome()


def test_outputs_and_files_become_the_result_and_the_folder_goes(shop: Shop) -> None:
    """What a run hands over is kept as blobs that the event links; report and log are told; nothing is left behind."""
    shop.allow()
    task = shop.submit("t", COMMAND)
    folders: list[Path] = []

    def make(job: Job, live: Live) -> Outcome:
        folders.append(job.folder)
        assert list(job.folder.iterdir()) == []
        (job.folder / "sub").mkdir()
        (job.folder / "sub" / "big").write_bytes(b"b" * 1_500_000)
        (job.folder / "sub").chmod(0o500)
        (job.folder / "run.sh").write_text("#!")
        (job.folder / "run.sh").chmod(0o700)
        live.log(b"printed\n")
        files = {"sub/big": job.folder / "sub" / "big", "run.sh": job.folder / "run.sh"}
        return Outcome(exit_code=0, duration_ms=12, level="bubblewrap", outputs={"n": "v"}, files=files)

    with shop.running(make, until=Until.DRAINED) as at:
        assert at.wait().completed == 1
    with shop.home.reading():
        (ending,) = endings(shop.home, shop.record(task))
        op = ending.op
        assert isinstance(op, Complete)
        assert op.output is not None
        assert op.output.media_type == OUTPUTS_TYPE
        assert op.report is not None
        assert (op.report.exit_code, op.report.duration_ms, op.report.sandbox) == (0, 12, "bubblewrap")
        assert op.log is not None
        assert op.log.data == b"printed\n"
        linked = shop.home.read_event(ending.event).blobs
    found = result_of(shop.home, shop.record(task))
    assert dict(found.outputs) == {"n": "v"}
    assert found.files["run.sh"].executable
    parts = found.files["sub/big"].parts
    assert len(parts) == 2
    assert set(parts) <= set(linked)
    with shop.home.reading():
        blobs = shop.home.intake.blobs.get_many(parts)
    assert b"".join(blobs[part] for part in parts) == b"b" * 1_500_000
    assert not folders[0].exists()
    assert list((shop.folder / "work").iterdir()) == []


def test_without_a_policy_nothing_is_claimed_and_a_written_one_counts_at_once(shop: Shop) -> None:
    """Default deny; the file is looked at while the worker runs, and once more when it is told to."""
    task = shop.submit("t", COMMAND)
    with shop.running(done) as at:
        shop.until(lambda: at.worker._found_none)
        assert shop.record(task).claims == ()
        shop.allow()
        at.worker.reread()
        shop.until_status(task, "done")


def test_what_the_policy_does_not_allow_is_left_to_others(shop: Shop) -> None:
    """Commands by name: the allowed one is done, the other is never claimed."""
    path = shop.allow()
    path.write_text(path.read_text().replace('"*"', '"make"'))
    good, bad = shop.submit("good", Command(argv=("make",))), shop.submit("bad", Command(argv=("rm",)))
    with shop.running(done, until=Until.DRAINED) as at:
        at.wait()
    assert (shop.status(good), shop.status(bad), shop.record(bad).claims) == ("done", "ready", ())


def test_what_this_machine_cannot_give_is_not_claimed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that asks for what the machine lacks allows nothing here, and says why; no attempt is used up."""
    path = shop.allow('sandbox = "process"\n[allow.limits]\nprocesses = 5\n')
    monkeypatch.setattr("os.geteuid", lambda: 0)
    task = shop.submit("t", COMMAND)
    with shop.running(done, until=Until.DRAINED) as at:
        at.wait()
    assert (shop.status(task), shop.record(task).claims) == ("ready", ())
    with shop.home.reading():
        (why,) = judge_task(shop.home, PolicyFile(path).current(), shop.record(task)).reasons
    assert "this machine lacks: the limit of processes does not bind root" in why


def test_work_of_a_revoked_submitter_is_neither_begun_nor_ended(shop: Shop) -> None:
    """Revoked while its task runs, a submitter loses the run, and what it has queued is not begun: listed or not."""
    shop.allow()
    owner = shop.home.members.owner_key()
    guest = shop.home.keys.ensure("guest")
    assert owner is not None
    grant = shop.home.append(owner, (Admit(guest.actor, (Role.SUBMITTER.value,), "guest"),)).cid
    path = shop.folder / "worker.toml"
    path.write_text(path.read_text().replace("submitters = [", f'submitters = ["{did_key(guest.actor)}", '))
    payload = Attachment(*write_payload(COMMAND))
    specs = [Spec(name, "w", name, ("p2p-only",), payload=payload) for name in ("runs", "waits")]
    keys = [one.key for one in submit(shop.home, guest, map(SubmitRequest, specs))]
    stopped: list[str | None] = []

    def linger(_: Job, live: Live) -> Outcome:
        assert live.stop.wait(30)
        stopped.append(live.stop.reason)
        return Outcome(FailureClass.INFRASTRUCTURE, "stopped")

    with shop.running(linger):
        shop.until(lambda: any(shop.record(key).claims for key in keys))
        with shop.home.reading():
            heads = tuple(node.cid for node in shop.home.board.store.nodes_of(guest.actor))
        shop.home.append(owner, (Revoke(grant, guest.actor, heads),))
        shop.until(lambda: stopped)
        shop.until(lambda: all(claim.released for key in keys for claim in shop.record(key).claims))
    assert stopped == ["this worker may not run it any more"]
    assert sum(len(shop.record(key).claims) for key in keys) == 1


def test_a_policy_that_changes_between_claim_and_run_stops_the_run(shop: Shop, tmp_path: Path) -> None:
    """It is asked once more right before the run; the claim is then given back with the reason."""
    path = shop.allow()
    shop.submit("t", COMMAND)
    with WorkFolders(tmp_path) as folders:
        work = JobWork(shop.home, PolicyFile(path), {Command: _Does()}, folders)
        queue = TaskQueue(shop.home, shop.key.actor, work.accepts)
        (taken,) = batch.settle_and_take(shop.home, shop.key, (), most=1, lease_ms=60_000, queue=queue).taken
        path.write_text("")
        with shop.home.reading():
            refused = work.prepare(taken)
        assert isinstance(refused, str)
        assert "may not run it any more" in refused
        assert work.has_changed()
        with shop.home.reading():
            assert work.accepts(taken.record) is Acceptance.NO


class _Does:
    def run(self, job: Job, live: Live) -> Outcome:
        """Do nothing."""
        return Outcome()


def test_a_task_whose_file_is_not_here_waits_for_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not claimed; once the blob has come, which changes nothing on the board, it is done."""
    monkeypatch.setattr("scheduler.queue.LATER_MS", 100)
    shop.allow()
    file, (data,) = split(b"content")
    task = shop.submit("t", Command(argv=("do",), files={"in": file}), blobs=dict(zip(file.parts, [data], strict=True)))
    with shop.home.database.transaction() as connection:  # as in a home to which the event came, and the blob not yet
        connection.execute("UPDATE blobs SET data = NULL WHERE cid = ?", file.parts)
    read: list[bytes] = []

    def read_it(job: Job, _: Live) -> Outcome:
        assert isinstance(job.payload, Command)
        ref: FileRef = job.payload.files["in"]
        read.extend(map(job.read_blob, ref.parts))
        return Outcome()

    with shop.running(read_it) as at:
        shop.until(lambda: at.worker._found_none)
        assert shop.record(task).claims == ()
        with shop.home.writing() as writing:
            writing.add_blob(data)
        shop.until_status(task, "done")
    assert read == [b"content"]


def test_a_run_gets_the_outputs_of_its_needs(shop: Shop) -> None:
    """The results that the claim cites are the job's inputs."""
    shop.allow()
    need = shop.submit("need", COMMAND)
    shop.submit("last", COMMAND, needs=(need,))
    seen: list[tuple[str, dict[str, str]]] = []

    def run(job: Job, _: Live) -> Outcome:
        seen.extend((one.task_id, dict(one.outputs)) for one in job.inputs)
        return Outcome(outputs={"from": job.spec.task_id})

    with shop.running(run, until=Until.DRAINED) as at:
        assert at.wait().completed == 2
    assert seen == [("need", {"from": "need"})]


def test_failures_are_told_with_their_class(shop: Shop) -> None:
    """An exit code is the payload's failure; what the runner raises, and a missing secret, are the machine's."""
    shop.allow()
    names = {"bad": shop.submit("bad", COMMAND), "raises": shop.submit("raises", COMMAND)}

    def run(job: Job, _: Live) -> Outcome:
        if job.spec.task_id == "raises":
            raise OSError("no fork")
        return Outcome(FailureClass.PAYLOAD, "exit code 3", exit_code=3, limits=("time", "log"))

    with shop.running(run, until=Until.ONCE) as at:
        counters = at.wait()
    assert counters.failed_by_class == {"payload": 1, "infrastructure": 1}
    with shop.home.reading():
        ops = {name: endings(shop.home, shop.record(task))[0].op for name, task in names.items()}
    assert isinstance(ops["bad"], Fail)
    assert ops["bad"].report is not None
    assert (ops["bad"].error, ops["bad"].report.exit_code, ops["bad"].report.limits) == (
        "exit code 3",
        3,
        ("log", "time"),
    )
    assert isinstance(ops["raises"], Fail)
    assert ops["raises"].error == "OSError: no fork"


def test_a_file_that_leads_out_of_the_folder_is_not_kept(shop: Shop) -> None:
    """A link to what is outside, and more than an event holds, are failures by a limit."""
    shop.allow()
    shop.submit("t", COMMAND)

    def run(job: Job, _: Live) -> Outcome:
        (job.folder / "link").symlink_to("/etc/hostname")
        return Outcome(files={"link": job.folder / "link"})

    with shop.running(run, until=Until.ONCE) as at:
        assert at.wait().failed_by_class == {"limit": 1}


def test_tasks_claimed_by_one_event_run_apart(shop: Shop) -> None:
    """Claims of one event have one CID: each run has a folder and a log of its own all the same."""
    shop.allow()
    tasks = [shop.submit(f"t{i}", COMMAND) for i in range(4)]
    together = threading.Barrier(4)

    def run(job: Job, live: Live) -> Outcome:
        live.log(job.spec.task_id.encode())
        (job.folder / job.spec.task_id).touch()
        together.wait(30)
        assert [path.name for path in job.folder.iterdir()] == [job.spec.task_id]
        return Outcome()

    with shop.running(run, slots=4, until=Until.ONCE) as at:
        assert at.wait().completed == 4
    assert len({shop.record(task).claims[0].cid for task in tasks}) == 1
    assert [b"".join(read_log(shop.home, shop.record(task))) for task in tasks] == [b"t0", b"t1", b"t2", b"t3"]


def test_two_claims_of_a_stopped_task_never_run_at_once(shop: Shop) -> None:
    """While a run of a task has not ended, this worker takes the task no second time, whatever the board says."""
    shop.allow()
    task = shop.submit("t", COMMAND)
    release, running = threading.Event(), []

    def run(job: Job, live: Live) -> Outcome:
        running.append(job.claim)
        if len(running) == 1:
            live.stop.wait()
            release.wait()
        return Outcome()

    with shop.running(run, slots=4) as at:
        shop.until(lambda: running)
        first = shop.record(task).claims[0]
        batch.settle_and_take(shop.home, shop.key, [batch.Released(task, first.cid)], most=0, lease_ms=1)
        shop.until(lambda: at.counters.lost)
        assert len(running) == 1
        release.set()
        shop.until_status(task, "done")
    assert len(running) == 2


# ---- folders


def test_what_dead_workers_left_is_removed_and_what_lives_is_not(tmp_path: Path) -> None:
    """A worker that begins removes folders and logs of processes that are gone, by their locks."""
    claim = split(b"claim")[0].parts[0]
    other = split(b"other")[0].parts[0]
    with WorkFolders(tmp_path) as alive:
        task = TaskKey(b"t" * 32)
        folder = alive.make(task, claim)
        log = alive.note(task, claim)
        log.write_text("log of the living")
        dead = tmp_path / "work" / "worker-1-dead"
        (dead / str(other) / "deep").mkdir(parents=True)
        (dead / "lock").touch()
        (dead / f"{other}.log").touch()
        (tmp_path / "work" / f"{other}.log").write_text("log of the dead")
        assert clean_up(tmp_path) == 1
        assert not dead.exists()
        assert not (tmp_path / "work" / f"{other}.log").exists()
        assert folder.is_dir()
        assert log.exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_a_folder_of_any_depth_is_removed(tmp_path: Path) -> None:
    """A run may leave folders deeper than our own code can go; nothing of them stays, and nothing is raised."""
    top = tmp_path / "top"
    top.mkdir()
    script = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\n"
    subprocess.run([sys.executable, "-c", script], cwd=top, check=True)
    remove_tree(top)
    assert not top.exists()
