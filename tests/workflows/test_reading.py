"""The reader: plain values, the line of each, and hostile YAML."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.workflows.reading import Workflow, WorkflowFileError, read_workflow, render_key
from scheduler.workflows.yaml_nodes import FILE_BYTES_MAX, NODES_MAX


def read(text: str) -> Workflow:
    """Read a text as a workflow file."""
    return read_workflow(text.encode(), "ci.yml")


def refused(data: str | bytes) -> tuple[int, str, str]:
    """Return line, rule and words with which a file is refused."""
    with pytest.raises(WorkflowFileError) as caught:
        read_workflow(data.encode() if isinstance(data, str) else data, "ci.yml")
    found = caught.value.finding
    assert str(caught.value).startswith(f"ci.yml:{found.line}: error: ")
    return found.line, found.rule, found.words


FILE = """\
# first
name: CI   # trailing
on: push
jobs:
  build:
    runs-on: [self-hosted, gpu]
    steps:
      - run: |
          echo one
          # P2P: p2p-only

          echo two
      # between
      - name: "two
          # P2P: no"
        run: >
          # folded
          more
  test: {needs: build,
    # in a flow
    runs-on: x}
"""


def test_every_key_and_value_has_its_line() -> None:
    """Lines are those an editor shows, of keys, items and texts."""
    found = read(FILE)
    assert found.content["on"] == "push"
    step = ("jobs", "build", "steps", 0, "run")
    assert found.line("on") == 3
    assert found.line("jobs", "build", "steps", 1) == 14
    assert found.line("jobs", "build", "steps", 1, "nothing", 3) == 14
    assert found.line("jobs", "test", "runs-on") == 21
    assert (found.place(*step).value, found.place(*step).end) == (8, 12)
    text = found.content["jobs"]["build"]["steps"][0]["run"]
    assert found.text_line(step, text, text.index("two")) == 12
    assert (found.line("jobs", "build"), found.place("jobs", "build").end) == (5, 18)
    assert found.place("jobs", "test").end == 21
    assert render_key(step) == "jobs.build.steps[0].run"


def test_comments_are_lines_that_are_comments_and_nothing_else() -> None:
    """No line within a text is a comment, whatever it looks like, and no comment behind a value is one."""
    assert [(one.line, one.text) for one in read(FILE).comments] == [
        (1, "# first"),
        (13, "# between"),
        (20, "# in a flow"),
    ]
    assert not read("a: |\n  # P2P: x").comments
    assert [one.line for one in read("a: |\n  # in\n# out").comments] == [3]
    assert [one.line for one in read("a: |-\n    # in\n  # out\n\n# out").comments] == [3, 5]
    assert not read("a: |+\n\n\n  # P2P: x\n\n").comments
    assert not read("a: 'b\n  # P2P: x\n\n  '").comments
    assert [one.line for one in read("a: b\r# P2P: x\r\n# c").comments] == [2, 3]


def test_blank_lines_before_a_block_s_text_may_hold_spaces() -> None:
    """They are none of the text, and the lines after them are still counted."""
    found = read("a: |-\n  \n \n\n    one\n\n  \nb: >\n   \n  two\nc: 1\n")
    assert found.content == {"a": "\n\n\none", "b": "\ntwo\n", "c": 1}
    assert [found.line(key) for key in "abc"] == [1, 8, 11]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'true'", "true"),
        ("!!str true", "true"),
        ("! 7", "7"),
        ("12", 12),
        ("012", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("3.10", 3.1),
        ("1e3", 1000.0),
        ("2026-11-25", "2026-11-25"),
        ("12:30", "12:30"),
        ("12345678901234567890", 12345678901234567890.0),
        ("=", "="),
        ("a#b", "a#b"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """`on` and `yes` are texts, dates are texts, numbers are numbers."""
    found = read(f"a: {text}").content["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "line", "rule", "words"),
    [
        ("", 1, "yaml.empty", "empty"),
        ("# only\n", 1, "yaml.empty", "empty"),
        ("- a\n", 1, "yaml.type", "a map"),
        ("just words", 1, "yaml.type", "a map"),
        ("a: 1\nb: 2\na: 3\n", 3, "yaml.duplicate", "first in line 1"),
        ("a: 1\n---\nb: 2\n", 2, "yaml.documents", "second document"),
        ("a:\n\tb: 1\n", 2, "yaml.syntax", "a tab stands"),
        ("a: [1, 2\nb: 3\n", 2, "yaml.syntax", "no YAML"),
        ("a: *x\n", 1, "yaml.alias", "no anchor"),
        ("a: &x\n  b: *x\n", 2, "yaml.alias", "within what it names"),
        ("a: !!binary aGk=\n", 1, "yaml.tag", "not for workflow files"),
        ("a: !!python/object:os.system x\n", 1, "yaml.tag", "not for workflow files"),
        ("a: !!int x\n", 1, "yaml.tag", "which is none"),
        ("a: !!seq {}\n", 1, "yaml.tag", "not for"),
        ("b: 1\na: .nan\n", 2, "yaml.number", "no number"),
        ("a: 1e999\n", 1, "yaml.number", "too large"),
        ("a: " + "9" * 500 + "\n", 1, "yaml.number", "too large"),
        ("[a, b]: 1\n", 1, "yaml.key", "a key is a text"),
        ("x: &k a\n*k : 1\n", 2, "yaml.key", "a key is a text"),
        ("a: b\n<<: 7\n", 2, "yaml.merge", "maps only"),
        ('a: "\\0"\n', 1, "yaml.character", "no text may hold"),
        ('a: "\\ud800"\n', 1, "yaml.character", "no text may hold"),
        ('a: "\\UFFFFFFFF"\n', 1, "yaml.syntax", "no YAML"),
        ("a: 1\nb: \x01\n", 2, "yaml.character", "no YAML"),
        ("a: 1\n# x\u2028b: 2\n", 2, "yaml.character", "U+2028"),
        ("a: 1\n# x\x85b: 2\n", 2, "yaml.character", "U+0085"),
        ("a: " + "[" * 60 + "]" * 60 + "\n", 1, "yaml.depth", "deeper"),
    ],
    ids=str,
)
def test_what_is_no_workflow_is_refused_with_its_line(text: str, line: int, rule: str, words: str) -> None:
    """Each fault of YAML has a rule, a line and words."""
    found = refused(text)
    assert (found[0], found[1]) == (line, rule)
    assert words in found[2]


def test_bytes_that_are_no_utf_8_are_refused_with_their_line() -> None:
    """The line is that of the byte; a byte order mark is none."""
    assert refused(b"a: 1\nb: \xff\n")[:2] == (2, "yaml.encoding")
    assert read_workflow(b"\xef\xbb\xbfa: 1\n", "ci.yml").content == {"a": 1}
    assert refused(b"a: " + b"x\n" * FILE_BYTES_MAX)[:2] == (1, "yaml.size")


def test_more_than_a_workflow_may_be_is_refused() -> None:
    """Values, and characters of a line, in which the parser would lose itself."""
    assert refused("a: [" + "x,\n  " * NODES_MAX + "]\n")[:2] == (NODES_MAX - 2, "yaml.size")
    line, rule, words = refused("a: 1\nb: !" + "x" * 70_000 + " y\n")
    assert (line, rule) == (2, "yaml.size")
    assert "a line of more than" in words


def test_anchors_are_followed_and_bombs_are_not() -> None:
    """An alias has the value and the lines of what it names; what would grow without bound is refused."""
    found = read("a: &x\n  k: 1\nb: *x\n")
    assert found.content == {"a": {"k": 1}, "b": {"k": 1}}
    assert (found.line("b"), found.line("b", "k"), found.place("b").end) == (3, 2, 3)
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert refused(bomb)[1] in {"yaml.size", "yaml.depth"}
    merges = "a0: &a0 {k: v}\n" + "".join(
        f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    assert refused(merges)[1] in {"yaml.size", "yaml.depth"}


def test_merge_keys_are_followed_with_a_warning() -> None:
    """What is written wins over what is merged, the earlier map over the later; the places are those of the source."""
    found = read("d: &d\n  x: 1\n  y: 2\ne: &e {y: 3, z: 4}\nj:\n  x: 0\n  <<: [*d, *e]\n")
    assert found.content["j"] == {"x": 0, "y": 2, "z": 4}
    assert (found.line("j", "y"), found.line("j", "x"), found.line("j", "z")) == (3, 6, 4)
    assert [(one.rule, one.line, one.is_error) for one in found.findings] == [("yaml.merge", 7, False)]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(st.characters(codec="ascii"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<", min_size=1), inner, max_size=4),
    max_leaves=20,
).filter(lambda value: "\0" not in repr(value) and "\\x00" not in repr(value) and "<<" not in repr(value))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=5))
def test_json_reads_as_itself(value: dict[str, Any]) -> None:
    """YAML holds JSON: what another writer wrote comes back, and each value has a place."""
    text = json.dumps(value, indent=1)
    if "\x7f" in text:
        return  # YAML wants it escaped, JSON does not
    found = read(text)
    assert found.content == value
    assert all(1 <= place.key <= text.count("\n") + 1 for place in found.places.values())


PIECES = st.sampled_from(
    ["a", ": ", "\n", "  ", "- ", "#", "&a ", "*a", "|", ">", "'", '"', "[", "]", "{", "}", ",", "?", "!", "!!str ",
     "%YAML 1.1\n", "---\n", "...\n", "<<", "\t", "\\", "\\x", "\r", "1", "é", "\ufeff", "@", "`", "|2", "|-", "0x"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=40))
@example("a: |\n  x\n # y\n  z: 1")
@example("%TAG ! tag:x,2000:\n---\na: !b c")
def test_no_text_brings_anything_but_a_workflow_or_a_refusal(text: str) -> None:
    """Whatever the bytes: a workflow, or an error with a line of the file."""
    try:
        found = read_workflow(text.encode("utf-8", "surrogatepass"), "ci.yml")
    except WorkflowFileError as error:
        line = error.finding.line
    else:
        line = 1
        json.dumps(found.content, allow_nan=False)
        assert all(place.key <= place.end or place.value > place.end for place in found.places.values())
    assert 1 <= line <= text.count("\n") + text.count("\r") + 1


def test_the_library_is_imported_when_a_file_is_read() -> None:
    """The module itself needs no YAML; where it is missing the error says what to install."""
    script = (
        "import sys\nimport scheduler.workflows.reading as reading\nassert 'ruamel' not in sys.modules\n"
        "sys.modules['ruamel.yaml'] = None\n"
        "try:\n    reading.read_workflow(b'a: 1', 'ci.yml')\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'p2p-workflow-scheduler[workflows]'" in done.stdout
