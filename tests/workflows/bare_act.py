"""Act alone, without the strict check before it: what it makes of a file as it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scheduler.running.job import Limits, Mount, Permit
from scheduler.running.sandbox import Sandbox
from scheduler.workflows.act_program import INSIDE, arguments, find_act, write_nothing
from tests.running.support import Kept

OWN = ".p2p/act"


@dataclass(frozen=True)
class Bare:
    """How act ended, what steps printed, and all that act said."""

    exit_code: int
    printed: str
    said: str
    errors: str


def bare_act(
    sandbox: Sandbox,
    folder: Path,
    text: str,
    *,
    source: Mapping[str, str] | None = None,
    event: str = "workflow_dispatch",
    path: str | None = None,
) -> Bare:
    """Run a workflow file through act in the sandbox, nothing of it changed."""
    own = folder / OWN
    own.mkdir(parents=True)
    (folder / "source").mkdir()
    for name, content in (source or {}).items():
        place = folder / "source" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    (own / "job.yml").write_text(text)
    (own / "event.json").write_text("{}")
    (own / "secrets.yml").write_text("{}")
    write_nothing(own)
    github = {"GITHUB_REF": "refs/heads/main", "SHA_REF": "0" * 40, "GITHUB_REPOSITORY": "p2p/workflow"}
    live = Kept()
    with live.stop:
        ended = sandbox.run(
            arguments(INSIDE, event=event, folder="/work/.p2p/act", source="/work/source", github=github),
            folder=folder,
            cwd=OWN,
            env={} if path is None else {"PATH": path},
            permit=Permit(limits=Limits(time_ms=60_000, log_bytes=10**8)),
            live=live,
            extra_read=(Mount(find_act(), INSIDE),),
        )
    lines = [json.loads(line) for line in live.text.splitlines() if line.startswith("{")]
    return Bare(
        ended.exit_code,
        "".join(line["msg"] for line in lines if line.get("raw_output")),
        "".join(line["msg"] + "\n" for line in lines),
        (own / "errors").read_text(),
    )
