"""What is configured: in HOME/config.toml, by variables of the environment, by flags. Later wins, in that order.

A command asks for a value with what its flag was given (`Configuration.value`). Leaves out what there is to configure
(cli.settings_table) and reading the file, whose modules are loaded only where there is one (cli.configuration_file).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cli.errors import InputError
from cli.settings_table import BY_NAME, PREFIX, SETTINGS, Kind, Setting
from cli.times import TimeTextError, parse_duration

FILE_NAME: Final = "config.toml"


class Origin(StrEnum):
    """Where a value comes from."""

    FLAG = "flag"
    VARIABLE = "environment"
    FILE = "file"
    DEFAULT = "default"


class Configuration:
    """What file, environment and flags say, for one home. The file is read when the first value asks for it."""

    def __init__(self, folder: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._folder = folder
        self._environ = environ
        self._file: Mapping[str, Any] | None = None

    @property
    def path(self) -> Path:
        """Where the file is, or would be."""
        return self._folder / FILE_NAME

    def value(self, name: str, flag: Any = None) -> Any:
        """Return what is to be used: the flag where one was given, else environment, file, default."""
        return self.find(name, flag)[0]

    def find(self, name: str, flag: Any = None) -> tuple[Any, Origin]:
        """Return what is to be used, and where it comes from.

        Args:
            name: of a setting.
            flag: what the command line says: None, False and an empty list are nothing.
        """
        setting = BY_NAME[name]
        if flag not in (None, False, [], ()):
            return (_read(setting, flag, setting.flag) if isinstance(flag, str) else flag), Origin.FLAG
        text = self._environ.get(setting.variable, "").strip()
        if text:
            return _read(setting, text, setting.variable), Origin.VARIABLE
        said = self.in_file()
        if name in said:
            return said[name], Origin.FILE
        return setting.default, Origin.DEFAULT

    def in_file(self) -> Mapping[str, Any]:
        """Return what the file says, by name."""
        if self._file is None:
            self._file = {}
            if self.path.exists():
                from cli.configuration_file import read_configuration

                self._file = read_configuration(self.path)
        return self._file

    def strange_variables(self) -> tuple[str, ...]:
        """Return the variables that look like ours and set nothing here."""
        ours = {setting.variable for setting in SETTINGS}
        return tuple(sorted(name for name in self._environ if name.startswith(PREFIX) and name not in ours))


def check(setting: Setting, value: Any) -> Any:
    """Return a value that its setting allows; raise ValueError for another one."""
    if setting.choices and value not in setting.choices:
        raise ValueError(f"{value!r} is none of {', '.join(setting.choices)}")
    if setting.kind is Kind.COUNT and not 1 <= value <= 65_535:
        raise ValueError(f"a whole number from 1 to 65535 is wanted, not {value}")
    if setting.kind is Kind.PLACE:
        parse_place(value)
    return value


def parse_place(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, an IPv6 address in brackets; raise ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"HOST:PORT is wanted, as 127.0.0.1:8765, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _flag_of(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError(f"true or false is wanted, not {text!r}")
    return words[text.lower()]


def _count_of(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ValueError(f"a whole number is wanted, not {text!r}")
    return int(text)


_OF_TEXT: Final[Mapping[Kind, Callable[[str], Any]]] = {
    Kind.FLAG: _flag_of,
    Kind.COUNT: _count_of,
    Kind.SPAN: parse_duration,
    Kind.TEXTS: lambda text: tuple(word for word in text.split(",") if word),
    Kind.PATH: lambda text: str(Path(text).expanduser()),
}


def _read(setting: Setting, text: str, where: str) -> Any:
    try:
        return check(setting, _OF_TEXT.get(setting.kind, str)(text))
    except (ValueError, TimeTextError) as error:
        shown = "its value cannot be read" if setting.secret else str(error)
        raise InputError(f"{where}: {shown}", "see docs/configuration.md") from None
