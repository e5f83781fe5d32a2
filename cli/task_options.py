"""The options that say of a task what is asked for beside its command: the same in `submit` and `run`."""

from __future__ import annotations

from typing import Annotated

import typer

TagsOption = Annotated[
    list[str] | None, typer.Option(metavar="TAG...", help="`a b`, `a,b`, or the option repeated. [p2p-eligible]")
]
PriorityOption = Annotated[int | None, typer.Option(metavar="1-10", help="10 comes first. [5]")]
NeedsOption = Annotated[
    list[str] | None, typer.Option(metavar="TASK...", help="Tasks to be done before, by name or task key.")
]
RequiresOption = Annotated[list[str] | None, typer.Option(metavar="LABEL...", help="Labels its worker must have.")]
TimeoutOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Longest attempt, from its claim to its recorded end, such as 30m.")
]
