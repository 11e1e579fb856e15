"""Where a variable's text comes from: the environment, then `.env`, each also as `NAME_FILE`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from tradewarden.settings.kinds import shown
from tradewarden.settings.table import Variable

T = TypeVar("T")

# A mounted secret is a line; anything larger is the wrong file.
MAX_FILE_BYTES = 65_536


def read_dotenv(path: Path | None, mistakes: list[str]) -> dict[str, str]:
    """Returns what `.env` sets; a missing file sets nothing. `${…}` is taken literally."""
    if path is None or not path.exists():
        return {}
    # Imported here: it costs more than all of this package, and most starts have no .env.
    from dotenv.parser import parse_stream

    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for binding in parse_stream(file):
                if binding.error:
                    mistakes.append(f"{path}: line {binding.original.line} is not NAME=value")
                elif binding.key is not None:
                    values[binding.key] = binding.value or ""
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"{path}: cannot be read ({_cause(error)}); repair or remove it")
    return values


class Reader:
    """Reads variables one by one and gathers every mistake instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str], dotenv: Mapping[str, str], mistakes: list[str]) -> None:
        self.mistakes = mistakes
        self.given: dict[str, str] = {}
        """The text of each variable that was set, by name."""
        self._sources = (environ, dotenv)

    def read(self, variable: Variable[T]) -> T:
        """Returns the variable's value, or its default when it is unset or wrong."""
        text = self.text(variable.name)
        if text is None:
            return variable.default
        if not variable.secret:
            text = text.strip()
        self.given[variable.name] = text
        try:
            return variable.kind.parse(text)
        except ValueError as error:
            subject = "the value" if variable.secret else shown(text)
            self.mistakes.append(f"{variable.name}: {subject} {error}")
            return variable.default

    def text(self, name: str) -> str | None:
        """Returns the text of the first source that sets the variable or its `_FILE`; an empty one does not."""
        for source in self._sources:
            direct, file = source.get(name) or None, source.get(f"{name}_FILE") or None
            if direct is not None and file is not None:
                self.mistakes.append(f"{name}: set together with {name}_FILE; keep one of the two")
                return None
            if direct is not None:
                return direct
            if file is not None:
                return self._file(name, Path(file))
        return None

    def _file(self, name: str, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            text = content.decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            self.mistakes.append(f"{name}_FILE: cannot read {path} ({_cause(error)})")
            return None
        if not text or len(content) > MAX_FILE_BYTES:
            what = f"is larger than {MAX_FILE_BYTES} bytes" if text else "is empty"
            self.mistakes.append(f"{name}_FILE: {path} {what}; it must hold the value alone")
            return None
        return text


def _cause(error: OSError | UnicodeDecodeError) -> str:
    # A decode error's own text quotes the bytes, which may be a secret's.
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "not UTF-8"
