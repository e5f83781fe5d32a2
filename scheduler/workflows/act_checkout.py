"""The step that stands for `actions/checkout`: it puts the task's source where a checkout would.

Act's own writes over what is there and leaves the rest, within a file too; GitHub empties the folder first. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PATH: Final = "INPUT_PATH"
"""By this name, as an input: act computes those when it knows the other variables of the step."""
_KEEPS: Final = "P2P_CHECKOUT_KEEPS"
_SOURCE: Final = "P2P_CHECKOUT_SOURCE"
_SCRIPT: Final = rf"""PATH=/usr/local/bin:/usr/bin:/bin
top=$(pwd -P)
case ${_PATH} in /*) to=${_PATH} ;; *) to=$top/${_PATH} ;; esac
to=$(realpath -m -- "$to")
case $to/ in
  "$top"/*) ;;
  *) printf 'path: %s is not within the work folder\n' "${_PATH}"; exit 1 ;;
esac
mkdir -p -- "$to"
if [ -z "${_KEEPS}" ]; then
  for one in "$to"/* "$to"/.[!.]* "$to"/..?*; do rm -rf -- "$one"; done
fi
cp -a --remove-destination -- "${_SOURCE}/." "$to"
printf 'ref=%s\ncommit=%s\n' "$GITHUB_REF" "$GITHUB_SHA" >> "$GITHUB_OUTPUT"
"""


def checkout_step(step: Mapping[str, Any], source: str, shell: str) -> dict[str, Any]:
    """Return a step that does what a step with `uses: actions/checkout` says: `path`, and `clean: false`.

    `source` is the folder that is copied, as the run sees it; `shell` what reads the script.
    """
    found = {key: value for key, value in step.items() if key not in {"uses", "with"}}
    given = step.get("with")
    said = given if isinstance(given, dict) else {}
    keeps = str(said.get("clean")).lower() == "false"
    own = {_SOURCE: source, _PATH: str(said.get("path") or "."), _KEEPS: "yes" if keeps else ""}
    env = {**(step.get("env") or {}), **own}
    return found | {"run": _SCRIPT, "shell": shell, "working-directory": "${{ github.workspace }}", "env": env}
