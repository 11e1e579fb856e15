"""`tradewarden migrate`: out of hard-coded credentials. Works on files alone; no service is needed."""

from __future__ import annotations

from tradewarden.cli.commands import group
from tradewarden.cli.moving import apply, plan, undo
from tradewarden.cli.scanning import accept, history, hook, scan

app = group("migrate")
app.command("scan")(scan)
app.command("accept")(accept)
app.command("history")(history)
app.command("hook")(hook)
app.command("plan")(plan)
app.command("apply")(apply)
app.command("undo")(undo)
