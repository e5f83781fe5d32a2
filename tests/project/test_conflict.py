"""The check for a second distribution of our import name, in real processes and real folders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conflict import check_for_conflict, find_foreign_metadata

ROOT = Path(__file__).resolve().parents[2]
MEND = "pip install --force-reinstall p2p-workflow-scheduler"


def run_python(code: str, *import_path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that sees the given folders first, in that order."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, import_path))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def install_foreign(site: Path, metadata_name: str = "ipfs_accelerate_py-0.0.45.dist-info") -> None:
    """Lay the other distribution's metadata into a folder of packages, as pip does."""
    metadata = site / metadata_name
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ipfs_accelerate_py\nVersion: 0.0.45\n")


def test_alone_our_package_imports(tmp_path: Path) -> None:
    """Where only our distribution is installed, the façade imports."""
    done = run_python("import ipfs_accelerate_py", tmp_path, ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_both_installed_is_a_clear_error(tmp_path: Path) -> None:
    """Where both are installed, importing the façade names both, the place, and the way out."""
    install_foreign(tmp_path)
    done = run_python("import ipfs_accelerate_py", tmp_path, ROOT)
    assert done.returncode == 1
    last_line = done.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ImportError: two installed distributions provide")
    assert str(tmp_path) in last_line
    assert "pip uninstall ipfs_accelerate_py" in last_line
    assert MEND in last_line


def test_check_works_where_the_other_overwrote_our_init(tmp_path: Path) -> None:
    """The check needs nothing from the façade: it still speaks where the other's `__init__` replaced ours."""
    install_foreign(tmp_path)
    package = tmp_path / "ipfs_accelerate_py"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('the foreign package ran')\n")
    done = run_python("from cli.conflict import check_for_conflict; check_for_conflict()", tmp_path, ROOT)
    assert done.returncode == 1
    assert MEND in done.stderr
    assert "the foreign package ran" not in done.stderr


def test_check_is_quiet_and_light_here() -> None:
    """In an environment without the other distribution the check passes, and loads no metadata library."""
    check_for_conflict()
    code = "import sys; from cli.conflict import check_for_conflict; check_for_conflict(); print(*sys.modules)"
    done = run_python(code, ROOT)
    assert done.returncode == 0
    assert not {"importlib.metadata", "email", "typer", "scheduler"} & set(done.stdout.split())


@pytest.mark.parametrize(
    "metadata_name",
    [
        "ipfs_accelerate_py-0.0.45.dist-info",
        "ipfs_accelerate_py-0.0.45-py3.11.egg-info",
        "ipfs_accelerate_py.egg-info",
        "IPFS_Accelerate_Py-1.dist-info",
        "ipfs.accelerate.py-1.dist-info",
    ],
)
def test_every_spelling_of_the_other_is_found(tmp_path: Path, metadata_name: str) -> None:
    """Metadata of the other is found in every form that installers write."""
    install_foreign(tmp_path, metadata_name)
    assert find_foreign_metadata([str(tmp_path)]) == str(tmp_path / metadata_name)


@pytest.mark.parametrize(
    "metadata_name",
    [
        "p2p_workflow_scheduler-0.1.0.dist-info",
        "ipfs_accelerate_py_extras-1.0.dist-info",
        "ipfs_accelerate-1.0.dist-info",
        "ipfs_accelerate_py",
    ],
)
def test_neighbours_are_not_mistaken_for_it(tmp_path: Path, metadata_name: str) -> None:
    """Our own metadata, longer and shorter names, and the package folder itself are no conflict."""
    install_foreign(tmp_path, metadata_name)
    assert find_foreign_metadata([str(tmp_path), str(tmp_path / "missing.zip")]) is None
