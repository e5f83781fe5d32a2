"""The legs of a matrix, by GitHub's rules: the cases of its documents, and where this scheduler refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.workflows.findings import Finding
from scheduler.workflows.matrix import LEGS_MAX, Leg, legs_of
from tests.workflows.files import one_job, read


def legs(matrix: Any, **strategy: Any) -> tuple[tuple[Leg, ...], tuple[Finding, ...]]:
    """Return the legs of a job with this matrix."""
    said = json.dumps({"matrix": matrix} | strategy)
    return legs_of(read(one_job(f"strategy: {said}")), "a")


def values(matrix: Any) -> list[dict[str, Any]]:
    """Return the values of all legs; there must be no finding."""
    found, findings = legs(matrix)
    assert not findings
    return [dict(one.values) for one in found]


def test_without_a_matrix_there_is_one_leg() -> None:
    """A job that says nothing is one task, under its name."""
    assert legs_of(read(one_job()), "a") == ((Leg("a", {}),), ())
    assert legs_of(read(one_job("name: The job")), "a")[0][0].name == "The job"
    assert legs_of(read(one_job("strategy: {fail-fast: false}")), "a") == ((Leg("a", {}),), ())


def test_the_first_axis_turns_slowest() -> None:
    """The product in the order of the file; names are those GitHub shows."""
    found, _ = legs({"os": ["l", "m"], "v": [10, 12]})
    assert [one.name for one in found] == ["a (l, 10)", "a (l, 12)", "a (m, 10)", "a (m, 12)"]


def test_include_as_in_github_s_documents() -> None:
    """The example of the documents, entry by entry: added where nothing of the leg's own changes, else a leg."""
    found = values(
        {
            "fruit": ["apple", "pear"],
            "animal": ["cat", "dog"],
            "include": [
                {"color": "green"},
                {"color": "pink", "animal": "cat"},
                {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"},
                {"fruit": "banana", "animal": "cat"},
            ],
        }
    )
    assert found == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_include_alone_makes_a_leg_for_each() -> None:
    """Without axes there is nothing to add to."""
    assert values({"include": [{"site": "a"}, {"site": "b"}]}) == [{"site": "a"}, {"site": "b"}]


def test_exclude_takes_what_fits_in_part_and_before_include() -> None:
    """An entry takes out every leg that has all it names; include may bring one back."""
    found = values(
        {
            "os": ["linux", "mac"],
            "v": [1, 2],
            "env": ["x", "y"],
            "exclude": [{"os": "mac", "v": 1, "env": "y"}, {"os": "LINUX", "v": "1"}],
            "include": [{"os": "linux", "v": 1, "env": "x"}],
        }
    )
    assert found == [
        {"os": "linux", "v": 2, "env": "x"},
        {"os": "linux", "v": 2, "env": "y"},
        {"os": "mac", "v": 1, "env": "x"},
        {"os": "mac", "v": 2, "env": "x"},
        {"os": "mac", "v": 2, "env": "y"},
        {"os": "linux", "v": 1, "env": "x"},
    ]


def test_values_may_be_maps_and_lists() -> None:
    """They fit by what is named of them, and their leaves stand in the name."""
    found, _ = legs(
        {"node": [{"v": 14, "env": "A"}, {"v": 16}], "flags": [["a", "b"], []], "exclude": [{"node": {"v": 16}}]}
    )
    assert [one.name for one in found] == ["a (14, A, a, b)", "a (14, A)"]


def test_names_are_written_as_expressions_write_values() -> None:
    """3.10 is 3.1, true is true; a title with expressions says all itself; long names are cut."""
    found, _ = legs_of(read(one_job("name: Run\nstrategy: {matrix: {v: [3.10, 3.0, true, null, '']}}")), "a")
    assert [one.name for one in found] == ["Run (3.1)", "Run (3)", "Run (true)", "Run", "Run"]
    more = "name: On ${{ matrix.os }}, ${{matrix.n.v}} ${{ github.ref }}\nstrategy: {matrix: {os: [l], n: [{V: 1}]}}"
    assert legs_of(read(one_job(more)), "a")[0][0].name == "On l, 1 ${{ github.ref }}"
    found, _ = legs({"x": ["y" * 200]})
    assert (len(found[0].name), found[0].name[-4:]) == (100, "y...")


@pytest.mark.parametrize(
    ("matrix", "rule", "key"),
    [
        ("${{ fromJSON(needs.plan.outputs.matrix) }}", "matrix.dynamic", "jobs.a.strategy.matrix"),
        ({"os": "${{ fromJSON(inputs.os) }}"}, "matrix.dynamic", "jobs.a.strategy.matrix.os"),
        ({"os": ["a", "${{ inputs.os }}"]}, "matrix.dynamic", "jobs.a.strategy.matrix.os"),
        ({"os": ["a"], "include": "${{ fromJSON('[]') }}"}, "matrix.dynamic", "jobs.a.strategy.matrix.include"),
        ({"os": ["a"], "exclude": [{"oss": "a"}]}, "matrix.exclude", "jobs.a.strategy.matrix.exclude[0].oss"),
        ({"os": ["a"], "exclude": [{"os": "a"}]}, "matrix.legs", "jobs.a.strategy.matrix"),
        ({"x": list(range(17)), "y": list(range(17))}, "matrix.legs", "jobs.a.strategy.matrix"),
        ({"x": list(range(9))} | {f"a{n}": list(range(9)) for n in range(30)}, "matrix.legs", "jobs.a.strategy.matrix"),
        ({"os": "a"}, "matrix.type", "jobs.a.strategy.matrix.os"),
        ({"os": []}, "matrix.type", "jobs.a.strategy.matrix.os"),
        ({"include": ["a"]}, "matrix.type", "jobs.a.strategy.matrix.include[0]"),
        (["a"], "matrix.type", "jobs.a.strategy.matrix"),
        ({}, "matrix.legs", "jobs.a.strategy.matrix"),
    ],
    ids=str,
)
def test_a_matrix_that_is_not_known_or_not_possible_is_refused(matrix: Any, rule: str, key: str) -> None:
    """Refused with the place and the reason; there are no legs then."""
    found, findings = legs(matrix)
    assert not found
    assert [(one.rule, one.key, one.is_error) for one in findings] == [(rule, key, True)]


def test_what_is_not_followed_is_said() -> None:
    """fail-fast and max-parallel bind legs together, which tasks are not."""
    _, findings = legs({"v": [1]}, **{"fail-fast": True, "max-parallel": 2})
    assert [(one.rule, one.is_error) for one in findings] == [
        ("matrix.fail-fast", False),
        ("matrix.max-parallel", False),
    ]
    assert not legs({"v": [1]}, **{"fail-fast": False})[1]


AXIS = st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("pqr"), AXIS, min_size=1), st.data())
def test_excluding_and_including_keep_the_rules(axes: dict[str, list[str]], data: st.DataObject) -> None:
    """No leg fits an exclude unless an include made it, and no own value is ever changed."""
    entry = st.fixed_dictionaries({}, optional={name: st.sampled_from(one) for name, one in axes.items()})
    exclude = data.draw(st.lists(entry.filter(bool), max_size=2))
    include = data.draw(st.lists(entry.map(lambda one: one | {"more": "m"}), max_size=2))
    found, findings = legs(axes | ({"exclude": exclude} if exclude else {}) | ({"include": include} if include else {}))
    if findings:
        assert findings[0].rule == "matrix.legs"
        return
    assert 0 < len(found) <= LEGS_MAX
    full = [one.values for one in found if axes.keys() <= one.values.keys()]
    for leg in full:
        fits = any(all(leg.get(name) == value for name, value in one.items()) for one in exclude)
        assert not fits or leg.get("more") == "m"
