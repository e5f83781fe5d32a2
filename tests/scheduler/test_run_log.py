"""The log of a run: its pieces in causal order, what is missing by name, and the worker's own file while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.cid import Cid
from ledger.events import Role
from ledger.keys import SigningKey
from ledger.operations import Attachment, Backoff, Complete, Fail, Renew, Report
from scheduler.acting import acting, follows, keep, write
from scheduler.actions import SubmitRequest, release, submit, take
from scheduler.home import Home
from scheduler.run_log import LogFollower, Said, follow_log, log_path, read_log
from tests.scheduler.desk import Desk
from tests.scheduler.test_actions import spec
from tests.support.kubo import wait_for

LARGE = b"0123456789abcdef" * 1_000


class Claim:
    """A claim on the next task, which a test renews and ends with pieces of a log."""

    def __init__(self, desk: Desk, key: SigningKey) -> None:
        taken = take(desk.home, key)
        assert taken is not None
        self.desk, self.key, self.task, self.cid = desk, key, taken.record.key, taken.claim

    def _say(self, make: Callable[[tuple[Cid, ...], Attachment | None], Renew | Complete | Fail], log: bytes) -> None:
        with acting(self.desk.home) as writing:
            item = keep(writing, Attachment("text/plain", data=log) if log else None)
            write(writing, self.key, (make(follows(self.desk.record(self.task), self.cid), item),), Role.WORKER)

    def renew(self, log: bytes) -> None:
        """Renew with the next piece."""
        self._say(lambda after, item: Renew(self.task, after, self.cid, 60_000, None, item), log)

    def complete(self, log: bytes = b"") -> None:
        """Complete with the last piece."""
        self._say(lambda after, item: Complete(self.task, after, self.cid, None, Report(0), item), log)

    def fail(self, log: bytes = b"") -> None:
        """Fail with the last piece."""
        self._say(lambda after, item: Fail(self.task, after, self.cid, "payload", "", Report(1), item), log)


class Following:
    """A follower at work in a thread, on a home of its own."""

    def __init__(self, desk: Desk, task: bytes) -> None:
        self.said: list[Said] = []
        self._desk = desk
        self._task = task
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with Home.open(self._desk.home.folder, clock=lambda: self._desk.now) as home:
            with home.reading():
                record = home.board.find_record(self._task)  # type: ignore[arg-type]  # a task key
            assert record is not None
            for said in follow_log(home, record):
                self.said.append(said)

    @property
    def text(self) -> bytes:
        """What was said so far."""
        return b"".join(said.data for said in self.said)

    def until(self, text: bytes) -> None:
        """Wait until just this was said."""
        wait_for(f"{text!r}, not {self.text!r}", lambda: self.text == text, deadline_s=20)

    def end(self) -> None:
        """Wait for its end."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    @contextmanager
    def started(self) -> Iterator[Following]:
        """Have it run."""
        self._thread.start()
        yield self
        self.end()


def text(desk: Desk, task: bytes, claim: Cid | None = None) -> bytes:
    """Return the log that the ledger has."""
    return b"".join(read_log(desk.home, desk.record(task), claim))  # type: ignore[arg-type]  # a task key


def test_a_log_is_its_pieces_in_causal_order(desk: Desk) -> None:
    """Renewals by height, small pieces and blobs alike, then the ending; a renewal without a piece adds nothing."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    assert text(desk, record.key) == b""
    claim = Claim(desk, me)
    claim.renew(b"one\n")
    claim.renew(LARGE)
    claim.renew(b"")
    assert text(desk, record.key) == b"one\n" + LARGE
    claim.complete(b"end\n")
    assert text(desk, record.key) == b"one\n" + LARGE + b"end\n"


def test_which_claim_is_shown(desk: Desk) -> None:
    """The log is that of the result, else of the holder, else of the last attempt; each other by its claim."""
    me = desk.peer("me")
    record = submit(desk.home, me, SubmitRequest(spec("t", backoff=Backoff(0, 0))))[0].record
    first = Claim(desk, me)
    first.fail(b"first")
    assert text(desk, record.key) == b"first"
    second = Claim(desk, me)
    second.renew(b"second")
    release(desk.home, me, record.key)
    third = Claim(desk, me)
    assert text(desk, record.key) == b""
    third.renew(b"third")
    assert text(desk, record.key) == b"third"
    assert text(desk, record.key, first.cid) == b"first"
    third.complete()
    assert (text(desk, record.key), text(desk, record.key, second.cid)) == (b"third", b"second")


def test_a_piece_that_is_not_here_is_named(desk: Desk, tmp_path: Path) -> None:
    """Where the events came without a blob, words stand for it: nothing is skipped in silence."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    claim = Claim(desk, me)
    claim.renew(b"one\n")
    claim.renew(LARGE)
    claim.complete(b"end\n")
    with Desk(tmp_path / "bare", source=desk) as bare:
        blob = Cid.of_raw(LARGE)
        words = f"[16000 bytes of the log are not in this home yet: blob {blob}]\n".encode()
        assert text(bare, record.key) == b"one\n" + words + b"end\n"
        named = list(read_log(bare.home, bare.record(record.key), missing=lambda piece: str(piece.blob).encode()))
        assert named == [b"one\n", str(blob).encode(), b"end\n"]


def test_a_follower_says_each_piece_once(desk: Desk) -> None:
    """It says what there is, then each piece as it comes, over all attempts, and ends with the task."""
    me = desk.peer("me")
    record = submit(desk.home, me, SubmitRequest(spec("t", backoff=Backoff(0, 0))))[0].record
    with Following(desk, record.key).started() as following:
        first = Claim(desk, me)
        first.renew(b"one\n")
        following.until(b"one\n")
        first.fail(b"no luck\n")
        second = Claim(desk, me)
        second.renew(b"two\n")
        following.until(b"one\nno luck\ntwo\n")
        second.complete(LARGE)
    assert following.text == b"one\nno luck\ntwo\n" + LARGE
    assert {said.claim for said in following.said} == {first.cid, second.cid}


def test_in_the_worker_s_home_its_file_is_followed(desk: Desk) -> None:
    """What the worker wrote is said before it is sent, once; the file may go before all of it was read."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    claim = Claim(desk, me)
    path = log_path(desk.home.folder, record.key, claim.cid)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntwo\n")
        with Following(desk, record.key).started() as following:
            following.until(b"one\ntwo\n")
            claim.renew(b"one\n")
            file.write(b"three\n")
            following.until(b"one\ntwo\nthree\n")
            claim.renew(b"two\nthree\n")
            file.write(b"four\n")
            path.unlink()
            claim.complete(b"four\n")
    assert following.text == b"one\ntwo\nthree\nfour\n"


def test_a_file_that_stops_short_is_gone_on_from_the_ledger(desk: Desk) -> None:
    """Where the ledger has more than the file, the rest comes from there, to the byte; a link is no file to follow."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    claim = Claim(desk, me)
    path = log_path(desk.home.folder, record.key, claim.cid)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"one\ntw")
    claim.renew(b"one\n")
    claim.complete(b"two\nthree\n")
    assert b"".join(said.data for said in follow_log(desk.home, desk.record(record.key))) == b"one\ntwo\nthree\n"
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert b"".join(said.data for said in follow_log(desk.home, desk.record(record.key))) == b"one\ntwo\nthree\n"


def test_a_follower_waits_for_a_blob_and_then_names_it(desk: Desk, tmp_path: Path) -> None:
    """A piece whose blob is on its way is said in its place; one that does not come is named, and the rest said."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    claim = Claim(desk, me)
    claim.renew(LARGE)
    claim.complete(b"end\n")
    with Desk(tmp_path / "late", source=desk) as late:
        with Following(late, record.key).started() as following:
            wait_for("the follower waits", lambda: not following.said, deadline_s=1)
            with late.home.writing():
                late.home.intake.offer_blobs([LARGE])
        assert following.text == LARGE + b"end\n"
    with Desk(tmp_path / "bare", source=desk) as bare:
        said = list(follow_log(bare.home, bare.record(record.key), patience_s=0))
    assert [one.missing.blob if one.missing else one.data for one in said] == [Cid.of_raw(LARGE), b"end\n"]


def test_a_lie_about_a_size_hides_nothing(desk: Desk, tmp_path: Path) -> None:
    """A piece said to be larger than it is, and than a blob can be, takes nothing from those after it."""
    me = desk.peer("me")
    record = desk.submit(me, "t")
    claim = Claim(desk, me)
    with acting(desk.home) as writing:
        blob = writing.add_blob(LARGE)
        item = Attachment("text/plain", blob=blob, size=10**12)
        write(
            writing,
            me,
            (Renew(record.key, follows(desk.record(record.key), claim.cid), claim.cid, 60_000, None, item),),
            Role.WORKER,
        )
    with Desk(tmp_path / "bare", source=desk) as bare, LogFollower(bare.home, record.key, patience_s=0) as follower:
        assert [said.missing is not None for said in follower.new()] == [True]
        with bare.home.writing():
            bare.home.intake.offer_blobs([LARGE])
        claim.complete(b"end\n")
        bare.carry(desk)
        follower.wait()
        assert [said.data for said in follower.new()] == [b"end\n"]
        assert follower.is_over
    assert text(desk, record.key) == LARGE + b"end\n"
