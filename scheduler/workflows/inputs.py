"""The event and the inputs of a run, checked as GitHub checks them when somebody runs a workflow by hand."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, Final

from scheduler.workflows.matrix import render_value
from scheduler.workflows.reading import Workflow
from scheduler.workflows.splicing import dispatch_inputs

DISPATCH: Final = "workflow_dispatch"
INPUT_CHARS_MAX: Final = 65_535


class RunInputError(ValueError):
    """An input, or the event, is not what the workflow file declares; the message names it."""

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.advice = advice


def events_of(workflow: Workflow) -> tuple[str, ...]:
    """Return the events that trigger a workflow, in the order of the file."""
    said = workflow.content.get("on")
    names = [said] if isinstance(said, str) else said if isinstance(said, list | dict) else []
    return tuple(name for name in names if isinstance(name, str))


def choose_event(workflow: Workflow, wanted: str | None) -> str:
    """Return the event a run stands for: the one that is wanted, else workflow_dispatch, push, or the first.

    Raises RunInputError for one that does not trigger the workflow.
    """
    events = events_of(workflow)
    if wanted is not None:
        if wanted not in events:
            raise RunInputError(f"{wanted} does not trigger {workflow.path}", f"what does: {', '.join(events)}")
        return wanted
    return next((name for name in (DISPATCH, "push") if name in events), events[0] if events else DISPATCH)


def check_inputs(workflow: Workflow, event: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs of a run, defaults filled in, each as the text in which GitHub hands it on.

    Raises RunInputError for one that is not declared, is missing, or is not of its type.
    """
    if event != DISPATCH:
        if given:
            raise RunInputError(f"the event {event} has no inputs", f"inputs are those of {DISPATCH}")
        return {}
    declared = dispatch_inputs(workflow)
    for name in given:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            known = f"did you mean {near[0]}?" if near else f"declared are: {', '.join(declared) or 'none'}"
            raise RunInputError(f"{workflow.path} declares no input {name!r}", known)
    found: dict[str, str] = {}
    for name, said in declared.items():
        text = given.get(name, _default(said))
        if not text and said.get("required") is True:
            words = f"input {name!r} is required"
            about = said.get("description")
            raise RunInputError(words, f"--input {name}=…" + (f" ({about})" if isinstance(about, str) else ""))
        if text is not None:
            _check(name, said, text)
            found[name] = text
    return found


def _default(said: Mapping[str, Any]) -> str | None:
    default = said.get("default")
    if default is None:
        return "false" if said.get("type") == "boolean" else None
    return None if isinstance(default, dict | list) else render_value(default)


def _check(name: str, said: Mapping[str, Any], text: str) -> None:
    if len(text) > INPUT_CHARS_MAX or "\0" in text:
        raise RunInputError(f"input {name!r}: at most {INPUT_CHARS_MAX} characters, none of them NUL")
    match said.get("type"):
        case "boolean":
            if text not in {"true", "false"}:
                raise RunInputError(f"input {name!r}: true or false is wanted, not {text[:60]!r}")
        case "number":
            if text and not _is_number(text):
                raise RunInputError(f"input {name!r}: a number is wanted, not {text[:60]!r}")
        case "choice":
            listed = said.get("options")
            options = [render_value(one) for one in listed] if isinstance(listed, list) else []
            if text and text not in options:
                near = difflib.get_close_matches(text[:60], options, n=1)
                hint = f"did you mean {near[0]}?" if near else ""
                raise RunInputError(f"input {name!r}: {text[:60]!r} is none of {', '.join(options)}", hint)
        case _:  # a text, an environment: anything
            pass


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False
