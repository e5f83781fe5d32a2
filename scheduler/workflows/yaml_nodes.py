"""YAML as nodes with their places: what is written, before aliases and merge keys are followed.

The parser is ruamel.yaml's, of which only the events are used: so depth and number are bounded while they come, and
nothing here recurses. Lines are counted as editors count them. Plain scalars are read by the core schema of YAML 1.2,
as GitHub does: `on`, `yes` and `no` are texts. Leaves out what a workflow is (scheduler.workflows.reading).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from scheduler.extras import load
from scheduler.workflows.findings import Finding, Severity

FILE_BYTES_MAX: Final = 1_048_576
NODES_MAX: Final = 20_000
"""Nodes of a file, each alias counted as often as it is used."""
DEPTH_MAX: Final = 50
LINE_CHARS_MAX: Final = 65_536
"""Characters of a line: in longer ones the parser loses itself."""

Scalar: TypeAlias = str | int | float | bool | None

_BREAK: Final = re.compile(r"\r\n|\n|\r")
_LONG: Final = re.compile(rf"(?<![^\r\n])[^\r\n]{{{LINE_CHARS_MAX + 1}}}")  # from the beginning of a line only
_BLANKS: Final = re.compile(r"(?<=[|>+0-9-])([ \t]*(?:\r\n|\n|\r))((?: *(?:\r\n|\n|\r))+)")
"""Blank lines at the beginning of a block scalar: the parser minds spaces in them, which mean nothing."""
_ODD: Final = re.compile("[\x85\u2028\u2029\ufeff]")
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}")
_OTHER_INT: Final = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[dict[str, Scalar]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAG: Final = "tag:yaml.org,2002:"
_FLOAT_MAX: Final = 1e300


class WorkflowFileError(ValueError):
    """A file cannot be read as a workflow: `finding` has its place, rule and words."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.render())
        self.finding = finding
        self.advice = finding.advice


@dataclass(slots=True)
class Node:
    """What stands at one place of a file. Lines from 1.

    Args:
        line: where it begins.
        end: its last line.
        column: where it begins in its line, from 0.
        scalar: the value, of a scalar.
        text: a scalar as it is written; None for lists and maps.
        block: whether it is a block scalar, whose text begins in the line after `line`.
        literal: whether it is one whose lines are those of the file (`|`).
        items: of a list, the nodes; of a map, keys and values by turns.
        is_map: whether it is a map.
        alias: whether it stands for a node that is written elsewhere.
    """

    line: int
    end: int
    column: int
    scalar: Scalar = None
    text: str | None = None
    block: bool = False
    literal: bool = False
    items: list[Node] = field(default_factory=list)
    is_map: bool = False
    alias: Node | None = None

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Yield the keys and values of a map."""
        return zip(self.items[::2], self.items[1::2], strict=True)


@dataclass(frozen=True, slots=True)
class Comment:
    """A line that is a comment and nothing else; `text` from its `#`."""

    line: int
    column: int
    text: str


def compose(data: bytes, path: str) -> tuple[Node, tuple[Comment, ...]]:
    """Return the root of the one document of a file, and the lines of it that are comments.

    Raises WorkflowFileError for bytes that are no such document, MissingExtraError where the library is missing. Never
    anything else, whatever the bytes.
    """
    return _Composer(path, _decode(data, path)).compose()


def fault(path: str, line: int, rule: str, words: str, advice: str = "", key: str = "") -> WorkflowFileError:
    """Return the error to raise for a file that cannot be read."""
    return WorkflowFileError(Finding(path, line, key, Severity.ERROR, rule, words, advice))


def _decode(data: bytes, path: str) -> str:
    if len(data) > FILE_BYTES_MAX:
        raise fault(path, 1, "yaml.size", f"{len(data)} bytes are more than a workflow file may have: {FILE_BYTES_MAX}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(_BREAK.findall(data[: error.start].decode("utf-8", "replace"))) + 1
        raise fault(path, line, "yaml.encoding", f"byte {error.start} is no UTF-8", "save the file as UTF-8") from None
    odd = _ODD.search(text)
    if odd:
        line = len(_BREAK.findall(text, 0, odd.start())) + 1
        words = f"the character U+{ord(odd[0]):04X}, which some programs take for the end of a line, and others do not"
        raise fault(path, line, "yaml.character", words, "remove it")
    long = _LONG.search(text)
    if long:
        line = len(_BREAK.findall(text, 0, long.start())) + 1
        raise fault(path, line, "yaml.size", f"a line of more than {LINE_CHARS_MAX} characters", "break it")
    return _BLANKS.sub(lambda found: found[1] + found[2].replace(" ", ""), text)


class _Composer:
    """One file on its way from events to nodes."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._starts = [0, *(found.end() for found in _BREAK.finditer(text))]
        self._inside: set[int] = set()
        """Lines that begin within a scalar: no comments, whatever they look like."""
        self._anchors: dict[str, Node] = {}
        self._open: list[Node] = []
        self._documents = 0
        self._count = 0
        self._root: Node | None = None

    def compose(self) -> tuple[Node, tuple[Comment, ...]]:
        yaml = load("ruamel.yaml", "workflows")
        errors = load("ruamel.yaml.error", "workflows")
        try:
            for event in yaml.YAML(typ="safe", pure=True).parse(self._text):
                self._take(event)
        except WorkflowFileError:
            raise
        except errors.MarkedYAMLError as error:
            raise self._marked(error) from None
        except errors.YAMLError as error:
            position = getattr(error, "position", 0)
            words = f"no YAML: {getattr(error, 'reason', None) or error}"
            raise fault(self._path, self._line(position), "yaml.character", words) from None
        except (
            ValueError,
            IndexError,
            OverflowError,
            RecursionError,
            AttributeError,
            TypeError,
            AssertionError,
        ) as error:
            # What the parser itself trips over, such as an escape for a character that there is not.
            line = self._open[-1].line if self._open else 1
            raise fault(self._path, line, "yaml.syntax", f"no YAML at or after this line: {error}") from None
        if self._root is None:
            raise fault(self._path, 1, "yaml.empty", "the file is empty")
        return self._root, tuple(self._comments())

    def _line(self, index: int) -> int:
        return bisect_right(self._starts, index)

    def _marked(self, error: Any) -> WorkflowFileError:
        mark = error.problem_mark or error.context_mark
        words = " ".join(str(part) for part in (error.context, error.problem) if part)
        index = 0 if mark is None else mark.index
        before = self._text[self._starts[self._line(index) - 1] : index + 1]
        if "\t" in before and not before.strip():
            words, advice = "a tab stands where YAML wants spaces", "indent with spaces"
        else:
            words, advice = f"no YAML: {words}", ""
        return fault(self._path, self._line(index), "yaml.syntax", words, advice)

    def _take(self, event: Any) -> None:
        kind = type(event).__name__
        line, index = self._line(event.start_mark.index), event.start_mark.index
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise fault(self._path, line, "yaml.documents", "a second document begins: a workflow file has one")
        elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
            done = self._open.pop()
            if event.end_mark.index > event.start_mark.index:
                done.end = max(done.end, self._line(event.end_mark.index - 1))  # the closing bracket
            self._grow(done.end)
        elif kind in {"ScalarEvent", "AliasEvent", "MappingStartEvent", "SequenceStartEvent"}:
            self._count += 1
            if self._count > NODES_MAX:
                raise fault(self._path, line, "yaml.size", f"more than {NODES_MAX} values")
            node = Node(line, line, index - self._starts[line - 1])
            self._place(event, node, kind)

    def _place(self, event: Any, node: Node, kind: str) -> None:
        if kind == "AliasEvent":
            node.alias = self._anchors.get(event.anchor)
            if node.alias is None:
                raise fault(self._path, node.line, "yaml.alias", f"*{event.anchor} names no anchor before it")
            if any(node.alias is one for one in self._open):
                raise fault(self._path, node.line, "yaml.alias", f"*{event.anchor} stands within what it names")
        elif kind == "ScalarEvent":
            self._read_scalar(event, node)
        else:
            node.is_map = kind == "MappingStartEvent"
            self._check_tag(event, node.line, "map" if node.is_map else "seq")
        if self._open:
            self._open[-1].items.append(node)
            self._grow(node.end)
        else:
            self._root = node
        if kind != "AliasEvent" and event.anchor is not None:
            self._anchors[event.anchor] = node
        if kind.endswith("StartEvent"):
            self._open.append(node)
            if len(self._open) > DEPTH_MAX:
                raise fault(self._path, node.line, "yaml.depth", f"nested deeper than {DEPTH_MAX}")

    def _grow(self, end: int) -> None:
        if self._open:
            self._open[-1].end = max(self._open[-1].end, end)

    def _read_scalar(self, event: Any, node: Node) -> None:
        node.text, node.block, node.literal = event.value, event.style in {"|", ">"}, event.style == "|"
        stop = event.end_mark.index
        at_end = node.block and stop == len(self._text) and not self._text.endswith(("\n", "\r"))
        # The mark after a block scalar stands at the line that is no longer in it.
        last = self._line(stop) - (1 if node.block and not at_end else 0)
        node.end = max(node.line, last)
        self._inside.update(range(node.line + 1, node.end + 1))
        if node.block:
            while node.end > node.line and not self._line_text(node.end).strip():
                node.end -= 1
        if _NO_TEXT.search(event.value):
            raise fault(self._path, node.line, "yaml.character", "an escape for a character that no text may hold")
        node.scalar = self._resolve(event, node)

    def _resolve(self, event: Any, node: Node) -> Scalar:
        text: str = event.value
        tag = self._check_tag(event, node.line, "str", "int", "float", "bool", "null")
        if tag == "str" or (tag is None and event.style is not None):
            return text
        value = self._plain(text, node.line)
        if tag is not None and tag != {str: "str", int: "int", float: "float", bool: "bool"}.get(type(value), "null"):
            raise fault(self._path, node.line, "yaml.tag", f"!!{tag} stands before {text[:64]!r}, which is none")
        return value

    def _plain(self, text: str, line: int) -> Scalar:
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _OTHER_INT.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            number = float(text) if len(text) < 400 else _FLOAT_MAX * 10
            if abs(number) < _FLOAT_MAX:
                return number
            raise fault(self._path, line, "yaml.number", f"{text[:64]} is too large for a number", "quote it")
        if _NOT_FINITE.fullmatch(text):
            raise fault(self._path, line, "yaml.number", f"{text} is no number to compute with", "quote it")
        return text

    def _check_tag(self, event: Any, line: int, *known: str) -> str | None:
        tag = None if event.tag is None else str(event.tag)
        if tag is None:
            return None
        if tag == "!":
            return "str" if "str" in known else None
        if not tag.startswith(_TAG) or tag.removeprefix(_TAG) not in known:
            raise fault(self._path, line, "yaml.tag", f"the YAML tag {tag[:64]!r} is not for workflow files")
        return tag.removeprefix(_TAG)

    def _line_text(self, line: int) -> str:
        stop = self._starts[line] if line < len(self._starts) else len(self._text)
        return self._text[self._starts[line - 1] : stop].rstrip("\r\n")

    def _comments(self) -> Iterator[Comment]:
        for line in range(1, len(self._starts) + 1):
            if line not in self._inside:
                text = self._line_text(line)
                bare = text.lstrip(" \t")
                if bare.startswith("#"):
                    yield Comment(line, len(text) - len(bare), bare.rstrip())
