"""The program through which each script of a step is run, since act gives steps what no runner of GitHub's does.

Act runs a step at a terminal: whatever reads its input waits for ever, programs ask, page and colour; and when the step
ends, the kernel hangs up on what it left in the background for the next steps. Behind this program a script reads from
nothing, prints to a pipe, and has a session of its own; and what it leaves in the files for outputs and variables fails
the step where it cannot be read, as on GitHub: act goes on without it, and computes what looks like an expression.
Steps within composite actions, and actions of node, run through it by what act_actions makes of their files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = ("bash", "setsid", "sed", "cat", "cmp")
"""What the program, and the steps of act_actions, need of the worker."""
NAME: Final = "shell"
ACTIONS: Final = "actions"
"""The folder beside the program with what act_actions puts in place of an action's file; `held` there is that file."""

# When the script has ended, what it printed is still on its way through `sed`; so a line of ours goes behind it, at
# which sed ends, and with it the wait. What a process in the background prints after that goes nowhere.
_PROGRAM: Final = r"""#!/usr/bin/env bash
own=${0%/*}/actions
[ -f "$own/held" ] && mv -f -- "$own/held" "$(< "$own/place")"
if [ "$1" = --named ]; then  # what an expression has come to, then the script; the script within, then {0}
  shift
  case $#,$1,${!#} in
    *,'{0}') set -- "${@:1:$#-1}" ;;
    1,*) set -- bash -e "$1" ;;
    2,bash,*) set -- bash --noprofile --norc -e -o pipefail "$2" ;;
    2,sh,*) set -- sh -e "$2" ;;
    2,python,*) ;;
    2,pwsh,*) set -- --ps1 "$2" ;;
    *) printf 'error: there is no shell %s\n' "$1"; exit 1 ;;
  esac
fi
if [ "$1" = --ps1 ]; then
  {
    printf "\$ErrorActionPreference = 'stop'\n"
    cat -- "$2"
    printf '\nif ((Test-Path -LiteralPath variable:/LASTEXITCODE)) { exit $LASTEXITCODE }\n'
  } > "$2.ps1"
  set -- pwsh -command ". '$2.ps1'"
fi
exec 9>&1 2>/dev/null
end="end-of-step-$$-$RANDOM$RANDOM"
coproc P { LC_ALL=C sed "/$end\$/{s///;/^\$/Q;q}" >&9; exec setsid cat >/dev/null 9>&-; }
exec 7<&"${P[0]}" 6>&"${P[1]}" {P[0]}<&- {P[1]}>&-
setsid --wait "$@" </dev/null >&6 2>&1 6>&- 7<&- 9>&-
code=$?
LC_ALL=C
for name in GITHUB_OUTPUT GITHUB_ENV GITHUB_STATE GITHUB_PATH; do
  file=${!name}
  [ -s "$file" ] || continue
  fault= until= within= kept= blank=
  while IFS= read -r line || [ -n "$line" ]; do
    [ "${line: -1}" = $'\r' ] && line=${line:0:${#line}-1}
    case $name,$line in GITHUB_ENV,*'${{'* | GITHUB_PATH,*'${{'*) fault='${{ in it would be computed' ;; esac
    if [ "$name" = GITHUB_PATH ]; then
      [ "$fault" ] && break
      continue
    fi
    if [ -z "$within$line" ]; then
      blank=yes
      continue
    fi
    kept+=$line$'\n'
    if [ "$within" ]; then
      [ "$line" = "$until" ] && within=
      continue
    fi
    head=${line:0:1024}  # of a megabyte bash takes minutes to cut off what a pattern says
    key=${head%%=*} before=${head%%<<*}
    if [ "${#before}" -lt "${#key}" ]; then
      until=${head#*<<} within=yes key=$before
      [ "$until" ] || fault="no delimiter in '${line:0:80}'"
    elif [ "$key" = "$line" ]; then
      fault="invalid format '${line:0:80}'"
    fi
    [ "$key" ] || fault="no name in '${line:0:80}'"
    [ "$name,$key" = GITHUB_ENV,ACTIONS_ALLOW_UNSECURE_COMMANDS ] && fault="$key lets what is printed set variables"
    [ "$fault" ] && break
  done < "$file"
  [ "$within" ] && fault=${fault:-"the delimiter '$until' does not come"}
  [ "$blank" ] && [ -z "$fault" ] && printf %s "$kept" > "$file"  # act takes an empty line for a fault
  [ "$fault" ] || continue
  printf 'error: %s cannot be read: %s\n' "$name" "$fault" >&6
  : > "$file"
  [ $code = 0 ] && code=1
done
printf '%s\n' "$end" >&6
exec 6>&-
read -r -u 7
exit $code
"""
_TEMPLATES: Final[Mapping[str, str]] = {
    "": "bash -e {0}",
    "bash": "bash --noprofile --norc -e -o pipefail {0}",
    "sh": "sh -e {0}",
    "python": "python {0}",
    "pwsh": "--ps1 {0}",
}
"""What act, like GitHub, makes of the names of shells; the first is for a step that names none."""


def write_shell(folder: Path, actions: Mapping[str, bytes]) -> None:
    """Put the program into a folder, and beside it what act_actions makes of actions, by name."""
    place = folder / NAME
    place.write_text(_PROGRAM, encoding="utf-8")
    place.chmod(0o755)
    (folder / ACTIONS).mkdir()
    for name, data in actions.items():
        (folder / ACTIONS / name).write_bytes(data)


def wrapped(program: str, said: Any) -> str | None:
    """Return the `shell` that runs what `said` names through the program; None where that must stay as it is.

    What an expression comes to is known when the step begins, to the program.
    """
    text = said.strip() if isinstance(said, str) else ""
    if "${{" in text:
        return f"{program} --named {text} {{0}}"
    template = _TEMPLATES.get(text, text if "{0}" in text else None)
    return None if template is None else f"{program} {template}"
