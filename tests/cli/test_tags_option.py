"""`--tags` in all its forms and orders, and what tags say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.command import spread
from tests.cli.program import Program

FORMS = (
    ("--tags", "p2p-only", "code-generation"),
    ("--tags", "p2p-only,code-generation"),
    ("--tags", "p2p-only", "--tags", "code-generation"),
    ("--tags=p2p-only", "code-generation"),
    ("--tags=p2p-only,code-generation",),
    ("--tags", "p2p-only, code-generation"),
)


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_every_form_says_the_same(program: Program, form: tuple[str, ...]) -> None:
    """The guide's output, whichever way the tags are written, and no home is made for it."""
    ran = program.ok("check-tags", *form)
    assert ran.out == (
        "✓ Tag Check Results:\nTags: p2p-only, code-generation\nShould Bypass GitHub: Yes\nP2P Only: Yes\n"
    )
    assert program.json("check-tags", *form) == {
        "should_bypass_github": True,
        "is_p2p_only": True,
        "tags": ["p2p-only", "code-generation"],
    }
    assert not program.home.exists()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_flags_come_in_any_order(program: Program, order: tuple[int, ...]) -> None:
    """The words of `--tags` end where the next option begins, wherever it stands."""
    parts = (
        ("--task-id", "a", "--workflow-id", "w", "--name", "--tags"),  # even a name that looks like the option
        ("--tags", "p2p-only", "web-scraping"),
        ("--priority", "7", "--json"),
    )
    program.ok("submit", *itertools.chain.from_iterable(parts[index] for index in order))
    (task,) = program.json("tasks")["tasks"]
    assert (task["name"], task["tags"], task["priority"]) == ("--tags", ["p2p-only", "web-scraping"], 7)


@pytest.mark.parametrize(
    ("tags", "bypass", "only"),
    [
        (("p2p-eligible",), "Yes", "No"),
        (("code-generation",), "No", "No"),
        (("unit-test",), "No", "No"),
        (("github-api", "data-processing"), "No", "No"),
        (("p2p-only", "p2p-eligible"), "Yes", "Yes"),
    ],
)
def test_tags_say_where(program: Program, tags: tuple[str, ...], bypass: str, only: str) -> None:
    """P2P tags bypass GitHub; a set that says nothing about where is accepted."""
    out = program.ok("check-tags", "--tags", *tags).out
    assert f"Should Bypass GitHub: {bypass}\nP2P Only: {only}\n" in out


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (("p2p-onyl",), "unknown tag 'p2p-onyl': the nearest known tag is 'p2p-only'"),
        (("p2p-only", "unit-test"), "'p2p-only' says to run peer-to-peer, 'unit-test' says to run on GitHub only"),
        (("",), "no tags given"),
    ],
)
@pytest.mark.parametrize(
    "command", [("check-tags",), ("submit", "--task-id", "a", "--workflow-id", "w", "--name", "n")]
)
def test_tags_are_never_dropped_in_silence(
    program: Program, command: tuple[str, ...], tags: tuple[str, ...], words: str
) -> None:
    """What is unknown or contradicts itself is refused with the reason, by every command that takes tags."""
    ran = program.run(*command, "--tags", *tags)
    assert ran.code == 2
    assert ran.out.startswith("✗ ")
    assert words in ran.out
    assert not program.home.exists()


WORDS = st.text("abc,- =", min_size=1, max_size=6)


@given(
    st.lists(WORDS.filter(lambda word: not word.startswith("-")), min_size=1, max_size=4), st.lists(WORDS, max_size=4)
)
@settings(max_examples=200, deadline=None)
def test_spreading_keeps_every_word(values: list[str], others: list[str]) -> None:
    """Each value gets the option before it, and all other words stay as they are and in order."""
    before = [part for word in others for part in ("--name", word)]
    done = spread([*before, "--tags", *values, "--json"], ["--tags"], ["--name"])
    assert done == [*before, *(part for value in values for part in ("--tags", value)), "--json"]


def test_nothing_after_a_double_dash_is_an_option() -> None:
    """`--` ends the options, as everywhere."""
    assert spread(["--tags", "a", "--", "--tags", "b", "c"], ["--tags"], []) == [
        "--tags",
        "a",
        "--",
        "--tags",
        "b",
        "c",
    ]


def test_an_option_without_values_is_left_for_typer_to_refuse(program: Program) -> None:
    """`--tags` with nothing after it is an error of usage, not an empty set."""
    assert spread(["--tags", "--json"], ["--tags"], []) == ["--tags", "--json"]
    assert program.run("check-tags", "--tags").code == 2
