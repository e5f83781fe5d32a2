"""Publishing a home's log on a Kubo node: events in CAR batches, segments with them, and a signed manifest by name.

Implements: specs/segments.md, rules G2, G6 and G8. The home is the durable truth; what is on the node is a copy that
can always be made again. Broken off anywhere, the next call goes on: a batch is noted as sent after it was, and to send
one twice changes nothing. Leaves out: what is sent next (ledger.gathering), what is remembered (ledger.outbox), the
calls to the node (ledger.node_copy), and when to publish.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from ledger.cid import Cid
from ledger.database import Database
from ledger.gathering import Published
from ledger.keys import SigningKey
from ledger.kubo import KuboClient
from ledger.kubo_errors import KuboError
from ledger.manifest import Manifest, ManifestError, SegmentEntry, decode_manifest, sign_manifest
from ledger.node_copy import NodeCopy
from ledger.outbox import Outbox
from ledger.replica import State
from ledger.segments import Segment, section
from ledger.sending import EventSender

NAME_LIFETIME_S: Final = 172_800
"""How long a name leads to its manifest, unless it is published again."""
NAME_TTL_S: Final = 10
"""How long others may keep what a name led to."""
NAME_AGAIN_MS: Final = 3_600_000
"""When a name is published again, though nothing has changed."""
_TRIES: Final = 3
_RESOLVE_S: Final = 5.0


class PublishError(Exception):
    """No manifest can say what this log is; the message says why, and what to do. What is published stays so."""


def key_name(ledger: Cid) -> str:
    """Return the name of the node's key under which manifests of `ledger` are published."""
    return f"p2p-workflow-{ledger}"


class Publisher:
    """Keeps the copy of one home's log on one node. Threads may share it: they take turns.

    Args:
        log: what is published of the home.
        network: its network database, where is kept what has been sent.
        client: the node.
        key: who signs manifests.
        now_ms: the clock.

    Methods raise KuboError where the node fails; what was sent before is remembered.

    """

    def __init__(
        self,
        log: Published,
        network: Database,
        client: KuboClient,
        key: SigningKey,
        now_ms: Callable[[], int],
    ) -> None:
        self._log = log
        self._outbox = Outbox(network)
        self._client = client
        self._copy = NodeCopy(log, client)
        self._key = key
        self._now_ms = now_ms
        self._ledger = log.intake.ledger
        self._sender = EventSender(log, self._outbox, self._copy, now_ms)
        self._turn = threading.RLock()

    @property
    def name(self) -> str | None:
        """The IPNS name that leads to the last manifest; None before the first."""
        kept = self._outbox.find("name")
        return None if kept is None else kept.decode()

    @property
    def manifest(self) -> Cid | None:
        """The last manifest that was published."""
        kept = self._outbox.find("manifest")
        return None if kept is None else Cid(kept)

    def publish_events(self) -> int:
        """Send what has come into the log, with the segments it fills and the blobs it links; return the number.

        Blobs that are not here yet are sent by a later call.
        """
        with self._turn:
            return self._send_new()

    def _send_new(self) -> int:
        if self._outbox.find("before") is None:
            had = self._client.has_block(self._ledger)
            self._outbox.put(before=b"\1" if had else b"")
        return self._sender.send_new()

    def repair(self) -> bool:
        """Look whether the node still has what was sent, and send all of it again if not; return whether that was so.

        A few blocks are looked for, so it is cheap enough to be called now and then. Broken off, it goes on with the
        next call of any method.
        """
        with self._turn:
            if self._outbox.find("mend") is None:
                if not self._is_lost():
                    return False
                self._outbox.supersede(self._named(), self._now_ms())
                self._outbox.put(mend=bytes(8), manifest=None, tail=None, said=None, named=None)
            self.publish_segments()
            return True

    def _is_lost(self) -> bool:
        named = self._named()
        if not named and not self._outbox.size():
            return False  # nothing was ever sent
        return self._copy.lacks_any([self._ledger, *named]) or self._sender.is_lost()

    def _named(self) -> list[Cid]:
        """Return the last manifest and the open segment that it names."""
        return [Cid(kept) for kept in map(self._outbox.find, ("manifest", "tail")) if kept is not None]

    def publish_segments(self) -> Cid | None:
        """Publish what is new, the open segment, and a manifest that names all of them; return the manifest.

        Where nothing has changed, only the name is published again, seldom. None where the log changes faster than it
        is sent. Raises PublishError where it has more heads or segments than a manifest can name.
        """
        with self._turn:
            state = self._settled_state()
            if state is None:
                return None
            tail = self._sender.open_segment()
            segments = [SegmentEntry(one.cid, one.events, one.size) for one in self._outbox.closed()]
            segments.append(SegmentEntry(tail.cid, tail.events, len(tail.data)))
            if state.reducer is None or state.state_root is None:
                raise PublishError("a log without a board has no state root to be named in a manifest")
            last = self._last_manifest()
            now_ms = self._now_ms()
            manifest = Manifest(
                ledger=self._ledger,
                publisher=self._key.actor,
                time=now_ms if last is None else max(now_ms, last.time + 1),
                heads=state.heads,
                events=state.events,
                reducer=state.reducer,
                state_root=state.state_root,
                segments=tuple(segments),
            )
            if last is None:
                self._supersede_what_is_named()
            if last is None or not _says_the_same(last, manifest):
                self._publish_manifest(manifest, tail)
            elif self._is_name_old(now_ms):
                self._publish_name(self._need_manifest())
            self._sweep()
            return self.manifest

    def _settled_state(self) -> State | None:
        """Return a state of the log all of which is packed."""
        for _ in range(_TRIES):
            state = self._log.state()
            self._send_new()
            heads = [head for head in state.heads if head != self._ledger]
            if len(self._outbox.packed(heads)) == len(heads):
                return state
            self._outbox.read_again()
        return None

    def _publish_manifest(self, manifest: Manifest, tail: Segment) -> None:
        try:
            block = sign_manifest(self._key, manifest)
        except ManifestError as error:
            raise PublishError(f"no manifest can name all of this log ({error.words}): append an event") from error
        cid = Cid.of(block)
        self._outbox.supersede([tail.cid, cid], self._now_ms())
        self._copy.send([section(self._ledger, self._copy.genesis), section(cid, block)], [tail])
        self._client.pin(cid)
        self._publish_name(cid)
        before = self._named()
        kept = {one.cid for one in manifest.segments} | {cid}
        self._outbox.supersede(set(before) - kept, self._now_ms())
        self._outbox.keep([tail.cid, cid])
        self._outbox.put(manifest=cid, tail=tail.cid, said=block)

    def _publish_name(self, manifest: Cid) -> None:
        name = self._client.ensure_key(key_name(self._ledger))
        self._client.publish_name(key_name(self._ledger), manifest, lifetime_s=NAME_LIFETIME_S, ttl_s=NAME_TTL_S)
        self._outbox.put(name=name.encode(), named=self._now_ms().to_bytes(8, "big"))

    def _supersede_what_is_named(self) -> None:
        """Note what the name leads to, from before this network database: else it would stay on the node for ever."""
        if not self._outbox.find("before"):
            return
        with suppress(KuboError, ManifestError):
            name = self._client.ensure_key(key_name(self._ledger))
            cid = self._client.resolve_name(name, timeout_s=_RESOLVE_S)
            before = decode_manifest(self._client.get_block(cid, offline=True), self._ledger)
            self._outbox.supersede([cid, *(one.cid for one in before.segments)], self._now_ms())

    def _is_name_old(self, now_ms: int) -> bool:
        named = self._outbox.find("named")
        return named is None or not 0 <= now_ms - int.from_bytes(named, "big") < NAME_AGAIN_MS

    def _last_manifest(self) -> Manifest | None:
        said = self._outbox.find("said")
        return None if said is None else decode_manifest(said)

    def _need_manifest(self) -> Cid:
        found = self.manifest
        assert found is not None  # noqa: S101  # it is kept together with what it says
        return found

    def _sweep(self) -> None:
        """Remove from the node what no manifest has named for a while."""
        if gone := self._outbox.to_remove(self._now_ms()):
            self._copy.remove(gone)
            self._outbox.keep(gone)


def _says_the_same(last: Manifest, manifest: Manifest) -> bool:
    return replace(last, time=manifest.time, sig=b"") == manifest
