"""What a call that failed is told: plain words, the rule it broke, what to do, and the same for programs in `_meta`.

An error has no structured content: that would have to fit the tool's output schema, and clients check it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cli.errors import CliError, InputError, details_of, tell
from cli.exit_codes import ExitCode
from cli.mcp.answers import now_s

_logger = logging.getLogger(__name__)

META_KEY: Final = "p2p-workflow/error"
_WORDS_MAX: Final = 2_000
_FAULTS_MAX: Final = 8

_ADVICE: Final[Mapping[str, str]] = {
    "task_not_found": "p2p_list_tasks shows those there are; a task key stands wherever a task id does",
    "ambiguous_task": "name the task by its key",
    "held_by_other": "wait until it is settled or its lease has ended: p2p_wait_for_task, p2p_explain_task",
    "not_held": "take it with p2p_get_next_task first, and settle it under the claim that gives",
    "not_ready": "p2p_explain_task says why; a dead task is queued again with p2p_requeue_task",
    "not_dead": "p2p_show_task says where it stands",
    "task_over": "p2p_show_task has its result",
    "unknown_tag": "p2p_check_workflow_tags checks tags",
    "conflict": "choose another task_id (of a workflow: run_id), or submit the very same request",
    "not_a_member": "an owner of the ledger must admit this server's key: p2p-workflow members admit KEY",
}
"""What an agent does about an error, where that is not what somebody at a shell would do."""
_ADVICE_BY_CODE: Final[Mapping[ExitCode, str]] = {
    ExitCode.USAGE: "correct the argument: see the input schema of the tool",
    ExitCode.BUSY: "call again in a while",
    ExitCode.NOT_ALLOWED: "ask an owner of the ledger",
}
"""What there is to do where the error itself says nothing."""


def refused(tool: str, error: Exception) -> CallToolResult:
    """Return the answer of a tool that raised `error`; what nobody foresaw is logged, and told as our defect."""
    if isinstance(error, ValidationError):
        error = _input_error(error)
    told = tell(error)
    if told is None:
        _logger.error("%s failed", tool, exc_info=error)
        kind, words, rule = "defect", f"{tool} failed inside the server: {type(error).__name__}", None
        advice = "this is a defect, which the server's log shows; nothing that was not acknowledged was done"
    else:
        kind, words, rule = told.kind, told.message, told.rule
        advice = _ADVICE.get(told.kind) or told.advice or _ADVICE_BY_CODE.get(told.code, "")
    words = words if len(words) <= _WORDS_MAX else words[:_WORDS_MAX] + "…"
    lines = [words, f"kind: {kind}", f"rule: {rule or 'none'}"]
    if advice:
        lines.append(f"advice: {advice}")
    document: dict[str, Any] = {
        "tool": tool,
        "timestamp": now_s(),
        "kind": kind,
        "message": words,
        "rule": rule,
        "advice": advice or None,
    }
    return CallToolResult(
        content=[TextContent(type="text", text="\n".join(lines))],
        is_error=True,
        _meta={META_KEY: document | details_of(error)},
    )


def _input_error(error: ValidationError) -> CliError:
    """Return what is wrong with arguments, field by field; the values are not said again."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {_words(fault)}" for fault in faults[:_FAULTS_MAX]]
    more = [f"and {len(faults) - _FAULTS_MAX} more"] if len(faults) > _FAULTS_MAX else []
    return InputError("; ".join(shown + more), "see the input schema of the tool")


def _words(fault: ErrorDetails) -> str:
    """Return what is wrong, without the name of our class, which says nothing to a client."""
    return "Input should be an object" if fault["type"] == "model_type" else fault["msg"]
