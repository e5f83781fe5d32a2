"""Workflow tags: names, reading, refusals, and what they say about GitHub."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.tags import (
    NoTagsError,
    TagConflictError,
    UnknownTagError,
    WorkflowTag,
    is_p2p_only,
    parse_tags,
    should_bypass_github,
)

T = WorkflowTag
COMPATIBLE = st.lists(st.sampled_from([tag for tag in T if tag not in {T.GITHUB_API, T.UNIT_TEST}]), min_size=1)


def test_names_and_values_are_those_of_the_contract() -> None:
    """The seven values of the contract, under the names users of the guide write."""
    assert [(tag.name, tag.value) for tag in T] == [
        ("GITHUB_API", "github-api"),
        ("P2P_ELIGIBLE", "p2p-eligible"),
        ("P2P_ONLY", "p2p-only"),
        ("UNIT_TEST", "unit-test"),
        ("CODE_GENERATION", "code-generation"),
        ("WEB_SCRAPING", "web-scraping"),
        ("DATA_PROCESSING", "data-processing"),
    ]


@pytest.mark.parametrize(
    "values",
    [
        ["p2p-only", "code-generation"],
        ["p2p-only,code-generation"],
        ["p2p-only, code-generation"],
        ["p2p-only code-generation"],
        [" p2p-only,\n\tcode-generation ,, "],
        "p2p-only,code-generation",
        (T.P2P_ONLY, "code-generation", "p2p-only"),
        iter([T.P2P_ONLY, T.CODE_GENERATION, T.CODE_GENERATION]),
    ],
    ids=["apart", "comma", "comma-and-space", "space", "ragged", "bare-text", "mixed", "iterator"],
)
def test_all_forms_read_the_same(values: Iterable[str]) -> None:
    """Items, commas, white space and a bare text give the same set, in order, without duplicates."""
    tags = parse_tags(values)
    assert tags == (T.P2P_ONLY, T.CODE_GENERATION)
    assert all(isinstance(tag, T) for tag in tags)


@settings(max_examples=100)
@given(COMPATIBLE, st.sampled_from([",", " ", ", ", "\n"]))
def test_joined_and_apart_are_the_same_and_reading_is_idempotent(tags: list[WorkflowTag], separator: str) -> None:
    """Whatever the separator, the first of each tag stays, in order; a set that was read reads as itself."""
    parsed = parse_tags([separator.join(tags)])
    assert parsed == tuple(dict.fromkeys(tags)) == parse_tags(tags) == parse_tags(parsed)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("p2p-onyl", T.P2P_ONLY),
        ("P2P_ELIGIBLE", T.P2P_ELIGIBLE),
        ("codegen", T.CODE_GENERATION),
        ("scraping", T.WEB_SCRAPING),
    ],
)
def test_an_unknown_tag_is_refused_with_the_nearest(text: str, nearest: WorkflowTag) -> None:
    """No tag is dropped in silence: the unknown is named, and so is the nearest known one."""
    with pytest.raises(UnknownTagError) as caught:
        parse_tags(["p2p-only", text])
    assert caught.value.nearest is nearest
    assert f"unknown tag {text!r}" in str(caught.value)
    assert f"nearest known tag is {nearest.value!r}" in str(caught.value)
    with pytest.raises(UnknownTagError):
        should_bypass_github([text])
    with pytest.raises(UnknownTagError):
        is_p2p_only([text])


def test_an_unknown_tag_of_any_size_gives_a_short_message() -> None:
    """A huge or strange text is cut and quoted."""
    with pytest.raises(UnknownTagError) as caught:
        parse_tags(["\x1b[31m" + "x" * 100_000])
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("p2p", [T.P2P_ONLY, T.P2P_ELIGIBLE])
@pytest.mark.parametrize("github", [T.GITHUB_API, T.UNIT_TEST])
def test_a_set_that_says_both_is_refused_with_the_reason(p2p: WorkflowTag, github: WorkflowTag) -> None:
    """Peer-to-peer and GitHub only exclude each other, in either order."""
    for tags in ([p2p, github], [github, T.DATA_PROCESSING, p2p]):
        with pytest.raises(TagConflictError) as caught:
            parse_tags(tags)
        message = str(caught.value)
        assert f"{p2p.value!r} says to run peer-to-peer" in message
        assert f"{github.value!r} says to run on GitHub only" in message


def test_tags_that_say_nothing_about_where_are_accepted() -> None:
    """A kind of work alone is a tag set, and so is GitHub only."""
    assert parse_tags(["code-generation"]) == (T.CODE_GENERATION,)
    assert parse_tags(["github-api unit-test"]) == (T.GITHUB_API, T.UNIT_TEST)


@pytest.mark.parametrize("values", [[], [""], [" , "], ""])
def test_an_empty_set_is_refused(values: Iterable[str]) -> None:
    """A set without any tag says nothing, and says so."""
    with pytest.raises(NoTagsError, match="no tags given"):
        parse_tags(values)


@pytest.mark.parametrize(
    ("tags", "bypass", "only"),
    [
        (["p2p-only", "code-generation"], True, True),
        ([T.P2P_ELIGIBLE], True, False),
        (["p2p-eligible,web-scraping"], True, False),
        ([T.GITHUB_API], False, False),
        ([T.UNIT_TEST, "code-generation"], False, False),
        ([T.GITHUB_API, T.P2P_ONLY], True, True),
        ([], False, False),
    ],
)
def test_bypass_and_only(tags: list[str], bypass: bool, only: bool) -> None:
    """Either P2P tag bypasses GitHub, p2p-only alone insists; conflicts and empty lists do not raise here."""
    assert should_bypass_github(tags) is bypass
    assert is_p2p_only(tags) is only


def test_refusals_are_value_errors() -> None:
    """Callers of the guide catch ValueError."""
    assert issubclass(UnknownTagError, ValueError)
    assert issubclass(TagConflictError, ValueError)
    assert issubclass(NoTagsError, ValueError)
