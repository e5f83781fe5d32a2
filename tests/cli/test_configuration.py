"""One configuration: file, environment, flags; the later wins. `config show` says which it was."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.configuration import Configuration, Origin
from cli.errors import InputError
from cli.settings_table import BY_NAME, SETTINGS, Kind
from tests.cli.program import Program

ROOT = Path(__file__).parents[2]

EXAMPLES: dict[Kind, tuple[str, str, Any]] = {
    Kind.TEXT: ('"b"', "c", "c"),
    Kind.FLAG: ("true", "off", False),
    Kind.COUNT: ("2", "3", 3),
    Kind.SPAN: ('"2m"', "3m", 180_000),
    Kind.TEXTS: ('["b"]', "c,d", ("c", "d")),
    Kind.PLACE: ('"127.0.0.1:1"', "[::1]:2", "[::1]:2"),
    Kind.PATH: ('"b"', "/c", "/c"),
}


def configure(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Write the configuration of a home."""
    folder.mkdir(exist_ok=True)
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name", BY_NAME)
def test_the_later_wins(tmp_path: Path, name: str) -> None:
    """Of each value: the default, the file before it, a variable before both, a flag before all."""
    setting = BY_NAME[name]
    in_file, text, value = EXAMPLES[setting.kind]
    if setting.choices:
        in_file, text, value = f'"{setting.choices[0]}"', setting.choices[-1], setting.choices[-1]
    assert Configuration(tmp_path, {}).find(name) == (setting.default, Origin.DEFAULT)
    if setting.in_file:
        table, _, key = name.rpartition(".")
        configure(tmp_path, f"[{table}]\n{key} = {in_file}\n" if table else f"{key} = {in_file}\n")
        assert Configuration(tmp_path, {}).find(name)[1] is Origin.FILE
    environ = {setting.variable: text}
    assert Configuration(tmp_path, environ).find(name) == (value, Origin.VARIABLE)
    if setting.flag and setting.kind is not Kind.FLAG:
        assert Configuration(tmp_path, environ).find(name, text) == (value, Origin.FLAG)


@pytest.mark.parametrize(
    ("text", "words", "advice"),
    [
        ("[workr]\nslots = 1\n", "workr: this key is not known", "did you mean worker?"),
        ("[worker]\nslot = 1\n", "[worker] slot: this key is not known", "did you mean slots?"),
        ("worker = 1\n", "worker: a table is wanted", ""),
        ('[worker]\nslots = "1"\n', "[worker] slots: a whole number from 1 is wanted", ""),
        ("[worker]\nslots = 0\n", "[worker] slots: a whole number from 1 is wanted", ""),
        ("[worker]\ndrain_limit = 5\n", "[worker] drain_limit: a time is wanted", ""),
        ('[worker]\nmonitor = "9100"\n', "[worker] monitor: HOST:PORT is wanted", ""),
        ('[log]\nlevel = "loud"\n', "[log] level: 'loud' is none of debug, info, warning, error", ""),
        ('key = "z3u2"\n', "key: this key is not known", ""),
        ("json = \n", "no TOML", ""),
    ],
    ids=range(10),
)
def test_a_fault_in_the_file_ends_every_command(program: Program, text: str, words: str, advice: str) -> None:
    """What the file says and nobody knows is an error that names file, table, key and the nearest known one."""
    path = configure(program.home, text)
    ran = program.run("status")
    assert ran.code == 2
    told = ran.out + ran.err
    assert f"{path}: {words}" in told
    assert advice in told


def test_a_file_that_others_can_write_is_not_taken(program: Program) -> None:
    """It names what is run and where is listened: so its owner alone may write it."""
    path = configure(program.home, "json = true\n", 0o620)
    ran = program.run("status")
    assert ran.code == 5
    assert f"chmod go-w '{path}'" in ran.err


@pytest.mark.parametrize(
    ("variable", "text"),
    [("WORKER_SLOTS", "many"), ("JSON", "maybe"), ("WORKER_MONITOR", "x"), ("LOG_LEVEL", "loud"), ("MCP_PORT", "0")],
)
def test_a_fault_in_the_environment_names_the_variable(tmp_path: Path, variable: str, text: str) -> None:
    """A variable that cannot be read is an error, and never silently the default."""
    name = f"P2P_WORKFLOW_{variable}"
    setting = next(one for one in SETTINGS if one.variable == name)
    with pytest.raises(InputError, match=f"^{name}: "):
        Configuration(tmp_path, {name: text}).value(setting.name)


def test_show_says_where_each_value_comes_from(program: Program) -> None:
    """Each value with its origin; the variable or flag by name; secrets never; variables that mean nothing are told."""
    configure(program.home, '[worker]\nslots = 4\nlabels = ["gpu"]\n[peer]\nname = "from-file"\n')
    secret = "z3u2SECRET"  # noqa: S105 — no key
    loud = replace(
        program,
        extra={"P2P_WORKFLOW_KEY": secret, "P2P_WORKFLOW_LOG_LEVEL": "debug", "P2P_WORKFLOW_SLOTS": "9"},
    )
    ran = loud.ok("config", "show", "--peer", "flagged", "--json")
    rows = {row["name"]: (row["value"], row["origin"], row["from"]) for row in ran.json["values"]}
    assert rows["worker.slots"] == (4, "file", "")
    assert rows["worker.labels"] == (["gpu"], "file", "")
    assert rows["peer.name"] == ("flagged", "flag", "--peer")
    assert rows["log.level"] == ("debug", "environment", "P2P_WORKFLOW_LOG_LEVEL")
    assert rows["log.format"] == ("text", "default", "")
    assert rows["json"] == (True, "flag", "--json")
    assert rows["key"] == (None, "environment", "P2P_WORKFLOW_KEY")
    assert ran.json["strange_variables"] == ["P2P_WORKFLOW_SLOTS"]
    shown = loud.ok("config", "show")
    assert secret not in ran.out + ran.err + shown.out + shown.err
    assert re.search(r"^worker\.slots +4 +file$", shown.out, re.MULTILINE)


def test_the_file_sets_what_commands_do(program: Program) -> None:
    """Its peer signs, its `json` is the form of results; the environment's and the flag's come before."""
    configure(program.home, 'json = true\n[peer]\nname = "filed"\n')
    nobody = replace(program, peer="")
    nobody.ok("init")
    assert nobody.ok("submit", "--task-id", "t", "--workflow-id", "w", "--name", "n").json["task_id"] == "t"
    assert nobody.ok("tasks").json["tasks"][0]["submitter"]["name"] == "filed"
    assert replace(nobody, extra={"P2P_WORKFLOW_JSON": "0"}).ok("tasks").out.startswith("TASK ID")
    assert nobody.run("show", "none").json["error"]["exit_code"] == 3


def test_every_variable_is_in_the_table() -> None:
    """No module reads a variable of ours that the table does not have."""
    known = {setting.variable for setting in SETTINGS}
    for layer in ("cli", "scheduler", "ledger"):
        for path in (ROOT / layer).rglob("*.py"):
            if path.parent.name not in {"running", "workflows"}:  # they set variables for runs
                named = set(re.findall(r'"(P2P_WORKFLOW_[A-Z_]*[A-Z])"', path.read_text(encoding="utf-8")))
                assert named <= known, path


def test_every_setting_is_in_its_page() -> None:
    """docs/configuration.md has each row of the table, and no other."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*) \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    wanted = [
        (
            one.name,
            f"`{one.variable}`",
            f"`{one.flag}`" if one.flag else "",
            (one.default_words or "none"),
            one.help + ("" if one.in_file else " Not in the file."),
        )
        for one in SETTINGS
    ]
    assert rows == wanted
