"""The reference in docs/cli.md is the code's, and nobody else's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from cli.exit_codes import ExitCode
from tests.cli.program import Program

ROOT = Path(__file__).parents[2]


def generator() -> ModuleType:
    """Return docs/generate_cli.py as a module."""
    spec = importlib.util.spec_from_file_location("generate_cli", ROOT / "docs" / "generate_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date() -> None:
    """`python docs/generate_cli.py` writes what is in docs/cli.md already."""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == generator().reference()


def test_the_reference_has_every_command_and_exit_code(program: Program) -> None:
    """Each command that `--help` lists has a section, each code a row."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    listed = program.ok("--help").out.split("Commands:\n")[1].splitlines()
    for line in listed:
        assert f"### {line.split()[0]}" in text
    for code in ExitCode:
        assert f"| {int(code)} | {code.name.lower()} |" in text


def test_both_programs_have_the_same_commands(program: Program) -> None:
    """`ipfs-accelerate p2p-workflow` is `p2p-workflow`."""
    outer = Program(program.home, prefix=("ipfs-accelerate", "p2p-workflow"))
    commands = [one.ok("--help").out.split("Commands:\n")[1] for one in (program, outer)]
    assert commands[0] == commands[1]
