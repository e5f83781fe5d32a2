"""The file of a worker's policy: HOME/worker.toml, read strictly, and watched.

Whoever can write this file decides what runs here, so it is taken only where its owner alone can. A version that cannot
be read allows nothing: an older one might allow what somebody has just forbidden. docs/policy.md has every key.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path
from typing import Any, Final

from ledger.keys import ActorKey, KeyFormatError, parse_did_key
from scheduler.folders import POLICY_NAME
from scheduler.owned_file import OthersWriteError, OwnedFileError, read_owned, write_new
from scheduler.running.job import Level, Limits, Mount
from scheduler.tags import WorkflowTag
from scheduler.toml_table import (
    Table,
    TomlError,
    nearest,
    read_count,
    read_flag,
    read_size,
    read_span,
    read_text,
    read_texts,
)
from scheduler.working.policy import ANY_MEMBER, PayloadKind, Rule, WorkerPolicy, no_policy
from scheduler.working.secrets import SecretSource

_SYSTEM_FOLDERS: Final = frozenset(("proc", "sys", "dev"))
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_logger = logging.getLogger(__name__)


class PolicyError(TomlError):
    """The policy cannot be used; the message names file, table and key."""


class PolicyMissingError(PolicyError):
    """There is no policy."""


class PolicyPermissionError(PolicyError):
    """Somebody else could have written the policy."""


class PolicyExistsError(PolicyError):
    """There is a policy already, and it is never written over."""


def policy_path(folder: Path) -> Path:
    """Return where the policy of a home's worker is, unless it is told otherwise."""
    return folder / POLICY_NAME


def read_policy(path: Path) -> WorkerPolicy:
    """Return what stands in a policy file; raise PolicyError where it cannot be used."""
    try:
        text = read_owned(path)
    except FileNotFoundError:
        raise PolicyMissingError(f"no policy: {path}", "`p2p-workflow worker policy init` writes one") from None
    except OthersWriteError as error:
        raise PolicyPermissionError(f"{error}, and so allow anything", error.advice) from None
    except OwnedFileError as error:
        raise PolicyError(str(error), error.advice) from None
    return parse_policy(path, text)


def write_policy(path: Path, text: str) -> None:
    """Keep a new policy that only its owner can read; raise PolicyExistsError where there is one."""
    parse_policy(path, text)
    try:
        write_new(path, text)
    except FileExistsError:
        raise PolicyExistsError(f"there is a policy already: {path}", "edit it, or move it away first") from None


def current_policy(path: Path) -> WorkerPolicy:
    """Return what stands in a policy file; where it cannot be used, a policy that denies all and says why."""
    try:
        return read_policy(path)
    except PolicyMissingError:
        return no_policy(path)
    except PolicyError as error:
        words = f"the policy cannot be used, so nothing is taken until it is mended: {error}"
        return WorkerPolicy(trouble=words + (f" ({error.advice})" if error.advice else ""))


class PolicyFile:
    """A policy as its file has it at the moment. For one thread."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.changes = 0
        """How often what it says has changed: a reason to judge anew."""
        self._seen: tuple[int, ...] | None = ()
        self._policy = WorkerPolicy()

    def current(self) -> WorkerPolicy:
        """Return the policy. Where the file is not there or cannot be used, one that denies all and says why.

        Costs one `stat` while the file stays as it is. What is wrong with a version is logged once.
        """
        seen = self._look()
        if seen != self._seen:
            policy = current_policy(self.path)
            if policy.trouble:
                _logger.warning("%s", policy.trouble)
            if self._seen != () and policy != self._policy:
                self.changes += 1
                if not policy.trouble:
                    _logger.info("the policy in %s has changed, and counts from now on", self.path)
            self._seen, self._policy = seen, policy
        return self._policy

    @property
    def trouble(self) -> str:
        """What is wrong with the file, "" where nothing is."""
        return self.current().trouble

    def _look(self) -> tuple[int, ...] | None:
        """Return what changes whenever the file does; None where there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, status.st_size, status.st_mode)


# ---- the text


def parse_policy(path: Path, text: str) -> WorkerPolicy:
    """Return what the text of a policy says; raise PolicyError, which names `path`, where it is none."""
    top = Table.of_text(path, text, PolicyError)
    limits = _limits(top.table("limits"), Limits())
    secrets = _secrets(top.table("secrets"), path.parent)
    rules = tuple(_rule(table, number, limits) for number, table in enumerate(top.tables("allow"), 1))
    top.close()
    for rule in rules:
        for name in sorted(rule.secrets - secrets.keys()):
            raise PolicyError(f"{path}: rule {rule.name!r} grants the secret {name}, and there is no [secrets.{name}]")
    return WorkerPolicy(rules, secrets)


def _rule(table: Table, number: int, limits: Limits) -> Rule:
    submitters, any_member = table.need("submitters", _submitters)
    rule = Rule(
        name=table.read("name", read_text, f"allow {number}"),
        submitters=submitters,
        any_member=any_member,
        payloads=table.need("payloads", partial(_words, PayloadKind)),
        tags=table.read("tags", partial(_words, WorkflowTag), None),
        labels=table.read("labels", _names, None),
        interpreters=table.read("interpreters", _names, frozenset()) or frozenset(),
        programs=table.read("programs", _patterns, None),
        workflows=table.read("workflows", _patterns, None),
        network=table.read("network", read_flag, default=False),
        secrets=table.read("secrets", _names, frozenset()) or frozenset(),
        mounts=tuple(map(_mount, table.tables("mounts"))),
        env=table.read("env", _variables, {}),
        limits=_limits(table.table("limits"), limits),
        level=table.read("sandbox", lambda value: _word(Level, read_text(value)), Level.BUBBLEWRAP),
    )
    table.close()
    return rule


def _limits(table: Table | None, default: Limits) -> Limits:
    if table is None:
        return default
    limits = Limits(
        time_ms=table.read("time", read_span, default.time_ms),
        memory_bytes=table.read("memory", read_size, default.memory_bytes),
        processes=table.read("processes", read_count, default.processes),
        file_bytes=table.read("file", read_size, default.file_bytes),
        open_files=table.read("open_files", read_count, default.open_files),
        log_bytes=table.read("log", read_size, default.log_bytes),
        result_bytes=table.read("result", read_size, default.result_bytes),
    )
    table.close()
    return limits


def _mount(table: Table) -> Mount:
    outside = table.need("outside", _absolute)
    inside = table.read("inside", _absolute, outside)
    if inside == "/" or inside.split("/")[1] in _SYSTEM_FOLDERS:
        raise table.fault("inside", f"{inside!r} belongs to the sandbox itself")
    mount = Mount(Path(outside), inside, table.read("writable", read_flag, default=False))
    table.close()
    return mount


def _secrets(table: Table | None, folder: Path) -> dict[str, SecretSource]:
    found: dict[str, SecretSource] = {}
    if table is None:
        return found
    for name in table.all_keys():
        source = table.table(name)
        if source is None or not _VARIABLE.fullmatch(name):
            raise table.fault(name, "this is no name of a variable")
        file = source.read("file", read_text, None)
        variable = source.read("env", _variable, None)
        source.close()
        if (file is None) == (variable is None):
            raise source.fault("", 'where its value is: file = "…", or env = "…"')
        path = None if file is None else folder / Path(file).expanduser()  # an absolute one replaces the folder
        found[name] = SecretSource(name, path, variable)
    return found


def _submitters(value: Any) -> tuple[frozenset[ActorKey], bool]:
    keys: set[ActorKey] = set()
    words = read_texts(value)
    for word in words:
        if word != ANY_MEMBER:
            try:
                keys.add(parse_did_key(word))
            except KeyFormatError as error:
                raise ValueError(f"{word!r}: {error}; or {ANY_MEMBER!r}") from None
    return frozenset(keys), ANY_MEMBER in words


def _word(kind: Any, text: str) -> Any:
    known = [str(one) for one in kind]
    if text not in known:
        raise ValueError(f"{text!r} is not known here: {nearest(text, known)}")
    return kind(text)


def _words(kind: Any, value: Any) -> frozenset[Any]:
    return frozenset(_word(kind, one) for one in read_texts(value))


def _names(value: Any) -> frozenset[str]:
    return frozenset(read_texts(value))


def _patterns(value: Any) -> tuple[str, ...]:
    return read_texts(value)


def _absolute(value: Any) -> str:
    if not Path(read_text(value)).is_absolute() or ".." in Path(value).parts:
        raise ValueError(f"an absolute path is wanted, not {value!r}")
    return str(value)


def _variable(value: Any) -> str:
    if not _VARIABLE.fullmatch(read_text(value)):
        raise ValueError(f"{value!r} is no name of a variable")
    return str(value)


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"a table of variables is wanted, not {value!r}")
    for text in value.values():
        if type(text) is not str or "\0" in text:
            raise ValueError(f"texts are wanted, not {text!r}")
    return {_variable(name): text for name, text in value.items()}
