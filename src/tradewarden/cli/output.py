"""What commands print: JSON for programs, tables for people, one-time secrets alone on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from tradewarden.cli.terminal import clean, clean_json, json_for
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDTH_WITHOUT_TERMINAL = 200


def show_json(answer: bytes | msgspec.Struct | dict[str, object]) -> None:
    """Print one JSON document, indented, and nothing else. Bytes are JSON already and keep their exact numbers."""
    raw = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    _write_json(msgspec.json.format(raw, indent=2))


def show_json_line(raw: bytes | msgspec.Raw) -> None:
    """Print one JSON object on one line, now (others may be reading along)."""
    _write_json(bytes(raw))
    sys.stdout.flush()


def _write_json(raw: bytes) -> None:
    sys.stdout.write(json_for(sys.stdout.encoding, clean_json(raw.decode())) + "\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print a table with a heading, or `empty` when there is no row."""
    found = [[clean(cell) for cell in row] for row in rows]
    if not found:
        line(empty)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    _print(table, found)


def show_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values below each other."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    _print(grid, [[clean(name), clean(value, lines=True)] for name, value in fields])


def _print(table: object, rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    assert isinstance(table, Table)  # noqa: S101 - for the type checker; Table is imported late
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    sys.stdout.write("".join(f"{each.rstrip()}\n" for each in capture.get().splitlines()))


def line(text: str) -> None:
    """Print one line of text that may hold what others chose."""
    sys.stdout.write(clean(text) + "\n")


def bare(value: str) -> None:
    """Print a value alone, as it is; on a terminal what could steer it is taken out.

    Raises `InvalidInputError` where it could only be written as another one.
    """
    on_terminal = sys.stdout.isatty()
    if not on_terminal:
        _require_words_for(value)
    shown = clean(value, lines=True, most=len(value)) if on_terminal else value
    sys.stdout.write(shown if shown.endswith("\n") else f"{shown}\n")


def _require_words_for(value: str) -> None:
    try:
        value.encode(sys.stdout.encoding)
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"The value holds letters that {sys.stdout.encoding} has no words for; set PYTHONIOENCODING=utf-8, or take "
            "--json, which escapes them"
        ) from error


def time_shown(moment: str | None) -> str:
    """Shorten an RFC 3339 time to seconds: `2026-01-15 10:30:00Z`."""
    return "" if moment is None else f"{moment[:10]} {moment[11:19]}Z" if moment.endswith("Z") else moment
