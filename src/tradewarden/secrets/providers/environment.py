"""Secrets in environment variables, and below them in a `.env` file.

Always true here: the environment wins over the file, a variable over nothing that stands elsewhere; what is put is
what is read back, or the put is refused. Which variable holds what is said in `tradewarden.secrets.naming`; each also
takes `NAME_FILE`, a mounted secret.

Reading takes no network and no lock. The file is looked at (one `stat`) at each call and read again when it changed;
a writer waits 10 seconds at most for another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tradewarden.errors import ConfigurationError, ConflictError, InvalidInputError, SecretNotFoundError
from tradewarden.secrets.naming import DATABASE, EXCHANGES, PREFIX, exchange_secret, field_variables, variable
from tradewarden.secrets.path import secret_path
from tradewarden.secrets.providers.content import TEXT_FIELD, as_text, from_text, held_text, settled
from tradewarden.secrets.providers.dotenv_file import DotenvFile
from tradewarden.secrets.providers.provider import Held
from tradewarden.settings.sources import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from pathlib import Path

    from tradewarden.secrets.providers.provider import Content

_OWN_NAME: Final = re.compile(r"[a-z0-9_]+(?<!_file)")
_OWN: Final = (
    "a name in the environment has lower-case letters, digits and _ only, does not end in _file, and is not env"
)
_SETTINGS: Final = frozenset({"ALPHAPULSE_ENV"})
"""Named as secrets are, and none."""
_WRAPPED: Final = f'{{"{TEXT_FIELD}":'


class EnvironmentProvider:
    """The variables of a process (`os.environ`), and a `.env` file (it need not exist) for those that are not set.

    Versions are not kept: a secret's version is empty. With a file, `put` and `delete` change the file and leave the
    process's variables alone; without one they change the mapping.
    """

    name: Final = "environment"

    def __init__(self, environ: MutableMapping[str, str], *, prefix: str = PREFIX, dotenv: Path | None = None) -> None:
        self._environ = environ
        self._prefix = prefix
        self._file = None if dotenv is None else DotenvFile(dotenv)

    def __repr__(self) -> str:
        return f"EnvironmentProvider(prefix={self._prefix!r}, dotenv={self._file and str(self._file.path)!r})"

    def get(self, name: str, version: str = "") -> Held:
        """Return the secret; raises `SecretNotFoundError`, whose reason names the variables that were looked at."""
        content = self._read(secret_path(name))
        if content is None or version:
            raise SecretNotFoundError(name, reason=self._why_none(name, version))
        return Held(name, content)

    def _why_none(self, name: str, version: str) -> str:
        if not _OWN_NAME.fullmatch(name):
            return f"no variable is its own; {_OWN}"
        return "variables have no versions" if version else f"none is set of {', '.join(self._variables(name))}"

    def get_many(self, names: Sequence[str]) -> dict[str, Held]:
        """Return those that are set."""
        found = {name: self._read(secret_path(name)) for name in names}
        return {name: Held(name, content) for name, content in found.items() if content is not None}

    def put(self, name: str, content: Content) -> str:
        """Set the secret's variables, to the file when there is one; returns no version.

        Raises `ConflictError` when a variable that would win over this is set elsewhere, `InvalidInputError` for a
        name that shares its variable with other names.
        """
        self._write(name, self._assignments(_own(name), settled(content)))
        return ""

    def delete(self, name: str) -> None:
        """Take the secret's variables out; raises `ConflictError` when they are set where this may not write."""
        if self._read(secret_path(name)) is None:
            raise SecretNotFoundError(name, reason="no variable is set")
        self._write(name, dict.fromkeys(self._variables(name)))

    def names(self, prefix: str = "") -> list[str]:
        """Return the names that the variables stand for; one that is spread over several is named once."""
        given = {each for source in self._sources() for each in self._set_in(source)} - _SETTINGS
        found = set()
        for name in self._spread(given):
            found.add(name)
            given.difference_update(field_variables(name, self._prefix).values())
        found.update(each[len(self._prefix) :].lower() for each in given)
        return sorted(name for name in found if name.startswith(prefix))

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def _sources(self) -> tuple[Mapping[str, str], ...]:
        return (self._environ,) if self._file is None else (self._environ, self._file.values())

    def _read(self, name: str) -> Content | None:
        if not _OWN_NAME.fullmatch(name):
            return None  # `ann.lee` and `ann_lee` would be one: whoever may ask for one would get the other
        reader = Reader(self._environ, {} if self._file is None else self._file.values(), [])
        *spread, whole = self._variables(name)
        fields = {
            field: _field(text)
            for field, each in zip(field_variables(name, self._prefix), spread, strict=True)
            if (text := reader.text(each)) is not None
        }
        text = None if fields or whole in _SETTINGS else reader.text(whole)
        if reader.mistakes:
            raise ConfigurationError(reader.mistakes)
        if fields:
            return dict(fields)
        return None if text is None else held_text(text, whole)

    def _variables(self, name: str) -> list[str]:
        """Return every variable that a name stands for, the one for the whole secret last."""
        return [*field_variables(name, self._prefix).values(), variable(name, self._prefix)]

    def _assignments(self, name: str, content: Content) -> dict[str, str | None]:
        """Return what each of the secret's variables is to hold."""
        wanted: dict[str, str | None] = dict.fromkeys(self._variables(name))
        fields = field_variables(name, self._prefix)
        if fields and isinstance(content, dict) and content and all(map(_is_field, content.values())):
            texts = {fields.get(field, ""): str(text) for field, text in content.items()}
            if "" not in texts:
                return wanted | texts
        if isinstance(content, str) and "\0" in content:
            content = {TEXT_FIELD: content}
        return {**wanted, variable(name, self._prefix): as_text(content)}

    def _write(self, name: str, wanted: Mapping[str, str | None]) -> None:
        for place, source in zip(("the process's environment", "the .env file"), self._sources(), strict=False):
            self._refuse_set(name, wanted, source, place)
        if self._file is not None:
            self._file.change(wanted)
            return
        for each, text in wanted.items():
            if text is None:
                self._environ.pop(each, None)
            else:
                self._environ[each] = text

    def _refuse_set(self, name: str, wanted: Mapping[str, str | None], source: Mapping[str, str], place: str) -> None:
        read_only = self._file is not None and source is self._environ
        for each in wanted:
            for form in (each, f"{each}_FILE") if read_only else (f"{each}_FILE",):
                if source.get(form):
                    raise ConflictError(
                        f"Secret '{name}' was not changed: {form} is set in {place}, which wins; change it there"
                    )

    def _set_in(self, source: Mapping[str, str]) -> set[str]:
        """Return the variables of ours that a source sets, without `_FILE`."""
        ours = re.compile(re.escape(self._prefix) + r"[A-Z0-9_]+")
        return {each.removesuffix("_FILE") for each, text in source.items() if text and ours.fullmatch(each)}

    def _spread(self, given: set[str]) -> list[str]:
        """Return the secrets whose fields stand in variables of their own."""
        exchanges = {
            each[len(self._prefix) :].removesuffix(suffix)
            for suffix in ("_API_SECRET", "_PASSPHRASE")
            for each in given
            if each.endswith(suffix) and len(each) > len(self._prefix) + len(suffix)
        }
        known = [DATABASE, *map(exchange_secret, sorted({*EXCHANGES, *map(str.lower, exchanges)}))]
        return [name for name in known if not given.isdisjoint(field_variables(name, self._prefix).values())]


def _own(name: str) -> str:
    """Return a name that no other name shares its variable with; raises `InvalidInputError`."""
    if not _OWN_NAME.fullmatch(secret_path(name)) or variable(name) in _SETTINGS:
        raise InvalidInputError(f"Secret '{name}' would share its variable with another; {_OWN}")
    return name


def _is_field(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value and _field(value) == value


def _field(text: str) -> str:
    """Read one field; a text that a `.env` file holds as JSON is that text, every other one is itself."""
    held = from_text(text) if text.startswith(_WRAPPED) else text
    return held if isinstance(held, str) else text
