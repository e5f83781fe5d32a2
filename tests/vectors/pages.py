"""The parts of the specs' pages that are generated: whole examples, and the table of all rules.

Each stands between two comments, `<!-- NAME: … -->` and `<!-- end of NAME -->`. `make vectors` writes them again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ledger.cid import Cid
from ledger.codec import decode
from tests.vectors.readable import dag_json, json_text
from tests.vectors.scenes_saying import life

EXAMPLE: Final = "claim"
"""The event of boards/life.json that specs/events.md shows whole."""
PAGES: Final = (
    *("events", "acceptance", "authority", "tasks", "clock", "assignment"),
    *("car", "exchange", "segments", "hints", "audit"),
)
LETTERS: Final = {"F0": "ab", "F1": "abcdef", "F2": "abcde", "F3": "abc"}
"""Rules whose letters are rules of their own: what is without effect is reported under them."""
_RULE: Final = re.compile(r"^- \*\*([A-Z]\d*)[ *]", re.MULTILINE)
TEST: Final = "tests/vectors/test_vectors.py::test_rule"


def rules_of(page: str) -> list[str]:
    """Return the ids of the rules that the text of a page lays down, in its order."""
    return [rule + letter for rule in _RULE.findall(page) for letter in LETTERS.get(rule, ("",))]


def vector_files(vectors: Path) -> dict[str, list[str]]:
    """Return for each rule the vector files that say they show it."""
    found: dict[str, list[str]] = {}
    for path in sorted([*vectors.glob("*.json"), *vectors.glob("boards/*.json")]):
        for rule in json.loads(path.read_text(encoding="utf-8"))["rules"]:
            found.setdefault(rule, []).append(path.relative_to(vectors).as_posix())
    return found


def refresh(specs: Path) -> None:
    """Write the generated parts of the pages again."""
    for name, text in (("events", event_example()), ("assignment", turn_example(specs / "vectors"))):
        _replace(specs / f"{name}.md", "example", text)
    _replace(specs / "README.md", "rules", rule_table(specs))


def rule_table(specs: Path) -> str:
    """Return the table of all rules."""
    files = vector_files(specs / "vectors")
    lines = ["| rule | page | vectors | test |", "|---|---|---|---|"]
    for page in PAGES:
        for rule in rules_of((specs / f"{page}.md").read_text(encoding="utf-8")):
            links = ", ".join(f"[{name.removesuffix('.json')}](vectors/{name})" for name in files.get(rule, ()))
            lines.append(f"| {rule} | [{page}]({page}.md) | {links} | `{TEST}[{rule}]` |")
    return "\n".join(lines)


def event_example() -> str:
    """Return one event as DAG-JSON, hex and CID."""
    block = life().world.said[EXAMPLE].block
    value = decode(block)
    assert isinstance(value, dict)
    lines = "\n".join(block.hex()[at : at + 128] for at in range(0, 2 * len(block), 128))
    return (
        f"The event `{EXAMPLE}` of [boards/life](vectors/boards/life.json), as DAG-JSON:\n\n"
        f"```json\n{json_text(dag_json(value))}```\n\n"
        f"Its {len(block)} bytes:\n\n```\n{lines}\n```\n\nIts CID: `{Cid.of(block)}`"
    )


def turn_example(vectors: Path) -> str:
    """Return the first case of scheduling.json as a table."""
    case = json.loads((vectors / "scheduling.json").read_text(encoding="utf-8"))["cases"][0]
    rows = "\n".join(_turn_row(turn, case["now"]) for turn in case["tasks"])
    return (
        f"Case `{case['name']}` of [scheduling.json](vectors/scheduling.json): peer {case['me']} at now = {case['now']}"
        f", times here relative to now; default policy.\n\n"
        "| task | ranking (distance) | ready_at | due | rank | take_at |\n|---|---|---|---|---|---|\n"
        f"{rows}\n\n{case['me']} takes, in this order: {', '.join(case['ready']) or 'none'}; "
        f"it waits for its turn at: {', '.join(case['delayed']) or 'none'}."
    )


def _turn_row(turn: Mapping[str, object], now: int) -> str:
    def relative(name: str) -> str:
        value = turn[name]
        return f"{value - now:+,}" if isinstance(value, int) else "–"

    ranking = turn["ranking"]
    assert isinstance(ranking, list)
    ranked = ", ".join(f"{who} ({bits})" for who, bits in ranking)
    rank = "–" if turn["rank"] is None else turn["rank"]
    return (
        f"| {turn['task']} | {ranked} | {relative('ready_at')} | {relative('due')} | {rank} | {relative('take_at')} |"
    )


def part_of(text: str, name: str) -> str:
    """Return what stands between the comments of a generated part."""
    start, end = _bounds(text, name)
    return text[start:end].strip("\n")


def _bounds(text: str, name: str) -> tuple[int, int]:
    opening = re.search(rf"<!-- {name}: [^>]*-->\n", text)
    closing = text.find(f"<!-- end of {name} -->")
    assert opening is not None
    assert closing > 0
    return opening.end(), closing


def _replace(path: Path, name: str, part: str) -> None:
    text = path.read_text(encoding="utf-8")
    start, end = _bounds(text, name)
    path.write_text(f"{text[:start]}\n{part}\n\n{text[end:]}", encoding="utf-8")
