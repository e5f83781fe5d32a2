"""HOME/config.toml: read strictly, by the table of cli.settings_table. Loaded only where the file is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cli.configuration import check
from cli.settings_table import SETTINGS, Kind, Setting
from scheduler.owned_file import read_owned
from scheduler.toml_table import Table, read_count, read_flag, read_span, read_text, read_texts

_READERS: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    Kind.FLAG: read_flag,
    Kind.COUNT: read_count,
    Kind.SPAN: read_span,
    Kind.TEXTS: read_texts,
}


def read_configuration(path: Path) -> dict[str, Any]:
    """Return what the file says, by name; a path in it begins at the file's folder.

    Raises TomlError, which names file, table and key, and OwnedFileError where others could have written it.
    """
    top = Table.of_text(path, read_owned(path))
    found: dict[str, Any] = {}
    tables: dict[str, Table | None] = {}
    for setting in SETTINGS:
        if not setting.in_file:
            continue
        table_name, _, key = setting.name.rpartition(".")
        if table_name and table_name not in tables:
            tables[table_name] = top.table(table_name)
        table = tables[table_name] if table_name else top
        if table is not None and table.has(key):
            found[setting.name] = table.need(key, _reader(setting, path.parent))
    top.close()
    for table in tables.values():
        if table is not None:
            table.close()
    return found


def _reader(setting: Setting, folder: Path) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        read_kind: Callable[[Any], Any] = _READERS.get(setting.kind, read_text)
        found = check(setting, read_kind(value))
        return str(folder / Path(found).expanduser()) if setting.kind is Kind.PATH else found

    return read
