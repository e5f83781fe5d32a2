"""One run of a command: its settings, its output, its home and its keys.

Leaves out what a home is (scheduler.home). Everything heavy is imported when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.configuration import Configuration
from cli.errors import ForbiddenError, InputError, MissingError
from cli.output import Output
from cli.settings import Settings

if TYPE_CHECKING:
    from ledger.events import Role
    from ledger.keyring import KeyRing
    from ledger.keys import SigningKey
    from scheduler.home import Home
    from scheduler.working.policy import WorkerPolicy

_ALONE = (
    "No peer has it, and it ends with the runner: set P2P_WORKFLOW_KEY and P2P_WORKFLOW_LEDGER from secrets, or "
    "P2P_WORKFLOW_HOME of a home that stays"
)
FIRST_USE = "Made a private ledger with one owner, you, in {folder}; `init --from` would have entered an existing one."


class Session:
    """What a command has at hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.configuration = Configuration(self.folder)
        settings.json, self.json_origin = self.configuration.find("json", settings.json)
        self.output = Output(as_json=settings.json)

    @property
    def folder(self) -> Path:
        """The folder of the home: `--home`, else P2P_WORKFLOW_HOME, else the platform's data folder."""
        from scheduler.folders import home_folder

        return home_folder(self.settings.home)

    def policy_path(self, flag: str | None = None) -> Path:
        """Return where the policy of this home's worker is: `--policy`, else as configured, else in the home."""
        from scheduler.folders import POLICY_NAME

        said = self.configuration.value("worker.policy", flag)
        return self.folder / POLICY_NAME if said is None else Path(said)

    def worker_policy(self) -> WorkerPolicy:
        """Return the policy of this home's worker; one that denies everything where it is not there, or broken."""
        path = self.policy_path()
        if not path.exists():  # spares loading what reads it
            from scheduler.working.policy import no_policy

            return no_policy(path)
        from scheduler.working.policy_file import current_policy

        return current_policy(path)

    @contextmanager
    def home(self, *, beside_token: bool = False) -> Iterator[Home]:
        """Open the home. One that cannot be written will do, until something is appended.

        Args:
            beside_token: also where nobody has named it and the environment holds a ledger token.
        """
        from scheduler.home import Home

        if not beside_token:
            self._check_for_token()
        with Home.open(self.folder) as home:
            yield home

    @contextmanager
    def first_use(self) -> Iterator[Home]:
        """Open the home; where there is none, make a private ledger and say so once."""
        from scheduler.home import Home

        self._check_for_token()
        home, founded = Home.open_or_found(self.folder)
        with home:
            if founded:
                self.output.note(FIRST_USE.format(folder=home.folder))
                if os.environ.get("GITHUB_ACTIONS") == "true":  # whose log shows this line as a warning
                    self.output.note(f"::warning title=A ledger of this runner alone::{_ALONE}")
            yield home

    def _check_for_token(self) -> None:
        """Raise InputError where a ledger token stands for another ledger than that of the home nobody has named."""
        text = os.environ.get("P2P_WORKFLOW_LEDGER", "")
        if not text or self.has_named_home:
            return
        from scheduler.light.token import looks_like_ledger_token

        if looks_like_ledger_token(text):
            raise InputError(
                "P2P_WORKFLOW_LEDGER holds a ledger token, and this command needs a home",
                "`submit --wait` works with a token alone; or name a home that is there: --home, or P2P_WORKFLOW_HOME",
            )

    @property
    def has_named_home(self) -> bool:
        """Whether a home was named: by `--home`, or P2P_WORKFLOW_HOME where that is one already."""
        from scheduler.folders import HOME_VARIABLE

        if self.settings.home is not None:
            return True
        if not os.environ.get(HOME_VARIABLE):
            return False
        return self.has_home

    @property
    def has_home(self) -> bool:
        """Whether there is a home in its folder."""
        from scheduler.place import DATABASE_NAME

        return (self.folder / DATABASE_NAME).exists()

    def peer_name(self, home: Home) -> str:
        """Return the name of the key to act with: `--peer`, else as configured, else the home's own."""
        return self.settings.peer or home.members.default_peer(self.configuration.value("peer.name"))

    def find_key(self, home: Home) -> SigningKey | None:
        """Return the key to act with, where there is one already; makes nothing."""
        self._check_one_key(home)
        return home.members.find_key(self.peer_name(home))

    def worker_key(self, home: Home, labels: tuple[str, ...] = ()) -> SigningKey:
        """Return the key to work with; made at first use, admitted and joined where the owner's key is at hand."""
        self._check_one_key(home)
        return home.members.peer_key(self.peer_name(home), labels)

    def _check_one_key(self, home: Home) -> None:
        """Raise InputError where `--peer` and P2P_WORKFLOW_KEY name two keys: neither beats the other in silence."""
        from scheduler.membership import KEY_VARIABLE, key_of_environment

        peer = self.settings.peer
        if peer is None or (given := key_of_environment()) is None:
            return
        kept = home.keys.find(peer)
        if kept is not None and kept.actor != given.actor:
            raise InputError(
                f"--peer {peer} names a key of this home, and {KEY_VARIABLE} holds another one",
                f"unset {KEY_VARIABLE}, or leave out --peer",
            )

    def key(self, home: Home, role: Role | None = None, labels: tuple[str, ...] = ()) -> SigningKey:
        """Return the key to act with in `role`. It need not be at work; made as `worker_key` does at first use."""
        key = self.find_key(home)
        if key is not None:
            with home.reading():
                if home.members.grant_for(key.actor, role) is not None:
                    return key
        return self.worker_key(home, labels)

    def owner_key(self, home: Home) -> SigningKey:
        """Return the key of an owner, for what only owners may do."""
        key = home.members.owner_key()
        if key is None:
            raise ForbiddenError(
                "only an owner of this ledger may do this, and no owner's key is in this home",
                "do it in the owner's home, or bring the key here with `keys import`; then sync",
            )
        return key

    def ring(self) -> KeyRing:
        """Return the keys of the home, which need no ledger yet."""
        from ledger.keyring import KeyRing

        return KeyRing(self.folder / "keys")  # where a Home keeps them


def session_of(context: typer.Context) -> Session:
    """Return the session of one command's run."""
    settings = context.find_object(Settings)
    if settings is None:
        raise MissingError("no settings: commands are run through cli.command")
    return Session(settings)
