"""The legs of a job's matrix, by GitHub's rules, and their names as GitHub shows them.

Implements: the product of the axes in the order of the file; `exclude` on it; then `include`, which adds to the legs
whose own values it does not change, else makes a leg. A matrix with expressions is known at run time only, and refused:
each leg is a task, and tasks must be known when they are submitted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.workflows.expressions import find_expressions, has_expression, references
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow

LEGS_MAX: Final = 256
NAME_CHARS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of a job: its values, empty where the job has no matrix; `name` as GitHub shows it."""

    name: str
    values: Mapping[str, Any]


def legs_of(workflow: Workflow, job: str) -> tuple[tuple[Leg, ...], tuple[Finding, ...]]:
    """Return the legs of a job, and what is wrong with its matrix; no legs where that keeps them from being known."""
    content = workflow.jobs[job]
    strategy = content.get("strategy") if isinstance(content, dict) else None
    said = content.get("name") if isinstance(content, dict) else None
    title = said if isinstance(said, str) else job
    if strategy is None:
        return (Leg(_name(title, {}), {}),), ()
    where: KeyPath = ("jobs", job, "strategy")
    if not isinstance(strategy, dict):
        return (), (workflow.error("matrix.dynamic", where, "what it holds is known at run time only", _ADVICE),)
    doubts = tuple(_doubts(workflow, where, strategy))
    if "matrix" not in strategy:
        return (Leg(_name(title, {}), {}),), doubts
    matrix, where = strategy["matrix"], (*where, "matrix")
    errors = list(_faults(workflow, where, matrix))
    if errors:
        return (), (*doubts, *errors)
    found = _expand(matrix)
    if not found or len(found) > LEGS_MAX:
        words = "no leg is left of it" if not found else f"it makes more than the {LEGS_MAX} legs that GitHub allows"
        return (), (*doubts, workflow.error("matrix.legs", where, words))
    return tuple(Leg(_name(title, values), values) for values in found), doubts


_ADVICE: Final = "write the values out: each leg is a task, and tasks are known when they are submitted"


def _doubts(workflow: Workflow, where: KeyPath, strategy: Mapping[str, Any]) -> Iterator[Finding]:
    if strategy.get("fail-fast") not in (None, False):
        words = "not followed: each leg is a task of its own, and one that fails ends no other"
        yield workflow.warning("matrix.fail-fast", (*where, "fail-fast"), words)
    if "max-parallel" in strategy:
        words = "not followed: as many legs run at once as there are workers for them"
        yield workflow.warning("matrix.max-parallel", (*where, "max-parallel"), words)


def _faults(workflow: Workflow, where: KeyPath, matrix: Any) -> Iterator[Finding]:
    if not isinstance(matrix, dict):
        dynamic = has_expression(matrix)
        words = f"known at run time only: {matrix}" if dynamic else "a map of lists is wanted"
        yield workflow.error("matrix.dynamic" if dynamic else "matrix.type", where, words, _ADVICE)
        return
    for name, values in matrix.items():
        place = (*where, name)
        if has_expression(values):
            yield workflow.error("matrix.dynamic", place, f"known at run time only: {_first(values)}", _ADVICE)
        elif not isinstance(values, list) or not values:
            yield workflow.error("matrix.type", place, "a list of at least one value is wanted")
        elif name in {"include", "exclude"}:
            axes = matrix.keys() - {"include", "exclude"}
            yield from _listed_faults(workflow, place, values, axes if name == "exclude" else None)


def _listed_faults(workflow: Workflow, where: KeyPath, values: list[Any], axes: set[str] | None) -> Iterator[Finding]:
    for index, one in enumerate(values):
        if not isinstance(one, dict):
            yield workflow.error("matrix.type", (*where, index), "a map is wanted")
            continue
        for name in sorted(one.keys() - axes) if axes is not None else ():
            yield workflow.error("matrix.exclude", (*where, index, name), "names no axis of the matrix")


def _first(values: Any) -> str:
    found = values if isinstance(values, str) else next(filter(has_expression, _leaves(values)), "an expression")
    return str(found)[:120]


def _expand(matrix: Mapping[str, Any]) -> list[dict[str, Any]]:
    axes = {name: values for name, values in matrix.items() if name not in {"include", "exclude"}}
    product: Iterator[tuple[Any, ...]] = itertools.product(*axes.values()) if axes else iter(())
    combined = (dict(zip(axes, values, strict=True)) for values in product)
    excluded = matrix.get("exclude", [])
    kept = (one for one in combined if not any(_fits(filtered, one) for filtered in excluded))
    # One more than may be: enough to see that there are too many.
    found = list(itertools.islice(kept, LEGS_MAX + 1))
    added: list[dict[str, Any]] = [{} for _ in found]
    alone: list[dict[str, Any]] = []
    for entry in matrix.get("include", []):
        own = {name: value for name, value in entry.items() if name in axes}
        more = {name: value for name, value in entry.items() if name not in axes}
        at = [index for index, one in enumerate(found) if _fits(own, one)]
        for index in at:
            added[index] |= more
        if not at:
            alone.append(dict(entry))
    return [one | more for one, more in zip(found, added, strict=True)] + alone


def _fits(wanted: Any, value: Any) -> bool:
    """Whether a value has all that is wanted of it, as `==` of an expression sees it."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            name in value and _fits(one, value[name]) for name, one in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and len(wanted) <= len(value) and all(map(_fits, wanted, value))
    if isinstance(value, dict | list):
        return False
    if isinstance(wanted, bool) or isinstance(value, bool) or wanted is None or value is None:
        return wanted is value
    return render_value(wanted).lower() == render_value(value).lower()


def render_value(value: Any) -> str:
    """Return a scalar as GitHub writes it, numbers with 15 digits: 3.10 is 3.1, 1e3 is 1000; null is nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15G}" if isinstance(value, int | float) else str(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


def _name(title: str, values: Mapping[str, Any]) -> str:
    """Return the name of a leg: its values behind the title, or where the title names them."""
    if has_expression(title):
        return fill_in(title, values)
    shown = render_leg(values)
    name = f"{title} ({shown})" if shown else title
    return name if len(name) <= NAME_CHARS_MAX or not shown else f"{name[: NAME_CHARS_MAX - 3]}..."


def render_leg(values: Mapping[str, Any]) -> str:
    """Return the values of a leg as text, those in lists and maps one by one."""
    return ", ".join(text for text in map(render_value, _leaves(dict(values))) if text.strip())


def fill_in(text: str, values: Mapping[str, Any]) -> str:
    """Return a text with the expressions in it that name a value of the leg replaced; others stay as they are."""
    done, at = [], 0
    for span in find_expressions(text):
        done.append(text[at : span.start])
        done.append(_value_of(span.inner, values, text[span.start : span.end]))
        at = span.end
    return "".join([*done, text[at:]])


def _value_of(inner: str, values: Mapping[str, Any], otherwise: str) -> str:
    named = references(inner)
    if len(named) != 1 or named[0][0] != "matrix" or inner.strip().lower() != ".".join(named[0]):
        return otherwise
    value: Any = values
    for step in named[0][1:]:
        here = {name.lower(): one for name, one in value.items()} if isinstance(value, Mapping) else {}
        value = here.get(step)
    return otherwise if isinstance(value, Mapping | list) else render_value(value)
