"""Where values come from: files, stdin, a prompt that does not echo. Never from an argument."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from tradewarden.errors import InvalidInputError

MAX_BYTES = 2 * 1024 * 1024
_STDIN = "-"


def on_terminal() -> bool:
    """Tell whether somebody could type the input."""
    return sys.stdin.isatty()


def read_bytes(source: str) -> bytes:
    """Return what a file holds, or stdin for `-`; at most 2 MiB."""
    if source == _STDIN:
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with Path(source).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InvalidInputError(f"{_name(source)} holds more than {MAX_BYTES} bytes")
    return content


def read_secret(source: str, prompt: str) -> str:
    """Return one secret text: of a file, of stdin, or (on a terminal, without a source) asked for without echo."""
    if not source and on_terminal():
        return ask_secret(prompt)
    try:
        text = read_bytes(source or _STDIN).decode().strip()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{_name(source or _STDIN)} is not UTF-8 text") from error
    if not text:
        raise InvalidInputError(f"{_name(source or _STDIN)} is empty; {prompt.lower()} was expected there")
    return text


def read_fields(names: list[str]) -> dict[str, str]:
    """Return a value for each name: asked for without echo, or one line each when stdin is no terminal."""
    if on_terminal():
        return {name: ask_secret(name) for name in names}
    lines = read_secret(_STDIN, "One line for each field").splitlines()
    if len(lines) != len(names):
        raise InvalidInputError(f"stdin holds {len(lines)} lines for {len(names)} fields; give one for each, in order")
    return dict(zip(names, lines, strict=True))


def ask_secret(prompt: str) -> str:
    """Ask on the terminal without echo."""
    return str(typer.prompt(prompt, hide_input=True, err=True))


def refuse_values(arguments: list[str]) -> None:
    """Refuse what looks like a value on the command line, without repeating it; raises `InvalidInputError`."""
    if any("=" in each for each in arguments):
        raise InvalidInputError(
            "A value does not belong on the command line: everybody on this machine can read the arguments of a "
            "process, and the shell keeps them in its history. Give it in a file (--file data.json), on stdin, or at a "
            "prompt (--field NAME). If this one was a real secret, replace it"
        )


def confirm(question: str, *, confirmed: bool) -> None:
    """Ask before something that cannot be undone; without a terminal `--yes` must say so."""
    if confirmed:
        return
    if not on_terminal():
        raise InvalidInputError(f"{question} Nobody is there to ask; add --yes")
    typer.confirm(question, abort=True, err=True)


def _name(source: str) -> str:
    return "stdin" if source == _STDIN else source
