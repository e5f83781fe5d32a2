"""Tags in workflow files, as the contract says: read as YAML, each with its line."""

from __future__ import annotations

import pytest

from scheduler.workflows.tags_in_files import FileTags, read_tags
from tests.workflows.files import GUIDE, one_job, read

JOBS = "on: push\njobs:\n  a:\n    runs-on: x\n  b:\n    runs-on: x\n"


def tags(text: str) -> FileTags:
    """Return the tags of a text."""
    return read_tags(read(text))


def of(text: str, job: str = "a") -> list[tuple[str, int]]:
    """Return the tags of a job with their lines; there must be no finding."""
    found = tags(text)
    assert not found.findings
    return [(one.tag.value, one.line) for one in found.jobs[job].found]


def test_the_guide_s_own_file_has_its_tags() -> None:
    """The workflow's variable is read, and its job has it."""
    found = tags(GUIDE)
    assert [(one.tag.value, one.line, one.source) for one in found.workflow.found] == [
        ("p2p-only", 10, "env.WORKFLOW_TAGS"),
        ("code-generation", 10, "env.WORKFLOW_TAGS"),
    ]
    assert found.jobs["generate"] == found.workflow
    assert found.workflow.bypasses_github
    assert found.workflow.is_p2p_only
    assert not found.findings


@pytest.mark.parametrize(
    "value",
    [
        "p2p-only,web-scraping",
        "p2p-only web-scraping",
        "'p2p-only, web-scraping'",
        "p2p-only, web-scraping  # why",
        '"p2p-only,\\\n    web-scraping" # why',
    ],
)
def test_a_text_has_commas_or_spaces(value: str) -> None:
    """Every form gives the same tags; a trailing comment loses nothing."""
    for name in ("WORKFLOW_TAGS", "P2P_TAGS"):
        found = of(f"env:\n  {name}: {value}\n{JOBS}")
        assert [tag for tag, _ in found] == ["p2p-only", "web-scraping"]
        assert {line for _, line in found} == {2}


def test_each_tag_has_its_own_line() -> None:
    """In a list, and in a literal block, a tag's line is where it stands."""
    assert of(f"env:\n  P2P_TAGS: |\n    p2p-only\n    web-scraping\n{JOBS}") == [("p2p-only", 3), ("web-scraping", 4)]
    found = tags(f"env:\n  P2P_TAGS:\n  - p2p-only\n  - web-scraping # why\n{JOBS}")
    assert [(one.tag.value, one.line) for one in found.workflow.found] == [("p2p-only", 3), ("web-scraping", 4)]
    assert [(one.rule, one.line, one.is_error) for one in found.findings] == [("tags.list", 2, False)]


@pytest.mark.parametrize(
    "text",
    [
        f"env:\n  NOT_WORKFLOW_TAGS: p2p-only\n{JOBS}",
        f"env:\n  workflow_tags: p2p-only\n{JOBS}",
        f"env:\n  X: 1\n  # WORKFLOW_TAGS: p2p-only\n{JOBS}",
        f"WORKFLOW_TAGS: p2p-only\n{JOBS}",
        f"env: {{X: 'WORKFLOW_TAGS: p2p-only'}}\n{JOBS}",
        f"env:\n  X: |\n    # P2P: p2p-only\n{JOBS}",
        f"env:\n  P2P_TAGS:\n{JOBS}",
        f"env:\n  P2P_TAGS: ''\n{JOBS}",
        f"{JOBS}    env: {{X: 1}} # P2P: p2p-only\n",
        f"{JOBS}# our P2P: p2p-only\n# NOT Tags: p2p-only\n",
        one_job(steps="- run: |\n    # P2P: p2p-only\n    echo 'WORKFLOW_TAGS: p2p-only'"),
        one_job(steps="- run: |\n\n    # P2P: p2p-only"),
        one_job(steps="- run: >-\n    # Tags: p2p-only\n    x"),
        one_job(steps="- run: 'a\n    # P2P: p2p-only'"),
        one_job(steps='- run: "echo # P2P: p2p-only"'),
        one_job(steps="- run: x\n  env: {WORKFLOW_TAGS: p2p-only}"),
        one_job("# P2P_TAGS: p2p-only"),
    ],
    ids=str,
)
def test_what_only_looks_like_a_tag_is_none(text: str) -> None:
    """Nothing in a text, in a commented-out key, under another name or in another place counts."""
    found = tags(text)
    assert not any(one.found for one in (found.workflow, *found.jobs.values()))
    assert not [one for one in found.findings if one.is_error]


def test_comments_are_whole_lines() -> None:
    """`# P2P:` and `# Tags:` with commas or spaces, at any depth; a second # begins words that are no tags."""
    for comment in (
        "# P2P: p2p-only, web-scraping",
        "#Tags: p2p-only web-scraping",
        "## P2P : p2p-only,web-scraping # x",
    ):
        assert of(f"{comment}\n{JOBS}") == [("p2p-only", 1), ("web-scraping", 1)]


def test_jobs_are_not_merged() -> None:
    """What one job says is not another's, whether in a variable or in a comment."""
    text = (
        "on: push\njobs:\n"
        "  a:\n    # P2P: p2p-only\n    runs-on: x\n    # Tags: code-generation\n\n"
        "  # P2P: web-scraping\n  b:\n    runs-on: x\n    env: {P2P_TAGS: p2p-eligible}\n"
        "  c:\n    runs-on: x\n# P2P: data-processing\n"
    )
    assert of(text, "a") == [("data-processing", 14), ("p2p-only", 4), ("code-generation", 6)]
    assert of(text, "b") == [("data-processing", 14), ("p2p-eligible", 11), ("web-scraping", 8)]
    assert of(text, "c") == [("data-processing", 14)]


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("on: push\njobs:\n  a:\n    runs-on: x\n    # P2P: p2p-only\n  b:\n    runs-on: x\n", "a"),
        ("on: push\njobs:\n  a:\n    runs-on: x\n  # P2P: p2p-only\n  b:\n    runs-on: x\n", "b"),
        ("on: push\njobs:\n  a:\n    runs-on: x\n  # P2P: p2p-only\n  # more words\n  b:\n    runs-on: x\n", "b"),
        ("on: push\njobs:\n  a:\n    runs-on: x\n  # P2P: p2p-only\n\n  b:\n    runs-on: x\n", ""),
        ("on: push\njobs:\n  a:\n    runs-on: x\n# P2P: p2p-only\n  b:\n    runs-on: x\n", ""),
        ("on: push\njobs:\n  a:\n    runs-on: x\n  b:\n    runs-on: x\n    # P2P: p2p-only\n", "b"),
        ("jobs:\n  a:\n    runs-on: x\n  b:\n    runs-on: x\non: push\n    # P2P: p2p-only\n", ""),
        ("on: push\njobs:\n  a: {runs-on: x,\n# P2P: p2p-only\n   name: y}\n  b:\n    runs-on: x\n", "a"),
    ],
)
def test_a_comment_belongs_where_it_stands(text: str, owner: str) -> None:
    """To the job in whose lines it stands, or above whose key without a gap; else to the workflow."""
    found = tags(text)
    having = {job for job, one in found.jobs.items() if one.found}
    assert having == ({owner} if owner else {"a", "b"})
    assert bool(found.workflow.found) == (owner == "")


def test_a_job_s_variable_stands_for_the_workflow_s() -> None:
    """As with every variable of a job; the other variable, and comments, stay."""
    text = "env: {WORKFLOW_TAGS: unit-test}\n" + one_job("env: {WORKFLOW_TAGS: p2p-only}")
    assert of(text) == [("p2p-only", 6)]
    text = "env: {WORKFLOW_TAGS: p2p-only}\n" + one_job("env: {P2P_TAGS: web-scraping}")
    assert of(text) == [("p2p-only", 1), ("web-scraping", 6)]


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("env: {P2P_TAGS: p2p-olny}\n" + JOBS, 1, "env.P2P_TAGS", "nearest known tag is 'p2p-only'"),
        ("env:\n  P2P_TAGS:\n  - p2p-only\n  - unit-tests\n" + JOBS, 4, "env.P2P_TAGS[1]", "'unit-test'"),
        (JOBS + "    # P2P: nothing-known\n", 7, "jobs.b", "unknown tag"),
        (JOBS + "    # Tags: p2p-onli\n", 7, "jobs.b", "unknown tag"),
    ],
)
def test_an_unknown_tag_is_an_error_with_the_nearest(text: str, line: int, key: str, words: str) -> None:
    """Each is told with its line; none is dropped in silence."""
    (found,) = [one for one in tags(text).findings if one.is_error]
    assert (found.rule, found.line, found.key) == ("tags.unknown", line, key)
    assert words in found.words
    assert found.advice.startswith("did you mean ")


def test_other_people_s_tags_comments_are_left_aside_and_told() -> None:
    """`# Tags:` with words of another trade is no error, but it is said."""
    (found,) = tags("# Tags: docker images, nightly\n" + JOBS).findings
    assert (found.rule, found.line, found.is_error) == ("tags.comment", 1, False)


def test_a_conflict_is_an_error_of_the_job_it_is_in() -> None:
    """Peer-to-peer and GitHub only at once, with the lines of what says so; another job is not touched by it."""
    text = (
        "on: push\nenv: {P2P_TAGS: p2p-only}\njobs:\n  a:\n    # Tags: unit-test\n    runs-on: x\n  b:\n    name: b\n"
    )
    (found,) = tags(text).findings
    assert (found.rule, found.key, found.line) == ("tags.conflict", "jobs.a", 5)
    assert "lines 2, 5" in found.words
    (found,) = tags("env: {P2P_TAGS: 'p2p-eligible github-api'}\non: push\n").findings
    assert (found.rule, found.key, found.line) == ("tags.conflict", "", 1)


@pytest.mark.parametrize("value", ["${{ vars.TAGS }}", "7", "true", "{a: b}"])
def test_tags_are_names_not_expressions(value: str) -> None:
    """What is not known before the run, or is no name, is an error."""
    found = tags(f"env:\n  P2P_TAGS: {value}\n{JOBS}")
    assert [(one.rule, one.line, one.is_error) for one in found.findings] == [("tags.type", 2, True)]


@pytest.mark.parametrize("text", ["jobs: 3\n", "env: 3\njobs: {a: 3, b: [], c: {env: 7}}\n", "on: push\n"])
def test_a_file_of_another_shape_has_no_tags(text: str) -> None:
    """Nothing raises, whatever stands where a job is wanted."""
    assert not tags(text).findings
