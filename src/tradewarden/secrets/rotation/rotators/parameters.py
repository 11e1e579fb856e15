"""Reads a policy's parameters, each a text; what is wrong is named, and what is not known is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.path import secret_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLAGS = {"yes": True, "true": True, "no": False, "false": False}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
T = TypeVar("T", bound=str)


class Parameters:
    """Parameters of a rotator of one kind, which takes those of these names and no others."""

    def __init__(self, kind: str, given: Mapping[str, str], names: tuple[str, ...]) -> None:
        self._kind = kind
        self._given = given
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise InvalidInputError(f"Rotator '{kind}' takes no parameter {unknown[0]!r}; it takes {', '.join(names)}")

    def __contains__(self, name: str) -> bool:
        return bool(self._given.get(name))

    def wrong(self, name: str, why: str) -> InvalidInputError:
        """Return the error that says what is wrong with one of them."""
        return InvalidInputError(f"Parameter '{name}' of rotator '{self._kind}' {why}")

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; one without a default must be there."""
        found = self._given.get(name) or default
        if found is None:
            raise self.wrong(name, "is missing")
        return found

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number."""
        text = self._given.get(name) or str(default)
        number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1
        if not least <= number <= most:
            raise self.wrong(name, f"must be a whole number from {least} to {most}")
        return number

    def one_of(self, name: str, choices: tuple[T, ...], default: T | None = None) -> T:
        """Return one of the choices."""
        text = self.text(name, default)
        for choice in choices:
            if choice == text:
                return choice
        raise self.wrong(name, f"must be one of {', '.join(choices)}")

    def flag(self, name: str, *, default: bool) -> bool:
        """Return yes or no."""
        found = _FLAGS.get(self.text(name, "yes" if default else "no"))
        if found is None:
            raise self.wrong(name, "must be yes or no")
        return found

    def names(self, name: str, default: str) -> tuple[str, ...]:
        """Return the names of fields, which are separated by commas."""
        found = tuple(part.strip() for part in self.text(name, default).split(","))
        if len(set(found)) != len(found) or not all(map(_NAME.fullmatch, found)):
            raise self.wrong(name, "must be names of fields, each once, separated by commas")
        return found

    def path(self, name: str) -> str:
        """Return the path of another secret."""
        try:
            return secret_path(self.text(name))
        except InvalidInputError as error:
            raise self.wrong(name, f"is no path of a secret: {error.detail}") from None
