"""Workflow tags: where a task may run, and what kind of work it is.

Implements the tags of the contract: their seven names, how a tag set is read from text, which sets are refused, and
what they say about bypassing GitHub. Left out: tags in workflow files, whose own reader gives them to `parse_tags`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class WorkflowTag(StrEnum):
    """A tag of the quick start; its value is what users type."""

    GITHUB_API = "github-api"
    P2P_ELIGIBLE = "p2p-eligible"
    P2P_ONLY = "p2p-only"
    UNIT_TEST = "unit-test"
    CODE_GENERATION = "code-generation"
    WEB_SCRAPING = "web-scraping"
    DATA_PROCESSING = "data-processing"


P2P_TAGS: Final = frozenset({WorkflowTag.P2P_ONLY, WorkflowTag.P2P_ELIGIBLE})
GITHUB_ONLY_TAGS: Final = frozenset({WorkflowTag.GITHUB_API, WorkflowTag.UNIT_TEST})

_SEPARATORS: Final = re.compile(r"[,\s]+")
_SHOWN_MAX: Final = 64  # characters of an unknown tag that are compared and shown


class TagError(ValueError):
    """A tag set cannot be used as it is."""


class UnknownTagError(TagError):
    """A tag is none of the known ones."""

    def __init__(self, text: str) -> None:
        shown = text[:_SHOWN_MAX]
        known = [tag.value for tag in WorkflowTag]
        nearest = difflib.get_close_matches(shown.lower().replace("_", "-"), known, n=1, cutoff=0.0)[0]
        super().__init__(f"unknown tag {shown!r}: the nearest known tag is {nearest!r}; all are {', '.join(known)}")
        self.nearest = WorkflowTag(nearest)


class TagConflictError(TagError):
    """A tag set says both that a task runs peer-to-peer and that it runs on GitHub only."""

    def __init__(self, p2p: Iterable[WorkflowTag], github_only: Iterable[WorkflowTag]) -> None:
        super().__init__(
            f"tags conflict: {_listed(p2p)} says to run peer-to-peer, {_listed(github_only)} says to run on GitHub only"
            ": leave one out"
        )


class NoTagsError(TagError):
    """A tag set is empty."""

    def __init__(self) -> None:
        super().__init__(f"no tags given: name at least one of {', '.join(WorkflowTag)}")


def parse_tags(values: Iterable[str | WorkflowTag]) -> tuple[WorkflowTag, ...]:
    """Read a tag set; the order is kept, duplicates are dropped.

    Args:
        values: tags, or texts of several tags with commas or white space between them; one such text alone will do.

    Raises:
        UnknownTagError: a tag is not one of the seven; the message names the nearest.
        TagConflictError: the set says both peer-to-peer and GitHub only.
        NoTagsError: there is no tag in it.
    """
    tags = tuple(dict.fromkeys(_read(values)))
    if not tags:
        raise NoTagsError
    p2p = [tag for tag in tags if tag in P2P_TAGS]
    github_only = [tag for tag in tags if tag in GITHUB_ONLY_TAGS]
    if p2p and github_only:
        raise TagConflictError(p2p, github_only)
    return tags


def should_bypass_github(tags: Iterable[str | WorkflowTag]) -> bool:
    """Say whether a task of these tags may run on the peer-to-peer network: `p2p-only` or `p2p-eligible` is among them.

    Neither an empty set nor a conflict raises here; `parse_tags` judges those.

    Raises:
        UnknownTagError: a tag is not one of the seven.
    """
    return not P2P_TAGS.isdisjoint(_read(tags))


def is_p2p_only(tags: Iterable[str | WorkflowTag]) -> bool:
    """Say whether a task of these tags must run on the peer-to-peer network: `p2p-only` is among them.

    Raises:
        UnknownTagError: a tag is not one of the seven.
    """
    return WorkflowTag.P2P_ONLY in _read(tags)


def _read(values: Iterable[str | WorkflowTag]) -> list[WorkflowTag]:
    """Split and look up tags, without judging the set."""
    texts = [values] if isinstance(values, str) else values  # a text is iterable, too: by its letters
    return [_find(word) for text in texts for word in _SEPARATORS.split(text) if word]


def _find(word: str) -> WorkflowTag:
    try:
        return WorkflowTag(word)
    except ValueError:
        raise UnknownTagError(word) from None


def _listed(tags: Iterable[WorkflowTag]) -> str:
    return " and ".join(f"{tag.value!r}" for tag in tags)
