"""`tradewarden admin`: what the operator of the host does beside the data directory."""

from __future__ import annotations

from tradewarden.cli import environment
from tradewarden.cli.commands import group
from tradewarden.cli.options import AsJson, Confirmed

app = group("admin")


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


@app.command("reset-time-floor")
def reset_time_floor(*, confirmed: Confirmed = False, as_json: AsJson = False) -> None:
    """Put the latest time seen back to what this machine's clock shows; with the service stopped.

    For a floor that a wrong clock raised. What ended between the two times and was not revoked counts again until its
    end.
    """
    import asyncio

    from tradewarden.cli.inputs import confirm
    from tradewarden.cli.output import line, show_json, time_shown
    from tradewarden.cli.terminal import note
    from tradewarden.clock import SystemClock, rfc3339
    from tradewarden.ground import reset_time_floor as reset

    shown = rfc3339(SystemClock.now())
    confirm(
        f"This machine's clock shows {time_shown(shown)}. Tokens and certificates that ended after that count again. "
        "Is this the true time, and the service stopped?",
        confirmed=confirmed,
    )
    done = asyncio.run(reset(environment.settings()))
    before, now = None if done.before is None else rfc3339(done.before), rfc3339(done.now)
    if as_json:
        show_json({"before": before, "now": now})
    else:
        line(f"The time floor was {time_shown(before) or 'damaged'} and is {time_shown(now)}.")
    note("A service that runs still goes by the old one; restart it.")
