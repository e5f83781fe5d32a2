"""A worker's policy for people and as JSON; and the commented file that a new one begins with.

Leaves out what a policy decides (scheduler.working.policy). Secrets are shown by name and source, never by value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ledger.keys import ActorKey, did_key
from scheduler.running.job import Level, Limits, Mount
from scheduler.toml_table import render_size, render_span
from scheduler.working.policy import ANY_MEMBER, PayloadKind, Rule, WorkerPolicy

_TEMPLATE: Final = """\
# What the worker of this home may run. Everything that no [[allow]] allows is denied.
# A task runs where one rule allows all of it; rules never add up. Changes count at once.
# Only its owner may be able to write this file. `p2p-workflow worker policy check` says what it means.
# Every key: docs/policy.md

[limits]                      # for every rule, unless its own [allow.limits] says otherwise
time = "1h"                   # a task's own timeout can make it shorter
memory = "2GiB"
processes = 256
file = "1GiB"                 # the largest file a run may write
open_files = 1024
log = "16MiB"                 # what it may print
result = "64MiB"              # the files it hands over

# [secrets.DEPLOY_TOKEN]      # only for runs whose rule lists it and whose payload asks for it
# file = "deploy-token"       # mode 0600, beside this file; or: env = "DEPLOY_TOKEN"

[[allow]]
name = "own commands"
submitters = [                # did:key:… of whose tasks; "any-member" for everybody admitted
{submitters}]
payloads = ["command"]        # and "workflow-job" for jobs of workflow files
interpreters = ["bash", "sh", "python3"]  # what may read a script
# programs = ["make", "git*"] # patterns for the program of a command; left out: any
# workflows = [".github/workflows/*.yml"]  # patterns for the paths of workflow files; left out: any
# tags = ["p2p-only"]         # tasks with these tags alone; left out: any
# labels = ["linux"]          # tasks that require these labels alone; left out: any
network = false
sandbox = "bubblewrap"        # or "process": no namespaces of its own, it sees the whole machine
# secrets = ["DEPLOY_TOKEN"]
# mounts = [{{ outside = "/srv/cache", inside = "/cache", writable = false }}]
# env = {{ LANG = "C.UTF-8" }}
# [allow.limits]
# time = "10m"
"""


def render_template(actors: Mapping[str, ActorKey]) -> str:
    """Return a first policy, with comments: it allows commands of these submitters, by name, and nothing else."""
    lines = "".join(f'  "{did_key(actor)}",  # {_comment(name)}\n' for name, actor in actors.items())
    return _TEMPLATE.format(submitters=lines)


def _comment(name: str) -> str:
    return "".join(char for char in name if char.isprintable())


def policy_document(policy: WorkerPolicy) -> dict[str, Any]:
    """Return a policy as JSON values; sizes in bytes, times in ms."""
    return {
        "allow": [_rule_document(rule) for rule in policy.rules],
        "secrets": {
            name: {"file": None if source.file is None else str(source.file), "env": source.variable}
            for name, source in policy.secrets.items()
        },
    }


def _rule_document(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "submitters": sorted(map(did_key, rule.submitters)) + ([ANY_MEMBER] if rule.any_member else []),
        "payloads": sorted(rule.payloads),
        "tags": None if rule.tags is None else sorted(rule.tags),
        "labels": None if rule.labels is None else sorted(rule.labels),
        "interpreters": sorted(rule.interpreters),
        "programs": None if rule.programs is None else list(rule.programs),
        "workflows": None if rule.workflows is None else list(rule.workflows),
        "network": rule.network,
        "sandbox": rule.level.value,
        "secrets": sorted(rule.secrets),
        "mounts": [
            {"outside": str(mount.outside), "inside": mount.inside, "writable": mount.writable} for mount in rule.mounts
        ],
        "env": dict(rule.env),
        "limits": {
            "time_ms": rule.limits.time_ms,
            "memory": rule.limits.memory_bytes,
            "processes": rule.limits.processes,
            "file": rule.limits.file_bytes,
            "open_files": rule.limits.open_files,
            "log": rule.limits.log_bytes,
            "result": rule.limits.result_bytes,
        },
    }


def render_policy(policy: WorkerPolicy, names: Mapping[ActorKey, str]) -> Iterator[str]:
    """Yield what a policy means, a line each; names are as their authors wrote them: escape for a terminal."""
    if policy.trouble or not policy.rules:
        yield policy.trouble or "It has no [[allow]] rule, so nothing runs here."
        return
    yield "A task runs under the first of these rules that allows all of it; nothing else runs here."
    for number, rule in enumerate(policy.rules, 1):
        yield f"{number}. {rule.name}"
        for line in _rule_lines(rule, names):
            yield f"   {line}"
    for source in policy.secrets.values():
        yield f"Secret {source.name} comes from {source}."


def _rule_lines(rule: Rule, names: Mapping[ActorKey, str]) -> Iterator[str]:
    whom = [f"{names[a]} ({did_key(a)})" if a in names else did_key(a) for a in sorted(rule.submitters)]
    whom += ["every member of the ledger"] if rule.any_member else []
    kinds = {PayloadKind.COMMAND: "commands", PayloadKind.WORKFLOW_JOB: "jobs of workflow files"}
    yield f"runs {_list([kinds[kind] for kind in sorted(rule.payloads)], 'nothing')}, of {_list(whom, 'nobody')}"
    if PayloadKind.COMMAND in rule.payloads:
        scripts = f"scripts read by {_list(sorted(rule.interpreters))}" if rule.interpreters else "no scripts"
        yield f"programs: {_any(rule.programs)}; {scripts}"
    if PayloadKind.WORKFLOW_JOB in rule.payloads:
        yield f"workflow files: {_any(rule.workflows)}"
    yield f"tags: {_any(rule.tags)}; labels required: {_any(rule.labels)}"
    network = "the network where they ask for it" if rule.network else "no network"
    folders = _list(map(_mount, rule.mounts), "none")
    yield f"{network}; secrets: {_list(sorted(rule.secrets), 'none')}; folders: {folders}"
    level = {Level.PROCESS: "process: THEY SEE THE WHOLE MACHINE", Level.BUBBLEWRAP: "bubblewrap"}[rule.level]
    yield f"sandbox: {level}" + (f"; variables: {_list(rule.env)}" if rule.env else "")
    yield f"at most: {_limits(rule.limits)}"


def _limits(limits: Limits) -> str:
    said = [
        None if limits.time_ms is None else render_span(limits.time_ms),
        None if limits.memory_bytes is None else f"{render_size(limits.memory_bytes)} of memory",
        None if limits.processes is None else f"{limits.processes} processes",
        None if limits.file_bytes is None else f"{render_size(limits.file_bytes)} a file",
        None if limits.open_files is None else f"{limits.open_files} open files",
        f"{render_size(limits.log_bytes)} of output",
        f"{render_size(limits.result_bytes)} of results",
    ]
    missing = {
        "time": limits.time_ms,
        "memory": limits.memory_bytes,
        "processes": limits.processes,
        "the size of a file": limits.file_bytes,
        "open files": limits.open_files,
    }
    free = [name for name, value in missing.items() if value is None]
    return _list(filter(None, said)) + (f"; NO LIMIT of {_list(free)}" if free else "")


def _mount(mount: Mount) -> str:
    return f"{mount.outside} as {mount.inside} ({'writable' if mount.writable else 'read-only'})"


def _any(words: Iterable[str] | None) -> str:
    return "any" if words is None else _list(sorted(words), "none")


def _list(words: Iterable[str], none: str = "") -> str:
    found: Sequence[str] = tuple(words)
    return ", ".join(found) or none
