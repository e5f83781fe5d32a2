"""What an expression may name at each place of a file: act calls a file invalid that names something else there.

Source: "Context availability" in GitHub's reference of contexts, which the schema within act 0.2.89 follows. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scheduler.workflows.reading import KeyPath

STATUS_FUNCTIONS: Final = frozenset(("success", "failure", "always", "cancelled"))
"""Those that stand in an `if` only."""
ARGUMENTS_MAX: Final = 255
_HASH: Final[Mapping[str, tuple[int, int]]] = {"hashfiles": (1, ARGUMENTS_MAX)}
_STATUS: Final[Mapping[str, tuple[int, int]]] = dict.fromkeys(STATUS_FUNCTIONS, (0, 0))


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a file.

    Args:
        contexts: what an expression may name there; nothing at all: there can be none.
        functions: what it may call beside those that stand everywhere, with how many values, least and most.
    """

    contexts: frozenset[str]
    functions: Mapping[str, tuple[int, int]] = field(default_factory=dict)


_BASE: Final = frozenset(("github", "inputs", "vars"))
_NEEDS: Final = _BASE | {"needs"}
_LEG: Final = _NEEDS | {"strategy", "matrix"}
_RUNNING: Final = _LEG | {"steps", "job", "runner", "env"}
CONTEXTS: Final = _RUNNING | {"secrets"}
"""All that there are, each at some place."""
_STEP: Final = Place(CONTEXTS, _HASH)
_NONE: Final = Place(frozenset())
_OF_FILE: Final[Mapping[str, Place]] = {
    "run-name": Place(_BASE),
    "env": Place(_BASE | {"secrets"}),
    "concurrency": Place(_BASE),
}
_OF_JOB: Final[Mapping[str, Place]] = {
    "if": Place(_NEEDS, dict.fromkeys(STATUS_FUNCTIONS, (0, ARGUMENTS_MAX))),
    "strategy": Place(_NEEDS),
    "name": Place(_LEG),
    "runs-on": Place(_LEG),
    "timeout-minutes": Place(_LEG),
    "continue-on-error": Place(_LEG),
    "concurrency": Place(_LEG),
    "environment": Place(_LEG),
    "container": Place(_LEG | {"secrets", "env"}),
    "services": Place(_LEG | {"secrets", "env"}),
    "env": Place(_LEG | {"secrets"}),
    "defaults": Place(_LEG | {"env"}),
    "outputs": Place(CONTEXTS),
}
_OF_STEP: Final[Mapping[str, Place]] = {
    "if": Place(_RUNNING, {**_HASH, **_STATUS}),
    "id": _NONE,
    "uses": _NONE,
    "shell": _NONE,
}
_IN_ACTION: Final = _RUNNING - {"needs", "vars"}
_DEFAULT: Final = Place(frozenset(("github", "strategy", "matrix", "job", "runner")), _HASH)
_OF_ACTION_STEP: Final[Mapping[str, Place]] = {
    "if": Place(_IN_ACTION, {**_HASH, **_STATUS}),
    "id": _NONE,
    "uses": _NONE,
}


def place_of(where: KeyPath) -> Place:
    """Return what may stand at a key of a workflow file, or at one of an action's inputs and steps."""
    match where:
        case ("jobs", _, "steps", _, key, *_):
            return _OF_STEP.get(str(key), _STEP)
        case ("jobs", _, key, *_):
            return _OF_JOB.get(str(key), _NONE)
        case ("runs", "steps", _, key, *_):
            return _OF_ACTION_STEP.get(str(key), Place(_IN_ACTION, _HASH))
        case ("inputs", _, "default"):
            return _DEFAULT
        case (key, *_):
            return _OF_FILE.get(str(key), _NONE)
        case _:
            return _NONE
