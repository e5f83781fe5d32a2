"""The words to bubblewrap: what a run sees of the machine, and as whom it runs.

It sees /usr with its links, a little of /etc, the Python that runs us, its work folder under `/work`, and nothing else:
no home of anybody, no /var, /run, /sys. Everything but /work (with /tmp in it) and writable mounts is read-only. It has
namespaces of its own for users (where we are not root), processes, IPC, host name, control groups, and for the network
unless that is permitted.

As whom: a worker of an ordinary user keeps its user, inside a user namespace. A worker of root would be root to every
file that it sees, and no limit of processes would bind it; so the run becomes a user without a name, a number of its
own for each run, after bubblewrap has made the mounts with root's rights.

With the network permitted a run reaches whatever this machine reaches, its loopback too.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from scheduler.running.job import Mount

INSIDE: Final = "/work"
"""Where a run sees its work folder."""
HOME: Final = ".p2p/home"
"""Where below its work folder a run has its home, and beside it its /tmp."""
TMP: Final = ".p2p/tmp"
HOSTNAME: Final = "sandbox"
USER: Final = "worker"

_SYSTEM: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Of /etc: files are copied, since a mount costs a quarter of a millisecond; folders are mounted.
_ETC_FILES: Final = (
    "hosts", "ld.so.cache", "localtime", "nsswitch.conf", "os-release", "protocols", "resolv.conf", "services",
    "timezone",
)  # fmt: skip
_ETC_FOLDERS: Final = ("alternatives", "crypto-policies", "java-*", "pki", "ssl")
_USERS: Final = range(61_184, 65_520)  # the range that systemd gives out to services for a while, by the same reasoning
_NAMESPACES: Final = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_ALWAYS: Final = ("--die-with-parent", "--new-session")
# What glibc ignores in a program with privileges: to be set only when setpriv has given them up.
_LOADER: Final = ("LD_", "GLIBC_", "GCONV_PATH", "LOCPATH", "NLSPATH", "MALLOC_", "GETCONF_DIR", "HOSTALIASES")

PROBE_FLAGS: Final = (
    *_NAMESPACES, *_ALWAYS, "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
)  # fmt: skip

_turns = itertools.count()


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start bubblewrap: `options` (for `--args`), `files` made up by path, `closing` options, then `argv`."""

    options: tuple[str, ...]
    files: Mapping[str, bytes]
    closing: tuple[str, ...]
    argv: tuple[str, ...]


def own_user() -> int:
    """Return the user that the next run is: ours, or where we are root, one without a name."""
    if os.geteuid():
        return os.geteuid()
    return _USERS[(os.getpid() * 64 + next(_turns)) % len(_USERS)]


def drop_flags() -> tuple[str, ...]:
    """Return how bubblewrap is told to make a user namespace; for root, to keep the right to become somebody else."""
    if os.geteuid():
        return ("--unshare-user",)
    keep = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH")  # the last to step into the folder
    return ("--cap-drop", "ALL", *itertools.chain.from_iterable(("--cap-add", name) for name in keep))


def drop_command(user: int) -> tuple[str, ...] | None:
    """Return the command ahead of the run's own by which root becomes `user`; None where there is none here."""
    program = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if program is None:
        return None
    return (
        program, f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
        "--no-new-privs",
    )  # fmt: skip


def plan(
    argv: Sequence[str],
    *,
    user: int,
    folder: Path,
    cwd: str,
    env: Mapping[str, str],
    network: bool,
    mounts: Iterable[Mount],
) -> Plan:
    """Return how to run `argv` as `user`, with `folder` as `/work`. What it cannot mount it raises ValueError for."""
    options = [*_NAMESPACES, *_ALWAYS, *drop_flags(), "--unshare-uts", "--hostname", HOSTNAME]
    options += () if network else ("--unshare-net",)
    options += ("--ro-bind", "/usr", "/usr", *_system(), "--proc", "/proc", "--dev", "/dev")
    options += ("--bind", str(folder), INSIDE, "--bind", str(folder / TMP), "/tmp")  # noqa: S108 - the run's own
    options += ("--bind", str(folder / TMP), "/dev/shm")  # noqa: S108 - on the disk: memory it is not to fill
    options += itertools.chain.from_iterable(_mount(one) for one in (*_python(folder), *mounts))
    closing = ["--remount-ro", "/", "--remount-ro", "/dev", "--chdir", cwd, "--clearenv"]
    late = {name: value for name, value in env.items() if name.startswith(_LOADER)} if not os.geteuid() else {}
    for name, value in env.items():
        if name not in late:
            closing += ("--setenv", name, value)
    command = list(argv)
    if late:
        command = ["/usr/bin/env", *(f"{name}={value}" for name, value in late.items()), *command]
    if not os.geteuid():
        command = [*(drop_command(user) or ()), "--", *command]
    people = f"root:x:0:0:root:/:/bin/sh\n{USER}:x:{user}:{_group(user)}:{USER}:{INSIDE}/{HOME}:/bin/sh\n"
    groups = f"root:x:0:\n{USER}:x:{_group(user)}:\n"
    files = {**dict(_etc_files()), "/etc/passwd": people.encode(), "/etc/group": groups.encode()}
    return Plan(tuple(options), files, tuple(closing), tuple(command))


def _group(user: int) -> int:
    return os.getegid() if os.geteuid() else user


@functools.cache
def _system() -> tuple[str, ...]:
    """Return the options for the folders of the system, which stay as they are while we run."""
    found: list[str] = []
    for place in (Path("/", name) for name in _SYSTEM):
        if place.is_symlink():
            found += ("--symlink", str(place.readlink()), str(place))
        elif place.is_dir():
            found += ("--ro-bind", str(place), str(place))
    found += ("--perms", "0755", "--dir", "/etc")
    for pattern in _ETC_FOLDERS:
        for place in Path("/etc").glob(pattern):
            found += ("--ro-bind", str(place.resolve()), str(place))
    return tuple(found)


def _etc_files() -> Iterator[tuple[str, bytes]]:
    """Yield the files of /etc as they are now: names of hosts and servers change with the network."""
    for name in _ETC_FILES:
        with suppress(OSError):
            yield f"/etc/{name}", Path("/etc", name).read_bytes()


def _python(folder: Path) -> Iterator[Mount]:
    """Yield where the Python that runs us lies, unless that is in /usr, or the work folder is in it."""
    prefix = Path(sys.base_prefix)
    if not (prefix.is_relative_to("/usr") or folder.is_relative_to(prefix)) and os.access(prefix, os.R_OK | os.X_OK):
        yield Mount(prefix, str(prefix))


def _mount(mount: Mount) -> Iterator[str]:
    place = PurePosixPath(mount.inside)
    taken = [PurePosixPath(name) for name in ("/", "/etc", "/usr", "/tmp", INSIDE)]  # noqa: S108 - a mount point
    system = place.is_relative_to("/proc") or place.is_relative_to("/dev")
    if not place.is_absolute() or ".." in place.parts or place in taken or system:
        raise ValueError(f"nothing can be mounted at {mount.inside!r}")
    for above in reversed(place.parents[:-1]):  # bubblewrap makes those that are missing, but for itself alone
        if above not in taken:
            yield from ("--perms", "0755", "--dir", str(above))
    yield from ("--bind" if mount.writable else "--ro-bind", str(mount.outside), str(place))
