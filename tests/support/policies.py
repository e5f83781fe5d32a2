"""Policies of workers, as their files have to be."""

from __future__ import annotations

from pathlib import Path


def write_policy(home: Path, text: str) -> Path:
    """Write the policy of a home's workers, which nobody else may write to; return its file."""
    path = home / "worker.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path
