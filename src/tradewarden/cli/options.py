"""Options that many commands share, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Show at most this many.")]
After = Annotated[str, typer.Option("--after", help="Go on where an earlier listing stopped (its 'next').")]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write it to this new file (mode 0600) instead of stdout.", dir_okay=False),
]
SecretFile = Annotated[
    str,
    typer.Option("--file", help="Read it from this file; - is stdin. Default: stdin, or a prompt on a terminal."),
]
Confirmed = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Target:
    """Which service to talk to, and how to be known there; None stands for the settings' own."""

    url: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None


def target(context: typer.Context) -> Target:
    """Return what the options before the command chose."""
    found = context.obj
    return found if isinstance(found, Target) else Target()
