"""The tags of a workflow file and of its jobs, each with its line.

Implements: section "Tags in workflow files" of the contract. `WORKFLOW_TAGS` and `P2P_TAGS` in `env` of the workflow or
of a job, and lines that are a comment and nothing else, `# P2P: a, b` or `# Tags: a, b`. What a job says in a variable
stands for what the workflow says in it, as with every variable; what comments say comes on top. A comment belongs to
the job in whose lines it stands, or above whose key it stands without a gap, at the key's own depth; else to the
workflow.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.tags import TagConflictError, UnknownTagError, WorkflowTag, is_p2p_only, parse_tags, should_bypass_github
from scheduler.workflows.expressions import has_expression
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow

VARIABLES: Final = ("WORKFLOW_TAGS", "P2P_TAGS")

_COMMENT: Final = re.compile(r"#+\s*(?P<kind>P2P|Tags)\s*:(?P<tags>.*)")
_SEPARATORS: Final = re.compile(r"[,\s]+")
_NEAR: Final = 0.75
UNKNOWN_MAX: Final = 50
"""Unknown tags of a file that are told, each."""


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A tag, the line in which it stands, and what says it: `env.WORKFLOW_TAGS`, or `comment`."""

    tag: WorkflowTag
    line: int
    source: str


@dataclass(frozen=True, slots=True)
class TagSet:
    """The tags of a workflow, or of one of its jobs, the workflow's included."""

    found: tuple[FoundTag, ...] = ()

    @property
    def tags(self) -> tuple[WorkflowTag, ...]:
        """The tags, each once."""
        return tuple(dict.fromkeys(one.tag for one in self.found))

    @property
    def bypasses_github(self) -> bool:
        """Whether it may run peer-to-peer."""
        return should_bypass_github(self.tags)

    @property
    def is_p2p_only(self) -> bool:
        """Whether it must run peer-to-peer."""
        return is_p2p_only(self.tags)

    def to_json(self) -> list[dict[str, Any]]:
        """Return it for programs."""
        return [{"tag": one.tag.value, "line": one.line, "source": one.source} for one in self.found]


@dataclass(frozen=True, slots=True)
class FileTags:
    """All tags of a file: the workflow's own, each job's, and what is wrong with them."""

    workflow: TagSet
    jobs: Mapping[str, TagSet]
    findings: tuple[Finding, ...]


def read_tags(workflow: Workflow) -> FileTags:
    """Return the tags of a workflow file. Never raises: what cannot be read is a finding."""
    reader = _Reader(workflow)
    comments = reader.comments()
    above = [*reader.variables(()), *comments.get("", ())]
    jobs: dict[str, TagSet] = {}
    for job in workflow.jobs:
        own = [*reader.variables(("jobs", job)), *comments.get(job, ())]
        said = {source for source, _ in own if source != "comment"}
        jobs[job] = reader.tag_set([one for one in above if one[0] not in said] + own, ("jobs", job))
    # Where there are jobs, a conflict above them shows in those that do not say otherwise.
    return FileTags(reader.tag_set(above, () if not jobs else None), jobs, tuple(reader.findings))


class _Reader:
    """Reads each place once; what is found there goes by (source, tags)."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self.findings: list[Finding] = []

    def variables(self, where: KeyPath) -> list[tuple[str, list[FoundTag]]]:
        """Return what the variables of the workflow, or of a job, say."""
        content: Any = self._workflow.content if not where else self._workflow.jobs[str(where[1])]
        env = content.get("env") if isinstance(content, dict) else None
        if not isinstance(env, dict):
            return []
        return [
            (f"env.{name}", list(self._variable((*where, "env", name), env[name]))) for name in VARIABLES if name in env
        ]

    def _variable(self, where: KeyPath, value: Any) -> Iterator[FoundTag]:
        source = f"env.{where[-1]}"
        if isinstance(value, list):
            words = "a list of tags is read here, but GitHub takes texts only as variables"
            self.findings.append(self._workflow.warning("tags.list", where, words, "write them as one text: a, b"))
            for index, one in enumerate(value):
                yield from self._words((*where, index), one, source)
        else:
            yield from self._words(where, value, source)

    def _words(self, where: KeyPath, value: Any, source: str) -> Iterator[FoundTag]:
        if value is None:
            return
        if not isinstance(value, str) or has_expression(value):
            words = "tags are read before anything runs: names are wanted, no expression and no other value"
            self.findings.append(self._workflow.error("tags.type", where, words))
            return
        for found in re.finditer(r"[^,\s]+", value):
            line = self._workflow.text_line(where, value, found.start())
            yield from self._find(found[0], line, source, where)

    def comments(self) -> dict[str, list[tuple[str, list[FoundTag]]]]:
        """Return what comments say, by the job they belong to; "" is the workflow."""
        done: dict[str, list[tuple[str, list[FoundTag]]]] = {}
        owner = _Owners(self._workflow)
        for comment in self._workflow.comments:
            said = _COMMENT.fullmatch(comment.text)
            if said is None:
                continue
            words = [word for word in _SEPARATORS.split(re.split(r"\s#", said["tags"])[0]) if word]
            job = owner.of(comment.line, comment.column)
            where: KeyPath = ("jobs", job) if job else ()
            if said["kind"] == "Tags" and not any(map(_is_near, words)):
                if len(self.findings) >= UNKNOWN_MAX:
                    continue
                text = f"`{comment.text[:80]}` names no tag of this scheduler, and is left aside"
                self.findings.append(self._workflow.warning("tags.comment", where, text, line=comment.line))
                continue
            tags = [tag for word in words for tag in self._find(word, comment.line, "comment", where)]
            done.setdefault(job, []).append(("comment", tags))
        return done

    def _find(self, word: str, line: int, source: str, where: KeyPath) -> Iterator[FoundTag]:
        try:
            yield FoundTag(WorkflowTag(word), line, source)
        except ValueError:
            if len(self.findings) >= UNKNOWN_MAX:
                return
            error = UnknownTagError(word)
            advice = f"did you mean {error.nearest.value}?"
            self.findings.append(self._workflow.error("tags.unknown", where, str(error), advice, line=line))

    def tag_set(self, said: Iterable[tuple[str, list[FoundTag]]], where: KeyPath | None) -> TagSet:
        """Return a set; where it conflicts that is a finding, unless `where` is None."""
        found = TagSet(tuple(tag for _, tags in said for tag in tags))
        if where is not None and found.tags:
            try:
                parse_tags(found.tags)
            except TagConflictError as error:
                lines = sorted({one.line for one in found.found})
                words = f"{error} (lines {', '.join(map(str, lines))})" if len(lines) > 1 else str(error)
                self.findings.append(self._workflow.error("tags.conflict", where, words, line=lines[-1]))
        return found


class _Owners:
    """Which job a comment belongs to."""

    def __init__(self, workflow: Workflow) -> None:
        self._lines = {one.line for one in workflow.comments}
        self._jobs = [(job, workflow.place("jobs", job)) for job in workflow.jobs]
        self._others = [workflow.line(key) for key in workflow.content if key != "jobs"]

    def of(self, line: int, column: int) -> str:
        """Return the job to which a comment belongs, "" for the workflow."""
        for job, place in self._jobs:
            if place.key <= line <= place.end:
                return job
            if line < place.key and column == place.column and self._lines.issuperset(range(line, place.key)):
                return job
        before = max(((place.end, place.column, job) for job, place in self._jobs if place.end < line), default=None)
        if before is None or column <= before[1] or any(before[0] < other < line for other in self._others):
            return ""
        return before[2]


@functools.lru_cache(maxsize=1024)
def _is_near(word: str) -> bool:
    return bool(difflib.get_close_matches(word[:64].lower(), [str(tag) for tag in WorkflowTag], n=1, cutoff=_NEAR))
