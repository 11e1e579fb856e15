"""`env:NAME`: a root key that the environment brings, 32 bytes in base64; a Fernet key qualifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError
from tradewarden.keys.encoding import key_from_base64
from tradewarden.keys.root import RootKey, Stretching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.clock import Randomness


class EnvRoot:
    """The root source of `env:NAME`."""

    def __init__(self, variable: str, environment: Mapping[str, str]) -> None:
        self._variable = variable
        self._environment = environment

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self._variable

    @property
    def uri(self) -> str:
        """What names it."""
        return f"env:{self._variable}"

    def look(self, check_value: bytes, stretching: Stretching) -> RootKey:  # noqa: ARG002
        """Return the key in the variable."""
        return self._read()

    def examine(self) -> None:
        """Raise `ConfigurationError` when the variable holds no key."""
        self._read()

    def open(self, check_value: bytes, stretching: Stretching) -> RootKey:  # noqa: ARG002
        """Return the key in the variable."""
        return self._read()

    def prepare(self, randomness: Randomness, replaces: bytes | None) -> tuple[RootKey, Stretching]:  # noqa: ARG002
        """Return the key in the variable."""
        return self._read(), Stretching()

    def settle(self, root: RootKey) -> None:
        """Do nothing: the environment is not ours to write."""

    def discard(self, root: RootKey) -> None:
        """Do nothing: the environment is not ours to write."""

    def _read(self) -> RootKey:
        value = self._environment.get(self._variable, "")
        if not value:
            raise ConfigurationError(
                f"{self._variable} is not set; it must hold the root key, 32 random bytes in base64"
            )
        return RootKey(key_from_base64(value.encode(), self._variable))
