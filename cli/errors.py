"""What goes wrong, in one place: the code of each error, and the handler that turns it into words, JSON and a code.

Errors of the layers below are found by their name, so that this module imports none of them; `tests/cli` compares the
table with the classes there are. An error says what, where, which rule it broke and what to do; the first two are its
message. With `--json` stdout carries `{"error": {kind, message, rule, advice, exit_code}}`, and stderr the words.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import typer

from cli.exit_codes import ExitCode
from cli.file_faults import find_file_fault
from cli.output import printable
from cli.settings import Settings

T = TypeVar("T")


class CliError(Exception):
    """An error of the command line itself."""

    exit_code = ExitCode.USAGE

    def __init__(self, words: str, advice: str = "", *, rule: str | None = None) -> None:
        super().__init__(words)
        self.advice = advice
        self.rule = rule
        self.details: dict[str, Any] = {}


class InputError(CliError):
    """A value or a file the command was given cannot be read."""


class MissingError(CliError):
    """What the command was to act on is not there."""

    exit_code = ExitCode.NOT_FOUND


class InvalidError(CliError):
    """Blocks, or a whole ledger, break a rule."""

    exit_code = ExitCode.INVALID


class ForbiddenError(CliError):
    """The key at hand may not do this."""

    exit_code = ExitCode.NOT_ALLOWED


class InstallationError(CliError):
    """The program is not installed as it must be; the message says how to mend that."""

    exit_code = ExitCode.INSTALLATION


class UnreachedError(CliError):
    """A node or a peer that the command needs is not there, or does not answer."""

    exit_code = ExitCode.UNREACHABLE


class UnconfirmedError(CliError):
    """The command asks before it acts, and was not answered with yes."""

    exit_code = ExitCode.UNCONFIRMED


@dataclass(frozen=True, slots=True)
class Told:
    """An error as it is told. `kind` is a stable word for programs."""

    kind: str
    message: str
    rule: str | None
    advice: str
    code: ExitCode


# By qualified name; a class stands for those derived from it.
CODES: Final[dict[str, ExitCode]] = {
    "scheduler.running.files.FileRefError": ExitCode.USAGE,
    "scheduler.running.gathering.GatheringError": ExitCode.USAGE,
    "scheduler.running.payloads.PayloadError": ExitCode.USAGE,
    "scheduler.extras.MissingExtraError": ExitCode.INSTALLATION,
    "scheduler.workflows.yaml_nodes.WorkflowFileError": ExitCode.INVALID,
    "scheduler.workflows.findings.WorkflowRefusedError": ExitCode.INVALID,
    "scheduler.workflows.inputs.RunInputError": ExitCode.USAGE,
    "scheduler.workflows.source.SourceError": ExitCode.USAGE,
    "scheduler.tags.TagError": ExitCode.USAGE,
    "cli.times.TimeTextError": ExitCode.USAGE,
    "ledger.cid.CidError": ExitCode.USAGE,
    "ledger.schema.SchemaError": ExitCode.USAGE,
    "ledger.keys.KeyFormatError": ExitCode.USAGE,
    "ledger.keyring.KeyNameError": ExitCode.USAGE,
    "ledger.keyring.KeyNotFoundError": ExitCode.NOT_FOUND,
    "ledger.keyring.KeyExistsError": ExitCode.REFUSED,
    "ledger.keyring.KeyPermissionError": ExitCode.NOT_ALLOWED,
    "ledger.keyring.KeyringError": ExitCode.INVALID,
    "ledger.codec.CodecError": ExitCode.USAGE,
    "ledger.signing.DraftError": ExitCode.USAGE,
    "ledger.acceptance.Refusal": ExitCode.INVALID,
    "ledger.acceptance.MissingLinks": ExitCode.INVALID,
    "ledger.hints.HintError": ExitCode.INVALID,
    "ledger.car.CarError": ExitCode.INVALID,
    "ledger.blobs.BlockError": ExitCode.INVALID,
    "ledger.manifest.ManifestError": ExitCode.INVALID,
    "ledger.node_copy.GoneError": ExitCode.STORAGE,
    "ledger.publishing.PublishError": ExitCode.REFUSED,
    "ledger.fetching.UnavailableError": ExitCode.UNREACHABLE,
    "ledger.ipns.IpnsError": ExitCode.USAGE,
    "ledger.gateway.GatewayUrlError": ExitCode.USAGE,
    "scheduler.audit_sources.NothingToAuditError": ExitCode.UNREACHABLE,
    "scheduler.catching_up.NoLedgerError": ExitCode.UNREACHABLE,
    "ledger.exchange_client.NotServedError": ExitCode.NOT_ALLOWED,
    "ledger.carrier.UnreachableError": ExitCode.UNREACHABLE,
    "ledger.carrier.MisbehaviourError": ExitCode.INVALID,
    "ledger.replica.ExchangeError": ExitCode.REFUSED,
    "ledger.database.StoreMissingError": ExitCode.NOT_FOUND,
    "ledger.database.StoreBusyError": ExitCode.BUSY,
    "ledger.database.StoreError": ExitCode.STORAGE,
    "scheduler.peer_presence.DaemonRunsError": ExitCode.REFUSED,
    "scheduler.invite.InviteError": ExitCode.USAGE,
    "scheduler.endpoints.EndpointError": ExitCode.USAGE,
    "scheduler.working.policy_file.PolicyMissingError": ExitCode.NOT_FOUND,
    "scheduler.working.policy_file.PolicyPermissionError": ExitCode.NOT_ALLOWED,
    "scheduler.working.policy_file.PolicyExistsError": ExitCode.REFUSED,
    "scheduler.toml_table.TomlError": ExitCode.USAGE,
    "scheduler.owned_file.OthersWriteError": ExitCode.NOT_ALLOWED,
    "scheduler.owned_file.OwnedFileError": ExitCode.USAGE,
    "scheduler.working.secrets.SecretPermissionError": ExitCode.NOT_ALLOWED,
    "scheduler.working.secrets.SecretError": ExitCode.NOT_FOUND,
    "ledger.kubo_build.KuboBuildError": ExitCode.INSTALLATION,
    "ledger.kubo_errors.KuboNotFoundError": ExitCode.NOT_FOUND,
    "ledger.kubo_errors.KuboRefusedError": ExitCode.REFUSED,
    "ledger.kubo_errors.KuboTooLargeError": ExitCode.INVALID,
    "ledger.kubo_errors.KuboError": ExitCode.UNREACHABLE,
    "scheduler.node.NodeChoiceError": ExitCode.USAGE,
    "scheduler.place.HomeNotFoundError": ExitCode.NOT_FOUND,
    "scheduler.place.HomeExistsError": ExitCode.REFUSED,
    "scheduler.place.HomeError": ExitCode.STORAGE,
    "scheduler.membership.NotAMemberError": ExitCode.NOT_ALLOWED,
    "scheduler.action_errors.TaskNotFoundError": ExitCode.NOT_FOUND,
    "scheduler.action_errors.AmbiguousTaskError": ExitCode.NOT_FOUND,
    "scheduler.action_errors.RequestError": ExitCode.USAGE,
    "scheduler.action_errors.NotAllowedError": ExitCode.NOT_ALLOWED,
    "scheduler.action_errors.ActionError": ExitCode.REFUSED,
    "scheduler.light.token.LedgerTokenError": ExitCode.USAGE,
    "scheduler.light.token.TokenKeyError": ExitCode.NOT_ALLOWED,
    "scheduler.light.via.ViaError": ExitCode.USAGE,
    "scheduler.light.handing.NobodyTookItError": ExitCode.UNREACHABLE,
    "scheduler.light.waiting.LostContactError": ExitCode.UNREACHABLE,
    "scheduler.light.waiting.WaitedError": ExitCode.TIME_UP,
}

ADVICE: Final[dict[str, str]] = {
    "scheduler.audit_sources.NothingToAuditError": "name another gateway, or begin with another head",
    "scheduler.catching_up.NoLedgerError": "name another --gateway; or say which ledger it is: `init --ledger CID`",
    "ledger.exchange_client.NotServedError": "have an owner admit the key of this peer: `members admit KEY`",
    "ledger.keyring.KeyExistsError": "choose another name",
    "scheduler.membership.KeyVariableError": "set it to the text that `keys export` writes, or unset it",
}


def tell(error: Exception) -> Told | None:
    """Return what to say of an error, or None for one that nobody foresaw: a defect."""
    if isinstance(error, typer.TyperException):
        return Told("usage", error.format_message(), None, _usage_advice(error), ExitCode.USAGE)
    code = error.exit_code if isinstance(error, CliError) else _find(error, CODES)
    if code is None:
        fault = find_file_fault(error) if isinstance(error, OSError) else None
        return None if fault is None else Told(fault.kind, fault.words, None, fault.advice, fault.code)
    advice = getattr(error, "advice", "") or _find(error, ADVICE) or ""
    return Told(_kind(error), str(error), getattr(error, "rule", None), advice, code)


def report(error: Exception, settings: Settings) -> ExitCode:
    """Print an error as the settings ask, and return the code to end with."""
    told = tell(error)
    if told is None:
        traceback.print_exception(error)
        words = f"{type(error).__name__}: {error}"
        told = Told("defect", words, None, "this is a defect of the program: please report it", ExitCode.DEFECT)
    if settings.json:
        document = {
            "kind": told.kind,
            "message": told.message,
            "rule": told.rule,
            "advice": told.advice or None,
            "exit_code": int(told.code),
        }
        with suppress(OSError):  # stdout may be the full file that is told of: the words and the code remain
            typer.echo(json.dumps({"error": document | details_of(error)}, ensure_ascii=False))
    first, *others = told.message.splitlines() or [told.kind]
    rule = f" (rule {told.rule})" if told.rule and told.rule not in told.message else ""
    headline = printable(f"✗ {first}{rule}")
    try:
        typer.echo(headline, err=settings.json or not settings.headline_on_stdout)
    except OSError:
        typer.echo(headline, err=True)
    for line in others:
        typer.echo(printable(line), err=True)
    if told.advice:
        typer.echo(printable(f"  what to do: {told.advice}"), err=True)
    return told.code


def _find(error: Exception, table: Mapping[str, T]) -> T | None:
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__)
    return next((table[name] for name in names if name in table), None)


def _kind(error: Exception) -> str:
    """Return the class name in words: `KeyNotFoundError` is `key_not_found`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def details_of(error: Exception) -> dict[str, Any]:
    """Return what an error tells programs beside its words: its own `details`, a mapping, where it has one."""
    details = getattr(error, "details", None)
    return dict(details) if isinstance(details, dict) else {}


def _usage_advice(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else ""
