"""`tradewarden init`: the explicit first start, beside the data directory."""

from __future__ import annotations

from tradewarden.cli import environment
from tradewarden.cli.commands import single
from tradewarden.cli.options import AsJson

app = single()


@app.command()
def init(*, as_json: AsJson = False) -> None:
    """Make the database, the keys, the CA and the admin token in the data directory; refused when there is one.

    Staging and production need it before the first `serve`.
    """
    import asyncio

    from tradewarden.app import initialise
    from tradewarden.cli.output import line, show_json

    settings = environment.settings()
    token = asyncio.run(initialise(settings))
    if as_json:
        show_json({"data_dir": str(settings.data_dir), "admin_token_file": str(token)})
        return
    line(f"Data directory: {settings.data_dir}")
    line(f"Admin token: in {token}, good for 24 hours")
