"""A workflow file as plain values, with the line of every key and value.

Implements: YAML 1.2 as GitHub reads it; anchors and aliases are followed (GitHub does so, too), merge keys as well,
with a warning, since GitHub refuses them. Leaves out what the keys mean.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from scheduler.workflows.findings import Finding, Severity
from scheduler.workflows.yaml_nodes import DEPTH_MAX, NODES_MAX, Comment, Node, WorkflowFileError, compose, fault

__all__ = [
    "Comment", "KeyPath", "Place", "Workflow", "WorkflowFileError", "read_workflow", "render_key", "texts_listed",
    "values_at",
]  # fmt: skip

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where something stands: keys and positions from the top, such as ("jobs", "build", "steps", 2, "run")."""

MERGE: Final = "<<"
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value stand; lines from 1.

    Args:
        key: line of the key; of the value itself in a list, and at the top.
        value: line in which the value begins.
        end: last line of the value, before what follows.
        column: column of the key, from 0.
        block: whether the value is a block scalar (`|`, `>`), whose text begins in the line after `value`.
        literal: whether it is a literal one (`|`), whose lines are those of the file.
        text: a scalar as it is written, `1e3` where the value is 1000.0; empty for lists and maps.
    """

    key: int
    value: int
    end: int
    column: int
    block: bool = False
    literal: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow file that could be read.

    Args:
        path: as it was named.
        data: its bytes.
        content: plain values: dict, list, str, int, float, bool, None. Keys are texts.
        places: where each of them stands.
        comments: the lines that are comments and nothing else.
        findings: doubts of the reader.
    """

    path: str
    data: bytes
    content: dict[str, Any]
    places: Mapping[KeyPath, Place]
    comments: tuple[Comment, ...]
    findings: tuple[Finding, ...] = ()

    def line(self, *where: str | int) -> int:
        """Return the line of the key at a path, or of the nearest that there is above it."""
        return self.place(*where).key

    def place(self, *where: str | int) -> Place:
        """Return where the key at a path stands, or the nearest that there is above it."""
        while where not in self.places:
            where = where[:-1]
        return self.places[where]

    def text_line(self, where: KeyPath, text: str, offset: int) -> int:
        """Return the line of the character at `offset` of the text at a path: exact in literal blocks."""
        place = self.place(*where)
        if not place.literal:
            return place.value
        return place.value + 1 + bisect_left(_breaks(text), offset)

    @property
    def jobs(self) -> dict[str, Any]:
        """The jobs as they stand, by id; empty where `jobs` is no map."""
        jobs = self.content.get("jobs")
        return jobs if isinstance(jobs, dict) else {}

    def finding(
        self,
        severity: Severity,
        rule: str,
        where: KeyPath,
        words: str,
        advice: str = "",
        *,
        line: int | None = None,
    ) -> Finding:
        """Return a finding at a path of this file."""
        return Finding(
            self.path, self.line(*where) if line is None else line, render_key(where), severity, rule, words, advice
        )

    def error(self, rule: str, where: KeyPath, words: str, advice: str = "", *, line: int | None = None) -> Finding:
        """Return an error at a path of this file."""
        return self.finding(Severity.ERROR, rule, where, words, advice, line=line)

    def warning(self, rule: str, where: KeyPath, words: str, advice: str = "", *, line: int | None = None) -> Finding:
        """Return a warning at a path of this file."""
        return self.finding(Severity.WARNING, rule, where, words, advice, line=line)


def values_at(where: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Yield a value that stands at a path, and each that is within it, with its own path, in the order of the file."""
    yield where, value
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in within:
        yield from values_at((*where, key), one)


def texts_listed(said: Any) -> list[str]:
    """Return the texts of what may be one text or a list of them, as `needs` and labels are; what is no text is not."""
    listed = said if isinstance(said, list) else [said]
    return [one for one in listed if isinstance(one, str)]


@functools.lru_cache(maxsize=4)
def _breaks(text: str) -> tuple[int, ...]:
    """Return where the lines of a text end: asked for once for each expression in it."""
    return tuple(index for index, char in enumerate(text) if char == "\n")


def read_workflow(data: bytes, path: str) -> Workflow:
    """Read a workflow file; `path` is for its messages.

    Raises:
        WorkflowFileError: the bytes are no YAML, or more of it than a workflow file may have, or no map.
        MissingExtraError: the extra `workflows` is not installed.
    """
    root, comments = compose(data, path)
    reader = _Reader(path)
    content = reader.read((), root, Place(root.line, root.line, root.end, root.column), 0)
    if not isinstance(content, dict):
        raise fault(path, root.line, "yaml.type", "a workflow file is a map with `on` and `jobs`")
    return Workflow(path, data, content, reader.places, comments, tuple(reader.findings))


def render_key(where: KeyPath) -> str:
    """Return a path as people write it: jobs.build.steps[2].run."""
    text = ""
    for step in where:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


class _Reader:
    """Follows aliases and merge keys, and counts what comes of them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._count = 0
        self.places: dict[KeyPath, Place] = {}
        self.findings: list[Finding] = []

    def read(self, where: KeyPath, node: Node, place: Place, depth: int) -> Any:
        """Return the value of a node, and note the places of all that is in it."""
        self._count += 1
        if self._count > NODES_MAX or depth > DEPTH_MAX:
            rule = "yaml.depth" if depth > DEPTH_MAX else "yaml.size"
            raise fault(self._path, node.line, rule, "aliases make more of this file than a workflow may be")
        self.places[where] = place
        node = _target(node)
        if node.is_map:
            return self._read_map(where, node, depth)
        if node.text is None:
            return [
                self.read((*where, index), one, _place(one, one), depth + 1) for index, one in enumerate(node.items)
            ]
        return node.scalar

    def _read_map(self, where: KeyPath, node: Node, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merges: list[tuple[Node, Node]] = []
        for key, value in node.pairs():
            name = self._name(where, key)
            if name in lines:
                words = f"{name!r} stands here again, first in line {lines[name]}"
                raise fault(self._path, key.line, "yaml.duplicate", words, "keep one", render_key((*where, name)))
            lines[name] = key.line
            if name == MERGE:
                merges.append((key, value))
            else:
                found[name] = self.read((*where, name), value, _place(key, value), depth + 1)
        for key, value in merges:
            self._merge(where, key, value, found, depth)
        return found

    def _name(self, where: KeyPath, key: Node) -> str:
        if key.text is None or key.alias is not None:
            raise fault(self._path, key.line, "yaml.key", "a key is a text", key=render_key(where))
        return key.text

    def _merge(self, where: KeyPath, key: Node, value: Node, found: dict[str, Any], depth: int) -> None:
        """Take in what a merge key names: earlier keys win, as YAML has it."""
        words = "GitHub refuses merge keys (`<<`); elsewhere this one is followed"
        self.findings.append(
            Finding(
                self._path, key.line, render_key(where), Severity.WARNING, "yaml.merge", words, "write the keys out"
            )
        )
        source = _target(value)
        maps = [source] if source.is_map else [_target(one) for one in source.items]
        if source.text is not None or not all(one.is_map for one in maps):
            raise fault(self._path, key.line, "yaml.merge", "`<<` takes in maps only", key=render_key(where))
        for one in maps:
            inner = _Reader(self._path)
            inner._count = self._count
            merged = inner.read(where, one, self.places[where], depth + 1)
            self._count = inner._count
            self.findings += inner.findings
            for name in [name for name in merged if name not in found]:
                found[name] = merged[name]
                self.places |= {
                    at: place for at, place in inner.places.items() if at[: len(where) + 1] == (*where, name)
                }


def _target(node: Node) -> Node:
    return node if node.alias is None else node.alias


def _place(key: Node, value: Node) -> Place:
    seen = _target(value)
    end = value.end if value.alias is not None else seen.end
    return Place(key.line, seen.line, end, key.column, seen.block, seen.literal, seen.text or "")
