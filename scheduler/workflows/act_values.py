"""Files that are written for act: numbers and conditions as GitHub takes them, and JSON that YAML reads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from scheduler.workflows.matrix import render_value

_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def as_meant(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's top, a job or a step with its numbers as GitHub takes them.

    In `env` and `with` they are texts: act would hand on `2.0` as it is written. As an `if` they are true or false: act
    cannot read all of them.
    """
    found = dict(content)
    for key in ("env", "with"):
        if isinstance(found.get(key), dict):
            found[key] = {name: render_value(value) for name, value in found[key].items()}
    if isinstance(found.get("if"), int | float):
        found["if"] = bool(found["if"])
    return found


def yaml_of(value: Any) -> str:
    """Return JSON that YAML reads as the same: what YAML takes for line breaks or marks is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
