"""Whether GitHub would run a job itself: guards that keep it from that, and jobs that only hand their work over.

The guard to add is `if: ${{ vars.P2P_WORKFLOW == 'true' }}`. It truly works there: `vars` may stand in the `if` of a
job (`env` may not: GitHub refuses the file), and a variable that nobody has made is empty. Our workers set it in every
run. Whoever makes such a variable on GitHub takes the guard away.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.workflows.expressions import condition
from scheduler.workflows.reading import Workflow, texts_listed

GUARD_VARIABLE: Final = "P2P_WORKFLOW"
"""What a worker sets in the `vars` of every run, to `true`."""
GUARD: Final = f"if: ${{{{ vars.{GUARD_VARIABLE} == 'true' }}}}"

_NEVER: Final = tuple(
    re.compile(text, re.IGNORECASE)
    for text in (
        rf"vars\.{GUARD_VARIABLE}(\s*==\s*('[^']+'|true))?",
        rf"('[^']+'|true)\s*==\s*vars\.{GUARD_VARIABLE}",
        r"github\.actor\s*==\s*'nektos/act'",
        r"github\.(repository|server_url|run_id|sha)\s*==\s*''",
        r"false",
    )
)
"""Conditions that do not hold on GitHub."""
_RUNS_ALL_THE_SAME: Final = re.compile(r"\b(always|cancelled)\s*\(", re.IGNORECASE)

PROGRAMS: Final = frozenset(("p2p-workflow", "ipfs-accelerate"))
_OUR_ACTION: Final = re.compile(r"[^/\s]+/[^/@\s]*p2p-workflow[^@\s]*@\S+")
_PREPARING_ACTIONS: Final = (
    "actions/checkout@",
    "actions/setup-python@",
    "actions/cache@",
    "actions/download-artifact@",
)
_PREPARING: Final = frozenset(
    ("true", ":", "echo", "printf", "set", "export", "cd", "test", "[", "[[", "cat", "jq", "date")
)
"""Commands that prepare a submission, or tell of it, and do no work."""
_INSTALLERS: Final = frozenset(("pip", "pip3", "pipx", "uv"))
_INSTALLING: Final = frozenset(("install", "pip", "tool", "sync"))
_KEYWORDS: Final = frozenset(("if", "then", "elif", "else", "fi", "!", "{", "}"))
_ENDS: Final = ";&|()\n"
_REDIRECTION: Final = re.compile(r"[0-9]*>&[0-9]")
_SUBSTITUTION: Final = re.compile(r"\$\(([^()`]*)\)")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)


def guarded_jobs(workflow: Workflow) -> frozenset[str]:
    """Return the jobs that GitHub skips: by their own guard, or since they need one that is skipped."""
    jobs = {job: content for job, content in workflow.jobs.items() if isinstance(content, dict)}
    guarded = {job for job, content in jobs.items() if "if" in content and is_guard(content["if"])}
    grown = True
    while grown:
        more = {
            job
            for job, content in jobs.items()
            if guarded & set(texts_listed(content.get("needs")))
            and not _RUNS_ALL_THE_SAME.search(str(content.get("if", "")))
        }
        grown = not more <= guarded
        guarded |= more
    return frozenset(guarded)


def is_guard(said: Any) -> bool:
    """Whether an `if` never holds on GitHub, as far as its form tells."""
    text = condition(said)
    return len(text) <= 2_000 and _never_holds(text, 0)


def _never_holds(text: str, depth: int) -> bool:
    text = text.strip()
    if depth > 20:
        return False
    either = _split(text, "||")
    if len(either) > 1:
        return all(_never_holds(one, depth + 1) for one in either)
    every = _split(text, "&&")
    if len(every) > 1:
        return any(_never_holds(one, depth + 1) for one in every)
    if text.startswith("(") and text.endswith(")"):
        return _never_holds(text[1:-1], depth + 1)
    return any(one.fullmatch(text) for one in _NEVER)


def _split(text: str, mark: str) -> list[str]:
    """Split at marks that stand in no text and in no brackets."""
    parts, start, depth, quoted = [], 0, 0, False
    for at, char in enumerate(text):
        quoted ^= char == "'"
        depth += 0 if quoted else (char in "([") - (char in ")]")
        if not quoted and depth == 0 and text.startswith(mark, at) and at >= start:
            parts.append(text[start:at])
            start = at + len(mark)
    return [*parts, text[start:]]


def only_submits(content: Any, *, local_action: bool = False) -> bool:
    """Whether a job does nothing but hand work to the scheduler, by its command line or its action.

    `local_action`: `uses: ./` is our action.
    """
    steps = content.get("steps") if isinstance(content, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return False
    kinds = {_kind(step, local_action=local_action) for step in steps}
    return "submits" in kinds and kinds <= {"submits", "prepares"}


def _kind(step: Mapping[str, Any], *, local_action: bool) -> str:
    uses, script = step.get("uses"), step.get("run")
    if isinstance(uses, str):
        if _OUR_ACTION.fullmatch(uses) or (local_action and uses in {"./", "."}):
            return "submits"
        return "prepares" if uses.startswith(_PREPARING_ACTIONS) else "works"
    if not isinstance(script, str) or step.get("shell", "bash") not in {"bash", "sh"}:
        return "works"
    submits = False
    try:
        for words in _commands(script):
            program = words[0].rpartition("/")[2]
            submits |= program in PROGRAMS
            if program not in PROGRAMS and program not in _PREPARING and not _installs(words):
                return "works"
    except ValueError:  # no closing quotation: what it does nobody can tell
        return "works"
    return "submits" if submits else "prepares"


def _installs(words: list[str]) -> bool:
    if words[1:2] == ["-m"] and words[0] in {"python", "python3"}:
        words = words[2:]
    return words[0] in _INSTALLERS and len(words) > 1 and words[1] in _INSTALLING


def _commands(script: str) -> Iterator[list[str]]:
    """Yield the commands of a shell script by their words, variables set before them left out, `$( … )` on its own.

    Raises ValueError for what is not followed: backticks, here-documents, brackets in brackets, an open quotation.
    """
    text = _REDIRECTION.sub(" ", _without_comments(script.replace("\\\n", " ")))
    for inner in _SUBSTITUTION.findall(text):
        yield from _commands(inner)
    text = _SUBSTITUTION.sub("x", text)
    if "`" in text or "$(" in text or "<<" in text:
        raise ValueError("a command within a text")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_ENDS)
    lexer.whitespace, lexer.commenters = " \t\r", ""
    words: list[str] = []
    for word in lexer:
        if word and set(word) <= set(_ENDS):
            if words:
                yield words
            words = []
        elif words or not (word in _KEYWORDS or _ASSIGNMENT.fullmatch(word)):
            words.append(word)
    if words:
        yield words


def _without_comments(script: str) -> str:
    done: list[str] = []
    quote, before, skipping = "", "\n", False
    for char in script:
        skipping = (skipping and char != "\n") or (char == "#" and not quote and before.isspace())
        if not skipping:
            done.append(char)
            if char in {"'", '"'} and before != "\\" and quote in {"", char}:
                quote = "" if quote else char
        before = char
    return "".join(done)
