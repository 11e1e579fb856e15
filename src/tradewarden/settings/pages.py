"""`.env.example` and the configuration page's tables, both from the table of variables."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tradewarden.settings.table import SECTIONS, Variable

BEGIN = "<!-- made by `python -m tradewarden.settings --markdown`: change the table in the code -->"
END = "<!-- end of what is made -->"

_HEAD = """\
# Tradewarden's settings: every variable, its type, its default and what it does.
# Made by `python -m tradewarden.settings --env-example`; do not edit.
#
# Copy it to .env and uncomment what you change. The environment wins over .env, and every NAME
# can be given as NAME_FILE, the path of a file that holds the value (a mounted secret).
"""


def _default(variable: Variable[object]) -> str:
    """Returns the default in words, or as the text that sets it."""
    if variable.shown:
        return variable.shown
    value = variable.default
    if isinstance(value, bool):
        return str(value).lower()
    return "unset" if value is None or value == () else str(value)


def _assignment(variable: Variable[object]) -> str:
    plain = _default(variable)
    settable = variable.default is not None and variable.default != ()
    return f"# {variable.name}={plain if settable else variable.placeholder}"


def env_example() -> str:
    """Returns the text of `.env.example`: all rows, all commented out."""
    lines = [_HEAD]
    for section in SECTIONS:
        lines.append(f"\n# --- {section.title} " + "-" * (94 - len(section.title)) + "\n")
        for variable in section.variables:
            words = f"{variable.effect} Type: {variable.kind.name}. Default: {_default(variable)}."
            wrapped = textwrap.wrap(words.replace("`", ""), 97, break_on_hyphens=False)
            lines += [f"# {line}" for line in wrapped]
            lines += [_assignment(variable), ""]
    return "\n".join(lines).rstrip() + "\n"


def markdown() -> str:
    """Returns one Markdown table a section."""
    parts = []
    for section in SECTIONS:
        rows = [
            f"## {section.title}\n",
            "| variable | type | default | effect |",
            "| --- | --- | --- | --- |",
        ]
        for variable in section.variables:
            default = _default(variable)
            shown = default if "`" in default or default == "unset" or variable.shown else f"`{default}`"
            name = f"`{variable.name}`" + (" (secret)" if variable.secret else "")
            rows.append(f"| {name} | {variable.kind.name} | {shown} | {variable.effect} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def in_page(page: str) -> str:
    """Returns the page with what stands between the two markers made anew.

    Raises:
        ValueError: the page does not have both markers.
    """
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"the page has no {BEGIN!r} … {END!r}")
    return f"{head}{BEGIN}\n\n{markdown()}\n{END}{tail}"


def update(root: Path) -> None:
    """Writes both files of the repository at `root` anew."""
    (root / ".env.example").write_text(env_example(), encoding="utf-8")
    page = root / "docs" / "configuration.md"
    page.write_text(in_page(page.read_text(encoding="utf-8")), encoding="utf-8")
