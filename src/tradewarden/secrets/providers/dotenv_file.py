"""A `.env` file: read again when it has changed, rewritten whole, its other lines and comments kept.

Always true here: what is written reads the same in python-dotenv (with and without interpolation), a POSIX shell and
Node, because a value that they read differently is written as a JSON object of plain ASCII, `{"value": …}`. (Docker's
`--env-file` knows no quotes at all: it takes them for a part of the value.)
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from tradewarden.crypto.keyfile import write_private
from tradewarden.errors import ConfigurationError, ProviderRefusedError, ProviderUnavailableError, UnavailableError
from tradewarden.secrets.providers.content import TEXT_FIELD, from_text
from tradewarden.secrets.providers.lock import locked
from tradewarden.settings.sources import read_dotenv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BARE: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_IN_SINGLE: Final = re.compile(r"(?:[^'\\\x00-\x08\x0b-\x1f\x7f$]|\\(?=[^\\])|\$(?!\{))+")
"""No quote, no backslash before another or at the end, no `${`, no control character but tab and newline."""
_IN_DOUBLE: Final = re.compile(r"""[^"$`\\!\x00-\x1f\x7f]+""")
_ESCAPE: Final = re.compile(r"""\\(["\\/bfnrt])|(['$])""")
_MEANT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_Mark = tuple[int, int, int, int] | None


class DotenvFile:
    """One `.env` file, which need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[_Mark, dict[str, str]] = (None, {})

    def values(self) -> Mapping[str, str]:
        """Return what the file sets; raises `ConfigurationError` naming each line that cannot be read."""
        mark = self._mark()
        seen, values = self._seen
        if mark != seen:
            mistakes: list[str] = []
            values = read_dotenv(self.path, mistakes)
            if mistakes:
                raise ConfigurationError(mistakes)
            self._seen = (mark, values)
        return values

    def change(self, wanted: Mapping[str, str | None]) -> None:
        """Set variables (None: take them out), atomically and durably, mode 0600; readers see all or nothing of it."""
        path = self.path.resolve()  # through a link, so that it stays one
        with locked(path.parent):
            text = _changed(path, _text(path), wanted)
            try:
                write_private(path, text.encode())
            except UnavailableError as error:
                raise ProviderUnavailableError(f"{error.detail}; the file is as it was") from error

    def _mark(self) -> _Mark:
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ProviderRefusedError(f"{self.path} cannot be read ({error.strerror}); look at its mode") from error
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def quoted(text: str) -> str:
    """Return `text` as every reader of `.env` files understands it."""
    if _BARE.fullmatch(text):
        return text
    if _IN_SINGLE.fullmatch(text):
        return f"'{text}'"
    if _IN_DOUBLE.fullmatch(text):
        return f'"{text}"'
    held = from_text(text)
    shown = json.dumps({TEXT_FIELD: held} if isinstance(held, str) else held, separators=(",", ":"))
    return f"'{_ESCAPE.sub(_as_number, shown)}'"


def _as_number(found: re.Match[str]) -> str:
    """Write a character of a JSON text by its number: no reader looks into that."""
    short, plain = found.groups()
    character = plain or _MEANT.get(short, short)
    return f"\\u{ord(character):04x}"


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"{path}: cannot be read ({cause}); repair or remove it") from None


def _changed(path: Path, text: str, wanted: Mapping[str, str | None]) -> str:
    from io import StringIO

    from dotenv.parser import parse_stream

    kept: list[str] = []
    left = {name: value for name, value in wanted.items() if value is not None}
    for binding in parse_stream(StringIO(text)):
        line = binding.original.string
        if binding.error:
            number = binding.original.line
            raise ConfigurationError(f"{path}: line {number} is not NAME=value; repair it first, nothing was written")
        if binding.key not in wanted:
            kept.append(line)
            continue
        bare = line.lstrip()
        kept.append(line[: len(line) - len(bare)])
        if binding.key in left:
            export = "export " if bare.startswith("export") else ""
            kept.append(f"{export}{binding.key}={quoted(left.pop(binding.key))}\n")
    if left and kept and not kept[-1].endswith("\n"):
        kept.append("\n")
    return "".join(kept) + "".join(f"{name}={quoted(value)}\n" for name, value in left.items())
