"""Patterns of result files: what they name, and that none of them takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.running.patterns import is_plain, matches


@pytest.mark.parametrize(
    ("pattern", "named", "others"),
    [
        ("a", ["a", "a/b", "a/b/c"], ["ab", "b/a", "A"]),
        ("a/b", ["a/b", "a/b/c"], ["a", "b", "x/a/b"]),
        ("*", ["a", ".a", "a/b"], []),
        ("*.txt", ["a.txt", ".txt", "a.b.txt"], ["atxt", "a.txtx", "d/a.txt"]),
        ("d/*.txt", ["d/a.txt"], ["a.txt", "d/e/a.txt"]),
        ("**", ["a", "a/b/c"], []),
        ("**/*.txt", ["a.txt", "d/a.txt", "d/e/a.txt"], ["a.md"]),
        ("d/**/x", ["d/x", "d/e/x", "d/e/f/x"], ["x", "e/d/x"]),
        ("d/**", ["d/x", "d/e/x"], ["e/d"]),
        ("a?c", ["abc", "a.c"], ["ac", "a/c", "abbc"]),
        ("[ab]", ["a", "b"], ["c", "ab", "[ab]"]),
        ("[!ab]", ["c", "!"], ["a", "b"]),
        ("[a-c]x", ["ax", "bx"], ["dx", "-x"]),
        ("[c-a]", [], ["a", "b", "c", "-"]),
        ("[.]", ["."], ["a"]),
        ("[]]", ["]"], ["a"]),
        ("[a", ["[a"], ["a"]),
        ("[]", ["[]"], ["a"]),
        ("a+(b)", ["a+(b)"], ["aab"]),
        ("*a*b*", ["ab", "xaxbx", "aab"], ["ba", "a"]),
        ("a*a", ["aa", "axa"], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_what_a_pattern_names(pattern: str, named: list[str], others: list[str]) -> None:
    """Signs stand for parts of one name, two stars for folders, a folder for all in it."""
    assert [path for path in named + others if matches(pattern, path)] == named


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 500 + "b", "a" * 255),
        ("**/" * 300 + "x", "a/" * 500 + "y"),
        ("**/*a/" * 150 + "x", "a/" * 500 + "y"),
        ("[" * 1_000, "[" * 255),
        ("[!]" * 300, "x" * 255),
    ],
)
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    """A pattern made to go back on its choices without end is done in no time."""
    begun = time.process_time()
    matches(pattern, path)
    assert time.process_time() - begun < 5


@given(st.text(alphabet="ab*?[]!-/.", min_size=1, max_size=12), st.text(alphabet="ab./-", min_size=1, max_size=8))
def test_whatever_the_signs_it_is_a_pattern(pattern: str, path: str) -> None:
    """No pattern raises; one without signs names itself and what is below it alone."""
    found = matches(pattern, path)
    if is_plain(pattern):
        assert found == (path == pattern or path.startswith(f"{pattern}/"))


@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=3), min_size=1, max_size=4))
def test_stars_name_everything(names: list[str]) -> None:
    """`*` for each name, and `**` for all of them, name any path."""
    path = "/".join(names)
    assert matches("/".join("*" for _ in names), path)
    assert matches(f"**/{names[-1]}", path)
    assert matches("**", path)
