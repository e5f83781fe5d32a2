"""Our kind of command: the common options on each, and options that take several words.

Implements: the forms of `--tags` in the contract, `--tags a b`, `--tags a,b` and `--tags a --tags b`, in any order with
other options. Typer knows the last only, so the words of a repeatable option are spread into it before Typer reads
them; commas are the business of who reads the values. Every invocation passes here, a program's or a test's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from cli.settings import Settings, common_options

QUICK_START: Final = frozenset(("status", "submit", "next", "complete", "check-tags", "clock"))
"""Commands of the contract: their `✗` line is an answer, so it goes to stdout."""
_ARGV: Final = "cli.command.argv"


class Command(TyperCommand):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `args`, in which a repeatable option may be followed by several values."""
        ctx.ensure_object(Settings).headline_on_stdout = self.name in QUICK_START
        if all(param.param_type_name == "option" for param in self.params):
            # Beside positional arguments nobody could tell a value from an argument.
            args = spread(args, *spellings(self.params))
        return super().parse_args(ctx, args)


class ArgvCommand(Command):
    """A command whose words after `--` are another command line, which nothing here reads: `argv_of` has them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `args` up to `--`."""
        own, rest = split_argv(args, *spellings(self.params))
        ctx.meta[_ARGV] = rest
        return super().parse_args(ctx, own)


def argv_of(context: Any) -> list[str] | None:
    """Return the words after `--`, None where the line has none."""
    found: list[str] | None = context.meta.get(_ARGV)
    return found


class Group(TyperGroup):
    """A group of commands that takes the common options before the name of the command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `args` up to the name of the command; nothing at all asks for help."""
        ctx.ensure_object(Settings)
        return super().parse_args(ctx, args or ["--help"])


def comma_words(values: Iterable[str] | None) -> list[str]:
    """Return the words of a repeated option, in which commas part words too, as they stand."""
    return [word for value in values or () for word in value.split(",") if word]


def spread(args: Sequence[str], repeatable: Iterable[str], with_value: Iterable[str]) -> list[str]:
    """Return `args` with `--tags a b` written as `--tags a --tags b`.

    Args:
        args: the words of a command line.
        repeatable: the options whose values end at the next word that begins with `-`.
        with_value: the other options that take a value: the word after one is its value, whatever it looks like.
    """
    own, argv = split_argv(args, repeatable, with_value)
    return own if argv is None else [*own, "--", *argv]


def split_argv(
    args: Sequence[str], repeatable: Iterable[str], with_value: Iterable[str]
) -> tuple[list[str], list[str] | None]:
    """Return `args` up to `--`, as `spread` writes them, and what comes after it; None without `--`."""
    many, one = frozenset(repeatable), frozenset(with_value)
    done: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if word == "--":
            return done, rest
        if option not in many:
            done.append(word)
            if word in one and rest:
                done.append(rest.pop(0))
            continue
        values = [value] if equals else []
        while rest and not (rest[0].startswith("-") and len(rest[0]) > 1):
            values.append(rest.pop(0))
        for each in values:
            done += [option, each]
        if not values:
            done.append(word)  # Typer says what is missing
    return done, None


def spellings(params: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Return the spellings of the repeatable options, and of the others that take a value."""
    many: list[str] = []
    one: list[str] = []
    for param in params:
        if param.multiple:
            many += param.opts
        elif not param.is_flag:
            one += param.opts
    return many, one
