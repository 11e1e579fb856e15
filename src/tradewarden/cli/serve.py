"""`tradewarden serve`: the one command that runs the service instead of calling it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tradewarden.cli import environment
from tradewarden.cli.commands import single

app = single()


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on (SERVICE_HOST).")] = "",
    port: Annotated[str, typer.Option("--port", help="Port of the HTTP interface (SERVICE_PORT).")] = "",
    workers: Annotated[str, typer.Option("--workers", help="Worker processes (TRADEWARDEN_WORKERS).")] = "",
) -> None:
    """Run the service until it is told to stop. Every setting is an environment variable; see .env.example."""
    for name, value in (("SERVICE_HOST", host), ("SERVICE_PORT", port), ("TRADEWARDEN_WORKERS", workers)):
        if value:
            os.environ.pop(f"{name}_FILE", None)
            os.environ[name] = value
    settings = environment.settings()
    from tradewarden.http.serve import main

    raise typer.Exit(main(settings))
