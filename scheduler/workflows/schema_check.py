"""A workflow file against the schema of workflow files, each fault with its line and in plain words.

The schema is the one that check-jsonschema brings along, so that nothing is fetched; jsonschema judges. Ours are the
words, the lines, and three corrections: patterns of the schema that take for ever on hostile texts are matched
otherwise; inputs of `workflow_dispatch` are looked at, and need no type, as on GitHub.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from scheduler.extras import folder_of, load
from scheduler.workflows.findings import Finding
from scheduler.workflows.reading import KeyPath, Workflow
from scheduler.workflows.tags_in_files import VARIABLES

FINDINGS_MAX: Final = 50
_SHOWN: Final = 60
_EXPRESSION: Final = "^\\$\\{\\{(.|[\r\n])*\\}\\}$"
_WITH_EXPRESSION: Final = "^.*\\$\\{\\{(.|[\r\n])*\\}\\}.*$"
_REUSABLE: Final = "^(.+\\/)+(.+)\\.(ya?ml)(@.+)?$"
_TYPES: Final = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}


def _is_workflow_path(text: str) -> bool:
    path = text.partition("@")[0]
    return len(text) <= 1_000 and "/" in path.strip("/") and path.endswith((".yml", ".yaml"))


MATCHERS: Final[Mapping[str, Callable[[str], bool]]] = {
    _EXPRESSION: lambda text: text.startswith("${{") and text.endswith("}}"),
    _WITH_EXPRESSION: lambda text: "}}" in text[text.find("${{") :] if "${{" in text else False,
    _REUSABLE: _is_workflow_path,
}
"""The patterns of the schema that backtrack, by what they mean."""


def check_schema(workflow: Workflow) -> tuple[Finding, ...]:
    """Return what the schema finds wrong with a workflow file, the first fifty."""
    found: dict[KeyPath, Finding] = {}
    for error in _validator().iter_errors(_as_github_sees(workflow)):
        for where, words in _tell(error):
            found.setdefault(where, workflow.error("schema", where, words))
            if len(found) >= FINDINGS_MAX:
                return tuple(found.values())
    return tuple(found.values())


@functools.cache
def schema() -> dict[str, Any]:
    """Return the schema, with our corrections."""
    # Of that package the file alone: importing it brings an HTTP client, which takes longer than all of the check.
    place = folder_of("check_jsonschema", "workflows") / "builtin_schemas" / "vendor" / "github-workflows.json"
    found: dict[str, Any] = json.loads(place.read_bytes())
    (events,) = (one for one in found["properties"]["on"]["oneOf"] if "properties" in one)
    events["properties"]["workflow_dispatch"].pop("$ref", None)  # beside it, draft 7 sees nothing else
    typed = found["definitions"]["workflowDispatchInput"]
    typed["oneOf"] = [*typed.get("oneOf", ()), {"not": {"required": ["type"]}}]
    return found


@functools.cache
def _validator() -> Any:
    jsonschema = load("jsonschema", "workflows")
    validators = load("jsonschema.validators", "workflows")

    def pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[Any]:
        if isinstance(instance, str):
            matches = MATCHERS.get(wanted) or re.compile(wanted).search
            if not matches(instance):
                yield jsonschema.ValidationError(f"does not match {wanted}")

    return validators.extend(jsonschema.Draft7Validator, {"pattern": pattern})(schema())


def _as_github_sees(workflow: Workflow) -> dict[str, Any]:
    """Return the content in which tags that are lists are texts: they have a finding of their own."""
    content = dict(workflow.content)
    content["env"] = _with_texts(content.get("env"))
    if content["env"] is None:
        del content["env"]
    if workflow.jobs:
        content["jobs"] = {
            job: one | {"env": _with_texts(one["env"])} if isinstance(one, dict) and "env" in one else one
            for job, one in workflow.jobs.items()
        }
    return content


def _with_texts(env: Any) -> Any:
    if not isinstance(env, dict):
        return env
    return {name: "" if name in VARIABLES and isinstance(value, list) else value for name, value in env.items()}


def _tell(error: Any) -> Iterator[tuple[KeyPath, str]]:
    """Yield where a fault stands, and words for it."""
    where: KeyPath = tuple(error.absolute_path)
    match error.validator:
        case "oneOf" | "anyOf" if error.context:
            yield from _tell_choice(where, error)
        case "oneOf" | "anyOf":
            yield where, _only_one(error)
        case "additionalProperties" if error.validator_value is False:
            yield from _tell_unknown(where, error)
        case "dependencies":
            yield where, _tell_dependency(error)
        case _:
            yield where, _words(error)


def _tell_choice(where: KeyPath, error: Any) -> Iterator[tuple[KeyPath, str]]:
    """Tell of the alternative that was meant: the only one of the right type, or that with the fewest faults."""
    branches: dict[Any, list[Any]] = {}
    for one in error.context:
        branches.setdefault(one.schema_path[0], []).append(one)
    alternatives = [error.validator_value[index] for index in branches]
    if all(set(one) <= {"required", "properties", "type"} and "required" in one for one in alternatives):
        names = [name for one in alternatives for name in one["required"]]
        yield where, f"one of {_listed(names)} is wanted"
        return
    fitting = [found for found in branches.values() if not any(_is_of_type(one, error) for one in found)]
    if not fitting:
        yield where, f"{_kinds(branches.values())} is wanted, not {_kind(error.instance)}"
        return
    for one in min(fitting, key=_badness):
        yield from _tell(one)


def _is_of_type(one: Any, error: Any) -> bool:
    """Whether an alternative fails since it is about values of another type, or other texts."""
    here = len(one.absolute_path) == len(error.absolute_path)
    return here and (
        one.validator == "type" or (one.validator in {"pattern", "const", "not"}) or _is_refused_whole(one)
    )


def _is_refused_whole(one: Any) -> bool:
    return (
        one.validator in {"oneOf", "anyOf"}
        and bool(one.context)
        and all(_is_of_type(each, one) for each in one.context)
    )


def _badness(found: Sequence[Any]) -> tuple[int, int, int]:
    """Say how far from being meant an alternative is: keys that are not its own, then what it misses."""
    keys = [key for one in found if one.validator == "additionalProperties" for key in _unknown(one)]
    unknown = len(keys) + ("uses" in keys)  # who writes `uses` means it
    missing = sum(one.validator in {"required", "const"} for one in found)
    return unknown, missing, len(found)


def _unknown(error: Any) -> list[str]:
    if not isinstance(error.instance, dict):
        return []
    known = error.schema.get("properties", {})
    patterns = [re.compile(one) for one in error.schema.get("patternProperties", {})]
    return [key for key in error.instance if key not in known and not any(one.search(key) for one in patterns)]


def _tell_unknown(where: KeyPath, error: Any) -> Iterator[tuple[KeyPath, str]]:
    known = list(error.schema.get("properties", {}))
    for key in _unknown(error):
        if not known:
            yield (*where, key), f"{key[:_SHOWN]!r} is no name: letters, digits, `-` and `_`, not a digit first"
            continue
        near = difflib.get_close_matches(key[:_SHOWN], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
        yield (*where, key), f"unknown key {key[:_SHOWN]!r}: {hint}"


def _tell_dependency(error: Any) -> str:
    missing = [
        f"{name!r} is for what has {', '.join(map(repr, wanted))}"
        for name, wanted in error.validator_value.items()
        if name in error.instance and isinstance(wanted, list) and not set(wanted) <= error.instance.keys()
    ]
    return "; ".join(missing) or _short(error.message)


def _only_one(error: Any) -> str:
    names = [name for one in error.validator_value for name in one.get("required", ()) if name in error.instance]
    return f"only one of {_listed(names)} is wanted" if len(names) > 1 else _short(error.message)


def _words(error: Any) -> str:
    value = error.validator_value
    match error.validator:
        case "type":
            kinds = [value] if isinstance(value, str) else value
            return f"{' or '.join(_TYPES.get(one, one) for one in kinds)} is wanted, not {_kind(error.instance)}"
        case "enum" | "const":
            allowed = [str(one) for one in (value if error.validator == "enum" else [value])]
            near = difflib.get_close_matches(str(error.instance)[:_SHOWN], allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(allowed)}"
            return f"{_shown(error.instance)} is not allowed here: {hint}"
        case "required":
            missing = [name for name in value if name not in error.instance]
            return f"{_listed(missing)} is missing"
        case "pattern":
            return f"{_shown(error.instance)} does not have the form that is wanted here"
        case "minItems" | "minProperties":
            return "must not be empty"
        case _:
            return _short(error.message)


def _kinds(branches: Any) -> str:
    kinds: dict[str, None] = {}
    for found in branches:
        for one in found:
            kinds |= dict.fromkeys(_wanted(one))
    return " or ".join(kinds) or "another value"


def _wanted(one: Any) -> Iterator[str]:
    if one.validator == "type":
        for kind in [one.validator_value] if isinstance(one.validator_value, str) else one.validator_value:
            yield _TYPES.get(kind, kind)
    elif one.validator in {"oneOf", "anyOf"}:
        for each in one.context:
            yield from _wanted(each)
    elif one.validator == "pattern" and one.validator_value in {_EXPRESSION, _WITH_EXPRESSION}:
        yield "an expression"


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    return f"the number {value}" if isinstance(value, int | float) else f"the text {_shown(value)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))
