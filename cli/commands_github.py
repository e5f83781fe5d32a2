"""`github submit`: what the composite action in action.yml runs: its inputs, from the environment, become a task.

The runner is told all that matters: outputs of the step, annotations, the job's summary. Whatever the inputs are, they
go to no shell. Leaves out how these are written (cli.github_runner), and submitting itself (cli.submission).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from cli.awaiting import TimeUpError, Waited, seconds_of, wait_for
from cli.command import Command, Group
from cli.errors import InputError, tell
from cli.github_inputs import Inputs, number, request_of
from cli.github_runner import add_summary, annotation, plain_lines, say, set_outputs, table
from cli.light import find_light
from cli.output import printable
from cli.result_text import result_lines
from cli.session import Session, session_of
from cli.submission import submit_requests, submitted_lines

if TYPE_CHECKING:
    from cli.light import Light

_NOT_OF_WORKFLOWS: Final = ("command", "script", "shell", "name", "needs", "requires", "env", "secrets", "put", "keep")


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        cls=Group, help="In a step of GitHub Actions; see docs/github-actions.md.", rich_markup_mode=None
    )
    group.command("submit", cls=Command)(submit)
    app.add_typer(group, name="github")


def submit(context: typer.Context) -> None:
    """Submit what the inputs of action.yml say, in P2P_ACTION_… variables; wait for it where they say so.

    Writes the outputs of the step (GITHUB_OUTPUT), the job's summary (GITHUB_STEP_SUMMARY) and annotations with the CID
    of the event. Ends as `submit --wait` does.
    """
    session = session_of(context)
    rows: dict[str, str] = {}
    try:
        code = _Step(session, Inputs(os.environ), rows).run()
    except Exception as error:
        told = tell(error)
        words = str(error) if told is None else told.message
        advice = "" if told is None or not told.advice else f"\nwhat to do: {told.advice}"
        title = "P2P task" if rows else "Not submitted"
        for finding in getattr(error, "findings", ()):
            if finding.is_error:
                say(annotation("error", finding.words, title=title, file=finding.path, line=finding.line))
        say(annotation("error", words + advice + _event_words(rows), title=title))
        _summarize("✗", rows | {"Error": words})
        raise
    if code:
        raise typer.Exit(code)


class _Step:
    """One run of the action. `rows` gathers what the summary shows, whatever happens."""

    def __init__(self, session: Session, inputs: Inputs, rows: dict[str, str]) -> None:
        self._session = session
        self._inputs = inputs
        self._rows = rows

    def run(self) -> int:
        """Do it; return the code to end with."""
        inputs = self._inputs
        wait = inputs.flag("wait")
        timeout = inputs.text("timeout")
        if timeout is not None and not wait:
            raise InputError("input timeout says how long to wait, and wait is not true")
        timeout_s = None if timeout is None else seconds_of(timeout)
        light = find_light(self._session, None, inputs.lines("via"))
        if light is None and not self._session.has_home:
            raise InputError(
                "there is no ledger here: the task would be in one that ends with this runner, and no peer has",
                "give the step P2P_WORKFLOW_KEY and P2P_WORKFLOW_LEDGER from secrets, or a peer's P2P_WORKFLOW_HOME",
            )
        if light is not None and wait:
            light.places()  # raises where nobody can be asked, before anything is submitted
        file = inputs.text("workflow")
        if file is not None:
            return self._run_workflow(light, file, timeout_s, wait=wait)
        request = request_of(self._session, inputs)
        (document,) = submit_requests(self._session, light, [request])
        self._tell_submitted(document)
        if not wait or document["earlier"]:
            return self._end("✓", 0)
        return self._wait(light, document, timeout_s)

    def _run_workflow(self, light: Light | None, file: str, timeout_s: float | None, *, wait: bool) -> int:
        """Submit a workflow file; wait for its tasks one after the other, and end as the first that is not done."""
        from cli.commands_workflow_submit import submit_file, submitted_run_lines

        inputs = self._inputs
        for name in _NOT_OF_WORKFLOWS:
            if inputs.text(name) is not None:
                raise InputError(f"input {name} is not for a workflow file", "its jobs say that themselves")
        document = submit_file(
            self._session,
            light,
            file,
            inputs.lines("inputs"),
            network=inputs.flag("network"),
            priority=number(inputs, "priority") or 5,
            workflow_id=inputs.text("workflow-id"),
            run_id=inputs.text("task-id") or inputs.github("RUN_ID") or None,
        )
        tasks = document["tasks"]
        for line in submitted_run_lines(document):
            say(printable(line))
        events = list(dict.fromkeys(task["event_cid"] for task in tasks if task["event_cid"] is not None))
        keys = "\n".join(task["task_key"] for task in tasks)
        created = sum(task["created"] for task in tasks)
        self._rows |= {
            "Workflow": document["workflow_id"],
            "Run": document["run_id"],
            "Event": ", ".join(events) or "-",
        }
        self._rows |= {"Tasks": ", ".join(task["task_id"] for task in tasks), "Task key": ", ".join(keys.split())}
        self._rows["Status"] = f"{created} submitted, {len(tasks) - created} were there already"
        set_outputs({"task-key": keys, "event-cid": "\n".join(events), "created": "true" if created else "false"})
        words = f"{document['workflow_id']}: {len(tasks)} tasks\nevent {self._rows['Event']}"
        say(annotation("notice", words, title="P2P workflow submitted"))
        return self._wait_all(light, tasks, timeout_s) if wait else self._end("✓", 0)

    def _wait_all(self, light: Light | None, tasks: list[dict[str, Any]], timeout_s: float | None) -> int:
        from ledger.events import TaskKey

        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        results: list[dict[str, Any]] = []
        codes: list[int] = []
        for task in tasks:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            with plain_lines(f"Log of {task['task_id']}"):
                try:
                    waited = wait_for(
                        self._session, light, TaskKey(bytes.fromhex(task["task_key"])), task["task_id"], left_s
                    )
                except TimeUpError as error:
                    self._rows[task["task_id"]] = error.status
                    _set_result(error.status, None, _outputs_of(results), results)
                    raise
            results.append(waited.result)
            codes.append(waited.code)
            self._rows[task["task_id"]] = waited.result["status"]
            if waited.code:
                words = f"{task['task_id']} is {waited.result['status']}\nevent {task['event_cid']}"
                say(annotation("error", words, title="P2P task failed"))
        code = next(filter(None, codes), 0)
        status = "done" if not code else next(one["status"] for one in results if one["status"] != "done")
        _set_result(status, code, _outputs_of(results), results)
        return self._end("✗" if code else "✓", code)

    def _end(self, mark: str, code: int) -> int:
        _summarize(mark, self._rows)
        return code

    def _tell_submitted(self, document: dict[str, Any]) -> None:
        for line in submitted_lines(document):
            say(printable(line))
        self._rows |= {
            "Task": document["task_id"],
            "Workflow": document["workflow_id"],
            "Task key": document["task_key"],
            "Event": document["event_cid"] or "-",
            "Status": "submitted" if document["created"] else "was there already",
        }
        if document.get("how", "accepted") != "accepted":
            self._rows["Status"] = f"{document['how']}: {document['via']}; no peer has said that it has it"
        set_outputs(
            {
                "task-key": document["task_key"],
                "event-cid": document["event_cid"] or "",
                "created": "true" if document["created"] else "false",
            }
        )
        title = "P2P task submitted" if document["created"] else "P2P task was submitted before"
        say(annotation("notice", f"{document['task_id']}{_event_words(self._rows)}", title=title))

    def _wait(self, light: Light | None, document: dict[str, Any], timeout_s: float | None) -> int:
        from ledger.events import TaskKey

        with plain_lines(f"Log of {document['task_id']}"):
            key, name = TaskKey(bytes.fromhex(document["task_key"])), document["task_id"]
            try:
                waited = wait_for(self._session, light, key, name, timeout_s)
            except TimeUpError as error:
                _set_result(error.status, None, {}, None)
                raise
        with plain_lines(f"Result of {document['task_id']}"):
            for line in result_lines(waited.result):
                self._session.output.line(line)
        self._tell_result(waited)
        return waited.code

    def _tell_result(self, waited: Waited) -> None:
        result = waited.result
        code = result["exit_code"]
        outputs = json.dumps(result["outputs"], ensure_ascii=False)
        for name in _set_result(result["status"], code, result["outputs"], result):
            say(annotation("warning", f"the output {name} is too large for the runner, and left out"))
        failure = ": ".join(filter(None, (result["failure"] or {}).values()))
        self._rows |= {"Status": result["status"], "Exit code": "-" if code is None else str(code)}
        self._rows |= {
            name: text for name, text in (("Failure", failure), ("Outputs", outputs)) if text not in {"", "{}"}
        }
        if result["worker"] is not None:
            self._rows["Worker"] = result["worker"]["key"]
        if result["event_cid"] is not None:
            self._rows["Result event"] = result["event_cid"]
        if waited.code:
            words = f"{self._rows['Task']} is {result['status']}" + (f": {failure}" if failure else "")
            exit_words = "" if code is None else f", exit code {code}"
            say(annotation("error", words + exit_words + _event_words(self._rows), title="P2P task failed"))
        self._end("✗" if waited.code else "✓", waited.code)


def _set_result(status: str, code: int | None, outputs: Mapping[str, Any], result: Any) -> list[str]:
    """Set the outputs of the step that say how a task, or a workflow, came out; return those that are too large."""
    return set_outputs(
        {
            "status": status,
            "exit-code": "" if code is None else str(code),
            "outputs": json.dumps(outputs, ensure_ascii=False),
            "result": json.dumps(result, ensure_ascii=False),
        }
    )


def _outputs_of(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {one["task_id"]: one["outputs"] for one in results}


def _event_words(rows: Mapping[str, str]) -> str:
    return f"\nevent {rows['Event']}\ntask key {rows['Task key']}" if "Event" in rows else ""


def _summarize(mark: str, rows: Mapping[str, str]) -> None:
    add_summary([f"### {mark} P2P task", "", *table(rows.items())])
