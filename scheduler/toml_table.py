"""Reading TOML that people write, strictly: each key is asked for, and what nobody asked for is an error.

An error names file, table and key, and of a word that is not known the nearest that is. Also sizes (`512MiB`) and
spans of time (`30m`). Leaves out what the keys mean (scheduler.working.policy_file, cli.configuration).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

_SIZE_UNITS: Final = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE_UNITS_10: Final = {"kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_TIME_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE: Final = re.compile(r"(\d{1,15})\s*([kKMGT]?i?B?)")
_TIME: Final = re.compile(r"(?:\d{1,9}(?:ms|s|m|h|d))+")

T = TypeVar("T")


class TomlError(Exception):
    """A file of settings is not as it must be; the message names file, table and key."""

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.advice = advice


class Table:
    """One table of a file. Each `read` asks for one key; `close` refuses the keys that nobody asked for."""

    def __init__(self, file: Path, name: str, fields: Mapping[str, Any], error: type[TomlError] = TomlError) -> None:
        self._file = file
        self._name = name
        self._fields = fields
        self._error = error
        self._asked: list[str] = []

    @classmethod
    def of_text(cls, file: Path, text: str, error: type[TomlError] = TomlError) -> Table:
        """Return the whole of a file's text as a table; raise `error` where it is no TOML."""
        try:
            return cls(file, "", tomllib.loads(text), error)
        except (tomllib.TOMLDecodeError, RecursionError) as fault:
            raise error(f"{file}: no TOML: {fault}") from None

    def fault(self, key: str, words: str, advice: str = "") -> TomlError:
        """Return the error that says what is wrong with a key."""
        where = f"[{self._name}] {key}" if self._name and key else key or f"[{self._name}]"
        return self._error(f"{self._file}: {where}: {words}", advice)

    def has(self, key: str) -> bool:
        """Return whether a key is there."""
        self._asked.append(key)
        return key in self._fields

    def read(self, key: str, read: Callable[[Any], T], default: T) -> T:
        """Return what `read` makes of a key's value, `default` where it is not there.

        A ValueError of `read` becomes the table's error, which names the key.
        """
        return self.need(key, read) if self.has(key) else default

    def need(self, key: str, read: Callable[[Any], T]) -> T:
        """Return what `read` makes of a key's value; raise where it is not there."""
        if not self.has(key):
            others = [one for one in self._fields if one not in self._asked]
            found = difflib.get_close_matches(key, others, n=1)
            raise self.fault("", f"{key} is missing", f"{found[0]} is not known: did you mean {key}?" if found else "")
        try:
            return read(self._fields[key])
        except ValueError as error:
            raise self.fault(key, str(error)) from None

    def tables(self, key: str) -> Iterator[Table]:
        """Yield the tables of an array of tables, in order."""
        empty: list[Any] = []
        for number, fields in enumerate(self.read(key, read_list, empty), 1):
            if not isinstance(fields, dict):
                raise self.fault(key, f"tables are wanted: [[{key}]]")
            yield Table(self._file, f"{self._below(key)} {number}", fields, self._error)

    def table(self, key: str) -> Table | None:
        """Return the table under a key, None where there is none."""
        if not self.has(key):
            return None
        fields = self._fields[key]
        if not isinstance(fields, dict):
            raise self.fault(key, "a table is wanted")
        return Table(self._file, self._below(key), fields, self._error)

    def _below(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def all_keys(self) -> tuple[str, ...]:
        """Return the keys there are, for tables whose keys are names; each counts as asked for."""
        self._asked += self._fields
        return tuple(self._fields)

    def close(self) -> None:
        """Raise for a key that nobody asked for, with the nearest known one."""
        for key in self._fields:
            if key not in self._asked:
                raise self.fault(key, "this key is not known", nearest(key, self._asked))


def nearest(word: str, known: Collection[str]) -> str:
    """Return the advice that names the known word nearest to an unknown one."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else f"known are {', '.join(sorted(set(known)))}"


def read_text(value: Any) -> str:
    """Return a text; raise ValueError for anything else, and for one that is empty or has a NUL."""
    if type(value) is not str or not value or "\0" in value:
        raise ValueError(f"a text is wanted, not {value!r}")
    return value


def read_flag(value: Any) -> bool:
    """Return true or false; raise ValueError for anything else."""
    if type(value) is not bool:
        raise ValueError(f"true or false is wanted, not {value!r}")
    return value


def read_count(value: Any) -> int:
    """Return a whole number from 1; raise ValueError for anything else."""
    if type(value) is not int or value < 1:
        raise ValueError(f"a whole number from 1 is wanted, not {value!r}")
    return value


def read_list(value: Any) -> list[Any]:
    """Return a list; raise ValueError for anything else."""
    if not isinstance(value, list):
        raise ValueError(f"a list is wanted, not {value!r}")
    return value


def read_texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts; raise ValueError for anything else."""
    return tuple(map(read_text, read_list(value)))


def read_size(value: Any) -> int:
    """Return bytes from `512MiB`, `2GB` or a whole number of bytes; raise ValueError for anything else."""
    if type(value) is int:
        return read_count(value)
    found = _SIZE.fullmatch(value) if type(value) is str else None
    unit = None if found is None else (_SIZE_UNITS | _SIZE_UNITS_10).get(found[2])
    if found is None or unit is None or int(found[1]) < 1:
        raise ValueError(f"a size is wanted, such as 512MiB or 2GiB, not {value!r}")
    return int(found[1]) * unit


def read_span(value: Any) -> int:
    """Return ms from `90s`, `30m`, `1h30m`, `2d`, `250ms`; raise ValueError for anything else."""
    if type(value) is not str or not _TIME.fullmatch(value):
        raise ValueError(f"a time is wanted, such as 90s, 30m or 1h30m, not {value!r}")
    total = sum(int(number) * _TIME_UNITS_MS[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h|d)", value))
    if total < 1:
        raise ValueError(f"a time of at least 1ms is wanted, not {value!r}")
    return total


def render_size(size: int) -> str:
    """Return bytes in the largest unit that writes them exactly: `512MiB`."""
    unit = next(name for name in ("TiB", "GiB", "MiB", "KiB", "B") if size % _SIZE_UNITS[name] == 0)
    return f"{size // _SIZE_UNITS[unit]}{unit}"


def render_span(ms: int) -> str:
    """Return a time in the units that write it exactly: `1h30m`."""
    rest, parts = ms, ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _TIME_UNITS_MS[unit])
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"
