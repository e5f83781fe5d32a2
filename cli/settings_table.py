"""The table of what can be configured: each value's name, kind, default, variable and flag.

`cli.configuration` finds the values; `config show`, docs/configuration.md and the help of commands show this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cli.times import render_duration

PREFIX: Final = "P2P_WORKFLOW_"


class Kind(StrEnum):
    """What a value is; times in ms."""

    TEXT = "text"
    FLAG = "true or false"
    COUNT = "whole number"
    SPAN = "time, such as 30s"
    TEXTS = "list"
    PLACE = "HOST:PORT"
    PATH = "file"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `name` is table and key in the file; a choice lists all it can be; a secret is never shown."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    default: Any = None
    flag: str = ""
    choices: tuple[str, ...] = ()
    named: str = ""
    """The variable, where it is not PREFIX and the name."""
    in_file: bool = True
    secret: bool = False
    otherwise: str = ""
    """What stands for the default, in words, where that is found out only when it is needed."""

    @property
    def variable(self) -> str:
        """The variable of the environment that sets it."""
        return self.named or PREFIX + self.name.upper().replace(".", "_")

    @property
    def default_words(self) -> str:
        """The default as people write it, "" where there is none."""
        return self.otherwise or render(self, self.default)


SETTINGS: Final = (
    Setting(
        "home",
        "The folder of the ledger.",
        Kind.PATH,
        flag="--home",
        in_file=False,
        otherwise="the platform's data folder",
    ),
    Setting(
        "key",
        "The key to sign with, as `keys export` writes it.",
        in_file=False,
        secret=True,
        otherwise="the home's keys",
    ),
    Setting(
        "ledger",
        "The ledger token of a machine without a home (or none yet where it is said to be), from `members token`.",
        flag="--ledger",
        in_file=False,
        secret=True,
    ),
    Setting(
        "via",
        "Where a machine without a home hands tasks to.",
        Kind.TEXTS,
        default=(),
        flag="--via",
        in_file=False,
        otherwise="the URLs in the token",
    ),
    Setting("kubo_token", "The bearer secret of the RPC of a node, for --via kubo:…", in_file=False, secret=True),
    Setting(
        "peer.name",
        "The key of this home to act with.",
        flag="--peer",
        named="P2P_WORKFLOW_PEER",
        otherwise="peer- and the host's name",
    ),
    Setting("json", "Print JSON documents.", Kind.FLAG, default=False, flag="--json"),
    Setting(
        "log.level",
        "What `worker run`, `peer run` and `mcp start` log at least.",
        default="info",
        flag="--log-level",
        choices=("debug", "info", "warning", "error"),
    ),
    Setting(
        "log.format",
        "How they log it: lines for people, or a JSON object a line.",
        default="text",
        flag="--log-format",
        choices=("text", "json"),
    ),
    Setting("worker.slots", "Tasks that `worker run` does at once.", Kind.COUNT, default=1, flag="--slots"),
    Setting("worker.labels", "What it says it can do.", Kind.TEXTS, default=(), flag="--labels"),
    Setting("worker.policy", "What it may run.", Kind.PATH, flag="--policy", otherwise="worker.toml in the home"),
    Setting(
        "worker.drain_limit",
        "How long a worker that is asked to end waits for what runs.",
        Kind.SPAN,
        default=30_000,
        flag="--drain-limit",
    ),
    Setting("worker.monitor", "Where it serves /metrics, /healthz and /readyz.", Kind.PLACE, flag="--monitor"),
    Setting("peer.listen", "Where `peer run` serves the exchange by plain HTTP.", Kind.PLACE, flag="--listen"),
    Setting("peer.url", "The URLs it tells others of that.", Kind.TEXTS, default=(), flag="--url"),
    Setting("peer.public", "Let everybody read, not only members.", Kind.FLAG, default=False, flag="--public"),
    Setting("peer.monitor", "Where it serves /metrics, /healthz and /readyz.", Kind.PLACE, flag="--monitor"),
    Setting("mcp.host", "Where `mcp start` listens.", default="127.0.0.1", flag="--host"),
    Setting("mcp.port", "... and at which port.", Kind.COUNT, default=9000, flag="--port"),
    Setting(
        "mcp.token_file",
        "The file of the token that its clients show.",
        Kind.PATH,
        flag="--token-file",
    ),
    Setting("mcp.token", "That token itself.", in_file=False, secret=True),
    Setting("ipfs.listen", "The interface that other IPFS nodes reach.", flag="--listen", otherwise="all of them"),
    Setting(
        "ipfs.program",
        "The program `ipfs`.",
        Kind.PATH,
        named="P2P_WORKFLOW_IPFS",
        in_file=False,
        otherwise="looked for, or built",
    ),
)
BY_NAME: Final[Mapping[str, Setting]] = {setting.name: setting for setting in SETTINGS}


def help_of(name: str) -> str:
    """Return what an option's help says: the words of the table, and its default."""
    setting = BY_NAME[name]
    return f"{setting.help} [{setting.default_words}]" if setting.default_words else setting.help


def render(setting: Setting, value: Any) -> str:
    """Return a value as people write it, "" for none."""
    if value is None or value == ():
        return ""
    match setting.kind:
        case Kind.FLAG:
            return "true" if value else "false"
        case Kind.SPAN:
            return render_duration(value)
        case Kind.TEXTS:
            return ",".join(value)
        case _:
            return str(value)
