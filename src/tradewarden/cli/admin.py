"""`tradewarden init` and `tradewarden admin token`: beside the data directory, without a running service."""

from __future__ import annotations

import asyncio

from tradewarden.cli import environment
from tradewarden.cli.options import AsJson, group
from tradewarden.cli.output import line, show_json

app = group("The operator's own way in.")


def init(*, as_json: AsJson = False) -> None:
    """Create the database, the keys, the CA and the admin token in the data directory: the first start, explicit."""
    settings = environment.settings()
    from tradewarden.app import initialise

    asyncio.run(initialise(settings))
    token = settings.data_dir / "admin.token"
    if as_json:
        show_json({"data_dir": str(settings.data_dir), "admin_token_file": str(token)})
        return
    line(f"Data directory: {settings.data_dir}")
    line(f"Admin token: in {token}, good for 24 hours")


@app.callback()
def about() -> None:
    """The operator's own way in."""


@app.command()
def token(*, as_json: AsJson = False) -> None:
    """Make another admin token, which ends the one before, and print the path of its file; never the token."""
    settings = environment.settings()
    from tradewarden.app import new_admin_token

    path = asyncio.run(new_admin_token(settings))
    if as_json:
        show_json({"admin_token_file": str(path)})
    else:
        line(str(path))
