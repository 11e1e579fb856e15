"""`tradewarden admin token`: how the operator of the host gets in, beside the data directory."""

from __future__ import annotations

from tradewarden.cli import environment
from tradewarden.cli.commands import group
from tradewarden.cli.options import AsJson

app = group("admin")


@app.callback()
def about() -> None:
    """Make `token` a command of a group, as there will be more."""


@app.command()
def token(*, as_json: AsJson = False) -> None:
    """Make another admin token, which ends the one before, and print the path of its file; never the token."""
    import asyncio

    from tradewarden.app import new_admin_token
    from tradewarden.cli.output import line, show_json

    path = asyncio.run(new_admin_token(environment.settings()))
    if as_json:
        show_json({"admin_token_file": str(path)})
    else:
        line(str(path))
