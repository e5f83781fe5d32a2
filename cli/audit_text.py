"""The report of an audit: one document for programs, and lines for people made of it.

Implements: specs/audit.md, J4, what is told of each event, result and actor. Lists of a document are whole, but for
findings that repeat; people see the first of each.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from cli.board_text import board_document
from cli.output import render_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from crdt.conduct import Finding
    from crdt.records import TaskRecord
    from ledger.cid import Cid
    from ledger.events import TaskKey
    from ledger.gateway import Gateway
    from ledger.keys import ActorKey
    from scheduler.audit import Audit, Authority, ManifestVerdict

SHOWN: Final = 12
"""Entries of a list that people see; `--json` has all."""


class AuditReport:
    """Makes the document of one audit."""

    def __init__(self, audit: Audit, gateways: Collection[Gateway], excused: Collection[str], now: int) -> None:
        self.audit = audit
        self.board = audit.replay.board
        self.names = _names(audit)
        self._gateways = gateways
        self._excused = frozenset(excused)
        self._now = now

    def document(self) -> dict[str, Any]:
        """Return the report."""
        audit = self.audit
        findings = [self._finding(one) for one in audit.findings.kept]
        manifests = [self._manifest(one) for one in audit.manifests]
        lies = sum(len(one["lies"]) for one in manifests)
        counted = sum(n for (rule, _), n in audit.findings.counts.items() if rule not in self._excused)
        return board_document(audit.replay, self._now) | {
            "faults": len(audit.refused) + lies + counted,
            "complete": audit.is_complete,
            "missing": [
                {"cid": str(cid), "why": list(why)} for cid, why in sorted(audit.collected.walk.missing.items())
            ],
            "waiting": list(map(str, audit.waiting)),
            "refused": [{"cid": str(one.cid), "rule": one.rule, "words": one.words} for one in audit.refused],
            "findings": findings,
            "finding_counts": [
                {"rule": rule, "actor": self.person(actor), "count": count}
                for (rule, actor), count in sorted(audit.findings.counts.items())
            ],
            "fenced": [self._fenced(cid) for cid in audit.fenced()],
            "ignored": [
                {
                    "event": str(one.event),
                    "actor": self._author(one.event),
                    "index": one.index,
                    "rule": one.rule,
                    "words": one.words,
                }
                for one in self.board.ignored()
            ],
            **self._results(),
            "people": [self._authority(one) for one in audit.authorities],
            "work": [self._work(one) for one in sorted(audit.records(), key=lambda one: (one.submitted_at, one.key))],
            "manifests": manifests,
            "names": [
                {
                    "gateway": one.url,
                    "cid": None if one.cid is None else str(one.cid),
                    "signed": one.record is not None,
                    "sequence": None if one.record is None else one.record.sequence,
                    "expired": one.record is not None and one.record.valid_until < self._now,
                    "words": one.words,
                }
                for one in audit.collected.resolutions
            ],
            "notes": audit.collected.notes,
            "unasked": audit.collected.walk.unasked,
            "gateways": [gateway_document(one) for one in self._gateways],
        }

    def person(self, actor: ActorKey) -> dict[str, str]:
        """Return the name an owner gave to an actor, if one did, and the key."""
        from ledger.keys import did_key

        return {"name": self.names.get(actor, did_key(actor)), "key": did_key(actor)}

    def _author(self, cid: Cid) -> dict[str, str]:
        return self.person(self.board.graph.node(cid).actor)

    def _finding(self, one: Finding) -> dict[str, Any]:
        return {
            "rule": one.rule,
            "event": str(one.event),
            "actor": self.person(one.actor),
            "time": self.board.store.event(one.event).time,
            "task": None if one.task is None else one.task.hex(),
            "about": list(map(str, one.about)),
            "words": one.words,
            "excused": one.rule in self._excused,
            "counts": self.board.graph.counts(one.event),
        }

    def _fenced(self, cid: Cid) -> dict[str, Any]:
        fences = self.board.graph.node(cid).fenced_by
        made = self.board.store.state.roster.revocations
        by = sorted({made[number].cid for number in range(len(made)) if fences >> number & 1})
        return {"event": str(cid), "actor": self._author(cid), "revoked_by": list(map(str, by))}

    def _results(self) -> dict[str, Any]:
        """Return what of the results is not final, not one, or rests on what no longer counts."""
        tentative, superseded = [], []
        active = len(self.board.active_workers())
        for record in sorted(self.audit.records(), key=lambda one: one.key):
            result = record.result
            if result is None:
                continue
            if not self.board.is_stable(result.cid):
                seen = len(self.board.seen_by(result.cid))
                tentative.append(_task(record) | {"result": str(result.cid), "seen_by": seen, "of": active})
            superseded += [
                _task(record) | {"event": str(done.cid), "actor": self.person(done.actor)}
                for done in record.completions[1:]
            ]
        tainted = [
            {"task": key.hex(), "inputs": list(map(str, inputs))} for key, inputs in self.audit.tainted().items()
        ]
        return {"tentative": tentative, "superseded": superseded, "tainted": tainted}

    def _authority(self, one: Authority) -> dict[str, Any]:
        from ledger.cid import Cid

        chain = [str(one.grant)]
        if one.granted_by is not None:
            chain.append(str(Cid(self.audit.replay.ledger)))
        return {
            "actor": self.person(one.actor),
            "owner": one.actor in self.audit.replay.genesis.owners,
            "grant": str(one.grant),
            "granted_by": None if one.granted_by is None else self.person(one.granted_by),
            "chain": chain,
            "revoked_by": [{"event": str(cid), "owner": self.person(who)} for cid, who in one.revoked_by],
            "events": one.events,
            "first": one.first_ms,
            "last": one.last_ms,
        }

    def _work(self, record: TaskRecord) -> dict[str, Any]:
        """Return who submitted, claimed and completed a task, when by his own word, by which event and grant."""
        result = record.result
        claims = sorted(record.claims, key=lambda one: (one.time, one.cid))
        return _task(record) | {
            "submitted": self._deed(record.submits[0], record.submitter, record.submitted_at),
            "claimed": [self._deed(one.cid, one.actor, one.time) for one in claims],
            "completed": None if result is None else self._deed(result.cid, result.actor, result.time),
        }

    def _deed(self, event: Cid, actor: ActorKey, time: int) -> dict[str, Any]:
        grant = self.board.graph.node(event).grant
        return {"event": str(event), "actor": self.person(actor), "time": time, "grant": str(grant)}

    def _manifest(self, one: ManifestVerdict) -> dict[str, Any]:
        manifest = one.found.manifest
        return {
            "cid": str(one.found.cid),
            "publisher": self.person(manifest.publisher),
            "time": manifest.time,
            "events": manifest.events,
            "state_root": manifest.state_root.hex(),
            "via": one.found.via,
            "lies": [{"kind": str(lie.kind), "words": lie.words} for lie in one.lies],
            "open_questions": list(one.open_questions),
            "behind": one.behind,
        }

    def history(self, key: TaskKey) -> dict[str, Any]:
        """Return all operations on one task, in the linear order: who said what, when by his own word, under what."""
        from crdt.order import order_key

        verdicts = self.board.store.verdicts(key)
        found: dict[Cid, list[Finding]] = {}
        for one in self.audit.findings.kept:
            if one.task == key:
                found.setdefault(one.event, []).append(one)
        events = []
        for cid in sorted(verdicts, key=lambda cid: order_key(self.board.graph.node(cid).height, cid)):
            event, verdict = self.board.store.event(cid), verdicts[cid]
            node = self.board.graph.node(cid)
            events.append(
                {
                    "event": str(cid),
                    "time": event.time,
                    "actor": self.person(event.actor),
                    "op": self._op_name(cid, key),
                    "grant": str(event.grant),
                    "granted_by": None if event.grant == self.audit.replay.ledger else self._author(event.grant),
                    "rule": verdict.rule,
                    "words": verdict.words or None,
                    "attempt": verdict.attempt or None,
                    "counts": node.counts,
                    "stable": node.in_log and self.board.is_stable(cid),
                    "findings": [{"rule": one.rule, "words": one.words} for one in found.get(cid, ())],
                }
            )
        record = self.board.find_record(key)
        return {
            "task": key.hex(),
            "task_id": None if record is None else record.spec.task_id,
            "result": None if record is None or record.result is None else str(record.result.cid),
            "history": events,
        }

    def _op_name(self, cid: Cid, key: TaskKey) -> str:
        from crdt.task_graph import task_of
        from ledger.operation_codec import read_operations

        event = self.board.store.event(cid)
        pairs = zip(read_operations(event), event.ops, strict=True)
        return next(str(fields["op"]) for op, fields in pairs if task_of(op) == key)


def gateway_document(gateway: Gateway) -> dict[str, Any]:
    """Return how a gateway has behaved."""
    return {
        "url": gateway.url,
        "requests": gateway.requests,
        "bytes": gateway.bytes,
        "given_up": gateway.is_given_up,
        "failures": {str(kind): count for kind, count in sorted(gateway.failures.items())},
        "words": [gateway.words[kind] for kind in sorted(gateway.words)],
    }


def _names(audit: Audit) -> dict[ActorKey, str]:
    """Return the names that owners gave (R5d), each with the tail of its key where several have it."""
    from ledger.keys import did_key

    graph = audit.replay.board.graph
    members = [one for one in audit.replay.board.roster().members if one.name and not one.revoked_by]
    members.sort(key=lambda one: (graph.node(one.grant).height, one.grant))
    latest = {one.actor: one.name for one in members if one.name}
    bearers = Counter(latest.values())
    return {actor: f"{name}~{did_key(actor)[-6:]}" if bearers[name] > 1 else name for actor, name in latest.items()}


def _task(record: TaskRecord) -> dict[str, Any]:
    return {"task": record.key.hex(), "task_id": record.spec.task_id}


# ---- for people


def audit_lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    for one in report["people"]:
        yield _person_line(one)
    yield from _some("Work", report["work"], _work_line)
    yield from _some("Refused", report["refused"], lambda one: f"{one['cid']}: {one['rule']}: {one['words']}")
    yield from _some("Found", report["findings"], _finding_line)
    yield from _some("Fenced", report["fenced"], lambda one: f"{one['event']} by {one['actor']['name']}")
    yield from _some(
        "Without effect",
        report["ignored"],
        lambda one: f"{one['event']} by {one['actor']['name']}: {one['rule']}: {one['words']}",
    )
    yield from _some(
        "Tentative", report["tentative"], lambda one: f"{one['task_id']}: seen by {one['seen_by']} of {one['of']}"
    )
    yield from _some(
        "Superseded", report["superseded"], lambda one: f"{one['task_id']}: {one['event']} by {one['actor']['name']}"
    )
    yield from _some("Tainted", report["tainted"], lambda one: f"{one['task']}: rests on {', '.join(one['inputs'])}")
    for one in report["manifests"]:
        yield f"Manifest {one['cid']} by {one['publisher']['name']}: {_manifest_words(one)}"
        yield from (f"  lie: {lie['words']}" for lie in one["lies"])
        yield from (f"  open: {words}" for words in one["open_questions"])
    for one in report["names"]:
        expired = "; the record has expired" if one["expired"] else ""
        yield f"Name by {one['gateway']}: {one['cid'] or 'nothing'}, {one['words']}{expired}"
    yield from (f"Note: {words}" for words in report["notes"])
    yield from _some("Missing", report["missing"], lambda one: f"{one['cid']}: {'; '.join(one['why'])}")
    yield from _some("Past missing", report["waiting"], str)
    if report["unasked"]:
        yield f"Dropped: {report['unasked']} blocks that nobody had asked for"
    for one in report["gateways"]:
        given_up = ", given up" if one["given_up"] else ""
        yield f"Gateway {one['url']}: {one['requests']} requests, {one['bytes']:,} bytes{given_up}"
        yield from (f"  {one['failures'].get(words.split(':')[0], 1)} × {words}" for words in one["words"])


def _work_line(one: dict[str, Any]) -> str:
    deeds = [("submitted", one["submitted"]), *(("claimed", claim) for claim in one["claimed"][-3:])]
    deeds += [("completed", one["completed"])] if one["completed"] else []
    said = (f"{what} by {deed['actor']['name']} {render_time(deed['time'])}" for what, deed in deeds)
    return f"{one['task_id']}: {', '.join(said)}"


def history_lines(history: dict[str, Any]) -> Iterator[str]:
    """Yield the history of a task for people."""
    yield f"Task {history['task']} ({history['task_id'] or 'not known'})"
    for one in history["history"]:
        by = "the genesis" if one["granted_by"] is None else f"a grant by {one['granted_by']['name']}"
        standing = "stable" if one["stable"] else "tentative" if one["counts"] else "void"
        effect = "" if one["rule"] is None else f"; without effect: {one['rule']}: {one['words']}"
        yield f"  {render_time(one['time'])}  {one['actor']['name']}: {one['op']}, under {by}, {standing}{effect}"
        yield f"    {one['event']}"
        yield from (f"    {found['rule']}: {found['words']}" for found in one["findings"])


def _some(title: str, entries: list[Any], words: Any) -> Iterator[str]:
    """Yield a title with a number, and the first entries under it; nothing where there are none."""
    if not entries:
        return
    yield f"{title}: {len(entries):,}"
    for entry in entries[:SHOWN]:
        yield f"  {words(entry)}"
    if len(entries) > SHOWN:
        yield f"  and {len(entries) - SHOWN:,} more; --json has all"


def _person_line(one: dict[str, Any]) -> str:
    under = "an owner by the genesis" if one["owner"] else "anybody may submit" if one["granted_by"] is None else ""
    under = under or f"admitted by {one['granted_by']['name']} in {one['grant']}"
    revoked = f", revoked by {', '.join(each['owner']['name'] for each in one['revoked_by'])}" * bool(one["revoked_by"])
    times = f"{render_time(one['first'])} to {render_time(one['last'])}"
    return f"{one['actor']['name']}: {one['events']:,} events, {times} by its own word; {under}{revoked}"


def _finding_line(one: dict[str, Any]) -> str:
    excused = " (excused)" if one["excused"] else ""
    return f"{one['rule']}{excused} {one['event']} by {one['actor']['name']}: {one['words']}"


def _manifest_words(one: dict[str, Any]) -> str:
    verdict = f"{len(one['lies'])} lies" if one["lies"] else "not all of it could be told"
    if not one["lies"] and not one["open_questions"]:
        verdict = "heads, counts, segments and state root come out"
    behind = f"; others have {one['behind']:,} events more" if one["behind"] else ""
    return verdict + behind
