"""Refuse to run beside the other distribution that owns our import name.

`ipfs_accelerate_py` is also a distribution of its own on the package index. Installed together, both write into one
folder, the later one wins file by file, and what a program then imports is a mixture of the two. Pip does not warn.

The check stands here and not in the façade package, because the façade's `__init__` may be the very file that the other
distribution has overwritten. The façade calls it where its own `__init__` survived, the programs call it first of all.

It looks for the other's metadata by listing the folders of `sys.path`, which takes less than a millisecond;
`importlib.metadata` would answer the same question after 25 ms of imports, on every start of every program.

Left out: programs of the other distribution that have replaced our `ipfs-accelerate` script. They never reach us.
"""

import os
import sys
from collections.abc import Iterable
from typing import Final

FOREIGN_DISTRIBUTION: Final = "ipfs_accelerate_py"

_METADATA_SUFFIXES: Final = (".dist-info", ".egg-info")


def check_for_conflict() -> None:
    """Raise if the other distribution of our import name is installed in this environment.

    Raises:
        ImportError: its metadata is on `sys.path`; the message says where, and how to mend it.
    """
    found = find_foreign_metadata(sys.path)
    if found is not None:
        message = (
            f"two installed distributions provide the import package {FOREIGN_DISTRIBUTION!r}: "
            f"'p2p-workflow-scheduler' (this one) and {FOREIGN_DISTRIBUTION!r} ({found}). "
            "They overwrite each other's files; keep one of them. To keep this one: "
            "'pip uninstall ipfs_accelerate_py', then 'pip install --force-reinstall p2p-workflow-scheduler'."
        )
        raise ImportError(message, name=FOREIGN_DISTRIBUTION, path=found)


def find_foreign_metadata(folders: Iterable[str]) -> str | None:
    """Find the metadata of the other distribution in the given import path.

    Args:
        folders: entries as in `sys.path`; the empty one is the current folder, archives and missing ones hold nothing.

    Returns:
        The path of its `.dist-info` or `.egg-info`, or None.
    """
    for folder in folders:
        try:
            names = os.listdir(folder or os.curdir)  # noqa: PTH208 — pathlib would double the cost of each start
        except OSError:
            continue
        for name in names:
            if name.endswith(_METADATA_SUFFIXES) and _distribution_of(name) == FOREIGN_DISTRIBUTION:
                return os.path.join(folder, name)  # noqa: PTH118 — as above
    return None


def _distribution_of(metadata_name: str) -> str:
    """Return the distribution a metadata folder `NAME-VERSION.dist-info` or `NAME.egg-info` belongs to."""
    stem = metadata_name.removesuffix(".dist-info").removesuffix(".egg-info")
    return stem.partition("-")[0].lower().replace(".", "_")
